//! What an image may never say, each tried by a real image: refused by name, and nothing changed.

use std::fs;
use std::os::unix::fs::symlink;

use coracle_system_tests::images::{By, Workshop};
use coracle_system_tests::refusal::refused;
use coracle_system_tests::with_units;

const RELEASE: &str = "ID=boat\nVERSION_ID=1\n";
const RUNS: &str = "[Service]\nExecStart=/bin/x\n";

/// A line of DESIGN's list: the unit's kind, the section, the line, and what the refusal says of it.
const NEVER: &[(&str, &str, &str, &str)] = &[
    // The prefixes that leave the sandbox.
    (
        "service",
        "Service",
        "ExecStartPre=+/bin/x",
        "ExecStartPre=: the prefix “+”",
    ),
    (
        "service",
        "Service",
        "ExecStopPost=!/bin/x",
        "ExecStopPost=: the prefix “!”",
    ),
    (
        "service",
        "Service",
        "ExecReload=!!/bin/x",
        "ExecReload=: the prefix “!”",
    ),
    (
        "service",
        "Service",
        "ExecStartPre=-@+\"/bin/a b\" c",
        "ExecStartPre=: the prefix “+”",
    ),
    (
        "service",
        "Service",
        "ExecStartPre=|+/bin/x",
        "ExecStartPre=: the prefix “+”",
    ),
    (
        "service",
        "Service",
        "ExecStartPre=/bin/y ; \\\n\"+/bin/x\"",
        "ExecStartPre=: the prefix “+”",
    ),
    // Root outside of a user namespace.
    ("service", "Service", "User=root", "User="),
    ("service", "Service", "User=0", "User="),
    ("service", "Service", "Group=root", "Group="),
    (
        "service",
        "Service",
        "SupplementaryGroups=daemon root",
        "SupplementaryGroups=",
    ),
    // What would be opened as root on its behalf.
    ("service", "Service", "OpenFile=/etc/shadow", "OpenFile="),
    (
        "service",
        "Service",
        "EnvironmentFile=/etc/shadow",
        "EnvironmentFile=",
    ),
    (
        "service",
        "Service",
        "EnvironmentFile=-/etc/%H",
        "EnvironmentFile=",
    ),
    (
        "service",
        "Service",
        "LoadCredential=x:/etc/shadow",
        "LoadCredential=",
    ),
    (
        "service",
        "Service",
        "LoadCredentialEncrypted=x:/etc/shadow",
        "LoadCredentialEncrypted=",
    ),
    (
        "service",
        "Service",
        "StandardOutput=file:/etc/cron.d/x",
        "StandardOutput=",
    ),
    (
        "service",
        "Service",
        "StandardError=append:/etc/passwd",
        "StandardError=",
    ),
    (
        "service",
        "Service",
        "StandardOutput=truncate:/etc/passwd",
        "StandardOutput=",
    ),
    (
        "service",
        "Service",
        "StandardInput=file:/etc/shadow",
        "StandardInput=",
    ),
    // Other images, foreign namespaces, programs in the kernel, places in the tree of resources.
    (
        "service",
        "Service",
        "MountImages=/x.raw:/y",
        "MountImages=",
    ),
    (
        "service",
        "Service",
        "ExtensionImages=/x.raw",
        "ExtensionImages=",
    ),
    ("service", "Service", "RootDirectory=/", "RootDirectory="),
    (
        "service",
        "Service",
        "NetworkNamespacePath=/proc/1/ns/net",
        "NetworkNamespacePath=",
    ),
    (
        "service",
        "Unit",
        "JoinsNamespaceOf=sshd.service",
        "JoinsNamespaceOf=",
    ),
    (
        "service",
        "Service",
        "BPFProgram=egress:/sys/fs/bpf/x",
        "BPFProgram=",
    ),
    (
        "service",
        "Service",
        "NFTSet=cgroup:inet:filter:x",
        "NFTSet=",
    ),
    ("service", "Service", "Slice=system.slice", "Slice="),
    ("service", "Service", "Delegate=yes", "Delegate="),
    ("service", "Service", "PIDFile=/run/sshd.pid", "PIDFile="),
    // Relations to units of the host.
    ("service", "Unit", "After=sshd.service", "After="),
    ("service", "Unit", "Before=sshd.service", "Before="),
    ("service", "Unit", "Wants=sshd.service", "Wants="),
    ("service", "Unit", "Requires=sshd.service", "Requires="),
    ("service", "Unit", "BindsTo=sshd.service", "BindsTo="),
    ("service", "Unit", "Conflicts=sshd.service", "Conflicts="),
    ("service", "Unit", "PartOf=sshd.service", "PartOf="),
    ("service", "Unit", "OnFailure=sshd.service", "OnFailure="),
    ("service", "Unit", "OnSuccess=poweroff.target", "OnSuccess="),
    ("service", "Unit", "Upholds=sshd.service", "Upholds="),
    (
        "service",
        "Unit",
        "PropagatesStopTo=sshd.service",
        "PropagatesStopTo=",
    ),
    (
        "service",
        "Unit",
        "RequiresMountsFor=/srv",
        "RequiresMountsFor=",
    ),
    (
        "service",
        "Unit",
        "DefaultDependencies=no",
        "DefaultDependencies=",
    ),
    ("service", "Service", "Sockets=sshd.socket", "Sockets="),
    ("socket", "Socket", "Service=sshd.service", "Service="),
    ("timer", "Timer", "Unit=poweroff.target", "Unit="),
    ("path", "Path", "Unit=sshd.service", "Unit="),
    ("service", "Install", "Alias=sshd.service", "Alias="),
    ("service", "Install", "Also=sshd.socket", "Also="),
    ("service", "Install", "WantedBy=sshd.service", "WantedBy="),
    (
        "service",
        "Install",
        "RequiredBy=multi-user.target",
        "RequiredBy=",
    ),
    // Actions on the host.
    (
        "service",
        "Unit",
        "FailureAction=reboot-force",
        "FailureAction=",
    ),
    (
        "service",
        "Unit",
        "SuccessAction=poweroff",
        "SuccessAction=",
    ),
    (
        "service",
        "Unit",
        "StartLimitAction=reboot",
        "StartLimitAction=",
    ),
    (
        "service",
        "Unit",
        "JobTimeoutAction=exit",
        "JobTimeoutAction=",
    ),
    ("service", "Unit", "RebootArgument=x", "RebootArgument="),
    // Sockets that take what is others'.
    ("socket", "Socket", "ReusePort=yes", "ReusePort="),
    ("socket", "Socket", "Transparent=yes", "Transparent="),
    ("socket", "Socket", "Symlinks=/run/x", "Symlinks="),
    ("socket", "Socket", "ExecStartPre=/bin/x", "ExecStartPre="),
    (
        "socket",
        "Socket",
        "ListenSpecial=/dev/kmsg",
        "ListenSpecial=",
    ),
];

/// A unit of this kind that is whole but for the line under test.
fn unit(kind: &str, section: &str, line: &str) -> String {
    let own = match kind {
        "service" => "[Service]\nExecStart=/bin/x\n",
        "socket" => "[Socket]\nListenStream=/run/boat/socket\n",
        "timer" => "[Timer]\nOnBootSec=1\n",
        _ => "[Path]\nPathExists=/run/boat/x\n",
    };
    format!("{own}[{section}]\n{line}\n")
}

#[test]
fn every_line_that_no_image_may_say_is_refused_by_name() {
    with_units(&[], |coracle| {
        let workshop = Workshop::new(coracle);
        for (kind, section, line, said) in NEVER {
            let (name, text) = (format!("boat.{kind}"), unit(kind, section, line));
            let mut units = vec![(name.as_str(), text.as_str())];
            if *kind != "service" {
                units.push(("boat.service", RUNS));
            }
            let image = workshop.tree(RELEASE, By::Trusted, &units, |_| {});
            println!("{line}");
            refused(
                coracle,
                &[&image, "--grant=superprivileged"],
                &["boat says what no image may say", &name, said],
            );
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
                "its name must be boat",
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
