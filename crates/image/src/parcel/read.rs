//! Takes an archive apart, in a worker: contents go into one file, the pool, and what else there is into a listing behind them.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::rc::Rc;

use base64ct::{Base64, Encoding as _};

use super::{
    ATTRIBUTE, ATTRIBUTE_IN_BASE64, ATTRIBUTES_LIMIT_BYTES, Contents, DEPTH_LIMIT, END, Entry,
    FILES, FILES_LIMIT, Kind, MANIFEST, MANIFEST_LIMIT_BYTES, PATH_LIMIT_BYTES, ParcelError, TREES,
    letters,
};
use crate::source::Extent;
use crate::tree::shown;
use crate::unpack::stream::{Bounded, Budget, Filled, decompress};
use crate::unpack::{ENTRIES_LIMIT, layer::clean};

/// Blocks that are nothing but zeros stay holes.
const BLOCK_BYTES: usize = 4096;
const BUFFER_BYTES: usize = 32 * BLOCK_BYTES;

/// Reads an archive into the pool, which is empty; the listing's place in it comes back. Who only measures has nothing else in the pool.
pub(crate) fn read(
    from: &File,
    pool: &File,
    limit_bytes: u64,
    measures: bool,
) -> Result<Extent, ParcelError> {
    let budget: Budget = Rc::new(Cell::new(limit_bytes));
    let stream = decompress(from).map_err(ParcelError::Read)?;
    let mut reader = Reader {
        pool: Pool {
            file: pool,
            end: 0,
            room: 0,
            measures,
        },
        budget: Rc::clone(&budget),
        contents: Contents::default(),
        directories: BTreeSet::new(),
        files: BTreeSet::new(),
        entries: 0,
        is_whole: false,
    };
    reader.all(Bounded::new(stream, budget))?;
    let listing = serde_json::to_vec(&reader.contents).map_err(io::Error::from);
    let written = listing.and_then(|listing| reader.pool.put(&listing));
    written.map_err(ParcelError::Write)
}

/// Reads bytes that a fuzzer made, into memory.
///
/// # Errors
/// Where memory can't be had: what is wrong with the bytes is no error here.
#[doc(hidden)]
pub fn read_bytes(bytes: &[u8]) -> io::Result<()> {
    let memory = || rustix::fs::memfd_create("fuzz", rustix::fs::MemfdFlags::CLOEXEC);
    let (archive, pool) = (File::from(memory()?), File::from(memory()?));
    std::os::unix::fs::FileExt::write_all_at(&archive, bytes, 0)?;
    drop(read(&archive, &pool, 1 << 20, false));
    Ok(())
}

/// What takes contents. It may not be told its length: the listing, which comes last, is behind every hole.
struct Pool<'p> {
    file: &'p File,
    end: u64,
    /// Bytes of the blocks that are no holes.
    room: u64,
    measures: bool,
}

impl Pool<'_> {
    fn take(&mut self, from: &mut dyn Read) -> io::Result<Extent> {
        let offset = self.end;
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let filled = fill(from, &mut buffer)?;
            let bytes = buffer.get(..filled).unwrap_or_default();
            self.put_blocks(bytes)?;
            if filled < BUFFER_BYTES {
                let length = self.end - offset;
                // The next one begins at a block, so that its holes are whole blocks, too.
                self.end = self.end.next_multiple_of(BLOCK_BYTES as u64);
                return Ok(Extent { offset, length });
            }
        }
    }

    fn put_blocks(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.file;
        for block in bytes.chunks(BLOCK_BYTES) {
            if block.iter().any(|byte| *byte != 0) {
                self.room += BLOCK_BYTES as u64;
                if !self.measures {
                    file.seek(SeekFrom::Start(self.end))?;
                    file.write_all(block)?;
                }
            }
            self.end += block.len() as u64;
        }
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<Extent> {
        let mut file = self.file;
        file.seek(SeekFrom::Start(self.end))?;
        file.write_all(bytes)?;
        let length = bytes.len() as u64;
        Ok(Extent {
            offset: self.end,
            length,
        })
    }
}

