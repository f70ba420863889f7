//! What an image has of partitions, from its headers alone.

use model::version::compare;
use serde::{Deserialize, Serialize};

use crate::discoverable::{self, Purpose};
use crate::dissect::{DissectError, SIGNATURE_LIMIT_BYTES};
use crate::gpt::{self, GptError, Partition, Table};
use crate::guid::Guid;
use crate::luks::{self, Encryption};
use crate::mbr;
use crate::probe::{Content, Foreign, ProbeError, probe};
use crate::source::{Extent, Source};

/// What an image is as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// A file system without a table.
    Bare,
    /// With the older kind of table.
    Mbr,
    /// With a GPT.
    Gpt,
}

/// A partition that is there for this processor. All of it is the image's own claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// What it is for.
    pub purpose: Purpose,
    /// Where it lies.
    pub extent: Extent,
    /// What it holds; nothing where that is unknown, or was not asked for.
    pub content: Option<Content>,
    /// How it is encrypted, where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
    /// The text of a signature partition: JSON.
    pub text: Option<String>,
    /// Its identifier, in a GPT.
    pub id: Guid,
    /// Its label, in a GPT.
    pub label: Option<String>,
    /// The flag "read-only".
    pub read_only: bool,
    /// The flag "grow the file system", with which nothing is done here.
    pub grows: bool,
    /// The processor that its type names, where it names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
}

/// A whole image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// What it is as a whole.
    pub shape: Shape,
    /// Its length in bytes.
    pub length: u64,
    /// The partitions that are looked for, each purpose at most once; what there may be several versions of, the newest first.
    pub parts: Vec<Part>,
    /// Processors that it has roots for, where it has none for this one.
    pub others: Option<String>,
}

impl Disk {
    /// Whether there is a partition of a purpose.
    #[must_use]
    pub fn has(&self, purpose: Purpose) -> bool {
        self.versions(purpose).next().is_some()
    }

    /// The partition of a purpose; the newest one, where there are several.
    ///
    /// # Errors
    /// Where two of them are as new: which of them a reader takes would be left to the order of the table.
    pub fn part(&self, purpose: Purpose) -> Result<Option<&Part>, DissectError> {
        let mut versions = self.versions(purpose);
        let newest = versions.next();
        if let (Some(newest), Some(next)) = (newest, versions.next())
            && compare(label(newest), label(next)).is_eq()
        {
            return Err(DissectError::SameVersion {
                what: purpose.name(),
                first: label(newest).to_owned(),
                second: label(next).to_owned(),
            });
        }
        Ok(newest)
    }

    /// The partition of a purpose that is called so, whatever its version.
    #[must_use]
    pub(crate) fn named(&self, purpose: Purpose, id: Guid) -> Option<&Part> {
        self.versions(purpose).find(|part| part.id == id)
    }

    /// The partitions of a purpose, the newest first.
    pub(crate) fn versions(&self, purpose: Purpose) -> impl Iterator<Item = &Part> {
        self.parts
            .iter()
            .filter(move |part| part.purpose == purpose)
    }
}

fn label(part: &Part) -> &str {
    part.label.as_deref().unwrap_or_default()
}

/// The label of a place that waits for a version to come: sysupdate.d(5).
const EMPTY: &str = "_empty";

/// Most partitions of one purpose that are looked into: two are usual, and what is left over of more is never used.
const VERSIONS_MAX: usize = 16;

/// Reads an image's headers.
///
/// # Errors
/// See [`DissectError`].
pub(crate) fn read<S: Source + ?Sized>(source: &S) -> Result<Disk, DissectError> {
    let whole = Extent {
        offset: 0,
        length: source.length(),
    };
    let found = probe(source, whole).map_err(|error| of_probe("image", error))?;
    let (shape, parts, others) = match gpt::read(source) {
        Ok(table) => {
            let others = others(&table);
            (Shape::Gpt, from_table(source, &table)?, others)
        }
        Err(GptError::Missing) => match mbr::read(source)? {
            Some(entries) => (Shape::Mbr, vec![from_entries(source, &entries)?], None),
            None => (Shape::Bare, bare(source, whole, found)?, None),
        },
        Err(error) => return Err(error.into()),
    };
    // A reader that looks for the one must not see another image than one that looks for the other.
    match (shape, found) {
        (Shape::Bare, _) | (_, None) => {}
        // The first sector of FAT is a table for some and a file system for others.
        (Shape::Gpt | Shape::Mbr, Some(found)) => {
            return Err(DissectError::TwoFileSystems {
                what: "image",
                first: if shape == Shape::Gpt { "GPT" } else { "MBR" },
                second: found.name(),
            });
        }
    }
    Ok(Disk {
        shape,
        length: whole.length,
        parts,
        others,
    })
}

