//! The channel of a portable: its index fetched, who stands for it, and whether it may be believed.

use std::io::Seek;

use anyhow::{Context as _, Result};
use delivery::channel::{self, Host, Index, Seen};
use delivery::digest::Digest;
use delivery::digests::Digests;
use delivery::portables::Portable;
use delivery::store::Store;
use image::signature::{Signer, TrustedCertificate};
use image::statement::{Handover, STATEMENT_LIMIT_BYTES, Statement};
use image::worker::{Fault, WorkerError, Workers};

use super::admit::{honoured, revoked_signer};
use super::fetch::{FetchOptions, fetch_itself};
use super::{existing_held, records};
use crate::clock::now_s;
use crate::context::Context;
use crate::failure::{Hint, hint};
use crate::terminal::{Paint, one_line, plain};

/// An index that is believed.
#[derive(Debug)]
pub(crate) struct Channel {
    /// Where it lies.
    pub(crate) url: String,
    /// What it says.
    pub(crate) index: Index,
    /// What is to be remembered of it once something of it is installed, where its maker was accepted just now.
    pub(crate) newly: Option<Seen>,
}

/// Fetches the index of a portable and holds it against what was seen before; what is seen now is recorded, so that a later one can't
/// be older. Of a maker who is accepted just now nothing was seen before, and what was seen of the former one stays until something of
/// the new one is installed.
///
/// # Errors
/// When there is none, nobody who may stands for it, or it is not the newest.
pub(crate) fn look(
    context: &Context,
    store: &Store,
    portable: &Portable,
    options: &FetchOptions,
    accepted: Option<Digest>,
) -> Result<Channel> {
    let name = &portable.name;
    let url = channel::address(&portable.origin, name).ok_or_else(|| no_address(portable))?;
    let statement = stand(context, store, portable, &url, options)?;
    check_signers(context, portable, &statement, accepted)?;
    let index = Index::parse(&statement.body)?;
    let refused = || Hint::new(format!("nothing of {url} is believed"), after_refusal(name));
    index
        .judge(
            (&statement.name, name),
            (
                &Digest::of(statement.body.as_bytes()),
                history(portable, &statement),
            ),
            now_s()?,
        )
        .with_context(refused)?;
    let newly = remember(context, portable, &statement, &index)?;
    Ok(Channel { url, index, newly })
}

/// What the index of a portable says of which nothing may be here yet, where there is one: enough to find an image's parts, which is then
/// held against trusted certificates and what was installed before as if it had come whole. Nothing is remembered of it.
///
/// # Errors
/// When it is there and nobody who may stands for it, or it does not count now.
pub(crate) fn glance(
    context: &Context,
    store: &Store,
    (name, url): (&str, &str),
    options: &FetchOptions,
) -> Result<Option<Index>> {
    let options = FetchOptions {
        max_size: Some(STATEMENT_LIMIT_BYTES.to_string()),
        ..options.clone()
    };
    // Most servers have none; whether this one is there is seen when the image is fetched.
    let Ok((staging, _, _)) = fetch_itself(context, store, url, &options) else {
        return Ok(None);
    };
    let mut trusted = honoured(&context.directories.config)?;
    if let Ok(Some(known)) = records(context).get(name) {
        trusted.extend(heirs(&known)?);
    }
    (&staging.file).rewind()?;
    let stood = Workers::default().stand(&staging.file, &trusted);
    store.discard(staging)?;
    let statement = stood.with_context(|| format!("nothing of {url} is believed"))?;
    let index = Index::parse(&statement.body)?;
    let digest = Digest::of(statement.body.as_bytes());
    index.judge((&statement.name, name), (&digest, None), now_s()?)?;
    Ok(Some(index))
}

/// Whether what came from there came from an address, which can be asked for newer versions.
pub(crate) fn is_address(origin: &str) -> bool {
    origin.contains("://")
}

/// Tells where a portable has lost the address that its upgrades came from, as it came from a file now.
pub(crate) fn tell_lost(context: &Context, before: Option<&Portable>, portable: &Portable) {
    let had = before.map_or("", |before| &before.origin);
    if !is_address(had) || is_address(&portable.origin) {
        return;
    }
    let (name, had) = (plain(&portable.name), one_line(had));
    context.narrate(&format!(
        "{} upgrades of {name} came from {had}; it came from {} now, and there is no address to ask any more: `coracle reattach {had}` takes it from there again",
        Paint::Yellow.on("warning:"),
        one_line(&portable.origin)
    ));
}

fn no_address(portable: &Portable) -> anyhow::Error {
    hint(
        format!(
            "{} came from {}, and has no channel",
            portable.name, portable.origin
        ),
        "`coracle start ADDRESS` takes it from a server that has its newer versions, too",
    )
}

fn after_refusal(name: &str) -> String {
    format!("{name} stays as it is; tell its maker, or try again later or from another network")
}

/// Fetches the index and lets a worker say who stands for it.
fn stand(
    context: &Context,
    store: &Store,
    portable: &Portable,
    url: &str,
    options: &FetchOptions,
) -> Result<Statement> {
    let options = FetchOptions {
        max_size: Some(STATEMENT_LIMIT_BYTES.to_string()),
        ..options.clone()
    };
    let (staging, _, _) = fetch_itself(context, store, url, &options)?;
    let mut trusted = honoured(&context.directories.config)?;
    trusted.extend(heirs(portable)?);
    (&staging.file).rewind()?;
    let stood = Workers::default().stand(&staging.file, &trusted);
    store.discard(staging)?;
    stood.map_err(|error| {
        let next = match &error {
            WorkerError::Refused(refusal) if refusal.fault == Fault::NotTrusted => format!(
                "if its maker has a new key that the old one could not hand over to, `coracle trust add CERTIFICATE` trusts it; {}",
                after_refusal(&portable.name)
            ),
            _ => after_refusal(&portable.name),
        };
        anyhow::Error::from(error).context(Hint::new(format!("nothing of {url} is believed"), next))
    })
}

