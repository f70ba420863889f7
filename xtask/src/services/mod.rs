//! `cargo xtask services`: services of Debian's packages with the unit files that they are shipped with, under load.
//!
//! Each runs in a container of its own whose supervisor is Coracle: no other manager of services is there.

mod inside;
mod load;
mod page;
mod table;

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use self::inside::Ledger;
use self::table::{SERVICES, Service};
use crate::peers::{self, Container, Tree};
use crate::{dist, run};

/// Where a container finds what it is to do, and leaves what it found.
const FOLDER: &str = "/services";

/// How long each is asked where nobody says, in seconds.
const SECONDS: u64 = 60;

/// So many containers at once.
const LANES: usize = 6;

/// As it is shipped, and under the default profile with what it is granted.
const MODES: [(&str, bool); 2] = [("shipped", false), ("profile", true)];

/// The packages of all services, and what asks them.
pub(crate) fn packages() -> Vec<&'static str> {
    const CLIENTS: [&str; 4] = ["openssh-client", "iproute2", "procps", "systemd"];
    SERVICES
        .iter()
        .map(|service| service.package)
        .chain(CLIENTS)
        .collect()
}

struct Wish {
    services: Vec<&'static Service>,
    seconds: u64,
    is_kept: bool,
}

impl Wish {
    fn read(words: &[String]) -> Result<Wish> {
        let mut wish = Wish {
            services: Vec::new(),
            seconds: SECONDS,
            is_kept: false,
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--seconds" => {
                    let value = words.next().and_then(|value| value.parse().ok());
                    wish.seconds = value.context("--seconds needs a number")?;
                }
                "--keep" => wish.is_kept = true,
                name => wish.services.push(service(name)?),
            }
        }
        if wish.services.is_empty() {
            wish.services = SERVICES.iter().collect();
        }
        Ok(wish)
    }
}

fn service(name: &str) -> Result<&'static Service> {
    let found = SERVICES
        .iter()
        .find(|service| service.name.eq_ignore_ascii_case(name));
    let known: Vec<&str> = SERVICES.iter().map(|service| service.name).collect();
    found.with_context(|| {
        format!(
            "there is no service {name:?}; there are {}",
            known.join(", ")
        )
    })
}

/// One service in one mode, and what became of it.
struct Ran {
    service: &'static Service,
    mode: &'static str,
    ledger: Ledger,
}

impl Ran {
    /// Whether it did its job.
    fn is_good(&self) -> bool {
        let trouble = &self.ledger.trouble;
        trouble.is_empty() && self.ledger.answered > 0 && self.ledger.failed == 0
    }
}

/// Runs the named services, or all, and prints a line for each; `--keep` writes the page.
pub(crate) fn run(words: &[String]) -> Result<()> {
    run::need_root("running services")?;
    let wish = Wish::read(words)?;
    let dist = files()?;
    let tree = Tree::one(peers::SERVICES)?;
    tree.make()?;
    let work = |(service, (mode, is_profiled)): (&'static Service, (&'static str, bool))| {
        let ledger = in_container(tree, service, &wish, is_profiled, &dist)?;
        let ran = Ran {
            service,
            mode,
            ledger,
        };
        println!("{}", page::line(&ran));
        Ok(ran)
    };
    let runs = wish
        .services
        .iter()
        .flat_map(|service| MODES.map(|mode| (*service, mode)));
    let ran = in_lanes(runs.collect(), work)?;
    if wish.is_kept {
        page::write(&ran, wish.seconds)?;
    }
    let bad = ran.iter().filter(|ran| !ran.is_good()).count();
    if bad > 0 {
        bail!("{bad} services did not do their job, as is told above");
    }
    Ok(())
}

/// Does all the work, several at once; the results are in its order.
fn in_lanes<T: Send, R: Send>(all: Vec<T>, work: impl Fn(T) -> Result<R> + Sync) -> Result<Vec<R>> {
    let left = Mutex::new(all.into_iter().enumerate());
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                loop {
                    let next = left.lock().ok().and_then(|mut left| left.next());
                    let Some((place, one)) = next else { return };
                    let result = work(one);
                    if let Ok(mut done) = done.lock() {
                        done.push((place, result));
                    }
                }
            });
        }
    });
    let failed = |_| anyhow!("a lane of the services failed");
    let mut done = done.into_inner().map_err(failed)?;
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}

/// The release files, or those that the caller has built.
fn files() -> Result<std::path::PathBuf> {
    if let Some(given) = std::env::var_os(testkit::DIST) {
        return fs::canonicalize(&given)
            .with_context(|| format!("there is no {}", Path::new(&given).display()));
    }
    dist::run()?;
    Ok(run::root().join("dist"))
}

fn in_container(
    tree: Tree,
    service: &Service,
    wish: &Wish,
    is_profiled: bool,
    dist: &Path,
) -> Result<Ledger> {
    let program = std::env::current_exe()?;
    let programs = program.parent().context("this program is in no folder")?;
    let file = program.file_name().context("this program has no name")?;
    let folder = tempfile::tempdir()?;
    let container = Container::of(tree)?
        .with_own_network()
        .with_bpf()
        // Of a host, chrony and MariaDB have them.
        .allowing("CAP_SYS_TIME,CAP_IPC_LOCK", "@clock")
        .bind(programs, "/xtask")
        .bind(dist, "/dist")
        .bind(folder.path(), FOLDER);
    let words = [
        format!("/xtask/{}", file.display()),
        "services-inside".to_owned(),
        service.name.to_owned(),
        wish.seconds.to_string(),
        is_profiled.to_string(),
    ];
    container
        .execute(&words)
        .with_context(|| format!("the container of {} failed", service.name))?;
    let report = fs::read_to_string(folder.path().join("ledger.json"))
        .with_context(|| format!("the container of {} left no ledger", service.name))?;
    Ok(serde_json::from_str(&report)?)
}

/// Runs one service where this process is: its name, the seconds, and whether under the profile.
pub(crate) fn inside(words: &[String]) -> Result<()> {
    let [name, seconds, is_profiled] = words else {
        bail!("services-inside takes a name, seconds, and whether under the profile");
    };
    let time = Duration::from_secs(seconds.parse()?);
    let ledger = inside::run(service(name)?, time, is_profiled.parse()?)?;
    let report = serde_json::to_string(&ledger)?;
    Ok(fs::write(Path::new(FOLDER).join("ledger.json"), report)?)
}
