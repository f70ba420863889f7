//! The documents of a container image: which image, which layers, and how it is run (the OCI image format, and `docker save`'s).

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::blobs::Blobs;
use super::layer::shown;
use super::{Order, UnpackError};

/// Layers of one image; docker stops at 127.
const LAYERS_LIMIT: usize = 512;

/// Indexes that lead to indexes.
const INDEX_DEPTH_LIMIT: usize = 4;

/// Indexes of one archive that are read, in all: each may name as many as its bytes hold, and those do, too.
const INDEXES_LIMIT: usize = 64;

/// Images that one archive may offer.
const OFFERS_LIMIT: usize = 4096;

/// How the image's maker means it to be run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Configuration {
    /// Who it runs as.
    pub user: Option<String>,
    /// Ports such as `80/tcp`.
    pub exposed_ports: Option<BTreeMap<String, serde_json::Value>>,
    /// `NAME=value`.
    pub env: Option<Vec<String>>,
    /// The program and its first arguments.
    pub entrypoint: Option<Vec<String>>,
    /// Its further arguments, or the program.
    pub cmd: Option<Vec<String>>,
    /// Where it runs.
    pub working_dir: Option<String>,
    /// What stops it.
    pub stop_signal: Option<String>,
    /// What says whether it is well.
    pub healthcheck: Option<HealthCheck>,
}

/// A program that says whether the service is well. Times are nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HealthCheck {
    /// `NONE`, `CMD` and words, or `CMD-SHELL` and a line.
    pub test: Option<Vec<String>>,
    /// Between two.
    pub interval: Option<u64>,
    /// For one.
    pub timeout: Option<u64>,
    /// After the start, in which failures don't count.
    pub start_period: Option<u64>,
    /// Failures in a row until it is not well.
    pub retries: Option<u32>,
}

/// A layer: its part's name, and the digest of what comes out of it, where anything says so.
#[derive(Default)]
pub(super) struct Layer {
    pub(super) name: String,
    pub(super) digest: Option<String>,
}

/// The image that was asked for.
#[derive(Default)]
pub(super) struct Image {
    pub(super) layers: Vec<Layer>,
    pub(super) configuration: Configuration,
    pub(super) reference: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize, Clone)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    platform: Option<Platform>,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize, Clone)]
struct Platform {
    architecture: String,
    os: String,
}

#[derive(Deserialize)]
struct Manifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

/// One image of what `docker save` writes.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

#[derive(Deserialize)]
struct Config {
    architecture: Option<String>,
    os: Option<String>,
    config: Option<Configuration>,
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Vec<String>,
}

/// Finds the image that was asked for, and all that it is made of.
pub(super) fn find(blobs: &Blobs<'_>, order: &Order) -> Result<Image, UnpackError> {
    if let Some(bytes) = blobs.document("index.json")? {
        return of_layout(blobs, order, &bytes);
    }
    if let Some(bytes) = blobs.document("manifest.json")? {
        return of_saved(blobs, order, &bytes);
    }
    Err(UnpackError::NoImage)
}

fn parse<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, UnpackError> {
    serde_json::from_slice(bytes).map_err(|source| UnpackError::Document {
        what: shown(what),
        source,
    })
}

/// One image that could be meant.
struct Offer {
    digest: String,
    reference: Option<String>,
}

/// What indexes have offered so far.
#[derive(Default)]
struct Offered {
    offers: Vec<Offer>,
    /// Indexes that were read, and what the images in them are called: once more, they would offer the same.
    indexes: BTreeSet<(String, Option<String>)>,
}

impl Offered {
    /// Whether an index is yet to be read.
    fn is_new(&mut self, digest: &str, reference: Option<&str>) -> Result<bool, UnpackError> {
        let index = (digest.to_owned(), reference.map(str::to_owned));
        let is_new = self.indexes.insert(index);
        if self.indexes.len() > INDEXES_LIMIT {
            return Err(UnpackError::TooMuch(format!("{INDEXES_LIMIT} indexes")));
        }
        Ok(is_new)
    }
}

