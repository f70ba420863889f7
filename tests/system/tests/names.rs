//! Names of users and groups inside root directories and images: the service finds its own, whatever the bundle brings.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use coracle_system_tests::images::{By, Workshop, furnish};
use coracle_system_tests::waiting::lines;
use coracle_system_tests::with_units;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use testkit::Instance;

/// What the C library answers, and what the files are.
const ASKS: &str = "ExecStart=/bin/sh -c 'echo user=$(id -un) group=$(id -gn) root=$(id -un 0) nobody=$(id -un 65534); \
    cat /etc/passwd /etc/group; echo >>/etc/passwd || echo closed; echo seen'\n";

/// What the unit of all these tests says, as soon as it has said all.
fn said(coracle: &Instance) -> Vec<String> {
    lines(coracle, "names.service", |lines| {
        lines.iter().any(|line| line == "seen")
    })
}

/// What a unit says in a root directory that has programs of the host, and files of its own in /etc.
fn said_in(unit: &str, fill: impl FnOnce(&Path)) -> Vec<String> {
    let folder = tempfile::tempdir_in("/var").expect("a folder");
    let root = folder.path();
    fs::set_permissions(root, Permissions::from_mode(0o755)).expect("a mode");
    fs::create_dir(root.join("etc")).expect("a folder");
    for link in ["bin", "lib", "lib64", "sbin"] {
        symlink(format!("usr/{link}"), root.join(link)).expect("a link");
    }
    fill(&root.join("etc"));
    let root = root.display();
    let text =
        format!("[Service]\nType=oneshot\nRootDirectory={root}\nBindReadOnlyPaths=/usr\n{unit}\n");
    let mut found = Vec::new();
    with_units(&[("names.service", &text)], |coracle| {
        coracle.ok(&["start", "names.service"]);
        found = said(coracle);
    });
    found
}

fn write(name: &str, text: &str) -> impl Fn(&Path) {
    move |etc| fs::write(etc.join(name), text).expect("a file")
}

#[test]
fn a_service_in_a_root_directory_finds_its_own_names() {
    for (identity, user) in [
        ("User=daemon", "user=daemon group=daemon"),
        ("User=daemon\nGroup=mail", "user=daemon group=mail"),
        ("DynamicUser=yes", "user=names group=names"),
        ("", "user=root group=root"),
    ] {
        let found = said_in(&format!("{identity}\n{ASKS}"), |_| {});
        let expected = format!("{user} root=root nobody=nobody");
        assert!(found.contains(&expected), "{identity}: {found:?}");
        assert!(found.iter().any(|line| line == "closed"), "{found:?}");
    }
}

#[test]
fn what_the_bundle_says_of_others_stays() {
    let found = said_in(&format!("User=daemon\n{ASKS}"), |etc| {
        write(
            "passwd",
            "mine:x:2:2::/:/bin/sh\ndaemon:x:4711:1::/:/bin/sh\nbroken\n",
        )(etc);
        write("group", "mine:x:2:\nnogroup:x:65534:\n")(etc);
    });
    let expected = "user=daemon group=daemon root=root nobody=nobody";
    assert!(found.iter().any(|line| line == expected), "{found:?}");
    let has = |start: &str| found.iter().any(|line| line.starts_with(start));
    assert!(has("mine:x:2:2:") && has("mine:x:2:") && has("nogroup:") && has("daemon:x:1:1:"));
    assert!(!has("daemon:x:4711") && !has("broken"), "{found:?}");
}

#[test]
fn a_table_that_is_whole_is_the_bundles_own() {
    let whole = "root:x:0:0::/:/bin/sh\n# mine\nnobody:x:65534:65534::/:/bin/sh\n";
    let found = said_in(ASKS, |etc| {
        write("passwd", whole)(etc);
        write("group", "root:x:0:\nnogroup:x:65534:\n")(etc);
    });
    assert!(found.iter().any(|line| line == "# mine"), "{found:?}");
    assert!(
        !found.iter().any(|line| line == "closed"),
        "it is writable as before: {found:?}"
    );
}

