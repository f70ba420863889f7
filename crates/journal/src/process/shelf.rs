//! All directories of log files: opened when a stream needs one, closed with its last, kept within their limits.

use model::sorted::Map;
use std::io;
use std::path::{Path, PathBuf};

use super::directory::{Directory, Setting, next_seqnum};
use super::vacuum::vacuum;
use super::{Options, Trouble};
use crate::format::Fields;
use crate::format::batch::{Batch, Progress};
use crate::format::file::{
    NAMESPACES_DIRECTORY, Namespaces, PORTABLES_DIRECTORY, SYSTEM_DIRECTORY, directories,
};
use crate::stream::Stream;
use crate::time;

/// How long entries may wait for the disk: what a power cut may lose.
const SYNC_AFTER_US: u64 = 60_000_000;
/// How long grave entries (critical and worse) may wait.
const SYNC_AFTER_GRAVE_US: u64 = 1_000_000;
const PRIORITY_GRAVE: u8 = 2;

/// The directories in use and the number of the next entry.
#[derive(Debug)]
pub(super) struct Shelf {
    options: Options,
    setting: Setting,
    next_seqnum: u64,
    open: Map<PathBuf, Directory>,
    sync_at_us: Option<u64>,
}

impl Shelf {
    /// Finds the next number and removes what is too much.
    pub(super) fn open(options: &Options) -> io::Result<Shelf> {
        let mut next = 1;
        for directory in directories(&options.directory, &Namespaces::All)? {
            next = next_seqnum(&directory)?.max(next);
        }
        let mut options = options.clone();
        options.total_max_bytes = options
            .total_max_bytes
            .min(share_of_disk(&options.directory)?);
        let setting = Setting {
            fields: host_fields()?,
            reader_group: options.reader_group,
        };
        Ok(Shelf {
            options,
            setting,
            next_seqnum: next,
            open: Map::new(),
            sync_at_us: None,
        })
    }

    /// The directory that takes a stream's entries.
    pub(super) fn place(&self, stream: &Stream) -> PathBuf {
        let root = &self.options.directory;
        match (&stream.namespace, &stream.portable) {
            (Some(namespace), _) => root.join(NAMESPACES_DIRECTORY).join(namespace),
            (None, Some(portable)) => root.join(PORTABLES_DIRECTORY).join(portable),
            (None, None) => root.join(SYSTEM_DIRECTORY),
        }
    }

    /// How far a stream is by what is on file.
    pub(super) fn progress(
        &mut self,
        place: &Path,
        stream: u64,
    ) -> Result<Option<Progress>, Trouble> {
        self.with_room(place, |shelf| {
            Ok(shelf.directory(place)?.progress(stream).cloned())
        })
    }

