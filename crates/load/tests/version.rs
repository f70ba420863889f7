//! Versions of units: every change of what a unit is made of gives another one, and a change of something else none.
#![allow(
    clippy::unwrap_used,
    reason = "a test that can't read its own samples must fail"
)]

use std::cell::RefCell;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use coracle_load as load;
use load::{
    Content, HostTree, Loader, MemoryTree, Named, SearchPath, SpecifierContext, Stamp, Tree,
};
use model::UnitName;

/// A tree that changes while a loader looks at it.
#[derive(Clone)]
struct Shared(Rc<RefCell<MemoryTree>>);

impl Tree for Shared {
    fn entries(&self, directory: &Path) -> io::Result<Vec<Named>> {
        self.0.borrow().entries(directory)
    }

    fn stamp(&self, path: &Path) -> io::Result<Option<Stamp>> {
        self.0.borrow().stamp(path)
    }

    fn link(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        self.0.borrow().link(path)
    }

    fn read(&self, path: &Path, limit_bytes: usize) -> io::Result<Content> {
        self.0.borrow().read(path, limit_bytes)
    }
}

const SERVICE: &str = "[Service]\nExecStart=/x\n";

fn sample() -> MemoryTree {
    let mut tree = MemoryTree::new();
    tree.write("/usr/u/a-b@.service", SERVICE)
        .write("/usr/u/a-b@.service.d/5.conf", "[Service]\nNice=5\n")
        .symlink("/usr/u/a-b@2.service.wants/w.service", "../w.service")
        .symlink("/usr/u/out.service", "/opt/out.service")
        .write("/opt/out.service", SERVICE)
        .symlink("/usr/u/alias.service", "plain.service")
        .write("/usr/u/plain.service", SERVICE)
        .write("/usr/u/other.service", SERVICE);
    tree
}

const UNITS: [&str; 5] = [
    "a-b@1.service",
    "a-b@2.service",
    "out.service",
    "plain.service",
    "other.service",
];

fn path() -> SearchPath {
    SearchPath::new(["/etc/u", "/usr/u"].map(PathBuf::from))
}

/// Makes a change, and compares the units that are another version after it. A unit that is read differently, is one in any case.
#[track_caller]
fn check(change: impl FnOnce(&mut MemoryTree), expected: &[&str]) {
    let tree = Rc::new(RefCell::new(sample()));
    let mut loader = Loader::new(path(), Shared(Rc::clone(&tree)));
    let names = UNITS.map(|name| name.parse::<UnitName>().unwrap());
    let loaded = names.each_ref().map(|name| loader.load(name));
    for (name, loaded) in names.iter().zip(&loaded) {
        assert!(loaded.version.is_some(), "{name}");
        assert_eq!(loader.look().version(name), loaded.version, "{name}");
    }
    change(&mut tree.borrow_mut());
    loader.refresh(path(), SpecifierContext::default());
    let look = loader.look();
    let mut changed = Vec::new();
    for (name, before) in names.iter().zip(&loaded) {
        let after = loader.load(name);
        let is_same = look.version(name) == before.version;
        let reads = |loaded: &load::Loaded| {
            let drop_ins = loaded.drop_ins.clone();
            let names = loaded.names.clone();
            let fragment = loaded.fragment.clone();
            (loaded.unit.clone(), loaded.state, names, fragment, drop_ins)
        };
        assert!(
            !is_same || reads(&after) == reads(before),
            "{name} changed unseen"
        );
        changed.extend((!is_same).then_some(name.as_str()));
    }
    assert_eq!(changed, expected);
}

#[test]
fn nothing_changed_and_neither_did_any_unit() {
    check(|_| {}, &[]);
    check(
        |tree| {
            tree.write("/usr/u/new.service", SERVICE);
        },
        &[],
    );
}

#[test]
fn a_file_changes_its_unit_and_a_template_all_its_instances() {
    let write = |path: &'static str| {
        move |tree: &mut MemoryTree| {
            tree.write(path, SERVICE);
        }
    };
    check(write("/usr/u/plain.service"), &["plain.service"]);
    check(
        write("/usr/u/a-b@.service"),
        &["a-b@1.service", "a-b@2.service"],
    );
    check(write("/usr/u/a-b@1.service"), &["a-b@1.service"]);
    check(write("/etc/u/other.service"), &["other.service"]);
    check(write("/opt/out.service"), &["out.service"]);
    check(
        |tree| {
            tree.remove("/usr/u/plain.service");
        },
        &["plain.service"],
    );
}

#[test]
fn a_drop_in_changes_whom_its_directory_means() {
    let write = |path: &'static str| {
        move |tree: &mut MemoryTree| {
            tree.write(path, "[Service]\nNice=7\n");
        }
    };
    check(write("/etc/u/plain.service.d/1.conf"), &["plain.service"]);
    check(write("/etc/u/alias.service.d/1.conf"), &["plain.service"]);
    check(write("/etc/u/a-.service.d/1.conf"), &[]);
    check(
        write("/etc/u/a-@.service.d/1.conf"),
        &["a-b@1.service", "a-b@2.service"],
    );
    check(write("/etc/u/service.d/1.conf"), &UNITS);
    check(
        |tree| {
            tree.remove("/usr/u/a-b@.service.d/5.conf");
        },
        &["a-b@1.service", "a-b@2.service"],
    );
    // One that hides another, with nothing in it.
    check(
        |tree| {
            tree.symlink("/etc/u/a-b@2.service.d/5.conf", "/dev/null");
        },
        &["a-b@2.service"],
    );
    check(write("/usr/u/a-b@.service.d/readme"), &[]);
}

