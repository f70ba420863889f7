//! What is recorded, what outlives it, and who may follow whom.

use super::*;

pub(super) fn portable(version: &str, signer: &[u8]) -> Portable {
    Portable {
        current: version.into(),
        signer: Some(Signer {
            fingerprint: Digest::of(signer),
            name: "Maker".into(),
            issuer: None,
            key: None,
            kin: Vec::new(),
        }),
        origin: "https://example/hello.psi".into(),
        grants: Grants::from_list("network,listen:8080").unwrap(),
        ..Portable::new("hello".into(), Trust::Signed)
    }
}

fn put(records: &Portables, portable: &Portable) -> Result<(), Error> {
    records.hold(&portable.name)?.put(portable)
}

fn remove(records: &Portables) -> Result<(), Error> {
    records.hold("hello")?.remove()
}

#[test]
fn a_record_is_written_and_read_back() {
    let state = tempfile::tempdir().unwrap();
    let records = Portables::new(state.path());
    put(&records, &portable("1.0", b"a")).unwrap();
    assert_eq!(records.get("hello").unwrap(), Some(portable("1.0", b"a")));
    assert_eq!(records.list().unwrap().len(), 1);
    assert!(records.get("../hello").is_err());
}

#[test]
fn the_highest_version_and_the_signer_outlive_the_record() {
    let state = tempfile::tempdir().unwrap();
    let records = Portables::new(state.path());
    put(&records, &portable("1.10", b"a")).unwrap();
    put(&records, &portable("1.9", b"a")).unwrap();
    remove(&records).unwrap();
    assert_eq!(records.get("hello").unwrap(), None);
    let signer = portable("1.9", b"a").signer;
    let check = |version, signer: Option<&Signer>, allowed| {
        records.check("hello", version, signer, allowed)
    };
    assert!(matches!(
        check("1.9", signer.as_ref(), Allowed::default()),
        Err(Error::Downgrade { .. })
    ));
    check(
        "1.9",
        signer.as_ref(),
        Allowed {
            downgrade: true,
            ..Allowed::default()
        },
    )
    .unwrap();
    check("1.10", signer.as_ref(), Allowed::default()).unwrap();
    assert!(matches!(
        check("2", None, Allowed::default()),
        Err(Error::OtherSigner { .. })
    ));
    let other = portable("2", b"b").signer;
    assert!(matches!(
        check("2", other.as_ref(), Allowed::default()),
        Err(Error::OtherSigner { .. })
    ));
    records.forget("hello").unwrap();
    check("1.0", None, Allowed::default()).unwrap();
    assert!(!state.path().join("remembered").exists());
}

#[test]
fn what_was_withdrawn_is_no_mere_older_version() {
    let state = tempfile::tempdir().unwrap();
    let records = Portables::new(state.path());
    let mut known = portable("1.1", b"a");
    known.channel = Some(Seen {
        signer: Some(Digest::of(b"a")),
        serial: 1,
        digest: Digest::of(b"index"),
        floor: Some("1.1".into()),
        lineage: Vec::new(),
        successors: Vec::new(),
    });
    put(&records, &known).unwrap();
    let check = |version, signer: &[u8], allowed| {
        records.check(
            "hello",
            version,
            portable("1", signer).signer.as_ref(),
            allowed,
        )
    };
    let older = Allowed {
        downgrade: true,
        ..Allowed::default()
    };
    assert!(matches!(
        check("1.0", b"a", older),
        Err(Error::BelowFloor { .. })
    ));
    let withdrawn = Allowed {
        withdrawn: true,
        ..older
    };
    check("1.0", b"a", withdrawn).unwrap();
    check("1.1", b"a", Allowed::default()).unwrap();
    // Another maker, who was accepted, withdrew nothing.
    let other = Allowed {
        other_signer: true,
        ..older
    };
    check("1.0", b"b", other).unwrap();
    // A purge forgets none of that, and what is told to forget does.
    remove(&records).unwrap();
    assert!(matches!(
        check("1.0", b"a", older),
        Err(Error::BelowFloor { .. })
    ));
    let seen = || records.remembered_channel("hello").unwrap();
    assert_eq!(seen(), known.channel);
    check("1.0", b"b", other).unwrap();
    put(&records, &portable("1.2", b"b")).unwrap();
    assert_eq!(seen(), None, "it is another maker's now");
    records.forget("hello").unwrap();
    assert!(!state.path().join("remembered-channels").exists());
}

