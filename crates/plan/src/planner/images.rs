//! Images: which a unit wants, with what is said of each, and where their trees go.

use model::value::{ExtensionImage, ImagePolicy, MountImage};
use model::{Directive, Unit, key, versioned};

use super::Refusal;
use super::draft::Draft;
use super::meaning::root_directory;
use super::mounts::Cover;
use crate::step::{Step, What};

/// Images of one unit: their places are bytes, and the descriptors travel in one message.
const IMAGES_MAX: usize = 32;

/// What an image is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageKind {
    /// The root of the unit's tree.
    Root,
    /// The same, of a directory with several versions.
    RootDirectory,
    /// A stack of mounts that is the root.
    RootStack,
    /// To be mounted somewhere.
    Mount,
    /// To be laid over /usr, /opt and /etc.
    Extension,
    /// The same of a directory.
    ExtensionDirectory,
}

/// An image that a unit wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageWish {
    /// What for.
    pub kind: ImageKind,
    /// Its place among the unit's images, by which steps name it.
    pub index: u32,
    /// What asks for it.
    pub directive: Directive,
    /// The file or directory, or where several versions of it are.
    pub path: String,
    /// It may be missing.
    pub optional: bool,
    /// Its policy.
    pub policy: String,
    /// Mount options: `partition:options`, or options for its root.
    pub options: Vec<String>,
    /// RootHash=
    pub root_hash: Option<String>,
    /// RootHashSignature=
    pub signature: Option<String>,
    /// RootVerity=
    pub verity: Option<String>,
    /// The directory of the host that an extension is laid over; none: the unit's root is an image.
    pub base: Option<String>,
}

impl ImageWish {
    /// A root of which nothing is said but where it is.
    #[must_use]
    pub fn plain_root(path: &str) -> ImageWish {
        ImageWish {
            kind: ImageKind::Root,
            index: 0,
            directive: key::ROOT_IMAGE.directive(),
            path: path.to_owned(),
            optional: false,
            policy: ImagePolicy::OF_ROOTS.to_owned(),
            options: Vec::new(),
            root_hash: None,
            signature: None,
            verity: None,
            base: None,
        }
    }
}

/// The image, the versions of a directory or the stack of mounts that are the root of a unit's tree.
#[must_use]
pub fn root_image(unit: &Unit) -> Option<(ImageKind, &str)> {
    if root_directory(unit).is_some() {
        return None;
    }
    let directory = unit.get(&key::ROOT_DIRECTORY).map(|path| path.as_str());
    let directory = directory.filter(|path| versioned::is_versioned(path));
    let image = unit.get(&key::ROOT_IMAGE).map(|path| path.as_str());
    let directory = directory.map(|path| (ImageKind::RootDirectory, path));
    let stack = unit.get(&key::ROOT_MSTACK).map(|path| path.as_str());
    let image = image.map(|path| (ImageKind::Root, path));
    let stack = stack.map(|path| (ImageKind::RootStack, path));
    directory.or(image).or(stack)
}

/// What gives the unit its root.
pub(super) fn root_directive(unit: &Unit) -> Directive {
    match root_image(unit) {
        Some((ImageKind::RootDirectory, _)) => key::ROOT_DIRECTORY.directive(),
        Some((ImageKind::RootStack, _)) => key::ROOT_MSTACK.directive(),
        _ => key::ROOT_IMAGE.directive(),
    }
}

