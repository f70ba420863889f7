//! Benches: Coracle and its peers alternate in one run; medians, minima and shares are printed, nothing is judged.
//!
//! All that is measured runs at the highest priority, ours and theirs: what else happens on the machine then disturbs less, and
//! disturbs all alike. A start of ours passes through four processes, so on a busy machine it waits four times.

mod building;
mod calls;
mod containers;
mod delivery;
mod figure;
mod growth;
mod hosts;
mod images;
mod loaded;
mod memory;
mod portable;
mod record;
mod sides;
mod start;
mod systemd;
mod timing;
mod traffic;
mod update;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

pub(crate) use self::figure::Figure;
use self::record::Record;
pub(crate) use self::traffic::costs;
use crate::peers::{Container, Tree};
use crate::{demo, dist, run};

/// Where a bench runs.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// On this machine.
    Here,
    /// In a container that a peer's systemd has booted, once for each tree.
    Peer,
}

/// A bench's name, where it runs, and the work that yields its figures.
type Bench = (&'static str, Place, fn() -> Result<Vec<Figure>>);

/// SPECIFICATION.md names these.
const BENCHES: &[Bench] = &[
    ("start-plain", Place::Here, start::plain),
    ("start-sandboxed", Place::Here, start::sandboxed),
    ("restart", Place::Here, start::restart),
    ("attach-start", Place::Here, portable::attach_and_start),
    ("attach-signed", Place::Here, images::attach_and_start),
    ("verification", Place::Here, images::verification),
    ("boot", Place::Here, images::boot),
    ("build", Place::Here, building::build),
    ("memory-1000", Place::Here, memory::thousand_units),
    ("file-size", Place::Here, memory::file_size),
    ("verbs", Place::Here, loaded::alone),
    ("hosts", Place::Here, hosts::hosts),
    ("update", Place::Here, update::update),
    ("delivery", Place::Here, delivery::delivery),
    ("run", Place::Peer, systemd::run),
    ("containers", Place::Peer, containers::containers),
    ("portable", Place::Peer, containers::portable),
    ("portable-image", Place::Peer, images::beside_portablectl),
    ("socket", Place::Peer, traffic::socket),
    ("syscalls", Place::Peer, traffic::syscalls),
    ("log", Place::Peer, traffic::log),
    ("services", Place::Peer, systemd::services),
    ("oneshots", Place::Peer, systemd::oneshots),
    ("loaded", Place::Peer, loaded::loaded),
];

/// The nice value that leaves all others behind (setpriority(2)).
const HIGHEST_PRIORITY: i32 = -20;

/// What the benches of a container need, and where they leave their figures, is in this directory there.
const BENCH_FOLDER: &str = "/bench";

/// What `cargo xtask bench` was asked.
#[derive(Default)]
struct Wish {
    /// All that run here, where none is named.
    names: Vec<String>,
    /// The trees whose systemd is measured beside; all where none is named.
    trees: Vec<String>,
    /// Whether the figures go to `docs/bench/`.
    is_kept: bool,
}

impl Wish {
    fn of(words: &[String]) -> Result<Wish> {
        let mut wish = Wish::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--keep" => wish.is_kept = true,
                "--beside" => {
                    let tree = words.next().context("--beside names a tree")?;
                    wish.trees.push(tree.clone());
                }
                "all" => {
                    let all = BENCHES.iter().map(|(name, ..)| (*name).to_owned());
                    wish.names.extend(all);
                }
                name if BENCHES.iter().any(|(bench, ..)| *bench == name) => {
                    wish.names.push(word.clone());
                }
                _ => {
                    let known: Vec<&str> = BENCHES.iter().map(|(name, ..)| *name).collect();
                    bail!(
                        "there is no bench {word:?}; there are all, {}",
                        known.join(", ")
                    );
                }
            }
        }
        Ok(wish)
    }

    fn has(&self, (name, place, _): &Bench) -> bool {
        (self.names.is_empty() && *place == Place::Here) || self.names.iter().any(|one| one == name)
    }
}

/// Runs the named benches.
pub(crate) fn run(words: &[String]) -> Result<()> {
    let wish = Wish::of(words)?;
    run::need_root("measuring starts")?;
    dist::run()?;
    let trees = Tree::named(&wish.trees)?;
    let mut record = Record::of_today()?;
    println!(
        "{:<15}  {:<44}  {:<22}  {:>26}  {:>11}  goal",
        "bench", "what", "who", "median (minimum)", "our share"
    );
    for (name, place, work) in BENCHES.iter().filter(|bench| wish.has(bench)) {
        match place {
            Place::Here => {
                set_priority()?;
                let figures = work()?;
                print(name, &figures);
                record.take(name, None, figures);
            }
            Place::Peer => {
                for tree in &trees {
                    println!("{name:<15}  beside systemd {}", tree.systemd);
                    let figures = in_container(*tree, name)?;
                    print(name, &figures);
                    record.take(name, Some(&format!("systemd {}", tree.systemd)), figures);
                }
            }
        }
        if wish.is_kept {
            record.write()?;
        }
    }
    Ok(())
}

fn print(name: &str, figures: &[Figure]) {
    for line in figures.iter().flat_map(Figure::lines) {
        println!("{name:<15}  {line}");
    }
}

fn set_priority() -> Result<()> {
    rustix::process::setpriority_process(None, HIGHEST_PRIORITY)
        .context("cannot take the highest priority")
}

/// Runs one bench where this process is, in a peer's container, and leaves its figures for who started that.
pub(crate) fn inside(wanted: &str) -> Result<()> {
    let (.., work) = BENCHES
        .iter()
        .find(|(name, ..)| *name == wanted)
        .with_context(|| format!("there is no bench {wanted:?}"))?;
    set_priority()?;
    let figures = serde_json::to_string(&work()?)?;
    Ok(fs::write(figures_in(Path::new(BENCH_FOLDER)), figures)?)
}

fn figures_in(folder: &Path) -> std::path::PathBuf {
    folder.join("figures.json")
}

/// Runs one bench in a tree's container: this program is static, and so goes along.
fn in_container(tree: Tree, name: &str) -> Result<Vec<Figure>> {
    let program = std::env::current_exe()?;
    let programs = program.parent().context("this program is in no folder")?;
    let file = program.file_name().context("this program has no name")?;
    let folder = tempfile::tempdir()?;
    demo::portable_tree(folder.path())?;
    let finished = Container::of(tree)?
        .bind(programs, "/xtask")
        .bind(&run::root().join("dist"), "/dist")
        .bind(folder.path(), BENCH_FOLDER)
        .run(&format!(
            "{}=/dist exec '/xtask/{}' bench-inside {name}\n",
            testkit::DIST,
            file.display()
        ))?;
    if finished.status != 0 {
        print!("{}", finished.output);
        bail!("the bench ended with status {}", finished.status);
    }
    let figures = fs::read_to_string(figures_in(folder.path()))?;
    serde_json::from_str(&figures).context("the bench left no figures")
}
