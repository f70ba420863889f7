//! The sandbox: each directive is proven by an attack that works without it, fails with it alone, and fails under the default profile.

use coracle_system_tests::attack::Proof::{After, Controlled, Seen};
use coracle_system_tests::attack::{Attack, attack};
use coracle_system_tests::stage::Stage;
use coracle_system_tests::with_units;
use load::portable::Profile;

/// A root that is not the host's, with the host's programs.
const ROOTED: &[&str] = &[
    "RootDirectory=$ROOM/root",
    "BindReadOnlyPaths=/usr",
    "MountAPIVFS=no",
];
const AS_USER: &[&str] = &["User=daemon"];

/// One line for each directive of the default profile, and for those that make a service's files.
const ATTACKS: &[Attack] = &[
    attack("BindPaths", "cat $ROOM/covered/secret").with("$ROOM/open:$ROOM/covered"),
    attack("BindReadOnlyPaths", "touch $ROOM/open/new").with("$ROOM/open"),
    attack("CapabilityBoundingSet", "chown 1 $ROOM/open"),
    attack("DynamicUser", "cat /etc/shadow"),
    attack("KeyringMode", "call keyctl 10 -3 user coracle-attack 0")
        .on(&["KeyringMode=inherit"])
        .proven(After(
            "call add_key user coracle-attack secret 6 -3; call add_key user coracle-attack secret 6 -5; call keyctl 15 $(call keyctl 10 -3 user coracle-attack 0) 60",
        )),
    attack("LockPersonality", "call personality 262144"),
    attack("MemoryDenyWriteExecute", "call mmap 0 4096 7 34 -1 0"),
    attack("MemoryMax", "perl -e '$x = \"x\" x 200_000_000'")
        .with("64M")
        .proven(Controlled("memory")),
    attack("MountAPIVFS", "test -e /proc/planted").on(ROOTED),
    attack("NoNewPrivileges", "test $($ROOM/set-id -u) = 0").on(AS_USER),
    attack("PrivateDevices", "head -c1 $DISK"),
    attack(
        "PrivateIPC",
        "perl -e 'exit !shmread($ENV{SEGMENT}, $content, 0, 6)'",
    ),
    attack(
        "PrivateMounts",
        "mount -t tmpfs attack $ROOM/empty && { grep $ROOM/empty /proc/$PEER/mountinfo; seen=$?; umount $ROOM/empty; test $seen = 0; }",
    ),
    attack("PrivateNetwork", "bash -c '</dev/tcp/127.0.0.1/$PORT'"),
    attack("PrivatePIDs", "kill -0 $PEER"),
    attack("PrivateTmp", "cat $SECRET_TMP/secret"),
    attack("PrivateUsers", "chown 1:1 $ROOM/open"),
    attack("ProcSubset", "cat /proc/meminfo"),
    // Sets the clock to what it is.
    attack("ProtectClock", "call clock_adjtime 0 =256"),
    attack(
        "ProtectControlGroups",
        "mkdir $GROUP/attack && rmdir $GROUP/attack",
    ),
    attack("ProtectHome", "cat $SECRET_HOME/secret"),
    attack("ProtectHostname", "hostname $(hostname)"),
    attack("ProtectKernelLogs", "call syslog 3 =0 16"),
    // The answer of a kernel that has no such module, or no modules at all, is an answer.
    attack(
        "ProtectKernelModules",
        "asks delete_module coracle-attack 0",
    ),
    attack(
        "ProtectKernelTunables",
        "cat /proc/sys/vm/swappiness > /proc/sys/vm/swappiness",
    ),
    attack("ProtectProc", "ls -d /proc/$PEER").on(AS_USER),
    attack("ProtectSystem", "touch $ROOM/open/new"),
    attack(
        "RemoveIPC",
        "perl -e 'exit !defined shmget($ENV{SEGMENT_KEY}, 16, 01666)'",
    )
    .on(&["User=games"])
    .proven(Seen("grep \"^ *$SEGMENT_KEY \" /proc/sysvipc/shm")),
    attack("RemoveIPC", "perl -e 'exit !defined msgget($ENV{SEGMENT_KEY}, 01666)'")
        .on(&["User=games"])
        .proven(Seen("grep \"^ *$SEGMENT_KEY \" /proc/sysvipc/msg")),
    attack("RemoveIPC", "perl -e 'exit !defined semget($ENV{SEGMENT_KEY}, 1, 01666)'")
        .on(&["User=games"])
        .proven(Seen("grep \"^ *$SEGMENT_KEY \" /proc/sysvipc/sem")),
    attack("RemoveIPC", "touch /dev/shm/$NAME")
        .on(&["User=games"])
        .proven(Seen("ls /dev/shm/$NAME")),
    attack("RestrictAddressFamilies", "call socket 17 3 0"),
    attack("RestrictNamespaces", "unshare --net true"),
    attack("RestrictRealtime", "call sched_setscheduler 0 1 =1"),
    attack(
        "RestrictSUIDSGID",
        "touch $ROOM/open/set && chmod u+s $ROOM/open/set",
    ),
    attack("RootDirectory", "cat $ROOM/secret")
        .with("$ROOM/root")
        .on(&["BindReadOnlyPaths=/usr"]),
    attack("SystemCallArchitectures", "$ROOM/foreign"),
    // Without it a refused call is the end of who makes it.
    attack(
        "SystemCallErrorNumber",
        "mount -t tmpfs attack $ROOM/empty; test $? -gt 128",
    )
    .on(&["SystemCallFilter=@system-service"]),
    attack(
        "SystemCallFilter",
        "mount -t tmpfs attack $ROOM/empty && umount $ROOM/empty",
    ),
    attack("TasksMax", "for i in $(seq 30); do sleep 1 & done; wait")
        .with("20")
        .proven(Controlled("pids")),
    attack(
        "UMask",
        "rm -f $ROOM/open/mine; touch $ROOM/open/mine && find $ROOM/open/mine -perm /077 | grep mine",
    ),
    // Restrictions that the profile has no use for.
    attack("InaccessibleDirectories", "cat $ROOM/covered/secret").with("$ROOM/covered"),
    attack(
        "MountFlags",
        "mount -t tmpfs attack $ROOM/empty && { grep $ROOM/empty /proc/$PEER/mountinfo; seen=$?; umount $ROOM/empty; test $seen = 0; }",
    )
    .with("private"),
    attack("InaccessiblePaths", "cat $ROOM/covered/secret").with("$ROOM/covered"),
    attack("NoExecPaths", "cp /bin/true $ROOM/open/run && $ROOM/open/run").with("$ROOM/open"),
    attack("ReadOnlyDirectories", "touch $ROOM/open/new").with("$ROOM/open"),
    attack("ReadOnlyPaths", "touch $ROOM/open/new").with("$ROOM/open"),
    attack("SecureBits", "chown 1 $ROOM/open").with("noroot noroot-locked"),
    attack("TemporaryFileSystem", "cat $ROOM/covered/secret").with("$ROOM/covered"),
    // Further ways to the same, each of which has its own lock.
    attack("MemoryDenyWriteExecute", "perl -e '$at = syscall($ENV{SYS_mmap} + 0, 0, 4096, 3, 34, -1, 0); exit(syscall($ENV{SYS_mprotect} + 0, $at, 4096, 5) == -1)'"),
    attack("MemoryDenyWriteExecute", "perl -e '$at = syscall($ENV{SYS_mmap} + 0, 0, 4096, 3, 34, -1, 0); exit(syscall($ENV{SYS_pkey_mprotect} + 0, $at, 4096, 5, -1) == -1)'"),
    attack("MemoryDenyWriteExecute", "perl -e 'exit(syscall($ENV{SYS_shmat} + 0, $ENV{SEGMENT} + 0, 0, 0100000) == -1)'"),
    attack("PrivateDevices", "mknod $ROOM/open/disk b 7 0 && rm $ROOM/open/disk"),
    attack("PrivateNetwork", "perl -e 'use Socket; socket(S, AF_UNIX, SOCK_STREAM, 0); exit !connect(S, pack_sockaddr_un(chr(0) . qq($ENV{NAME})))'"),
    attack("PrivateTmp", "cat $SECRET_VAR_TMP/secret"),
    attack("ProtectHostname", "cat /proc/sys/kernel/hostname > /proc/sys/kernel/hostname"),
    attack("ProtectKernelLogs", "perl -e 'exit !(sysopen(F, q(/dev/kmsg), 2048) && sysread(F, $line, 8192))'"),
    attack("ProtectKernelTunables", "head -c1 /proc/kallsyms | grep ."),
    attack("ProtectKernelTunables", "perl -e 'exit !open(F, q(+<), q(/sys/kernel/mm/transparent_hugepage/enabled))'"),
    attack("RestrictAddressFamilies", "call io_uring_setup 1 =0"),
    // flags, three places for numbers, and the signal at its end
    attack("RestrictNamespaces", "call clone3 =1073741824,0,0,0,0,0,0,0,17 64"),
    attack("RestrictNamespaces", "unshare --user true").on(AS_USER),
    attack("RestrictRealtime", "call sched_setattr 0 =48,1,0,0,0,1 0"),
    attack("RestrictSUIDSGID", "rm -f $ROOM/open/set; call openat -100 $ROOM/open/set 65 2541"),
    attack("RestrictSUIDSGID", "rm -f $ROOM/open/set; call openat2 -100 $ROOM/open/set =65,0,2541 24"),
    attack("RestrictSUIDSGID", "rm -f $ROOM/open/set; call mknodat -100 $ROOM/open/set 35309 0"),
    attack("RestrictSUIDSGID", "touch $ROOM/open/set; call fchmodat2 -100 $ROOM/open/set 2541 0"),
    attack("SystemCallFilter", "call ptrace 0 0 0 0"),
];

