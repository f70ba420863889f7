//! From bytes to an image that may be used: dissected, verified, mounted and read, each by a worker that can do nothing else.

use std::fs::File;
use std::io::Seek;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use delivery::digest::Digest;
use delivery::digests::{Digests, Said};
use delivery::portables::Trust as Recorded;
use delivery::store::{Staging, Store};
use delivery::trust::{Anchor, Anchors};
use image::dissect::Layout;
use image::signature::{Signer, TrustedCertificate};
use image::tree::Contents;
use image::verify::{Assurance, Trust, Verified};
use image::worker::{Fault, WorkerError, Workers};
use rustix::fs::OFlags;

use super::note;
use super::room::{check_room, check_stated};
use crate::context::Context;
use crate::failure::{Hint, WithHint, hint};
use crate::ownership::open_to_others;

/// Largest local image, in bytes: the same as for fetched ones.
pub(crate) const IMAGE_MAX_BYTES: u64 = 16 << 30;

/// What the administrator accepts besides the trusted certificates.
#[derive(Debug, Clone, Default)]
pub(crate) struct Acceptance {
    /// `--trust-digest=`: this very file.
    pub(crate) digest: Option<Digest>,
    /// `--insecure`: any file.
    pub(crate) insecure: bool,
    /// The certificates of keys that a trusted one handed over to, for this portable alone.
    pub(crate) heirs: Vec<TrustedCertificate>,
}

/// Where an admitted portable's files are.
#[derive(Debug)]
pub(crate) enum Root {
    /// A verified image; staged until it is kept.
    Image {
        digest: Digest,
        length: u64,
        staging: Option<Staging>,
        verified: Box<Verified<Layout>>,
        /// What was read of it, before any of it was chosen.
        read: Option<Box<Contents>>,
    },
    /// A directory that only root can change.
    Directory(PathBuf),
}

/// A portable that was verified and read; nothing of it is installed yet.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) root: Root,
    pub(crate) contents: Contents,
    pub(crate) signer: Option<Signer>,
    /// Who signed as it says, where nobody asked: proven by nothing.
    pub(crate) claimed: Option<Signer>,
    pub(crate) trust: Recorded,
}

impl Admitted {
    /// Name from os-release inside the verified root, never from a file name or address.
    ///
    /// # Errors
    /// When it has none.
    pub(crate) fn name(&self) -> Result<&str> {
        self.contents
            .os_release
            .name()
            .context("the image's os-release has neither PORTABLE_ID=, IMAGE_ID= nor ID=")
    }

    /// Throws the staged image away.
    ///
    /// # Errors
    /// When it can't be removed.
    pub(crate) fn discard(self, store: &Store) -> Result<()> {
        match self.root {
            Root::Image {
                staging: Some(staging),
                ..
            } => Ok(store.discard(staging)?),
            _ => Ok(()),
        }
    }

    /// Gives a staged image its name in the store, with what was proven of it. What is returned keeps it there until a record
    /// refers to it.
    ///
    /// # Errors
    /// When it can't be kept.
    pub(crate) fn keep(&mut self, store: &Store) -> Result<Option<File>> {
        if let Root::Image {
            digest,
            staging,
            verified,
            read,
            ..
        } = &mut self.root
            && let Some(staged) = staging.take()
        {
            let had = store.get(digest).is_ok();
            let until_recorded = store.keep(staged, digest)?;
            let (record, kept) = (verified.record(), store.get(digest)?);
            let record = if had {
                record.of_equal(&kept)?
            } else {
                record.moved_to(&kept)?
            };
            store.put_note(digest, &note::text(&record, read.as_deref())?)?;
            return Ok(Some(until_recorded));
        }
        Ok(None)
    }

    /// Where the portable's files are, or will be once they are kept.
    pub(crate) fn path(&self, store: &Store) -> String {
        match &self.root {
            Root::Image { digest, .. } => store.path(digest).display().to_string(),
            Root::Directory(path) => path.display().to_string(),
        }
    }

