//! What a start costs, from the spawn of the executor until the service is reaped. Run by hand, in release:
//! `cargo test --release -p coracle-executor --test measure -- --ignored --nocapture`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)] // What tests share fails as tests do.

mod harness;
mod service;

use std::os::fd::OwnedFd;
use std::time::Instant;

use kernel::rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use service::Service;

const STARTS: usize = 300;

fn measure(name: &str, service: &Service) {
    let plan = service.plan();
    let bytes = service.bind(&plan, &["/bin/true"]);
    let output: OwnedFd = std::fs::File::create("/dev/null").unwrap().into();
    let passed: Vec<OwnedFd> = plan
        .roles()
        .iter()
        .map(|_| output.try_clone().unwrap())
        .collect();
    let mut times: Vec<u128> = (0..STARTS)
        .map(|_| {
            let (_report, end) = socketpair(
                AddressFamily::UNIX,
                SocketType::SEQPACKET,
                SocketFlags::CLOEXEC,
                None,
            )
            .unwrap();
            let begin = Instant::now();
            let child = harness::start(&bytes, &end, &passed, plan.pid_namespace());
            let dead = kernel::wait::wait(&child.pidfd).unwrap();
            assert_eq!(dead.ending, kernel::wait::Ending::Exited(0));
            begin.elapsed().as_micros()
        })
        .collect();
    times.sort_unstable();
    println!(
        "{name}: median {} µs, minimum {} µs, {} steps, {} bytes",
        times[STARTS / 2],
        times[0],
        plan.steps().count(),
        bytes.len()
    );
    for path in service.private_tmp() {
        let _gone = std::fs::remove_dir_all(path);
    }
}

#[test]
#[ignore = "a measurement, not a test"]
fn starts_of_true() {
    measure("plain", &Service::new(""));
    measure("default profile", &Service::new(service::PROFILE));
    measure(
        "default profile with stub",
        &Service::new(service::PROFILE).with_stub(),
    );
    for line in service::PROFILE.lines() {
        measure(line, &Service::new(line));
    }
}
