//! `docs/services.md`: a row for each service.

use std::fs;

use anyhow::{Context, Result};

use super::{MODES, Ran};
use crate::run;

const PAGE: &str = "docs/services.md";

const HEAD: &str = "# Services of Debian

Written by `cargo xtask services --keep`: services of Debian's packages, each with the unit file that it is shipped with and with the lines of
configuration that make it answer, in a container whose only supervisor is Coracle, under load; first as shipped, then with every line of the default
profile and with what it is granted of what that closes. A question is a connection of its own; four clients ask at once.
";

/// What is told of one run on the terminal.
pub(super) fn line(ran: &Ran) -> String {
    let ledger = &ran.ledger;
    let mut text = format!(
        "{} ({}): {} answered, {} failed, {} restarts",
        ran.service.name, ran.mode, ledger.answered, ledger.failed, ledger.restarts
    );
    if !ledger.reduced.is_empty() {
        text.push_str(&format!(", reduced: {}", ledger.reduced.join(" ")));
    }
    for trouble in &ledger.trouble {
        text.push_str(&format!("\n  {}", trouble.replace('\n', "\n  ")));
    }
    text
}

/// Writes the page anew.
pub(super) fn write(all: &[Ran], seconds: u64) -> Result<()> {
    let mut page = format!(
        "{HEAD}\nEach was asked for {seconds} seconds.\n\n| service | unit | as shipped: answered, failed, restarts | with the default profile | granted |\n|---|---|---|---|---|\n"
    );
    let mut reduced: Vec<&str> = Vec::new();
    for both in all.chunks(MODES.len()) {
        let [shipped, profiled] = both else { continue };
        let count = |ran: &Ran| {
            let ledger = &ran.ledger;
            format!(
                "{}, {}, {}",
                ledger.answered, ledger.failed, ledger.restarts
            )
        };
        let grants = shipped.service.grants.iter();
        let grants: Vec<String> = grants.map(|line| format!("`{line}`")).collect();
        page.push_str(&format!(
            "| {} | `{}` | {} | {} | {} |\n",
            shipped.service.name,
            shipped.service.unit,
            count(shipped),
            count(profiled),
            grants.join("<br>")
        ));
        let of_both = both.iter().flat_map(|ran| &ran.ledger.reduced);
        reduced.extend(of_both.map(String::as_str));
    }
    reduced.sort_unstable();
    reduced.dedup();
    if !reduced.is_empty() {
        page.push_str(&format!(
            "\nReduced there, as the machine that this ran on gives containers neither controllers nor the right to raise limits: {}.\n",
            reduced.join(", ")
        ));
    }
    let path = run::root().join(PAGE);
    fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))
}
