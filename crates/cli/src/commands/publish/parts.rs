//! What lies beside a published image so that less than all of it has to be fetched: compressed, in chunks, as patches.

use std::fs::File;

use anyhow::Result;
use delivery::channel::{Index, Part, Patch, Release};
use delivery::chunks::List;
use delivery::chunks::list::LIST_MAX_BYTES;
use delivery::chunks::local::cut_of;
use delivery::chunks::{pack, patch};
use delivery::digest::Digest;
use delivery::publish::Shelf;
use model::version::compare;

use crate::context::Context;
use crate::terminal::size;

/// What was published before, and what is now.
pub(super) struct Parts<'a> {
    pub(super) context: &'a Context,
    pub(super) shelf: &'a Shelf,
    pub(super) had: &'a Index,
    /// Version and digest of the image.
    pub(super) given: (&'a str, &'a Digest),
}

/// An image in chunks.
pub(super) struct InChunks {
    list: List,
    pub(super) listed: Part,
    pub(super) packed: Part,
}

/// What is there already, if it is this.
pub(super) fn same(shelf: &Shelf, file: &str, digest: &Digest) -> Option<Part> {
    let part = shelf.part(file).ok();
    part.filter(|part| part.digest == *digest)
}

impl Parts<'_> {
    /// What the index names already of this image, if it does: nothing takes the place of what hosts may be fetching.
    fn released(&self) -> Option<&Release> {
        let mut versions = self.had.versions.iter();
        versions.find(|release| release.image.digest == *self.given.1)
    }

    fn served(&self, part: &Part) -> Option<Part> {
        same(self.shelf, &part.file, &part.digest)
    }

    /// The image as one zstd stream.
    pub(super) fn compressed(&self, file: &str) -> Result<Part> {
        let known = self
            .released()
            .and_then(|release| release.compressed.as_ref());
        if let Some(part) = known.and_then(|part| self.served(part)) {
            return Ok(part);
        }
        let packed = format!("{file}.zst");
        let staged = format!(".{packed}.new");
        let (from, to) = (self.shelf.path(file), self.shelf.path(&staged));
        let length = image::travel::compress(&from, &to, &|_, _, _| ())?;
        self.shelf.adopt(&staged, &packed)?;
        self.context
            .narrate(&format!("{packed} · {}", size(length)));
        Ok(self.shelf.part(&packed)?)
    }

    /// The pack of its chunks and the list of them; none where an image has too many.
    pub(super) fn in_chunks(&self, file: &str) -> Result<Option<InChunks>> {
        if let Some(known) = self.served_chunks() {
            return Ok(Some(known));
        }
        let (listed, packed) = (format!("{file}.chunks"), format!("{file}.pack"));
        let mut image = File::open(self.shelf.path(file))?;
        let made = self
            .shelf
            .make(&packed, |out| pack::write(&mut image, out))?;
        let Some((list, packed)) = made else {
            self.context.narrate(&format!(
                "{file} has too many chunks for a list: hosts fetch the whole"
            ));
            return Ok(None);
        };
        self.shelf.put_text(&listed, &list.print())?;
        self.context.narrate(&format!(
            "{} · {} chunks · {}",
            packed.file,
            list.chunks().len(),
            size(list.pack_bytes())
        ));
        let listed = self.shelf.part(&listed)?;
        Ok(Some(InChunks {
            list,
            listed,
            packed,
        }))
    }

    fn served_chunks(&self) -> Option<InChunks> {
        let release = self.released()?;
        let (listed, packed) = (release.chunks.as_ref()?, release.pack.as_ref()?);
        let (listed, packed) = (self.served(listed)?, self.served(packed)?);
        let text = self.shelf.read(&listed.file, LIST_MAX_BYTES).ok()??;
        let list = List::parse(&text, release.image.bytes, packed.bytes).ok()?;
        Some(InChunks {
            list,
            listed,
            packed,
        })
    }

    /// Patches from the versions before this one, as far as they are smaller than all else.
    pub(super) fn patches(
        &self,
        file: &str,
        (in_chunks, whole_bytes): (Option<&InChunks>, u64),
        count: u16,
    ) -> Result<Vec<Patch>> {
        let known = self.released().map_or(&[][..], |release| &release.patches);
        let is_older = |release: &&Release| compare(&release.version, self.given.0).is_lt();
        let before = self.had.versions.iter().filter(is_older);
        let mut patches = Vec::new();
        for release in before.take(count.into()) {
            let served = known
                .iter()
                .find(|patch| patch.from == release.image.digest);
            if let Some(patch) = served.filter(|patch| self.served(&patch.part).is_some()) {
                patches.push(patch.clone());
                continue;
            }
            let Ok(old) = File::open(self.shelf.path(&release.image.file)) else {
                continue;
            };
            patches.extend(self.patch(file, (release, &old), (in_chunks, whole_bytes))?);
        }
        Ok(patches)
    }

    fn patch(
        &self,
        file: &str,
        (release, old): (&Release, &File),
        (in_chunks, whole_bytes): (Option<&InChunks>, u64),
    ) -> Result<Option<Patch>> {
        let new = File::open(self.shelf.path(file))?;
        let old_list = cut_of(&mut &*old)?;
        let new_list = match in_chunks {
            Some(made) => made.list.clone(),
            None => cut_of(&mut &new)?,
        };
        let by_chunks = in_chunks.map(|made| made.listed.bytes + made.list.cost_after(&old_list));
        let limit_bytes = by_chunks.unwrap_or(whole_bytes).min(whole_bytes);
        let (old, new) = (
            patch::Cut {
                image: old,
                list: &old_list,
            },
            patch::Cut {
                image: &new,
                list: &new_list,
            },
        );
        let name = format!("{file}.from_{}.patch", release.version);
        let made = self.shelf.make(&name, |out| {
            patch::write(old, new, out)?;
            std::io::Write::flush(out)?;
            let is_less = out.get_ref().metadata()?.len() < limit_bytes;
            Ok(is_less.then_some(()))
        })?;
        Ok(made.map(|((), part)| {
            self.context
                .narrate(&format!("{} · {}", part.file, size(part.bytes)));
            Patch {
                from: release.image.digest,
                part,
            }
        }))
    }
}
