//! The sandbox as a whole: it fails closed, it is one filter, and what is handed in reaches the service.

use coracle_system_tests::attack::{Outcome, act, has_controller, option, run};
use coracle_system_tests::namespaces::Namespaces;
use coracle_system_tests::stage::Stage;
use coracle_system_tests::{waiting, with_units};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A property that can't be applied, what has to go with it, and the words that tell why.
const IMPOSSIBLE: &[(&str, &[&str], &str)] = &[
    // The directory can't be mounted over a file.
    (
        "BindPaths=/etc:$ROOM/secret",
        &[],
        "$ROOM/secret: /etc of the host) failed: Invalid argument",
    ),
    (
        "BindReadOnlyPaths=/nonexistent",
        &[],
        "(mount /nonexistent: /nonexistent of the host, read-only) failed: No such file",
    ),
    (
        "InaccessiblePaths=/nonexistent",
        &[],
        "(mount /nonexistent: inaccessible) failed: No such file",
    ),
    (
        "ReadOnlyPaths=/nonexistent",
        &[],
        "(mount /nonexistent: what is there, read-only) failed: No such file",
    ),
    (
        "TemporaryFileSystem=$ROOM/secret",
        &[],
        "(mount $ROOM/secret: empty, in memory",
    ),
    (
        "RootDirectory=/nonexistent",
        &[],
        "(root: the tree of /nonexistent) failed: No such file",
    ),
    // There a file is in the way of what is mounted.
    (
        "PrivateDevices=yes",
        &["RootDirectory=$ROOM/closed", "MountAPIVFS=no"],
        "(mount /dev: pseudo-devices only, ",
    ),
    (
        "PrivateTmp=yes",
        &["RootDirectory=$ROOM/closed", "MountAPIVFS=no"],
        "(mount /tmp: ",
    ),
    (
        "WorkingDirectory=/nonexistent",
        &[],
        "(working directory: /nonexistent) failed: No such file",
    ),
];

#[test]
fn what_can_not_be_applied_ends_the_start_and_names_directive_step_and_error() {
    with_units(&[], |coracle| {
        let stage = Stage::new(coracle);
        for (property, more, why) in IMPOSSIBLE {
            let mut arguments = vec![
                "run".to_owned(),
                "--pipe".to_owned(),
                "--collect".to_owned(),
            ];
            for property in more.iter().chain([property]) {
                arguments.extend(["-p".to_owned(), stage.fill(property)]);
            }
            arguments.extend(["/bin/echo", "it ran"].map(str::to_owned));
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let refused = coracle.coracle(&arguments);
            let directive = property.split('=').next().unwrap_or_default();
            assert!(
                refused.status != 0 && refused.stdout.is_empty(),
                "{property}: {refused:?}"
            );
            assert!(
                refused
                    .stderr
                    .contains(&format!("{directive}= can't be applied: step "))
                    && refused.stderr.contains(&stage.fill(why)),
                "{property}: {}",
                refused.stderr
            );
        }
    });
}

#[test]
fn all_directives_of_a_unit_are_one_filter() {
    with_units(&[], |coracle| {
        let count = |options: &[&str]| {
            let mut arguments = vec!["run", "--pipe"];
            arguments.extend_from_slice(options);
            arguments.extend(["grep", "Seccomp_filters", "/proc/self/status"]);
            let line = coracle.ok(&arguments);
            line.split_whitespace().last().map(str::to_owned)
        };
        let (none, one) = (Some("0".to_owned()), Some("1".to_owned()));
        assert_eq!(count(&[]), none);
        assert_eq!(count(&["--profile=default"]), one);
        let more = [
            "--profile=default",
            "-p",
            "SystemCallFilter=~@swap sync",
            "-p",
            "PrivatePIDs=no",
        ];
        assert_eq!(count(&more), one);
    });
}

#[test]
fn a_program_that_lacks_its_interpreter_ends_the_start_behind_a_filter_that_lets_nobody_read() {
    with_units(&[], |coracle| {
        let program = coracle.folder().join("run-it");
        std::fs::write(&program, "#!/usr/bin/python9\n").expect("a script");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&program, mode).expect("its mode");
        for (number, calls) in ["read", "@file-system", "open openat"].iter().enumerate() {
            let unit = format!("{number}.service");
            let program = program.display();
            coracle.unit(
                &unit,
                &format!("[Service]\nType=exec\nSystemCallFilter=~{calls}\nExecStart={program}\n"),
            );
            let said = coracle.coracle(&["start", &unit]);
            assert_ne!(said.status, 0, "{calls}: {said:?}");
            assert!(
                said.stderr
                    .contains("/usr/bin/python9, which its first line names"),
                "{calls}: {said:?}"
            );
        }
    });
}

