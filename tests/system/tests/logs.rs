//! What services write and what `coracle logs` shows of it: fields, priorities, limits, times, rotation and damage.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Stdio;

use coracle_system_tests::gate::Gate;
use coracle_system_tests::{manager, waiting, with_units};
use testkit::Instance;

/// A oneshot service that runs a shell script; `more` are further lines of `[Service]`.
fn script(text: &str, more: &str) -> String {
    let quoted = text
        .replace('\\', "\\\\")
        .replace('\'', "\\'")
        .replace('%', "%%")
        .replace('$', "$$");
    format!("[Service]\nType=oneshot\n{more}\nExecStart=/bin/sh -c '{quoted}'\n")
}

/// Starts `a.service` and waits until that many entries of its own output are on file: they come by another process than the
/// answer to the start.
#[track_caller]
fn start(coracle: &Instance, count: usize) {
    coracle.ok(&["start", "a"]);
    let mut follower = coracle
        .command(&["logs", "-f", "-u", "a", "--json", "-n", "1000000"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the command starts");
    let lines = BufReader::new(follower.stdout.take().expect("a pipe")).lines();
    let own = lines
        .map(|line| line.expect("a line"))
        .filter(|line| line.contains("\"_TRANSPORT\":\"stdout\""));
    assert_eq!(own.take(count).count(), count);
    follower.kill().expect("it still runs");
    follower.wait().expect("it ends");
}

/// The messages of `a.service`'s own output, in order, with further options.
#[track_caller]
fn messages(coracle: &Instance, more: &[&str]) -> Vec<String> {
    entries(coracle, more)
        .iter()
        .map(|entry| text(entry, "MESSAGE"))
        .collect()
}

/// Entries of `a.service`'s own output as the JSON has them.
#[track_caller]
fn entries(coracle: &Instance, more: &[&str]) -> Vec<serde_json::Value> {
    let mut arguments = vec!["logs", "-u", "a", "--json"];
    arguments.extend(more);
    let printed = coracle.ok(&arguments);
    printed
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .filter(|entry: &serde_json::Value| entry["_TRANSPORT"] == "stdout")
        .collect()
}

fn text(entry: &serde_json::Value, field: &str) -> String {
    entry[field].as_str().unwrap_or_default().to_owned()
}

/// The log files of the host's own units, in order.
fn files(coracle: &Instance) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(coracle.folder().join("state/journal/system"))
        .expect("the log's directory")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "log"))
        .collect();
    files.sort();
    files
}

#[test]
fn a_line_has_the_journals_fields() {
    // It lives on: the name of a process that is gone can't be asked for.
    let unit = "[Service]\nSyslogIdentifier=greeter\nExecStart=/bin/sh -c 'echo hello; while :; do sleep 1000; done'\n";
    with_units(&[("a.service", unit)], |coracle| {
        start(coracle, 1);
        let entry = entries(coracle, &[]).remove(0);
        for (field, expected) in [
            ("MESSAGE", "hello"),
            ("PRIORITY", "6"),
            ("SYSLOG_IDENTIFIER", "greeter"),
            ("_SYSTEMD_UNIT", "a.service"),
            ("_COMM", "sh"),
            ("_UID", "0"),
            ("_GID", "0"),
        ] {
            assert_eq!(text(&entry, field), expected, "{field} of {entry}");
        }
        assert!(text(&entry, "_PID").parse::<u32>().is_ok_and(|pid| pid > 1));
        for field in ["_BOOT_ID", "_SYSTEMD_INVOCATION_ID"] {
            assert_eq!(text(&entry, field).len(), 32, "{field}");
        }
        for field in ["__REALTIME_TIMESTAMP", "__MONOTONIC_TIMESTAMP", "__SEQNUM"] {
            assert!(
                text(&entry, field)
                    .parse::<u64>()
                    .is_ok_and(|number| number > 0),
                "{field}"
            );
        }
    });
}

#[test]
fn a_prefix_is_a_priority_unless_the_unit_says_no() {
    let speech = "echo plain; echo \"<3>grave\"; echo \"<7>fine\"; echo \"<9>none\"";
    let (with, without) = (
        script(speech, "SyslogLevel=notice"),
        script(speech, "SyslogLevelPrefix=no"),
    );
    with_units(&[("a.service", &with)], |coracle| {
        start(coracle, 4);
        let found: Vec<String> = entries(coracle, &[])
            .iter()
            .map(|entry| format!("{} {}", text(entry, "PRIORITY"), text(entry, "MESSAGE")))
            .collect();
        assert_eq!(found, ["5 plain", "3 grave", "7 fine", "5 <9>none"]);
        assert_eq!(messages(coracle, &["-p", "err"]), ["grave"]);
        assert_eq!(
            messages(coracle, &["-p", "5"]),
            ["plain", "grave", "<9>none"]
        );
        assert_eq!(coracle.coracle(&["logs", "-p", "shout"]).status, 1);
    });
    with_units(&[("a.service", &without)], |coracle| {
        start(coracle, 4);
        assert_eq!(
            messages(coracle, &["-p", "6"]),
            ["plain", "<3>grave", "<7>fine", "<9>none"]
        );
    });
}