/// Reads until the buffer is full or nothing more comes.
fn fill(from: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
        match from.read(room) {
            Ok(0) => break,
            Ok(done) => filled += done,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

struct Reader<'p> {
    pool: Pool<'p>,
    budget: Budget,
    contents: Contents,
    /// Of the trees, with their numbers.
    directories: BTreeSet<(u32, String)>,
    files: BTreeSet<(u32, String)>,
    entries: u64,
    is_whole: bool,
}

/// What is wrong with an entry, or its reading.
enum Fault {
    What(String),
    Io(io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Fault {
        Fault::Io(error)
    }
}

impl From<&str> for Fault {
    fn from(what: &str) -> Fault {
        Fault::What(what.into())
    }
}

impl Reader<'_> {
    fn all(&mut self, stream: impl Read) -> Result<(), ParcelError> {
        let mut archive = tar::Archive::new(stream);
        for entry in archive.entries().map_err(ParcelError::Read)? {
            // What is no archive of any kind is told by its first bytes.
            let mut entry = match entry {
                Err(_) if self.entries == 0 => return Err(ParcelError::None),
                entry => entry.map_err(cut)?,
            };
            let path = entry.path_bytes().into_owned();
            if self.entries == 0 && path != MANIFEST.as_bytes() {
                return Err(ParcelError::None);
            }
            if self.is_whole {
                return Err(ParcelError::Behind);
            }
            if self.entries == ENTRIES_LIMIT as u64 {
                return Err(ParcelError::TooMuch(format!("{ENTRIES_LIMIT} entries")));
            }
            self.take(&path, &mut entry).map_err(|fault| match fault {
                Fault::What(what) => ParcelError::Entry {
                    path: shown(&String::from_utf8_lossy(&path)),
                    what,
                },
                Fault::Io(error) => cut(error),
            })?;
            self.entries += 1;
        }
        // To its end, where its checksum is.
        nothing_more(archive.into_inner())?;
        match (self.is_whole, self.entries) {
            (true, _) => Ok(()),
            (false, 0) => Err(ParcelError::None),
            (false, _) => Err(ParcelError::Cut),
        }
    }

    fn take<R: Read>(&mut self, path: &[u8], entry: &mut tar::Entry<'_, R>) -> Result<(), Fault> {
        if path == MANIFEST.as_bytes() {
            if self.entries > 0 {
                return Err("is there twice".into());
            }
            self.contents.manifest = document(entry, MANIFEST_LIMIT_BYTES)?;
            return Ok(());
        }
        if path == END.as_bytes() {
            let count = format!("{{\"entries\":{}}}\n", self.entries);
            self.is_whole = document(entry, 64)? == count;
            return match self.is_whole {
                true => Ok(()),
                false => Err("counts other entries than there are".into()),
            };
        }
        let whole = clean(path).ok_or("leads out of the archive, or is no path")?;
        let whole = std::os::unix::ffi::OsStrExt::as_bytes(whole.as_os_str()).to_vec();
        let mut parts = whole.splitn(3, |&byte| byte == b'/');
        let (first, second) = (parts.next(), parts.next());
        let second = second.and_then(|part| std::str::from_utf8(part).ok());
        match (first, second, parts.next()) {
            (Some(first), Some(name), None) if first == FILES.as_bytes() => self.file(name, entry),
            (Some(first), Some(number), rest) if first == TREES.as_bytes() => {
                let number = number
                    .parse()
                    .map_err(|_| "is in a tree without a number")?;
                self.path(number, rest.unwrap_or_default(), entry)
            }
            _ => Err("is nothing that these archives have".into()),
        }
    }

    fn file<R: Read>(&mut self, name: &str, entry: &mut tar::Entry<'_, R>) -> Result<(), Fault> {
        if !entry.header().entry_type().is_file() || self.contents.files.len() == FILES_LIMIT {
            return Err("is no file, or one too many".into());
        }
        let before = self.pool.room;
        let content = self.content(entry)?;
        self.contents.files_room += self.pool.room - before;
        let former = self.contents.files.insert(name.to_owned(), content);
        former.map_or(Ok(()), |_| Err("is there twice".into()))
    }

    fn content<R: Read>(&mut self, entry: &mut tar::Entry<'_, R>) -> Result<Extent, Fault> {
        let size = entry.size();
        // The holes of a sparse file are not in the stream.
        let mut filled = Filled::new(entry, Rc::clone(&self.budget));
        let content = self.pool.take(&mut filled)?;
        if content.length < size {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        Ok(content)
    }

    /// One path of a tree.
    fn path<R: Read>(
        &mut self,
        number: u32,
        path: &[u8],
        entry: &mut tar::Entry<'_, R>,
    ) -> Result<(), Fault> {
        let kind = entry.header().entry_type();
        let depth = path.split(|&byte| byte == b'/').count();
        if path.len() > PATH_LIMIT_BYTES || depth > DEPTH_LIMIT + 1 {
            return Err("lies too deep".into());
        }
        let path = letters(path);
        self.check_place(number, &path, kind.is_dir())?;
        let (modified, attributes) = before(entry)?;
        let before = self.pool.room;
        let kind = self.kind(number, entry)?;
        let room = self.contents.trees_room.entry(number).or_default();
        *room += self.pool.room - before;
        let (is_directory, is_again) = (kind == Kind::Directory, matches!(kind, Kind::Again(_)));
        let header = entry.header();
        let mode = (header.mode()? & 0o7777) as u16;
        let id = |id: u64| u32::try_from(id).map_err(|_| "has no owner that there can be");
        let listed = Entry {
            path: path.clone(),
            mode: mode & if is_directory { 0o3777 } else { 0o777 },
            uid: id(header.uid()?)?,
            gid: id(header.gid()?)?,
            modified: modified.unwrap_or((i64::try_from(header.mtime()?).unwrap_or_default(), 0)),
            attributes,
            kind,
        };
        match is_directory {
            true => self.directories.insert((number, path)),
            false => self.files.insert((number, path)),
        };
        if is_again && !listed.attributes.is_empty() {
            return Err("is a hard link with attributes of its own".into());
        }
        self.contents.trees.entry(number).or_default().push(listed);
        Ok(())
    }

    /// Nothing lies below anything but a directory that came before it, and nothing comes twice.
    fn check_place(&self, number: u32, path: &str, is_directory: bool) -> Result<(), Fault> {
        let place = (number, path.to_owned());
        if self.directories.contains(&place) || self.files.contains(&place) {
            return Err("is there twice".into());
        }
        if path.is_empty() {
            return match is_directory {
                true => Ok(()),
                false => Err("is no directory, as a tree is".into()),
            };
        }
        let above = path.rsplit_once('/').map_or("", |(above, _)| above);
        match self.directories.contains(&(number, above.to_owned())) {
            true => Ok(()),
            false => {
                Err("lies below what is no directory: a link there could lead anywhere".into())
            }
        }
    }

    fn kind<R: Read>(&mut self, number: u32, entry: &mut tar::Entry<'_, R>) -> Result<Kind, Fault> {
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            return Ok(Kind::Directory);
        }
        if kind.is_file() || kind.is_gnu_sparse() {
            return Ok(Kind::File(self.content(entry)?));
        }
        let target = entry.link_name_bytes().unwrap_or_default().into_owned();
        if kind.is_symlink() {
            if target.is_empty() || target.contains(&0) || target.len() > PATH_LIMIT_BYTES {
                return Err("is a symbolic link to no path".into());
            }
            return Ok(Kind::Link(letters(&target)));
        }
        if kind.is_hard_link() {
            let above = format!("{TREES}/{number}/");
            let target = target.strip_prefix(above.as_bytes()).map(letters);
            let known = |target: &String| self.files.contains(&(number, target.clone()));
            let target = target.filter(known);
            return target.map(Kind::Again).ok_or_else(|| {
                Fault::from("is a hard link to no file of its tree that came before it")
            });
        }
        Err("is neither file, directory nor link, and nothing else moves".into())
    }
}

/// Behind the end of an archive are zeros, if anything: what else is there another program could take for more of it.
fn nothing_more(mut rest: impl Read) -> Result<(), ParcelError> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let filled = fill(&mut rest, &mut buffer).map_err(cut)?;
        let bytes = buffer.get(..filled).unwrap_or_default();
        if bytes.iter().any(|byte| *byte != 0) {
            return Err(ParcelError::Behind);
        }
        if filled < BUFFER_BYTES {
            return Ok(());
        }
    }
}

