//! What is told of a portable that comes, and of units.

use delivery::portables::Trust;

use crate::context::Context;
use crate::portable::admit::{Admitted, Root};
use crate::terminal::{one_line, size};

/// `hello 1.0 · 3.1 MB · sha256:9f3c…  signed by "Example Maker" (trusted)`.
pub(super) fn introduce(context: &Context, admitted: &Admitted, name: &str) {
    let what = match &admitted.root {
        Root::Image { digest, length, .. } => format!(
            "{} · sha256:{}…",
            size(*length),
            digest.hex().get(..12).unwrap_or_default()
        ),
        Root::Directory(path) => format!("directory {}", path.display()),
    };
    let signed = match (&admitted.signer, admitted.trust) {
        (Some(signer), _) => format!("signed by \"{}\" (trusted)", one_line(&signer.common_name)),
        (None, Trust::Digest) => "allowed by its digest".to_owned(),
        (None, Trust::Directory) => "a directory of root's".to_owned(),
        (None, _) => "NOT VERIFIED (--insecure)".to_owned(),
    };
    context.narrate(&format!(
        "{} {} · {what}  {signed}",
        one_line(name),
        one_line(admitted.version())
    ));
}

/// `a, b and c`.
pub(super) fn in_words(units: &[String]) -> String {
    match units {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
