//! A terminal of the host: what is written to it ends up in a file.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, ptsname, unlockpt};
use testkit::Instance;

/// Both ends of a new terminal: where its keys are typed and its screen is read, and that of programs.
///
/// # Panics
/// Where the host gives out none.
#[must_use]
pub fn pair() -> (File, OwnedFd) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let ours = openpt(flags).expect("a terminal");
    grantpt(&ours).expect("its other end");
    unlockpt(&ours).expect("it opens");
    let theirs = ioctl_tiocgptpeer(&ours, flags).expect("its other end");
    (ours.into(), theirs)
}

/// Runs a line of shell on a terminal of its own, types `typed` when `asks` is shown, and returns what the terminal showed.
///
/// # Panics
/// When that is not shown, or script(1) can't be run.
#[must_use]
pub fn on_a_terminal(coracle: &Instance, line: &str, asks: &str, typed: &str) -> String {
    let mut script = Command::new("/usr/bin/script");
    script
        .args(["--quiet", "--return", "--command", line, "/dev/null"])
        .env("CORACLE", coracle.dist().join("coracle"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    testkit::surround(&mut script, &coracle.command(&[]));
    let mut script = script.spawn().expect("script starts");
    let (mut input, mut output) = (
        script.stdin.take().expect("an input"),
        script.stdout.take().expect("an output"),
    );
    let (mut shown, mut buffer, mut is_typed) = (String::new(), [0; 4096], false);
    loop {
        let count = output.read(&mut buffer).expect("what is shown");
        if count == 0 {
            break;
        }
        shown.push_str(&String::from_utf8_lossy(&buffer[..count]));
        if !is_typed && shown.contains(asks) {
            is_typed = true;
            input.write_all(typed.as_bytes()).expect("typed");
        }
    }
    script.wait().expect("script ends");
    assert!(is_typed, "{asks:?} was not shown: {shown}");
    shown
}

/// Open as long as the value lives.
pub struct Terminal {
    path: String,
    copier: Option<JoinHandle<()>>,
    /// Closed to end the copying.
    stop: Option<io::PipeWriter>,
}

impl Terminal {
    /// Makes one that is copied to this file.
    ///
    /// # Panics
    /// Where the host gives out none.
    #[must_use]
    pub fn new(copy: &Path) -> Terminal {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).expect("a terminal");
        grantpt(&master).expect("a terminal that is ours");
        unlockpt(&master).expect("a terminal that can be opened");
        let path = ptsname(&master, Vec::new()).expect("its name");
        let path = path.into_string().expect("a name of letters");
        let copy = OpenOptions::new().append(true).create(true).open(copy);
        let copy = copy.expect("a file to copy to");
        let (stopped, stop) = io::pipe().expect("a pipe");
        let held = hold(&path);
        let name = path.clone();
        let copier = std::thread::spawn(move || copy_all(master, held, &name, &stopped, copy));
        Terminal {
            path,
            copier: Some(copier),
            stop: Some(stop),
        }
    }

    /// What programs open.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.copier.take().map(JoinHandle::join);
        assert!(
            matches!(ended, Some(Ok(()))) || std::thread::panicking(),
            "the copying of {} fails",
            self.path
        );
    }
}

/// As long as somebody has it open, what was written there is not lost.
fn hold(path: &str) -> OwnedFd {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).expect("the terminal opens")
}

fn copy_all(master: OwnedFd, held: OwnedFd, path: &str, stopped: &io::PipeReader, mut copy: File) {
    let mut master = File::from(master);
    let mut held = Some(held);
    let mut room = [0; 4096];
    loop {
        let mut ready = [
            PollFd::new(&master, PollFlags::IN),
            PollFd::new(stopped, PollFlags::IN),
        ];
        poll(&mut ready, None).expect("it can be waited for");
        let [_, end] = ready.map(|one| !one.revents().is_empty());
        if end {
            return drop(held);
        }
        match master.read(&mut room) {
            Ok(count) => copy.write_all(&room[..count]).expect("the copy is written"),
            // Everyone was hung up, and so were we.
            Err(_) => held = Some(hold(path)),
        }
    }
}
