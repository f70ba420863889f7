//! kill -9 of the manager, at any moment, under load: nothing is lost, nothing is done twice, nothing is left.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails says so"
)]

mod support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use support::{Instance, eventually, transient};
use wire::methods as call;
use wire::{Client, ClientError, Done, NamesRequest, TransientRequest};

/// How often the manager is killed; `CORACLE_KILLS` says otherwise.
fn kills() -> u32 {
    std::env::var("CORACLE_KILLS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(30)
}

/// Writes a numbered line again and again, without a rate limit, until a file is gone.
const LOUD: &str = "\
[Service]
LogRateLimitBurst=0
ExecStart=/bin/sh -c 'i=0; while [ -e @DIR@/go ]; do i=$((i+1)); echo line $i; sleep 0.002; done; echo end $i; exec sleep 10000'
";

/// One unit of the ledger: how it is to end.
fn expected(number: u32) -> i32 {
    i32::try_from(number % 100).unwrap()
}

fn name(number: u32) -> String {
    format!("entry-{number}.service")
}

/// Starts unit after unit until told to stop; each writes a line and exits with its own status.
fn load(instance: &Instance, stop: &AtomicBool) -> u32 {
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let script = format!("echo {number}; exit {}", expected(number));
        let input = TransientRequest {
            unit: name(number),
            ..transient(
                &[
                    "Type=oneshot",
                    "RemainAfterExit=yes",
                    "StandardOutput=append:@LEDGER@",
                ],
                &["/bin/sh", "-c", &script],
            )
        };
        let input = with_ledger(input, instance);
        queue(instance, &input);
    }
    number
}

fn with_ledger(mut input: TransientRequest, instance: &Instance) -> TransientRequest {
    let ledger = instance.path("ledger").to_string_lossy().into_owned();
    input
        .properties
        .iter_mut()
        .for_each(|line| *line = line.replace("@LEDGER@", &ledger));
    input.no_block = true;
    input
}

/// Queues a unit; when the manager died meanwhile, asks the next one whether it has it.
fn queue(instance: &Instance, input: &TransientRequest) {
    eventually("a queued job", || {
        let mut client = Client::connect(&instance.path("run/api")).ok()?;
        let names = NamesRequest {
            names: vec![input.unit.clone()],
        };
        let known = client.call(call::Status, &names).ok()?;
        if known.units.iter().any(|unit| unit.load == "loaded") {
            return Some(());
        }
        match client.call(call::StartTransient, input) {
            Ok(_) => Some(()),
            Err(ClientError::Failure(failure)) => panic!("{failure}"),
            Err(_) => None,
        }
    });
}

#[test]
fn the_manager_dies_under_load_and_every_entry_of_the_ledger_is_there_once() {
    let instance = Instance::start();
    instance.unit("steady.service", "[Service]\nExecStart=/bin/sleep 10000\n");
    instance.unit("loud.service", LOUD);
    std::fs::write(instance.path("go"), "").unwrap();
    for unit in ["steady", "loud"] {
        assert_eq!(instance.start_unit(unit).result, "done");
    }
    let before = [instance.main_pid("steady"), instance.main_pid("loud")];
    let stop = AtomicBool::new(false);
    let started = std::thread::scope(|scope| {
        let loader = scope.spawn(|| load(&instance, &stop));
        for _ in 0..kills() {
            instance.kill_manager();
        }
        stop.store(true, Ordering::Relaxed);
        loader.join().unwrap()
    });
    std::fs::remove_file(instance.path("go")).unwrap();
    assert_eq!(
        [instance.main_pid("steady"), instance.main_pid("loud")],
        before
    );
    check_ledger(&instance, started);
    check_lines(&instance);
    instance.exit();
}

fn check_ledger(instance: &Instance, started: u32) {
    for number in 1..=started {
        let unit = name(number);
        let wanted = if expected(number) == 0 {
            "active/exited"
        } else {
            "failed/failed"
        };
        let status = instance.await_state(&unit, wanted);
        let exit = status.service.unwrap().exit.unwrap_or_default();
        assert_eq!(exit.status, expected(number), "{unit}: {exit:?}");
    }
    let ledger = std::fs::read_to_string(instance.path("ledger")).unwrap();
    let mut counts: BTreeMap<u32, u32> = BTreeMap::new();
    ledger
        .lines()
        .for_each(|line| *counts.entry(line.parse().unwrap()).or_default() += 1);
    let wrong: Vec<_> = (1..=started)
        .map(|number| (number, counts.get(&number).copied().unwrap_or(0)))
        .filter(|(_, runs)| *runs != 1)
        .collect();
    assert!(
        wrong.is_empty(),
        "of {started} entries these did not run once: {wrong:?}"
    );
}

/// Every line of the service that wrote all the time is in the log, in order, up to its last.
fn check_lines(instance: &Instance) {
    let lines = eventually("the last line", || {
        Some(instance.log("loud.service"))
            .filter(|lines| lines.last().is_some_and(|line| line.starts_with("end ")))
    });
    let total: u32 = lines
        .last()
        .unwrap()
        .trim_start_matches("end ")
        .parse()
        .unwrap();
    let wanted: Vec<String> = (1..=total)
        .map(|number| format!("line {number}"))
        .chain([format!("end {total}")])
        .collect();
    assert_eq!(lines.len(), wanted.len());
    assert_eq!(lines, wanted);
}

