//! `configure`: what the administrator sets for a portable, outside the image and over its versions.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use clap::Args;
use delivery::portables::Portable;
use model::UnitKind;

use super::{existing, existing_held};
use crate::context::Context;
use crate::failure::{WithHint, hint};
use crate::terminal::{Paint, one_line, plain, say, say_json};
use crate::verbs::Run;

/// Names of settings as they are recorded.
const LISTEN: &str = "listen";
const ENVIRONMENT: &str = "env";
const CREDENTIAL: &str = "credential";
pub(crate) const BIND: &str = "bind";
const BIND_READ_ONLY: &str = "bind-read-only";
pub(super) const LIMIT: &str = "set";

/// Options of `configure`.
#[derive(Args, Debug)]
pub(crate) struct Configure {
    /// The portable
    #[arg(value_name = "NAME")]
    name: String,
    /// Listen here instead of where the image's sockets say and instead of what was set before; several addresses: give it again
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<String>,
    /// Set a variable of its services; may be given again
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Give its services a secret from a file of root's; may be given again
    #[arg(long, value_name = "NAME=FILE")]
    credential: Vec<String>,
    /// Show a host path to its services, writable; may be given again
    #[arg(long, value_name = "FILE[:PATH]")]
    bind: Vec<String>,
    /// The same, read-only
    #[arg(long, value_name = "FILE[:PATH]")]
    bind_read_only: Vec<String>,
    /// Another directive of its services, such as `MemoryMax=500M`; may be given again
    #[arg(long, value_name = "DIRECTIVE=VALUE")]
    set: Vec<String>,
    /// Forget what was set of this kind: listen, env, credential, bind, bind-read-only, set, or all
    #[arg(long, value_name = "KIND")]
    unset: Vec<String>,
    /// Start it at boot (`yes`), or not (`no`)
    #[arg(long, value_name = "BOOL")]
    at_boot: Option<String>,
}

impl Run for Configure {
    fn run(self, context: &Context) -> Result<u8> {
        if !self.changes() {
            return show(context, &existing(context, &self.name)?);
        }
        let (held, mut portable) = existing_held(context, &self.name)?;
        if let Some(why) = without_socket(&portable, &self.listen) {
            let name = &portable.name;
            return Err(hint(
                why,
                format!(
                    "nothing was set; say it as its program takes it, such as `coracle configure {name} --env NAME=VALUE`: `coracle cat UNIT` shows what it runs"
                ),
            ));
        }
        self.apply(&mut portable)?;
        check_texts(&portable.settings)?;
        check(&portable)?;
        held.put(&portable)?;
        super::reattach(context, &portable)?;
        tell_loosened(context, &portable);
        context.narrate(&format!(
            "configured; `coracle restart {}` makes running services see it",
            plain(&portable.name)
        ));
        Ok(0)
    }
}

/// Sets what was set on another host: read as what is said here, but files that are not here may come later.
///
/// # Errors
/// When it could not be said here.
pub(crate) fn take_over(
    context: &Context,
    portable: &mut Portable,
    settings: &BTreeMap<String, Vec<String>>,
) -> Result<()> {
    check_texts(settings)?;
    portable.settings.clone_from(settings);
    check(portable)?;
    tell_loosened(context, portable);
    if let Some(why) = without_socket(portable, settings.get(LISTEN).map_or(&[], Vec::as_slice)) {
        context.narrate(&format!("{} {why}", Paint::Yellow.on("warning:")));
    }
    Ok(())
}

/// Addresses are those of socket units: says why where there is none, as nobody would listen there.
fn without_socket(portable: &Portable, listen: &[String]) -> Option<String> {
    let version = portable.versions.get(&portable.current);
    let mut units = version.iter().flat_map(|version| &version.units);
    let is_heard = listen.is_empty() || units.any(|unit| unit.ends_with(".socket"));
    (!is_heard).then(|| {
        format!(
            "--listen={} has no effect: {} {} has no socket unit, and its services open their sockets themselves",
            one_line(&listen.join(" --listen=")),
            plain(&portable.name),
            plain(&portable.current)
        )
    })
}

/// A value is one line: what is behind a line feed in one would be a directive that nobody has seen.
fn check_texts(settings: &BTreeMap<String, Vec<String>>) -> Result<()> {
    for (kind, values) in settings {
        check_kind(kind)?;
        if let Some(value) = values.iter().find(|value| value.contains(char::is_control)) {
            return Err(hint(
                format!("--{kind}={} has a control character", one_line(value)),
                "nothing was set; a value is one line of text",
            ));
        }
    }
    Ok(())
}

