//! Many at once: commands that change the same portables, services of one image, versions beside each other, and units of every kind.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;

use coracle_system_tests::images::{BOAT, By, with_workshop};
use coracle_system_tests::own_images::Shop;
use testkit::Instance;

fn list(coracle: &Instance) -> serde_json::Value {
    serde_json::from_str(&coracle.ok(&["list", "--json"])).expect("JSON")
}

/// The files of a directory of the instance's state.
fn files(coracle: &Instance, folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(coracle.folder().join("state").join(folder));
    let entries = entries.into_iter().flatten();
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    names
        .map(|name| name.to_string_lossy().into_owned())
        .collect()
}

#[test]
fn eight_that_attach_detach_and_reattach_at_once_leave_a_store_that_is_whole() {
    with_workshop(|coracle, workshop| {
        let image = |name: &str, version: &str| {
            let unit = format!("{name}.service");
            workshop.image(name, version, By::Trusted, &[(&unit, BOAT)])
        };
        let boats = [image("boat", "1"), image("boat", "2")];
        let ship = image("ship", "1");
        coracle.ok(&["attach", &boats[1]]);
        coracle.ok(&["list-units"]);
        let turn = |number: usize| {
            let words: [&[&str]; 4] = [
                &["attach", &boats[number % 2], "--allow-downgrade"],
                &["reattach", &boats[(number + 1) % 2], "--allow-downgrade"],
                &["attach", &ship],
                &["detach", ["boat", "ship"][number / 4 % 2]],
            ];
            (0..5)
                .map(|round| coracle.coracle(words[(number + round) % 4]))
                .collect::<Vec<_>>()
        };
        let done: Vec<_> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..8)
                .map(|number| scope.spawn(move || turn(number)))
                .collect();
            all.into_iter()
                .flat_map(|one| one.join().expect("a thread"))
                .collect()
        });
        // Each did what it was asked, or said that another one was faster.
        let lost = [
            "changed or removed",
            "is not attached",
            "there is no portable",
            // Between the moment at which another one has put the units there and that at which it says whose they are.
            "and so has this host",
        ];
        for one in &done {
            let is_lost = lost.iter().any(|words| one.stderr.contains(words));
            assert!(one.status == 0 || is_lost, "{one:#?}");
        }
        assert!(done.iter().any(|one| one.status == 0), "{done:#?}");
        // What is recorded is there, and nothing else.
        let mut images = BTreeSet::new();
        for portable in list(coracle).as_array().expect("a list") {
            let name = portable["name"].as_str().expect("a name");
            let record = coracle
                .folder()
                .join(format!("state/portables/{name}/portable.json"));
            let record: serde_json::Value =
                serde_json::from_slice(&fs::read(record).expect("a record")).expect("JSON");
            for version in record["versions"].as_object().expect("versions").values() {
                let digest = version["image"]
                    .as_str()
                    .expect("a digest")
                    .replace(':', "-");
                images.extend(["", ".identity", ".note"].map(|end| format!("{digest}{end}")));
            }
        }
        images.insert("staging".to_owned());
        assert_eq!(files(coracle, "store"), images);
        assert_eq!(files(coracle, "store/staging"), BTreeSet::new());
        assert!(files(coracle, "attached.d").len() <= 1);
        for (unit, image) in [("boat.service", &boats[1]), ("ship.service", &ship)] {
            coracle.ok(&["start", image]);
            assert_eq!(coracle.property(unit, "ActiveState"), "active");
            let name = unit.trim_end_matches(".service");
            coracle.ok(&["purge", name]);
        }
        assert_eq!(list(coracle), serde_json::json!([]));
        assert_eq!(
            files(coracle, "store"),
            BTreeSet::from(["staging".to_owned()])
        );
        assert!(!coracle.folder().join("state/attached").exists());
    });
}

/// The device number of a service's root, and how many loop devices have the instance's images.
fn root_of(coracle: &Instance, unit: &str) -> u64 {
    let main = coracle.property(unit, "MainPID");
    fs::metadata(format!("/proc/{main}/root"))
        .expect("its root")
        .dev()
}

fn loops(coracle: &Instance) -> usize {
    let folder = coracle.folder().join("state/store").display().to_string();
    let devices = fs::read_dir("/sys/block").expect("block devices").flatten();
    let of_ours = devices.filter(|device| {
        let backing = fs::read_to_string(device.path().join("loop/backing_file"));
        backing.is_ok_and(|backing| backing.contains(&folder))
    });
    of_ours.count()
}

fn mounts() -> usize {
    let table = testkit::mount_table();
    table
        .lines()
        .filter(|line| line.contains("coracle-test"))
        .count()
}

