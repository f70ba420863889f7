//! From the text of a unit to a running process: each sandboxing directive is proven by an attack that works without it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // What tests share fails as tests do.

mod harness;
mod service;

use harness::text;
use kernel::wait::Ending;
use service::Service;

/// The attack succeeds without the directives and fails with them.
#[track_caller]
fn check(directives: &str, attack: &str) {
    let without = Service::new("").run(attack);
    assert_eq!(
        without.ending,
        Ending::Exited(0),
        "the attack must work without a sandbox: {}",
        without.output
    );
    let with = Service::new(directives).run(attack);
    assert!(
        !matches!(with.ending, Ending::Exited(0)),
        "{directives} does not stop {attack:?}: {}",
        with.output
    );
    assert!(
        with.reports
            .iter()
            .all(|report| *report == plan::report::Report::Payload),
        "{directives}: {with:?}"
    );
}

/// The output with the directives.
#[track_caller]
fn see(directives: &str, command: &str, expected: &str) {
    let outcome = Service::new(directives).run(command);
    assert_eq!(
        outcome.output.trim_end(),
        expected,
        "{directives}: {outcome:?}"
    );
}

/// The test's own namespace, which is the host's.
fn namespace(kind: &str) -> String {
    std::fs::read_link(format!("/proc/self/ns/{kind}"))
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned()
}

#[test]
fn protect_system_closes_what_it_says() {
    let folder = tempfile::tempdir_in("/usr/local").unwrap();
    let usr = format!("touch {}/x", folder.path().display());
    check("ProtectSystem=yes", &usr);
    check(
        "ProtectSystem=full",
        "touch /etc/coracle-test && rm -f /etc/coracle-test",
    );
    check(
        "ProtectSystem=strict",
        "touch /var/coracle-test && rm -f /var/coracle-test",
    );
    see(
        "ProtectSystem=strict\nReadWritePaths=/var/tmp",
        "touch /var/tmp/coracle-test && rm /var/tmp/coracle-test && echo open",
        "open",
    );
}

#[test]
fn protect_home_closes_hides_or_empties() {
    let folder = tempfile::tempdir_in("/root").unwrap();
    let path = folder.path().display();
    check("ProtectHome=yes", &format!("ls {path}"));
    check("ProtectHome=read-only", &format!("touch {path}/x"));
    check("ProtectHome=tmpfs", &format!("ls {path}"));
    see(
        "ProtectHome=tmpfs",
        "ls -A /root /home; touch /root/x 2>/dev/null || echo closed",
        "/home:\n\n/root:\nclosed",
    );
}

#[test]
fn private_tmp_shows_nothing_of_the_hosts() {
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    let attack = format!("ls {}", folder.path().display());
    check("PrivateTmp=yes", &attack);
    check("PrivateTmp=disconnected", &attack);
}

#[test]
fn private_devices_has_no_disk_and_no_way_to_make_one() {
    check("PrivateDevices=yes", "ls /dev/vda");
    check(
        "PrivateDevices=yes",
        "mknod /run/coracle-disk c 1 3 && rm /run/coracle-disk",
    );
}

#[test]
fn private_users_gives_no_power_over_others() {
    let folder = tempfile::tempdir().unwrap();
    let attack = format!("chown 1:1 {}", folder.path().display());
    check("PrivateUsers=yes", &attack);
    see(
        "PrivateUsers=identity",
        "cat /proc/self/uid_map | tr -s ' '",
        " 0 0 65536",
    );
    see(
        "PrivateUsers=self\nUser=daemon",
        "cat /proc/self/uid_map | tr -s ' '; id -u",
        " 0 0 1\n 61234 61234 1\n61234",
    );
}

#[test]
fn what_is_delegated_is_no_way_to_control_groups_that_can_be_written_to() {
    let anew = "mount -t cgroup2 none /mnt 2>/dev/null && test -w /mnt/cgroup.procs && echo open";
    let attack = format!("({anew}) || unshare -C sh -c '{anew}' 2>/dev/null || echo closed");
    for (mode, expected) in [("strict", "closed"), ("yes", "closed"), ("no", "open")] {
        for kinds in ["cgroup mnt", "mnt"] {
            let lines = format!(
                "ProtectControlGroups={mode}\nDelegateNamespaces={kinds}\nPrivateMounts=yes"
            );
            see(&lines, &attack, expected);
        }
    }
}

