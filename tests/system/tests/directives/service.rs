//! How a service starts, ends, starts again and is killed.

use coracle_system_tests::observations::{Files, Observation, units};

/// Starts, reloads and stops a unit.
const LIFE: &str =
    "coracle start $U; coracle reload $U 2> /dev/null; coracle stop $U; ls $ROOM | grep -x $U";
const LIVES: Files = &[(
    "$U.service",
    "[Service]\nType=oneshot\nRemainAfterExit=yes\nLINE\nExecStart=/bin/true\n",
)];
/// A service that fails at once, and counts its runs.
const FAILS: Files = &[(
    "$U.service",
    "[Service]\nRestartSec=1ms\nLINE\nExecStart=/bin/sh -c 'echo run >> $ROOM/$U; exit 1'\n",
)];
/// How often it ran before it failed for good.
pub(crate) const RUNS: &str = "coracle start $U 2> /dev/null; until coracle is-failed -q $U; do :; done; grep -c run $ROOM/$U";
/// Whether it runs more often than five times.
pub(crate) const MANY_RUNS: &str = "coracle start $U 2> /dev/null; until coracle is-failed -q $U || test $(cat $ROOM/$U 2> /dev/null | grep -c run) -gt 5; do :; done; coracle is-failed -q $U || echo on; coracle stop $U";
/// How often it ran within a second.
const RUNS_SOON: &str = "coracle start $U 2> /dev/null; timeout 4 sh -c 'until coracle is-failed -q $U; do :; done'; grep -c run $ROOM/$U; coracle stop $U";
/// A service that is deaf to the usual signal and writes down which other it was ended by.
const DEAF: Files = &[(
    "$U.service",
    "[Service]\nTimeoutStopSec=50ms\nLINE\nExecStart=/bin/sh -c 'trap \"\" TERM; for s in ABRT USR1 HUP; do trap \"echo $$s >> $ROOM/$U; exit\" $$s; done; touch $ROOM/$U-ready; while :; do sleep infinity & wait; done'\n",
)];
macro_rules! when_ready {
    ($script:literal) => {
        concat!(
            "coracle start $U; until test -e $ROOM/$U-ready; do :; done; ",
            $script
        )
    };
}
const STOPPED: &str = when_ready!("coracle stop $U; cat $ROOM/$U");
/// One that ends by no signal but the last.
const STUBBORN: Files = &[(
    "$U.service",
    "[Service]\nLINE\nExecStart=/bin/sh -c 'trap \"\" TERM ABRT; touch $ROOM/$U-ready; while :; do sleep infinity & wait; done'\n",
)];
/// Whether a second is enough for its end.
const ENDED: &str = when_ready!(
    "timeout 2 coracle stop $U || echo $?; coracle show -p SubState --value $U; coracle kill -s KILL $U 2> /dev/null"
);
/// A start that does not end, and is deaf to the usual signal soon after it began.
const ENDLESS: Files = &[(
    "$U.service",
    "[Service]\nType=oneshot\nLINE\nExecStart=/bin/sh -c 'trap \"\" TERM; while :; do sleep infinity & wait; done'\n",
)];
const GIVEN_UP: &str = "timeout 3 coracle start $U 2> /dev/null; coracle show -p SubState --value $U; coracle kill -s KILL $U 2> /dev/null";
const SLEEPS: Files = &[(
    "$U.service",
    "[Service]\nLINE\nExecStart=/bin/sleep infinity\n",
)];
/// A service that says by itself that it is ready.
const NOTIFIES: Files = &[(
    "$U.service",
    "[Service]\nType=notify-reload\nTimeoutStartSec=10\nLINE\nExecStart=/usr/bin/perl -MIO::Socket::UNIX -e 'sub say { IO::Socket::UNIX->new(Type => SOCK_DGRAM, Peer => $$ENV{NOTIFY_SOCKET})->send(shift) } $$SIG{USR1} = sub { open F, q(>), q($ROOM/$U); close F; say(qq(RELOADING=1\\nMONOTONIC_USEC=99999999999999)); say(q(READY=1)) }; say(q(READY=1)); sleep while 1'\n",
)];

