//! What the programs say to what the kernel would hand them, by a machine that runs them.

use std::net::IpAddr;

use model::value::{IpPrefix, IpPrefixes, NameFilter};
use model::{TextForm, Unit, key};
use proptest::prelude::*;

use super::machine::Machine;
use super::{DeviceNumbers, GroupProgram, Host, Source, group_programs};

fn unit(of: impl FnOnce(&mut Unit)) -> Unit {
    let mut unit = Unit::new("web.service".parse().expect("a name"));
    of(&mut unit);
    unit
}

fn value<T: TextForm>(text: &str) -> T {
    T::parse(text).expect("a value")
}

fn programs(unit: &Unit) -> Vec<GroupProgram> {
    let devices = |name: &str| match name {
        "/dev/fuse" => vec![DeviceNumbers {
            block: false,
            major: Some(10),
            minor: Some(229),
        }],
        "char-rtc" => vec![DeviceNumbers {
            block: false,
            major: Some(250),
            minor: None,
        }],
        "block-loop" => vec![DeviceNumbers {
            block: true,
            major: Some(7),
            minor: None,
        }],
        _ => Vec::new(),
    };
    let interface = |name: &str| match name {
        "lo" => Some(1),
        "eth0" => Some(2),
        _ => None,
    };
    let host = Host {
        devices: &devices,
        interface: &interface,
        ground: &|| Err("nothing".into()),
    };
    group_programs(unit, &host).expect("programs")
}

fn code<'a>(programs: &'a [GroupProgram], hook: &str) -> &'a [super::Instruction] {
    let found = programs.iter().find(|program| program.hook.name == hook);
    match &found.expect("a program").source {
        Source::Made(code) => code,
        Source::Pinned(path) => panic!("{path} is pinned"),
    }
}

const MAKE: u32 = 1;
const READ: u32 = 2;
const WRITE: u32 = 4;

fn may(programs: &[GroupProgram], block: bool, major: u32, minor: u32, access: u32) -> bool {
    let kind = if block { 1 } else { 2 };
    let mut context = vec![(0, access << 16 | kind), (4, major), (8, minor)];
    let mut machine = Machine {
        context: &mut context,
        packet: &[],
        counters: [0; 4],
    };
    machine.run(code(programs, "device")) == 1
}

#[test]
fn a_unit_that_says_nothing_has_no_program() {
    assert_eq!(programs(&unit(|_| {})), []);
    let allowed = unit(|unit| unit.set(&key::IP_ADDRESS_ALLOW, value("localhost")));
    assert_eq!(programs(&allowed), []);
}

#[test]
fn devices_that_are_named_come_beside_the_standard_ones() {
    let found = programs(&unit(|unit| {
        unit.set(&key::DEVICE_ALLOW, value("/dev/fuse rw"));
    }));
    assert!(may(&found, false, 10, 229, READ | WRITE));
    assert!(!may(&found, false, 10, 229, READ | MAKE));
    assert!(!may(&found, false, 10, 228, READ));
    assert!(!may(&found, true, 10, 229, READ));
    assert!(may(&found, false, 1, 3, READ | WRITE | MAKE));
    assert!(may(&found, false, 136, 7, READ | WRITE));
    assert!(!may(&found, false, 136, 7, MAKE));
    assert!(!may(&found, false, 1, 1, READ), "/dev/mem");
}

#[test]
fn a_strict_policy_has_only_what_is_named() {
    let found = programs(&unit(|unit| {
        unit.set(&key::DEVICE_POLICY, value("strict"));
        unit.set(&key::DEVICE_ALLOW, value("block-loop r"));
    }));
    assert!(may(&found, true, 7, 3, READ));
    assert!(!may(&found, true, 7, 3, WRITE));
    assert!(!may(&found, false, 1, 3, READ));
}

#[test]
fn private_devices_and_a_protected_clock_close_the_rest() {
    let found = programs(&unit(|unit| unit.set(&key::PRIVATE_DEVICES, true)));
    assert!(
        found[0].may_reduce,
        "the directive holds by its own /dev, too"
    );
    assert!(may(&found, false, 1, 9, READ));
    assert!(!may(&found, false, 250, 0, READ));
    let found = programs(&unit(|unit| unit.set(&key::PROTECT_CLOCK, true)));
    assert!(may(&found, false, 250, 0, READ));
    assert!(!may(&found, false, 250, 0, WRITE));
}

