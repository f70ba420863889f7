//! Image policies, read by ours and by systemd-analyze: their normal form, all of it spelled out, and what each partition may be.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::Wish;
use super::random::Random;
use super::report::{Report, Row};
use super::systemd::{Said, said};

/// What stands for a text that is not taken.
const REFUSED: &str = "refused";

/// Policies that each side is asked, whatever else is made.
const TEXTS: &[&str] = &[
    "*",
    "-",
    "~",
    "^",
    " ",
    "* ",
    " -",
    ":",
    "=",
    "=:=",
    "=-",
    "=+",
    "root",
    "root=",
    "root=-",
    "root= - ",
    "root=~",
    "root=*",
    "root=+",
    "root=verity+",
    "root=+verity",
    "root=verity++signed",
    "root=verity:",
    ":root=verity",
    "root=verity::usr=verity",
    "root=verity=signed",
    "root==verity",
    "ROOT=verity",
    "root=Verity",
    "root=verity:root=signed",
    "root=verity: root =signed",
    "default=open",
    "service",
    "root=open+absent",
    "root=ignore+verity",
    "root=all",
    "root=encryptedwithintegrity",
    "root=verity+signed:usr=unprotected:=absent",
    "=read-only-on",
    "=growfs-on+growfs-off+read-only-on+read-only-off",
    "root=btrfs+erofs+ext4+f2fs+squashfs+vfat+xfs",
    "root=ntfs",
    "root=open:usr=open:home=open:srv=open:esp=open:xbootldr=open:swap=open:tmp=open:var=open",
    "=absent:home=absent",
    "=ignore:home=ignore:root=ignore",
    "root=\tverity",
    "root =verity",
];

const DESIGNATORS: &[&str] = &[
    "root",
    "usr",
    "home",
    "srv",
    "esp",
    "xbootldr",
    "swap",
    "root-verity",
    "root-verity-sig",
    "usr-verity",
    "usr-verity-sig",
    "tmp",
    "var",
    "",
];

const FLAGS: &[&str] = &[
    "verity",
    "signed",
    "encrypted",
    "encryptedwithintegrity",
    "unprotected",
    "unused",
    "absent",
    "open",
    "ignore",
    "read-only-on",
    "read-only-off",
    "growfs-on",
    "growfs-off",
    "btrfs",
    "erofs",
    "ext4",
    "f2fs",
    "squashfs",
    "vfat",
    "xfs",
];

/// What a good policy is damaged by.
const DAMAGES: &[&str] = &["+", ":", "=", " ", "-", "x", "*", "~", "\t", ":="];

/// Texts that one run of a command is asked.
const GROUP: usize = 200;

pub(super) fn run(wish: &Wish) -> Result<Report> {
    let mut texts: Vec<String> = TEXTS.iter().map(|text| (*text).to_owned()).collect();
    let mut random = Random::new();
    texts.extend((0..wish.cases).map(|_| policy(&mut random)));
    texts.sort();
    texts.dedup();
    let mut rows = Vec::new();
    for group in texts.chunks(GROUP) {
        let ours = ours(group)?;
        for text in group {
            let told = ours.get(text).context("ours says nothing of a policy")?;
            rows.push(Row::compared(
                text.escape_debug().to_string(),
                theirs(text)?,
                told.clone(),
            ));
        }
    }
    Ok(Report {
        headings: ["policy", "systemd", "Coracle"].map(str::to_owned).to_vec(),
        rows,
        is_shown_whole: false,
        left_out: vec![
            "the names of whole policies, such as @service, and backslashes, which are for systemd-analyze alone".to_owned(),
            "in unit files systemd passes over words that it does not know, which makes a policy say less than it was to say: Coracle refuses it".to_owned(),
        ],
    })
}

/// A policy; one in eight is damaged.
fn policy(random: &mut Random) -> String {
    let count = 1 + random.below(4);
    let rules: Vec<String> = (0..count).map(|_| rule(random)).collect();
    let mut text = rules.join(":");
    if random.below(8) == 0 {
        let at = random.below(text.len() + 1);
        let damage = random.one_of(DAMAGES);
        text.insert_str(at, damage);
    }
    text
}

fn rule(random: &mut Random) -> String {
    let flags: Vec<&str> = (0..random.below(5)).map(|_| random.one_of(FLAGS)).collect();
    let space = [" ", "", "", "", ""];
    format!(
        "{}{}={}{}",
        random.one_of(DESIGNATORS),
        random.one_of(&space),
        random.one_of(&space),
        flags.join("+")
    )
}

/// What `systemd-analyze image-policy` tells of a policy. It ends at the first that it does not take, so each is asked by itself.
fn theirs(text: &str) -> Result<String> {
    let mut command = Command::new("systemd-analyze");
    command.args(["image-policy", "--no-pager", "--", text]);
    let said = said(&mut command)?;
    match said.is_success {
        true => of_theirs(&said),
        false => Ok(REFUSED.to_owned()),
    }
}

fn of_theirs(said: &Said) -> Result<String> {
    let field = |name: &str| {
        let mut lines = said.stdout.lines();
        lines.find_map(|line| Some(line.trim().strip_prefix(name)?.trim().to_owned()))
    };
    let normalized = field("Analyzing policy:").context("no normal form is told")?;
    // It is told where it is another one.
    let spelled_out = field("Long form:").unwrap_or_else(|| normalized.clone());
    let table = said
        .stdout
        .lines()
        .skip_while(|line| !line.starts_with("PARTITION"));
    let rows: Vec<String> = table
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|row| !row.is_empty())
        .collect();
    Ok(told(&normalized, &spelled_out, &rows))
}

fn told(normalized: &str, spelled_out: &str, rows: &[String]) -> String {
    format!("{normalized} | {spelled_out} | {}", rows.join("; "))
}

/// What `coracle image-policy` tells of each of the texts.
fn ours(texts: &[String]) -> Result<BTreeMap<String, String>> {
    let folder = std::env::var_os(testkit::DIST).context("no folder of release files is named")?;
    let mut command = Command::new(Path::new(&folder).join("coracle"));
    command.args(["--json", "image-policy", "--"]).args(texts);
    let said = said(&mut command)?;
    let answers: Vec<Value> = serde_json::from_str(&said.stdout).with_context(|| {
        format!(
            "coracle image-policy printed {}{}",
            said.stdout, said.stderr
        )
    })?;
    let told = texts.iter().cloned().zip(answers.iter().map(of_ours));
    Ok(told.collect())
}

/// The partitions in the order in which systemd tells them.
const ORDER: [&str; 14] = [
    "root",
    "usr",
    "home",
    "srv",
    "esp",
    "xbootldr",
    "swap",
    "root-verity",
    "usr-verity",
    "root-verity-sig",
    "usr-verity-sig",
    "tmp",
    "var",
    "default",
];

fn of_ours(answer: &Value) -> String {
    let text = |value: &Value, name: &str| {
        let found = value.get(name).and_then(Value::as_str);
        found.unwrap_or_default().to_owned()
    };
    if answer.get("error").is_some() {
        return REFUSED.to_owned();
    }
    let row = |name: &&str| {
        let fields = answer.get("partitions").and_then(|all| all.get(*name));
        let fields = fields.cloned().unwrap_or_default();
        let cells = ["modes", "read_only", "grows", "file_systems"].map(|cell| text(&fields, cell));
        format!("{name} {}", cells.join(" "))
    };
    let rows: Vec<String> = ORDER.iter().map(row).collect();
    told(
        &text(answer, "normalized"),
        &text(answer, "spelled_out"),
        &rows,
    )
}
