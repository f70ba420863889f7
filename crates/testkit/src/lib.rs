//! For tests only: instances in folders of their own, pictures of the system, and the gate that refuses without privileges.

mod command;
mod ground;
mod https;
mod instance;
mod namespaces;
mod picture;
mod registry;
mod resident;
mod ssh;

pub use command::{executed, surround};
pub use https::{HttpsServer, Mood, Papers};
pub use instance::{DIST, Finished, Instance};
pub use picture::{Picture, mount_table};
pub use registry::Registry;
pub use ssh::{Ssh, Sshd, free_port};

/// Refuses to go on without root: a privileged test that is skipped proves nothing.
///
/// # Panics
/// When the effective user is not root.
pub fn require_root() {
    assert!(
        rustix::process::geteuid().is_root(),
        "this test needs root: run it again as root"
    );
}
