//! Extensions: images and directories that the administrator lays over a portable's root, which come in as the portable itself does.

use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use delivery::portables::{Extension, Portables};
use delivery::store::Store;
use image::extension::name_of;
use image::worker::Workers;

use super::admit::{self, Acceptance, Admitted, Root};
use super::{places, record};
use crate::context::Context;
use crate::failure::{WithHint as _, hint};
use crate::ownership::open_to_others;

/// What is laid over, as it is recorded, and what is to be kept for it.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) recorded: Extension,
    admitted: Option<Admitted>,
}

/// Lets extensions in: images by their signature, directories by their owner.
///
/// # Errors
/// When one is not trusted, or two have one name.
pub(crate) fn admit(
    context: &Context,
    store: &Store,
    words: &[String],
    insecure: bool,
    limit_bytes: u64,
) -> Result<Vec<Layer>> {
    let mut layers: Vec<Layer> = Vec::new();
    for word in words {
        match admit_one(context, store, word, (insecure, limit_bytes)) {
            Ok(layer)
                if layers
                    .iter()
                    .any(|other| other.recorded.file == layer.recorded.file) =>
            {
                let file = layer.recorded.file.clone();
                layers.push(layer);
                discard(layers, store)?;
                return Err(hint(
                    format!("two extensions are called {file}"),
                    "by its file's name an extension says what it is: lay each over once",
                ));
            }
            Ok(layer) => layers.push(layer),
            Err(error) => {
                discard(layers, store)?;
                return Err(error);
            }
        }
    }
    Ok(layers)
}

fn admit_one(
    context: &Context,
    store: &Store,
    word: &str,
    (insecure, limit_bytes): (bool, u64),
) -> Result<Layer> {
    let path = place(context, word)?;
    let file = path.file_name().and_then(|name| name.to_str());
    let file = file.filter(|name| !name.starts_with('.')).ok_or_else(|| {
        hint(
            format!("{word} has no name that an extension can have"),
            "name its file or its directory",
        )
    })?;
    let file = file.to_owned();
    if path.is_dir() {
        let real = path.canonicalize()?;
        if let Some(part) = open_to_others(&real)? {
            return Err(hint(
                format!(
                    "{} can be changed by others than root, so {word} can't be laid over anything",
                    part.display()
                ),
                "build an image of it with `coracle build`, or move it below a directory of root's",
            ));
        }
        let recorded = Extension {
            file,
            image: None,
            directory: Some(real),
            signer: None,
            claimed: None,
        };
        return Ok(Layer {
            recorded,
            admitted: None,
        });
    }
    let acceptance = Acceptance {
        heirs: Vec::new(),
        digest: None,
        insecure,
    };
    let (staging, digest, length) = admit::copy_in(store, &path, limit_bytes)?;
    let origin = path.display().to_string();
    let admitted = admit::layer(
        context,
        store,
        staging,
        (digest, length),
        &acceptance,
        &origin,
    )?;
    let recorded = Extension {
        file,
        image: Some(digest),
        directory: None,
        signer: record::signer(admitted.signer.as_ref())?,
        claimed: record::signer(admitted.claimed.as_ref())?,
    };
    Ok(Layer {
        recorded,
        admitted: Some(admitted),
    })
}

/// A path, or the name of what is offered.
fn place(context: &Context, word: &str) -> Result<PathBuf> {
    let path = std::path::absolute(word)?;
    if path.symlink_metadata().is_ok() {
        return Ok(path);
    }
    match places::find(context, word)? {
        Some(offer) if !word.contains('/') => Ok(offer.path),
        _ => Err(hint(
            format!("there is no extension {word}"),
            "name an image or a directory by its path, or one that `coracle list` shows as available",
        )),
    }
}

/// What was laid over a portable before, from the store and where its directories are.
///
/// # Errors
/// When an image is missing or was changed.
pub(crate) fn recorded(store: &Store, extensions: &[Extension]) -> Result<Vec<Layer>> {
    let layer = |extension: &Extension| {
        let image = extension.image.as_ref();
        let admitted = image.map(|digest| admit::stored_layer(store, digest));
        let admitted = admitted.transpose().or_hint(
            || {
                format!(
                    "what is stored of the extension {} can't be used",
                    extension.file
                )
            },
            "attach the portable again with `--extension` and the file",
        )?;
        Ok(Layer {
            recorded: extension.clone(),
            admitted,
        })
    };
    extensions.iter().map(layer).collect()
}

