//! Networks as sorted ranges of addresses, each allowed or not: what a balanced search wants.

use std::net::IpAddr;

use model::value::IpPrefix;

/// Where a range of addresses begins, and whether it is allowed, up to the next.
pub(super) type Range = (u128, bool);

/// The ranges of all addresses of one kind. An address is allowed if it is in a network of `allow`, or in none of `deny`.
pub(super) fn ranges(allow: &[IpPrefix], deny: &[IpPrefix], version_4: bool) -> Vec<Range> {
    let of_kind = |prefixes: &[IpPrefix]| -> Vec<(u128, u128)> {
        let kind = prefixes
            .iter()
            .filter(|prefix| prefix.address.is_ipv4() == version_4);
        kind.map(bounds).collect()
    };
    let (allow, deny) = (merged(of_kind(allow)), merged(of_kind(deny)));
    let mut starts: Vec<u128> = vec![0];
    for (first, last) in allow.iter().chain(&deny) {
        starts.push(*first);
        starts.extend(last.checked_add(1));
    }
    if version_4 {
        starts.retain(|start| *start <= u128::from(u32::MAX));
    }
    model::order::sort(&mut starts);
    starts.dedup();
    let mut found: Vec<Range> = Vec::new();
    for start in starts {
        let is_allowed = is_in(&allow, start) || !is_in(&deny, start);
        if found.last().is_none_or(|(_, last)| *last != is_allowed) {
            found.push((start, is_allowed));
        }
    }
    found
}

/// The first and last address of a network.
fn bounds(prefix: &IpPrefix) -> (u128, u128) {
    let (first, bits) = match prefix.address {
        IpAddr::V4(address) => (u128::from(u32::from(address)), 32),
        IpAddr::V6(address) => (u128::from(address), 128),
    };
    let open = bits - u32::from(prefix.length).min(bits);
    let rest = u128::MAX.checked_shr(128 - open).unwrap_or(0);
    (first, first | rest)
}

/// Disjoint and sorted.
fn merged(mut ranges: Vec<(u128, u128)>) -> Vec<(u128, u128)> {
    model::order::sort(&mut ranges);
    let mut found: Vec<(u128, u128)> = Vec::new();
    for (first, last) in ranges {
        match found.last_mut() {
            Some((_, end)) if first <= end.saturating_add(1) => *end = (*end).max(last),
            _ => found.push((first, last)),
        }
    }
    found
}

fn is_in(ranges: &[(u128, u128)], address: u128) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= address);
    after
        .checked_sub(1)
        .and_then(|at| ranges.get(at))
        .is_some_and(|(_, last)| address <= *last)
}

#[cfg(test)]
mod tests {
    use super::ranges;
    use model::TextForm as _;
    use model::value::IpPrefixes;
    use proptest::prelude::*;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    fn prefixes(text: &str) -> IpPrefixes {
        IpPrefixes::parse(text).expect("networks")
    }

    fn shown(allow: &str, deny: &str, version_4: bool) -> Vec<String> {
        ranges(&prefixes(allow).0, &prefixes(deny).0, version_4)
            .into_iter()
            .map(|(start, is_allowed)| {
                let address = match u32::try_from(start) {
                    Ok(start) if version_4 => IpAddr::V4(Ipv4Addr::from(start)),
                    _ => IpAddr::V6(Ipv6Addr::from(start)),
                };
                format!("{} {address}", if is_allowed { '+' } else { '-' })
            })
            .collect()
    }

    #[test]
    fn what_is_allowed_beats_what_is_denied() {
        assert_eq!(shown("", "", true), ["+ 0.0.0.0"]);
        assert_eq!(shown("", "any", true), ["- 0.0.0.0"]);
        assert_eq!(shown("any", "any", true), ["+ 0.0.0.0"]);
        assert_eq!(
            shown("localhost", "any", true),
            ["- 0.0.0.0", "+ 127.0.0.0", "- 128.0.0.0"]
        );
        assert_eq!(
            shown("10.1.0.0/16", "10.0.0.0/8", true),
            [
                "+ 0.0.0.0",
                "- 10.0.0.0",
                "+ 10.1.0.0",
                "- 10.2.0.0",
                "+ 11.0.0.0"
            ]
        );
        assert_eq!(shown("localhost", "any", false), ["- ::", "+ ::1", "- ::2"]);
    }

    #[test]
    fn a_network_at_the_end_of_all_has_nothing_after_it() {
        assert_eq!(
            shown("", "255.255.255.255", true),
            ["+ 0.0.0.0", "- 255.255.255.255"]
        );
        assert_eq!(shown("", "ff00::/8", false), ["+ ::", "- ff00::"]);
    }

    proptest! {
        #[test]
        fn every_address_has_the_verdict_of_the_two_lists(
            allow in proptest::collection::vec((any::<u32>(), 0..=32_u8), 0..8),
            deny in proptest::collection::vec((any::<u32>(), 0..=32_u8), 0..8),
            address in any::<u32>(),
        ) {
            let prefix = |(address, length): &(u32, u8)| {
                model::value::IpPrefix::new(IpAddr::V4((*address).into()), *length).expect("a network")
            };
            let allow: Vec<_> = allow.iter().map(prefix).collect();
            let deny: Vec<_> = deny.iter().map(prefix).collect();
            let holds = |list: &[model::value::IpPrefix]| list.iter().any(|prefix| {
                model::value::IpPrefix::new(IpAddr::V4(address.into()), prefix.length) == Some(*prefix)
            });
            let ranges = ranges(&allow, &deny, true);
            let found = ranges.iter().rev().find(|(start, _)| *start <= u128::from(address));
            prop_assert_eq!(found.map(|(_, is_allowed)| *is_allowed), Some(holds(&allow) || !holds(&deny)));
        }
    }
}
