//! Links by which a service or the maker of an image would take protections back, or have mount points made elsewhere.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // What tests share fails as tests do.

mod harness;

use std::ffi::{CStr, CString};
use std::os::unix::fs::{chown, symlink};
use std::path::{Path, PathBuf};

use harness::{Outcome, shell, text};
use kernel::Errno;
use kernel::mount::READ_ONLY;
use plan::Step;
use plan::step::{RootSource, What};

/// A user that owns nothing else.
const SERVICE: u32 = 61_234;

/// A directory of the host's, one of a service's, and a link in that one to the first.
struct Trap {
    _folder: tempfile::TempDir,
    host: PathBuf,
    own: PathBuf,
}

impl Trap {
    fn new(target: Option<&str>) -> Self {
        let folder = tempfile::tempdir_in("/var").unwrap();
        let (host, own) = (folder.path().join("host"), folder.path().join("own"));
        for directory in [&host, &own] {
            std::fs::create_dir(directory).unwrap();
        }
        chown(&own, Some(SERVICE), None).unwrap();
        let target = target.map_or_else(|| host.clone(), PathBuf::from);
        symlink(target, own.join("link")).unwrap();
        Self {
            _folder: folder,
            host,
            own,
        }
    }

    /// A path in the service's directory.
    fn path(&self, name: &str) -> CString {
        text(self.own.join(name).to_str().unwrap())
    }
}

fn mount<'a>(at: &'a CStr, what: What<'a>, set: u64, clear: u64) -> Step<'a> {
    Step::Mount {
        at,
        what,
        set,
        clear,
        missing_ok: false,
    }
}

fn below(command: &str, from: RootSource<'_>, set: u64, mounts: &[Step<'_>]) -> Outcome {
    harness::roots::below(shell(command), from, set, mounts)
}

/// Says whether the setting can be written, and writes nothing.
const WRITABLE: &str =
    "if [ -w /proc/sys/kernel/domainname ]; then echo writable; else echo protected; fi";

fn proc<'a>() -> What<'a> {
    What::Proc {
        hide: None,
        only_pids: false,
    }
}

#[test]
fn a_services_link_takes_no_protection_from_what_is_mounted_elsewhere() {
    let trap = Trap::new(Some("/proc/sys"));
    let (own, link) = (trap.path(""), trap.path("link"));
    let bind = What::Bind {
        source: &own,
        recursive: false,
        source_missing_ok: false,
    };
    let again = What::Again { made: true };
    let protected = [
        mount(c"/proc", proc(), 0, 0),
        mount(c"/proc/sys", again, READ_ONLY, 0),
        mount(&own, bind, 0, 0),
    ];
    let lifted = mount(&link, again, 0, READ_ONLY);
    let all = [&protected[..], &[lifted]].concat();
    assert_eq!(
        below(WRITABLE, RootSource::Host, 0, &all).said(),
        "protected"
    );
    // Who names the place itself means it.
    let all = [&protected[..2], &[mount(c"/proc/sys", again, 0, READ_ONLY)]].concat();
    assert_eq!(
        below(WRITABLE, RootSource::Host, 0, &all).said(),
        "writable"
    );
}

#[test]
fn a_services_link_makes_nothing_of_the_host_writable() {
    let trap = Trap::new(None);
    let link = trap.path("link");
    let again = mount(&link, What::Again { made: false }, 0, 0);
    let command = format!("touch {}/file", trap.host.display());
    let outcome = below(&command, RootSource::Host, READ_ONLY, &[again]);
    outcome.failed_at("Mount", Errno::LOOP);
    assert!(!trap.host.join("file").exists());
}

#[test]
fn no_mount_point_is_made_behind_a_services_link() {
    let trap = Trap::new(None);
    let point = trap.path("link/cron.d/point");
    let bind = What::Bind {
        source: c"/etc/passwd",
        recursive: false,
        source_missing_ok: false,
    };
    for set in [0, READ_ONLY] {
        let outcome = below("true", RootSource::Host, set, &[mount(&point, bind, 0, 0)]);
        outcome.failed_at("Mount", Errno::NOTDIR);
        assert!(!trap.host.join("cron.d").exists());
    }
    let deep = trap.path("below/point");
    let outcome = below(
        "true",
        RootSource::Host,
        READ_ONLY,
        &[mount(&deep, bind, 0, 0)],
    );
    assert_eq!(outcome.said(), "");
    assert!(trap.own.join("below/point").is_file());
}

#[test]
fn a_root_directory_is_not_looked_for_behind_a_services_link() {
    let trap = Trap::new(None);
    std::fs::create_dir(trap.host.join("root")).unwrap();
    for (name, errno) in [("link", Errno::LOOP), ("link/root", Errno::NOTDIR)] {
        let path = trap.path(name);
        let from = RootSource::Directory { path: &path };
        below("true", from, 0, &[]).failed_at("Root", errno);
    }
    assert!(Path::new("/etc").exists());
}

/// What the image's own directories hold, with what of the host's is bound at /host.
fn below_image(trap: &Trap, links: &[(&str, &str)], at: &CStr) -> Outcome {
    for name in ["bin", "usr", "lib", "lib64", "host", "run", "deep"] {
        std::fs::create_dir_all(trap.own.join(name)).unwrap();
    }
    for (target, name) in links {
        symlink(target, trap.own.join(name)).unwrap();
    }
    let (root, host) = (trap.path(""), text(trap.host.to_str().unwrap()));
    let bind = |source| What::Bind {
        source,
        recursive: true,
        source_missing_ok: false,
    };
    let memory = What::Tmpfs {
        mode: 0o755,
        options: plan::List::EMPTY,
    };
    let mounts = [
        mount(c"/bin", bind(c"/usr/bin"), 0, 0),
        mount(c"/lib", bind(c"/usr/lib"), 0, 0),
        mount(c"/lib64", bind(c"/usr/lib64"), 0, 0),
        mount(c"/host", bind(&host), 0, 0),
        mount(c"/run", memory, 0, 0),
        mount(at, memory, 0, 0),
    ];
    let from = RootSource::Directory { path: &root };
    let find = "for made in /run/made /deep/made; do if [ -d $made ]; then echo $made; fi; done";
    below(find, from, 0, &mounts)
}

#[test]
fn an_images_link_to_what_is_the_hosts_makes_nothing_there() {
    for (target, at) in [
        ("/host", c"/data/made"),
        ("/host/", c"/data/made/point"),
        ("../../host/.", c"/data/made"),
    ] {
        let trap = Trap::new(None);
        let outcome = below_image(&trap, &[(target, "data")], at);
        outcome.failed_at("Mount", Errno::LOOP);
        assert!(!trap.host.join("made").exists(), "{target}");
    }
    // Through a second link.
    let trap = Trap::new(None);
    let outcome = below_image(&trap, &[("/host", "one"), ("one", "data")], c"/data/made");
    outcome.failed_at("Mount", Errno::LOOP);
    assert!(!trap.host.join("made").exists());
}

#[test]
fn an_images_link_to_its_own_directory_or_to_what_was_made_for_it_is_followed() {
    for (target, made) in [("/run", "/run/made"), ("/deep", "/deep/made")] {
        let trap = Trap::new(None);
        let outcome = below_image(&trap, &[(target, "data")], c"/data/made/point");
        assert_eq!(outcome.output.lines().last(), Some(made), "{outcome:?}");
        assert!(outcome.reports.is_empty(), "{outcome:?}");
    }
}