/// Adds the units of what is laid over a portable, as portabled does: a unit of the portable's own stays, and of two extensions the one that is
/// named first has it. Each has to be made for what it is laid over.
///
/// # Errors
/// When one is not, or can't be read.
pub(crate) fn extend(store: &Store, admitted: &mut Admitted, layers: &[Layer]) -> Result<()> {
    let what = format!("{} {}", admitted.name()?, admitted.version());
    for layer in layers {
        let file = &layer.recorded.file;
        let tree = layer.tree(store)?;
        let (name, base) = (name_of(file), &admitted.contents.os_release);
        let brought = Workers::default().brought(tree.as_fd(), name, base.prefixes());
        let brought = brought.or_hint(
            || format!("{file} can't be laid over {what}"),
            "an extension has usr/lib/extension-release.d/extension-release.NAME, or the same below etc, NAME being its file's name without version and ending",
        )?;
        brought.release.fits(base, model::facts::native()).or_hint(
            || format!("{file} can't be laid over {what}"),
            "ask its maker for one that is made for this version, or for any: `ID=_any` in its extension-release",
        )?;
        admitted.contents.extend(brought.units)?;
    }
    Ok(())
}

impl Layer {
    /// Its files.
    fn tree(&self, store: &Store) -> Result<OwnedFd> {
        let unreadable = || format!("cannot read {}", self.recorded.file);
        if let Some(directory) = &self.recorded.directory {
            return Ok(File::open(directory).with_context(unreadable)?.into());
        }
        match self.admitted.as_ref().map(|admitted| &admitted.root) {
            Some(Root::Image {
                digest,
                staging,
                verified,
                ..
            }) => {
                let workers = Workers::default();
                let mounted = match staging {
                    Some(staged) => workers.mount(&staged.file, verified),
                    None => workers.mount(&store.get(digest)?, verified),
                };
                mounted.with_context(unreadable)
            }
            _ => anyhow::bail!("{} is neither an image nor a directory", self.recorded.file),
        }
    }
}

/// Throws away what was let in for nothing.
///
/// # Errors
/// When it can't be removed.
pub(crate) fn discard(layers: Vec<Layer>, store: &Store) -> Result<()> {
    let mut admitted = layers.into_iter().filter_map(|layer| layer.admitted);
    admitted.try_for_each(|admitted| admitted.discard(store))
}

/// Gives the images their names in the store; until what is returned is dropped they stay there.
///
/// # Errors
/// When one can't be kept.
pub(crate) fn keep(layers: &mut [Layer], store: &Store) -> Result<Vec<File>> {
    let mut held = Vec::new();
    for admitted in layers
        .iter_mut()
        .filter_map(|layer| layer.admitted.as_mut())
    {
        held.extend(admitted.keep(store).context("cannot keep an extension")?);
    }
    Ok(held)
}

/// The lines of a drop-in that lay them over.
pub(crate) fn lines(context: &Context, name: &str, extensions: &[Extension]) -> String {
    let records = Portables::new(&context.directories.state);
    let line = |extension: &Extension| {
        let (directive, path) = match &extension.directory {
            Some(directory) => ("ExtensionDirectories", directory.clone()),
            None => (
                "ExtensionImages",
                records.extension_link(name, &extension.file),
            ),
        };
        let path = path.display().to_string().replace('%', "%%");
        format!("{directive}={}\n", model::text::quote(&path))
    };
    extensions.iter().map(line).collect()
}

/// `cargo-tools.raw (signed by "Maker")`, for the status screen.
pub(crate) fn in_words(extensions: &[Extension]) -> String {
    let one = |extension: &Extension| match (&extension.signer, &extension.directory) {
        (Some(signer), _) => format!("{} (signed by \"{}\")", extension.file, signer.name),
        (None, Some(directory)) => format!(
            "{} (a directory that only root can change)",
            directory.display()
        ),
        (None, None) => format!("{} (signed by NOBODY who is trusted)", extension.file),
    };
    extensions.iter().map(one).collect::<Vec<_>>().join(", ")
}
