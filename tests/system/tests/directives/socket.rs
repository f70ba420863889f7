//! What a socket unit listens on, with which options, and what it starts.

use coracle_system_tests::observations::{Files, Observation, units};

/// A service that prints how many sockets it got, and their names.
const COUNTS: &str = "[Service]\nType=oneshot\nStandardOutput=file:$ROOM/$U\nExecStart=/bin/sh -c 'echo $$LISTEN_FDS $$LISTEN_FDNAMES'\n";
/// A service that prints an option of its first socket, which is given by its level and its number.
macro_rules! scene {
    ($listen:literal, $option:literal) => {
        &[
            ("$U.socket", concat!("[Socket]\n", $listen, "\nLINE\n")),
            (
                "$U.service",
                concat!(
                    "[Service]\nType=oneshot\nStandardOutput=file:$ROOM/$U\nExecStart=/usr/bin/perl -e 'open S, q(<&=3); print unpack(q(i), getsockopt(S, ",
                    $option,
                    "))'\n"
                ),
            ),
        ]
    };
}
/// In a network of its own, where every port is free.
macro_rules! internet {
    ($option:literal) => {
        scene!("PrivateNetwork=yes\nListenStream=[::]:4711", $option)
    };
}
macro_rules! datagrams {
    ($option:literal) => {
        scene!("PrivateNetwork=yes\nListenDatagram=127.0.0.1:4711", $option)
    };
}
macro_rules! local {
    ($option:literal) => {
        scene!("ListenStream=$ROOM/$U.sock", $option)
    };
}
/// A service that would stop another, which is up when there is traffic.
const IN_THE_WAY: Files = &[
    ("$U.socket", "[Socket]\nListenFIFO=$ROOM/$U.fifo\nLINE\n"),
    (
        "$U.service",
        "[Unit]\nConflicts=$U-old.service\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c 'cat <&3 > $ROOM/$U & sleep 0.1'\n",
    ),
    (
        "$U-old.service",
        "[Service]\nExecStart=/bin/sleep infinity\n",
    ),
];
const PLACED: Files = &[
    (
        "$U.socket",
        "[Socket]\nListenStream=$ROOM/$U-new/sock\nLINE\n",
    ),
    ("$U.service", COUNTS),
];
/// The same in an IPv4 network of its own, for what has no number of four bytes: prints it as text.
macro_rules! named {
    ($listen:literal, $option:literal) => {
        &[
            ("$U.socket", concat!("[Socket]\n", $listen, "\nLINE\n")),
            (
                "$U.service",
                concat!(
                    "[Service]\nType=oneshot\nStandardOutput=file:$ROOM/$U\nExecStart=/usr/bin/perl -e 'open S, q(<&=3); print unpack(q(Z*), getsockopt(S, ",
                    $option,
                    "))'\n"
                ),
            ),
        ]
    };
}
/// What is opened by the line is passed beside a socket, and where it leads to is printed.
const OPENED: Files = &[
    ("$U.socket", "[Socket]\nLINE\nListenStream=$ROOM/$U.sock\n"),
    (
        "$U.service",
        "[Service]\nType=oneshot\nStandardOutput=file:$ROOM/$U\nExecStart=/usr/bin/perl -e 'open F, q(/proc/self/fdinfo/3); ($$f) = join(q(), <F>) =~ /flags:.*([0-9])/; print readlink(q(/proc/self/fd/3)), q( ), $$f'\n",
    ),
];
/// A message queue, and what it holds.
const QUEUE: Files = &[
    (
        "$U.socket",
        "[Socket]\nListenMessageQueue=/$U\nRemoveOnStop=yes\nLINE\n",
    ),
    (
        "$U.service",
        "[Service]\nType=oneshot\nStandardOutput=file:$ROOM/$U\nExecStart=/usr/bin/perl -e '$$b = pack(q(q8)); syscall 245, 3, 0, $$b; @a = unpack(q(q8), $$b); print qq($$a[1] $$a[2])'\n",
    ),
];
/// The line comes first, so that its socket is the first.
const SECOND: Files = &[
    ("$U.socket", "[Socket]\nLINE\nListenStream=$ROOM/$U.sock\n"),
    (
        "$U.service",
        "[Service]\nType=oneshot\nStandardOutput=file:$ROOM/$U\nExecStart=/usr/bin/perl -e 'open S, q(<&=3); print $$ENV{LISTEN_FDS}, q( ), unpack(q(i), getsockopt(S, 1, 3))'\n",
    ),
];
/// A service that is started by a datagram and does not take it.
const UNREAD: Files = &[
    (
        "$U.socket",
        "[Socket]\nListenDatagram=$ROOM/$U.sock\nLINE\n",
    ),
    (
        "$U.service",
        "[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo run >> $ROOM/$U'\n",
    ),
];
/// Greets each that connects, and stays.
const GREETS: Files = &[
    (
        "$U.socket",
        "[Socket]\nListenStream=$ROOM/$U.sock\nAccept=yes\nLINE\n",
    ),
    (
        "$U@.service",
        "[Service]\nStandardInput=socket\nStandardOutput=socket\nExecStart=/bin/sh -c 'echo each; exec cat'\n",
    ),
];
/// With three connections, `@s`.
macro_rules! connected {
    ($script:literal) => {
        concat!(
            "coracle start $U.socket; perl -MIO::Socket::UNIX -e '@s = map { IO::Socket::UNIX->new(q($ROOM/$U.sock)) } 1..3; ",
            $script,
            "'; coracle stop $U.socket"
        )
    };
}
/// How many are greeted.
const GREETED: &str = connected!("for (@s) { $n += defined readline $_ } print $n");
macro_rules! sent {
    ($script:literal) => {
        concat!(
            "coracle start $U.socket; perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Type => SOCK_DGRAM, Peer => q($ROOM/$U.sock))->send(q(x))'; ",
            $script
        )
    };
}