/// The default profile as text.
fn profile() -> Vec<(String, String)> {
    let profile = Profile::default();
    let name = model::UnitName::new("profile.service").expect("a unit's name");
    let mut unit = model::Unit::new(name);
    for (directive, value) in profile.values() {
        unit.set_raw(directive, value.clone());
    }
    let line = |directive: model::Directive| {
        (
            directive.name().to_owned(),
            settings::print(&unit, directive).join(" "),
        )
    };
    profile
        .values()
        .map(|(directive, _)| line(directive))
        .collect()
}

#[test]
fn every_directive_stops_its_attack_alone_and_so_does_the_default_profile() {
    with_units(&[], |coracle| {
        let stage = Stage::new(coracle);
        let profile = profile();
        let findings: Vec<String> = ATTACKS
            .iter()
            .flat_map(|attack| attack.check(coracle, &stage, &profile))
            .collect();
        assert!(findings.is_empty(), "{}", findings.join("\n"));
    });
}

/// Restrictions that no line here attacks: `ExecPaths=` opens what `NoExecPaths=` closes, and `RootImage=` needs an image, which the
/// tests of portables have.
const ELSEWHERE: &[&str] = &["ExecPaths", "RootImage"];

#[test]
fn every_directive_of_the_default_profile_and_every_restriction_has_an_attack() {
    let restrictions = model::Directive::all()
        .map(settings::row)
        .filter(|row| row.is_sandboxing() && row.works())
        .map(|row| row.name.to_owned())
        .filter(|name| !ELSEWHERE.contains(&name.as_str()));
    let missing: Vec<String> = profile()
        .into_iter()
        .map(|(name, _)| name)
        .chain(restrictions)
        .filter(|name| ATTACKS.iter().all(|attack| attack.directive != name))
        .collect();
    assert!(missing.is_empty(), "no attack proves {missing:?}");
}
