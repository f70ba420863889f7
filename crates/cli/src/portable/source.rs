//! What `coracle start WHAT` means: an address, a file, a directory, a portable that is here, or a unit.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{portable_named, records};
use crate::context::{Context, is_full_unit_name};
use crate::failure::{WithHint, hint};
use crate::terminal::plain;

/// Where a portable comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// `http://…` or `https://…`.
    Url(String),
    /// An image on this host.
    File(PathBuf),
    /// A directory on this host.
    Directory(PathBuf),
    /// A portable that is in the store.
    Stored(String),
    /// No portable: a unit.
    Unit(String),
}

/// Tells by the word, and by what is there.
///
/// # Errors
/// When the word is an address of another kind, or a path to nothing.
pub(crate) fn of(context: &Context, word: &str) -> Result<Source> {
    if let Some((scheme, _)) = word.split_once("://") {
        return match scheme {
            "http" | "https" => Ok(Source::Url(word.to_owned())),
            other => Err(hint(
                format!("{} addresses can't be fetched", plain(other)),
                "http and https can; a file is named by its path",
            )),
        };
    }
    let path = Path::new(word);
    if word.contains('/')
        || [".", ".."].contains(&word)
        || [".psi", ".raw"].iter().any(|ending| word.ends_with(ending))
    {
        return local(context, path);
    }
    match portable_named(&records(context), word)? {
        Some(portable) => Ok(Source::Stored(portable.name)),
        None => Ok(Source::Unit(word.to_owned())),
    }
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