#[test]
fn a_service_that_talks_too_much_is_cut_short_and_the_rest_is_counted() {
    let limited = script(
        "seq 1 1000",
        "LogRateLimitIntervalSec=1h\nLogRateLimitBurst=7",
    );
    let free = script("seq 1 12000", "LogRateLimitIntervalSec=0");
    with_units(&[("a.service", &limited)], |coracle| {
        start(coracle, 8);
        let found = messages(coracle, &[]);
        assert_eq!(found.first().map(String::as_str), Some("1"));
        assert_eq!(found.get(6).map(String::as_str), Some("7"));
        assert_eq!(
            found.get(7..),
            Some(&["Suppressed 993 messages from a.service".to_owned()][..])
        );
        assert_eq!(
            text(
                &entries(coracle, &["-g", "^Supp", "-n", "1"])[0],
                "N_DROPPED"
            ),
            "993"
        );
    });
    with_units(&[("a.service", &free)], |coracle| {
        start(coracle, 12000);
        assert!(
            messages(coracle, &[])
                .iter()
                .map(String::as_str)
                .eq((1..=12000)
                    .map(|n| n.to_string())
                    .collect::<Vec<_>>()
                    .iter()
                    .map(String::as_str))
        );
    });
}

#[test]
fn bytes_that_are_no_text_long_lines_and_a_last_line_without_its_end_are_kept() {
    let speech = "printf \"nul\\000after\\n\"; printf \"\\377\\376 bytes\\n\"; head -c 100000 /dev/zero | tr \"\\000\" x; echo; printf \"no end\"";
    let unit = script(speech, "");
    with_units(&[("a.service", &unit)], |coracle| {
        start(coracle, 7);
        let entries = entries(coracle, &[]);
        let found = |index: usize, field: &str| text(&entries[index], field);
        assert_eq!(
            (
                found(0, "MESSAGE").as_str(),
                found(0, "_LINE_BREAK").as_str()
            ),
            ("nul", "nul")
        );
        assert_eq!(found(1, "MESSAGE"), "after");
        assert_eq!(entries[2]["MESSAGE"], serde_json::json!(b"\xff\xfe bytes"));
        let long: Vec<usize> = (3..6).map(|index| found(index, "MESSAGE").len()).collect();
        assert_eq!(long, [48 * 1024, 48 * 1024, 100_000 - 96 * 1024]);
        assert_eq!(found(3, "_LINE_BREAK"), "line-max");
        assert_eq!(
            (
                found(6, "MESSAGE").as_str(),
                found(6, "_LINE_BREAK").as_str()
            ),
            ("no end", "eof")
        );
        let shown = coracle.ok(&["logs", "-u", "a"]);
        assert!(shown.contains("\\xff\\xfe bytes"), "{shown}");
    });
}

#[test]
fn entries_are_found_by_unit_time_number_pattern_and_priority() {
    let unit = script("echo \"One fish\"; echo \"<4>two FISH\"; echo three", "");
    with_units(&[("a.service", &unit)], |coracle| {
        start(coracle, 3);
        assert_eq!(
            messages(coracle, &["-n", "2", "-g", "fish|three"]),
            ["two FISH", "three"]
        );
        assert_eq!(messages(coracle, &["-g", "fish"]), ["One fish", "two FISH"]);
        assert_eq!(messages(coracle, &["-g", "FISH$"]), ["two FISH"]);
        assert_eq!(messages(coracle, &["--since", "-1h"]).len(), 3);
        assert_eq!(
            messages(coracle, &["--since", "today", "--until", "tomorrow"]).len(),
            3
        );
        assert_eq!(
            messages(coracle, &["--until", "yesterday"]),
            Vec::<String>::new()
        );
        assert_eq!(messages(coracle, &["--since", "+1h"]), Vec::<String>::new());
        assert_eq!(
            messages(
                coracle,
                &["--since", "5 min ago", "-n", "1", "-g", "fish|three"]
            ),
            ["three"]
        );
        assert_eq!(
            messages(coracle, &["-r"]),
            ["three", "two FISH", "One fish"]
        );
        assert_eq!(
            messages(coracle, &["-r", "-n", "1", "-g", "fish|three"]),
            ["three"]
        );
        assert_eq!(messages(coracle, &["-b"]).len(), 3);
        for wrong in [["--since", "soon"], ["--grep", "("]] {
            let said = coracle.coracle(&["logs", wrong[0], wrong[1]]);
            assert_eq!(said.status, 1);
            assert!(said.stderr.contains("Hint:"), "{}", said.stderr);
        }
        let nothing = coracle.coracle(&["logs", "-u", "nobody"]).ok();
        assert_eq!(nothing.stdout, "");
        assert!(nothing.stderr.contains("no entries"), "{nothing:?}");
    });
}

