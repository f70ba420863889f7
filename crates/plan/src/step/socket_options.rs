//! What listening sockets are told: bits of [`crate::Step::Listen`].

/// `SO_REUSEPORT` for [`crate::Step::Listen`].
pub const OPTION_REUSE_PORT: u32 = 1;
/// `IP_FREEBIND`.
pub const OPTION_FREE_BIND: u32 = 1 << 1;
/// `IP_TRANSPARENT`.
pub const OPTION_TRANSPARENT: u32 = 1 << 2;
/// `SO_KEEPALIVE`.
pub const OPTION_KEEP_ALIVE: u32 = 1 << 3;
/// `TCP_NODELAY`.
pub const OPTION_NO_DELAY: u32 = 1 << 4;
/// `SO_BROADCAST`.
pub const OPTION_BROADCAST: u32 = 1 << 5;
/// `SO_PASSCRED`.
pub const OPTION_PASS_CREDENTIALS: u32 = 1 << 6;
/// `SO_PASSSEC`.
pub const OPTION_PASS_SECURITY: u32 = 1 << 7;
/// `IPV6_V6ONLY` switched on.
pub const OPTION_V6_ONLY: u32 = 1 << 8;
/// `IPV6_V6ONLY` switched off.
pub const OPTION_V6_BOTH: u32 = 1 << 9;
/// `SO_TIMESTAMP`-like: packet information.
pub const OPTION_PACKET_INFO: u32 = 1 << 10;
