//! `show`: properties for scripts.

use std::collections::BTreeMap;

use anyhow::Result;
use clap::Args;
use wire::methods::{Describe, Show as ShowMethod};
use wire::{Done, ShowRequest, UnitProperties};

use crate::clock;
use crate::context::Context;
use crate::terminal::{one_line, say_all, say_json};
use crate::verbs::Run;

/// Options of `show`.
#[derive(Args, Debug)]
pub(crate) struct Show {
    /// Units, patterns or portables; none: the manager itself
    #[arg(value_name = "UNIT")]
    names: Vec<String>,
    /// Only these properties, in this order
    #[arg(short, long, value_name = "NAME", value_delimiter = ',')]
    property: Vec<String>,
    /// Print values without names
    #[arg(long)]
    value: bool,
    /// Print empty properties too
    #[arg(short, long)]
    all: bool,
}

impl Run for Show {
    fn run(self, context: &Context) -> Result<u8> {
        let mut client = context.connect()?;
        let units = if self.names.is_empty() {
            vec![manager(client.call(Describe, &Done {})?)]
        } else {
            let names = crate::portable::units_of(context, &self.names)?;
            client
                .call(
                    ShowMethod,
                    &ShowRequest {
                        names,
                        properties: self.property.clone(),
                    },
                )?
                .units
        };
        if context.globals.json {
            say_json(&units)?;
            return Ok(0);
        }
        let mut lines = Vec::new();
        for (index, unit) in units.iter().enumerate() {
            if index > 0 {
                lines.push(String::new());
            }
            lines.extend(self.lines(unit));
        }
        say_all(lines);
        Ok(0)
    }
}

impl Show {
    fn lines(&self, unit: &UnitProperties) -> Vec<String> {
        let chosen: Vec<(&String, &String)> = if self.property.is_empty() {
            unit.properties
                .iter()
                .filter(|(_, value)| self.all || !value.is_empty())
                .collect()
        } else {
            self.property
                .iter()
                .filter_map(|name| unit.properties.get_key_value(name))
                .collect()
        };
        chosen
            .into_iter()
            .map(|(name, value)| {
                let value = one_line(&readable(name, value));
                if self.value {
                    value
                } else {
                    format!("{name}={value}")
                }
            })
            .collect()
    }
}

/// Points in time that are not called so.
const MOMENTS: [&str; 2] = ["NextElapseUSecRealtime", "LastTriggerUSec"];

/// Times in words, as systemctl has them; the manager knows no time zones.
fn readable(name: &str, value: &str) -> String {
    let us = value
        .strip_prefix('@')
        .filter(|_| name.ends_with("Timestamp") || MOMENTS.contains(&name));
    us.and_then(|us| us.parse().ok())
        .map_or_else(|| value.to_owned(), clock::with_weekday)
}

/// The manager's own properties.
fn manager(server: wire::ServerReply) -> UnitProperties {
    let number = |value: u64| value.to_string();
    let properties = [
        ("Version", server.version),
        ("Position", server.position),
        ("SystemState", server.state),
        ("ManagerPID", server.pid.to_string()),
        ("KeeperPID", server.keeper_pid.to_string()),
        ("ManagerRestarts", server.restarts.to_string()),
        ("RuntimeDirectory", server.runtime_dir),
        ("StateDirectory", server.state_dir),
        ("ConfigurationDirectory", server.config_dir),
        ("UnitPath", server.unit_path.join(" ")),
        ("ControlGroup", server.cgroup.unwrap_or_default()),
        ("NUnits", number(server.units)),
        ("NFailedUnits", number(server.failed)),
        ("NJobs", number(server.jobs)),
    ];
    let properties: BTreeMap<String, String> = properties
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    UnitProperties {
        unit: String::new(),
        properties,
    }
}
