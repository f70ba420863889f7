//! `cargo xtask peers`: trees of Debian with the systems that Coracle is compared with, and containers that they boot in.

mod container;
mod tree;

use std::path::Path;

use anyhow::{Result, bail};

pub(crate) use self::container::Container;
pub(crate) use self::tree::{MKOSI, SERVICES, Tree};

/// Builds the named trees, or all; with `NAME [--bind DIRECTORY=PLACE] -- COMMAND…` boots one and runs the command in it.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let Some(at) = arguments.iter().position(|word| word == "--") else {
        for tree in Tree::named(arguments)? {
            let path = tree.make()?;
            eprintln!("peers: {} · {}", tree.name, path.display());
        }
        return Ok(());
    };
    let (names, command) = arguments.split_at(at);
    let Some((name, options)) = names.split_first() else {
        bail!("peers runs a command in one tree: cargo xtask peers trixie -- COMMAND…");
    };
    let words = command.get(1..).unwrap_or_default();
    if words.is_empty() {
        bail!("peers needs a command after `--`");
    }
    let mut container = Container::of(Tree::one(name)?)?;
    for option in options.chunks(2) {
        let [word, value] = option else {
            bail!("{option:?} is half an option: peers takes --bind DIRECTORY=PLACE");
        };
        let Some((from, to)) = value.split_once('=').filter(|_| word == "--bind") else {
            bail!("{word} {value} is no option of peers, which takes --bind DIRECTORY=PLACE");
        };
        container = container.bind(Path::new(from), to);
    }
    let finished = container.run(&quoted(words))?;
    print!("{}", finished.output);
    if finished.status != 0 {
        bail!("the command ended with status {}", finished.status);
    }
    Ok(())
}

/// The words as one line of a shell's.
fn quoted(words: &[String]) -> String {
    let quoted: Vec<String> = words
        .iter()
        .map(|word| format!("'{}'", word.replace('\'', "'\\''")))
        .collect();
    format!("exec {}\n", quoted.join(" "))
}
