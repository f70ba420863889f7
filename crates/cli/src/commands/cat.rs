//! `cat`: the files of a unit as they are on disk.

use anyhow::Result;
use clap::Args;
use wire::NamesRequest;
use wire::methods::Cat as CatMethod;

use crate::context::Context;
use crate::terminal::{Paint, plain, say, say_json};
use crate::verbs::Run;

/// Options of `cat`.
#[derive(Args, Debug)]
pub(crate) struct Cat {
    /// Units, patterns or portables
    #[arg(required = true, value_name = "UNIT")]
    names: Vec<String>,
}

impl Run for Cat {
    fn run(self, context: &Context) -> Result<u8> {
        let names = crate::portable::units_of(context, &self.names)?;
        let reply = context
            .connect()?
            .call(CatMethod, &NamesRequest { names })?;
        if context.globals.json {
            say_json(&reply.files)?;
            return Ok(0);
        }
        for (index, file) in reply.files.iter().enumerate() {
            if index > 0 {
                say("");
            }
            let path = if file.path.is_empty() {
                "made at run time"
            } else {
                &file.path
            };
            say(&Paint::Dim.on(&format!("# {}", plain(path))));
            say(plain(&file.text).trim_end_matches('\n'));
        }
        Ok(0)
    }
}
