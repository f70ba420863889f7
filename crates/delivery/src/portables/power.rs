//! What `attach`, `detach` and `purge` do to the disk, in their order, with the power cut at each step, with each step failing alone as
//! on a full disk, and many at once: what is there then is whole, the next command succeeds, and nothing stays that is nobody's.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use super::tests::portable;
use super::{Portables, Version, mark_until_reboot, until_reboot};
use crate::attached::{self, UnitText};
use crate::digest::Digest;
use crate::files::entries;
use crate::files::power::{Trouble, trouble_at_each_step};
use crate::purge::{self, Directories, Places};
use crate::store::Store;

type Outcome = Result<(), Box<dyn Error>>;

fn image(version: &str) -> Vec<u8> {
    format!("the image of {version}").into_bytes()
}

fn unit(version: &str) -> UnitText {
    UnitText {
        name: "hello.service".to_owned(),
        text: format!("RootImage={}", Digest::of(&image(version)).hex()),
        drop_ins: vec![("10-profile.conf".to_owned(), version.to_owned())],
    }
}

fn install(root: &Path, version: &str) -> Outcome {
    let (state, run) = (root.join("state"), root.join("run"));
    let store = Store::open(&state)?;
    let (staging, digest, _) = store.copy_in(&mut &image(version)[..], 1 << 20)?;
    let records = Portables::new(&state);
    let mut held = match records.hold("hello") {
        Ok(held) => held,
        Err(error) => {
            store.discard(staging)?;
            return Err(error.into());
        }
    };
    let mut wanted = held.get()?.unwrap_or_else(|| portable(version, b"maker"));
    wanted.runtime = true;
    wanted.current = version.to_owned();
    wanted.directories.insert("/var/lib/hello".to_owned());
    let kept = Version {
        image: Some(digest),
        ..Version::default()
    };
    wanted.versions.insert(version.to_owned(), kept);
    held.claim(&wanted)?;
    let until_recorded = store.keep(staging, &digest)?;
    store.put_note(&digest, b"what was proven")?;
    mark_until_reboot(&run, "hello", true)?;
    attached::attach(&state, "hello", &[unit(version)])?;
    held.put(&wanted)?;
    drop(until_recorded);
    // Nobody purges what is held.
    store.scrub(&digest, &|_| ()).expect("what is recorded");
    Ok(())
}

fn detach(root: &Path) -> Outcome {
    let (state, run) = (root.join("state"), root.join("run"));
    let held = Portables::new(&state).hold("hello")?;
    attached::detach(&state, "hello")?;
    if let Some(mut known) = held.get()? {
        known.runtime = false;
        held.put(&known)?;
    }
    Ok(mark_until_reboot(&run, "hello", false)?)
}

fn places(root: &Path) -> Places {
    Places {
        runtime: root.join("run"),
        state: root.join("state"),
        config: root.join("config"),
        state_home: root.join("lib"),
        cache_home: root.join("cache"),
        logs_home: root.join("log"),
        runtime_home: root.join("homes"),
        config_home: root.join("etc"),
    }
}

fn purge_all(root: &Path) -> Outcome {
    let (state, run) = (root.join("state"), root.join("run"));
    let records = Portables::new(&state);
    let held = records.hold("hello")?;
    if held.get()?.is_some() {
        attached::detach(&state, "hello")?;
        let directories = Directories {
            state: vec!["hello".to_owned()],
            ..Directories::default()
        };
        for path in purge::paths("hello", &directories, &places(root)) {
            purge::remove(&path)?;
        }
        mark_until_reboot(&run, "hello", false)?;
    }
    held.remove()?;
    collect(root)
}

fn collect(root: &Path) -> Outcome {
    let state = root.join("state");
    Store::open(&state)?.collect(|| -> Result<Vec<Digest>, Box<dyn Error>> {
        let known = Portables::new(&state).list()?;
        let versions = known.iter().flat_map(|known| known.versions.values());
        Ok(versions.filter_map(|version| version.image).collect())
    })?;
    Ok(())
}

