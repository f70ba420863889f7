//! The units of portables on disk: `<state>/attached/NAME.service` and `NAME.service.d/*.conf`.
//!
//! `attached` is a link to a generation, a directory with the units of all portables. A change writes the next generation beside, synced,
//! and moves the link: a crash leaves the old units or the new ones, never some of each.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::files::{
    self, Batch, FileError, entries, failed, make_open_directory, read_if_there, remove_if_empty,
    remove_if_there, remove_tree, step, sync_parent,
};

/// Longest name of a file (NAME_MAX).
const NAME_MAX_BYTES: usize = 255;
/// Largest list of a portable's units, in bytes: 256 names.
const LIST_MAX_BYTES: u64 = 128 * 1024;
/// Everybody may read what is attached.
const MODE: u32 = 0o644;
/// Where a generation says which portable has which units.
const OWNERS: &str = ".owners";

/// One unit of a portable and the drop-ins that go with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitText {
    /// The unit's name.
    pub name: String,
    /// Its text, as it is in the image.
    pub text: String,
    /// Drop-ins: file name (`10-profile.conf`) and text.
    pub drop_ins: Vec<(String, String)>,
}

/// Why units cannot be attached or detached.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A name that is no plain file name.
    #[error("{name:?} cannot be a unit's file")]
    Name {
        /// The name.
        name: String,
    },
    /// Another portable has a unit of that name.
    #[error("{unit} is already attached by {owner}")]
    Taken {
        /// The unit.
        unit: String,
        /// The portable that has it.
        owner: String,
    },
}

/// Writes the units of a portable, replacing those it had; all or none after a crash.
///
/// # Errors
/// When a file cannot be written or a name is taken.
pub fn attach(state: &Path, portable: &str, units: &[UnitText]) -> Result<(), Error> {
    check_name(portable)?;
    let _lock = files::lock(state)?;
    for unit in units {
        check_name(&unit.name)?;
        unit.drop_ins
            .iter()
            .try_for_each(|(name, _)| check_name(name))?;
    }
    if holds(state, portable, units)? {
        // Whoever moved the link there may have been killed before it was there for good, and before the former one was gone.
        sync_parent(&link(state))?;
        return drop_unused(state);
    }
    for (owner, names) in owners(state)?
        .into_iter()
        .filter(|(owner, _)| owner != portable)
    {
        if let Some(unit) = units.iter().find(|unit| names.contains(&unit.name)) {
            return Err(Error::Taken {
                unit: unit.name.clone(),
                owner,
            });
        }
    }
    change(state, portable, units)
}

/// Removes the units of a portable; gives their names.
///
/// # Errors
/// When a file cannot be removed.
pub fn detach(state: &Path, portable: &str) -> Result<Vec<String>, Error> {
    let _lock = files::lock(state)?;
    let names = units(state, portable)?;
    if !names.is_empty() {
        change(state, portable, &[])?;
    } else if current(state)?.is_none() {
        clear(state)?;
    }
    Ok(names)
}

/// The units that a portable has attached.
///
/// # Errors
/// When the directory cannot be read.
pub fn units(state: &Path, portable: &str) -> Result<Vec<String>, Error> {
    check_name(portable)?;
    list(&link(state).join(OWNERS).join(portable))
}

fn list(file: &Path) -> Result<Vec<String>, Error> {
    let content = read_if_there(file, LIST_MAX_BYTES)?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&content)
        .lines()
        .map(str::to_owned)
        .collect())
}

/// Every portable with the names of its units.
fn owners(state: &Path) -> Result<Vec<(String, Vec<String>)>, Error> {
    let mut owners = Vec::new();
    for file in entries(&link(state).join(OWNERS))? {
        let owner = file
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        owners.push((owner, list(&file)?));
    }
    Ok(owners)
}

fn link(state: &Path) -> PathBuf {
    state.join("attached")
}

fn generations(state: &Path) -> PathBuf {
    state.join("attached.d")
}

/// A plain file name that is no hidden one.
fn check_name(name: &str) -> Result<(), Error> {
    let plain = !name.is_empty()
        && name.len() <= NAME_MAX_BYTES
        && !name.starts_with('.')
        && !name.contains(['/', '\0']);
    if plain {
        Ok(())
    } else {
        Err(Error::Name {
            name: name.to_owned(),
        })
    }
}

