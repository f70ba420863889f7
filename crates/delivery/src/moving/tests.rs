//! Exchanges and replacements, and what a power cut at each step leaves of them.

use super::*;
use crate::files::power::{Trouble, trouble_at_each_step};

/// Two directories, one of which has nothing in its place yet.
fn world() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("state/portables/boat")).unwrap();
    for (place, content) in [("old", "old"), (".new-0", "new"), (".new-1", "new")] {
        let place = folder.path().join(place);
        fs::create_dir(&place).unwrap();
        fs::write(place.join("file"), content).unwrap();
    }
    folder
}

fn records(folder: &Path) -> Portables {
    Portables::new(&folder.join("state"))
}

fn all(folder: &Path) -> Vec<Exchange> {
    // No link is on the way of what is removed.
    let folder = folder.canonicalize().unwrap();
    let all = [("old", ".new-0"), ("fresh", ".new-1")];
    let all = all.map(|(path, beside)| Exchange {
        path: folder.join(path),
        beside: folder.join(beside),
    });
    all.to_vec()
}

fn content(folder: &Path) -> [String; 2] {
    let read = |path: &str| fs::read_to_string(folder.join(path).join("file"));
    [read("old"), read("fresh")].map(Result::unwrap_or_default)
}

fn is_tidy(folder: &Path) -> bool {
    all(folder).iter().all(|one| !one.beside.exists())
}

#[test]
fn the_new_is_there_whole_and_the_old_can_come_back() {
    let folder = world();
    let (records, folder) = (records(folder.path()), folder.path());
    records.exchange("boat", &all(folder)).unwrap();
    assert_eq!(content(folder), ["new", "new"]);
    records.turn_back("boat").unwrap();
    assert_eq!(content(folder), ["old", ""]);
    assert!(records.end_exchange("boat").unwrap());
    assert_eq!(content(folder), ["old", ""]);
    assert!(is_tidy(folder));
    assert!(!records.end_exchange("boat").unwrap());
}

#[test]
fn directories_in_each_other_are_refused_before_anything_is_noted() {
    let folder = world();
    let (records, folder) = (records(folder.path()), folder.path());
    let [one, other] = all(folder).try_into().unwrap();
    let inner = Exchange {
        path: one.path.join("inner"),
        ..other.clone()
    };
    let same_beside = Exchange {
        beside: one.beside.clone(),
        ..other
    };
    for wrong in [inner, same_beside, one.clone()] {
        assert!(records.exchange("boat", &[one.clone(), wrong]).is_err());
        assert_eq!(content(folder), ["old", ""]);
        assert!(!records.end_exchange("boat").unwrap());
    }
}

#[test]
fn after_trouble_at_any_step_there_is_the_old_or_the_new_and_never_both() {
    for trouble in [Trouble::PowerCut, Trouble::FullDisk] {
        let act = |folder: &Path| {
            let records = records(folder);
            records.exchange("boat", &all(folder))?;
            records.end_exchange("boat")
        };
        trouble_at_each_step(trouble, world, act, |folder, done| {
            records(folder).end_exchange("boat").unwrap();
            let found = content(folder);
            let is_new = found == ["new", "new"];
            assert!(is_new || !done && found == ["old", ""], "{found:?}");
            assert!(!is_new || is_tidy(folder));
        });
    }
}

#[test]
fn where_two_names_cant_be_exchanged_in_one_what_is_missing_is_put_there() {
    let folder = world();
    let (records, folder) = (records(folder.path()), folder.path());
    let all = all(folder);
    let record = Record::begin(&all, Stage::Forth).unwrap();
    records.note_exchange("boat", &record).unwrap();
    fs::rename(&all[0].path, crate::files::beside(&all[0].beside)).unwrap();
    assert!(records.end_exchange("boat").unwrap());
    assert_eq!(content(folder), ["new", "new"]);
    assert!(!crate::files::beside(&all[0].beside).exists());
}

#[test]
fn a_swap_that_was_cut_goes_back_from_wherever_it_was() {
    for steps in 0..=3 {
        let folder = world();
        let (records, folder) = (records(folder.path()), folder.path());
        let all = all(folder);
        let record = Record::begin(&all, Stage::Forth).unwrap();
        records.note_exchange("boat", &record).unwrap();
        let aside = crate::files::beside(&all[0].beside);
        let swap = [
            (&all[0].path, &aside),
            (&all[0].beside, &all[0].path),
            (&aside, &all[0].beside),
        ];
        for (from, to) in &swap[..steps] {
            fs::rename(from, to).unwrap();
        }
        for _ in 0..2 {
            records.turn_back("boat").unwrap();
            assert_eq!(content(folder), ["old", ""]);
        }
        records.end_exchange("boat").unwrap();
        assert_eq!(content(folder), ["old", ""]);
        assert!(is_tidy(folder) && !aside.exists());
    }
}