    /// Version from os-release; `0` for an image that has none.
    pub(crate) fn version(&self) -> &str {
        self.contents.os_release.version().unwrap_or("0")
    }
}

/// Copies a local image into the store's staging area, so that nothing can change under our hands.
///
/// # Errors
/// When it can't be read, is too large, or there is no room for it.
pub(crate) fn copy_in(
    store: &Store,
    path: &Path,
    limit_bytes: u64,
) -> Result<(Staging, Digest, u64)> {
    let origin = path.display();
    let mut file = open(path)?;
    let length = file.metadata()?.len();
    check_stated(Some(length), (limit_bytes, u64::MAX), &origin.to_string())?;
    let copied = store.copy_in(&mut file, limit_bytes);
    copied.or_hint(
        || format!("{origin} can't be copied into the store"),
        "an image may be as large as `--max-size` says and the disk has room for; `coracle purge` frees the room of portables that are not needed any more",
    )
}

/// Opens a local image; waits for nobody, as at the end of a pipe.
///
/// # Errors
/// When it can't be opened, or is neither a file nor a disk.
pub(crate) fn open(path: &Path) -> Result<File> {
    let origin = path.display();
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = File::options()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path);
    let named = "name an image by its path: `coracle build` makes images, as does mkosi";
    let file = opened.or_hint(|| format!("cannot open {origin}"), named)?;
    let kind = file.metadata()?.file_type();
    if kind.is_file() || kind.is_block_device() {
        return Ok(file);
    }
    Err(hint(
        format!("{origin} is no file that an image could be in"),
        named,
    ))
}

/// What a staged image is once it is not compressed: itself, or what comes out of it, in a staging file of its own.
///
/// # Errors
/// When it is damaged, or more comes out than the limit allows or the store has room for.
pub(crate) fn decompress(
    store: &Store,
    (staging, digest, length): (Staging, Digest, u64),
    origin: &str,
    limit_bytes: u64,
) -> Result<(Staging, Digest, u64)> {
    if !image::travel::is_compressed(&staging.file)? {
        return Ok((staging, digest, length));
    }
    let whole = store.stage(&format!("decompressed {}", std::process::id()))?;
    let outcome = expand(&staging.file, &whole.file, origin, limit_bytes);
    store.discard(staging)?;
    match outcome {
        Ok((digest, length)) => Ok((whole, digest, length)),
        Err(error) => {
            store.discard(whole)?;
            Err(error)
        }
    }
}

/// What comes out of a compressed file; a worker reads it.
fn expand(from: &File, to: &File, origin: &str, limit_bytes: u64) -> Result<(Digest, u64)> {
    // A process of the same number may have left something there.
    to.set_len(0)?;
    check_room(to, image::travel::stated_length(from)?, limit_bytes, origin)?;
    (&mut &*from).rewind()?;
    let expanded = Workers::default().decompress(from, to, limit_bytes);
    expanded.or_hint(
        || format!("{origin} can't be decompressed"),
        "it was damaged on its way, or is larger than an image may be (`--max-size`): fetch it again, from its maker",
    )?;
    (&mut &*to).rewind()?;
    Ok(Digest::of_reader(&mut &*to)?)
}

/// Verifies and reads a staged image. The staging file is thrown away when the image is refused.
///
/// # Errors
/// When it is no image, is not trusted, is damaged, or holds no portable.
pub(crate) fn image(
    context: &Context,
    store: &Store,
    staging: Staging,
    (digest, length): (Digest, u64),
    acceptance: &Acceptance,
    origin: &str,
) -> Result<Admitted> {
    match examine(context, &staging.file, &digest, acceptance, origin) {
        Ok((verified, contents)) => Ok(admitted(
            Some(staging),
            (digest, length),
            verified,
            contents,
        )),
        Err(error) => {
            store.discard(staging)?;
            Err(error)
        }
    }
}

