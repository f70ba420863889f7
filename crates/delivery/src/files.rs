//! Files that are replaced whole: written beside, synced, renamed, and the directory synced.
//!
//! Every change to the disk goes through here and first through [`step`], at which tests let the power fail.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::digest::Digest;

/// A step that failed, with the path that it was about.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct FileError {
    /// What was tried.
    pub action: &'static str,
    /// With which file.
    pub path: PathBuf,
    /// Why not.
    #[source]
    pub source: io::Error,
}

/// Names the step and the path of an error.
pub(crate) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError {
        action,
        path,
        source,
    }
}

/// Makes a directory and its parents; what is made is for its owner alone.
pub(crate) fn make_directory(path: &Path) -> Result<(), FileError> {
    step()
        .and_then(|()| DirBuilder::new().recursive(true).mode(0o700).create(path))
        .map_err(failed("make", path))
}

/// Makes a directory that others may look into.
pub(crate) fn make_open_directory(path: &Path) -> Result<(), FileError> {
    step()
        .and_then(|()| DirBuilder::new().recursive(true).mode(0o755).create(path))
        .map_err(failed("make", path))
}

/// Writes a file whole: after a power cut there is the old or the new. What it holds already is not written again, which would wait for the disk.
pub(crate) fn replace(path: &Path, content: &[u8], mode: u32) -> Result<(), FileError> {
    if holds(path, content, mode) {
        // Whoever wrote it may have been killed before its name was there for good.
        return sync_parent(path);
    }
    let staged = beside(path);
    write_new(&staged, content, mode)?;
    rename(&staged, path)?;
    sync_parent(path)
}

/// Whether a file is there with this content and mode. One that can't be read is replaced.
pub(crate) fn holds(path: &Path, content: &[u8], mode: u32) -> bool {
    let is_such = path.symlink_metadata().is_ok_and(|found| {
        found.is_file()
            && found.len() == content.len() as u64
            && found.permissions().mode() & 0o7777 == mode
    });
    is_such && fs::read(path).is_ok_and(|found| found == content)
}

/// Makes a link, in place of what has its name.
pub(crate) fn replace_link(target: &Path, link: &Path) -> Result<(), FileError> {
    let staged = beside(link);
    remove_if_there(&staged)?;
    step()
        .and_then(|()| std::os::unix::fs::symlink(target, &staged))
        .map_err(failed("make", &staged))?;
    rename(&staged, link)?;
    sync_parent(link)
}

/// Writes a file that is not there yet and syncs it.
pub(crate) fn write_new(path: &Path, content: &[u8], mode: u32) -> Result<(), FileError> {
    wait();
    create(path, content, mode)?
        .sync_all()
        .map_err(failed("write", path))
}

fn create(path: &Path, content: &[u8], mode: u32) -> Result<File, FileError> {
    remove_if_there(path)?;
    let made = step().and_then(|()| {
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(path)
    });
    let mut file = made.map_err(failed("make", path))?;
    let (first, second) = content.split_at(content.len() / 2);
    let write = |file: &mut File| {
        file.write_all(first)?;
        step()?;
        file.write_all(second)
    };
    write(&mut file).map_err(failed("write", path))?;
    Ok(file)
}

/// New files that are synced together, once all are written: the file system then waits for the disk once, and not for each of them.
#[derive(Debug, Default)]
#[must_use]
pub(crate) struct Batch {
    paths: Vec<PathBuf>,
}

impl Batch {
    /// Writes a file that is not there yet; it is on its way to the disk.
    pub(crate) fn write_new(
        &mut self,
        path: &Path,
        content: &[u8],
        mode: u32,
    ) -> Result<(), FileError> {
        let file = create(path, content, mode)?;
        // "Not needed" makes the kernel begin to write. It is no more than advice: all of it waits for `sync`.
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).ok();
        self.paths.push(path.to_owned());
        Ok(())
    }

    /// A directory in which something was made, removed or renamed goes with them.
    pub(crate) fn directory(&mut self, path: &Path) {
        self.paths.push(path.to_owned());
    }

    /// Waits until all of them are on the disk, for all at once: one commit of the file system's journal then is enough, and disks take the
    /// requests to empty their caches together.
    pub(crate) fn sync(self) -> Result<(), FileError> {
        wait();
        for path in &self.paths {
            step().map_err(failed("sync", path))?;
        }
        let sync = |path: &PathBuf| {
            File::open(path)
                .and_then(|file| file.sync_all())
                .map_err(failed("sync", path))
        };
        let (own, others) = self
            .paths
            .split_at(self.paths.len().div_ceil(SYNCS_AT_ONCE));
        let each = own.len().max(1);
        std::thread::scope(|scope| {
            let share = |paths: &'_ [PathBuf]| paths.iter().try_for_each(sync);
            let rest: Vec<_> = others
                .chunks(each)
                .map(|paths| {
                    let thread = std::thread::Builder::new();
                    let begun = thread.spawn_scoped(scope, move || share(paths));
                    begun.map_err(|_| paths)
                })
                .collect();
            let first = share(own);
            // All are waited for, whatever comes of the first. Where no more threads are to be had, that is done here.
            rest.into_iter().fold(first, |outcome, one| {
                let one = match one {
                    Ok(thread) => thread
                        .join()
                        .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                    Err(paths) => share(paths),
                };
                outcome.and(one)
            })
        })
    }
}