/// The same world, in which the portable has a record and a drop-in.
fn inhabited() -> tempfile::TempDir {
    let folder = world();
    let held = records(folder.path()).hold("boat").unwrap();
    held.put(&boat("1")).unwrap();
    put_drop_in(&drop_in(folder.path(), "old"), Some("old")).unwrap();
    folder
}

fn boat(version: &str) -> Portable {
    let mut boat = Portable::new("boat".to_owned(), crate::portables::Trust::Signed);
    boat.current = version.to_owned();
    boat
}

fn drop_in(folder: &Path, name: &str) -> PathBuf {
    folder
        .join("config/boat.service.d")
        .join(format!("{name}.conf"))
}

fn begin(folder: &Path) -> Result<(), Error> {
    begin_with(folder, "old")
}

fn begin_with(folder: &Path, text: &str) -> Result<(), Error> {
    let drop_ins = [("old", Some(text)), ("new", None)];
    let drop_ins = drop_ins.map(|(name, text)| (drop_in(folder, name), text.map(str::to_owned)));
    let former = Former {
        record: boat("1"),
        attached: true,
        ran: vec!["boat.service".to_owned()],
        boot: "this".to_owned(),
        drop_ins: drop_ins.to_vec(),
        made: Vec::new(),
    };
    let held = records(folder).hold("boat")?;
    held.begin_replacement(&all(folder), former)
}

/// All of it that a command does: what was there is noted, all is replaced, and then it is proven.
fn take_its_place(folder: &Path) -> Result<(), Error> {
    begin(folder)?;
    let records = records(folder);
    records.hold("boat")?.put(&boat("2"))?;
    records.go_forth("boat")?;
    put_drop_in(&drop_in(folder, "old"), None)?;
    put_drop_in(&drop_in(folder, "new"), Some("new")).map_err(Error::from)
}

fn replace_all(folder: &Path) -> Result<(), Error> {
    take_its_place(folder)?;
    records(folder).approve("boat")?;
    records(folder).end_exchange("boat").map(drop)
}

/// Whether it is the new one; panics where it is neither.
#[track_caller]
fn is_new(folder: &Path) -> bool {
    let version = records(folder).get("boat").unwrap().unwrap().current;
    let texts = ["old", "new"].map(|name| fs::read_to_string(drop_in(folder, name)).ok());
    let texts = texts.each_ref().map(Option::as_deref);
    let content = content(folder);
    match (
        version.as_str(),
        texts,
        content.each_ref().map(String::as_str),
    ) {
        ("1", [Some("old"), None], ["old", ""]) => false,
        ("2", [None, Some("new")], ["new", "new"]) => true,
        other => panic!("{other:?}"),
    }
}

#[test]
fn after_trouble_at_any_step_of_a_replacement_there_is_the_former_or_the_new_one_whole() {
    for trouble in [Trouble::PowerCut, Trouble::FullDisk] {
        let mut outcomes = std::collections::BTreeSet::new();
        trouble_at_each_step(trouble, inhabited, replace_all, |folder, done| {
            let known = records(folder);
            let is_begun = known.former("boat").unwrap().is_some();
            known.end_exchange("boat").unwrap();
            let is_new = is_new(folder);
            assert!(is_new || !done);
            // What was noted is what comes back, and nothing else.
            assert!(!(is_begun && is_new));
            assert!(known.former("boat").unwrap().is_none());
            outcomes.insert((is_begun, is_new));
        });
        assert_eq!(outcomes.len(), 3, "{outcomes:?}");
    }
}

#[test]
fn after_trouble_at_any_step_on_the_way_back_the_former_one_comes_back_all_the_same() {
    for trouble in [Trouble::PowerCut, Trouble::FullDisk] {
        let before = || {
            let folder = inhabited();
            take_its_place(folder.path()).unwrap();
            assert!(is_new(folder.path()));
            folder
        };
        let back = |folder: &Path| records(folder).end_exchange("boat");
        trouble_at_each_step(trouble, before, back, |folder, _| {
            records(folder).end_exchange("boat").unwrap();
            assert!(!is_new(folder));
            let beside = all(folder).into_iter().map(|one| one.beside);
            assert!(beside.into_iter().all(|path| !path.exists()));
        });
    }
}

#[test]
fn what_was_changed_since_it_was_looked_at_is_not_replaced() {
    let folder = inhabited();
    let folder = folder.path();
    records(folder)
        .hold("boat")
        .unwrap()
        .put(&boat("1.5"))
        .unwrap();
    assert!(matches!(begin(folder), Err(Error::Changed { .. })));
    assert!(!records(folder).end_exchange("boat").unwrap());
}

#[test]
fn what_could_not_be_read_again_is_not_begun() {
    let folder = inhabited();
    let folder = folder.path();
    let long = "x".repeat(RECORD_MAX_BYTES as usize);
    let told = begin_with(folder, &long).unwrap_err();
    let why =
        std::error::Error::source(&told).map_or_else(|| told.to_string(), ToString::to_string);
    assert!(why.contains("more than 33554432 bytes"), "{told:?}");
    assert!(records(folder).former("boat").unwrap().is_none());
    assert!(!is_new(folder));
}