/// What is known of an image before it is read.
fn unread() -> Contents {
    Contents {
        os_release: Default::default(),
        units: Vec::new(),
        foreign_units: Vec::new(),
        host_places: Vec::new(),
    }
}

/// Verifies a staged image that is laid over a portable: nothing is read of it here, as it is no portable itself.
///
/// # Errors
/// When it is no image, is not trusted or is damaged.
pub(crate) fn layer(
    context: &Context,
    store: &Store,
    staging: Staging,
    (digest, length): (Digest, u64),
    acceptance: &Acceptance,
    origin: &str,
) -> Result<Admitted> {
    match prove(context, &staging.file, &digest, acceptance, origin) {
        Ok(verified) => Ok(admitted(
            Some(staging),
            (digest, length),
            verified,
            unread(),
        )),
        Err(error) => {
            store.discard(staging)?;
            Err(error)
        }
    }
}

/// Reads an image that is in the store: what was proven when it came in still holds for the same file.
///
/// # Errors
/// When it is missing or was changed.
pub(crate) fn stored(store: &Store, digest: &Digest) -> Result<Admitted> {
    let (file, verified, noted) = note::confirmed(store, digest)?;
    let contents = match noted {
        Some(contents) => contents,
        None => read(&file, &verified)?,
    };
    let length = file.metadata()?.len();
    Ok(admitted(None, (*digest, length), verified, contents))
}

/// The same for one that is laid over a portable.
///
/// # Errors
/// When it is missing or was changed.
pub(crate) fn stored_layer(store: &Store, digest: &Digest) -> Result<Admitted> {
    let (file, verified, _) = note::confirmed(store, digest)?;
    let length = file.metadata()?.len();
    Ok(admitted(None, (*digest, length), verified, unread()))
}

fn admitted(
    staging: Option<Staging>,
    (digest, length): (Digest, u64),
    verified: Verified<Layout>,
    contents: Contents,
) -> Admitted {
    let (signer, trust) = match &verified.record().assurance {
        Assurance::Signed(signer) => (Some(signer.clone()), Recorded::Signed),
        Assurance::Digest => (None, Recorded::Digest),
        Assurance::Insecure => (None, Recorded::Insecure),
    };
    let claimed = verified.record().claimed.clone();
    let is_read = contents.os_release.name().is_some();
    Admitted {
        claimed,
        root: Root::Image {
            digest,
            length,
            staging,
            verified: Box::new(verified),
            read: is_read.then(|| Box::new(contents.clone())),
        },
        contents,
        signer,
        trust,
    }
}

fn examine(
    context: &Context,
    file: &File,
    digest: &Digest,
    acceptance: &Acceptance,
    origin: &str,
) -> Result<(Verified<Layout>, Contents)> {
    let verified = prove(context, file, digest, acceptance, origin)?;
    let contents = read(file, &verified).or_hint(
        || format!("the image {origin} is refused"),
        "it is as its maker made it, damaged or made to do harm, or this kernel can't mount it: ask for another one",
    )?;
    Ok((verified, contents))
}

fn prove(
    context: &Context,
    file: &File,
    digest: &Digest,
    acceptance: &Acceptance,
    origin: &str,
) -> Result<Verified<Layout>> {
    let workers = Workers::default();
    let layout = workers.dissect(file).or_hint(
        || format!("{origin} is no image that can be read"),
        "`coracle build` makes images, as does mkosi; `coracle start` takes units of this host by their names",
    )?;
    let config = &context.directories.config;
    check_digest(config, digest, origin)?;
    let by_word = Digests::trusted(config).get(digest)?.is_some();
    let trust = trust(context, digest, acceptance)?;
    let proven = workers.verify(file, &layout, &trust);
    let verified = match proven {
        Err(WorkerError::Refused(refusal)) if by_word && refusal.fault != Fault::Damaged => {
            workers.verify(file, &layout, &waived(config, Some(digest))?)
        }
        proven => proven,
    };
    let verified = verified.map_err(|error| {
        let next = next_step(&error, digest, origin);
        anyhow::Error::from(error)
            .context(Hint::new(format!("the image {origin} is refused"), next))
    })?;
    if let Assurance::Signed(signer) = &verified.record().assurance {
        check_signer(config, signer, origin)?;
    }
    // Whom nobody asked about may be revoked, too: what lets one file in takes no revocation back.
    if let Some(claimed) = &verified.record().claimed {
        check_signer(config, claimed, origin)?;
    }
    Ok(verified)
}

