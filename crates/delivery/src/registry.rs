//! Registries of container images as places of portables: what an `oci://` address names, and the documents that say what lies there. Pure.
//!
//! A version is an artefact: a manifest whose first layer is the image, compressed or not, under its tag and under one that moves. The channel's
//! index, which its maker signs, refers to that manifest (the referrers convention), and names all versions by digests that are blobs of
//! the same repository.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// What an address begins with.
pub const SCHEME: &str = "oci://";

/// The artefact that is a portable, its layers, and the artefact that is a channel's index.
pub const PORTABLE_TYPE: &str = "application/vnd.coracle.portable.v1";
/// An image as it is.
pub const IMAGE_TYPE: &str = "application/vnd.coracle.image.v1";
/// An image, compressed.
pub const IMAGE_ZSTD_TYPE: &str = "application/vnd.coracle.image.v1+zstd";
/// The index of a channel with its signatures; as an artefact and as its layer.
pub const CHANNEL_TYPE: &str = "application/vnd.coracle.channel.v1";
/// How both are written down.
pub const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
/// A list of manifests.
pub const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";
/// Configuration of what has none.
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
/// That configuration.
pub const EMPTY: &[u8] = b"{}";

/// Largest document, in bytes: what registries take.
pub const DOCUMENT_MAX_BYTES: u64 = 4 << 20;

/// The annotation that has a channel's serial: only a hint which of several is the newest, as the index itself has it, signed.
const SERIAL: &str = "org.coracle.serial";

/// Longest tag and repository, as the specification of distribution has them.
const TAG_MAX_BYTES: usize = 128;
const REPOSITORY_MAX_BYTES: usize = 255;

/// What is behind an address, or asked for there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The image of a portable.
    Image,
    /// The index of its channel.
    Channel,
    /// A blob.
    Blob(Digest),
}

/// An `oci://` address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    authority: String,
    repository: String,
    /// The tag or the digest.
    pub pointer: String,
    /// What of it.
    pub wanted: Wanted,
}

/// Why an address is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no place in a registry: {why}")]
pub struct ReferenceError {
    text: String,
    why: &'static str,
}

/// Whether an address is one of a registry.
#[must_use]
pub fn is_reference(address: &str) -> bool {
    address.starts_with(SCHEME)
}

