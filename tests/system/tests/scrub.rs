//! Stored images that the disk changed: nobody can tell by their files, and `scrub` tells by their content.

use std::fs::{self, File};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _};
use std::path::{Path, PathBuf};

use coracle_system_tests::images::{BOAT, By, with_workshop};
use coracle_system_tests::mounts;
use coracle_system_tests::own_images::run;
use testkit::Instance;

/// A disk of the store's own, below which its bytes can be changed.
struct Disk {
    file: PathBuf,
    place: PathBuf,
}

impl Disk {
    fn of(coracle: &Instance) -> Disk {
        let file = coracle.folder().join("disk");
        let place = coracle.folder().join("state/store");
        let path = file.display().to_string();
        run("truncate", &["-s", "64M", &path]);
        run("mkfs.ext4", &["-q", "-O", "^has_journal", &path]);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&place)
            .expect("a folder");
        run(
            "mount",
            &["-o", "loop", &path, &place.display().to_string()],
        );
        Disk { file, place }
    }

    /// Flips a bit of the first place where these bytes are.
    fn rot(&self, bytes: &[u8]) {
        let disk = fs::read(&self.file).expect("the disk");
        let at = disk
            .windows(bytes.len())
            .position(|found| found == bytes)
            .expect("the bytes are on the disk");
        let flipped = disk[at] ^ 1;
        let file = File::options()
            .write(true)
            .open(&self.file)
            .expect("the disk");
        file.write_all_at(&[flipped], at as u64).expect("it rots");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A test that has failed may leave a service on it.
        mounts::clear(&self.place);
    }
}

/// A unit with a word that is nowhere else on the disk.
fn unit(word: &str) -> String {
    format!("{BOAT}Environment=WORD={word}\n")
}

fn scrubbed(coracle: &Instance, words: &[&str]) -> serde_json::Value {
    let said = coracle.coracle(&[&["--json", "scrub"], words].concat());
    serde_json::from_str(&said.stdout).unwrap_or_else(|_| panic!("{said:?}"))
}

#[test]
fn what_the_disk_changed_is_found_with_whose_it_is_and_starts_no_more_until_it_comes_again() {
    with_workshop(|coracle, workshop| {
        let disk = Disk::of(coracle);
        let image = |name: &str, word: &str| {
            let file = format!("{name}.service");
            workshop.image(name, "1", By::Trusted, &[(&file, &unit(word))])
        };
        let (boat, ship) = (
            image("boat", "word-of-a-boat"),
            image("ship", "word-of-a-ship"),
        );
        coracle.ok(&["start", &boat]);
        coracle.ok(&["attach", &ship]);
        let whole = coracle.ok(&["scrub"]);
        assert_eq!(whole.matches("whole").count(), 2, "{whole}");
        assert!(
            whole.contains("boat 1") && whole.contains("ship 1"),
            "{whole}"
        );
        coracle.ok(&["start", "coracle-scrub.service"]);

        // In the image; what was read of it is noted beside it as JSON.
        disk.rot(b"\nEnvironment=WORD=word-of-a-boat\n");
        // By its file, it is the same as ever.
        coracle.ok(&["restart", "boat.service"]);
        let told = coracle.coracle(&["scrub", "ship"]);
        assert_eq!(told.status, 0, "of another portable: {told:?}");
        let service = coracle.coracle(&["start", "coracle-scrub.service"]);
        assert_ne!(service.status, 0, "{service:?}");
        let log = coracle.ok(&["logs", "coracle-scrub.service"]);
        for phrase in ["the disk has another content", "it is of boat 1", &boat] {
            assert!(log.contains(phrase), "{phrase}: {log}");
        }
        let told = coracle.coracle(&["scrub"]);
        assert_eq!(told.status, 1, "{told:?}");
        let lines = told.stdout.lines();
        let damaged: Vec<_> = lines.filter(|line| line.contains("damaged")).collect();
        assert!(
            matches!(damaged.as_slice(), [line] if line.contains("boat 1")),
            "{told:?}"
        );
        let json = scrubbed(coracle, &["boat"]);
        assert_eq!(json[0]["state"], "damaged", "{json}");
        assert_eq!(json[0]["used_by"][0], "boat 1", "{json}");

        // What runs goes on, and nothing is started from it.
        assert_eq!(coracle.property("boat.service", "ActiveState"), "active");
        coracle.ok(&["stop", "boat.service"]);
        for word in ["boat.service", "boat"] {
            let refused = coracle.coracle(&["start", word]);
            assert_ne!(refused.status, 0, "{word}: {refused:?}");
        }
        let refused = coracle.coracle(&["start", "boat"]).stderr;
        assert!(
            refused.contains("the disk has another content"),
            "{refused}"
        );
        coracle.ok(&["start", &boat]);
        assert_eq!(coracle.property("boat.service", "ActiveState"), "active");
        coracle.ok(&["scrub"]);

        // One that is gone, and one that nobody knows.
        fs::remove_file(stored(&disk.place, &scrubbed(coracle, &["ship"]))).expect("it goes");
        let told = coracle.coracle(&["scrub"]);
        assert!(
            told.status == 1 && told.stdout.contains("missing") && told.stderr.contains("ship 1"),
            "{told:?}"
        );
        let told = coracle.coracle(&["scrub", "nobody"]);
        assert!(
            told.status == 1 && told.stderr.contains("no portable \"nobody\""),
            "{told:?}"
        );
        for name in ["boat", "ship"] {
            coracle.ok(&["purge", "--forget", name]);
        }
        coracle.ok(&["daemon-exit"]);
    });
}

/// Where the image of the first line lies.
fn stored(store: &Path, lines: &serde_json::Value) -> PathBuf {
    let image = lines[0]["image"].as_str().expect("a digest");
    store.join(image.replace(':', "-"))
}
