//! Which files go when there are too many: the oldest, never one that is being written.

use model::sorted::Map;
use std::io;
use std::path::{Path, PathBuf};

use super::Options;
use crate::format::file::{self, LogFile};

/// A file that may go.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Candidate {
    file: LogFile,
    bytes: u64,
    in_use: bool,
}

/// Removes the oldest files until all limits hold, and at least `at_least` files (for a full disk); `in_use` stay.
/// Gives the files removed.
pub(super) fn vacuum(
    options: &Options,
    in_use: &[PathBuf],
    at_least: usize,
) -> io::Result<Vec<PathBuf>> {
    let mut candidates = Vec::new();
    for directory in file::directories(&options.directory, &file::Namespaces::All)? {
        for file in file::list(&directory)? {
            candidates.extend(candidate(file, in_use)?);
        }
    }
    let removed: Vec<PathBuf> = excess(candidates, options, at_least)
        .into_iter()
        .map(|file| file.path)
        .collect();
    for path in &removed {
        gone_is_fine(std::fs::remove_file(path))?;
    }
    Ok(removed)
}

fn candidate(file: LogFile, in_use: &[PathBuf]) -> io::Result<Option<Candidate>> {
    match std::fs::metadata(&file.path) {
        Ok(data) => Ok(Some(Candidate {
            bytes: data.len(),
            in_use: in_use.contains(&file.path),
            file,
        })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn gone_is_fine(result: io::Result<()>) -> io::Result<()> {
    result.or_else(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            Ok(())
        } else {
            Err(error)
        }
    })
}

/// Age is the number of a file's first entry, which counts over all directories.
fn excess(mut candidates: Vec<Candidate>, options: &Options, at_least: usize) -> Vec<LogFile> {
    model::order::sort_by(&mut candidates, |a, b| a.file.cmp(&b.file));
    let mut total: u64 = candidates.iter().map(|candidate| candidate.bytes).sum();
    let mut each: Map<PathBuf, u64> = Map::new();
    for candidate in &candidates {
        *each.entry(directory(&candidate.file)).or_default() += candidate.bytes;
    }
    let mut gone = Vec::new();
    for candidate in candidates.into_iter().filter(|candidate| !candidate.in_use) {
        let own = each.entry(directory(&candidate.file)).or_default();
        if gone.len() < at_least
            || total > options.total_max_bytes
            || *own > options.directory_max_bytes
        {
            total -= candidate.bytes;
            *own -= candidate.bytes;
            gone.push(candidate.file);
        }
    }
    gone
}

fn directory(file: &LogFile) -> PathBuf {
    file.path.parent().unwrap_or(Path::new("")).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        (directory_max_bytes, total_max_bytes, at_least): (u64, u64, usize),
        files: &[(&str, u64, u64, bool)],
        gone: &[u64],
    ) {
        let options = Options {
            directory_max_bytes,
            total_max_bytes,
            ..Options::new(Path::new("/x"), Path::new("/x"))
        };
        let candidates = files
            .iter()
            .map(|(directory, seqnum, bytes, in_use)| Candidate {
                file: LogFile::new(Path::new(directory), *seqnum, 0),
                bytes: *bytes,
                in_use: *in_use,
            });
        let got: Vec<u64> = excess(candidates.collect(), &options, at_least)
            .iter()
            .map(|file| file.first_seqnum)
            .collect();
        assert_eq!(got, gone);
    }

    #[test]
    fn nothing_goes_while_the_limits_hold() {
        check(
            (10, 20, 0),
            &[("a", 1, 10, false), ("b", 2, 10, false)],
            &[],
        );
    }

    #[test]
    fn the_oldest_of_all_goes_for_the_total() {
        check(
            (99, 20, 0),
            &[
                ("a", 3, 10, false),
                ("b", 2, 10, false),
                ("a", 1, 10, false),
            ],
            &[1],
        );
    }

    #[test]
    fn one_portable_that_fills_its_directory_pushes_out_only_its_own() {
        check(
            (15, 99, 0),
            &[
                ("a", 1, 10, false),
                ("b", 2, 10, false),
                ("b", 3, 10, false),
                ("b", 4, 10, true),
            ],
            &[2, 3],
        );
    }

    #[test]
    fn what_is_being_written_stays_even_over_the_limit() {
        check((5, 5, 0), &[("a", 1, 10, true)], &[]);
    }

    #[test]
    fn a_full_disk_takes_the_oldest_although_the_limits_hold() {
        check(
            (99, 99, 1),
            &[("a", 1, 10, true), ("a", 2, 10, false), ("b", 3, 10, false)],
            &[2],
        );
    }
}
