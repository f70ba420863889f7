//! From attached portables to running units: all of them are asked for together, so that none waits for another one's start.

use std::time::Instant;

use anyhow::Result;
use delivery::portables::Portable;
use wire::methods::{MountAhead, Reload};
use wire::{Client, Done, JobOutcome, MountRequest, UnitStatus};

use super::Start;
use super::jobs::{self, JobOptions};
use super::words::in_words;
use crate::context::Context;
use crate::portable::{current_units, show};
use crate::terminal::say;

/// Units that are asked for in one call: fewer than the manager takes at once.
const UNITS_AT_ONCE: usize = 2048;

/// What is done once before a start, however many portables it is of.
#[derive(Default)]
pub(super) struct Ahead<'a> {
    /// The connection by which images are mounted ahead, and over which the start is asked for then.
    client: Option<Client>,
    /// What is known of all portables, where that was read.
    all: Option<&'a [Portable]>,
}

impl<'a> Ahead<'a> {
    /// For many, over a connection that is there.
    pub(super) fn of_many(client: Client, all: &'a [Portable]) -> Ahead<'a> {
        Ahead {
            client: Some(client),
            all: Some(all),
        }
    }

    pub(super) fn all(&self) -> Option<&'a [Portable]> {
        self.all
    }

    /// Has the image of a portable mounted while its units reach the disk, where the manager runs and one of them starts from it. What goes
    /// wrong here is told by the start, which does without it.
    pub(super) fn mount(&mut self, context: &Context, portable: &Portable, image: &str) {
        let units = current_units(portable);
        if !units.iter().any(|unit| unit.ends_with(".service")) {
            return;
        }
        if self.client.is_none() {
            self.client = context.connect_if_running().ok().flatten();
        }
        let path = image.to_owned();
        let told = |client: &mut Client| client.tell(MountAhead, &MountRequest { path }).is_ok();
        // One that broke is of no use for the start either.
        self.client = self
            .client
            .take()
            .and_then(|mut client| told(&mut client).then_some(client));
    }

    fn client(self, context: &Context) -> Result<Client> {
        self.client.map_or_else(|| context.connect(), Ok)
    }
}

/// A portable that is attached.
pub(super) struct Ready {
    pub(super) portable: Portable,
    /// Where its root is.
    pub(super) root: String,
}

impl Start {
    /// Starts all units of portables, where one that can't start keeps no other one from it.
    pub(super) fn start_all(
        &self,
        context: &Context,
        ahead: Ahead<'_>,
        ready: &[Ready],
    ) -> Result<u8> {
        let mut client = ahead.client(context)?;
        client.call(Reload, &Done {})?;
        let mut status = 0;
        for some in groups(ready, UNITS_AT_ONCE) {
            status = status.max(self.start_some(context, &mut client, some)?);
        }
        Ok(status)
    }

    fn start_some(&self, context: &Context, client: &mut Client, ready: &[Ready]) -> Result<u8> {
        let begin = Instant::now();
        let units: Vec<Vec<String>> = ready
            .iter()
            .map(|one| current_units(&one.portable))
            .collect();
        let all = units.concat();
        for (one, _) in ready.iter().zip(&units).filter(|(_, own)| own.is_empty()) {
            context.narrate(&format!(
                "nothing of {} is started: its units are templates, and start with an instance's name",
                one.portable.name
            ));
        }
        if all.is_empty() {
            return Ok(0);
        }
        let before = show::up(client, &all)?;
        let options = JobOptions {
            findings_told: true,
            ..self.jobs.clone()
        };
        let outcomes = jobs::start_through(context, client, &all, &options)?;
        if context.globals.quiet {
            return Ok(jobs::status_of(&outcomes));
        }
        // Of many at once nobody can tell how long each took.
        let took = (ready.len() == 1).then(|| begin.elapsed().as_millis());
        let mut rest: &[JobOutcome] = &outcomes;
        for (one, own) in ready.iter().zip(&units).filter(|(_, own)| !own.is_empty()) {
            let outcomes = rest
                .split_off(..own.len().min(rest.len()))
                .unwrap_or_default();
            if jobs::status_of(outcomes) == 0 {
                let address = show::address(client, own)?;
                let ran = before.iter().filter(|up| own.contains(&up.name));
                let ran: Vec<&UnitStatus> = ran.collect();
                let has_run = |unit: &String| ran.iter().any(|one| one.name == *unit);
                say(&told(own, has_run, took, &address));
                let older = show::older(context, &one.portable, &one.root, &ran);
                if let Some(older) = older {
                    context.narrate(&older);
                }
            }
        }
        Ok(jobs::status_of(&outcomes))
    }
}

/// `started hello.service in 9 ms · http://127.0.0.1:8080/`.
fn told(
    units: &[String],
    ran: impl Fn(&String) -> bool,
    took_ms: Option<u128>,
    address: &str,
) -> String {
    let (ran, started): (Vec<String>, Vec<String>) = units.iter().cloned().partition(ran);
    if started.is_empty() {
        let verb = if ran.len() == 1 { "runs" } else { "run" };
        return format!("{} {verb} already{address}", in_words(&ran));
    }
    let took = took_ms.map(|took| format!(" in {took} ms"));
    let took = took.unwrap_or_default();
    format!("started {}{took}{address}", in_words(&started))
}

/// Portables with at most so many units together, or one portable that has more.
fn groups(ready: &[Ready], units_max: usize) -> impl Iterator<Item = &[Ready]> {
    let mut count = 0;
    ready.chunk_by(move |one, next| {
        count += current_units(&one.portable).len();
        let fits = count + current_units(&next.portable).len() <= units_max;
        if !fits {
            count = 0;
        }
        fits
    })
}

#[cfg(test)]
mod tests {
    use delivery::portables::{Trust, Version};

    use super::*;

    fn ready(units: usize) -> Ready {
        let mut portable = Portable::new("boat".to_owned(), Trust::Signed);
        let units = (0..units).map(|number| format!("boat-{number}.service"));
        let version = Version {
            units: units.collect(),
            ..Version::default()
        };
        portable.versions.insert(String::new(), version);
        let root = String::new();
        Ready { portable, root }
    }

    fn check(units: &[usize], expected: &[&[usize]]) {
        let ready: Vec<Ready> = units.iter().map(|units| ready(*units)).collect();
        let found: Vec<Vec<usize>> = groups(&ready, 5)
            .map(|group| {
                let counts = group.iter().map(|one| current_units(&one.portable).len());
                counts.collect()
            })
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn as_many_are_asked_for_at_once_as_the_manager_takes() {
        check(&[], &[]);
        check(&[1, 2, 2], &[&[1, 2, 2]]);
        check(&[1, 2, 3, 0, 2, 4], &[&[1, 2], &[3, 0, 2], &[4]]);
        check(&[9, 1, 9], &[&[9], &[1], &[9]]);
    }

    #[test]
    fn what_ran_is_told_from_what_was_started() {
        let units = ["a.socket".to_owned(), "b.service".to_owned()];
        let told =
            |ran: &[&str], took| super::told(&units, |unit| ran.contains(&&**unit), took, "");
        assert_eq!(told(&[], Some(9)), "started a.socket and b.service in 9 ms");
        assert_eq!(told(&["a.socket"], None), "started b.service");
        assert_eq!(
            told(&["a.socket", "b.service"], None),
            "a.socket and b.service run already"
        );
    }
}
