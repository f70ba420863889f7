//! Signed images whose trees are made to lead astray whoever makes, opens or mounts something in them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use coracle_system_tests::images::{By, Workshop, furnish};
use coracle_system_tests::waiting::lines;
use coracle_system_tests::with_units;
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
