//! A bar that shows how far work with bytes is.

use indicatif::{ProgressBar, ProgressStyle};

use crate::context::Context;

/// A bar on a terminal, nothing elsewhere (indicatif hides it by itself).
pub(crate) fn bar(context: &Context) -> ProgressBar {
    if context.globals.quiet || context.globals.json {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::no_length();
    let style = ProgressStyle::with_template("{msg} {bar:30} {bytes}/{total_bytes}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// How far it is.
pub(crate) fn show(bar: &ProgressBar, what: &'static str, done: u64, all: u64) {
    bar.set_message(what);
    bar.set_length(all);
    bar.set_position(done);
}
