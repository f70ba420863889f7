//! Commands that end in the middle of what they do, as a power cut or SIGKILL ends them.

use std::process::{Command, Output};

use testkit::Instance;

/// What takes names away, and what gives them.
pub const NAMES: &str = "rename,renameat,renameat2,unlink,unlinkat";
/// What puts a file into place.
pub const PLACES: &str = "rename,renameat,renameat2";

/// Ends a command by SIGKILL before its system call number `count` of these; one that makes fewer comes to its end. Gives what it said and how it ended.
///
/// # Panics
/// Where there is no strace(1).
#[must_use]
pub fn before(coracle: &Instance, words: &[&str], calls: &str, count: usize) -> Output {
    let inner = coracle.command(words);
    let mut traced = Command::new("strace");
    traced.args(["-f", "-qq", "-o", "/dev/null"]);
    traced.args(["-e", &format!("trace={calls}")]);
    traced.args(["-e", &format!("inject={calls}:signal=KILL:when={count}")]);
    testkit::executed(traced, &inner).output().expect("strace")
}
