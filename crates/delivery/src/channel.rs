//! The index beside a portable's images: which versions there are, and what a host holds it against before it believes it.
//!
//! Who signed an index is the image crate's to say. Here is what a signature can't say: whether this is the newest index, and
//! whether all of it belongs together. Pure: the clock and what is remembered are handed in.

use std::collections::BTreeSet;

use model::version::compare;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::registry::{Reference, Wanted, is_reference};

/// Most versions in an index: twenty years of monthly ones.
pub const VERSIONS_MAX: usize = 256;
/// Most patches of a version.
const PATCHES_MAX: usize = 16;
/// Longest version, file name or name of an architecture.
const WORD_MAX_BYTES: usize = 200;
/// Largest file that an index may announce: far beyond what is an image, and still a number that sums don't overflow with.
const FILE_MAX_BYTES: u64 = 1 << 50;
/// How far a clock may be behind that of who made the index.
const CLOCK_SKEW_S: u64 = 24 * 3600;

/// What an index says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// Grows with each index under the same name.
    pub serial: u64,
    /// When it was made, seconds since the epoch.
    pub issued: u64,
    /// Until when it counts: its maker makes a new one before, even if nothing is new.
    pub expires: u64,
    /// Versions below this one are not to be installed any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<String>,
    /// All that are offered.
    pub versions: Vec<Release>,
}

/// One version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// As os-release inside of the image has it.
    pub version: String,
    /// When it was published, seconds since the epoch.
    pub released: u64,
    /// The image.
    pub image: Part,
    /// The same compressed, as one file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compressed: Option<Part>,
    /// The list of the chunks that it is made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunks: Option<Part>,
    /// These chunks, each compressed, in one file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pack: Option<Part>,
    /// What makes it of other versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub patches: Vec<Patch>,
    /// What a host must be.
    #[serde(default, skip_serializing_if = "Needs::is_nothing")]
    pub needs: Needs,
}

/// What makes an image of another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patch {
    /// The digest of that other image.
    pub from: Digest,
    /// The patch.
    #[serde(flatten)]
    pub part: Part,
}

/// A file beside the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its name: no path.
    pub file: String,
    /// What it has to be.
    pub digest: Digest,
    /// How large that is.
    pub bytes: u64,
}

/// What a host must be for a version; what is not said is not needed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Needs {
    /// Its architecture, as ConditionArchitecture= has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// The oldest kernel that will do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
}

impl Needs {
    fn is_nothing(&self) -> bool {
        *self == Needs::default()
    }

    /// Why a host is none of these, if it is not.
    fn lacking(&self, host: &Host) -> Option<String> {
        if let Some(wanted) = self.architecture.as_ref()
            && *wanted != host.architecture
        {
            let own = &host.architecture;
            return Some(format!("it is for {wanted}, and this host is {own}"));
        }
        let wanted = self.kernel.as_ref()?;
        compare(&host.kernel, wanted)
            .is_lt()
            .then(|| format!("it needs Linux {wanted}, and this host has {}", host.kernel))
    }
}

/// What a host is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// As ConditionArchitecture= has it.
    pub architecture: String,
    /// As uname(2) has it.
    pub kernel: String,
}

/// What is remembered of the last index under a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Who signed it: what another maker's said says nothing of this one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<Digest>,
    /// Its serial.
    pub serial: u64,
    /// The digest of what was signed.
    pub digest: Digest,
    /// Its floor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<String>,
    /// The fingerprints of keys that are one maker's, each followed by another one by its own word.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lineage: Vec<Digest>,
    /// The certificates, in hexadecimal digits, of those that came after another one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub successors: Vec<String>,
}

impl Seen {
    /// Whether two keys are one maker's, by its own word.
    #[must_use]
    pub fn is_one_maker(&self, one: &Digest, other: &Digest) -> bool {
        self.lineage.contains(one) && self.lineage.contains(other)
    }
}

