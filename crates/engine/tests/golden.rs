//! Literate tests: each file of `golden/` has units, events, and the trace that must follow. `CORACLE_BLESS=1` writes the traces anew.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails by panicking"
)]

mod support;

use std::fmt::Write;

use coracle_engine::*;
use support::*;

/// Runs the events of a scenario and tells what happened after each.
fn trace(units: &str, events: &str) -> String {
    let mut engine = Engine::new();
    for config in parse_units(units) {
        let _configured = engine.step(Micros(0), Input::Configure(Box::new(config)));
    }
    let mut now = Micros::seconds(1);
    let mut request = 0;
    let mut text = String::new();
    for line in events
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        writeln!(text, "> {line}").unwrap();
        let input = match line.split_once(' ') {
            Some(("wait", seconds)) => {
                now = now.after(Micros((seconds.parse::<f64>().unwrap() * 1e6) as u64));
                Input::Tick
            }
            _ => parse_event(&engine, line, &mut request),
        };
        let before: Vec<_> = engine
            .units()
            .map(|unit| (unit, print_state(&engine, unit)))
            .collect();
        let effects = engine.step(now, input);
        for (unit, old) in before {
            let new = print_state(&engine, unit);
            if old != new {
                let name = engine.unit_name(unit).unwrap_or("?");
                writeln!(text, "  {name}: {old} -> {new}").unwrap();
            }
        }
        for effect in effects.iter() {
            if let Some(line) = print_effect(&engine, effect) {
                writeln!(text, "  {line}").unwrap();
            }
        }
    }
    text
}

/// What is told of the run with this number.
fn parse_of_run(words: &[&str], unit: UnitId) -> Input {
    let incarnation = Incarnation(words[2].parse().unwrap());
    let Some(serial) = words.get(3) else {
        return Input::CgroupEmpty { unit, incarnation };
    };
    let process = ProcessKey {
        unit,
        incarnation,
        serial: serial.parse().unwrap(),
    };
    Input::Exited {
        process,
        status: ExitStatus::Exited(0),
    }
}

fn parse_event(engine: &Engine, line: &str, request: &mut u64) -> Input {
    let words: Vec<&str> = line.split_whitespace().collect();
    let unit = engine
        .id(words[1])
        .unwrap_or_else(|| panic!("no unit {}", words[1]));
    let incarnation = engine.snapshot(unit).unwrap().incarnation;
    let process = |word: usize| ProcessKey {
        unit,
        incarnation,
        serial: words[word].parse().unwrap(),
    };
    let mut job = |kind| {
        *request += 1;
        let mode = match words.get(2) {
            Some(&"fail") => JobMode::Fail,
            Some(&"isolate") => JobMode::Isolate,
            Some(&"ignore-dependencies") => JobMode::IgnoreDependencies,
            Some(&"replace-irreversibly") => JobMode::ReplaceIrreversibly,
            Some(&"flush") => JobMode::Flush,
            Some(&"restart-dependencies") => JobMode::RestartDependencies,
            Some(&"triggering") => JobMode::Triggering,
            _ => JobMode::Replace,
        };
        Input::Job {
            request: *request,
            unit,
            kind,
            mode,
        }
    };
    match words[0] {
        "start" => job(JobKind::Start),
        "stop" => job(JobKind::Stop),
        "restart" => job(JobKind::Restart),
        "try-restart" => job(JobKind::TryRestart),
        "reload" => job(JobKind::Reload),
        "forget" => Input::Forget(unit),
        "reset-failed" => Input::ResetFailed(unit),
        "taken-back" => Input::TakenBack(unit),
        "clean" => Input::Clean { unit, what: 1 },
        "cleaned" => Input::Cleaned(unit),
        "spawned" => Input::Spawned(process(2)),
        "unspawned" => Input::SpawnFailed(process(2)),
        "executed" => Input::Executed(process(2)),
        "exits" | "killed" => parse_end(process(2), &words),
        "late" | "emptied" => parse_of_run(&words, unit),
        "replace" => {
            *request += 1;
            Input::Replace {
                request: *request,
                unit,
                mode: JobMode::Replace,
                drain: words
                    .get(2)
                    .map(|span| Micros::seconds(span.parse().unwrap())),
            }
        }
        "plugged" | "unplugged" => Input::Device {
            unit,
            is_there: words[0] == "plugged",
        },
        "owned" | "unowned" => Input::BusName {
            unit,
            is_owned: words[0] == "owned",
        },
        "oom" => Input::OutOfMemory { unit, incarnation },
        "answers" => Input::Probed {
            process: process(2),
            well: words[3] == "well",
        },
        "found" => parse_found(unit, incarnation, words.get(2)),
        "end" | "empty" | "taken" | "untaken" => parse_processes(words[0], unit, incarnation),
        "says" => Input::Notify {
            unit,
            incarnation,
            message: notice(&words[2..]),
        },
        "conditions" => {
            let outcome = if words[2] == "met" {
                Conditions::Met
            } else {
                Conditions::Unmet
            };
            Input::Conditions { unit, outcome }
        }
        "watched" | "fired" | "unwatchable" | "anew" => parse_path_event(&words, unit, incarnation),
        "set" | "unset" | "visited" | "idle" | "unsettable" | "answered" => {
            parse_automount_event(&words, unit, incarnation)
        }
        "reckoned" | "elapsed" | "clock" => parse_timer_event(&words, unit, incarnation),
        _ => parse_connection(engine, &words, unit, incarnation),
    }
}