    /// Does what needs room for `place`. A full disk is met by removing what is old, once.
    fn with_room<T>(
        &mut self,
        place: &Path,
        mut act: impl FnMut(&mut Self) -> io::Result<T>,
    ) -> Result<T, Trouble> {
        let outcome = match act(self) {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                self.vacuum(1)?;
                act(self)
            }
            outcome => outcome,
        };
        outcome.map_err(|source| Trouble::Store {
            path: place.to_owned(),
            source,
        })
    }

    fn directory(&mut self, place: &Path) -> io::Result<&mut Directory> {
        self.open.entry(place.to_owned()).or_try_insert_with(|| {
            let now = time::realtime_us();
            Directory::open(place, &self.setting, self.next_seqnum, now)
        })
    }

    /// Gives the batch its number and appends it.
    pub(super) fn append(&mut self, place: &Path, mut batch: Batch) -> Result<(), Trouble> {
        batch.first_seqnum = self.next_seqnum;
        let (next, grave) = (
            batch.next_seqnum(),
            batch
                .lines
                .iter()
                .any(|line| line.priority <= PRIORITY_GRAVE),
        );
        self.rotate_if_due(place, batch.realtime_us)?;
        self.with_room(place, |shelf| shelf.directory(place)?.append(batch.clone()))?;
        self.next_seqnum = next;
        let wait = if grave {
            SYNC_AFTER_GRAVE_US
        } else {
            SYNC_AFTER_US
        };
        let due = time::monotonic_us() + wait;
        self.sync_at_us = Some(self.sync_at_us.map_or(due, |at| at.min(due)));
        Ok(())
    }

    fn rotate_if_due(&mut self, place: &Path, now_us: u64) -> Result<(), Trouble> {
        let (max_bytes, max_age_us) = (self.options.file_max_bytes, self.options.file_max_age_us);
        let (setting, next) = (self.setting.clone(), self.next_seqnum);
        let is_rotated = self.with_room(place, |shelf| {
            let directory = shelf.directory(place)?;
            let due = directory.is_due(now_us, max_bytes, max_age_us)?;
            if due {
                directory.rotate(&setting, next, now_us)?;
            }
            Ok(due)
        })?;
        if is_rotated { self.vacuum(0) } else { Ok(()) }
    }

    /// Removes the oldest files that are too much, and at least so many.
    pub(super) fn vacuum(&mut self, at_least: usize) -> Result<(), Trouble> {
        let in_use: Vec<PathBuf> = self
            .open
            .values()
            .map(|directory| directory.file_path().to_owned())
            .collect();
        let path = self.options.directory.clone();
        vacuum(&self.options, &in_use, at_least)
            .map(drop)
            .map_err(|source| Trouble::Vacuum { path, source })
    }

    /// An unfinished line that cannot be stored is lost with its batch.
    pub(super) fn forget_unfinished(&mut self, place: &Path, stream: u64) {
        if let Some(directory) = self.open.get_mut(place) {
            directory.forget_unfinished(stream);
        }
    }

    /// A stream that the keeper let go of.
    pub(super) fn forget(&mut self, place: &Path, stream: u64) {
        if let Some(directory) = self.open.get_mut(place) {
            directory.forget(stream);
        }
    }

    /// Closes a directory that no stream needs, so that a purge finds it unused.
    pub(super) fn close(&mut self, place: &Path) -> Result<(), Trouble> {
        match self.open.remove(place) {
            Some(mut directory) => directory.sync().map_err(|source| Trouble::Store {
                path: place.to_owned(),
                source,
            }),
            None => Ok(()),
        }
    }

    /// When to call [`Shelf::sync`] next, on the monotonic clock.
    pub(super) fn sync_at_us(&self) -> Option<u64> {
        self.sync_at_us
    }

    /// Brings everything to the disk.
    pub(super) fn sync(&mut self) -> Result<(), Trouble> {
        self.sync_at_us = None;
        for (path, directory) in self
            .open
            .iter_mut()
            .filter(|(_, directory)| directory.is_unsynced())
        {
            directory.sync().map_err(|source| Trouble::Store {
                path: path.clone(),
                source,
            })?;
        }
        Ok(())
    }
}

/// Logs never take more of a file system than this part of it.
const DISK_SHARE: u64 = 10;

fn share_of_disk(directory: &Path) -> io::Result<u64> {
    std::fs::create_dir_all(directory)?;
    let disk = rustix::fs::statvfs(directory)?;
    Ok(disk.f_blocks.saturating_mul(disk.f_frsize) / DISK_SHARE)
}

/// What is the same for every entry of this boot. A host without a machine id has none.
fn host_fields() -> io::Result<Fields> {
    let mut fields = vec![("_BOOT_ID".to_owned(), time::boot_id()?.into_bytes())];
    if let Ok(machine) = std::fs::read_to_string("/etc/machine-id") {
        fields.push(("_MACHINE_ID".to_owned(), machine.trim().into()));
    }
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname")?;
    fields.push(("_HOSTNAME".to_owned(), host.trim().into()));
    Ok(fields)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;
    use crate::format::batch::Line;
    use kernel::rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};

    fn lines(bytes: usize) -> Batch {
        let line = Line {
            priority: 6,
            fields: Fields::new(),
            message: vec![b'x'; bytes],
        };
        Batch {
            realtime_us: time::realtime_us(),
            lines: vec![line],
            ..Batch::default()
        }
    }

    /// Fills the file system that a file is on.
    fn fill(path: &Path) {
        use std::io::Write;
        let mut file = std::fs::File::create(path).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
    }

    #[test]
    fn on_a_full_disk_what_is_old_makes_room_for_the_next_file() {
        let home = tempfile::tempdir().unwrap();
        // Only a thread of its own sees what is mounted there.
        std::thread::scope(|scope| scope.spawn(|| fill_and_go_on(home.path())).join().unwrap());
    }

    fn fill_and_go_on(home: &Path) {
        kernel::namespace::unshare(kernel::namespace::MOUNT).unwrap();
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", private).unwrap();
        mount("tmpfs", home, "tmpfs", MountFlags::empty(), c"size=8m").unwrap();
        let options = Options {
            file_max_bytes: 50_000,
            ..Options::new(home, home)
        };
        let mut shelf = Shelf::open(&options).unwrap();
        let place = shelf.place(&Stream::new("web.service", 1, ""));
        for _ in 0..3 {
            shelf.append(&place, lines(60_000)).unwrap();
        }
        fill(&home.join("ballast"));
        shelf.append(&place, lines(10)).unwrap();
        fill(&home.join("ballast-2"));
        let other = shelf.place(&Stream {
            portable: Some("web".into()),
            ..Stream::new("web.service", 1, "")
        });
        shelf.progress(&other, 1).unwrap();
    }
}
