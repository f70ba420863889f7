//! Images that become others between a look at them and their use.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use coracle_system_tests::images::{BOAT, By, with_workshop};

use crate::forge::Forge;

/// Changes a file of these bytes, and changes it back.
type Meddle = fn(&Path, &[u8]);

/// What somebody does to a file again and again.
const MEDDLING: [(&str, Meddle); 4] = [
    ("it is cut and grows again", |path, bytes| {
        let file = OpenOptions::new().write(true).open(path).expect("a file");
        file.set_len(100).expect("a length");
        file.write_all_at(bytes, 0).expect("it is written");
    }),
    ("it is another file", |path, bytes| {
        let beside = path.with_extension("other");
        fs::write(&beside, &bytes[..bytes.len() / 2]).expect("a file");
        fs::rename(&beside, path).expect("a name");
        fs::write(&beside, bytes).expect("a file");
        fs::rename(&beside, path).expect("a name");
    }),
    ("its table changes", |path, bytes| {
        let file = OpenOptions::new().write(true).open(path).expect("a file");
        file.write_all_at(&[0xff; 64], 512 + 40)
            .expect("it is written");
        file.write_all_at(&bytes[512..1024], 512)
            .expect("it is written");
    }),
    ("its data change", |path, bytes| {
        let file = OpenOptions::new().write(true).open(path).expect("a file");
        let at = bytes.len() / 2;
        file.write_all_at(&[0xff; 4096], at as u64)
            .expect("it is written");
        file.write_all_at(&bytes[at..at + 4096], at as u64)
            .expect("it is written");
    }),
];

/// Lets work happen while somebody meddles with a file.
fn meddled(path: &Path, meddle: Meddle, work: impl FnOnce()) {
    let bytes = fs::read(path).expect("an image");
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                meddle(path, &bytes);
            }
        });
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        is_over.store(true, Ordering::Relaxed);
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

#[test]
fn a_file_that_changes_while_it_is_looked_at_is_read_or_refused() {
    const ROUNDS: usize = 6;
    with_workshop(|coracle, workshop| {
        let forge = Forge::new(coracle, workshop);
        for (what, meddle) in MEDDLING {
            let image = forge.file("forged.psi", &forge.good().0);
            meddled(Path::new(&image), meddle, || {
                for _ in 0..ROUNDS {
                    let looked = coracle.coracle(&["inspect", &image]);
                    let said = &looked.stderr;
                    assert!(looked.status <= 1, "{what}: {looked:?}");
                    let is_told = looked.stdout.contains("Intact") || said.contains("Hint: ");
                    assert!(
                        is_told && !said.contains("without an answer"),
                        "{what}: {looked:?}"
                    );
                    let attached = coracle.coracle(&["attach", &image]);
                    let said = &attached.stderr;
                    match attached.status {
                        0 => drop(coracle.ok(&["purge", "--forget", "boat"])),
                        _ => assert!(
                            said.contains("Hint: ") && !said.contains("without an answer"),
                            "{what}: {attached:?}"
                        ),
                    }
                }
            });
            forge.left_nothing();
        }
    });
}

/// Something done to the store, and what is said then of the image that was in it.
type Tampering = (&'static str, fn(&Path), &'static str);

fn beside(image: &Path, suffix: &str) -> PathBuf {
    image.with_file_name(format!(
        "{}.{suffix}",
        image.file_name().expect("a name").to_string_lossy()
    ))
}

