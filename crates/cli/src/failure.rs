//! How a failure is told: the object, the cause, the next step, once, on standard error.

use std::fmt;
use std::process::ExitCode;

/// A next step for the user, attached to an error with `anyhow::Error::context` or [`hint`].
#[derive(Debug)]
pub(crate) struct Hint {
    what: String,
    next: String,
}

impl Hint {
    /// What failed, and what to do next.
    pub(crate) fn new(what: impl Into<String>, next: impl Into<String>) -> Hint {
        Hint {
            what: what.into(),
            next: next.into(),
        }
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.what)
    }
}

impl std::error::Error for Hint {}

/// An error that says `what` failed and, on a line of its own, what to do `next`.
pub(crate) fn hint(what: impl Into<String>, next: impl Into<String>) -> anyhow::Error {
    anyhow::Error::new(Hint {
        what: what.into(),
        next: next.into(),
    })
}

/// Adds a next step to an error that has none.
pub(crate) trait WithHint<T> {
    /// `what` becomes the first line, the error its cause, `next` the hint.
    fn or_hint(self, what: impl FnOnce() -> String, next: &str) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> WithHint<T> for Result<T, E> {
    fn or_hint(self, what: impl FnOnce() -> String, next: &str) -> anyhow::Result<T> {
        self.map_err(|error| {
            error.into().context(Hint {
                what: what(),
                next: next.to_owned(),
            })
        })
    }
}

/// The exit status of the command, after the error is told.
pub(crate) fn exit(outcome: anyhow::Result<u8>) -> ExitCode {
    match outcome {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            tell(&error);
            ExitCode::FAILURE
        }
    }
}

fn tell(error: &anyhow::Error) {
    use crate::terminal::complain;
    lines(error).iter().for_each(|line| complain(line));
}

/// What is told of an error, the object first, then the causes, then the next step.
fn lines(error: &anyhow::Error) -> Vec<String> {
    use crate::terminal::{Paint, plain};
    let mut chain = error.chain().map(|cause| plain(&cause.to_string()));
    let mut lines = vec![format!(
        "{} {}",
        Paint::Red.on("Error:"),
        chain.next().unwrap_or_default()
    )];
    let causes: Vec<String> = chain.collect();
    match causes.as_slice() {
        [] => {}
        [only] => lines.push(format!("Caused by: {only}")),
        several => lines.extend(
            several
                .iter()
                .enumerate()
                .map(|(index, cause)| format!("Caused by {}: {cause}", index + 1)),
        ),
    }
    // A context is found through the error itself, not through its chain: there it is wrapped together with its cause.
    if let Some(hint) = error.downcast_ref::<Hint>() {
        lines.push(format!("{} {}", Paint::Bold.on("Hint:"), plain(&hint.next)));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_step_is_told_of_a_plain_error_and_of_one_with_a_cause() {
        let told = |error: anyhow::Error| {
            let text = lines(&error).join("|");
            anstream::adapter::strip_str(&text).to_string()
        };
        assert_eq!(
            told(hint("no such portable", "`coracle list`")),
            "Error: no such portable|Hint: `coracle list`"
        );
        let cause = std::io::Error::other("not trusted");
        let refused = Err::<(), _>(cause).or_hint(|| "the image is refused".to_owned(), "trust it");
        assert_eq!(
            refused.map_err(told),
            Err("Error: the image is refused|Caused by: not trusted|Hint: trust it".to_owned())
        );
    }
}