/// Files that are synced at once: one more would save less than its thread costs.
const SYNCS_AT_ONCE: usize = 8;

/// Longest name of a file, in bytes (NAME_MAX).
const NAME_MAX_BYTES: usize = 255;

/// A name in the same directory that no reader takes for the file; it fits, too, where the file's own name is as long as a name can be.
pub(crate) fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default();
    let text = name.to_string_lossy();
    let staged = format!(".{text}.new");
    path.with_file_name(match staged.len() {
        0..=NAME_MAX_BYTES => staged,
        _ => format!(".{}.new", Digest::of(name.as_encoded_bytes()).hex()),
    })
}

/// Makes a rename or removal in a file's directory last.
pub(crate) fn sync_parent(path: &Path) -> Result<(), FileError> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    wait();
    step()
        .and_then(|()| File::open(parent))
        .and_then(|directory| directory.sync_all())
        .map_err(failed("sync", parent))
}

/// Removes a file; says whether it was there.
pub(crate) fn remove_if_there(path: &Path) -> Result<bool, FileError> {
    match step().and_then(|()| fs::remove_file(path)) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed("remove", path)(error)),
    }
}

/// Gives a file another name, in place of what had it.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), FileError> {
    step()
        .and_then(|()| fs::rename(from, to))
        .map_err(failed("replace", to))
}

/// Gives a file a second name.
pub(crate) fn link(from: &Path, to: &Path) -> Result<(), FileError> {
    step()
        .and_then(|()| fs::hard_link(from, to))
        .map_err(failed("carry over", from))
}

