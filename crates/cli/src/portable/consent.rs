//! What a portable asks beyond the default sandbox, and the administrator's answer.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use delivery::grants::{Grant, Grants};
use image::tree::Contents;
use load::portable::{PortableName, Request, Review, UnitText, review};

use super::admit::Admitted;
use crate::context::Context;
use crate::failure::hint;
use crate::terminal::{Paint, ask, can_ask, one_line, plain};

/// Options by which grants are given without a terminal.
#[derive(Args, Debug, Clone, Default)]
pub(crate) struct GrantOptions {
    /// Grant these requests without being asked: `network,listen:8080`
    #[arg(long, value_name = "GRANTS")]
    pub(crate) grant: Vec<String>,
    /// Grant the requests in this file, one a line
    #[arg(long, value_name = "FILE")]
    pub(crate) grants: Option<PathBuf>,
    /// What was granted on another host, where that counts here.
    #[arg(skip)]
    pub(crate) given_elsewhere: Grants,
}

impl GrantOptions {
    fn given(&self) -> Result<Grants> {
        let mut grants = self.given_elsewhere.clone();
        for list in &self.grant {
            grants.extend(&Grants::from_list(list)?);
        }
        if let Some(path) = &self.grants {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            grants.extend(
                &Grants::from_file(&text)
                    .with_context(|| format!("cannot use {}", path.display()))?,
            );
        }
        Ok(grants)
    }
}

/// Judges the units of an image: what is refused ends the start, and names all of it.
///
/// # Errors
/// When a unit says what no image may say.
pub(crate) fn judge(admitted: &Admitted, name: &PortableName) -> Result<Review> {
    let review = read(&admitted.contents, name);
    if review.refusals.is_empty() {
        return Ok(review);
    }
    let lines: Vec<String> = review.refusals.iter().map(ToString::to_string).collect();
    Err(hint(
        format!(
            "{name} says what no image may say:\n  {}",
            lines.join("\n  ")
        ),
        "ask its maker for a version without it, or write a unit of your own on the host",
    ))
}

/// What the units of an image say.
pub(crate) fn read(contents: &Contents, name: &PortableName) -> Review {
    let units = contents.units.iter();
    let texts: Vec<UnitText<'_>> = units
        .map(|unit| UnitText {
            name: &unit.name,
            bytes: unit.text.as_bytes(),
        })
        .collect();
    review(name, &texts, &crate::check::specifiers())
}

/// Tells every line of the units that is ignored, or that has no effect: what is attached is what was understood of them.
pub(crate) fn tell_findings(context: &Context, review: &Review) {
    let findings = review.units.iter().flat_map(|unit| &unit.diagnostics);
    for found in findings {
        context.narrate(&plain(&found.to_string()));
    }
}

/// Tells what is asked, takes what was granted before, on the command line and by the profile, asks for the rest. Returns what is granted
/// now, beside the profile.
///
/// # Errors
/// When a request stays open.
pub(crate) fn settle(
    context: &Context,
    name: &str,
    review: &Review,
    (recorded, implied): (&Grants, &[&str]),
    options: &GrantOptions,
) -> Result<Grants> {
    let mut granted = options.given()?;
    tell_unasked(context, name, &granted, review);
    granted.extend(recorded);
    let mut answers: Vec<String> = granted.iter().map(ToString::to_string).collect();
    answers.extend(implied.iter().map(|grant| (*grant).to_owned()));
    let open: Vec<Request> = review.beyond(&answers).into_iter().cloned().collect();
    if review.requests.is_empty() {
        context.narrate("asks for nothing beyond the default sandbox");
        return Ok(Grants::default());
    }
    answered(context, review, &open);
    for request in unique(&open) {
        if !consent(name, &request, &open)? {
            return Err(refused(name, &open));
        }
        granted.insert(request.grant.parse::<Grant>()?);
    }
    if !open.is_empty() {
        context.narrate("nothing else beyond the default sandbox");
    }
    Ok(used(&granted, review))
}

/// Tells of grants that answer nothing: a slip of the keyboard, or what this version asks for no more.
fn tell_unasked(context: &Context, name: &str, given: &Grants, review: &Review) {
    let asked = review.grants();
    let answers = |grant: &&Grant| {
        let grant = grant.to_string();
        asked.iter().any(|one| load::portable::covers(&grant, one))
    };
    for grant in given.iter().filter(|grant| !answers(grant)) {
        let asked: Vec<&str> = asked.iter().copied().collect();
        let what = if asked.is_empty() {
            "nothing".to_owned()
        } else {
            asked.join(", ")
        };
        context.narrate(&format!(
            "{} {name} does not ask for {}, so it is not granted; it asks for {}",
            Paint::Yellow.on("warning:"),
            one_line(&grant.to_string()),
            one_line(&what)
        ));
    }
}

