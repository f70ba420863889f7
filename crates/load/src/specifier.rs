//! Specifiers: `%` and a letter in a value, replaced while a unit is loaded.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};

use model::{Expand, ParseError, UnitName};

use crate::escape::{unescape, unescape_path};
use crate::tree::Tree;
use crate::zones::is_zone;

/// What the specifiers say about the host and the manager; a plain value, gathered once by who may look at the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecifierContext {
    /// `%t`: /run, or the user's runtime directory.
    pub runtime_root: String,
    /// `%S`: /var/lib, or the user's state directory.
    pub state_root: String,
    /// `%C`: /var/cache, or the user's cache directory.
    pub cache_root: String,
    /// `%L`: /var/log, or the user's log directory.
    pub logs_root: String,
    /// `%E`: /etc, or the user's configuration directory.
    pub config_root: String,
    /// `%D`: /usr/share, or the user's directory of shared data.
    pub data_root: String,
    /// `%T`: /tmp.
    pub temporary: String,
    /// `%V`: /var/tmp.
    pub large_temporary: String,
    /// `%d`: below this and the unit's name its credentials are put.
    pub credentials_root: String,
    /// `%h`: the home of the manager's user.
    pub home: String,
    /// `%s`: the shell of the manager's user.
    pub shell: String,
    /// `%u`: the name of the manager's user.
    pub user: String,
    /// `%U`: its number.
    pub uid: u32,
    /// `%g`: the name of the manager's group.
    pub group: String,
    /// `%G`: its number.
    pub gid: u32,
    /// `%H`: the host's name.
    pub host_name: String,
    /// `%q`: the host's pretty name; the short name where there is none.
    pub pretty_host_name: Option<String>,
    /// `%m`: the machine id, none before there is one.
    pub machine_id: Option<String>,
    /// `%b`: the boot id.
    pub boot_id: String,
    /// `%v`: the kernel's release.
    pub kernel_release: String,
    /// `%a`: the architecture, as ConditionArchitecture= calls it.
    pub architecture: String,
    /// The fields of the host's os-release that specifiers name.
    pub os: OsRelease,
}

/// The fields of os-release that specifiers name; what is not set is empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OsRelease {
    /// `%o`: ID=.
    pub id: String,
    /// `%w`: VERSION_ID=.
    pub version_id: String,
    /// `%B`: BUILD_ID=.
    pub build_id: String,
    /// `%W`: VARIANT_ID=.
    pub variant_id: String,
    /// `%M`: IMAGE_ID=.
    pub image_id: String,
    /// `%A`: IMAGE_VERSION=.
    pub image_version: String,
}

impl Default for SpecifierContext {
    /// The system's directories for root, on a host that is not named.
    fn default() -> Self {
        let own = |text: &str| text.to_owned();
        Self {
            runtime_root: own("/run"),
            state_root: own("/var/lib"),
            cache_root: own("/var/cache"),
            logs_root: own("/var/log"),
            config_root: own("/etc"),
            data_root: own("/usr/share"),
            temporary: own("/tmp"),
            large_temporary: own("/var/tmp"),
            credentials_root: own("/run/credentials"),
            home: own("/root"),
            shell: own("/bin/sh"),
            user: own("root"),
            uid: 0,
            group: own("root"),
            gid: 0,
            host_name: own("localhost"),
            pretty_host_name: None,
            machine_id: None,
            boot_id: String::new(),
            kernel_release: String::new(),
            architecture: own("x86-64"),
            os: OsRelease::default(),
        }
    }
}

impl OsRelease {
    /// Reads os-release(5): shell assignments, of which quotes and backslashes count.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut os = Self::default();
        for line in text.lines() {
            let Some((name, value)) = line.trim().split_once('=') else {
                continue;
            };
            let field = match name {
                "ID" => &mut os.id,
                "VERSION_ID" => &mut os.version_id,
                "BUILD_ID" => &mut os.build_id,
                "VARIANT_ID" => &mut os.variant_id,
                "IMAGE_ID" => &mut os.image_id,
                "IMAGE_VERSION" => &mut os.image_version,
                _ => continue,
            };
            *field = unquoted(value);
        }
        os
    }
}

