//! What a sandbox must stop, tried from inside: `attacker ACT ARGUMENT…` does one forbidden thing and says what became of it.
//!
//! It prints `reached` and ends with 0, prints the name of the error that refused it and ends with 1, or says why it could not be tried
//! and ends with 2. An act that gets what it wants does no harm: it sets a thing to what it is, or hands the kernel an argument that it
//! refuses only after it has asked for the privilege.

mod call;
mod calls;
mod files;
mod kernel;
mod objects;
mod processes;

use std::io::Write;
use std::process::ExitCode;

use call::Errno;

/// Why an act did not get what it wanted.
enum Refusal {
    /// The kernel's error.
    By(Errno),
    /// It got something, but not what it wanted.
    Empty,
    /// Its scene is missing.
    NotTried(String),
}

type Outcome = Result<(), Refusal>;

/// An act's name and what does it.
type Act = (&'static str, fn(&[String]) -> Outcome);

impl From<Errno> for Refusal {
    fn from(error: Errno) -> Refusal {
        Refusal::By(error)
    }
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Refusal {
        match error.raw_os_error() {
            Some(number) => Refusal::By(Errno(number)),
            None => Refusal::NotTried(error.to_string()),
        }
    }
}

/// What an act wanted to see is there, or it is not.
fn seen(is_seen: bool) -> Outcome {
    is_seen.then_some(()).ok_or(Refusal::Empty)
}

fn argument(given: &[String], index: usize) -> Result<&str, Refusal> {
    let missing = || Refusal::NotTried(format!("argument {} is missing", index + 1));
    given.get(index).map(String::as_str).ok_or_else(missing)
}

/// Makes each act in a process of its own, since one may change or end what makes it, and says what became of it on a line that begins
/// with its number.
fn each(acts: &[String]) -> Outcome {
    for (number, act) in acts.iter().enumerate() {
        print!("\n{number} ");
        std::io::stdout().flush()?;
        let words: Vec<String> = act.split_whitespace().map(str::to_owned).collect();
        let status = processes::apart(|| said(&words))?;
        if let Some(signal) = status {
            println!("signal {signal}");
        }
    }
    Ok(())
}

fn attempt(words: &[String]) -> Outcome {
    let name = argument(words, 0)?;
    let given = &words[1..];
    if name == "each" {
        return each(given);
    }
    if let Some(outcome) = calls::attempt(name, given) {
        return outcome;
    }
    let all = [files::ACTS, kernel::ACTS, objects::ACTS, processes::ACTS].concat();
    match all.iter().find(|(known, _)| *known == name) {
        Some((_, act)) => act(given),
        None => Err(Refusal::NotTried(format!("there is no act {name:?}"))),
    }
}

/// Makes an act, prints what became of it, and returns the exit status.
fn said(words: &[String]) -> u8 {
    let (said, status) = match attempt(words) {
        Ok(()) => ("reached".to_owned(), 0),
        Err(Refusal::By(error)) => (error.name(), 1),
        Err(Refusal::Empty) => ("nothing".to_owned(), 1),
        Err(Refusal::NotTried(why)) => (why, 2),
    };
    println!("{said}");
    status
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    ExitCode::from(said(&words))
}