/// Refuses an admitted portable that was revoked since it came in: its image, or who vouched for it.
///
/// # Errors
/// When it was, or that can't be found out.
pub(crate) fn check_revoked(context: &Context, admitted: &Admitted) -> Result<()> {
    let config = &context.directories.config;
    let Root::Image { digest, .. } = &admitted.root else {
        return Ok(());
    };
    let name = admitted.name()?;
    check_digest(config, digest, name)?;
    let mut signers = admitted.signer.iter().chain(&admitted.claimed);
    signers.try_for_each(|signer| check_signer(config, signer, name))
}

fn check_digest(config: &Path, digest: &Digest, of: &str) -> Result<()> {
    match Digests::revoked(config).get(digest)? {
        None => Ok(()),
        Some(said) => Err(revoked(
            &said,
            &format!("the image {of} is refused: it was revoked"),
        )),
    }
}

/// The certificate that signed, the one that issued it, and their keys.
fn check_signer(config: &Path, signer: &Signer, of: &str) -> Result<()> {
    let Some(said) = revoked_signer(&Digests::revoked(config), signer)? else {
        return Ok(());
    };
    Err(revoked(
        &said,
        &format!(
            "the image {of} is refused: the certificate by which \"{}\" vouches for it was revoked",
            signer.common_name
        ),
    ))
}

/// What was revoked of a signer: the certificate, the one that issued it, or the key of one of them.
///
/// # Errors
/// When that can't be found out.
pub(crate) fn revoked_signer(list: &Digests, signer: &Signer) -> Result<Option<Said>> {
    let Some(signer) = super::record::signer(Some(signer))? else {
        return Ok(None);
    };
    for digest in signer.revoked_by() {
        if let Some(said) = list.get(&digest)? {
            return Ok(Some(said));
        }
    }
    Ok(None)
}

/// The certificates that count: trusted, and revoked neither themselves nor by their keys.
///
/// # Errors
/// When they can't be read.
pub(crate) fn honoured(config: &Path) -> Result<Vec<TrustedCertificate>> {
    let list = Digests::revoked(config);
    let mut certificates = Vec::new();
    for anchor in Anchors::new(config).honoured()? {
        let certificate = certificate_of(&anchor)?;
        let signer = certificate
            .signer()
            .with_context(|| trusted_certificate(&anchor))?;
        if revoked_signer(&list, &signer)?.is_none() {
            certificates.push(certificate);
        }
    }
    Ok(certificates)
}

/// One that can't be read ends what asks for it: nobody knows whose it is, and whether that one was revoked.
fn certificate_of(anchor: &Anchor) -> Result<TrustedCertificate> {
    TrustedCertificate::parse(&anchor.der).with_context(|| trusted_certificate(anchor))
}

fn trusted_certificate(anchor: &Anchor) -> String {
    format!("the trusted certificate {}", anchor.path.display())
}

fn revoked(said: &Said, what: &str) -> anyhow::Error {
    let because = match said.reason.as_str() {
        "" => String::new(),
        reason => format!(": {reason}"),
    };
    hint(
        format!("{what} ({}){because}", said.digest),
        format!(
            "ask its maker for a newer version; `coracle trust restore {}` takes the revocation back",
            said.digest
        ),
    )
}

