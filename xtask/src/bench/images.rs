//! Signed images: attached and started from the store, alone and beside portablectl, verified without the kernel, and many at boot.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result};
use coracle_system_tests::images::{By, Workshop, furnish};
use image::dissect::dissect;
use image::source::FileSource;
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use rustix::io::Errno;
use testkit::Instance;

use super::building::Words;
use super::figure::{Figure, Times};
use super::sides::{Both, Side, figure};
use super::timing;

const ROUNDS: usize = 15;
const MEGABYTE: usize = 1 << 20;

/// What one file of a tree has.
const PIECE_BYTES: usize = 5 * MEGABYTE;

/// The portable's only service: it has run when its start is over, on both sides.
const UNIT: &str = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/bin/dash -c :\n";

/// A portable's tree with so many pieces of data.
fn tree(root: &Path, name: &str, pieces: usize) -> Result<()> {
    furnish(root);
    let units = root.join("usr/lib/systemd/system");
    let data = root.join("usr/share/data");
    for folder in [&units, &data] {
        fs::create_dir_all(folder)?;
    }
    fs::write(units.join(format!("{name}.service")), UNIT)?;
    let release = format!("ID={name}\nVERSION_ID=1\nPORTABLE_PREFIXES={name}\n");
    fs::write(root.join("usr/lib/os-release"), release)?;
    fs::write(root.join("etc/machine-id"), "")?;
    let mut words = Words(1);
    for piece in 0..pieces {
        fs::write(data.join(piece.to_string()), words.bytes(PIECE_BYTES))?;
    }
    Ok(())
}

/// An image of such a tree, signed by somebody who is trusted.
pub(super) fn signed(
    workshop: &Workshop<'_>,
    root: &Path,
    name: &str,
    pieces: usize,
) -> Result<String> {
    tree(root, name, pieces).context("cannot make the tree")?;
    let image = workshop.built(
        &format!("{name}.psi"),
        By::Trusted,
        &[&root.to_string_lossy()],
    );
    fs::remove_dir_all(root)?;
    Ok(image)
}

/// `coracle start` of a detached, stored, signed image of 50 MB: at most 15 ms.
pub(super) fn attach_and_start() -> Result<Vec<Figure>> {
    let instance = Instance::new();
    let workshop = Workshop::new(&instance);
    let image = signed(&workshop, &instance.folder().join("root"), "hello", 10)?;
    instance.ok(&["attach", &image]);
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        instance.ok(&["detach", "--now", "hello"]);
        times.push(timing::once(&mut instance.command(&["start", "hello"]))?);
    }
    Ok(vec![
        Figure::new("attach and start of a stored, signed 50 MB image", "µs")
            .times("coracle", &Times::new(times))
            .at_most(15_000.0),
    ])
}

/// The same beside `portablectl attach --now` of the file system in that image alone, which nothing protects: at most a thirtieth.
pub(super) fn beside_portablectl() -> Result<Vec<Figure>> {
    loop_devices()?;
    let both = Both::new();
    let workshop = Workshop::new(&both.coracle);
    let image = signed(&workshop, &both.coracle.folder().join("root"), "hello", 10)?;
    let bare = both.coracle.folder().join("hello.raw");
    fs::write(&bare, file_system(Path::new(&image))?)?;
    let bare = bare.to_string_lossy().into_owned();
    both.coracle.ok(&["attach", &image]);
    let times = both.alternate(ROUNDS, |side| match side {
        Side::Coracle => {
            both.coracle.ok(&["detach", "--now", "hello"]);
            timing::once(&mut both.coracle.command(&["start", "hello"]))
        }
        Side::Systemd => {
            let portablectl = |verb| {
                let mut command = Command::new("portablectl");
                command.args(["--quiet", "--runtime", "--now", verb, &bare]);
                timing::once(&mut command)
            };
            let time = portablectl("attach")?;
            portablectl("detach")?;
            Ok(time)
        }
    })?;
    Ok(vec![
        figure("attach and start of a stored 50 MB image", &times).share_of("systemd", 1.0 / 30.0),
    ])
}

