//! A directory that a web server gives out: each file appears whole or not at all, and the index last of all.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{BufWriter, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::channel::Part;
use crate::digest::{Digest, Hasher};
use crate::files::{
    FileError, beside, failed, link, lock, read_if_there, remove_if_there, rename, replace, step,
    sync_parent,
};

/// Bytes copied at once.
const CHUNK_BYTES: usize = 256 * 1024;
/// What everybody may read, and the web server with them.
const MODE: u32 = 0o644;

/// The directory, for as long as one publishes into it.
#[derive(Debug)]
pub struct Shelf {
    directory: PathBuf,
    _lock: File,
}

impl Shelf {
    /// Opens a directory, made where it is missing; waits for others who publish there.
    ///
    /// # Errors
    /// When it can't be made or locked.
    pub fn open(directory: &Path) -> Result<Shelf, FileError> {
        Ok(Shelf {
            directory: directory.to_owned(),
            _lock: lock(directory)?,
        })
    }

    /// Where a file of this name lies.
    #[must_use]
    pub fn path(&self, file: &str) -> PathBuf {
        self.directory.join(file)
    }

    /// A small file, if it is there.
    ///
    /// # Errors
    /// When it can't be read or is larger than the limit.
    pub fn read(&self, file: &str, limit_bytes: u64) -> Result<Option<Vec<u8>>, FileError> {
        read_if_there(&self.path(file), limit_bytes)
    }

    /// What an index says of a file that is there.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn part(&self, file: &str) -> Result<Part, FileError> {
        let path = self.path(file);
        let mut opened = File::open(&path).map_err(failed("open", &path))?;
        let (digest, bytes) = Digest::of_reader(&mut opened).map_err(failed("read", &path))?;
        Ok(Part {
            file: file.to_owned(),
            digest,
            bytes,
        })
    }

    /// Copies a file in under a name, in place of what has it; where it is another than expected, nothing has that name, and none is
    /// returned.
    ///
    /// # Errors
    /// When it can't be read or written.
    pub fn put(
        &self,
        file: &str,
        expected: &Digest,
        from: &mut dyn Read,
    ) -> Result<Option<Part>, FileError> {
        let path = self.path(file);
        let staged = beside(&path);
        remove_if_there(&staged)?;
        let (digest, bytes) = copy(from, &staged).map_err(failed("write", &staged))?;
        if digest != *expected {
            remove_if_there(&staged)?;
            return Ok(None);
        }
        rename(&staged, &path)?;
        sync_parent(&path)?;
        Ok(Some(Part {
            file: file.to_owned(),
            digest,
            bytes,
        }))
    }

    /// Makes a file by writing it; nothing of it stays where that fails, or says that there is to be none.
    ///
    /// # Errors
    /// When it can't be written, or `write` says so.
    pub fn make<T>(
        &self,
        file: &str,
        write: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<Option<T>>,
    ) -> Result<Option<(T, Part)>, FileError> {
        let staged = format!(".{file}.new");
        let path = self.path(&staged);
        let made = File::create(&path).and_then(|opened| {
            let mut buffered = BufWriter::new(opened);
            let written = write(&mut buffered)?;
            buffered.into_inner()?.sync_all()?;
            Ok(written)
        });
        match made {
            Ok(Some(written)) => {
                self.adopt(&staged, file)?;
                Ok(Some((written, self.part(file)?)))
            }
            Ok(None) => self.remove(&staged).map(|_| None),
            Err(error) => {
                self.remove(&staged)?;
                Err(failed("write", &path)(error))
            }
        }
    }

    /// Gives a whole file that was made here its name, in place of what has that, for everybody to read.
    ///
    /// # Errors
    /// When it can't be given.
    pub fn adopt(&self, staged: &str, file: &str) -> Result<(), FileError> {
        let (staged, path) = (self.path(staged), self.path(file));
        std::fs::set_permissions(&staged, Permissions::from_mode(MODE))
            .map_err(failed("give to everybody", &staged))?;
        rename(&staged, &path)?;
        sync_parent(&path)
    }

    /// Writes a small file.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn put_text(&self, file: &str, content: &[u8]) -> Result<(), FileError> {
        replace(&self.path(file), content, MODE)
    }

    /// Gives a file a second name, in place of what has that: no link by name, as not every server follows those.
    ///
    /// # Errors
    /// When it can't be given.
    pub fn alias(&self, file: &str, alias: &str) -> Result<(), FileError> {
        let alias = self.path(alias);
        let staged = beside(&alias);
        remove_if_there(&staged)?;
        link(&self.path(file), &staged)?;
        rename(&staged, &alias)?;
        // A rename onto another name of the same file does nothing at all.
        remove_if_there(&staged)?;
        sync_parent(&alias)
    }

    /// Removes a file that no index names any more; says whether it was there.
    ///
    /// # Errors
    /// When it can't be removed.
    pub fn remove(&self, file: &str) -> Result<bool, FileError> {
        remove_if_there(&self.path(file))
    }
}

