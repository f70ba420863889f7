//! What an image must ask for, each tried by a real image: refused without the grant, in plain words, and started with exactly it.

use std::fs;

use coracle_system_tests::images::{By, Workshop};
use coracle_system_tests::refusal::refused;
use coracle_system_tests::with_units;
use testkit::Instance;

/// A line of DESIGN's list: the section, the line, the grant that answers it, and the words that ask for it.
const ASKS: &[(&str, &str, &str, &str)] = &[
    (
        "Socket",
        "ListenStream=8080",
        "listen:8080",
        "listen on 8080",
    ),
    (
        "Socket",
        "ListenStream=127.0.0.1:80",
        "listen:127.0.0.1:80",
        "listen on 127.0.0.1:80",
    ),
    (
        "Socket",
        "ListenDatagram=53",
        "listen:53/udp",
        "listen on 53/udp",
    ),
    (
        "Socket",
        "ListenStream=@boat",
        "listen:@boat",
        "listen on @boat",
    ),
    (
        "Socket",
        "ListenStream=/run/x",
        "listen:/run/x",
        "listen on /run/x",
    ),
    (
        "Socket",
        "ListenStream=/var/lib/boat/x",
        "listen:/var/lib/boat/x",
        "listen on /var/lib/boat/x",
    ),
    (
        "Socket",
        "ListenFIFO=/run/pipe",
        "listen:/run/pipe",
        "listen on /run/pipe",
    ),
    (
        "Socket",
        "SocketUser=daemon",
        "user:daemon",
        "run as the host's user daemon",
    ),
    ("Service", "PrivateNetwork=no", "network", "use the network"),
    (
        "Service",
        "PrivateDevices=no",
        "devices",
        "use the host's devices",
    ),
    (
        "Service",
        "DeviceAllow=/dev/kvm rw",
        "device:/dev/kvm",
        "use the device /dev/kvm",
    ),
    (
        "Service",
        "BindPaths=/srv/a,b",
        "path:/srv/a\\,b",
        "write to the host's /srv/a,b",
    ),
    (
        "Service",
        "BindReadOnlyPaths=/etc",
        "path-read-only:/etc",
        "read the host's /etc",
    ),
    (
        "Service",
        "ReadWritePaths=/srv",
        "path:/srv",
        "write to the host's /srv",
    ),
    (
        "Service",
        // Nothing that the host needs: what is granted here is really taken over.
        "StateDirectory=coracle-test-foreign",
        "path:/var/lib/coracle-test-foreign",
        "own the host's /var/lib/coracle-test-foreign",
    ),
    (
        "Service",
        "CapabilityBoundingSet=CAP_CHOWN",
        "capability:CAP_CHOWN",
        "hold the capability CAP_CHOWN",
    ),
    (
        "Service",
        "CapabilityBoundingSet=~CAP_CHOWN",
        "capability",
        "hold the capability CAP_SYS_ADMIN",
    ),
    (
        "Service",
        "AmbientCapabilities=CAP_KILL",
        "capability:CAP_KILL",
        "hold the capability CAP_KILL",
    ),
    (
        "Service",
        "User=daemon",
        "user:daemon",
        "run as the host's user daemon",
    ),
    (
        "Service",
        "DynamicUser=no",
        "fixed-user",
        "run as a user that stays",
    ),
    (
        "Service",
        "SupplementaryGroups=adm",
        "group:adm",
        "run as the host's group adm",
    ),
    (
        "Service",
        "PrivateUsers=no",
        "users",
        "see the host's users",
    ),
    (
        "Service",
        "PrivatePIDs=no",
        "processes",
        "see the host's processes",
    ),
    (
        "Service",
        "PrivateIPC=no",
        "ipc",
        "share the host's IPC objects",
    ),
    ("Service", "PrivateTmp=no", "tmp", "share the host's /tmp"),
    (
        "Service",
        "PrivateMounts=no",
        "mounts",
        "mount file systems on the host",
    ),
    (
        "Service",
        "ProtectHome=no",
        "home",
        "see the host's home directories",
    ),
    (
        "Service",
        "ProtectSystem=no",
        "system-files",
        "write to the host's system directories",
    ),
    (
        "Service",
        "ProtectProc=default",
        "processes",
        "see the host's processes",
    ),
    (
        "Service",
        "ProcSubset=all",
        "proc-files",
        "read all of /proc",
    ),
    (
        "Service",
        "ProtectKernelTunables=no",
        "kernel-tunables",
        "change the kernel's settings",
    ),
    (
        "Service",
        "ProtectKernelModules=no",
        "kernel-modules",
        "load kernel modules",
    ),
    (
        "Service",
        "ProtectKernelLogs=no",
        "kernel-logs",
        "read the kernel's log",
    ),
    (
        "Service",
        "ProtectControlGroups=no",
        "control-groups",
        "change control groups",
    ),
    ("Service", "ProtectClock=no", "clock", "set the clock"),
    (
        "Service",
        "ProtectHostname=no",
        "hostname",
        "change the host's name",
    ),
    (
        "Service",
        "RestrictNamespaces=no",
        "namespaces",
        "make namespaces of every kind",
    ),
    (
        "Service",
        "RestrictNamespaces=user",
        "namespaces:user",
        "make namespaces: user",
    ),
    (
        "Service",
        "RestrictAddressFamilies=AF_PACKET",
        "address-family:AF_PACKET",
        "use AF_PACKET sockets",
    ),
    (
        "Service",
        "RestrictRealtime=no",
        "realtime",
        "use realtime scheduling",
    ),
    (
        "Service",
        "RestrictSUIDSGID=no",
        "suid",
        "make set-user-id files",
    ),
    (
        "Service",
        "LockPersonality=no",
        "personality",
        "change its personality",
    ),
    (
        "Service",
        "MemoryDenyWriteExecute=no",
        "jit",
        "make executable memory",
    ),
    (
        "Service",
        "NoNewPrivileges=no",
        "new-privileges",
        "gain privileges",
    ),
    (
        "Service",
        "KeyringMode=shared",
        "keyring",
        "share the host's keyring",
    ),
    ("Service", "RemoveIPC=no", "ipc", "leave IPC objects behind"),
    (
        "Service",
        "SystemCallFilter=@system-service @mount",
        "system-call:@mount",
        "make the system calls @mount",
    ),
    (
        "Service",
        "SystemCallArchitectures=native x86",
        "architecture:x86",
        "run x86 programs",
    ),
    (
        "Service",
        "TasksMax=5000",
        "resources:TasksMax=5000",
        "use more of the machine: TasksMax=5000",
    ),
    (
        "Service",
        "MemoryMax=infinity",
        "resources:MemoryMax=infinity",
        "use more of the machine: MemoryMax=infinity",
    ),
    (
        "Service",
        "LimitNOFILE=1000000",
        "resources:LimitNOFILE=1000000",
        "use more of the machine",
    ),
    (
        "Service",
        "OOMScoreAdjust=-500",
        "resources:priority=-500",
        "use more of the machine",
    ),
    (
        "Service",
        "LimitRTPRIO=50",
        "setting:LimitRTPRIO=50",
        "set LimitRTPRIO=50",
    ),
    (
        "Service",
        "StandardOutput=kmsg",
        "kernel-logs",
        "write to the kernel's log",
    ),
    (
        "Service",
        "LoadCredential=key",
        "credential:key",
        "be given the host's credential key",
    ),
    (
        "Service",
        "KillMode=none",
        "survive-stop",
        "leave processes behind when it is stopped",
    ),
    (
        "Service",
        "BusName=org.example.Boat",
        "bus-name:org.example.Boat",
        "own the D-Bus name org.example.Boat",
    ),
    (
        "Path",
        "PathExists=/srv/x",
        "watch:/srv/x",
        "watch the host's /srv/x",
    ),
];