/// A packet with this address on the other side.
fn packet(other: IpAddr, is_egress: bool) -> (Vec<u8>, u32) {
    match other {
        IpAddr::V4(address) => {
            let mut packet = vec![0xee; 20];
            let place = if is_egress { 16 } else { 12 };
            packet[place..place + 4].copy_from_slice(&address.octets());
            (packet, 0x0008)
        }
        IpAddr::V6(address) => {
            let mut packet = vec![0xee; 40];
            let place = if is_egress { 24 } else { 8 };
            packet[place..place + 16].copy_from_slice(&address.octets());
            (packet, 0xdd86)
        }
    }
}

/// What both programs say of traffic with an address, and what they counted.
fn passes(programs: &[GroupProgram], other: IpAddr, interface: u32) -> (bool, bool, [u64; 4]) {
    let mut counters = [0; 4];
    let [comes, goes] = [("ingress", false), ("egress", true)].map(|(hook, is_egress)| {
        let (packet, protocol) = packet(other, is_egress);
        let mut context = vec![(0, 100), (16, protocol), (40, interface)];
        let mut machine = Machine {
            context: &mut context,
            packet: &packet,
            counters,
        };
        let verdict = machine.run(code(programs, hook)) == 1;
        counters = machine.counters;
        verdict
    });
    (comes, goes, counters)
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[test]
fn traffic_is_filtered_by_the_address_of_the_other_side_and_counted_where_it_passes() {
    let found = programs(&unit(|unit| {
        unit.set(&key::IP_ADDRESS_DENY, value("any"));
        unit.set(&key::IP_ADDRESS_ALLOW, value("localhost 2001:db8::/32"));
        unit.set(&key::IP_ACCOUNTING, true);
    }));
    assert_eq!(
        passes(&found, address("127.1.2.3"), 1),
        (true, true, [1, 100, 1, 100])
    );
    assert_eq!(
        passes(&found, address("192.0.2.1"), 1),
        (false, false, [0; 4])
    );
    assert_eq!(
        passes(&found, address("2001:db8:7::1"), 1).2,
        [1, 100, 1, 100]
    );
    assert_eq!(passes(&found, address("2001:db9::"), 1).2, [0; 4]);
    assert_eq!(passes(&found, address("::1"), 1).2, [1, 100, 1, 100]);
    assert_eq!(passes(&found, address("::2"), 1).2, [0; 4]);
}

#[test]
fn a_packet_that_is_cut_short_does_not_pass() {
    let found = programs(&unit(|unit| {
        unit.set(&key::IP_ADDRESS_DENY, value("10.0.0.0/8"))
    }));
    let mut context = vec![(16, 0x0008)];
    let mut machine = Machine {
        context: &mut context,
        packet: &[0; 10],
        counters: [0; 4],
    };
    assert_eq!(machine.run(code(&found, "egress")), 0);
}

#[test]
fn interfaces_are_those_that_are_named_or_those_that_are_not() {
    let only = |text: &str| {
        let filter: NameFilter = value(text);
        let found = programs(&unit(|unit| {
            unit.set(&key::RESTRICT_NETWORK_INTERFACES, filter)
        }));
        [1, 2, 3].map(|interface| passes(&found, address("192.0.2.1"), interface).1)
    };
    assert_eq!(only("lo"), [true, false, false]);
    assert_eq!(only("lo eth0 absent0"), [true, true, false]);
    assert_eq!(only("~lo"), [false, true, true]);
}

#[test]
fn an_interface_that_could_come_later_or_is_of_another_network_is_refused() {
    let host = Host {
        devices: &|_| Vec::new(),
        interface: &|name| (name == "lo").then_some(1),
        ground: &|| Err("nothing".into()),
    };
    let of = |list: &str, network: Option<&str>| {
        let unit = unit(|unit| {
            unit.set(&key::RESTRICT_NETWORK_INTERFACES, value(list));
            if let Some(path) = network {
                unit.set(&key::NETWORK_NAMESPACE_PATH, value(path));
            }
        });
        group_programs(&unit, &host)
            .map(drop)
            .map_err(|refusal| refusal.why)
    };
    assert!(of("~lo absent0", None).is_err_and(|why| why.contains("absent0")));
    assert!(of("lo absent0", None).is_ok());
    assert!(of("~lo", Some("/run/netns/blue")).is_ok());
    assert!(of("eth0", Some("/run/netns/blue")).is_err_and(|why| why.contains("eth0")));
}

fn may_bind(programs: &[GroupProgram], hook: &str, protocol: u32, port: u16) -> bool {
    may_bind_at(programs, hook, protocol, port, "2001:db8::1")
}

fn may_bind_at(programs: &[GroupProgram], hook: &str, protocol: u32, port: u16, at: &str) -> bool {
    let mut context = vec![(36, protocol), (24, u32::from(port.to_be()))];
    let address: std::net::Ipv6Addr = at.parse().expect("an address");
    for (word, place) in address.octets().chunks(4).zip([8, 12, 16, 20]) {
        let word = word.try_into().expect("four bytes");
        context.push((place, u32::from_le_bytes(word)));
    }
    let mut machine = Machine {
        context: &mut context,
        packet: &[],
        counters: [0; 4],
    };
    machine.run(code(programs, hook)) == 1
}

#[test]
fn what_is_denied_to_one_family_is_denied_to_the_other_s_addresses_that_mean_it() {
    const TCP: u32 = 6;
    let found = programs(&unit(|unit| {
        unit.set(&key::SOCKET_BIND_DENY, value("ipv4:tcp:8080"))
    }));
    let of = |port, at: &str| may_bind_at(&found, "bind6", TCP, port, at);
    assert!(!of(8080, "::ffff:127.0.0.1"));
    assert!(!of(8080, "::"));
    assert!(of(8081, "::"));
    assert!(of(8080, "::1"));
    assert!(of(8080, "2001:db8::ffff:0:1"));
    let found = programs(&unit(|unit| {
        unit.set(&key::SOCKET_BIND_DENY, value("any"));
        unit.set(&key::SOCKET_BIND_ALLOW, value("ipv6:tcp:8080"));
    }));
    let of = |port, at: &str| may_bind_at(&found, "bind6", TCP, port, at);
    assert!(of(8080, "::") && of(8080, "::1"));
    assert!(!of(8080, "::ffff:127.0.0.1"));
}

#[test]
fn a_port_that_the_kernel_chooses_could_be_one_that_is_denied() {
    const TCP: u32 = 6;
    let of = |rule: &str| {
        let found = programs(&unit(|unit| unit.set(&key::SOCKET_BIND_DENY, value(rule))));
        ["bind4", "bind6"].map(|hook| may_bind(&found, hook, TCP, 0))
    };
    assert_eq!(of("tcp:1-1023"), [true; 2]);
    assert_eq!(of("tcp:1024-65535"), [false; 2]);
    assert_eq!(of("udp:1024-65535"), [true; 2]);
}

#[test]
fn ports_are_bound_where_a_rule_allows_or_none_denies() {
    const TCP: u32 = 6;
    const UDP: u32 = 17;
    let found = programs(&unit(|unit| {
        unit.set(&key::SOCKET_BIND_DENY, value("any"));
        let mut allow = value::<model::value::SocketBindRules>("ipv4:tcp:8000-8010");
        allow.append(value("udp:53"));
        unit.set(&key::SOCKET_BIND_ALLOW, allow);
    }));
    let of =
        |hook, protocol, ports: [u16; 4]| ports.map(|port| may_bind(&found, hook, protocol, port));
    assert_eq!(
        of("bind4", TCP, [7999, 8000, 8010, 8011]),
        [false, true, true, false]
    );
    assert_eq!(of("bind6", TCP, [7999, 8000, 8010, 8011]), [false; 4]);
    assert_eq!(
        of("bind6", UDP, [0, 52, 53, 54]),
        [false, false, true, false]
    );
    let found = programs(&unit(|unit| {
        unit.set(&key::SOCKET_BIND_DENY, value("tcp:1-1023"))
    }));
    let of =
        |hook, protocol, ports: [u16; 4]| ports.map(|port| may_bind(&found, hook, protocol, port));
    assert_eq!(
        of("bind6", TCP, [0, 1, 1023, 1024]),
        [true, false, false, true]
    );
    assert_eq!(of("bind6", UDP, [0, 1, 1023, 1024]), [true; 4]);
}

#[test]
fn a_socket_belongs_to_its_interface_or_is_not_planned() {
    let found = programs(&unit(|unit| {
        unit.set(&key::BIND_NETWORK_INTERFACE, "eth0".into())
    }));
    let mut context = vec![(0, 0)];
    let mut machine = Machine {
        context: &mut context,
        packet: &[],
        counters: [0; 4],
    };
    assert_eq!(machine.run(code(&found, "sock_create")), 1);
    assert_eq!(context.last(), Some(&(0, 2)));
    let absent = unit(|unit| unit.set(&key::BIND_NETWORK_INTERFACE, "absent0".into()));
    let host = Host {
        devices: &|_| Vec::new(),
        interface: &|_| None,
        ground: &|| Err("nothing".into()),
    };
    let refusal = group_programs(&absent, &host).expect_err("no such interface");
    assert!(refusal.to_string().contains("absent0"), "{refusal}");
}

#[test]
fn pinned_programs_have_hooks_and_paths() {
    let found = programs(&unit(|unit| {
        unit.set(&key::BPF_PROGRAM, value("connect6:/sys/fs/bpf/one"));
        unit.set(&key::IP_EGRESS_FILTER_PATH, value("/sys/fs/bpf/two"));
    }));
    let shown: Vec<_> = found
        .iter()
        .map(|program| (program.hook.name, program.source.clone()))
        .collect();
    let pinned = |path: &str| Source::Pinned(path.into());
    assert_eq!(
        shown,
        [
            ("egress", pinned("/sys/fs/bpf/two")),
            ("connect6", pinned("/sys/fs/bpf/one"))
        ]
    );
    let wrong = unit(|unit| unit.set(&key::BPF_PROGRAM, value("nowhere:/sys/fs/bpf/one")));
    let host = Host {
        devices: &|_| Vec::new(),
        interface: &|_| None,
        ground: &|| Err("nothing".into()),
    };
    assert!(group_programs(&wrong, &host).is_err());
}

#[test]
fn a_pinned_program_that_two_directives_name_stands_at_its_hook_once() {
    let found = programs(&unit(|unit| {
        unit.set(
            &key::BPF_PROGRAM,
            value("egress:/sys/fs/bpf/one ingress:/sys/fs/bpf/one"),
        );
        unit.set(&key::IP_EGRESS_FILTER_PATH, value("/sys/fs/bpf/one"));
    }));
    let hooks: Vec<_> = found.iter().map(|program| program.hook.name).collect();
    assert_eq!(hooks, ["egress", "ingress"]);
}

proptest! {
    #[test]
    fn both_versions_agree_with_the_lists(
        allow in proptest::collection::vec((any::<u128>(), 0..=128_u8), 0..6),
        deny in proptest::collection::vec((any::<u128>(), 0..=128_u8), 1..6),
        other in any::<u128>(),
        near in any::<proptest::sample::Index>(),
        step in -1..=1_i8,
    ) {
        let of = |list: &[(u128, u8)]| {
            let prefixes = list.iter().map(|(address, length)| {
                IpPrefix::new(IpAddr::V6((*address).into()), *length).expect("a network")
            });
            prefixes.collect::<Vec<_>>()
        };
        let (allow, deny) = (of(&allow), of(&deny));
        // An address at a boundary finds more mistakes than one anywhere.
        let edge = match deny[near.index(deny.len())].address {
            IpAddr::V6(address) => u128::from(address),
            IpAddr::V4(_) => 0,
        };
        for address in [other, edge.wrapping_add_signed(step.into())] {
            let holds = |list: &[IpPrefix]| list.iter().any(|prefix| {
                IpPrefix::new(IpAddr::V6(address.into()), prefix.length) == Some(*prefix)
            });
            let found = programs(&unit(|unit| {
                unit.set(&key::IP_ADDRESS_ALLOW, IpPrefixes(allow.clone()));
                unit.set(&key::IP_ADDRESS_DENY, IpPrefixes(deny.clone()));
            }));
            let expected = holds(&allow) || !holds(&deny);
            let (comes, goes, _) = passes(&found, IpAddr::V6(address.into()), 1);
            prop_assert_eq!((comes, goes), (expected, expected));
        }
    }
}
