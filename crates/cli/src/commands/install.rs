//! `install` and `uninstall`: the host's init starts Coracle at boot, so that portables come back.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};

use crate::autostart;
use crate::context::{Context, Directories};
use crate::failure::hint;
use crate::terminal::say;
use crate::verbs::Run;

/// An init that a host may have.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Init {
    Systemd,
    Openrc,
    Runit,
    Sysv,
    /// An init of one's own: only print what it has to run
    Own,
}

/// Options of `install` and `uninstall`.
#[derive(Args, Debug)]
pub(crate) struct Where {
    /// Which init [default: the one that this host has]
    #[arg(long, value_enum, value_name = "INIT")]
    init: Option<Init>,
    /// Work on the system below this directory
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
}

/// Options of `install`.
#[derive(Args, Debug)]
pub(crate) struct Install {
    #[command(flatten)]
    place: Where,
}

/// Options of `uninstall`.
#[derive(Args, Debug)]
pub(crate) struct Uninstall {
    #[command(flatten)]
    place: Where,
}

/// What an init needs: a file with its mode, and links to it by which it is enabled.
struct Recipe {
    file: &'static str,
    text: &'static str,
    mode: u32,
    links: &'static [(&'static str, &'static str)],
}

impl Init {
    fn recipe(self) -> Option<Recipe> {
        let recipe = |file, text, mode, links| {
            Some(Recipe {
                file,
                text,
                mode,
                links,
            })
        };
        match self {
            Init::Systemd => recipe(
                "etc/systemd/system/coracle.service",
                include_str!("boot/systemd.service"),
                0o644,
                &[(
                    "etc/systemd/system/multi-user.target.wants/coracle.service",
                    "/etc/systemd/system/coracle.service",
                )],
            ),
            Init::Openrc => recipe(
                "etc/init.d/coracle",
                include_str!("boot/openrc"),
                0o755,
                &[("etc/runlevels/default/coracle", "/etc/init.d/coracle")],
            ),
            Init::Runit => recipe(
                "etc/sv/coracle/run",
                include_str!("boot/runit"),
                0o755,
                &[("etc/service/coracle", "/etc/sv/coracle")],
            ),
            Init::Sysv => recipe(
                "etc/init.d/coracle",
                include_str!("boot/sysv"),
                0o755,
                &[
                    ("etc/rc2.d/S50coracle", "../init.d/coracle"),
                    ("etc/rc3.d/S50coracle", "../init.d/coracle"),
                    ("etc/rc4.d/S50coracle", "../init.d/coracle"),
                    ("etc/rc5.d/S50coracle", "../init.d/coracle"),
                    ("etc/rc0.d/K50coracle", "../init.d/coracle"),
                    ("etc/rc6.d/K50coracle", "../init.d/coracle"),
                ],
            ),
            Init::Own => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Init::Systemd => "systemd",
            Init::Openrc => "OpenRC",
            Init::Runit => "runit",
            Init::Sysv => "SysV init",
            Init::Own => "an init of one's own",
        }
    }

    /// The init that the system below `root` has, by the files that only it brings.
    fn of(root: &Path) -> Option<Init> {
        const SIGNS: &[(&str, Init)] = &[
            ("usr/lib/systemd/systemd", Init::Systemd),
            ("lib/systemd/systemd", Init::Systemd),
            ("sbin/openrc-run", Init::Openrc),
            ("usr/bin/openrc-run", Init::Openrc),
            ("etc/runit/runsvdir", Init::Runit),
            ("usr/bin/runsvdir", Init::Runit),
            ("etc/rc2.d", Init::Sysv),
        ];
        SIGNS
            .iter()
            .find(|(path, _)| root.join(path).exists())
            .map(|(_, init)| *init)
            // Packages bring scripts also where no init reads them; that one reads this file first.
            .filter(|init| *init != Init::Sysv || root.join("etc/inittab").exists())
    }
}

impl Where {
    fn init(&self) -> Result<Init> {
        self.init.or_else(|| Init::of(&self.root)).ok_or_else(|| {
            hint("this host's init is none that is known here", "`coracle install --init own` prints what an init has to run at boot and at shutdown")
        })
    }
}

impl Run for Install {
    fn run(self, context: &Context) -> Result<u8> {
        let init = self.place.init()?;
        let Some(recipe) = init.recipe() else {
            return own(context);
        };
        let file = self.place.root.join(recipe.file);
        write(
            &file,
            &filled(recipe.text, &context.directories)?,
            recipe.mode,
        )?;
        for (link, target) in recipe.links {
            enable(&self.place.root.join(link), target)?;
        }
        say(&format!(
            "installed {} for {}: Coracle starts at boot, and with it the portables that are enabled",
            file.display(),
            init.name()
        ));
        Ok(0)
    }
}