/// A stream that ends too early was cut; what is wrong with it otherwise it says itself.
fn cut(error: io::Error) -> ParcelError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => ParcelError::Cut,
        _ => ParcelError::Read(error),
    }
}

fn document<R: Read>(entry: &mut tar::Entry<'_, R>, limit_bytes: u64) -> Result<String, Fault> {
    if !entry.header().entry_type().is_file() || entry.size() > limit_bytes {
        return Err("is no file, or too large".into());
    }
    let mut text = String::new();
    entry.take(limit_bytes).read_to_string(&mut text)?;
    Ok(text)
}

/// What stands before an entry: when it was modified, and its extended attributes.
type Before = (Option<(i64, u32)>, Vec<(String, Vec<u8>)>);

fn before<R: Read>(entry: &mut tar::Entry<'_, R>) -> Result<Before, Fault> {
    let (mut modified, mut found, mut bytes) = (None, BTreeMap::new(), 0);
    for record in entry.pax_extensions()?.into_iter().flatten() {
        let record = record?;
        let Ok(key) = record.key() else {
            // One that was passed over would be lost without a word.
            let key = record.key_bytes();
            match [ATTRIBUTE, ATTRIBUTE_IN_BASE64]
                .iter()
                .any(|kind| key.starts_with(kind.as_bytes()))
            {
                true => return Err("has an extended attribute whose name is no text".into()),
                false => continue,
            }
        };
        let (name, value) = if let Some(name) = key.strip_prefix(ATTRIBUTE_IN_BASE64) {
            let text = record.value().unwrap_or_default();
            let value =
                Base64::decode_vec(text).map_err(|_| "has an attribute that is no base64")?;
            (name, value)
        } else if let Some(name) = key.strip_prefix(ATTRIBUTE) {
            (name, record.value_bytes().to_vec())
        } else {
            if key == "mtime" {
                modified = Some(time(record.value().unwrap_or_default()).ok_or("has no time")?);
            }
            continue;
        };
        if !name.starts_with("user.") || name.len() > 255 {
            return Err(Fault::What(format!(
                "has the extended attribute {}, and only those of users move",
                shown(name)
            )));
        }
        bytes += name.len() + value.len();
        if bytes > ATTRIBUTES_LIMIT_BYTES {
            return Err("has too many extended attributes".into());
        }
        found.insert(name.to_owned(), value);
    }
    Ok((modified, found.into_iter().collect()))
}

