//! When portables are upgraded by themselves: what `delivery.toml` says, taken over into the timer that is shipped, and when not.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use delivery::policy::{Automatic, Policy};
use model::pattern;
use wire::Done;
use wire::methods::{Reload, RestartUnit, StopUnit};

use crate::commands::enable::{disable, enable};
use crate::commands::install::write;
use crate::commands::jobs::{self, JobOptions};
use crate::context::Context;
use crate::portable::fetch::policy;
use crate::terminal::say;

/// The timer that is shipped.
const TIMER: &str = "coracle-upgrade.timer";
/// The default of `jitter`.
const JITTER: &str = "1h";
/// Bit of a route that is up (route(8)).
const ROUTE_UP: u32 = 1;

fn drop_in(context: &Context) -> PathBuf {
    let units = context.directories.units();
    units.join(format!("{TIMER}.d")).join("delivery.conf")
}

/// The timer's lines; none where nothing is to happen by itself.
fn lines(automatic: &Automatic) -> Option<String> {
    let schedule = &automatic.schedule.as_ref()?.0;
    let jitter = automatic.jitter.as_ref();
    let jitter = jitter.map_or(JITTER, |jitter| jitter.0.as_str());
    Some(format!(
        "# Written by `coracle upgrade --reschedule` from delivery.toml.\n[Timer]\nOnCalendar=\nOnCalendar={schedule}\nRandomizedDelaySec={jitter}\n"
    ))
}

/// Takes the schedule over; says so where it is another one than before.
///
/// # Errors
/// When the policy is not understood, or the timer can't be changed.
pub(crate) fn take_over(context: &Context, tells: bool) -> Result<()> {
    let policy = policy(context)?;
    let (file, lines) = (drop_in(context), lines(&policy.upgrade));
    let before = fs::read_to_string(&file).ok();
    if before == lines {
        if tells {
            say(&words(&policy));
        }
        return Ok(());
    }
    match &lines {
        Some(lines) => {
            write(&file, lines, 0o644)?;
            enable(context, TIMER)?;
        }
        None => {
            fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
            disable(context, TIMER)?;
        }
    }
    if let Some(mut client) = context.connect_if_running()? {
        client.call(Reload, &Done {})?;
        drop(client);
        let timer = [TIMER.to_owned()];
        match lines {
            Some(_) => jobs::queue(context, RestartUnit, &timer, &JobOptions::replacing())?,
            None => jobs::queue(context, StopUnit, &timer, &JobOptions::replacing())?,
        };
    }
    say(&words(&policy));
    Ok(())
}

fn words(policy: &Policy) -> String {
    match &policy.upgrade.schedule {
        Some(schedule) => format!("portables are upgraded by themselves: {}", schedule.0),
        None => "nothing is upgraded by itself: delivery.toml has no `schedule`".to_owned(),
    }
}

/// The interface over which the default route goes, where that is one on which bytes cost money.
///
/// # Errors
/// When the policy is not understood.
pub(crate) fn metered(context: &Context) -> Result<Option<String>> {
    let patterns = policy(context)?.upgrade.metered;
    let routes = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let (four, six) = (routes("/proc/net/route"), routes("/proc/net/ipv6_route"));
    let defaults = default_four(&four).chain(default_six(&six));
    let is_metered = |name: &&str| patterns.iter().any(|one| pattern::matches(one, name));
    Ok({ defaults }.find(is_metered).map(str::to_owned))
}

/// `Iface Destination Gateway Flags RefCnt Use Metric Mask …`, numbers in hexadecimal digits.
fn default_four(table: &str) -> impl Iterator<Item = &str> {
    table.lines().skip(1).filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [name, "00000000", _, flags, _, _, _, "00000000", ..] = words.as_slice() else {
            return None;
        };
        let flags = u32::from_str_radix(flags, 16).ok()?;
        (flags & ROUTE_UP != 0).then_some(*name)
    })
}

/// `destination length source length hop metric references uses flags interface`. The kernel's own route to nowhere is one over lo.
fn default_six(table: &str) -> impl Iterator<Item = &str> {
    table.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [to, "00", _, _, _, _, _, _, flags, name] = words.as_slice() else {
            return None;
        };
        let flags = u32::from_str_radix(flags, 16).ok()?;
        let is_default = to.bytes().all(|byte| byte == b'0') && flags & ROUTE_UP != 0;
        (is_default && *name != "lo").then_some(*name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_routes_are_those_to_everywhere_that_are_up() {
        let four = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
            wwan0\t00000000\t010200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
            eth1\t00000000\t010200C0\t0000\t0\t0\t100\t00000000\t0\t0\t0\n\
            eth0\t000200C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n";
        assert_eq!(default_four(four).collect::<Vec<_>>(), ["wwan0"]);
        let zeros = "0".repeat(32);
        let six = format!(
            "{zeros} 00 {zeros} 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     ppp0\n\
             fe800000000000000000000000000000 40 {zeros} 00 {zeros} 00000100 00000001 00000000 00000001     eth0\n\
             {zeros} 00 {zeros} 00 {zeros} ffffffff 00000001 00000000 00200200       lo\n"
        );
        assert_eq!(default_six(&six).collect::<Vec<_>>(), ["ppp0"]);
    }

    #[test]
    fn the_timer_has_the_schedule_in_place_of_its_own() {
        let automatic = |text: &str| {
            let policy = Policy::parse(std::path::Path::new("/x/delivery.toml"), text);
            policy.expect("a policy").upgrade
        };
        assert_eq!(lines(&automatic("")), None);
        let said = lines(&automatic(
            "[upgrade]\nschedule = \"Sun 03:00\"\njitter = \"4h\"\n",
        ));
        let said = said.expect("lines");
        assert!(
            said.ends_with("[Timer]\nOnCalendar=\nOnCalendar=Sun 03:00\nRandomizedDelaySec=4h\n")
        );
    }
}
