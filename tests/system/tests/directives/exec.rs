//! What makes a process: its identity, its surroundings, its limits.

use coracle_system_tests::observations::{Files, Need, Observation, inside, units};

/// A service that prints, with its output in the log.
const PRINTS: Files = &[(
    "$U.service",
    "[Service]\nType=oneshot\nLINE\nExecStart=/bin/sh -c 'echo \"<4>word\"; echo the-end'\n",
)];
/// Lines that are counted.
const COUNTS: Files = &[(
    "$U.service",
    "[Service]\nType=oneshot\nLINE\nExecStart=/bin/seq 1 9\n",
)];

/// A service that passes a credential on.
const PRINTS_WORD: Files = &[(
    "$U.service",
    "[Service]\nType=oneshot\nLINE\nExecStart=/bin/sh -c 'cat $CREDENTIALS_DIRECTORY/word > $ROOM/$U-word'\n",
)];

/// A service with a terminal that says something about it.
const HAS_TERMINAL: Files = &[(
    "$U.service",
    "[Service]\nType=oneshot\nStandardInput=tty-force\nStandardOutput=tty\nLINE\nExecStart=/bin/sh -c '{ tty; stty size; stty -a | grep -ow -e -echo -e echo; } > $ROOM/$U; echo end-of-$U'\n",
)];
const ON_TERMINAL: &[&str] = &["TTYPath=$TTY"];
/// What it said of its terminal, which has a small size and no echo before.
macro_rules! on_terminal {
    ($what:literal) => {
        concat!(
            "stty rows 7 cols 7 -echo < $TTY; coracle start $U 2> /dev/null; ",
            $what
        )
    };
}
/// Whether a reader of the terminal is hung up: it ends by itself then.
const HUNG_UP: &str = "exec 3< $TTY; timeout 5 cat <&3 > /dev/null 2>&1 & coracle start $U; wait $!; test $? = 124 || echo hung-up";
/// Whether what came before the service's own words takes the rest away.
const CLEARED: &str = "echo > $TTY; coracle start $U; timeout 9 sh -c 'until grep -q end-of-$U $ROOM/terminal; do :; done'; grep -c '.\\[3J.*end-of-$U' $ROOM/terminal";

/// What the log has of a service, once its last line is there.
macro_rules! logged {
    ($last:literal, $what:literal) => {
        concat!(
            "coracle start $U; until coracle logs -u $U --json 2> /dev/null | grep -q '",
            $last,
            "'; do :; done; coracle logs -u $U --json | grep ",
            $what
        )
    };
    ($what:literal) => {
        logged!("the-end", $what)
    };
}

/// In the user namespace of a file.
const JOINS_USERS: Files = &[(
    "$U.service",
    "[Service]\nType=oneshot\nLINE\nExecStart=/bin/sh -c 'readlink /proc/self/ns/user > $ROOM/$U'\n",
)];
/// Whether it is there.
const IN_USERS: &str = "unshare --user --map-root-user sleep infinity & ln -s /proc/$!/ns/user $ROOM/$U-users; until grep -q sleep /proc/$!/comm; do :; done; coracle start $U; grep -q $(stat -Lc %i $ROOM/$U-users) $ROOM/$U && echo same; kill $!";

const AS_GAMES: &[&str] = &["User=games"];

