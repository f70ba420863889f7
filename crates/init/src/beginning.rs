//! Before anything else: the kernel's file systems, the machine's name and id, the way to itself, and who hears of three keys.

use crate::{file_systems, machine_id, tell};
use rustix::fs::{Mode, OFlags, open};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use rustix::system::{RebootCommand, reboot, uname};

/// What a machine is called that has no name.
const NO_NAME: &str = "localhost";

/// Longest name that the kernel takes, in bytes (`__NEW_UTS_LEN`).
const NAME_BYTES_MAX: usize = 64;

/// Prepares the machine, or what a container's maker has left to do. Does nothing in any process but the first.
pub fn begin() {
    if std::process::id() != 1 {
        return;
    }
    let failed = file_systems::mount_all();
    open_console();
    failed.iter().for_each(|text| tell(text));
    if let Err(errno) = set_name() {
        tell(&format!("the machine can't be given its name: {errno}"));
    }
    if let Err(errno) = kernel::interface::bring_up(c"lo") {
        tell(&format!(
            "the network's loopback interface can't be brought up: {errno}"
        ));
    }
    if let Err(error) = machine_id::ensure() {
        tell(&format!(
            "/etc/machine-id is not there for programs: {error}"
        ));
    }
    if kernel::namespace::has_first_processes() {
        // Three keys on the console, and the kernel sends SIGINT instead of switching the machine itself.
        if let Err(errno) = reboot(RebootCommand::CadOff) {
            tell(&format!(
                "Ctrl-Alt-Del resets the machine at once, as the kernel takes no other word: {errno}"
            ));
        }
    }
}

/// Messages go to the console where whoever started us gave nothing else.
fn open_console() {
    let is_open = rustix::fs::fstat(rustix::stdio::stderr()).is_ok();
    if is_open {
        return;
    }
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let Ok(console) = open(c"/dev/console", flags, Mode::empty()) else {
        return;
    };
    for duplicated in [
        dup2_stdin(&console),
        dup2_stdout(&console),
        dup2_stderr(&console),
    ] {
        match duplicated {
            Ok(()) | Err(_) => {}
        }
    }
}

/// The name in hostname(5), unless the kernel, or a container's maker, has said another one.
fn set_name() -> kernel::Result<()> {
    let has_none = matches!(uname().nodename().to_bytes(), b"" | b"(none)");
    if !has_none {
        return Ok(());
    }
    let text = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    kernel::namespace::set_host_name(name(&text).as_bytes())
}

/// The first line that is no comment.
fn name(text: &str) -> &str {
    let mut lines = text.lines().map(str::trim);
    let found = lines.find(|line| !line.is_empty() && !line.starts_with('#'));
    let is_name = |name: &&str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        name.len() <= NAME_BYTES_MAX && name.bytes().all(plain)
    };
    found.filter(is_name).unwrap_or(NO_NAME)
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn the_name_is_the_first_line_that_is_none_of_comment() {
        let long = "a".repeat(65);
        for (text, expected) in [
            ("boat\n", "boat"),
            ("# which\n\n  boat.example  \nother\n", "boat.example"),
            ("", "localhost"),
            ("two words\n", "localhost"),
            (long.as_str(), "localhost"),
        ] {
            assert_eq!(name(text), expected, "{text}");
        }
    }
}
