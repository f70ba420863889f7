//! What an image may never say, each tried by a real image: refused by name, and nothing changed.

use std::fs;
use std::os::unix::fs::symlink;

use coracle_system_tests::images::{By, Workshop};
use coracle_system_tests::refusal::refused;
use coracle_system_tests::with_units;

const RELEASE: &str = "ID=boat\nVERSION_ID=1\n";
const RUNS: &str = "[Service]\nExecStart=/bin/x\n";

/// DESIGN's list, by section: each line is refused by its directive's name.
const NEVER: &[(&str, &[&str])] = &[
    (
        "Service",
        &[
            // Root outside of a user namespace.
            "User=root",
            "User=0",
            "Group=root",
            "SupplementaryGroups=daemon root",
            // What would be opened as root on its behalf.
            "OpenFile=/etc/shadow",
            "EnvironmentFile=/etc/shadow",
            "EnvironmentFile=-/etc/%H",
            "LoadCredential=x:/etc/shadow",
            "LoadCredentialEncrypted=x:/etc/shadow",
            "StandardOutput=file:/etc/cron.d/x",
            "StandardError=append:/etc/passwd",
            "StandardOutput=truncate:/etc/passwd",
            "StandardInput=file:/etc/shadow",
            // Other images, foreign namespaces, programs in the kernel, places in the tree of resources.
            "MountImages=/x.raw:/y",
            "ExtensionImages=/x.raw",
            "RootDirectory=/",
            "NetworkNamespacePath=/proc/1/ns/net",
        ],
    ),
    ("Unit", &["JoinsNamespaceOf=sshd.service"]),
    (
        "Service",
        &[
            "BPFProgram=egress:/sys/fs/bpf/x",
            "NFTSet=cgroup:inet:filter:x",
            "Slice=system.slice",
            "Delegate=yes",
            "PIDFile=/run/sshd.pid",
        ],
    ),
    (
        "Unit",
        &[
            // Relations to units of the host.
            "After=sshd.service",
            "Before=sshd.service",
            "Wants=sshd.service",
            "Requires=sshd.service",
            "BindsTo=sshd.service",
            "Conflicts=sshd.service",
            "PartOf=sshd.service",
            "OnFailure=sshd.service",
            "OnSuccess=poweroff.target",
            "Upholds=sshd.service",
            "PropagatesStopTo=sshd.service",
            "RequiresMountsFor=/srv",
            "DefaultDependencies=no",
        ],
    ),
    ("Service", &["Sockets=sshd.socket"]),
    ("Socket", &["Service=sshd.service"]),
    ("Timer", &["Unit=poweroff.target"]),
    ("Path", &["Unit=sshd.service", "MakeDirectory=yes"]),
    (
        "Install",
        &[
            "Alias=sshd.service",
            "Also=sshd.socket",
            "WantedBy=sshd.service",
            "RequiredBy=multi-user.target",
        ],
    ),
    (
        "Unit",
        &[
            // Actions on the host.
            "FailureAction=reboot-force",
            "SuccessAction=poweroff",
            "StartLimitAction=reboot",
            "JobTimeoutAction=exit",
            "RebootArgument=x",
        ],
    ),
    (
        "Socket",
        &[
            // Sockets that take what is others'.
            "ReusePort=yes",
            "Transparent=yes",
            "Symlinks=/run/x",
            "ExecStartPre=/bin/x",
            "ListenSpecial=/dev/kmsg",
        ],
    ),
];

/// Lines of which the refusal says more: section, line, and what it says.
const SAID_MORE: &[(&str, &str, &str)] = &[
    // The prefixes that leave the sandbox.
    (
        "Service",
        "ExecStartPre=+/bin/x",
        "ExecStartPre=: the prefix “+”",
    ),
    (
        "Service",
        "ExecStopPost=!/bin/x",
        "ExecStopPost=: the prefix “!”",
    ),
    (
        "Service",
        "ExecReload=!!/bin/x",
        "ExecReload=: the prefix “!”",
    ),
    (
        "Service",
        "ExecStartPre=-@+\"/bin/a b\" c",
        "ExecStartPre=: the prefix “+”",
    ),
    (
        "Service",
        "ExecStartPre=|+/bin/x",
        "ExecStartPre=: the prefix “+”",
    ),
    (
        "Service",
        "ExecStartPre=/bin/y ; \\\n\"+/bin/x\"",
        "ExecStartPre=: the prefix “+”",
    ),
];

/// A unit that is whole but for the line under test: its name and its text.
fn unit(section: &str, line: &str) -> (&'static str, String) {
    let (name, own) = match section {
        "Socket" => ("boat.socket", "[Socket]\nListenStream=/run/boat/socket\n"),
        "Timer" => ("boat.timer", "[Timer]\nOnBootSec=1\n"),
        "Path" => ("boat.path", "[Path]\nPathExists=/run/boat/x\n"),
        _ => ("boat.service", RUNS),
    };
    (name, format!("{own}[{section}]\n{line}\n"))
}

