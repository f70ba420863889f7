//! Sockets that stay open while versions change: what waits at them is served by the next version, and nobody is turned away.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use model::{Room, UnitName};
use wire::ShowRequest;
use wire::methods::Show;

use crate::context::Context;

/// What says how sockets are made beside the directives of `[Socket]`.
const ELSEWHERE: &[&str] = &[
    "PrivateNetwork",
    "NetworkNamespacePath",
    "JoinsNamespaceOf",
    "BindNetworkInterface",
    "SELinuxContext",
    "SmackProcessLabel",
];

/// Whether a socket's connections have a service each.
const ACCEPT: &str = "Accept";

/// How the sockets of some units were asked for when they were opened.
#[derive(Debug, Default)]
pub(crate) struct Listening(BTreeMap<String, BTreeMap<String, String>>);

impl Listening {
    /// Those of the socket units among these that are open now, as their files have it; to be asked before the files change.
    ///
    /// # Errors
    /// When no manager can be asked.
    pub(crate) fn of(context: &Context, units: &[String]) -> Result<Listening> {
        let names: Vec<String> = (units.iter())
            .filter(|unit| unit.ends_with(".socket"))
            .cloned()
            .collect();
        // No name would mean the manager itself.
        let Some(mut client) = context.connect_if_running()?.filter(|_| !names.is_empty()) else {
            return Ok(Listening::default());
        };
        let request = ShowRequest {
            names,
            properties: Vec::new(),
        };
        let shown = client.call(Show, &request)?.units.into_iter();
        let open = shown.filter(|unit| is_open(&unit.properties));
        let made = open.map(|unit| (unit.unit, making(unit.properties)));
        Ok(Listening(made.collect()))
    }

    /// The units without the sockets that are open as the files have it now.
    ///
    /// # Errors
    /// When no manager can be asked.
    pub(crate) fn to_restart(&self, context: &Context, units: &[String]) -> Result<Vec<String>> {
        let now = Listening::of(context, units)?;
        let stays = |unit: &String| self.stays(&now, unit);
        Ok(units.iter().filter(|unit| !stays(unit)).cloned().collect())
    }

    fn stays(&self, now: &Listening, unit: &str) -> bool {
        let made = self.0.get(unit);
        made.is_some() && made == now.0.get(unit)
    }
}

/// The units without those that serve one connection each (`Accept=yes`): they end with it, and nobody can start them again, whatever
/// version the next connection gets. To be asked before the files change.
///
/// # Errors
/// When no manager can be asked.
pub(crate) fn standing(context: &Context, units: Vec<String>) -> Result<Vec<String>> {
    let names: BTreeSet<String> = units.iter().filter_map(|unit| acceptor(unit)).collect();
    // No name would mean the manager itself.
    let Some(mut client) = context.connect_if_running()?.filter(|_| !names.is_empty()) else {
        return Ok(units);
    };
    let request = ShowRequest {
        names: names.into_iter().collect(),
        properties: vec![ACCEPT.to_owned()],
    };
    let shown = client.call(Show, &request)?.units.into_iter();
    let accepts = shown.filter(|unit| unit.properties.get(ACCEPT).is_some_and(|is| is == "yes"));
    let accepts: BTreeSet<String> = accepts.map(|unit| unit.unit).collect();
    let is_standing =
        |unit: &String| acceptor(unit).is_none_or(|socket| !accepts.contains(&socket));
    Ok(units.into_iter().filter(is_standing).collect())
}

/// The socket unit that may have started an instance of a template, by their names.
fn acceptor(unit: &str) -> Option<String> {
    let template = unit.parse::<UnitName>().ok()?.template()?;
    let prefix = template.as_str().strip_suffix("@.service")?;
    Some(format!("{prefix}.socket"))
}

fn is_open(properties: &BTreeMap<String, String>) -> bool {
    let sub = properties.get("SubState").map(String::as_str);
    matches!(sub, Some("listening" | "running" | "deferred"))
}

/// What of a unit's properties its sockets depend on. What it runs is not among them: that is the next version's at the next time.
fn making(mut properties: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let is_of_sockets = |name: &str| {
        let rooms = model::key::NAMES.iter();
        let mut rooms = rooms.filter(|(known, _)| *known == name);
        rooms.any(|(_, room)| *room == Room::Socket) && !name.starts_with("Exec")
    };
    properties.retain(|name, _| is_of_sockets(name) || ELSEWHERE.contains(&name.as_str()));
    properties
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listening(lines: &[(&str, &str)]) -> Listening {
        let lines = lines
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()));
        let properties: BTreeMap<String, String> = lines.collect();
        let open = is_open(&properties);
        let made = open.then(|| ("web.socket".to_owned(), making(properties)));
        Listening(made.into_iter().collect())
    }

    #[test]
    fn a_socket_that_accepts_is_found_by_the_name_of_what_it_starts() {
        for (unit, socket) in [
            ("pier@0-7-x.service", Some("pier.socket")),
            ("pier-b@x.service", Some("pier-b.socket")),
            ("pier.service", None),
            ("pier@x.socket", None),
        ] {
            assert_eq!(acceptor(unit).as_deref(), socket, "{unit}");
        }
    }

    #[test]
    fn a_socket_stays_open_where_nothing_that_makes_it_is_another() {
        let before = [
            ("SubState", "running"),
            ("Description", "version 1"),
            ("RootImage", "/1.psi"),
            ("ListenStream", "80"),
        ];
        let check = |changed: &[(&str, &str)]| {
            let mut after: BTreeMap<&str, &str> = before.into_iter().collect();
            after.extend(changed.iter().copied());
            let after: Vec<_> = after.into_iter().collect();
            listening(&before).stays(&listening(&after), "web.socket")
        };
        assert!(check(&[]));
        let other = [
            ("Description", "version 2"),
            ("RootImage", "/2.psi"),
            ("ExecStartPre", "/bin/true"),
            ("SubState", "listening"),
        ];
        assert!(check(&other));
        // What waits for the service to be started again is kept, too.
        assert!(check(&[("SubState", "deferred")]));
        assert!(!check(&[("ListenStream", "81")]));
        assert!(!check(&[("SocketMode", "0600")]));
        assert!(!check(&[("PrivateNetwork", "yes")]));
        assert!(!check(&[("SubState", "dead")]));
    }
}
