//! `publish`: an image beside its signed index, for any web server that gives out files.

use std::fs::File;
use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use clap::Args;
use delivery::channel::{Index, Moment, Needs, Part, Release};
use delivery::digest::Digest;
use delivery::publish::Shelf;
use delivery::registry::is_reference;
use image::sign::SigningKey;
use image::signature::TrustedCertificate;
use image::statement::{STATEMENT_LIMIT_BYTES, Signed, Statement};
use image::worker::Workers;
use load::portable::PortableName;
use model::version::compare;

use super::build::load_key;
use crate::clock::now_s;
use crate::context::Context;
use crate::failure::{WithHint, hint};
use crate::portable::admit;
use crate::portable::fetch::FetchOptions;
use crate::terminal::{one_line, plain, say};
use crate::verbs::Run;
use parts::Parts;
use registry::Registry;

mod parts;
mod registry;

const DAY_S: u64 = 24 * 3600;

/// Options of `publish`.
#[derive(Args, Debug)]
pub(crate) struct Publish {
    /// The image, signed; one that was published before renews the index
    #[arg(value_name = "IMAGE")]
    image: PathBuf,
    /// The directory that the web server gives out, or a place in a registry: oci://HOST/NAME[:TAG]
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The key that signs the index, as it signs the images; the certificate lies beside it, with the ending .crt
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The certificate, where it lies elsewhere
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// The key that signed until now and hands over to --key: hosts that trust it go along
    #[arg(long, value_name = "FILE")]
    former_key: Option<PathBuf>,
    /// Until when the index counts, in days from now; publish again before, even if nothing is new
    #[arg(long, value_name = "DAYS", default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=3650))]
    expires: u32,
    /// Withdraw all versions below this one, for good
    #[arg(long, value_name = "VERSION")]
    floor: Option<String>,
    /// The oldest kernel that will do
    #[arg(long, value_name = "VERSION")]
    needs_kernel: Option<String>,
    /// How many versions the index offers; older ones are removed
    #[arg(long, value_name = "NUMBER", default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..=256))]
    keep: u16,
    /// Write no compressed copy beside the image
    #[arg(long)]
    no_compress: bool,
    /// Write no chunks: hosts that have another version then fetch the whole
    #[arg(long)]
    no_chunks: bool,
    /// From how many of the versions before it a patch is written, where that is smaller than the chunks that changed
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u16).range(0..=16))]
    patches: u16,
    #[command(flatten)]
    fetch: FetchOptions,
}

/// What is to be published, as it says itself.
struct Given {
    file: File,
    name: String,
    version: String,
    digest: Digest,
    bytes: u64,
    architecture: Option<String>,
}

impl Run for Publish {
    fn run(self, context: &Context) -> Result<u8> {
        let key = load_key(&self.key, self.certificate.as_deref())?;
        let former = self.former_key.as_deref();
        let former = former.map(|path| load_key(path, None)).transpose()?;
        let given = self.given(&key, former.as_ref())?;
        let place = self.directory.to_str().filter(|place| is_reference(place));
        let registry = place.map(|place| Registry::open(context, &self.fetch, place, &given.name));
        let registry = registry.transpose()?;
        let directory = registry.as_ref().map(Registry::directory);
        let shelf = Shelf::open(directory.unwrap_or(&self.directory))?;
        let index_file = format!("{}.channel", given.name);
        let known = known(&shelf, &index_file, &given.name, &key, former.as_ref())?;
        let (older, mut index) = known.map_or((None, Index::default()), |(signed, index)| {
            (Some(signed), index)
        });
        let had = index.clone();
        self.advance(&mut index)?;
        // Nothing that is served changes before it is clear that this may be.
        self.add(&mut index.clone(), &given, self.release(&given)?)?;
        let release = self.place(context, &shelf, &given, &had)?;
        self.add(&mut index, &given, release)?;
        let mut signed = Signed::new(&given.name, index.print(), &key)?;
        if let Some(older) = &older {
            signed = signed.continuing(older);
        }
        if let Some(former) = &former {
            signed = signed.after(former, &key)?;
        }
        if let Some(newest) = index.versions.first() {
            shelf.alias(&newest.image.file, &format!("{}.psi", given.name))?;
        }
        shelf.put_text(&index_file, signed.print().as_bytes())?;
        clear(&shelf, &had, &index)?;
        if let Some(registry) = &registry {
            registry.push(&shelf, (&given.name, &given.version), &index)?;
        }
        say(&format!(
            "{} {} · {} {} · serial {} · counts until {}",
            plain(&given.name),
            plain(&given.version),
            index.versions.len(),
            if index.versions.len() == 1 {
                "version"
            } else {
                "versions"
            },
            index.serial,
            Moment(index.expires)
        ));
        Ok(0)
    }
}

