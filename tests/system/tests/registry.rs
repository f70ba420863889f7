//! Portables in a registry of container images: published there, started from there, upgraded from there.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use coracle_system_tests::images::{By, Workshop, with_workshop};
use testkit::{Instance, Registry};

const SLEEPS: &str = "ExecStart=/usr/bin/sleep infinity";

fn unit(version: &str) -> String {
    format!("[Unit]\nDescription=dock {version}\n[Service]\nType=exec\n{SLEEPS}\n")
}

fn publish(coracle: &Instance, workshop: &Workshop<'_>, version: &str, to: &str) {
    publish_in(coracle, workshop, version, &[to]);
}

/// One and the same file in several places.
fn publish_in(coracle: &Instance, workshop: &Workshop<'_>, version: &str, places: &[&str]) {
    let image = workshop.image(
        "dock",
        version,
        By::Trusted,
        &[("dock.service", &unit(version))],
    );
    let key = workshop.key(By::Trusted);
    for place in places {
        coracle.ok(&["publish", &image, place, "--key", &key]);
    }
}

#[track_caller]
fn refused(coracle: &Instance, words: &[&str], phrase: &str) {
    coracle.coracle(words).refused(&[phrase]);
}

fn running(coracle: &Instance) -> String {
    coracle.property("dock.service", "Description")
}

#[test]
fn a_registry_has_versions_and_their_signed_index() {
    with_workshop(|coracle, workshop| {
        let registry = Registry::start(coracle.folder(), false);
        let place = format!("{}/boats/dock", registry.address);
        refused(coracle, &["start", &place], "404");
        publish(coracle, workshop, "1.0", &place);
        coracle.ok(&["start", &place]);
        assert_eq!(running(coracle), "dock 1.0");
        let upgrade = ["upgrade", "dock", "--healthy-for", "0"];
        assert!(coracle.ok(&upgrade).contains("newest") || running(coracle) == "dock 1.0");
        publish(coracle, workshop, "1.1", &place);
        coracle.ok(&upgrade);
        assert_eq!(running(coracle), "dock 1.1");
        coracle.ok(&["rollback", "dock", "1.0"]);
        assert_eq!(running(coracle), "dock 1.0");
        coracle.ok(&["purge", "dock", "--forget"]);
        coracle.ok(&["start", &format!("{place}:1.0")]);
        assert_eq!(running(coracle), "dock 1.0");
        coracle.ok(&["purge", "dock", "--forget"]);
        refused(coracle, &["start", &format!("{place}:2.0")], "404");
        refused(
            coracle,
            &["start", &format!("{}/boats/Dock", registry.address)],
            "small letters",
        );
    });
}

#[test]
fn a_private_registry_is_told_who_asks_by_a_file_of_roots() {
    with_workshop(|coracle, workshop| {
        let registry = Registry::start(coracle.folder(), true);
        let place = format!("{}/dock", registry.address);
        refused(coracle, &["start", &place], "wants to know who asks");
        let netrc = coracle.folder().join("netrc");
        let write = |password: &str| {
            let text = format!("machine 127.0.0.1 login me password \"{password}\"\n");
            fs::write(&netrc, text).expect("a file");
            fs::set_permissions(&netrc, fs::Permissions::from_mode(0o600)).expect("a mode");
        };
        let policy = |text: &str| {
            let text = format!("{text}netrc = \"{}\"\n", netrc.display());
            fs::write(coracle.folder().join("config/delivery.toml"), text).expect("a file");
        };
        write("open sesame");
        // Without encryption, what is for a host is for none of its ports.
        policy("");
        refused(coracle, &["start", &place], "wants to know who asks");
        let address = registry.address.trim_start_matches("oci://");
        policy(&format!("[[credential]]\nfor = \"http://{address}/\"\n"));
        write("wrong");
        refused(coracle, &["start", &place], "does not let in who says so");
        write("open sesame");
        publish(coracle, workshop, "1.0", &place);
        coracle.ok(&["start", &place]);
        assert_eq!(running(coracle), "dock 1.0");
        coracle.ok(&["purge", "dock"]);
    });
}

/// Takes from a registry's files what is no document.
fn lose_contents(folder: &Path) {
    const LARGE_BYTES: u64 = 20_000;
    for entry in fs::read_dir(folder).expect("a directory").flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => lose_contents(&path),
            false if entry.metadata().expect("a file").len() > LARGE_BYTES => {
                fs::remove_file(&path).expect("it is there");
            }
            false => {}
        }
    }
}

#[test]
fn a_mirror_of_a_registry_is_asked_first_and_for_anything_but_the_index() {
    with_workshop(|coracle, workshop| {
        let folder = coracle.folder().join("mirror");
        fs::create_dir(&folder).expect("a folder");
        let (own, mirror) = (
            Registry::start(coracle.folder(), false),
            Registry::start(&folder, false),
        );
        let place = format!("{}/boats/dock", own.address);
        let copies = format!("{}/copies/dock", mirror.address);
        let interface = |registry: &Registry, name: &str| {
            let host = registry.address.trim_start_matches("oci://");
            format!("http://{host}/{name}")
        };
        let policy = |at: &str| {
            let of = interface(&own, "v2/boats/");
            let text = format!("[[mirror]]\nof = \"{of}\"\nat = \"{at}\"\n");
            fs::write(coracle.folder().join("config/delivery.toml"), text).expect("a file");
        };
        publish(coracle, workshop, "1.0", &place);
        policy("http://mirror.example/v2/copies/");
        refused(coracle, &["start", &place], "can't be a mirror's");
        policy(&interface(&mirror, "v2/copies/"));
        // It has nothing yet: the place itself is asked.
        let said = coracle.coracle(&["start", &place]).ok();
        assert!(said.stderr.contains("is passed over"), "{}", said.stderr);
        publish_in(coracle, workshop, "1.1", &[&place, &copies]);
        lose_contents(&coracle.folder().join("registry"));
        coracle.ok(&["upgrade", "dock", "--healthy-for", "0"]);
        assert_eq!(running(coracle), "dock 1.1");
        coracle.ok(&["purge", "dock", "--forget"]);
    });
}