/// Units of which one says the line.
fn units(section: &str, line: &str) -> Vec<(String, String)> {
    let service = "[Service]\nExecStart=/bin/x\n";
    let mut units = vec![("boat.service".to_owned(), service.to_owned())];
    match section {
        "Socket" => units.push((
            "boat.socket".to_owned(),
            format!("[Socket]\nListenStream=/run/boat/socket\n{line}\n"),
        )),
        "Path" => units.push(("boat.path".to_owned(), format!("[Path]\n{line}\n"))),
        _ => units[0].1 += &format!("[{section}]\n{line}\n"),
    }
    units
}

fn build(workshop: &Workshop, by: By, version: &str, units: &[(String, String)]) -> String {
    let units: Vec<(&str, &str)> = units
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    workshop.tree(
        &format!("ID=boat\nVERSION_ID={version}\n"),
        by,
        &units,
        |_| {},
    )
}

/// The grants on record.
fn recorded(coracle: &Instance) -> String {
    let record = coracle.folder().join("state/portables/boat/portable.json");
    let text = fs::read_to_string(record).expect("the portable's record");
    let record: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    record["grants"].to_string()
}

#[test]
fn every_request_is_refused_without_its_grant_and_attached_with_exactly_it() {
    with_units(&[], |coracle| {
        let workshop = Workshop::new(coracle);
        for (section, line, grant, words) in ASKS {
            println!("{line}");
            let image = build(&workshop, By::Trusted, "1", &units(section, line));
            refused(
                coracle,
                &["--attach-only", &image, "--grant=boots"],
                &[
                    "boat asks for more than was granted",
                    words,
                    &format!("'{}", grant.split(':').next().unwrap_or_default()),
                ],
            );
            let given = format!("--grant={grant}");
            coracle.ok(&["start", "--attach-only", &image, &given]);
            assert!(
                recorded(coracle).contains(&grant.replace('\\', "")),
                "{}",
                recorded(coracle)
            );
            let status = coracle.coracle(&["status", "boat.service"]).stdout;
            assert!(status.contains(&grant.replace('\\', "")), "{status}");
            coracle.ok(&["purge", "--forget", "boat"]);
        }
    });
}