#[test]
fn a_listening_socket_reaches_into_the_private_network() {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port();
    let socket = format!("[Socket]\nListenStream=127.0.0.1:{port}\nAccept=no\n");
    // Answers one connection with what the service sees of the network.
    let program = "use Socket; open(my $listening, '+<&=', 3); accept(my $client, $listening); opendir(my $all, '/sys/class/net'); print $client join(' ', sort grep { !/^\\\\./ } readdir $all);";
    let service = format!(
        "[Service]\nPrivateNetwork=yes\nDynamicUser=yes\nExecStart=perl -e \"{program}\"\n"
    );
    with_units(
        &[("echo.socket", &socket), ("echo.service", &service)],
        |coracle| {
            coracle.ok(&["start", "echo.socket"]);
            let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).expect("it listens");
            let mut answer = String::new();
            std::io::Read::read_to_string(&mut stream, &mut answer).expect("an answer");
            assert_eq!(
                answer,
                "lo",
                "{}",
                coracle.ok(&["logs", "-u", "echo.service"])
            );
        },
    );
}

/// Directories that a service owns: the directive's beginning, where they are, and what keeps them when the service has ended.
const OWNED: &[(&str, &str, &[&str])] = &[
    ("State", "/var/lib", &[]),
    ("Cache", "/var/cache", &[]),
    ("Logs", "/var/log", &[]),
    ("Runtime", "/run", &["RuntimeDirectoryPreserve=yes"]),
];

/// Removes a service's directories, wherever they are.
struct Directories(String);

impl Drop for Directories {
    fn drop(&mut self) {
        for base in ["/var/lib", "/var/cache", "/var/log", "/run", "/etc"] {
            for place in [
                format!("{base}/{}", self.0),
                format!("{base}/private/{}", self.0),
            ] {
                match std::fs::remove_dir_all(place) {
                    Ok(()) | Err(_) => {}
                }
            }
        }
    }
}

#[test]
fn what_a_dynamic_user_keeps_is_closed_to_others_and_open_to_the_next_one() {
    with_units(&[], |coracle| {
        let stage = Stage::new(coracle);
        let directories = Directories(format!("coracle-attack-{}", std::process::id()));
        let name = &directories.0;
        let stopped = Outcome::Stopped(String::new());
        for (kind, base, more) in OWNED {
            let owner = |user: &str| {
                let more = more.iter().map(|property| (*property).to_owned());
                let own = format!("{kind}Directory={name}");
                let properties = [own, user.to_owned()].into_iter().chain(more);
                properties
                    .flat_map(|property| ["-p".to_owned(), property])
                    .collect::<Vec<_>>()
            };
            let variable = format!("${}_DIRECTORY", kind.to_uppercase());
            let keep = format!("umask 022; echo secret > {variable}/secret");
            let (read, stranger) = (format!("cat {base}/{name}/secret"), option("User=daemon"));
            let attempt = |options: &[String], line: &str| run(coracle, &stage, options, line);
            assert_eq!(
                attempt(&owner("User=games"), &keep),
                Outcome::Reached,
                "{kind}"
            );
            assert_eq!(attempt(&stranger, &read), Outcome::Reached, "{kind}");
            assert_eq!(
                attempt(&owner("DynamicUser=yes"), &keep),
                Outcome::Reached,
                "{kind}"
            );
            assert_eq!(attempt(&stranger, &read), stopped, "{kind}");
            let others = option("DynamicUser=yes");
            assert_eq!(attempt(&others, &read), stopped, "{kind}");
            // Another unit's, so another number has it now.
            let again = format!("cat {variable}/secret && echo more >> {variable}/secret");
            assert_eq!(
                attempt(&owner("DynamicUser=yes"), &again),
                Outcome::Reached,
                "{kind}"
            );
        }
        let write = "touch $CONFIGURATION_DIRECTORY/new";
        let own = option(&format!("ConfigurationDirectory={name}"));
        let attempt = |more: &[String]| run(coracle, &stage, &[&own[..], more].concat(), write);
        assert_eq!(attempt(&[]), Outcome::Reached);
        assert_eq!(attempt(&option("DynamicUser=yes")), stopped);
    });
}

#[test]
fn limits_that_can_not_be_applied_here_are_said_and_shown() {
    with_units(&[], |coracle| {
        for (property, controller) in [("TasksMax=20", "pids"), ("MemoryMax=64M", "memory")] {
            let directive = property.split('=').next().unwrap_or_default();
            let said = coracle
                .coracle(&["run", "-u", controller, "-p", property, "/bin/sleep", "9"])
                .ok();
            let shown = coracle.ok(&["status", controller]);
            let is_reduced = !has_controller(controller);
            for (text, mark) in [(&said.stderr, "reduced: "), (&shown, "Reduced: ")] {
                let line = text
                    .lines()
                    .find(|line| line.contains(mark) && line.contains(directive));
                assert_eq!(line.is_some(), is_reduced, "{text}");
            }
        }
    });
}

