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

/// What a service is to write into the file that it watches, once it was written.
macro_rules! written {
    ($name:literal) => {
        concat!(
            "echo $",
            $name,
            "_PRESSURE_WRITE | base64 -d > $",
            $name,
            "_PRESSURE_WATCH && echo $",
            $name,
            "_PRESSURE_WRITE | base64 -d | tr -d '\\000'"
        )
    };
}

/// Says where the service's own group is.
macro_rules! own {
    () => {
        "top=/sys/fs/cgroup/unified; test -d $top || top=/sys/fs/cgroup; group=$top$(sed -n 's/^0:://p' /proc/self/cgroup); "
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
    inside("Slice=seen-here.slice", "grep -o '/seen.slice/seen-here.slice/' /proc/self/cgroup", "/seen.slice/seen-here.slice/"),
    inside("DisableControllers=pids", "cat /sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)/cgroup.controllers", "cpuset cpu io memory").needs(Controller("pids")).on(&["Delegate=cpu cpuset io memory pids"]),
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
    inside("MemoryZSwapMax=1M", file!("memory.zswap.max"), "1048576").needs(Controller("memory")),
    inside("MemoryZSwapWriteback=no", file!("memory.zswap.writeback"), "0").needs(Controller("memory")),
    inside("IOAccounting=yes", file!("io.stat >/dev/null && echo there"), "there").needs(Controller("io")),
    inside("IOWeight=77", file!("io.weight"), "default 77").needs(Controller("io")),
    inside("IODeviceWeight=$ROOM 77", file!("io.weight | grep -o ' 77$'"), "77").needs(Controller("io")),
    inside("IODeviceLatencyTargetSec=$ROOM 25ms", file!("io.latency | grep -o target=.*"), "target=25000").needs(Controller("io")),
    inside("IOReadBandwidthMax=$ROOM 5M", file!("io.max | grep -o rbps=[0-9]*"), "rbps=5000000").needs(Controller("io")),
    inside("IOWriteBandwidthMax=$ROOM 5M", file!("io.max | grep -o wbps=[0-9]*"), "wbps=5000000").needs(Controller("io")),
    inside("IOReadIOPSMax=$ROOM 1K", file!("io.max | grep -o riops=[0-9]*"), "riops=1000").needs(Controller("io")),
    inside("IOWriteIOPSMax=$ROOM 1K", file!("io.max | grep -o wiops=[0-9]*"), "wiops=1000").needs(Controller("io")),
    inside("MemoryPressureWatch=yes", "echo ${MEMORY_PRESSURE_WATCH##*/}", "memory.pressure"),
    inside("CPUPressureWatch=yes", "echo ${CPU_PRESSURE_WATCH##*/}", "cpu.pressure"),
    inside("IOPressureWatch=yes", "echo ${IO_PRESSURE_WATCH##*/}", "io.pressure"),
    // What is written is what the kernel takes, by the service's own user.
    inside("MemoryPressureThresholdSec=70ms", written!("MEMORY"), "some 70000 2000000").on(&["MemoryPressureWatch=yes", "User=daemon"]),
    inside("CPUPressureThresholdSec=70ms", written!("CPU"), "some 70000 2000000").on(&["CPUPressureWatch=yes", "User=daemon"]),
    inside("IOPressureThresholdSec=70ms", written!("IO"), "some 70000 2000000").on(&["IOPressureWatch=yes", "User=daemon"]),
    inside("Delegate=yes", concat!(own!(), "mkdir $group/own && echo $$ > $group/own/cgroup.procs && grep -o /own$ /proc/self/cgroup"), "/own").on(&["User=daemon"]),
    inside("DelegateSubgroup=inner", "grep -o '/inner$' /proc/self/cgroup", "/inner").on(&["Delegate=yes"]),
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