#[test]
fn the_log_of_a_unit_tells_what_became_of_it() {
    let units = [
        ("a.service", "[Service]\nExecStart=/bin/sleep infinity\n"),
        (
            "ends.service",
            "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'exit 3'\n",
        ),
        (
            "before.service",
            "[Service]\nExecStartPre=/bin/sh -c 'exit 4'\nExecStart=/bin/true\n",
        ),
        (
            "once.service",
            "[Service]\nType=oneshot\nExecStart=/bin/true\n",
        ),
        (
            "refused.service",
            "[Service]\nExecStart=/bin/true\nEnvironmentFile=/nonexistent\n",
        ),
    ];
    with_units(&units, |coracle| {
        coracle.ok(&["start", "a", "once"]);
        coracle.ok(&["stop", "a"]);
        for failing in ["ends", "before", "refused"] {
            assert_eq!(coracle.coracle(&["start", failing]).status, 1);
        }
        for (unit, expected) in [
            ("a", &["6 started", "6 stopped"][..]),
            ("once", &["6 finished"]),
            (
                "ends",
                &[
                    "4 main process exited, code=exited, status=3",
                    "3 failed with result 'exit-code'",
                ],
            ),
            (
                "before",
                &[
                    "4 start-pre process exited, code=exited, status=4",
                    "3 failed with result 'exit-code'",
                ],
            ),
            ("refused", &["3 failed with result 'resources'"]),
        ] {
            let logged = || -> Option<Vec<String>> {
                let printed = coracle.ok(&["logs", "-u", unit, "--json"]);
                let lines = printed.lines().map(|line| {
                    let entry: serde_json::Value = serde_json::from_str(line).expect("JSON");
                    let message = text(&entry, "MESSAGE").replace(&format!("{unit}.service: "), "");
                    format!("{} {message}", text(&entry, "PRIORITY"))
                });
                let lines: Vec<String> = lines.collect();
                (lines.last().map(String::as_str) == expected.last().copied()).then_some(lines)
            };
            let mut lines = waiting::eventually("the last word on the unit", logged);
            if unit == "refused" {
                let refusal = lines.remove(0);
                assert!(
                    refusal.starts_with("3 ")
                        && refusal.contains("/nonexistent can't be read: No such file"),
                    "{refusal}"
                );
            }
            assert_eq!(lines, expected, "{unit}");
        }
    });
}

#[test]
fn a_reader_beside_the_writer_sees_whole_lines_in_order() {
    let unit = "[Service]\nLogRateLimitIntervalSec=0\nExecStart=/bin/sh -c 'i=0; while [ $$i -lt 5000 ]; do i=$$((i+1)); echo line $$i of many; done; exec sleep infinity'\n";
    with_units(&[("a.service", unit)], |coracle| {
        coracle.ok(&["start", "a"]);
        let mut seen = 0;
        while seen < 2000 {
            let found = messages(coracle, &[]);
            let expected = (1..=found.len()).map(|number| format!("line {number} of many"));
            assert!(found.iter().cloned().eq(expected), "out of order or torn");
            assert!(found.len() >= seen);
            seen = found.len();
        }
        let last = messages(coracle, &["-n", "3", "-g", "^line"]);
        assert_eq!(last.len(), 3);
    });
}