#[test]
fn the_tenth_service_of_an_image_costs_no_further_mount() {
    with_workshop(|coracle, workshop| {
        let names: Vec<String> = (0..10)
            .map(|number| format!("boat-{number}.service"))
            .collect();
        let units: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), BOAT)).collect();
        let image = workshop.image("boat", "1", By::Trusted, &units);
        coracle.ok(&["attach", &image]);
        coracle.ok(&["start", &names[0]]);
        let (device, first) = (root_of(coracle, &names[0]), (loops(coracle), mounts()));
        assert!(first.0 <= 1, "{first:?}");
        coracle.ok(&["start", "boat"]);
        for name in &names {
            assert_eq!(
                root_of(coracle, name),
                device,
                "{name} has the same file system"
            );
        }
        assert_eq!((loops(coracle), mounts()), first);
        // A version beside it has one of its own; what runs keeps the old one's.
        let newer = workshop.image("boat", "2", By::Trusted, &units);
        coracle.ok(&["reattach", &newer]);
        coracle.ok(&["restart", &names[0], &names[1]]);
        let next = root_of(coracle, &names[0]);
        assert_ne!(next, device);
        assert_eq!(root_of(coracle, &names[1]), next);
        assert_eq!(root_of(coracle, &names[2]), device);
        assert_eq!(loops(coracle), 2 * first.0);
        coracle.ok(&["restart", "boat"]);
        assert_eq!((loops(coracle), mounts()), first);
    });
}

#[test]
fn a_directory_that_is_offered_attaches_with_units_of_every_kind() {
    with_workshop(|coracle, _| {
        let shop = Shop::new();
        let units = [
            ("boat.target", "[Unit]\nWants=boat-a.service\n"),
            (
                "boat-a.service",
                "[Service]\nExecStart=/usr/bin/dash -c 'while :; do read line < /dev/zero; done'\n",
            ),
            ("boat-b.timer", "[Timer]\nOnActiveSec=1d\n"),
            (
                "boat-b.service",
                "[Service]\nType=oneshot\nExecStart=/usr/bin/dash -c :\n",
            ),
            ("boat-c.socket", "[Socket]\nListenStream=%t/boat/c\n"),
            (
                "boat-c.service",
                "[Service]\nExecStart=/usr/bin/dash -c :\n",
            ),
        ];
        let files: Vec<(String, &str)> = units
            .iter()
            .map(|(name, text)| (format!("usr/lib/systemd/system/{name}"), *text))
            .collect();
        let files: Vec<(&str, &str)> = files
            .iter()
            .map(|(path, text)| (path.as_str(), *text))
            .collect();
        shop.tree("place/boat_1", true, &files);
        shop.tree("place/more.v/more_2", true, &files);
        let place = shop.text("place");
        let here = ["--portable-path", place.as_str()];
        let listed = coracle.ok(&[&here[..], &["list"]].concat());
        assert!(
            listed.contains("available") && listed.contains("more_2"),
            "{listed}"
        );
        coracle.ok(&[&here[..], &["inspect", "boat"]].concat());
        coracle.ok(&[&here[..], &["attach", "boat", "--now"]].concat());
        for unit in [
            "boat.target",
            "boat-a.service",
            "boat-b.timer",
            "boat-c.socket",
        ] {
            assert_eq!(coracle.property(unit, "ActiveState"), "active", "{unit}");
        }
        let state = coracle.ok(&["is-attached", "boat"]);
        assert_eq!(state, "running\n");
        coracle.ok(&["detach", &shop.text("place/boat_1"), "--now"]);
        coracle.ok(&["purge", "boat"]);
    });
}

/// Between the units and the record of one command, another one finds the first without the second.
#[test]
fn units_that_another_command_attached_of_the_same_portable_are_not_the_hosts() {
    with_workshop(|coracle, workshop| {
        let image = workshop.image("boat", "1", By::Trusted, &[("boat.service", BOAT)]);
        coracle.ok(&["attach", &image]);
        std::fs::remove_dir_all(coracle.folder().join("state/portables/boat")).expect("the record");
        coracle.ok(&["attach", &image]);
        // Those of another are.
        let other = workshop.tree(
            "ID=ship\nVERSION_ID=1\nPORTABLE_PREFIXES=boat\n",
            By::Trusted,
            &[("boat.service", "[Service]\nExecStart=/bin/x\n")],
            |_| {},
        );
        let refused = coracle.coracle(&["attach", &other]);
        assert!(
            refused.status != 0 && refused.stderr.contains("boat.service"),
            "{refused:?}"
        );
        coracle.ok(&["purge", "--forget", "boat"]);
    });
}
