//! A portable image that mkosi(1) makes and signs, made once below `.cache/peers` and again when what it is made of changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::peers::{Container, MKOSI, Tree};
use crate::{debian, run};

/// The image, and the certificate of who signed it.
pub(super) struct Made {
    pub(super) image: PathBuf,
    pub(super) certificate: PathBuf,
}

const CONFIGURATION: &str = "\
[Distribution]
Distribution=debian
Release=trixie

[Output]
Format=portable
ImageId=barge
ImageVersion=1.0
Output=barge

[Content]
Packages=base-files,busybox-static
Bootable=no
WithDocs=no
CleanPackageMetadata=yes
RemoveFiles=/usr/lib/x86_64-linux-gnu
            /usr/share
            /usr/sbin

[Validation]
Verity=yes
VerityKey=/maker/signing.key
VerityCertificate=/maker/signing.crt
";

const UNIT: &str = "\
[Unit]
Description=A barge

[Service]
Type=exec
ExecStart=/usr/bin/busybox sh -c \"echo afloat; exec busybox sleep 1000\"
";

/// Where sources of packages are said that mkosi is to use instead of its own.
const SOURCES: &str = "mkosi.sandbox/etc/apt/sources.list.d/mkosi.sources";

/// What is given to mkosi: paths below its directory, and texts.
fn files() -> Result<[(&'static str, String); 3]> {
    let sources = format!(
        "Types: deb\nURIs: {}\nSuites: trixie\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n",
        debian::mirror()?
    );
    Ok([
        ("mkosi.conf", CONFIGURATION.to_owned()),
        (SOURCES, sources),
        (
            "mkosi.extra/usr/lib/systemd/system/barge.service",
            UNIT.to_owned(),
        ),
    ])
}

/// The image, made where it is not there or was made of something else.
pub(super) fn image() -> Result<Made> {
    let folder = run::root().join(".cache/peers/mkosi.image");
    let made = Made {
        image: folder.join("barge.raw"),
        certificate: folder.join("signing.crt"),
    };
    let files = files()?;
    let is_same = |(path, text): &(&str, String)| {
        fs::read_to_string(folder.join(path)).is_ok_and(|found| found == *text)
    };
    if made.image.exists() && files.iter().all(is_same) {
        return Ok(made);
    }
    eprintln!("vm: making an image with mkosi");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let mut keygen = Command::new(run::root().join("dist/coracle"));
    keygen.arg("keygen").arg(&folder).args(["--name", "Bargee"]);
    run::check(keygen.stdout(Stdio::null()))?;
    for (path, text) in &files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
        fs::write(path, text)?;
    }
    let build = "cd /maker && exec mkosi --force build";
    Container::of(Tree::one(MKOSI)?)?
        .bind(&folder, "/maker")
        .execute(&["sh", "-c", build].map(str::to_owned))
        .context("mkosi makes no image")?;
    Ok(made)
}