/// What portablectl mounts images by: a container has none of the host's, which come and go while they are used.
fn loop_devices() -> Result<()> {
    const MAJOR: u32 = 7;
    const COUNT: u32 = 256;
    const CONTROL: (u32, u32) = (10, 237);
    let make = |name: String, kind, (major, minor)| {
        let made = mknodat(
            CWD,
            &name,
            kind,
            Mode::RUSR | Mode::WUSR,
            makedev(major, minor),
        );
        match made {
            Err(Errno::EXIST) => Ok(()),
            made => made.with_context(|| format!("cannot make {name}")),
        }
    };
    make(
        "/dev/loop-control".to_owned(),
        FileType::CharacterDevice,
        CONTROL,
    )?;
    (0..COUNT).try_for_each(|number| {
        make(
            format!("/dev/loop{number}"),
            FileType::BlockDevice,
            (MAJOR, number),
        )
    })
}

/// The bytes of an image's root.
fn file_system(image: &Path) -> Result<Vec<u8>> {
    let file = File::open(image)?;
    let layout = dissect(&FileSource::new(&file)?)?;
    let root = layout.claim().root;
    let mut bytes = vec![0; usize::try_from(root.length)?];
    file.read_exact_at(&mut bytes, root.offset)?;
    Ok(bytes)
}

/// A start from an image of 500 MB of the administrator's own, all of which is hashed where there is no device mapper: a gigabyte in a
/// second at most.
pub(super) fn verification() -> Result<Vec<Figure>> {
    const GIGABYTE: f64 = 1e9;
    const ROUNDS: usize = 7;
    // In memory, where only root can change it: this is about hashing, and not about a disk.
    let instance = Instance::below(Path::new("/run"));
    let workshop = Workshop::new(&instance);
    let image = signed(&workshop, &instance.folder().join("root"), "large", 100)?;
    let bytes = fs::metadata(&image)?.len();
    let scale = GIGABYTE / f64::from(u32::try_from(bytes)?);
    let root = format!("RootImage={image}");
    let words = [
        "run",
        "--wait",
        "--quiet",
        "-p",
        &root,
        "/usr/bin/dash",
        "-c",
        ":",
    ];
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let time = timing::once(&mut instance.command(&words))?;
        times.push(time.mul_f64(scale));
    }
    Ok(vec![
        Figure::new("start from a gigabyte that is hashed for it", "µs")
            .times("coracle", &Times::new(times))
            .at_most(1_000_000.0),
    ])
}

/// An instance that comes up after a reboot with a hundred portables: they are there within a second, and those that are enabled are started soon after.
pub(super) fn boot() -> Result<Vec<Figure>> {
    const PORTABLES: usize = 100;
    const ROUNDS: usize = 5;
    let instance = Instance::new();
    let workshop = Workshop::new(&instance);
    for number in 0..PORTABLES {
        let name = format!("portable{number}");
        let image = signed(&workshop, &instance.folder().join("root"), &name, 0)?;
        instance.ok(&["attach", &image]);
        fs::remove_file(image)?;
    }
    let last = format!("portable{}.service", PORTABLES - 1);
    let mut figures = Vec::new();
    for (what, enables, most) in [
        ("100 portables attached at boot", false, 1_000_000.0),
        (
            "100 portables attached and started at boot",
            true,
            1_500_000.0,
        ),
    ] {
        if enables {
            for number in 0..PORTABLES {
                let name = format!("portable{number}");
                instance.ok(&["configure", &name, "--at-boot", "yes"]);
            }
        }
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            reboot(&instance)?;
            let begin = Instant::now();
            timing::once(&mut instance.command(&["start", "--enabled"]))?;
            anyhow::ensure!(
                instance.property(&last, "LoadState") == "loaded",
                "{last} is not attached after the boot"
            );
            times.push(begin.elapsed());
        }
        let figure = Figure::new(what, "µs").times("coracle", &Times::new(times));
        figures.push(figure.at_most(most));
    }
    Ok(figures)
}

/// The instance ends, and what a reboot takes is gone.
fn reboot(instance: &Instance) -> Result<()> {
    instance.ok(&["daemon-exit"]);
    let runtime = instance.folder().join("run");
    fs::remove_dir_all(&runtime)?;
    Ok(fs::create_dir(&runtime)?)
}
