//! Which partitions of an image are mounted where, by its policy and by what is there. Pure: the image's claims in, choices out.

use model::value::{Allowed, Designator, ImagePolicy};

use crate::discoverable::Purpose;
use crate::disk::{Disk, PROTECTED, Part, Shape};
use crate::dissect::{DissectError, FileSystem, Layout, chosen, layout};
use crate::luks::Encryption;
use crate::probe::{Content, Foreign};
use crate::signature;
use crate::source::Extent;
use crate::verity::RootHash;

/// Where partitions are mounted, parents first.
const PLACES: [(Purpose, &str); 6] = [
    (Purpose::Root, "/"),
    (Purpose::Usr, "/usr"),
    (Purpose::Home, "/home"),
    (Purpose::Srv, "/srv"),
    (Purpose::Var, "/var"),
    (Purpose::Tmp, "/var/tmp"),
];

/// What is known of a file system's integrity beside the image.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// The root hash that it must have.
    pub root_hash: Option<RootHash>,
    /// A signature over it, in DER.
    pub signature: Option<Vec<u8>>,
    /// Somebody asked for this very signature: without it, nothing is mounted.
    pub must_be_signed: bool,
    /// Bytes of its verity data, which are in a file of their own.
    pub verity_aside_bytes: Option<u64>,
}

/// What is wanted of an image.
#[derive(Debug, Clone)]
pub struct Wish<'a> {
    /// The policy.
    pub policy: &'a ImagePolicy,
    /// Of its root.
    pub root: Known,
    /// Of its /usr.
    pub usr: Known,
}

/// A file system to be mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Where, below the image's root.
    pub at: &'static str,
    /// As mount options call it.
    pub designator: Designator,
    /// It, with what protects it.
    pub layout: Layout,
    /// Nothing may be written to it.
    pub read_only: bool,
    /// A signature that is trusted is good.
    pub may_be_signed: bool,
    /// So is none, or one that nobody trusts.
    pub may_be_unsigned: bool,
}

/// An encrypted partition to be opened: what it holds is seen only then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locked {
    /// Where, below the image's root.
    pub at: &'static str,
    /// As mount options call it.
    pub designator: Designator,
    /// Where it lies.
    pub extent: Extent,
    /// Nothing may be written to it.
    pub read_only: bool,
    /// Changes to it are found.
    pub has_integrity: bool,
    what: &'static str,
    allowed: Allowed,
}

impl Locked {
    /// Whether the policy lets it hold such a file system.
    ///
    /// # Errors
    /// Where not.
    pub fn admits(&self, kind: FileSystem) -> Result<(), ChoiceError> {
        kind_is_allowed(kind, self.allowed, self.what)
    }
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chosen {
    /// A file system.
    Open(Choice),
    /// What must be opened with a key first.
    Locked(Locked),
}

impl Chosen {
    fn at(&self) -> &'static str {
        match self {
            Chosen::Open(choice) => choice.at,
            Chosen::Locked(locked) => locked.at,
        }
    }

    /// Whether it can be written to; of what is locked, nobody knows.
    #[must_use]
    pub fn is_changeable(&self) -> bool {
        match self {
            Chosen::Open(choice) => choice.layout.file_system.is_writable(),
            Chosen::Locked(_) => true,
        }
    }

    /// Whether nothing may be written to it.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        match self {
            Chosen::Open(choice) => choice.read_only,
            Chosen::Locked(locked) => locked.read_only,
        }
    }
}

/// Why nothing of an image is mounted.
#[derive(Debug, thiserror::Error)]
pub enum ChoiceError {
    /// It is not as it says.
    #[error(transparent)]
    Dissect(#[from] DissectError),
    /// Nothing is left to be mounted.
    #[error(
        "the image has no root and no /usr partition for this processor that its policy lets be used"
    )]
    Nothing,
    /// The policy forbids it.
    #[error("the image policy does not allow it: the {what} {is}")]
    Policy {
        /// Of what.
        what: &'static str,
        /// How it is.
        is: &'static str,
    },
    /// A root hash was given, and there are no hashes below it.
    #[error("a root hash is given for the {what}, but there is no verity data for it")]
    NoVerity {
        /// Of what.
        what: &'static str,
    },
    /// Another root hash was given than the image says of itself.
    #[error("the root hash is to be {wanted}, the partitions are named after {named}")]
    OtherHash {
        /// Given.
        wanted: RootHash,
        /// The image's.
        named: RootHash,
    },
    /// A file with verity data was named for an image that has partitions.
    #[error(
        "RootVerity= is for an image that is one file system: this one has partitions, and its verity data among them"
    )]
    AsideOfPartitions,
    /// Encrypted, and allowed to be.
    #[error("the {what} is encrypted, and can't be opened: {why}")]
    Encrypted {
        /// Which.
        what: &'static str,
        /// In words.
        why: String,
    },
}

