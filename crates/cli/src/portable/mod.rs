//! The road of a portable service: fetched, admitted, consented to, attached, and in the end purged.

pub(crate) mod admit;
pub(crate) mod attach;
pub(crate) mod channel;
pub(crate) mod configure;
pub(crate) mod consent;
pub(crate) mod extensions;
pub(crate) mod fetch;
pub(crate) mod first;
pub(crate) mod list;
pub(crate) mod listening;
pub(crate) mod loosened;
pub(crate) mod note;
pub(crate) mod offered;
pub(crate) mod parts;
pub(crate) mod patched;
pub(crate) mod places;
pub(crate) mod programs;
pub(crate) mod proof;
pub(crate) mod purge;
pub(crate) mod record;
mod room;
pub(crate) mod schedule;
pub(crate) mod show;
pub(crate) mod source;

use std::borrow::Cow;
use std::path::Path;

use anyhow::Result;
use delivery::digest::Digest;
use delivery::portables::{Held, Portable, Portables, until_reboot};
use delivery::purge::Places;
use delivery::store::Store;
use load::portable::{PortableName, Review};
use model::UnitName;

use admit::Admitted;

use self::purge::{CONFIG_HOME, RUNTIME_HOME};
use crate::context::{Context, Directories, full_unit_name, is_full_unit_name};
use crate::failure::{WithHint, hint};

/// The grant of a portable whose user stays the same.
const FIXED_USER: &str = "fixed-user";

/// The records of this instance.
pub(crate) fn records(context: &Context) -> Portables {
    Portables::new(&context.directories.state)
}

/// The record of a portable that must be there.
///
/// # Errors
/// When there is none, or it can't be read.
pub(crate) fn existing(context: &Context, name: &str) -> Result<Portable> {
    records(context).get(name)?.ok_or_else(|| none_here(name))
}

/// The same, held for a change: until it is let go, no other command changes or removes it.
///
/// # Errors
/// As [`existing`], and as [`check_settled`].
pub(crate) fn existing_held(context: &Context, name: &str) -> Result<(Held, Portable)> {
    let (held, portable) = held_in_trial(context, name)?;
    check_settled(context, name)?;
    Ok((held, portable))
}

/// Refuses a change that would be lost with what an import has put in the portable's place, where that does not work. Who holds the portable can
/// rely on it.
///
/// # Errors
/// When there is such an import.
pub(crate) fn check_settled(context: &Context, name: &str) -> Result<()> {
    if records(context).former(name)?.is_none() {
        return Ok(());
    }
    Err(hint(
        format!(
            "{name} is being replaced by an import that is not proven yet, and nothing was changed"
        ),
        format!(
            "wait for its end; where it was cut, `coracle start {name}` brings back what was there before"
        ),
    ))
}

/// The same for whoever ends or removes such an import.
///
/// # Errors
/// As [`existing`].
pub(crate) fn held_in_trial(context: &Context, name: &str) -> Result<(Held, Portable)> {
    // One that is not there is not made to be held.
    existing(context, name)?;
    let held = records(context).hold(name)?;
    let portable = held.get()?.ok_or_else(|| none_here(name))?;
    Ok((held, portable))
}

/// What is said of a name that nothing here has.
pub(crate) fn none_here(name: &str) -> anyhow::Error {
    hint(
        format!("there is no portable {name:?} here"),
        "`coracle list` lists those that are here; an image is named by its path or address",
    )
}

/// The portable that a word means: by its name, by the file or address that it came from, or by what that file is called.
///
/// # Errors
/// When a record can't be read.
pub(crate) fn meant(context: &Context, word: &str) -> Result<Option<Portable>> {
    let records = records(context);
    if let Some(portable) = portable_named(&records, word)? {
        return Ok(Some(portable));
    }
    let all = records.list()?;
    let absolute = std::path::absolute(word)?.display().to_string();
    let came_from = |portable: &&Portable| portable.origin == word || portable.origin == absolute;
    if let Some(portable) = all.iter().find(came_from) {
        return Ok(Some(portable.clone()));
    }
    let name = name_in(word);
    Ok(all.into_iter().find(|portable| portable.name == name))
}

/// The name in a word: of a file the part before the version; in any other word a `_` is a letter of it.
fn name_in(word: &str) -> &str {
    let is_file = word.contains('/')
        || [".raw", ".psi", ".v", ".zst"]
            .iter()
            .any(|ending| word.ends_with(ending));
    if !is_file {
        return word;
    }
    places::name_and_version(word.rsplit('/').next().unwrap_or(word)).0
}

