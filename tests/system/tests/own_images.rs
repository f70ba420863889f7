//! Images of the administrator's own: every kind of file system and table, what is known of their integrity, what is laid over a root.

use std::fs;
use std::path::Path;
use std::process::Command;

use coracle_system_tests::own_images::{Shop, WORD, run, see};
use coracle_system_tests::with_units;
use image::discoverable::Purpose;

fn root_image(path: &Path) -> String {
    format!("RootImage={}", path.display())
}

#[test]
fn every_file_system_is_a_root_and_those_that_can_be_written_to_keep_what_is_written() {
    let shop = Shop::new();
    let tree = shop.tree("tree", true, &[("word", "boat")]);
    with_units(&[], |coracle| {
        for kind in ["squashfs", "erofs", "ext4", "btrfs", "xfs"] {
            let image = root_image(&shop.image(kind, &tree, &format!("{kind}.raw")));
            assert_eq!(see(coracle, &[&image], WORD), "boat", "{kind}");
            let write = "echo kept > /new && echo written || echo closed";
            let is_open = !matches!(kind, "squashfs" | "erofs");
            let expected = if is_open { "written" } else { "closed" };
            assert!(see(coracle, &[&image], write).contains(expected), "{kind}");
            if is_open {
                assert_eq!(
                    see(coracle, &[&image], "read -r w < /new; echo $w"),
                    "kept",
                    "{kind}"
                );
            }
        }
    });
}

#[test]
fn the_partitions_of_a_disk_are_where_they_belong_unless_the_policy_says_otherwise() {
    let shop = Shop::new();
    let tree = shop.tree(
        "tree",
        true,
        &[("word", "boat"), ("srv/x", ""), ("home/x", "")],
    );
    let root = shop.image("ext4", &tree, "root.part");
    let data = shop.tree("data", false, &[("word", "data")]);
    let data = shop.image("squashfs", &data, "data.part");
    let disk = shop.disk(
        "disk.raw",
        &[
            (Purpose::Root, [1; 16], 0, &root),
            (Purpose::Home, [2; 16], 1 << 60, &data),
            (Purpose::Srv, [3; 16], 1 << 63, &data),
        ],
    );
    let image = root_image(&disk);
    const LOOK: &str = "for p in /word /home/word /srv/word; do if read -r w < $p; then echo $p $w; fi; done 2>/dev/null";
    with_units(&[], |coracle| {
        let look = |lines: &[&str]| see(coracle, &[&[image.as_str()], lines].concat(), LOOK);
        assert_eq!(look(&[]), "/word boat\n/home/word data");
        assert_eq!(look(&["RootImagePolicy=root=unprotected"]), "/word boat");
        let said = look(&["RootImagePolicy=root=verity+signed"]);
        assert!(
            said.contains("the root file system has no verity data"),
            "{said}"
        );
        let said = look(&["RootImagePolicy=root=open:home=absent"]);
        assert!(
            said.contains("the home partition must not be there"),
            "{said}"
        );
        let options = "while read -r l; do case $l in *' /home '*) echo $l;; esac; done < /proc/self/mountinfo";
        let home = |line: &str| see(coracle, &[&image, line], options);
        assert!(!home("RootImageOptions=root:noatime").contains("noexec"));
        let said = home("RootImageOptions=home:noexec");
        assert!(said.contains("noexec"), "{said}");
        let said = home("RootImageOptions=home:nonsense=7");
        assert!(
            said.contains("does not take the mount option nonsense"),
            "{said}"
        );
    });
}

/// Gives an image the attribute that names its root hash.
fn mark(image: &Path, hash: &str) {
    let attribute = "user.verity.roothash";
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(image, attribute, hash.as_bytes(), flags).expect("an attribute");
}

