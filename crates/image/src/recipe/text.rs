//! `psi.toml`: a file beside a source that says how an image is built of it. What the command line says goes before it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::build::Format;
use crate::generate::Service;

/// The largest file that is read.
pub const LIMIT_BYTES: u64 = 1 << 20;

/// Why a file is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}, line {line}: {what}", path.display())]
pub struct RecipeTextError {
    /// The file.
    pub path: PathBuf,
    /// Counted from one.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

/// Everything that the file may say. Paths count from its directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct PsiToml {
    /// What is built from.
    pub source: SourceSection,
    /// The image.
    pub image: ImageSection,
    /// Further files: their paths in the image, and where they are.
    pub files: BTreeMap<PathBuf, PathBuf>,
    /// How the service is run, where no unit is given.
    pub service: Service,
}

/// Exactly one of the first ones is said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct SourceSection {
    /// A root directory.
    pub directory: Option<PathBuf>,
    /// A program, which comes with its libraries.
    pub program: Option<PathBuf>,
    /// Debian packages, which come with what they need.
    pub packages: Vec<String>,
    /// Their suite.
    pub suite: Option<String>,
    /// Where they are fetched from.
    pub mirror: Option<String>,
    /// A container image: an OCI layout's directory or an archive.
    pub container: Option<PathBuf>,
    /// Which image of several.
    pub reference: Option<String>,
    /// Searched for libraries before `/`.
    pub sysroot: Option<PathBuf>,
    /// Run the program with these arguments and take what it opens.
    pub observe: Option<Vec<String>>,
    /// For how long, in seconds.
    pub observe_seconds: Option<u64>,
    /// Left out: absolute paths in the image.
    pub exclude: Vec<PathBuf>,
    /// What may be unpacked, such as `16G`.
    pub max_size: Option<String>,
}

/// The image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct ImageSection {
    /// The portable's name.
    pub name: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// Unit files.
    pub units: Vec<PathBuf>,
    /// The file system inside.
    pub format: Option<Format>,
    /// Where it is written; with the ending .zst it is compressed.
    pub output: Option<PathBuf>,
    /// What signs it.
    pub key: Option<PathBuf>,
    /// The certificate, where it lies elsewhere than beside the key.
    pub certificate: Option<PathBuf>,
}

impl PsiToml {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// With the line: where it is no TOML, or has a key or a value that is not known.
    pub fn parse(path: &Path, text: &str) -> Result<PsiToml, RecipeTextError> {
        let mut said: PsiToml = toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let before = text.get(..start).unwrap_or_default();
            RecipeTextError {
                path: path.into(),
                line: before.matches('\n').count() + 1,
                what: error.message().to_owned(),
            }
        })?;
        said.resolve(path.parent().unwrap_or(Path::new("")));
        Ok(said)
    }

    /// Paths on this host count from the file's directory.
    fn resolve(&mut self, base: &Path) {
        let source = &mut self.source;
        let image = &mut self.image;
        let optional = [
            &mut source.directory,
            &mut source.program,
            &mut source.container,
            &mut source.sysroot,
            &mut image.output,
            &mut image.key,
            &mut image.certificate,
        ];
        let all = optional
            .into_iter()
            .flatten()
            .chain(&mut image.units)
            .chain(self.files.values_mut());
        for path in all {
            *path = base.join(&*path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let said = match PsiToml::parse(Path::new("/p/psi.toml"), text) {
            Ok(said) => format!("{:?}", said.source.directory),
            Err(error) => error.to_string(),
        };
        assert_eq!(said, expected);
    }

    #[test]
    fn what_is_not_known_is_said_with_its_line() {
        check("[source]\ndirectory = 'root'\n", "Some(\"/p/root\")");
        check("[source]\ndirectory = '/abs'\n", "Some(\"/abs\")");
        let keys = "expected one of `directory`, `program`, `packages`, `suite`, `mirror`, `container`, `reference`, `sysroot`, `observe`, `observe-seconds`, `exclude`, `max-size`";
        check(
            "\n[source]\n# words\ndirectroy = 'root'\n",
            &format!("/p/psi.toml, line 4: unknown field `directroy`, {keys}"),
        );
        check(
            "[image]\nname = 7\n",
            "/p/psi.toml, line 2: invalid type: integer `7`, expected a string",
        );
        check(
            "[image]\nformat = 'ext4'\n",
            "/p/psi.toml, line 2: unknown variant `ext4`, expected `erofs` or `squashfs`",
        );
        check(
            "[sources]\n",
            "/p/psi.toml, line 1: unknown field `sources`, expected one of `source`, `image`, `files`, `service`",
        );
        check(
            "[image\n",
            "/p/psi.toml, line 1: unclosed table, expected `]`",
        );
    }
}
