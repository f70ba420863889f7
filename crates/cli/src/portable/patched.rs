//! A version by a patch from one that is here.

use std::io::Seek;

use anyhow::{Context as _, Result, bail};
use delivery::channel::{Patch, place_of};
use delivery::digest::Digest;
use delivery::store::{Staging, Store};

use super::fetch::{FetchOptions, fetch, tell_reduced};
use super::room::check_room;
use super::source::Offered;
use crate::context::Context;
use crate::terminal::{plain, size};
use crate::workers;

/// Brings a version by the smallest of its patches from an image that is stored; none where there is none.
///
/// # Errors
/// When anything about the patch is wrong.
pub(crate) fn bring(
    context: &Context,
    store: &Store,
    offered: &Offered,
    options: &FetchOptions,
) -> Result<Option<(Staging, Digest, u64)>> {
    let image = &offered.release.image;
    let patches = offered.release.patches.iter();
    let usable = patches
        .filter(|patch| patch.part.bytes < offered.part.bytes && store.get(&patch.from).is_ok());
    let Some(patch) = usable.min_by_key(|patch| patch.part.bytes) else {
        return Ok(None);
    };
    if image.bytes > options.size_max_bytes()? {
        return Ok(None);
    }
    let staged = fetched(context, store, (offered, patch), options)?;
    let target = store.stage(&format!("patched {}", image.digest))?;
    let made = make(context, store, (offered, patch), (&staged, &target));
    store.discard(staged)?;
    match made {
        Ok(()) => {
            context.narrate(&format!(
                "{}: fetched {} of {}, as a patch",
                plain(&image.file),
                size(patch.part.bytes),
                size(offered.part.bytes)
            ));
            Ok(Some((target, image.digest, image.bytes)))
        }
        Err(error) => {
            store.discard(target)?;
            Err(error)
        }
    }
}

/// Fetches a patch; nothing counts as that but what the signed index says.
fn fetched(
    context: &Context,
    store: &Store,
    (offered, patch): (&Offered, &Patch),
    options: &FetchOptions,
) -> Result<Staging> {
    let part = &patch.part;
    let url = place_of(&offered.url, part).context("the channel has no address")?;
    let options = FetchOptions {
        max_size: Some(part.bytes.to_string()),
        ..options.clone()
    };
    let (staging, digest, bytes) = fetch(context, store, &url, &options)?;
    if (digest, bytes) == (part.digest, part.bytes) {
        return Ok(staging);
    }
    store.discard(staging)?;
    bail!(
        "{url} is {digest}, and the channel index says {}",
        part.digest
    )
}

fn make(
    context: &Context,
    store: &Store,
    (offered, patch): (&Offered, &Patch),
    (staged, target): (&Staging, &Staging),
) -> Result<()> {
    let image = &offered.release.image;
    target.file.set_len(0)?;
    check_room(&target.file, Some(image.bytes), image.bytes, &offered.url)?;
    let old = store.get(&patch.from)?;
    (&staged.file).rewind()?;
    let tell = &mut |reason: &str| tell_reduced(context, reason);
    workers::patch::run(&staged.file, (&old, &target.file), image.bytes, tell)?;
    (&target.file).rewind()?;
    let (digest, bytes) = Digest::of_reader(&mut &target.file)?;
    if (digest, bytes) == (image.digest, image.bytes) {
        return Ok(());
    }
    bail!(
        "what it makes is {digest}, and the channel index says {}",
        image.digest
    )
}
