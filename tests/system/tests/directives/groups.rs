//! What a control group bounds and shares out: where its controller is at hand, the group's file says so.

use coracle_system_tests::observations::Need::Controller;
use coracle_system_tests::observations::{Files, Observation, inside, units};

/// A file of the group that the service's own group is in.
macro_rules! file {
    ($name:literal) => {
        concat!(
            "group=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup); cat $(dirname $group)/",
            $name
        )
    };
}

/// A service that sends a packet from each of two commands and stays; a third sends none.
const SENDS: Files = &[(
    "$U.service",
    "[Service]\nLINE\nExecStartPre=$ROOM/attacker send 127.0.0.1:9\nExecStart=/bin/sh -c '$ROOM/attacker send 127.0.0.1:9; touch $ROOM/$U-sent; exec sleep infinity'\nExecReload=/bin/true\n",
)];
const SENT: &str = "coracle start $U; timeout 9 sh -c 'until test -e $ROOM/$U-sent; do :; done'; coracle reload $U; coracle show -p IPEgressPackets $U; coracle stop $U";

/// What a set of the firewall has while a service runs, and after it.
const IN_SET: &str = "nft add table inet $TABLE; nft add set inet $TABLE users '{ type uid; }'; coracle start $U; nft list set inet $TABLE users | grep elements; coracle stop $U; nft list set inet $TABLE users | grep -c elements; nft delete table inet $TABLE";
const STAYS: Files = &[(
    "$U.service",
    "[Service]\nUser=daemon\nLINE\nExecStart=/bin/sleep infinity\n",
)];

pub(crate) const OBSERVATIONS: &[Observation] = &[
    inside("AllowedCPUs=0", file!("cpuset.cpus"), "0").needs(Controller("cpuset")),
    inside("AllowedMemoryNodes=0", file!("cpuset.mems"), "0").needs(Controller("cpuset")),
    inside("CPUQuota=50%", file!("cpu.max"), "50000 100000").needs(Controller("cpu")),
    inside("CPUQuotaPeriodSec=10ms", file!("cpu.max"), "5000 10000")
        .needs(Controller("cpu"))
        .on(&["CPUQuota=50%"]),
    inside("CPUWeight=77", file!("cpu.weight"), "77").needs(Controller("cpu")),
    inside("MemoryHigh=64M", file!("memory.high"), "67108864").needs(Controller("memory")),
    inside("MemoryLow=1M", file!("memory.low"), "1048576").needs(Controller("memory")),
    inside("MemoryMax=64M", file!("memory.max"), "67108864").needs(Controller("memory")),
    inside("MemoryMin=1M", file!("memory.min"), "1048576").needs(Controller("memory")),
    inside("MemorySwapMax=1M", file!("memory.swap.max"), "1048576").needs(Controller("memory")),
    inside("TasksMax=77", file!("pids.max"), "77").needs(Controller("pids")),
    units(
        "NFTSet=user:inet:$TABLE:users",
        STAYS,
        IN_SET,
        "elements = { 1 }\n0",
    ),
    units("IPAccounting=yes", SENDS, SENT, "IPEgressPackets=2"),
    inside(
        "IPAddressAllow=localhost",
        "$ROOM/attacker send 127.0.0.1:9",
        "reached",
    )
    .on(&["IPAddressDeny=any"]),
    inside(
        "SocketBindAllow=udp",
        "$ROOM/attacker send 127.0.0.1:9",
        "reached",
    )
    .on(&["SocketBindDeny=any"]),
];
