//! Signed images whose trees are made to lead astray whoever makes, opens or mounts something in them; and how long an image is mounted.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use coracle_system_tests::images::{BOAT, By, Workshop, furnish, with_workshop};
use coracle_system_tests::waiting::{eventually, lines};
use coracle_system_tests::{manager, with_units};
use testkit::Instance;

const RELEASE: &str = "ID=astray\nVERSION_ID=1\n";

/// Says each mount that it sees, in words of the shell alone.
const LOOKS: &str = "[Service]\nType=oneshot\nStateDirectory=astray\n\
    ExecStart=/usr/bin/dash -c 'while read -r line; do echo \"mount $$line\"; done < /proc/self/mountinfo; echo seen'\n";

fn empty(path: &Path) {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
            fs::remove_file(path).expect("a file goes")
        }
        Err(error) => panic!("{error}"),
        Ok(()) => {}
    }
}

/// Starts an image with this change; where it starts, its mounts are those that it may have.
fn look(coracle: &Instance, workshop: &Workshop<'_>, what: &str, change: &dyn Fn(&Path)) -> bool {
    let image = workshop.tree(RELEASE, By::Trusted, &[("astray.service", LOOKS)], |root| {
        furnish(root);
        change(root);
    });
    let said = coracle.coracle(&["start", &image]);
    let started = said.status == 0;
    if started {
        let seen = lines(coracle, "astray.service", |lines| {
            lines.iter().any(|line| line == "seen")
        });
        for line in seen.iter().filter(|line| line.starts_with("mount ")) {
            assert!(is_harmless(line), "{what}: {line}");
        }
    }
    coracle.ok(&["purge", "astray", "--forget"]);
    fs::remove_file(&image).expect("the image goes");
    started
}

/// `mount ID PARENT DEVICE ROOT POINT OPTIONS … - KIND SOURCE OPTIONS` (proc_pid_mountinfo(5)).
fn is_harmless(line: &str) -> bool {
    let words: Vec<&str> = line.split(' ').collect();
    let kind = words
        .iter()
        .position(|word| *word == "-")
        .map_or("", |place| words[place + 1]);
    let read_only = words[6].split(',').any(|option| option == "ro");
    let no_devices = words[6].split(',').any(|option| option == "nodev");
    match kind {
        "squashfs" | "erofs" => read_only && no_devices,
        "proc" => words[5].ends_with("/proc") || words[4].is_empty() || line.contains("subset=pid"),
        "sysfs" | "cgroup" | "cgroup2" => read_only,
        "tmpfs" | "devpts" | "mqueue" | "overlay" => true,
        // Its own directory, and nothing else of the host's disk.
        _ => words[4].ends_with("/private/astray"),
    }
}

#[test]
fn links_and_files_in_place_of_directories_lead_nobody_astray() {
    with_units(&[], |coracle| {
        let workshop = Workshop::new(coracle);
        let starts = |what: &str, change: &dyn Fn(&Path)| look(coracle, &workshop, what, change);
        assert!(starts("as it should be", &|_| {}));
        for (place, target, is_fine) in [
            ("proc", "/dev", true),
            ("proc", "/proc/self/root", false),
            ("proc", "../../../..", false),
            ("sys", "/tmp", true),
            // Its /proc is a sysfs then, in which nothing of the start is looked for.
            ("sys", "/proc", true),
            ("dev", "/sys", true),
            ("run", "/sys", true),
            ("tmp", "/sys", true),
            ("tmp", "/nowhere", false),
            ("var/tmp", "/etc", true),
            ("var/lib", "/etc", true),
            ("var/lib", "/sys", false),
            ("var/lib", "/proc", false),
            ("home", "/proc", true),
            ("root", "/root", false),
        ] {
            let what = format!("{place} -> {target}");
            let started = starts(&what, &|root| {
                empty(&root.join(place));
                symlink(target, root.join(place)).expect("a link");
            });
            assert_eq!(started, is_fine, "{what}");
        }
        for place in ["home", "root"] {
            starts(place, &|root| {
                empty(&root.join(place));
                fs::write(root.join(place), "").expect("a file");
            });
        }
    });
}

/// Makes something of a tree that can't run.
type Change<'a> = &'a dyn Fn(&Path);