impl Reference {
    /// `oci://HOST[:PORT]/NAME[:TAG|@DIGEST]`, and what of it is meant behind a `#`.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Reference, ReferenceError> {
        let wrong = |why| ReferenceError {
            text: text.chars().take(200).collect(),
            why,
        };
        let rest = text.strip_prefix(SCHEME);
        let rest = rest.ok_or_else(|| wrong("it does not begin with oci://"))?;
        let (rest, wanted) = match rest.split_once('#') {
            None => (rest, Wanted::Image),
            Some((rest, "channel")) => (rest, Wanted::Channel),
            Some((rest, blob)) => {
                let digest = blob
                    .strip_prefix("blob=")
                    .and_then(|text| text.parse().ok());
                let digest = digest.ok_or_else(|| wrong("what is behind the # is not known"))?;
                (rest, Wanted::Blob(digest))
            }
        };
        let (authority, path) = rest.split_once('/').ok_or_else(|| {
            wrong("it is oci://HOST[:PORT]/NAME[:TAG] or oci://HOST[:PORT]/NAME@sha256:…")
        })?;
        if authority.contains('@') {
            return Err(ReferenceError {
                text: SCHEME.to_owned(),
                why: "a name or password in an address would end in logs",
            });
        }
        let (repository, pointer) = match path.split_once('@') {
            Some((repository, digest)) => {
                let is_digest = digest.parse::<Digest>().is_ok() && digest.starts_with("sha256:");
                let pointer = is_digest.then(|| digest.to_owned());
                (
                    repository,
                    pointer.ok_or_else(|| wrong("behind the @ is no sha256:…"))?,
                )
            }
            None => path
                .split_once(':')
                .map_or((path, "latest".to_owned()), |(path, tag)| {
                    (path, tag.to_owned())
                }),
        };
        let is_tag = is_tag(&pointer) || pointer.starts_with("sha256:");
        match () {
            () if !is_authority(authority) => Err(wrong("it names no host")),
            () if !is_repository(repository) => Err(wrong(
                "its name is not of small letters, digits and . _ - between slashes",
            )),
            () if !is_tag => Err(wrong("its tag is not of letters, digits and . _ -")),
            () => Ok(Reference {
                authority: authority.to_owned(),
                repository: repository.to_owned(),
                pointer,
                wanted,
            }),
        }
    }

    /// Whether it names one version for good.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        self.pointer.starts_with("sha256:")
    }

    /// The address of this part of the interface: https, but on this machine, where registries speak http as a rule.
    #[must_use]
    pub fn url(&self, rest: &str, is_encrypted: bool) -> String {
        let host =
            self.authority
                .rsplit_once(':')
                .map_or(self.authority.as_str(), |(host, port)| {
                    match port.bytes().all(|byte| byte.is_ascii_digit()) {
                        true => host,
                        false => &self.authority,
                    }
                });
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let address: Result<std::net::IpAddr, _> = bare.parse();
        let is_here = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
        let scheme = if is_here && !is_encrypted {
            "http"
        } else {
            "https"
        };
        let (authority, repository) = (&self.authority, &self.repository);
        format!("{scheme}://{authority}/v2/{repository}/{rest}")
    }

    /// The same in a mirror, whose interface has the manifest at this address; none where that is no registry's, or one that is
    /// asked by http and is not on this machine.
    #[must_use]
    pub fn at_mirror(&self, manifest: &str) -> Option<Reference> {
        let rest = ["https://", "http://"]
            .iter()
            .find_map(|scheme| manifest.strip_prefix(scheme))?;
        let (authority, rest) = rest.split_once("/v2/")?;
        let own = format!("manifests/{}", self.pointer);
        let repository = rest.strip_suffix(&own)?.strip_suffix('/')?;
        let mirror = Reference {
            authority: authority.to_owned(),
            repository: repository.to_owned(),
            ..self.clone()
        };
        let is_asked_so = |is_encrypted| mirror.url(&own, is_encrypted) == manifest;
        let is_one = is_authority(authority) && is_repository(repository);
        (is_one && (is_asked_so(false) || is_asked_so(true))).then_some(mirror)
    }

    /// The whole address, with what of the place is in mind.
    #[must_use]
    pub fn address(&self) -> String {
        self.with(self.wanted.clone())
    }

    /// The same place with another part of it in mind.
    #[must_use]
    pub fn with(&self, wanted: Wanted) -> String {
        let (authority, repository, pointer) = (&self.authority, &self.repository, &self.pointer);
        let mark = if self.is_pinned() { '@' } else { ':' };
        let rest = match wanted {
            Wanted::Image => String::new(),
            Wanted::Channel => "#channel".to_owned(),
            Wanted::Blob(digest) => format!("#blob={digest}"),
        };
        format!("{SCHEME}{authority}/{repository}{mark}{pointer}{rest}")
    }
}

fn is_authority(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
    !text.is_empty()
        && text.bytes().all(plain)
        && text.parse::<ureq::http::uri::Authority>().is_ok()
}

fn is_repository(text: &str) -> bool {
    let is_part = |part: &str| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let any = |byte: u8| plain(byte) || b"._-".contains(&byte);
        part.bytes().all(any)
            && part.bytes().next().is_some_and(plain)
            && part.bytes().last().is_some_and(plain)
            && !part.contains("..")
    };
    text.len() <= REPOSITORY_MAX_BYTES && text.split('/').all(is_part)
}

/// Whether a text can be a tag.
#[must_use]
pub fn is_tag(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    text.len() <= TAG_MAX_BYTES
        && !text.is_empty()
        && text.bytes().all(plain)
        && !text.starts_with(['.', '-'])
}

/// The tag under which a registry that knows no referrers has the list of them.
#[must_use]
pub fn referrers_tag(digest: &Digest) -> String {
    format!("sha256-{}", digest.hex())
}

/// A part, as documents name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its size.
    pub size: u64,
    /// Which artefact it is, of a manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Words of its maker's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<std::collections::BTreeMap<String, String>>,
}

impl Descriptor {
    fn plain(media_type: &str, digest: Digest, size: u64) -> Descriptor {
        Descriptor {
            media_type: media_type.to_owned(),
            digest,
            size,
            artifact_type: None,
            annotations: None,
        }
    }

    fn serial(&self) -> u64 {
        let said = self.annotations.as_ref().and_then(|all| all.get(SERIAL));
        said.and_then(|text| text.parse().ok()).unwrap_or_default()
    }
}