/// The value of `name` in a file of shell assignments, such as machine-info(5).
#[must_use]
pub fn assigned(text: &str, name: &str) -> Option<String> {
    text.lines()
        .filter_map(|line| line.trim().split_once('='))
        .rfind(|(known, _)| *known == name)
        .map(|(_, value)| unquoted(value))
}

fn unquoted(value: &str) -> String {
    let mode = syntax::words::Mode {
        backslash: syntax::words::Backslash::Plain,
        relaxed: true,
        ..syntax::words::Mode::STRICT
    };
    let first = syntax::words::words(value, mode).next();
    first
        .and_then(Result::ok)
        .and_then(|word| String::from_utf8(word.value).ok())
        .unwrap_or_default()
}

/// Longest text that one part may expand to, 1 MiB as the longest line: `%n%n%n…` must not make a small file large.
pub const MAX_EXPANDED_BYTES: usize = syntax::MAX_LINE_BYTES;

/// The specifiers of one unit; on the way it collects the list items that were dropped as wrong.
pub struct Specifiers<'a> {
    unit: &'a UnitName,
    fragment: Option<&'a Path>,
    context: &'a SpecifierContext,
    /// The host's files, where they are known: they say which time zones there are.
    host: Option<&'a dyn Tree>,
    leaves_instance: bool,
    dropped: RefCell<Vec<ParseError>>,
    lacks_zone: Cell<bool>,
}

impl<'a> Specifiers<'a> {
    /// The specifiers of `unit`, whose main file is `fragment`.
    #[must_use]
    pub fn new(
        unit: &'a UnitName,
        fragment: Option<&'a Path>,
        context: &'a SpecifierContext,
    ) -> Self {
        Self {
            unit,
            fragment,
            context,
            host: None,
            leaves_instance: false,
            dropped: RefCell::default(),
            lacks_zone: Cell::default(),
        }
    }

    /// Takes only time zones that this host has.
    pub(crate) fn on_host(mut self, host: &'a dyn Tree) -> Self {
        self.host = Some(host);
        self
    }

    /// In a template, leaves what differs from instance to instance as it is written, and with it the doubled `%`.
    pub(crate) fn leaving_instance(mut self) -> Self {
        self.leaves_instance = self.unit.is_template();
        self
    }

    /// Was a time zone asked for that the host does not have?
    pub(crate) fn lacks_zone(&self) -> bool {
        self.lacks_zone.get()
    }

    /// Takes the wrong items that were dropped since the last call.
    pub(crate) fn take_dropped(&self) -> Vec<ParseError> {
        self.dropped.take()
    }

    /// What one specifier stands for; none if there is no such specifier, an error if it has no value here.
    fn value(&self, letter: char) -> Option<Result<String, ParseError>> {
        let known = self.of_unit(letter).or_else(|| self.of_fragment(letter));
        known.or_else(|| {
            Some(
                self.of_manager(letter)
                    .or_else(|| self.of_host(letter))?
                    .map_or_else(|| missing(letter), Ok),
            )
        })
    }

    fn of_unit(&self, letter: char) -> Option<Result<String, ParseError>> {
        let name = self.unit;
        let instance = name.instance().unwrap_or_default();
        let last = name.prefix().rsplit('-').next().unwrap_or_default();
        Some(match letter {
            'n' | 'N' | 'i' | 'I' | 'f' if self.leaves_instance => Ok(format!("%{letter}")),
            '%' if self.leaves_instance => Ok("%%".to_owned()),
            '%' => Ok("%".to_owned()),
            'n' => Ok(name.as_str().to_owned()),
            'N' => Ok(name.stem().to_owned()),
            'p' => Ok(name.prefix().to_owned()),
            'P' => unescaped(name.prefix()),
            'i' => Ok(instance.to_owned()),
            'I' => unescaped(instance),
            'j' => Ok(last.to_owned()),
            'J' => unescaped(last),
            'f' => self.file_name(),
            _ => return None,
        })
    }

    /// The instance, or the prefix of a unit without one, as an absolute path.
    fn file_name(&self) -> Result<String, ParseError> {
        let text = self.unit.instance().unwrap_or(self.unit.prefix());
        if let Some(path) = unescape_path(text) {
            return Ok(path);
        }
        Ok(format!("/{}", unescaped(text)?.trim_start_matches('/')))
    }

