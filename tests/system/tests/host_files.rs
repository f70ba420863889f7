//! The host's files that come with the network: inside the image, current, and not to be written to.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use coracle_system_tests::images::{By, Workshop};
use coracle_system_tests::{manager, waiting, with_units};
use testkit::Instance;

/// A place where /etc is a copy that a test may change: processes started in it see that one, and so does what they start.
struct OwnEtc {
    etc: PathBuf,
    keeper: Child,
}

impl OwnEtc {
    fn new(coracle: &Instance) -> OwnEtc {
        let etc = coracle.folder().join("etc");
        let copied = Command::new("cp").args(["-a", "/etc"]).arg(&etc).status();
        assert!(
            copied.is_ok_and(|status| status.success()),
            "no copy of /etc"
        );
        let script = format!(
            "mount --bind {} /etc && echo there && exec sleep infinity",
            etc.display()
        );
        let mut keeper = Command::new("unshare")
            .args([
                "--mount",
                "--propagation",
                "slave",
                "/bin/sh",
                "-c",
                &script,
            ])
            .stdout(Stdio::piped())
            .spawn()
            .expect("a mount namespace");
        let mut line = String::new();
        BufReader::new(keeper.stdout.as_mut().expect("a pipe"))
            .read_line(&mut line)
            .expect("a line");
        assert_eq!(line, "there\n");
        let own = OwnEtc { etc, keeper };
        own.replace("resolv.conf", "nameserver 192.0.2.1\n");
        own.replace("localtime", "a zone\n");
        own
    }

    /// Runs a command of the instance in it.
    fn ok(&self, coracle: &Instance, arguments: &[&str]) -> String {
        let command = coracle.command(arguments);
        let mut entered = Command::new("nsenter");
        entered
            .args(["--mount", "--target", &self.keeper.id().to_string()])
            .arg(command.get_program())
            .args(command.get_args())
            .envs(
                command
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            );
        let done = entered.output().expect("the command starts");
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
        String::from_utf8(done.stdout).expect("text")
    }

    /// Puts another file in the place of one, as tools that configure a host do.
    fn replace(&self, name: &str, text: &str) {
        let staged = self.etc.join("staged");
        fs::write(&staged, text).expect("a file");
        fs::rename(staged, self.etc.join(name)).expect("the file takes its place");
    }
}

impl Drop for OwnEtc {
    fn drop(&mut self) {
        self.keeper.kill().expect("it can be killed");
        self.keeper.wait().expect("its end");
    }
}

#[test]
fn with_the_network_come_files_of_the_host_that_stay_current_and_without_it_they_do_not() {
    with_units(&[], |coracle| {
        let (workshop, host) = (Workshop::new(coracle), OwnEtc::new(coracle));
        coracle.ok(&["daemon-exit"]);
        let service = "[Service]\nType=exec\nExecStart=/usr/bin/dash -c 'exec /usr/bin/sleep infinity'\nPrivateNetwork=no\n";
        let image = |version: &str, service: &str| {
            let units = [("netboat.service", service)];
            workshop.image("netboat", version, By::Trusted, &units)
        };
        host.ok(coracle, &["start", &image("1", service), "--grant=network"]);
        let main = coracle.property("netboat", "MainPID");
        let inside = |script: &str| {
            host.ok(
                coracle,
                &["shell", "netboat", "--", "/bin/sh", "-c", script],
            )
        };
        let seen = |path: &str, wanted: &str| {
            waiting::eventually(&format!("{path} is {wanted:?}"), || {
                inside(&format!("cat {path}"))
                    .contains(wanted)
                    .then_some(())
            });
        };
        seen("/etc/resolv.conf", "nameserver 192.0.2.1\n");
        host.replace("resolv.conf", "nameserver 192.0.2.2\nsearch a.example\n");
        host.replace("hosts", "192.0.2.3 boat.example\n");
        host.replace("ssl/certs/ca-certificates.crt", "another bundle\n");
        seen(
            "/etc/resolv.conf",
            "nameserver 192.0.2.2\nsearch a.example\n",
        );
        seen("/etc/hosts", "192.0.2.3 boat.example\n");
        seen("$SSL_CERT_FILE", "another bundle\n");
        // What the next manager finds, it keeps current.
        let before = coracle.process("ManagerPID");
        manager::kill(before);
        host.replace("resolv.conf", "nameserver 192.0.2.4\n");
        seen("/etc/resolv.conf", "nameserver 192.0.2.4\n");
        seen("/etc/localtime", "a zone\n");
        for path in [
            "resolv.conf",
            "hosts",
            "localtime",
            "ssl/certs/ca-certificates.crt",
            "ssl/certs/more",
        ] {
            let written = inside(&format!("touch /etc/{path} 2>/dev/null && echo open; true"));
            assert_eq!(written, "", "{path}");
        }
        assert_eq!(coracle.property("netboat", "MainPID"), main);
        let closed = service.replace("=no", "=yes");
        host.ok(coracle, &["start", &image("2", &closed), "--grant=network"]);
        coracle.ok(&["restart", "netboat.service"]);
        let empty = "cat /etc/resolv.conf /etc/localtime; grep -v localhost /etc/hosts; ls /etc/ssl/certs; echo $SSL_CERT_FILE";
        assert_eq!(inside(empty), "\n");
        coracle.ok(&["purge", "netboat"]);
        assert!(!coracle.folder().join("run/network").exists());
    });
}