#[test]
fn the_manager_is_replaced_on_request_and_services_go_on() {
    let instance = Instance::start();
    instance.unit("steady.service", "[Service]\nExecStart=/bin/sleep 10000\n");
    instance.start_unit("steady");
    let service = instance.main_pid("steady");
    for round in 0..50 {
        let manager = instance.manager();
        if round % 2 == 0 {
            instance.client().call(call::Reexec, &Done {}).unwrap();
        } else {
            support::kill(manager);
        }
        // The first answer of whoever answers next is the whole truth.
        let known = instance.status("steady");
        let main = known.service.clone().and_then(|service| service.main_pid);
        assert_eq!(main, Some(service), "round {round}: {known:?}");
    }
    assert_eq!(instance.stop_unit("steady").result, "done");
    instance.exit();
}

#[test]
fn a_manager_that_comes_back_answers_when_it_knows_what_the_one_before_had_started() {
    let instance = Instance::start();
    instance.unit("steady@.service", "[Service]\nExecStart=/bin/sleep 10000\n");
    for round in 0..kills() {
        let unit = format!("steady@{round}");
        let started = instance.client().call(
            call::StartUnit,
            &wire::JobRequest {
                names: vec![unit.clone()],
                ..wire::JobRequest::default()
            },
        );
        assert_eq!(started.unwrap().outcomes[0].result, "done");
        if round % 2 == 0 {
            instance.client().call(call::Reexec, &Done {}).unwrap();
        } else {
            instance.kill_manager();
        }
        // The first answer of whoever answers next is the whole truth.
        let known = instance.status(&unit);
        let main = known.service.clone().and_then(|service| service.main_pid);
        assert!(main.is_some(), "round {round}: {known:?}");
    }
    instance.exit();
}

/// Waits for a file to go, then writes a line and ends with a status.
const PATIENT: &str =
    "while [ -e @DIR@/go ]; do sleep 0.01; done; echo ran >> @DIR@/ledger; exit @STATUS@";

fn patient(instance: &Instance, status: i32) -> [String; 3] {
    let script = PATIENT
        .replace("@DIR@", &instance.path("").to_string_lossy())
        .replace("@STATUS@", &status.to_string());
    ["/bin/sh".into(), "-c".into(), script]
}

#[test]
fn a_client_that_waits_hears_the_end_from_the_next_manager_and_nothing_runs_twice() {
    for status in [0, 7] {
        let instance = Instance::start();
        std::fs::write(instance.path("go"), "").unwrap();
        let [shell, option, script] = patient(&instance, status);
        let input = TransientRequest {
            unit: "patient.service".into(),
            wait: true,
            ..transient(&[], &[&shell, &option, &script])
        };
        let outcome = std::thread::scope(|scope| {
            let waits = scope.spawn(|| instance.client().call(call::StartTransient, &input));
            instance.await_state("patient", "active/running");
            (0..3).for_each(|_| instance.kill_manager());
            std::fs::remove_file(instance.path("go")).unwrap();
            waits.join().unwrap()
        });
        assert_eq!(outcome.unwrap().exit.unwrap().status, status);
        let ledger = std::fs::read_to_string(instance.path("ledger")).unwrap();
        assert_eq!(ledger, "ran\n");
        let left = instance.status("patient").load;
        assert_eq!(left, if status == 0 { "not-found" } else { "loaded" });
        instance.exit();
    }
}

#[test]
fn a_start_that_waits_over_the_death_of_the_manager_is_not_done_twice() {
    let instance = Instance::start();
    std::fs::write(instance.path("go"), "").unwrap();
    let [shell, option, script] = patient(&instance, 0);
    let text = format!("[Service]\nType=oneshot\nExecStart={shell} {option} '{script}'\n");
    instance.unit("patient.service", &text);
    let outcome = std::thread::scope(|scope| {
        let waits = scope.spawn(|| instance.start_unit("patient"));
        instance.await_state("patient", "activating/start");
        (0..3).for_each(|_| instance.kill_manager());
        std::fs::remove_file(instance.path("go")).unwrap();
        waits.join().unwrap()
    });
    assert_eq!(outcome.result, "done");
    let ledger = std::fs::read_to_string(instance.path("ledger")).unwrap();
    assert_eq!(ledger, "ran\n");
    instance.exit();
}

#[test]
fn the_end_that_was_asked_for_comes_although_the_manager_dies_on_the_way() {
    let mut instance = Instance::start();
    std::fs::write(instance.path("go"), "").unwrap();
    let text = "[Service]\nExecStart=/bin/sleep 10000\nExecStop=/bin/sh -c 'while [ -e @DIR@/go ]; do sleep 0.01; done; touch @DIR@/stopped'\n";
    instance.unit("slow.service", text);
    instance.start_unit("slow");
    let manager = instance.manager();
    instance
        .client()
        .call(call::Exit, &wire::ExitRequest::default())
        .unwrap();
    instance.await_state("slow", "deactivating/stop");
    support::kill(manager);
    instance.await_state("slow", "deactivating/stop");
    std::fs::remove_file(instance.path("go")).unwrap();
    assert!(instance.ended().success());
    assert!(instance.path("stopped").exists());
}
