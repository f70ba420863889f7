//! Sockets: which ports may be bound, and which interface they belong to.

use model::value::SocketBindRule;

use super::code::{Backwards, Instruction, Is, R1, R2, R3, TooLong};

/// Offsets in `struct bpf_sock_addr`.
const PORT: i16 = 24;
const PROTOCOL: i16 = 36;
/// Offset in `struct bpf_sock`.
const BOUND_INTERFACE: i16 = 0;

/// IANA's numbers.
const TCP: u32 = 6;
const UDP: u32 = 17;

/// Who may bind: 1 lets bind(2) go on, 0 refuses it with EPERM. What a rule of `allow` matches is allowed, whatever `deny` says.
pub(super) fn bind(
    allow: &[SocketBindRule],
    deny: &[SocketBindRule],
    family: &str,
) -> Result<Vec<Instruction>, TooLong> {
    let mut code = Backwards::default();
    let refuse = code.give(0);
    let pass = code.give(1);
    let mut next = pass;
    let of_family = |rule: &&SocketBindRule| rule.family.is_empty() || rule.family == family;
    let rules = allow.iter().filter(of_family).map(|rule| (rule, pass));
    let rules: Vec<_> = rules
        .chain(deny.iter().filter(of_family).map(|rule| (rule, refuse)))
        .collect();
    for (rule, verdict) in rules.into_iter().rev() {
        let mut holds = verdict;
        if let Some((first, last)) = rule.ports {
            holds = code.compare(R3, Is::Above, last.into(), next, holds);
            holds = code.compare(R3, Is::AtLeast, first.into(), holds, next);
        }
        let protocol = match rule.protocol.as_str() {
            "tcp" => Some(TCP),
            "udp" => Some(UDP),
            _ => None,
        };
        if let Some(protocol) = protocol {
            holds = code.compare(R2, Is::Equal, protocol, holds, next);
        }
        next = holds;
    }
    code.go(next);
    code.host_order(R3, 16);
    code.load(R3, R1, PORT);
    code.load(R2, R1, PROTOCOL);
    code.finish()
}

/// Binds every socket to an interface when it is made.
pub(super) fn belong_to(interface: u32) -> Result<Vec<Instruction>, TooLong> {
    let mut code = Backwards::default();
    code.give(1);
    code.store(R1, BOUND_INTERFACE, R2);
    code.set(R2, interface.cast_signed());
    code.finish()
}