/// Removes a directory and all that is in it; one that is not there is fine.
pub(crate) fn remove_tree(path: &Path) -> Result<(), FileError> {
    match step().and_then(|()| fs::remove_dir_all(path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Removes a directory if nothing is in it.
pub(crate) fn remove_if_empty(path: &Path) -> Result<(), FileError> {
    use io::ErrorKind::{DirectoryNotEmpty, NotFound};
    match step().and_then(|()| fs::remove_dir(path)) {
        Err(error) if !matches!(error.kind(), DirectoryNotEmpty | NotFound) => {
            Err(failed("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Keeps other commands from changing the same state until the value is dropped. The directory itself is locked, so
/// that the lock leaves no file behind.
pub(crate) fn lock(state: &Path) -> Result<File, FileError> {
    make_open_directory(state)?;
    let directory = File::open(state).map_err(failed("open", state))?;
    let locked = rustix::fs::flock(&directory, rustix::fs::FlockOperation::LockExclusive);
    locked.map_err(|errno| failed("lock", state)(errno.into()))?;
    Ok(directory)
}

/// Comes before every change to the disk.
#[cfg(not(test))]
pub(crate) fn step() -> io::Result<()> {
    Ok(())
}

/// Comes before every wait for the disk: tests count them.
#[cfg(not(test))]
fn wait() {}

#[cfg(test)]
pub(crate) use power::step;
#[cfg(test)]
use power::wait;

/// Reads a file of at most `limit_bytes`; none where there is no such file.
pub(crate) fn read_if_there(path: &Path, limit_bytes: u64) -> Result<Option<Vec<u8>>, FileError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("open", path)(error)),
    };
    let mut content = Vec::new();
    file.take(limit_bytes + 1)
        .read_to_end(&mut content)
        .map_err(failed("read", path))?;
    if content.len() as u64 > limit_bytes {
        return Err(failed("read", path)(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it has more than {limit_bytes} bytes"),
        )));
    }
    Ok(Some(content))
}

/// The entries of a directory, sorted by name; none where there is no such directory.
pub(crate) fn entries(path: &Path) -> Result<Vec<PathBuf>, FileError> {
    let listing = match fs::read_dir(path) {
        Ok(listing) => listing,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("list", path)(error)),
    };
    let mut paths = listing
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed("list", path))?;
    paths.sort();
    Ok(paths)
}

/// A power supply that fails, after which nothing happens any more, and a disk on which one step fails.
#[cfg(test)]
pub(crate) mod power {
    use std::cell::Cell;
    use std::io;

    thread_local! {
        static STEPS_LEFT: Cell<u32> = const { Cell::new(u32::MAX) };
        static WAITS: Cell<u32> = const { Cell::new(0) };
        static TROUBLE: Cell<Trouble> = const { Cell::new(Trouble::PowerCut) };
    }

    pub(super) fn wait() {
        WAITS.set(WAITS.get() + 1);
    }

    /// How often `action` waits for the disk.
    pub(crate) fn waits_of(action: impl FnOnce()) -> u32 {
        let before = WAITS.get();
        action();
        WAITS.get() - before
    }

    /// What happens at a step.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Trouble {
        /// It fails, and so does every further one.
        PowerCut,
        /// It fails alone.
        FullDisk,
    }

    pub(crate) fn step() -> io::Result<()> {
        let left = STEPS_LEFT.get();
        if left > 0 {
            STEPS_LEFT.set(left - 1);
            return Ok(());
        }
        match TROUBLE.get() {
            Trouble::PowerCut => Err(io::Error::other("the power failed")),
            Trouble::FullDisk => {
                STEPS_LEFT.set(u32::MAX);
                Err(io::ErrorKind::StorageFull.into())
            }
        }
    }

    /// Lets `action` go so many steps; says whether it came to its end.
    pub(crate) fn fails_after<T, E>(steps: u32, action: impl FnOnce() -> Result<T, E>) -> bool {
        STEPS_LEFT.set(steps);
        let done = action().is_ok();
        STEPS_LEFT.set(u32::MAX);
        done
    }

    /// Lets the power fail before each step of `action` in turn, each time from `before`, and shows `after` what is
    /// then on the disk and whether the action came to its end.
    pub(crate) fn at_each_step<T, E>(
        before: impl FnMut() -> tempfile::TempDir,
        action: impl FnMut(&std::path::Path) -> Result<T, E>,
        after: impl FnMut(&std::path::Path, bool),
    ) {
        trouble_at_each_step(Trouble::PowerCut, before, action, after);
    }

    /// The same with any trouble. An action may come to its end all the same, where the step was not needed for it.
    pub(crate) fn trouble_at_each_step<T, E>(
        trouble: Trouble,
        mut before: impl FnMut() -> tempfile::TempDir,
        mut action: impl FnMut(&std::path::Path) -> Result<T, E>,
        mut after: impl FnMut(&std::path::Path, bool),
    ) {
        TROUBLE.set(trouble);
        for steps in 0.. {
            let folder = before();
            let mut is_met = false;
            let done = fails_after(steps, || {
                let outcome = action(folder.path());
                is_met = match trouble {
                    Trouble::PowerCut => STEPS_LEFT.get() == 0,
                    Trouble::FullDisk => STEPS_LEFT.get() > steps,
                };
                outcome
            });
            after(folder.path(), done);
            if done && !is_met {
                assert!(steps > 3, "the action has no steps");
                TROUBLE.set(Trouble::PowerCut);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_holds_already_is_not_written_again() {
        use std::os::unix::fs::{MetadataExt as _, symlink};
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let inode = |content: &str, mode| {
            replace(&path, content.as_bytes(), mode).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
            let found = path.symlink_metadata().unwrap();
            assert_eq!((found.mode() & 0o7777, found.is_file()), (mode, true));
            found.ino()
        };
        let first = inode("text", 0o600);
        assert_eq!(inode("text", 0o600), first);
        let second = inode("test", 0o600);
        assert_ne!(second, first);
        // Both are there until the name is the new one's.
        let third = inode("test", 0o644);
        assert_ne!(third, second);
        let other = folder.path().join("other");
        fs::rename(&path, &other).unwrap();
        symlink(&other, &path).unwrap();
        assert_ne!(inode("test", 0o644), third);
    }

    #[test]
    fn a_name_as_long_as_names_can_be_is_replaced_like_any_other() {
        let folder = tempfile::tempdir().unwrap();
        for length in [1, 249, 250, 251, 254, 255] {
            let path = folder.path().join("x".repeat(length));
            for content in ["first", "second"] {
                replace(&path, content.as_bytes(), 0o600).unwrap();
                assert_eq!(fs::read_to_string(&path).unwrap(), content);
            }
            let link = folder.path().join("y".repeat(length));
            replace_link(&path, &link).unwrap();
            assert_eq!(fs::read_link(&link).unwrap(), path);
        }
        let left = fs::read_dir(folder.path()).unwrap().flatten();
        let staged = left.filter(|entry| entry.file_name().as_encoded_bytes()[0] == b'.');
        assert_eq!(staged.count(), 0);
        // Two long names that begin alike do not share what is staged.
        let long = "z".repeat(250);
        let staged = |end: &str| beside(&folder.path().join(format!("{long}{end}")));
        assert_ne!(staged("1"), staged("2"));
    }
}
