//! Debian's systemd and this project with each other's images, and images that only a key opens; on a machine whose first process is systemd.

use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::coracle;

/// Our image, built by `coracle build`, and whoever signed it.
const OURS: &str = "/vm/boat_1.0.psi";
const CERTIFICATE: &str = "/vm/signing.crt";

/// Runs a command; what it said in all, and its exit status.
pub(crate) fn say(words: &[&str]) -> Result<(String, i32)> {
    let (program, rest) = words.split_first().context("no command")?;
    let output = Command::new(program)
        .args(rest)
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    let said = [output.stdout, output.stderr].concat();
    let status = output.status.code().unwrap_or(-1);
    Ok((String::from_utf8_lossy(&said).into_owned(), status))
}

fn good(words: &[&str]) -> Result<String> {
    let (said, status) = say(words)?;
    ensure!(status == 0, "{words:?} ended with {status}: {said}");
    Ok(said)
}

fn secret(path: &str, text: &str) -> Result<()> {
    let path = Path::new(path);
    fs::create_dir_all(path.parent().context("a folder")?)?;
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(())
}

/// Runs a shell in an image by systemd itself.
fn by_systemd(properties: &[&str], script: &str) -> Result<(String, i32)> {
    let mut words = vec!["systemd-run", "--wait", "--pipe", "--quiet", "--collect"];
    for property in properties {
        words.extend(["-p", property]);
    }
    words.extend(["/bin/sh", "-c", script]);
    say(&words)
}

/// The same by us.
fn by_us(properties: &[&str], script: &str) -> Result<(String, i32)> {
    let mut words = vec!["coracle", "run", "--wait", "--pipe", "--quiet", "--collect"];
    for property in properties {
        words.extend(["-p", property]);
    }
    words.extend(["/bin/sh", "-c", script]);
    say(&words)
}

/// A copy of our image whose name says that it is an image, which is what systemd looks for; its maker is one that systemd trusts.
fn ours_as_raw() -> Result<&'static str> {
    const RAW: &str = "/var/lib/portables/boat_1.0.raw";
    for folder in ["/var/lib/portables", "/etc/verity.d"] {
        fs::create_dir_all(folder)?;
    }
    fs::copy(CERTIFICATE, "/etc/verity.d/boat.crt")?;
    if !Path::new(RAW).exists() {
        fs::copy(OURS, RAW)?;
    }
    Ok(RAW)
}

/// What our image says that its root hash is.
fn root_hash() -> Result<String> {
    let json = good(&["coracle", "--json", "inspect", OURS])?;
    let (_, rest) = json.split_once("\"root_hash\":").context("no root hash")?;
    let hash = rest.split('"').nth(1).context("no root hash")?;
    Ok(hash.to_owned())
}

pub(crate) fn dissected() -> Result<()> {
    let raw = ours_as_raw()?;
    let said = good(&["systemd-dissect", raw])?;
    ensure!(
        said.contains("IMAGE_ID=boat") || said.contains("Boat"),
        "its os-release is not read: {said}"
    );
    ensure!(said.contains("signed"), "no signature is seen: {said}");
    good(&["systemd-dissect", "--validate", raw])?;
    good(&[
        "systemd-dissect",
        "--validate",
        "--image-policy=root=signed",
        raw,
    ])?;
    let (said, status) = say(&[
        "systemd-dissect",
        "--validate",
        "--image-policy=root=absent:usr=unprotected",
        raw,
    ])?;
    ensure!(status != 0, "a policy that forbids it: {said}");
    Ok(())
}

/// Where the root came from, and a word of it.
const ROOT: &str = "while read -r line; do case $line in *' / / '*) echo $line;; esac; done < /proc/self/mountinfo; \
    while read -r line; do echo $line; done < /usr/lib/os-release";

/// Whether a line of mountinfo is of a device of device mapper's.
fn is_mapped(line: &str) -> Result<bool> {
    let devices = fs::read_to_string("/proc/devices")?;
    let major = devices
        .lines()
        .find_map(|line| line.trim().strip_suffix(" device-mapper"))
        .context("the kernel has no device mapper")?;
    let device = line.split(' ').nth(2).unwrap_or_default();
    Ok(device.split(':').next() == Some(major))
}

