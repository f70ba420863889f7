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
const PLACED: Files = &[
    (
        "$U.socket",
        "[Socket]\nListenStream=$ROOM/$U-new/sock\nLINE\n",
    ),
    ("$U.service", COUNTS),
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
    // Commands.
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
    units("TriggerLimitBurst=3", UNREAD, sent!("until coracle is-failed -q $U.socket; do :; done; grep -c run $ROOM/$U"), "3"),
    units("TriggerLimitIntervalSec=1us", UNREAD, sent!("until coracle is-failed -q $U.socket || test $(cat $ROOM/$U 2> /dev/null | grep -c run) -gt 5; do :; done; coracle is-failed -q $U.socket || echo on; coracle stop $U.socket"), "on").on(&["TriggerLimitBurst=1"]),
    // Nothing starts it again and again until its limit.
    units("FlushPending=yes", UNREAD, sent!("timeout 4 sh -c 'until coracle is-failed -q $U.socket; do :; done'; grep -c run $ROOM/$U; coracle stop $U.socket"), "1").on(&["TriggerLimitBurst=3"]),
];
