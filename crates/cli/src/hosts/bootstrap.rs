//! `--bootstrap`: copies this command's two static files to a host that has none.

use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use delivery::digest::Digest;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::address::Address;
use super::line::{non_blocking, read};
use super::session::{SIGNALLED, Sink, WINDOW_CHANGED};
use super::ssh::{self, Manner, NOT_REACHED};
use crate::failure::{WithHint as _, hint};
use crate::pseudo_terminal;
use crate::terminal::{one_line, size};

/// Bytes kept of what the other side says.
const SAID_MAX_BYTES: usize = 4 << 10;
/// Bytes that are sent at once.
const PIECE_BYTES: usize = 64 << 10;
/// How long it may take and say nothing: it writes them to its disk and reads them there.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often that is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// The exit status that says that the host is of another kind, and how it says which.
const OTHER_KIND: u8 = 3;

/// The files, each with its content.
struct Parts {
    command: Vec<u8>,
    daemon: Vec<u8>,
}

/// Copies both files, and puts them in place once what arrived is what was sent. Some: a signal came, and the call ends with this status.
///
/// # Errors
/// When the host is of another kind, or they can't be put there.
pub(super) fn install(
    host: &Address,
    manner: Manner,
    signals: &OwnedFd,
    sink: &mut dyn Sink,
) -> Result<Option<u8>> {
    let name = &host.text;
    let content = |path: PathBuf| {
        std::fs::read(&path).or_hint(
            || format!("cannot read {}", path.display()),
            "--bootstrap copies this command and the coracled beside it: both are to be there",
        )
    };
    let parts = Parts {
        command: content("/proc/self/exe".into())?,
        daemon: content(crate::autostart::daemon_path()?)?,
    };
    let bytes = parts.command.len() as u64 + parts.daemon.len() as u64;
    sink.note(&format!(
        "copying coracle and coracled ({}) to {name}",
        size(bytes)
    ));
    let mut child = ssh::copy(host, manner, &script(&parts))?;
    let feeding = Feeding::begin(&mut child, parts)?;
    let heard = hear(&mut child, &feeding.bytes, signals)?;
    let (said, errors) = match heard {
        Heard::All { said, errors } => (said, errors),
        Heard::Signal(number) => {
            ssh::end(child)?;
            return Ok(Some(SIGNALLED.saturating_add(number)));
        }
        Heard::Nothing => {
            ssh::end(child)?;
            return Err(hint(
                format!(
                    "{name} took none of the files for {} seconds",
                    PATIENCE.as_secs()
                ),
                "nothing was put in place; look at its shell and its disk, and try again",
            ));
        }
    };
    let fed = feeding.end();
    let said = if said.is_empty() { errors } else { said };
    let status = pseudo_terminal::code(child.wait()?);
    match status {
        0 => {
            fed.context("cannot send the files")?;
            sink.note(&format!("installed in {} on {name}", one_line(&said)));
            Ok(None)
        }
        OTHER_KIND => Err(hint(
            format!(
                "{name} is {}, and these files are for Linux {}",
                one_line(&said),
                std::env::consts::ARCH
            ),
            "build coracle for that machine, and put coracle and coracled into its /usr/local/bin",
        )),
        NOT_REACHED => Err(hint(
            format!("the connection to {name} was lost while the files were copied"),
            "nothing was put in place; try again",
        )),
        other => Err(hint(
            format!(
                "coracle can't be installed on {name}: its shell ended with {other} {}",
                one_line(&said)
            ),
            "what it said stands above; /usr/local/bin, or ~/.local/bin of a user, is to be writable, and sha256sum to be there",
        )),
    }
}

/// The files on their way, by a thread of their own: the other side may stop to take them.
struct Feeding {
    /// How many are taken.
    bytes: Arc<AtomicU64>,
    thread: JoinHandle<io::Result<()>>,
}

impl Feeding {
    fn begin(child: &mut Child, parts: Parts) -> Result<Feeding> {
        let mut pipe = child.stdin.take().context("ssh has no pipes")?;
        let bytes = Arc::<AtomicU64>::default();
        let taken = Arc::clone(&bytes);
        let thread = std::thread::Builder::new().spawn(move || {
            for piece in [parts.command, parts.daemon]
                .iter()
                .flat_map(|part| part.chunks(PIECE_BYTES))
            {
                pipe.write_all(piece)?;
                taken.fetch_add(piece.len() as u64, Ordering::Relaxed);
            }
            Ok(())
        })?;
        Ok(Feeding { bytes, thread })
    }

    fn end(self) -> io::Result<()> {
        let ended = self.thread.join();
        ended.unwrap_or_else(|_| Err(io::Error::other("what sends them has failed")))
    }
}

/// What came of listening to the shell.
enum Heard {
    /// It has said all that it has to say.
    All { said: String, errors: String },
    /// The call is to end.
    Signal(u8),
    /// It takes and says nothing.
    Nothing,
}

