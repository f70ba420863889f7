//! The sandbox as a whole: it fails closed, it is one filter, and what is handed in reaches the service.

use coracle_system_tests::attack::{Outcome, has_controller, option, run};
use coracle_system_tests::stage::Stage;
use coracle_system_tests::with_units;

/// A property that can't be applied, what has to go with it, and the words that tell why.
const IMPOSSIBLE: &[(&str, &[&str], &str)] = &[
    // The directory can't be mounted over a file.
    (
        "BindPaths=/etc:$ROOM/secret",
        &[],
        "(Mount) failed: Invalid argument",
    ),
    (
        "BindReadOnlyPaths=/nonexistent",
        &[],
        "(Mount) failed: No such file",
    ),
    (
        "InaccessiblePaths=/nonexistent",
        &[],
        "(Mount) failed: No such file",
    ),
    (
        "ReadOnlyPaths=/nonexistent",
        &[],
        "(Mount) failed: No such file",
    ),
    (
        "TemporaryFileSystem=$ROOM/secret",
        &[],
        "(Mount) failed: Invalid argument",
    ),
    (
        "RootDirectory=/nonexistent",
        &[],
        "(Root) failed: No such file",
    ),
    // There a file is in the way of what is mounted.
    (
        "PrivateDevices=yes",
        &["RootDirectory=$ROOM/closed", "MountAPIVFS=no"],
        "(Mount) failed: ",
    ),
    (
        "PrivateTmp=yes",
        &["RootDirectory=$ROOM/closed", "MountAPIVFS=no"],
        "(Mount) failed: ",
    ),
    (
        "WorkingDirectory=/nonexistent",
        &[],
        "(WorkingDirectory) failed: No such file",
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
                    && refused.stderr.contains(why),
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
            assert_eq!(attempt(&stranger, &read), Outcome::Stopped, "{kind}");
            let others = option("DynamicUser=yes");
            assert_eq!(attempt(&others, &read), Outcome::Stopped, "{kind}");
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
        assert_eq!(attempt(&option("DynamicUser=yes")), Outcome::Stopped);
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
