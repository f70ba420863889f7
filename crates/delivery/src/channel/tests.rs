//! Indexes printed and read, held against what was seen before, and added to.

use super::*;

const NOW: u64 = 1_764_150_000;

fn part(file: &str) -> Part {
    Part {
        file: file.to_owned(),
        digest: Digest::of(file.as_bytes()),
        bytes: 4096,
    }
}

fn release(version: &str) -> Release {
    Release {
        version: version.to_owned(),
        released: NOW,
        image: part(&format!("boat_{version}.psi")),
        compressed: None,
        chunks: None,
        pack: None,
        patches: Vec::new(),
        needs: Needs::default(),
    }
}

fn index(versions: &[&str]) -> Index {
    Index {
        serial: 7,
        issued: NOW,
        expires: NOW + 90 * 86_400,
        floor: None,
        versions: versions.iter().map(|version| release(version)).collect(),
    }
}

fn seen(serial: u64, floor: Option<&str>) -> Seen {
    Seen {
        signer: Some(Digest::of(b"maker")),
        serial,
        digest: Digest::of(b"seen"),
        floor: floor.map(str::to_owned),
        lineage: Vec::new(),
        successors: Vec::new(),
    }
}

fn host() -> Host {
    Host {
        architecture: "x86-64".to_owned(),
        kernel: "6.1.0-28-amd64".to_owned(),
    }
}

fn judge(index: &Index, seen: Option<&Seen>, now_s: u64) -> String {
    let digest = Digest::of(b"this");
    let judged = index.judge(("boat", "boat"), (&digest, seen), now_s);
    judged
        .err()
        .map(|refused| refused.to_string())
        .unwrap_or_default()
}

#[test]
fn an_index_is_printed_and_read_back() {
    let mut whole = index(&["1.0", "1.1"]);
    whole.floor = Some("1.0".to_owned());
    whole.versions[0].compressed = Some(part("boat_1.0.psi.zst"));
    whole.versions[0].chunks = Some(part("boat_1.0.chunks"));
    whole.versions[1].needs = Needs {
        architecture: Some("arm64".to_owned()),
        kernel: Some("5.15".to_owned()),
    };
    assert_eq!(Index::parse(&whole.print()).unwrap(), whole);
    assert_eq!(Index::parse(&index(&[]).print()).unwrap(), index(&[]));
}

#[test]
fn what_contradicts_itself_or_leads_elsewhere_is_refused() {
    let check = |change: &dyn Fn(&mut Index), expected: &str| {
        let mut index = index(&["1.0", "1.1"]);
        change(&mut index);
        let said = Index::parse(&index.print()).unwrap_err().to_string();
        assert!(said.contains(expected), "{said}");
    };
    check(
        &|index| index.versions[1].version = "1.0".to_owned(),
        "1.0 twice",
    );
    check(&|index| index.expires = index.issued, "expires before");
    check(
        &|index| index.versions[0].image.file = "../x.psi".to_owned(),
        "no file beside",
    );
    check(
        &|index| index.versions[0].image.file = ".x".to_owned(),
        "no file beside",
    );
    check(
        &|index| index.versions[0].version = "1 0".to_owned(),
        "neither version",
    );
    check(
        &|index| index.versions[0].version = String::new(),
        "neither version",
    );
    check(
        &|index| index.floor = Some("\u{1b}[2J".to_owned()),
        "neither version",
    );
    check(&|index| index.versions[0].image.bytes = u64::MAX, "bytes");
    check(
        &|index| index.versions[0].image.file = "x".repeat(201),
        "neither version",
    );
    check(
        &|index| index.versions = (0..257).map(|n| release(&n.to_string())).collect(),
        "256 versions",
    );
    for text in ["", "{}", "[]", "{\"serial\":-1}", &"[".repeat(1000)] {
        assert!(
            matches!(Index::parse(text), Err(Refused::Form { .. })),
            "{text}"
        );
    }
}