/// Names as a user gives them, as names of units: a portable stands for all units of its current version.
///
/// # Errors
/// When a record can't be read, or a portable has no such unit: no name at all would mean every unit of the host.
pub(crate) fn units_of(context: &Context, names: &[String]) -> Result<Vec<String>> {
    let records = records(context);
    let mut units = Vec::new();
    for name in names {
        match portable_named(&records, name)? {
            Some(portable) => units.extend(named_units(&portable)?),
            None => units.push(unit_named(context, name)),
        }
    }
    Ok(units)
}

/// The unit that a word means; it is told where letters had to be escaped for that.
pub(crate) fn unit_named(context: &Context, name: &str) -> String {
    let unit = full_unit_name(name.to_owned());
    let is_escaped = unit != name && unit != format!("{name}.service");
    if is_escaped && !name.starts_with('/') {
        context.narrate(&format!(
            "{name:?} is no name of a unit and is taken for {unit}"
        ));
    }
    unit
}

fn named_units(portable: &Portable) -> Result<Vec<String>> {
    let units = current_units(portable);
    if units.is_empty() {
        return Err(hint(
            format!("{} has no unit but templates", portable.name),
            format!(
                "name an instance; `coracle list-units '{}@*'` lists those that are up",
                portable.name
            ),
        ));
    }
    Ok(units)
}

/// A name that could be a portable's, and is one. With the suffix of a unit it is a unit's.
pub(crate) fn portable_named(records: &Portables, name: &str) -> Result<Option<Portable>> {
    if PortableName::new(name).is_err() || is_full_unit_name(name) {
        return Ok(None);
    }
    Ok(records.get(name)?)
}

/// The units of a portable's current version that can be started: templates have no instance to start. Sockets come first: one can't
/// open where its service is up without it, and a connection must not start again what is being stopped.
pub(crate) fn current_units(portable: &Portable) -> Vec<String> {
    let version = portable.versions.get(&portable.current);
    let units = version.map(|version| version.units.as_slice());
    let startable = units.unwrap_or_default().iter();
    let mut units: Vec<String> = startable
        .filter(|unit| !unit.contains("@."))
        .cloned()
        .collect();
    units.sort_by_key(|unit| !unit.ends_with(".socket"));
    units
}

/// Every image that a record names: what the store must keep.
///
/// # Errors
/// When a record can't be read.
pub(crate) fn referenced(context: &Context) -> Result<Vec<Digest>> {
    let records = records(context);
    let mut all = records.list()?;
    // The former one of a replacement comes back where the new one is not proven.
    let former = all.iter().map(|portable| records.former(&portable.name));
    let former = former.collect::<Result<Vec<_>, _>>()?.into_iter().flatten();
    all.extend(former.map(|former| former.record));
    Ok(all
        .iter()
        .flat_map(|portable| {
            let layers = portable.extensions.iter().map(|layer| layer.image);
            let versions = portable.versions.values().map(|version| version.image);
            layers.chain(versions).flatten()
        })
        .collect())
}

/// Admits what a record names as current, again.
///
/// # Errors
/// When it is gone or was changed.
pub(crate) fn admit_again(store: &Store, portable: &Portable) -> Result<Admitted> {
    let version = portable.versions.get(&portable.current);
    match version.map(|version| (&version.image, &version.directory)) {
        Some((Some(image), _)) => admit::stored(store, image).or_hint(
            || format!("what is stored of {} can't be used", portable.name),
            &format!(
                "attach it again from where it came from, {}",
                portable.origin
            ),
        ),
        Some((None, Some(directory))) => admit::directory(directory),
        _ => Err(hint(
            format!(
                "the record of {} names neither image nor directory",
                portable.name
            ),
            "start it again from where it came from",
        )),
    }
}

/// Attaches a portable's current version again, with what was granted and configured; nothing where its units were taken away.
///
/// # Errors
/// When its files are gone or were changed, or the units can't be written.
pub(crate) fn reattach(context: &Context, portable: &Portable) -> Result<()> {
    if !is_attached(context, portable)? {
        return Ok(());
    }
    let store = Store::open(&context.directories.state)?;
    let mut admitted = admit_again(&store, portable)?;
    let layers = extensions::recorded(&store, &portable.extensions)?;
    extensions::extend(&store, &mut admitted, &layers)?;
    record::select(&mut admitted, &portable.prefixes)?;
    let name = consent::name_of(&admitted)?;
    let review = consent::judge(&admitted, &name)?;
    let root = admitted.path(&store);
    attach::attach(context, &name, &admitted, &review, portable, &root)?;
    purge::reload(context)
}

