//! Traps that a service leaves in its own directories for what is done there as root.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // What tests share fails as tests do.

mod harness;
mod service;

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use kernel::Errno;
use kernel::wait::Ending;
use plan::Step;
use plan::step::{RootSource, SecurityModule, What};
use service::{Service, sockets};

/// A directory of the host with something precious in it, and one of a service with a link to the former.
struct Trap {
    folder: tempfile::TempDir,
}

impl Trap {
    fn new() -> Trap {
        let trap = Trap {
            folder: tempfile::tempdir_in("/var").unwrap(),
        };
        for name in ["host", "own"] {
            fs::create_dir(trap.folder.path().join(name)).unwrap();
        }
        fs::set_permissions(trap.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(trap.precious(), "precious").unwrap();
        fs::set_permissions(trap.precious(), fs::Permissions::from_mode(0o600)).unwrap();
        symlink(trap.host(), trap.own().join("link")).unwrap();
        chown(trap.own(), Some(service::SERVICE_UID), None).unwrap();
        trap
    }

    fn host(&self) -> PathBuf {
        self.folder.path().join("host")
    }

    fn own(&self) -> PathBuf {
        self.folder.path().join("own")
    }

    fn precious(&self) -> PathBuf {
        self.host().join("precious")
    }

    #[track_caller]
    fn is_unharmed(&self) {
        assert_eq!(fs::read_dir(self.host()).unwrap().count(), 1);
        let mode = fs::metadata(self.precious()).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
    }
}

#[test]
fn nothing_is_made_behind_a_link_in_a_strangers_directory() {
    let trap = Trap::new();
    let link = trap.own().join("link");
    for (directive, rest) in [
        ("ListenStream", "socket"),
        ("ListenStream", "deep/socket"),
        ("ListenFIFO", "pipe"),
    ] {
        sockets(&format!("{directive}={}", link.join(rest).display()))
            .failed_at("Listen", Errno::NOTDIR);
        trap.is_unharmed();
    }
    let place = trap.folder.path().join("socket");
    let unit = format!(
        "ListenStream={}\nSymlinks={}",
        place.display(),
        link.join("name").display()
    );
    sockets(&unit).failed_at("Listen", Errno::NOTDIR);
    trap.is_unharmed();
}

#[test]
fn links_in_directories_that_anybody_may_write_to_are_not_followed_either() {
    let trap = Trap::new();
    let shared = trap.folder.path().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o1777)).unwrap();
    symlink(trap.host(), shared.join("link")).unwrap();
    sockets(&format!(
        "ListenStream={}",
        shared.join("link/socket").display()
    ))
    .failed_at("Listen", Errno::NOTDIR);
    trap.is_unharmed();
}

#[test]
fn a_socket_in_a_strangers_directory_works_and_one_in_roots_knows_its_path() {
    let trap = Trap::new();
    let socket = trap.own().join("socket");
    for _ in 0..2 {
        let made = sockets(&format!("ListenStream={}", socket.display()));
        assert_eq!(
            (made.descriptors.len(), made.ending),
            (1, Ending::Exited(0)),
            "{made:?}"
        );
        UnixStream::connect(&socket).unwrap();
    }
    let link = trap.folder.path().join("of-root");
    symlink(trap.host(), &link).unwrap();
    let path = link.join("socket");
    let made = sockets(&format!("ListenStream={}", path.display()));
    let name = std::os::unix::net::UnixListener::from(made.descriptors.into_iter().next().unwrap());
    assert_eq!(
        name.local_addr().unwrap().as_pathname(),
        Some(path.as_path())
    );
}

#[test]
fn what_is_bound_is_not_found_behind_a_strangers_link() {
    let trap = Trap::new();
    let bound = |source: PathBuf| {
        Service::new(&format!("BindReadOnlyPaths={}:/mnt", source.display())).run("ls /mnt")
    };
    bound(trap.own().join("link")).failed_at("Mount", Errno::LOOP);
    bound(trap.own().join("link/precious")).failed_at("Mount", Errno::NOTDIR);
    assert_eq!(bound(trap.host()).said(), "precious");
    let link = trap.folder.path().join("of-root");
    symlink(trap.host(), &link).unwrap();
    assert_eq!(bound(link).said(), "precious");
    assert_eq!(bound("/usr".into()).ending, Ending::Exited(0));
}