#[test]
fn frozen_replayed_forked_and_early_indexes_are_refused_with_the_reason() {
    let index = index(&["1.0"]);
    assert_eq!(judge(&index, None, NOW), "");
    assert_eq!(judge(&index, Some(&seen(6, None)), NOW), "");
    let same = Seen {
        digest: Digest::of(b"this"),
        ..seen(7, None)
    };
    assert_eq!(judge(&index, Some(&same), NOW), "");
    for (seen, now_s, expected) in [
        (
            Some(seen(8, None)),
            NOW,
            "serial 7, and 8 was seen before: an old one is served again",
        ),
        (
            Some(seen(7, None)),
            NOW,
            "two channel indexes with serial 7",
        ),
        (Some(seen(6, Some("1.0"))), NOW, "a floor never sinks"),
        (
            None,
            NOW + 91 * 86_400,
            "expired on 2026-02-24 09:40 UTC, and this machine's clock says 2026-02-25 09:40 UTC",
        ),
        (
            None,
            NOW - 86_401,
            "made on 2025-11-26 09:40 UTC, and this machine's clock says 2025-11-25 09:39 UTC",
        ),
    ] {
        let said = judge(&index, seen.as_ref(), now_s);
        assert!(said.contains(expected), "{said}");
    }
    assert_eq!(
        judge(&index, None, NOW - 86_400),
        "",
        "a clock may be a day behind"
    );
    let digest = Digest::of(b"this");
    let said = index
        .judge(("ship", "boat"), (&digest, None), NOW)
        .unwrap_err();
    assert!(said.to_string().contains("about ship, not boat"), "{said}");
}

#[test]
fn the_newest_version_that_the_host_can_have_is_chosen() {
    let mut index = index(&["1.9", "1.10", "1.11", "1.12"]);
    index.versions[3].needs.kernel = Some("6.2".to_owned());
    index.versions[2].needs.architecture = Some("arm64".to_owned());
    index.versions[1].needs.kernel = Some("5.15".to_owned());
    let (newest, passed) = index.newest(&host());
    assert_eq!(newest.map(|release| release.version.as_str()), Some("1.10"));
    let reasons: Vec<&str> = passed.iter().map(|(_, reason)| reason.as_str()).collect();
    assert_eq!(
        reasons,
        [
            "it needs Linux 6.2, and this host has 6.1.0-28-amd64",
            "it is for arm64, and this host is x86-64"
        ]
    );
    index.floor = Some("1.11".to_owned());
    let (newest, passed) = index.newest(&host());
    assert_eq!(newest, None);
    assert_eq!(passed[2].1, "it is below the floor, 1.11");
}

#[test]
fn a_version_is_published_once_and_not_below_the_floor() {
    let mut index = index(&["1.0"]);
    index.add(release("1.2")).unwrap();
    index.add(release("1.1")).unwrap();
    let versions: Vec<&str> = index
        .versions
        .iter()
        .map(|one| one.version.as_str())
        .collect();
    assert_eq!(versions, ["1.2", "1.1", "1.0"]);
    let again = Release {
        released: NOW + 5,
        compressed: Some(part("boat_1.2.psi.zst")),
        ..release("1.2")
    };
    index.add(again).unwrap();
    assert_eq!((index.versions.len(), index.versions[0].released), (3, NOW));
    assert!(index.versions[0].compressed.is_some());
    let other = Release {
        image: part("other.psi"),
        ..release("1.2")
    };
    let said = index.add(other).unwrap_err().to_string();
    assert!(said.contains("1.2 was published before"), "{said}");
    index.floor = Some("1.1".to_owned());
    let said = index.add(release("0.9")).unwrap_err().to_string();
    assert!(said.contains("below the floor"), "{said}");
}

#[test]
fn the_index_lies_beside_the_image_whatever_its_query() {
    for (origin, expected) in [
        ("https://a/boat.psi", Some("https://a/boat.channel")),
        (
            "https://a/b/boat_1.0.psi.zst?c=/d",
            Some("https://a/b/boat.channel"),
        ),
        ("http://a/", Some("http://a/boat.channel")),
        ("http://a", None),
        ("/srv/boat.psi", None),
    ] {
        assert_eq!(address(origin, "boat").as_deref(), expected, "{origin}");
    }
}

#[test]
fn moments_are_dates() {
    for (second, expected) in [
        (0, "1970-01-01 00:00 UTC"),
        (951_782_400, "2000-02-29 00:00 UTC"),
        (1_709_251_199, "2024-02-29 23:59 UTC"),
        (4_107_542_400, "2100-03-01 00:00 UTC"),
    ] {
        assert_eq!(Moment(second).to_string(), expected);
    }
}