impl Configure {
    fn lists(&self) -> [(&'static str, &Vec<String>); 6] {
        [
            (LISTEN, &self.listen),
            (ENVIRONMENT, &self.env),
            (CREDENTIAL, &self.credential),
            (BIND, &self.bind),
            (BIND_READ_ONLY, &self.bind_read_only),
            (LIMIT, &self.set),
        ]
    }

    fn changes(&self) -> bool {
        self.at_boot.is_some()
            || !self.unset.is_empty()
            || self.lists().iter().any(|(_, list)| !list.is_empty())
    }

    fn apply(&self, portable: &mut Portable) -> Result<()> {
        for kind in &self.unset {
            match kind.as_str() {
                "all" => portable.settings.clear(),
                kind => forget(&mut portable.settings, kind)?,
            }
        }
        for (kind, values) in self
            .lists()
            .into_iter()
            .filter(|(_, values)| !values.is_empty())
        {
            let set = portable.settings.entry(kind.to_owned()).or_default();
            if kind == LISTEN {
                set.clear();
            }
            for value in values {
                let value = &with_file(kind, value)?;
                let key = value.split('=').next().unwrap_or(value).to_owned();
                set.retain(|other| !same_key(kind, other, &key));
                set.push(value.clone());
            }
        }
        if let Some(word) = &self.at_boot {
            portable.boot_is_chosen = true;
            portable.enabled = model::text::parse_bool(word).ok_or_else(|| {
                hint(
                    format!("--at-boot={word} is neither yes nor no"),
                    "say `--at-boot yes` or `--at-boot no`",
                )
            })?;
        }
        Ok(())
    }
}

/// What is switched off of the sandbox is the administrator's to say, and to know.
fn tell_loosened(context: &Context, portable: &Portable) {
    let loosened = super::loosened::loosened(portable);
    if !loosened.is_empty() {
        context.narrate(&format!(
            "{} this loosens the sandbox: {}; `coracle configure {} --unset set` takes it back",
            Paint::Yellow.on("warning:"),
            plain(&loosened.join(" ")),
            plain(&portable.name)
        ));
    }
}

/// A value whose file is there, by its absolute path: a slip is told here and not at the next start.
fn with_file(kind: &str, value: &str) -> Result<String> {
    let (before, file, after) = match kind {
        CREDENTIAL => match value.split_once('=') {
            Some((name, file)) => (format!("{name}="), file, String::new()),
            None => {
                return Err(hint(
                    format!("--credential={value} has no file"),
                    "say NAME=FILE",
                ));
            }
        },
        BIND | BIND_READ_ONLY => match value.split_once(':') {
            Some((file, place)) => (String::new(), file, format!(":{place}")),
            None => (String::new(), value, String::new()),
        },
        _ => return Ok(value.to_owned()),
    };
    // With a dash in front it may be missing, and an escaped colon is read by the table.
    if file.starts_with('-') || value.contains('\\') {
        return Ok(value.to_owned());
    }
    let path = std::path::absolute(file)?;
    let metadata = path.metadata().or_hint(
        || {
            format!(
                "--{kind}={value} can't be used: {} can't be read",
                path.display()
            )
        },
        "name a file that is there",
    )?;
    if kind == CREDENTIAL && !metadata.is_file() {
        return Err(hint(
            format!("{} is no file", path.display()),
            "a credential is what a file holds",
        ));
    }
    let is_relative = !Path::new(file).is_absolute();
    let place = if is_relative && after.is_empty() && kind != CREDENTIAL {
        return Err(hint(
            format!("--{kind}={value} does not say where services see it"),
            format!("say --{kind}={value}:PATH, the path as services see it"),
        ));
    } else {
        after
    };
    Ok(format!("{before}{}{place}", path.display()))
}

fn forget(settings: &mut BTreeMap<String, Vec<String>>, kind: &str) -> Result<()> {
    check_kind(kind)?;
    settings.remove(kind);
    Ok(())
}

fn check_kind(kind: &str) -> Result<()> {
    if ![LISTEN, ENVIRONMENT, CREDENTIAL, BIND, BIND_READ_ONLY, LIMIT].contains(&kind) {
        return Err(hint(
            format!("there is no kind of setting called {kind:?}"),
            "kinds are listen, env, credential, bind, bind-read-only, set and all",
        ));
    }
    Ok(())
}

/// A variable or credential of the same name is replaced, and so is a directive that is set again.
fn same_key(kind: &str, other: &str, key: &str) -> bool {
    matches!(kind, ENVIRONMENT | CREDENTIAL | LIMIT) && other.split('=').next() == Some(key)
}

fn show(context: &Context, portable: &Portable) -> Result<u8> {
    if context.globals.json {
        say_json(&portable.settings)?;
        return Ok(0);
    }
    say(&format!(
        "at-boot: {}",
        if portable.enabled { "yes" } else { "no" }
    ));
    for (kind, values) in &portable.settings {
        values
            .iter()
            .for_each(|value| say(&format!("{kind}: {}", plain(value))));
    }
    Ok(0)
}

/// The table reads every line before it is recorded, so that a slip is told here and not at the next start.
fn check(portable: &Portable) -> Result<()> {
    for kind in [UnitKind::Service, UnitKind::Socket] {
        let text = drop_in(portable, kind);
        let name = format!("{}.{}", portable.name, kind.suffix()).parse()?;
        let loaded = load::load_text(
            &name,
            Path::new("configure"),
            text.as_bytes(),
            &crate::check::specifiers(),
        );
        if let Some(wrong) = loaded.diagnostics.first() {
            let why = wrong.message.trim_end_matches("; the line is ignored");
            return Err(anyhow::anyhow!("{why}")).or_hint(
                || "this can't be set".to_owned(),
                "`coracle explain DIRECTIVE` says what a directive takes",
            );
        }
    }
    Ok(())
}

/// The drop-in for the portable's units of a kind; empty where nothing was set.
pub(crate) fn drop_in(portable: &Portable, kind: UnitKind) -> String {
    let values = |kind: &str| portable.settings.get(kind).into_iter().flatten();
    let mut lines: Vec<String> = Vec::new();
    match kind {
        UnitKind::Socket => {
            let listen: Vec<String> = values(LISTEN)
                .map(|address| format!("ListenStream={}", escaped(address)))
                .collect();
            if !listen.is_empty() {
                lines.push("ListenStream=".to_owned());
                lines.extend(listen);
            }
        }
        UnitKind::Service => {
            lines.extend(
                values(ENVIRONMENT).map(|variable| {
                    format!("Environment={}", model::text::quote(&escaped(variable)))
                }),
            );
            lines
                .extend(values(CREDENTIAL).map(|pair| {
                    format!("LoadCredential={}", escaped(&pair.replacen('=', ":", 1)))
                }));
            lines.extend(
                values(BIND)
                    .map(|path| format!("BindPaths={}", model::text::quote(&escaped(path)))),
            );
            lines.extend(
                values(BIND_READ_ONLY).map(|path| {
                    format!("BindReadOnlyPaths={}", model::text::quote(&escaped(path)))
                }),
            );
            lines.extend(values(LIMIT).cloned());
        }
        _ => {}
    }
    if lines.is_empty() {
        return String::new();
    }
    let section = if kind == UnitKind::Socket {
        "Socket"
    } else {
        "Service"
    };
    format!(
        "# Set by `coracle configure`.\n[{section}]\n{}\n",
        lines.join("\n")
    )
}

fn escaped(text: &str) -> String {
    text.replace('%', "%%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_needs_a_socket_unit_to_listen_at_it() {
        let mut portable = Portable::new("boat".to_owned(), delivery::portables::Trust::Signed);
        portable.current = "1".to_owned();
        let mut why = |units: &[&str], listen: &[&str]| {
            let units = units.iter().map(|unit| (*unit).to_owned()).collect();
            let version = delivery::portables::Version {
                units,
                ..Default::default()
            };
            portable.versions.insert("1".to_owned(), version);
            let listen: Vec<String> = listen.iter().map(|one| (*one).to_owned()).collect();
            without_socket(&portable, &listen).unwrap_or_default()
        };
        assert_eq!(why(&["boat.service", "boat@.socket"], &["8080"]), "");
        assert_eq!(why(&["boat.service"], &[]), "");
        let told = why(&["boat.service"], &["80", "81"]);
        assert!(
            told.starts_with("--listen=80 --listen=81 has no effect: boat 1 has no socket unit"),
            "{told}"
        );
    }

    #[test]
    fn a_value_is_one_line_of_a_known_kind() {
        let said = |kind: &str, value: &str| {
            let settings = BTreeMap::from([(kind.to_owned(), vec![value.to_owned()])]);
            check_texts(&settings).map_or_else(|error| error.to_string(), |()| String::new())
        };
        assert_eq!(said(LIMIT, "MemoryMax=1G"), "");
        assert_eq!(
            said(LIMIT, "MemoryMax=1G\nExecStartPre=+/bin/x"),
            "--set=MemoryMax=1G\\nExecStartPre=+/bin/x has a control character"
        );
        assert!(said(ENVIRONMENT, "A=\u{1b}[2J").contains("control character"));
        assert!(said("other", "x").contains("no kind of setting"));
    }
}
