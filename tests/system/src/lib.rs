//! Tests of the shipped files as root: every test starts an instance of its own and proves that it leaves nothing.

pub mod attack;
pub mod images;
pub mod ledger;
pub mod manager;
pub mod moments;
pub mod observations;
pub mod refusal;
pub mod stage;
pub mod waiting;

use testkit::{Instance, Picture};

/// Gives `work` an instance with these units, ends it, and proves that mounts, control groups, loop devices and users are as before.
///
/// # Panics
/// When something was left behind; other tests that run at the same time are told apart by the instance's folder.
pub fn with_units(units: &[(&str, &str)], work: impl FnOnce(&Instance)) {
    testkit::require_root();
    let instance = Instance::new();
    let before = Picture::take(&[]);
    for (name, text) in units {
        instance.unit(name, text);
    }
    work(&instance);
    let group = instance.control_group();
    instance.stop();
    let left = || -> Vec<String> {
        let folder = instance.folder().display().to_string();
        let mut left = before.left_behind(&Picture::take(&[]));
        left.retain(|thing| thing.contains(&group) || thing.contains(&folder));
        left
    };
    // The kernel lets a loop device go some time after its last user.
    waiting::eventually("the end of all that the instance made", || {
        left().is_empty().then_some(())
    });
}
