//! Only the parts of a version that changed: chunks that no stored image has are fetched, the others are here.

use std::fs::File;
use std::io::Seek;

use anyhow::{Context as _, Result};
use delivery::channel::{Part, place_of};
use delivery::chunks::List;
use delivery::chunks::list::{LIST_MAX_BYTES, Stretch};
use delivery::chunks::local::{Local, complete};
use delivery::digest::Digest;
use delivery::fetch::{Progress, Request};
use delivery::policy::Policy;
use delivery::store::{Staging, Store};

use super::fetch::{FetchOptions, addresses, bar, fetch, policy, show, tell_mirror, tell_reduced};
use super::room::check_room;
use super::source::Offered;
use crate::context::Context;
use crate::terminal::{one_line, plain, size};
use crate::workers::fetch::{Wanted, read_list, run_chunks};

/// Workers at once: beyond these one server gives no more, and some refuse.
const WORKERS: usize = 4;
/// What one worker brings at least: for less, another process and its connection take longer than they save.
const WORKER_MIN_BYTES: u64 = 2 << 20;

/// The two files of a version's chunks.
struct Published<'a> {
    list: &'a Part,
    pack: &'a Part,
}

/// Brings a version by its chunks, where it has some and that is less than the whole; none where it is not.
///
/// # Errors
/// When anything about the chunks is wrong. What came of them stays for the next try, until [`discard`].
pub(crate) fn bring(
    context: &Context,
    store: &Store,
    offered: &Offered,
    options: &FetchOptions,
) -> Result<Option<(Staging, Digest, u64)>> {
    let (release, image) = (&offered.release, &offered.release.image);
    let (Some(list), Some(pack)) = (&release.chunks, &release.pack) else {
        return Ok(None);
    };
    let fits = list.bytes <= LIST_MAX_BYTES && image.bytes <= options.size_max_bytes()?;
    if !fits || list.bytes >= offered.part.bytes || store.list()?.is_empty() {
        return Ok(None);
    }
    let published = Published { list, pack };
    let staged_list = published.bring_list(context, store, offered, options)?;
    let came = from_parts(context, store, offered, options, (&published, &staged_list));
    store.discard(staged_list)?;
    came
}

impl Published<'_> {
    /// Fetches the list; nothing counts as that but what the signed index says.
    fn bring_list(
        &self,
        context: &Context,
        store: &Store,
        offered: &Offered,
        options: &FetchOptions,
    ) -> Result<Staging> {
        let url = address(offered, self.list)?;
        let options = FetchOptions {
            max_size: Some(self.list.bytes.to_string()),
            ..options.clone()
        };
        let (staging, digest, bytes) = fetch(context, store, &url, &options)?;
        if (digest, bytes) == (self.list.digest, self.list.bytes) {
            return Ok(staging);
        }
        store.discard(staging)?;
        let expected = self.list.digest;
        anyhow::bail!("{url} is {digest}, and the channel index says {expected}")
    }
}

fn address(offered: &Offered, part: &Part) -> Result<String> {
    place_of(&offered.url, part).context("the channel has no address")
}

