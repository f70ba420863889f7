//! Trees and verbs to links and states, as text.

use coracle_enabling::{Change, Options, Places, Problem, Scope, Work};
use load::{MemoryTree, SpecifierContext};

/// A tree from lines `PATH: TEXT`, with `|` for line ends, or `PATH -> TARGET`, below the directories that `E`, `R`, `L` stand for.
fn tree(lines: &str) -> MemoryTree {
    let mut tree = MemoryTree::new();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some((path, target)) = line.split_once(" -> ") {
            tree.symlink(full(path), target);
        } else {
            let (path, text) = line.split_once(": ").unwrap_or((line, ""));
            tree.write(full(path), text.replace('|', "\n"));
        }
    }
    tree
}

fn full(path: &str) -> String {
    for (short, place) in [
        ("E/", "/etc/systemd/system/"),
        ("R/", "/run/systemd/system/"),
        ("L/", "/usr/lib/systemd/system/"),
    ] {
        if let Some(rest) = path.strip_prefix(short) {
            return format!("{place}{rest}");
        }
    }
    format!("/{path}")
}

fn short(path: &std::path::Path) -> String {
    let text = path.display().to_string();
    text.replace("/etc/systemd/system/", "E/")
        .replace("/run/systemd/system/", "R/")
        .replace("/usr/lib/systemd/system/", "L/")
}

/// What comes of a step, and what is not done.
fn done(lines: &str, step: impl Fn(&mut Work) -> Result<(), Problem>) -> Vec<String> {
    let (tree, places, context) = (
        tree(lines),
        Places::reference(),
        SpecifierContext::default(),
    );
    let mut work = Work::new(&places, &context, &tree);
    let ended = step(&mut work);
    let outcome = work.finish();
    let changes = outcome.changes.iter().map(|change| match change {
        Change::Link { at, target } => format!("{} -> {}", short(at), short(target)),
        Change::Unlink { at } => format!("- {}", short(at)),
        Change::RemoveTree { at } => format!("- {}/*", short(at)),
    });
    let problems = outcome.problems.into_iter().chain(ended.err());
    changes
        .chain(problems.map(|problem| format!("! {problem}")))
        .collect()
}

