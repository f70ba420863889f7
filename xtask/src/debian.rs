//! Packages of Debian suites that are not this machine's own, downloaded without touching its lists.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::run;

/// What signs Debian's lists.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A suite with lists of its own below a folder.
pub(crate) struct Suite {
    name: &'static str,
    folder: PathBuf,
}

impl Suite {
    /// Fetches the suite's list of packages into `folder`.
    ///
    /// # Errors
    /// When this machine's package manager names no mirror, or the list can't be fetched.
    pub(crate) fn open(name: &'static str, folder: &Path) -> Result<Suite> {
        for part in ["state/lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(folder.join(part))?;
        }
        let line = format!("deb [signed-by={KEYRING}] {} {name} main\n", mirror()?);
        fs::write(folder.join("sources.list"), line)?;
        fs::write(folder.join("status"), "")?;
        let suite = Suite {
            name,
            folder: folder.to_path_buf(),
        };
        run::check(suite.apt("apt-get").args(["-q", "-q", "update"]))
            .with_context(|| format!("cannot fetch the packages' list of {name}"))?;
        Ok(suite)
    }

    /// The package that the meta-package `name` stands for now: the first that it depends on.
    pub(crate) fn stands_for(&self, name: &str) -> Result<String> {
        let record = run::output(
            self.apt("apt-cache")
                .args(["--no-all-versions", "show", name]),
        )?;
        record
            .lines()
            .find_map(|line| line.strip_prefix("Depends: "))
            .and_then(|list| list.split([' ', ',']).next())
            .map(str::to_owned)
            .with_context(|| format!("{name} of {} depends on nothing", self.name))
    }

    /// Downloads a package and unpacks its files below `target`.
    pub(crate) fn unpack(&self, package: &str, target: &Path) -> Result<()> {
        let staging = self.folder.join("downloads");
        fs::create_dir_all(&staging)?;
        run::check(
            self.apt("apt-get")
                .args(["-q", "-q", "download", package])
                .current_dir(&staging),
        )?;
        let archive = fs::read_dir(&staging)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.extension().is_some_and(|ending| ending == "deb"));
        let Some(archive) = archive else {
            bail!("apt-get downloaded no file for {package} of {}", self.name);
        };
        run::check(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(target))?;
        fs::remove_file(&archive)?;
        Ok(())
    }

    /// One of apt's programs on this suite's lists alone.
    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let folder = self.folder.display();
        for option in [
            format!("Dir::State={folder}/state"),
            format!("Dir::State::status={folder}/status"),
            format!("Dir::Cache={folder}/cache"),
            format!("Dir::Etc::sourcelist={folder}/sources.list"),
            "Dir::Etc::sourceparts=-".into(),
            // The user that apt takes for downloads can't enter a folder of ours.
            "APT::Sandbox::User=root".into(),
            // Sid's lists are valid for a week; a mirror that lags is none the worse.
            "Acquire::Check-Valid-Until=false".into(),
        ] {
            command.arg("-o").arg(option);
        }
        command
    }
}

/// The mirror that this machine's package manager uses, whatever its suites.
pub(crate) fn mirror() -> Result<String> {
    let mirrors = run::output(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(REPO_URI)",
        "Created-By: Packages",
    ]))?;
    mirrors
        .lines()
        .find(|line| !line.contains("security"))
        .map(str::to_owned)
        .context("apt-get names no mirror: run `apt-get update`")
}