fn answered(context: &Context, review: &Review, open: &[Request]) {
    for request in unique(&review.requests) {
        if open.iter().all(|other| other.grant != request.grant) {
            context.narrate(&format!("asks to {} · granted", one_line(&request.words)));
        }
    }
}

/// One request of each grant: several units may ask the same.
pub(crate) fn unique(requests: &[Request]) -> Vec<Request> {
    let mut unique: Vec<Request> = Vec::new();
    for request in requests {
        if unique.iter().all(|other| other.grant != request.grant) {
            unique.push(request.clone());
        }
    }
    unique
}

fn consent(name: &str, request: &Request, open: &[Request]) -> Result<bool> {
    if !can_ask() {
        return Err(refused(name, open));
    }
    ask(&format!("asks to {} · grant?", one_line(&request.words)))
}

fn refused(name: &str, open: &[Request]) -> anyhow::Error {
    let mut what = format!("{name} asks for more than was granted, so nothing was installed:");
    for request in unique(open) {
        what.push_str(&format!(
            "\n  to {} ({}:{})",
            one_line(&request.words),
            request.unit,
            request.line
        ));
    }
    let grants = unique(open);
    let grants = grants.iter().map(|request| request.grant.as_str());
    hint(
        what,
        format!(
            "if that is right, say --grant={}",
            one_line(&as_shell_word(grants))
        ),
    )
}

/// Grants as one word of a command line. Their values are the image's, and this word is made to be pasted into a shell of root's.
fn as_shell_word<'a>(grants: impl Iterator<Item = &'a str>) -> String {
    let grants: Vec<String> = grants
        .map(|grant| grant.replace('\\', "\\\\").replace(',', "\\,"))
        .collect();
    format!("'{}'", grants.join(",").replace('\'', "'\\''"))
}

/// What of the grants the requests make use of: what is worth recording.
fn used(granted: &Grants, review: &Review) -> Grants {
    granted
        .iter()
        .filter(|grant| {
            review
                .requests
                .iter()
                .any(|request| load::portable::covers(&grant.to_string(), &request.grant))
        })
        .cloned()
        .collect()
}

/// The portable's name as unit names may begin.
///
/// # Errors
/// When it can't begin a unit's name.
pub(crate) fn name_of(admitted: &Admitted) -> Result<PortableName> {
    let name = admitted.name()?;
    match PortableName::new(name) {
        Ok(name) => Ok(name),
        Err(invalid) => bail!("{}", plain(&invalid.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(grants: &[&str], word: &str) {
        assert_eq!(as_shell_word(grants.iter().copied()), word);
    }

    #[test]
    fn an_os_release_names_a_portable_by_exactly_what_is_a_portables_name() {
        let marks = ["", "-", ".", "_", "+", "~", "/", " ", "@", "ä", "\u{1b}"];
        let pairs = marks
            .iter()
            .flat_map(|one| marks.iter().map(move |other| (one, other)));
        for (one, other) in pairs {
            for word in [
                format!("{one}a{other}b"),
                format!("a{one}b{other}"),
                format!("A1{one}{other}"),
            ] {
                for key in ["PORTABLE_ID", "IMAGE_ID", "ID"] {
                    let read = image::os_release::OsRelease::parse(&format!("{key}='{word}'"));
                    assert_eq!(read.is_ok(), PortableName::new(&word).is_ok(), "{word:?}");
                }
            }
        }
    }

    #[test]
    fn what_an_image_asks_for_stays_one_word_of_a_shell() {
        check(&["network", "listen:8080"], "'network,listen:8080'");
        check(&[r"path:/a,b\c"], r"'path:/a\,b\\c'");
        check(&["path:/a'; reboot; '"], r"'path:/a'\''; reboot; '\'''");
    }

    #[test]
    fn a_word_is_read_as_the_grants_that_it_was_made_of() {
        let word = as_shell_word([r"path:/a,b\c", "listen:8080"].into_iter());
        let read = Grants::from_list(word.trim_matches('\'')).unwrap();
        let read: Vec<String> = read.iter().map(ToString::to_string).collect();
        assert_eq!(read, ["listen:8080", r"path:/a,b\c"]);
    }
}
