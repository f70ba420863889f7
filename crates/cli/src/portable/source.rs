//! What `coracle start WHAT` means: an address, a file, a directory, a portable that is here, or a unit.

use std::path::{Path, PathBuf};

use anyhow::Result;
use delivery::channel::{Part, Release};
use delivery::portables::Portable;
use load::portable::PortableName;
use model::version::compare;

use super::places::{self, Offer};
use super::{portable_named, records};
use crate::context::{Context, is_full_unit_name};
use crate::failure::{WithHint, hint};
use crate::terminal::plain;

/// Where a portable comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// `http://…`, `https://…` or `oci://…`.
    Url(String),
    /// An image on this host.
    File(PathBuf),
    /// A version that a channel's index names: what has to come from that address, whatever does.
    Release(Box<Offered>),
    /// A version of a portable that is in the store.
    Version(String, String),
    /// A directory on this host.
    Directory(PathBuf),
    /// A portable that is in the store.
    Stored(String),
    /// No portable: a unit.
    Unit(String),
}

/// What an index says of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offered {
    /// Where to fetch it.
    pub(crate) url: String,
    /// What is there.
    pub(crate) part: Part,
    /// The version, and the image once it is not compressed.
    pub(crate) release: Release,
    /// Where the portable is recorded to come from.
    pub(crate) origin: String,
}

/// Tells by the word, and by what is there.
///
/// # Errors
/// When the word is an address of another kind, or a path to nothing.
pub(crate) fn of(context: &Context, word: &str) -> Result<Source> {
    if let Some((scheme, _)) = word.split_once("://") {
        return match scheme {
            "http" | "https" | "oci" => Ok(Source::Url(word.to_owned())),
            other => Err(hint(
                format!("{} addresses can't be fetched", plain(other)),
                "http, https and oci addresses can; a file is named by its path",
            )),
        };
    }
    let path = Path::new(word);
    if word.contains('/')
        || [".", ".."].contains(&word)
        || [".psi", ".raw", ".psi.zst", ".raw.zst"]
            .iter()
            .any(|ending| word.ends_with(ending))
    {
        return local(context, path);
    }
    if let Some(portable) = portable_named(&records(context), word)? {
        return Ok(Source::Stored(portable.name));
    }
    let is_no_portable = is_full_unit_name(word) || PortableName::new(word).is_err();
    let offer = match is_no_portable {
        true => None,
        false => places::find(context, word)?,
    };
    match offer {
        // A unit of the host's goes before what somebody has put into a place.
        Some(offer) if !is_unit(context, word) => Ok(of_offer(context, word, offer)),
        _ => Ok(Source::Unit(word.to_owned())),
    }
}

/// The newest version of a portable that is offered, where that is newer than what is here; else what is here.
///
/// # Errors
/// When a place can't be read.
pub(crate) fn newest(context: &Context, known: &Portable) -> Result<Source> {
    Ok(match newer(context, known)? {
        Some(offer) => of_offer(context, &known.name, offer),
        None => Source::Stored(known.name.clone()),
    })
}

/// The newest version of a portable that lies in one of the places, where that is newer than what is here.
///
/// # Errors
/// When a place can't be read.
pub(crate) fn newer(context: &Context, known: &Portable) -> Result<Option<Offer>> {
    let is_newer = |offer: &Offer| compare(&offer.version, &known.current).is_gt();
    Ok(places::find(context, &known.name)?.filter(is_newer))
}

pub(crate) fn of_offer(context: &Context, word: &str, offer: Offer) -> Source {
    context.narrate(&format!(
        "{} is {}",
        plain(word),
        plain(&offer.path.display().to_string())
    ));
    match offer.is_directory {
        true => Source::Directory(offer.path),
        false => Source::File(offer.path),
    }
}

fn is_unit(context: &Context, word: &str) -> bool {
    let unit = format!("{word}.service");
    let loader = crate::check::loader(context);
    loader.names().any(|name| name.as_str() == unit)
}

fn local(context: &Context, path: &Path) -> Result<Source> {
    let absolute = std::path::absolute(path)?;
    match absolute.metadata() {
        Ok(_) if is_full_unit_name(&absolute.to_string_lossy()) => Err(hint(
            format!(
                "{} is a unit file, which is started by its name",
                path.display()
            ),
            format!(
                "copy it to {}, then `coracle start {}`",
                context.directories.units().display(),
                path.file_name().unwrap_or_default().display()
            ),
        )),
        Ok(metadata) if metadata.is_dir() => Ok(Source::Directory(absolute)),
        Ok(_) => Ok(Source::File(absolute)),
        Err(error) => Err(error).or_hint(
            || format!("cannot read {}", path.display()),
            "name an image or a directory that is there, or an address",
        ),
    }
}
