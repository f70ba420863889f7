//! Images and directories of the administrator's own: chosen by the policy, proven as far as they can be, and only root can change them.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use image::choose::{Choice, Chosen, Known, Locked, choose};
use image::dissect::Layout;
use image::extension;
use image::mount::{
    Claimed, Options, UnlockError, assemble, claim, has_device_mapper, mount_own, open_directory,
    root_of, unlock,
};
use image::probe::Content;
use image::verify::{Assurance, How, Trust, Unverified, Verified};
use image::verity::RootHash;
use image::worker::{Fault, WorkerError, Workers};
use model::value::{Designator, ImagePolicy};

use super::{Wish, key, only_roots};
use crate::portable::admit::honoured;

/// Bytes of a file with a root hash, and of one with a signature.
const HASH_FILE_BYTES: u64 = 1024;
const SIGNATURE_FILE_BYTES: u64 = 64 << 10;

/// A directory as a tree.
pub(super) fn directory(wish: &Wish, base: Option<OwnedFd>) -> Result<(OwnedFd, String)> {
    let path = &wish.path;
    let opened = open_directory(path).with_context(|| format!("cannot open {}", path.display()))?;
    only_roots(path, &opened)?;
    let tree = image::mount::directory(&opened)?;
    let assembled = assemble(vec![("/", tree)])?;
    if wish.kind.is_extension() {
        fits(wish, &opened, base)?;
    }
    let tree = assembled.close()?;
    Ok((tree, "a directory that only root can change".into()))
}

/// An image as a tree.
pub(super) fn image(wish: &Wish, base: Option<OwnedFd>) -> Result<(OwnedFd, String)> {
    let (pieces, integrity) = pieces(wish, wish.kind.is_extension())?;
    let assembled = assemble(pieces)?;
    if wish.kind.is_extension() {
        fits(wish, &assembled.root, base)?;
    }
    Ok((assembled.close()?, integrity))
}

/// A mount of a file system, and where it goes.
pub(super) type Piece = (&'static str, OwnedFd);

/// The file systems of an image, with what protects them in words.
pub(super) fn pieces(wish: &Wish, only_read: bool) -> Result<(Vec<Piece>, String)> {
    let path = &wish.path;
    let (file, is_writable) = open(path)?;
    only_roots(path, &file)?;
    let workers = Workers::default();
    let mut disk = workers.survey(&file)?;
    let policy = ImagePolicy(wish.policy.clone());
    let aside = verity_file(wish)?;
    let aside_bytes = aside.as_ref().map(File::metadata).transpose()?;
    let mut root = of_root(wish, &file)?;
    // What stands beside an image with partitions is not its root's alone: only what was asked for by name must fit.
    let is_bare = disk.claim().shape == image::disk::Shape::Bare;
    let is_asked = wish.verity.is_some();
    root.verity_aside_bytes = aside_bytes
        .map(|aside| aside.len())
        .filter(|_| is_bare || is_asked);
    let usr = of_usr(path, &file)?;
    let wanted = image::choose::Wish {
        policy: &policy,
        root,
        usr,
    };
    let only_read = only_read || !is_writable;
    let mut choices = choose(disk.claim(), &wanted)?;
    let mut changeable = choices
        .iter()
        .filter(|chosen| chosen.is_changeable())
        .peekable();
    if changeable.peek().is_some() {
        let alone = !changeable.all(|chosen| only_read || chosen.is_read_only());
        if claim(&file, alone)? == Claimed::AfterAnother {
            disk = workers.survey(&file)?;
            choices = choose(disk.claim(), &wanted)?;
        }
    }
    let mut integrity = Vec::new();
    let mut pieces = Vec::new();
    let reads = Reads {
        wish,
        workers,
        file,
        aside,
        only_read,
    };
    for chosen in &choices {
        let (at, (piece, how)) = match chosen {
            Chosen::Open(choice) => (choice.at, reads.open(choice)?),
            Chosen::Locked(locked) => (locked.at, reads.locked(locked)?),
        };
        integrity.push(how);
        pieces.push((at, piece));
    }
    integrity.dedup();
    let integrity = format!("{}; only root can change it", integrity.join(", "));
    Ok((pieces, integrity))
}

/// An image whose file systems are mounted.
struct Reads<'a> {
    wish: &'a Wish,
    workers: Workers,
    file: File,
    aside: Option<File>,
    only_read: bool,
}

