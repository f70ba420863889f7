//! Sockets: which ports may be bound, and which interface they belong to.

use model::value::SocketBindRule;

use super::code::{Backwards, Instruction, Is, Label, R1, R2, R3, R4, TooLong};

/// Offsets in `struct bpf_sock_addr`.
const ADDRESS: i16 = 8;
const PORT: i16 = 24;
const PROTOCOL: i16 = 36;
/// Offset in `struct bpf_sock`.
const BOUND_INTERFACE: i16 = 0;

/// IANA's numbers.
const TCP: u32 = 6;
const UDP: u32 = 17;

/// The first port that the kernel may choose by itself, whatever `ip_local_port_range` says.
const FIRST_CHOSEN_PORT: u16 = 1024;

/// Who may bind: 1 lets bind(2) go on, 0 refuses it with EPERM. What a rule of `allow` matches is allowed, whatever `deny` says. At an address
/// of IPv6 that IPv4 reaches, the rules of IPv4 are asked as well.
pub(super) fn bind(
    allow: &[SocketBindRule],
    deny: &[SocketBindRule],
    family: &str,
) -> Result<Vec<Instruction>, TooLong> {
    let mut code = Backwards::default();
    let refuse = code.give(0);
    let mut pass = code.give(1);
    let verdicts = [pass, refuse];
    if family == "ipv6" {
        let of_version_4 = |named: &str| named == "ipv4";
        let all = |named: &str| named.is_empty() || of_version_4(named);
        let mapped = rules(&mut code, [allow, deny], &all, verdicts);
        let any = rules(&mut code, [allow, deny], &of_version_4, verdicts);
        if [mapped, any] != [pass; 2] {
            pass = by_version_4(&mut code, pass, mapped, any);
        }
    }
    let of_family = |named: &str| named.is_empty() || named == family;
    let first = rules(&mut code, [allow, deny], &of_family, [pass, refuse]);
    code.go(first);
    code.host_order(R3, 16);
    code.load(R3, R1, PORT);
    code.load(R2, R1, PROTOCOL);
    code.finish()
}

/// Goes where the address leads: `::ffff:0:0/96` is of IPv4, and `::` is all addresses of both, unless the socket says otherwise, which is not
/// seen here.
fn by_version_4(code: &mut Backwards, pass: Label, mapped: Label, any: Label) -> Label {
    /// The third word of a mapped address as it stands there, in the network's order.
    const MAPPED: u32 = 0xffff_0000;
    code.compare(R4, Is::Equal, 0, any, pass);
    let fourth = code.load(R4, R1, ADDRESS + 12);
    let other = code.compare(R4, Is::Equal, MAPPED, mapped, pass);
    code.compare(R4, Is::Equal, 0, fourth, other);
    let third = code.load(R4, R1, ADDRESS + 8);
    code.compare(R4, Is::Equal, 0, third, pass);
    let second = code.load(R4, R1, ADDRESS + 4);
    code.compare(R4, Is::Equal, 0, second, pass);
    code.load(R4, R1, ADDRESS)
}

/// Asks the rules of some families, first those that allow.
fn rules(
    code: &mut Backwards,
    [allow, deny]: [&[SocketBindRule]; 2],
    is_of_family: &dyn Fn(&str) -> bool,
    [pass, refuse]: [Label; 2],
) -> Label {
    let of_family = |rule: &&SocketBindRule| is_of_family(&rule.family);
    let mut next = pass;
    for rule in deny.iter().rev().filter(of_family) {
        next = one_rule(code, rule, refuse, next, true);
    }
    // Where nothing is denied, nothing needs to be allowed.
    if next == pass {
        return pass;
    }
    for rule in allow.iter().rev().filter(of_family) {
        next = one_rule(code, rule, pass, next, false);
    }
    next
}

fn one_rule(
    code: &mut Backwards,
    rule: &SocketBindRule,
    verdict: Label,
    next: Label,
    denies: bool,
) -> Label {
    let mut holds = verdict;
    if let Some((first, last)) = rule.ports {
        holds = code.compare(R3, Is::Above, last.into(), next, holds);
        holds = code.compare(R3, Is::AtLeast, first.into(), holds, next);
        // With port 0 the kernel chooses, and may choose one of these.
        if denies && last >= FIRST_CHOSEN_PORT {
            holds = code.compare(R3, Is::Equal, 0, verdict, holds);
        }
    }
    let protocol = match rule.protocol.as_str() {
        "tcp" => Some(TCP),
        "udp" => Some(UDP),
        _ => None,
    };
    match protocol {
        Some(protocol) => code.compare(R2, Is::Equal, protocol, holds, next),
        None => holds,
    }
}

/// Binds every socket to an interface when it is made.
pub(super) fn belong_to(interface: u32) -> Result<Vec<Instruction>, TooLong> {
    let mut code = Backwards::default();
    code.give(1);
    code.store(R1, BOUND_INTERFACE, R2);
    code.set(R2, interface.cast_signed());
    code.finish()
}
