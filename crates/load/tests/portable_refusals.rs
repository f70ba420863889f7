//! What an image may not say, whatever is granted: unit text in, refusals out.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that can't read its own samples must fail"
)]
mod reviewing;

use coracle_load as load;
use load::SpecifierContext;
use load::portable::{UnitText, review};
use reviewing::{check, check_files, check_install, check_socket, check_unit, portable};

#[test]
fn exec_prefixes_that_leave_the_sandbox_are_refused() {
    for (prefix, mark) in [
        ("+", '+'),
        ("!", '!'),
        ("!!", '!'),
        ("-+", '+'),
        ("@-!", '!'),
    ] {
        let tail = if prefix.contains('@') { " hello" } else { "" };
        for name in ["ExecStart", "HealthCommand", "BackupCommand"] {
            check(
                &format!("{name}={prefix}/bin/x{tail}"),
                &format!(
                    "never hello.service:2: {name}=: the prefix “{mark}” would run the command outside the sandbox"
                ),
            );
        }
    }
    for name in ["ExecStart", "HealthCommand", "BackupCommand"] {
        check(&format!("{name}=-/bin/x"), "");
    }
}

#[test]
fn root_is_refused_in_any_spelling() {
    for (directive, what) in [
        ("User", "user"),
        ("Group", "group"),
        ("SupplementaryGroups", "group"),
    ] {
        for name in ["root", "0", "00"] {
            let units = [(
                "hello.service".to_owned(),
                format!("[Service]\n{directive}={name}\n"),
            )];
            let texts: Vec<_> = units
                .iter()
                .map(|(name, text)| UnitText {
                    name,
                    bytes: text.as_bytes(),
                })
                .collect();
            let found = review(&portable(), &texts, &SpecifierContext::default());
            let directive = model::Directive::find("Service", directive).unwrap();
            let has_effect = found
                .units
                .iter()
                .any(|loaded| !settings::print(&loaded.unit, directive).is_empty());
            assert!(
                !found.refusals.is_empty() || !has_effect,
                "{directive}{name} ({what})"
            );
        }
    }
}

#[test]
fn files_of_the_host_opened_as_root_are_refused() {
    check(
        "OpenFile=/etc/shadow",
        "never hello.service:2: OpenFile=: a file of the host would be opened as root",
    );
    check(
        "EnvironmentFile=/etc/shadow",
        "never hello.service:2: EnvironmentFile=: a file of the host would be read as root",
    );
    check(
        "LoadCredential=x:/etc/shadow",
        "never hello.service:2: LoadCredential=: the host's files can't be loaded as credentials on an image's word; `coracle configure` gives it secrets",
    );
    for mode in ["file", "append", "truncate"] {
        check(
            &format!("StandardOutput={mode}:/etc/cron.d/x"),
            "never hello.service:2: StandardOutput=: a file for its output would be opened as root on the host",
        );
    }
    check_socket(
        "ListenSpecial=/dev/sda",
        "never hello.socket:2: ListenSpecial=: a device of the host would be opened as root",
    );
}

#[test]
fn foreign_images_namespaces_programs_and_slices_are_refused() {
    check(
        "MountImages=/x.raw:/y",
        "never hello.service:2: MountImages=: an image can't bring in other images",
    );
    check(
        "NetworkNamespacePath=/proc/1/ns/net",
        "never hello.service:2: NetworkNamespacePath=: an image can't join the host's namespaces",
    );
    check(
        "BPFProgram=egress:/sys/fs/bpf/x",
        "never hello.service:2: BPFProgram=: an image can't load programs into the kernel",
    );
    check(
        "NFTSet=cgroup:inet:filter:x",
        "never hello.service:2: NFTSet=: an image can't change the host's firewall",
    );
    check(
        "Slice=system.slice",
        "never hello.service:2: Slice=: an image can't choose its place in the resource tree",
    );
    check(
        "Delegate=yes",
        "never hello.service:2: Delegate=: control groups are not handed to an image",
    );
    check_unit(
        "JoinsNamespaceOf=sshd.service",
        "never hello.service:2: JoinsNamespaceOf=: sshd.service is not one of the portable's own units",
    );
    check(
        "RootDirectory=/",
        "never hello.service:2: RootDirectory=: the image itself is the root",
    );
}