impl Run for Uninstall {
    fn run(self, _context: &Context) -> Result<u8> {
        let Some(recipe) = self.place.init()?.recipe() else {
            say("nothing was installed for an init of one's own; take the two commands out of it");
            return Ok(0);
        };
        let mut removed = 0;
        let links = recipe.links.iter().map(|(link, _)| *link);
        for path in links.chain([recipe.file]) {
            removed += usize::from(remove(&self.place.root.join(path))?);
        }
        let folder = self.place.root.join(recipe.file);
        if let Some(folder) = folder
            .parent()
            .filter(|folder| folder.ends_with("sv/coracle"))
        {
            fs::remove_dir(folder).ok();
        }
        say(if removed > 0 {
            "uninstalled: Coracle no longer starts at boot; what runs goes on"
        } else {
            "Coracle was not installed to start at boot"
        });
        Ok(0)
    }
}

fn own(context: &Context) -> Result<u8> {
    say(&filled(
        "# at boot\n@COMMAND@ @DIRECTORIES@ start --enabled\n# at shutdown\n@COMMAND@ --no-autostart @DIRECTORIES@ daemon-exit",
        &context.directories,
    )?);
    Ok(0)
}

/// The text with paths filled in; the default directories are left out, for they need not be said.
fn filled(text: &str, directories: &Directories) -> Result<String> {
    let command = fs::read_link("/proc/self/exe")?;
    let daemon = autostart::daemon_path()?;
    check_steady(&command)?;
    check_steady(&daemon)?;
    let options: Vec<String> = directories
        .given()
        .iter()
        .map(|(option, path)| format!("{option} {}", path.display()))
        .collect();
    for path in directories
        .given()
        .iter()
        .map(|(_, path)| *path)
        .chain([&command, &daemon])
    {
        let text = path.to_string_lossy();
        if text.contains(|letter: char| {
            letter.is_whitespace() || "\"'\\$`%;&|<>()*?#".contains(letter)
        }) {
            return Err(hint(
                format!("{text:?} can't stand in an init's file"),
                "use a path of letters, digits, `/`, `.`, `-` and `_`",
            ));
        }
    }
    let filled = text
        .replace("@COMMAND@", &command.display().to_string())
        .replace("@DAEMON@", &daemon.display().to_string());
    Ok(filled
        .replace(
            " @DIRECTORIES@",
            &options
                .iter()
                .map(|option| format!(" {option}"))
                .collect::<String>(),
        )
        .replace(
            "@DIRECTORIES@ ",
            &options
                .iter()
                .map(|option| format!("{option} "))
                .collect::<String>(),
        ))
}

/// What root runs at boot is root's, and so is the way to it. Group members are root's choice: Debian's /usr/local has such a group.
fn check_steady(program: &Path) -> Result<()> {
    const STICKY: u32 = 0o1000;
    const WRITABLE_BY_ALL: u32 = 0o002;
    for path in program.ancestors() {
        let found =
            fs::metadata(path).with_context(|| format!("cannot look at {}", path.display()))?;
        let is_open = found.mode() & WRITABLE_BY_ALL != 0 && found.mode() & STICKY == 0;
        if found.uid() != 0 || is_open {
            return Err(hint(
                format!(
                    "{} is not started at boot: others than root can change {}",
                    program.display(),
                    path.display()
                ),
                "put `coracle` and `coracled` into a directory of root's, such as /usr/local/bin",
            ));
        }
    }
    Ok(())
}

/// Writes a file whole, and the directories that lead to it.
///
/// # Errors
/// When it can't be written.
pub(crate) fn write(file: &Path, text: &str, mode: u32) -> Result<()> {
    make_parent(file)?;
    let staged = file.with_extension("new");
    fs::write(&staged, text).with_context(|| format!("cannot write {}", staged.display()))?;
    fs::set_permissions(&staged, fs::Permissions::from_mode(mode))?;
    fs::rename(&staged, file).with_context(|| format!("cannot write {}", file.display()))
}

fn make_parent(file: &Path) -> Result<()> {
    let Some(folder) = file.parent() else {
        return Ok(());
    };
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}

fn enable(link: &Path, target: &str) -> Result<()> {
    make_parent(link)?;
    remove(link)?;
    symlink(target, link).with_context(|| format!("cannot make the link {}", link.display()))
}

/// Removes a file; says whether it was there.
fn remove(path: &Path) -> Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot remove {}", path.display())),
    }
}
