//! Builds an image from one program: its shared libraries, its units, and the few files that a root needs.

mod libraries;
mod observed;

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::build::BuildError;
use crate::elf::ElfError;
use crate::manifest::Manifest;

pub use observed::{Fate, Opened};

/// Directories of a merged root: programs and libraries lie below /usr, and these links lead there.
const MERGED: [&str; 4] = ["bin", "lib", "lib64", "sbin"];

/// Who a service may run as inside the image: root for what starts it, nobody for the rest.
const PASSWD: &str =
    "root:x:0:0:root:/:/usr/sbin/nologin\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n";
const GROUP: &str = "root:x:0:\nnogroup:x:65534:\n";
const NSSWITCH: &str = "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\nprotocols: files\n";
const HOSTS: &str = "127.0.0.1 localhost\n::1 localhost\n";

/// What goes in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Program {
    /// The program, a path on this host. It keeps its place where it lies in a directory of programs (`/usr/sbin/nginx`), also
    /// below the sysroot; else it lies at `/usr/bin/NAME` in the image.
    pub program: PathBuf,
    /// Further files or directories: (path on this host, absolute path in the image). Programs and libraries among them get
    /// their libraries too.
    pub extra: Vec<(PathBuf, PathBuf)>,
    /// Searched for shared libraries before this host's `/`, where given (an unpacked package tree).
    pub sysroot: Option<PathBuf>,
    /// What it opened while it was watched.
    pub opened: Vec<Opened>,
}

/// What became of each file that a program opened.
pub type Fates = Vec<(PathBuf, Fate)>;

/// Why a program can't be collected.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// A file can't be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Something that should be a program or library and isn't.
    #[error("cannot collect the libraries of {path}")]
    Elf {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: ElfError,
    },
    /// A library is nowhere.
    #[error("{needed_by} needs the library {name}, which is nowhere below {searched}")]
    Library {
        /// Its name.
        name: String,
        /// Who needs it.
        needed_by: PathBuf,
        /// The directories that were searched.
        searched: String,
    },
    /// Too many libraries.
    #[error("the program needs more than {0} libraries")]
    TooMany(usize),
    /// A unit's path without a name.
    #[error("{0} has no file name that could be a unit's")]
    UnitName(PathBuf),
    /// A path in the image that isn't absolute.
    #[error("{0} is no absolute path of the image")]
    Target(PathBuf),
}

/// All that goes into an image of a program, but for its units.
pub(crate) fn manifest(program: &Program) -> Result<(Manifest, Fates), BuildError> {
    let mut manifest = Manifest::default();
    for directory in MERGED {
        manifest.directory(&Path::new("usr").join(directory), 0o755)?;
        manifest.link(directory, &format!("usr/{directory}"))?;
    }
    let sysroot = program.sysroot.as_deref();
    let mut libraries = libraries::Collector::new(sysroot)?;
    let place = place(&program.program, sysroot)?;
    manifest.put_copy(&program.program, &place, 0o755)?;
    libraries.collect(&program.program, &place)?;
    for (from, to) in &program.extra {
        let target = image_path(to).ok_or_else(|| ProgramError::Target(to.clone()))?;
        manifest.add(from, &target)?;
        collect_below(&mut libraries, from, &target)?;
    }
    let fates = observed::take(&mut manifest, &mut libraries, &program.opened)?;
    for library in libraries.found() {
        if !manifest.has(&library.place) {
            manifest.put_copy(&library.host, &library.place, 0o755)?;
        }
    }
    add_base(&mut manifest)?;
    Ok((manifest, fates))
}

/// Where the program goes.
pub(crate) fn place(program: &Path, sysroot: Option<&Path>) -> Result<PathBuf, ProgramError> {
    let read = |source| ProgramError::Read {
        path: program.into(),
        source,
    };
    let absolute = std::path::absolute(program).map_err(read)?;
    let inside = sysroot
        .and_then(|root| std::path::absolute(root).ok())
        .and_then(|root| absolute.strip_prefix(root).ok().map(Path::to_path_buf));
    let inside = inside.unwrap_or_else(|| {
        absolute
            .strip_prefix("/")
            .unwrap_or(&absolute)
            .to_path_buf()
    });
    let merged = merge(&inside);
    if ["usr/bin", "usr/sbin", "usr/lib", "usr/libexec"]
        .iter()
        .any(|directory| merged.starts_with(directory))
    {
        return Ok(merged);
    }
    let name = absolute
        .file_name()
        .ok_or_else(|| read(io::ErrorKind::InvalidFilename.into()))?;
    Ok(Path::new("usr/bin").join(name))
}

/// A path relative to the root, without `.` and `..`, below /usr where the merged root has it there.
pub(crate) fn image_path(path: &Path) -> Option<PathBuf> {
    let relative = path.strip_prefix("/").ok()?;
    let plain = relative
        .components()
        .all(|part| matches!(part, std::path::Component::Normal(_)));
    (plain && !relative.as_os_str().is_empty()).then(|| merge(relative))
}

fn merge(relative: &Path) -> PathBuf {
    if MERGED
        .iter()
        .any(|directory| relative.starts_with(directory))
    {
        return Path::new("usr").join(relative);
    }
    relative.into()
}

/// Libraries of programs and of libraries that are loaded by name, which no header tells.
fn collect_below(
    libraries: &mut libraries::Collector,
    from: &Path,
    to: &Path,
) -> Result<(), ProgramError> {
    let read = |source| ProgramError::Read {
        path: from.into(),
        source,
    };
    let metadata = fs::symlink_metadata(from).map_err(read)?;
    if metadata.is_dir() {
        for entry in fs::read_dir(from).map_err(read)? {
            let entry = entry.map_err(read)?;
            collect_below(libraries, &entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    let name = from.file_name().unwrap_or_default().to_string_lossy();
    let loadable = metadata.is_file() && (metadata.mode() & 0o111 != 0 || name.contains(".so"));
    if loadable {
        libraries.collect_if_elf(from, to)
    } else {
        Ok(())
    }
}

/// Adds unit files of this host.
pub(crate) fn add_units(manifest: &mut Manifest, units: &[PathBuf]) -> Result<(), BuildError> {
    for unit in units {
        let name = unit
            .file_name()
            .ok_or_else(|| ProgramError::UnitName(unit.clone()))?;
        manifest.put_copy(unit, &Path::new("usr/lib/systemd/system").join(name), 0o644)?;
    }
    Ok(())
}

/// The user tables, where nothing else brought them.
fn add_base(manifest: &mut Manifest) -> Result<(), BuildError> {
    let files = [
        ("passwd", PASSWD),
        ("group", GROUP),
        ("nsswitch.conf", NSSWITCH),
        ("hosts", HOSTS),
    ];
    for (name, text) in files {
        let path = format!("etc/{name}");
        if !manifest.has(Path::new(&path)) {
            manifest.put(&path, 0o644, text)?;
        }
    }
    Ok(())
}

/// In single quotes where the plain text would not do; what can't be a name is refused when it is read again.
pub(crate) fn quote(value: &str) -> String {
    let plain = value
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"._-+~".contains(&b));
    if plain {
        value.into()
    } else {
        format!("'{value}'")
    }
}

#[cfg(test)]
mod tests;
