//! What is wanted of an image, in the words of the worker that mounts it, and what tells it from others.

use crate::directories::Directories;
use engine::ProcessKey;
use plan::{ImageKind, ImageWish};

/// What tells an image, with what is wanted of it, from all others; a plain root is its path. Of several versions each run has its own.
pub(crate) fn image_key(process: ProcessKey, wish: &ImageWish) -> String {
    let is_plain = *wish
        == ImageWish {
            index: wish.index,
            directive: wish.directive,
            ..ImageWish::plain_root(&wish.path)
        };
    // An extension that fits one system need not fit another one.
    let is_of_run =
        model::versioned::is_versioned(&wish.path) || (is_extension(wish) && wish.base.is_none());
    if is_plain && !is_of_run {
        return wish.path.clone();
    }
    let run = is_of_run.then(|| format!("{}/{}", process.unit.0, process.incarnation.0));
    let mut object = object(wish);
    object.insert("run".into(), run.into());
    serde_json::Value::from(object).to_string()
}

pub(super) fn is_extension(wish: &ImageWish) -> bool {
    matches!(
        wish.kind,
        ImageKind::Extension | ImageKind::ExtensionDirectory
    )
}

/// Whether it is a root's.
pub(super) fn is_root_key(key: &str) -> bool {
    key.starts_with('/') || key.contains("\"kind\":\"root")
}

/// What the worker is told.
pub(super) fn asked(wish: &ImageWish, directories: &Directories, written_to: &[&str]) -> String {
    let mut object = object(wish);
    object.insert("written_to".into(), written_to.into());
    for (name, path) in [
        ("config", &directories.config),
        ("state", &directories.state),
    ] {
        object.insert(name.into(), path.to_string_lossy().into());
    }
    serde_json::Value::from(object).to_string()
}

fn object(wish: &ImageWish) -> serde_json::Map<String, serde_json::Value> {
    let kind = match wish.kind {
        ImageKind::Root => "root",
        ImageKind::RootDirectory => "root_directory",
        ImageKind::RootStack => "root_stack",
        ImageKind::Mount => "mount",
        ImageKind::Extension => "extension",
        ImageKind::ExtensionDirectory => "extension_directory",
    };
    let entries: [(&str, serde_json::Value); 9] = [
        ("kind", kind.into()),
        ("path", wish.path.as_str().into()),
        ("optional", wish.optional.into()),
        ("policy", wish.policy.as_str().into()),
        ("options", wish.options.clone().into()),
        ("root_hash", wish.root_hash.clone().into()),
        ("signature", wish.signature.clone().into()),
        ("verity", wish.verity.clone().into()),
        ("base", wish.base.clone().into()),
    ];
    let entries = entries.into_iter();
    entries
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