#[test]
fn a_link_changes_what_it_masks_names_and_wants() {
    let link = |path: &'static str, target: &'static str| {
        move |tree: &mut MemoryTree| {
            tree.symlink(path, target);
        }
    };
    check(
        link("/etc/u/plain.service", "/dev/null"),
        &["plain.service"],
    );
    check(
        |tree| {
            tree.write("/opt/else.service", SERVICE);
            tree.symlink("/usr/u/out.service", "/opt/else.service");
        },
        &["out.service"],
    );
    check(
        link("/usr/u/a-b@2.service.wants/more.service", "../m.service"),
        &["a-b@2.service"],
    );
    check(
        link("/etc/u/a-b@2.service.wants/w.service", "/dev/null"),
        &["a-b@2.service"],
    );
    check(
        |tree| {
            tree.remove("/usr/u/a-b@2.service.wants/w.service");
        },
        &["a-b@2.service"],
    );
}

#[test]
fn what_names_lead_to_concerns_all_units() {
    // Whoever names an alias means the unit: relations are read anew.
    check(
        |tree| {
            tree.symlink("/etc/u/nick.service", "plain.service");
        },
        &UNITS,
    );
    check(
        |tree| {
            tree.remove("/usr/u/alias.service");
        },
        &UNITS,
    );
}

#[test]
fn an_instance_with_a_file_of_its_own_is_no_other_name_any_more() {
    let tree = Rc::new(RefCell::new(sample()));
    let shared = Shared(Rc::clone(&tree));
    tree.borrow_mut()
        .symlink("/usr/u/c@.service", "a-b@.service");
    let mut loader = Loader::new(path(), shared);
    let name: UnitName = "other.service".parse().unwrap();
    let before = loader.load(&name).version;
    tree.borrow_mut().write("/usr/u/d@9.service", SERVICE);
    loader.refresh(path(), SpecifierContext::default());
    assert_eq!(loader.look().version(&name), before);
    tree.borrow_mut().write("/usr/u/c@9.service", SERVICE);
    loader.refresh(path(), SpecifierContext::default());
    assert_ne!(loader.look().version(&name), before);
}

#[test]
fn another_host_name_or_path_concerns_all_units() {
    let mut loader = Loader::new(path(), sample());
    let name: UnitName = "plain.service".parse().unwrap();
    let before = loader.load(&name).version;
    let named = SpecifierContext {
        host_name: "else".to_owned(),
        ..SpecifierContext::default()
    };
    loader.refresh(path(), named.clone());
    let after = loader.look().version(&name);
    assert_ne!(after, before);
    loader.refresh(path(), named.clone());
    assert_eq!(loader.look().version(&name), after);
    loader.refresh(SearchPath::new(["/usr/u".into()]), named);
    assert_ne!(loader.look().version(&name), after);
}

#[test]
fn what_is_not_there_or_can_not_be_read_is_looked_for_each_time() {
    let mut tree = sample();
    tree.symlink("/usr/u/loop.service", "/usr/u/loop.service")
        .symlink("/usr/u/other.service.d/1.conf", "gone");
    let loader = Loader::new(path(), tree);
    for name in ["missing.service", "loop.service", "other.service"] {
        assert_eq!(loader.load(&name.parse().unwrap()).version, None, "{name}");
    }
    assert!(loader.load(&"x.slice".parse().unwrap()).version.is_some());
}

#[test]
fn a_zone_that_may_come_is_looked_for_each_time() {
    let mut tree = sample();
    tree.write("/usr/share/zoneinfo/Europe/Berlin", "TZif2");
    for (unit, zone) in [("here", "Europe/Berlin"), ("gone", "Nowhere/Land")] {
        let text = format!("[Timer]\nOnCalendar=daily\nOnCalendar=daily {zone}\n");
        tree.write(format!("/usr/u/{unit}.timer"), text);
    }
    let loader = Loader::new(path(), tree);
    for (unit, has_version) in [("here.timer", true), ("gone.timer", false)] {
        let loaded = loader.load(&unit.parse().unwrap());
        assert_eq!(loaded.version.is_some(), has_version, "{unit}");
    }
}

#[test]
fn the_host_gives_no_version_to_what_may_change_within_the_same_tick() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("a.service");
    fs::write(&at, SERVICE).unwrap();
    let young = HostTree.stamp(&at).unwrap().unwrap();
    assert!(!young.is_settled);
    let loader = Loader::new(SearchPath::new([folder.path().to_owned()]), HostTree);
    assert_eq!(loader.load(&"a.service".parse().unwrap()).version, None);
    let old = HostTree
        .stamp(Path::new(env!("CARGO_MANIFEST_DIR")))
        .unwrap()
        .unwrap();
    assert!(old.is_settled);
    assert!(HostTree.stamp(&folder.path().join("b")).unwrap().is_none());
}

#[test]
fn a_file_that_was_replaced_by_one_of_the_same_size_and_time_is_another_version() {
    let folder = tempfile::tempdir().unwrap();
    let (at, new) = (folder.path().join("a"), folder.path().join("b"));
    let time = SystemTime::now() - Duration::from_secs(3600);
    let write = |path: &Path, text: &str| {
        fs::write(path, text).unwrap();
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_modified(time).unwrap();
    };
    write(&at, "1");
    let version = || HostTree.stamp(&at).unwrap().unwrap().version;
    let before = version();
    write(&new, "2");
    fs::rename(&new, &at).unwrap();
    assert_ne!(version(), before, "another file under the name");
    let link = folder.path().join("link");
    symlink(&at, &link).unwrap();
    assert_eq!(HostTree.stamp(&link).unwrap().unwrap().version, version());
    let null = HostTree.stamp(Path::new("/dev/null")).unwrap().unwrap();
    assert!(null.is_settled);
}
