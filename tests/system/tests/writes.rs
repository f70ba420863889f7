//! The log of what commands write: what they rename into place is on the disk before, and so is every name that they made when they end.
//! What a power cut leaves at each step, where no more than that holds, is told by the tests of the crate that writes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use coracle_system_tests::images::{BOAT, By, with_workshop};
use testkit::Instance;

/// System calls that change what a disk has, or make it last.
const CALLS: &str = "trace=open,openat,write,pwrite64,ftruncate,copy_file_range,sendfile,fsync,fdatasync,rename,renameat,renameat2,\
    symlink,symlinkat,link,linkat,mkdir,mkdirat,unlink,unlinkat,rmdir";

/// What a command did to the state so far, and the disk does not have yet.
#[derive(Default)]
struct Pending {
    contents: BTreeSet<PathBuf>,
    names: BTreeSet<PathBuf>,
    /// Files that were renamed into place.
    placed: usize,
}

impl Pending {
    /// Takes one line of the log: `PID call(arguments) = result`.
    fn take(&mut self, line: &str, state: &Path) {
        let Some((call, rest)) = line.split_once('(') else {
            return;
        };
        let (arguments, result) = rest.rsplit_once(" = ").unwrap_or((rest, ""));
        if result.starts_with('-') {
            return;
        }
        let call = call.split_whitespace().last().unwrap_or_default();
        let paths: Vec<PathBuf> = arguments
            .split('"')
            .skip(1)
            .step_by(2)
            .map(PathBuf::from)
            .collect();
        // Of a descriptor, strace -y tells the path.
        let opened = arguments
            .split_once('<')
            .and_then(|(_, rest)| rest.split_once('>'))
            .map(|(path, _)| PathBuf::from(path));
        match (call, paths.as_slice()) {
            ("open" | "openat", [path]) if arguments.contains("O_CREAT") => self.name(path, state),
            ("mkdir" | "mkdirat", [path]) => self.name(path, state),
            ("symlink" | "symlinkat" | "link" | "linkat", [_, path]) => self.name(path, state),
            ("rename" | "renameat" | "renameat2", [from, to]) => {
                assert!(
                    !self.contents.contains(from),
                    "{} is put into place before its content is on the disk",
                    from.display()
                );
                if to.strip_prefix(state) == Ok(Path::new("attached")) {
                    self.check_units(state);
                }
                self.names.remove(from);
                self.name(to, state);
                self.placed += 1;
            }
            ("unlink" | "rmdir", [path]) => self.forget(path),
            ("unlinkat", [name]) => self.forget(&opened.unwrap_or_default().join(name)),
            ("fsync" | "fdatasync", _) => {
                let path = opened.expect("the path of a descriptor");
                self.contents.remove(&path);
                self.names.retain(|name| name.parent() != Some(&path));
            }
            (_, _) => {
                let is_kept = |path: &PathBuf| is_kept(path, state);
                self.contents.extend(opened.filter(is_kept));
            }
        }
    }

    /// The link that is renamed gives all units of a generation their place at once. It leads nowhere as long as their directory has no name.
    fn check_units(&self, state: &Path) {
        let generations = state.join("attached.d");
        let late = self.contents.iter().chain(&self.names);
        let late: Vec<_> = late
            .filter(|path| path.starts_with(&generations) && **path != generations)
            .collect();
        assert!(late.is_empty(), "{late:?} are not on the disk");
    }

    fn name(&mut self, path: &Path, state: &Path) {
        if is_kept(path, state) {
            self.names.insert(path.to_owned());
        }
    }

    fn forget(&mut self, path: &Path) {
        self.names.remove(path);
        self.contents.remove(path);
    }
}

/// Whether it is to be there after a power cut: what is on its way into the store, logs, and what has no name, which strace -y tells by its number, need not.
fn is_kept(path: &Path, state: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_nameless = name.strip_prefix('#').is_some_and(|rest| {
        let number = rest.trim_end_matches(" (deleted)");
        number.bytes().all(|byte| byte.is_ascii_digit())
    });
    path.strip_prefix(state).is_ok_and(|below| {
        !is_nameless && !below.starts_with("store/staging") && !below.starts_with("journal")
    })
}

/// Runs a command under strace(1) and judges what it wrote.
fn check(coracle: &Instance, words: &[&str]) -> usize {
    let (log, inner) = (coracle.folder().join("log"), coracle.command(words));
    let mut traced = Command::new("strace");
    traced.args(["-f", "-y", "-s", "4096", "-e", CALLS, "-o"]);
    traced.arg(&log);
    let output = testkit::executed(traced, &inner).output().expect("strace");
    assert!(output.status.success(), "{words:?}: {output:?}");
    let state = coracle.folder().join("state");
    let mut pending = Pending::default();
    for line in fs::read_to_string(&log).expect("a log").lines() {
        pending.take(line, &state);
    }
    let Pending {
        contents,
        names,
        placed,
    } = pending;
    assert!(
        contents.is_empty(),
        "{words:?}: {contents:?} are not on the disk"
    );
    assert!(
        names.is_empty(),
        "{words:?}: the names {names:?} are not on the disk"
    );
    placed
}

#[test]
fn what_a_command_has_written_is_on_the_disk_before_it_counts_and_when_it_ends() {
    with_workshop(|coracle, workshop| {
        let image =
            |version: &str| workshop.image("boat", version, By::Trusted, &[("boat.service", BOAT)]);
        let (first, second) = (image("1"), image("2"));
        // What starts the instance is not this command's.
        coracle.ok(&["list-units"]);
        // The image, its identity, its note, the units, what is remembered, and the record.
        assert_eq!(check(coracle, &["attach", &first]), 6);
        assert_eq!(check(coracle, &["reattach", &second]), 6);
        check(coracle, &["detach", "boat"]);
        // Nothing else changed than what is attached.
        assert_eq!(check(coracle, &["attach", "boat"]), 1);
        check(coracle, &["configure", "boat", "--at-boot", "yes"]);
        // As an export has it, in its own place.
        let file = coracle.folder().join("export").display().to_string();
        coracle.ok(&["export", "boat", &file]);
        let import = ["import", &file, "--replace", "--as-exported"];
        check(coracle, &import);
        check(coracle, &["purge", "boat"]);
    });
}