/// Chooses what is mounted.
///
/// # Errors
/// Where the image is not what the policy wants.
pub fn choose(disk: &Disk, wish: &Wish<'_>) -> Result<Vec<Chosen>, ChoiceError> {
    if disk.shape != Shape::Bare && wish.root.verity_aside_bytes.is_some() {
        return Err(ChoiceError::AsideOfPartitions);
    }
    let nothing = Known::default();
    let mut choices = Vec::new();
    // A file system without a table has nothing beside it.
    let is_bare = disk.shape == Shape::Bare;
    for (purpose, at) in PLACES {
        if is_bare && purpose != Purpose::Root {
            continue;
        }
        let known = match purpose {
            Purpose::Root => &wish.root,
            Purpose::Usr => &wish.usr,
            _ => &nothing,
        };
        choices.extend(choose_one(disk, wish.policy, purpose, at, known)?);
    }
    for purpose in BYSTANDERS.into_iter().filter(|_| !is_bare) {
        bystander(disk, wish, purpose)?;
    }
    if choices
        .iter()
        .any(|choice| matches!(choice.at(), "/" | "/usr"))
    {
        return Ok(choices);
    }
    match &disk.others {
        Some(others) => Err(DissectError::NoRoot {
            others: Some(others.clone()),
        }
        .into()),
        None => Err(ChoiceError::Nothing),
    }
}

/// What is never mounted here itself.
const BYSTANDERS: [Purpose; 7] = [
    Purpose::Esp,
    Purpose::Xbootldr,
    Purpose::Swap,
    Purpose::Verity,
    Purpose::UsrVerity,
    Purpose::Signature,
    Purpose::UsrSignature,
];

/// It must still be there, or not, as the policy has it.
fn bystander(disk: &Disk, wish: &Wish<'_>, purpose: Purpose) -> Result<(), ChoiceError> {
    let Some(designator) = purpose.designator() else {
        return Ok(());
    };
    let allowed = wish.policy.allows(designator);
    let what = purpose.partition_in_words();
    let forbidden = |is| Err(ChoiceError::Policy { what, is });
    match disk.has(purpose) {
        true if !allowed.may_use() && !allowed.has(Allowed::UNUSED) => {
            forbidden("must not be there")
        }
        false if !allowed.has(Allowed::ABSENT) && !is_aside(wish, purpose) => {
            forbidden("is not there")
        }
        _ => Ok(()),
    }
}

/// Whether what protects a file system came beside the image.
fn is_aside(wish: &Wish<'_>, purpose: Purpose) -> bool {
    match purpose {
        Purpose::Verity => wish.root.verity_aside_bytes.is_some(),
        Purpose::Signature => wish.root.signature.is_some(),
        Purpose::UsrVerity => wish.usr.verity_aside_bytes.is_some(),
        Purpose::UsrSignature => wish.usr.signature.is_some(),
        _ => false,
    }
}

fn choose_one(
    disk: &Disk,
    policy: &ImagePolicy,
    purpose: Purpose,
    at: &'static str,
    known: &Known,
) -> Result<Option<Chosen>, ChoiceError> {
    let Some(designator) = purpose.designator() else {
        return Ok(None);
    };
    let what = purpose.partition_in_words();
    let forbidden = |is| Err(ChoiceError::Policy { what, is });
    let allowed = policy.allows(designator);
    let id = known.root_hash.map(|hash| hash.partition_ids().0);
    let Some(part) = chosen(disk, purpose, id)? else {
        return match (allowed.has(Allowed::ABSENT), known.root_hash) {
            (false, _) => forbidden("is not there"),
            (true, Some(_)) if purpose == Purpose::Root => Err(ChoiceError::NoVerity { what }),
            (true, _) => Ok(None),
        };
    };
    let is_unused = allowed.has(Allowed::UNUSED);
    if part.content == Some(Content::Foreign(Foreign::Luks)) {
        let locked = locked(part, allowed, known)?;
        return Ok(locked.map(|(read_only, has_integrity)| {
            Chosen::Locked(Locked {
                at,
                designator,
                extent: part.extent,
                read_only,
                has_integrity,
                what,
                allowed,
            })
        }));
    }
    let uses = Allowed::SIGNED
        .and(Allowed::VERITY)
        .and(Allowed::UNPROTECTED);
    if !allowed.has_any(uses) {
        return match is_unused {
            true => Ok(None),
            false
                if allowed.has(Allowed::ENCRYPTED)
                    || allowed.has(Allowed::ENCRYPTED_WITH_INTEGRITY) =>
            {
                forbidden("is not encrypted")
            }
            false => forbidden("must not be there"),
        };
    }
    let layout = protected(disk, part, policy, known)?;
    let has_verity = layout.verity.is_some() && layout.root_hash.is_some();
    let may_be_signed = has_verity && layout.signature.is_some() && allowed.has(Allowed::SIGNED);
    let is_as_good =
        allowed.has(Allowed::UNPROTECTED) || has_verity && allowed.has(Allowed::VERITY);
    let may_be_unsigned = is_as_good && !known.must_be_signed;
    match (may_be_signed || may_be_unsigned, is_unused, has_verity) {
        (true, ..) => {}
        (false, true, _) => return Ok(None),
        (false, false, true) => return forbidden("is not signed"),
        (false, false, false) => return forbidden("has no verity data"),
    }
    kind_is_allowed(layout.file_system, allowed, what)?;
    flags_are_allowed(part, allowed, what)?;
    let is_checked = has_verity && (allowed.has(Allowed::SIGNED) || allowed.has(Allowed::VERITY));
    Ok(Some(Chosen::Open(Choice {
        at,
        designator,
        read_only: part.read_only || is_checked || has_verity || !layout.file_system.is_writable(),
        layout,
        may_be_signed,
        may_be_unsigned,
    })))
}