#[test]
fn private_pids_makes_the_service_the_first_process_and_hides_the_rest() {
    let host = std::process::id();
    check("PrivatePIDs=yes", &format!("kill -0 {host}"));
    see("PrivatePIDs=yes", "echo $$; cd /proc; echo [0-9]*", "1\n1");
    let stub = Service::new("PrivatePIDs=yes")
        .with_stub()
        .run("echo $$ $PPID");
    assert_eq!(
        (stub.output.as_str(), stub.reports),
        ("2 1\n", vec![plan::report::Report::Payload])
    );
}

#[test]
fn private_ipc_network_and_host_name_are_out_of_reach() {
    for (directive, kind) in [
        ("PrivateIPC=yes", "ipc"),
        ("PrivateNetwork=yes", "net"),
        ("ProtectHostname=yes", "uts"),
        ("PrivateMounts=yes", "mnt"),
    ] {
        check(
            directive,
            &format!(
                "test $(readlink /proc/self/ns/{kind}) = '{}'",
                namespace(kind)
            ),
        );
    }
    see(
        "PrivateNetwork=yes",
        "ls /sys/class/net; cat /sys/class/net/lo/flags",
        "lo\n0x9",
    );
    check("ProtectHostname=yes", "hostname $(hostname)");
    see(
        "ProtectHostname=private:boat",
        "hostname; hostname raft; hostname",
        "boat\nraft",
    );
}

#[test]
fn the_kernels_own_files_are_closed() {
    check(
        "ProtectKernelTunables=yes",
        "cat /proc/sys/vm/swappiness > /proc/sys/vm/swappiness",
    );
    check(
        "ProtectKernelTunables=yes",
        "head -c1 /proc/kallsyms | grep -q .",
    );
    check(
        "ProtectKernelLogs=yes",
        "test -r /dev/kmsg && dmesg -n 7 >/dev/null",
    );
    check(
        "ProtectKernelModules=yes",
        // CAP_SYS_MODULE is bit 16.
        "test $((0x$(sed -n 's/^CapPrm:.//p' /proc/self/status) >> 16 & 1)) = 1",
    );
    check(
        "ProtectControlGroups=yes",
        "mkdir /sys/fs/cgroup/unified/coracle-test && rmdir /sys/fs/cgroup/unified/coracle-test",
    );
    check("ProtectClock=yes", "date -s \"$(date)\" >/dev/null");
}

#[test]
fn proc_shows_only_what_it_should() {
    check("ProtectProc=invisible\nUser=daemon", "ls -d /proc/1");
    check("ProcSubset=pid", "cat /proc/meminfo");
}

#[test]
fn system_calls_are_filtered() {
    check("SystemCallFilter=~@mount", "unshare -m true");
    check(
        "SystemCallFilter=@system-service\nSystemCallErrorNumber=EPERM",
        "mount -t tmpfs tmpfs /mnt && umount /mnt",
    );
    see(
        "SystemCallFilter=@system-service\nSystemCallErrorNumber=EPERM",
        "echo works; ls -d /etc",
        "works\n/etc",
    );
    let killed =
        Service::new("SystemCallFilter=~mount umount2").run("mount -t tmpfs tmpfs /mnt; echo $?");
    assert_eq!(killed.output.trim_end().lines().last(), Some("159"));
    check("RestrictNamespaces=yes", "unshare -n true");
    see(
        "RestrictNamespaces=net",
        "unshare -n echo net; unshare -u echo uts 2>/dev/null || echo no uts",
        "net\nno uts",
    );
    check("RestrictRealtime=yes", "chrt -f 1 true");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    check(
        "RestrictSUIDSGID=yes",
        &format!("chmod u+s {}", file.display()),
    );
    check("LockPersonality=yes", "setarch --addr-no-randomize true");
    check(
        "RestrictAddressFamilies=AF_UNIX",
        "perl -e 'use Socket; exit !socket(S, AF_INET, SOCK_STREAM, 0)'",
    );
    check(
        "RestrictAddressFamilies=none",
        "perl -e 'use Socket; exit !socket(S, AF_UNIX, SOCK_STREAM, 0)'",
    );
    // Attacks by system calls are made on the shipped files, in tests/system.
}

