//! The beginning of a file, where somebody else decides how long it is: what the kernel shows of a process's memory is as long as the
//! process says (prctl(2), PR_SET_MM_MAP).

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Longer than nearly all files of the kernel's.
const USUAL_BYTES: u64 = 4096;

/// At most so many bytes of a file.
pub(crate) fn read(path: impl AsRef<Path>, bytes_max: u64) -> io::Result<Vec<u8>> {
    // The kernel writes such a file anew for each call that reads of it: nearly all fit into one.
    let mut bytes = Vec::with_capacity(bytes_max.min(USUAL_BYTES) as usize);
    File::open(path)?.take(bytes_max).read_to_end(&mut bytes)?;
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
}
