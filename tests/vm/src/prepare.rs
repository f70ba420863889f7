//! What a machine needs before anything can run: the kernel's file systems, modules, programs.

use std::ffi::CStr;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use rustix::mount::{MountFlags, mount, mount_move};

use crate::FOLDER;

/// The kernel's file systems: type, place, options.
const FILE_SYSTEMS: &[(&CStr, &str, &CStr)] = &[
    (c"proc", "/proc", c""),
    (c"sysfs", "/sys", c""),
    (c"devtmpfs", "/dev", c""),
    (c"devpts", "/dev/pts", c"newinstance,ptmxmode=0666,mode=620"),
    (c"tmpfs", "/dev/shm", c"mode=1777"),
    (c"tmpfs", "/run", c"mode=755"),
    (c"cgroup2", "/sys/fs/cgroup", c""),
];

/// Mounts the kernel's file systems at their usual places.
pub(crate) fn kernel_file_systems() -> Result<()> {
    for (kind, place, options) in FILE_SYSTEMS {
        // What is in sysfs or devtmpfs already can't be made, and need not be.
        if !Path::new(place).exists() {
            fs::create_dir_all(place).with_context(|| format!("cannot make {place}"))?;
        }
        mount(*kind, *place, *kind, MountFlags::NOSUID, *options)
            .with_context(|| format!("cannot mount {place}"))?;
    }
    Ok(())
}

/// Loads the modules in the order in which the host listed them.
pub(crate) fn modules() -> Result<()> {
    let order = fs::read_to_string("/vm/modules/order").context("cannot read /vm/modules/order")?;
    for name in order.lines() {
        let path = Path::new("/vm/modules").join(name);
        let file =
            fs::File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        rustix::system::finit_module(&file, c"", 0)
            .with_context(|| format!("cannot load the module {name}"))?;
    }
    Ok(())
}

/// Makes the applets of busybox the machine's programs.
pub(crate) fn busybox() -> Result<()> {
    for folder in ["/bin", "/sbin", "/usr/bin", "/usr/sbin"] {
        fs::create_dir_all(folder)?;
    }
    let status = Command::new("/vm/busybox")
        .args(["--install", "-s"])
        .status()
        .context("cannot run /vm/busybox")?;
    ensure!(status.success(), "busybox --install ended with {status}");
    Ok(())
}

/// Makes the tree on the first disk the root directory, with a layer in memory for what is written.
pub(crate) fn enter_tree() -> Result<()> {
    for folder in ["/lower", "/layer", NEW_ROOT] {
        fs::create_dir_all(folder)?;
    }
    mount(c"/dev/vda", c"/lower", c"squashfs", MountFlags::RDONLY, c"")
        .context("cannot mount the tree's disk /dev/vda")?;
    mount(c"tmpfs", c"/layer", c"tmpfs", MountFlags::empty(), c"")?;
    fs::create_dir_all("/layer/upper")?;
    fs::create_dir_all("/layer/work")?;
    mount(
        c"overlay",
        NEW_ROOT,
        c"overlay",
        MountFlags::empty(),
        c"lowerdir=/lower,upperdir=/layer/upper,workdir=/layer/work",
    )
    .context("cannot lay a writable layer over the tree")?;
    enter_root()
}

/// Makes a file system in memory the root directory: the one that a machine without a disk begins with can't be left again (pivot_root(2)).
pub(crate) fn enter_memory() -> Result<()> {
    mount_memory()?;
    enter_root()
}

fn mount_memory() -> Result<()> {
    fs::create_dir_all(NEW_ROOT)?;
    let none = MountFlags::empty();
    Ok(mount(c"tmpfs", NEW_ROOT, c"tmpfs", none, c"mode=755")?)
}

const NEW_ROOT: &str = "/root-directory";

/// The same without the kernel's file systems: the first process finds nothing mounted but the root directory.
pub(crate) fn enter_bare_memory() -> Result<()> {
    mount_memory()?;
    plant()?;
    for place in ["etc", "root", "srv", "tmp"] {
        fs::create_dir_all(Path::new(NEW_ROOT).join(place))?;
    }
    move_to_root()
}

/// Takes what the host sent along into the new root directory, and enters it.
fn enter_root() -> Result<()> {
    let new = Path::new(NEW_ROOT);
    plant()?;
    for place in ["dev", "proc", "sys", "run"] {
        fs::create_dir_all(new.join(place))?;
        mount_move(
            Path::new("/").join(place).as_path(),
            new.join(place).as_path(),
        )
        .with_context(|| format!("cannot move /{place} into the new root directory"))?;
    }
    move_to_root()?;
    fs::create_dir_all("/tmp")?;
    mount(
        c"tmpfs",
        c"/tmp",
        c"tmpfs",
        MountFlags::NOSUID,
        c"mode=1777",
    )?;
    Ok(())
}

/// Copies what the host sent along into the new root directory.
fn plant() -> Result<()> {
    let new = Path::new(NEW_ROOT);
    copy_tree(Path::new(FOLDER), &new.join("vm"))?;
    fs::create_dir_all(new.join("usr/bin"))?;
    for program in ["coracle", "coracled"] {
        let from = Path::new("/usr/bin").join(program);
        fs::copy(&from, new.join("usr/bin").join(program))
            .with_context(|| format!("cannot copy {}", from.display()))?;
    }
    Ok(())
}

fn move_to_root() -> Result<()> {
    std::env::set_current_dir(NEW_ROOT)?;
    mount_move(c".", c"/").context("cannot enter the new root directory")?;
    rustix::process::chroot(c".")?;
    std::env::set_current_dir("/")?;
    Ok(())
}

/// Copies plain files and folders, with their modes.
fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)
                .with_context(|| format!("cannot copy {}", entry.path().display()))?;
        }
    }
    Ok(())
}
