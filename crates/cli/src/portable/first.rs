//! A portable from its address: where a channel lies beside it and the store has anything that could be in common, only what is
//! missing comes.

use anyhow::Result;
use delivery::channel::{self, Index, Release, beside};
use delivery::digest::Digest;
use delivery::store::{Staging, Store};
use model::version::compare;

use super::channel::glance;
use super::fetch::{FetchOptions, fetch};
use super::offered;
use super::source::Offered;
use crate::context::Context;
use crate::terminal::one_line;

/// Endings that images have.
const ENDINGS: &[&str] = &[".psi.zst", ".raw.zst", ".psi", ".raw"];

/// Brings what lies at an address. Where the channel there is believed, nothing else than what it says counts as that.
///
/// # Errors
/// When it can't be fetched, or is another file than the index says.
pub(crate) fn bring(
    context: &Context,
    store: &Store,
    url: &str,
    options: &FetchOptions,
) -> Result<(Staging, Digest, u64)> {
    match look(context, store, url, options)? {
        Some(offered) => offered::bring(context, store, &offered, options),
        None => fetch(context, store, url, options),
    }
}

fn look(
    context: &Context,
    store: &Store,
    url: &str,
    options: &FetchOptions,
) -> Result<Option<Offered>> {
    if store.list()?.is_empty() {
        return Ok(None);
    }
    let Some((file, names)) = names(url) else {
        return Ok(None);
    };
    for name in names {
        let Some(address) = channel::address(url, name) else {
            return Ok(None);
        };
        match glance(context, store, (name, &address), options) {
            Ok(Some(index)) => {
                let release = meant(&index, (name, file));
                return Ok(release.and_then(|release| offer(&address, release, url)));
            }
            Ok(None) => {}
            Err(error) => context.narrate(&format!(
                "the whole image comes: {}",
                one_line(&format!("{error:#}"))
            )),
        }
    }
    Ok(None)
}

fn offer(address: &str, release: &Release, url: &str) -> Option<Offered> {
    let part = offered::smaller(release).clone();
    Some(Offered {
        url: beside(address, &part.file)?,
        part,
        release: release.clone(),
        origin: url.to_owned(),
    })
}

/// The last part of an address, and what the portable there may be called: `boat_1.1.psi` is one of boat, `boat.psi` its newest.
fn names(url: &str) -> Option<(&str, Vec<&str>)> {
    let plain = url.split(['?', '#']).next().unwrap_or(url);
    let (_, file) = plain.rsplit_once('/')?;
    let stem = ENDINGS
        .iter()
        .find_map(|ending| file.strip_suffix(ending))?;
    let before = stem.rsplit_once('_').map(|(name, _)| name);
    Some((file, before.into_iter().chain([stem]).collect()))
}

/// The version that a file of this name is.
fn meant<'a>(index: &'a Index, (name, file): (&str, &str)) -> Option<&'a Release> {
    let mut versions = index.versions.iter();
    if file == format!("{name}.psi") {
        return versions.max_by(|a, b| compare(&a.version, &b.version));
    }
    versions.find(|release| {
        let mut whole = std::iter::once(&release.image).chain(&release.compressed);
        whole.any(|part| part.file == file)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_name_says_whose_it_may_be() {
        let check = |url, expected: Option<(&str, &[&str])>| {
            let found = names(url);
            let found = found
                .as_ref()
                .map(|(file, names)| (*file, names.as_slice()));
            assert_eq!(found, expected, "{url}");
        };
        check("https://a/x/boat.psi", Some(("boat.psi", &["boat"])));
        check(
            "https://a/boat_1.1.psi.zst?q",
            Some(("boat_1.1.psi.zst", &["boat", "boat_1.1"])),
        );
        check(
            "https://a/my_boat.psi",
            Some(("my_boat.psi", &["my", "my_boat"])),
        );
        check("https://a/boat.tar", None);
    }
}
