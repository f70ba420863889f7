//! `verify`: says what is wrong in unit files, without a manager.

use anyhow::Result;
use clap::Args;

use crate::context::Context;
use crate::terminal::{complain, plain, say_json};
use crate::verbs::Run;

/// Options of `verify`.
#[derive(Args, Debug)]
pub(crate) struct Verify {
    /// Unit files, or names of units
    #[arg(required = true, value_name = "UNIT")]
    units: Vec<String>,
}

impl Run for Verify {
    fn run(self, context: &Context) -> Result<u8> {
        let mut all = Vec::new();
        for unit in &self.units {
            let findings = crate::check::unit(context, unit)?;
            if !context.globals.json {
                for (index, finding) in findings.iter().enumerate() {
                    if index + all.len() > 0 {
                        complain("");
                    }
                    complain(&plain(&finding.rendered));
                }
            }
            all.extend(findings);
        }
        if context.globals.json {
            say_json(&all)?;
        }
        Ok(u8::from(all.iter().any(|finding| finding.is_error)))
    }
}