/// A service that leaves one process behind, whose number is in a file.
const LEAVES_ONE: Files = &[(
    "$U.service",
    "[Service]\nType=forking\nLINE\nExecStart=/bin/sh -c 'sleep infinity & echo $$! > $ROOM/$U'\n",
)];

/// Stores its standard input before it is up.
const STORES: Files = &[(
    "$U.service",
    "[Service]\nType=notify\nLINE\nExecStart=/usr/bin/python3 -c 'import array, os, signal, socket; s = socket.socket(1, 2); s.connect(os.environ[\"NOTIFY_SOCKET\"]); s.sendmsg([b\"FDSTORE=1\"], [(1, 1, array.array(\"i\", [0]))]); s.send(b\"READY=1\"); signal.pause()'\n",
)];

/// A service that has a root of its own, the host's under another name, where it looks for what the host's root has not got.
const ROOTED: Files = &[(
    "$U.service",
    "[Service]\nType=oneshot\nRemainAfterExit=yes\nRootDirectory=$ROOM/$U-root\nBindReadOnlyPaths=/bin /lib /usr -/lib64\nLINE\nExecStart=/bin/true\nExecStartPost=/bin/touch $ROOM/$U\n",
)];

pub(crate) const SERVICE: &[Observation] = &[
    units(
        "OOMPolicy=kill",
        SLEEPS,
        "coracle start $U 2> /dev/null; cat /sys/fs/cgroup$(sed -n 's/^0:://p' /proc/$(coracle show -p MainPID --value $U)/cgroup)/../memory.oom.group 2> /dev/null || coracle status $U | grep -c OOMPolicy=; coracle stop $U",
        "1",
    ),
    units(
        "OpenFile=/etc/hostname:name:read-only",
        &[(
            "$U.service",
            "[Service]\nType=oneshot\nInaccessiblePaths=/etc/hostname\nDynamicUser=yes\nStandardOutput=file:$ROOM/$U\nLINE\nExecStart=/bin/sh -c 'echo $$LISTEN_FDNAMES; cat <&3 | cmp - /proc/sys/kernel/hostname && echo same'\n",
        )],
        "coracle start $U 2> /dev/null; cat $ROOM/$U",
        "name\nsame",
    ),
    units(
        "PermissionsStartOnly=yes",
        &[(
            "$U.service",
            "[Service]\nType=oneshot\nUser=nobody\nLINE\nExecStartPre=/bin/sh -c 'id -un > $ROOM/$U'\nExecStart=/bin/true\n",
        )],
        "coracle start $U 2> /dev/null; cat $ROOM/$U",
        "root",
    ),
    units(
        "RootDirectoryStartOnly=yes",
        ROOTED,
        "mkdir -p $ROOM/$U-root; coracle start $U 2> /dev/null; ls $ROOM | grep -x $U; coracle stop $U 2> /dev/null",
        "$U",
    ),
    units("FileDescriptorStoreMax=1", STORES, "coracle start $U; coracle show -p NFileDescriptorStore --value $U; coracle stop $U", "1"),
    units("FileDescriptorStorePreserve=yes", STORES, "coracle start $U; coracle stop $U; coracle show -p NFileDescriptorStore --value $U; coracle clean --what=fdstore $U 2> /dev/null", "1").on(&["FileDescriptorStoreMax=1"]),
    units(
        "Type=exec",
        &[("$U.service", "[Service]\nLINE\nExecStart=/nonexistent\n")],
        "coracle start $U 2> /dev/null; echo $?",
        "1",
    ),
    units(
        "GuessMainPID=no",
        LEAVES_ONE,
        "coracle start $U; coracle show -p MainPID --value $U; coracle stop $U",
        "0",
    ),
    units(
        "PIDFile=$ROOM/$U",
        LEAVES_ONE,
        "coracle start $U; coracle stop $U; test -e $ROOM/$U || echo gone",
        "gone",
    ),
    units(
        "ExecStart=/bin/touch $ROOM/$U",
        &[(
            "$U.service",
            "[Service]\nType=oneshot\nExecStop=/bin/true\nLINE\n",
        )],
        LIFE,
        "$U",
    ),
    units(
        "ExecCondition=/bin/false",
        LIVES,
        "coracle start $U 2> /dev/null; coracle is-active $U",
        "inactive",
    ),
    units("ExecReload=/bin/touch $ROOM/$U", LIVES, LIFE, "$U"),
    units("ExecReloadPost=/bin/touch $ROOM/$U", LIVES, LIFE, "$U").on(&["ExecReload=/bin/true"]),
    units("ExecStartPre=/bin/touch $ROOM/$U", LIVES, LIFE, "$U"),
    units("ExecStartPost=/bin/touch $ROOM/$U", LIVES, LIFE, "$U"),
    units("ExecStop=/bin/touch $ROOM/$U", LIVES, LIFE, "$U"),
    units("ExecStopPost=/bin/touch $ROOM/$U", LIVES, LIFE, "$U"),
    units(
        "RemainAfterExit=yes",
        &[(
            "$U.service",
            "[Service]\nType=oneshot\nLINE\nExecStart=/bin/true\n",
        )],
        "coracle start $U; coracle is-active $U",
        "active",
    ),
    units(
        "SuccessExitStatus=1",
        FAILS,
        "coracle start $U; until test $(coracle is-active $U) != active; do :; done; coracle is-active $U",
        "inactive",
    ),
    units("Restart=on-failure", FAILS, RUNS, "5"),
    units("RestartForceExitStatus=1", FAILS, RUNS, "5"),
    units("RestartPreventExitStatus=1", FAILS, RUNS, "1").on(&["Restart=always"]),
    units("RestartSec=1h", FAILS, RUNS_SOON, "1").on(&["Restart=always"]),
    units("RestartRandomizedDelaySec=100y", FAILS, RUNS_SOON, "1").on(&["Restart=always"]),
    units("RestartSteps=1", FAILS, RUNS_SOON, "2").on(&["Restart=always", "RestartMaxDelaySec=1h"]),
    units("RestartMaxDelaySec=1h", FAILS, RUNS_SOON, "2").on(&["Restart=always", "RestartSteps=1"]),
    units("StartLimitBurst=2", FAILS, RUNS, "2").on(&["Restart=always"]),
    units("StartLimitInterval=1us", FAILS, MANY_RUNS, "on").on(&["Restart=always"]),
    units(
        "RuntimeMaxSec=50ms",
        &[(
            "$U.service",
            "[Service]\nLINE\nExecStart=/bin/sleep infinity\n",
        )],
        "coracle start $U; timeout 4 sh -c 'until coracle is-failed -q $U; do :; done'; coracle show -p Result --value $U; coracle stop $U",
        "timeout",
    ),
    units("RuntimeRandomizedExtraSec=100y", SLEEPS, "coracle start $U; timeout 1 sh -c 'until coracle is-failed -q $U; do :; done'; echo $?; coracle stop $U", "124").on(&["RuntimeMaxSec=50ms"]),
    units("WatchdogSec=50ms", SLEEPS, "coracle start $U; timeout 4 sh -c 'until coracle is-failed -q $U; do :; done'; coracle show -p Result --value $U; coracle stop $U", "watchdog"),
    units(
        "ExitType=cgroup",
        &[("$U.service", "[Service]\nType=exec\nLINE\nExecStart=/bin/sh -c 'sleep infinity &'\n")],
        "coracle start $U; until test \"$(coracle show -p MainPID --value $U)\" = 0; do :; done; timeout 2 sh -c 'until test \"$(coracle is-active $U)\" = inactive; do :; done'; coracle is-active $U; coracle stop $U",
        "active",
    ),
    units("TimeoutStartSec=50ms", ENDLESS, GIVEN_UP, "failed").on(&["TimeoutStopSec=50ms"]),
    units("TimeoutSec=50ms", ENDLESS, GIVEN_UP, "failed"),
    units("TimeoutStartFailureMode=kill", ENDLESS, GIVEN_UP, "failed")
        .on(&["TimeoutStartSec=500ms"]),
    units("TimeoutStopSec=50ms", STUBBORN, ENDED, "failed"),
    units("TimeoutStopFailureMode=abort", DEAF, STOPPED, "ABRT"),
    units("TimeoutAbortSec=1h", STUBBORN, ENDED, "124\nstop-watchdog")
        .on(&["TimeoutStopFailureMode=abort", "TimeoutStopSec=50ms"]),
    units(
        "NotifyAccess=all",
        &[(
            "$U.service",
            "[Service]\nType=notify\nTimeoutStartSec=3\nLINE\nExecStart=/bin/sh -c 'perl -MIO::Socket::UNIX -e \"IO::Socket::UNIX->new(Type => SOCK_DGRAM, Peer => \\$$ENV{NOTIFY_SOCKET})->send(q(READY=1))\"; exec sleep infinity'\n",
        )],
        "coracle start $U 2> /dev/null; echo $?; coracle stop $U",
        "0",
    ),
    units("ReloadSignal=SIGUSR1", NOTIFIES, LIFE, "$U"),
    units(
        "RestartMode=direct",
        &[(
            "$U.service",
            "[Service]\nType=oneshot\nRestart=on-failure\nRestartSec=1ms\nLINE\nExecStart=/bin/sh -c 'test -e $ROOM/$U || { touch $ROOM/$U; exit 1; }'\n",
        )],
        "coracle start $U 2> /dev/null; echo $?",
        "0",
    ),
    units(
        "NonBlocking=yes",
        &[
            ("$U.socket", "[Socket]\nListenStream=$ROOM/$U.sock\n"),
            (
                "$U.service",
                "[Service]\nType=oneshot\nStandardOutput=file:$ROOM/$U\nLINE\nExecStart=/usr/bin/grep -o '4002$$' /proc/self/fdinfo/3\n",
            ),
        ],
        "coracle start $U.socket; coracle start $U.service; cat $ROOM/$U; coracle stop $U.socket",
        "4002",
    ),
    units(
        "Sockets=$U.socket",
        &[
            ("$U.socket", "[Socket]\nListenStream=$ROOM/$U.sock\n"),
            (
                "$U.service",
                "[Service]\nType=oneshot\nExecStart=/bin/true\n",
            ),
            (
                "$U-b.service",
                "[Service]\nType=oneshot\nStandardOutput=file:$ROOM/$U\nLINE\nExecStart=/bin/sh -c 'echo $$LISTEN_FDS'\n",
            ),
        ],
        "coracle start $U.socket; coracle start $U-b; cat $ROOM/$U; coracle stop $U.socket",
        "1",
    ),
];

pub(crate) const KILL: &[Observation] = &[
    units("KillSignal=SIGUSR1", DEAF, STOPPED, "USR1"),
    units("RestartKillSignal=SIGUSR1", DEAF, when_ready!("coracle restart $U; cat $ROOM/$U; coracle stop $U"), "USR1"),
    units("FinalKillSignal=SIGUSR1", DEAF, STOPPED, "USR1"),
    units("WatchdogSignal=SIGUSR1", DEAF, STOPPED, "USR1").on(&["TimeoutStopFailureMode=abort"]),
    units("SendSIGHUP=yes", DEAF, STOPPED, "HUP"),
    units("SendSIGKILL=no", STUBBORN, when_ready!("pid=$(coracle show -p MainPID --value $U); coracle stop $U; kill -0 $pid && echo alive; kill -KILL -$pid"), "alive").on(&["TimeoutStopSec=50ms"]),
    units("KillMode=process", &[("$U.service", "[Service]\nLINE\nExecStart=/bin/sh -c 'sleep infinity & echo $! > $ROOM/$U; touch $ROOM/$U-ready; exec sleep infinity'\n")], when_ready!("coracle stop $U; kill $(cat $ROOM/$U) && echo left"), "left"),
];
