//! `trust add|list|remove|revoke|restore`: whose images may come in, which very images, and what counts no longer.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use delivery::digest::Digest;
use delivery::digests::{Digests, Said};
use delivery::trust::{Anchors, Ignored};
use image::signature::TrustedCertificate;
use serde::Serialize;

use crate::context::Context;
use crate::failure::{WithHint, hint};
use crate::listing;
use crate::portable::{admit, records, show};
use crate::terminal::{Paint, complain, one_line, say};
use crate::verbs::Run;

/// Options of `trust`.
#[derive(Args, Debug)]
pub(crate) struct Trust {
    #[command(subcommand)]
    action: Action,
}

/// What to do with trusted certificates and digests.
#[derive(Subcommand, Debug)]
enum Action {
    /// Trust images that are signed by this certificate or by one that it issued, or one very image
    Add {
        /// The certificate, PEM or DER, or the digest of an image: sha256:…
        #[arg(value_name = "CERTIFICATE|DIGEST")]
        what: String,
        /// Why, for the list; of a digest
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
    },
    /// List the trusted certificates and digests, and what was revoked
    List,
    /// Trust a certificate or a digest no longer; what is installed goes on
    Remove {
        /// Name, file name, or the start of the fingerprint or digest
        #[arg(value_name = "NAME|DIGEST")]
        name: String,
    },
    /// Let an image, or all that a certificate signed or issued for, neither in nor start any more, though it is installed
    Revoke {
        /// Digest of an image, fingerprint of a certificate, name of a trusted one, or its file
        #[arg(value_name = "DIGEST|NAME|CERTIFICATE")]
        what: String,
        /// Why: it is told to whoever tries
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
    },
    /// Take a revocation back
    Restore {
        /// The digest, or the start of it
        #[arg(value_name = "DIGEST")]
        digest: String,
    },
}

/// One line of the list.
#[derive(Serialize)]
struct Line {
    kind: &'static str,
    name: String,
    fingerprint: String,
    /// Until when a certificate is valid, or why it counts not.
    valid: String,
    reason: String,
    file: PathBuf,
}

impl Run for Trust {
    fn run(self, context: &Context) -> Result<u8> {
        let store = Words::of(&context.directories.config);
        match self.action {
            Action::Add { what, reason } => store.add(&what, &reason),
            Action::List => store.list(context),
            Action::Remove { name } => store.remove(name),
            Action::Revoke { what, reason } => store.revoke(context, &what, &reason),
            Action::Restore { digest } => store.restore(&digest),
        }
    }
}

/// All that the administrator said of certificates and images.
struct Words {
    anchors: Anchors,
    trusted: Digests,
    revoked: Digests,
}

impl Words {
    fn of(config: &Path) -> Words {
        Words {
            anchors: Anchors::new(config),
            trusted: Digests::trusted(config),
            revoked: Digests::revoked(config),
        }
    }

    fn add(&self, what: &str, reason: &str) -> Result<u8> {
        if let Some(digest) = as_digest(what)? {
            self.refuse_revoked(&digest)?;
            self.trusted.add(&digest, reason)?;
            say(&format!("trusted: the image {digest}, signed or not"));
            return Ok(0);
        }
        if !reason.is_empty() {
            return Err(hint(
                "--reason is for a digest: a certificate has a name",
                "leave it out",
            ));
        }
        self.add_certificate(Path::new(what))
    }

    fn add_certificate(&self, file: &Path) -> Result<u8> {
        let (bytes, certificate) = certificate(file)?;
        let signer = certificate.signer()?;
        if let Some(said) = admit::revoked_signer(&self.revoked, &signer)? {
            self.refuse_revoked(&said.digest)?;
        }
        let (_, valid) = certificate.validity(SystemTime::now())?;
        self.anchors.add(&bytes, &signer.common_name)?;
        say(&format!(
            "trusted: \"{}\" · sha256:{}",
            one_line(&signer.common_name),
            signer.fingerprint
        ));
        if let Err(wrong) = valid {
            complain(&format!(
                "{} {}: it vouches for nothing now",
                Paint::Yellow.on("warning:"),
                one_line(&wrong.to_string())
            ));
        }
        Ok(0)
    }