impl Reads<'_> {
    /// A file system, with what protects it in words.
    fn open(&self, choice: &Choice) -> Result<(OwnedFd, String)> {
        let options = self.options(choice.designator, choice.read_only)?;
        let aside = self.aside.as_ref();
        let (verified, how) = prove(&self.workers, &self.file, aside, choice, &self.wish.config)
            .with_context(|| format!("its {}", choice.at))?;
        let piece = mount_own(&self.file, aside, &verified, &options)?;
        // Root itself may write to its images; then nothing that was proven holds. What is mounted to be written to is so from now on.
        if choice.layout.root_hash.is_some() {
            verified.record().clone().confirm(&self.file)?;
        }
        Ok((piece, how))
    }

    /// What is in an encrypted partition.
    fn locked(&self, locked: &Locked) -> Result<(OwnedFd, String)> {
        self.unlocked(locked)
            .with_context(|| format!("its {}", locked.at))
    }

    fn unlocked(&self, locked: &Locked) -> Result<(OwnedFd, String)> {
        let mut options = self.options(locked.designator, locked.read_only)?;
        let keys = key::Keys {
            image: &self.wish.path,
            state: &self.wish.state,
        };
        let key = keys.of(locked.designator.name())?;
        let unlocked = match unlock(&self.file, locked, &key.bytes, options.read_only) {
            Err(UnlockError::WrongKey) => bail!(not_the_key(&key)),
            unlocked => unlocked?,
        };
        let (device, length) = unlocked.content();
        let kind = match self.workers.probe(device, length)? {
            Some(Content::FileSystem(kind)) => kind,
            Some(Content::Foreign(kind)) => bail!(
                "it holds {} below its encryption, which is not mounted from images",
                kind.name()
            ),
            None => bail!("it holds no known file system below its encryption"),
        };
        locked.admits(kind)?;
        if !kind.is_writable() {
            options.make_read_only();
        }
        let piece = unlocked.mount(kind, &options)?;
        let words = if locked.has_integrity {
            "encrypted, changes are found"
        } else {
            "encrypted, without a root hash"
        };
        Ok((piece, format!("{words}, opened with {}", key.whence)))
    }

    fn options(&self, designator: Designator, read_only: bool) -> Result<Options> {
        let mut options = Options::new(read_only || self.only_read);
        for list in &self.wish.options {
            if let Some(list) = options_for(list, designator) {
                options.add(list)?;
            }
        }
        Ok(options)
    }
}

fn not_the_key(key: &key::Key) -> String {
    let is_line = key.bytes.ends_with(b"\n");
    let hint = if is_line {
        "; the line break at its end is a part of it: write it with printf"
    } else {
        ""
    };
    format!("it is encrypted with another key than {}{hint}", key.whence)
}

/// Opens an image, to be written to where it can be.
fn open(path: &Path) -> Result<(File, bool)> {
    if !path.metadata().is_ok_and(|metadata| metadata.is_file()) {
        let why = if path.exists() {
            "is no regular file"
        } else {
            "is not there"
        };
        bail!("{} {why}", path.display());
    }
    let both = File::options().read(true).write(true).open(path);
    match both {
        Ok(file) => Ok((file, true)),
        Err(_) => {
            let file = File::open(path);
            Ok((
                file.with_context(|| format!("cannot open {}", path.display()))?,
                false,
            ))
        }
    }
}

/// The options that are for this file system.
fn options_for(list: &str, designator: Designator) -> Option<&str> {
    let (partition, options) = list.split_once(':').unwrap_or(("root", list));
    (partition == designator.name()).then_some(options)
}

/// Checks what is there to be checked: a trusted signature where that will do, else hashes where there are some.
fn prove(
    workers: &Workers,
    file: &File,
    aside: Option<&File>,
    choice: &Choice,
    config: &Path,
) -> Result<(Verified<Layout>, String)> {
    let layout = Unverified::claimed(choice.layout.clone());
    let how = match choice.layout.verity {
        Some(_) if choice.layout.root_hash.is_some() && has_device_mapper() => How::ByKernel,
        _ => How::Whole,
    };
    let verify = |trust: &Trust| workers.verify_with(file, aside, &layout, trust, how);
    let mut is_signed = true;
    let verified = if choice.may_be_signed {
        match verify(&Trust::Certificates(honoured(config)?)) {
            Err(WorkerError::Refused(refusal))
                if choice.may_be_unsigned && refusal.fault != Fault::Damaged =>
            {
                is_signed = false;
                verify(&Trust::Insecure)?
            }
            verified => verified?,
        }
    } else {
        is_signed = false;
        verify(&Trust::Insecure)?
    };
    let record = verified.record();
    let words = match (&record.assurance, record.root_hash) {
        (Assurance::Signed(signer), _) if is_signed => {
            format!("signed by \"{}\"", signer.common_name)
        }
        (_, Some(_)) => "not in the store, its own root hash is right".to_owned(),
        (_, None) => "not in the store, without a root hash".to_owned(),
    };
    let by_kernel = if record.by_kernel {
        ", each block checked by the kernel"
    } else {
        ""
    };
    Ok((verified, format!("{words}{by_kernel}")))
}

