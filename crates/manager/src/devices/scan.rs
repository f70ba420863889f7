//! Which devices are there that udev has marked for us, by its database and the kernel's files: all in memory, and many.

use super::udev::{Device, TAG, of_database};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Where udev keeps what it knows (its own interface, but stable since it began; libraries read it).
const UDEV: &str = "/run/udev";
const SYSFS: &str = "/sys";
/// Bytes of a file of the database, or about a device.
const FILE_BYTES_MAX: u64 = 256 << 10;
/// A machine has some hundreds.
const DEVICES_MAX: usize = 65_536;

/// All that are marked. A device that goes meanwhile is none.
pub(crate) fn all() -> io::Result<Vec<Device>> {
    let marked = Path::new(UDEV).join("tags").join(TAG);
    let entries = match fs::read_dir(marked) {
        // Nothing is marked yet.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut devices = Vec::new();
    for (number, entry) in entries.enumerate() {
        if number == DEVICES_MAX {
            let text = format!("more than {DEVICES_MAX} devices are marked");
            return Err(io::Error::other(text));
        }
        let id = entry?.file_name();
        devices.extend(id.to_str().and_then(read));
    }
    Ok(devices)
}

/// One device, by the name that the database has for it.
fn read(id: &str) -> Option<Device> {
    let text = text(&Path::new(UDEV).join("data").join(id))?;
    let place = place(id)?;
    let about = self::text(&place.join("uevent")).unwrap_or_default();
    let node = about.lines().find_map(|line| line.strip_prefix("DEVNAME="));
    let path = place.strip_prefix(SYSFS).ok()?.to_str()?;
    let path = format!("/{path}");
    Some(of_database(&path, node, &text))
}

/// Where it is below `/sys`: `b8:1` and `c1:3` are nodes, `n1` is a network interface, `+pci:0000:00:02.0` any other.
fn place(id: &str) -> Option<PathBuf> {
    let sys = Path::new(SYSFS);
    let rest = id.get(1..)?;
    let link = match id.get(..1)? {
        "b" => sys.join("dev/block").join(rest),
        "c" => sys.join("dev/char").join(rest),
        "n" => interface(rest)?,
        "+" => {
            let (subsystem, name) = rest.split_once(':')?;
            let bus = sys.join("bus").join(subsystem).join("devices").join(name);
            let class = sys.join("class").join(subsystem).join(name);
            [bus, class].into_iter().find(|path| path.exists())?
        }
        _ => return None,
    };
    let place = fs::canonicalize(link).ok()?;
    place.starts_with(sys.join("devices")).then_some(place)
}

fn interface(index: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(Path::new(SYSFS).join("class/net")).ok()?;
    let mut paths = entries.flatten().map(|entry| entry.path());
    paths.find(|path| text(&path.join("ifindex")).is_some_and(|own| own.trim() == index))
}

fn text(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path).ok()?;
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