#[test]
fn what_is_no_table_stays_what_it_is_and_holds_nobody_up() {
    type Hostile<'a> = (&'a str, &'a dyn Fn(&Path));
    let hostile: [Hostile<'_>; 6] = [
        ("a link to the host's", &|passwd| {
            symlink("/shadow", passwd).expect("a link")
        }),
        ("a link out of the root", &|passwd| {
            symlink("../../../../../etc/passwd", passwd).expect("a link")
        }),
        ("a pipe", &|passwd| {
            mknodat(CWD, passwd, FileType::Fifo, Mode::from_raw_mode(0o644), 0).expect("a pipe");
        }),
        ("a directory", &|passwd| {
            fs::create_dir(passwd).expect("a folder")
        }),
        ("a gigabyte", &|passwd| {
            let file = fs::File::create(passwd).expect("a file");
            file.set_len(1 << 30).expect("a size");
        }),
        ("what not everybody may read", &|passwd| {
            fs::write(passwd, "secret:x:7:7:::\n").expect("a file");
            fs::set_permissions(passwd, Permissions::from_mode(0o600)).expect("a mode");
        }),
    ];
    const LOOKS: &str = "User=daemon\nBindReadOnlyPaths=/etc/shadow:/shadow\n\
        ExecStart=/bin/sh -c 'stat -c %%F:%%s /etc/passwd; stat -L -c %%F /etc/passwd; cut -d: -f1 /etc/group; echo seen'\n";
    for (what, make) in hostile {
        let mut before = None;
        let found = said_in(LOOKS, |etc| {
            make(&etc.join("passwd"));
            before = fs::symlink_metadata(etc.join("passwd")).ok();
        });
        let before = before.expect("it is there");
        let kind = match before.file_type() {
            kind if kind.is_symlink() => "symbolic link",
            kind if kind.is_dir() => "directory",
            kind if kind.is_file() => "regular file",
            _ => "fifo",
        };
        let expected = format!("{kind}:{}", before.len());
        assert!(found.contains(&expected), "{what}: {found:?}");
        let groups = ["daemon", "root", "nobody"];
        assert!(
            groups
                .iter()
                .all(|name| found.iter().any(|line| line == name)),
            "{what}: {found:?}"
        );
    }
}

#[test]
fn a_portable_finds_its_dynamic_user_in_an_image_with_and_without_tables() {
    const RELEASE: &str = "ID=names\nVERSION_ID=1\n";
    const READS: &str = "[Service]\nType=oneshot\nPrivateNetwork=no\n\
        ExecStart=/usr/bin/dash -c 'for file in passwd group hosts resolv.conf; do \
        while read -r line; do echo \"$$file $$line\"; done < /etc/$$file; done; echo seen'\n";
    with_units(&[], |coracle| {
        let workshop = Workshop::new(coracle);
        for (table, has_hosts) in [
            (None, false),
            (None, true),
            (Some("mine:x:7:7::/:/bin/sh\n"), false),
            (Some("mine:x:7:7::/:/bin/sh\n"), true),
        ] {
            let units = [("names.service", READS)];
            let image = workshop.tree(RELEASE, By::Trusted, &units, |root| {
                furnish(root);
                let write = |name, text| fs::write(root.join(name), text).expect("a file");
                write("etc/resolv.conf", "the image's\n");
                if has_hosts {
                    write("etc/hosts", "the image's\n");
                }
                if let Some(table) = table {
                    write("etc/passwd", table);
                }
            });
            coracle.ok(&["start", &image, "--grant=network"]);
            let found = said(coracle);
            let has = |start: &str| found.iter().any(|line| line.starts_with(start));
            for start in [
                "passwd names:x:6",
                "passwd root:x:0:",
                "passwd nobody:x:65534:",
                "group names:x:6",
                "hosts 127.0.0.1",
            ] {
                assert!(has(start), "{start}: {found:?}");
            }
            assert_eq!(has("passwd mine:x:7:"), table.is_some(), "{found:?}");
            // What the host's files cover is covered, wherever room was made.
            assert!(
                !found.iter().any(|line| line.ends_with("the image's")),
                "{found:?}"
            );
            coracle.ok(&["purge", "names", "--forget"]);
            fs::remove_file(&image).expect("the image goes");
        }
    });
}