pub(crate) fn root_image() -> Result<()> {
    let raw = format!("RootImage={}", ours_as_raw()?);
    let hash = root_hash()?;
    let with =
        |lines: &[&str]| by_systemd(&[&[raw.as_str(), "MountAPIVFS=yes"], lines].concat(), ROOT);
    let right = format!("RootHash={hash}");
    let (said, status) = with(&[&right, "RootImagePolicy=root=verity+signed"])?;
    ensure!(
        status == 0 && said.contains("ID=boat") && is_mapped(&said)?,
        "with the right hash: {status} {said}"
    );
    let wrong = format!("RootHash={}", "0".repeat(64));
    let (said, status) = with(&[&wrong, "RootImagePolicy=root=verity+signed"])?;
    ensure!(
        status != 0 && !said.contains("ID=boat"),
        "with a wrong one: {status} {said}"
    );
    Ok(())
}

/// One byte of what is read first, the release, is another than was signed.
pub(crate) fn changed() -> Result<()> {
    let path = "/var/lib/changed.raw";
    let mut bytes = fs::read(OURS)?;
    let release = b"IMAGE_ID=boat";
    let at = bytes
        .windows(release.len())
        .position(|found| found == release);
    let at = at.context("the release is not in the image as it is")?;
    *bytes.get_mut(at).context("its place")? ^= 1;
    fs::write(path, bytes)?;
    let image = format!("RootImage={path}");
    let policy = "RootImagePolicy=root=verity+signed";
    for (who, (said, status)) in [
        (
            "systemd",
            by_systemd(&[&image, "MountAPIVFS=yes", policy], ROOT)?,
        ),
        ("coracle", by_us(&[&image, policy], ROOT)?),
    ] {
        ensure!(!said.contains("NAME=Boat"), "{who}: {status} {said}");
    }
    Ok(())
}

pub(crate) fn portable() -> Result<()> {
    ours_as_raw()?;
    let said = good(&["portablectl", "attach", "--runtime", "--now", "boat_1.0"])?;
    let active = say(&["systemctl", "is-active", "boat.service"])?;
    ensure!(
        active.1 == 0,
        "{active:?}: {said} {}",
        say(&["journalctl", "--no-pager", "-u", "boat"])?.0
    );
    let pid = good(&["systemctl", "show", "-P", "MainPID", "boat.service"])?;
    let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", pid.trim()))?;
    let root = mounts.lines().find(|line| line.contains(" / / "));
    ensure!(
        is_mapped(root.unwrap_or_default())?,
        "its root is not checked by the kernel: {root:?}"
    );
    let said = good(&["portablectl", "is-attached", "boat_1.0"])?;
    ensure!(
        said.contains("running-runtime") || said.contains("attached-runtime"),
        "{said}"
    );
    good(&["portablectl", "detach", "--runtime", "--now", "boat_1.0"])?;
    ensure!(
        say(&["systemctl", "is-active", "boat.service"])?.1 != 0,
        "it runs still"
    );
    Ok(())
}

/// An image that mkosi made and signed as it is, with packages of Debian in it.
pub(crate) fn portable_of_mkosi() -> Result<()> {
    const IMAGE: &str = "/vm/barge.raw";
    let (said, status) = say(&["coracle", "start", IMAGE])?;
    ensure!(
        status != 0 && said.contains("trust"),
        "before its maker is trusted: {status} {said}"
    );
    good(&["coracle", "trust", "add", "/vm/barge.crt"])?;
    good(&["coracle", "start", IMAGE])?;
    let pid = good(&[
        "coracle",
        "show",
        "-p",
        "MainPID",
        "--value",
        "barge.service",
    ])?;
    let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", pid.trim()))?;
    let shown = good(&["coracle", "status", "barge"])?;
    let root = mounts.lines().find(|line| line.contains(" / / "));
    ensure!(
        is_mapped(root.unwrap_or_default())?
            && shown.contains("each block checked by the kernel")
            && shown.contains("afloat"),
        "{root:?}: {shown}"
    );
    good(&["coracle", "purge", "--forget", "barge"])?;
    Ok(())
}

