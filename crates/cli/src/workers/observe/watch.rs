//! Watches a program's calls and writes down which files it opened and which programs it ran.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};
use std::process::Child;

use anyhow::{Context as _, Result, bail};
use image::program::Opened;
use kernel::trace::{self, Call, Event, calls};

use super::sandbox::{Identity, identity};

/// The longest path (limits.h).
const PATH_BYTES_MAX: usize = 4096;

/// Paths that are kept; a program that opens more is no service's.
const FILES_MAX: usize = 100_000;

/// A path of the directory that a process is in.
const HERE: i32 = -100;

/// Any of O_WRONLY, O_RDWR and O_CREAT.
const WRITING: u64 = 0o103;

/// A call that one process has begun.
struct Begun {
    named: Option<PathBuf>,
    executes: bool,
}

/// Watches until all have ended; the program's number goes to the list, and what was opened, a line of JSON each.
pub(super) fn watch(
    mut child: Child,
    place: &Path,
    (program, program_identity): (&Path, Identity),
    mut list: File,
) -> Result<()> {
    let main = i32::try_from(child.id())?;
    // Who asked ends it when its time is over: there can be no thread beside a pid namespace that is not entered.
    writeln!(list, "{main}").context("nobody hears the list")?;
    let seen = follow(main)?;
    // Its status went to who watched it.
    drop(child.try_wait());
    if seen.is_empty() {
        bail!("{} did not start", program.display());
    }
    for mut one in seen {
        if one.real == place {
            // It was a copy that ran.
            one.identity = program_identity;
        }
        for path in [&mut one.named, &mut one.real] {
            if path == place {
                *path = program.to_owned();
            }
        }
        let mut line = serde_json::to_vec(&one)?;
        line.push(b'\n');
        list.write_all(&line).context("nobody hears the list")?;
    }
    Ok(())
}

fn follow(main: i32) -> Result<BTreeSet<Opened>> {
    let mut seen = BTreeSet::new();
    let mut begun: BTreeMap<i32, Begun> = BTreeMap::new();
    let mut runs = false;
    let mut watched = false;
    loop {
        let (process, event) = match trace::wait() {
            Ok(happened) => happened,
            Err(rustix::io::Errno::CHILD) => return Ok(seen),
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error).context("cannot watch the program"),
        };
        let mut signal = 0;
        match event {
            Event::Ended => {
                begun.remove(&process);
                continue;
            }
            Event::Stopped(_) if process == main && !watched => {
                trace::watch(process).context("cannot watch the program")?;
                watched = true;
            }
            // A new process stops before it begins.
            Event::Stopped(19) if !begun.contains_key(&process) => {}
            Event::Stopped(given) => signal = given,
            Event::Executed => {
                // The first is the program itself: what was before was ours.
                runs = true;
                executed(process, begun.remove(&process), &mut seen);
            }
            Event::Call if runs => call(process, &mut begun, &mut seen),
            Event::Call => first(process, &mut begun),
        }
        if seen.len() > FILES_MAX {
            bail!("the program opens more than {FILES_MAX} files");
        }
        // One that was killed meanwhile can't go on: its end is told next.
        trace::resume(process, signal).ok();
    }
}

/// Before the program runs only its own execution matters.
fn first(process: i32, begun: &mut BTreeMap<i32, Begun>) {
    if let Ok(Call::Entry { number, arguments }) = trace::call(process)
        && let Some(call) = entry(process, number, arguments).filter(|call| call.executes)
    {
        begun.insert(process, call);
    }
}

