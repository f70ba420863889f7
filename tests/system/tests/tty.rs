//! Terminals of services: who controls one, and who waits for it.

use std::process::{Child, Command};

use coracle_system_tests::terminal::Terminal;
use coracle_system_tests::with_units;

const SERVICE: &str = "[Service]\nStandardInput=INPUT\nTTYPath=TTY\nExecStart=/bin/sh -c 'tty > MARK; exec sleep infinity'\n";

/// Somebody else's session with this terminal; ended when dropped.
struct Session(Child);

impl Session {
    fn on(terminal: &str, mark: &std::path::Path) -> Session {
        let script = format!(
            "exec setsid --ctty sh -c 'touch {}; exec sleep infinity' < {terminal}",
            mark.display()
        );
        let child = Command::new("/bin/sh")
            .args(["-c", &script])
            .spawn()
            .expect("a session");
        while !mark.exists() {
            std::thread::yield_now();
        }
        Session(child)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.0.kill().expect("it is ours to end");
        self.0.wait().expect("it ends");
    }
}

#[test]
fn a_terminal_of_another_session_is_refused_taken_or_waited_for() {
    with_units(&[], |coracle| {
        let folder = coracle.folder().to_owned();
        let terminal = Terminal::new(&folder.join("terminal"));
        let unit = |name: &str, input: &str| {
            let text = SERVICE
                .replace("INPUT", input)
                .replace("TTY", terminal.path())
                .replace("MARK", &folder.join(name).display().to_string());
            // The name of the setting is not the terminal's.
            let text = text.replace(&format!("{}Path", terminal.path()), "TTYPath");
            coracle.unit(&format!("{name}.service"), &text);
        };
        unit("fails", "tty-fail");
        unit("waits", "tty");
        unit("takes", "tty-force");
        let session = Session::on(terminal.path(), &folder.join("session"));
        let until = |what: &dyn Fn() -> bool| {
            while !what() {
                std::thread::yield_now();
            }
        };
        coracle.ok(&["start", "fails"]);
        until(&|| {
            coracle
                .command(&["is-failed", "-q", "fails"])
                .status()
                .is_ok_and(|status| status.success())
        });
        let status = coracle.ok(&["show", "-p", "ExecMainStatus", "--value", "fails"]);
        assert_eq!(status.trim(), "208");
        coracle.ok(&["start", "waits"]);
        assert!(!folder.join("waits").exists(), "the terminal is not free");
        drop(session);
        until(&|| {
            std::fs::read_to_string(folder.join("waits")).is_ok_and(|text| text.ends_with('\n'))
        });
        coracle.ok(&["start", "takes"]);
        until(&|| {
            std::fs::read_to_string(folder.join("takes")).is_ok_and(|text| text.ends_with('\n'))
        });
        for name in ["waits", "takes"] {
            let text = std::fs::read_to_string(folder.join(name)).expect("it said where it is");
            assert_eq!(text.trim(), terminal.path());
        }
        coracle.ok(&["stop", "takes", "waits"]);
    });
}