/// Makes an image with systemd-repart from these definitions.
fn repart(name: &str, definitions: &[(&str, &str)], options: &[&str]) -> Result<String> {
    plant()?;
    let folder = format!("/var/lib/{name}.repart.d");
    fs::create_dir_all(&folder)?;
    for (file, text) in definitions {
        fs::write(Path::new(&folder).join(file), text)?;
    }
    let image = format!("/var/lib/{name}.raw");
    let definitions = format!("--definitions={folder}");
    let mut words = vec![
        "systemd-repart",
        "--empty=create",
        "--size=auto",
        "--dry-run=no",
        "--offline=yes",
        definitions.as_str(),
    ];
    words.extend(options);
    words.push(&image);
    good(&words)?;
    Ok(image)
}

/// A tree with a shell, as whoever makes images has one.
const TREE: &str = "/var/lib/tree";

fn plant() -> Result<()> {
    if !Path::new(TREE).exists() {
        fs::create_dir_all(TREE)?;
        good(&["mount", "-o", "loop,ro", "/vm/tree.squashfs", TREE])?;
    }
    Ok(())
}

pub(crate) fn signed_by_repart() -> Result<()> {
    let root = format!(
        "[Partition]\nType=root\nFormat=squashfs\nCopyFiles={TREE}:/\nVerity=data\nVerityMatchKey=root\nMinimize=best\n"
    );
    let hash = "[Partition]\nType=root-verity\nVerity=hash\nVerityMatchKey=root\nMinimize=best\n";
    let signature = "[Partition]\nType=root-verity-sig\nVerity=signature\nVerityMatchKey=root\n";
    let image = repart(
        "signed",
        &[("1.conf", &root), ("2.conf", hash), ("3.conf", signature)],
        &[
            "--private-key=/vm/signing.key",
            &format!("--certificate={CERTIFICATE}"),
        ],
    )?;
    let image = format!("RootImage={image}");
    let policy = "RootImagePolicy=root=signed";
    let (said, status) = by_us(&[&image, policy], ROOT)?;
    ensure!(
        status != 0 && said.contains("trust") && !said.contains("ID=boat"),
        "before its maker is trusted: {status} {said}"
    );
    good(&["coracle", "trust", "add", CERTIFICATE])?;
    let (said, status) = by_us(&[&image, policy], ROOT)?;
    ensure!(
        status == 0 && said.contains("ID=boat") && said.contains("/dev/dm-"),
        "once it is: {status} {said}"
    );
    Ok(())
}

/// A file system that cryptsetup encrypted afterwards, with all that may be wrong with its key.
pub(crate) fn encrypted() -> Result<()> {
    let image = "/var/lib/locked.raw";
    fs::copy("/vm/locked.raw", image)?;
    let said = good(&["coracle", "inspect", image])?;
    ensure!(
        said.contains("Encrypted: root · LUKS2 · aes-xts-plain64"),
        "{said}"
    );
    let image = format!("RootImage={image}");
    let (said, status) = by_us(&[&image], ROOT)?;
    ensure!(
        status != 0 && said.contains("/etc/cryptsetup-keys.d/locked.key"),
        "without a key: {status} {said}"
    );
    secret("/etc/cryptsetup-keys.d/locked.key", "a secret of nobody's")?;
    let (said, status) = by_us(&[&image], ROOT)?;
    ensure!(
        status != 0
            && said.contains("encrypted with another key than /etc/cryptsetup-keys.d/locked.key"),
        "with another key: {status} {said}"
    );
    secret("/etc/cryptsetup-keys.d/locked.key", "a secret\n")?;
    let (said, status) = by_us(&[&image], ROOT)?;
    ensure!(
        status != 0 && said.contains("line break"),
        "with a line break: {status} {said}"
    );
    secret("/etc/cryptsetup-keys.d/locked.key", "a secret")?;
    let (said, status) = by_us(
        &[&image, "RootImagePolicy=root=unprotected+verity+signed"],
        ROOT,
    )?;
    ensure!(
        status != 0 && said.contains("the root file system is encrypted"),
        "with a policy that forbids it: {status} {said}"
    );
    let (said, status) = by_us(
        &[&image, "RootImagePolicy=root=encryptedwithintegrity"],
        ROOT,
    )?;
    ensure!(
        status != 0 && said.contains("encrypted without integrity"),
        "with one that wants integrity: {status} {said}"
    );
    let (said, status) = by_us(
        &[&image, "RootImagePolicy=root=encrypted"],
        "echo kept > /kept; echo written",
    )?;
    ensure!(status == 0 && said.contains("written"), "{status} {said}");
    let (said, status) = by_us(
        &[&image],
        "read -r word < /kept; echo $word; while read -r line; do echo $line; done < /proc/self/mountinfo",
    )?;
    ensure!(
        status == 0 && said.contains("kept") && said.contains("ext4 /dev/dm-"),
        "what was written is kept: {status} {said}"
    );
    nothing_stays()
}

