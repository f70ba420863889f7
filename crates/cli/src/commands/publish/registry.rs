//! A registry as the place that is published into: the same files as in a directory, as blobs, and manifests that name them.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use delivery::channel::{Index, Part, Release};
use delivery::digest::Digest;
use delivery::fetch::Handed;
use delivery::publish::Shelf;
use delivery::registry::{EMPTY, Manifest, Reference, Referrers, Wanted, is_tag, referrers_tag};
use delivery::store::Store;
use image::statement::STATEMENT_LIMIT_BYTES;

use crate::context::Context;
use crate::failure::{WithHint, hint};
use crate::portable::fetch::{self, FetchOptions};
use crate::terminal::{one_line, size};
use crate::workers::fetch::{hand_over, is_there, referrers};

/// A repository, and a directory in which its files are made; it goes with this.
pub(super) struct Registry<'c> {
    context: &'c Context,
    options: &'c FetchOptions,
    reference: Reference,
    directory: PathBuf,
}

impl Registry<'_> {
    /// Brings the index of what was published there before into a directory of its own.
    ///
    /// # Errors
    /// When the address is none, or there is something else.
    pub(super) fn open<'c>(
        context: &'c Context,
        options: &'c FetchOptions,
        address: &str,
        name: &str,
    ) -> Result<Registry<'c>> {
        let reference = Reference::parse(address)?;
        if reference.is_pinned() {
            return Err(hint(
                format!("{address} is one version for good"),
                "name the repository, and the tag that is to move if that is not latest",
            ));
        }
        let own = format!("coracle-publish-{}", std::process::id());
        let registry = Registry {
            context,
            options,
            reference,
            directory: std::env::temp_dir().join(own),
        };
        std::fs::create_dir(&registry.directory).or_hint(
            || format!("cannot make {}", registry.directory.display()),
            "see that there is room for the image, and say it again; TMPDIR names another place",
        )?;
        if registry.ask(is_there)? {
            registry.bring_index(name)?;
        }
        Ok(registry)
    }

    /// Where its files are made.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    fn bring_index(&self, name: &str) -> Result<()> {
        let store = Store::open(&self.directory)?;
        let options = FetchOptions {
            max_size: Some(STATEMENT_LIMIT_BYTES.to_string()),
            ..self.options.clone()
        };
        let address = self.reference.with(Wanted::Channel);
        let (staging, ..) = fetch::fetch_itself(self.context, &store, &address, &options)?;
        let mut to = File::create(self.directory.join(format!("{name}.channel")))?;
        (&staging.file).rewind()?;
        std::io::copy(&mut &staging.file, &mut to)?;
        store.discard(staging)?;
        Ok(())
    }

    /// Hands the files of a version over, then what names them; last of all the tag moves, so that who comes meanwhile finds the old or the new.
    ///
    /// # Errors
    /// When the registry does not take something.
    pub(super) fn push(
        &self,
        shelf: &Shelf,
        (name, version): (&str, &str),
        index: &Index,
    ) -> Result<()> {
        let release = index.versions.iter().find(|one| one.version == version);
        let release = release.context("the version is not in its index")?;
        for part in parts(release) {
            self.blob(&shelf.path(&part.file), part.digest, part.bytes)?;
            self.context
                .narrate(&format!("{} · {}", one_line(&part.file), size(part.bytes)));
        }
        self.bytes(EMPTY, Handed::Blob(Digest::of(EMPTY), EMPTY.len() as u64))?;
        let image = release.compressed.as_ref().unwrap_or(&release.image);
        let manifest = Manifest::of_image(
            (name, version),
            (image.digest, image.bytes),
            release.compressed.is_some(),
        );
        let text = serde_json::to_vec(&manifest)?;
        self.bytes(&text, Handed::Manifest(tag_of(version)?))?;
        let signed = std::fs::read(self.directory.join(format!("{name}.channel")))?;
        let index_blob = (Digest::of(&signed), signed.len() as u64);
        self.bytes(&signed, Handed::Blob(index_blob.0, index_blob.1))?;
        self.refer(&Manifest::of_channel(
            index.serial,
            index_blob,
            manifest.descriptor(&text),
        ))?;
        self.bytes(&text, Handed::Manifest(self.reference.pointer.clone()))?;
        Ok(())
    }

    /// Publishes what refers to a version; where the registry does not keep track of that, in the list that it is looked for in.
    fn refer(&self, channel: &Manifest) -> Result<()> {
        let text = serde_json::to_vec(channel)?;
        let digest = Digest::of(&text);
        if self.bytes(&text, Handed::Manifest(digest.to_string()))? {
            return Ok(());
        }
        let subject = channel
            .subject
            .as_ref()
            .context("it refers to nothing")?
            .digest;
        let list = self.ask(|request, told| referrers(request, subject, told))?;
        let list = list.map(|text| serde_json::from_str(&text)).transpose();
        let list: Option<Referrers> = list.context("what refers to the image is damaged")?;
        let mut list = list.unwrap_or_default();
        list.add(channel.descriptor(&text));
        let tag = referrers_tag(&subject);
        self.bytes(&serde_json::to_vec(&list)?, Handed::List(tag))?;
        Ok(())
    }

    fn blob(&self, path: &Path, digest: Digest, bytes: u64) -> Result<()> {
        let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        self.ask(|request, told| hand_over(request, Handed::Blob(digest, bytes), &file, told))?;
        Ok(())
    }

    fn bytes(&self, bytes: &[u8], handed: Handed) -> Result<bool> {
        let path = self.directory.join("handed");
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)?;
        file.write_all(bytes)?;
        self.ask(|request, told| hand_over(request, handed, &file, told))
    }

    fn ask<T>(
        &self,
        ask: impl FnOnce(&delivery::fetch::Request, &mut dyn FnMut(&str)) -> Result<T>,
    ) -> Result<T> {
        let address = self.reference.with(Wanted::Image);
        let request = fetch::request_for(self.context, self.options, &address)?;
        let mut told = |reason: &str| fetch::tell_reduced(self.context, reason);
        ask(&request, &mut told).or_hint(
            || format!("{address} can't be published into"),
            "`coracle explain credential.for` says how a registry is told who asks; `--ca FILE` names the certificate of a private one",
        )
    }
}

impl Drop for Registry<'_> {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.directory).ok();
    }
}

/// What is handed over of a version: not the whole image where there is a compressed one, which every host takes instead.
fn parts(release: &Release) -> impl Iterator<Item = &Part> {
    let whole = release.compressed.as_ref().map(|_| release.image.digest);
    release
        .parts()
        .filter(move |part| Some(part.digest) != whole)
}

/// A version as a tag, which has no plus and no tilde.
fn tag_of(version: &str) -> Result<String> {
    let tag = version.replace(['+', '~'], "_");
    match is_tag(&tag) {
        true => Ok(tag),
        false => Err(hint(
            format!("{version:?} can't be the tag of a registry"),
            "tags are of letters, digits and . _ -: give the image another version",
        )),
    }
}