#[test]
fn privileges_and_capabilities_are_bounded() {
    check(
        "CapabilityBoundingSet=~CAP_CHOWN",
        "f=$(mktemp); chown 1 $f; s=$?; rm -f $f; exit $s",
    );
    see(
        "NoNewPrivileges=yes",
        "grep NoNewPrivs /proc/self/status | cut -f2",
        "1",
    );
    see(
        "User=daemon\nAmbientCapabilities=CAP_NET_BIND_SERVICE",
        "grep CapEff /proc/self/status | cut -f2",
        "0000000000000400",
    );
    // A filter without NoNewPrivileges= is installed with rights that do not outlive exec.
    see(
        "User=daemon\nSystemCallFilter=~@mount",
        "grep -E 'CapPrm|NoNewPrivs' /proc/self/status | cut -f2",
        "0000000000000000\n0",
    );
}

#[test]
fn paths_are_named_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display().to_string();
    std::fs::write(folder.path().join("file"), "content").unwrap();
    check(&format!("ReadOnlyPaths={path}"), &format!("touch {path}/x"));
    check(
        &format!("InaccessiblePaths={path}"),
        &format!("cat {path}/file"),
    );
    check(
        &format!("TemporaryFileSystem={path}:ro"),
        &format!("cat {path}/file"),
    );
    check(
        &format!("NoExecPaths={path}"),
        &format!("cp /bin/true {path}/t && {path}/t"),
    );
    see(
        &format!("TemporaryFileSystem={path}:ro\nBindReadOnlyPaths=/etc/hostname:{path}/name"),
        &format!("ls {path}; touch {path}/x 2>/dev/null || echo closed"),
        "name\nclosed",
    );
    let missing = Service::new("ReadOnlyPaths=/nonexistent").run("true");
    missing.failed_at("Mount", kernel::Errno::NOENT);
    see("ReadOnlyPaths=-/nonexistent", "echo started", "started");
}

#[test]
fn directories_follow_the_dynamic_user() {
    let name = format!("coracle-test-{}", std::process::id());
    let unit = format!("DynamicUser=yes\nStateDirectory={name}\nRuntimeDirectory={name}");
    let command = format!(
        "echo $STATE_DIRECTORY $RUNTIME_DIRECTORY; touch $STATE_DIRECTORY/x && stat -c '%u %a' /var/lib/{name}/ /run/{name}/ && ls -A /var/lib/private; touch /var/x 2>/dev/null || echo closed"
    );
    see(
        &unit,
        &command,
        &format!("/var/lib/{name} /run/{name}\n61234 755\n61234 755\n{name}\nclosed"),
    );
    for base in ["/run", "/var/lib"] {
        std::fs::remove_file(format!("{base}/{name}")).unwrap();
        std::fs::remove_dir_all(format!("{base}/private/{name}")).unwrap();
    }
}

#[test]
fn a_directory_and_one_in_it_are_both_the_dynamic_users_in_any_order() {
    let name = format!("coracle-nested-{}", std::process::id());
    for order in [format!("{name} {name}/a/b"), format!("{name}/a/b {name}")] {
        see(
            &format!("DynamicUser=yes\nStateDirectory={order}"),
            &format!(
                "echo $STATE_DIRECTORY; touch /var/lib/{name}/x /var/lib/{name}/a/b/x && readlink /var/lib/{name}"
            ),
            &format!("/var/lib/{name}:/var/lib/{name}/a/b\nprivate/{name}"),
        );
    }
    std::fs::remove_file(format!("/var/lib/{name}")).unwrap();
    std::fs::remove_dir_all(format!("/var/lib/private/{name}")).unwrap();
}

#[test]
fn credentials_are_where_the_environment_says() {
    let outcome = Service::new("SetCredential=password:hunter2\nUser=daemon")
        .run("cd $CREDENTIALS_DIRECTORY && ls && cat password");
    assert_eq!(outcome.output, "password\nhunter2", "{outcome:?}");
    std::fs::remove_dir("/run/credentials/test.service").unwrap();
}

