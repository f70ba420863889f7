//! The beginning of a file, where somebody else decides how long it is: what the kernel shows of a process's memory is as long as the
//! process says (prctl(2), PR_SET_MM_MAP).

use rustix::fs::OFlags;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Longer than nearly all files of the kernel's.
const USUAL_BYTES: u64 = 4096;

/// At most so many bytes of a file.
pub(crate) fn read(path: impl AsRef<Path>, bytes_max: u64) -> io::Result<Vec<u8>> {
    // The kernel writes such a file anew for each call that reads of it: nearly all fit into one.
    beginning(&open(path.as_ref(), OFlags::empty())?, bytes_max)
}

/// The same of a regular file at a path that a unit names: no link at its end is followed.
pub(crate) fn of_file_itself(path: impl AsRef<Path>, bytes_max: u64) -> io::Result<Vec<u8>> {
    let path = path.as_ref();
    // Before it is opened: some devices do something when they are.
    let is_file = |found: std::fs::Metadata| found.file_type().is_file();
    if !path.symlink_metadata().is_ok_and(is_file) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let file = open(path, OFlags::NOFOLLOW)?;
    if !file.metadata().is_ok_and(is_file) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    beginning(&file, bytes_max)
}

/// What is at the path may be exchanged at any moment: nothing is waited for, and no terminal becomes ours.
fn open(path: &Path, more: OFlags) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY | more;
    OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
}

fn beginning(file: &File, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(bytes_max.min(USUAL_BYTES) as usize);
    file.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The same as text; what is none is replaced.
pub(crate) fn text(path: impl AsRef<Path>, bytes_max: u64) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&read(path, bytes_max)?).into_owned())
}

#[cfg(test)]
mod tests {
    #[test]
    fn of_a_file_without_an_end_the_beginning_is_read() {
        let bytes = super::read("/dev/zero", 10);
        assert_eq!(bytes.expect("it can be read"), [0; 10]);
    }

    #[test]
    fn a_file_itself_is_no_link_and_no_pipe_and_nothing_is_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let [file, link, pipe] = ["file", "link", "pipe"].map(|name| folder.path().join(name));
        std::fs::write(&file, "text").expect("a file");
        std::os::unix::fs::symlink(&file, &link).expect("a link");
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, kind, 0o600.into(), 0).expect("a pipe");
        let found = super::of_file_itself(&file, 3);
        assert_eq!(found.expect("it can be read"), b"tex");
        assert!(super::of_file_itself(&link, 3).is_err());
        assert!(super::of_file_itself(&pipe, 3).is_err());
        assert_eq!(super::read(&link, 9).expect("it can be read"), b"text");
        assert_eq!(super::read(&pipe, 9).expect("it ends at once"), b"");
    }
}
