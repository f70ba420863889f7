//! The exposure score: of what is loaded, of files, and of portables as they were judged.

use std::fs;

use coracle_system_tests::images::{By, Workshop};
use coracle_system_tests::with_units;
use testkit::Instance;

const OPEN: &str = "[Service]\nExecStart=/bin/sleep infinity\n";

/// The scores that the command prints as JSON: the unit, the exposure in tenths, the rating.
fn scores(coracle: &Instance, arguments: &[&str]) -> Vec<(String, u64, String)> {
    let whole = [&["security", "--json"], arguments].concat();
    let said = coracle.ok(&whole);
    let scores: Vec<serde_json::Value> = serde_json::from_str(&said).expect("JSON");
    let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
    let score = |score: &serde_json::Value| {
        let exposure = score["exposure"].as_u64().expect("a number");
        (text(&score["unit"]), exposure, text(&score["rating"]))
    };
    scores.iter().map(score).collect()
}

#[test]
fn services_are_scored_as_they_are_loaded_and_as_their_files_are() {
    let closed = format!("{OPEN}DynamicUser=yes\nPrivateNetwork=yes\n");
    let units = [("open.service", OPEN), ("closed.service", closed.as_str())];
    with_units(&units, |coracle| {
        let of_open = ("open.service".to_owned(), 96, "unsafe".to_owned());
        let path = coracle.folder().join("elsewhere/open.service");
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(&path, OPEN).expect("a unit file");
        let path = path.display().to_string();
        assert_eq!(scores(coracle, &["open"]), std::slice::from_ref(&of_open));
        for offline in [
            vec!["--offline", "open"],
            vec!["--offline", &path],
            vec![&path],
        ] {
            assert_eq!(scores(coracle, &offline), std::slice::from_ref(&of_open));
        }
        let all = scores(coracle, &["--offline"]);
        let exposures: Vec<u64> = all.iter().map(|(_, exposure, _)| *exposure).collect();
        assert!(matches!(exposures[..], [less, 96] if less < 96), "{all:?}");
        // Of those in memory, one was never named.
        coracle.ok(&["start", "open"]);
        assert_eq!(scores(coracle, &[]), [of_open]);
        coracle.ok(&[
            "run",
            "--unit",
            "brief",
            "-p",
            "PrivateNetwork=yes",
            "sleep",
            "infinity",
        ]);
        let of_run = scores(coracle, &["brief"]);
        assert!(of_run[0].1 < 96, "{of_run:?}");
        // Several lines of one directive, and texts that begin a line elsewhere, make the unit that a file would make.
        let lines = [
            "DeviceAllow=/dev/null r",
            "DeviceAllow=/dev/zero r",
            "SystemCallFilter=@system-service",
            "SystemCallFilter=~@mount",
            "Environment=A=%%h",
        ];
        let file = format!("{OPEN}{}\n", lines.join("\n"));
        coracle.unit("written.service", &file);
        coracle.ok(&["daemon-reload"]);
        let mut run = vec!["run", "--unit", "made"];
        lines.iter().for_each(|line| run.extend(["-p", line]));
        run.extend(["--", "sh", "-c", "ls ~ ~/; exec sleep infinity"]);
        coracle.ok(&run);
        let written = scores(coracle, &["written"]);
        let made = scores(coracle, &["made"]);
        assert_eq!((made[0].1, &made[0].2), (written[0].1, &written[0].2));
        assert!(made[0].1 < 96, "{made:?}");
        let all = scores(coracle, &[]);
        assert!(all.contains(&made[0]), "{all:?}");

        let text = coracle.ok(&["security", "closed"]);
        for line in [
            "✓  PrivateNetwork=",
            "✗  ProtectClock=",
            "it may set the clocks",
            "it can't use the host's network",
            "closed.service: exposure ",
        ] {
            assert!(text.contains(line), "no {line:?} in {text}");
        }
        let above = coracle.coracle(&["security", "open", "--threshold=95"]);
        assert_eq!(above.status, 1, "{above:?}");
        coracle.ok(&["security", "open", "--threshold=96"]);
        let other = coracle.coracle(&["security", "a.socket"]);
        assert_eq!(other.status, 1, "{other:?}");
    });
}

#[test]
fn a_portable_is_scored_as_it_was_judged() {
    with_units(&[], |coracle| {
        let workshop = Workshop::new(coracle);
        let unit = "[Service]\nExecStart=/usr/bin/sleep infinity\n";
        let image = workshop.image("scored", "1", By::Trusted, &[("scored.service", unit)]);
        coracle.ok(&["start", &image]);
        let score = scores(coracle, &["scored"]);
        let [(name, exposure, _)] = &score[..] else {
            panic!("{score:?}");
        };
        assert_eq!(name, "scored.service");
        assert!(*exposure < 20, "{score:?}");
        assert_eq!(scores(coracle, &["--offline", "scored.service"]), score);
    });
}
