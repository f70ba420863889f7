//! `escape`: texts and paths as parts of unit names, and back.

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;
use load::escape;
use model::UnitName;
use serde_json::json;

use crate::context::Context;
use crate::failure::tell;
use crate::terminal::{say, say_json};
use crate::verbs::Run;

/// Options of `escape`.
#[derive(Args, Debug)]
pub(crate) struct Escape {
    /// Texts, paths, or parts of names
    #[arg(required = true, value_name = "TEXT", allow_hyphen_values = true)]
    texts: Vec<String>,
    /// They are paths: slashes at the ends and doubled ones do not count
    #[arg(long, short)]
    path: bool,
    /// Print names of units of this kind
    #[arg(long, value_name = "KIND", conflicts_with_all = ["template", "unescape", "mangle"])]
    suffix: Option<String>,
    /// Print instances of this template
    #[arg(long, value_name = "TEMPLATE", conflicts_with = "mangle")]
    template: Option<String>,
    /// Print the text that a part of a name stands for, or of which a name is an instance
    #[arg(long, short, conflicts_with = "mangle")]
    unescape: bool,
    /// With `--unescape`: print the part of the name as it is
    #[arg(long, requires = "unescape")]
    instance: bool,
    /// Print the unit that is meant where a name is asked for, and escape only what no name can have
    #[arg(long, short)]
    mangle: bool,
}

impl Run for Escape {
    fn run(self, context: &Context) -> Result<u8> {
        let mut values = Vec::new();
        let mut status = 0;
        for text in &self.texts {
            match self.one(text) {
                Ok(answer) if context.globals.json => {
                    values.push(json!({ "text": text, "answer": answer }));
                }
                Ok(answer) => say(&answer),
                Err(error) => {
                    tell(&error);
                    values.push(json!({ "text": text, "error": error.to_string() }));
                    status = 1;
                }
            }
        }
        if context.globals.json {
            say_json(&values)?;
        }
        Ok(status)
    }
}

impl Escape {
    fn one(&self, text: &str) -> Result<String> {
        if self.mangle {
            return escape::mangle(text, false)
                .with_context(|| format!("{text:?} can't be a unit's name"));
        }
        if self.unescape {
            return self.back(text);
        }
        let escaped = self.escaped(text)?;
        if let Some(template) = &self.template {
            let named = template_of(template)?.with_instance(&escaped);
            return Ok(named.map_err(|_| no_name(&escaped))?.to_string());
        }
        let Some(kind) = &self.suffix else {
            return Ok(escaped);
        };
        let name = format!("{escaped}.{kind}");
        UnitName::new(&name).map_err(|_| no_name(&name))?;
        Ok(name)
    }

    fn escaped(&self, text: &str) -> Result<String> {
        if !self.path {
            return Ok(escape::escape(text));
        }
        escape::escape_path(text)
            .with_context(|| format!("{text:?} is no absolute path without \"..\""))
    }

    fn back(&self, text: &str) -> Result<String> {
        let part = match UnitName::new(text) {
            Ok(name) if self.template.is_some() || name.instance().is_some() => {
                self.is_of_template(&name)?;
                let instance = name.instance().map(str::to_owned);
                instance.with_context(|| format!("{text} is no instance of a template"))?
            }
            Ok(name) => name.stem().to_owned(),
            Err(_) if self.template.is_some() => return Err(no_name(text)),
            Err(_) => text.to_owned(),
        };
        if self.instance {
            return Ok(part);
        }
        let back = match self.path {
            true => escape::unescape_path(&part),
            false => escape::unescape(&part),
        };
        back.with_context(|| format!("{part:?} is not how a text is escaped"))
    }

    fn is_of_template(&self, name: &UnitName) -> Result<()> {
        let Some(template) = &self.template else {
            return Ok(());
        };
        let template = template_of(template)?;
        let is_of = name.prefix() == template.prefix() && name.kind() == template.kind();
        match is_of {
            true => Ok(()),
            false => bail!("{name} is no instance of {template}"),
        }
    }
}

fn template_of(text: &str) -> Result<UnitName> {
    let name = UnitName::new(text).map_err(|_| no_name(text))?;
    match name.is_template() {
        true => Ok(name),
        false => bail!("{text} is no template, as `getty@.service` is one"),
    }
}

fn no_name(text: &str) -> anyhow::Error {
    anyhow!("{text:?} can't be a unit's name")
}

#[cfg(test)]
mod tests {
    use super::Escape;
    use clap::{Args as _, Command, FromArgMatches as _};

    fn said(words: &[&str]) -> String {
        let command = Escape::augment_args(Command::new("escape"));
        let words = std::iter::once("escape").chain(words.iter().copied());
        let matches = command.try_get_matches_from(words).unwrap();
        let escape = Escape::from_arg_matches(&matches).unwrap();
        match escape.one(&escape.texts[0]) {
            Ok(answer) => answer,
            Err(error) => format!("refused: {error}"),
        }
    }

    #[test]
    fn texts_become_parts_of_names_and_come_back() {
        for (words, expected) in [
            (&["a b/c"][..], "a\\x20b-c"),
            (&["-p", "/srv//my data/"], "srv-my\\x20data"),
            (&["--path", "--suffix=mount", "/srv/data"], "srv-data.mount"),
            (
                &["--path", "/a/../b"],
                "refused: \"/a/../b\" is no absolute path without \"..\"",
            ),
            (
                &["--suffix=nothing", "a"],
                "refused: \"a.nothing\" can't be a unit's name",
            ),
            (
                &["--template=getty@.service", "tty/1"],
                "getty@tty-1.service",
            ),
            (
                &["--template=getty.service", "x"],
                "refused: getty.service is no template, as `getty@.service` is one",
            ),
            (&["-u", "srv-my\\x20data"], "srv/my data"),
            (&["-u", "-p", "srv-data.mount"], "/srv/data"),
            (&["-u", "getty@tty-1.service"], "tty/1"),
            (&["-u", "--instance", "getty@tty-1.service"], "tty-1"),
            (
                &["-u", "--template=x@.service", "getty@a.service"],
                "refused: getty@a.service is no instance of x@.service",
            ),
            (
                &["-u", "a\\xzz"],
                "refused: \"a\\\\xzz\" is not how a text is escaped",
            ),
            (&["-m", "/srv/data"], "srv-data.mount"),
            (&["-m", "web"], "web.service"),
        ] {
            assert_eq!(said(words), expected, "{words:?}");
        }
    }
}
