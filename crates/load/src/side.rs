//! The directories beside units: `.d`, `.wants`, `.requires`, `.upholds`, in the order in which one hides another.

use model::sorted::{Map, Set};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use model::UnitName;

use crate::digest::Digest;
use crate::index::{Found, Index};
use crate::paths::SearchPath;
use crate::tree::{Content, Named, Tree, link_target};

/// The suffixes of side directories, first that of those with drop-ins.
pub(crate) const SUFFIXES: [&str; 4] = [DROP_INS, ".wants", ".requires", ".upholds"];

/// The suffix of directories with drop-ins, and of those with links to units; the directive of each of the latter.
pub(crate) const DROP_INS: &str = ".d";
pub(crate) const WANTED: [(&str, &str); 3] = [
    (".wants", "Wants"),
    (".requires", "Requires"),
    (".upholds", "Upholds"),
];

/// Most drop-ins of one unit: the busiest units in use have some ten.
pub(crate) const MAX_DROP_INS: usize = 256;

/// Most units in one unit's `.wants` directories; a large target wants about a hundred.
const MAX_WANTED: usize = 4096;

/// The directories of a unit with this suffix, those that the index knows or else all that can be, the strongest first: those of its names along the search path, then those of its kind.
pub(crate) fn directories(
    found: &Found,
    suffix: &str,
    index: Option<&Index>,
    path: &SearchPath,
) -> Vec<PathBuf> {
    let mut ordered = Ordered::default();
    let own_first =
        std::iter::once(&found.id).chain(found.names.iter().filter(|name| **name != found.id));
    for name in own_first {
        let stems = name_ladder(name);
        for (number, directory) in path.directories().iter().enumerate() {
            add_existing(&mut ordered, &stems, suffix, (number, directory), index);
        }
    }
    let kind = [found.id.kind().suffix().to_owned()];
    for (number, directory) in path.directories().iter().enumerate() {
        add_existing(&mut ordered, &kind, suffix, (number, directory), index);
    }
    ordered.paths
}

/// Paths, each once: a name of a hundred dashes has a thousand of them.
#[derive(Default)]
struct Ordered {
    paths: Vec<PathBuf>,
    known: BTreeSet<PathBuf>,
}

impl Ordered {
    fn add(&mut self, path: PathBuf) {
        if self.known.insert(path.clone()) {
            self.paths.push(path);
        }
    }
}

fn add_existing(
    ordered: &mut Ordered,
    stems: &[String],
    suffix: &str,
    place: (usize, &PathBuf),
    index: Option<&Index>,
) {
    let (number, directory) = place;
    for stem in stems {
        let name = format!("{stem}{suffix}");
        if index.is_none_or(|index| index.side(&name).contains(&number)) {
            ordered.add(directory.join(&name));
        }
    }
}

/// Whether the index knows any side directory of a unit: most have none.
pub(crate) fn has_any(found: &Found, index: &Index) -> bool {
    let mut names = found.names.iter();
    index.has_side(found.id.kind().suffix())
        || names.any(|name| name_ladder(name).iter().any(|stem| index.has_side(stem)))
}

/// What a side directory holds: its drop-ins, or the links that are its names; none where there is nothing of that.
pub(crate) fn side_digest(
    directory: &Path,
    suffix: &str,
    tree: &dyn Tree,
) -> io::Result<Option<Digest>> {
    let mut digest = None;
    for Named { name, is_link } in tree.entries(directory)? {
        let at = directory.join(&name);
        if suffix != DROP_INS {
            let target = if is_link { tree.link(&at)? } else { None };
            let digest = digest.get_or_insert_with(Digest::new);
            digest.add_path(&at);
            digest.add_path(&target.unwrap_or_default());
        } else if is_drop_in(&name) {
            let digest = digest.get_or_insert_with(Digest::new);
            digest.add_file(&at, tree)?;
        }
    }
    Ok(digest)
}

/// A unit's name and the more general ones that stand for it, the most special first: `a-b@i.service`, `a-b@.service`, then the
/// same for `a-`.
fn name_ladder(name: &UnitName) -> Vec<String> {
    let mut ladder = Vec::new();
    let kind = name.kind();
    let rest = name.stem().strip_prefix(name.prefix()).unwrap_or_default();
    for prefix in prefixes(name.prefix()) {
        ladder.push(format!("{prefix}{rest}.{kind}"));
        if name.instance().is_some() {
            ladder.push(format!("{prefix}@.{kind}"));
        }
    }
    ladder
}

