//! The units that an init makes of the machine's own tables, at its start and at each reload: mounts and swaps of fstab(5), logins on the
//! kernel's consoles.

use crate::directories::Directories;
use load::SearchPath;
use load::fstab::{self, Fstab, Made};
use std::fs;
use std::io;
use std::path::Path;

const FSTAB: &str = "/etc/fstab";
/// The consoles to which the kernel writes, in its order.
const CONSOLES: &str = "/sys/class/tty/console/active";

/// A table of a hundred thousand mounts is none.
const FSTAB_BYTES_MAX: u64 = 1 << 20;
/// Of a file of the kernel's with a handful of names.
const CONSOLES_BYTES_MAX: u64 = 4096;

/// What the machine's tables ask for, and none where the table of mounts can't be read: what was made before holds.
fn asked_for() -> io::Result<Fstab> {
    let mut made = match crate::beginning::text(FSTAB, FSTAB_BYTES_MAX) {
        Ok(table) => fstab::units(&table),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Fstab::default(),
        Err(error) => return Err(error),
    };
    let consoles = crate::beginning::text(CONSOLES, CONSOLES_BYTES_MAX).unwrap_or_default();
    for login in logins(&consoles) {
        let place = Path::new("getty.target.wants").join(&login);
        made.files.insert(place, Made::Link(format!("../{login}")));
    }
    Ok(made)
}

/// Makes the units anew, and answers what is to be said about that.
fn make(directories: &Directories, is_machine: bool) -> Vec<String> {
    // Of a container the mounts are its maker's, and the console may be the terminal of who started it.
    let asked_for = if is_machine {
        asked_for()
    } else {
        Ok(Fstab::default())
    };
    let made = match asked_for {
        Ok(made) => made,
        Err(error) => {
            return vec![format!(
                "{FSTAB} can't be read, and its mounts stay as they are: {error}"
            )];
        }
    };
    let mut notes = made.notes.clone();
    let directory = SearchPath::generated(&directories.runtime);
    if let Err(error) = write(&directory, &made) {
        notes.push(format!(
            "the units of {FSTAB} and of the consoles can't be written to {}, and are as they were: {error}",
            directory.display()
        ));
    }
    notes
}

impl crate::manager::Manager {
    /// Makes them anew, and tells what is not as the tables have it.
    pub(crate) fn generate(&self) {
        for note in make(&self.directories, self.is_of_machine()) {
            self.log(&note);
        }
    }
}

/// The units of logins: on the first screen, where there are screens, and on each serial line that is a console.
fn logins(consoles: &str) -> Vec<String> {
    let lines = consoles.split_ascii_whitespace();
    let logins = lines.filter_map(|console| match console.strip_prefix("tty") {
        Some(rest) if rest.starts_with(|first: char| first.is_ascii_digit()) => {
            Some("getty@tty1.service".to_owned())
        }
        _ if console.contains(['/', '-', '.']) => None,
        _ => Some(format!("serial-getty@{console}.service")),
    });
    let mut logins: Vec<String> = logins.collect();
    logins.sort();
    logins.dedup();
    logins
}

/// The new directory takes the old one's place as a whole.
fn write(directory: &Path, made: &Fstab) -> io::Result<()> {
    let beside = directory.with_extension("new");
    remove(&beside)?;
    fs::create_dir(&beside)?;
    for (place, made) in &made.files {
        let path = beside.join(place);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        match made {
            Made::File(text) => fs::write(path, text)?,
            Made::Link(target) => std::os::unix::fs::symlink(target, path)?,
        }
    }
    let flags = rustix::fs::RenameFlags::EXCHANGE;
    let here = rustix::fs::CWD;
    match rustix::fs::renameat_with(here, &beside, here, directory, flags) {
        Err(rustix::io::Errno::NOENT) => fs::rename(&beside, directory),
        exchanged => {
            exchanged?;
            remove(&beside)
        }
    }
}

fn remove(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_console_gets_a_login_and_the_screens_one_together() {
        for (consoles, expected) in [
            (
                "tty0 ttyS0\n",
                &["getty@tty1.service", "serial-getty@ttyS0.service"][..],
            ),
            ("hvc0", &["serial-getty@hvc0.service"]),
            ("tty0 tty1", &["getty@tty1.service"]),
            ("", &[]),
        ] {
            assert_eq!(logins(consoles), expected, "{consoles}");
        }
    }

    #[test]
    fn what_is_made_takes_the_place_of_what_was_made_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let directory = folder.path().join("generated");
        for table in ["/dev/a /a ext4\n", "/dev/b /b ext4\n"] {
            write(&directory, &fstab::units(table)).expect("it is written");
        }
        assert!(directory.join("b.mount").exists());
        assert!(directory.join("local-fs.target.requires/b.mount").exists());
        assert!(!directory.join("a.mount").exists());
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
    }
}
