//! Chunks that are here already: in stored images, and in what an earlier try has left.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::cut;
use super::list::{Chunk, LIST_MAX_BYTES, List};
use crate::digest::Digest;
use crate::files::{failed, read_if_there, replace};
use crate::store::{Error, Store};

/// How much of stored images is cut at once, in bytes: to read and cut these takes half a minute where the disk is fast.
const CUT_MAX_BYTES: u64 = 8 << 30;

/// Where the stored images have the chunks of a list.
#[derive(Debug, Default)]
pub struct Local {
    images: Vec<File>,
    places: BTreeMap<Digest, (usize, u64)>,
    /// Stored images that could not be looked at, and why.
    pub passed: Vec<Error>,
}

impl Local {
    /// Looks through all stored images. How one is cut is noted beside it; no more than a claim when it is read again.
    ///
    /// # Errors
    /// When the store can't be listed.
    pub fn of(store: &Store, list: &List) -> Result<Local, Error> {
        let wanted: BTreeMap<Digest, u32> = list
            .chunks()
            .iter()
            .map(|chunk| (chunk.digest, chunk.bytes))
            .collect();
        let mut local = Local::default();
        let mut left_bytes = CUT_MAX_BYTES;
        for digest in store.list()? {
            let (image, its) = match opened(store, &digest, &mut left_bytes) {
                Ok(Some(opened)) => opened,
                Ok(None) => continue,
                Err(error) => {
                    local.passed.push(error);
                    continue;
                }
            };
            let number = local.images.len();
            for chunk in its.chunks() {
                if wanted.get(&chunk.digest) == Some(&chunk.bytes) {
                    let place = (number, chunk.place);
                    local.places.entry(chunk.digest).or_insert(place);
                }
            }
            local.images.push(image);
        }
        Ok(local)
    }

    /// Puts what is here into `target`, each chunk looked at again, and tells what is not, by its number in the list. What an earlier
    /// try has put there stays.
    ///
    /// # Errors
    /// When `target` can't be read or written.
    pub fn fill(&self, list: &List, target: &File) -> io::Result<Vec<usize>> {
        let is_new = target.metadata()?.len() == 0;
        target.set_len(list.image_bytes())?;
        let mut wanted = Vec::new();
        for (number, chunk) in list.chunks().iter().enumerate() {
            if chunk.packed_bytes == 0 || (!is_new && read(target, chunk.place, chunk)?.is_some()) {
                continue;
            }
            match self.chunk(chunk)? {
                Some(bytes) if is_new && bytes.iter().all(|byte| *byte == 0) => {}
                Some(bytes) => target.write_all_at(&bytes, chunk.place)?,
                None => wanted.push(number),
            }
        }
        Ok(wanted)
    }

    fn chunk(&self, chunk: &Chunk) -> io::Result<Option<Vec<u8>>> {
        let place = self.places.get(&chunk.digest);
        let found = place.and_then(|(image, place)| Some((self.images.get(*image)?, *place)));
        found.map_or(Ok(None), |(image, place)| read(image, place, chunk))
    }
}

/// Puts the chunks that a list has again in their places, too.
///
/// # Errors
/// When `target` can't be read or written, or lacks one of these where it comes first.
pub fn complete(list: &List, target: &File) -> io::Result<()> {
    let mut places = BTreeMap::new();
    for chunk in list.chunks() {
        if chunk.packed_bytes > 0 {
            places.insert(chunk.digest, chunk.place);
            continue;
        }
        let place = places.get(&chunk.digest);
        let bytes = place.map_or(Ok(None), |place| read(target, *place, chunk))?;
        let bytes = bytes.ok_or(io::ErrorKind::NotFound)?;
        if read(target, chunk.place, chunk)?.is_none() {
            target.write_all_at(&bytes, chunk.place)?;
        }
    }
    Ok(())
}