/// Only where nothing but trust is missing is the administrator told how to give it.
fn next_step(error: &WorkerError, digest: &Digest, origin: &str) -> String {
    let this_file = format!(
        "`--trust-digest=sha256:{}` allows this one file",
        digest.hex()
    );
    match error {
        WorkerError::Refused(refusal) => match refusal.fault {
            Fault::NotSigned => format!("ask its maker for a signed one; {this_file}"),
            Fault::NotTrusted => {
                format!("`coracle trust add CERTIFICATE` trusts its maker from now on; {this_file}")
            }
            Fault::Unfit => format!(
                "ask its maker for an image that is signed with a certificate which is valid now and for signing code; {this_file}"
            ),
            Fault::Damaged => {
                "it was damaged or changed after it was made: fetch it again, from its maker"
                    .to_owned()
            }
        },
        _ if super::channel::is_address(origin) => {
            "fetch the file and look at it with `coracle inspect`".to_owned()
        }
        _ => format!("`coracle inspect {origin}` shows what can be read of it"),
    }
}

fn read(file: &File, verified: &Verified<Layout>) -> Result<Contents> {
    let workers = Workers::default();
    let mount: OwnedFd = workers.mount(file, verified)?;
    Ok(workers.extract(mount.as_fd())?)
}

fn trust(context: &Context, digest: &Digest, acceptance: &Acceptance) -> Result<Trust> {
    let config = &context.directories.config;
    if let Some(wanted) = &acceptance.digest {
        if wanted != digest {
            return Err(hint(
                format!("the image is {digest}, not {wanted} as --trust-digest= has it"),
                "compare both with what its maker says: this is another file, or a damaged one",
            ));
        }
        return waived(config, Some(digest));
    }
    if acceptance.insecure {
        return waived(config, None);
    }
    let mut certificates = honoured(config)?;
    certificates.extend(acceptance.heirs.iter().cloned());
    Ok(Trust::Certificates(certificates))
}

/// Where the administrator asks for no signature: whose it is, and who issued for that one, may have been revoked.
fn waived(config: &Path, digest: Option<&Digest>) -> Result<Trust> {
    // The revoked ones, too: it is they that are looked for.
    let anchors = Anchors::new(config).list()?.0;
    let known: Result<Vec<_>> = anchors.iter().map(certificate_of).collect();
    Ok(Trust::Waived {
        digest: digest.map(Digest::hex),
        known: known?,
    })
}

/// Reads a directory, where it and all its parents belong to root and can be changed by no one else.
///
/// # Errors
/// When somebody else could change it, or it holds no portable.
pub(crate) fn directory(path: &Path) -> Result<Admitted> {
    let unreadable = || format!("cannot read {}", path.display());
    let real = path.canonicalize().with_context(unreadable)?;
    if let Some(part) = open_to_others(&real).with_context(unreadable)? {
        return Err(hint(
            format!(
                "{} can be changed by others than root, so {} can't be trusted",
                part.display(),
                path.display()
            ),
            "build an image of it with `coracle build`, or move it below a directory of root's",
        ));
    }
    let root = File::open(&real).with_context(unreadable)?;
    let contents = Workers::default().extract(root.as_fd()).or_hint(
        || format!("{} is no portable", path.display()),
        "a portable's directory has usr/lib/os-release, and units in usr/lib/systemd/system",
    )?;
    Ok(Admitted {
        root: Root::Directory(real),
        contents,
        signer: None,
        claimed: None,
        trust: Recorded::Directory,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(stated: Option<u64>, expected: &str) {
        let said = check_stated(stated, (1000, 500), "x.psi.zst");
        let said = said.map_err(|error| error.to_string());
        assert_eq!(said.err().unwrap_or_default(), expected);
    }

    #[test]
    fn an_image_that_states_too_much_is_not_expanded() {
        check(None, "");
        check(Some(500), "");
        check(
            Some(501),
            "x.psi.zst is an image of 501 bytes, and the store has room for 500",
        );
        check(
            Some(1001),
            "x.psi.zst is an image of 1001 bytes, and 1000 are allowed",
        );
    }
}