impl Publish {
    /// Looks at the image; a worker reads it.
    fn given(&self, key: &SigningKey, former: Option<&SigningKey>) -> Result<Given> {
        let shown = self.image.display();
        let file = admit::open(&self.image)?;
        let report = Workers::default()
            .inspect(&file)
            .with_context(|| format!("cannot inspect {shown}"))?;
        if let Some(damage) = &report.damage {
            return Err(hint(
                format!("{shown} is damaged: {}", one_line(damage)),
                "build it again",
            ));
        }
        let signer = report.claimed_signer.ok_or_else(|| {
            hint(
                format!("{shown} is not signed, and hosts would refuse it"),
                format!(
                    "`coracle sign {shown} --key {}` signs it",
                    self.key.display()
                ),
            )
        })?;
        let mut makers = std::iter::once(key).chain(former).map(SigningKey::signer);
        if !makers.any(|maker| maker.fingerprint == signer.fingerprint) {
            return Err(hint(
                format!(
                    "{shown} is signed by \"{}\", and the index would be by \"{}\": hosts would refuse one of them",
                    one_line(&signer.common_name),
                    one_line(&key.signer().common_name)
                ),
                format!(
                    "`coracle sign {shown} --key {}` signs it anew",
                    self.key.display()
                ),
            ));
        }
        let contents = report.contents.ok_or_else(|| {
            let why = report.unreadable.unwrap_or_default();
            hint(
                format!("{shown} can't be published: what it is called can't be read ({why})"),
                "`coracle build` makes images that can be read without being mounted",
            )
        })?;
        let release = &contents.os_release;
        let name = release.name().and_then(|name| PortableName::new(name).ok());
        let (Some(name), Some(version)) = (name, release.version()) else {
            return Err(hint(
                format!("{shown} has no name or no version in its os-release"),
                "`coracle build --name NAME --image-version VERSION` gives it both",
            ));
        };
        Ok(Given {
            file,
            name: name.to_string(),
            version: version.to_owned(),
            digest: report.digest.parse()?,
            bytes: report.length,
            architecture: report.architecture,
        })
    }

    /// Adds a version to those that are offered.
    fn add(&self, index: &mut Index, given: &Given, release: Release) -> Result<()> {
        index.add(release)?;
        let keep = usize::from(self.keep);
        index.versions.truncate(keep);
        let mut offered = index.versions.iter();
        if offered.any(|one| one.version == given.version) {
            return Ok(());
        }
        Err(hint(
            format!(
                "{} {} is older than the {keep} versions that are offered",
                given.name, given.version
            ),
            "`--keep` offers more of them",
        ))
    }

    /// The next serial, its dates and its floor.
    fn advance(&self, index: &mut Index) -> Result<()> {
        let now_s = now_s()?;
        // A clock that went back must not make an index that hosts refuse as older than the last one's.
        index.issued = now_s.max(index.issued);
        index.expires = now_s + u64::from(self.expires) * DAY_S;
        index.serial += 1;
        if let Some(floor) = &self.floor {
            let sinks = |was: &String| compare(floor, was).is_lt();
            if let Some(was) = index.floor.as_ref().filter(|was| sinks(was)) {
                return Err(hint(
                    format!(
                        "the floor is {was} and can't become {floor}: hosts would refuse the index"
                    ),
                    "a floor only rises; publish a newer version instead",
                ));
            }
            index.floor = Some(floor.clone());
            index
                .versions
                .retain(|one| compare(&one.version, floor).is_ge());
        }
        Ok(())
    }

