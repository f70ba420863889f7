//! A small HTTP service as Coracle likes them: its socket comes from outside, it says when it is ready, it ends when asked.
//!
//! `GET /` greets, `/healthz` says ok, `/state` counts in the state directory, `/exit?status=N` ends the service.

mod answer;
mod http;
mod notify;
mod server;
mod sockets;

use std::process::ExitCode;

fn main() -> ExitCode {
    match sockets::listener().and_then(|listener| server::run(&listener)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// Standard error is the service's log.
#[allow(clippy::print_stderr, reason = "a service logs to standard error")]
fn complain(error: &std::io::Error) {
    eprintln!("hello: {error}");
}
