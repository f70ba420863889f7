//! The directories of the instance: from arguments, from the environment where its owner may be believed, or the host's own.

use crate::unknown;
use anyhow::{Context, bail};
use manager::{DEFAULT_CONFIG, DEFAULT_RUNTIME, DEFAULT_STATE, Directories};
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Options with the variable that stands in for each and the host's own value.
const DIRECTORIES: [(&str, &str, &str); 3] = [
    ("--runtime-dir", "CORACLE_RUNTIME_DIR", DEFAULT_RUNTIME),
    ("--state-dir", "CORACLE_STATE_DIR", DEFAULT_STATE),
    ("--config-dir", "CORACLE_CONFIG_DIR", DEFAULT_CONFIG),
];

/// What manager and log process are told.
#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) directories: Directories,
    pub(crate) adopt_only: bool,
    /// Started by a command that wants something else than what is to run from the boot on.
    pub(crate) on_demand: bool,
    /// Whom to tell that clients can connect.
    pub(crate) ready: Option<PathBuf>,
}

impl Arguments {
    /// Reads complete arguments.
    pub(crate) fn read(words: Vec<OsString>) -> anyhow::Result<Self> {
        let mut directories = Directories {
            runtime: DEFAULT_RUNTIME.into(),
            state: DEFAULT_STATE.into(),
            config: DEFAULT_CONFIG.into(),
            unit_path: Vec::new(),
        };
        let (mut adopt_only, mut on_demand, mut ready) = (false, false, None);
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            if word == "--adopt-only" {
                adopt_only = true;
                continue;
            }
            if word == "--on-demand" {
                on_demand = true;
                continue;
            }
            let value = words
                .next()
                .with_context(|| format!("{} needs a value", word.to_string_lossy()))?;
            match word.to_str() {
                Some("--runtime-dir") => directories.runtime = value.into(),
                Some("--state-dir") => directories.state = value.into(),
                Some("--config-dir") => directories.config = value.into(),
                Some("--unit-path") => {
                    directories.unit_path = std::env::split_paths(&value)
                        .filter(|path| path.is_absolute())
                        .collect()
                }
                Some("--ready") => ready = Some(value.into()),
                _ => return Err(unknown(&word)),
            }
        }
        Ok(Self {
            directories,
            adopt_only,
            on_demand,
            ready,
        })
    }
}

/// The keeper's arguments with every directory said, as its children have a clean environment.
pub(crate) fn complete(words: Vec<OsString>) -> anyhow::Result<Vec<OsString>> {
    let mut all = words;
    for (option, variable, default) in DIRECTORIES {
        if !all.iter().any(|word| word == option) {
            all.extend([
                option.into(),
                from_environment(variable)?.unwrap_or_else(|| default.into()),
            ]);
        }
        let path = value(&all, option).map(Path::new);
        if path.is_none_or(|path| !path.is_absolute()) {
            bail!("{option} needs an absolute path");
        }
    }
    let unit_path = value(&all, "--unit-path").map(std::env::split_paths);
    let is_relative = |path: PathBuf| path.is_relative() && !path.as_os_str().is_empty();
    if unit_path.into_iter().flatten().any(is_relative) {
        bail!("--unit-path needs absolute paths, with colons between them");
    }
    if !all.iter().any(|word| word == "--ready")
        && let Some(socket) = std::env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty())
    {
        all.extend(["--ready".into(), socket]);
    }
    Ok(all)
}

fn value<'a>(words: &'a [OsString], option: &str) -> Option<&'a OsString> {
    let place = words.iter().position(|word| word == option)?;
    words.get(place + 1)
}

/// A directory from the environment, if only root and we can change it: nobody else chooses where root keeps its things.
fn from_environment(variable: &str) -> anyhow::Result<Option<OsString>> {
    let Some(value) = std::env::var_os(variable).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let path = Path::new(&value);
    if !path.is_absolute() {
        bail!("{variable}={} is not an absolute path", path.display());
    }
    let ours = kernel::walk::is_ours(path)
        .with_context(|| format!("cannot look at {variable}={}", path.display()))?;
    if !ours {
        bail!(
            "{variable}={} is not honoured: others than root and we can change what is there",
            path.display()
        );
    }
    Ok(Some(value))
}

/// The channel to the keeper, which is this process's descriptor 3.
pub(crate) fn channel() -> anyhow::Result<OwnedFd> {
    Ok(kernel::descriptor::take_inherited(
        keeper::client::CHANNEL_DESCRIPTOR,
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_directory_is_absolute() {
        for (option, value, is_taken) in [
            ("--unit-path", "/a:/b", true),
            ("--unit-path", "", true),
            ("--unit-path", "/a:b", false),
            ("--state-dir", "a", false),
        ] {
            let mut words: Vec<OsString> = vec![option.into(), value.into()];
            for (directory, ..) in DIRECTORIES.iter().filter(|(known, ..)| *known != option) {
                words.extend([(*directory).into(), "/x".into()]);
            }
            assert_eq!(complete(words).is_ok(), is_taken, "{option} {value}");
        }
    }
}