#[test]
fn the_working_directory_and_prefixes_hold() {
    see("WorkingDirectory=/usr", "pwd", "/usr");
    see("WorkingDirectory=-/nonexistent", "pwd", "/");
    let full = Service::new("User=daemon\nPrivateNetwork=yes\nCapabilityBoundingSet=")
        .prefixed(model::value::Privileges::Full);
    assert_eq!(
        full.run("id -u; readlink /proc/self/ns/net").output,
        format!("0\n{}\n", namespace("net"))
    );
    let keep = Service::new("User=daemon\nCapabilityBoundingSet=")
        .prefixed(model::value::Privileges::KeepIdentity);
    assert_eq!(
        keep.run("id -u; grep CapEff /proc/self/status | cut -f2")
            .output,
        "0\n0000000000000000\n"
    );
}

#[test]
fn a_root_directory_is_all_there_is() {
    let folder = tempfile::tempdir().unwrap();
    for name in [
        "bin", "lib", "lib64", "usr", "dev", "proc", "sys", "run", "tmp", "var", "var/tmp",
        "var/lib", "srv",
    ] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    let root = folder.path().display();
    let unit = format!(
        "RootDirectory={root}\nBindReadOnlyPaths=/usr /usr/bin:/bin /usr/lib:/lib /usr/lib64:/lib64\nPrivateTmp=yes\nPrivateDevices=yes\nProtectSystem=strict\nReadWritePaths=/srv"
    );
    see(
        &unit,
        "echo $(ls /); ls /etc 2>/dev/null || echo no etc; touch /x 2>/dev/null || echo closed; touch /srv/x && echo open; ls /proc/self/status",
        "bin dev lib lib64 proc run srv sys tmp usr var\nno etc\nclosed\nopen\n/proc/self/status",
    );
}

#[test]
fn the_default_profile_runs_an_ordinary_program() {
    let outcome = Service::new(service::PROFILE).with_stub().run("id -u; ls -A /tmp; echo $PPID; ls -d /proc/1 2>/dev/null; touch /x /etc/x /usr/x /var/x 2>/dev/null || echo closed; ls /dev/null");
    assert_eq!(
        outcome.output, "61234\n1\nclosed\n/dev/null\n",
        "{outcome:?}"
    );
    assert_eq!(outcome.ending, Ending::Exited(0));
}

#[test]
fn sockets_are_made_in_their_own_place_and_handed_back() {
    let folder = tempfile::tempdir().unwrap();
    let (path, link) = (
        folder.path().join("deep/socket"),
        folder.path().join("link"),
    );
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let unit = format!(
        "ListenStream=127.0.0.1:{port}\nListenStream={}\nListenDatagram=@coracle-test-{}\nListenSequentialPacket={}\nListenStream=[::1]:{port}\nListenFIFO={}\nSocketMode=0600\nSymlinks={}",
        path.display(),
        std::process::id(),
        folder.path().join("packets").display(),
        folder.path().join("pipe").display(),
        link.display(),
    );
    let outcome = service::sockets(&unit);
    let indexes: Vec<_> = outcome
        .reports
        .iter()
        .map(|report| match report {
            plan::report::Report::Socket { index } => *index,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(indexes, [0, 1, 2, 3, 4, 5]);
    assert_eq!(
        (outcome.descriptors.len(), outcome.ending),
        (6, Ending::Exited(0))
    );
    use std::os::unix::fs::MetadataExt;
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
    std::os::unix::net::UnixStream::connect(&path).unwrap();
    assert_eq!(
        std::fs::read_link(&link).unwrap(),
        folder.path().join("pipe")
    );
    let again = service::sockets(&format!("ListenStream={}", path.display()));
    assert_eq!(
        (again.descriptors.len(), again.ending),
        (1, Ending::Exited(0)),
        "a socket left behind is replaced: {again:?}"
    );
    let file = text(folder.path().join("file").to_str().unwrap());
    std::fs::write(folder.path().join("file"), "precious").unwrap();
    service::sockets(&format!("ListenStream={}", file.to_str().unwrap()))
        .failed_at("Listen", kernel::Errno::ADDRINUSE);
}