/// Listens until it says no more, both streams at once.
fn hear(child: &mut Child, taken: &AtomicU64, signals: &OwnedFd) -> Result<Heard> {
    let output = non_blocking(child.stdout.take().context("ssh has no pipes")?.into())?;
    let mut errors = match child.stderr.take() {
        Some(pipe) => Some(non_blocking(pipe.into())?),
        None => None,
    };
    let (mut said, mut complaints) = (Vec::new(), Vec::new());
    let (mut last, mut since) = (0, Instant::now());
    let mut is_open = true;
    while is_open {
        let mut watched = vec![
            PollFd::new(&output, PollFlags::IN),
            PollFd::new(signals, PollFlags::IN),
        ];
        watched.extend(errors.iter().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        match poll(&mut watched, Some(&LOOK.try_into()?)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let numbers = read(signals, &mut true).unwrap_or_default();
        if let Some(number) = numbers.into_iter().find(|number| *number != WINDOW_CHANGED) {
            return Ok(Heard::Signal(number));
        }
        said.extend(read(&output, &mut is_open).unwrap_or_default());
        said.truncate(SAID_MAX_BYTES);
        let mut goes_on = true;
        if let Some(pipe) = &errors {
            complaints.extend(read(pipe, &mut goes_on).unwrap_or_default());
            complaints.truncate(SAID_MAX_BYTES);
        }
        errors = errors.filter(|_| goes_on);
        let now = taken.load(Ordering::Relaxed);
        if now != last {
            (last, since) = (now, Instant::now());
        } else if since.elapsed() > PATIENCE {
            return Ok(Heard::Nothing);
        }
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    Ok(Heard::All {
        said: text(&said),
        errors: text(&complaints),
    })
}

/// For `sh` of any host; nothing in it comes from the user. The daemon comes first: who finds the command finds both.
fn script(parts: &Parts) -> String {
    let length = parts.command.len();
    let (command, daemon) = (
        Digest::of(&parts.command).hex(),
        Digest::of(&parts.daemon).hex(),
    );
    let kind = format!("Linux {}", std::env::consts::ARCH);
    format!(
        r#"exec sh -c '
set -eu
[ "$(uname -sm)" = "{kind}" ] || {{ uname -sm; exit {OTHER_KIND}; }}
umask 022
to=/usr/local/bin
[ "$(id -u)" = 0 ] || to=$HOME/.local/bin
mkdir -p "$to"
for file in coracle coracled; do
    [ ! -d "$to/$file" ] || {{ echo "$to/$file is a directory" >&2; exit 1; }}
done
new=$(mktemp -d "$to/.coracle-XXXXXX")
trap "rm -rf \"$new\"" EXIT
trap "exit 1" HUP INT TERM
cat >"$new/both"
head -c {length} "$new/both" >"$new/coracle"
tail -c +{rest} "$new/both" >"$new/coracled"
cd "$new"
printf "%s  %s\n" {command} coracle {daemon} coracled | sha256sum -c - >&2
chmod 755 coracle coracled
sync coracle coracled 2>/dev/null || sync
mv -f coracled "$to/coracled"
mv -f coracle "$to/coracle"
echo "$to"
'"#,
        rest = length + 1,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::{Command, Stdio};

    /// What the script of `announced` makes of `sent`, in a home directory of its own: its status, what it said, and the files.
    fn check(
        announced: &Parts,
        sent: Parts,
        machine: &str,
    ) -> (u8, String, Vec<(String, Vec<u8>)>) {
        let home = tempfile::tempdir_in("/tmp").unwrap();
        let programs = home.path().join("programs");
        std::fs::create_dir(&programs).unwrap();
        for (name, answer) in [("id", "1000"), ("uname", machine)] {
            let path = programs.join(name);
            std::fs::write(&path, format!("#!/bin/sh\necho {answer}\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let path = format!("{}:/usr/bin:/bin", programs.display());
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(script(announced))
            .env("HOME", home.path())
            .env("PATH", path);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (quiet, _signals) = std::os::unix::net::UnixStream::pair().unwrap();
        quiet.set_nonblocking(true).unwrap();
        let feeding = Feeding::begin(&mut child, sent).unwrap();
        let heard = hear(&mut child, &feeding.bytes, &quiet.into()).unwrap();
        let Heard::All { said, .. } = heard else {
            panic!("nobody sends a signal, and it takes no minute");
        };
        // A host of another kind reads nothing.
        feeding.end().ok();
        let status = pseudo_terminal::code(child.wait().unwrap());
        let mut files = Vec::new();
        for entry in std::fs::read_dir(home.path().join(".local/bin"))
            .into_iter()
            .flatten()
        {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            files.push((name, std::fs::read(path).unwrap()));
        }
        files.sort();
        (
            status,
            said.replace(home.path().to_str().unwrap(), "~"),
            files,
        )
    }

    #[test]
    fn the_files_arrive_whole_or_not_at_all_and_only_on_their_own_kind() {
        let parts = || Parts {
            command: vec![0, b'\n', 255, 3],
            daemon: vec![7; 100_000],
        };
        let kind = format!("Linux {}", std::env::consts::ARCH);
        let (status, said, files) = check(&parts(), parts(), &kind);
        assert_eq!((status, said.as_str()), (0, "~/.local/bin"));
        let (command, daemon) = (
            ("coracle".to_owned(), parts().command),
            ("coracled".to_owned(), parts().daemon),
        );
        assert_eq!(files, [command, daemon]);
        let damaged = Parts {
            daemon: vec![8; 100_000],
            ..parts()
        };
        let (status, said, files) = check(&parts(), damaged, &kind);
        assert_eq!((status, said.as_str(), files.len()), (1, "", 0));
        let (status, said, files) = check(&parts(), parts(), "Linux riscv64");
        assert_eq!(
            (status, said.as_str(), files.len()),
            (OTHER_KIND, "Linux riscv64", 0)
        );
    }
}
