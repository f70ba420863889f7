//! Generators (systemd.generator(7)): programs that write units before any is read, at the first start and at each reload. Each is a
//! transient service with a sandbox, so that they run side by side, have a time limit and a log, and outlive the manager; what they wrote
//! is read when the last one has ended.

use crate::entry::Transient;
use crate::manager::{Manager, Stage};
use engine::{JobKind, JobMode, JobResult, Refusal, UnitId};
use load::SearchPath;
use model::UnitName;
use model::sorted::Map;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// How the names of their services begin.
const PREFIX: &str = "coracle-generator-";
/// Those of the host, for an init; of two with the same name the first counts.
const OF_HOST: [&str; 4] = [
    "/run/systemd/system-generators",
    "/etc/systemd/system-generators",
    "/usr/local/lib/systemd/system-generators",
    "/usr/lib/systemd/system-generators",
];
/// What these make we make ourselves (`generated.rs`).
const DONE_BY_US: [&str; 2] = ["systemd-fstab-generator", "systemd-getty-generator"];
/// More than any distribution has.
const PROGRAMS_MAX: usize = 256;
/// A command that starts the instance waits longer than both until it is ready: for the program, and for what it has left running.
const TIMEOUT_S: u32 = 90;
const STOP_TIMEOUT_S: u32 = 5;

/// What runs, and who waits for it.
#[derive(Debug, Default)]
pub(crate) struct Generators {
    /// By the request that starts each; 0 where the manager before us asked.
    running: Map<UnitId, u64>,
    /// All have ended, and what they wrote is not read yet.
    has_ended: bool,
    /// Clients that asked for a reload.
    clients: Vec<u32>,
    /// Somebody asked for a reload while they ran: what they read may be older than that.
    again: bool,
    /// What is to run first is started after them.
    is_first: bool,
    /// Those that failed, and why: for whoever asked for the reload.
    failures: Vec<wire::GeneratorFailure>,
}

impl Generators {
    /// Is there something to read?
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Does the first start wait for them?
    pub(crate) fn is_first(&self) -> bool {
        self.is_first
    }

    fn is_busy(&self) -> bool {
        self.has_ended || !self.running.is_empty()
    }
}

impl Manager {
    /// Starts what is to run where no manager ran before: after the generators, where there are some. Those that the manager before us
    /// began are waited for, whoever asked for them: what they write is to be read.
    pub(crate) fn begin_first(&mut self) {
        if !self.fresh || self.keeper.adopt_only {
            self.later.generators.running = self.running_generators();
            return;
        }
        self.later.generators.is_first = self.begin_generators();
        if !self.later.generators.is_first && !self.on_demand {
            self.start_default();
        }
    }

    /// Reads units again, after the generators, where there are some; a client that asks is answered then.
    pub(crate) fn reload(&mut self, client: Option<u32>) {
        if self.later.generators.is_busy() {
            self.later.generators.again = true;
            self.later.generators.clients.extend(client);
        } else if self.stage == Stage::Running && self.begin_generators() {
            self.later.generators.clients.extend(client);
        } else {
            let reply = self.reload_units();
            if let Some(client) = client {
                self.answer_reload(client, reply);
            }
        }
    }

    /// Starts all of them; false where none runs.
    fn begin_generators(&mut self) -> bool {
        self.later.generators.running = self.running_generators();
        if self.later.generators.is_busy() {
            // The manager before us began.
            return true;
        }
        let outputs = SearchPath::generators(&self.directories.runtime);
        let (programs, passed_over) = chosen(&self.generator_directories());
        for what in passed_over {
            self.log(&what);
        }
        if let Err(error) = empty(&outputs, !programs.is_empty()) {
            self.log(&format!(
                "what generators wrote before can't be removed, and none is run: {error}"
            ));
            return false;
        }
        for program in programs {
            match self.begin_generator(&program, &outputs) {
                Ok(unit) => {
                    let running = &mut self.later.generators.running;
                    running.insert(unit, self.next_request);
                }
                Err(failure) => {
                    let shown = program.display();
                    self.log(&format!("the generator {shown} can't be run: {failure}"));
                    self.later.generators.failures.push(wire::GeneratorFailure {
                        unit: shown.to_string(),
                        reason: failure.to_string(),
                    });
                }
            }
        }
        self.later.generators.is_busy()
    }

