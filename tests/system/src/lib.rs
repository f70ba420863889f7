//! Tests of the shipped files as root: every test starts an instance of its own and proves that it leaves nothing.

pub mod attack;
pub mod attacks;
pub mod channel;
pub mod combinations;
pub mod cut;
pub mod dead;
pub mod first;
pub mod gate;
pub mod images;
pub mod ledger;
pub mod load;
pub mod manager;
pub mod moments;
pub mod mounts;
pub mod namespaces;
pub mod observations;
pub mod own_etc;
pub mod own_images;
pub mod profile;
pub mod refusal;
pub mod stage;
pub mod terminal;
pub mod typed;
pub mod waiting;

use std::path::Path;

use testkit::Instance;

/// Gives `work` an instance with these units, and ends it, which proves that it leaves nothing.
///
/// # Panics
/// When something was left behind.
pub fn with_units(units: &[(&str, &str)], work: impl FnOnce(&Instance)) {
    with_units_below(&std::env::temp_dir(), units, work);
}

/// The same with an instance whose folder is in this one.
///
/// # Panics
/// When something was left behind.
pub fn with_units_below(place: &Path, units: &[(&str, &str)], work: impl FnOnce(&Instance)) {
    testkit::require_root();
    let instance = Instance::below(place);
    for (name, text) in units {
        instance.unit(name, text);
    }
    work(&instance);
    instance.stop();
}
