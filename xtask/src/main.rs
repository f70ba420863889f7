//! `cargo xtask`: everything that a contributor runs, each command in a file of its own.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool for contributors talks to its terminal"
)]

mod bench;
mod conformance;
mod debian;
mod demo;
mod dist;
mod docs;
mod fuzz;
mod peers;
mod run;
mod services;
mod setup;
mod test;
mod tidy;
mod transcript;
mod vm;

use std::process::ExitCode;

const USAGE: &str = "\
Usage: cargo xtask COMMAND

  setup              Install what tests and demo need from Debian packages (needs root)
  demo               Build the release files, then run the README's session with checks (needs root)
  test [TIER…]       Run all tiers, or the named ones: tidy lint unit fuzz system survival demo
                     conformance vm
  chaos [--kills NUMBER] [--seed NUMBER]
                     Kill manager, log process and image workers in a world under load: 300 times, at random (needs root)
  tidy [--fix]       Check the house rules; --fix writes the generated pages
  dist               Build the two static files into dist/ and check them
  bench [NAME…]      Measure and print medians and ratios; all benches: `all`; beside one tree's systemd alone:
                     --beside trixie|sid; --keep writes docs/bench/DATE.json (needs root)
  fuzz [--seconds N] [--seed N] [--keep] [TARGET…]
                     Feed hostile bytes to the parsers, 60 s in all; --keep takes what was found into the corpus
  conformance [--beside trixie|sid] [--cases NUMBER] [--seed NUMBER] [--count NUMBER] [NAME…]
                     Compare Coracle with systemd 262 (trixie: 257, where nothing is an error) and write docs/conformance.md:
                     test-execute parsers times policies combinations jobs packages; so many made calendar expressions and policies; `jobs` plays
                     graphs of units with commands that are drawn from seeds; `machine` runs what of test-execute no container can, in a
                     virtual machine (needs root)
  combinations [--seed NUMBER] [--count NUMBER] [--beside trixie|sid]
                     Run random combinations of directives: what they forbid fails, and beside a tree's systemd the rest is the same
  services [--seconds NUMBER] [--keep] [NAME…]
                     Run services of Debian's packages with their own unit files under load, as shipped and under the default profile;
                     --keep writes docs/services.md (needs root)
  vm [OPTION…] -- COMMAND…
                     Run a command in a virtual machine: --kernel 6.1|6.12, --init test|coracle|systemd, --tree trixie|sid,
                     --memory MIB, --processors NUMBER, --limit SECONDS, --with HOST_FILE=PATH (needs root once, to install qemu)
  peers [NAME…]      Make the trees of Debian with the peers: trixie (systemd 257), sid (systemd 262); with
                     `NAME [--bind DIRECTORY=PLACE] -- COMMAND…` boot one in a container and run the command there (needs root)
  docs               Write the pages that are printed from the table";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = match arguments.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", [].as_slice()),
    };
    let outcome = match command {
        "setup" => setup::run(),
        "demo" => setup::run().and_then(|()| demo::run()),
        "test" => test::run(rest),
        "chaos" => test::chaos_by(rest),
        "tidy" => tidy::run(rest.iter().any(|argument| argument == "--fix")),
        "dist" => dist::run(),
        "bench" => setup::run().and_then(|()| bench::run(rest)),
        // The other end of a bench that runs in a peer's container.
        "bench-inside" => bench::inside(rest.first().map(String::as_str).unwrap_or_default()),
        // What a restricted service of the bench does.
        "bench-calls" => {
            bench::costs().map(|costs| println!("{}", costs.map(|cost| cost.to_string()).join(" ")))
        }
        "fuzz" => fuzz::run(rest),
        "conformance" => conformance::run(rest),
        // The other end of a check that runs in a peer's container.
        "conformance-inside" => conformance::inside(rest),
        // A process of a service that such a check has drawn: its exit status is its part.
        "conformance-actor" => {
            return conformance::act(rest).unwrap_or_else(|error| {
                eprintln!("Error: {error:#}");
                ExitCode::from(99)
            });
        }
        "combinations" => conformance::combine(rest),
        "services" => services::run(rest),
        // The other end of it, in a container.
        "services-inside" => services::inside(rest),
        "vm" => vm::run(rest),
        "peers" => peers::run(rest),
        "docs" => docs::write(),
        "help" | "-h" | "--help" => {
            println!("{USAGE}");
            Ok(())
        }
        other => Err(anyhow::anyhow!("there is no command {other:?}\n\n{USAGE}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