/// `seconds.nanoseconds`.
fn time(text: &str) -> Option<(i64, u32)> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = format!("{fraction:0<9}");
    let nanoseconds = digits.get(..9)?.parse().ok()?;
    Some((seconds.parse().ok()?, nanoseconds))
}

impl Contents {
    /// Reads the listing of a pool that a worker has filled. Nothing that it says is believed before it is used: [`super::plant`] holds paths
    /// to its directory, and what lies in the pool is only read where the pool is.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn read(pool: &File, listing: Extent) -> io::Result<Contents> {
        use std::os::unix::fs::FileExt;
        if listing.length > crate::unpack::LISTING_LIMIT_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let length = usize::try_from(listing.length).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        pool.read_exact_at(&mut bytes, listing.offset)?;
        Ok(serde_json::from_slice(&bytes)?)
    }

    /// How a tree's first entry is owned: as its directory was.
    #[must_use]
    pub fn owner(&self, tree: u32) -> Option<(u32, u32)> {
        let first = self.trees.get(&tree)?.first()?;
        Some((first.uid, first.gid))
    }

    /// Bytes of a tree's files, with holes.
    #[must_use]
    pub fn tree_bytes(&self, tree: u32) -> u64 {
        let entries = self.trees.get(&tree).into_iter().flatten();
        let sizes = entries.map(|entry| match &entry.kind {
            Kind::File(content) => content.length,
            _ => 0,
        });
        sizes.fold(0, u64::saturating_add)
    }

    /// Whether a path is plain, as a file's name in messages.
    #[must_use]
    pub fn has_file(&self, name: &str) -> bool {
        Path::new(name).components().count() == 1 && self.files.contains_key(name)
    }
}