/// Why an index is not believed although its signature is good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It can't be read.
    #[error("the channel index can't be read: {why}")]
    Form {
        /// Why not.
        why: String,
    },
    /// It says nothing that can be kept to.
    #[error("the channel index contradicts itself: {what}")]
    Contradiction {
        /// In what.
        what: String,
    },
    /// It is about another portable.
    #[error(
        "the channel index is about {found}, not {expected}: files of several channels are mixed"
    )]
    OtherName {
        /// Whom it is about.
        found: String,
        /// Whom it should be about.
        expected: String,
    },
    /// Made in the future.
    #[error(
        "the channel index was made on {issued}, and this machine's clock says {now}: one of the two clocks is wrong"
    )]
    Early {
        /// When it was made.
        issued: Moment,
        /// When it is.
        now: Moment,
    },
    /// No newer one came in time.
    #[error(
        "the channel index expired on {expires}, and this machine's clock says {now}: its maker has not renewed it, somebody holds the newer one back, or the clock is wrong"
    )]
    Expired {
        /// When.
        expires: Moment,
        /// When it is.
        now: Moment,
    },
    /// An older one than was seen.
    #[error(
        "the channel index has serial {found}, and {seen} was seen before: an old one is served again"
    )]
    RolledBack {
        /// Its serial.
        found: u64,
        /// The one seen.
        seen: u64,
    },
    /// Two of the same serial.
    #[error(
        "there are two channel indexes with serial {serial}: somebody is served another one than others are"
    )]
    Forked {
        /// Their serial.
        serial: u64,
    },
    /// A floor that sinks.
    #[error(
        "the channel index has the floor {found}, and {seen} was said before: a floor never sinks"
    )]
    FloorSinks {
        /// Its floor.
        found: String,
        /// The one seen.
        seen: String,
    },
}

/// Seconds since the epoch, printed as a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment(pub u64);

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let second = i64::try_from(self.0).ok();
        let moment = second.and_then(|second| jiff::Timestamp::from_second(second).ok());
        match moment {
            Some(moment) => write!(f, "{}", moment.strftime("%Y-%m-%d %H:%M UTC")),
            // No year has so many digits.
            None => write!(f, "@{}", self.0),
        }
    }
}

impl Index {
    /// Reads the body of an index.
    ///
    /// # Errors
    /// [`Refused::Form`] and [`Refused::Contradiction`].
    pub fn parse(body: &str) -> Result<Index, Refused> {
        let index: Index = serde_json::from_str(body).map_err(|error| Refused::Form {
            why: error.to_string(),
        })?;
        index.check().map(|()| index)
    }