#[test]
fn a_dynamic_user_is_nobody_that_the_host_has_by_the_name_of_its_unit() {
    with_units(&[], |coracle| {
        let uid = |options: &[&str]| -> u32 {
            let words = [
                &["run", "--pipe", "--collect", "-u", "games"],
                options,
                &["/usr/bin/id", "-u"],
            ];
            coracle
                .ok(&words.concat())
                .trim()
                .parse()
                .expect("a number")
        };
        let dynamic = 61_184..=65_519;
        assert!(dynamic.contains(&uid(&["-p", "DynamicUser=yes"])));
        assert!(dynamic.contains(&uid(&["--profile=default"])));
        // Who names a user means that user.
        assert_eq!(uid(&["-p", "DynamicUser=yes", "-p", "User=games"]), 5);
    });
}

/// A network and IPC objects that are not the host's.
fn elsewhere() -> Namespaces {
    Namespaces::new(&["--net", "--ipc"], "true")
}

#[test]
fn a_namespace_is_joined_by_its_file_and_nothing_else_is_taken_for_one() {
    let there = elsewhere();
    for (directive, kind, private) in [
        ("NetworkNamespacePath", "net", "PrivateNetwork=yes"),
        ("IPCNamespacePath", "ipc", "PrivateIPC=yes"),
    ] {
        with_units(&[], |coracle| {
            let (file, own) = (
                there.file(&format!("ns/{kind}")),
                format!("/proc/self/ns/{kind}"),
            );
            let seen = |properties: &[&str]| {
                let properties = properties.iter().flat_map(|one| option(one));
                let words = ["run", "--pipe", "--collect"].map(str::to_owned);
                let words = words.into_iter().chain(properties);
                let words: Vec<String> =
                    words.chain(["readlink".to_owned(), own.clone()]).collect();
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                coracle.coracle(&words)
            };
            let target = std::fs::read_link(&file).expect("a namespace");
            let target = format!("{}\n", target.display());
            let joined = format!("{directive}={file}");
            assert_ne!(seen(&[]).stdout, target);
            assert_eq!(seen(&[&joined]).ok().stdout, target);
            assert_eq!(seen(&[private, &joined]).ok().stdout, target);
            assert_eq!(seen(&["User=games", &joined]).ok().stdout, target);
            for wrong in ["/nonexistent", "/etc/passwd", "/proc/self/ns/uts"] {
                let refused = seen(&[&format!("{directive}={wrong}")]);
                assert!(
                    refused.status != 0 && refused.stdout.is_empty(),
                    "{refused:?}"
                );
                let words = format!("{directive}= can't be applied: step ");
                assert!(refused.stderr.contains(&words), "{refused:?}");
            }
        });
    }
}

#[test]
fn a_socket_unit_listens_in_the_namespace_that_it_names() {
    let there = elsewhere();
    // No port: the number is looked for in what /proc shows of each network.
    let socket = format!(
        "[Socket]\nListenStream=0.0.0.0:4711\nNetworkNamespacePath={}\n",
        there.file("ns/net")
    );
    let service = "[Service]\nExecStart=sleep infinity\n";
    with_units(
        &[("far.socket", &socket), ("far.service", service)],
        |coracle| {
            coracle.ok(&["start", "far.socket"]);
            let listens = |table: &str| {
                let table = std::fs::read_to_string(table);
                table.expect("a table").contains("00000000:1267 ")
            };
            assert!(listens(&there.file("net/tcp")));
            assert!(!listens("/proc/self/net/tcp"));
        },
    );
}

#[test]
fn a_device_that_a_unit_binds_is_in_its_own_dev_and_nothing_else_can_be_put_there() {
    let script = "test -c /dev/kmsg && ls /dev/kmsg; touch /dev/more 2> /dev/null || echo closed";
    let unit = format!(
        "[Service]\nType=oneshot\nPrivateDevices=yes\nBindPaths=/dev/kmsg\nExecStart=/bin/sh -c '{script}'\n"
    );
    with_units(&[("devices.service", &unit)], |coracle| {
        coracle.ok(&["start", "devices"]);
        waiting::eventually("what it saw", || {
            let said = coracle.ok(&["logs", "devices", "--cat"]);
            said.contains("/dev/kmsg\nclosed\n").then_some(())
        });
    });
}

