//! What every verb is given: the instance's directories, the global options, and the way to its manager.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::{ArgMatches, Args, FromArgMatches};
use rustix::io::Errno;
use wire::Done;
use wire::methods::Describe;

use crate::autostart::Purpose;
use crate::failure::hint;

/// Global options that take a value in the next word.
pub(crate) const VALUED_OPTIONS: &[&str] = &[
    "--runtime-dir",
    "--state-dir",
    "--config-dir",
    "--unit-path",
    "--portable-path",
    "-H",
    "--host",
    "--parallel",
    "--host-timeout",
];

/// The directories of the one instance that needs no options.
pub(crate) const DEFAULT_RUNTIME: &str = "/run/coracle";
const DEFAULT_STATE: &str = "/var/lib/coracle";
const DEFAULT_CONFIG: &str = "/etc/coracle";

/// What stands for an option that is not given.
const STATE_VARIABLE: &str = "CORACLE_STATE_DIR";
const CONFIG_VARIABLE: &str = "CORACLE_CONFIG_DIR";
const UNIT_PATH_VARIABLE: &str = "CORACLE_UNIT_PATH";

/// Where the reference looks for portables (portablectl(1)).
const DEFAULT_PORTABLES: &str =
    "/etc/portables:/run/portables:/var/lib/portables:/usr/local/lib/portables:/usr/lib/portables";

/// The manager's file in the runtime directory that is there from its first start to the instance's end.
const STARTED_MARKER: &str = "started";

/// Options that every verb takes.
#[derive(Args, Debug, Clone, Default)]
#[command(next_help_heading = "Options of every verb")]
pub(crate) struct Globals {
    /// Directory of sockets and records, gone after a reboot [default: /run/coracle]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) runtime_dir: Option<PathBuf>,
    /// Directory of images, portables and logs [default: /var/lib/coracle]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Directory of the administrator's units and trusted certificates [default: /etc/coracle]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) config_dir: Option<PathBuf>,
    /// Directories of further unit files, between colons, the strongest first: they go before the instance's own, and count when its
    /// manager starts
    #[arg(long, global = true, value_name = "DIRS")]
    pub(crate) unit_path: Option<PathBuf>,
    /// Directories in which images are offered by lying there, between colons [default: /etc/portables:/run/portables:/var/lib/portables:
    /// /usr/local/lib/portables:/usr/lib/portables; none where the instance has a state directory of its own]
    #[arg(long, global = true, value_name = "DIRS")]
    pub(crate) portable_path: Option<PathBuf>,
    /// Fail when no manager runs, instead of starting one
    #[arg(long, global = true)]
    pub(crate) no_autostart: bool,
    /// Print JSON, one value for the whole listing
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Run the verb on other hosts, over ssh: [user@]host[:port], several between commas
    #[arg(short = 'H', long, global = true, value_name = "HOSTS")]
    pub(crate) host: Option<String>,
    /// Of several hosts, work on so many at the same time [default: 8]
    #[arg(long, global = true, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) parallel: Option<u16>,
    /// Give a host up that has not answered for so many seconds [default: 15]
    #[arg(long, global = true, value_name = "SECONDS", value_parser = clap::value_parser!(u16).range(1..=3600))]
    pub(crate) host_timeout: Option<u16>,
    /// Copy coracle to hosts that have none
    #[arg(long, global = true)]
    pub(crate) bootstrap: bool,
    /// Say only what was asked for
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
}

impl Globals {
    /// Reads them from the root's matches: an option before or after the verb means the same.
    pub(crate) fn from_matches(matches: &ArgMatches) -> Globals {
        let inner = matches.subcommand().map_or(matches, |(_, options)| options);
        Globals::from_arg_matches(inner)
            .or_else(|_| Globals::from_arg_matches(matches))
            .unwrap_or_default()
    }
}

/// The directories of an instance.
#[derive(Debug, Clone)]
pub(crate) struct Directories {
    pub(crate) runtime: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) config: PathBuf,
    /// Those of further unit files, between colons; empty where there are none.
    pub(crate) unit_path: PathBuf,
    /// Those in which images are offered, between colons.
    pub(crate) portable_path: PathBuf,
}

impl Directories {
    /// Where the administrator's units are.
    pub(crate) fn units(&self) -> PathBuf {
        self.config.join("units")
    }

    /// Those that differ from the defaults, each with its option: what `coracled` has to know.
    pub(crate) fn given(&self) -> Vec<(&'static str, &PathBuf)> {
        let all = [
            ("--runtime-dir", &self.runtime, DEFAULT_RUNTIME),
            ("--state-dir", &self.state, DEFAULT_STATE),
            ("--config-dir", &self.config, DEFAULT_CONFIG),
            ("--unit-path", &self.unit_path, ""),
        ];
        all.into_iter()
            .filter(|(_, path, default)| path.as_path() != Path::new(default))
            .map(|(option, path, _)| (option, path))
            .collect()
    }
}

