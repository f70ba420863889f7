//! Which of a portable's versions stay.

use model::version::compare;

use super::Portable;

impl Portable {
    /// Leaves of the stored versions the current one, the one to go back to, and the newest others, so many in sum; says which are gone.
    pub fn keep_newest(&mut self, keep: usize) -> Vec<String> {
        let is_needed =
            |version: &String| *version == self.current || self.trial.as_ref() == Some(version);
        let mut others: Vec<&String> = self.versions.keys().collect();
        others.retain(|version| !is_needed(version));
        others.sort_by(|a, b| {
            let healthy = |version: &String| self.versions.get(version).map(|one| one.healthy);
            healthy(b).cmp(&healthy(a)).then_with(|| compare(b, a))
        });
        let room = keep.saturating_sub(self.versions.len() - others.len());
        let gone: Vec<String> = others.into_iter().skip(room).cloned().collect();
        self.versions.retain(|version, _| !gone.contains(version));
        gone
    }

    /// Whether the maker withdrew a version: it is below the floor of the channel.
    pub fn is_withdrawn(&self, version: &str) -> bool {
        let seen = self.channel.as_ref();
        let floor = seen.and_then(|seen| seen.floor.as_ref());
        floor.is_some_and(|floor| compare(version, floor).is_lt())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::tests::portable;
    use super::super::{Error, Portables, Version};
    use super::*;
    use crate::digest::Digest;
    use crate::store::Store;

    fn version(image: &[u8], healthy: bool) -> Version {
        Version {
            image: Some(Digest::of(image)),
            directory: None,
            root_hash: None,
            units: vec!["hello.service".into()],
            installed_us: 1,
            healthy,
            taken_back: None,
            grants: None,
        }
    }

    fn check(trial: Option<&str>, keep: usize, left: &[&str]) {
        let mut record = portable("1.10", b"a");
        record.trial = trial.map(str::to_owned);
        for (number, healthy) in [
            ("1.8", true),
            ("1.9", true),
            ("1.10", false),
            ("1.11", false),
        ] {
            record
                .versions
                .insert(number.into(), version(number.as_bytes(), healthy));
        }
        let gone = record.keep_newest(keep);
        let mut found: Vec<&str> = record.versions.keys().map(String::as_str).collect();
        found.sort_by(|a, b| compare(a, b));
        assert_eq!(found, left);
        assert_eq!(gone.len() + found.len(), 4);
    }

    #[test]
    fn the_current_version_and_the_one_to_go_back_to_stay_and_those_that_worked_before_others() {
        check(None, 5, &["1.8", "1.9", "1.10", "1.11"]);
        check(None, 3, &["1.8", "1.9", "1.10"]);
        check(None, 2, &["1.9", "1.10"]);
        check(None, 1, &["1.10"]);
        check(None, 0, &["1.10"]);
        check(Some("1.8"), 1, &["1.8", "1.10"]);
        check(Some("1.8"), 3, &["1.8", "1.9", "1.10"]);
    }

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    fn bring(state: &Path, number: &str) -> Result<Digest, Box<dyn std::error::Error>> {
        let store = Store::open(state)?;
        let (staging, digest, _) = store.copy_in(&mut number.as_bytes(), 100)?;
        store.keep(staging, &digest)?;
        Ok(digest)
    }

    fn change(state: &Path, change: impl FnOnce(&mut Portable)) -> Result<(), Error> {
        let held = Portables::new(state).hold("hello")?;
        let mut record = held.get()?.expect("the record");
        change(&mut record);
        held.put(&record)
    }

    /// As an upgrade does it: the image, the record with the way back, the proof, and what is no longer needed.
    fn upgrade(state: &Path) -> Outcome {
        let records = Portables::new(state);
        let _own = records.upgrading("hello")?.expect("nobody else upgrades");
        bring(state, "1.1")?;
        change(state, |record| {
            record.versions.insert("1.1".into(), version(b"1.1", false));
            (record.current, record.trial) = ("1.1".into(), Some("1.0".into()));
        })?;
        change(state, |record| {
            record.trial = None;
            record.versions.get_mut("1.1").expect("it is there").healthy = true;
        })?;
        change(state, |record| drop(record.keep_newest(1)))?;
        Store::open(state)?.collect(|| {
            let known = records.get("hello")?.expect("the record");
            let images = known.versions.values().filter_map(|one| one.image);
            Ok::<_, Box<dyn std::error::Error>>(images.collect())
        })?;
        Ok(())
    }

    #[test]
    fn a_power_cut_in_an_upgrade_leaves_a_version_that_works_and_a_way_on() {
        let before = || {
            let state = tempfile::tempdir().unwrap();
            bring(state.path(), "1.0").unwrap();
            let mut record = portable("1.0", b"a");
            record.versions.insert("1.0".into(), version(b"1.0", true));
            Portables::new(state.path())
                .hold("hello")
                .unwrap()
                .put(&record)
                .unwrap();
            state
        };
        let mut states = std::collections::BTreeSet::new();
        crate::files::power::at_each_step(before, upgrade, |state, done| {
            let records = Portables::new(state);
            let known = records.get("hello").unwrap().unwrap();
            let store = Store::open(state).unwrap();
            // What is to run is there and known to work, or what is gone back to is.
            let works = known.trial.as_ref().unwrap_or(&known.current);
            for number in [&known.current, works] {
                store
                    .scrub(&known.versions[number].image.unwrap(), &|_| ())
                    .unwrap();
            }
            assert!(known.versions[works].healthy);
            assert!(!done || (known.current.as_str(), known.versions.len()) == ("1.1", 1));
            states.insert((known.current.clone(), known.trial.clone()));
            upgrade(state).unwrap();
            assert_eq!(store.list().unwrap(), [Digest::of(b"1.1")]);
            let left = crate::files::entries(&state.join("portables/hello")).unwrap();
            assert_eq!(left.len(), 1, "{left:?}");
        });
        assert_eq!(states.len(), 3, "{states:?}");
    }
}
