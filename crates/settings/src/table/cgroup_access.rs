//! Rows: devices, networks and the place in the tree.

use model::key;

use crate::row::{FromImage, Row, later, said};
use crate::types::*;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "BindNetworkInterface",
        directive: key::BIND_NETWORK_INTERFACE.directive(),
        value: &TEXT,
        summary: said("Binds every socket of the unit to a network interface."),
        since: said("260"),
        from_image: FromImage::Never,
        bus: said("s"),
        ..Row::RESTRICTS
    },
    Row {
        name: "BPFProgram",
        directive: key::BPF_PROGRAM.directive(),
        value: &WORDS,
        summary: said("Attaches pinned BPF programs to the unit."),
        since: said("249"),
        from_image: FromImage::Never,
        bus: said("a(ss)"),
        ..Row::RESTRICTS
    },
    Row {
        name: "CoredumpReceive",
        directive: key::COREDUMP_RECEIVE.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Sends core dumps of containers in the unit into the unit."),
        since: said("255"),
        bus: said("b"),
        status: later::CONTROL_GROUPS,
        ..Row::NEVER
    },
    Row {
        name: "Delegate",
        directive: key::DELEGATE.directive(),
        value: &DELEGATE,
        summary: said("Hands the control group below the unit over to it."),
        since: said("218"),
        weight: 100,
        bus: said("b"),
        ..Row::NEVER
    },
    Row {
        name: "DelegateSubgroup",
        directive: key::DELEGATE_SUBGROUP.directive(),
        value: &SUBGROUP_NAME,
        summary: said("Places the unit's processes in a control group below its own."),
        since: said("254"),
        bus: said("s"),
        ..Row::NEVER
    },
    Row {
        name: "DeviceAllow",
        directive: key::DEVICE_ALLOW.directive(),
        value: &DEVICE_RULES,
        summary: said("Allows access to a device."),
        since: said("208"),
        weight: 1000,
        from_image: FromImage::Asks,
        bus: said("a(ss)"),
        ..Row::RESTRICTS
    },
    Row {
        name: "DevicePolicy",
        directive: key::DEVICE_POLICY.directive(),
        value: &DEVICE_POLICY,
        default_text: "auto",
        summary: said("Says which devices are allowed by themselves."),
        since: said("208"),
        bus: said("s"),
        ..Row::RESTRICTS
    },
    Row {
        name: "DisableControllers",
        directive: key::DISABLE_CONTROLLERS.directive(),
        value: &CONTROLLERS,
        summary: said("Keeps controllers from the unit's children."),
        since: said("240"),
        bus: said("as"),
        ..Row::NEVER
    },
    Row {
        name: "IPAccounting",
        directive: key::IP_ACCOUNTING.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Counts network packets and bytes."),
        since: said("235"),
        bus: said("b"),
        ..Row::FREE
    },
    Row {
        name: "IPAddressAllow",
        directive: key::IP_ADDRESS_ALLOW.directive(),
        value: &IP_PREFIXES,
        summary: said("Allows traffic with networks that IPAddressDeny= would stop."),
        since: said("235"),
        bus: said("a(iayu)"),
        ..Row::ASKS
    },
    Row {
        name: "IPAddressDeny",
        directive: key::IP_ADDRESS_DENY.directive(),
        value: &IP_PREFIXES,
        summary: said("Stops traffic with networks."),
        since: said("235"),
        weight: 1000,
        bus: said("a(iayu)"),
        ..Row::RESTRICTS
    },
    Row {
        name: "IPEgressFilterPath",
        directive: key::IP_EGRESS_FILTER_PATH.directive(),
        value: &PATHS,
        summary: said("Filters outgoing packets by a pinned BPF program."),
        since: said("243"),
        from_image: FromImage::Never,
        bus: said("as"),
        ..Row::RESTRICTS
    },
    Row {
        name: "IPIngressFilterPath",
        directive: key::IP_INGRESS_FILTER_PATH.directive(),
        value: &PATHS,
        summary: said("Filters incoming packets by a pinned BPF program."),
        since: said("243"),
        from_image: FromImage::Never,
        bus: said("as"),
        ..Row::RESTRICTS
    },
    Row {
        name: "NetClass",
        directive: key::NET_CLASS.directive(),
        value: &TEXT,
        summary: said("Did tag packets with a class."),
        status: later::GONE,
        ..Row::NEVER
    },
    Row {
        name: "NFTSet",
        directive: key::NFT_SET.directive(),
        value: &NFT_SETS,
        summary: said("Puts the unit's ids into sets of the firewall."),
        since: said("255"),
        bus: said("a(iiss)"),
        ..Row::NEVER
    },
    Row {
        name: "RestrictNetworkInterfaces",
        directive: key::RESTRICT_NETWORK_INTERFACES.directive(),
        value: &NAMES,
        summary: said("Allows only the named network interfaces."),
        since: said("250"),
        bus: said("(bas)"),
        ..Row::RESTRICTS
    },
    Row {
        name: "Slice",
        directive: key::SLICE.directive(),
        value: &UNIT_REFERENCE,
        summary: said("Places the unit in a slice of the resource tree."),
        since: said("208"),
        bus: said("s"),
        ..Row::NEVER
    },
    Row {
        name: "SocketBindAllow",
        directive: key::SOCKET_BIND_ALLOW.directive(),
        value: &SOCKET_BIND_RULES,
        summary: said("Allows binding ports that SocketBindDeny= would stop."),
        since: said("249"),
        bus: said("a(iiqq)"),
        ..Row::ASKS
    },
    Row {
        name: "SocketBindDeny",
        directive: key::SOCKET_BIND_DENY.directive(),
        value: &SOCKET_BIND_RULES,
        summary: said("Stops binding ports."),
        since: said("249"),
        bus: said("a(iiqq)"),
        ..Row::RESTRICTS
    },
];