pub(crate) const OBSERVATIONS: &[Observation] = &[
    // Who it is.
    inside("User=games", "id -un", "games"),
    inside("Group=games", "id -gn", "games"),
    inside("SupplementaryGroups=games", "id -Gn", "root games"),
    inside(
        "AmbientCapabilities=CAP_CHOWN",
        "awk '/CapAmb/{print $2}' /proc/self/status",
        "0000000000000001",
    )
    .on(AS_GAMES),
    inside("SetLoginEnvironment=no", "echo ${LOGNAME-nobody}", "nobody").on(AS_GAMES),
    // What surrounds it.
    inside("WorkingDirectory=/usr", "pwd", "/usr"),
    inside("Environment=WORD=a", "echo $WORD", "a"),
    inside(
        "EnvironmentFile=/etc/os-release",
        "echo ${PRETTY_NAME:+named}",
        "named",
    ),
    inside("UnsetEnvironment=WORD", "echo ${WORD-gone}", "gone").on(&["Environment=WORD=a"]),
    inside("ExecSearchPath=$ROOM", "echo $PATH", "$ROOM"),
    inside(
        "ExecPaths=$ROOM/attacker",
        "$ROOM/attacker be-there",
        "reached",
    )
    .on(&["NoExecPaths=$ROOM"]),
    inside(
        "ReadWritePaths=$ROOM/open",
        "$ROOM/attacker create $ROOM/open/new",
        "reached",
    )
    .on(&["ReadOnlyPaths=$ROOM"]),
    inside(
        "ReadWriteDirectories=$ROOM/open",
        "$ROOM/attacker create $ROOM/open/new",
        "reached",
    )
    .on(&["ReadOnlyPaths=$ROOM"]),
    inside(
        "NetworkNamespacePath=/proc/$PEER/ns/net",
        "test $(readlink /proc/self/ns/net) = $(readlink /proc/$PEER/ns/net) && echo same",
        "same",
    )
    .on(&["PrivateNetwork=yes"]),
    units(
        "UserNamespacePath=$ROOM/$U-users",
        JOINS_USERS,
        IN_USERS,
        "same",
    ),
    inside(
        "DelegateNamespaces=net",
        "ip link set lo down 2> /dev/null && ls /sys/class/net",
        "lo",
    )
    .on(&["PrivateNetwork=yes", "PrivateUsers=yes"]),
    // What the sandbox has mounted stays.
    inside(
        "DelegateNamespaces=mnt",
        "mount -t tmpfs own /mnt && for act in 'touch /etc/x' 'mount -o remount,bind,rw /' 'umount /srv' 'touch /mnt/x'; do $act 2> /dev/null && echo $act; done",
        "touch /mnt/x",
    )
    .on(&["ProtectSystem=strict", "TemporaryFileSystem=/srv"]),
    inside(
        "DelegateNamespaces=uts ipc cgroup",
        "hostname boat && hostname; awk '{print $1, $3}' /proc/self/uid_map",
        "boat\n0 1",
    )
    .on(&["ProtectHostname=private:raft", "PrivateIPC=yes"]),
    inside(
        "BPFDelegateCommands=BPFMapCreate",
        "$ROOM/attacker bpf-map-by-token",
        "reached",
    )
    .on(&["PrivateBPF=yes", "PrivateUsers=yes", "BPFDelegateMaps=any"]),
    inside(
        "BPFDelegateMaps=BPFMapTypeHash BPFMapTypeArray",
        "$ROOM/attacker bpf-map-by-token",
        "reached",
    )
    .on(&["PrivateBPF=yes", "PrivateUsers=yes", "BPFDelegateCommands=any"]),
    inside(
        "BPFDelegatePrograms=BPFProgTypeSocketFilter",
        "$ROOM/attacker bpf-program-by-token",
        "reached",
    )
    .on(&[
        "PrivateBPF=yes",
        "PrivateUsers=yes",
        "BPFDelegateCommands=BPFProgLoad",
        "BPFDelegateAttachments=any",
    ]),
    inside(
        "BPFDelegateAttachments=BPFCgroupInetIngress",
        "$ROOM/attacker bpf-program-by-token",
        "reached",
    )
    .on(&[
        "PrivateBPF=yes",
        "DelegateNamespaces=net",
        "BPFDelegateCommands=BPFProgLoad",
        "BPFDelegatePrograms=any",
    ]),
    inside(
        "IPCNamespacePath=/proc/$PEER/ns/ipc",
        "test $(readlink /proc/self/ns/ipc) = $(readlink /proc/$PEER/ns/ipc) && echo same",
        "same",
    )
    .on(&["PrivateIPC=yes"]),
    inside(
        "LoadCredential=word:/etc/os-release",
        "cmp $CREDENTIALS_DIRECTORY/word /etc/os-release && echo same",
        "same",
    ),
    units(
        "ImportCredential=$NAME-word:word",
        PRINTS_WORD,
        "mkdir -p /run/credstore; printf imported > /run/credstore/$NAME-word; coracle start $U 2> /dev/null; cat $ROOM/$U-word; rm /run/credstore/$NAME-word; rmdir /run/credstore 2> /dev/null",
        "imported",
    ),
    units(
        "LoadCredentialEncrypted=word:$ROOM/$U-sealed",
        PRINTS_WORD,
        "printf sealed | coracle creds encrypt --name=word --with-key=null - $ROOM/$U-sealed 2> /dev/null; coracle start $U 2> /dev/null; cat $ROOM/$U-word",
        "sealed",
    ),
    inside(
        "SetCredentialEncrypted=foo:BYRp2vb1QySABUnaD46i+yAAAAABAAAADAAAABAAAADTDINZF3zoRJRsckYAAAAAMiZ/oCbW7sL234HQ1sahLfOcf62Zx4pJqieq1Yb8OcMZmDW54Pp6unmKd8ag",
        "cat $CREDENTIALS_DIRECTORY/foo",
        "hello",
    ),
    inside(
        "SetCredential=word:a",
        "cat $CREDENTIALS_DIRECTORY/word",
        "a",
    ),
    // Its directories.
    units(
        "TimeoutCleanSec=1us",
        &[(
            "$U.service",
            "[Service]\nType=oneshot\nCacheDirectory=$NAME/$U\nLINE\nExecStart=/bin/true\n",
        )],
        "coracle start $U; coracle clean $U 2> /dev/null; echo $?; ls /var/cache/$NAME",
        "1\n$U",
    ),
    inside(
        "StateDirectory=$NAME",
        "echo $STATE_DIRECTORY",
        "/var/lib/$NAME",
    ),
    inside(
        "CacheDirectory=$NAME",
        "echo $CACHE_DIRECTORY",
        "/var/cache/$NAME",
    ),
    inside(
        "LogsDirectory=$NAME",
        "echo $LOGS_DIRECTORY",
        "/var/log/$NAME",
    ),
    inside(
        "RuntimeDirectory=$NAME",
        "echo $RUNTIME_DIRECTORY",
        "/run/$NAME",
    ),
    inside(
        "ConfigurationDirectory=$NAME",
        "echo $CONFIGURATION_DIRECTORY",
        "/etc/$NAME",
    ),
    inside(
        "StateDirectoryMode=0710",
        "stat -c %a $STATE_DIRECTORY",
        "710",
    )
    .on(&["StateDirectory=$NAME"]),
    inside(
        "CacheDirectoryMode=0710",
        "stat -c %a $CACHE_DIRECTORY",
        "710",
    )
    .on(&["CacheDirectory=$NAME"]),
    inside(
        "LogsDirectoryMode=0710",
        "stat -c %a $LOGS_DIRECTORY",
        "710",
    )
    .on(&["LogsDirectory=$NAME"]),
    inside(
        "RuntimeDirectoryMode=0710",
        "stat -c %a $RUNTIME_DIRECTORY",
        "710",
    )
    .on(&["RuntimeDirectory=$NAME"]),
    inside(
        "ConfigurationDirectoryMode=0710",
        "stat -c %a $CONFIGURATION_DIRECTORY",
        "710",
    )
    .on(&["ConfigurationDirectory=$NAME"]),
    units(
        "RuntimeDirectoryPreserve=yes",
        &[(
            "$U.service",
            "[Service]\nType=oneshot\nRuntimeDirectory=$NAME\nLINE\nExecStart=/bin/true\n",
        )],
        "coracle start $U; ls -d /run/$NAME; rm -rf /run/$NAME",
        "/run/$NAME",
    ),
    // Its share of the machine.
    inside("Nice=5", "nice", "5"),
    inside("OOMScoreAdjust=500", "cat /proc/self/oom_score_adj", "500"),
    inside(
        "CPUAffinity=0",
        "awk '/Cpus_allowed_list/{print $2}' /proc/self/status",
        "0",
    ),
    inside(
        "CPUSchedulingPolicy=batch",
        "cut -d' ' -f41 /proc/self/stat",
        "3",
    ),
    inside(
        "CPUSchedulingPriority=7",
        "cut -d' ' -f40 /proc/self/stat",
        "7",
    )
    .on(&["CPUSchedulingPolicy=fifo"]),
    inside(
        "CPUSchedulingResetOnFork=yes",
        "cut -d' ' -f41 /proc/self/stat",
        "0",
    )
    .on(&["CPUSchedulingPolicy=rr"]),
    inside("IOSchedulingClass=idle", "ionice -p $$", "idle"),
    inside(
        "IOSchedulingPriority=6",
        "ionice -p $$",
        "best-effort: prio 6",
    )
    .on(&["IOSchedulingClass=best-effort"]),
    inside(
        "TimerSlackNSec=1ms",
        "cat /proc/$$/timerslack_ns",
        "1000000",
    ),
    inside(
        "MemoryKSM=yes",
        "awk '/merge_any/{print $2}' /proc/self/ksm_stat",
        "yes",
    ),
    inside(
        "MemoryTHP=disable",
        "awk '/THP_enabled/{print $2}' /proc/self/status",
        "0",
    ),
    inside(
        "NUMAPolicy=interleave",
        "awk 'NR == 1 {print $2}' /proc/self/numa_maps",
        "interleave:0",
    )
    .on(&["NUMAMask=0"]),
    inside(
        "NUMAMask=0",
        "awk 'NR == 1 {print $2}' /proc/self/numa_maps",
        "prefer:0",
    )
    .on(&["NUMAPolicy=preferred"]),
    units(
        "TTYPath=$TTY",
        HAS_TERMINAL,
        on_terminal!("sed -n 1p $ROOM/$U"),
        "$TTY",
    ),
    units(
        "TTYRows=33",
        HAS_TERMINAL,
        on_terminal!("sed -n 2p $ROOM/$U"),
        "33 7",
    )
    .on(ON_TERMINAL),
    units(
        "TTYColumns=77",
        HAS_TERMINAL,
        on_terminal!("sed -n 2p $ROOM/$U"),
        "7 77",
    )
    .on(ON_TERMINAL),
    units(
        "TTYReset=yes",
        HAS_TERMINAL,
        on_terminal!("sed -n 3p $ROOM/$U"),
        "echo",
    )
    .on(ON_TERMINAL),
    units("TTYVHangup=yes", HAS_TERMINAL, HUNG_UP, "hung-up").on(ON_TERMINAL),
    units("TTYVTDisallocate=yes", HAS_TERMINAL, CLEARED, "1").on(ON_TERMINAL),
    inside(
        "CoredumpFilter=7",
        "cat /proc/self/coredump_filter",
        "00000007",
    ),
    inside(
        "IgnoreSIGPIPE=no",
        "awk '/SigIgn/{print $2}' /proc/self/status",
        "0000000000000000",
    ),
    inside("Personality=x86", "uname -m", "i686"),
    inside(
        "SystemCallLog=uname",
        "awk '/Seccomp:/{print $2}' /proc/self/status",
        "2",
    ),
    // What bounds it.
    inside(
        "LimitAS=4G",
        "prlimit --noheadings -o SOFT --as",
        "4294967296",
    ),
    inside("LimitCORE=7", "prlimit --noheadings -o SOFT --core", "7"),
    inside("LimitCPU=77", "prlimit --noheadings -o SOFT --cpu", "77"),
    inside(
        "LimitDATA=4G",
        "prlimit --noheadings -o SOFT --data",
        "4294967296",
    ),
    inside(
        "LimitFSIZE=77",
        "prlimit --noheadings -o SOFT --fsize",
        "77",
    ),
    inside(
        "LimitLOCKS=77",
        "prlimit --noheadings -o SOFT --locks",
        "77",
    ),
    inside(
        "LimitMEMLOCK=4096",
        "prlimit --noheadings -o SOFT --memlock",
        "4096",
    ),
    inside(
        "LimitMSGQUEUE=77",
        "prlimit --noheadings -o SOFT --msgqueue",
        "77",
    ),
    inside("LimitNICE=30", "prlimit --noheadings -o SOFT --nice", "30").needs(Need::Resources),
    inside(
        "LimitNOFILE=77",
        "prlimit --noheadings -o SOFT --nofile",
        "77",
    ),
    inside(
        "LimitNPROC=777",
        "prlimit --noheadings -o SOFT --nproc",
        "777",
    ),
    inside(
        "LimitRSS=4G",
        "prlimit --noheadings -o SOFT --rss",
        "4294967296",
    ),
    inside(
        "LimitRTPRIO=30",
        "prlimit --noheadings -o SOFT --rtprio",
        "30",
    )
    .needs(Need::Resources),
    inside(
        "LimitRTTIME=77",
        "prlimit --noheadings -o SOFT --rttime",
        "77",
    ),
    inside(
        "LimitSIGPENDING=77",
        "prlimit --noheadings -o SOFT --sigpending",
        "77",
    ),
    inside(
        "LimitSTACK=4M",
        "prlimit --noheadings -o SOFT --stack",
        "4194304",
    ),
    // Its streams.
    units(
        "StandardInput=file:$ROOM/secret",
        &[(
            "$U.service",
            "[Service]\nType=oneshot\nLINE\nExecStart=/bin/sh -c 'readlink /proc/self/fd/0 > $ROOM/$U'\n",
        )],
        "coracle start $U; cat $ROOM/$U",
        "$ROOM/secret",
    ),
    units(
        "StandardInputText=word",
        &[(
            "$U.service",
            "[Service]\nType=oneshot\nStandardInput=data\nLINE\nExecStart=/bin/sh -c 'cat > $ROOM/$U'\n",
        )],
        "coracle start $U; cat $ROOM/$U",
        "word",
    ),
    units(
        "StandardInputData=d29yZA==",
        &[(
            "$U.service",
            "[Service]\nType=oneshot\nStandardInput=data\nLINE\nExecStart=/bin/sh -c 'cat > $ROOM/$U'\n",
        )],
        "coracle start $U; cat $ROOM/$U",
        "word",
    ),
    units(
        "StandardOutput=file:$ROOM/$U",
        &[(
            "$U.service",
            "[Service]\nType=oneshot\nLINE\nExecStart=/bin/echo word\n",
        )],
        "coracle start $U; cat $ROOM/$U",
        "word",
    ),
    units(
        "StandardError=file:$ROOM/$U",
        &[(
            "$U.service",
            "[Service]\nType=oneshot\nLINE\nExecStart=/bin/sh -c 'echo word >&2'\n",
        )],
        "coracle start $U; cat $ROOM/$U",
        "word",
    ),
    // Its lines in the log.
    units(
        "SyslogIdentifier=word",
        PRINTS,
        logged!("word | grep -o '\"SYSLOG_IDENTIFIER\":\"[^\"]*\"' | head -1"),
        "\"SYSLOG_IDENTIFIER\":\"word\"",
    ),
    units(
        "SyslogFacility=local0",
        PRINTS,
        logged!("word | grep -o '\"SYSLOG_FACILITY\":\"[^\"]*\"'"),
        "\"SYSLOG_FACILITY\":\"16\"",
    ),
    units(
        "SyslogLevel=debug",
        PRINTS,
        logged!("the-end | grep -o '\"PRIORITY\":\"[^\"]*\"'"),
        "\"PRIORITY\":\"7\"",
    ),
    units(
        "SyslogLevelPrefix=no",
        PRINTS,
        logged!("-o '<4>word'"),
        "<4>word",
    ),
    units(
        "LogFilterPatterns=~[246]",
        COUNTS,
        "coracle start $U; until coracle logs -u $U --cat 2> /dev/null | grep -qx 9; do :; done; coracle logs -u $U --cat | grep -x '[1-9]' | xargs",
        "1 3 5 7 8 9",
    ),
    units(
        "LogNamespace=coracle-test-$NAME",
        PRINTS,
        "coracle start $U; until coracle logs --namespace='*' -u $U --cat 2> /dev/null | grep -q the-end; do :; done; { coracle logs -u $U --cat | grep -c the-end; coracle logs --namespace=coracle-test-$NAME -u $U --cat | grep -c the-end; coracle logs --namespace=+coracle-test-$NAME -u $U --cat | grep -c the-end; } 2> /dev/null",
        "0\n1\n1",
    ),
    units(
        "BindLogSockets=yes",
        &[(
            "$U.service",
            "[Service]\nType=oneshot\nTemporaryFileSystem=/run\nLINE\nExecStart=/bin/sh -c 'test -e /run/systemd/journal/socket && echo there > $ROOM/$U'\n",
        )],
        "mkdir -p /run/systemd/journal; had=$(ls /run/systemd/journal/socket 2> /dev/null); : >> /run/systemd/journal/socket; coracle start $U 2> /dev/null; cat $ROOM/$U 2> /dev/null; test -n \"$had\" || rm /run/systemd/journal/socket; rmdir -p /run/systemd/journal 2> /dev/null",
        "there",
    ),
    units(
        "LogExtraFields=WORD=a",
        PRINTS,
        logged!("word | grep -o '\"WORD\":\"[^\"]*\"'"),
        "\"WORD\":\"a\"",
    ),
    units(
        "LogLevelMax=warning",
        &[(
            "$U.service",
            "[Service]\nType=oneshot\nLINE\nExecStart=/bin/sh -c 'echo one; echo \"<4>the-end\"'\n",
        )],
        logged!("-c \":.one\""),
        "0",
    ),
    units(
        "LogRateLimitBurst=3",
        COUNTS,
        logged!("Suppressed\\|:.9\"", "-c 'MESSAGE\":\"[0-9]\"'"),
        "3",
    ),
    units(
        "LogRateLimitIntervalSec=0",
        COUNTS,
        logged!("Suppressed\\|:.9\"", "-c 'MESSAGE\":\"[0-9]\"'"),
        "9",
    )
    .on(&["LogRateLimitBurst=3"]),
];