/// `watched NAME`, `fired NAME WHAT`, `unwatchable NAME`, `anew NAME`.
fn parse_path_event(words: &[&str], unit: UnitId, incarnation: Incarnation) -> Input {
    match words[0] {
        "watched" => Input::PathWatched {
            unit,
            incarnation,
            marks: Box::default(),
        },
        "fired" => Input::PathFired {
            unit,
            incarnation,
            what: words[2].into(),
            realtime_us: 7,
        },
        "unwatchable" => Input::PathFailed {
            unit,
            incarnation,
            why: "there are no watches left".to_owned(),
        },
        _ => Input::WatchPath(unit),
    }
}

/// `set NAME`, `unset NAME`, `visited NAME NUMBER`, `idle NAME NUMBER`, `unsettable NAME`, `answered NAME NUMBER…`.
fn parse_automount_event(words: &[&str], unit: UnitId, incarnation: Incarnation) -> Input {
    let visited = |visit| Input::AutomountVisited {
        unit,
        incarnation,
        token: words[2].parse().unwrap(),
        visit,
    };
    match words[0] {
        "set" => Input::AutomountSet {
            unit,
            incarnation,
            device: 42,
        },
        "unset" => Input::AutomountUnset { unit, incarnation },
        "visited" => visited(Visit::Enters {
            who: "sh (pid 7)".into(),
        }),
        "idle" => visited(Visit::Expires),
        "answered" => Input::AutomountAnswered {
            unit,
            incarnation,
            waits: words[2..]
                .iter()
                .map(|word| word.parse().unwrap())
                .collect(),
        },
        _ => Input::AutomountFailed {
            unit,
            incarnation,
            why: "the kernel has no autofs".to_owned(),
        },
    }
}

/// `reckoned NAME never`, or the second at which it elapses next.
fn parse_timer_event(words: &[&str], unit: UnitId, incarnation: Incarnation) -> Input {
    let next = |seconds: &str| Elapse {
        monotonic: Some(Micros::seconds(seconds.parse().unwrap())),
        realtime_us: None,
    };
    match words[0] {
        "reckoned" => Input::TimerReckoned {
            unit,
            incarnation,
            found: Reckoned {
                next: (words[2] != "never").then(|| next(words[2])),
                last_trigger: None,
            },
        },
        "elapsed" => Input::TimerElapsed {
            unit,
            incarnation,
            realtime_us: 7,
        },
        _ => Input::ReckonTimer(unit),
    }
}

/// `connects SOCKET SOURCE`, then `serves SOCKET SERVICE SOURCE` or `lost SOCKET`.
fn parse_connection(
    engine: &Engine,
    words: &[&str],
    unit: UnitId,
    incarnation: Incarnation,
) -> Input {
    let number = engine.traffic_of(unit).accepted;
    match words[0] {
        "connects" => Input::Connection {
            unit,
            incarnation,
            number,
            source: words[2].into(),
        },
        "serves" => Input::ConnectionReady {
            unit,
            number: number.saturating_sub(1),
            instance: engine.id(words[2]).unwrap(),
            source: words[3].into(),
        },
        "lost" => Input::ConnectionLost(unit),
        other => parse_socket_event(other, unit, incarnation),
    }
}

fn parse_processes(word: &str, unit: UnitId, incarnation: Incarnation) -> Input {
    match word {
        "end" => Input::End(unit),
        "empty" => Input::CgroupEmpty { unit, incarnation },
        word => Input::TakenOver {
            unit,
            incarnation,
            well: word == "taken",
        },
    }
}