fn call(process: i32, begun: &mut BTreeMap<i32, Begun>, seen: &mut BTreeSet<Opened>) {
    match trace::call(process) {
        Ok(Call::Entry { number, arguments }) => match entry(process, number, arguments) {
            Some(call) => drop(begun.insert(process, call)),
            None => drop(begun.remove(&process)),
        },
        Ok(Call::Exit(result)) => {
            let call = begun
                .remove(&process)
                .filter(|call| !call.executes && result >= 0);
            let file = call
                .as_ref()
                .and_then(|_| behind(&format!("/proc/{process}/fd/{result}")));
            if let (Some(call), Some((real, identity))) = (call, file)
                && real.is_absolute()
            {
                let named = call.named.unwrap_or_else(|| real.clone());
                seen.insert(Opened {
                    named,
                    real,
                    identity,
                    executed: false,
                });
            }
        }
        Ok(Call::Other) | Err(_) => {}
    }
}

/// Where a link of the kernel's leads, and to which file.
fn behind(link: &str) -> Option<(PathBuf, Identity)> {
    Some((
        fs::read_link(link).ok()?,
        identity(&fs::metadata(link).ok()?),
    ))
}

fn executed(process: i32, call: Option<Begun>, seen: &mut BTreeSet<Opened>) {
    let Some((real, of_real)) = behind(&format!("/proc/{process}/exe")) else {
        return;
    };
    if let Some(named) = call.and_then(|call| call.named) {
        // A script's name leads to itself, and its interpreter is what runs.
        let script = fs::canonicalize(&named)
            .ok()
            .and_then(|target| Some((identity(&fs::metadata(&target).ok()?), target)));
        let (identity, target) = script.unwrap_or_else(|| (of_real, real.clone()));
        seen.insert(Opened {
            named,
            real: target,
            identity,
            executed: true,
        });
    }
    seen.insert(Opened {
        named: real.clone(),
        real,
        identity: of_real,
        executed: true,
    });
}

/// What a call that begins is about: opening for reading, or executing.
fn entry(process: i32, number: u64, [a, b, c, ..]: [u64; 6]) -> Option<Begun> {
    let number = u32::try_from(number).ok()?;
    let (directory, path, flags, executes) = match number {
        calls::OPENAT => (a as i32, b, c, false),
        calls::OPENAT2 => {
            let mut flags = [0; 8];
            memory(process)?.read_exact_at(&mut flags, c).ok()?;
            (a as i32, b, u64::from_le_bytes(flags), false)
        }
        calls::EXECVE => (HERE, a, 0, true),
        calls::EXECVEAT => (a as i32, b, 0, true),
        other if Some(other) == calls::OPEN => (HERE, a, b, false),
        _ => return None,
    };
    let writes = flags & WRITING != 0;
    if writes {
        return None;
    }
    Some(Begun {
        named: path_of(process, directory, path),
        executes,
    })
}

fn memory(process: i32) -> Option<File> {
    File::open(format!("/proc/{process}/mem")).ok()
}

/// A path as the process means it, from the root.
fn path_of(process: i32, directory: i32, address: u64) -> Option<PathBuf> {
    let memory = memory(process)?;
    let mut bytes = Vec::new();
    while bytes.len() < PATH_BYTES_MAX {
        // To the end of a page: the next one may not be there.
        let at = address + bytes.len() as u64;
        let mut piece = vec![0; 256.min(4096 - (at % 4096) as usize)];
        let done = memory
            .read_at(&mut piece, at)
            .ok()
            .filter(|done| *done > 0)?;
        piece.truncate(done);
        if let Some(end) = piece.iter().position(|byte| *byte == 0) {
            bytes.extend_from_slice(piece.get(..end)?);
            break;
        }
        bytes.extend(piece);
    }
    let path = PathBuf::from(std::ffi::OsString::from_vec(bytes));
    if path.as_os_str().is_empty() {
        return None;
    }
    let base = match directory {
        _ if path.is_absolute() => PathBuf::from("/"),
        HERE => fs::read_link(format!("/proc/{process}/cwd")).ok()?,
        number => fs::read_link(format!("/proc/{process}/fd/{number}")).ok()?,
    };
    let mut out = PathBuf::new();
    for part in base.join(path).components() {
        match part {
            // Over a link it would be elsewhere: then only where it leads is known.
            Component::ParentDir => return None,
            Component::CurDir => {}
            part => out.push(part),
        }
    }
    Some(out)
}
