//! `export`, `backup`: a portable, or what it has stored, into an archive.

use anyhow::Result;
use clap::Args;

use crate::context::Context;
use crate::moving::manifest::Kind;
use crate::moving::pack::Packing;
use crate::moving::quiet::Mode;
use crate::portable::{meant, none_here};
use crate::verbs::Run;

/// How archives are called, as far as people see.
const ENDING: &str = ".tar.zst";

/// How the state is copied.
#[derive(Args, Debug, Clone, Default)]
pub(crate) struct PackOptions {
    /// A portable that is here
    #[arg(value_name = "NAME")]
    name: String,
    /// Where the archive goes; - is standard output [default: a file here that is called as the portable]
    #[arg(value_name = "FILE")]
    file: Option<String>,
    /// What its services do meanwhile, instead of what BackupMode= says: freeze, stop or live
    #[arg(long, value_name = "MODE")]
    mode: Option<String>,
    /// Leave these directories out: state, cache, logs or configuration
    #[arg(long, value_name = "KINDS", value_delimiter = ',')]
    without: Vec<String>,
}

/// Options of `export`.
#[derive(Args, Debug)]
pub(crate) struct Export {
    #[command(flatten)]
    options: PackOptions,
}

/// Options of `backup`.
#[derive(Args, Debug)]
pub(crate) struct Backup {
    #[command(flatten)]
    options: PackOptions,
}

impl Run for Export {
    fn run(self, context: &Context) -> Result<u8> {
        self.options.write(context, Kind::Export)
    }
}

impl Run for Backup {
    fn run(self, context: &Context) -> Result<u8> {
        self.options.write(context, Kind::Backup)
    }
}

impl PackOptions {
    fn write(&self, context: &Context, kind: Kind) -> Result<u8> {
        let portable = meant(context, &self.name)?.ok_or_else(|| none_here(&self.name))?;
        let own = match kind {
            Kind::Export => format!("{}_{}.export{ENDING}", portable.name, portable.current),
            Kind::Backup => format!("{}.backup{ENDING}", portable.name),
        };
        let mode = self.mode.as_deref().map(Mode::of_word).transpose()?;
        // Nothing of it is replaced meanwhile.
        let _own = super::upgrade::begin(context, &portable.name)?;
        let packing = Packing {
            portable: &portable,
            kind,
            to: self.file.as_deref().unwrap_or(&own),
            without: &self.without,
            mode,
        };
        packing.write(context)?;
        Ok(0)
    }
}
