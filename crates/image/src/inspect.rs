//! Tells what an image is, without mounting it. What it reads is hostile: it runs in a worker.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;

use serde::{Deserialize, Serialize};

use crate::crew::Crew;
use crate::discoverable::Purpose;
use crate::disk::{self, Part};
use crate::dissect::{DissectError, FileSystem, Layout, dissect};
use crate::erofs;
use crate::luks::Encryption;
use crate::signature::{self, Signer};
use crate::source::{FileSource, Source as _};
use crate::squashfs;
use crate::tree::{self, Contents};
use crate::verity::{self, RootHash};

/// What an image says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The whole file, bytes.
    pub length: u64,
    /// SHA-256 of the whole file, hexadecimal.
    pub digest: String,
    /// The root partition's label.
    pub label: Option<String>,
    /// The processor that it is for, where its root partition's type names one.
    pub architecture: Option<String>,
    /// The root file system's kind; none where it is encrypted.
    pub file_system: Option<FileSystem>,
    /// The partitions that are encrypted, by what they are for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub encrypted: BTreeMap<String, Encryption>,
    /// Its length in bytes.
    pub root_bytes: u64,
    /// The hash tree's length in bytes.
    pub verity_bytes: Option<u64>,
    /// The root hash, where the image is signed or its partitions carry it.
    pub root_hash: Option<RootHash>,
    /// Whether all data is under that root hash.
    pub intact: bool,
    /// Why not, in words.
    pub damage: Option<String>,
    /// Who signed, by the certificate inside the signature: a claim, not trust.
    pub claimed_signer: Option<Signer>,
    /// os-release and units, where the file system is one that can be read without mounting.
    pub contents: Option<Contents>,
    /// Why the contents are not shown, in words.
    pub unreadable: Option<String>,
}

/// Why an image can't be inspected.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// It is no image.
    #[error(transparent)]
    Dissect(#[from] DissectError),
    /// It can't be read.
    #[error("cannot read the image")]
    Read(#[from] io::Error),
}

/// Looks at an image.
///
/// # Errors
/// See [`InspectError`].
pub fn inspect(file: &File, crew: &Crew) -> Result<Report, InspectError> {
    let source = FileSource::new(file)?.hashed_by(crew);
    let disk = disk::read(&source)?;
    let root = disk.part(Purpose::Root)?;
    let encrypted = disk.parts.iter().filter_map(|part| {
        let name = part.purpose.designator()?.name().to_owned();
        Some((name, part.encryption.clone()?))
    });
    let encrypted: BTreeMap<String, Encryption> = encrypted.collect();
    if let Some(root) = root.filter(|root| root.encryption.is_some()) {
        return locked(&source, root, encrypted);
    }
    let layout = dissect(&source)?;
    let layout = layout.claim();
    let architecture = root.and_then(|root| root.architecture.clone());
    let damage = damage(&source, layout).err();
    let (contents, unreadable) = match contents(&source, layout) {
        Ok(contents) => (Some(contents), None),
        Err(why) => (None, Some(why)),
    };
    let signed = layout
        .signature
        .as_ref()
        .and_then(|json| signature::claims(json).ok());
    Ok(Report {
        length: layout.length,
        digest: crate::verify::digest(&source)?,
        label: layout.label.clone(),
        architecture,
        file_system: Some(layout.file_system),
        encrypted,
        root_bytes: layout.root.length,
        verity_bytes: layout.verity.map(|extent| extent.length),
        root_hash: signed.as_ref().map(|(hash, _)| *hash).or(layout.root_hash),
        intact: damage.is_none(),
        damage,
        claimed_signer: signed.and_then(|(_, signer)| signer),
        contents,
        unreadable,
    })
}

/// All that is seen of an image whose root needs a key.
fn locked(
    source: &FileSource<'_>,
    root: &Part,
    encrypted: BTreeMap<String, Encryption>,
) -> Result<Report, InspectError> {
    Ok(Report {
        length: source.length(),
        digest: crate::verify::digest(source)?,
        label: root.label.clone(),
        architecture: root.architecture.clone(),
        file_system: None,
        encrypted,
        root_bytes: root.extent.length,
        verity_bytes: None,
        root_hash: None,
        intact: false,
        damage: Some("it is encrypted: what is in it is seen only with its key".into()),
        claimed_signer: None,
        contents: None,
        unreadable: Some("it is encrypted".into()),
    })
}

/// What is wrong with the data, in words.
fn damage(source: &FileSource<'_>, layout: &Layout) -> Result<(), String> {
    let (Some(verity), Some(named)) = (layout.verity, layout.root_hash) else {
        return Err("it has no verity data: nothing says what its content should be".into());
    };
    if let Some(json) = &layout.signature {
        let (signed, _) = signature::claims(json).map_err(|error| error.to_string())?;
        if signed != named {
            return Err(format!(
                "the signature is over root hash {signed}, the partitions are named after {named}"
            ));
        }
    }
    verity::verify(source, layout.root, verity, named).map_err(|error| error.to_string())
}

fn contents(source: &FileSource<'_>, layout: &Layout) -> Result<Contents, String> {
    let contents = match layout.file_system {
        FileSystem::Squashfs => {
            let reader = squashfs::Reader::open(source, layout.root);
            tree::collect(&reader.map_err(|error| error.to_string())?)
        }
        FileSystem::Erofs => {
            let reader = erofs::Reader::open(source, layout.root);
            tree::collect(&reader.map_err(|error| error.to_string())?)
        }
        other => return Err(format!("{} is not read without mounting it", other.name())),
    };
    contents.map_err(|error| error.to_string())
}