const TAMPERINGS: &[Tampering] = &[
    ("it is cut", |image| cut(image, 100), "its size differs"),
    ("it is empty", |image| cut(image, 0), "its size differs"),
    (
        "it is written to",
        |image| {
            let file = OpenOptions::new().write(true).open(image).expect("a file");
            file.write_all_at(b"evil", 20_000).expect("it is written");
        },
        "it was written to",
    ),
    (
        "it is another file of the same bytes",
        |image| {
            let bytes = fs::read(image).expect("a file");
            fs::remove_file(image).expect("it goes");
            fs::write(image, bytes).expect("a file");
        },
        "was changed: it ",
    ),
    (
        "it can be written to by others",
        |image| fs::set_permissions(image, fs::Permissions::from_mode(0o666)).expect("a mode"),
        "its properties were changed",
    ),
    (
        "it is gone",
        |image| fs::remove_file(image).expect("it goes"),
        "the store has no image",
    ),
    (
        "it is a link",
        |image| {
            let aside = beside(image, "aside");
            fs::rename(image, &aside).expect("a name");
            std::os::unix::fs::symlink(&aside, image).expect("a link");
        },
        "its properties were changed",
    ),
    (
        "what it was is forgotten",
        |image| fs::remove_file(beside(image, "identity")).expect("it goes"),
        "its identity was never recorded",
    ),
    (
        "what it was is nothing",
        |image| fs::write(beside(image, "identity"), "{}").expect("a file"),
        "its identity record is damaged",
    ),
    (
        "what was proven is forgotten",
        |image| fs::remove_file(beside(image, "note")).expect("it goes"),
        "there is no note of what was proven of it",
    ),
    (
        "what was proven is nothing",
        |image| fs::write(beside(image, "note"), "{}").expect("a file"),
        "the store's note on the image is damaged",
    ),
    (
        "what was proven is of another",
        |image| {
            let note = fs::read_to_string(beside(image, "note")).expect("a note");
            let mut note: serde_json::Value = serde_json::from_str(&note).expect("JSON");
            note["identity"]["inode"] = 1.into();
            fs::write(beside(image, "note"), note.to_string()).expect("a file");
        },
        "changed or replaced after it was verified",
    ),
];

fn cut(image: &Path, length: u64) {
    File::options()
        .write(true)
        .open(image)
        .expect("a file")
        .set_len(length)
        .expect("a length");
}

#[test]
fn what_changed_in_the_store_starts_no_more_and_is_purged_and_comes_in_again() {
    with_workshop(|coracle, workshop| {
        let image = workshop.image("boat", "1", By::Trusted, &[("boat.service", BOAT)]);
        let store = coracle.folder().join("state/store");
        let stored = || {
            let files = fs::read_dir(&store)
                .expect("the store")
                .flatten()
                .map(|entry| entry.path());
            let mut files = files.filter(|path| path.is_file());
            files
                .find(|path| path.extension().is_none())
                .expect("an image")
        };
        for (what, tamper, why) in TAMPERINGS {
            coracle.ok(&["attach", &image]);
            tamper(&stored());
            let refused = coracle.coracle(&["start", "boat"]);
            assert!(
                refused.status != 0
                    && refused.stderr.contains(why)
                    && refused.stderr.contains("Hint: attach it again"),
                "{what}: {refused:?}"
            );
            // A unit is started by what the image itself proves, which is as it was where only a word about it was lost.
            let by_unit = coracle.coracle(&["start", "boat.service"]);
            let is_image = what.starts_with("it ");
            assert!(by_unit.status != 0 || !is_image, "{what}: {by_unit:?}");
            coracle.ok(&["purge", "--forget", "boat"]);
            let left: Vec<PathBuf> = fs::read_dir(&store)
                .expect("the store")
                .flatten()
                .map(|entry| entry.path())
                .collect();
            let left: Vec<&PathBuf> = left
                .iter()
                .filter(|path| {
                    !path.ends_with("staging") && !path.to_string_lossy().ends_with(".aside")
                })
                .collect();
            assert!(left.is_empty(), "{what}: {left:?}");
            for aside in fs::read_dir(&store)
                .expect("the store")
                .flatten()
                .filter(|entry| entry.path().is_file())
            {
                fs::remove_file(aside.path()).expect("it goes");
            }
        }
        // The image itself heals the store.
        coracle.ok(&["attach", &image]);
        cut(&stored(), 100);
        coracle.ok(&["start", &image]);
        assert_eq!(coracle.property("boat.service", "ActiveState"), "active");
        coracle.ok(&["purge", "--forget", "boat"]);
    });
}