fn from_parts(
    context: &Context,
    store: &Store,
    offered: &Offered,
    options: &FetchOptions,
    (published, staged_list): (&Published<'_>, &Staging),
) -> Result<Option<(Staging, Digest, u64)>> {
    let image = &offered.release.image;
    let list = read_list(&staged_list.file, image.bytes, published.pack.bytes)?;
    let local = Local::of(store, &list)?;
    for error in &local.passed {
        context.narrate(&format!("passed over: {}", one_line(&error.to_string())));
    }
    let target = stage(store, offered)?;
    check_room(&target.file, Some(image.bytes), image.bytes, &offered.url)?;
    let wanted = local.fill(&list, &target.file)?;
    let stretches = list.stretches(&wanted);
    let cost_bytes = List::cost_bytes(&stretches) + published.list.bytes;
    if cost_bytes >= offered.part.bytes {
        store.discard(target)?;
        return Ok(None);
    }
    let came = Coming {
        context,
        offered,
        options,
        published,
        files: (&target.file, &staged_list.file),
    }
    .bring(&list, (&wanted, &stretches));
    match came.and_then(|bytes| Ok((bytes, whole(&list, &target.file)?))) {
        Ok((bytes, (digest, length))) if (digest, length) == (image.digest, image.bytes) => {
            context.narrate(&format!(
                "{}: fetched {} of {}, the rest is here",
                plain(&offered.release.image.file),
                size(bytes + published.list.bytes),
                size(offered.part.bytes)
            ));
            Ok(Some((target, digest, length)))
        }
        Ok((_, (digest, _))) => {
            store.discard(target)?;
            let expected = image.digest;
            anyhow::bail!("what they make is {digest}, and the channel index says {expected}")
        }
        Err(error) => Err(error),
    }
}

/// Throws away what came of chunks, once the whole is here.
///
/// # Errors
/// When it can't be removed.
pub(crate) fn discard(store: &Store, offered: &Offered) -> Result<()> {
    Ok(store.discard(stage(store, offered)?)?)
}

fn stage(store: &Store, offered: &Offered) -> Result<Staging> {
    Ok(store.stage(&format!("chunks of {}", offered.release.image.digest))?)
}

/// The image, once all chunks of the pack are there.
fn whole(list: &List, mut target: &File) -> Result<(Digest, u64)> {
    complete(list, target).context("not all chunks are there")?;
    target.rewind()?;
    Ok(Digest::of_reader(&mut target)?)
}

/// What is to be fetched, and where to.
struct Coming<'a> {
    context: &'a Context,
    offered: &'a Offered,
    options: &'a FetchOptions,
    published: &'a Published<'a>,
    /// The image and the list.
    files: (&'a File, &'a File),
}

impl Coming<'_> {
    /// Fetches chunks; returned is how many bytes came.
    fn bring(&self, list: &List, (wanted, stretches): (&[usize], &[Stretch])) -> Result<u64> {
        let url = address(self.offered, self.published.pack)?;
        let policy = policy(self.context)?;
        let all = addresses(&policy, &url, self.options)?;
        let (own, mirrors) = all.split_last().context("an address has an address")?;
        for mirror in mirrors {
            match self.bring_from(&self.request(&policy, mirror)?, list, (wanted, stretches)) {
                Err(error) => tell_mirror(self.context, mirror, &error),
                came => return came,
            }
        }
        self.bring_from(&self.request(&policy, own)?, list, (wanted, stretches))
    }

    fn request(&self, policy: &Policy, url: &str) -> Result<Request> {
        let mut request = self.options.request(policy, url)?;
        request.limits.size_max_bytes = self.offered.release.image.bytes;
        Ok(request)
    }

    fn bring_from(
        &self,
        request: &Request,
        list: &List,
        (wanted, stretches): (&[usize], &[Stretch]),
    ) -> Result<u64> {
        let image_bytes = self.offered.release.image.bytes;
        let pack_bytes = self.published.pack.bytes;
        let share = |numbers| Wanted {
            numbers,
            image_bytes,
            pack_bytes,
        };
        let all_bytes: u64 = stretches.iter().map(Stretch::bytes).sum();
        let worth = usize::try_from(all_bytes / WORKER_MIN_BYTES).unwrap_or(WORKERS);
        let shares = list.shares(wanted, worth.clamp(1, WORKERS)).into_iter();
        let shares: Vec<Wanted> = shares.map(share).collect();
        let total_bytes = Some(all_bytes);
        let bar = bar(self.context, &request.url);
        let came = run_chunks(
            request,
            self.files,
            &shares,
            &mut |bytes| show(&bar, Progress { bytes, total_bytes }),
            &mut |reason| tell_reduced(self.context, reason),
        );
        bar.finish_and_clear();
        came
    }
}