#[test]
fn the_interpreter_that_an_image_lacks_is_named_and_not_the_program_that_it_has() {
    const UNIT: &str = "[Service]\nType=exec\nExecStart=/usr/bin/run\n";
    with_workshop(|coracle, workshop| {
        let script = |text: &'static str| {
            move |root: &Path| {
                let path = root.join("usr/bin/run");
                fs::write(&path, text).expect("a script");
                fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("its mode");
            }
        };
        let unlinked = |root: &Path| {
            fs::copy("/usr/bin/dash", root.join("usr/bin/run")).expect("a program");
            for directory in ["lib64", "usr/lib64", "lib", "usr/lib"] {
                let entries = fs::read_dir(root.join(directory)).into_iter().flatten();
                let names = entries.map(|entry| entry.expect("an entry").path());
                let is_loader = |path: &PathBuf| path.display().to_string().contains("/ld-linux");
                names
                    .filter(is_loader)
                    .for_each(|path| fs::remove_file(path).expect("it goes"));
            }
        };
        let cases: [(Change<'_>, &str, &str); 3] = [
            (
                &script("#!/usr/bin/python9 -u\n"),
                "/usr/bin/python9",
                "first line",
            ),
            (
                &script("#!/usr/bin/dash\r\n"),
                "/usr/bin/dash\\r",
                "carriage return",
            ),
            (&unlinked, "/ld-linux", "the loader of the C library"),
        ];
        for (change, missing, why) in cases {
            let image = workshop.tree(RELEASE, By::Trusted, &[("astray.service", UNIT)], |root| {
                furnish(root);
                change(root);
            });
            let said = coracle.coracle(&["start", &image]);
            assert_eq!(said.status, 1, "{said:?}");
            for words in [
                "names /usr/bin/run, which can't be executed: ",
                missing,
                why,
            ] {
                assert!(said.stderr.contains(words), "{words}: {said:?}");
            }
            coracle.ok(&["purge", "astray", "--forget"]);
        }
    });
}

/// What the keeper holds of detached trees: each is called as the root of itself.
fn trees_held(coracle: &Instance) -> usize {
    let held = manager::descriptors(coracle.process("KeeperPID"));
    held.iter().filter(|one| *one == "/").count()
}

#[test]
fn an_image_that_is_mounted_ahead_is_the_one_that_the_start_has_and_goes_with_who_asked() {
    with_workshop(|coracle, workshop| {
        let image = workshop.image("boat", "1", By::Trusted, &[("boat.service", BOAT)]);
        coracle.ok(&["attach", &image]);
        let mut stored = fs::read_dir(coracle.folder().join("state/store")).expect("the store");
        let stored = stored.find_map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy();
            (name.starts_with("sha256-") && !name.contains('.')).then_some(path.clone())
        });
        let stored = stored.expect("the image").display().to_string();
        let ask = |path: &str, further: &str| {
            let mut client =
                UnixStream::connect(coracle.folder().join("run/api")).expect("the API");
            let call = format!(
                r#"{{"method":"io.coracle.Manager.MountAhead","parameters":{{"path":"{path}"}}{further}}}"#
            );
            client.write_all(call.as_bytes()).expect("a call");
            client.write_all(&[0]).expect("its end");
            client
        };
        let held = |count: usize| {
            eventually("as many trees as are wanted", || {
                (trees_held(coracle) == count).then_some(())
            });
        };
        let before = trees_held(coracle);
        let (one, other) = (
            ask(&stored, r#","oneway":true"#),
            ask(&stored, r#","oneway":true"#),
        );
        held(before + 1);
        drop(one);
        coracle.ok(&["start", "boat"]);
        held(before + 1);
        drop(other);
        coracle.ok(&["stop", "boat"]);
        held(before);
        let client = ask(&stored, r#","oneway":true"#);
        held(before + 1);
        drop(client);
        held(before);
        for elsewhere in [&*image, "/etc/passwd", ""] {
            let mut answer = [0; 512];
            let length = ask(elsewhere, "").read(&mut answer).expect("an answer");
            let answer = String::from_utf8_lossy(&answer[..length]);
            assert!(answer.contains("InvalidParameter"), "{answer}");
        }
        held(before);
    });
}