/// Adds the images of a unit, each cloned in a step of its own, and the mounts of MountImages=.
pub(super) fn plan(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    let unit = draft.unit;
    if let Some((kind, path)) = root_image(unit) {
        draft.mounts.image = true;
        let wish = root(unit, kind, path);
        add(draft, wish)?;
    }
    for image in unit.get(&key::MOUNT_IMAGES).into_iter().flatten() {
        let directive = key::MOUNT_IMAGES.directive();
        let policy = unit.get(&key::MOUNT_IMAGE_POLICY);
        let policy = policy.map_or(ImagePolicy::OF_ROOTS, |policy| &policy.0);
        let wish = wish(ImageKind::Mount, directive, image, policy);
        let index = add(draft, wish)?;
        let cover = Cover::Image { index };
        draft
            .mounts
            .cover(&image.destination, cover, 0, false, Some(directive));
    }
    let policy = unit.get(&key::EXTENSION_IMAGE_POLICY);
    let policy = policy.map_or(ImagePolicy::OF_EXTENSIONS, |policy| &policy.0);
    for ExtensionImage(image) in unit.get(&key::EXTENSION_IMAGES).into_iter().flatten() {
        let directive = key::EXTENSION_IMAGES.directive();
        let wish = ImageWish {
            base: base(unit),
            ..wish(ImageKind::Extension, directive, image, policy)
        };
        add(draft, wish)?;
    }
    for rule in unit.get(&key::EXTENSION_DIRECTORIES).into_iter().flatten() {
        let image = MountImage {
            source: rule.path.clone(),
            destination: String::new(),
            optional: rule.optional,
            options: Vec::new(),
        };
        let directive = key::EXTENSION_DIRECTORIES.directive();
        let wish = ImageWish {
            base: base(unit),
            ..wish(ImageKind::ExtensionDirectory, directive, &image, "*")
        };
        add(draft, wish)?;
    }
    draft.mounts.extended = draft.images.iter().any(is_extension);
    Ok(())
}

/// Extensions come right after the root, so that all else sees them.
pub(super) fn lay_extensions(draft: &mut Draft<'_>) {
    let extensions: Vec<&ImageWish> = draft
        .images
        .iter()
        .filter(|wish| is_extension(wish))
        .collect();
    let places = extensions.iter().map(|wish| wish.index as u8);
    let (places, first): (Vec<u8>, _) = (places.collect(), extensions.first());
    let Some(directive) = first.map(|wish| wish.directive) else {
        return;
    };
    let step = Step::Mount {
        at: c"/",
        what: What::Extensions { images: &places },
        set: 0,
        clear: 0,
        missing_ok: false,
    };
    draft.push(directive, step);
}

fn is_extension(wish: &ImageWish) -> bool {
    matches!(
        wish.kind,
        ImageKind::Extension | ImageKind::ExtensionDirectory
    )
}

/// Gives an image its place: the root has 0, also where there is none.
fn add(draft: &mut Draft<'_>, mut wish: ImageWish) -> Result<u32, Refusal> {
    let next = draft.images.last().map_or(1, |last| last.index + 1);
    let is_root = matches!(
        wish.kind,
        ImageKind::Root | ImageKind::RootDirectory | ImageKind::RootStack
    );
    wish.index = if is_root { 0 } else { next };
    if draft.images.len() >= IMAGES_MAX {
        return Err(Refusal {
            directive: wish.directive,
            why: format!("a unit has no more than {IMAGES_MAX} images"),
        });
    }
    let (index, directive) = (wish.index, wish.directive);
    draft.images.push(wish);
    draft.push(directive, Step::CloneImage { index });
    Ok(index)
}

fn wish(kind: ImageKind, directive: Directive, image: &MountImage, policy: &str) -> ImageWish {
    ImageWish {
        kind,
        index: 0,
        directive,
        path: image.source.clone(),
        optional: image.optional,
        policy: policy.to_owned(),
        options: image.options.clone(),
        root_hash: None,
        signature: None,
        verity: None,
        base: None,
    }
}

fn root(unit: &Unit, kind: ImageKind, path: &str) -> ImageWish {
    let image = MountImage {
        source: path.to_owned(),
        destination: String::new(),
        optional: false,
        options: Vec::new(),
    };
    let policy = unit.get(&key::ROOT_IMAGE_POLICY);
    let policy = policy.map_or(ImagePolicy::OF_ROOTS, |policy| &policy.0);
    let directive = root_directive(unit);
    let mut wish = wish(kind, directive, &image, policy);
    if kind == ImageKind::Root {
        let options = unit.get(&key::ROOT_IMAGE_OPTIONS).into_iter().flatten();
        let options = options.map(|one| format!("{}:{}", one.partition, one.options));
        wish.options = options.collect();
        wish.root_hash = unit.get(&key::ROOT_HASH).cloned();
        wish.signature = unit.get(&key::ROOT_HASH_SIGNATURE).cloned();
        wish.verity = unit.get(&key::ROOT_VERITY).map(|path| path.path.clone());
    }
    wish
}

/// What extensions are laid over, where that is no image.
fn base(unit: &Unit) -> Option<String> {
    match root_image(unit) {
        Some(_) => None,
        None => Some(root_directory(unit).unwrap_or("/").to_owned()),
    }
}
