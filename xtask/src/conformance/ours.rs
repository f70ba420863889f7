//! Asking an instance of Coracle in the container.

use std::path::Path;

use anyhow::Result;
use testkit::Instance;

use super::UNITS;
use super::systemd::{Said, said};

/// An instance that takes its units from where systemd does.
pub(super) struct Ours(pub(super) Instance);

impl Ours {
    pub(super) fn new() -> Ours {
        Ours(Instance::below(Path::new("/run")))
    }

    /// Runs one of its commands.
    pub(super) fn ask(&self, words: &[&str]) -> Result<Said> {
        let whole = [&["--unit-path", UNITS], words].concat();
        said(&mut self.0.command(&whole))
    }
}