/// What is wrong with what is in a partition.
fn of_probe(what: &'static str, error: ProbeError) -> DissectError {
    match error {
        ProbeError::Two { first, second } => DissectError::TwoFileSystems {
            what,
            first,
            second,
        },
        ProbeError::Read(error) => DissectError::Read(error),
    }
}

/// How a partition is encrypted that says it is.
fn encryption<S: Source + ?Sized>(
    source: &S,
    extent: Extent,
    content: Option<Content>,
) -> Result<Option<Encryption>, DissectError> {
    let is_encrypted = content == Some(Content::Foreign(Foreign::Luks));
    let encryption = is_encrypted.then(|| luks::look(source, extent));
    Ok(encryption.transpose()?)
}

fn bare<S: Source + ?Sized>(
    source: &S,
    whole: Extent,
    found: Option<Content>,
) -> Result<Vec<Part>, DissectError> {
    let content = found.ok_or(DissectError::NoImage)?;
    Ok(vec![Part {
        purpose: Purpose::Root,
        extent: whole,
        content: Some(content),
        encryption: encryption(source, whole, found)?,
        text: None,
        id: Guid::NIL,
        label: None,
        read_only: false,
        grows: false,
        architecture: None,
    }])
}

/// The partition of Linux that is marked as the one to boot from is the root, or the only one.
fn from_entries<S: Source + ?Sized>(
    source: &S,
    entries: &[mbr::Entry],
) -> Result<Part, DissectError> {
    let linux = || entries.iter().filter(|entry| entry.is_linux);
    let is_marked = linux().any(|entry| entry.is_active);
    let mut linux = linux().filter(|entry| entry.is_active == is_marked);
    let extent = match (linux.next(), linux.next()) {
        (Some(one), None) => one.extent,
        (None, _) => return Err(DissectError::NoRoot { others: None }),
        (Some(_), Some(_)) => return Err(DissectError::Ambiguous { what: "Linux" }),
    };
    let content = probe(source, extent).map_err(|error| of_probe("root partition", error))?;
    Ok(Part {
        purpose: Purpose::Root,
        extent,
        content,
        encryption: encryption(source, extent, content)?,
        text: None,
        id: Guid::NIL,
        label: None,
        read_only: false,
        grows: false,
        architecture: None,
    })
}

fn from_table<S: Source + ?Sized>(source: &S, table: &Table) -> Result<Vec<Part>, DissectError> {
    let candidates = candidates(table)?;
    let mut parts: Vec<Part> = Vec::new();
    for (purpose, partition) in &candidates {
        let is_newest = parts.iter().all(|part| part.purpose != *purpose);
        match part(source, *purpose, partition) {
            Ok(part) => parts.push(part),
            // A version that is being written is no obstacle to the one before it, but it is not passed over where it is the newest.
            Err(error @ DissectError::Read(_)) => return Err(error),
            Err(error) if is_newest => return Err(error),
            Err(_) => {}
        }
    }
    let has = |purpose| parts.iter().any(|part: &Part| part.purpose == purpose);
    // Without a word on what it is for, a file system of Linux can only be the root, and only if it is alone.
    if !has(Purpose::Root) && !has(Purpose::Usr) {
        match usable(table, Purpose::Generic).as_slice() {
            [] => {}
            [one] => parts.push(part(source, Purpose::Root, one)?),
            _ => return Err(DissectError::Ambiguous { what: "Linux" }),
        }
    }
    for (data, verity, signature) in PROTECTED {
        if parts.iter().any(|part| part.purpose == signature)
            && !parts.iter().any(|part| part.purpose == verity)
        {
            return Err(DissectError::Alone {
                what: signature.name(),
                needs: verity.name(),
            });
        }
        // Whose verity data it is can't be told then; nothing is protected, which a policy may mind.
        if !parts.iter().any(|part| part.purpose == data) {
            parts.retain(|part| part.purpose != verity && part.purpose != signature);
        }
    }
    Ok(parts)
}

/// What the table has for this processor, without what is used by nobody who does not ask for it.
fn usable(table: &Table, wanted: Purpose) -> Vec<&Partition> {
    let processor = processor(table, wanted);
    let is_wanted = |partition: &&Partition| match discoverable::purpose(partition.kind) {
        Some((purpose, architecture)) => {
            purpose == wanted && (architecture.is_none() || architecture == processor)
        }
        None => false,
    };
    let found = table.partitions.iter().filter(is_wanted);
    found
        .filter(|partition| partition.flags & gpt::FLAG_NO_AUTO == 0)
        .collect()
}