#[test]
fn what_has_a_root_hash_is_as_it_says_or_is_not_mounted() {
    let shop = Shop::new();
    let tree = shop.tree("tree", true, &[("word", "boat")]);
    let image = shop.image("squashfs", &tree, "web.raw");
    // A whole number of blocks, as veritysetup(8) wants it.
    run("truncate", &["-s", "%4096", &image.display().to_string()]);
    let (hashes, hash) = shop.verity(&image, "hashes");
    let (root, verity) = (
        root_image(&image),
        format!("RootVerity={}", hashes.display()),
    );
    let right = format!("RootHash={hash}");
    let wrong = format!("RootHash={}", "0".repeat(64));
    with_units(&[], |coracle| {
        let look = |lines: &[&str]| see(coracle, &[&[root.as_str()], lines].concat(), WORD);
        assert_eq!(look(&[&right, &verity]), "boat");
        assert_eq!(
            look(&[&right, &verity, "RootImagePolicy=root=verity"]),
            "boat"
        );
        let sizes = ["--data-block-size=512", "--hash-block-size=1024"];
        let (small, hash_of_small) = shop.verity_of(&image, "small", &sizes);
        let small = format!("RootVerity={}", small.display());
        let its = format!("RootHash={hash_of_small}");
        assert_eq!(look(&[&its, &small]), "boat");
        let said = look(&[&right, &small]);
        assert!(said.contains("root hash does not match"), "{said}");
        let said = look(&[&wrong, &verity]);
        assert!(said.contains("root hash does not match"), "{said}");
        let said = look(&[&right]);
        assert!(said.contains("there is no verity data"), "{said}");
        let said = look(&[&verity, "RootImagePolicy=root=verity"]);
        assert!(said.contains("has no verity data"), "{said}");
        // What stands beside the image counts, too.
        fs::copy(&hashes, shop.path("web.verity")).expect("a copy");
        fs::write(shop.path("web.roothash"), &hash).expect("a file");
        assert_eq!(look(&["RootImagePolicy=root=verity"]), "boat");
        assert_eq!(
            look(&[&format!("RootHash={}", shop.text("web.roothash"))]),
            "boat"
        );
        // An attribute of the image goes before the file beside it.
        let wrong = "0".repeat(64);
        fs::write(shop.path("web.roothash"), &wrong).expect("a file");
        mark(&image, &hash);
        assert_eq!(look(&["RootImagePolicy=root=verity"]), "boat");
        fs::write(shop.path("web.roothash"), &hash).expect("a file");
        mark(&image, &wrong);
        let said = look(&[]);
        assert!(said.contains("root hash does not match"), "{said}");
        mark(&image, &hash);
        // One changed byte is found.
        let mut bytes = fs::read(&image).expect("the image");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&image, bytes).expect("the image");
        let said = look(&[]);
        assert!(
            said.contains("the stored hash tree is not that of the data"),
            "{said}"
        );
    });
}

#[test]
fn a_signature_over_the_root_hash_is_by_somebody_who_is_trusted() {
    let shop = Shop::new();
    let tree = shop.tree("tree", true, &[("word", "boat")]);
    let image = shop.image("squashfs", &tree, "web.raw");
    run("truncate", &["-s", "%4096", &image.display().to_string()]);
    let (hashes, hash) = shop.verity(&image, "web.verity");
    assert!(hashes.exists());
    fs::write(shop.path("web.roothash"), &hash).expect("a file");
    with_units(&[], |coracle| {
        for name in ["known", "unknown"] {
            let folder = shop.text(name);
            coracle.ok(&["keygen", &folder, "--name", name]);
            let file = |ending: &str| format!("{folder}/signing.{ending}");
            run(
                "openssl",
                &[
                    "smime",
                    "-sign",
                    "-binary",
                    "-noattr",
                    "-nocerts",
                    "-outform",
                    "der",
                    "-in",
                    &shop.text("web.roothash"),
                    "-inkey",
                    &file("key"),
                    "-signer",
                    &file("crt"),
                    "-out",
                    &shop.text(&format!("{name}.p7s")),
                ],
            );
        }
        coracle.ok(&[
            "trust",
            "add",
            &format!("{}/signing.crt", shop.text("known")),
        ]);
        let root = root_image(&image);
        let look = |lines: &[&str]| see(coracle, &[&[root.as_str()], lines].concat(), WORD);
        let signature = |name: &str| format!("RootHashSignature={}", shop.text(name));
        assert_eq!(
            look(&[&signature("known.p7s"), "RootImagePolicy=root=signed"]),
            "boat"
        );
        let said = look(&[&signature("unknown.p7s")]);
        assert!(
            said.contains("neither trusted nor in the signature"),
            "{said}"
        );
        let said = look(&["RootImagePolicy=root=signed"]);
        assert!(said.contains("is not signed"), "{said}");
        fs::copy(shop.path("unknown.p7s"), shop.path("web.roothash.p7s")).expect("a copy");
        assert_eq!(look(&["RootImagePolicy=root=signed+verity"]), "boat");
        fs::copy(shop.path("known.p7s"), shop.path("web.roothash.p7s")).expect("a copy");
        assert_eq!(look(&["RootImagePolicy=root=signed"]), "boat");
    });
}