    fn of_fragment(&self, letter: char) -> Option<Result<String, ParseError>> {
        let path: Option<PathBuf> = match letter {
            'y' => self.fragment.map(PathBuf::from),
            'Y' => self.fragment.and_then(Path::parent).map(PathBuf::from),
            _ => return None,
        };
        let text = path.map(|path| path.to_string_lossy().into_owned());
        Some(text.ok_or_else(|| {
            ParseError::new(format!("%{letter} has no value, as the unit has no file"))
        }))
    }

    fn of_manager(&self, letter: char) -> Option<Option<String>> {
        let context = self.context;
        Some(Some(match letter {
            't' => context.runtime_root.clone(),
            'S' => context.state_root.clone(),
            'C' => context.cache_root.clone(),
            'L' => context.logs_root.clone(),
            'E' => context.config_root.clone(),
            'D' => context.data_root.clone(),
            'T' => context.temporary.clone(),
            'V' => context.large_temporary.clone(),
            'd' => format!("{}/{}", context.credentials_root, self.unit),
            'h' => context.home.clone(),
            's' => context.shell.clone(),
            'u' => context.user.clone(),
            'U' => context.uid.to_string(),
            'g' => context.group.clone(),
            'G' => context.gid.to_string(),
            _ => return None,
        }))
    }

    fn of_host(&self, letter: char) -> Option<Option<String>> {
        let context = self.context;
        let short = context.host_name.split('.').next().unwrap_or_default();
        Some(match letter {
            'H' => Some(context.host_name.clone()),
            'l' => Some(short.to_owned()),
            'q' => Some(
                context
                    .pretty_host_name
                    .clone()
                    .unwrap_or_else(|| short.to_owned()),
            ),
            'm' => context.machine_id.clone(),
            'b' => Some(context.boot_id.clone()),
            'v' => Some(context.kernel_release.clone()),
            'a' => Some(context.architecture.clone()),
            'o' => Some(context.os.id.clone()),
            'w' => Some(context.os.version_id.clone()),
            'B' => Some(context.os.build_id.clone()),
            'W' => Some(context.os.variant_id.clone()),
            'M' => Some(context.os.image_id.clone()),
            'A' => Some(context.os.image_version.clone()),
            _ => return None,
        })
    }
}

fn unescaped(text: &str) -> Result<String, ParseError> {
    unescape(text).ok_or_else(|| ParseError::new(format!("“{text}” can't be unescaped")))
}

fn missing(letter: char) -> Result<String, ParseError> {
    Err(ParseError::new(format!(
        "%{letter} has no value on this host"
    )))
}

impl Expand for Specifiers<'_> {
    /// A `%` before something that is no letter or digit stands for itself, as in the reference; an unknown one is an error, so that a
    /// specifier of a later version is not taken for text.
    fn expand(&self, part: &str) -> Result<String, ParseError> {
        let mut expanded = String::with_capacity(part.len());
        let mut rest = part;
        while let Some((before, after)) = rest.split_once('%') {
            expanded.push_str(before);
            let Some(letter) = after.chars().next() else {
                expanded.push('%');
                rest = after;
                break;
            };
            match self.value(letter) {
                Some(value) => expanded.push_str(&value?),
                None if letter.is_ascii_alphanumeric() => {
                    return Err(ParseError::new(format!("%{letter} is no specifier")));
                }
                None => expanded.extend(['%', letter]),
            }
            if expanded.len() > MAX_EXPANDED_BYTES {
                return Err(ParseError::new(format!(
                    "its specifiers expand to more than {MAX_EXPANDED_BYTES} bytes"
                )));
            }
            rest = after.get(letter.len_utf8()..).unwrap_or_default();
        }
        expanded.push_str(rest);
        Ok(expanded)
    }

    fn is_zone(&self, name: &str) -> bool {
        let is_one = self.host.is_none_or(|host| is_zone(host, name));
        self.lacks_zone.set(self.lacks_zone.get() || !is_one);
        is_one
    }

    /// The reference ignores a wrong item and keeps the others.
    fn wrong_item(&self, problem: ParseError) -> Result<(), ParseError> {
        self.dropped.borrow_mut().push(problem);
        Ok(())
    }
}
