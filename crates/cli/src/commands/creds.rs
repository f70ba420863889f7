//! `creds encrypt|decrypt|list|cat|setup`: credentials as systemd-creds(1) seals them, with the host's secret.

use std::borrow::Cow;
use std::fs::File;
use std::io::{IsTerminal, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand, ValueEnum};
use credential::{HostSecret, HostSecrets, PLAINTEXT_BYTES_MAX, SEALED_BYTES_MAX, Zeroizing};
use serde::Serialize;

use crate::context::Context;
use crate::failure::hint;
use crate::listing;
use crate::terminal::{complain, say_text, size};
use crate::verbs::Run;

/// Where the manager's own credentials are.
const SYSTEM: &str = "/run/credentials/@system";
/// By which a service finds its own.
const VARIABLE: &str = "CREDENTIALS_DIRECTORY";
/// Characters of a line of a unit file.
const LINE_CHARS: usize = 69;

/// Options of `creds`.
#[derive(Args, Debug)]
pub(crate) struct Creds {
    #[command(subcommand)]
    action: Action,
}

/// What to do with credentials.
#[derive(Subcommand, Debug)]
enum Action {
    /// Seal a credential
    Encrypt(Encrypt),
    /// Open a sealed credential
    Decrypt(Decrypt),
    /// List the credentials that were handed to this process
    List(Shown),
    /// Print credentials that were handed to this process
    Cat {
        /// Their names
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        #[command(flatten)]
        shown: Shown,
    },
    /// Make the host's secret where there is none
    Setup,
}

/// Options of `encrypt`.
#[derive(Args, Debug)]
struct Encrypt {
    /// The file to seal; -: standard input
    #[arg(value_name = "INPUT")]
    input: PathBuf,
    /// The sealed file; -: standard output
    #[arg(value_name = "OUTPUT")]
    output: PathBuf,
    /// The name that it is bound to; empty: none; without it that of OUTPUT
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// What seals it: `null` protects from nobody
    #[arg(long, value_name = "KEY", default_value = "auto")]
    with_key: SealedBy,
    /// When it was sealed; without it now
    #[arg(long, value_name = "TIME")]
    timestamp: Option<String>,
    /// The moment after which it can't be opened any more
    #[arg(long, value_name = "TIME")]
    not_after: Option<String>,
    /// Print a SetCredentialEncrypted= line
    #[arg(short, long)]
    pretty: bool,
}

/// Options of `decrypt`.
#[derive(Args, Debug)]
struct Decrypt {
    /// The sealed file; -: standard input
    #[arg(value_name = "INPUT")]
    input: PathBuf,
    /// Where its content goes; -, and without it: standard output
    #[arg(value_name = "OUTPUT")]
    output: Option<PathBuf>,
    /// The name that it must be bound to; empty: any; without it that of INPUT
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The moment at which it must be valid; without it now
    #[arg(long, value_name = "TIME")]
    timestamp: Option<String>,
    /// Refuse what is sealed with the null key
    #[arg(long)]
    refuse_null: bool,
}

/// Whose credentials.
#[derive(Args, Debug)]
struct Shown {
    /// Those that the manager was handed
    #[arg(long)]
    system: bool,
}

/// What seals.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum SealedBy {
    /// The host's secret
    Auto,
    /// The host's secret
    Host,
    /// Nothing
    Null,
}

impl Run for Creds {
    fn run(self, context: &Context) -> Result<u8> {
        match self.action {
            Action::Encrypt(options) => encrypt(context, &options)?,
            Action::Decrypt(options) => decrypt(context, &options)?,
            Action::List(shown) => list(context, &shown)?,
            Action::Cat { names, shown } => cat(&names, &shown)?,
            Action::Setup => {
                HostSecret::read_or_make(&context.directories.state)?;
            }
        }
        Ok(0)
    }
}

fn encrypt(context: &Context, options: &Encrypt) -> Result<()> {
    let name = match &options.name {
        Some(name) => name.clone(),
        None => name_of(&options.output).unwrap_or_default(),
    };
    if name.contains(['/', ':']) || name.chars().any(char::is_control) {
        return Err(hint(
            format!("{name:?} is no name of a credential"),
            "names are those of files, without colons: give another with `--name=NAME`",
        ));
    }
    if name.is_empty() {
        complain("the credential is bound to no name, and can be used for any");
    }
    let content = read(&options.input, PLAINTEXT_BYTES_MAX)?;
    let moment = |text: &Option<String>| text.as_deref().map(crate::moment::moment).transpose();
    let begin = match moment(&options.timestamp)? {
        Some(begin) => begin,
        None => crate::moment::moment("now")?,
    };
    let secret = match options.with_key {
        SealedBy::Auto | SealedBy::Host => {
            let secret = HostSecret::read_or_make(&context.directories.state)?;
            say_which(context, "sealed", secret.path());
            Some(secret)
        }
        SealedBy::Null => {
            complain(
                "the null key protects from nobody: who can read the credential can open it, and who can write it can make another",
            );
            None
        }
    };
    let times = (begin, moment(&options.not_after)?);
    let sealed = credential::seal(&content, &name, times, secret.as_ref())
        .with_context(|| format!("cannot seal {}", options.input.display()))?;
    let text = credential::to_text(&sealed);
    if options.pretty {
        return write(&options.output, line(&name, &text).as_bytes());
    }
    write(&options.output, text.as_bytes())
}

