//! The machine's id, see machine-id(5): made at the first boot, kept where `/etc` can be written.

use rustix::io::Errno;
use rustix::mount::mount_bind;
use std::fs;
use std::io;
use std::path::Path;

const PLACE: &str = "/etc/machine-id";
/// Where it is while `/etc` is read-only.
const ASIDE: &str = "/run/machine-id";

/// What stands in the file of a system that was never booted.
const UNINITIALIZED: &str = "uninitialized";

/// Makes one where there is none.
///
/// # Errors
/// When none can be made, or it has no place.
pub(crate) fn ensure() -> io::Result<()> {
    match fs::read_to_string(PLACE) {
        Ok(text) if is_id(text.trim()) => return Ok(()),
        Ok(text) if !text.trim().is_empty() && text.trim() != UNINITIALIZED => {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "its 32 hexadecimal digits are none; empty it, and the next boot makes one",
            ));
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(_) | Err(_) => {}
    }
    let id = new()?;
    match write(Path::new(PLACE), &id) {
        Err(error) if error.raw_os_error() == Some(Errno::ROFS.raw_os_error()) => {}
        written => return written,
    }
    // Good for this boot.
    write(Path::new(ASIDE), &id)?;
    Ok(mount_bind(ASIDE, PLACE)?)
}

fn is_id(text: &str) -> bool {
    text.len() == 32
        && text.bytes().all(|byte| byte.is_ascii_hexdigit())
        && text.bytes().any(|byte| byte != b'0')
}

/// As a random UUID (RFC 9562, version 4) without its dashes.
fn new() -> io::Result<String> {
    let mut bytes = [0_u8; 16];
    let mut filled = 0;
    while let Some(room) = bytes.get_mut(filled..).filter(|room| !room.is_empty()) {
        filled += rustix::rand::getrandom(room, rustix::rand::GetRandomFlags::empty())?;
    }
    let [.., seventh, _, ninth, _, _, _, _, _, _, _] = &mut bytes;
    *seventh = *seventh & 0x0f | 0x40;
    *ninth = *ninth & 0x3f | 0x80;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// As a whole or not at all.
fn write(path: &Path, id: &str) -> io::Result<()> {
    let beside = path.with_extension("new");
    let written = fs::write(&beside, format!("{id}\n"))
        .and_then(|()| {
            fs::set_permissions(&beside, std::os::unix::fs::PermissionsExt::from_mode(0o444))
        })
        .and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        fs::remove_file(&beside).ok();
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_random_uuid() {
        let [one, other] = [new(), new()].map(|id| id.expect("random bytes"));
        assert!(
            is_id(&one) && is_id(&other) && one != other,
            "{one} {other}"
        );
        assert_eq!(one.chars().nth(12), Some('4'), "{one}");
        let variant = one.chars().nth(16).expect("32 digits");
        assert!("89ab".contains(variant), "{one}");
        for none in ["", "uninitialized", &"0".repeat(32), &"g".repeat(32)] {
            assert!(!is_id(none), "{none}");
        }
    }

    #[test]
    fn it_is_written_as_a_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("machine-id");
        write(&path, "abc").expect("it is written");
        assert_eq!(fs::read_to_string(&path).expect("a file"), "abc\n");
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
    }
}
