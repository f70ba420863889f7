//! `edit`: a unit's drop-in, or a file of its own, in an editor or from standard input.

use std::io::{IsTerminal, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use load::{Content, Tree};

use crate::context::{Context, full_unit_name};
use crate::failure::hint;
use crate::unit_files::{Root, UnitFiles, ending};
use crate::verbs::Run;

/// Most bytes of a unit file.
const BYTES_MAX: usize = load::MAX_EXPANDED_BYTES;

/// What follows this line is only there to be seen.
const MARKER: &str = "### What is below this line is not kept.";

/// Variables that name an editor, the strongest first, and programs where none does.
const VARIABLES: [&str; 3] = ["SYSTEMD_EDITOR", "EDITOR", "VISUAL"];
const EDITORS: [&str; 4] = ["editor", "nano", "vim", "vi"];

/// Options of `edit`.
#[derive(Args, Debug)]
pub(crate) struct Edit {
    /// Units
    #[arg(required = true, value_name = "UNIT")]
    units: Vec<String>,
    /// Edit a copy of the whole unit instead of a drop-in
    #[arg(long, conflicts_with = "drop_in")]
    full: bool,
    /// Name of the drop-in [default: override.conf]
    #[arg(long, value_name = "NAME")]
    drop_in: Option<String>,
    /// Until the next reboot only
    #[arg(long)]
    runtime: bool,
    /// Take the new text from standard input
    #[arg(long)]
    stdin: bool,
    /// Make units that are not there
    #[arg(short, long)]
    force: bool,
    /// Don't make the manager read unit files again
    #[arg(long)]
    no_reload: bool,
    #[command(flatten)]
    root: Root,
}

impl Run for Edit {
    fn run(self, context: &Context) -> Result<u8> {
        let files = UnitFiles::open(context, &self.root)?;
        let drop_in = drop_in_name(self.drop_in.as_deref())?;
        let given = self.stdin.then(from_standard_input).transpose()?;
        let mut targets = Vec::new();
        for unit in &self.units {
            targets.push(self.target(&files, unit, &drop_in)?);
        }
        let mut has_changes = false;
        for (at, shown) in targets {
            let old = text_of(&files, &at)?;
            let new = match &given {
                Some(given) => given.clone(),
                None => edited(&at, old.as_deref(), &shown)?,
            };
            if new.is_empty() || old.as_deref() == Some(new.as_str()) {
                context.narrate(&format!("{} stays as it was", at.display()));
                continue;
            }
            let write = files.rooted().write(&at, new.as_bytes());
            write.with_context(|| format!("cannot write {}", at.display()))?;
            context.narrate(&format!("wrote {}", files.rooted().shown(&at).display()));
            has_changes = true;
        }
        if has_changes && !self.no_reload {
            files.reload(context)?;
        }
        Ok(0)
    }
}

impl Edit {
    /// The file that is written, and the unit's text as it is.
    fn target(&self, files: &UnitFiles, unit: &str, drop_in: &str) -> Result<(PathBuf, String)> {
        let unit = full_unit_name(unit.to_owned());
        let known: model::UnitName = unit.parse()?;
        let text = match files.work().file(&unit) {
            Ok(path) => text_of(files, &path)?.unwrap_or_default(),
            Err(enabling::Problem::NoSuchUnit(_)) if self.force => String::new(),
            Err(problem @ enabling::Problem::NoSuchUnit(_)) => {
                return Err(hint(
                    problem.to_string(),
                    "`coracle edit --force --full` makes it",
                ));
            }
            Err(problem) => return Err(ending(problem)),
        };
        let places = &files.places;
        let directory = if self.runtime {
            &places.runtime
        } else {
            &places.config
        };
        Ok((
            match self.full {
                true => directory.join(known.as_str()),
                false => directory.join(format!("{known}.d")).join(drop_in),
            },
            text,
        ))
    }
}

/// The name of a drop-in: a file's, with the suffix.
fn drop_in_name(given: Option<&str>) -> Result<String> {
    let name = given.unwrap_or("override.conf");
    if name.is_empty() || name.starts_with('.') || name.contains('/') {
        return Err(hint(
            format!("{name:?} is no name of a drop-in"),
            "name a file without directories, such as 50-limits.conf",
        ));
    }
    Ok(match name.ends_with(".conf") {
        true => name.to_owned(),
        false => format!("{name}.conf"),
    })
}

fn from_standard_input() -> Result<String> {
    let mut text = String::new();
    let limit = u64::try_from(BYTES_MAX)?;
    std::io::stdin()
        .take(limit + 1)
        .read_to_string(&mut text)
        .context("standard input is no text")?;
    if text.len() > BYTES_MAX {
        bail!("standard input has more than the {BYTES_MAX} bytes of a unit file");
    }
    Ok(text)
}

/// The text of a file of the tree; none where there is no file.
fn text_of(files: &UnitFiles, path: &Path) -> Result<Option<String>> {
    let content = files
        .tree()
        .read(path, BYTES_MAX)
        .with_context(|| format!("cannot read {}", path.display()))?;
    Ok(match content {
        Content::Bytes(bytes) => {
            let text = String::from_utf8(bytes);
            let other = || {
                format!(
                    "{} has bytes that are no text: edit it by other means",
                    path.display()
                )
            };
            Some(text.map_err(anyhow::Error::from).with_context(other)?)
        }
        Content::Missing | Content::Null => None,
        Content::NotAFile | Content::TooLarge => bail!("{} is no unit file", path.display()),
    })
}

/// What an editor makes of a text, in a directory that nobody else can look into.
fn edited(at: &Path, old: Option<&str>, unit: &str) -> Result<String> {
    let is_drop_in = at.extension().is_some_and(|suffix| suffix == "conf");
    let mut text = match (old, is_drop_in) {
        (Some(old), _) => old.to_owned(),
        (None, true) => "\n".to_owned(),
        (None, false) => unit.to_owned(),
    };
    if is_drop_in {
        let seen = unit.lines().map(|line| format!("# {line}\n"));
        text.push_str(&format!("\n{MARKER}\n{}", seen.collect::<String>()));
    }
    let mut random = [0_u8; 8];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
    let number = u64::from_ne_bytes(random);
    let folder = std::env::temp_dir().join(format!("coracle-edit-{number:016x}"));
    std::fs::DirBuilder::new()
        .mode(0o700)
        .create(&folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    let file = folder.join(at.file_name().unwrap_or_default());
    let outcome = std::fs::write(&file, &text)
        .map_err(anyhow::Error::from)
        .and_then(|()| run_editor(&file))
        .and_then(|()| Ok(std::fs::read_to_string(&file)?));
    std::fs::remove_dir_all(&folder)
        .with_context(|| format!("cannot remove {}", folder.display()))?;
    let text = outcome?;
    let kept = text.split(MARKER).next().unwrap_or_default().trim();
    Ok(match kept.is_empty() {
        true => String::new(),
        false => format!("{kept}\n"),
    })
}

fn run_editor(file: &Path) -> Result<()> {
    let named = VARIABLES
        .iter()
        .filter_map(|name| std::env::var(name).ok())
        .find(|editor| !editor.trim().is_empty());
    if named.is_none() && !std::io::stdin().is_terminal() {
        return Err(hint(
            "there is no terminal for an editor",
            "`coracle edit --stdin UNIT` takes the text from standard input",
        ));
    }
    let named: Vec<String> = named.into_iter().collect();
    let known = EDITORS.map(str::to_owned);
    let candidates = if named.is_empty() { &known[..] } else { &named };
    for editor in candidates {
        let mut words = editor.split_whitespace();
        let Some(program) = words.next() else {
            continue;
        };
        match Command::new(program).args(words).arg(file).status() {
            Ok(status) if status.success() => return Ok(()),
            Ok(status) => bail!("{program} ended with {status}, and nothing is written"),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(error).with_context(|| format!("cannot run the editor {program}"));
            }
        }
    }
    Err(hint(
        "there is no editor",
        "name one in the variable EDITOR",
    ))
}