/// An artefact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    schema_version: u32,
    #[serde(default)]
    media_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    artifact_type: Option<String>,
    config: Descriptor,
    #[serde(default)]
    layers: Vec<Descriptor>,
    /// What it refers to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    annotations: Option<std::collections::BTreeMap<String, String>>,
}

impl Manifest {
    fn new(kind: &str, layers: Vec<Descriptor>) -> Manifest {
        Manifest {
            schema_version: 2,
            media_type: MANIFEST_TYPE.to_owned(),
            artifact_type: Some(kind.to_owned()),
            config: Descriptor::plain(EMPTY_TYPE, Digest::of(EMPTY), EMPTY.len() as u64),
            layers,
            subject: None,
            annotations: None,
        }
    }

    /// That of a version.
    #[must_use]
    pub fn of_image(
        (name, version): (&str, &str),
        (digest, size): (Digest, u64),
        is_compressed: bool,
    ) -> Manifest {
        let kind = if is_compressed {
            IMAGE_ZSTD_TYPE
        } else {
            IMAGE_TYPE
        };
        let annotations = [
            ("org.opencontainers.image.title", name),
            ("org.opencontainers.image.version", version),
        ];
        let annotations = annotations.map(|(key, value)| (key.to_owned(), value.to_owned()));
        Manifest {
            annotations: Some(annotations.into_iter().collect()),
            ..Manifest::new(PORTABLE_TYPE, vec![Descriptor::plain(kind, digest, size)])
        }
    }

    /// That of a channel's index, which refers to a version's.
    #[must_use]
    pub fn of_channel(serial: u64, (digest, size): (Digest, u64), subject: Descriptor) -> Manifest {
        let serial = (SERIAL.to_owned(), serial.to_string());
        Manifest {
            subject: Some(subject),
            annotations: Some([serial].into_iter().collect()),
            ..Manifest::new(
                CHANNEL_TYPE,
                vec![Descriptor::plain(CHANNEL_TYPE, digest, size)],
            )
        }
    }

    /// How lists name it, by its text.
    #[must_use]
    pub fn descriptor(&self, text: &[u8]) -> Descriptor {
        Descriptor {
            artifact_type: self.artifact_type.clone(),
            annotations: self.annotations.clone(),
            ..Descriptor::plain(MANIFEST_TYPE, Digest::of(text), text.len() as u64)
        }
    }

    /// The layer that is a portable's image, the smaller one of two forms.
    #[must_use]
    pub fn image(&self) -> Option<&Descriptor> {
        let of_image = |layer: &&Descriptor| {
            [IMAGE_TYPE, IMAGE_ZSTD_TYPE].contains(&layer.media_type.as_str())
        };
        let images = self.layers.iter().filter(of_image);
        images.min_by_key(|layer| layer.size)
    }

    /// The layer that is the index of the channel of an artefact.
    #[must_use]
    pub fn channel(&self, of: &Digest) -> Option<&Descriptor> {
        let is_its = self
            .subject
            .as_ref()
            .is_some_and(|subject| subject.digest == *of);
        let mut layers = self.layers.iter();
        layers.find(|layer| is_its && layer.media_type == CHANNEL_TYPE)
    }
}

/// A list of manifests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Referrers {
    schema_version: u32,
    #[serde(default)]
    media_type: String,
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

impl Default for Referrers {
    fn default() -> Referrers {
        Referrers {
            schema_version: 2,
            media_type: INDEX_TYPE.to_owned(),
            manifests: Vec::new(),
        }
    }
}

impl Referrers {
    /// The index of a channel with the highest serial, as far as the list knows.
    #[must_use]
    pub fn newest_channel(&self) -> Option<&Descriptor> {
        let of_channel = |one: &&Descriptor| one.artifact_type.as_deref() == Some(CHANNEL_TYPE);
        let channels = self.manifests.iter().filter(of_channel);
        channels.max_by_key(|one| one.serial())
    }

    /// With one more; indexes of the channel that it follows go.
    pub fn add(&mut self, one: Descriptor) {
        self.manifests
            .retain(|other| other.artifact_type.as_deref() != Some(CHANNEL_TYPE));
        self.manifests.push(one);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let said = Reference::parse(text);
        let said = said.map_or_else(
            |error| error.to_string(),
            |one| format!("{} {}", one.url("x", false), one.with(one.wanted.clone())),
        );
        assert!(said.contains(expected), "{text}: {said}");
    }

