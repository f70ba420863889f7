//! Sealed credentials, in both directions: what systemd-creds seals, ours opens, and the other way round.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::report::{Report, Row};
use super::systemd::{Said, said};

/// What the programs seal: nothing, text, bytes of all kinds, and as much as may be.
const CONTENTS: [(&str, &[u8]); 4] = [
    ("nothing", b""),
    ("a word", b"hello"),
    ("bytes", &[0, 255, 10, 13, 92, 0]),
    ("1 MiB", &[b'x'; 1 << 20]),
];
const KEYS: [&str; 2] = ["host", "null"];

/// One of the two programs.
#[derive(Clone, Copy)]
enum Side {
    Theirs,
    Ours,
}

impl Side {
    fn command(self) -> Result<Command> {
        Ok(match self {
            Side::Theirs => Command::new("systemd-creds"),
            Side::Ours => {
                let folder = std::env::var_os(testkit::DIST);
                let folder = folder.context("no folder of release files is named")?;
                let mut command = Command::new(Path::new(&folder).join("coracle"));
                command.arg("creds");
                command
            }
        })
    }

    fn run(self, words: &[&str]) -> Result<Said> {
        said(self.command()?.args(words))
    }

    fn seal(self, options: &[&str], input: &str, output: &str) -> Result<bool> {
        let words = [&["encrypt"], options, &[input, output]].concat();
        Ok(self.run(&words)?.is_success)
    }

    /// The content, as the checksum of a file, or that it is refused.
    fn open(self, options: &[&str], input: &str) -> Result<String> {
        let output = "/tmp/opened";
        fs::remove_file(output).ok();
        let words = [&["decrypt"], options, &[input, output]].concat();
        if !self.run(&words)?.is_success {
            return Ok("refused".to_owned());
        }
        let content = fs::read(output)?;
        Ok(format!("{} bytes, {:016x}", content.len(), sum(&content)))
    }
}

/// FNV-1a, 64 bits.
fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

pub(super) fn run() -> Result<Report> {
    // The reference's own secret is both sides'.
    Side::Theirs.run(&["setup"])?;
    let mut rows = Vec::new();
    for (what, content) in CONTENTS {
        fs::write("/tmp/content", content)?;
        for key in KEYS {
            rows.extend(of_content(what, key)?);
        }
    }
    fs::write("/tmp/content", "hello")?;
    rows.extend(of_options()?);
    Ok(Report {
        headings: ["credential", "systemd", "Coracle"]
            .map(str::to_owned)
            .to_vec(),
        rows,
        is_shown_whole: false,
        left_out: vec!["keys of a TPM2, and of users (`--user`)".to_owned()],
    })
}

/// Both open what each has sealed.
fn of_content(what: &str, key: &str) -> Result<Vec<Row>> {
    let with_key = format!("--with-key={key}");
    let mut rows = Vec::new();
    for (who, side) in [("systemd", Side::Theirs), ("Coracle", Side::Ours)] {
        let is_sealed = side.seal(&["--name=word", &with_key], "/tmp/content", "/tmp/sealed")?;
        let case = format!("{what}, {key}, sealed by {who}");
        if !is_sealed {
            rows.push(Row::compared(case, "sealed".into(), "not sealed".into()));
            continue;
        }
        for name in ["--name=word", "--name=other"] {
            let open = |side: Side| side.open(&[name], "/tmp/sealed");
            let case = format!("{case}, opened with {name}");
            rows.push(Row::compared(case, open(Side::Theirs)?, open(Side::Ours)?));
        }
    }
    Ok(rows)
}

/// Names, times, and what is no credential.
fn of_options() -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (case, seal, open) in [
        ("without a name", &["--name="][..], &["--name=any"][..]),
        ("the file's name", &[], &[]),
        (
            "in its time",
            &["--not-after=2030-01-01"],
            &["--timestamp=2029-12-31"],
        ),
        (
            "over",
            &["--not-after=2030-01-01"],
            &["--timestamp=2030-01-02"],
        ),
        (
            "over before it begins",
            &["--timestamp=2020-01-02", "--not-after=2020-01-01"],
            &[],
        ),
        ("null refused", &["--with-key=null"], &["--refuse-null"]),
    ] {
        for (who, side) in [("systemd", Side::Theirs), ("Coracle", Side::Ours)] {
            fs::remove_file("/tmp/sealed").ok();
            let is_sealed = side.seal(seal, "/tmp/content", "/tmp/sealed")?;
            let opened = |side: Side| {
                if is_sealed {
                    side.open(open, "/tmp/sealed")
                } else {
                    Ok("not sealed".to_owned())
                }
            };
            let case = format!("{case}, sealed by {who}");
            rows.push(Row::compared(
                case,
                opened(Side::Theirs)?,
                opened(Side::Ours)?,
            ));
        }
    }
    for (case, text) in [
        ("no text", &b"\xff\xfe"[..]),
        ("empty", b""),
        ("too short", b"Whxqht+dQJax1aZeCGLxmiAAAAABAAAADAAAABAAAABG"),
        ("another key", b"AAAAht+dQJax1aZeCGLxmiAAAAABAAAADAAAABAAAABGLbo46vziduuD++MAAAAAS5UcXj2phwXbxcAUncK3NTiWNMAp44cjWqNV06mvRa+fLD35qEqe+GHWN9um"),
        ("another secret", b"Whxqht+dQJax1aZeCGLxmiAAAAABAAAADAAAABAAAABGLbo46vziduuD++MAAAAAS5UcXj2phwXbxcAUncK3NTiWNMAp44cjWqNV06mvRa+fLD35qEqe+GHWN9um"),
    ] {
        fs::write("/tmp/sealed", text)?;
        let open = |side: Side| side.open(&[], "/tmp/sealed");
        rows.push(Row::compared(case, open(Side::Theirs)?, open(Side::Ours)?));
    }
    // A line of a unit is text that both read back.
    let pretty = |side: Side| -> Result<String> {
        let said = side.run(&["encrypt", "--name=foo", "-p", "/tmp/content", "-"])?;
        let text = said.stdout.split_once(':').map_or("", |(_, text)| text);
        fs::write("/tmp/sealed", text.replace('\\', ""))?;
        Side::Theirs.open(&["--name=foo"], "/tmp/sealed")
    };
    rows.push(Row::compared(
        "a line of a unit",
        pretty(Side::Theirs)?,
        pretty(Side::Ours)?,
    ));
    Ok(rows)
}