#[test]
fn images_are_mounted_inside_a_unit_that_may_have_the_hosts_root() {
    let shop = Shop::new();
    let tree = shop.tree("tree", false, &[("word", "data")]);
    let image = shop.image("squashfs", &tree, "data.raw");
    let mount = format!("MountImages={}:/mnt", image.display());
    let look = "read -r w < /mnt/word && echo $w || echo nothing";
    with_units(&[], |coracle| {
        assert_eq!(see(coracle, &[&mount], look), "data");
        let said = see(coracle, &[], look);
        assert!(said.contains("nothing"), "{said}");
        let missing = format!("MountImages=-{}:/mnt", shop.text("none.raw"));
        let said = see(coracle, &[&missing], look);
        assert!(said.contains("nothing"), "{said}");
        let said = see(coracle, &[&missing.replace("=-", "=")], look);
        assert!(
            said.contains("MountImages") && said.contains("is not there"),
            "{said}"
        );
        let said = see(coracle, &[&mount, "MountImagePolicy=root=verity"], look);
        assert!(said.contains("has no verity data"), "{said}");
        let root = shop.tree("root", true, &[("word", "boat")]);
        let root = root_image(&shop.image("squashfs", &root, "root.raw"));
        assert_eq!(see(coracle, &[&root, &mount], look), "data");
    });
}

#[test]
fn extensions_lie_over_what_they_are_made_for() {
    let shop = Shop::new();
    let release = |name: &str| format!("usr/lib/extension-release.d/extension-release.{name}");
    let (tools, more) = (release("tools"), release("more"));
    let tree = shop.tree(
        "tools",
        false,
        &[
            (&tools, "ID=boat\nVERSION_ID=1\n"),
            ("usr/lib/coracle-word", "image"),
            ("opt/word", "opt"),
        ],
    );
    let image = shop.image("squashfs", &tree, "tools.raw");
    shop.tree(
        "more",
        false,
        &[(&more, "ID=_any\n"), ("usr/lib/coracle-word", "directory")],
    );
    let foreign = shop.tree(
        "foreign",
        false,
        &[(&release("foreign"), "ID=boat\nVERSION_ID=2\n")],
    );
    let config = shop.tree(
        "config",
        false,
        &[
            (
                "etc/extension-release.d/extension-release.config",
                "ID=_any\n",
            ),
            ("etc/coracle-word", "config"),
        ],
    );
    let root = shop.tree("root", true, &[("word", "boat")]);
    let look = "for p in /usr/lib/coracle-word /opt/word /etc/coracle-word; do if read -r w < $p; then echo $w; fi; done 2>/dev/null; echo end";
    let images = format!("ExtensionImages={}", image.display());
    let directory = |name: &str| format!("ExtensionDirectories={}", shop.text(name));
    with_units(&[], |coracle| {
        let packed = shop.image("squashfs", &root, "root.raw");
        for base in [
            root_image(&packed),
            format!("RootDirectory={}", root.display()),
        ] {
            let look = |lines: &[&str]| see(coracle, &[&[base.as_str()], lines].concat(), look);
            assert_eq!(look(&[]), "end", "{base}");
            assert_eq!(look(&[&images]), "image\nopt\nend", "{base}");
            assert_eq!(
                look(&[&images, &directory("more")]),
                "directory\nopt\nend",
                "{base}"
            );
            assert_eq!(
                look(&[&directory("config"), "DynamicUser=yes"]),
                "config\nend",
                "{base}"
            );
            let said = look(&[&directory("foreign")]);
            assert!(
                said.contains("it is made for VERSION_ID=2"),
                "{base}: {said}"
            );
            let said = look(&[&directory("root")]);
            assert!(
                said.contains("it is no extension named root"),
                "{base}: {said}"
            );
            let said = look(&[&images, "ExtensionImagePolicy=root=signed"]);
            assert!(said.contains("has no verity data"), "{base}: {said}");
            let gone = format!("ExtensionImages=-{}", shop.text("gone.raw"));
            assert_eq!(look(&[&gone]), "end", "{base}");
        }
        // The host's own root.
        let said = see(
            coracle,
            &[&directory("more")],
            "read -r w < /usr/lib/coracle-word; echo $w",
        );
        assert_eq!(said, "directory");
        assert!(
            foreign.exists() && config.exists() && !Path::new("/usr/lib/coracle-word").exists()
        );
    });
}

#[test]
fn as_many_extensions_as_a_unit_may_have_are_laid_over_whatever_their_names_are() {
    let shop = Shop::new();
    let root = shop.tree("root", true, &[]);
    let names: Vec<String> = (0..33)
        .map(|number| format!("{number:02}-{}", "n".repeat(200)))
        .collect();
    let mut lines = vec![format!("RootDirectory={}", root.display())];
    for name in &names {
        let release = format!("usr/lib/extension-release.d/extension-release.{name}");
        let word = format!("opt/{}/word", &name[..2]);
        let files = [
            (&*release, "ID=_any\n"),
            (&*word, "there"),
            ("usr/lib/coracle-last", &name[..2]),
        ];
        shop.tree(name, false, &files);
        lines.push(format!("ExtensionDirectories={}", shop.text(name)));
    }
    let look = "set -- /opt/*/word; read -r last < /usr/lib/coracle-last; echo $# $last";
    with_units(&[], |coracle| {
        let look = |count: usize| {
            let lines: Vec<&str> = lines[..=count].iter().map(String::as_str).collect();
            see(coracle, &lines, look)
        };
        assert_eq!(look(1), "1 00");
        assert_eq!(look(31), "31 30");
        let most = look(33);
        assert!(most.contains("no more than 32 images"), "{most}");
    });
}