#[test]
fn every_line_that_no_image_may_say_is_refused_by_name() {
    with_units(&[], |coracle| {
        let workshop = Workshop::new(coracle);
        let check = |section: &str, line: &str, said: &str| {
            let (name, text) = unit(section, line);
            let mut units = vec![(name, text.as_str())];
            if name != "boat.service" {
                units.push(("boat.service", RUNS));
            }
            let image = workshop.tree(RELEASE, By::Trusted, &units, |_| {});
            println!("{line}");
            refused(
                coracle,
                &[&image, "--grant=superprivileged"],
                &["boat says what no image may say", name, said],
            );
        };
        for (section, lines) in NEVER {
            for line in *lines {
                let end = line.find('=').expect("an assignment");
                check(section, line, line.get(..=end).expect("the directive"));
            }
        }
        for (section, line, said) in SAID_MORE {
            check(section, line, said);
        }
    });
}

#[test]
fn units_of_other_kinds_names_and_drop_ins_are_refused_by_name() {
    with_units(&[("boat-x@.service", RUNS)], |coracle| {
        let workshop = Workshop::new(coracle);
        let own = ("boat.service", RUNS);
        for kind in ["mount", "automount", "swap", "slice"] {
            let name = format!("boat.{kind}");
            let image = workshop.tree(RELEASE, By::Trusted, &[own, (&name, "[Unit]\n")], |_| {});
            let said = format!("{name}: an image can't bring a {kind} unit");
            refused(coracle, &[&image], &[&said]);
        }
        let image = workshop.tree(RELEASE, By::Trusted, &[own], |root| {
            let folder = root.join("usr/lib/systemd/system/boat.service.d");
            fs::create_dir(&folder).expect("a folder");
            fs::write(folder.join("more.conf"), "[Service]\nUser=root\n").expect("a drop-in");
        });
        refused(
            coracle,
            &[&image],
            &["boat.service.d/more.conf", "no drop-ins"],
        );
        let instance = ("boat-x@y.service", RUNS);
        let image = workshop.tree(RELEASE, By::Trusted, &[own, instance], |_| {});
        refused(coracle, &[&image], &["boat-x@y.service", "this host"]);
        for (release, name, said) in [
            (
                "ID=shutdown\n",
                "shutdown.target",
                "every host has a unit of this name",
            ),
            ("ID=private\n", "private.service", "this name is the host's"),
            ("ID=coracle\n", "coracle.service", "this name is the host's"),
            (
                "ID=boat\nPORTABLE_PREFIXES=sshd\n",
                "sshd.service",
                "--grant='name:sshd.service'",
            ),
        ] {
            let image = workshop.tree(release, By::Trusted, &[(name, RUNS)], |_| {});
            refused(coracle, &[&image], &[said]);
        }
    });
}

#[test]
fn links_in_an_image_lead_to_the_image_and_what_is_no_unit_has_no_effect() {
    with_units(&[], |coracle| {
        let workshop = Workshop::new(coracle);
        let marker = coracle.folder().join("made-by-an-image");
        let made = marker.display().to_string();
        let host = coracle.folder().join("host.service");
        fs::write(
            &host,
            "[Service]\nExecStart=/bin/x\nDescription=of the host\n",
        )
        .expect("a file");
        let image = workshop.tree(RELEASE, By::Trusted, &[("boat.service", RUNS)], |root| {
            let units = root.join("usr/lib/systemd/system");
            symlink(&host, units.join("boat-absolute.service")).expect("a link");
            let up = format!("../../../../../../../../..{}", host.display());
            symlink(up, units.join("boat-relative.service")).expect("a link");
            symlink("/proc/self/environ", units.join("boat-magic.service")).expect("a link");
            fs::create_dir_all(units.join("boat.service.wants")).expect("a folder");
            symlink("/etc/x", units.join("boat.service.wants/sshd.service")).expect("a link");
            for (folder, file, text) in [
                (
                    "usr/lib/tmpfiles.d",
                    "boat.conf",
                    format!("f {made} 0644 root root - x\n"),
                ),
                (
                    "usr/lib/sysusers.d",
                    "boat.conf",
                    "u boat-user - -\n".to_owned(),
                ),
                (
                    "usr/lib/systemd/system-generators",
                    "boat",
                    format!("#!/bin/sh\ntouch {made}\n"),
                ),
                (
                    "usr/lib/systemd/system/sshd.service.d",
                    "boat.conf",
                    "[Service]\nUser=x\n".to_owned(),
                ),
            ] {
                fs::create_dir_all(root.join(folder)).expect("a folder");
                fs::write(root.join(folder).join(file), text).expect("a file");
            }
        });
        coracle.ok(&["start", "--attach-only", &image]);
        let units = coracle.folder().join("state/attached");
        let mut names: Vec<String> = fs::read_dir(units)
            .expect("the attached units")
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| name.contains(".service"))
            .collect();
        names.sort();
        assert_eq!(names, ["boat.service", "boat.service.d"]);
        assert!(!marker.exists());
        let users = fs::read_to_string("/etc/passwd").expect("the users");
        assert!(!users.contains("boat-user"));
    });
}