/// A file beside the image, of its name without `.raw` and with this ending.
fn beside(path: &Path, ending: &str) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let stem = name.strip_suffix(".raw").unwrap_or(name);
    Some(path.with_file_name(format!("{stem}{ending}")))
}

/// A small file that only root can change; none where it is not there.
fn small(path: &Path, limit_bytes: u64) -> Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened.with_context(|| format!("cannot open {}", path.display()))?,
    };
    only_roots(path, &file)?;
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut std::io::Read::take(file, limit_bytes), &mut bytes)?;
    Ok(Some(bytes))
}

fn parse_hash(text: &str, whence: &str) -> Result<RootHash> {
    text.trim()
        .parse()
        .with_context(|| format!("the root hash of {whence}"))
}

fn hash_of_file(path: &Path) -> Result<Option<RootHash>> {
    let Some(bytes) = small(path, HASH_FILE_BYTES)? else {
        return Ok(None);
    };
    parse_hash(
        &String::from_utf8_lossy(&bytes),
        &path.display().to_string(),
    )
    .map(Some)
}

/// An extended attribute of the image with a root hash.
fn hash_of_attribute(file: &File, name: &str) -> Result<Option<RootHash>> {
    let mut value = [0; 256];
    match rustix::fs::fgetxattr(file, name, &mut value) {
        Err(rustix::io::Errno::NODATA | rustix::io::Errno::OPNOTSUPP) => Ok(None),
        length => {
            let bytes = value.get(..length?).unwrap_or_default();
            parse_hash(&String::from_utf8_lossy(bytes), name).map(Some)
        }
    }
}

/// What is known of the root: what the unit says, else what stands at the image or beside it.
fn of_root(wish: &Wish, file: &File) -> Result<Known> {
    let path = &wish.path;
    let mut known = known_beside(path, file, "root")?;
    match &wish.root_hash {
        Some(text) if text.starts_with('/') => {
            let hash = hash_of_file(Path::new(text))?;
            known.root_hash = Some(hash.with_context(|| format!("{text} is not there"))?);
        }
        Some(text) => known.root_hash = Some(parse_hash(text, "the unit")?),
        None => {}
    }
    if let Some(text) = &wish.signature {
        let der = match text.strip_prefix("base64:") {
            Some(encoded) => image::signature::from_base64(encoded)?,
            None => small(Path::new(text), SIGNATURE_FILE_BYTES)?
                .with_context(|| format!("{text} is not there"))?,
        };
        known.signature = Some(der);
        known.must_be_signed = true;
    }
    Ok(known)
}

fn of_usr(path: &Path, file: &File) -> Result<Known> {
    known_beside(path, file, "usr")
}

fn known_beside(path: &Path, file: &File, what: &str) -> Result<Known> {
    let mut known = Known {
        root_hash: hash_of_attribute(file, &format!("user.verity.{what}hash"))?,
        ..Known::default()
    };
    if known.root_hash.is_none()
        && let Some(path) = beside(path, &format!(".{what}hash"))
    {
        known.root_hash = hash_of_file(&path)?;
    }
    if known.root_hash.is_some()
        && let Some(path) = beside(path, &format!(".{what}hash.p7s"))
    {
        known.signature = small(&path, SIGNATURE_FILE_BYTES)?;
    }
    Ok(known)
}

/// The verity data that are in a file of their own: RootVerity=, or beside the image.
fn verity_file(wish: &Wish) -> Result<Option<File>> {
    let (path, must_be_there) = match &wish.verity {
        Some(path) => (Some(path.clone()), true),
        None => (beside(&wish.path, ".verity"), false),
    };
    let Some(path) = path else {
        return Ok(None);
    };
    match File::open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must_be_there => Ok(None),
        opened => {
            let file = opened.with_context(|| format!("cannot open {}", path.display()))?;
            only_roots(&path, &file)?;
            Ok(Some(file))
        }
    }
}

/// Whether an extension is made for what it is laid over.
pub(super) fn fits(wish: &Wish, tree: &OwnedFd, base: Option<OwnedFd>) -> Result<()> {
    let workers = Workers::default();
    let name = wish.path.to_string_lossy();
    let release = workers.release(tree.as_fd(), extension::name_of(&name))?;
    let base = match (base, &wish.base) {
        (Some(held), _) => root_of(&held)?,
        (None, Some(path)) => {
            open_directory(path).with_context(|| format!("cannot open {}", path.display()))?
        }
        (None, None) => bail!("the manager did not say what the extension is laid over"),
    };
    let base = workers.base(base.as_fd())?;
    release.fits(&base, model::facts::native())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_beside_an_image_has_its_name_without_raw() {
        let name = |path: &str| beside(Path::new(path), ".roothash").unwrap();
        assert_eq!(name("/srv/web.raw"), Path::new("/srv/web.roothash"));
        assert_eq!(name("/srv/web.psi"), Path::new("/srv/web.psi.roothash"));
    }
}
