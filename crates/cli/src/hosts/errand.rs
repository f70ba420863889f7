//! What is asked of the hosts: the words as they were typed, and the files here that some of them name.

use std::ffi::OsString;
use std::fs::File;
use std::io::Seek as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use clap::ArgMatches;
use delivery::digest::Digest;
use rustix::fs::{Mode, OFlags};
use wire::remote::{self, Request, Word};

use super::cutting::Cut;
use crate::failure::{WithHint as _, hint};
use crate::terminal::{complain, plain};

/// Verbs whose words may name files of this host, and the options that hold those words: images and unit files. For all others a path is the other host's.
const TRAVELLING: &[(&str, &[&str])] = &[
    ("start", &["what", "extension"]),
    ("attach", &["what", "extension"]),
    ("reattach", &["what", "extension"]),
    ("inspect", &["what"]),
    ("verify", &["units"]),
    ("import", &["file", "extension"]),
    ("restore", &["file"]),
];

/// Verbs whose files are archives, whatever they are called.
const ARCHIVES: &[&str] = &["import", "restore"];

/// Verbs that read standard input. Others leave it alone, so that a loop over a list of hosts keeps its list.
const READERS: &[&str] = &[
    "run",
    "shell",
    "creds",
    "edit",
    "configure",
    "import",
    "restore",
];

/// What is smaller travels whole: it has no more than a few chunks.
const PARTS_MIN_BYTES: u64 = 256 << 10;

/// What every host is asked.
#[derive(Debug, Default)]
pub(crate) struct Errand {
    pub(crate) request: Request,
    /// The files of the request, here.
    pub(crate) paths: Vec<PathBuf>,
    /// Whether its files are archives, which travel as they are.
    are_archives: bool,
    /// How they are cut.
    pub(crate) cuts: Vec<Arc<Cut>>,
}

impl Errand {
    /// From the words after the command's own name.
    ///
    /// # Errors
    /// When a word is no text, or a file can't be read or does not travel.
    pub(crate) fn new(arguments: &[OsString], matches: &ArgMatches) -> Result<Errand> {
        let verb = matches.subcommand();
        let named = verb.map_or_else(Vec::new, |(verb, options)| named(verb, options));
        let mut errand = Errand {
            are_archives: verb.is_some_and(|(verb, _)| ARCHIVES.contains(&verb)),
            ..Errand::default()
        };
        // An archive with a name leaves standard input alone.
        let has_stream = || arguments.iter().any(|word| word == "-");
        errand.request.has_input = verb.is_some_and(|(verb, _)| READERS.contains(&verb))
            && (!errand.are_archives || has_stream());
        for argument in arguments.iter().skip(1) {
            let text = argument.to_str().with_context(|| {
                format!(
                    "{} is no text, which all words for other hosts are",
                    argument.display()
                )
            })?;
            let word = errand.word(text, &named)?;
            errand.request.words.push(word);
        }
        Ok(errand)
    }

    /// A word that names a file here, or `--option=` followed by such a name, or any other.
    fn word(&mut self, text: &str, named: &[String]) -> Result<Word> {
        let (before, path) = match text.split_once('=') {
            Some((option, value)) if option.starts_with("--") => (format!("{option}="), value),
            _ => (String::new(), text),
        };
        let is_file = is_path(path) || self.are_archives && Path::new(path).is_file();
        if !named.iter().any(|name| name == path) || !is_file {
            return Ok(Word {
                text: text.to_owned(),
                file: None,
            });
        }
        let file = self.file(Path::new(path))?;
        Ok(Word {
            text: if file.is_some() {
                before
            } else {
                text.to_owned()
            },
            file,
        })
    }

    /// Which file of the request this is; none: it is the other host's.
    fn file(&mut self, path: &Path) -> Result<Option<usize>> {
        if let Some(known) = self.paths.iter().position(|known| known == path) {
            return Ok(Some(known));
        }
        let shown = plain(&path.display().to_string());
        let Ok(found) = path.metadata() else {
            complain(&format!("{shown} is not here: the host looks for its own"));
            return Ok(None);
        };
        if !found.is_file() {
            return Err(hint(
                format!("{shown} is here, and no file: only files go to other hosts"),
                "`coracle build` makes an image of a directory; a directory of the host itself is named where there is none of that name here",
            ));
        }
        let read = || Digest::of_reader(&mut File::open(path)?);
        let (digest, length) = read().or_hint(
            || format!("cannot read {shown}"),
            "name a file that can be read",
        )?;
        let name = path.file_name().and_then(|name| name.to_str());
        let content = match self.are_archives {
            true => None,
            false => content_of(path),
        };
        self.request.files.push(remote::File {
            name: name
                .with_context(|| format!("{shown} has no name"))?
                .to_owned(),
            digest: digest.hex(),
            length,
            has_parts: !self.are_archives && content.is_none() && length >= PARTS_MIN_BYTES,
            content,
        });
        self.cuts.push(Arc::new(Cut::new(path.to_owned())));
        self.paths.push(path.to_owned());
        Ok(Some(self.paths.len() - 1))
    }
}