    #[test]
    fn an_address_names_a_place_in_a_registry_and_a_part_of_it() {
        let hex = "a".repeat(64);
        check(
            "oci://reg.example/boat",
            "https://reg.example/v2/boat/x oci://reg.example/boat:latest",
        );
        check(
            "oci://reg.example:5000/a/b-c:1.0",
            "https://reg.example:5000/v2/a/b-c/x oci://reg.example:5000/a/b-c:1.0",
        );
        check(
            "oci://127.0.0.1:5000/boat",
            "http://127.0.0.1:5000/v2/boat/x",
        );
        check("oci://[::1]:5000/boat", "http://[::1]:5000/v2/boat/x");
        check("oci://localhost/boat", "http://localhost/v2/boat/x");
        check(
            &format!("oci://r/boat@sha256:{hex}"),
            &format!("oci://r/boat@sha256:{hex}"),
        );
        check("oci://r/boat:1#channel", "oci://r/boat:1#channel");
        check(
            &format!("oci://r/boat#blob=sha256:{hex}"),
            &format!("#blob=sha256:{hex}"),
        );
    }

    #[test]
    fn a_mirror_has_the_same_under_another_host_and_name() {
        let digest = Digest::of(b"x");
        let of = Reference::parse(&format!("oci://reg.example/boats/dock:1.1#blob={digest}"));
        let of = of.unwrap();
        let at = |manifest: &str| of.at_mirror(manifest).map(|mirror| mirror.address());
        for (host, scheme) in [("mirror.lan", "https"), ("127.0.0.1:5000", "http")] {
            let manifest = format!("{scheme}://{host}/v2/copies/dock/manifests/1.1");
            let expected = format!("oci://{host}/copies/dock:1.1#blob={digest}");
            assert_eq!(at(&manifest), Some(expected));
        }
        for other in [
            "http://mirror.lan/v2/copies/dock/manifests/1.1",
            "https://mirror.lan/copies/dock/manifests/1.1",
            "https://mirror.lan/v2/copies/dock/manifests/1.2",
            "https://mirror.lan/v2/../dock/manifests/1.1",
            "https://me@mirror.lan/v2/dock/manifests/1.1",
            "",
        ] {
            assert_eq!(at(other), None, "{other}");
        }
    }

    #[test]
    fn what_leads_elsewhere_is_no_address_of_a_registry() {
        for (text, why) in [
            ("https://r/boat", "begin with oci://"),
            ("oci://boat", "HOST[:PORT]/NAME"),
            ("oci:///boat", "names no host"),
            ("oci://r/", "its name is not"),
            ("oci://r/../boat", "its name is not"),
            ("oci://r/a//b", "its name is not"),
            ("oci://r/Boat", "its name is not"),
            ("oci://r/boat?x", "its name is not"),
            ("oci://r/boat:a/b", "its tag is not"),
            ("oci://r/boat:", "its tag is not"),
            ("oci://r/boat@sha256:12", "no sha256"),
            ("oci://r/boat#other", "behind the #"),
            ("oci://r x/boat", "names no host"),
        ] {
            check(text, why);
        }
        let secret = Reference::parse("oci://me:secret@r/boat").unwrap_err();
        assert!(!secret.to_string().contains("secret@"), "{secret}");
    }

    #[test]
    fn of_several_indexes_the_newest_is_looked_at_and_only_that_of_this_artefact() {
        let image = Manifest::of_image(("boat", "1"), (Digest::of(b"image"), 5), true);
        let text = serde_json::to_vec(&image).unwrap();
        let subject = image.descriptor(&text);
        let channel = |serial: u64| {
            let blob = (Digest::of(&serial.to_le_bytes()), 8);
            Manifest::of_channel(serial, blob, subject.clone())
        };
        let mut list = Referrers::default();
        for serial in [9, 10] {
            let one = channel(serial);
            let text = serde_json::to_vec(&one).unwrap();
            list.manifests.push(one.descriptor(&text));
        }
        assert_eq!(list.newest_channel().unwrap().serial(), 10);
        let read: Manifest =
            serde_json::from_slice(&serde_json::to_vec(&channel(10)).unwrap()).unwrap();
        assert!(read.channel(&subject.digest).is_some());
        assert!(read.channel(&Digest::of(b"other")).is_none());
        assert_eq!(image.image().unwrap().digest, Digest::of(b"image"));
        assert!(channel(1).image().is_none());
        list.add(subject);
        assert!(list.newest_channel().is_none());
    }
}