fn copy(from: &mut dyn Read, to: &Path) -> std::io::Result<(Digest, u64)> {
    step()?;
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(MODE).open(to)?;
    let (mut hasher, mut buffer) = (Hasher::default(), vec![0; CHUNK_BYTES]);
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let bytes = buffer.get(..count).unwrap_or_default();
        step()?;
        file.write_all(bytes)?;
        hasher.update(bytes);
    }
    // The umask of who publishes must not keep the web server out.
    file.set_permissions(Permissions::from_mode(MODE))?;
    file.sync_all()?;
    Ok(hasher.finish())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn text(directory: &Path, file: &str) -> Option<String> {
        fs::read_to_string(directory.join(file)).ok()
    }

    fn publish(directory: &Path, version: &str) -> Result<(), FileError> {
        let shelf = Shelf::open(directory)?;
        let file = format!("boat_{version}.psi");
        let content = version.repeat(9);
        let digest = Digest::of(content.as_bytes());
        let part = shelf.put(&file, &digest, &mut content.as_bytes())?.unwrap();
        assert_eq!(shelf.part(&file)?, part);
        shelf.alias(&file, "boat.psi")?;
        shelf.put_text("boat.channel", part.digest.to_string().as_bytes())
    }

    #[test]
    fn a_power_cut_while_publishing_leaves_an_index_of_files_that_are_whole() {
        let before = || {
            let folder = tempfile::tempdir().unwrap();
            publish(folder.path(), "1.0").unwrap();
            folder
        };
        crate::files::power::at_each_step(
            before,
            |directory| publish(directory, "1.1"),
            |directory, done| {
                let index = text(directory, "boat.channel").unwrap();
                let named = ["1.0", "1.1"].map(|version| {
                    let file = text(directory, &format!("boat_{version}.psi"));
                    file.is_some_and(|text| Digest::of(text.as_bytes()).to_string() == index)
                });
                assert!(
                    named.contains(&true),
                    "the index names nothing that is there"
                );
                let newest = text(directory, "boat.psi").unwrap();
                assert!(
                    ["1.0", "1.1"]
                        .iter()
                        .any(|version| newest == version.repeat(9))
                );
                assert!(!done || named[1]);
                publish(directory, "1.1").unwrap();
                assert_eq!(text(directory, "boat.psi").unwrap(), "1.1".repeat(9));
                let mut left: Vec<String> = fs::read_dir(directory)
                    .unwrap()
                    .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                    .collect();
                left.sort();
                assert_eq!(
                    left,
                    ["boat.channel", "boat.psi", "boat_1.0.psi", "boat_1.1.psi"]
                );
            },
        );
    }

    #[test]
    fn what_is_not_what_was_expected_takes_no_files_place() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(folder.path()).unwrap();
        let (good, mut other) = (Digest::of(b"good"), &b"other"[..]);
        shelf.put("a.psi", &good, &mut &b"good"[..]).unwrap();
        assert_eq!(shelf.put("a.psi", &good, &mut other).unwrap(), None);
        assert_eq!(text(folder.path(), "a.psi").unwrap(), "good");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn nothing_stays_of_a_file_that_was_not_written_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(folder.path()).unwrap();
        let fails = shelf.make("a.pack", |out| {
            out.write_all(b"half")?;
            Err::<Option<()>, _>(std::io::Error::other("no"))
        });
        assert!(fails.is_err());
        let none = shelf.make("a.pack", |_| Ok(None::<()>)).unwrap();
        assert!(none.is_none() && fs::read_dir(folder.path()).unwrap().count() == 0);
        let made = shelf.make("a.pack", |out| {
            out.write_all(b"whole")?;
            Ok(Some(7))
        });
        let (seven, part) = made.unwrap().unwrap();
        assert_eq!((seven, part.digest), (7, Digest::of(b"whole")));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_name_is_given_again_to_the_same_file() {
        let folder = tempfile::tempdir().unwrap();
        publish(folder.path(), "1.0").unwrap();
        publish(folder.path(), "1.0").unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }
}
