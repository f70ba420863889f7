//! Unit files of well-known packages, as both sides read them. Nothing of the packages is installed or started.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use super::exposure::Exposure;
use super::ours::Ours;
use super::report::{Report, Row};
use super::systemd::{Said, ask};
use super::{FOLDER, UNITS};
use crate::debian::Suite;
use crate::run;

/// Where they come from.
const SUITE: &str = "trixie";

const PACKAGES: &[&str] = &[
    "apache2",
    "avahi-daemon",
    "bind9",
    "bluez",
    "caddy",
    "chrony",
    "cron",
    "cups-daemon",
    "dnsmasq",
    "docker.io",
    "dovecot-core",
    "etcd-server",
    "exim4-base",
    "fail2ban",
    "haproxy",
    "lighttpd",
    "mariadb-server",
    "memcached",
    "mosquitto",
    "nftables",
    "nginx-common",
    "opendkim",
    "openssh-server",
    "postfix",
    "postgresql-common",
    "privoxy",
    "prometheus",
    "prometheus-node-exporter",
    "rabbitmq-server",
    "redis-server",
    "rspamd",
    "rsyslog",
    "smartmontools",
    "squid",
    "tor",
    "transmission-daemon",
    "unbound",
    "unattended-upgrades",
    "varnish",
    "wpasupplicant",
];

/// Where packages put units.
const PLACES: &[&str] = &["usr/lib/systemd/system", "lib/systemd/system"];

/// Directives of which systemd shows what they come to, or in a form of its own.
const OTHER_FORMS: &[&str] = &[
    "BindReadOnlyPaths",
    "IOSchedulingClass",
    "LimitNOFILE",
    "PrivateUsers",
    "StandardError",
    "StandardOutput",
    "SyslogFacility",
    "SystemCallErrorNumber",
    "SystemCallFilter",
    "TasksMax",
    "WantedBy",
];

/// Directives to which systemd adds what is implied.
const ADDED_TO: &[&str] = &["After", "Before", "Conflicts", "Requires", "Wants"];

/// Puts the units into a folder that the container sees; they are downloaded once.
pub(super) fn prepare(folder: &Path) -> Result<()> {
    let cache = run::root().join(".cache/conformance");
    let mut suite = None;
    for package in PACKAGES {
        let kept = cache.join("units").join(package);
        if !kept.exists() {
            let suite = match &suite {
                Some(suite) => suite,
                None => suite.insert(Suite::open(SUITE, &cache.join("apt"))?),
            };
            download(suite, package, &kept)?;
        }
        let target = folder.join("units").join(package);
        fs::create_dir_all(&target)?;
        for file in files(&kept)? {
            fs::copy(&file, target.join(file.file_name().unwrap_or_default()))?;
        }
    }
    Ok(())
}

fn download(suite: &Suite, package: &str, kept: &Path) -> Result<()> {
    let tree = tempfile::tempdir()?;
    suite
        .unpack(package, tree.path())
        .with_context(|| format!("cannot fetch the package {package} of {SUITE}"))?;
    let staging = tempfile::tempdir_in(kept.parent().map_or(Ok(kept), |parent| {
        fs::create_dir_all(parent).map(|()| parent)
    })?)?;
    for place in PLACES {
        let place = tree.path().join(place);
        for file in files(&place)? {
            fs::copy(
                &file,
                staging.path().join(file.file_name().unwrap_or_default()),
            )?;
        }
    }
    fs::rename(staging.keep(), kept)?;
    Ok(())
}