#[test]
fn a_pid_file_outside_its_own_directories_is_refused() {
    check(
        "PIDFile=/run/sshd.pid",
        "never hello.service:2: PIDFile=: a PID file outside its own directories would be read as root",
    );
    check("PIDFile=/run/hello/pid", "");
}

#[test]
fn relations_to_host_units_are_refused() {
    for directive in [
        "Conflicts",
        "PartOf",
        "OnFailure",
        "OnSuccess",
        "Upholds",
        "Requires",
        "BindsTo",
        "Before",
        "PropagatesStopTo",
    ] {
        check_unit(
            &format!("{directive}=sshd.service"),
            &format!(
                "never hello.service:2: {directive}=: sshd.service is not one of the portable's own units"
            ),
        );
    }
    check_unit(
        "After=sshd.service",
        "never hello.service:2: After=: sshd.service is not one of the portable's own units",
    );
    check_unit(
        "Wants=network-online.target\nAfter=network-online.target",
        "",
    );
    check_unit(
        "DefaultDependencies=no",
        "never hello.service:2: DefaultDependencies=: an image's unit must be ordered and stopped like any other",
    );
}

#[test]
fn names_of_other_units_to_start_or_to_be_are_refused() {
    check_files(
        &[(
            "hello.timer",
            "[Timer]\nOnBootSec=1\nUnit=poweroff.target\n",
        )],
        "never hello.timer:3: Unit=: poweroff.target is not one of the portable's own units",
    );
    check(
        "Sockets=sshd.socket",
        "never hello.service:2: Sockets=: sshd.socket is not one of the portable's own units",
    );
    check_socket(
        "Service=sshd.service",
        "never hello.socket:2: Service=: sshd.service is not one of the portable's own units",
    );
    check_install(
        "Alias=sshd.service",
        "never hello.service:2: Alias=: sshd.service is not one of the portable's own units",
    );
    check_install(
        "Also=sshd.socket",
        "never hello.service:2: Also=: sshd.socket is not one of the portable's own units",
    );
}

#[test]
fn actions_on_the_host_are_refused() {
    for directive in [
        "FailureAction",
        "SuccessAction",
        "StartLimitAction",
        "JobTimeoutAction",
    ] {
        check_unit(
            &format!("{directive}=reboot"),
            &format!("never hello.service:2: {directive}=: an image can't stop or reboot the host"),
        );
    }
}

#[test]
fn shared_ports_foreign_traffic_and_links_are_refused() {
    check_socket(
        "ReusePort=yes",
        "never hello.socket:2: ReusePort=: the port could be shared with another service",
    );
    check_socket(
        "Transparent=yes",
        "never hello.socket:2: Transparent=: traffic for other hosts could be taken",
    );
    check_socket(
        "Symlinks=/run/x",
        "never hello.socket:2: Symlinks=: links outside its own directories would be made as root",
    );
    for word in ["security.capability=x", "trusted.word=x", "user=x"] {
        check_socket(
            &format!("XAttrEntryPoint=user.word=x {word}"),
            "never hello.socket:2: XAttrEntryPoint=: an image may give files attributes of `user.` only",
        );
    }
    check_socket(
        "ExecStartPre=/bin/x",
        "never hello.socket:2: ExecStartPre=: a socket's commands would run outside the sandbox",
    );
}

#[test]
fn other_kinds_and_files_are_refused() {
    for kind in ["mount", "swap", "slice", "automount"] {
        check_files(
            &[(&format!("hello.{kind}"), "[Unit]\n")],
            &format!("never hello.{kind}: an image can't bring a {kind} unit"),
        );
    }
    for file in [
        "hello.conf",
        "10-x.service.d",
        "hello.network",
        "../hello.service",
        "hello.service.d/x.conf",
    ] {
        check_files(
            &[(file, "")],
            &format!(
                "never {file}: this is no unit's name; an image brings units only, and no drop-ins"
            ),
        );
    }
}
