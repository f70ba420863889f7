//! Units as text, and their plans as lines.
#![allow(dead_code)] // Each test file uses its part of it.
#![allow(clippy::unwrap_used, clippy::panic)] // A test that can't read its own samples must fail.

use coracle_plan as plan;
use model::text::Verbatim;
use model::{Directive, Facts, Position, Unit};
use plan::{Bindings, Frame, Passed, Refusal, Situation, SpawnPlan, User};

pub(crate) fn unit(name: &str, section: &str, lines: &str) -> Unit {
    let mut unit = Unit::new(name.parse().unwrap());
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (directive, value) = line.split_once('=').unwrap();
        settings::apply(&mut unit, section, directive, value, &Verbatim)
            .unwrap_or_else(|error| panic!("{line}: {error}"));
    }
    unit
}

pub(crate) fn situation<'a>(may_reduce: &'a dyn Fn(Directive) -> bool) -> Situation<'a> {
    Situation {
        position: Position::Beside,
        runtime_dir: "/run/coracle",
        credentials_root: "/run/credentials",
        notify_socket: None,
        stub: false,
        may_take_over: &|_| true,
        quota_trouble: &|_, _| None,
        may_reduce,
    }
}

pub(crate) fn plan_of(lines: &str, facts: &Facts) -> Result<SpawnPlan, Refusal> {
    plan::plan(
        &unit("web.service", "Service", lines),
        facts,
        &situation(&|_| false),
    )
}

/// The lines of the plan, without those that every start has.
#[track_caller]
pub(crate) fn check(lines: &str, expected: &str) {
    let usual = plan_of("", &Facts::default()).unwrap().explain();
    let plan = plan_of(lines, &Facts::default()).unwrap();
    let own: Vec<String> = plan
        .explain()
        .into_iter()
        .filter(|line| !usual.contains(line))
        .collect();
    let expected: Vec<&str> = expected
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    assert_eq!(own, expected, "{lines}\n{}", own.join("\n"));
}

pub(crate) fn bindings(plan: &SpawnPlan) -> Bindings<'static> {
    Bindings {
        uid: 1000,
        gid: 1000,
        user: Some(User {
            name: "web".into(),
            home: "/home/web".into(),
            shell: "/bin/bash".into(),
            group: "web".into(),
        }),
        invocation: [0xab; 16],
        descriptors: plan
            .roles()
            .into_iter()
            .map(|role| Passed {
                role,
                name: String::new(),
            })
            .collect(),
        ..Bindings::default()
    }
}

pub(crate) fn environment(plan: &SpawnPlan) -> Vec<String> {
    let bytes = plan.bind(&bindings(plan)).unwrap();
    Frame::decode(&bytes)
        .unwrap()
        .environment
        .iter()
        .map(|line| line.to_str().unwrap().to_owned())
        .collect()
}
