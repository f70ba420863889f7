//! An instance that is the first process of namespaces of its own.

use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use testkit::Instance;

use crate::{manager, waiting};

/// An instance as the first process of a pid namespace, with no units of the host in sight.
pub struct First {
    /// Who made the namespace, and ends with it.
    pub unshare: Child,
    /// The first process.
    pub keeper: Pid,
}

impl First {
    /// Starts it, and waits until clients can connect.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start(coracle: &Instance) -> First {
        First::start_by(coracle, Command::new("unshare"))
    }

    /// The same by a command that runs unshare(1) with the arguments that it is given.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start_by(coracle: &Instance, mut unshare: Command) -> First {
        let daemon = coracle.dist().join("coracled");
        let hide = "for dir in /etc/systemd /usr/lib/systemd /usr/local/lib/systemd /run/systemd; do if [ -d $dir ]; then mount -t tmpfs none $dir; fi; done; exec \"$@\"";
        unshare
            .args([
                "--pid",
                "--fork",
                "--kill-child",
                "--mount-proc",
                "/bin/sh",
                "-c",
                hide,
            ])
            .args(["sh".as_ref(), daemon.as_os_str()])
            .stdin(Stdio::null())
            .process_group(0);
        for (option, name) in [
            ("--runtime-dir", "run"),
            ("--state-dir", "state"),
            ("--config-dir", "config"),
        ] {
            unshare.arg(option).arg(coracle.folder().join(name));
        }
        let unshare = unshare.spawn().expect("unshare is installed");
        let parent = Pid::from_raw(unshare.id() as i32).expect("a process id");
        let keeper = waiting::eventually("a keeper", || {
            let api = UnixStream::connect(coracle.folder().join("run/api")).is_ok();
            let first = manager::children(parent).into_iter().next();
            first.map(|(pid, _)| pid).filter(|_| api)
        });
        First { unshare, keeper }
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// When it takes none.
    pub fn signal(&self, signal: Signal) {
        let keeper = pidfd_open(self.keeper, PidfdFlags::empty()).expect("the keeper");
        pidfd_send_signal(&keeper, signal).expect("it takes a signal");
    }
}

impl Drop for First {
    fn drop(&mut self) {
        // After a failure nothing of it may live on; after success it is gone.
        self.unshare.kill().ok();
        self.unshare.wait().expect("its end");
    }
}
