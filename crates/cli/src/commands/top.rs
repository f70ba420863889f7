//! `top`: what units use, as control groups count it.

use std::borrow::Cow;

use anyhow::Result;
use clap::Args;
use wire::methods::Status as StatusMethod;
use wire::{NamesRequest, UnitStatus};

use crate::context::Context;
use crate::listing;
use crate::terminal::size;
use crate::verbs::Run;

/// Options of `top`.
#[derive(Args, Debug)]
pub(crate) struct Top {
    /// Names or patterns; none: all that have a control group
    #[arg(value_name = "PATTERN")]
    names: Vec<String>,
    /// What comes first
    #[arg(short, long, value_name = "WHAT", default_value = "cpu", value_parser = ["cpu", "memory", "tasks", "io", "name"])]
    order: String,
}

/// A unit as a program reads it.
#[derive(Debug, serde::Serialize)]
struct Row {
    unit: String,
    cgroup: String,
    tasks: Option<u64>,
    cpu_ns: Option<u64>,
    memory_bytes: Option<u64>,
    memory_peak_bytes: Option<u64>,
    memory_swap_bytes: Option<u64>,
    io_read_bytes: Option<u64>,
    io_write_bytes: Option<u64>,
}

impl Run for Top {
    fn run(self, context: &Context) -> Result<u8> {
        let names = self.names;
        let reply = context
            .connect()?
            .call(StatusMethod, &NamesRequest { names })?;
        let mut rows: Vec<Row> = reply.units.into_iter().filter_map(row).collect();
        rows.sort_by(|one, other| one.unit.cmp(&other.unit));
        let by: fn(&Row) -> Option<u64> = match self.order.as_str() {
            "cpu" => |row| row.cpu_ns,
            "memory" => |row| row.memory_bytes,
            "tasks" => |row| row.tasks,
            "io" => |row| Some(row.io_read_bytes?.saturating_add(row.io_write_bytes?)),
            _ => |_| None,
        };
        rows.sort_by_key(|row| std::cmp::Reverse(by(row)));
        let columns: &[listing::Column<Row>] = &[
            ("UNIT", |row| Cow::Borrowed(&row.unit)),
            ("TASKS", |row| told(row.tasks, |tasks| tasks.to_string())),
            ("CPU", |row| told(row.cpu_ns, time)),
            ("MEMORY", |row| told(row.memory_bytes, size)),
            ("READ", |row| told(row.io_read_bytes, size)),
            ("WRITTEN", |row| told(row.io_write_bytes, size)),
        ];
        listing::print(&rows, columns, &context.globals)?;
        Ok(0)
    }
}

fn row(unit: UnitStatus) -> Option<Row> {
    Some(Row {
        cgroup: unit.cgroup?,
        unit: unit.name,
        tasks: unit.tasks,
        cpu_ns: unit.cpu_ns,
        memory_bytes: unit.memory_bytes,
        memory_peak_bytes: unit.memory_peak_bytes,
        memory_swap_bytes: unit.memory_swap_bytes,
        io_read_bytes: unit.io.as_ref().map(|io| io.read_bytes),
        io_write_bytes: unit.io.as_ref().map(|io| io.write_bytes),
    })
}

fn time(ns: u64) -> String {
    model::value::TimeSpan(ns / 1_000).to_string()
}

fn told(number: Option<u64>, words: fn(u64) -> String) -> Cow<'static, str> {
    number.map_or(Cow::Borrowed("-"), |number| words(number).into())
}
