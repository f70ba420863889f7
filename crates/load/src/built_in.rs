//! The targets that unit files take for granted, and the template that tells of failures: the host's files come first, these stand
//! behind them.

use std::io;
use std::path::{Path, PathBuf};

use crate::host_tree::HostTree;
use crate::tree::{Content, Named, Stamp, Tree};

/// The directory in which they seem to be. It can't exist, as its parent is no directory.
pub const DIRECTORY: &str = "/dev/null/built-in";

/// Names with what stands in their `[Unit]` section.
const TARGETS: &[(&str, &str)] = &[
    (
        "basic.target",
        "Requires=sysinit.target\nAfter=sysinit.target\nWants=sockets.target timers.target paths.target slices.target\nAfter=sockets.target paths.target slices.target\n",
    ),
    ("cryptsetup.target", ""),
    (
        "default.target",
        "Requires=multi-user.target\nAfter=multi-user.target\nAllowIsolate=yes\n",
    ),
    ("final.target", "DefaultDependencies=no\n"),
    ("getty.target", ""),
    (
        "graphical.target",
        "Requires=multi-user.target\nAfter=multi-user.target\nAllowIsolate=yes\n",
    ),
    (
        "local-fs-pre.target",
        "DefaultDependencies=no\nRefuseManualStart=yes\n",
    ),
    ("local-fs.target", "DefaultDependencies=no\n"),
    (
        "multi-user.target",
        "Requires=basic.target\nAfter=basic.target\nAllowIsolate=yes\n",
    ),
    ("network-online.target", "After=network.target\n"),
    ("network-pre.target", ""),
    ("network.target", ""),
    ("nss-lookup.target", ""),
    ("nss-user-lookup.target", ""),
    ("paths.target", "DefaultDependencies=no\n"),
    ("remote-fs-pre.target", "DefaultDependencies=no\n"),
    ("remote-fs.target", "DefaultDependencies=no\n"),
    ("rpcbind.target", ""),
    (
        "shutdown.target",
        "DefaultDependencies=no\nRefuseManualStart=yes\n",
    ),
    ("slices.target", "DefaultDependencies=no\n"),
    ("sockets.target", "DefaultDependencies=no\n"),
    ("swap.target", "DefaultDependencies=no\n"),
    ("sysinit.target", "DefaultDependencies=no\n"),
    ("time-set.target", "DefaultDependencies=no\n"),
    ("time-sync.target", "DefaultDependencies=no\n"),
    ("timers.target", "DefaultDependencies=no\n"),
    (
        "umount.target",
        "DefaultDependencies=no\nRefuseManualStart=yes\n",
    ),
];

/// Names with the whole files.
const SERVICES: &[(&str, &str)] = &[(
    "coracle-notify@.service",
    include_str!("coracle-notify@.service"),
)];

fn text(name: &Path) -> Option<String> {
    let of = |table: &[(&str, &'static str)]| {
        let found = table.iter().find(|(known, _)| name == Path::new(known));
        found.map(|(_, text)| *text)
    };
    let target = of(TARGETS).map(|text| format!("[Unit]\n{text}"));
    target.or_else(|| of(SERVICES).map(str::to_owned))
}

/// Files, those of the host or others, and the built-in units.
#[derive(Clone, Copy, Debug, Default)]
pub struct UnitTree<T = HostTree>(pub T);

impl<T: Tree> Tree for UnitTree<T> {
    fn entries(&self, directory: &Path) -> io::Result<Vec<Named>> {
        if directory == Path::new(DIRECTORY) {
            let named = |(name, _): &(&str, &str)| Named {
                name: (*name).into(),
                is_link: false,
            };
            return Ok(TARGETS.iter().chain(SERVICES).map(named).collect());
        }
        self.0.entries(directory)
    }

    fn stamp(&self, path: &Path) -> io::Result<Option<Stamp>> {
        if !path.starts_with(DIRECTORY) {
            return self.0.stamp(path);
        }
        Ok(Some(Stamp {
            version: 0,
            is_settled: true,
        }))
    }

    fn link(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        if path.starts_with(DIRECTORY) {
            Ok(None)
        } else {
            self.0.link(path)
        }
    }

    fn read(&self, path: &Path, limit_bytes: usize) -> io::Result<Content> {
        let Ok(name) = path.strip_prefix(DIRECTORY) else {
            return self.0.read(path, limit_bytes);
        };
        Ok(text(name).map_or(Content::Missing, |text| Content::Bytes(text.into_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_sorted_and_every_one_that_is_mentioned_is_there() {
        assert!(TARGETS.is_sorted());
        for word in TARGETS
            .iter()
            .flat_map(|(_, text)| text.split(['=', ' ', '\n']))
            .filter(|word| word.ends_with(".target"))
        {
            assert!(TARGETS.iter().any(|(name, _)| *name == word), "{word}");
        }
    }
}
