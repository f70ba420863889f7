//! What can be told before packages are fetched, which takes minutes and the network: values that no unit or os-release can say, files that are
//! not here, and an output that can't be written.

use std::fs::File;
use std::path::Path;

use super::{Recipe, RecipeError, name, release_with};
use crate::build::{BuildError, unnamed_beside};
use crate::os_release::OsRelease;
use crate::packages::Packages;
use crate::program::{self, ProgramError};
use crate::tree::is_unit_name;

/// Looks at all of that; nothing is written.
///
/// # Errors
/// What would be found wrong later, too.
pub(super) fn check(
    recipe: &Recipe,
    packages: &Packages,
    output: &Path,
) -> Result<(), RecipeError> {
    packages.check()?;
    check_name(recipe)?;
    for unit in &recipe.units {
        check_unit(unit)?;
    }
    for (from, to) in &recipe.extra {
        if program::image_path(to).is_none() {
            return Err(BuildError::from(ProgramError::Target(to.clone())).into());
        }
        from.symlink_metadata().map_err(unreadable(from))?;
    }
    check_service(recipe)?;
    let temporary = unnamed_beside(output).map_err(|source| BuildError::Temporary {
        path: output.into(),
        source,
    });
    temporary.map(drop).map_err(RecipeError::from)
}

fn unreadable(path: &Path) -> impl FnOnce(std::io::Error) -> RecipeError {
    let path = path.to_owned();
    |source| RecipeError::Read { path, source }
}

fn check_unit(unit: &Path) -> Result<(), RecipeError> {
    let name = unit.file_name().and_then(|name| name.to_str());
    if !name.is_some_and(is_unit_name) {
        return Err(BuildError::from(ProgramError::UnitName(unit.to_owned())).into());
    }
    File::open(unit).map(drop).map_err(unreadable(unit))
}

/// As it is written and read again at the end.
fn check_name(recipe: &Recipe) -> Result<(), RecipeError> {
    let name = name(recipe, None, None).ok_or(RecipeError::NoName)?;
    let text = release_with("", &name, recipe.version.as_deref(), &[]);
    OsRelease::parse(&text).map_err(BuildError::from)?;
    Ok(())
}

/// The section [service] as far as it says something and no unit is given. Which units the packages ship is not known yet, so nothing need
/// be said of what is to run.
fn check_service(recipe: &Recipe) -> Result<(), RecipeError> {
    if !recipe.units.is_empty() || recipe.service == Default::default() {
        return Ok(());
    }
    let mut service = recipe.service.clone();
    if service.command.is_empty() {
        service.command = vec!["/program".to_owned()];
    }
    let anywhere = |program: &str, _: Option<&str>, _: Option<&str>| {
        Some(match program.starts_with('/') {
            true => program.to_owned(),
            false => format!("/{program}"),
        })
    };
    service.units("portable", &anywhere)?;
    Ok(())
}