/// A bare one that cryptsetup made, whose changes are found, opened with a credential.
pub(crate) fn encrypted_by_cryptsetup() -> Result<()> {
    let image = "/var/lib/bare.raw";
    secret("/etc/credstore/dissect.passphrase", "a passphrase")?;
    let key = "--key-file=/etc/credstore/dissect.passphrase";
    for (how, policy) in [
        (
            &["--integrity=hmac-sha256"][..],
            "root=encryptedwithintegrity",
        ),
        (&[][..], "root=encrypted"),
    ] {
        fs::File::create(image)?.set_len(20 << 20)?;
        let format = [
            "cryptsetup",
            "luksFormat",
            "-q",
            "--type=luks2",
            "--pbkdf=pbkdf2",
            "--pbkdf-force-iterations=1000",
            key,
        ];
        good(&[&format[..], how, &[image]].concat())?;
        good(&["cryptsetup", "open", key, image, "maker"])?;
        good(&[
            "dd",
            "if=/vm/tree.squashfs",
            "of=/dev/mapper/maker",
            "bs=64k",
            "conv=fsync",
        ])?;
        good(&["cryptsetup", "close", "maker"])?;
        let root = format!("RootImage={image}");
        let policy = format!("RootImagePolicy={policy}");
        let kept = left_behind(image, key)?;
        let (said, status) = by_us(&[&root, &policy], ROOT)?;
        ensure!(
            status == 0 && said.contains("ID=boat") && said.contains("squashfs /dev/dm-"),
            "{policy}: {status} {said}"
        );
        good(&["cryptsetup", "close", &kept])?;
        nothing_stays()?;
    }
    // A header that lies about its keys, with a sum that is right no more.
    let file = fs::File::options().write(true).open(image)?;
    file.write_all_at(b"9", 4096 + 300)?;
    let (said, status) = by_us(&[&format!("RootImage={image}")], ROOT)?;
    ensure!(
        status != 0
            && said.contains("can't be opened: its LUKS header is damaged: its checksum is wrong"),
        "a damaged header: {status} {said}"
    );
    fs::remove_file("/etc/credstore/dissect.passphrase")?;
    nothing_stays()
}

/// Opens copies of the image as a maker does that was killed then, whose device goes with the next opening, and as one that lives, whose
/// device is told.
fn left_behind(image: &str, key: &str) -> Result<String> {
    let namespace = fs::metadata("/proc/self/ns/pid")?.ino();
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit_once(") ").context("a name")?.1;
    let started: u64 = fields.split(' ').nth(19).context("a start")?.parse()?;
    let name = |started| {
        format!(
            "coracle-luks-{namespace}-{}-{started}-1",
            std::process::id()
        )
    };
    // Another process had the number before.
    let (gone, kept) = (name(started - 1), name(started));
    for name in [&gone, &kept] {
        let copy = format!("/var/lib/{name}.raw");
        fs::copy(image, &copy)?;
        good(&["cryptsetup", "open", key, &copy, name])?;
        // Its loop device holds it.
        fs::remove_file(copy)?;
    }
    Ok(kept)
}

/// No device is there of what nobody uses any more.
pub(crate) fn nothing_stays() -> Result<()> {
    let left = || -> Result<Vec<String>> {
        let mut left = Vec::new();
        for entry in fs::read_dir("/sys/block")? {
            let path = entry?.path();
            let name = fs::read_to_string(path.join("dm/name")).unwrap_or_default();
            if name.starts_with("coracle-") {
                left.push(name.trim().to_owned());
            }
        }
        for entry in fs::read_dir("/dev/mapper")? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.starts_with("coracle-") {
                left.push(format!("/dev/mapper/{name}"));
            }
        }
        Ok(left)
    };
    for _ in 0..500 {
        if left()?.is_empty() {
            return Ok(());
        }
        coracle(&["list-units"])?;
    }
    anyhow::bail!("devices stay: {}", left()?.join(", "))
}