/// What the service prints.
const PRINTED: &str =
    "coracle start $U.socket; coracle start $U.service; cat $ROOM/$U; coracle stop $U.socket";
/// Starts and stops the socket unit.
const LIFE: &str = "coracle start $U.socket; coracle stop $U.socket; ls $ROOM | grep -x $U";

pub(crate) const OBSERVATIONS: &[Observation] = &[
    units(
        "DeferTrigger=patient",
        IN_THE_WAY,
        "coracle start $U-old $U.socket; echo word > $ROOM/$U.fifo; until test $(coracle show -p SubState --value $U.socket) != listening; do :; done; coracle is-active $U-old; coracle stop $U-old $U.socket $U 2> /dev/null",
        "active",
    ),
    units(
        "DeferTriggerMaxSec=50ms",
        IN_THE_WAY,
        "coracle start $U-old $U.socket; echo word > $ROOM/$U.fifo; timeout 3 sh -c 'until coracle is-failed -q $U.socket; do :; done'; coracle show -p Result --value $U.socket; coracle stop $U-old $U.socket $U 2> /dev/null",
        "timeout",
    )
    .on(&["DeferTrigger=patient"]),
    units("ListenStream=$ROOM/$U.second", SECOND, PRINTED, "2 1"),
    units("ListenDatagram=$ROOM/$U.second", SECOND, PRINTED, "2 2"),
    units("ListenSequentialPacket=$ROOM/$U.second", SECOND, PRINTED, "2 5"),
    units("ListenFIFO=$ROOM/$U.second", SECOND, "coracle start $U.socket; stat -c %F $ROOM/$U.second; coracle stop $U.socket", "fifo"),
    units("FileDescriptorName=word", PLACED, PRINTED, "1 word"),
    units("Service=$U-b.service", &[("$U.socket", "[Socket]\nListenStream=$ROOM/$U.sock\nLINE\n"), ("$U.service", "[Service]\nExecStart=/bin/true\n"), ("$U-b.service", COUNTS)], "coracle start $U.socket; coracle start $U-b.service; cat $ROOM/$U; coracle stop $U.socket", "1 $U.socket"),
    // Files.
    units("SocketMode=0600", PLACED, "coracle start $U.socket; stat -c %a $ROOM/$U-new/sock; coracle stop $U.socket", "600"),
    units("SocketUser=games", PLACED, "coracle start $U.socket; stat -c %U $ROOM/$U-new/sock; coracle stop $U.socket", "games"),
    units("SocketGroup=games", PLACED, "coracle start $U.socket; stat -c %G $ROOM/$U-new/sock; coracle stop $U.socket", "games"),
    units("DirectoryMode=0711", PLACED, "coracle start $U.socket; stat -c %a $ROOM/$U-new; coracle stop $U.socket", "711"),
    units("Symlinks=$ROOM/$U-link", PLACED, "coracle start $U.socket; readlink $ROOM/$U-link; coracle stop $U.socket", "$ROOM/$U-new/sock"),
    units("RemoveOnStop=yes", PLACED, "coracle start $U.socket; coracle stop $U.socket; ls $ROOM/$U-new | wc -l", "0"),
    // Options.
    units("Backlog=77", PLACED, "coracle start $U.socket; ss -xlH src $ROOM/$U-new/sock | awk '{print $4}'; coracle stop $U.socket", "77"),
    units("BindIPv6Only=ipv6-only", internet!("41, 26"), PRINTED, "1"),
    units("BindToDevice=lo", datagrams!("1, 62"), PRINTED, "1"),
    units("Broadcast=yes", datagrams!("1, 6"), PRINTED, "1"),
    units("FreeBind=yes", datagrams!("0, 15"), PRINTED, "1"),
    units("KeepAlive=yes", internet!("1, 9"), PRINTED, "1"),
    units("NoDelay=yes", internet!("6, 1"), PRINTED, "1"),
    units("PassCredentials=yes", local!("1, 16"), PRINTED, "1"),
    units("PassPacketInfo=yes", datagrams!("0, 8"), PRINTED, "1"),
    units("PassSecurity=yes", local!("1, 34"), PRINTED, "1"),
    units("ReusePort=yes", internet!("1, 15"), PRINTED, "1"),
    units("Transparent=yes", datagrams!("0, 19"), PRINTED, "1"),
    units("KeepAliveTimeSec=1min", internet!("6, 4"), PRINTED, "60"),
    units("KeepAliveIntervalSec=1500ms", internet!("6, 5"), PRINTED, "2"),
    units("KeepAliveProbes=3", internet!("6, 6"), PRINTED, "3"),
    units("DeferAcceptSec=1s", internet!("6, 9"), PRINTED, "1"),
    units("TCPCongestion=reno", named!("PrivateNetwork=yes\nListenStream=127.0.0.1:4711", "6, 13"), PRINTED, "reno").on(&["TCPCongestion=cubic"]),
    units("SocketProtocol=mptcp", internet!("1, 38"), PRINTED, "262"),
    units("IPTOS=low-delay", datagrams!("0, 1"), PRINTED, "16"),
    units("IPTTL=7", datagrams!("0, 2"), PRINTED, "7"),
    units("Mark=17", datagrams!("1, 36"), PRINTED, "17"),
    // After the type of service, which sets it, too.
    units("Priority=5", datagrams!("1, 12"), PRINTED, "5").on(&["IPTOS=low-delay"]),
    // Beyond the limit of the host.
    units("ReceiveBuffer=32M", local!("1, 8"), PRINTED, "67108864"),
    units("SendBuffer=32M", local!("1, 7"), PRINTED, "67108864"),
    units("Timestamping=ns", datagrams!("1, 35"), PRINTED, "1"),
    units("PassPIDFD=yes", local!("1, 76"), PRINTED, "1"),
    units("AcceptFileDescriptors=no", local!("1, 83"), PRINTED, "0"),
    // Others than sockets.
    units("ListenNetlink=kobject-uevent 1", SECOND, PRINTED, "2 3"),
    units("ListenSpecial=/proc/kmsg", OPENED, PRINTED, "/proc/kmsg 0"),
    units("Writable=yes", OPENED, PRINTED, "/dev/null 2").on(&["ListenSpecial=/dev/null"]),
    units("ListenMessageQueue=/$U", OPENED, PRINTED, "/$U 0").on(&["RemoveOnStop=yes"]),
    units("MessageQueueMaxMessages=3", QUEUE, PRINTED, "3 99").on(&["MessageQueueMessageSize=99"]),
    units("MessageQueueMessageSize=99", QUEUE, PRINTED, "3 99").on(&["MessageQueueMaxMessages=3"]),
    units("PipeSize=128K", &[("$U.socket", "[Socket]\nListenFIFO=$ROOM/$U.pipe\nLINE\n"), ("$U.service", "[Service]\nType=oneshot\nStandardOutput=file:$ROOM/$U\nExecStart=/usr/bin/perl -e 'open S, q(<&=3); print fcntl(S, 1032, 0)'\n")], PRINTED, "131072"),
    units("XAttrEntryPoint=trusted.word=here", PLACED, "coracle start $U.socket; perl -e '$n = q($ROOM/$U-new/sock); $a = q(trusted.word); $b = q(x) x 9; $l = syscall 191, $n, $a, $b, 9; print substr($b, 0, $l) if $l > 0'; coracle stop $U.socket", "here"),
    // Commands.
    units("PassFileDescriptorsToExec=yes", PLACED, LIFE, "$U").on(&["ExecStartPost=/bin/sh -c 'test $$LISTEN_FDS.$$LISTEN_FDNAMES = 1.$U.socket && : > $ROOM/$U; :'"]),
    units("ExecStartPre=/bin/touch $ROOM/$U", PLACED, LIFE, "$U"),
    units("ExecStartPost=/bin/touch $ROOM/$U", PLACED, LIFE, "$U"),
    units("ExecStopPre=/bin/touch $ROOM/$U", PLACED, LIFE, "$U"),
    units("ExecStopPost=/bin/touch $ROOM/$U", PLACED, LIFE, "$U"),
    units("TimeoutSec=50ms", PLACED, "timeout 2 coracle start $U.socket 2> /dev/null; coracle show -p ActiveState --value $U.socket; coracle stop $U.socket", "failed").on(&["ExecStartPre=/bin/sleep infinity"]),
    // Connections.
    units("Accept=yes", &[("$U.socket", "[Socket]\nListenStream=$ROOM/$U.sock\nLINE\n"), ("$U@.service", "[Service]\nStandardInput=socket\nStandardOutput=socket\nExecStart=/bin/echo each\n"), ("$U.service", "[Service]\nExecStart=/usr/bin/perl -e 'open S, q(<&=3); accept C, S; print C q(one)'\n")], "coracle start $U.socket; perl -MIO::Socket::UNIX -e '$s = IO::Socket::UNIX->new(q($ROOM/$U.sock)); print <$s>'; coracle stop $U.socket", "each"),
    units("MaxConnections=1", GREETS, GREETED, "1"),
    units("MaxConnectionsPerSource=1", GREETS, GREETED, "1"),
    units("PollLimitBurst=2", GREETS, connected!("readline $_ for @s[0, 1]; system q(coracle show -p NAccepted --value $U.socket)"), "2").on(&["PollLimitIntervalSec=1h"]),
    units("PollLimitIntervalSec=1h", GREETS, connected!("readline $_ for @s[0, 1]; vec($r, fileno $s[2], 1) = 1; print select($r, undef, undef, 4) ? q(served) : q(held)"), "held").on(&["PollLimitBurst=2"]),
    // What waits.
    units("TriggerLimitBurst=3", UNREAD, sent!("timeout 9 sh -c 'until coracle is-failed -q $U.socket; do :; done'; coracle stop $U; grep -c run $ROOM/$U"), "3"),
    units("TriggerLimitIntervalSec=1us", UNREAD, sent!("until coracle is-failed -q $U.socket || test $(cat $ROOM/$U 2> /dev/null | grep -c run) -gt 5; do :; done; coracle is-failed -q $U.socket || echo on; coracle stop $U.socket $U"), "on").on(&["TriggerLimitBurst=1"]),
    // Nothing starts it again and again until its limit.
    units("FlushPending=yes", UNREAD, sent!("timeout 4 sh -c 'until coracle is-failed -q $U.socket; do :; done'; coracle stop $U.socket $U; grep -c run $ROOM/$U"), "1").on(&["TriggerLimitBurst=3", "TriggerLimitIntervalSec=1h"]),
];
