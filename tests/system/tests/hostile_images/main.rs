//! Images that somebody made to do harm, one row for each kind: what is refused is refused in words that name the image, the cause and the
//! next step, by a worker that lives to say so, and leaves nothing.

mod changes;
mod files;
mod forge;
mod integrity;
mod systems;
mod tables;
mod travel;
mod trees;

use std::fs::File;
use std::path::Path;

use coracle_system_tests::images::with_workshop;
use coracle_system_tests::refusal::refused;
use forge::Forge;
use image::worker::{WorkerError, Workers};

/// What must become of an image.
enum Verdict {
    /// `attach` fails with all of these.
    Refused(&'static [&'static str]),
    /// It is attached, and this holds then.
    Harmless(fn(&Forge<'_>)),
}

/// A kind of hostile image: its name, how it is made (what follows `attach`, the image first), and what becomes of it.
type Kind = (&'static str, fn(&Forge<'_>) -> Vec<String>, Verdict);

/// Kinds in all: the promise of this file.
const KINDS_MIN: usize = 150;

const TABLES: [&[Kind]; 6] = [
    tables::KINDS,
    integrity::KINDS,
    systems::KINDS,
    trees::KINDS,
    travel::KINDS,
    files::KINDS,
];

#[test]
fn there_are_many_kinds_and_each_has_a_name_of_its_own() {
    let mut names: Vec<&str> = TABLES
        .iter()
        .flat_map(|kinds| kinds.iter())
        .map(|kind| kind.0)
        .collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    assert!(count >= KINDS_MIN, "{count}");
}

#[test]
fn tables_that_lie_are_refused() {
    each(tables::KINDS);
}

#[test]
fn hashes_and_signatures_that_lie_are_refused() {
    each(integrity::KINDS);
}

#[test]
fn file_systems_that_lie_are_refused() {
    each(systems::KINDS);
}

#[test]
fn trees_that_lie_are_refused_or_do_no_harm() {
    each(trees::KINDS);
}

#[test]
fn what_grows_on_its_way_is_refused() {
    each(travel::KINDS);
}

#[test]
fn what_is_no_image_is_refused() {
    each(files::KINDS);
}

/// Tries all of them, and tells of all that went wrong.
fn each(kinds: &[Kind]) {
    with_workshop(|coracle, workshop| {
        let forge = Forge::new(coracle, workshop);
        let mut wrong = Vec::new();
        for (name, make, verdict) in kinds {
            let attempt = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let words = make(&forge);
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                judge(&forge, &words, verdict);
            }));
            if let Err(panic) = attempt {
                let said = panic.downcast_ref::<String>().cloned();
                // What got in must not be in the way of the next one.
                drop(coracle.coracle(&["purge", "--forget", "boat"]));
                wrong.push(format!("{name}: {}", said.unwrap_or_default()));
            }
        }
        assert!(
            wrong.is_empty(),
            "{} of {}:\n{}",
            wrong.len(),
            kinds.len(),
            wrong.join("\n")
        );
    });
}

fn judge(forge: &Forge<'_>, words: &[&str], verdict: &Verdict) {
    let coracle = forge.coracle;
    let path = words.first().expect("an image");
    match verdict {
        Verdict::Refused(phrases) => {
            let said = refused(coracle, &[&["--attach-only"], words].concat(), phrases);
            let named = Path::new(path).file_name().expect("a name");
            let is_named = [&*named.to_string_lossy(), "boat"];
            assert!(is_named.iter().any(|name| said.contains(name)), "{said}");
        }
        Verdict::Harmless(holds) => {
            let words = [&["attach"], words].concat();
            coracle.ok(&words);
            holds(forge);
            coracle.ok(&["purge", "--forget", "boat"]);
        }
    }
    // Who only looks at it is told something, too, and so is who asks the worker.
    let looked = coracle.coracle(&["inspect", path]);
    assert!(looked.status <= 1, "inspect: {looked:?}");
    assert!(
        !looked.stderr.contains("panicked") && !looked.stderr.contains("without an answer"),
        "inspect: {looked:?}"
    );
    if Path::new(path).is_file() {
        let workers = Workers {
            program: coracle.dist().join("coracle"),
            ..Workers::default()
        };
        let answer = workers.dissect(&File::open(path).expect("a file"));
        assert!(
            matches!(answer, Ok(_) | Err(WorkerError::Refused(_))),
            "dissect: {answer:?}"
        );
    }
    forge.left_nothing();
}
