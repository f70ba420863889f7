//! What is recorded of a portable, and what of it the administrator chose.

use anyhow::{Context as _, Result};
use delivery::channel::Seen;
use delivery::grants::Grants;
use delivery::portables::{Portable, Signer, Version};
use load::portable::{PROFILE_NAMES, PortableName, Profile, Review};

use super::Taken;
use super::admit::{Admitted, Root};
use crate::failure::hint;

/// Who signed, as it is recorded. A fingerprint that is none must not make the portable one that nobody signed.
pub(crate) fn signer(signer: Option<&image::signature::Signer>) -> Result<Option<Signer>> {
    let signed = signer.map(|signer| {
        Ok(Signer {
            fingerprint: signer
                .fingerprint
                .parse()
                .context("the signer has no fingerprint")?,
            name: signer.common_name.clone(),
            issuer: signer.issuer.as_deref().map(str::parse).transpose()?,
            key: (!signer.key.is_empty())
                .then(|| signer.key.parse())
                .transpose()?,
            kin: signer
                .kin
                .iter()
                .map(|digest| digest.parse())
                .collect::<Result<_, _>>()?,
        })
    });
    signed.transpose()
}

/// Whether this is what is installed: the same files in the same version.
pub(crate) fn is_current(known: &Portable, admitted: &Admitted) -> bool {
    let current = known.versions.get(&known.current);
    let is_same = |version: &Version| match &admitted.root {
        Root::Image { digest, .. } => version.image == Some(*digest),
        Root::Directory(path) => version.directory.as_ref() == Some(path),
    };
    known.current == admitted.version() && current.is_some_and(is_same)
}

/// Whether what was granted before was granted to the same: the signer, or whom that one handed over to; without one, nothing less than the same files.
pub(crate) fn same_maker(known: &Portable, admitted: &Admitted, signer: Option<&Signer>) -> bool {
    match (&known.signer, signer) {
        (Some(pinned), Some(signer)) => {
            let heirs = |seen: &Seen| seen.is_one_maker(&pinned.fingerprint, &signer.fingerprint);
            pinned.fingerprint == signer.fingerprint || known.channel.as_ref().is_some_and(heirs)
        }
        (None, None) => known.versions.values().any(|version| match &admitted.root {
            Root::Image { digest, .. } => version.image == Some(*digest),
            Root::Directory(path) => version.directory.as_ref() == Some(path),
        }),
        _ => false,
    }
}

/// What was seen of a channel, where it is that of who signed.
pub(crate) fn of_signer(seen: Option<Seen>, signer: Option<&Signer>) -> Option<Seen> {
    let own = signer.map(|signer| signer.fingerprint);
    seen.filter(|seen| {
        let both = seen.signer.as_ref().zip(own.as_ref());
        both.is_some_and(|(one, other)| one == other || seen.is_one_maker(one, other))
    })
}

/// Forgets what the administrator chose of a portable for its former maker: another one gets neither secrets nor a wider sandbox
/// by that. Says what is gone, and how it is said again.
pub(crate) fn forget_choices(portable: &mut Portable) -> Option<String> {
    // What another maker's channel said says nothing of this one's.
    portable.channel = None;
    let mut gone = Vec::new();
    let profile = std::mem::take(&mut portable.profile);
    if !profile.is_empty() {
        gone.push(format!(
            "the profile {profile} (again: `--profile {profile}`)"
        ));
    }
    let extensions = std::mem::take(&mut portable.extensions);
    if !extensions.is_empty() {
        let files = extensions.iter().map(|extension| extension.file.as_str());
        let files = files.collect::<Vec<_>>().join(", ");
        gone.push(format!("what extends it: {files} (again: `--extension`)"));
    }
    let settings = std::mem::take(&mut portable.settings);
    let all = settings.iter();
    let words = all.flat_map(|(kind, values)| {
        let quoted = move |value: &String| format!("--{kind}='{}'", value.replace('\'', r"'\''"));
        values.iter().map(quoted)
    });
    let words = words.collect::<Vec<_>>().join(" ");
    if !words.is_empty() {
        gone.push(format!(
            "its settings (again: `coracle configure {} {words}`)",
            portable.name
        ));
    }
    (!gone.is_empty()).then(|| {
        format!(
            "{} has another maker than before; what was chosen for that one counts no longer: {}",
            portable.name,
            gone.join("; ")
        )
    })
}