/// Makes the next generation: the units of the others as they are, those of `portable` anew.
fn change(state: &Path, portable: &str, units: &[UnitText]) -> Result<(), Error> {
    let old = current(state)?;
    let new = generations(state).join(next(old.as_deref()));
    remove_tree(&new)?;
    make_open_directory(&new.join(OWNERS))?;
    if let Some(old) = &old {
        for (owner, names) in owners(state)?
            .into_iter()
            .filter(|(owner, _)| owner != portable)
        {
            carry_over(old, &new, &owner, &names)?;
        }
    }
    if units.is_empty() && entries(&new.join(OWNERS))?.is_empty() {
        return clear(state);
    }
    let mut batch = Batch::default();
    if !units.is_empty() {
        write(&mut batch, &new, portable, units)?;
    }
    for folder in entries(&new)?.iter().filter(|path| path.is_dir()) {
        batch.directory(folder);
    }
    batch.directory(&new);
    batch.directory(&generations(state));
    batch.sync()?;
    point(state, &new)?;
    drop_unused(state)
}

/// Removes what was attached before.
fn drop_unused(state: &Path) -> Result<(), Error> {
    let used = current(state)?;
    let mut unused = entries(&generations(state))?;
    unused.retain(|generation| Some(generation) != used.as_ref());
    Ok(unused
        .iter()
        .try_for_each(|generation| remove_tree(generation))?)
}

/// The generation in use; none before the first attach.
fn current(state: &Path) -> Result<Option<PathBuf>, Error> {
    match fs::read_link(link(state)) {
        Ok(target) => Ok(Some(state.join(target))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", &link(state))(error).into()),
    }
}

/// Nothing is attached any more: nothing stays. The link goes first, and with it all units at once.
fn clear(state: &Path) -> Result<(), Error> {
    remove_if_there(&link(state))?;
    sync_parent(&link(state))?;
    for generation in entries(&generations(state))? {
        remove_tree(&generation)?;
    }
    Ok(remove_if_empty(&generations(state))?)
}

/// Generations alternate between two names: at most one is not in use.
fn next(old: Option<&Path>) -> &'static str {
    if old.is_some_and(|old| old.ends_with("a")) {
        "b"
    } else {
        "a"
    }
}

/// The files of a generation never change, so two generations may share them.
fn carry_over(old: &Path, new: &Path, owner: &str, names: &[String]) -> Result<(), Error> {
    for name in names {
        files::link(&old.join(name), &new.join(name))?;
        let folder = format!("{name}.d");
        for drop_in in entries(&old.join(&folder))? {
            make_open_directory(&new.join(&folder))?;
            files::link(
                &drop_in,
                &new.join(&folder)
                    .join(drop_in.file_name().unwrap_or_default()),
            )?;
        }
    }
    Ok(files::link(
        &old.join(OWNERS).join(owner),
        &new.join(OWNERS).join(owner),
    )?)
}

fn write(batch: &mut Batch, new: &Path, portable: &str, units: &[UnitText]) -> Result<(), Error> {
    for unit in units {
        batch.write_new(&new.join(&unit.name), unit.text.as_bytes(), MODE)?;
        let folder = new.join(format!("{}.d", unit.name));
        for (name, text) in &unit.drop_ins {
            make_open_directory(&folder)?;
            batch.write_new(&folder.join(name), text.as_bytes(), MODE)?;
        }
    }
    let names = listed(units);
    batch.write_new(&new.join(OWNERS).join(portable), names.as_bytes(), MODE)?;
    Ok(())
}

/// What the list of a portable's units says.
fn listed(units: &[UnitText]) -> String {
    units
        .iter()
        .map(|unit| format!("{}\n", unit.name))
        .collect()
}

