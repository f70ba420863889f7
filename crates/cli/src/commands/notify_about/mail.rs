//! A mail by the host's sendmail: the program reads whom it is for from the mail itself.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use load::notify::Notify;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::facts::Facts;

/// How long the program may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// What it finds others by; it is given nothing else of our variables.
const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Hands a mail over.
///
/// # Errors
/// When the program does not take it.
pub(super) fn send(notify: &Notify, facts: &Facts) -> Result<()> {
    hand_over(notify, &mail(notify, facts), PATIENCE)
}

fn hand_over(notify: &Notify, mail: &str, patience: Duration) -> Result<()> {
    let name = notify.sendmail.display();
    // A file and no pipe: a program that does not read keeps nobody waiting.
    let mut input = File::from(kernel::memory::sealed_file(c"mail", mail.as_bytes())?);
    input.seek(SeekFrom::Start(0))?;
    let mut child = Command::new(&notify.sendmail)
        .args(["-t", "-i"])
        .env_clear()
        .env("PATH", SEARCH_PATH)
        .current_dir("/")
        .stdin(Stdio::from(OwnedFd::from(input)))
        .stdout(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot execute {name}"))?;
    match wait(&mut child, patience)? {
        None => bail!("{name} took longer than {} seconds", patience.as_secs()),
        Some(status) if status.success() => Ok(()),
        Some(status) => bail!("{name} did not take it: {status}"),
    }
}

/// Its end; none where it took too long, and was killed.
fn wait(child: &mut Child, patience: Duration) -> Result<Option<ExitStatus>> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pidfd = pidfd_open(pid.context("no process")?, PidfdFlags::empty())?;
    let until = std::time::Instant::now() + patience;
    loop {
        let left = until.saturating_duration_since(std::time::Instant::now());
        let left = Timespec::try_from(left)?;
        match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&left)) {
            Err(Errno::INTR) => {}
            Ok(0) => {
                child.kill()?;
                child.wait()?;
                return Ok(None);
            }
            Ok(_) => return Ok(Some(child.wait()?)),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// The mail: headers, and the facts in words. Every fact is one line already, and in the headers they are ASCII.
fn mail(notify: &Notify, facts: &Facts) -> String {
    let mut lines = Vec::new();
    lines.extend(notify.mail_from.iter().map(|from| format!("From: {from}")));
    lines.push(format!("To: {}", notify.mail.join(",\n ")));
    lines.push(format!("Subject: {}", header(&facts.text)));
    lines.extend(
        [
            "Auto-Submitted: auto-generated",
            "MIME-Version: 1.0",
            "Content-Type: text/plain; charset=utf-8",
            "Content-Transfer-Encoding: 8bit",
            "",
        ]
        .map(str::to_owned),
    );
    lines.push(format!("{}.", facts.text));
    if facts.description != facts.unit && !facts.description.is_empty() {
        lines.push(format!("It is described as: {}", facts.description));
    }
    lines.extend(
        facts
            .monitor
            .iter()
            .map(|(name, value)| format!("{name}={value}")),
    );
    lines.push(String::new());
    lines.push(match facts.log.len() {
        0 => "There are no log lines of it.".to_owned(),
        count => format!("Its last log lines ({count}):"),
    });
    lines.extend(facts.log.iter().map(|line| format!("  {line}")));
    lines.push(String::new());
    lines.push(format!(
        "More: coracle status {0}; coracle logs -u {0}",
        facts.unit
    ));
    lines.join("\n") + "\n"
}

/// A text of a header: printable ASCII, and no longer than fits on a line.
fn header(text: &str) -> String {
    const HEADER_MAX: usize = 200;
    let letter = |letter: char| match letter {
        ' '..='~' => letter,
        _ => '?',
    };
    text.chars().take(HEADER_MAX).map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn facts() -> Facts {
        Facts {
            text: "web.service on bäx\nBcc: evil@b.org is failed".into(),
            unit: "web.service".into(),
            description: "The web".into(),
            log: vec!["could not \\u{1b}bind".into(), ".".into()],
            ..Facts::default()
        }
    }

    fn notify() -> Notify {
        Notify {
            mail: vec!["a@b.org".into(), "root".into()],
            mail_from: Some("box@b.org".into()),
            ..Notify::default()
        }
    }

    #[test]
    fn no_fact_becomes_a_header_of_its_own() {
        let mail = mail(&notify(), &facts());
        let (headers, body) = mail.split_once("\n\n").expect("a body");
        let expected = "From: box@b.org\nTo: a@b.org,\n root\nSubject: web.service on b?x?Bcc: evil@b.org is failed\n\
                        Auto-Submitted: auto-generated\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\
                        Content-Transfer-Encoding: 8bit";
        assert_eq!(headers, expected);
        assert!(body.contains("\nIt is described as: The web\n"), "{body}");
        assert!(body.contains("\n  could not \\u{1b}bind\n  .\n"), "{body}");
    }

    /// What comes of a program that is this script; it may write to `$0.got`.
    fn handed_to(script: &str, patience: Duration) -> (Result<()>, String) {
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("sendmail");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).expect("a script");
        let permissions = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&program, permissions).expect("a mode");
        let notify = Notify {
            sendmail: program,
            ..notify()
        };
        let outcome = hand_over(&notify, "To: root\n\nwords\n", patience);
        let got = std::fs::read_to_string(folder.path().join("sendmail.got"));
        (outcome, got.unwrap_or_default())
    }

    #[test]
    fn the_program_reads_the_mail_and_gets_nothing_else() {
        let script = "{ echo \"$@\"; env | grep -v -e ^PWD= -e ^SHLVL= -e ^_= -e ^OLDPWD=; cat; } > \"$0.got\"";
        let (outcome, got) = handed_to(script, PATIENCE);
        outcome.expect("it takes the mail");
        assert_eq!(
            got,
            format!("-t -i\nPATH={SEARCH_PATH}\nTo: root\n\nwords\n")
        );
    }

    #[test]
    fn a_program_that_refuses_hangs_or_is_not_there_is_an_error() {
        let refused = handed_to("exit 75", PATIENCE).0.expect_err("refused");
        assert!(
            refused
                .to_string()
                .ends_with("did not take it: exit status: 75")
        );
        let hung = handed_to("exec sleep infinity", Duration::from_millis(100)).0;
        let hung = hung.expect_err("it hangs").to_string();
        assert!(hung.ends_with("took longer than 0 seconds"), "{hung}");
        let notify = Notify {
            sendmail: "/nonexistent/sendmail".into(),
            ..notify()
        };
        let gone = hand_over(&notify, "", PATIENCE).expect_err("not there");
        assert_eq!(gone.to_string(), "cannot execute /nonexistent/sendmail");
    }
}