/// What somebody else had before stays theirs, also where the portable may use it.
pub(crate) fn own_directories(review: &Review, taken: &Taken<'_>) -> Vec<String> {
    let claims = review.claims.iter().map(|claim| &claim.directory);
    claims
        .filter(|directory| !taken.has(directory))
        .cloned()
        .collect()
}

/// What the administrator says of a portable on the command line, beside grants.
#[derive(Debug, Clone, Default)]
pub(crate) struct Choices {
    /// `--profile`.
    pub(crate) profile: Option<String>,
    /// `--runtime`, or that it is attached for good; none: as it was.
    pub(crate) runtime: Option<bool>,
    /// Which units; none: as it was.
    pub(crate) prefixes: Option<Vec<String>>,
    /// What is laid over its root; none: as it was.
    pub(crate) extensions: Option<Vec<String>>,
    /// Which portable it has to be, where it takes the place of one.
    pub(crate) must_be: Option<String>,
    /// The version to go back to, until the new one has proven that it works.
    pub(crate) trial: Option<String>,
    /// Whether it is a version that was here: an older one than the highest, with what was granted to it.
    pub(crate) returns: bool,
    /// Whether it was that of a former maker, and is gone back to.
    pub(crate) former_maker: bool,
    /// Whether it stays away where another command has detached it.
    pub(crate) is_attached: bool,
    /// What was seen of the channel of its signer, who was accepted by that.
    pub(crate) seen: Option<Seen>,
}

impl Choices {
    /// What is recorded from now on.
    pub(crate) fn apply(&self, portable: &mut Portable) {
        if let Some(profile) = &self.profile {
            portable.profile = match profile.as_str() {
                "default" => String::new(),
                name => name.to_owned(),
            };
        }
        portable.runtime = self.runtime.unwrap_or(portable.runtime);
        if let Some(prefixes) = &self.prefixes {
            portable.prefixes.clone_from(prefixes);
        }
    }

    /// What was seen of the channel of a maker who was accepted by that is remembered with the first version that this maker signed.
    pub(crate) fn remember(&self, portable: &mut Portable, signer: Option<&Signer>) {
        let is_its = |seen: &&Seen| {
            let own = signer.map(|signer| signer.fingerprint);
            seen.signer.is_some() && seen.signer == own
        };
        if let Some(seen) = self.seen.as_ref().filter(is_its) {
            portable.channel = Some(seen.clone());
        }
    }

    /// What was consented to before: for the version that comes again, where one does, and else for the same maker.
    pub(crate) fn recorded(&self, known: &Portable, version: &str, is_same: bool) -> Grants {
        let of_version = known.versions.get(version).filter(|_| self.returns);
        let of_version = of_version.filter(|_| is_same || self.former_maker);
        let granted = of_version.and_then(|version| version.grants.as_ref());
        let granted = granted.or_else(|| is_same.then_some(&known.grants));
        granted.cloned().unwrap_or_default()
    }

    /// The prefixes that hold, given or recorded.
    pub(crate) fn prefixes<'a>(&'a self, known: Option<&'a Portable>) -> &'a [String] {
        let recorded = || known.map_or(&[][..], |known| &known.prefixes);
        self.prefixes.as_deref().unwrap_or_else(recorded)
    }
}

/// Refuses another portable than the one whose place it is to take.
///
/// # Errors
/// When it is another.
pub(crate) fn check_name(name: &str, must_be: Option<&str>) -> Result<()> {
    match must_be {
        Some(expected) if expected != name => Err(hint(
            format!("this image is of {name}, and {expected} is what is to be replaced"),
            format!("`coracle attach` attaches {name} beside it"),
        )),
        _ => Ok(()),
    }
}

