//! Only the parts of a version that changed come, and the whole where anything about the parts is wrong.

use std::fs;
use std::path::PathBuf;

use coracle_system_tests::images::{By, Web, Workshop, with_workshop};
use testkit::{Finished, HttpsServer, Instance};

/// Bytes that no compression makes shorter.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// A maker's directory, its server, and a host that has version 1.0.
struct Fleet<'a> {
    coracle: &'a Instance,
    workshop: &'a Workshop<'a>,
    web: PathBuf,
    ca: String,
    server: HttpsServer,
}

impl Fleet<'_> {
    fn open(work: impl FnOnce(&Fleet)) {
        with_workshop(|coracle, workshop| {
            let Web {
                folder: web,
                ca,
                server,
            } = Web::of(coracle);
            let fleet = Fleet {
                coracle,
                workshop,
                web,
                ca,
                server,
            };
            fleet.publish("1.0", 1, &[]);
            let url = fleet.server.url("boat.psi");
            coracle.ok(&["attach", &url, "--ca", &fleet.ca]);
            work(&fleet);
        });
    }

    /// A version with four megabytes that are the same in all, and one that is its own.
    fn publish(&self, version: &str, own: u64, more: &[&str]) {
        let release = format!("ID=boat\nVERSION_ID={version}\n");
        let unit = [("boat.service", "[Service]\nExecStart=/bin/x\n")];
        let image = self.workshop.tree(&release, By::Trusted, &unit, |root| {
            let data = root.join("usr/share/data");
            fs::create_dir_all(&data).expect("a folder");
            fs::write(data.join("a"), noise(1_000, 2 << 20)).expect("a file");
            fs::write(data.join("b"), noise(own, 1 << 20)).expect("a file");
            fs::write(data.join("c"), noise(1_001, 2 << 20)).expect("a file");
        });
        let (web, key) = (
            self.web.display().to_string(),
            self.workshop.key(By::Trusted),
        );
        let mut words = vec!["publish", &image, &web, "--key", &key];
        words.extend(more);
        self.coracle.ok(&words);
    }

    fn upgrade(&self) -> Finished {
        let words = ["upgrade", "boat", "--ca", &self.ca];
        self.coracle.coracle(&words)
    }

    fn change(&self, file: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let path = self.web.join(file);
        let mut bytes = fs::read(&path).expect("a published file");
        change(&mut bytes);
        fs::write(&path, bytes).expect("a published file");
    }

    fn remove(&self, file: &str) {
        fs::remove_file(self.web.join(file)).expect("a published file");
    }

    /// Nothing of a transfer is left.
    fn check_staging(&self) {
        let staged = self.coracle.folder().join("state/store/staging");
        let left: Vec<_> = fs::read_dir(staged)
            .expect("the store")
            .map(|entry| entry.expect("an entry").path())
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

/// Megabytes that a command says it fetched, and of how many; tenths of them.
fn fetched(said: &str) -> (u32, u32) {
    let text = said.split("fetched ").nth(1).expect("what was fetched");
    let numbers: Vec<u32> = text
        .split_whitespace()
        .filter_map(|word| word.replace('.', "").parse().ok())
        .collect();
    assert!(text.contains(" MB of "), "{text}");
    (numbers[0], numbers[1])
}

#[test]
fn an_upgrade_fetches_what_no_stored_image_has() {
    Fleet::open(|fleet| {
        fleet.publish("1.1", 2, &["--patches", "0"]);
        // The whole is not asked for.
        fleet.remove("boat_1.1.psi");
        fleet.remove("boat_1.1.psi.zst");
        let said = fleet.upgrade().ok();
        assert!(said.stdout.contains("boat 1.0 → 1.1"), "{}", said.stdout);
        let (came, all) = fetched(&said.stderr);
        assert!((10..20).contains(&came) && all > 50, "{}", said.stderr);
        fleet.check_staging();
        // What is in two stored images, in each a part of it.
        fleet.publish("1.2", 1, &["--patches", "0"]);
        fleet.remove("boat_1.2.psi");
        fleet.remove("boat_1.2.psi.zst");
        let said = fleet.upgrade().ok();
        assert!(said.stderr.contains("kB of 5."), "{}", said.stderr);
        let versions = fleet.coracle.ok(&["versions", "boat"]);
        assert!(versions.contains("1.2"), "{versions}");
        // How stored images are cut goes with them.
        fleet.coracle.ok(&["gc", "--keep", "1"]);
        let store = fs::read_dir(fleet.coracle.folder().join("state/store")).expect("the store");
        let names: Vec<String> = store
            .map(|entry| entry.expect("an entry").file_name().display().to_string())
            .collect();
        let cuts = names.iter().filter(|name| name.ends_with(".cut")).count();
        let images = names.iter().filter(|name| name.ends_with(".note")).count();
        assert!(images == 1 && cuts <= 1, "{names:?}");
    });
}

#[test]
fn what_is_wrong_with_the_parts_is_told_and_the_whole_comes() {
    Fleet::open(|fleet| {
        for (version, spoil, expected) in [
            (
                "1.1",
                &(|fleet: &Fleet| fleet.change("boat_1.1.psi.pack", |pack| pack.fill(7)))
                    as &dyn Fn(&Fleet),
                "is not what the list says",
            ),
            (
                "1.2",
                &|fleet| {
                    fleet.change("boat_1.2.psi.pack", |pack| pack.truncate(pack.len() / 2));
                },
                "another part than was asked for",
            ),
            (
                "1.3",
                &|fleet| fleet.remove("boat_1.3.psi.pack"),
                "status 404",
            ),
            (
                "1.4",
                &|fleet| {
                    // One chunk takes the place of another: only the signed index says that this is another list.
                    fleet.change("boat_1.4.psi.chunks", |list| list[17..].rotate_left(40));
                },
                "and the channel index says sha256:",
            ),
            (
                "1.5",
                &|fleet| fleet.change("boat_1.5.psi.chunks", |list| list.extend([1; 400])),
                "is larger than",
            ),
            (
                "1.6",
                &|fleet| fleet.remove("boat_1.6.psi.chunks"),
                "status 404",
            ),
        ] {
            let seed = version.bytes().map(u64::from).sum();
            fleet.publish(version, seed, &["--patches", "0"]);
            spoil(fleet);
            let said = fleet.upgrade().ok();
            assert!(said.stdout.contains(&format!("→ {version}")));
            for expected in ["the parts that changed can't be used", expected] {
                assert!(said.stderr.contains(expected), "{}", said.stderr);
            }
            fleet.check_staging();
        }
        // Who publishes no chunks gives out the whole, and nothing is told of it.
        fleet.publish("1.7", 77, &["--no-chunks", "--patches", "0"]);
        let said = fleet.upgrade().ok();
        assert!(!said.stderr.contains("chunks"), "{}", said.stderr);
        assert!(!fleet.web.join("boat_1.7.psi.pack").exists());
    });
}

#[test]
fn what_came_of_the_parts_before_the_network_went_does_not_come_again() {
    Fleet::open(|fleet| {
        fleet.publish("1.1", 2, &["--patches", "0"]);
        let pack = fs::read(fleet.web.join("boat_1.1.psi.pack")).expect("the pack");
        let files = ["boat_1.1.psi", "boat_1.1.psi.zst"];
        let aside = files.map(|file| (file, fs::read(fleet.web.join(file)).expect("a file")));
        for file in files {
            fleet.remove(file);
        }
        // The end of what changed is damaged: what is before it comes.
        fleet.change("boat_1.1.psi.pack", |pack| {
            let middle = pack.len() * 55 / 100;
            pack[middle..].fill(0);
        });
        let said = fleet.upgrade();
        assert_eq!(said.status, 1, "{}", said.stderr);
        assert!(said.stderr.contains("status 404"), "{}", said.stderr);
        fs::write(fleet.web.join("boat_1.1.psi.pack"), pack).expect("a file");
        let said = fleet.upgrade().ok();
        let text = said.stderr;
        let is_less = text.contains(" kB of ") || fetched(&text).0 < 10;
        assert!(is_less, "{text}");
        fleet.check_staging();
        for (file, bytes) in aside {
            fs::write(fleet.web.join(file), bytes).expect("a file");
        }
    });
}

#[test]
fn a_patch_comes_where_it_is_less_than_the_chunks_and_anything_wrong_with_it_is_told() {
    Fleet::open(|fleet| {
        // A byte in each chunk is another one: all chunks are, and the patch is next to nothing.
        let publish = |version: &str, seed: u8| {
            let release = format!("ID=boat\nVERSION_ID={version}\n");
            let unit = [("boat.service", "[Service]\nExecStart=/bin/x\n")];
            let image = fleet.workshop.tree(&release, By::Trusted, &unit, |root| {
                let mut bytes = noise(1_000, 3 << 20);
                for byte in bytes.iter_mut().step_by(8_000) {
                    *byte ^= seed;
                }
                fs::create_dir_all(root.join("usr/share/data")).expect("a folder");
                fs::write(root.join("usr/share/data/a"), bytes).expect("a file");
            });
            let (web, key) = (
                fleet.web.display().to_string(),
                fleet.workshop.key(By::Trusted),
            );
            fleet.coracle.ok(&["publish", &image, &web, "--key", &key]);
        };
        publish("1.1", 1);
        drop(fleet.upgrade().ok());
        publish("1.2", 2);
        let before = fleet.server.sent_bytes();
        let said = fleet.upgrade().ok();
        assert!(said.stderr.contains("as a patch"), "{}", said.stderr);
        let came = fleet.server.sent_bytes() - before;
        assert!(came < 200_000, "{came} bytes");
        fleet.check_staging();
        type Spoil<'a> = &'a dyn Fn(&Fleet, &str);
        let spoils: [(&str, Spoil, &str); 3] = [
            ("1.3", &|fleet, file| fleet.remove(file), "status 404"),
            (
                "1.4",
                &|fleet, file| fleet.change(file, |bytes| bytes[40] ^= 1),
                "and the channel index says",
            ),
            (
                "1.5",
                &|fleet, file| fleet.change(file, |bytes| bytes.extend([1; 400])),
                "is larger than",
            ),
        ];
        let mut before = "1.2".to_owned();
        for (version, spoil, expected) in spoils {
            publish(version, version.as_bytes()[2]);
            spoil(fleet, &format!("boat_{version}.psi.from_{before}.patch"));
            let said = fleet.upgrade().ok();
            for expected in ["a patch can't be used", expected] {
                assert!(said.stderr.contains(expected), "{}", said.stderr);
            }
            assert!(
                said.stdout.contains(&format!("→ {version}")),
                "{}",
                said.stdout
            );
            fleet.check_staging();
            before = version.to_owned();
        }
    });
}

#[test]
fn a_first_start_fetches_next_to_nothing_of_what_is_here() {
    Fleet::open(|fleet| {
        // Another portable with the same content.
        let release = "ID=raft\nVERSION_ID=1.0\n";
        let unit = [("raft.service", "[Service]\nExecStart=/bin/x\n")];
        let image = fleet.workshop.tree(release, By::Trusted, &unit, |root| {
            let data = root.join("usr/share/data");
            fs::create_dir_all(&data).expect("a folder");
            for (name, seed, length) in [
                ("a", 1_000, 2 << 20),
                ("b", 1, 1 << 20),
                ("c", 1_001, 2 << 20),
            ] {
                fs::write(data.join(name), noise(seed, length)).expect("a file");
            }
        });
        let (web, key) = (
            fleet.web.display().to_string(),
            fleet.workshop.key(By::Trusted),
        );
        fleet.coracle.ok(&["publish", &image, &web, "--key", &key]);
        for file in ["raft.psi", "raft_1.0.psi", "raft_1.0.psi.zst"] {
            fleet.remove(file);
        }
        let before = fleet.server.sent_bytes();
        let url = fleet.server.url("raft.psi");
        let said = fleet
            .coracle
            .coracle(&["attach", &url, "--ca", &fleet.ca])
            .ok();
        let came = fleet.server.sent_bytes() - before;
        let whole = fs::metadata(&image).expect("the image").len();
        // What differs are the name, and the hashes above it.
        assert!(came < whole * 5 / 100, "{came} of {whole}: {}", said.stderr);
        fleet.check_staging();
        // The very same image, which is in the store: a hundredth of it at most.
        fleet.coracle.ok(&["purge", "boat"]);
        let url = fleet.server.url("raft_1.0.psi");
        let before = fleet.server.sent_bytes();
        fleet.coracle.ok(&["attach", &url, "--ca", &fleet.ca]);
        let came = fleet.server.sent_bytes() - before;
        assert!(came <= whole / 100, "{came} of {whole}");
        // Where the channel is not believed, the whole is asked for.
        fleet.change("raft.channel", |bytes| bytes[40] ^= 1);
        let said = fleet.coracle.coracle(&["attach", &url, "--ca", &fleet.ca]);
        assert_eq!(said.status, 1, "{}", said.stderr);
        for expected in ["the whole image comes: nothing of", "status 404"] {
            assert!(said.stderr.contains(expected), "{}", said.stderr);
        }
    });
}