fn of_layout(blobs: &Blobs<'_>, order: &Order, bytes: &[u8]) -> Result<Image, UnpackError> {
    let mut offered = Offered::default();
    collect(blobs, order, bytes, None, 0, &mut offered)?;
    let offer = choose(order, offered.offers)?;
    let (_, bytes) = blob(blobs, &offer.digest)?;
    let manifest: Manifest = parse("the image's manifest", &bytes)?;
    let (_, config) = blob(blobs, &manifest.config.digest)?;
    let mut names = Vec::new();
    for layer in &manifest.layers {
        names.push(blob_name(&layer.digest)?);
    }
    image(order, &config, names, offer.reference)
}

/// Everything for this machine that an index, and what it leads to, offers.
fn collect(
    blobs: &Blobs<'_>,
    order: &Order,
    bytes: &[u8],
    reference: Option<&str>,
    depth: usize,
    offered: &mut Offered,
) -> Result<(), UnpackError> {
    let index: Index = parse("index.json", bytes)?;
    for one in index.manifests {
        let is_for_us = one.platform.as_ref().is_none_or(|platform| {
            platform.os == "linux" && platform.architecture == order.architecture
        });
        if !is_for_us {
            continue;
        }
        let annotations = one.annotations.unwrap_or_default();
        // containerd gives the whole name, the format itself only a tag.
        let own = [
            "io.containerd.image.name",
            "org.opencontainers.image.ref.name",
        ]
        .iter()
        .find_map(|name| annotations.get(*name).cloned())
        .or_else(|| reference.map(str::to_owned));
        if one.media_type.contains("index") || one.media_type.contains("manifest.list") {
            if depth >= INDEX_DEPTH_LIMIT {
                return Err(UnpackError::TooMuch(format!(
                    "{INDEX_DEPTH_LIMIT} indexes one in the other"
                )));
            }
            if offered.is_new(&one.digest, own.as_deref())? {
                let (_, bytes) = blob(blobs, &one.digest)?;
                collect(blobs, order, &bytes, own.as_deref(), depth + 1, offered)?;
            }
        } else {
            offered.offers.push(Offer {
                digest: one.digest,
                reference: own,
            });
        }
        if offered.offers.len() > OFFERS_LIMIT {
            return Err(UnpackError::TooMuch(format!("{OFFERS_LIMIT} images")));
        }
    }
    Ok(())
}

fn is_meant(wanted: &str, offer: &Offer) -> bool {
    let by_name = offer.reference.as_deref().is_some_and(|name| {
        name == wanted
            || name.ends_with(&format!("/{wanted}"))
            || name.ends_with(&format!(":{wanted}"))
    });
    by_name || offer.digest == wanted
}

fn choose(order: &Order, mut offers: Vec<Offer>) -> Result<Offer, UnpackError> {
    let names = |offers: &[Offer]| {
        let names = offers
            .iter()
            .take(20)
            .map(|offer| shown(offer.reference.as_deref().unwrap_or(&offer.digest)));
        names.collect::<Vec<_>>().join(", ")
    };
    if let Some(wanted) = &order.reference {
        let there = names(&offers);
        offers.retain(|offer| is_meant(wanted, offer));
        if offers.is_empty() {
            return Err(UnpackError::Choice(format!(
                "it has no image {}: it has {there}",
                shown(wanted)
            )));
        }
    }
    // Two names of one image are one.
    offers.dedup_by(|one, other| one.digest == other.digest);
    match offers.len() {
        0 => Err(UnpackError::Choice(format!(
            "it has no image for this machine (linux/{})",
            order.architecture
        ))),
        1 => offers.pop().ok_or(UnpackError::NoImage),
        _ => Err(UnpackError::Choice(format!(
            "it has several images, say which with --reference: {}",
            names(&offers)
        ))),
    }
}

