//! Terminals of services: who controls one, and who waits for it.

use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command};

use coracle_system_tests::terminal::Terminal;
use coracle_system_tests::waiting::eventually;
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
        eventually("the session", || mark.exists().then_some(()));
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
        let said = |name: &str| {
            eventually("what the service says", || {
                let text = std::fs::read_to_string(folder.join(name)).ok()?;
                text.strip_suffix('\n').map(str::to_owned)
            })
        };
        coracle.ok(&["start", "fails"]);
        eventually("its failure", || {
            let asked = coracle.command(&["is-failed", "-q", "fails"]).status();
            asked.is_ok_and(|status| status.success()).then_some(())
        });
        let status = coracle.ok(&["show", "-p", "ExecMainStatus", "--value", "fails"]);
        assert_eq!(status.trim(), "208");
        coracle.ok(&["start", "waits"]);
        // It sleeps until somebody closes the terminal (inotify(7)), and only then goes on.
        let pid = coracle.ok(&["show", "-p", "MainPID", "--value", "waits"]);
        eventually("its wait", || {
            let process = std::path::Path::new("/proc").join(pid.trim());
            let mut open = std::fs::read_dir(process.join("fd")).ok()?.flatten();
            let watches = open.any(|one| {
                let link = std::fs::read_link(one.path());
                link.is_ok_and(|link| link.as_os_str() == "anon_inode:inotify")
            });
            let state = std::fs::read_to_string(process.join("stat")).ok()?;
            (watches && state.contains(") S ")).then_some(())
        });
        assert!(!folder.join("waits").exists(), "the terminal is not free");
        drop(session);
        assert_eq!(said("waits"), terminal.path());
        coracle.ok(&["start", "takes"]);
        assert_eq!(said("takes"), terminal.path());
        coracle.ok(&["stop", "takes", "waits"]);
        eventually("the terminal's return to root", || {
            let found = std::fs::metadata(terminal.path()).ok()?;
            (found.uid() == 0 && found.mode() & 0o777 == 0o620).then_some(())
        });
    });
}

#[test]
fn what_only_writes_to_a_terminal_reads_nothing_of_it() {
    with_units(&[], |coracle| {
        let folder = coracle.folder().to_owned();
        let terminal = Terminal::new(&folder.join("terminal"));
        let said = folder.join("said");
        coracle.unit(
            "writes.service",
            &format!(
                "[Service]\nType=oneshot\nStandardOutput=tty\nTTYPath={}\nExecStart=/bin/sh -c 'cat <&1; echo $? > {}'\n",
                terminal.path(),
                said.display()
            ),
        );
        coracle.ok(&["start", "writes"]);
        assert_eq!(std::fs::read_to_string(said).expect("its words"), "1\n");
    });
}