/// What is at a place, if that is this chunk.
fn read(file: &File, place: u64, chunk: &Chunk) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = vec![0; chunk.bytes as usize];
    match file.read_exact_at(&mut bytes, place) {
        Ok(()) if Digest::of(&bytes) == chunk.digest => Ok(Some(bytes)),
        Ok(()) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// A stored image and how it is cut, by the note beside it or anew.
/// One that would have to be cut anew is left for another time where there were enough of these.
fn opened(
    store: &Store,
    digest: &Digest,
    left_bytes: &mut u64,
) -> Result<Option<(File, List)>, Error> {
    let image = store.get(digest)?;
    let (path, note) = (store.path(digest), store.path(digest).with_extension("cut"));
    let length = image.metadata().map_err(failed("look at", &path))?.len();
    let noted = read_if_there(&note, LIST_MAX_BYTES)?;
    if let Some(list) = noted.and_then(|noted| List::parse_cut(&noted, length).ok()) {
        return Ok(Some((image, list)));
    }
    let Some(left) = left_bytes.checked_sub(length) else {
        return Ok(None);
    };
    *left_bytes = left;
    let list = cut_of(&mut &image).map_err(failed("read", &path))?;
    if list.print_cut().len() as u64 <= LIST_MAX_BYTES {
        replace(&note, &list.print_cut(), 0o600)?;
    }
    Ok(Some((image, list)))
}

/// How an image is cut.
///
/// # Errors
/// When it can't be read.
pub fn cut_of(image: &mut dyn io::Read) -> io::Result<List> {
    let mut list = List::default();
    cut::cut(image, &mut |chunk| {
        let bytes = u32::try_from(chunk.len()).map_err(io::Error::other)?;
        list.push(Digest::of(chunk), bytes, 0);
        Ok(())
    })?;
    Ok(list)
}

/// The list of an image that is its own pack.
///
/// # Errors
/// When it can't be read.
pub fn own_list(image: &mut dyn io::Read) -> io::Result<List> {
    let (mut list, mut known) = (List::default(), BTreeSet::new());
    cut::cut(image, &mut |chunk| {
        let bytes = u32::try_from(chunk.len()).map_err(io::Error::other)?;
        let digest = Digest::of(chunk);
        let packed_bytes = if known.insert(digest) { bytes } else { 0 };
        list.push(digest, bytes, packed_bytes);
        Ok(())
    })?;
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::super::cut::tests::noise;
    use super::super::pack;
    use super::*;

    struct Here {
        _folder: tempfile::TempDir,
        store: Store,
        digest: Digest,
    }

    fn here(content: &[u8]) -> Here {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let (staging, digest, _) = store.copy_in(&mut &*content, 1 << 30).unwrap();
        store.keep(staging, &digest).unwrap();
        Here {
            _folder: folder,
            store,
            digest,
        }
    }

    fn list(image: &[u8]) -> List {
        pack::write(&mut &*image, &mut Vec::new()).unwrap().unwrap()
    }

    #[test]
    fn what_stored_images_have_is_put_in_place_and_the_rest_is_told() {
        let (old, added) = (noise(1, 3_000_000), noise(2, 50_000));
        let mut new = old.clone();
        new.splice(1_000_000..1_000_000, added);
        new.extend(vec![0; 700_000]);
        let (here, list) = (here(&old), list(&new));
        for again in [false, true] {
            let local = Local::of(&here.store, &list).unwrap();
            assert!(local.passed.is_empty());
            let target = tempfile::tempfile().unwrap();
            let wanted = local.fill(&list, &target).unwrap();
            let bytes: u32 = wanted.iter().map(|one| list.chunks()[*one].bytes).sum();
            assert!((50_000..800_000).contains(&bytes), "{bytes} {again}");
            for number in &wanted {
                let chunk = list.chunks()[*number];
                let start = chunk.place as usize;
                let part = &new[start..start + chunk.bytes as usize];
                target.write_all_at(part, chunk.place).unwrap();
            }
            // The next try finds what this one has put there.
            assert_eq!(Local::default().fill(&list, &target).unwrap(), [0; 0]);
            complete(&list, &target).unwrap();
            let mut whole = vec![0; new.len()];
            target.read_exact_at(&mut whole, 0).unwrap();
            assert!(whole == new);
            assert!(here.store.path(&here.digest).with_extension("cut").exists());
        }
    }

    #[test]
    fn an_image_is_whole_by_the_ranges_of_itself_that_are_not_here() {
        let old = noise(1, 2_000_000);
        let mut new = old.clone();
        new.splice(1_000_000..1_000_000, noise(2, 50_000));
        // Some of it comes again.
        new.extend_from_slice(&noise(2, 400_000));
        new.extend_from_slice(&noise(2, 400_000));
        let printed = own_list(&mut &*new).unwrap().print();
        let list = List::parse_own(&printed, new.len() as u64).unwrap();
        assert!(List::parse_own(&printed, new.len() as u64 + 1).is_err());
        let here = here(&old);
        let target = tempfile::tempfile().unwrap();
        let wanted = Local::of(&here.store, &list)
            .unwrap()
            .fill(&list, &target)
            .unwrap();
        let ranges = list.ranges(&wanted);
        let bytes: u64 = ranges.iter().map(|(_, length)| length).sum();
        assert!((400_000..900_000).contains(&bytes), "{bytes}");
        assert!(ranges.len() < wanted.len());
        for (place, length) in ranges {
            let end = place + length;
            target
                .write_all_at(&new[place as usize..end as usize], place)
                .unwrap();
        }
        complete(&list, &target).unwrap();
        let mut whole = vec![0; new.len()];
        target.read_exact_at(&mut whole, 0).unwrap();
        assert!(whole == new);
    }

    #[test]
    fn a_note_that_lies_brings_nothing_wrong_and_goes_with_its_image() {
        let (old, new) = (noise(1, 1_000_000), noise(9, 1_000_000));
        let (here, list) = (here(&old), list(&new));
        let note = here.store.path(&here.digest).with_extension("cut");
        // It says that the stored image has all of the new one's chunks.
        std::fs::write(&note, list.print_cut()).unwrap();
        let local = Local::of(&here.store, &list).unwrap();
        let target = tempfile::tempfile().unwrap();
        assert_eq!(
            local.fill(&list, &target).unwrap().len(),
            list.chunks().len()
        );
        std::fs::write(&note, "damaged").unwrap();
        Local::of(&here.store, &list).unwrap();
        assert!(
            std::fs::metadata(&note).unwrap().len() > 100,
            "it is made anew"
        );
        here.store.collect::<Error>(|| Ok(Vec::new())).unwrap();
        assert!(!note.exists());
    }
}