/// Whether a portable has just these units already, which is so at every boot: then no generation is made of all that is attached.
fn holds(state: &Path, portable: &str, units: &[UnitText]) -> Result<bool, Error> {
    let at = link(state);
    let owned = at.join(OWNERS).join(portable);
    if units.is_empty() || !files::holds(&owned, listed(units).as_bytes(), MODE) {
        return Ok(false);
    }
    for unit in units {
        let folder = at.join(format!("{}.d", unit.name));
        let has = |(name, text): &(String, String)| {
            files::holds(&folder.join(name), text.as_bytes(), MODE)
        };
        let is_same = files::holds(&at.join(&unit.name), unit.text.as_bytes(), MODE)
            && unit.drop_ins.iter().all(has)
            && entries(&folder)?.len() == unit.drop_ins.len();
        if !is_same {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Moves the link to a generation, atomically.
fn point(state: &Path, new: &Path) -> Result<(), Error> {
    let staged = state.join(".attached.new");
    remove_if_there(&staged)?;
    let target = Path::new("attached.d").join(new.file_name().unwrap_or_default());
    step()
        .and_then(|()| symlink(target, &staged))
        .map_err(failed("make", &staged))?;
    files::rename(&staged, &link(state))?;
    Ok(sync_parent(&link(state))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(name: &str, text: &str) -> UnitText {
        UnitText {
            name: name.into(),
            text: text.into(),
            drop_ins: vec![("10-root.conf".into(), "drop-in".into())],
        }
    }

    fn text(state: &Path, file: &str) -> Option<String> {
        fs::read_to_string(state.join("attached").join(file)).ok()
    }

    #[test]
    fn portables_come_and_go_without_touching_each_other() {
        let state = tempfile::tempdir().unwrap();
        let state = state.path();
        attach(state, "a", &[unit("a.service", "one")]).unwrap();
        attach(
            state,
            "b",
            &[unit("b.service", "two"), unit("b.socket", "three")],
        )
        .unwrap();
        assert_eq!(text(state, "a.service").as_deref(), Some("one"));
        assert_eq!(
            text(state, "a.service.d/10-root.conf").as_deref(),
            Some("drop-in")
        );
        attach(state, "a", &[unit("a-more.service", "four")]).unwrap();
        assert_eq!(text(state, "a.service"), None);
        assert_eq!(units(state, "b").unwrap(), ["b.service", "b.socket"]);
        assert_eq!(detach(state, "b").unwrap(), ["b.service", "b.socket"]);
        assert_eq!(text(state, "b.service"), None);
        assert_eq!(text(state, "a-more.service").as_deref(), Some("four"));
        assert_eq!(
            entries(&state.join("attached.d")).unwrap().len(),
            1,
            "old generations are removed"
        );
    }

    #[test]
    fn what_is_attached_as_it_is_to_be_is_not_written_again() {
        let state = tempfile::tempdir().unwrap();
        let state = state.path();
        let generation = || fs::read_link(state.join("attached")).unwrap();
        attach(state, "b", &[unit("b.service", "other")]).unwrap();
        let both = [unit("a.service", "one"), unit("a.socket", "two")];
        attach(state, "a", &both).unwrap();
        let before = generation();
        attach(state, "a", &both).unwrap();
        attach(state, "b", &[unit("b.service", "other")]).unwrap();
        assert_eq!(generation(), before);
        let mut changed = both.clone();
        let mut change = |how: &dyn Fn(&mut [UnitText])| {
            how(&mut changed);
            let before = generation();
            attach(state, "a", &changed).unwrap();
            assert_ne!(generation(), before);
            for unit in &changed {
                let folder = state.join("attached").join(format!("{}.d", unit.name));
                let drop_ins = entries(&folder).unwrap();
                assert_eq!(drop_ins.len(), unit.drop_ins.len(), "{unit:?}");
                assert_eq!(text(state, &unit.name).as_ref(), Some(&unit.text));
            }
        };
        change(&|units| units[1].text = "new".into());
        change(&|units| units[0].drop_ins[0].1 = "new drop-in".into());
        change(&|units| units[0].drop_ins[0].0 = "20-root.conf".into());
        change(&|units| {
            units[0]
                .drop_ins
                .push(("30-more.conf".into(), String::new()))
        });
        change(&|units| units[0].drop_ins.truncate(1));
        change(&|units| units[1].drop_ins.clear());
        attach(state, "a", &both[..1]).unwrap();
        assert_eq!(units(state, "a").unwrap(), ["a.service"]);
        assert_eq!(text(state, "a.socket"), None);
    }

    #[test]
    fn a_change_waits_for_the_disk_twice_and_no_change_once_however_much_is_attached() {
        use crate::files::power::waits_of;
        let state = tempfile::tempdir().unwrap();
        let state = state.path();
        for number in 0..20 {
            let name = format!("p{number}");
            let units = [
                unit(&format!("{name}.service"), "one"),
                unit(&format!("{name}.socket"), "two"),
            ];
            let waits = || waits_of(|| attach(state, &name, &units).unwrap());
            assert_eq!(waits(), 2, "{name}");
            assert_eq!(waits(), 1, "{name}");
        }
        assert_eq!(waits_of(|| drop(detach(state, "p7").unwrap())), 2);
    }

    #[test]
    fn a_unit_of_another_portable_is_not_taken() {
        let state = tempfile::tempdir().unwrap();
        attach(state.path(), "a", &[unit("a.service", "one")]).unwrap();
        assert!(matches!(
            attach(state.path(), "b", &[unit("a.service", "two")]),
            Err(Error::Taken { .. })
        ));
        assert_eq!(text(state.path(), "a.service").as_deref(), Some("one"));
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        let state = tempfile::tempdir().unwrap();
        for name in ["../a.service", ".hidden", "", "a/b.service"] {
            assert!(
                matches!(
                    attach(state.path(), "a", &[unit(name, "")]),
                    Err(Error::Name { .. })
                ),
                "{name}"
            );
        }
        assert!(detach(state.path(), "../x").is_err());
    }

    #[test]
    fn a_generation_that_a_crash_left_half_written_is_written_again() {
        let state = tempfile::tempdir().unwrap();
        attach(state.path(), "a", &[unit("a.service", "one")]).unwrap();
        fs::create_dir_all(state.path().join("attached.d/b/.owners")).unwrap();
        fs::write(state.path().join("attached.d/b/x.service"), "half").unwrap();
        assert_eq!(text(state.path(), "a.service").as_deref(), Some("one"));
        attach(state.path(), "a", &[unit("a.service", "two")]).unwrap();
        assert_eq!(text(state.path(), "a.service").as_deref(), Some("two"));
        assert_eq!(text(state.path(), "x.service"), None);
    }

    #[test]
    fn the_last_to_go_takes_everything_along() {
        let state = tempfile::tempdir().unwrap();
        attach(state.path(), "a", &[unit("a.service", "one")]).unwrap();
        detach(state.path(), "a").unwrap();
        assert_eq!(entries(state.path()).unwrap(), Vec::<PathBuf>::new());
    }

    /// What is attached, in words.
    fn all(state: &Path) -> String {
        let names = ["a.service", "a.socket", "b.service"];
        let texts = names.map(|name| text(state, name).map(|text| format!("{name}={text}")));
        let drop_ins = names.map(|name| {
            text(state, &format!("{name}.d/10-root.conf")).map(|text| format!("{name}/{text}"))
        });
        texts
            .into_iter()
            .chain(drop_ins)
            .flatten()
            .collect::<Vec<_>>()
            .join(" ")
    }

    fn two_portables() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        attach(folder.path(), "b", &[unit("b.service", "other")]).unwrap();
        attach(folder.path(), "a", &[unit("a.service", "one")]).unwrap();
        folder
    }

    const OLD: &str = "a.service=one b.service=other a.service/drop-in b.service/drop-in";

    #[test]
    fn a_power_cut_leaves_the_old_units_or_the_new_ones() {
        const NEW: &str = "a.service=two a.socket=three b.service=other a.service/drop-in a.socket/drop-in b.service/drop-in";
        let change = |state: &Path| {
            attach(
                state,
                "a",
                &[unit("a.service", "two"), unit("a.socket", "three")],
            )
        };
        crate::files::power::at_each_step(two_portables, change, |state, done| {
            let found = all(state);
            assert!(found == NEW || (!done && found == OLD), "{found}");
            change(state).unwrap();
            assert_eq!(all(state), NEW);
            assert_eq!(entries(&state.join("attached.d")).unwrap().len(), 1);
        });
    }

    #[test]
    fn a_power_cut_during_detach_leaves_all_units_or_none() {
        const NEW: &str = "b.service=other b.service/drop-in";
        crate::files::power::at_each_step(
            two_portables,
            |state| detach(state, "a"),
            |state, done| {
                let found = all(state);
                assert!(found == NEW || (!done && found == OLD), "{found}");
                detach(state, "a").unwrap();
                assert_eq!(all(state), NEW);
            },
        );
    }
}