    /// What the index will say of the image.
    fn release(&self, given: &Given) -> Result<Release> {
        Ok(Release {
            version: given.version.clone(),
            released: now_s()?,
            image: Part {
                file: format!("{}_{}.psi", given.name, given.version),
                digest: given.digest,
                bytes: given.bytes,
            },
            compressed: None,
            chunks: None,
            pack: None,
            patches: Vec::new(),
            needs: Needs {
                architecture: given.architecture.clone(),
                kernel: self.needs_kernel.clone(),
            },
        })
    }

    /// Puts the image into the directory, whole and compressed.
    fn place(
        &self,
        context: &Context,
        shelf: &Shelf,
        given: &Given,
        had: &Index,
    ) -> Result<Release> {
        let release = self.release(given)?;
        let file = release.image.file.as_str();
        let image = match parts::same(shelf, file, &given.digest) {
            Some(part) => Some(part),
            None => {
                std::io::Seek::rewind(&mut &given.file)?;
                shelf.put(file, &given.digest, &mut &given.file)?
            }
        };
        let image = image.ok_or_else(|| {
            hint(
                format!("{} changed while it was copied", self.image.display()),
                "publish it again when nobody writes to it",
            )
        })?;
        let parts = Parts {
            context,
            shelf,
            had,
            given: (&given.version, &given.digest),
        };
        let compressed = match self.no_compress {
            true => None,
            false => Some(parts.compressed(file)?),
        };
        let in_chunks = match self.no_chunks {
            true => None,
            false => parts.in_chunks(file)?,
        };
        let whole_bytes = compressed.as_ref().map_or(image.bytes, |part| part.bytes);
        let patches = parts.patches(file, (in_chunks.as_ref(), whole_bytes), self.patches)?;
        let (chunks, pack) = in_chunks.map(|made| (made.listed, made.packed)).unzip();
        Ok(Release {
            image,
            compressed,
            chunks,
            pack,
            patches,
            ..release
        })
    }
}

/// The index that is there, where this key or the one before it signed it.
fn known(
    shelf: &Shelf,
    file: &str,
    name: &str,
    key: &SigningKey,
    former: Option<&SigningKey>,
) -> Result<Option<(Signed, Index)>> {
    let Some(bytes) = shelf.read(file, STATEMENT_LIMIT_BYTES as u64)? else {
        return Ok(None);
    };
    let shown = shelf.path(file);
    let signed =
        Signed::parse(&bytes).with_context(|| format!("cannot go on from {}", shown.display()))?;
    let own: Vec<TrustedCertificate> = std::iter::once(key)
        .chain(former)
        .map(SigningKey::trusted)
        .collect::<Result<_, _>>()?;
    let statement: Statement = signed.verify(&own, SystemTime::now()).or_hint(
        || format!("cannot go on from {}", shown.display()),
        "`--former-key` names the key that signed it and hands over to the new one; where that is lost, publish into another directory",
    )?;
    if statement.name != name {
        anyhow::bail!("{} is about {}", shown.display(), statement.name);
    }
    Ok(Some((signed, Index::parse(&statement.body)?)))
}

/// Removes the files that were named and are no longer.
fn clear(shelf: &Shelf, had: &Index, has: &Index) -> Result<()> {
    let named = |index: &Index| -> Vec<String> {
        let parts = index.versions.iter().flat_map(Release::parts);
        parts.map(|part| part.file.clone()).collect()
    };
    let kept = named(has);
    for file in named(had).iter().filter(|file| !kept.contains(file)) {
        shelf.remove(file)?;
    }
    Ok(())
}
