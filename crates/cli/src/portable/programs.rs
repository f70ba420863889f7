//! Whether the programs that an image's units start are in the image.

use std::path::Path;

use image::build::Candidate;
use load::portable::{PortableName, UnitText};
use model::{Unit, key};

/// Where a program without a directory is looked for.
const SEARCHED: [&str; 6] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];

/// Refuses an image that lacks what one of its `ExecStart=` names. A path that is known only when the service starts, and one that something
/// is mounted over, may lead anywhere.
///
/// # Errors
/// With the unit, the line and the path.
pub(crate) fn check(image: &Candidate<'_>) -> Result<(), String> {
    let name = PortableName::new(image.name).map_err(|error| error.to_string())?;
    let texts: Vec<UnitText<'_>> = image
        .units
        .iter()
        .map(|(name, text)| UnitText {
            name,
            bytes: text.as_bytes(),
        })
        .collect();
    let review = load::portable::review(&name, &texts, &crate::check::specifiers());
    for (loaded, (unit, text)) in review.units.iter().zip(image.units) {
        for command in loaded.unit.value(&key::EXEC_START).iter() {
            let Some(line) = line_of(text, &command.path).filter(|_| !command.via_shell) else {
                continue;
            };
            if !may_lead_elsewhere(&loaded.unit, &command.path) && !is_there(image, &command.path) {
                return Err(format!(
                    "{unit}, line {line}: ExecStart= starts {0}, which is not in the image: put it into the directory, or with \
                     --program say --add=FILE:{0}",
                    command.path
                ));
            }
        }
    }
    Ok(())
}

/// The last line that names the program as it is; none where a specifier or variable stands in its place.
fn line_of(text: &str, program: &str) -> Option<usize> {
    let names = |line: &str| {
        let value = line.trim_start().strip_prefix("ExecStart");
        let value = value.and_then(|rest| rest.trim_start().strip_prefix('='));
        value.is_some_and(|value| value.contains(program))
    };
    let last = text.lines().filter(|_| !program.contains('$')).enumerate();
    last.filter(|(_, line)| names(line))
        .last()
        .map(|(index, _)| index + 1)
}

fn may_lead_elsewhere(unit: &Unit, program: &str) -> bool {
    let bound = [&key::BIND_PATHS, &key::BIND_READ_ONLY_PATHS];
    let mut bound = bound.into_iter().flat_map(|key| unit.value(key).0);
    bound.any(|bind| Path::new(program).starts_with(&bind.destination))
        || unit.is_set(key::EXTENSION_IMAGES.directive())
        || unit.is_set(key::EXTENSION_DIRECTORIES.directive())
        || unit.is_set(key::MOUNT_IMAGES.directive())
        || unit.is_set(key::EXEC_SEARCH_PATH.directive())
}

fn is_there(image: &Candidate<'_>, program: &str) -> bool {
    if program.contains('/') {
        return image.has_file(Path::new(program));
    }
    SEARCHED
        .iter()
        .any(|directory| image.has_file(&Path::new(directory).join(program)))
}