    /// To trust what was revoked would have no effect.
    fn refuse_revoked(&self, digest: &Digest) -> Result<()> {
        match self.revoked.get(digest)? {
            None => Ok(()),
            Some(_) => Err(hint(
                format!("{digest} was revoked, and stays out whoever trusts it"),
                format!("`coracle trust restore {digest}` takes that back"),
            )),
        }
    }

    fn remove(&self, name: String) -> Result<u8> {
        let digests = self.trusted.remove(&name)?;
        if digests.len() > 1 {
            return Err(several(&name));
        }
        for said in &digests {
            say(&format!("no longer trusted: the image {}", said.digest));
        }
        if !digests.is_empty() {
            return Ok(0);
        }
        let named = file_or_fingerprint(&self.anchors, name)?;
        let removed = self.anchors.remove(&named).or_hint(
            || "cannot remove the certificate or digest".to_owned(),
            "`coracle trust list` has names, fingerprints, digests and files",
        )?;
        for removed in removed {
            say(&format!(
                "no longer trusted: sha256:{}",
                removed.fingerprint.hex()
            ));
        }
        Ok(0)
    }

    fn revoke(&self, context: &Context, what: &str, reason: &str) -> Result<u8> {
        let (digest, key) = self.meant(context, what)?;
        let is_new = match &key {
            Some(key) => self.revoked.add_with_key(&digest, key, reason)?,
            None => self.revoked.add(&digest, reason)?,
        };
        say(&format!(
            "{}: {digest}",
            if is_new {
                "revoked"
            } else {
                "was revoked already"
            }
        ));
        let mut affected = Vec::new();
        for portable in records(context).list()? {
            let said = show::revoked(context, &portable)?;
            if said.is_some_and(|said| said.digest == digest || key == Some(said.digest)) {
                affected.push(portable.name);
            }
        }
        for name in affected {
            context.narrate(&format!(
                "{name} does not start any more; `coracle stop {name}` ends what runs of it, `coracle purge {name}` removes it"
            ));
        }
        Ok(0)
    }

    /// What is to be revoked: a digest as it is, else a certificate by its name or file; of a certificate that is known its key, too.
    fn meant(&self, context: &Context, what: &str) -> Result<(Digest, Option<Digest>)> {
        if let Some(digest) = as_digest(what)? {
            return Ok((digest, self.key_of(context, &digest)?));
        }
        let named = file_or_fingerprint(&self.anchors, what.to_owned())?;
        let is_it = |fingerprint: &Digest| fingerprint.hex() == named;
        let trusted = self.anchors.list()?.0;
        if let Some(anchor) = trusted.iter().find(|anchor| is_it(&anchor.fingerprint)) {
            return Ok((
                anchor.fingerprint,
                self.key_of(context, &anchor.fingerprint)?,
            ));
        }
        let path = Path::new(what);
        if path.exists() {
            let signer = certificate(path)?.1.signer()?;
            return Ok((signer.fingerprint.parse()?, Some(signer.key.parse()?)));
        }
        Err(hint(
            format!("{what:?} is no digest, no trusted certificate's name and no file"),
            "name an image by sha256: and its 64 digits (`coracle inspect IMAGE` tells them), or a certificate; `coracle trust list` has those that are trusted",
        ))
    }

    /// The key of a certificate that is trusted, or that signed something that is here.
    fn key_of(&self, context: &Context, fingerprint: &Digest) -> Result<Option<Digest>> {
        let trusted = self.anchors.list()?.0;
        if let Some(anchor) = trusted.iter().find(|one| one.fingerprint == *fingerprint) {
            let signer = TrustedCertificate::parse(&anchor.der).and_then(|one| one.signer());
            // A file that is no certificate vouches for nothing, and has no key.
            return Ok(signer.ok().map(|one| one.key.parse()).transpose()?);
        }
        let all = records(context).list()?;
        let mut signers = all.iter().flat_map(|portable| portable.signers());
        let known = signers.find(|signer| signer.fingerprint == *fingerprint);
        Ok(known.and_then(|signer| signer.key))
    }

