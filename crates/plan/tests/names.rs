//! Who the users and groups are below a root that is not the host's.
#![allow(clippy::unwrap_used, clippy::panic)] // What tests share fails as tests do.
#![allow(dead_code, reason = "not every file of tests uses all that they share")]

mod planning;

use coracle_plan as plan;
use model::Facts;
use plan::step::What;
use plan::{Bindings, Frame, Step, User};
use planning::{bindings, plan_of};

/// The tables that a unit completes, each with the line of the service.
fn check(text: &str, bindings: impl Fn(&mut Bindings<'_>), expected: &[&str]) {
    let plan = plan_of(text, &Facts::default()).unwrap();
    let mut bound = self::bindings(&plan);
    bindings(&mut bound);
    let bytes = plan.bind(&bound).unwrap();
    let steps = Frame::decode(&bytes).unwrap().steps();
    let tables: Vec<String> = steps
        .filter_map(|asked| match asked.unwrap().step {
            Step::Mount {
                at,
                what: What::Users { own } | What::UserGroups { own },
                ..
            } => {
                let own = String::from_utf8_lossy(own);
                Some(format!("{} {own}", at.to_str().unwrap()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(tables, expected, "{text}");
}

const WEB: [&str; 2] = [
    "/etc/passwd web:x:1000:1000::/home/web:/bin/bash",
    "/etc/group web:x:1000:",
];

#[test]
fn a_bundle_is_told_of_the_services_user_and_group_and_the_host_is_left_alone() {
    check("RootDirectory=/srv/web", |_| {}, &WEB);
    check("RootImage=/srv/web.psi\nDynamicUser=yes", |_| {}, &WEB);
    check("DynamicUser=yes", |_| {}, &[]);
    check("RootDirectory=/", |_| {}, &[]);
}

#[test]
fn who_has_no_name_has_no_line() {
    let nobody = |bound: &mut Bindings<'_>| bound.user = None;
    let without = ["/etc/passwd ", "/etc/group "];
    check("RootDirectory=/srv/web", nobody, &without);
    for name in ["", "1000", "a:b", "a\nb"] {
        let named = |bound: &mut Bindings<'_>| {
            let (name, group) = (name.to_owned(), name.to_owned());
            bound.user = Some(User {
                name,
                group,
                ..User::default()
            });
        };
        check("RootDirectory=/srv/web", named, &without);
    }
}

#[test]
fn what_the_unit_puts_there_itself_stays() {
    let root = "RootDirectory=/srv/web\n";
    for (line, expected) in [
        ("BindReadOnlyPaths=/etc/passwd", &WEB[1..]),
        ("InaccessiblePaths=/etc/group", &WEB[..1]),
        ("TemporaryFileSystem=/etc", &[]),
        ("BindPaths=/srv/etc:/etc", &[]),
        ("ReadOnlyPaths=/etc", &WEB),
    ] {
        check(&format!("{root}{line}"), |_| {}, expected);
    }
}
