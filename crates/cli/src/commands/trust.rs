//! `trust add|list|remove`: whose images may come in.

use std::borrow::Cow;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use delivery::trust::Anchors;
use image::signature::TrustedCertificate;
use serde::Serialize;

use crate::context::Context;
use crate::failure::{WithHint, hint};
use crate::listing;
use crate::terminal::{complain, one_line, say};
use crate::verbs::Run;

/// Options of `trust`.
#[derive(Args, Debug)]
pub(crate) struct Trust {
    #[command(subcommand)]
    action: Action,
}

/// What to do with trusted certificates.
#[derive(Subcommand, Debug)]
enum Action {
    /// Trust images that are signed by this certificate, or by one that it issued
    Add {
        /// The certificate, PEM or DER
        #[arg(value_name = "CERTIFICATE")]
        file: PathBuf,
    },
    /// List the trusted certificates
    List,
    /// Trust a certificate no longer; what is installed goes on
    Remove {
        /// Name, file name, or the start of the fingerprint
        #[arg(value_name = "NAME")]
        name: String,
    },
}

/// One line of the list.
#[derive(Serialize)]
struct Line {
    name: String,
    fingerprint: String,
    file: PathBuf,
}

impl Run for Trust {
    fn run(self, context: &Context) -> Result<u8> {
        let anchors = Anchors::new(&context.directories.config);
        match self.action {
            Action::Add { file } => add(&anchors, &file),
            Action::List => list(&anchors, context),
            Action::Remove { name } => {
                let removed = anchors
                    .remove(&file_or_fingerprint(&anchors, name)?)
                    .or_hint(
                        || "cannot remove the certificate".to_owned(),
                        "`coracle trust list` has names, fingerprints and files",
                    )?;
                for removed in removed {
                    say(&format!(
                        "no longer trusted: sha256:{}",
                        removed.fingerprint.hex()
                    ));
                }
                Ok(0)
            }
        }
    }
}

/// What the store of certificates knows, for a name as the list shows it; anything else as it is.
fn file_or_fingerprint(anchors: &Anchors, name: String) -> Result<String> {
    let (trusted, _) = anchors.list()?;
    let named: Vec<_> = trusted
        .iter()
        .filter(|anchor| {
            TrustedCertificate::parse(&anchor.der)
                .and_then(|certificate| certificate.signer())
                .is_ok_and(|signer| signer.common_name == name)
        })
        .collect();
    match named.as_slice() {
        [] => Ok(name),
        [one] => Ok(one.fingerprint.hex()),
        several => Err(hint(
            format!("{} trusted certificates are called {name:?}", several.len()),
            "name one by the start of its fingerprint: `coracle trust list` has them",
        )),
    }
}

/// RFC 7468, section 10: how a private key in PEM begins.
const KEY_MARK: &[u8] = b"PRIVATE KEY-----";

fn add(anchors: &Anchors, file: &std::path::Path) -> Result<u8> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    if bytes.windows(KEY_MARK.len()).any(|part| part == KEY_MARK) {
        return Err(hint(
            format!("{} is a key, and keys are secret", file.display()),
            format!(
                "its certificate is what others trust: `coracle trust add {}`",
                file.with_extension("crt").display()
            ),
        ));
    }
    let signer = TrustedCertificate::parse(&bytes)
        .with_context(|| format!("cannot trust {}", file.display()))?
        .signer()?;
    anchors.add(&bytes, &signer.common_name)?;
    say(&format!(
        "trusted: \"{}\" · sha256:{}",
        one_line(&signer.common_name),
        signer.fingerprint
    ));
    Ok(0)
}

fn list(anchors: &Anchors, context: &Context) -> Result<u8> {
    let (trusted, ignored) = anchors.list()?;
    let mut lines = Vec::new();
    for anchor in trusted {
        let signer =
            TrustedCertificate::parse(&anchor.der).and_then(|certificate| certificate.signer());
        let name = signer.map_or_else(|error| format!("({error})"), |signer| signer.common_name);
        lines.push(Line {
            name,
            fingerprint: anchor.fingerprint.hex(),
            file: anchor.path,
        });
    }
    let columns: &[listing::Column<Line>] = &[
        ("NAME", |line| Cow::Borrowed(&line.name)),
        ("FINGERPRINT", |line| {
            format!("sha256:{}", line.fingerprint).into()
        }),
        ("FILE", |line| line.file.to_string_lossy()),
    ];
    listing::print(&lines, columns, &context.globals)?;
    for file in ignored {
        complain(&format!(
            "not honoured: {}: {}",
            file.path.display(),
            one_line(&file.reason)
        ));
    }
    Ok(0)
}
