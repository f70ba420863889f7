//! Images that are mounted ahead of a start: whoever is about to ask for one says so, and the worker is at it while the units that are
//! attached reach the disk. They stay for as long as who said so is there, and for longer where a run has them by then.

use crate::manager::Manager;
use plan::ImageWish;
use std::collections::BTreeSet;
use std::path::Path;
use wire::{Failure, MountRequest};

/// Images that are kept for clients; what is beyond is mounted when it is asked for.
const AHEAD_MAX: usize = 1024;

/// For which connections which images are kept though nobody runs from them yet.
#[derive(Debug, Default)]
pub(super) struct Ahead(BTreeSet<(u32, String)>);

impl Ahead {
    pub(super) fn are_for(&self, client: u32) -> bool {
        self.0.iter().any(|(other, _)| *other == client)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.0.iter().any(|(_, other)| other == key)
    }

    fn insert(&mut self, client: u32, key: &str) -> bool {
        self.0.len() < AHEAD_MAX && self.0.insert((client, key.to_owned()))
    }

    fn end(&mut self, client: u32) {
        self.0.retain(|(other, _)| *other != client);
    }
}

impl Manager {
    /// Begins to mount an image of the store, unless it is mounted. What goes wrong is told to whoever starts from it: that tries again.
    pub(crate) fn mount_ahead(
        &mut self,
        client: u32,
        request: &MountRequest,
    ) -> Result<(), Failure> {
        self.must_run()?;
        if !is_in(&self.directories.state.join("store"), &request.path) {
            return Err(Failure::InvalidParameter {
                parameter: "path".into(),
            });
        }
        let wish = ImageWish::plain_root(&request.path);
        // The key of a plain root is its path, as in [`super::image_key`].
        let key = wish.path.clone();
        if self.mounts.ahead.insert(client, &key) && !self.mounts.has(&key) {
            let begun = self.begin_mount(Vec::new(), key, &wish, None);
            return begun.map_err(|error| Failure::Internal {
                message: format!("cannot start the worker that mounts {}: {error}", wish.path),
            });
        }
        Ok(())
    }

    /// Who asked for images to be mounted is gone.
    pub(crate) fn end_ahead(&mut self, client: u32) {
        if self.mounts.ahead.are_for(client) {
            self.mounts.ahead.end(client);
            self.let_unwanted_images_go();
        }
    }
}

/// Only what the store has was proven before: of another image that is to be mounted, all is hashed.
fn is_in(store: &Path, path: &str) -> bool {
    let name = Path::new(path).file_name().and_then(|name| name.to_str());
    let is_image = |name: &str| name.starts_with("sha256-") && !name.contains('.');
    name.is_some_and(|name| is_image(name) && store.join(name) == Path::new(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_images_of_the_store_are_mounted_ahead() {
        let check = |path: &str, expected| {
            assert_eq!(is_in(Path::new("/s/store"), path), expected, "{path}");
        };
        check("/s/store/sha256-00", true);
        check("/s/store/sha256-00.note", false);
        check("/s/store/staging", false);
        check("/s/store/staging/sha256-00", false);
        check("/s/store/../sha256-00", false);
        check("sha256-00", false);
        check("/", false);
        check("", false);
    }

    #[test]
    fn an_image_is_kept_until_the_last_one_is_gone_who_asked_for_it() {
        let mut ahead = Ahead::default();
        assert!(ahead.insert(1, "a") && ahead.insert(2, "a") && ahead.insert(1, "b"));
        assert!(!ahead.insert(1, "a"));
        ahead.end(1);
        assert!(ahead.has("a") && !ahead.has("b") && !ahead.are_for(1));
        ahead.end(2);
        assert!(!ahead.has("a"));
        let many = (0..AHEAD_MAX).all(|number| ahead.insert(3, &number.to_string()));
        assert!(many && !ahead.insert(3, "one more"));
    }
}
