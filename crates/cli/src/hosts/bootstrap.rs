//! `--bootstrap`: copies this command's two static files to a host that has none.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::process::Child;

use anyhow::{Context as _, Result};
use delivery::digest::Digest;

use super::address::Address;
use super::line::{non_blocking, read};
use super::session::Sink;
use super::ssh::{self, Manner, NOT_REACHED};
use crate::failure::hint;
use crate::pseudo_terminal;
use crate::terminal::{one_line, size};

/// Bytes kept of what the other side says.
const SAID_MAX_BYTES: u64 = 4 << 10;
/// The exit status that says that the host is of another kind, and how it says which.
const OTHER_KIND: u8 = 3;

/// The files, each with its content.
struct Parts {
    command: Vec<u8>,
    daemon: Vec<u8>,
}

/// Copies both files, and puts them in place once what arrived is what was sent.
///
/// # Errors
/// When the host is of another kind, or they can't be put there.
pub(super) fn install(host: &Address, manner: Manner, sink: &mut dyn Sink) -> Result<()> {
    let name = &host.text;
    let parts = Parts {
        command: std::fs::read("/proc/self/exe")?,
        daemon: std::fs::read(crate::autostart::daemon_path()?)?,
    };
    let bytes = parts.command.len() as u64 + parts.daemon.len() as u64;
    sink.note(&format!(
        "copying coracle and coracled ({}) to {name}",
        size(bytes)
    ));
    let mut child = ssh::copy(host, manner, &script(&parts))?;
    let fed = feed(&mut child, &parts);
    let mut said = said(&mut child)?;
    if said.is_empty() {
        said = last_words(&mut child);
    }
    let status = pseudo_terminal::code(child.wait()?);
    match status {
        0 => {
            fed.context("cannot send the files")?;
            sink.note(&format!("installed in {} on {name}", one_line(&said)));
            Ok(())
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

fn feed(child: &mut Child, parts: &Parts) -> io::Result<()> {
    let mut pipe = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
    pipe.write_all(&parts.command)?;
    pipe.write_all(&parts.daemon)
}

fn said(child: &mut Child) -> Result<String> {
    let mut said = Vec::new();
    let pipe = child.stdout.take().context("ssh has no pipes")?;
    File::from(std::os::fd::OwnedFd::from(pipe))
        .take(SAID_MAX_BYTES)
        .read_to_end(&mut said)?;
    Ok(String::from_utf8_lossy(&said).trim().to_owned())
}

/// What ssh or the shell had to say, where that is kept; the end is not waited for.
fn last_words(child: &mut Child) -> String {
    let pipe = child
        .stderr
        .take()
        .and_then(|pipe| non_blocking(pipe.into()).ok());
    let bytes = pipe.and_then(|pipe| read(&pipe, &mut true));
    String::from_utf8_lossy(&bytes.unwrap_or_default())
        .trim()
        .to_owned()
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
        sent: &Parts,
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
        // A host of another kind reads nothing.
        feed(&mut child, sent).ok();
        let said = said(&mut child).unwrap();
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
        let (status, said, files) = check(&parts(), &parts(), &kind);
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
        let (status, said, files) = check(&parts(), &damaged, &kind);
        assert_eq!((status, said.as_str(), files.len()), (1, "", 0));
        let (status, said, files) = check(&parts(), &parts(), "Linux riscv64");
        assert_eq!(
            (status, said.as_str(), files.len()),
            (OTHER_KIND, "Linux riscv64", 0)
        );
    }
}