#[test]
fn a_follower_loses_nothing_when_files_are_closed_and_begun() {
    const LINES: usize = 30_000;
    let story = "and so on ".repeat(40);
    with_units(&[], |coracle| {
        // Whoever shows the first line follows; the others come after that.
        let go = coracle.folder().join("go");
        let waits = format!("while ! test -e {}; do sleep 0.01; done", go.display());
        let text = format!("echo 1 \"{story}\"; {waits}; seq -f \"%.0f {story}\" 2 {LINES}");
        coracle.unit("a.service", &script(&text, "LogRateLimitIntervalSec=0"));
        coracle.ok(&["daemon-reload"]);
        let mut follower = coracle
            .command(&["logs", "-f", "-u", "a", "--cat", "-g", "and so on"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the command starts");
        coracle.ok(&["start", "--no-block", "a"]);
        let output = BufReader::new(follower.stdout.take().expect("a pipe"));
        for (index, line) in output.lines().take(LINES).enumerate() {
            let line = line.expect("a line");
            assert_eq!(line, format!("{} {story}", index + 1));
            if index == 0 {
                std::fs::write(&go, "").expect("a file");
            }
        }
        follower.kill().expect("it still runs");
        follower.wait().expect("it ends");
        assert!(
            files(coracle).len() > 1,
            "no file was closed: the test proves nothing"
        );
    });
}

#[test]
fn a_follower_waits_for_a_log_that_is_not_there_yet() {
    let unit = script("echo first words", "");
    with_units(&[("a.service", &unit)], |coracle| {
        assert!(!coracle.folder().join("state/journal").exists());
        let mut follower = coracle
            .command(&["logs", "-f", "-u", "a", "--cat", "-g", "first words"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the command starts");
        coracle.ok(&["start", "a"]);
        let mut output = BufReader::new(follower.stdout.take().expect("a pipe")).lines();
        assert_eq!(output.next().expect("a line").expect("text"), "first words");
        follower.kill().expect("it still runs");
        follower.wait().expect("it ends");
    });
}

#[test]
fn a_damaged_file_costs_what_is_damaged_and_is_told() {
    with_units(&[], |coracle| {
        let gates = [1, 2, 3, 4, 5, 6]
            .map(|number| Gate::at(coracle.folder().join(format!("gate{number}"))));
        let waits = format!("read x < {}/gate$i", coracle.folder().display());
        let text = format!("for i in 1 2 3 4 5 6; do echo line $i; {waits}; done");
        coracle.unit("a.service", &script(&text, ""));
        // Each line is written before the next one is said: they are no block together.
        let one_by_one = |before: usize| {
            coracle.ok(&["start", "--no-block", "a"]);
            for (said_before, gate) in gates.iter().enumerate() {
                waiting::lines(coracle, "a.service", |lines| {
                    let said = lines.iter().filter(|line| line.starts_with("line "));
                    said.count() > before + said_before
                });
                gate.open();
            }
            waiting::state(coracle, "a.service", "inactive");
        };
        one_by_one(0);
        assert_eq!(messages(coracle, &[]).len(), 6);
        let path = files(coracle).remove(0);
        let bytes = fs::read(&path).expect("the file");
        let place = bytes
            .windows(6)
            .position(|part| part == b"line 3")
            .expect("the line");
        let file = fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .expect("the file");
        file.write_all_at(b"LINE", place as u64).expect("damage");
        for arguments in [
            &["logs", "-u", "a", "--cat"][..],
            &["logs", "-u", "a", "--cat", "-n", "100"],
        ] {
            let read = coracle.coracle(arguments).ok();
            for number in [1, 2, 4, 5, 6] {
                assert!(
                    read.stdout.contains(&format!("line {number}\n")),
                    "{arguments:?}: {read:#?}"
                );
            }
            assert!(!read.stdout.contains("line 3") && !read.stdout.contains("LINE 3"));
            assert!(read.stderr.contains("damaged"), "{arguments:?}: {read:#?}");
        }
        // The log process that comes next destroys nothing of it.
        coracle.stop();
        one_by_one(5);
        let again = messages(coracle, &[]);
        assert_eq!(again.len(), 11, "{again:?}");
    });
}

#[test]
fn a_file_of_another_format_is_told_and_the_rest_is_shown() {
    let unit = script("echo hello", "");
    with_units(&[("a.service", &unit)], |coracle| {
        start(coracle, 1);
        let other = coracle
            .folder()
            .join("state/journal/system/0000000000000000-0000000000000001.log");
        fs::write(&other, "another format").expect("a file");
        let read = coracle.coracle(&["logs", "-u", "a", "--cat"]).ok();
        assert!(read.stdout.contains("hello\n"));
        assert!(
            read.stderr
                .contains("0000000000000000-0000000000000001.log"),
            "{}",
            read.stderr
        );
    });
}

#[test]
fn a_service_s_entries_have_its_facility_and_fields_and_none_that_is_less_severe_than_it_says() {
    let lines = "SyslogFacility=local0\nLogLevelMax=notice\nLogExtraFields=\"TEAM=web front\" SITE=north _PID=1 MESSAGE=no\n";
    let text = "echo '<5>kept'; echo dropped; echo '<7>dropped'; echo '<3>last'";
    with_units(&[("a.service", &script(text, lines))], |coracle| {
        start(coracle, 2);
        let entries = entries(coracle, &[]);
        let seen: Vec<String> = entries.iter().map(text_of).collect();
        assert_eq!(
            seen,
            ["kept 5 16 web front north", "last 3 16 web front north"]
        );
        assert!(entries.iter().all(|entry| entry["_PID"] != "1"));
        coracle.unit("a.service", "[Service]\nExecStart=/bin/true\n");
        coracle.ok(&["daemon-reload"]);
        let left = fs::read_dir(coracle.folder().join("run/log")).expect("a directory");
        assert_eq!(left.count(), 0);
    });
}

fn text_of(entry: &serde_json::Value) -> String {
    let fields = ["MESSAGE", "PRIORITY", "SYSLOG_FACILITY", "TEAM", "SITE"];
    fields.map(|name| text(entry, name)).join(" ")
}

#[test]
fn an_upgrade_replaces_the_log_process_and_loses_no_line() {
    const COUNT: usize = 20_000;
    // Waits for the log where that is slow, so that it writes for as long as this test upgrades.
    let text = format!("i=0; while [ $i -lt {COUNT} ]; do echo $i; i=$((i + 1)); done");
    let service = script(&text, "LogRateLimitBurst=0").replace("Type=oneshot", "Type=exec");
    with_units(&[("a.service", &service)], |coracle| {
        coracle.ok(&["start", "a"]);
        for _ in 0..3 {
            let keeper = coracle.process("KeeperPID");
            let reader = || {
                let mut children = manager::children(keeper).into_iter();
                let log = children.find(|(_, line)| line.starts_with("coracled log "));
                log.map(|(pid, _)| pid)
            };
            let before = waiting::eventually("a log process", reader);
            coracle.ok(&["daemon-reexec"]);
            waiting::eventually("another log process", || {
                reader().filter(|now| *now != before)
            });
        }
        let last = (COUNT - 1).to_string();
        let lines = waiting::lines(coracle, "a", |lines| lines.contains(&last));
        let own = lines.iter().filter_map(|line| line.parse::<usize>().ok());
        assert!(own.eq(0..COUNT));
    });
}

#[test]
fn a_namespace_has_its_own_logs_which_the_next_log_process_goes_on_with() {
    let unit = script(
        "echo first; while ! test -e $RUNTIME_DIRECTORY/go; do :; done; echo last",
        "Type=exec\nLogNamespace=own\nRuntimeDirectory=coracle-test-namespace",
    );
    with_units(&[("a.service", &unit)], |coracle| {
        let own = |name: &str| {
            let printed = coracle.ok(&["logs", "-u", "a", "--json", name]);
            let entries = printed.lines().map(serde_json::from_str);
            let entries = entries.map(|entry| entry.expect("a line of JSON"));
            let is_own = |entry: &serde_json::Value| entry["_TRANSPORT"] == "stdout";
            let own: Vec<serde_json::Value> = entries.filter(is_own).collect();
            own
        };
        let until = |count: usize| {
            waiting::eventually("the lines", || {
                Some(own("--namespace=own")).filter(|found| found.len() == count)
            })
        };
        coracle.ok(&["start", "a"]);
        assert_eq!(text(&until(1)[0], "_NAMESPACE"), "own");
        manager::kill(manager::supervised(coracle.process("KeeperPID"), "log"));
        fs::write("/run/coracle-test-namespace/go", "").expect("a file");
        let found = until(2);
        let messages: Vec<String> = found.iter().map(|entry| text(entry, "MESSAGE")).collect();
        assert_eq!(messages, ["first", "last"]);
        for (name, count) in [
            ("--namespace=+own", 2),
            ("--namespace=*", 2),
            ("--namespace=other", 0),
        ] {
            assert_eq!(own(name).len(), count, "{name}");
        }
        assert_eq!(
            own("-q").len(),
            0,
            "the usual logs have lines of a namespace"
        );
        // What the manager says of it stays there.
        assert!(
            coracle
                .ok(&["logs", "-u", "a", "--cat"])
                .contains("started")
        );
        let wrong = coracle.coracle(&["logs", "--namespace=../x"]);
        assert!(
            wrong.status == 1 && wrong.stderr.contains("no log namespace"),
            "{wrong:#?}"
        );
    });
}
