//! Roots of layers, on kernels that can lay fewer things over each other than the newest.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};

use crate::run;

const STACK: &str = "/var/lib/s.mstack";

/// A root of a shell and a word.
fn plant(root: &str) -> Result<()> {
    for place in ["bin", "proc", "sys", "dev", "run", "tmp", "var/tmp", "etc"] {
        fs::create_dir_all(Path::new(root).join(place))?;
    }
    fs::copy("/vm/busybox", Path::new(root).join("bin/sh"))?;
    fs::write(Path::new(root).join("word"), "base\n")?;
    Ok(())
}

const LOOK: &str = "read -r word < /word; read -r upper < /upper; echo $word $upper; echo kept > /new && echo written";

/// Layers of a directory and an image, with a directory for what is changed.
pub(crate) fn stack() -> Result<()> {
    fs::create_dir_all("/var/tmp")?;
    plant(&format!("{STACK}/layer@1"))?;
    fs::copy("/vm/web.raw", Path::new(STACK).join("layer@2.raw"))?;
    let upper = Path::new(STACK).join("layer@3");
    fs::create_dir_all(&upper)?;
    fs::write(upper.join("upper"), "top\n")?;
    let root = format!("RootMStack={STACK}");
    let (said, status) = run(&[&root], LOOK)?;
    ensure!(
        said.contains("base top") && said.contains("Read-only") && !said.contains("written\n"),
        "without a directory for changes: {status} {said}"
    );
    fs::create_dir_all(Path::new(STACK).join("rw"))?;
    let (said, status) = run(&[&root], LOOK)?;
    ensure!(
        status == 0 && said.contains("base top") && said.contains("written\n"),
        "with one: {status} {said}"
    );
    let kept = Path::new(STACK).join("rw/data/new");
    ensure!(
        fs::read(&kept)? == b"kept\n",
        "what was written is elsewhere"
    );
    let line = "rm /new && echo > /gone && echo written";
    let (said, status) = run(&[&root, "RootEphemeral=yes"], line)?;
    ensure!(
        status == 0 && said.contains("written\n"),
        "thrown away: {status} {said}"
    );
    ensure!(
        kept.exists() && !Path::new(STACK).join("rw/data/gone").exists(),
        "what is thrown away was kept"
    );
    // Refused before anything is laid over anything, and what was changed is there still.
    fs::create_dir_all(Path::new(STACK).join("layer@"))?;
    let (said, status) = run(&[&root], LOOK)?;
    ensure!(
        status != 0 && said.contains("layer@") && !said.contains("base"),
        "a layer without a name: {status} {said}"
    );
    fs::remove_dir(Path::new(STACK).join("layer@"))?;
    ensure!(kept.exists(), "what was changed before is gone");
    Ok(())
}

/// A directory and an image, of which a run changes a copy.
pub(crate) fn ephemeral() -> Result<()> {
    plant("/var/lib/copied")?;
    fs::create_dir_all("/var/tmp")?;
    const LINE: &str = "echo one > /first && read -r word < /first && echo $word written";
    for root in ["RootDirectory=/var/lib/copied", "RootImage=/vm/web.raw"] {
        for _ in 0..2 {
            let (said, status) = run(
                &[root, "RootEphemeral=yes"],
                &format!("[ ! -e /first ] && {LINE}"),
            )?;
            ensure!(
                status == 0 && said.contains("one written"),
                "{root}: {status} {said}"
            );
        }
    }
    ensure!(
        !Path::new("/var/lib/copied/first").exists(),
        "the directory itself was changed"
    );
    Ok(())
}