    fn restore(&self, start: &str) -> Result<u8> {
        let restored = self.revoked.remove(start)?;
        match restored.as_slice() {
            [said] => {
                say(&format!("counts again: {}", said.digest));
                Ok(0)
            }
            [] => Err(hint(
                format!("nothing that begins with {start:?} was revoked"),
                "`coracle trust list` has what was, by digest; say at least 8 digits of it",
            )),
            _ => Err(several(start)),
        }
    }

    fn list(&self, context: &Context) -> Result<u8> {
        let (lines, ignored) = self.lines()?;
        let columns: &[listing::Column<Line>] = &[
            ("KIND", |line| Cow::Borrowed(line.kind)),
            ("NAME", |line| Cow::Borrowed(or_dash(&line.name))),
            ("FINGERPRINT", |line| {
                format!("sha256:{}", line.fingerprint).into()
            }),
            ("VALID", |line| Cow::Borrowed(or_dash(&line.valid))),
            ("REASON", |line| Cow::Borrowed(or_dash(&line.reason))),
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

    fn lines(&self) -> Result<(Vec<Line>, Vec<Ignored>)> {
        let (anchors, mut ignored) = self.anchors.list()?;
        let mut lines = Vec::new();
        for anchor in anchors {
            let parsed = TrustedCertificate::parse(&anchor.der);
            let name = parsed
                .as_ref()
                .map_err(ToString::to_string)
                .and_then(|certificate| certificate.signer().map_err(|error| error.to_string()))
                .map_or_else(|error| format!("({error})"), |signer| signer.common_name);
            let signer = parsed.as_ref().ok().and_then(|one| one.signer().ok());
            let of_key = signer.map(|signer| admit::revoked_signer(&self.revoked, &signer));
            let is_revoked = self.revoked.get(&anchor.fingerprint)?.is_some()
                || of_key.transpose()?.flatten().is_some();
            lines.push(Line {
                kind: "certificate",
                name,
                fingerprint: anchor.fingerprint.hex(),
                valid: if is_revoked {
                    "no: revoked".to_owned()
                } else {
                    valid(parsed.ok())
                },
                reason: String::new(),
                file: anchor.path,
            });
        }
        for (kind, digests) in [("digest", &self.trusted), ("revoked", &self.revoked)] {
            let (said, passed_over) = digests.list()?;
            ignored.extend(passed_over);
            lines.extend(said.into_iter().map(|said| of_digest(kind, said)));
        }
        Ok((lines, ignored))
    }
}

fn of_digest(kind: &'static str, said: Said) -> Line {
    Line {
        kind,
        name: match said.key == Some(said.digest) {
            true => "key of a certificate".to_owned(),
            false => String::new(),
        },
        fingerprint: said.digest.hex(),
        valid: String::new(),
        reason: said.reason,
        file: said.path,
    }
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

/// `until …`, or that it is not at this moment.
fn valid(certificate: Option<TrustedCertificate>) -> String {
    let now = SystemTime::now();
    let validity = certificate.and_then(|certificate| certificate.validity(now).ok());
    match validity {
        Some((end, Ok(()))) => format!("until {end}"),
        Some((end, Err(_))) => format!("not now; until {end}"),
        None => String::new(),
    }
}

fn several(start: &str) -> anyhow::Error {
    hint(
        format!("several digests begin with {start:?}"),
        "say more of the one: `coracle trust list` has them",
    )
}

/// A word that begins like a digest is one, or a slip.
fn as_digest(word: &str) -> Result<Option<Digest>> {
    if !word.starts_with("sha256:") {
        return Ok(None);
    }
    let digest = word.parse().or_hint(
        || format!("{word} is no digest"),
        "a digest has sha256: and 64 hexadecimal digits; `sha256sum IMAGE` and `coracle inspect IMAGE` tell an image's",
    )?;
    Ok(Some(digest))
}

/// A certificate from a file.
fn certificate(file: &Path) -> Result<(Vec<u8>, TrustedCertificate)> {
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
    let parsed = TrustedCertificate::parse(&bytes)
        .with_context(|| format!("cannot trust {}", file.display()))?;
    Ok((bytes, parsed))
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
