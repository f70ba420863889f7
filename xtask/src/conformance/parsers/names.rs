//! Unit names, and any text as part of one.

use anyhow::Result;
use load::escape;
use model::UnitName;

use super::super::report::Row;
use super::super::systemd::ask;
use super::{REFUSED, case, generated};

const TEXTS: &[&str] = &[
    "",
    "/",
    "//",
    "///",
    "a",
    "a/b",
    "/a/b",
    "/a/b/",
    "//a//b//",
    "a-b",
    "/a-b/c",
    ".",
    "..",
    ".a",
    "/.a",
    "/./a",
    "/a/./b",
    "/a/../b",
    "../a",
    "a.",
    "a b",
    "a\tb",
    "a\nb",
    "é",
    "/é/ü",
    "a@b",
    "a:b",
    "a_b",
    "a\\b",
    "\\x2d",
    "-",
    "--",
    "-a",
    "a-",
    "%i",
    "100%",
    "\"q\"",
    "'q'",
    "a*b",
    "[x]",
    "{y}",
    "a,b",
    "~",
    "a~b",
    "+",
    "a+b",
    "日本",
    "/var/lib/my service",
    "dev/sda1",
];

const ESCAPED: &[&str] = &[
    "",
    "-",
    "--",
    "a",
    "a-b",
    "-a",
    "a-",
    "-a-b",
    "\\x2d",
    "a\\x2db",
    "\\x2D",
    "\\x2",
    "\\x",
    "\\",
    "\\\\",
    "\\xzz",
    "\\x+1",
    "\\x00",
    "\\xff",
    "\\xc3\\xa9",
    "é",
    "a\\x20b",
    "..",
    ".",
    "a..b",
    "\\x2e",
    "\\x2e\\x2e",
    "a-..-b",
    "a--b",
    "a-.-b",
    "/a",
    "a/b",
    "\\n",
    "\\t",
    "\\055",
    "%i",
    "a b",
    "x\\x2fy",
];

/// What is typed for a unit.
const MANGLED: &[&str] = &[
    "foo.service",
    "/dev/sda1",
    "/dev",
    "/dev/../x",
    "//dev//sda",
    "/sys/x",
    "/home/a-b",
    "foo*",
    "foo?.service",
    "foo.bar",
    "foo.mount",
    ".service",
    "@.service",
    "@",
    "a@",
    "a@.service",
    "x.slice/y",
    "a.service.",
    "foo.service ",
    "./foo",
];

const NAMES: &[&str] = &[
    "a.service",
    "a@.service",
    "a@b.service",
    "@b.service",
    "@.service",
    "a@b@c.service",
    "a.b.service",
    ".service",
    "a",
    "a.",
    "a.foo",
    "a.service.",
    "a.Service",
    "a b.service",
    "a/b.service",
    "a\\b.service",
    "a\\x2db.service",
    "a:b.service",
    "a_b.service",
    "a-b.service",
    "-.slice",
    "-.mount",
    "--.slice",
    "a-.slice",
    "-a.slice",
    "a--b.slice",
    "a-b.slice",
    "a.socket",
    "a.target",
    "a.timer",
    "a.path",
    "a.device",
    "a.swap",
    "a.automount",
    "a.mount",
    "a.scope",
    "a.slice",
    "a.snapshot",
    "é.service",
    "a%.service",
    "a*.service",
    "a,b.service",
    "a~b.service",
    "a+b.service",
    "a@b c.service",
    "a@é.service",
    "a@b/c.service",
    "a@b\\x20c.service",
    "a@-.service",
    "@a@b.service",
    "a@b.slice",
    "a@b.scope",
    "1.service",
    "..service",
    "...service",
    "a\tb.service",
    "a@%i.service",
    "a@b.mount",
    "\"a\".service",
];

pub(super) fn escapes() -> Result<Vec<Row>> {
    let texts = |fixed: &[&str], pieces: &[&str]| {
        let mut all: Vec<String> = fixed.iter().map(|text| (*text).to_owned()).collect();
        all.extend(generated::texts(pieces, 7));
        all
    };
    let raw = texts(
        TEXTS,
        &[
            "a", "B", "/", "-", ".", "..", "\\", ":", "_", " ", "é", "@", "0", "%",
        ],
    );
    let escaped = texts(
        ESCAPED,
        &[
            "a",
            "b",
            "-",
            "\\x2d",
            "\\x2f",
            "\\",
            "x",
            ".",
            "\\xc3\\xa9",
            "@",
            "\\x20",
        ],
    );
    let mangled: Vec<String> = MANGLED.iter().map(|text| (*text).to_owned()).collect();
    let mut rows = Vec::new();
    for text in &raw {
        rows.push(row("escape", &[], text, Some(escape::escape(text)))?);
        // Theirs takes what is no absolute path, too, and tells that it should not.
        let path = format!("/{text}");
        let ours = escape::escape_path(&path);
        rows.push(row("escape as a path", &["--path"], &path, ours)?);
        let template = "unit@.service";
        let whole = UnitName::new(template)
            .ok()
            .and_then(|name| escape::instantiate(&name, text));
        let option = format!("--template={template}");
        rows.push(row(
            "escape for a template",
            &[&option],
            text,
            whole.map(|name| name.to_string()),
        )?);
    }
    for text in raw.iter().chain(&mangled) {
        rows.push(row(
            "mangle",
            &["--mangle"],
            text,
            escape::mangle(text, false),
        )?);
    }
    for text in &escaped {
        rows.push(row(
            "unescape",
            &["--unescape"],
            text,
            escape::unescape(text),
        )?);
        rows.push(row(
            "unescape a path",
            &["--unescape", "--path"],
            text,
            escape::unescape_path(text),
        )?);
    }
    Ok(rows)
}

fn row(kind: &str, options: &[&str], text: &str, ours: Option<String>) -> Result<Row> {
    let said = ask("systemd-escape", &[options, &["--", text]].concat())?;
    let theirs = said.stdout.strip_suffix('\n').unwrap_or(&said.stdout);
    let theirs = if said.is_success { theirs } else { REFUSED };
    let ours = ours.unwrap_or_else(|| REFUSED.to_owned());
    Ok(Row::compared(case(kind, text), theirs.to_owned(), ours))
}

/// Templates can't be loaded, so they are no names here.
pub(super) fn unit_names() -> Result<Vec<Row>> {
    let pieces = [
        "a", "b", "@", "-", ".", "\\x2d", ":", "_", " ", ".service", ".slice", ".service", "é", "%",
    ];
    let fixed = NAMES.iter().map(|text| (*text).to_owned());
    let compare = |name: String| {
        let words = [
            "--",
            "call",
            "org.freedesktop.systemd1",
            "/org/freedesktop/systemd1",
            "org.freedesktop.systemd1.Manager",
            "LoadUnit",
            "s",
            &name,
        ];
        let said = |taken: bool| if taken { "taken" } else { REFUSED }.to_owned();
        let ours = UnitName::new(&name).is_ok_and(|name| !name.is_template());
        let theirs = ask("busctl", &words)?.is_success;
        Ok(Row::compared(
            case("unit name", &name),
            said(theirs),
            said(ours),
        ))
    };
    fixed
        .chain(generated::texts(&pieces, 5))
        .map(compare)
        .collect()
}
