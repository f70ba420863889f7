//! Rows: devices, networks and the place in the tree.

use model::key;

use crate::row::{FromImage, Row, later};
use crate::types::*;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "BindNetworkInterface",
        directive: key::BIND_NETWORK_INTERFACE.directive(),
        value: &TEXT,
        summary: "Binds every socket of the unit to a network interface.",
        since: "260",
        from_image: FromImage::Never,
        bus: "s",
        status: later::BPF,
        ..Row::RESTRICTS
    },
    Row {
        name: "BPFProgram",
        directive: key::BPF_PROGRAM.directive(),
        value: &WORDS,
        summary: "Attaches pinned BPF programs to the unit.",
        since: "249",
        from_image: FromImage::Never,
        bus: "a(ss)",
        status: later::BPF,
        ..Row::RESTRICTS
    },
    Row {
        name: "CoredumpReceive",
        directive: key::COREDUMP_RECEIVE.directive(),
        value: &BOOL,
        default_text: "no",
        summary: "Sends core dumps of containers in the unit into the unit.",
        since: "255",
        bus: "b",
        status: later::CONTROL_GROUPS,
        ..Row::NEVER
    },
    Row {
        name: "Delegate",
        directive: key::DELEGATE.directive(),
        value: &DELEGATE,
        summary: "Hands the control group below the unit over to it.",
        since: "218",
        weight: 100,
        bus: "b",
        status: later::CONTROL_GROUPS,
        ..Row::NEVER
    },
    Row {
        name: "DelegateSubgroup",
        directive: key::DELEGATE_SUBGROUP.directive(),
        value: &TEXT,
        summary: "Places the unit's processes in a control group below its own.",
        since: "254",
        bus: "s",
        status: later::CONTROL_GROUPS,
        ..Row::NEVER
    },
    Row {
        name: "DeviceAllow",
        directive: key::DEVICE_ALLOW.directive(),
        value: &DEVICE_RULES,
        summary: "Allows access to a device.",
        since: "208",
        weight: 1000,
        from_image: FromImage::Asks,
        bus: "a(ss)",
        status: later::BPF,
        ..Row::RESTRICTS
    },
    Row {
        name: "DevicePolicy",
        directive: key::DEVICE_POLICY.directive(),
        value: &DEVICE_POLICY,
        default_text: "auto",
        summary: "Says which devices are allowed by themselves.",
        since: "208",
        bus: "s",
        status: later::BPF,
        ..Row::RESTRICTS
    },
    Row {
        name: "DisableControllers",
        directive: key::DISABLE_CONTROLLERS.directive(),
        value: &CONTROLLERS,
        summary: "Keeps controllers from the unit's children.",
        since: "240",
        bus: "as",
        status: later::CONTROL_GROUPS,
        ..Row::NEVER
    },
    Row {
        name: "IPAccounting",
        directive: key::IP_ACCOUNTING.directive(),
        value: &BOOL,
        default_text: "no",
        summary: "Counts network packets and bytes.",
        since: "235",
        bus: "b",
        status: later::BPF,
        ..Row::FREE
    },
    Row {
        name: "IPAddressAllow",
        directive: key::IP_ADDRESS_ALLOW.directive(),
        value: &IP_PREFIXES,
        summary: "Allows traffic with networks that IPAddressDeny= would stop.",
        since: "235",
        bus: "a(iayu)",
        status: later::BPF,
        ..Row::ASKS
    },
    Row {
        name: "IPAddressDeny",
        directive: key::IP_ADDRESS_DENY.directive(),
        value: &IP_PREFIXES,
        summary: "Stops traffic with networks.",
        since: "235",
        weight: 1000,
        bus: "a(iayu)",
        status: later::BPF,
        ..Row::RESTRICTS
    },
    Row {
        name: "IPEgressFilterPath",
        directive: key::IP_EGRESS_FILTER_PATH.directive(),
        value: &PATHS,
        summary: "Filters outgoing packets by a pinned BPF program.",
        since: "243",
        from_image: FromImage::Never,
        bus: "as",
        status: later::BPF,
        ..Row::RESTRICTS
    },
    Row {
        name: "IPIngressFilterPath",
        directive: key::IP_INGRESS_FILTER_PATH.directive(),
        value: &PATHS,
        summary: "Filters incoming packets by a pinned BPF program.",
        since: "243",
        from_image: FromImage::Never,
        bus: "as",
        status: later::BPF,
        ..Row::RESTRICTS
    },
    Row {
        name: "NetClass",
        directive: key::NET_CLASS.directive(),
        value: &TEXT,
        summary: "Did tag packets with a class.",
        status: later::GONE,
        ..Row::NEVER
    },
    Row {
        name: "NFTSet",
        directive: key::NFT_SET.directive(),
        value: &WORDS,
        summary: "Puts the unit's ids into sets of the firewall.",
        since: "255",
        bus: "a(iiss)",
        status: later::BPF,
        ..Row::NEVER
    },
    Row {
        name: "RestrictNetworkInterfaces",
        directive: key::RESTRICT_NETWORK_INTERFACES.directive(),
        value: &WORDS,
        summary: "Allows only the named network interfaces.",
        since: "250",
        bus: "(bas)",
        status: later::BPF,
        ..Row::RESTRICTS
    },
    Row {
        name: "Slice",
        directive: key::SLICE.directive(),
        value: &UNIT_REFERENCE,
        summary: "Places the unit in a slice of the resource tree.",
        since: "208",
        bus: "s",
        status: later::CONTROL_GROUPS,
        ..Row::NEVER
    },
    Row {
        name: "SocketBindAllow",
        directive: key::SOCKET_BIND_ALLOW.directive(),
        value: &SOCKET_BIND_RULES,
        summary: "Allows binding ports that SocketBindDeny= would stop.",
        since: "249",
        bus: "a(iiqq)",
        status: later::BPF,
        ..Row::ASKS
    },
    Row {
        name: "SocketBindDeny",
        directive: key::SOCKET_BIND_DENY.directive(),
        value: &SOCKET_BIND_RULES,
        summary: "Stops binding ports.",
        since: "249",
        bus: "a(iiqq)",
        status: later::BPF,
        ..Row::RESTRICTS
    },
];