/// On a host with two secrets, the reference's and ours, it matters which was used.
fn say_which(context: &Context, done: &str, path: &Path) {
    let secrets = HostSecrets::read(&context.directories.state);
    if secrets.is_ok_and(|secrets| secrets.are_two()) {
        context.narrate(&format!("{done} with {}", path.display()));
    }
}

/// A line for a unit file, which goes on over several.
fn line(name: &str, text: &str) -> String {
    let whole: String = text.split_whitespace().collect();
    let mut line = format!("SetCredentialEncrypted={name}:");
    for (place, character) in whole.chars().enumerate() {
        if place % LINE_CHARS == 0 {
            line.push_str(" \\\n        ");
        }
        line.push(character);
    }
    line.push('\n');
    line
}

fn decrypt(context: &Context, options: &Decrypt) -> Result<()> {
    let name = match &options.name {
        Some(name) => Some(name.clone()),
        None => name_of(&options.input),
    };
    let names: Vec<&str> = name
        .iter()
        .map(String::as_str)
        .filter(|name| !name.is_empty())
        .collect();
    let text = read(&options.input, 2 * SEALED_BYTES_MAX)?;
    let now = crate::moment::moment(options.timestamp.as_deref().unwrap_or("now"))?;
    let failed = || format!("cannot open {}", options.input.display());
    let sealed = credential::from_text(&text).with_context(failed)?;
    let secrets = || HostSecrets::read(&context.directories.state);
    let opened = credential::open(&sealed, &names, now, secrets).with_context(failed)?;
    if let Some(path) = &opened.secret {
        say_which(context, "opened", path);
    }
    if opened.key == credential::KeyKind::Null {
        if options.refuse_null {
            anyhow::bail!(
                "{} is sealed with the null key, which anybody could have done",
                options.input.display()
            );
        }
        complain("it is sealed with the null key, which anybody could have done");
    }
    let output = options.output.as_deref().unwrap_or(Path::new("-"));
    write(output, &opened.content)
}

/// The name of a file, which a standard stream has not.
fn name_of(path: &Path) -> Option<String> {
    let name = path.file_name().filter(|_| path != Path::new("-"))?;
    Some(name.to_string_lossy().into_owned())
}

fn read(path: &Path, bytes_max: usize) -> Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    let limit = bytes_max as u64 + 1;
    let taken = if path == Path::new("-") {
        std::io::stdin().take(limit).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    taken.with_context(|| format!("cannot read {}", path.display()))?;
    if bytes.len() > bytes_max {
        anyhow::bail!(
            "{} has more than {}",
            path.display(),
            size(bytes_max as u64)
        );
    }
    Ok(bytes)
}

/// A file that nobody else reads; what was there is replaced as a whole.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if path == Path::new("-") {
        let mut out = std::io::stdout().lock();
        let ends = bytes.ends_with(b"\n") || !out.is_terminal();
        let written = out
            .write_all(bytes)
            .and_then(|()| if ends { Ok(()) } else { out.write_all(b"\n") })
            .and_then(|()| out.flush());
        return written.context("cannot write to standard output");
    }
    let failed = || format!("cannot write {}", path.display());
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let beside = path.with_file_name(name);
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)
        .with_context(failed)?;
    let written = file
        .write_all(bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::rename(&beside, path));
    if written.is_err() {
        match std::fs::remove_file(&beside) {
            // The first error is the one to tell.
            Ok(()) | Err(_) => {}
        }
    }
    written.with_context(failed)
}

impl Shown {
    fn directory(&self) -> Result<PathBuf> {
        if self.system {
            return Ok(SYSTEM.into());
        }
        std::env::var_os(VARIABLE).map(PathBuf::from).ok_or_else(|| {
            hint(
                "no credentials were handed to this process",
                "services find theirs by $CREDENTIALS_DIRECTORY; `--system` shows those of the manager",
            )
        })
    }
}

/// One line of the list.
#[derive(Serialize)]
struct Line {
    name: String,
    size: u64,
}

fn list(context: &Context, shown: &Shown) -> Result<()> {
    let directory = shown.directory()?;
    let mut lines = Vec::new();
    let entries = match std::fs::read_dir(&directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        entries => Some(entries.with_context(|| format!("cannot read {}", directory.display()))?),
    };
    for entry in entries.into_iter().flatten() {
        let entry = entry?;
        lines.push(Line {
            name: entry.file_name().to_string_lossy().into_owned(),
            size: entry.metadata()?.len(),
        });
    }
    lines.sort_by(|a, b| a.name.cmp(&b.name));
    let columns: [listing::Column<Line>; 2] = [
        ("NAME", |line| Cow::Borrowed(&line.name)),
        ("SIZE", |line| Cow::Owned(size(line.size))),
    ];
    listing::print(&lines, &columns, &context.globals)
}

fn cat(names: &[String], shown: &Shown) -> Result<()> {
    let directory = shown.directory()?;
    for name in names {
        if name.contains('/') || name == ".." {
            anyhow::bail!("{name:?} is no name of a credential");
        }
        let content = read(&directory.join(name), PLAINTEXT_BYTES_MAX)?;
        if std::io::stdout().is_terminal() {
            // Control bytes don't reach the terminal.
            say_text(&format!(
                "{}\n",
                crate::terminal::plain(&String::from_utf8_lossy(&content)).trim_end_matches('\n')
            ));
        } else {
            write(Path::new("-"), &content)?;
        }
    }
    Ok(())
}