fn parse_found(unit: UnitId, incarnation: Incarnation, pid: Option<&&str>) -> Input {
    Input::MainFound {
        unit,
        incarnation,
        pid: pid.map(|pid| pid.parse().unwrap()),
    }
}

fn parse_end(process: ProcessKey, words: &[&str]) -> Input {
    let number = words[3].parse().unwrap();
    let killed = words[0] == "killed";
    let status = if killed {
        ExitStatus::Killed(Signal(number))
    } else {
        ExitStatus::Exited(number)
    };
    Input::Exited { process, status }
}

fn parse_socket_event(word: &str, unit: UnitId, incarnation: Incarnation) -> Input {
    match word {
        "opened" => Input::SocketsOpen { unit, incarnation },
        "unopened" => Input::SocketsFailed { unit, incarnation },
        "traffic" => Input::SocketTraffic { unit, incarnation },
        other => panic!("unknown event {other}"),
    }
}

fn notice(words: &[&str]) -> Notice {
    let mut notice = Notice::default();
    for word in words {
        match word.split_once('=') {
            Some(("mainpid", pid)) => notice.main_pid = Some(pid.parse().unwrap()),
            Some(("watchdog", seconds)) => {
                notice.watchdog = Some(seconds.parse::<u64>().unwrap() * 1_000_000)
            }
            Some(("extend", seconds)) => {
                notice.extend_timeout = Some(seconds.parse::<u64>().unwrap() * 1_000_000)
            }
            _ => match *word {
                "ready" => notice.ready = true,
                "stopping" => notice.stopping = true,
                "reloading" => notice.reloading = true,
                "alive" => notice.alive = true,
                "trigger" => notice.watchdog_trigger = true,
                other => panic!("unknown notice {other}"),
            },
        }
    }
    notice
}

/// Each scenario: a title line `# …`, units, a line `events`, the events, a line `trace`, the trace.
fn check(file: &str) {
    let path = format!("{}/tests/golden/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap();
    let mut blessed = String::new();
    let mut wrong = Vec::new();
    for scenario in text
        .split("\n# ")
        .map(|scenario| scenario.trim_start_matches("# "))
    {
        let (title, rest) = scenario.split_once('\n').unwrap();
        let (units, rest) = rest.split_once("\nevents\n").unwrap();
        let (events, expected) = rest.split_once("trace\n").unwrap();
        let found = trace(units, events);
        if found.trim() != expected.trim() {
            wrong.push(format!(
                "{title}\n--- expected\n{expected}\n--- found\n{found}"
            ));
        }
        let separator = if blessed.is_empty() { "" } else { "\n" };
        write!(
            blessed,
            "{separator}# {title}\n{units}\nevents\n{events}trace\n{found}"
        )
        .unwrap();
    }
    if std::env::var_os("CORACLE_BLESS").is_some() {
        std::fs::write(&path, blessed).unwrap();
        return;
    }
    assert!(wrong.is_empty(), "{file}:\n{}", wrong.join("\n"));
}

#[test]
fn services_come_up_and_go_down_as_their_type_says() {
    check("services.txt");
}

#[test]
fn devices_come_and_go_and_are_waited_for() {
    check("devices.txt");
}

#[test]
fn services_are_up_when_their_name_is_taken() {
    check("bus.txt");
}

#[test]
fn forking_services_are_followed_by_their_main_process_or_as_a_group() {
    check("forking.txt");
}

#[test]
fn failures_restart_or_stay_as_the_policy_says() {
    check("failures.txt");
}

#[test]
fn jobs_follow_relations_and_order() {
    check("jobs.txt");
}

#[test]
fn timers_start_their_unit_and_look_again_when_it_has_ended() {
    check("timers.txt");
}

#[test]
fn services_are_watched_and_end_as_a_group() {
    check("watchdog.txt");
}

#[test]
fn services_with_probes_are_up_and_stay_up_as_those_say() {
    check("health.txt");
}

#[test]
fn path_units_start_their_unit_and_watch_again_when_it_has_ended() {
    check("paths.txt");
}

#[test]
fn sockets_start_their_service() {
    check("sockets.txt");
}

#[test]
fn slices_bound_how_many_are_up_and_scopes_live_as_long_as_their_processes() {
    check("slices.txt");
}

#[test]
fn what_is_replaced_drains_or_goes_on() {
    check("replace.txt");
}

#[test]
fn automounts_have_their_mount_there_for_who_comes() {
    check("automounts.txt");
}