fn of_saved(blobs: &Blobs<'_>, order: &Order, bytes: &[u8]) -> Result<Image, UnpackError> {
    let saved: Vec<Saved> = parse("manifest.json", bytes)?;
    let mut offers = Vec::new();
    for (index, one) in saved.iter().enumerate() {
        let tags = one.repo_tags.clone().unwrap_or_default();
        let tags: Vec<Option<String>> = if tags.is_empty() {
            vec![None]
        } else {
            tags.into_iter().map(Some).collect()
        };
        offers.extend(tags.into_iter().map(|reference| Offer {
            digest: index.to_string(),
            reference,
        }));
    }
    let offer = choose(order, offers)?;
    let index: usize = offer.digest.parse().map_err(|_| UnpackError::NoImage)?;
    let one = saved.into_iter().nth(index).ok_or(UnpackError::NoImage)?;
    let config = blobs.document(&one.config)?;
    let config = config.ok_or_else(|| UnpackError::Missing(shown(&one.config)))?;
    // Its name is its digest: `DIGEST.json`, or `blobs/sha256/DIGEST`.
    let name = one.config.rsplit('/').next().unwrap_or_default();
    check(
        "the image's configuration",
        name.trim_end_matches(".json"),
        &config,
    )?;
    image(order, &config, one.layers, offer.reference)
}

/// Puts layers and what must come out of them together.
fn image(
    order: &Order,
    config: &[u8],
    names: Vec<String>,
    reference: Option<String>,
) -> Result<Image, UnpackError> {
    let config: Config = parse("the image's configuration", config)?;
    let is_for_us = config.os.as_deref().unwrap_or("linux") == "linux"
        && config
            .architecture
            .as_ref()
            .is_none_or(|one| *one == order.architecture);
    if !is_for_us {
        return Err(UnpackError::Choice(format!(
            "the image is for {}/{}, this machine is linux/{}",
            shown(config.os.as_deref().unwrap_or_default()),
            shown(config.architecture.as_deref().unwrap_or_default()),
            order.architecture
        )));
    }
    let digests = config.rootfs.diff_ids;
    if digests.len() != names.len() || names.len() > LAYERS_LIMIT {
        return Err(UnpackError::Choice(format!(
            "the image has {} layers and says what comes out of {}; at most {LAYERS_LIMIT} are taken",
            names.len(),
            digests.len()
        )));
    }
    let layers = names.into_iter().zip(digests).map(|(name, digest)| Layer {
        name,
        digest: Some(digest.strip_prefix("sha256:").unwrap_or(&digest).to_owned()),
    });
    Ok(Image {
        layers: layers.collect(),
        configuration: config.config.unwrap_or_default(),
        reference,
    })
}

/// Where a layout keeps what has a digest.
fn blob_name(digest: &str) -> Result<String, UnpackError> {
    let hex = digest.strip_prefix("sha256:");
    let hex = hex.filter(|hex| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()));
    let hex = hex.ok_or_else(|| UnpackError::Choice(format!("{} is no SHA-256", shown(digest))))?;
    Ok(format!("blobs/sha256/{hex}"))
}

/// A document by its digest, proven.
fn blob(blobs: &Blobs<'_>, digest: &str) -> Result<(String, Vec<u8>), UnpackError> {
    let name = blob_name(digest)?;
    let bytes = blobs.document(&name)?;
    let bytes = bytes.ok_or_else(|| UnpackError::Missing(name.clone()))?;
    check(&name, digest.trim_start_matches("sha256:"), &bytes)?;
    Ok((name, bytes))
}

fn check(what: &str, expected: &str, bytes: &[u8]) -> Result<(), UnpackError> {
    let found = crate::hex::encode(&Sha256::digest(bytes));
    if found == expected {
        return Ok(());
    }
    Err(UnpackError::Digest {
        what: shown(what),
        expected: shown(expected),
        found,
    })
}
