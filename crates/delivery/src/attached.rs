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
    if !units.is_empty() {
        write(&new, portable, units)?.sync()?;
    }
    for folder in entries(&new)?.iter().filter(|path| path.is_dir()) {
        sync_parent(&folder.join("any"))?;
    }
    sync_parent(&new.join("any"))?;
    sync_parent(&new)?;
    point(state, &new)?;
    let mut unused = entries(&generations(state))?;
    unused.retain(|generation| *generation != new);
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

fn write(new: &Path, portable: &str, units: &[UnitText]) -> Result<Batch, Error> {
    let mut batch = Batch::default();
    for unit in units {
        batch.write_new(&new.join(&unit.name), unit.text.as_bytes(), 0o644)?;
        let folder = new.join(format!("{}.d", unit.name));
        for (name, text) in &unit.drop_ins {
            make_open_directory(&folder)?;
            batch.write_new(&folder.join(name), text.as_bytes(), 0o644)?;
        }
    }
    let names: String = units
        .iter()
        .map(|unit| format!("{}\n", unit.name))
        .collect();
    batch.write_new(&new.join(OWNERS).join(portable), names.as_bytes(), 0o644)?;
    Ok(batch)
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
