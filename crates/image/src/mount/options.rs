//! Mount options as mount(8) writes them: what the mount has, and what the file system is told.

use rustix::mount::MountAttrFlags;

use crate::dissect::FileSystem;

/// How a file system is mounted.
#[derive(Debug, Clone)]
pub struct Options {
    /// Nothing is written to it.
    pub read_only: bool,
    /// What the mount has.
    pub(super) attributes: MountAttrFlags,
    /// What the file system is told, a value where it takes one.
    pub(super) set: Vec<(String, Option<String>)>,
}

/// An option that is none.
#[derive(Debug, thiserror::Error)]
pub enum OptionError {
    /// What would make the mount weaker than it has to be, or is about something else than this mount.
    #[error("the mount option {option} is not taken for images")]
    Forbidden {
        /// Which.
        option: String,
    },
    /// The file system knows of no such option, or no such value.
    #[error("{kind} does not take the mount option {option}")]
    NotTaken {
        /// Which.
        option: String,
        /// The kernel's name.
        kind: &'static str,
    },
}

/// What says of a mount what it is anyway, or how it is shown.
const IDLE: [&str; 9] = [
    "defaults", "auto", "noauto", "nofail", "exec", "suid", "loop", "relatime", "async",
];

impl Options {
    /// Of what comes from elsewhere.
    #[must_use]
    pub fn strict() -> Self {
        let mut options = Self::new(true);
        options.attributes |= MountAttrFlags::MOUNT_ATTR_NOSUID;
        options
    }

    /// Of the administrator's own.
    #[must_use]
    pub fn new(read_only: bool) -> Self {
        let mut attributes = MountAttrFlags::MOUNT_ATTR_NODEV;
        if read_only {
            attributes |= MountAttrFlags::MOUNT_ATTR_RDONLY;
        }
        Self {
            read_only,
            attributes,
            set: Vec::new(),
        }
    }

    /// Adds a list of options, separated by commas.
    ///
    /// # Errors
    /// For one that is not taken.
    pub fn add(&mut self, list: &str) -> Result<(), OptionError> {
        let words = list.split(',').map(str::trim);
        words
            .filter(|word| !word.is_empty())
            .try_for_each(|word| self.add_one(word))
    }

    /// Nothing is written to it after all.
    pub fn make_read_only(&mut self) {
        self.read_only = true;
        self.attributes |= MountAttrFlags::MOUNT_ATTR_RDONLY;
    }

    fn add_one(&mut self, word: &str) -> Result<(), OptionError> {
        let attribute = match word {
            "ro" => {
                self.make_read_only();
                return Ok(());
            }
            "nosuid" => MountAttrFlags::MOUNT_ATTR_NOSUID,
            "nodev" => MountAttrFlags::MOUNT_ATTR_NODEV,
            "noexec" => MountAttrFlags::MOUNT_ATTR_NOEXEC,
            "noatime" => MountAttrFlags::MOUNT_ATTR_NOATIME,
            "strictatime" => MountAttrFlags::MOUNT_ATTR_STRICTATIME,
            "nodiratime" => MountAttrFlags::MOUNT_ATTR_NODIRATIME,
            "nosymfollow" => MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW,
            // It can't be made writable by saying so: what is read-only has a reason.
            "rw" => return Ok(()),
            idle if IDLE.contains(&idle) || idle.starts_with("x-") => return Ok(()),
            "dev" | "remount" | "bind" | "rbind" | "move" | "user" | "users" | "owner" => {
                return Err(OptionError::Forbidden {
                    option: word.to_owned(),
                });
            }
            other => {
                let (key, value) = match other.split_once('=') {
                    Some((key, value)) => (key, Some(value.to_owned())),
                    None => (other, None),
                };
                // What is mounted is what was proven.
                if matches!(
                    key,
                    "source" | "device" | "journal_path" | "journal_dev" | "logdev" | "rtdev"
                ) {
                    return Err(OptionError::Forbidden {
                        option: word.to_owned(),
                    });
                }
                self.set.push((key.to_owned(), value));
                return Ok(());
            }
        };
        self.attributes |= attribute;
        Ok(())
    }

    /// What a file system of this kind is told. One that is not written to must not replay its journal either.
    pub(super) fn of_file_system(
        &self,
        kind: FileSystem,
    ) -> impl Iterator<Item = (&str, Option<&str>)> {
        let recovery = match kind {
            FileSystem::Ext4 => Some(("noload", None)),
            FileSystem::Xfs => Some(("norecovery", None)),
            FileSystem::Btrfs => Some(("rescue", Some("nologreplay"))),
            FileSystem::Squashfs | FileSystem::Erofs => None,
        };
        let own = self.set.iter();
        let own = own.map(|(key, value)| (key.as_str(), value.as_deref()));
        let read_only = self.read_only.then_some([Some(("ro", None)), recovery]);
        read_only.into_iter().flatten().flatten().chain(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(read_only: bool, list: &str, kind: FileSystem, expected: &str) {
        let mut options = Options::new(read_only);
        let said = match options.add(list) {
            Err(error) => error.to_string(),
            Ok(()) => {
                let told = options.of_file_system(kind);
                let words: Vec<String> = told
                    .map(|(key, value)| {
                        value.map_or(key.to_owned(), |value| format!("{key}={value}"))
                    })
                    .collect();
                format!("{:#x} {}", options.attributes.bits(), words.join(","))
            }
        };
        assert_eq!(said, expected, "{list}");
    }

    #[test]
    fn options_are_the_mounts_or_the_file_systems() {
        check(false, "", FileSystem::Ext4, "0x4 ");
        check(true, "", FileSystem::Ext4, "0x5 ro,noload");
        check(false, "ro,nosuid", FileSystem::Xfs, "0x7 ro,norecovery");
        check(true, "rw", FileSystem::Btrfs, "0x5 ro,rescue=nologreplay");
        check(
            false,
            "noexec,discard,commit=5,x-systemd.growfs",
            FileSystem::Ext4,
            "0xc discard,commit=5",
        );
        check(true, "defaults", FileSystem::Squashfs, "0x5 ro");
    }

    #[test]
    fn what_would_make_it_another_mount_is_refused() {
        for word in ["dev", "bind", "source=/dev/sda", "journal_path=/dev/sda"] {
            let expected = format!("the mount option {word} is not taken for images");
            check(false, word, FileSystem::Ext4, &expected);
        }
    }
}