/// The certificates of keys that came after the portable's first one, by its own word.
///
/// # Errors
/// When the record is damaged.
pub(crate) fn heirs(portable: &Portable) -> Result<Vec<TrustedCertificate>> {
    let seen = portable.channel.iter();
    seen.flat_map(|seen| &seen.successors)
        .map(|text| {
            TrustedCertificate::try_from(text.clone())
                .with_context(|| format!("the record of {} is damaged", portable.name))
        })
        .collect()
}

/// Whether a key is one of the maker's of what is installed: its signer's, or one that came after it by its own word.
fn is_own(portable: &Portable, signer: &Signer) -> bool {
    let fingerprint = signer.fingerprint.parse::<Digest>();
    fingerprint.is_ok_and(|fingerprint| has_key(portable, &fingerprint))
}

fn has_key(portable: &Portable, fingerprint: &Digest) -> bool {
    let Some(pinned) = &portable.signer else {
        return false;
    };
    let is_heir = |seen: &Seen| seen.is_one_maker(&pinned.fingerprint, fingerprint);
    *fingerprint == pinned.fingerprint || portable.channel.as_ref().is_some_and(is_heir)
}

/// The handovers from the maker of what is installed to who signed the index; none where somebody else signed it and is accepted.
fn line<'a>(portable: &Portable, statement: &'a Statement) -> Option<Vec<&'a Handover>> {
    statement.line_from(&|signer| is_own(portable, signer))
}

/// The line has to begin with who signed what is installed, and revoked keys end it.
fn check_signers(
    context: &Context,
    portable: &Portable,
    statement: &Statement,
    accepted: Option<Digest>,
) -> Result<()> {
    let list = Digests::revoked(&context.directories.config);
    let line = line(portable, statement);
    let handovers = line.iter().flatten();
    let keys = handovers.flat_map(|handover| [&handover.by, &handover.to]);
    for signer in keys.chain([&statement.signer]) {
        if let Some(said) = revoked_signer(&list, signer)? {
            return Err(hint(
                format!(
                    "the channel index counts by the word of \"{}\", which was revoked ({})",
                    one_line(&signer.common_name),
                    said.digest
                ),
                after_refusal(&portable.name),
            ));
        }
    }
    let fingerprint: Digest = statement.signer.fingerprint.parse()?;
    if line.is_some() || accepted == Some(fingerprint) {
        return Ok(());
    }
    Err(other_maker(portable, &statement.signer))
}

fn other_maker(portable: &Portable, signer: &Signer) -> anyhow::Error {
    let (name, fingerprint) = (&portable.name, &signer.fingerprint);
    let other = one_line(&signer.common_name);
    hint(
        match &portable.signer {
            Some(was) => format!(
                "{name} is signed by \"{}\", and its channel index by \"{other}\" ({fingerprint}), who does not follow by that one's word",
                one_line(&was.name)
            ),
            None => format!(
                "{name} is signed by nobody, and its channel index by \"{other}\" ({fingerprint})"
            ),
        },
        format!(
            "if that is its maker, say --accept-signer=sha256:{fingerprint}; {}",
            after_refusal(name)
        ),
    )
}

/// What was seen of the channel of who signed this: nothing where that is somebody else.
fn history<'a>(portable: &'a Portable, statement: &Statement) -> Option<&'a Seen> {
    let is_own = |signer: &Digest| has_key(portable, signer);
    let seen = portable.channel.as_ref();
    let seen = seen.filter(|seen| seen.signer.as_ref().is_none_or(is_own));
    line(portable, statement).and(seen)
}

/// Records what was seen, unless another command has seen a newer one meanwhile; returned is what can't be recorded yet.
fn remember(
    context: &Context,
    portable: &Portable,
    statement: &Statement,
    index: &Index,
) -> Result<Option<Seen>> {
    let (held, mut known) = existing_held(context, &portable.name)?;
    let digest = Digest::of(statement.body.as_bytes());
    let seen = history(&known, statement);
    index.judge((&statement.name, &known.name), (&digest, seen), now_s()?)?;
    let line = line(&known, statement);
    let (mut lineage, mut successors) = seen.map_or_else(Default::default, |seen| {
        (seen.lineage.clone(), seen.successors.clone())
    });
    let pinned = known.signer.as_ref().filter(|_| line.is_some());
    if let Some(pinned) = pinned {
        add(&mut lineage, pinned.fingerprint);
    }
    for handover in line.iter().flatten() {
        add(&mut lineage, handover.to.fingerprint.parse()?);
        add(&mut successors, handover.certificate.clone().into());
    }
    let now = Seen {
        signer: Some(statement.signer.fingerprint.parse()?),
        serial: index.serial,
        digest,
        floor: index.floor.clone(),
        lineage,
        successors,
    };
    // Keys of another maker, who was accepted, are not counted among the former one's.
    if line.is_none() {
        return Ok(Some(now));
    }
    if seen != Some(&now) {
        known.channel = Some(now);
        held.put(&known)?;
    }
    Ok(None)
}

fn add<T: PartialEq>(list: &mut Vec<T>, new: T) {
    if !list.contains(&new) {
        list.push(new);
    }
}

/// What this host is, for what a version needs.
pub(crate) fn host() -> Host {
    let kernel = rustix::system::uname();
    Host {
        architecture: image::discoverable::native()
            .unwrap_or(std::env::consts::ARCH)
            .to_owned(),
        kernel: kernel.release().to_string_lossy().into_owned(),
    }
}