/// The instance that a verb works on, and how to talk.
pub(crate) struct Context {
    pub(crate) directories: Directories,
    pub(crate) globals: Globals,
    /// The manager that answers has these directories.
    is_checked: Cell<bool>,
}

impl Context {
    /// Takes the directories from options, then the environment, then the defaults.
    ///
    /// # Errors
    /// When a directory from the environment can be changed by others than root and the caller.
    pub(crate) fn new(globals: Globals) -> Result<Context> {
        let state = directory(globals.state_dir.as_deref(), STATE_VARIABLE, DEFAULT_STATE)?;
        let directories = Directories {
            runtime: directory(
                globals.runtime_dir.as_deref(),
                "CORACLE_RUNTIME_DIR",
                DEFAULT_RUNTIME,
            )?,
            config: directory(
                globals.config_dir.as_deref(),
                CONFIG_VARIABLE,
                DEFAULT_CONFIG,
            )?,
            unit_path: search_path(globals.unit_path.as_deref(), UNIT_PATH_VARIABLE, "")?,
            portable_path: search_path(
                globals.portable_path.as_deref(),
                "CORACLE_PORTABLE_PATH",
                default_portables(&state),
            )?,
            state,
        };
        Ok(Context {
            directories,
            globals,
            is_checked: Cell::new(false),
        })
    }

    /// A connection to the manager, which is started where none runs, and then does what it is asked and nothing else.
    ///
    /// # Errors
    /// When there is none and none may or can be started.
    pub(crate) fn connect(&self) -> Result<wire::Client> {
        self.connect_or_start(Purpose::Command)
    }

    /// A connection to the manager; where none runs, the instance comes up as it does by the host's init.
    ///
    /// # Errors
    /// When there is none and none may or can be started.
    pub(crate) fn connect_for_boot(&self) -> Result<wire::Client> {
        self.connect_or_start(Purpose::Boot)
    }

    /// A connection to the manager, for what concerns only units that run: none where there are none. A manager is started only
    /// where an instance lost its own, as its services may live.
    ///
    /// # Errors
    /// When a manager is to be there and can't be talked to, or with `--no-autostart`.
    pub(crate) fn connect_to_what_runs(&self) -> Result<Option<wire::Client>> {
        let ran = self.directories.runtime.join(STARTED_MARKER).exists();
        if ran || self.globals.no_autostart {
            return self.connect().map(Some);
        }
        let client = self.connect_if_running()?;
        if client.is_none() {
            self.narrate("coracle does not run here, and so does none of its units");
        }
        Ok(client)
    }

    fn connect_or_start(&self, purpose: Purpose) -> Result<wire::Client> {
        if let Some(client) = self.connect_if_running()? {
            return Ok(client);
        }
        if self.globals.no_autostart {
            return Err(hint(
                format!("no manager runs for {}", self.directories.runtime.display()),
                "leave out --no-autostart to start one",
            ));
        }
        crate::autostart::start(&self.directories, purpose)?;
        self.connect_if_running()?.ok_or_else(|| {
            hint(
                "the manager was started but does not answer",
                "`coracled` in the foreground shows what is wrong",
            )
        })
    }

