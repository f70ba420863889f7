//! `keygen`, `sign`: images before they travel.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;

use super::build::load_key;
use crate::context::Context;
use crate::terminal::{one_line, say};
use crate::verbs::Run;

/// Options of `keygen`.
#[derive(Args, Debug)]
pub(crate) struct Keygen {
    /// Directory for `signing.key` and `signing.crt`
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Whose key it is, as users will see it
    #[arg(long, value_name = "NAME", default_value = "Coracle image maker")]
    name: String,
}

impl Run for Keygen {
    fn run(self, context: &Context) -> Result<u8> {
        std::fs::create_dir_all(&self.directory)
            .with_context(|| format!("cannot make {}", self.directory.display()))?;
        let signer = image::keygen::generate(&self.directory, &self.name)?;
        context.narrate(&format!(
            "wrote {0}/signing.key (keep it secret) and {0}/signing.crt (give it away)",
            self.directory.display()
        ));
        say(&format!(
            "\"{}\" · sha256:{}",
            one_line(&signer.common_name),
            signer.fingerprint
        ));
        Ok(0)
    }
}

/// Options of `sign`.
#[derive(Args, Debug)]
pub(crate) struct Sign {
    /// The image
    #[arg(value_name = "IMAGE")]
    image: PathBuf,
    /// The key; the certificate lies beside it, with the ending .crt
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The certificate, where it lies elsewhere
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// Write the signed image here instead of replacing it
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Run for Sign {
    fn run(self, _context: &Context) -> Result<u8> {
        let key = load_key(&self.key, self.certificate.as_deref())?;
        let output = self.output.as_ref().unwrap_or(&self.image);
        let signer = image::sign::sign(&self.image, output, &key)
            .with_context(|| format!("cannot sign {}", self.image.display()))?;
        say(&format!(
            "{} signed by \"{}\"",
            output.display(),
            one_line(&signer.common_name)
        ));
        Ok(0)
    }
}
