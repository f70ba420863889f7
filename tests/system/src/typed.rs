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

/// Runs a command and checks its exit status, and that it says these phrases on whichever stream.
///
/// # Panics
/// When it is not so.
#[track_caller]
pub fn says(coracle: &Instance, words: &[&str], status: i32, phrases: &[&str]) -> Finished {
    let done = coracle.coracle(words);
    assert_eq!(done.status, status, "{words:?}: {done:#?}");
    for phrase in phrases {
        let both = [done.stdout.as_str(), done.stderr.as_str()].concat();
        assert!(
            both.contains(phrase),
            "{words:?}: no {phrase:?} in {done:#?}"
        );
    }
    done
}

/// `coracle list` with these words before it, as JSON.
///
/// # Panics
/// When it fails.
#[track_caller]
#[must_use]
pub fn list(coracle: &Instance, more: &[&str]) -> serde_json::Value {
    serde_json::from_str(&coracle.ok(&[more, &["list", "--json"]].concat())).expect("JSON")
}
