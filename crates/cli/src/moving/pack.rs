//! Packs a portable, or what it has stored.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use delivery::digest::Digest;
use delivery::portables::Portable;
use delivery::store::Store;
use image::parcel::{LeftOut, Writer};

use super::manifest::{Directory, DropIn, Kind, Layer, Manifest, Portable as Carried};
use super::places;
use super::quiet::{self, Mode, Quiet};
use super::sink::Sink;
use crate::context::Context;
use crate::failure::{WithHint, hint};
use crate::terminal::{Paint, complain, directories, one_line, plain};
use crate::unit_files::{Root, UnitFiles};

/// Longest drop-in: what is longer is no unit's file for the manager either.
const DROP_IN_MAX_BYTES: u64 = load::UNIT_FILE_MAX_BYTES as u64;

/// A directory, by its public name, opened.
type Tree<'p> = (&'p str, File);

/// What is packed, and how.
pub(crate) struct Packing<'p> {
    pub(crate) portable: &'p Portable,
    pub(crate) kind: Kind,
    /// A file, or `-`.
    pub(crate) to: &'p str,
    pub(crate) without: &'p [String],
    pub(crate) mode: Option<Mode>,
}

impl Packing<'_> {
    /// Writes the archive. Services wait only while their own directories are read.
    ///
    /// # Errors
    /// When something can't be read or written; nothing is left of the archive then.
    pub(crate) fn write(&self, context: &Context) -> Result<()> {
        places::check_kinds(self.without)?;
        let portable = self.portable;
        let store = Store::open(&context.directories.state)?;
        let mut manifest = Manifest::new(self.kind, &portable.name, &portable.current);
        let mut files = Vec::new();
        if self.kind == Kind::Export {
            let carried = carried(context, portable)?;
            files.push((carried.image, store.get(&carried.image)?));
            for layer in &carried.extensions {
                files.push((layer.image, store.get(&layer.image)?));
            }
            manifest.portable = Some(carried);
        }
        let sink = Sink::open(self.to, &context.directories.state)?;
        let mut trees = Vec::new();
        for public in places::lasting(portable, self.without) {
            let real = places::real(public, false).unwrap_or_default();
            trees.extend(places::open(&real)?.map(|opened| (public, opened)));
        }
        for (tree, (public, _)) in (0..).zip(&trees) {
            let path = (*public).to_owned();
            manifest.directories.push(Directory { tree, path });
        }
        self.all(context, sink, manifest, (files, trees))
    }

    fn all(
        &self,
        context: &Context,
        mut sink: Sink,
        mut manifest: Manifest,
        (files, trees): (Vec<(Digest, File)>, Vec<Tree<'_>>),
    ) -> Result<()> {
        let services = quiet::prepare(context, self.portable)?;
        // What is run here takes signals as ever; from now on one would leave services waiting.
        sink.hold()?;
        let quiet = Quiet::begin(context, &services, self.mode)?;
        manifest.services = quiet.word().to_owned();
        let manifest = serde_json::to_vec(&manifest)?;
        let mut writer = Writer::new(sink, &manifest)?;
        for (number, (public, directory)) in (0..).zip(&trees) {
            let added = writer.tree(number, directory.as_fd());
            added.or_hint(
                || format!("cannot copy {public}"),
                "nothing was changed; see that there is room for the archive, and say it again",
            )?;
        }
        let word = quiet.word();
        quiet.end()?;
        writer.sink().let_go()?;
        for (digest, file) in files {
            writer.file(&file_name(&digest), &file)?;
        }
        let (sink, left_out) = writer.finish()?;
        sink.finish()?;
        tell(&left_out);
        for path in places::of_host(self.portable) {
            let path = one_line(path);
            context.narrate(&format!("left out: {path}, which is the host's"));
        }
        let to = if self.to == "-" { "" } else { self.to };
        context.narrate(&format!(
            "{} {}: {} (services {word}){}{to}",
            plain(&self.portable.name),
            plain(&self.portable.current),
            directories(trees.len()),
            if to.is_empty() { "" } else { " → " },
        ));
        Ok(())
    }
}

/// How an image is called in an archive.
pub(crate) fn file_name(digest: &Digest) -> String {
    format!("sha256-{}", digest.hex())
}