/// Whether its units are attached: what was so until the last reboot is not.
///
/// # Errors
/// When that can't be read.
pub(crate) fn is_attached(context: &Context, portable: &Portable) -> Result<bool> {
    let own = &context.directories;
    let is_over = portable.runtime
        && until_reboot(&own.runtime, &portable.name)
            .symlink_metadata()
            .is_err();
    Ok(!is_over && !delivery::attached::units(&own.state, &portable.name)?.is_empty())
}

/// Takes the units away of what was attached until the last reboot; says whether there were any.
///
/// # Errors
/// When a record can't be read, or the units can't be taken away.
pub(crate) fn detach_after_reboot(directories: &Directories) -> Result<bool> {
    let mut were_any = false;
    let records = Portables::new(&directories.state);
    let all = records.list()?;
    let is_over = |portable: &Portable| {
        let note = until_reboot(&directories.runtime, &portable.name);
        portable.runtime && note.symlink_metadata().is_err()
    };
    for portable in all.iter().filter(|portable| is_over(portable)) {
        let held = records.hold(&portable.name)?;
        // Another command may have attached it anew, or removed it, since it was looked at.
        if held.get()?.as_ref().is_some_and(is_over) {
            let detached = delivery::attached::detach(&directories.state, &portable.name)?;
            were_any |= !detached.is_empty();
        }
    }
    Ok(were_any)
}

/// Whose directories of the host a portable can't have by its name alone.
pub(crate) struct Taken<'a> {
    name: &'a str,
    known: Option<&'a Portable>,
    dynamic: Option<Dynamic>,
    /// What is known, the portable itself among it.
    all: Cow<'a, [Portable]>,
    places: Places,
}

impl Taken<'_> {
    /// As a portable of this name finds them, which may be known here, beside all that is known: where many come, that is read once.
    ///
    /// # Errors
    /// When a record can't be read.
    pub(crate) fn of<'a>(
        context: &Context,
        name: &'a str,
        known: Option<&'a Portable>,
        all: Option<&'a [Portable]>,
        dynamic: Option<Dynamic>,
    ) -> Result<Taken<'a>> {
        let all = match all {
            Some(all) => Cow::Borrowed(all),
            None => Cow::Owned(records(context).list()?),
        };
        Ok(Taken {
            name,
            known,
            dynamic,
            all,
            places: purge::places(context),
        })
    }

    /// Whether a directory came from elsewhere, also where the portable was there before.
    pub(crate) fn is_foreign(&self, directory: &str) -> bool {
        let is_made = |known| delivery::purge::is_made(Path::new(directory), known, &self.places);
        self.dynamic
            .is_some_and(|dynamic| dynamic.is_foreign(directory))
            && !self.known.is_some_and(is_made)
    }

    /// Whether somebody else had a directory before the portable came: it is there, or is another portable's while that runs.
    /// A dynamic user's is the private one.
    pub(crate) fn has(&self, directory: &str) -> bool {
        let path = Path::new(directory);
        let private = path
            .parent()
            .zip(path.file_name())
            .map(|(parent, name)| parent.join("private").join(name));
        let is_there = |path: &Path| path.symlink_metadata().is_ok();
        let is_own = |portable: &Portable| portable.directories.contains(directory);
        let mut others = self.all.iter().filter(|other| other.name != self.name);
        others.any(is_own)
            || self.is_foreign(directory)
            || !self.known.is_some_and(is_own)
                && (is_there(path) || private.is_some_and(|private| is_there(&private)))
    }
}

/// Whose directories are links to private ones, as their user is another one at each start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dynamic {
    /// Sockets make their directory in /run, which no user has, before the service does.
    has_sockets: bool,
}

impl Dynamic {
    /// As these units and grants have it; none where the user stays the same.
    pub(crate) fn of<'a>(
        mut units: impl Iterator<Item = &'a str>,
        mut grants: impl Iterator<Item = &'a str>,
    ) -> Option<Dynamic> {
        let has_sockets = units.any(|unit| unit.ends_with(".socket"));
        let is_fixed = grants.any(|grant| grant == FIXED_USER);
        (!is_fixed).then_some(Dynamic { has_sockets })
    }

    /// Whether a directory came from elsewhere, also where the portable was there before: it is a directory and no link. Configuration is
    /// the administrator's in any case.
    pub(crate) fn is_foreign(self, directory: &str) -> bool {
        let path = Path::new(directory);
        let is_directory = path.symlink_metadata().is_ok_and(|found| found.is_dir());
        is_directory
            && !path.starts_with(CONFIG_HOME)
            && !(self.has_sockets && path.starts_with(RUNTIME_HOME))
    }
}