/// Whose file system of this kind is taken, with all that protects it: the other processor's only where there is none of the first.
fn processor(table: &Table, wanted: Purpose) -> Option<&'static str> {
    let (data, ..) = PROTECTED
        .into_iter()
        .find(|(data, verity, signature)| [*data, *verity, *signature].contains(&wanted))?;
    let has = |processor: &Option<&str>| {
        let mut usable = table.partitions.iter().filter(|partition| {
            partition.flags & gpt::FLAG_NO_AUTO == 0 && partition.label != EMPTY
        });
        usable.any(|partition| discoverable::purpose(partition.kind) == Some((data, *processor)))
    };
    let both = [discoverable::native(), discoverable::secondary()];
    both.into_iter()
        .find(|processor| processor.is_some() && has(processor))
        .unwrap_or(discoverable::native())
}

/// What is looked into, in the table's order; the newest first of what there may be several versions of.
fn candidates(table: &Table) -> Result<Vec<(Purpose, &Partition)>, DissectError> {
    let mut found: Vec<(Purpose, &Partition)> = Vec::new();
    let purposes = table.partitions.iter();
    let purposes = purposes.filter_map(|partition| discoverable::purpose(partition.kind));
    for (purpose, _) in purposes {
        let is_known = found.iter().any(|(known, _)| *known == purpose);
        if is_known || purpose == Purpose::Generic {
            continue;
        }
        let mut versions = usable(table, purpose);
        if purpose.has_versions() {
            versions.retain(|partition| partition.label != EMPTY);
        }
        if versions.len() > 1 && !purpose.has_versions() {
            let what = purpose.name();
            return Err(DissectError::Ambiguous { what });
        }
        if versions.len() > VERSIONS_MAX {
            return Err(DissectError::Versions {
                what: purpose.name(),
                count: versions.len(),
            });
        }
        versions.sort_by(|a, b| compare(&b.label, &a.label));
        found.extend(versions.into_iter().map(|partition| (purpose, partition)));
    }
    Ok(found)
}

/// What is protected, by what, signed by what.
pub(crate) const PROTECTED: [(Purpose, Purpose, Purpose); 2] = [
    (Purpose::Root, Purpose::Verity, Purpose::Signature),
    (Purpose::Usr, Purpose::UsrVerity, Purpose::UsrSignature),
];

fn part<S: Source + ?Sized>(
    source: &S,
    purpose: Purpose,
    partition: &Partition,
) -> Result<Part, DissectError> {
    let is_signature = matches!(purpose, Purpose::Signature | Purpose::UsrSignature);
    let is_data = !is_signature && !matches!(purpose, Purpose::Verity | Purpose::UsrVerity);
    let content = is_data.then(|| probe(source, partition.extent));
    let content = content
        .transpose()
        .map_err(|error| of_probe(purpose.partition(), error))?
        .flatten();
    Ok(Part {
        purpose,
        extent: partition.extent,
        content,
        encryption: encryption(source, partition.extent, content)?,
        text: is_signature
            .then(|| signature_text(source, partition.extent))
            .transpose()?,
        id: partition.id,
        label: Some(partition.label.clone()),
        read_only: partition.flags & gpt::FLAG_READ_ONLY != 0,
        grows: partition.flags & gpt::FLAG_GROWS != 0,
        architecture: discoverable::purpose(partition.kind)
            .and_then(|(_, architecture)| architecture)
            .map(str::to_owned),
    })
}

/// Processors that the image has a root or /usr for.
fn others(table: &Table) -> Option<String> {
    let found = table
        .partitions
        .iter()
        .filter_map(|partition| discoverable::purpose(partition.kind));
    let others: Vec<&str> = found
        .filter(|(purpose, _)| matches!(purpose, Purpose::Root | Purpose::Usr))
        .filter_map(|(_, architecture)| architecture)
        .filter(|architecture| Some(*architecture) != discoverable::native())
        .collect();
    (!others.is_empty()).then(|| others.join(", "))
}

/// The JSON text, without the NUL bytes that fill the partition.
fn signature_text<S: Source + ?Sized>(source: &S, extent: Extent) -> Result<String, DissectError> {
    let wrong = |what| DissectError::Signature { what };
    if extent.length > SIGNATURE_LIMIT_BYTES {
        return Err(wrong("it is larger than a mebibyte"));
    }
    let raw = source.read_extent(extent, SIGNATURE_LIMIT_BYTES)?;
    let end = raw.iter().position(|byte| *byte == 0).unwrap_or(raw.len());
    let (text, padding) = raw.split_at(end);
    if padding.iter().any(|byte| *byte != 0) {
        return Err(wrong("something follows its text"));
    }
    String::from_utf8(text.to_vec()).map_err(|_| wrong("it is no text"))
}
