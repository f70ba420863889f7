//! The targets that unit files take for granted, the template that tells of failures and the timer of upgrades: the host's files
//! come first, these stand behind them.

use std::io;
use std::path::{Path, PathBuf};

use crate::host_tree::HostTree;
use crate::tree::{Content, Named, Stamp, Tree};

/// The directory in which they seem to be. It can't exist, as its parent is no directory.
pub const DIRECTORY: &str = "/dev/null/built-in";

/// The one of units that only the init of a machine or a container has; it stands before the other.
pub const INIT_DIRECTORY: &str = "/dev/null/built-in-init";

/// A target by which an init ends: all is stopped before it, and it does not last for ever.
macro_rules! end {
    ($action:literal) => {
        concat!(
            "DefaultDependencies=no\nRequires=shutdown.target umount.target final.target\n",
            "After=shutdown.target umount.target final.target\nAllowIsolate=yes\n",
            "JobTimeoutSec=30min\nJobTimeoutAction=",
            $action,
            "\n"
        )
    };
}

/// Names with what stands in their `[Unit]` section, of an init alone.
const TARGETS_OF_INIT: &[(&str, &str)] = &[
    (
        "emergency.target",
        "DefaultDependencies=no\nRequires=coracle-emergency.service\nAfter=coracle-emergency.service\nAllowIsolate=yes\n",
    ),
    ("exit.target", end!("exit-force")),
    ("halt.target", end!("halt-force")),
    ("kbrequest.target", ""),
    ("kexec.target", end!("kexec-force")),
    (
        "local-fs.target",
        "DefaultDependencies=no\nConflicts=shutdown.target\nAfter=local-fs-pre.target\nOnFailure=emergency.target\nOnFailureJobMode=replace\n",
    ),
    (
        "multi-user.target",
        "Requires=basic.target\nAfter=basic.target\nWants=getty.target\nConflicts=rescue.target\nAfter=rescue.target\nAllowIsolate=yes\n",
    ),
    ("poweroff.target", end!("poweroff-force")),
    ("reboot.target", end!("reboot-force")),
    (
        "remote-fs.target",
        "DefaultDependencies=no\nAfter=remote-fs-pre.target\n",
    ),
    (
        "rescue.target",
        "Requires=sysinit.target coracle-rescue.service\nAfter=sysinit.target coracle-rescue.service\nAllowIsolate=yes\n",
    ),
    ("sigpwr.target", ""),
    (
        "sysinit.target",
        "DefaultDependencies=no\nWants=local-fs.target swap.target\nAfter=local-fs.target swap.target emergency.target\n\
         Conflicts=emergency.target\n",
    ),
];

/// Names with the whole files, of an init alone.
const SERVICES_OF_INIT: &[(&str, &str)] = &[
    (
        "console-getty.service",
        include_str!("of_init/console-getty.service"),
    ),
    (
        "coracle-emergency.service",
        include_str!("of_init/coracle-emergency.service"),
    ),
    (
        "coracle-fsck@.service",
        include_str!("of_init/coracle-fsck@.service"),
    ),
    (
        "coracle-remount.service",
        include_str!("of_init/coracle-remount.service"),
    ),
    (
        "coracle-rescue.service",
        include_str!("of_init/coracle-rescue.service"),
    ),
    ("getty@.service", include_str!("of_init/getty@.service")),
    (
        "serial-getty@.service",
        include_str!("of_init/serial-getty@.service"),
    ),
];

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
    (
        "final.target",
        "DefaultDependencies=no\nAfter=shutdown.target umount.target\n",
    ),
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

/// Names with the whole files: what the program itself does by units.
const FILES: &[(&str, &str)] = &[
    (
        "coracle-notify@.service",
        include_str!("coracle-notify@.service"),
    ),
    (
        "coracle-scrub.service",
        include_str!("coracle-scrub.service"),
    ),
    ("coracle-scrub.timer", include_str!("coracle-scrub.timer")),
    (
        "coracle-upgrade.service",
        include_str!("coracle-upgrade.service"),
    ),
    (
        "coracle-upgrade.timer",
        include_str!("coracle-upgrade.timer"),
    ),
];

/// Services that run a verb of the command, as their timers say.
pub const OF_COMMANDS: [&str; 2] = ["coracle-scrub.service", "coracle-upgrade.service"];

/// Names with texts.
type Table = [(&'static str, &'static str)];

/// The targets and the services of a directory.
fn tables(directory: &Path) -> Option<(&'static Table, &'static Table)> {
    match directory.to_str()? {
        DIRECTORY => Some((TARGETS, FILES)),
        INIT_DIRECTORY => Some((TARGETS_OF_INIT, SERVICES_OF_INIT)),
        _ => None,
    }
}

/// What a file of these directories has. None: it is in none of them.
fn content(path: &Path) -> Option<Content> {
    let (targets, services) = tables(path.parent()?)?;
    let of = |table: &Table| {
        let found = table
            .iter()
            .find(|(known, _)| path.file_name() == Some(known.as_ref()));
        found.map(|(_, text)| *text)
    };
    let target = of(targets).map(|text| format!("[Unit]\n{text}"));
    let text = target.or_else(|| of(services).map(str::to_owned));
    Some(text.map_or(Content::Missing, |text| Content::Bytes(text.into_bytes())))
}

fn is_built_in(path: &Path) -> bool {
    path.starts_with("/dev/null")
}

/// Files, those of the host or others, and the built-in units.
#[derive(Clone, Copy, Debug, Default)]
pub struct UnitTree<T = HostTree>(pub T);

impl<T: Tree> Tree for UnitTree<T> {
    fn entries(&self, directory: &Path) -> io::Result<Vec<Named>> {
        let Some((targets, services)) = tables(directory) else {
            return self.0.entries(directory);
        };
        let named = |(name, _): &(&str, &str)| Named {
            name: (*name).into(),
            is_link: false,
        };
        Ok(targets.iter().chain(services).map(named).collect())
    }

    fn stamp(&self, path: &Path) -> io::Result<Option<Stamp>> {
        if !is_built_in(path) {
            return self.0.stamp(path);
        }
        Ok(Some(Stamp {
            version: 0,
            is_settled: true,
        }))
    }

    fn link(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        if is_built_in(path) {
            Ok(None)
        } else {
            self.0.link(path)
        }
    }

    fn read(&self, path: &Path, limit_bytes: usize) -> io::Result<Content> {
        match content(path) {
            Some(content) => Ok(content),
            None => self.0.read(path, limit_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_sorted_and_every_one_that_is_mentioned_is_there() {
        assert!(TARGETS.is_sorted() && TARGETS_OF_INIT.is_sorted());
        let all = || TARGETS.iter().chain(TARGETS_OF_INIT);
        for word in all()
            .flat_map(|(_, text)| text.split(['=', ' ', '\n']))
            .filter(|word| word.ends_with(".target"))
        {
            assert!(all().any(|(name, _)| *name == word), "{word}");
        }
    }
}