#[test]
fn mounts_travel_as_far_as_they_are_told_to() {
    with_units(&[], |coracle| {
        let marks = |value: &str| {
            let flags = format!("MountFlags={value}");
            let words = ["run", "--pipe", "-p", &flags, "-p", "PrivateMounts=yes"];
            let table = coracle.ok(&[&words[..], &["cat", "/proc/self/mountinfo"]].concat());
            let root = table
                .lines()
                .find(|line| line.split(' ').nth(4) == Some("/"));
            let (before, _) = root.expect("a root").split_once(" - ").expect("a line");
            (before.contains("shared:"), before.contains("master:"))
        };
        let host = testkit::mount_table();
        let is_shared = host
            .lines()
            .any(|line| line.split(' ').nth(4) == Some("/") && line.contains("shared:"));
        assert_eq!(marks("private"), (false, false));
        assert_eq!(marks("slave"), (false, is_shared));
        assert_eq!(marks("shared"), (true, is_shared));
        let own = |value: &str| {
            let flags = format!("MountFlags={value}");
            coracle.ok(&[
                "run",
                "--pipe",
                "-p",
                &flags,
                "readlink",
                "/proc/self/ns/mnt",
            ])
        };
        let host = std::fs::read_link("/proc/self/ns/mnt").expect("a namespace");
        let host = format!("{}\n", host.display());
        assert_eq!(own("shared"), host);
        assert_ne!(own("slave"), host);
    });
}

#[test]
fn the_kernel_logs_the_calls_that_it_is_told_to_and_no_other() {
    with_units(&[], |coracle| {
        let logged = |list: &str| {
            let property = format!("SystemCallLog={list}");
            let script = "echo $$; exec uname";
            let calls = || {
                let said = coracle.ok(&["run", "--pipe", "-p", &property, "/bin/sh", "-c", script]);
                let pid = said.lines().next().expect("a process").to_owned();
                let log = Command::new("dmesg").output().expect("dmesg");
                let log = String::from_utf8_lossy(&log.stdout).into_owned();
                let own = log.lines().filter(|line| {
                    line.contains("type=1326") && line.contains(&format!(" pid={pid} "))
                });
                let call = |line: &str| {
                    let (_, rest) = line.split_once(" syscall=")?;
                    rest.split(' ').next()?.parse::<i64>().ok()
                };
                own.filter_map(call).collect::<Vec<_>>()
            };
            // The kernel writes ten lines in five seconds, whoever they are for, and leaves out the others.
            waiting::eventually("lines of the kernel", || {
                Some(calls()).filter(|calls| !calls.is_empty())
            })
        };
        assert_eq!(logged("uname"), [libc::SYS_uname]);
        let others = logged("~uname @default");
        assert!(!others.contains(&libc::SYS_uname), "{others:?}");
    });
}

/// A mount whose place and source are no text, gone with the value.
struct NoText(PathBuf);

impl NoText {
    fn at(folder: &Path) -> NoText {
        let place = folder.join(OsStr::from_bytes(b"no \xff text"));
        std::fs::create_dir(&place).expect("a directory");
        let source = OsStr::from_bytes(b"no \xfe text");
        let mut mount = Command::new("mount");
        let mount = mount.args(["-t", "tmpfs"]).arg(source).arg(&place);
        assert!(mount.status().expect("mount runs").success());
        let mounted = NoText(place);
        std::fs::write(mounted.0.join("file"), "").expect("a file");
        mounted
    }
}

impl Drop for NoText {
    fn drop(&mut self) {
        let unmount = Command::new("umount").arg(&self.0).status();
        assert!(unmount.is_ok_and(|status| status.success()));
    }
}

#[test]
fn a_mount_whose_place_is_no_text_takes_nothing_from_a_sandbox_beside_it() {
    const ATTEMPTS: &[(&str, &str, &str)] = &[
        (
            "read $ROOM/covered/secret",
            "ENOENT",
            "InaccessiblePaths=$ROOM/covered",
        ),
        ("create $ROOM/open/new", "EROFS", "ProtectSystem=strict"),
        ("see $PEER", "nothing", "ProtectProc=invisible"),
    ];
    with_units(&[], |coracle| {
        let stage = Stage::new(coracle);
        let _mount = NoText::at(stage.fill("$ROOM").as_ref());
        let all = ATTEMPTS.iter().flat_map(|(.., property)| option(property));
        let all: Vec<String> = all.collect();
        let user = option("User=daemon");
        for (line, error, property) in ATTEMPTS {
            // Root sees all processes.
            let user: &[String] = if property.starts_with("ProtectProc") {
                &user
            } else {
                &[]
            };
            assert_eq!(act(coracle, &stage, user, line), Outcome::Reached);
            let options = [&all, user].concat();
            let stopped = Outcome::Stopped((*error).to_owned());
            assert_eq!(act(coracle, &stage, &options, line), stopped, "{line}");
        }
        // It is as read-only as the rest.
        let refused = "test -e $ROOM/no*text/file && ! touch $ROOM/no*text/file";
        let refused = |options| run(coracle, &stage, options, refused) == Outcome::Reached;
        assert!(refused(&all) && !refused(&[]));
    });
}