#[test]
fn a_grant_holds_for_its_value_its_signer_and_no_more() {
    with_units(&[], |coracle| {
        let workshop = Workshop::new(coracle);
        let image = |by, version, lines| {
            let image = build(&workshop, by, version, &units("Socket", lines));
            // The next one is built in the same place.
            let kept = coracle.folder().join(format!("boat-{version}-{by:?}.psi"));
            fs::copy(image, &kept).expect("a copy");
            kept.display().to_string()
        };
        let first = image(By::Trusted, "1", "ListenStream=81");
        coracle.ok(&["start", "--attach-only", &first, "--grant=listen:81"]);
        assert!(recorded(coracle).contains("listen:81"));
        // The same again asks for nothing, and neither does a version that asks for no more.
        coracle.ok(&["start", "--attach-only", &first]);
        coracle.ok(&[
            "start",
            "--attach-only",
            &image(By::Trusted, "2", "ListenStream=81"),
        ]);
        let more = image(By::Trusted, "3", "ListenStream=81\nListenStream=82");
        refused(
            coracle,
            &["--attach-only", &more],
            &["listen on 82", "--grant='listen:82'"],
        );
        coracle.ok(&["start", "--attach-only", &more, "--grant=listen:82"]);
        let both = recorded(coracle);
        assert!(
            both.contains("listen:81") && both.contains("listen:82"),
            "{both}"
        );
        // What is not asked for any more is not granted any more.
        coracle.ok(&[
            "start",
            "--attach-only",
            &image(By::Trusted, "4", "ListenStream=82"),
        ]);
        assert!(!recorded(coracle).contains("listen:81"));
        // Another signer, whom the administrator trusts and accepts, asks again.
        let certificate = coracle.folder().join("workshop/unknown/signing.crt");
        coracle.ok(&["trust", "add", &certificate.display().to_string()]);
        let other = image(By::Unknown, "5", "ListenStream=82");
        let said = coracle.coracle(&["start", "--attach-only", &other]).stderr;
        let accept = said
            .split_whitespace()
            .find(|word| word.starts_with("--accept-signer="));
        let accept = accept
            .expect("the flag that accepts the signer")
            .trim_matches(['`', '\'', ';', ',']);
        refused(
            coracle,
            &["--attach-only", &other, accept],
            &["listen on 82"],
        );
    });
}

#[test]
fn what_was_granted_to_an_image_that_nobody_signed_is_not_granted_to_another() {
    with_units(&[], |coracle| {
        let workshop = Workshop::new(coracle);
        let image = build(
            &workshop,
            By::Nobody,
            "1",
            &units("Service", "PrivateNetwork=no"),
        );
        coracle.ok(&[
            "start",
            "--attach-only",
            "--insecure",
            &image,
            "--grant=network",
        ]);
        coracle.ok(&["start", "--attach-only", "--insecure", &image]);
        let text = "PrivateNetwork=no\nDescription=from somebody else";
        let other = build(&workshop, By::Nobody, "1", &units("Service", text));
        refused(
            coracle,
            &["--attach-only", "--insecure", &other],
            &["use the network"],
        );
    });
}

#[test]
fn a_grants_file_and_the_far_end_of_the_range_answer_too() {
    with_units(&[], |coracle| {
        let workshop = Workshop::new(coracle);
        let lines = "PrivateNetwork=no\nCapabilityBoundingSet=CAP_CHOWN\nBindPaths=/srv/x";
        let image = build(&workshop, By::Trusted, "1", &units("Service", lines));
        let file = coracle.folder().join("grants");
        fs::write(
            &file,
            "# of the administrator\nnetwork\ncapability:CAP_CHOWN\n",
        )
        .expect("a file");
        let file = format!("--grants={}", file.display());
        refused(
            coracle,
            &["--attach-only", &image, &file],
            &["--grant='path:/srv/x'"],
        );
        coracle.ok(&["start", "--attach-only", &image, &file, "--grant=path:/srv"]);
        coracle.ok(&["purge", "--forget", "boat"]);
        coracle.ok(&["start", "--attach-only", &image, "--grant=superprivileged"]);
        assert!(recorded(coracle).contains("superprivileged"));
    });
}