    /// The body of an index.
    #[must_use]
    pub fn print(&self) -> String {
        // Numbers and strings can't fail to be written.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    fn check(&self) -> Result<(), Refused> {
        let wrong = |what: String| Err(Refused::Contradiction { what });
        if self.versions.len() > VERSIONS_MAX {
            return wrong(format!("it has more than {VERSIONS_MAX} versions"));
        }
        if self.expires <= self.issued {
            return wrong("it expires before it was made".to_owned());
        }
        let words = self.versions.iter().flat_map(Release::words);
        let is_word = |word: &&str| {
            !word.is_empty()
                && word.len() <= WORD_MAX_BYTES
                && word.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if let Some(word) = words
            .chain(self.floor.as_deref())
            .find(|word| !is_word(word))
        {
            let word: String = word.chars().take(WORD_MAX_BYTES).collect();
            return wrong(format!("{word:?} is neither version nor name"));
        }
        let mut known = BTreeSet::new();
        for release in &self.versions {
            if !known.insert(release.version.as_str()) {
                return wrong(format!("it has {} twice", release.version));
            }
            if release.patches.len() > PATCHES_MAX {
                return wrong(format!(
                    "{} has more than {PATCHES_MAX} patches",
                    release.version
                ));
            }
            for part in release.parts() {
                if part.file.contains('/') || part.file.starts_with('.') {
                    return wrong(format!("{:?} is no file beside it", part.file));
                }
                if part.bytes > FILE_MAX_BYTES {
                    return wrong(format!("{} has {} bytes", part.file, part.bytes));
                }
            }
        }
        Ok(())
    }

    /// Holds an index against the portable that it should be about, what was seen before, and the clock.
    ///
    /// # Errors
    /// The first reason not to believe it.
    pub fn judge(
        &self,
        (found, expected): (&str, &str),
        (digest, seen): (&Digest, Option<&Seen>),
        now_s: u64,
    ) -> Result<(), Refused> {
        if found != expected {
            return Err(Refused::OtherName {
                found: found.to_owned(),
                expected: expected.to_owned(),
            });
        }
        if let Some(seen) = seen {
            self.judge_history(digest, seen)?;
        }
        let now = Moment(now_s);
        if self.issued > now_s.saturating_add(CLOCK_SKEW_S) {
            let issued = Moment(self.issued);
            return Err(Refused::Early { issued, now });
        }
        if self.expires < now_s {
            let expires = Moment(self.expires);
            return Err(Refused::Expired { expires, now });
        }
        Ok(())
    }

    fn judge_history(&self, digest: &Digest, seen: &Seen) -> Result<(), Refused> {
        if self.serial < seen.serial {
            return Err(Refused::RolledBack {
                found: self.serial,
                seen: seen.serial,
            });
        }
        if self.serial == seen.serial && *digest != seen.digest {
            return Err(Refused::Forked {
                serial: self.serial,
            });
        }
        let floor = self.floor.as_deref().unwrap_or_default();
        let was = seen.floor.as_deref().unwrap_or_default();
        if compare(floor, was).is_lt() {
            return Err(Refused::FloorSinks {
                found: floor.to_owned(),
                seen: was.to_owned(),
            });
        }
        Ok(())
    }

    /// The newest version that this host can have, and those newer ones that it can't, with the reason; the newest first.
    #[must_use]
    pub fn newest(&self, host: &Host) -> (Option<&Release>, Vec<(&Release, String)>) {
        let mut offered: Vec<&Release> = self.versions.iter().collect();
        offered.sort_by(|a, b| compare(&b.version, &a.version));
        let mut passed = Vec::new();
        for release in offered {
            let below = self
                .floor
                .as_ref()
                .filter(|floor| compare(&release.version, floor).is_lt());
            let reason = match below {
                Some(floor) => Some(format!("it is below the floor, {floor}")),
                None => release.needs.lacking(host),
            };
            match reason {
                None => return (Some(release), passed),
                Some(reason) => passed.push((release, reason)),
            }
        }
        (None, passed)
    }

    /// Adds a version, or replaces the one of the same number by the same image published again.
    ///
    /// # Errors
    /// Where the same version is another image: hosts that have it would never get this one; or where it is below the floor.
    pub fn add(&mut self, release: Release) -> Result<(), Refused> {
        let wrong = |what: String| Err(Refused::Contradiction { what });
        let version = &release.version;
        if let Some(floor) = self
            .floor
            .as_ref()
            .filter(|floor| compare(version, floor).is_lt())
        {
            return wrong(format!("{version} is below the floor, {floor}"));
        }
        match self
            .versions
            .iter_mut()
            .find(|known| known.version == *version)
        {
            Some(known) if known.image.digest != release.image.digest => {
                let digest = known.image.digest;
                return wrong(format!("{version} was published before and is {digest}"));
            }
            Some(known) => {
                let released = known.released;
                *known = Release {
                    released,
                    ..release
                };
            }
            None => self.versions.push(release),
        }
        self.versions
            .sort_by(|a, b| compare(&b.version, &a.version));
        self.check()
    }
}

impl Release {
    /// The files that it names.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        let more = self.compressed.iter().chain(&self.chunks).chain(&self.pack);
        let patches = self.patches.iter().map(|patch| &patch.part);
        std::iter::once(&self.image).chain(more).chain(patches)
    }

    fn words(&self) -> impl Iterator<Item = &str> {
        let files = self.parts().map(|part| part.file.as_str());
        let needs = [&self.needs.architecture, &self.needs.kernel];
        let needs = needs.into_iter().flatten().map(String::as_str);
        files.chain(needs).chain([self.version.as_str()])
    }
}

/// Where the index of a portable lies that came from an address: beside the image, under the portable's name.
#[must_use]
pub fn address(origin: &str, name: &str) -> Option<String> {
    if is_reference(origin) {
        let reference = Reference::parse(origin).ok()?;
        // What is named by its digest has no successor.
        return (!reference.is_pinned()).then(|| reference.with(Wanted::Channel));
    }
    Some(format!("{}{name}.channel", folder(origin)?))
}

/// Where a file lies that the index at this address names.
#[must_use]
pub fn beside(index: &str, file: &str) -> Option<String> {
    Some(format!("{}{file}", folder(index)?))
}

/// The same of a part, which has its place in a registry by its digest.
#[must_use]
pub fn place_of(index: &str, part: &Part) -> Option<String> {
    if is_reference(index) {
        let reference = Reference::parse(index).ok()?;
        return Some(reference.with(Wanted::Blob(part.digest)));
    }
    beside(index, &part.file)
}

/// An address without its query, up to its last slash.
fn folder(address: &str) -> Option<&str> {
    let plain = address.split(['?', '#']).next().unwrap_or(address);
    let start = plain.find("://")? + 3;
    let end = plain.get(start..)?.rfind('/')?;
    plain.get(..=start + end)
}

#[cfg(test)]
mod tests;
