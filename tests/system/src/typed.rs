//! Commands as an administrator types them.

use testkit::{Finished, Instance};

/// Runs a command and checks its exit status and that each of `words` is on the right stream: those with `!` on standard error.
///
/// # Panics
/// When one of them is not so.
#[track_caller]
pub fn check(coracle: &Instance, arguments: &[&str], status: i32, words: &[&str]) -> Finished {
    let done = coracle.coracle(arguments);
    assert_eq!(done.status, status, "{arguments:?}: {done:#?}");
    for word in words {
        let (stream, word) = match word.strip_prefix('!') {
            Some(word) => (&done.stderr, word),
            None => (&done.stdout, *word),
        };
        assert!(
            stream.contains(word),
            "{arguments:?}: no {word:?} in {done:#?}"
        );
    }
    done
}