#[test]
fn the_newest_version_is_used_at_each_start() {
    let shop = Shop::new();
    fs::create_dir(shop.path("web.raw.v")).expect("a folder");
    let version = |number: &str| {
        let tree = shop.tree(&format!("tree-{number}"), true, &[("word", number)]);
        shop.image("squashfs", &tree, &format!("web.raw.v/web_{number}.raw"));
    };
    version("1.9");
    version("1.10");
    version("2+0");
    let image = root_image(&shop.path("web.raw.v"));
    with_units(&[], |coracle| {
        assert_eq!(see(coracle, &[&image], WORD), "1.10");
        version("3_arm64");
        version("3_x86-64");
        assert_eq!(see(coracle, &[&image], WORD), "3_x86-64");
        fs::create_dir(shop.path("web.v")).expect("a folder");
        for number in ["1", "2"] {
            shop.tree(&format!("web.v/web_{number}"), true, &[("word", number)]);
        }
        let directory = format!("RootDirectory={}", shop.text("web.v"));
        assert_eq!(see(coracle, &[&directory], WORD), "2");
        let none = format!("RootImage={}", shop.text("web.v"));
        let said = see(coracle, &[&none], WORD);
        assert!(said.contains("has no version for this machine"), "{said}");
    });
}

/// Makes a header a newer one with a cipher that leaves everything as it is, with the sum that it ought to have.
fn encrypt_nothing(header: &mut [u8], aside: &str) {
    let (real, none) = (b"aes-xts-plain64", b"cipher_null-ecb");
    for what in ["the key slot", "the data"] {
        let at = header.windows(real.len()).position(|found| found == real);
        header[at.expect(what)..][..none.len()].copy_from_slice(none);
    }
    header[23] += 10;
    header[448..512].fill(0);
    fs::write(aside, &*header).expect("the header");
    let sum = Command::new("sha256sum").arg(aside).output();
    let sum = sum.expect("sha256sum").stdout;
    for (byte, digits) in header[448..480].iter_mut().zip(sum.chunks(2)) {
        let digits = std::str::from_utf8(digits).expect("digits");
        *byte = u8::from_str_radix(digits, 16).expect("a number");
    }
}

#[test]
fn what_is_encrypted_is_not_opened_without_a_key_or_against_the_policy() {
    let shop = Shop::new();
    let (image, key) = (shop.text("locked-boat.raw"), shop.text("key"));
    fs::write(&key, "secret").expect("a key");
    run("truncate", &["-s", "18M", &image]);
    let cheap = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"];
    let format = ["luksFormat", "-q", "--type", "luks2", "--key-file", &key];
    run(
        "cryptsetup",
        &[&format[..], &cheap[..], &[image.as_str()][..]].concat(),
    );
    let root = format!("RootImage={image}");
    with_units(&[], |coracle| {
        let look = |lines: &[&str]| see(coracle, &[&[root.as_str()], lines].concat(), WORD);
        let said = look(&[]);
        assert!(
            said.contains("there is no key for it")
                && said.contains("/etc/cryptsetup-keys.d/locked-boat.key"),
            "{said}"
        );
        let said = look(&["RootImagePolicy=root=unprotected"]);
        assert!(said.contains("the root file system is encrypted"), "{said}");
        let said = look(&["RootImagePolicy=root=encryptedwithintegrity"]);
        assert!(said.contains("encrypted without integrity"), "{said}");
        let said = coracle.coracle(&["inspect", &image]).stdout;
        assert!(
            said.contains("Encrypted: root · LUKS2 · aes-xts-plain64"),
            "{said}"
        );
        // The second header is newer, so that cryptsetup would take it, and encrypts nothing.
        let mut bytes = fs::read(&image).expect("the image");
        let whole = bytes.clone();
        encrypt_nothing(&mut bytes[16 << 10..32 << 10], &shop.text("header"));
        fs::write(&image, bytes).expect("the image");
        let said = look(&[]);
        assert!(
            said.contains("can't be opened") && said.contains("its two LUKS headers differ"),
            "{said}"
        );
        let mut bytes = whole;
        bytes[5000] ^= 1;
        fs::write(&image, bytes).expect("the image");
        let said = look(&[]);
        assert!(
            said.contains("can't be opened") && said.contains("its checksum is wrong"),
            "{said}"
        );
    });
}