/// What an archive says of a portable beside what it has stored.
///
/// # Errors
/// When it is a directory, or its drop-ins can't be read.
pub(crate) fn carried(context: &Context, portable: &Portable) -> Result<Carried> {
    let of_directory = |what: &str| {
        hint(
            format!("{what} is a directory of this host, and only images move"),
            "`coracle build` makes an image of it; start that, and export it then",
        )
    };
    let version = portable.versions.get(&portable.current);
    let image = version.and_then(|version| version.image);
    let image = image.ok_or_else(|| of_directory(&portable.name))?;
    let mut extensions = Vec::new();
    for extension in &portable.extensions {
        extensions.push(Layer {
            file: extension.file.clone(),
            image: extension
                .image
                .ok_or_else(|| of_directory(&extension.file))?,
        });
    }
    Ok(Carried {
        image,
        origin: portable.origin.clone(),
        grants: portable.grants.clone(),
        settings: portable.settings.clone(),
        profile: portable.profile.clone(),
        enabled: portable.enabled,
        boot_is_chosen: portable.boot_is_chosen,
        held: portable.held,
        prefixes: portable.prefixes.clone(),
        extensions,
        drop_ins: drop_ins(context, portable)?,
    })
}

/// What the administrator has written for the portable's units, that a reboot leaves there.
fn drop_ins(context: &Context, portable: &Portable) -> Result<Vec<DropIn>> {
    let places = UnitFiles::open(context, &Root::default())?.places;
    let is_volatile = |path: &&std::path::PathBuf| {
        path.starts_with(&context.directories.runtime)
            || places
                .volatile
                .iter()
                .any(|volatile| path.starts_with(volatile))
    };
    let mut found = Vec::new();
    let version = portable.versions.get(&portable.current);
    for unit in version.into_iter().flat_map(|version| &version.units) {
        for place in places.changed.iter().filter(|path| !is_volatile(path)) {
            for (path, text) in drop_ins_in(place, unit)? {
                let name = path.file_name().and_then(|name| name.to_str());
                let name = name.unwrap_or_default();
                let (unit, name) = (unit.clone(), name.to_owned());
                found.push(DropIn { unit, name, text });
            }
        }
    }
    found.sort_by(|a, b| (&a.unit, &a.name).cmp(&(&b.unit, &b.name)));
    found.dedup_by(|a, b| (&a.unit, &a.name) == (&b.unit, &b.name));
    Ok(found)
}

/// The drop-ins that a place has for a unit, with what they say.
///
/// # Errors
/// When one or their directory can't be read: none may be left out unsaid.
pub(crate) fn drop_ins_in(place: &Path, unit: &str) -> Result<Vec<(PathBuf, String)>> {
    let directory = place.join(format!("{unit}.d"));
    let entries = match std::fs::read_dir(&directory) {
        Err(error) if is_nothing(&error) => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("cannot read {}", directory.display()))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if name.is_some_and(|name| name.ends_with(".conf")) {
            let text = drop_in_text(&path);
            let text = text.with_context(|| format!("cannot read {}", path.display()))?;
            found.push((path, text));
        }
    }
    Ok(found)
}

fn drop_in_text(path: &Path) -> Result<String> {
    let (mut text, file) = (String::new(), File::open(path)?);
    let bytes = file.take(DROP_IN_MAX_BYTES + 1).read_to_string(&mut text)?;
    if bytes as u64 > DROP_IN_MAX_BYTES {
        bail!("it has more than the {DROP_IN_MAX_BYTES} bytes that are read of a unit's file");
    }
    Ok(text)
}

/// Nothing is there, or nothing that has drop-ins.
fn is_nothing(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory)
}

/// Says what did not come along.
fn tell(left_out: &LeftOut) {
    let all = [
        (left_out.special, "sockets, pipes and devices"),
        (left_out.mounts, "file systems that are mounted inside"),
        (
            left_out.attributes,
            "extended attributes that are not users'",
        ),
        (
            left_out.set_id,
            "set-user-id and set-group-id bits of files",
        ),
    ];
    let all: Vec<String> = all
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{what} ({count})"))
        .collect();
    if !all.is_empty() {
        complain(&format!(
            "{} left out: {}",
            Paint::Yellow.on("warning:"),
            all.join(", ")
        ));
    }
}