    fn begin_generator(
        &mut self,
        program: &Path,
        outputs: &[PathBuf; 3],
    ) -> Result<UnitId, wire::Failure> {
        let outputs = outputs.iter().map(|path| path.display().to_string());
        let outputs: Vec<String> = outputs.collect();
        let (text, shown) = (self.text_of_generator(program, &outputs), program.display());
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        let name = format!("{PREFIX}{}.service", model::escape::escape(&name));
        let name: UnitName = self.parse_name(&name)?;
        let command = std::iter::once(shown.to_string()).chain(outputs).collect();
        let unit = self.make_transient(&name, Transient::alone(text, command, false))?;
        self.queue_own(unit, JobKind::Start, JobMode::Replace);
        Ok(unit)
    }

    /// It writes where it is to write, and nowhere else but to a directory of its own for temporary files, where it can have one.
    fn text_of_generator(&self, program: &Path, outputs: &[String]) -> String {
        let plain = |text: &str| {
            text.replace('%', "%%")
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
        };
        // A file system of its own for temporary files would hide what it is to write to below it.
        let hides = ["/tmp", "/var/tmp"].iter();
        let is_hidden = hides
            .into_iter()
            .any(|place| self.directories.runtime.starts_with(place));
        let temporary = if is_hidden { "no" } else { "disconnected" };
        let quoted = outputs.iter().map(|path| format!("\"{}\"", plain(path)));
        let mut text = format!(
            "[Unit]\nDescription=Generator {}\nDefaultDependencies=no\nStartLimitIntervalSec=0\n\
             [Service]\nType=oneshot\nTimeoutStartSec={TIMEOUT_S}\nTimeoutStopSec={STOP_TIMEOUT_S}\nProtectSystem=strict\nProtectHome=read-only\n\
             PrivateTmp={temporary}\nNoNewPrivileges=yes\nUMask=0022\nReadWritePaths={}\n",
            plain(&program.display().to_string()),
            quoted.collect::<Vec<_>>().join(" "),
        );
        for (name, value) in crate::conditions::of_generators(self.keeper.init) {
            let _infallible = writeln!(text, "Environment=\"{name}={}\"", plain(&value));
        }
        text
    }

    /// Ours, and those of the host where we are its init.
    fn generator_directories(&self) -> Vec<PathBuf> {
        let own = self.directories.config.join("generators");
        let host = OF_HOST.iter().map(PathBuf::from);
        let host = host.filter(|_| self.keeper.init);
        std::iter::once(own).chain(host).collect()
    }

    /// Those that have a job. A unit with a file of its own is none, whatever it is called: its start may take as long as it likes.
    fn running_generators(&self) -> Map<UnitId, u64> {
        let jobs = self.engine.jobs().map(|(_, unit)| unit);
        let is_one = |unit: &UnitId| {
            let entry = self.units.get(unit);
            entry.is_some_and(|entry| {
                entry.name.as_str().starts_with(PREFIX) && entry.transient.is_some()
            })
        };
        jobs.filter(is_one).map(|unit| (unit, 0)).collect()
    }

    /// A request that no client made is refused: perhaps the start of a generator.
    pub(crate) fn note_generator_refused(&mut self, request: u64, why: &Refusal) {
        let running = &self.later.generators.running;
        let refused = running.iter().find(|(_, known)| **known == request);
        if let Some(unit) = refused.map(|(unit, _)| *unit) {
            self.end_generator(unit, Some(&why.to_string()));
        }
    }

    /// A job is done: perhaps that of the last generator.
    pub(crate) fn note_generator_done(&mut self, unit: UnitId, result: JobResult) {
        if self.later.generators.running.contains_key(&unit) {
            let failure = (result != JobResult::Done).then(|| self.job_failure(unit, result));
            self.end_generator(unit, failure.map(|failure| failure.to_string()).as_deref());
        }
    }

    fn end_generator(&mut self, unit: UnitId, failure: Option<&str>) {
        self.later.generators.running.remove(&unit);
        self.later.generators.has_ended = self.later.generators.running.is_empty();
        if let Some(failure) = failure {
            let text = format!("what it should have made is missing, or not all there: {failure}");
            self.log_as(crate::own_log::WARNING, unit, &text);
            let unit = self.name_of(unit);
            let reason = failure.to_owned();
            let failures = &mut self.later.generators.failures;
            failures.push(wire::GeneratorFailure { unit, reason });
        }
    }

    /// Those that failed since units were read last.
    pub(crate) fn failed_generators(&mut self) -> Vec<wire::GeneratorFailure> {
        std::mem::take(&mut self.later.generators.failures)
    }

