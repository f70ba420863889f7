//! Rows: [Socket] alone: what is listened on.

use model::key;

use crate::row::{Row, said};
use crate::types::*;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "Accept",
        directive: key::ACCEPT.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Says whether a service is started for each connection."),
        bus: said("b"),
        ..Row::FREE
    },
    Row {
        name: "AcceptFileDescriptors",
        directive: key::ACCEPT_FILE_DESCRIPTORS.directive(),
        value: &BOOL,
        default_text: "yes",
        summary: said("Says whether peers may send descriptors."),
        since: said("258"),
        bus: said("b"),
        ..Row::FREE
    },
    Row {
        name: "Backlog",
        directive: key::BACKLOG.directive(),
        value: &COUNT,
        default_text: "4294967295",
        summary: said("Says how many connections wait to be accepted."),
        bus: said("u"),
        ..Row::FREE
    },
    Row {
        name: "BindIPv6Only",
        directive: key::BIND_IPV6_ONLY.directive(),
        value: &BIND_IPV6_ONLY,
        default_text: "default",
        summary: said("Says whether an IPv6 socket takes IPv4 too."),
        bus: said("s"),
        ..Row::FREE
    },
    Row {
        name: "BindToDevice",
        directive: key::BIND_TO_DEVICE.directive(),
        value: &TEXT,
        summary: said("Binds the sockets to a network interface."),
        bus: said("s"),
        ..Row::ASKS
    },
    Row {
        name: "Broadcast",
        directive: key::BROADCAST.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Lets datagrams go to broadcast addresses."),
        bus: said("b"),
        ..Row::ASKS
    },
    Row {
        name: "DeferAcceptSec",
        directive: key::DEFER_ACCEPT_SEC.directive(),
        value: &TIME_SPAN,
        summary: said("Waits for data before a connection is taken."),
        since: said("216"),
        bus: said("t"),
        ..Row::FREE
    },
    Row {
        name: "DeferTrigger",
        directive: key::DEFER_TRIGGER.directive(),
        value: &DEFER_TRIGGER,
        default_text: "no",
        summary: said("Says whether a start waits for a conflicting unit."),
        since: said("258"),
        bus: said("s"),
        ..Row::FREE
    },
    Row {
        name: "DeferTriggerMaxSec",
        directive: key::DEFER_TRIGGER_MAX_SEC.directive(),
        value: &TIME_SPAN,
        default_text: "infinity",
        summary: said("Bounds how long a start waits for a conflicting unit."),
        since: said("258"),
        bus: said("t"),
        ..Row::FREE
    },
    Row {
        name: "DirectoryMode",
        directive: key::SOCKET_DIRECTORY_MODE.directive(),
        value: &FILE_MODE,
        default_text: "0755",
        summary: said("Sets the permissions of directories made for sockets."),
        bus: said("u"),
        ..Row::FREE
    },
    Row {
        name: "ExecStartPost",
        directive: key::SOCKET_EXEC_START_POST.directive(),
        value: &EXEC_COMMANDS,
        summary: said("Runs commands after the sockets listen."),
        bus: said("a(sasbttttuii)"),
        ..Row::NEVER
    },
    Row {
        name: "ExecStartPre",
        directive: key::SOCKET_EXEC_START_PRE.directive(),
        value: &EXEC_COMMANDS,
        summary: said("Runs commands before the sockets are made."),
        bus: said("a(sasbttttuii)"),
        ..Row::NEVER
    },
    Row {
        name: "ExecStopPost",
        directive: key::SOCKET_EXEC_STOP_POST.directive(),
        value: &EXEC_COMMANDS,
        summary: said("Runs commands after the sockets are closed."),
        bus: said("a(sasbttttuii)"),
        ..Row::NEVER
    },
    Row {
        name: "ExecStopPre",
        directive: key::EXEC_STOP_PRE.directive(),
        value: &EXEC_COMMANDS,
        summary: said("Runs commands before the sockets are closed."),
        bus: said("a(sasbttttuii)"),
        ..Row::NEVER
    },
    Row {
        name: "FileDescriptorName",
        directive: key::FILE_DESCRIPTOR_NAME.directive(),
        value: &TEXT,
        summary: said("Names the descriptors that the service gets."),
        since: said("227"),
        bus: said("s"),
        ..Row::FREE
    },
    Row {
        name: "FlushPending",
        directive: key::FLUSH_PENDING.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Drops waiting connections and data when the service has ended."),
        since: said("247"),
        bus: said("b"),
        ..Row::FREE
    },
    Row {
        name: "FreeBind",
        directive: key::FREE_BIND.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Binds addresses that are not there yet."),
        bus: said("b"),
        ..Row::ASKS
    },
    Row {
        name: "IPTOS",
        directive: key::IP_TOS.directive(),
        value: &IP_TOS,
        summary: said("Sets the type of service of packets."),
        bus: said("i"),
        ..Row::FREE
    },
    Row {
        name: "IPTTL",
        directive: key::IP_TTL.directive(),
        value: &SIGNED,
        summary: said("Sets how many hops packets live."),
        bus: said("i"),
        ..Row::FREE
    },
];