/// Which version is recorded and which is attached; each that is named is in the store, whole, with its note.
fn seen(root: &Path) -> (Option<String>, Option<String>) {
    let state = root.join("state");
    let store = Store::open(&state).unwrap();
    let record = Portables::new(&state).get("hello").unwrap();
    let versions = record.iter().flat_map(|record| record.versions.values());
    let images = versions.filter_map(|version| version.image);
    for digest in images {
        store.scrub(&digest, &|_| ()).unwrap();
        assert_eq!(store.note(&digest).unwrap(), b"what was proven");
    }
    let attached = attached::units(&state, "hello").unwrap();
    let attached = attached.first().map(|_| {
        let folder = state.join("attached");
        let text = fs::read_to_string(folder.join("hello.service")).unwrap();
        let versions = ["1", "2"].map(|version| (version, unit(version)));
        let (version, unit) = versions
            .into_iter()
            .find(|(_, unit)| unit.text == text)
            .unwrap();
        let drop_in = folder.join("hello.service.d/10-profile.conf");
        assert_eq!(fs::read_to_string(drop_in).unwrap(), unit.drop_ins[0].1);
        store.scrub(&Digest::of(&image(version)), &|_| ()).unwrap();
        version.to_owned()
    });
    (record.map(|record| record.current), attached)
}

/// Every file and link that is there.
fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![root.to_owned()];
    while let Some(folder) = left.pop() {
        for path in entries(&folder).unwrap() {
            if path.is_dir() && !path.is_symlink() {
                left.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Nothing is left but what is remembered.
fn gone(root: &Path) {
    purge_all(root).unwrap();
    let remembered = root.join("state/remembered");
    let left = files(root);
    assert!(left.iter().all(|path| *path == remembered), "{left:?}");
}

fn world(versions: &[&str]) -> tempfile::TempDir {
    // In memory, where nothing waits for a disk.
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let root = folder.path().canonicalize().unwrap();
    for version in versions {
        install(&root, version).unwrap();
    }
    if !versions.is_empty() {
        fs::create_dir_all(root.join("lib/private/hello")).unwrap();
        fs::write(root.join("lib/private/hello/data"), "data").unwrap();
    }
    folder
}

/// Lets an action meet every cut and every full disk; what is `seen` then is one of these, and the last where it came to its end.
fn check(before: &[&str], action: fn(&Path) -> Outcome, allowed: &[(Option<&str>, Option<&str>)]) {
    for trouble in [Trouble::PowerCut, Trouble::FullDisk] {
        trouble_at_each_step(
            trouble,
            || world(before),
            action,
            |root, done| {
                let (recorded, attached) = seen(root);
                let found = (recorded.as_deref(), attached.as_deref());
                let is_whole = match done {
                    true => allowed.last() == Some(&found),
                    false => allowed.contains(&found),
                };
                assert!(is_whole, "{trouble:?}: {found:?}, done: {done}");
                action(root).unwrap();
                let (recorded, attached) = seen(root);
                let found = (recorded.as_deref(), attached.as_deref());
                assert_eq!(allowed.last(), Some(&found), "the next one");
                gone(root);
            },
        );
    }
}

#[test]
fn an_attach_that_is_cut_short_leaves_none_or_the_new_one() {
    let none = (None, None);
    let attached = (None, Some("1"));
    check(
        &[],
        |root| install(root, "1"),
        &[none, attached, (Some("1"), Some("1"))],
    );
}

#[test]
fn an_update_that_is_cut_short_leaves_the_old_one_or_the_new_one() {
    let (old, between) = ((Some("1"), Some("1")), (Some("1"), Some("2")));
    check(
        &["1"],
        |root| install(root, "2"),
        &[old, between, (Some("2"), Some("2"))],
    );
}

#[test]
fn a_detach_that_is_cut_short_leaves_all_units_or_none() {
    check(&["1"], detach, &[(Some("1"), Some("1")), (Some("1"), None)]);
}

#[test]
fn a_purge_that_is_cut_short_is_ended_by_the_next_one() {
    let old = (Some("2"), Some("2"));
    let data = |root: &Path| root.join("lib/private/hello/data").exists();
    check(
        &["1", "2"],
        purge_all,
        &[old, (Some("2"), None), (None, None)],
    );
    let folder = world(&["1"]);
    assert!(data(folder.path()));
    purge_all(folder.path()).unwrap();
    assert!(!data(folder.path()) && !until_reboot(&folder.path().join("run"), "hello").exists());
}

#[test]
fn commands_at_once_leave_one_whole_world() {
    let folder = world(&["1"]);
    let root = folder.path();
    std::thread::scope(|scope| {
        for number in 0..8 {
            scope.spawn(move || {
                for round in 0..50 {
                    // Some find what they began with changed; none may leave anything that is half.
                    drop(match (number + round) % 4 {
                        0 => install(root, "1"),
                        1 => install(root, "2"),
                        2 => detach(root),
                        _ => purge_all(root),
                    });
                    collect(root).unwrap();
                }
            });
        }
    });
    seen(root);
    install(root, "2").unwrap();
    assert_eq!(seen(root), (Some("2".to_owned()), Some("2".to_owned())));
    gone(root);
}