    /// Reads what they wrote, and goes on with what waited for that.
    pub(crate) fn end_generators(&mut self) {
        if !std::mem::take(&mut self.later.generators.has_ended) {
            return;
        }
        let again = std::mem::take(&mut self.later.generators.again);
        if again && self.stage == Stage::Running && self.begin_generators() {
            return;
        }
        let reply = self.reload_units();
        for client in std::mem::take(&mut self.later.generators.clients) {
            self.answer_reload(client, reply.clone());
        }
        let is_first = std::mem::take(&mut self.later.generators.is_first);
        if is_first && !self.on_demand && self.stage == Stage::Running {
            self.start_default();
        }
    }
}

/// The programs of these directories, by name: of two with the same name the first one counts, and one that can't be executed hides it.
/// And what is passed over although it may have been meant, each with the reason.
fn chosen(directories: &[PathBuf]) -> (Vec<PathBuf>, Vec<String>) {
    let mut found: BTreeMap<String, Option<PathBuf>> = BTreeMap::new();
    let mut passed_over = Vec::new();
    for directory in directories {
        let shown = directory.display();
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                passed_over.push(format!("the generators in {shown} are not run: {error}"));
                continue;
            }
        };
        for entry in entries {
            if found.len() >= PROGRAMS_MAX {
                passed_over.push(format!(
                    "{shown} has generators that are not run: there are more than {PROGRAMS_MAX}"
                ));
                break;
            }
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    passed_over.push(format!("{shown} can't be read to its end: {error}"));
                    break;
                }
            };
            let path = entry.path();
            // The unit that we write for it has its path in it: a line feed there would begin a line of its own.
            let name = entry.file_name().into_string().ok();
            let Some(name) = name.filter(|name| !name.contains(char::is_control)) else {
                passed_over.push(format!(
                    "the generator {path:?} is not run: its name is no text of one line"
                ));
                continue;
            };
            if !name.starts_with('.') && !DONE_BY_US.contains(&name.as_str()) {
                let is_program = fs::metadata(&path).is_ok_and(|file| {
                    file.is_file() && file.len() > 0 && file.permissions().mode() & 0o111 != 0
                });
                found.entry(name).or_insert(is_program.then_some(path));
            }
        }
    }
    (found.into_values().flatten().collect(), passed_over)
}

/// What was written before goes; where something is to be written, there are directories for it.
fn empty(outputs: &[PathBuf; 3], are_needed: bool) -> io::Result<()> {
    for output in outputs {
        match fs::remove_dir_all(output) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        if are_needed {
            fs::create_dir(output)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_name_counts_and_what_is_no_program_hides_those_behind() {
        let folder = tempfile::tempdir().unwrap();
        let directories = ["first", "second", "none"].map(|name| folder.path().join(name));
        let write = |place: &str, text: &str, mode: u32| {
            let path = folder.path().join(place);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        write("first/b", "#!/bin/sh\n", 0o755);
        write("second/b", "#!/bin/sh\n", 0o755);
        write("first/masked", "", 0o755);
        write("second/masked", "#!/bin/sh\n", 0o755);
        std::os::unix::fs::symlink("/dev/null", directories[0].join("c")).unwrap();
        write("second/c", "#!/bin/sh\n", 0o755);
        write("second/text", "read me\n", 0o644);
        write("second/a", "#!/bin/sh\n", 0o755);
        write("second/systemd-fstab-generator", "#!/bin/sh\n", 0o755);
        write("second/d\nExecStartPre=x", "#!/bin/sh\n", 0o755);
        let (found, passed_over) = chosen(&directories);
        let names = found
            .iter()
            .map(|path| path.strip_prefix(folder.path()).unwrap());
        let names: Vec<&str> = names.map(|path| path.to_str().unwrap()).collect();
        assert_eq!(names, ["second/a", "first/b"]);
        // A directory that is not there is no news.
        assert_eq!(passed_over.len(), 1, "{passed_over:?}");
        assert!(passed_over[0].contains("second/d\\nExecStartPre=x"));
        let file = [directories[0].join("b")];
        assert!(chosen(&file).1[0].contains("Not a directory"));
    }

    #[test]
    fn what_was_written_before_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let outputs = SearchPath::generators(folder.path());
        empty(&outputs, true).unwrap();
        fs::write(outputs[0].join("a.service"), "").unwrap();
        empty(&outputs, true).unwrap();
        assert!(outputs[0].is_dir() && !outputs[0].join("a.service").exists());
        empty(&outputs, false).unwrap();
        assert!(outputs.iter().all(|output| !output.exists()));
    }
}