/// The sandbox of a portable by its recorded name.
///
/// # Errors
/// When there is none of this name.
pub(crate) fn profile(name: &str) -> Result<Profile> {
    let name = if name.is_empty() { "default" } else { name };
    Profile::named(name).ok_or_else(|| {
        hint(
            format!("there is no profile {name:?}"),
            format!("profiles are {PROFILE_NAMES}"),
        )
    })
}

/// Leaves of an admitted portable those units that are wanted: of one of these names, or whose names begin so.
///
/// # Errors
/// When there are none.
pub(crate) fn select(admitted: &mut Admitted, prefixes: &[String]) -> Result<()> {
    let name = admitted.name()?.to_owned();
    let there = admitted.contents.units.iter();
    let there: Vec<String> = there.map(|unit| unit.name.clone()).collect();
    let foreign = admitted.contents.foreign_units.clone();
    if there.is_empty() {
        let own = admitted.contents.os_release.prefixes().join(", ");
        let others = match foreign.as_slice() {
            [] => "there are none at all in usr/lib/systemd/system".to_owned(),
            units => format!("there are only {}", first_of(units)),
        };
        return Err(hint(
            format!(
                "the image of {name} has no unit that is its own, and so nothing to attach: {others}"
            ),
            format!(
                "a portable's units are called as its os-release says, {own}, with an ending, or with - or @ and more before it: ask its maker to rename them"
            ),
        ));
    }
    if prefixes.is_empty() {
        return Ok(());
    }
    let wanted = |unit: &str| {
        prefixes
            .iter()
            .any(|prefix| prefix == unit || image::tree::covers(prefix, unit))
    };
    admitted.contents.units.retain(|unit| wanted(&unit.name));
    if admitted.contents.units.is_empty() {
        return Err(hint(
            format!(
                "no unit of {name} is called {}: it has {}",
                prefixes.join(" or "),
                first_of(&there)
            ),
            "name units, or what comes before the last dot, a - or a @ of them; with none all are attached",
        ));
    }
    Ok(())
}

/// Names in a sentence, not more than fit there.
fn first_of(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let shown = names.get(..SHOWN).unwrap_or(names).join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// What is recorded of a portable from now on.
pub(crate) fn record(
    admitted: &Admitted,
    name: &PortableName,
    known: Option<Portable>,
    (grants, own): (delivery::grants::Grants, Vec<String>),
    origin: String,
) -> Portable {
    let version = version(admitted, known.as_ref());
    let mut portable = known.unwrap_or_else(|| Portable::new(name.to_string(), admitted.trust));
    let since_now = own
        .iter()
        .filter(|one| !portable.directories.contains(*one));
    portable
        .marked
        .extend(since_now.cloned().collect::<Vec<_>>());
    portable.directories.extend(own);
    let number = admitted.version().to_owned();
    let version = Version {
        grants: Some(grants.clone()),
        ..version
    };
    portable.versions.insert(number.clone(), version);
    portable.current = number;
    portable.signer = None;
    portable.claimed = None;
    portable.trust = admitted.trust;
    portable.origin = origin;
    portable.grants = grants;
    portable
}

fn version(admitted: &Admitted, known: Option<&Portable>) -> Version {
    let (image, directory, root_hash) = match &admitted.root {
        Root::Image {
            digest, verified, ..
        } => (
            Some(*digest),
            None,
            verified
                .record()
                .root_hash
                .as_ref()
                .map(ToString::to_string),
        ),
        Root::Directory(path) => (None, Some(path.clone()), None),
    };
    let units = admitted.contents.units.iter();
    let now_us = u64::try_from(jiff::Timestamp::now().as_microsecond()).unwrap_or(0);
    let had = known.and_then(|known| known.versions.get(admitted.version()));
    let had = had.filter(|had| (&had.image, &had.directory) == (&image, &directory));
    Version {
        installed_us: had.map_or(now_us, |had| had.installed_us),
        healthy: had.is_some_and(|had| had.healthy),
        taken_back: had.and_then(|had| had.taken_back.clone()),
        grants: None,
        units: units.map(|unit| unit.name.clone()).collect(),
        image,
        directory,
        root_hash,
    }
}