/// What comes out of a compressed image, read by a worker. Where that can't be had the file itself travels, and is judged over there.
fn content_of(path: &Path) -> Option<(String, u64)> {
    let file = File::open(path).ok()?;
    if !image::travel::is_compressed(&file).ok()? {
        return None;
    }
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let whole = rustix::fs::open(std::env::temp_dir(), flags, Mode::RUSR | Mode::WUSR).ok()?;
    let mut whole = File::from(whole);
    let workers = image::worker::Workers::default();
    workers
        .decompress(&file, &whole, remote::FILE_MAX_BYTES)
        .ok()?;
    whole.rewind().ok()?;
    let (digest, length) = Digest::of_reader(&mut whole).ok()?;
    Some((digest.hex(), length))
}

/// The words that may be names of files.
fn named(verb: &str, options: &ArgMatches) -> Vec<String> {
    let ids = TRAVELLING.iter().find(|(name, _)| *name == verb);
    let ids = ids.map_or(&[] as &[&str], |(_, ids)| ids);
    let values = ids
        .iter()
        .filter_map(|id| options.try_get_many::<String>(id).ok().flatten());
    values.flatten().cloned().collect()
}

/// As `start` tells images from names: by a slash or by how the name ends.
fn is_path(word: &str) -> bool {
    let endings = [".psi", ".raw", ".psi.zst", ".raw.zst"];
    !word.contains("://")
        && (word.contains('/')
            || [".", ".."].contains(&word)
            || endings.iter().any(|ending| word.ends_with(ending)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errand(words: &[&str]) -> Result<Errand> {
        let arguments: Vec<OsString> = words.iter().map(Into::into).collect();
        let mut command = crate::command_for(crate::verbs::of(&arguments));
        Errand::new(
            &arguments,
            &command.try_get_matches_from_mut(&arguments).unwrap(),
        )
    }

    fn check(words: &[&str]) -> String {
        let show = |word: &Word| match word.file {
            Some(file) => format!("{}<{file}>", word.text),
            None => word.text.clone(),
        };
        errand(words).map_or_else(
            |error| error.to_string(),
            |errand| {
                errand
                    .request
                    .words
                    .iter()
                    .map(show)
                    .collect::<Vec<_>>()
                    .join(" ")
            },
        )
    }

    #[test]
    fn every_option_that_may_name_files_is_there() {
        for (verb, ids) in TRAVELLING {
            let found = crate::verbs::VERBS.iter().find(|found| found.name == *verb);
            let command = (found.unwrap().command)();
            for id in *ids {
                let mut all = command.get_arguments();
                assert!(all.any(|one| one.get_id() == id), "{verb} {id}");
            }
        }
        for verb in READERS {
            assert!(
                crate::verbs::VERBS.iter().any(|found| found.name == *verb),
                "{verb}"
            );
        }
    }

    #[test]
    fn files_travel_where_a_verb_takes_them_and_words_stay_as_they_are() {
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        let image = folder.path().join("a b.psi");
        std::fs::write(&image, "an image").unwrap();
        let image = image.to_str().unwrap();
        let extension = format!("--extension={image}");
        assert_eq!(
            check(&[
                "coracle",
                "-H",
                "web",
                "start",
                image,
                &extension,
                "x.service"
            ]),
            "-H web start <0> --extension=<0> x.service"
        );
        assert_eq!(check(&["coracle", "stop", image]), format!("stop {image}"));
        let command = ["coracle", "run", "echo", "$(id)\n'\"", image];
        assert_eq!(check(&command), format!("run echo $(id)\n'\" {image}"));
        assert_eq!(
            check(&["coracle", "start", "./nowhere.psi"]),
            "start ./nowhere.psi"
        );
        let directory = folder.path().to_str().unwrap();
        assert!(check(&["coracle", "start", directory]).contains("only files go"));
        let errand = errand(&["coracle", "attach", image]).unwrap();
        assert_eq!(
            errand.request.files[0].digest,
            Digest::of(b"an image").hex()
        );
        assert_eq!(errand.request.files[0].name, "a b.psi");
    }

    #[test]
    fn an_archive_travels_by_any_name_or_as_a_stream() {
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        let archive = folder.path().join("archive");
        std::fs::write(&archive, "an archive").unwrap();
        let archive = archive.to_str().unwrap();
        assert_eq!(
            check(&["coracle", "restore", "web", archive]),
            "restore web <0>"
        );
        let has_input = |words: &[&str]| errand(words).unwrap().request.has_input;
        assert!(has_input(&["coracle", "import", "-"]));
        assert!(!has_input(&["coracle", "import", archive]));
        assert!(has_input(&["coracle", "configure", "web"]));
    }
}
