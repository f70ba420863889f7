//! What the first process of a machine or a container is asked by signals, see "Signals" in systemd(1). The keeper takes them and tells
//! the manager.

use crate::manager::{Manager, Stage};
use engine::{JobKind, JobMode};
use kernel::signal::number::{SIGHUP, SIGINT, SIGPWR, SIGRTMIN, SIGTERM, SIGWINCH};
use wire::ExitRequest;

/// What a signal asks of the init.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// All unit files are read again.
    Reload,
    /// A target is started, beside what runs or instead of it.
    Target(&'static str, JobMode),
    /// An end, by the word of an action.
    End(&'static str),
}

/// None: the signal says nothing to an init.
fn asked(signal: i32, is_machine: bool) -> Option<Asked> {
    let ends = ["halt", "poweroff", "reboot", "kexec"];
    Some(match signal {
        SIGHUP => Asked::Reload,
        // Three keys on the console, see reboot(2); of a container who has its terminal.
        SIGINT if is_machine => Asked::End("reboot"),
        SIGINT => Asked::End("exit"),
        SIGTERM => Asked::End("exit"),
        SIGWINCH => Asked::Target("kbrequest.target", JobMode::Replace),
        SIGPWR => Asked::Target("sigpwr.target", JobMode::Replace),
        _ => match signal - SIGRTMIN {
            0 => Asked::Target("default.target", JobMode::Isolate),
            1 => Asked::Target("rescue.target", JobMode::Isolate),
            2 => Asked::Target("emergency.target", JobMode::Isolate),
            number @ 3..=6 => Asked::End(ends.get(usize::try_from(number).ok()? - 3)?),
            13 => Asked::End("halt-immediate"),
            14 => Asked::End("poweroff-immediate"),
            15 => Asked::End("reboot-immediate"),
            16 => Asked::End("kexec-force"),
            _ => return None,
        },
    })
}

/// The unit that the machine comes up to, by the kernel's command line: the last word about it counts (kernel-command-line(7)).
fn target_of(command_line: &str) -> Option<&str> {
    let words = command_line.split_ascii_whitespace();
    let mut targets = words.filter_map(|word| match word {
        "single" | "s" | "S" | "1" | "rescue" => Some("rescue.target"),
        "emergency" | "-b" => Some("emergency.target"),
        "2" | "3" | "4" => Some("multi-user.target"),
        "5" => Some("graphical.target"),
        word => ["coracle.unit=", "systemd.unit="]
            .iter()
            .find_map(|option| word.strip_prefix(option)),
    });
    targets.next_back()
}

const COMMAND_LINE: &str = "/proc/cmdline";
const COMMAND_LINE_BYTES_MAX: u64 = 64 * 1024;

impl Manager {
    /// What is started first: of a machine the kernel's command line may say it.
    pub(crate) fn first_unit(&self) -> String {
        let line = match self.is_of_machine() {
            true => crate::beginning::text(COMMAND_LINE, COMMAND_LINE_BYTES_MAX),
            false => Ok(String::new()),
        };
        let said = line.unwrap_or_default();
        target_of(&said).unwrap_or("default.target").to_owned()
    }

    pub(crate) fn on_signal_as_init(&mut self, signal: i32) {
        match asked(signal, self.is_of_machine()) {
            None => {}
            Some(Asked::Reload) => self.reload(None),
            Some(Asked::Target(name, mode)) => self.start_asked_for(name, mode),
            Some(Asked::End(action)) => self.end_by_signal(action),
        }
    }

    fn start_asked_for(&mut self, name: &str, mode: JobMode) {
        if self.stage != Stage::Running {
            return;
        }
        match self.find_or_load(name) {
            Ok(unit) => self.queue_own(unit, JobKind::Start, mode),
            Err(failure) => self.log(&format!(
                "{name}, which a signal asks for, can't be started: {failure}"
            )),
        }
    }

    /// The keeper tells each manager anew of a signal that asks for the end, and what was decided first counts.
    fn end_by_signal(&mut self, action: &str) {
        if self.decided().is_some() {
            return self.begin_stopping();
        }
        let input = ExitRequest {
            action: action.into(),
            argument: String::new(),
        };
        match self.end_asked_for(&input) {
            Ok(end) => {
                self.log(&format!("a signal asks for {action}: that is done now"));
                self.end_as(end);
            }
            Err(failure) => self.log(&failure.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_of_the_kernels_command_line_about_it_is_the_target() {
        for (line, expected) in [
            ("root=/dev/vda1 ro quiet\n", None),
            ("ro single", Some("rescue.target")),
            ("single coracle.unit=a.target", Some("a.target")),
            ("systemd.unit=a.target 3", Some("multi-user.target")),
            ("emergency", Some("emergency.target")),
        ] {
            assert_eq!(target_of(line), expected, "{line}");
        }
    }

    #[test]
    fn each_signal_of_the_manual_asks_for_what_it_says() {
        for (signal, expected) in [
            (SIGINT, Some(Asked::End("reboot"))),
            (34, Some(Asked::Target("default.target", JobMode::Isolate))),
            (35, Some(Asked::Target("rescue.target", JobMode::Isolate))),
            (37, Some(Asked::End("halt"))),
            (38, Some(Asked::End("poweroff"))),
            (39, Some(Asked::End("reboot"))),
            (40, Some(Asked::End("kexec"))),
            (41, None),
            (47, Some(Asked::End("halt-immediate"))),
            (48, Some(Asked::End("poweroff-immediate"))),
            (10, None),
            (64, None),
        ] {
            assert_eq!(asked(signal, true), expected, "{signal}");
        }
        assert_eq!(asked(SIGINT, false), Some(Asked::End("exit")));
    }
}
