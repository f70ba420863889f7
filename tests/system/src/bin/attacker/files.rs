//! Acts on files, on devices, and on the way out of a root directory.

use std::cell::Cell;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::call::Arg::{B, N, T, W};
use crate::call::{BUFFER_BYTES, Buffer, Errno, call};
use crate::{Act, Outcome, Refusal, argument, seen};

pub(crate) const ACTS: &[Act] = &[
    ("create", |given| create(argument(given, 0)?)),
    ("create-open", |given| create_open(argument(given, 0)?)),
    ("escape-chroot", |given| escape_chroot(argument(given, 0)?)),
    ("escape-descriptor", |given| {
        escape_descriptor(argument(given, 0)?)
    }),
    ("escape-up", |given| escape_up(argument(given, 0)?)),
    ("find", |given| {
        Ok(fs::symlink_metadata(argument(given, 0)?).map(drop)?)
    }),
    ("leave", |given| leave(argument(given, 0)?)),
    ("make-device", |given| make_device(argument(given, 0)?)),
    ("make-folder", |given| make_folder(argument(given, 0)?)),
    ("make-group", |given| make_group(argument(given, 0)?)),
    ("mount", |given| mounted(argument(given, 0)?, || Ok(()))),
    ("mount-for", |given| {
        mount_for(argument(given, 0)?, argument(given, 1)?)
    }),
    ("open-by-handle", |given| {
        open_by_handle(argument(given, 0)?)
    }),
    ("read", |given| read(argument(given, 0)?)),
    ("remove", |given| Ok(fs::remove_file(argument(given, 0)?)?)),
    ("rewrite", |given| rewrite(argument(given, 0)?)),
    ("set-id", |given| {
        set_id(argument(given, 0)?, argument(given, 1)?)
    }),
    ("write", |given| write(argument(given, 0)?)),
];

/// Reads the beginning of a file.
fn read(path: &str) -> Outcome {
    let mut bytes = [0; 8192];
    // The kernel's log is read without waiting for its next line.
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    seen(file.read(&mut bytes)? > 0)
}

/// Opens a file for writing and leaves it as it is.
fn write(path: &str) -> Outcome {
    Ok(OpenOptions::new().write(true).open(path).map(drop)?)
}

/// Writes to a setting of the kernel what it is.
fn rewrite(path: &str) -> Outcome {
    let value = fs::read(path)?;
    Ok(OpenOptions::new()
        .write(true)
        .open(path)?
        .write_all(&value)?)
}

/// Makes a file that stays.
fn leave(path: &str) -> Outcome {
    Ok(File::create_new(path).map(drop)?)
}

fn create(path: &str) -> Outcome {
    leave(path)?;
    Ok(fs::remove_file(path)?)
}

/// Makes a file that others may read.
fn create_open(path: &str) -> Outcome {
    leave(path)?;
    let mode = fs::metadata(path)?.mode();
    fs::remove_file(path)?;
    seen(mode & 0o077 != 0)
}

fn make_folder(path: &str) -> Outcome {
    fs::create_dir(path)?;
    Ok(fs::remove_dir(path)?)
}

/// Mounts the control groups anew, past what was mounted before, by namespaces of its own. These go with the process, and the mount.
fn make_group(place: &str) -> Outcome {
    let kinds = libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWCGROUP;
    call(libc::SYS_unshare, &[N(kinds.into())], &[])?;
    let kind = T("cgroup2");
    call(libc::SYS_mount, &[kind, T(place), kind, N(0), N(0)], &[])?;
    make_folder(&format!("{place}/attack"))
}

/// A node for the first loop device.
fn make_device(path: &str) -> Outcome {
    let mode = i64::from(libc::S_IFBLK) | 0o600;
    call(libc::SYS_mknod, &[T(path), N(mode), N(7 << 8)], &[])?;
    Ok(fs::remove_file(path)?)
}

/// Mounts a file system in memory, does something with it, and unmounts it.
fn mounted(place: &str, work: impl FnOnce() -> Outcome) -> Outcome {
    call(
        libc::SYS_mount,
        &[T("attack"), T(place), T("tmpfs"), N(0), N(0)],
        &[],
    )?;
    let outcome = work();
    call(libc::SYS_umount2, &[T(place), N(0)], &[])?;
    outcome
}