fn names(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn check_enable(lines: &str, units: &str, expected: &[&str]) {
    let found = done(lines, |work| work.enable(&names(units), Options::default()));
    assert_eq!(found, expected, "{lines}");
}

fn check_disable(lines: &str, units: &str, expected: &[&str]) {
    let found = done(lines, |work| {
        work.disable(&names(units), Options::default())
    });
    assert_eq!(found, expected, "{lines}");
}

fn check_states(lines: &str, expected: &str) {
    let (tree, places, context) = (
        tree(lines),
        Places::reference(),
        SpecifierContext::default(),
    );
    let work = Work::new(&places, &context, &tree);
    let states = expected.split_whitespace().map(|pair| {
        let unit = pair.split('=').next().unwrap_or_default();
        let state = work.state(unit).map_or("not-found", |state| state.word());
        format!("{unit}={state}")
    });
    assert_eq!(states.collect::<Vec<_>>().join(" "), expected, "{lines}");
}

#[test]
fn each_line_of_the_section_is_a_link() {
    check_enable(
        "L/a.service: [Install]|WantedBy=m.target n.target|RequiredBy=o.target|UpheldBy=p.target|Alias=b.service",
        "a.service",
        &[
            "E/b.service -> L/a.service",
            "E/m.target.wants/a.service -> L/a.service",
            "E/n.target.wants/a.service -> L/a.service",
            "E/o.target.requires/a.service -> L/a.service",
            "E/p.target.upholds/a.service -> L/a.service",
        ],
    );
}

#[test]
fn a_template_needs_an_instance_and_may_have_one_by_itself() {
    let template = "L/t@.service: [Install]|WantedBy=m.target";
    check_enable(
        template,
        "t@i.service",
        &["E/m.target.wants/t@i.service -> L/t@.service"],
    );
    check_enable(
        template,
        "t@.service",
        &[
            "! t@.service is a template and m.target names no instance: enable one of its instances, such as t@NAME.service",
        ],
    );
    check_enable(
        "L/t@.service: [Install]|WantedBy=m.target|DefaultInstance=q",
        "t@.service",
        &["E/m.target.wants/t@q.service -> L/t@.service"],
    );
}

#[test]
fn what_belongs_together_is_enabled_and_disabled_together() {
    let files = "L/a.service: [Install]|WantedBy=m.target|Also=a.socket nowhere.service\nL/a.socket: [Install]|WantedBy=s.target";
    check_enable(
        files,
        "a.service",
        &[
            "E/m.target.wants/a.service -> L/a.service",
            "E/s.target.wants/a.socket -> L/a.socket",
        ],
    );
    let enabled = format!(
        "{files}\nE/m.target.wants/a.service -> /usr/lib/systemd/system/a.service\nE/s.target.wants/a.socket -> ../../../../usr/lib/systemd/system/a.socket"
    );
    check_disable(
        &enabled,
        "a.service",
        &[
            "- E/m.target.wants/a.service",
            "- E/s.target.wants/a.socket",
        ],
    );
}

#[test]
fn nothing_is_done_for_units_that_nobody_may_enable() {
    for (files, problem) in [
        ("", "! there is no unit a.service"),
        (
            "E/a.service -> /dev/null",
            "! /etc/systemd/system/a.service is masked",
        ),
        (
            "run/systemd/generator/a.service: [Install]|WantedBy=m.target",
            "! /run/systemd/generator/a.service is made at run time: its maker decides about it",
        ),
        (
            "E/a.service -> b.service\nE/b.service -> a.service",
            "! the links of a.service lead back to themselves, or nowhere that a unit may be linked to",
        ),
    ] {
        check_enable(files, "a.service", &[problem]);
    }
}

#[test]
fn names_that_lead_out_of_the_unit_directories_are_refused() {
    let found = done(
        "L/a.service: [Install]|WantedBy=../../x.target /x.target|Alias=../../../etc/passwd ../m.target.wants/a.service",
        |work| work.enable(&names("a.service"), Options::default()),
    );
    assert!(
        found.len() == 4 && found.iter().all(|line| line.starts_with('!')),
        "{found:?}"
    );
}

#[test]
fn links_that_are_not_ours_are_replaced_only_by_force() {
    let files = "L/a.service: [Install]|Alias=x.service\nL/b.service: [Service]\nE/x.service -> /usr/lib/systemd/system/b.service";
    check_enable(
        files,
        "a.service",
        &[
            "! /etc/systemd/system/x.service is there already, a link to /usr/lib/systemd/system/b.service",
        ],
    );
    let force = Options {
        force: true,
        ..Options::default()
    };
    assert_eq!(
        done(files, |work| work.enable(&names("a.service"), force)),
        ["- E/x.service", "E/x.service -> L/a.service"]
    );
}

#[test]
fn later_steps_see_earlier_ones() {
    let files = "L/a.service: [Install]|WantedBy=m.target\nE/old.target.wants/a.service -> /usr/lib/systemd/system/a.service";
    assert_eq!(
        done(files, |work| work
            .reenable(&names("a.service"), Options::default())),
        [
            "- E/old.target.wants/a.service",
            "E/m.target.wants/a.service -> L/a.service"
        ]
    );
    let mask_and_back = |work: &mut Work| {
        work.mask(&names("a.service"), Options::default());
        assert_eq!(work.state("a.service").unwrap().word(), "masked");
        work.unmask(&names("a.service"), Options::default())
    };
    assert_eq!(
        done(files, mask_and_back),
        ["E/a.service -> /dev/null", "- E/a.service"]
    );
}

#[test]
fn presets_enable_disable_and_leave_alone() {
    let files = "L/a.service: [Install]|WantedBy=m.target\n\
        L/b.service: [Install]|WantedBy=m.target\n\
        L/c.service: [Install]|WantedBy=m.target\n\
        L/t@.service: [Install]|WantedBy=m.target\n\
        etc/systemd/system-preset/1.preset: ignore c.*\n\
        usr/lib/systemd/system-preset/0.preset: enable t@.service x y|enable a.service|disable *\n\
        E/m.target.wants/b.service -> /usr/lib/systemd/system/b.service\n\
        E/m.target.wants/c.service -> /usr/lib/systemd/system/c.service";
    let all = |scope| done(files, |work| work.preset_all(scope, Options::default()));
    let on = [
        "E/m.target.wants/a.service -> L/a.service",
        "E/m.target.wants/t@x.service -> L/t@.service",
        "E/m.target.wants/t@y.service -> L/t@.service",
    ];
    // The file 0.preset comes first: what it says of everything leaves nothing to the other.
    let off = [
        "- E/m.target.wants/b.service",
        "- E/m.target.wants/c.service",
    ];
    assert_eq!(all(Scope::Full), [&off[..], &on].concat());
    assert_eq!(all(Scope::EnableOnly), on);
    assert_eq!(all(Scope::DisableOnly), off);
}

#[test]
fn states_are_what_links_say() {
    check_states(
        "L/on.service: [Install]|WantedBy=m.target\nE/m.target.wants/on.service -> /usr/lib/systemd/system/on.service\n\
         L/soon.service: [Install]|WantedBy=m.target\nR/m.target.wants/soon.service -> /usr/lib/systemd/system/soon.service\n\
         L/off.service: [Install]|WantedBy=m.target\n\
         L/static.service: [Service]\n\
         L/also.service: [Install]|Also=off.service\n\
         L/other.service -> static.service\n\
         E/masked.service -> /dev/null\nR/gone.service -> /dev/null\n\
         opt/here.service: [Service]\nE/here.service -> /opt/here.service\n\
         opt/now.service: [Service]\nR/now.service -> /opt/now.service\n\
         run/systemd/generator/made.service: [Service]\n\
         run/systemd/transient/brief.service: [Service]\n",
        "on.service=enabled soon.service=enabled-runtime off.service=disabled static.service=static also.service=indirect \
         other.service=alias masked.service=masked gone.service=masked-runtime here.service=linked now.service=linked-runtime \
         made.service=generated brief.service=transient nobody.service=not-found"
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .as_str(),
    );
}

#[test]
fn the_default_is_a_target_that_is_there() {
    let files = "L/m.target: [Unit]\nL/default.target -> m.target\nL/n.target: [Unit]";
    let set = |name: &'static str| done(files, move |work| work.set_default(name));
    assert_eq!(set("n.target"), ["E/default.target -> L/n.target"]);
    for name in ["a.service", "default.target"] {
        assert_eq!(
            set(name),
            [format!(
                "! {name} can't be the default: only a target can, and not default.target itself"
            )]
        );
    }
    assert_eq!(set("x.target"), ["! there is no unit x.target"]);
}

#[test]
fn a_unit_that_is_no_file_is_named_beside_the_link() {
    let path = load::SearchPath::own("/c".as_ref(), "/r".as_ref(), "/s".as_ref())
        .followed_by([load::built_in::DIRECTORY.into()]);
    let places = Places::own(path, "/c".as_ref(), "/r".as_ref());
    let (tree, context) = (MemoryTree::new(), SpecifierContext::default());
    let tree = load::built_in::UnitTree(tree);
    let mut work = Work::new(&places, &context, &tree);
    assert_eq!(work.default_target().unwrap(), "default.target");
    work.set_default("basic.target").unwrap();
    assert_eq!(work.default_target().unwrap(), "basic.target");
    let changes = work.finish().changes;
    let expected = Change::Link {
        at: "/c/units/default.target".into(),
        target: "basic.target".into(),
    };
    assert_eq!(changes, [expected]);
}