/// Whether an encrypted partition is opened; then whether only to be read, and whether changes to it are found.
fn locked(
    part: &Part,
    allowed: Allowed,
    known: &Known,
) -> Result<Option<(bool, bool)>, ChoiceError> {
    let what = part.purpose.partition_in_words();
    let (plain, with_integrity) = (
        allowed.has(Allowed::ENCRYPTED),
        allowed.has(Allowed::ENCRYPTED_WITH_INTEGRITY),
    );
    let unused = |is| match allowed.has(Allowed::UNUSED) {
        true => Ok(None),
        false => Err(ChoiceError::Policy { what, is }),
    };
    if !plain && !with_integrity {
        return unused("is encrypted");
    }
    let header = match &part.encryption {
        Some(Encryption::Luks2(header)) => header,
        Some(Encryption::Refused(why)) => {
            let why = why.clone();
            return Err(ChoiceError::Encrypted { what, why });
        }
        None => {
            let why = "nothing is known of its header".to_owned();
            return Err(ChoiceError::Encrypted { what, why });
        }
    };
    if !plain && !header.has_integrity {
        return unused("is encrypted without integrity");
    }
    if known.root_hash.is_some() || known.must_be_signed {
        return Err(ChoiceError::NoVerity { what });
    }
    flags_are_allowed(part, allowed, what)?;
    Ok(Some((part.read_only, header.has_integrity)))
}

/// A partition with what protects it, from the image as far as the policy lets that be used, or beside it.
fn protected(
    disk: &Disk,
    part: &Part,
    policy: &ImagePolicy,
    known: &Known,
) -> Result<Layout, ChoiceError> {
    let mut layout = layout(disk, part, known.root_hash)?;
    let what = part.purpose.partition_in_words();
    let protection = PROTECTED.iter().find(|(data, ..)| *data == part.purpose);
    if let Some((_, verity, signature)) = protection {
        let may_use = |purpose: &Purpose| {
            let designator = purpose.designator();
            designator.is_some_and(|designator| policy.allows(designator).may_use())
        };
        if !may_use(verity) {
            (layout.verity, layout.root_hash) = (None, None);
        }
        if !may_use(signature) {
            layout.signature = None;
        }
    }
    if let Some(length) = known.verity_aside_bytes {
        layout.verity = Some(Extent { offset: 0, length });
        layout.verity_aside = true;
    }
    if let Some(wanted) = known.root_hash {
        match layout.root_hash {
            Some(named) if named != wanted => return Err(ChoiceError::OtherHash { wanted, named }),
            _ if layout.verity.is_none() => return Err(ChoiceError::NoVerity { what }),
            _ => layout.root_hash = Some(wanted),
        }
    }
    if layout.verity_aside && layout.root_hash.is_none() {
        // Nothing says what the hashes are to be.
        layout.verity = None;
        layout.verity_aside = false;
    }
    if let (Some(der), Some(hash)) = (&known.signature, layout.root_hash) {
        layout.signature = Some(signature::bare_envelope(hash, der));
    }
    Ok(layout)
}

fn kind_is_allowed(
    kind: FileSystem,
    allowed: Allowed,
    what: &'static str,
) -> Result<(), ChoiceError> {
    match allowed.has_kind(kind.name()) {
        true => Ok(()),
        false => Err(ChoiceError::Policy {
            what,
            is: "holds a file system of another kind",
        }),
    }
}

fn flags_are_allowed(part: &Part, allowed: Allowed, what: &'static str) -> Result<(), ChoiceError> {
    let forbidden = |is| Err(ChoiceError::Policy { what, is });
    let read_only = if part.read_only {
        Allowed::READ_ONLY
    } else {
        Allowed::WRITABLE
    };
    let grows = if part.grows {
        Allowed::GROWS
    } else {
        Allowed::STAYS
    };
    match (allowed.has(read_only), allowed.has(grows)) {
        (true, true) => Ok(()),
        (false, _) if part.read_only => forbidden("is marked read-only"),
        (false, _) => forbidden("is not marked read-only"),
        (true, false) if part.grows => forbidden("is marked as one that grows"),
        (true, false) => forbidden("is not marked as one that grows"),
    }
}

#[cfg(test)]
mod tests;
