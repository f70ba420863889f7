//! A version that a channel's index names, brought here: nothing else than what the index says counts as that.

use anyhow::Result;
use delivery::channel::{Index, Part, Release};
use delivery::digest::Digest;
use delivery::store::{Staging, Store};

use super::admit::{self, Admitted};
use super::fetch::{FetchOptions, fetch};
use super::source::Offered;
use super::{parts, patched};
use crate::context::Context;
use crate::failure::hint;
use crate::terminal::{Paint, one_line};

/// What to fetch of a version: the smaller file.
pub(crate) fn smaller(release: &Release) -> &Part {
    let compressed = release.compressed.as_ref();
    let compressed = compressed.filter(|part| part.bytes < release.image.bytes);
    compressed.unwrap_or(&release.image)
}

/// Whether a version is newer than one that is here.
pub(crate) fn newer<'a>(index: &'a Index, current: &str) -> (Option<&'a Release>, Vec<String>) {
    use model::version::compare;
    let (newest, passed) = index.newest(&super::channel::host());
    let passed = passed.into_iter();
    let passed = passed.filter(|(release, _)| compare(&release.version, current).is_gt());
    (
        newest.filter(|release| compare(&release.version, current).is_gt()),
        passed
            .map(|(release, why)| format!("{}: {why}", release.version))
            .collect(),
    )
}

/// Fetches a version; a transfer that was cut goes on. More than was announced is not taken.
///
/// # Errors
/// When it can't be fetched, or is another file than the index says.
pub(crate) fn bring(
    context: &Context,
    store: &Store,
    offered: &Offered,
    options: &FetchOptions,
) -> Result<(Staging, Digest, u64)> {
    let ways: [(&str, Way); 2] = [
        ("a patch", patched::bring),
        ("the parts that changed", parts::bring),
    ];
    for (what, way) in ways {
        match way(context, store, offered, options) {
            Ok(Some(came)) => return Ok(came),
            Ok(None) => {}
            // What is wrong with the parts may be nothing that is wrong with the whole, which is looked at no less.
            Err(error) => context.narrate(&format!(
                "{} {what} can't be used: {}",
                Paint::Yellow.on("warning:"),
                one_line(&format!("{error:#}"))
            )),
        }
    }
    whole(context, store, offered, options)
}

type Way = fn(&Context, &Store, &Offered, &FetchOptions) -> Result<Option<(Staging, Digest, u64)>>;

/// Fetches all of a version.
fn whole(
    context: &Context,
    store: &Store,
    offered: &Offered,
    options: &FetchOptions,
) -> Result<(Staging, Digest, u64)> {
    let (part, image) = (&offered.part, &offered.release.image);
    let limit_bytes = options.size_max_bytes()?.min(part.bytes);
    let options = FetchOptions {
        max_size: Some(limit_bytes.to_string()),
        ..options.clone()
    };
    let (staging, digest, bytes) = fetch(context, store, &offered.url, &options)?;
    parts::discard(store, offered)?;
    if (digest, bytes) != (part.digest, part.bytes) {
        store.discard(staging)?;
        return Err(another(&offered.url, &digest, &part.digest));
    }
    let came = (staging, digest, bytes);
    let (staging, digest, bytes) = admit::decompress(store, came, &offered.url, image.bytes)?;
    if (digest, bytes) != (image.digest, image.bytes) {
        store.discard(staging)?;
        return Err(another(&offered.url, &digest, &image.digest));
    }
    Ok((staging, digest, bytes))
}

/// Refuses an image of another version than the index says: what is recorded of that one is about another image then.
///
/// # Errors
/// When it is.
pub(crate) fn named(store: &Store, admitted: Admitted, offered: &Offered) -> Result<Admitted> {
    let expected = offered.release.version.as_str();
    if admitted.version() == expected {
        return Ok(admitted);
    }
    let said = hint(
        format!(
            "{} is {} {}, and the channel index says {expected}",
            offered.url,
            one_line(admitted.name()?),
            one_line(admitted.version())
        ),
        "nothing was changed; tell its maker",
    );
    admitted.discard(store)?;
    Err(said)
}

fn another(url: &str, found: &Digest, expected: &Digest) -> anyhow::Error {
    hint(
        format!(
            "{url} is {found}, and the channel index says {expected}: files of several versions are mixed there"
        ),
        "try again later: it may be about to be published; if that goes on, tell its maker",
    )
}
