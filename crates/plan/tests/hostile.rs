//! Plans and reports whatever their bytes: what reads them, in a process with privileges, never panics and always ends.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // What tests share fails as tests do.

use coracle_plan as plan;
use model::text::Verbatim;
use model::value::ExecCommand;
use model::{Facts, Position, Unit};
use plan::frame::{Frame, MAGIC, VERSION};
use plan::report::Report;
use plan::{Bindings, Passed, Situation};
use proptest::prelude::*;

/// A real plan: a service with a sandbox.
fn real() -> Vec<u8> {
    let mut unit = Unit::new("web.service".parse().unwrap());
    for (directive, value) in [
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("PrivateTmp", "yes"),
        ("RestrictNamespaces", "yes"),
        ("Environment", "A=b"),
        ("UMask", "0077"),
    ] {
        settings::apply(&mut unit, "Service", directive, value, &Verbatim).unwrap();
    }
    let situation = Situation {
        position: Position::Beside,
        runtime_dir: "/run/coracle",
        credentials_root: "/run/credentials",
        notify_socket: None,
        stub: false,
        may_take_over: &|_| true,
        quota_trouble: &|_, _| None,
        may_reduce: &|_| false,
    };
    let plan = plan::plan(&unit, &Facts::default(), &situation).unwrap();
    let command = ExecCommand {
        path: "/bin/true".into(),
        argv: vec!["/bin/true".into(), "word".into()],
        ..ExecCommand::default()
    };
    let passed = |role| Passed {
        role,
        name: String::new(),
    };
    let bindings = Bindings {
        groups: vec![4, 5],
        command: Some(&command),
        descriptors: plan.roles().into_iter().map(passed).collect(),
        ..Bindings::default()
    };
    plan.bind(&bindings).unwrap()
}

#[test]
fn a_real_plan_has_steps() {
    assert!(read(&real()) > 10);
}

/// Reads everything that the executor would.
fn read(bytes: &[u8]) -> usize {
    let Ok(frame) = Frame::decode(bytes) else {
        return 0;
    };
    let steps = frame.steps().count();
    let values = frame.credentials().count() + frame.group_list().count();
    assert!(steps <= bytes.len() && values <= bytes.len());
    steps
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_a_plan_or_none(bytes in prop::collection::vec(any::<u8>(), 0..300), small in prop::collection::vec(0..8_u8, 0..300)) {
        let head = [MAGIC.as_slice(), &VERSION.to_le_bytes()].concat();
        read(&bytes);
        read(&[head.as_slice(), &bytes].concat());
        // Small numbers make lengths that fit, so that what comes behind them is reached.
        read(&[head.as_slice(), &small].concat());
    }

    #[test]
    fn a_changed_plan_is_a_plan_or_none(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6), cut in prop::option::of(any::<prop::sample::Index>())) {
        let mut bytes = real();
        for (place, byte) in edits {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let end = cut.map_or(bytes.len(), |cut| cut.index(bytes.len()));
        read(&bytes[..end]);
    }

    #[test]
    fn any_report_is_read_or_none(bytes in prop::collection::vec(any::<u8>(), 0..24)) {
        if let Some(report) = Report::decode(&bytes) {
            prop_assert_eq!(Report::decode(&report.encode()), Some(report));
        }
    }
}
