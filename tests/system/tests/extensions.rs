//! Extensions of portables: the units that they bring along, and what they are made for.

use std::fs;
use std::path::Path;

use coracle_system_tests::images::{BOAT, By, Workshop, with_workshop};
use coracle_system_tests::own_images::{Shop, script_in};
use coracle_system_tests::refusal::refused;
use coracle_system_tests::typed::{list, says};
use coracle_system_tests::{waiting, with_units};
use testkit::Instance;

/// An extension that brings these units along, and says this of itself.
fn bringing(
    coracle: &Instance,
    workshop: &Workshop<'_>,
    file: &str,
    release: &str,
    units: &[(&str, &str)],
) -> String {
    let name = image::extension::name_of(file);
    let brought = format!("usr/share/brought/{name}");
    let files = [(brought.as_str(), "there\n")];
    let says = ["ID=boat\n", release];
    made(coracle, (workshop, By::Trusted), file, says, units, &files)
}

/// An extension with these files, too, by this maker; it says what system it is itself, and what it is made for.
fn made(
    coracle: &Instance,
    (workshop, by): (&Workshop<'_>, By),
    file: &str,
    [system, release]: [&str; 2],
    units: &[(&str, &str)],
    files: &[(&str, &str)],
) -> String {
    let name = image::extension::name_of(file);
    let path = format!("usr/lib/extension-release.d/extension-release.{name}");
    let image = workshop.tree(system, by, units, |root| {
        for (path, text) in [&[(path.as_str(), release)], files].concat() {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        for program in ["dash", "sleep"] {
            let program = Path::new("usr/bin").join(program);
            fs::create_dir_all(root.join("usr/bin")).expect("a folder");
            fs::copy(Path::new("/").join(&program), root.join(&program)).expect("a program");
        }
    });
    let place = coracle.folder().join("extensions");
    fs::create_dir_all(&place).expect("a folder");
    let copy = place.join(file);
    fs::copy(image, &copy).expect("a copy");
    copy.display().to_string()
}

/// A service that says a word, and what the first extension left for it.
fn saying(word: &str) -> String {
    format!(
        "[Service]\nType=oneshot\nExecStart=/usr/bin/dash -c 'read line </usr/share/brought/oar; echo {word} $line'\n"
    )
}

#[test]
fn the_units_of_an_extension_are_attached_where_none_of_the_portables_own_is_called_so() {
    with_workshop(|coracle, workshop| {
        let own = saying("own");
        let version =
            |number| workshop.image("boat", number, By::Trusted, &[("boat.service", &own)]);
        let any = "ID=_any\n";
        let (first, second) = (saying("first"), saying("second"));
        let oar = bringing(
            coracle,
            workshop,
            "oar_1.raw",
            any,
            &[
                ("boat.service", &first),
                ("boat-oar.service", &first),
                ("foreign.service", &first),
            ],
        );
        let sail = bringing(
            coracle,
            workshop,
            "sail_1.raw",
            any,
            &[
                ("boat-oar.service", &second),
                ("boat-sail.service", &second),
            ],
        );
        let attached = || {
            let units = coracle.ok(&["list-unit-files", "--json"]);
            let units: serde_json::Value = serde_json::from_str(&units).expect("JSON");
            let names = units.as_array().expect("a list").iter();
            let names =
                names.filter_map(|unit| unit["unit_file"].as_str().or(unit["name"].as_str()));
            let ours = |name: &&str| {
                ["boat", "foreign", "mast"]
                    .iter()
                    .any(|one| name.contains(one))
            };
            names
                .filter(ours)
                .map(str::to_owned)
                .collect::<Vec<_>>()
                .join(" ")
        };
        let says_of = |unit: &str| {
            let before = coracle.ok(&["logs", unit]).len();
            coracle.ok(&["start", unit]);
            waiting::eventually("what it said", || {
                let said = coracle.ok(&["logs", unit]).split_off(before);
                said.contains("there").then_some(said)
            })
        };
        let both = ["--extension", &oar, "--extension", &sail];
        coracle.ok(&[&["attach", &version("1")], &both[..]].concat());
        assert_eq!(
            attached(),
            "boat-oar.service boat-sail.service boat.service"
        );
        for round in ["2", "3"] {
            assert!(says_of("boat.service").contains("own there"));
            assert!(says_of("boat-oar.service").contains("first there"));
            assert!(says_of("boat-sail.service").contains("second there"));
            // They come again with the next version, over which they are laid.
            coracle.ok(&["reattach", &version(round)]);
        }
        // A plain attach has none, and takes theirs away.
        coracle.ok(&["attach", "boat"]);
        assert_eq!(attached(), "boat.service");
        // Names of its own an extension has by its prefixes, if the administrator wants that.
        let mast = bringing(
            coracle,
            workshop,
            "mast.raw",
            "ID=boat\nVERSION_ID=3\nPORTABLE_PREFIXES=mast\n",
            &[("mast.service", &first), ("boat-mast.service", &first)],
        );
        let words = ["boat", "--extension", &oar, "--extension", &mast];
        refused(coracle, &words, &["name:mast.service"]);
        let grant = ["--grant=name:mast.service"];
        coracle.ok(&[&["attach"], &words[..], &grant].concat());
        assert_eq!(
            attached(),
            "boat-mast.service boat-oar.service boat.service mast.service"
        );
        assert!(says_of("mast.service").contains("first there"));
        coracle.ok(&["purge", "boat"]);
        assert_eq!(attached(), "");
    });
}

const NONE_SUCH: &[(&str, &str)] = &[("boat-x.service", "[Service]\nExecStart=/bin/x\n")];

#[test]
fn an_extension_for_something_else_is_refused_where_it_is_attached() {
    with_workshop(|coracle, workshop| {
        let image = workshop.tree(
            "ID=boat\nVERSION_ID=1\nSYSEXT_LEVEL=7\n",
            By::Trusted,
            &[("boat.service", "[Service]\nExecStart=/bin/x\n")],
            |_| {},
        );
        // The workshop's next tree takes the place of this one.
        let kept = coracle.folder().join("boat.psi");
        fs::rename(image, &kept).expect("a name");
        let image = kept.display().to_string();
        for (release, phrase) in [
            (
                "ID=raft\n",
                "it is made for ID=raft, and what it is laid over has ID=boat",
            ),
            (
                "ID=boat\nVERSION_ID=2\n",
                "it is made for VERSION_ID=2, and what it is laid over has VERSION_ID=1",
            ),
            (
                "ID=boat\nVERSION_ID=1\nSYSEXT_LEVEL=8\n",
                "it is made for SYSEXT_LEVEL=8, and what it is laid over has SYSEXT_LEVEL=7",
            ),
        ] {
            let oar = bringing(coracle, workshop, "oar.raw", release, NONE_SUCH);
            refused(
                coracle,
                &[&image, "--extension", &oar],
                &["oar.raw can't be laid over boat 1", phrase, "ask its maker"],
            );
        }
        let unnamed = bringing(coracle, workshop, "oar.raw", "ID=_any\n", NONE_SUCH);
        let renamed = unnamed.replace("oar.raw", "row.raw");
        fs::rename(&unnamed, &renamed).expect("a name");
        refused(
            coracle,
            &[&image, "--extension", &renamed],
            &[
                "row.raw can't be laid over boat 1",
                "it is no extension named row",
            ],
        );
        let fitting = "ID=boat\nVERSION_ID=9\nSYSEXT_LEVEL=7\n";
        let oar = bringing(coracle, workshop, "oar.raw", fitting, NONE_SUCH);
        coracle.ok(&["attach", &image, "--extension", &oar]);
        coracle.ok(&["purge", "boat"]);
    });
}

/// What a service with these lines says of the files that extensions of configuration bring.
fn configured(coracle: &Instance, lines: &[&str]) -> String {
    const LOOK: &str = "for p in /etc/word /etc/more; do if read -r w < $p; then echo $w; fi; done 2>/dev/null; echo end";
    let said = script_in(coracle, lines, LOOK);
    format!("{}{}", said.stdout, said.stderr)
}

#[test]
fn images_and_directories_of_configuration_lie_over_etc_of_the_system_that_they_are_made_for() {
    let shop = Shop::new();
    let release = |name: &str| format!("etc/extension-release.d/extension-release.{name}");
    let tree = |name: &str, says: &str, files: &[(&str, &str)]| {
        let (release, says) = (release(name), format!("{says}\n"));
        let mut all = vec![(release.as_str(), says.as_str())];
        all.extend(files);
        shop.tree(name, false, &all)
    };
    let first = tree("first", "ID=boat\nVERSION_ID=1", &[("etc/word", "first")]);
    let second = tree(
        "second",
        "ID=_any",
        &[("etc/word", "second"), ("etc/more", "more")],
    );
    let level = tree(
        "level",
        "ID=boat\nCONFEXT_LEVEL=7",
        &[("etc/word", "level")],
    );
    let wrong = [
        (
            "later",
            "ID=boat\nVERSION_ID=2",
            "it is made for VERSION_ID=2, and what it is laid over has VERSION_ID=1",
        ),
        (
            "ship",
            "ID=ship\nVERSION_ID=1",
            "it is made for ID=ship, and what it is laid over has ID=boat",
        ),
        (
            "high",
            "ID=boat\nCONFEXT_LEVEL=8",
            "it is made for CONFEXT_LEVEL=8, and what it is laid over has CONFEXT_LEVEL=7",
        ),
    ];
    let root = shop.tree("root", true, &[("etc/own", "own")]);
    let os_release = "ID=boat\nVERSION_ID=1\nCONFEXT_LEVEL=7\n";
    fs::write(root.join("usr/lib/os-release"), os_release).expect("an os-release");
    let packed = shop.image("erofs", &root, "root.raw");
    with_units(&[], |coracle| {
        for base in [
            format!("RootImage={}", packed.display()),
            format!("RootDirectory={}", root.display()),
        ] {
            let look = |lines: &[&str]| configured(coracle, &[&[base.as_str()], lines].concat());
            for kind in ["erofs", "squashfs", "ext4"] {
                let image = shop.image(kind, &first, "first.raw");
                let image = format!("ExtensionImages={}", image.display());
                assert_eq!(look(&[&image]), "first\nend\n", "{kind} over {base}");
                let over = format!("ExtensionDirectories={}", second.display());
                assert_eq!(
                    look(&[&image, &over]),
                    "second\nmore\nend\n",
                    "{kind} over {base}"
                );
            }
            let level = format!("ExtensionDirectories={}", level.display());
            assert_eq!(look(&[&level]), "level\nend\n", "{base}");
            for (name, says, why) in wrong {
                let tree = tree(name, says, &[("etc/word", name)]);
                let image = shop.image("erofs", &tree, &format!("{name}.raw"));
                for line in [
                    format!("ExtensionImages={}", image.display()),
                    format!("ExtensionDirectories={}", tree.display()),
                ] {
                    let said = look(&[&line]);
                    assert!(
                        said.contains(why) && !said.contains("end\n"),
                        "{line}: {said}"
                    );
                }
                // What is called otherwise is no extension by its name.
                let renamed = shop.path("renamed.raw");
                fs::copy(&image, &renamed).expect("a copy");
                let said = look(&[&format!("ExtensionImages={}", renamed.display())]);
                assert!(said.contains("it is no extension named renamed"), "{said}");
            }
        }
    });
}

/// Says what an extension brings.
const READS: &str = "[Service]\nType=oneshot\nExecStart=/usr/bin/dash -c 'read word </usr/share/oar/word; echo saw $word'\n";

/// An extension `oar` with this word, by this maker, under this file's name.
fn extension(
    coracle: &Instance,
    workshop: &Workshop<'_>,
    by: By,
    word: &str,
    file: &str,
) -> String {
    let word = format!("{word}\n");
    let files = [("usr/share/oar/word", word.as_str())];
    let units = [("oar.service", BOAT)];
    made(
        coracle,
        (workshop, by),
        file,
        ["ID=oar\n", "ID=_any\n"],
        &units,
        &files,
    )
}

#[test]
fn extensions_lie_over_a_portable_come_in_like_it_and_stay_over_versions() {
    with_workshop(|coracle, workshop| {
        let version =
            |number| workshop.image("boat", number, By::Trusted, &[("boat.service", READS)]);
        let image = version("1");
        let unknown = extension(coracle, workshop, By::Unknown, "stranger", "oar_0.psi");
        let known = extension(coracle, workshop, By::Trusted, "wood", "oar_1.raw");
        let said = || {
            let before = coracle.ok(&["logs", "boat.service"]).len();
            coracle.ok(&["start", "boat.service"]);
            waiting::eventually("what it saw", || {
                let said = coracle.ok(&["logs", "boat.service"]).split_off(before);
                (!said.is_empty()).then_some(said)
            })
        };
        refused(
            coracle,
            &[&image, "--extension", &unknown],
            &["oar_0.psi", "not trusted"],
        );
        refused(
            coracle,
            &[&image, "--extension", "./nowhere.raw"],
            &["no extension ./nowhere.raw"],
        );
        refused(
            coracle,
            &[&image, "--extension", &known, "--extension", &known],
            &["two extensions are called oar_1.raw"],
        );
        coracle.ok(&["attach", &image, "--extension", &known]);
        // It is the store's: what happens to the file changes nothing.
        fs::remove_file(&known).expect("the file is removed");
        assert!(said().contains("saw wood"));
        says(
            coracle,
            &["status", "boat"],
            3,
            &["Extended by: oar_1.raw (signed by \"Trusted Maker\")"],
        );
        assert_eq!(list(coracle, &[])[0]["extensions"][0], "oar_1.raw");
        coracle.ok(&["reattach", &version("2")]);
        assert!(said().contains("saw wood"));
        coracle.ok(&["configure", "boat", "--env", "A=b"]);
        assert!(said().contains("saw wood"));
        let newer = extension(coracle, workshop, By::Trusted, "steel", "oar_2.raw");
        coracle.ok(&["reattach", "boat", "--extension", &newer]);
        assert!(said().contains("saw steel"));
        let links = fs::read_dir(coracle.folder().join("state/portables/boat/extensions"));
        assert_eq!(links.expect("links").count(), 1);
        // What extends it is revoked, and with it all that it extends.
        let digest: serde_json::Value =
            serde_json::from_str(&coracle.ok(&["inspect", &newer, "--json"])).expect("JSON");
        let digest = format!("sha256:{}", digest["digest"].as_str().expect("a digest"));
        coracle.ok(&["trust", "revoke", &digest]);
        says(
            coracle,
            &["start", "boat.service"],
            1,
            &["an image that extends it was revoked"],
        );
        coracle.ok(&["trust", "restore", &digest]);
        // A plain attach has only what it names.
        coracle.ok(&["attach", "boat"]);
        assert!(!said().contains("saw steel"));
        let store = fs::read_dir(coracle.folder().join("state/store")).expect("the store");
        let images = store
            .flatten()
            .filter(|entry| entry.path().extension().is_none());
        assert_eq!(
            images.count(),
            3,
            "two versions, and the folder of transfers"
        );
    });
}