/// The regular files of a directory, sorted; links are aliases.
fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    if directory.exists() {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// One unit file.
struct File {
    package: &'static str,
    path: PathBuf,
    /// The name of the unit, or of one instance.
    unit: String,
}

pub(super) fn run() -> Result<Report> {
    fs::create_dir_all(UNITS)?;
    let mut all = Vec::new();
    for package in PACKAGES {
        for file in files(&Path::new(FOLDER).join("units").join(package))? {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            let path = Path::new(UNITS).join(&*name);
            fs::copy(&file, &path)?;
            all.push(File {
                package,
                path,
                unit: name.replace("@.", "@one."),
            });
        }
    }
    ask("systemctl", &["daemon-reload"])?;
    let ours = Ours::new();
    let names: Vec<&str> = all.iter().map(|file| file.unit.as_str()).collect();
    let show = [&["show", "--all"], names.as_slice()].concat();
    let theirs_shown = blocks(&ask("systemctl", &show)?);
    let ours_shown = blocks(&ours.ask(&show)?);
    let mut rows = Vec::new();
    for file in &all {
        let none = BTreeMap::new();
        let theirs = theirs_shown.get(&file.unit).unwrap_or(&none);
        let own = ours_shown.get(&file.unit).unwrap_or(&none);
        let case = |what: &str| format!("{}, {}: {what}", file.package, file.unit);
        let state = |all: &BTreeMap<String, String>| all.get("LoadState").cloned();
        rows.push(Row::compared(
            case("load state"),
            state(theirs).unwrap_or_default(),
            state(own).unwrap_or_default(),
        ));
        rows.push(Row::compared(
            case("lines that are ignored"),
            shown(&theirs_ignored(&file.path)?),
            shown(&ours_ignored(&ours, &file.path)?),
        ));
        rows.push(values(case("values"), theirs, own));
        if file.unit.ends_with(".service") {
            let exposure = Exposure::of(&ours, &file.unit)?;
            rows.push(exposure.total(case("exposure")));
            rows.push(exposure.lines(case("lines of the exposure")));
        }
    }
    Ok(Report {
        headings: ["unit file", "systemd", "Coracle"]
            .map(str::to_owned)
            .to_vec(),
        rows,
        is_shown_whole: false,
        left_out: vec![
            "`systemd-analyze security --offline=yes`, which takes an unset PrivateMounts= for set: the units are compared as loaded"
                .to_owned(),
        ],
    })
}

/// The properties of each unit, by its name; what has several lines is one text.
fn blocks(said: &Said) -> BTreeMap<String, BTreeMap<String, String>> {
    let block = |text: &str| {
        let mut pairs: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
            let all = pairs.entry(name.to_owned()).or_default();
            if !all.is_empty() {
                all.push(' ');
            }
            all.push_str(value);
        }
        Some((pairs.get("Id")?.clone(), pairs))
    };
    said.stdout.split("\n\n").filter_map(block).collect()
}

/// The directives that both sides show, where they differ.
fn values(case: String, theirs: &BTreeMap<String, String>, ours: &BTreeMap<String, String>) -> Row {
    let is_compared = |name: &str| {
        settings::TABLE.iter().any(|row| row.name == name) && !OTHER_FORMS.contains(&name)
    };
    let (mut theirs_only, mut ours_only) = (Vec::new(), Vec::new());
    for (name, own) in ours.iter().filter(|(name, _)| is_compared(name)) {
        if let Some(other) = theirs.get(name).filter(|other| !means(name, other, own)) {
            theirs_only.push(format!("{name}={other}"));
            ours_only.push(format!("{name}={own}"));
        }
    }
    Row::compared(case, theirs_only.join(" "), ours_only.join(" "))
}

/// Whether both texts of a directive mean the same: neither order nor quotes count.
fn means(name: &str, theirs: &str, ours: &str) -> bool {
    if name.starts_with("Exec") {
        let prefixes = ['-', '+', '!', '@', ':', '|'];
        let stripped = |word: String| word.trim_start_matches(prefixes).to_owned();
        let arguments = theirs.split("argv[]=").skip(1);
        let arguments: Vec<&str> = arguments
            .filter_map(|rest| rest.split(" ; ignore_errors=").next())
            .collect();
        let of = |text: &str| {
            words(text)
                .into_iter()
                .map(stripped)
                .collect::<BTreeSet<_>>()
        };
        return of(&arguments.join(" ")) == of(ours);
    }
    if name == "KillSignal" {
        let number = theirs.parse().map(model::tables::signals::name);
        return number.is_ok_and(|theirs| theirs == ours);
    }
    let (theirs, ours) = (words(theirs), words(ours));
    theirs == ours || (ADDED_TO.contains(&name) && ours.is_subset(&theirs))
}

fn words(text: &str) -> BTreeSet<String> {
    let plain = |word: &str| word.replace(['"', '\'', '\\'], "").to_lowercase();
    text.split_whitespace().map(plain).collect()
}

fn shown(lines: &BTreeSet<u64>) -> String {
    let lines: Vec<String> = lines.iter().map(u64::to_string).collect();
    lines.join(" ")
}

fn theirs_ignored(path: &Path) -> Result<BTreeSet<u64>> {
    let path = path.display().to_string();
    let words = ["verify", "--man=no", "--recursive-errors=no", &path];
    let said = ask("systemd-analyze", &words)?;
    let line = |line: &str| {
        let (number, message) = line
            .strip_prefix(&path)?
            .strip_prefix(':')?
            .split_once(':')?;
        message.contains("ignoring").then(|| number.parse().ok())?
    };
    Ok(said.stderr.lines().filter_map(line).collect())
}

fn ours_ignored(ours: &Ours, path: &Path) -> Result<BTreeSet<u64>> {
    let said = ours.ask(&["--json", "verify", &path.display().to_string()])?;
    let findings: Vec<Value> = serde_json::from_str(&said.stdout).with_context(|| {
        format!(
            "verify of {} printed {}{}",
            path.display(),
            said.stdout,
            said.stderr
        )
    })?;
    let line = |finding: &Value| {
        let is_ignored = finding.get("message")?.as_str()?.contains("ignored");
        finding
            .get("line")?
            .as_u64()
            .filter(|line| is_ignored && *line > 0)
    };
    Ok(findings.iter().filter_map(line).collect())
}