    /// A connection to the manager, if one runs.
    ///
    /// # Errors
    /// When it runs but can't be talked to.
    pub(crate) fn connect_if_running(&self) -> Result<Option<wire::Client>> {
        match wire::Client::connect(&self.socket()) {
            Ok(mut client) => {
                self.check_directories(&mut client)?;
                Ok(Some(client))
            }
            Err(wire::ClientError::Connect {
                source: Errno::NOENT | Errno::CONNREFUSED,
                ..
            }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The manager that answers has the directories that the caller names, or nothing is asked of it: what a command reads by itself
    /// would be another instance's.
    fn check_directories(&self, client: &mut wire::Client) -> Result<()> {
        let globals = &self.globals;
        let is_said = |option: &Option<PathBuf>, variable: &str| {
            option.is_some() || std::env::var_os(variable).is_some()
        };
        let state = is_said(&globals.state_dir, STATE_VARIABLE);
        let config = is_said(&globals.config_dir, CONFIG_VARIABLE);
        let unit_path = !self.directories.unit_path.as_os_str().is_empty();
        if !(state || config || unit_path) || self.is_checked.replace(true) {
            return Ok(());
        }
        let server = client.call(Describe, &Done {})?;
        let runtime = self.directories.runtime.display();
        for (is_said, option, ours, theirs) in [
            (
                state,
                "--state-dir",
                &self.directories.state,
                &server.state_dir,
            ),
            (
                config,
                "--config-dir",
                &self.directories.config,
                &server.config_dir,
            ),
        ] {
            if is_said && !is_same_directory(ours, Path::new(theirs)) {
                return Err(hint(
                    format!(
                        "the instance that runs for {runtime} has {option} {theirs}, not {}",
                        ours.display()
                    ),
                    format!(
                        "leave out {option}, or name another --runtime-dir for an instance of its own"
                    ),
                ));
            }
        }
        let mut theirs = server.unit_path.iter().map(Path::new);
        let mut ours = std::env::split_paths(&self.directories.unit_path);
        if unit_path && !ours.all(|path| theirs.next() == Some(&path)) {
            self.narrate(&format!(
                "--unit-path has no effect: the manager that runs for {runtime} was started without it; `coracle daemon-exit` ends it"
            ));
        }
        Ok(())
    }

    /// Where the manager listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.directories.runtime.join("api")
    }

    /// Tells what happens, on standard error, unless `--quiet` was given.
    pub(crate) fn narrate(&self, line: &str) {
        if !self.globals.quiet {
            crate::terminal::complain(line);
        }
    }
}

/// The unit that a user means, or a pattern as it is. What can be no name stays, for the manager to refuse.
pub(crate) fn full_unit_name(name: String) -> String {
    load::escape::mangle(&name, true).unwrap_or(name)
}

/// Whether a name ends with the suffix of a kind of unit.
pub(crate) fn is_full_unit_name(name: &str) -> bool {
    name.rsplit_once('.')
        .is_some_and(|(_, suffix)| model::UnitKind::from_suffix(suffix).is_some())
}

fn directory(option: Option<&Path>, variable: &str, default: &str) -> Result<PathBuf> {
    if let Some(path) = option {
        return std::path::absolute(path).with_context(|| format!("{} is no path", path.display()));
    }
    let Some(path) = std::env::var_os(variable).map(PathBuf::from) else {
        return Ok(default.into());
    };
    if !path.is_absolute() {
        bail!("{variable}={} is not an absolute path", path.display());
    }
    trusted(&path, variable)?;
    Ok(path)
}

/// Under whatever names, as long as both are there.
fn is_same_directory(one: &Path, other: &Path) -> bool {
    one == other
        || matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// Where images are offered: for an instance beside the host's own, nowhere.
fn default_portables(state: &Path) -> &'static str {
    if state == Path::new(DEFAULT_STATE) {
        DEFAULT_PORTABLES
    } else {
        ""
    }
}

/// The directories of a search path, from its option or from the environment, joined again by colons.
fn search_path(option: Option<&Path>, variable: &str, default: &str) -> Result<PathBuf> {
    let from_environment = || std::env::var_os(variable);
    let Some(text) = option.map(Into::into).or_else(from_environment) else {
        return Ok(default.into());
    };
    let mut directories = Vec::new();
    for directory in std::env::split_paths(&text).filter(|path| !path.as_os_str().is_empty()) {
        if option.is_some() {
            directories.push(std::path::absolute(directory)?);
        } else if directory.is_absolute() {
            trusted(&directory, variable)?;
            directories.push(directory);
        } else {
            bail!("{variable}={} is not an absolute path", directory.display());
        }
    }
    Ok(std::env::join_paths(directories)?.into())
}

/// A directory that somebody else can change, or put in its place, would let them choose what we run (DESIGN of the interface:
/// environment is honoured for root and the caller).
fn trusted(path: &Path, variable: &str) -> Result<()> {
    let ours = kernel::walk::is_ours(path)
        .with_context(|| format!("cannot look at {variable}={}", path.display()))?;
    if ours {
        return Ok(());
    }
    Err(hint(
        format!(
            "{variable}={} is not honoured: others than root and you can change what is there",
            path.display()
        ),
        "close it and the directories above it to others, or name it on the command line, by an option",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{Permissions, create_dir, set_permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn a_directory_of_the_environment_counts_only_where_nobody_else_decides_what_is_there() {
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        let honoured = |path: &Path| trusted(path, "CORACLE_CONFIG_DIR").is_ok();
        let inner = folder.path().join("inner");
        create_dir(&inner).unwrap();
        symlink(&inner, folder.path().join("link")).unwrap();
        for path in ["inner", "link", "inner/missing/too"] {
            assert!(honoured(&folder.path().join(path)), "{path}");
        }
        for mode in [0o777, 0o1777, 0o775] {
            set_permissions(&inner, Permissions::from_mode(mode)).unwrap();
            for path in ["inner", "link", "inner/missing"] {
                assert!(!honoured(&folder.path().join(path)), "{mode:o} {path}");
            }
        }
        set_permissions(&inner, Permissions::from_mode(0o755)).unwrap();
        set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
        for path in ["inner", "link", "missing"] {
            assert!(!honoured(&folder.path().join(path)), "{path}");
        }
        assert!(!honoured(Path::new("/tmp")) && !honoured(Path::new("/tmp/nobody-made-this")));
    }
}
