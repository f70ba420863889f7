//! Rows: [Socket] alone: options of the sockets.

use model::key;

use crate::row::{Row, later, said};
use crate::types::*;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "KeepAlive",
        directive: key::KEEP_ALIVE.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Probes idle TCP connections."),
        bus: said("b"),
        ..Row::FREE
    },
    Row {
        name: "KeepAliveIntervalSec",
        directive: key::KEEP_ALIVE_INTERVAL_SEC.directive(),
        value: &TIME_SPAN,
        summary: said("Sets the time between probes."),
        since: said("216"),
        bus: said("t"),
        ..Row::FREE
    },
    Row {
        name: "KeepAliveProbes",
        directive: key::KEEP_ALIVE_PROBES.directive(),
        value: &COUNT,
        summary: said("Says how many unanswered probes end a connection."),
        since: said("216"),
        bus: said("u"),
        ..Row::FREE
    },
    Row {
        name: "KeepAliveTimeSec",
        directive: key::KEEP_ALIVE_TIME_SEC.directive(),
        value: &TIME_SPAN,
        summary: said("Says how long a connection is idle before it is probed."),
        since: said("216"),
        bus: said("t"),
        ..Row::FREE
    },
    Row {
        name: "ListenDatagram",
        directive: key::LISTEN_DATAGRAM.directive(),
        value: &LISTEN_ADDRESSES,
        summary: said("Listens on an address for datagrams."),
        ..Row::ASKS
    },
    Row {
        name: "ListenFIFO",
        directive: key::LISTEN_FIFO.directive(),
        value: &PATH_LINES,
        summary: said("Makes a named pipe and waits for data."),
        ..Row::ASKS
    },
    Row {
        name: "ListenMessageQueue",
        directive: key::LISTEN_MESSAGE_QUEUE.directive(),
        value: &PATH_LINES,
        summary: said("Makes a POSIX message queue and waits for messages."),
        ..Row::ASKS
    },
    Row {
        name: "ListenNetlink",
        directive: key::LISTEN_NETLINK.directive(),
        value: &NETLINK,
        summary: said("Listens on a netlink family."),
        ..Row::ASKS
    },
    Row {
        name: "ListenSequentialPacket",
        directive: key::LISTEN_SEQUENTIAL_PACKET.directive(),
        value: &LISTEN_ADDRESSES,
        summary: said("Listens on an address for connections that keep packets whole."),
        ..Row::ASKS
    },
    Row {
        name: "ListenSpecial",
        directive: key::LISTEN_SPECIAL.directive(),
        value: &PATH_LINES,
        summary: said("Opens a special file and waits for data."),
        ..Row::NEVER
    },
    Row {
        name: "ListenStream",
        directive: key::LISTEN_STREAM.directive(),
        value: &LISTEN_ADDRESSES,
        summary: said("Listens on an address for connections."),
        ..Row::ASKS
    },
    Row {
        name: "ListenUSBFunction",
        directive: key::LISTEN_USB_FUNCTION.directive(),
        value: &PATH_LINES,
        summary: said("Waits on a USB gadget."),
        since: said("227"),
        status: later::USB,
        ..Row::NEVER
    },
    Row {
        name: "Mark",
        directive: key::MARK.directive(),
        value: &SIGNED,
        summary: said("Sets the firewall mark of packets."),
        bus: said("i"),
        ..Row::ASKS
    },
    Row {
        name: "MaxConnections",
        directive: key::MAX_CONNECTIONS.directive(),
        value: &COUNT,
        default_text: "64",
        summary: said("Bounds the connections at once with Accept=yes."),
        bus: said("u"),
        ..Row::FREE
    },
    Row {
        name: "MaxConnectionsPerSource",
        directive: key::MAX_CONNECTIONS_PER_SOURCE.directive(),
        value: &COUNT,
        summary: said("Bounds the connections of one address with Accept=yes."),
        since: said("232"),
        bus: said("u"),
        ..Row::FREE
    },
    Row {
        name: "MessageQueueMaxMessages",
        directive: key::MESSAGE_QUEUE_MAX_MESSAGES.directive(),
        value: &NUMBER,
        summary: said("Sets how many messages the queue holds."),
        bus: said("x"),
        ..Row::FREE
    },
    Row {
        name: "MessageQueueMessageSize",
        directive: key::MESSAGE_QUEUE_MESSAGE_SIZE.directive(),
        value: &NUMBER,
        summary: said("Sets how large a message is."),
        bus: said("x"),
        ..Row::FREE
    },
    Row {
        name: "NoDelay",
        directive: key::NO_DELAY.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Sends small TCP packets at once."),
        since: said("216"),
        bus: said("b"),
        ..Row::FREE
    },
    Row {
        name: "PassCredentials",
        directive: key::PASS_CREDENTIALS.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Lets receivers see who sent."),
        bus: said("b"),
        ..Row::FREE
    },
    Row {
        name: "PassFileDescriptorsToExec",
        directive: key::PASS_FILE_DESCRIPTORS_TO_EXEC.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Hands the sockets to the unit's own commands."),
        since: said("256"),
        bus: said("b"),
        ..Row::NEVER
    },
    Row {
        name: "PassPacketInfo",
        directive: key::PASS_PACKET_INFO.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Lets receivers see where a packet came in."),
        since: said("246"),
        bus: said("b"),
        ..Row::FREE
    },
    Row {
        name: "PassPIDFD",
        directive: key::PASS_PIDFD.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Lets receivers get a descriptor of the sending process."),
        since: said("258"),
        bus: said("b"),
        ..Row::FREE
    },
    Row {
        name: "PassSecurity",
        directive: key::PASS_SECURITY.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Lets receivers see the security context of the sender."),
        bus: said("b"),
        ..Row::FREE
    },
    Row {
        name: "PipeSize",
        directive: key::PIPE_SIZE.directive(),
        value: &BYTE_SIZE,
        summary: said("Sets the size of the named pipe's buffer."),
        bus: said("t"),
        ..Row::ASKS
    },
    Row {
        name: "PollLimitBurst",
        directive: key::POLL_LIMIT_BURST.directive(),
        value: &COUNT,
        default_text: "150",
        summary: said("Says how many events are taken in one interval."),
        since: said("255"),
        bus: said("u"),
        ..Row::FREE
    },
    Row {
        name: "PollLimitIntervalSec",
        directive: key::POLL_LIMIT_INTERVAL_SEC.directive(),
        value: &TIME_SPAN,
        default_text: "2s",
        summary: said("Sets the interval of the event limit."),
        since: said("255"),
        bus: said("t"),
        ..Row::FREE
    },
    Row {
        name: "Priority",
        directive: key::SOCKET_PRIORITY.directive(),
        value: &SIGNED,
        summary: said("Sets the priority of packets."),
        bus: said("i"),
        ..Row::ASKS
    },
    Row {
        name: "ReceiveBuffer",
        directive: key::RECEIVE_BUFFER.directive(),
        value: &BYTE_SIZE,
        summary: said("Sets the size of the receive buffer."),
        bus: said("t"),
        ..Row::ASKS
    },
    Row {
        name: "RemoveOnStop",
        directive: key::REMOVE_ON_STOP.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Removes the files of sockets and pipes when the unit stops."),
        since: said("214"),
        bus: said("b"),
        ..Row::FREE
    },
    Row {
        name: "ReusePort",
        directive: key::REUSE_PORT.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Lets several sockets share a port."),
        since: said("206"),
        bus: said("b"),
        ..Row::NEVER
    },
    Row {
        name: "SELinuxContextFromNet",
        directive: key::SELINUX_CONTEXT_FROM_NET.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Takes the SELinux context of the service from the connection."),
        since: said("217"),
        status: later::SECURITY_MODULES,
        ..Row::NEVER
    },
    Row {
        name: "SendBuffer",
        directive: key::SEND_BUFFER.directive(),
        value: &BYTE_SIZE,
        summary: said("Sets the size of the send buffer."),
        bus: said("t"),
        ..Row::ASKS
    },
    Row {
        name: "Service",
        directive: key::SERVICE.directive(),
        value: &UNIT_REFERENCE,
        summary: said("Names the service that traffic starts."),
        ..Row::ASKS
    },
    Row {
        name: "SmackLabel",
        directive: key::SMACK_LABEL.directive(),
        value: &TEXT,
        summary: said("Sets the SMACK label of the file."),
        since: said("196"),
        bus: said("s"),
        status: later::SECURITY_MODULES,
        ..Row::NEVER
    },
    Row {
        name: "SmackLabelIPIn",
        directive: key::SMACK_LABEL_IP_IN.directive(),
        value: &TEXT,
        summary: said("Sets the SMACK label of incoming packets."),
        since: said("196"),
        bus: said("s"),
        status: later::SECURITY_MODULES,
        ..Row::NEVER
    },
    Row {
        name: "SmackLabelIPOut",
        directive: key::SMACK_LABEL_IP_OUT.directive(),
        value: &TEXT,
        summary: said("Sets the SMACK label of outgoing packets."),
        since: said("196"),
        bus: said("s"),
        status: later::SECURITY_MODULES,
        ..Row::NEVER
    },
    Row {
        name: "SocketGroup",
        directive: key::SOCKET_GROUP.directive(),
        value: &ACCOUNT,
        summary: said("Sets the group of the files of sockets and pipes."),
        since: said("214"),
        bus: said("s"),
        ..Row::FREE
    },
    Row {
        name: "SocketMode",
        directive: key::SOCKET_MODE.directive(),
        value: &FILE_MODE,
        default_text: "0666",
        summary: said("Sets the permissions of the files of sockets and pipes."),
        bus: said("u"),
        ..Row::FREE
    },
    Row {
        name: "SocketProtocol",
        directive: key::SOCKET_PROTOCOL.directive(),
        value: &SOCKET_PROTOCOL,
        summary: said("Chooses another transport."),
        since: said("229"),
        bus: said("i"),
        ..Row::ASKS
    },
    Row {
        name: "SocketUser",
        directive: key::SOCKET_USER.directive(),
        value: &ACCOUNT,
        summary: said("Sets the owner of the files of sockets and pipes."),
        since: said("214"),
        bus: said("s"),
        ..Row::FREE
    },
    Row {
        name: "Symlinks",
        directive: key::SYMLINKS.directive(),
        value: &PATHS,
        summary: said("Makes symbolic links to the socket or pipe."),
        since: said("214"),
        bus: said("as"),
        ..Row::ASKS
    },
    Row {
        name: "TCPCongestion",
        directive: key::TCP_CONGESTION.directive(),
        value: &TEXT,
        summary: said("Chooses the congestion control of TCP."),
        bus: said("s"),
        ..Row::FREE
    },
    Row {
        name: "TimeoutSec",
        directive: key::SOCKET_TIMEOUT_SEC.directive(),
        value: &TIMEOUT,
        summary: said("Bounds how long the unit's commands take."),
        bus: said("t"),
        ..Row::FREE
    },
    Row {
        name: "Timestamping",
        directive: key::TIMESTAMPING.directive(),
        value: &SOCKET_TIMESTAMPING,
        default_text: "off",
        summary: said("Gives datagrams the time when they came."),
        since: said("247"),
        bus: said("s"),
        ..Row::FREE
    },
    Row {
        name: "Transparent",
        directive: key::TRANSPARENT.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Binds addresses that are not the host's."),
        bus: said("b"),
        ..Row::NEVER
    },
    Row {
        name: "TriggerLimitBurst",
        directive: key::SOCKET_TRIGGER_LIMIT_BURST.directive(),
        value: &COUNT,
        default_text: "200",
        summary: said("Says how many starts are tried in one interval."),
        since: said("230"),
        bus: said("u"),
        ..Row::FREE
    },
    Row {
        name: "TriggerLimitIntervalSec",
        directive: key::SOCKET_TRIGGER_LIMIT_INTERVAL_SEC.directive(),
        value: &TIME_SPAN,
        default_text: "2s",
        summary: said("Sets the interval of the start limit."),
        since: said("230"),
        bus: said("t"),
        ..Row::FREE
    },
    Row {
        name: "Writable",
        directive: key::WRITABLE.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Opens the special file for writing too."),
        since: said("227"),
        bus: said("b"),
        ..Row::NEVER
    },
    Row {
        name: "XAttrAccept",
        directive: key::XATTR_ACCEPT.directive(),
        value: &TEXT,
        summary: said("Sets an extended attribute on accepted sockets."),
        since: said("262"),
        bus: said("a(ss)"),
        status: later::SOCKET_ATTRIBUTES,
        ..Row::FREE
    },
    Row {
        name: "XAttrEntryPoint",
        directive: key::XATTR_ENTRY_POINT.directive(),
        value: &WORDS,
        summary: said("Sets an extended attribute on the socket's file."),
        since: said("262"),
        bus: said("a(ss)"),
        ..Row::FREE
    },
    Row {
        name: "XAttrListen",
        directive: key::XATTR_LISTEN.directive(),
        value: &TEXT,
        summary: said("Sets an extended attribute on listening sockets."),
        since: said("262"),
        bus: said("a(ss)"),
        status: later::SOCKET_ATTRIBUTES,
        ..Row::FREE
    },
];