/// Refuses names of units that the host has: an image must not hide or join them.
///
/// # Errors
/// When a name is the host's.
pub(crate) fn check_names(
    context: &Context,
    review: &Review,
    name: &PortableName,
    known: Option<&Portable>,
) -> Result<()> {
    let mut own: Vec<String> = known
        .map(|portable| {
            portable
                .versions
                .values()
                .flat_map(|version| version.units.clone())
                .collect()
        })
        .unwrap_or_default();
    // Another command may be attaching the same portable: which of both is first is told where it is held.
    own.extend(delivery::attached::units(
        &context.directories.state,
        name.as_str(),
    )?);
    // The host's units are read only where a name is new.
    let loader = std::cell::LazyCell::new(|| crate::check::loader(context));
    let on_host = |name: &UnitName| {
        !own.contains(&name.to_string()) && loader.names().any(|other| other == name)
    };
    match load::portable::shadowed(review, on_host).first() {
        None => Ok(()),
        Some(name) => Err(hint(
            format!("the image has a unit {name}, and so has this host"),
            format!("`coracle cat {name}` shows the host's"),
        )),
    }
}

/// The portable that a unit belongs to.
///
/// # Errors
/// When a record can't be read.
pub(crate) fn owner_of(context: &Context, unit: &str) -> Result<Option<Portable>> {
    let all = records(context).list()?;
    Ok(all.into_iter().find(|portable| {
        portable
            .versions
            .get(&portable.current)
            .is_some_and(|version| version.units.iter().any(|name| name == unit))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, is_found: bool) {
        let state = tempfile::tempdir().unwrap();
        let records = Portables::new(state.path());
        for name in ["hello", "node.js", "odd.service"] {
            let record = serde_json::json!({
                "name": name, "current": "1", "versions": {}, "signer": null, "trust": "insecure", "origin": "", "grants": []
            });
            let record = serde_json::from_value(record).unwrap();
            records.hold(name).unwrap().put(&record).unwrap();
        }
        let found = portable_named(&records, name).unwrap();
        assert_eq!(found.is_some(), is_found, "{name}");
    }

    #[test]
    fn what_another_command_changes_is_detached_only_where_it_is_over_then() {
        let folder = tempfile::tempdir().unwrap();
        let directories = Directories {
            runtime: folder.path().join("run"),
            state: folder.path().join("state"),
            config: folder.path().join("config"),
            unit_path: std::path::PathBuf::new(),
            portable_path: std::path::PathBuf::new(),
        };
        let records = Portables::new(&directories.state);
        let record = |runtime: bool| -> Portable {
            let record = serde_json::json!({
                "name": "boat", "current": "1", "versions": {}, "signer": null, "trust": "insecure", "origin": "", "grants": [],
                "runtime": runtime
            });
            serde_json::from_value(record).unwrap()
        };
        let unit = delivery::attached::UnitText {
            name: "boat.service".to_owned(),
            text: String::new(),
            drop_ins: Vec::new(),
        };
        delivery::attached::attach(&directories.state, "boat", &[unit]).unwrap();
        let units = || delivery::attached::units(&directories.state, "boat").unwrap();
        records.hold("boat").unwrap().put(&record(true)).unwrap();
        let held = records.hold("boat").unwrap();
        std::thread::scope(|scope| {
            let detached = scope.spawn(|| detach_after_reboot(&directories).unwrap());
            held.put(&record(false)).unwrap();
            drop(held);
            assert!(!detached.join().unwrap());
        });
        assert_eq!(units(), ["boat.service"]);
        records.hold("boat").unwrap().put(&record(true)).unwrap();
        assert!(detach_after_reboot(&directories).unwrap());
        assert_eq!(units(), Vec::<String>::new());
    }

    #[test]
    fn only_in_the_name_of_a_file_a_version_follows() {
        for (word, expected) in [
            ("evil_backup", "evil_backup"),
            ("evil_1.2.raw", "evil"),
            ("evil_1.2.psi", "evil"),
            ("./evil_1.2", "evil"),
            ("evil", "evil"),
        ] {
            assert_eq!(name_in(word), expected, "{word}");
        }
    }

    #[test]
    fn a_portable_is_found_by_its_name_and_a_unit_is_not_taken_for_one() {
        check("hello", true);
        check("node.js", true);
        check("odd.service", false);
        check("hello.service", false);
        check("hel*", false);
        check("../hello", false);
        check("", false);
    }
}