#[test]
fn what_a_service_says_is_not_written_behind_its_link() {
    let trap = Trap::new();
    symlink(trap.precious(), trap.own().join("log")).unwrap();
    let written = |mode: &str, path: PathBuf| {
        Service::new(&format!("StandardOutput={mode}:{}", path.display())).run("echo mine")
    };
    for mode in ["file", "append", "truncate"] {
        written(mode, trap.own().join("log")).failed_at("Stream", Errno::LOOP);
        written(mode, trap.own().join("link/precious")).failed_at("Stream", Errno::NOTDIR);
    }
    assert_eq!(fs::read_to_string(trap.precious()).unwrap(), "precious");
    assert_eq!(
        written("append", trap.own().join("new")).ending,
        Ending::Exited(0)
    );
    assert_eq!(
        fs::read_to_string(trap.own().join("new")).unwrap(),
        "mine\n"
    );
}

/// A directory to be a root, with the host's programs, and links in place of the kernel's files about a process.
fn root_with_false_proc() -> tempfile::TempDir {
    let root = tempfile::tempdir_in("/var").unwrap();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for name in ["usr", "etc", "proc/self/attr"] {
        fs::create_dir_all(root.path().join(name)).unwrap();
    }
    for name in ["bin", "lib", "lib64"] {
        symlink(format!("usr/{name}"), root.path().join(name)).unwrap();
    }
    fs::write(root.path().join("etc/out"), "precious").unwrap();
    for name in ["uid_map", "gid_map", "attr/exec", "attr/current"] {
        symlink("/etc/out", root.path().join("proc/self").join(name)).unwrap();
    }
    root
}

#[test]
fn users_are_mapped_by_the_kernel_and_not_by_what_a_root_has_in_place_of_proc() {
    let root = root_with_false_proc();
    let rooted = format!(
        "RootDirectory={}\nBindReadOnlyPaths=/usr\nMountAPIVFS=no\nPrivateUsers=yes",
        root.path().display()
    );
    for more in ["", "\nDelegateNamespaces=mnt", "\nUser=daemon"] {
        let outcome = Service::new(&format!("{rooted}{more}")).run("id -u");
        let expected = if more.contains("User=") { "61234" } else { "0" };
        assert_eq!(outcome.said(), expected, "{more}");
    }
    let out = fs::read_to_string(root.path().join("etc/out")).unwrap();
    assert_eq!(out, "precious");
}

#[test]
fn a_label_that_the_kernel_has_not_taken_ends_the_start_whatever_a_root_has_in_place_of_proc() {
    let root = root_with_false_proc();
    let path = harness::text(root.path().to_str().unwrap());
    let usr = harness::roots::at(
        c"/usr",
        What::Bind {
            source: c"/usr",
            recursive: false,
            source_missing_ok: false,
        },
    );
    let from = RootSource::Directory { path: &path };
    let at_exec = |module| Step::ExecLabel {
        module,
        label: c"nobody/has/this",
        optional: false,
    };
    for label in [
        at_exec(SecurityModule::AppArmor),
        at_exec(SecurityModule::SeLinux),
        Step::SmackLabel {
            label: c"nobody/has/this",
            optional: false,
        },
    ] {
        let outcome = harness::roots::below(harness::shell("true"), from, 0, &[usr, label]);
        assert!(
            matches!(outcome.ending, Ending::Exited(status) if status != 0),
            "{label:?}: {outcome:?}"
        );
        assert_eq!(outcome.reports.len(), 1, "{outcome:?}");
    }
    let out = fs::read_to_string(root.path().join("etc/out")).unwrap();
    assert_eq!(out, "precious");
}
