//! Images that the checks find below `/vm`: file systems, hash trees, what `coracle build` makes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Result;

use super::mkosi;
use crate::run;

/// Files of this machine, and their names below `/vm`.
pub(super) type Files = Vec<(PathBuf, &'static str)>;

/// What the checks of a machine need whose first process is Coracle.
pub(super) fn for_coracle(folder: &Path) -> Result<Files> {
    let [image, hashes, root_hash] = verity_image(folder)?;
    Ok(vec![
        (bounded_disk(folder)?, "bounded"),
        (image, "web.raw"),
        (hashes, "web.verity"),
        (root_hash, "roothash"),
    ])
}

/// What they need beside systemd: our image, its maker's key and certificate, and what it was made of.
pub(super) fn for_systemd(folder: &Path) -> Result<Files> {
    let tree = folder.join("boat");
    plant(&tree)?;
    let units = tree.join("usr/lib/systemd/system");
    fs::create_dir_all(&units)?;
    fs::write(tree.join("usr/lib/os-release"), RELEASE)?;
    fs::write(units.join("boat.service"), UNIT)?;
    let packed = folder.join("tree.squashfs");
    pack(&tree, &packed)?;
    let coracle = run::root().join("dist/coracle");
    let keys = folder.join("keys");
    let mut keygen = Command::new(&coracle);
    keygen.arg("keygen").arg(&keys).args(["--name", "Boatyard"]);
    run::check(keygen.stdout(Stdio::null()))?;
    let (key, image) = (keys.join("signing.key"), folder.join("boat_1.0.psi"));
    let mut build = Command::new(&coracle);
    build.arg("build").arg(&tree).arg("-o").arg(&image);
    run::check(build.arg("--key").arg(&key).stdout(Stdio::null()))?;
    let mkosi::Made {
        image: barge,
        certificate: bargee,
    } = mkosi::image()?;
    Ok(vec![
        (barge, "barge.raw"),
        (bargee, "barge.crt"),
        (encrypted(folder, &tree)?, "locked.raw"),
        (image, "boat_1.0.psi"),
        (packed, "tree.squashfs"),
        (key, "signing.key"),
        (keys.join("signing.crt"), "signing.crt"),
    ])
}

const RELEASE: &str = "\
ID=boat
NAME=Boat
VERSION_ID=1.0
IMAGE_ID=boat
IMAGE_VERSION=1.0
PORTABLE_PREFIXES=boat
";

const UNIT: &str = "\
[Unit]
Description=A boat

[Service]
Type=exec
ExecStart=/bin/sh -c \"echo afloat; exec sleep 1000\"
";

/// A tree with a shell.
fn plant(tree: &Path) -> Result<()> {
    for place in ["bin", "proc", "sys", "dev", "run", "tmp", "var/tmp", "etc"] {
        fs::create_dir_all(tree.join(place))?;
    }
    for name in ["sh", "sleep"] {
        fs::copy("/bin/busybox", tree.join("bin").join(name))?;
    }
    Ok(())
}

fn pack(tree: &Path, image: &Path) -> Result<()> {
    let mut pack = Command::new("mksquashfs");
    run::check(pack.args([tree, image]).args(["-quiet", "-no-progress"]))?;
    // A whole number of blocks, as veritysetup(8) wants it.
    run::check(Command::new("truncate").args(["-s", "%4096"]).arg(image))
}

/// A file system with a tree, encrypted where it lies.
fn encrypted(folder: &Path, tree: &Path) -> Result<PathBuf> {
    const FILE_SYSTEM: &str = "12M";
    /// What cryptsetup moves the data by is twice what its header takes.
    const ROOM: &str = "+32M";
    let (image, key) = (folder.join("locked.raw"), folder.join("key"));
    fs::write(&key, "a secret")?;
    let mut make = Command::new("mkfs.ext4");
    make.args(["-q", "-O", "^has_journal", "-d"]).arg(tree);
    run::check(make.arg(&image).arg(FILE_SYSTEM))?;
    run::check(Command::new("truncate").args(["-s", ROOM]).arg(&image))?;
    let mut encrypt = Command::new("cryptsetup");
    encrypt.args(["reencrypt", "--encrypt", "-q", "--type", "luks2"]);
    encrypt.args(["--reduce-device-size", "32M", "--key-file"]);
    // A machine without hardware's help has other things to do than to derive keys.
    let cheap = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"];
    run::check(
        encrypt
            .arg(&key)
            .args(cheap)
            .arg(&image)
            .stdout(Stdio::null()),
    )?;
    Ok(image)
}

/// A file system that counts and bounds what projects hold.
fn bounded_disk(folder: &Path) -> Result<PathBuf> {
    const BYTES: u64 = 8 << 20;
    let file = folder.join("bounded");
    fs::File::create(&file)?.set_len(BYTES)?;
    let features = "project,quota,^has_journal";
    run::check(
        Command::new("mkfs.ext4")
            .args(["-q", "-O", features, "-E", "quotatype=prjquota"])
            .arg(&file),
    )?;
    Ok(file)
}

/// An image of a shell, its hash tree and its root hash.
fn verity_image(folder: &Path) -> Result<[PathBuf; 3]> {
    let tree = folder.join("tree");
    plant(&tree)?;
    let (image, hashes) = (folder.join("web.raw"), folder.join("web.verity"));
    pack(&tree, &image)?;
    let mut format = Command::new("veritysetup");
    let root_hash = folder.join("web.roothash");
    format.arg("format").args([&image, &hashes]);
    format.arg("--root-hash-file").arg(&root_hash);
    run::check(format.stdout(Stdio::null()))?;
    Ok([image, hashes, root_hash])
}
