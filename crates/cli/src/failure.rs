//! How a failure is told: the object, the cause, the next step, once, on standard error.

use std::fmt;
use std::path::Path;
use std::process::ExitCode;

use rustix::io::Errno;
use wire::Failure;

use crate::context::Context;
use crate::terminal::{Paint, complain, plain};

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

impl Hint {
    /// What to do next.
    pub(crate) fn next(&self) -> &str {
        &self.next
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
pub(crate) fn exit(context: Option<&Context>, outcome: anyhow::Result<u8>) -> ExitCode {
    match outcome {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            tell(&error);
            let failure = failure_in(&error);
            let next = context
                .zip(failure)
                .and_then(|(context, failure)| next_step(context, failure));
            let next = next.or_else(|| after_losses(&error));
            let is_denied = is_denied(&error);
            let next = if is_denied {
                Some(FOR_ROOT.to_owned())
            } else {
                next
            };
            let next = next.filter(|_| error.downcast_ref::<Hint>().is_none());
            if let Some(next) = next {
                complain(&format!("{} {}", Paint::Bold.on("Hint:"), plain(&next)));
            }
            ExitCode::from(if is_denied { NO_PERMISSION } else { 1 })
        }
    }
}

/// What leads on wherever only root may do what was asked.
const FOR_ROOT: &str = "this is for root: run it as root";

/// Whether the manager or the kernel refused it to somebody who is not root.
fn is_denied(error: &anyhow::Error) -> bool {
    let by_manager = matches!(failure_in(error), Some(Failure::AccessDenied { .. }));
    let by_kernel = |cause: &(dyn std::error::Error + 'static)| {
        let kind = cause
            .downcast_ref::<std::io::Error>()
            .map(std::io::Error::kind);
        kind == Some(std::io::ErrorKind::PermissionDenied)
            || matches!(cause.downcast_ref(), Some(&Errno::ACCESS | &Errno::PERM))
    };
    by_manager || !rustix::process::geteuid().is_root() && error.chain().any(by_kernel)
}

/// Tells a failure of the manager's that is no error of the command.
pub(crate) fn tell_failure(context: &Context, failure: Failure) {
    let next = next_step(context, &failure);
    tell(&failure.into());
    if let Some(next) = next {
        complain(&format!("{} {}", Paint::Bold.on("Hint:"), plain(&next)));
    }
}

/// What the manager said, if the error is the manager's.
fn failure_in(error: &anyhow::Error) -> Option<&Failure> {
    error
        .chain()
        .find_map(|cause| match cause.downcast_ref::<wire::ClientError>() {
            Some(wire::ClientError::Failure(failure)) => Some(failure),
            _ => cause.downcast_ref::<Failure>(),
        })
}

/// What to do when manager after manager went away.
fn after_losses(error: &anyhow::Error) -> Option<String> {
    let lost = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<wire::ClientError>())?;
    match lost {
        wire::ClientError::Crashes { .. } => Some(
            "`coracle logs -u coracled` has their last words; services go on, and `coracle daemon-reexec` starts a manager \
             that starts units again"
                .to_owned(),
        ),
        wire::ClientError::Hopeless => {
            Some("somebody or the kernel kills them: see `dmesg`, and ask again".to_owned())
        }
        _ => None,
    }
}

/// Exit statuses of init scripts (LSB), as systemctl has them for jobs.
const NOT_IMPLEMENTED: u8 = 3;
const NO_PERMISSION: u8 = 4;
const NOT_INSTALLED: u8 = 5;

/// The exit status for a job that did not work.
pub(crate) fn status_of(failure: &Failure) -> u8 {
    match failure {
        Failure::NotSupported { .. } => NOT_IMPLEMENTED,
        Failure::AccessDenied { .. } | Failure::NotPermitted { .. } => NO_PERMISSION,
        Failure::NoSuchUnit { .. } => NOT_INSTALLED,
        _ => 1,
    }
}

/// What to do about a failure that the manager reported.
pub(crate) fn next_step(context: &Context, failure: &Failure) -> Option<String> {
    Some(match failure {
        Failure::NoSuchUnit { unit } => no_such_unit(context, unit),
        Failure::Unenforced { unit, .. } => format!(
            "`coracle start --allow-unenforced {unit}` starts it without them; `coracle status` will show it"
        ),
        Failure::Masked { .. } => {
            "remove the mask, a link to /dev/null in the unit path, then `coracle daemon-reload`"
                .to_owned()
        }
        Failure::BadUnit { unit, .. } => format!("`coracle verify {unit}` shows the lines"),
        Failure::Refused {
            unit,
            directive,
            message,
        } if directive.starts_with("Listen") && is_taken(message) => {
            after_taken_address(context, unit)
        }
        Failure::Refused { directive, .. } => {
            format!("`coracle explain {directive}` says what the directive needs")
        }
        Failure::JobFailed { unit, message, .. } if message.contains("StartLimitBurst=") => {
            format!("`coracle reset-failed {unit}` lets it start again at once")
        }
        Failure::BadProperty { property, .. } => {
            let name = property.split('=').next().unwrap_or_default();
            let name = name.rsplit('.').next().unwrap_or_default();
            settings::rows_named(name).next().map_or_else(
                || "`coracle explain` lists the directives".to_owned(),
                |_| format!("`coracle explain {name}` says what it takes"),
            )
        }
        Failure::BadSignal { .. } => "`kill -l` lists the names; a number is right, too".to_owned(),
        Failure::BadMode { .. } => {
            "modes are replace, fail, isolate, replace-irreversibly, flush, lenient, restart-dependencies, triggering, \
             ignore-dependencies and ignore-requirements"
                .to_owned()
        }
        Failure::NoProcess { unit } => {
            format!("`coracle status {unit}` shows its processes, `coracle start {unit}` starts it")
        }
        Failure::UnitExists { unit } => {
            format!("`coracle status {unit}` shows it; choose another name, or stop it first")
        }
        Failure::AccessDenied { .. } => FOR_ROOT.to_owned(),
        _ => return None,
    })
}

/// Whether the kernel's word was that somebody else listens there.
fn is_taken(message: &str) -> bool {
    message.ends_with(&std::io::Error::from(Errno::ADDRINUSE).to_string())
}

fn after_taken_address(context: &Context, unit: &str) -> String {
    let owner = crate::portable::owner_of(context, unit).ok().flatten();
    owner.map_or_else(
        || "another program listens there: stop it, or choose another address in the unit".to_owned(),
        |portable| {
            format!(
                "another program listens there: stop it, or `coracle configure {} --listen=ADDRESS` chooses another one",
                portable.name
            )
        },
    )
}

fn no_such_unit(context: &Context, unit: &str) -> String {
    let word = unit.strip_suffix(".service").unwrap_or(unit);
    if !word.contains('/') && Path::new(word).exists() {
        return format!(
            "`coracle start ./{word}` starts what is here in this directory under that name"
        );
    }
    crate::check::nearest_unit(context, unit).map_or_else(
        || {
            format!(
                "unit files go into {}; a portable is started by its URL or file",
                context.directories.units().display()
            )
        },
        |nearest| format!("did you mean {nearest}?"),
    )
}

/// Tells an error on standard error.
pub(crate) fn tell(error: &anyhow::Error) {
    lines(error).iter().for_each(|line| complain(line));
}

/// What is told of an error, the object first, then the causes, then the next step.
fn lines(error: &anyhow::Error) -> Vec<String> {
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
        let next = if is_denied(error) {
            FOR_ROOT
        } else {
            &hint.next
        };
        lines.push(format!("{} {}", Paint::Bold.on("Hint:"), plain(next)));
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
