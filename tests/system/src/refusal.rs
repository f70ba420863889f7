//! A refusal of the shipped command: it fails, says why and what to do next, and changes nothing.

use testkit::{Instance, Picture};

/// What exists of the instance's state and configuration; the logs grow by themselves.
fn picture(coracle: &Instance) -> Picture {
    let folder = coracle.folder();
    Picture::take(&[&folder.join("state"), &folder.join("config")])
}

/// Differences between two pictures that are this instance's.
fn changes(coracle: &Instance, before: &Picture, after: &Picture) -> Vec<String> {
    let folder = coracle.folder().display().to_string();
    let mut changes = before.left_behind(after);
    changes.extend(before.missing_in(after));
    // The store's own directories come with the first image that is looked at.
    changes.retain(|thing| {
        thing.contains(&folder)
            && !["/journal/", "/state/store", "/state/store/staging"]
                .iter()
                .any(|own| thing.ends_with(own) || own.ends_with('/') && thing.contains(own))
    });
    changes
}

/// `coracle start` with these words must fail with all of `phrases`, and change nothing. Gives what was said.
///
/// # Panics
/// When it does not fail so.
#[track_caller]
pub fn refused(coracle: &Instance, words: &[&str], phrases: &[&str]) -> String {
    let before = picture(coracle);
    let said = coracle.coracle(&[&["start"], words].concat());
    let said = said.refused(phrases);
    assert!(
        said.stderr.contains("Hint: "),
        "no next step: {}",
        said.stderr
    );
    let changes = changes(coracle, &before, &picture(coracle));
    assert!(changes.is_empty(), "a refusal changed {changes:#?}");
    said.stderr
}