/// `a-b-c`, `a-b-`, `a-`: cut after each dash, from the right.
fn prefixes(prefix: &str) -> impl Iterator<Item = &str> {
    let before_last = prefix.len().saturating_sub(1);
    let cuts = prefix
        .rmatch_indices('-')
        .map(|(at, _)| at)
        .filter(move |at| *at < before_last && *at > 0);
    std::iter::once(prefix).chain(cuts.filter_map(move |at| prefix.get(..=at)))
}

/// What stands in side directories.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct DropIns {
    /// The files to read, in the order of their names, each with its bytes.
    pub(crate) files: Vec<(PathBuf, Vec<u8>)>,
    /// What can't be used, with the reason.
    pub(crate) refused: Vec<(PathBuf, String)>,
}

/// The drop-ins of a unit: of equally named files the strongest directory's counts, an empty one or a link to /dev/null counts as none.
pub(crate) fn drop_ins(directories: &[PathBuf], tree: &dyn Tree) -> io::Result<DropIns> {
    let mut by_name: Map<String, PathBuf> = Map::new();
    for directory in directories {
        let names = tree.entries(directory)?.into_iter().map(|named| named.name);
        for name in names.filter(|name| is_drop_in(name)) {
            let path = directory.join(&name);
            by_name.entry(name).or_insert(path);
        }
    }
    let mut found = DropIns::default();
    for path in by_name.into_values() {
        if found.files.len() >= MAX_DROP_INS {
            found.refused.push((path, format!("the unit has more than {MAX_DROP_INS} drop-ins; this and later ones are not read")));
            break;
        }
        read_drop_in(path, tree, &mut found);
    }
    Ok(found)
}

fn is_drop_in(name: &str) -> bool {
    name.ends_with(".conf") && !name.starts_with('.')
}

fn read_drop_in(path: PathBuf, tree: &dyn Tree, found: &mut DropIns) {
    match read_text(&path, tree) {
        Ok(Some(bytes)) => found.files.push((path, bytes)),
        Ok(None) => {}
        Err(reason) => found.refused.push((path, reason)),
    }
}

/// A file's bytes, none if it masks, and the reason if it can't be used.
pub(crate) fn read_text(path: &Path, tree: &dyn Tree) -> Result<Option<Vec<u8>>, String> {
    match tree.read(path, syntax::MAX_FILE_BYTES) {
        Ok(Content::Bytes(bytes)) => Ok(Some(bytes).filter(|bytes| !bytes.is_empty())),
        Ok(Content::Null) => Ok(None),
        Ok(Content::Missing) => Err("the link leads to no file".to_owned()),
        Ok(Content::NotAFile) => Err("this is no regular file".to_owned()),
        Ok(Content::TooLarge) => Err(format!(
            "the file has more than the {} bytes that are read",
            syntax::MAX_FILE_BYTES
        )),
        Err(error) => Err(format!("the file can't be read: {error}")),
    }
}

/// The units that `.wants` and its kin name, each with the link that names it. A link to /dev/null, or an empty file, in a stronger
/// directory takes a name out.
pub(crate) fn wanted(
    directories: &[PathBuf],
    unit: &UnitName,
    tree: &dyn Tree,
) -> io::Result<Vec<(UnitName, PathBuf)>> {
    let mut seen = Set::new();
    let mut wanted = Vec::new();
    for directory in directories {
        for Named { name, is_link } in tree.entries(directory)? {
            let at = directory.join(&name);
            if wanted.len() < MAX_WANTED
                && seen.insert(name.clone())
                && !(is_link && masks(&at, tree)?)
            {
                wanted.extend(wanted_unit(&name, unit).map(|other| (other, at)));
            }
        }
    }
    Ok(wanted)
}

fn masks(at: &Path, tree: &dyn Tree) -> io::Result<bool> {
    let leads_to_null = |target: PathBuf| link_target(at, &target) == Path::new("/dev/null");
    Ok(tree.link(at)?.is_some_and(leads_to_null))
}

/// A template in `x@i.service.wants/` means its instance `i`.
fn wanted_unit(name: &str, unit: &UnitName) -> Option<UnitName> {
    let name = UnitName::new(name).ok()?;
    if !name.is_template() {
        return Some(name);
    }
    name.with_instance(unit.instance()?).ok()
}
