//! What a service of a test writes down about itself: one line for each thing that it did, in a file of its own.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// A service's ledger.
#[derive(Debug, Clone)]
pub struct Ledger(PathBuf);

impl Ledger {
    /// The ledger at this path; it need not be there yet.
    #[must_use]
    pub fn at(path: &Path) -> Ledger {
        Ledger(path.to_path_buf())
    }

    /// Writes a line, whole or not at all.
    ///
    /// # Panics
    /// When the file can't be written.
    pub fn write(&self, line: &str) {
        let file = fs::File::options().append(true).create(true).open(&self.0);
        let written = file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
        written.expect("a ledger takes lines");
    }

    /// All lines.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// What follows `word` in the lines that begin with it.
    #[must_use]
    pub fn entries(&self, word: &str) -> Vec<String> {
        let begin = format!("{word} ");
        let lines = self.lines();
        let entries = lines.iter().filter_map(|line| line.strip_prefix(&begin));
        entries.map(str::to_owned).collect()
    }
}
