//! What the listings of one kind of unit share: which units are meant, in which order they come, and how many there are.

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use wire::methods::Status as StatusMethod;
use wire::{NamesRequest, UnitStatus};

use crate::context::Context;
use crate::listing::{self, Column};

/// Which units of a kind are listed.
#[derive(Args, Debug)]
pub(super) struct Meant {
    /// Names or patterns
    #[arg(value_name = "PATTERN")]
    names: Vec<String>,
    /// Inactive ones too
    #[arg(short, long)]
    all: bool,
}

impl Meant {
    /// Lists what `rows` makes of the units, sorted `by` a key.
    ///
    /// # Errors
    /// When the manager can't be asked, or knows no such unit.
    pub(super) fn list<Rows, Key: Ord>(
        self,
        context: &Context,
        kind: &str,
        rows: impl Fn(UnitStatus) -> Rows,
        by: impl Fn(&Rows::Item) -> Key,
        columns: &[Column<Rows::Item>],
    ) -> Result<u8>
    where
        Rows: IntoIterator<Item: Serialize>,
    {
        let names = match self.names.is_empty() {
            true => vec![format!("*.{kind}")],
            false => self.names,
        };
        let mut client = context.connect()?;
        let units = client.call(StatusMethod, &NamesRequest { names })?.units;
        let mut rows: Vec<_> = units
            .into_iter()
            .filter(|unit| self.all || unit.active == "active")
            .flat_map(rows)
            .collect();
        rows.sort_by_cached_key(by);
        listing::print_counted(&rows, columns, context, kind)?;
        Ok(0)
    }
}