/// Mounts something that another process sees.
fn mount_for(place: &str, process: &str) -> Outcome {
    mounted(place, || {
        let mounts = fs::read_to_string(format!("/proc/{process}/mountinfo"))?;
        seen(mounts.contains(place))
    })
}

/// Opens a file by its number in the file system, past all directories.
fn open_by_handle(path: &str) -> Outcome {
    let file = File::open(path)?;
    let mut handle = [0; BUFFER_BYTES];
    // How long the handle may be (name_to_handle_at(2)).
    handle[0] = 128;
    let handle: Buffer = Cell::new(handle);
    let mount: Buffer = Cell::new([0; BUFFER_BYTES]);
    let here = libc::AT_FDCWD.into();
    call(
        libc::SYS_name_to_handle_at,
        &[N(here), T(path), B(&handle), B(&mount), N(0)],
        &[],
    )?;
    let mount = N(file.as_raw_fd().into());
    Ok(call(libc::SYS_open_by_handle_at, &[mount, B(&handle), N(0)], &[]).map(drop)?)
}

/// Goes up from here for longer than any path is deep.
fn escape_up(secret: &str) -> Outcome {
    read(&format!("{}{secret}", "../".repeat(64)))
}

/// Goes up from each descriptor that was left open.
fn escape_descriptor(secret: &str) -> Outcome {
    let path = format!("{}{secret}", "../".repeat(64));
    let open = |descriptor| call(libc::SYS_openat, &[N(descriptor), T(&path), N(0)], &[]);
    // Whoever starts it hands it the working directory at least.
    let _here = File::open(".")?;
    let outcomes: Vec<Result<i64, Errno>> = (0..1024).map(open).collect();
    if outcomes.iter().any(Result::is_ok) {
        return Ok(());
    }
    let told = outcomes.into_iter().filter_map(Result::err);
    let mut told = told.filter(|error| ![libc::EBADF, libc::ENOTDIR].contains(&error.0));
    Err(told.next().map_or(Refusal::Empty, Refusal::By))
}

/// Changes the root to a directory below while it holds one above.
fn escape_chroot(secret: &str) -> Outcome {
    let above = File::open("/")?;
    call(libc::SYS_chroot, &[T("tmp")], &[])
        .or_else(|_| call(libc::SYS_chroot, &[T("/tmp")], &[]))?;
    call(libc::SYS_fchdir, &[N(above.as_raw_fd().into())], &[])?;
    escape_up(secret)
}

/// Makes a file whose user others become, by the named call.
fn set_id(by: &str, path: &str) -> Outcome {
    let outcome = make_set_id(by, path);
    if Path::new(path).exists() {
        fs::remove_file(path)?;
    }
    outcome
}

fn make_set_id(by: &str, path: &str) -> Outcome {
    let place = [N(libc::AT_FDCWD.into()), T(path)];
    let ([here, path_of_it], mode) = (place, N(0o4755));
    let make = N((libc::O_CREAT | libc::O_WRONLY).into());
    let node = N(i64::from(libc::S_IFREG) | 0o4755);
    if by.contains("chmod") {
        leave(path)?;
    }
    let file = File::open(if by == "fchmod" { path } else { "/" })?;
    let descriptor = N(file.as_raw_fd().into());
    match by {
        "chmod" => call(libc::SYS_chmod, &[path_of_it, mode], &[]),
        "creat" => call(libc::SYS_creat, &[path_of_it, mode], &[]),
        "fchmod" => call(libc::SYS_fchmod, &[descriptor, mode], &[]),
        "fchmodat" => call(libc::SYS_fchmodat, &[here, path_of_it, mode], &[]),
        "fchmodat2" => call(452, &[here, path_of_it, mode, N(0)], &[]),
        "mknod" => call(libc::SYS_mknod, &[path_of_it, node, N(0)], &[]),
        "mknodat" => call(libc::SYS_mknodat, &[here, path_of_it, node, N(0)], &[]),
        "open" => call(libc::SYS_open, &[path_of_it, make, mode], &[]),
        "openat" => call(libc::SYS_openat, &[here, path_of_it, make, mode], &[]),
        "openat2" => call(
            libc::SYS_openat2,
            &[here, path_of_it, W(&[65, 0, 0o4755]), N(24)],
            &[],
        ),
        other => return Err(Refusal::NotTried(format!("no file is made by {other:?}"))),
    }?;
    seen(Path::new(path).metadata()?.permissions().mode() & 0o4000 != 0)
}