#[test]
fn a_signer_does_not_take_over_what_nobody_signed_unasked() {
    let state = tempfile::tempdir().unwrap();
    let records = Portables::new(state.path());
    let signer = portable("1.1", b"a").signer;
    let unsigned = Portable {
        signer: None,
        ..portable("1.0", b"")
    };
    put(&records, &unsigned).unwrap();
    let check = |signer: Option<&Signer>, other_signer| {
        let allowed = Allowed {
            other_signer,
            ..Allowed::default()
        };
        records.check("hello", "1.1", signer, allowed)
    };
    let said = check(signer.as_ref(), false).unwrap_err().to_string();
    assert!(
        said.starts_with("hello was not signed until now, and this image is signed by \"Maker\""),
        "{said}"
    );
    check(signer.as_ref(), true).unwrap();
    check(None, false).unwrap();
    remove(&records).unwrap();
    check(signer.as_ref(), false).unwrap();
}

#[test]
fn a_damaged_record_is_told_and_not_overlooked() {
    let state = tempfile::tempdir().unwrap();
    let records = Portables::new(state.path());
    put(&records, &portable("1.0", b"a")).unwrap();
    std::fs::write(state.path().join("portables/hello/portable.json"), "{").unwrap();
    assert!(matches!(records.get("hello"), Err(Error::Damaged { .. })));
    std::fs::write(state.path().join("remembered"), "hello\n").unwrap();
    assert!(matches!(
        records.remembered("hello"),
        Err(Error::Damaged { .. })
    ));
}

fn installed() -> tempfile::TempDir {
    let state = tempfile::tempdir().unwrap();
    put(&Portables::new(state.path()), &portable("1.0", b"a")).unwrap();
    state
}

#[test]
fn a_power_cut_never_lowers_what_is_remembered_nor_damages_a_record() {
    let update = |state: &Path| put(&Portables::new(state), &portable("1.1", b"a"));
    crate::files::power::at_each_step(installed, update, |state, done| {
        let records = Portables::new(state);
        let current = records.get("hello").unwrap().unwrap().current;
        let highest = records.remembered("hello").unwrap().unwrap().highest;
        let states = [("1.0", "1.0"), ("1.0", "1.1"), ("1.1", "1.1")];
        assert!(
            states.contains(&(&current, &highest)),
            "{current} {highest}"
        );
        assert!(!done || current == "1.1");
        update(state).unwrap();
    });
}

#[test]
fn a_power_cut_during_removal_leaves_a_record_that_can_be_removed_again() {
    crate::files::power::at_each_step(
        installed,
        |state| remove(&Portables::new(state)),
        |state, done| {
            let records = Portables::new(state);
            assert!(records.get("hello").unwrap().is_none() || !done);
            remove(&records).unwrap();
            assert_eq!(records.list().unwrap(), []);
            assert_eq!(entries(state).unwrap(), [state.join("remembered")]);
        },
    );
}

#[test]
fn notes_of_portables_that_come_and_go_at_once_are_not_in_each_others_way() {
    const ROUNDS: usize = 300;
    let runtime = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for name in ["boat", "raft", "ship", "tug"] {
            let runtime = runtime.path();
            scope.spawn(move || {
                for _ in 0..ROUNDS {
                    mark_until_reboot(runtime, name, true).unwrap();
                    assert!(until_reboot(runtime, name).exists());
                    mark_until_reboot(runtime, name, false).unwrap();
                }
            });
        }
    });
    assert!(!runtime.path().join("until-reboot").exists());
}

#[test]
fn what_is_in_the_way_of_the_notes_is_told_and_not_waited_for() {
    let runtime = tempfile::tempdir().unwrap();
    let note = until_reboot(runtime.path(), "a");
    std::fs::write(note.parent().unwrap(), "").unwrap();
    let told = mark_until_reboot(runtime.path(), "a", true).unwrap_err();
    assert!(told.to_string().contains("until-reboot"), "{told}");
}
