//! What the service says to each path.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::http::{Answer, Request};

/// One request at a time changes the counter.
static COUNTING: Mutex<()> = Mutex::new(());

/// An answer, and the exit status where the client asked for the end.
pub(crate) fn answer(request: &Request) -> (Answer, Option<u8>) {
    if request.method != "GET" {
        return (
            plain("405 Method Not Allowed", "only GET is understood here\n"),
            None,
        );
    }
    let (path, query) = request
        .target
        .split_once('?')
        .unwrap_or((&request.target, ""));
    match path {
        "/" => (greeting(), None),
        "/healthz" => (plain("200 OK", "ok\n"), None),
        "/state" => (state(), None),
        "/exit" => exit(query),
        _ => (
            plain(
                "404 Not Found",
                "there is /, /healthz, /state and /exit?status=N\n",
            ),
            None,
        ),
    }
}

/// What the administrator set to be said, or hello.
fn greeting() -> Answer {
    let word = env::var("GREETING").unwrap_or_else(|_| "Hello".to_owned());
    plain("200 OK", &format!("{word} from inside the sandbox!\n"))
}

fn exit(query: &str) -> (Answer, Option<u8>) {
    match query
        .strip_prefix("status=")
        .and_then(|status| status.parse().ok())
    {
        Some(status) => (
            plain("200 OK", &format!("ending with status {status}\n")),
            Some(status),
        ),
        None => (
            plain("400 Bad Request", "say /exit?status=N, N from 0 to 255\n"),
            None,
        ),
    }
}

fn state() -> Answer {
    let Some(directory) = env::var_os("STATE_DIRECTORY").map(PathBuf::from) else {
        return plain("503 Service Unavailable", "there is no state directory\n");
    };
    match count(&directory) {
        Ok(count) => plain("200 OK", &format!("{count}\n")),
        Err(error) => plain("500 Internal Server Error", &format!("{error}\n")),
    }
}

/// Reads the counter, writes it back one higher: beside, then renamed.
fn count(directory: &Path) -> io::Result<u64> {
    let _one_at_a_time = COUNTING
        .lock()
        .map_err(|_| io::Error::other("an earlier request failed"))?;
    let (file, beside) = (directory.join("counter"), directory.join("counter.new"));
    let before = match fs::read_to_string(&file) {
        Ok(text) => text
            .trim()
            .parse()
            .map_err(|_| io::Error::other("the counter is no number"))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0u64,
        Err(error) => return Err(error),
    };
    let count = before.saturating_add(1);
    fs::write(&beside, format!("{count}\n"))?;
    fs::rename(beside, file)?;
    Ok(count)
}

fn plain(status: &'static str, body: &str) -> Answer {
    Answer {
        status,
        body: body.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Status, body and exit status of a request.
    fn check(method: &str, target: &str, expected: &str) {
        let request = Request {
            method: method.into(),
            target: target.into(),
            keep_alive: true,
        };
        let (answer, end) = answer(&request);
        assert_eq!(
            format!("{} {} {end:?}", answer.status, answer.body.trim_end()),
            expected
        );
    }

    #[test]
    fn every_path_has_its_answer() {
        check("GET", "/", "200 OK Hello from inside the sandbox! None");
        check("GET", "/healthz", "200 OK ok None");
        check(
            "GET",
            "/exit?status=3",
            "200 OK ending with status 3 Some(3)",
        );
        check(
            "GET",
            "/exit?status=999",
            "400 Bad Request say /exit?status=N, N from 0 to 255 None",
        );
        check(
            "GET",
            "/x",
            "404 Not Found there is /, /healthz, /state and /exit?status=N None",
        );
        check(
            "PUT",
            "/",
            "405 Method Not Allowed only GET is understood here None",
        );
    }

    #[test]
    fn the_counter_goes_on_where_it_was() {
        let directory = env::temp_dir().join(format!("hello-{}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        assert_eq!(
            (count(&directory).unwrap(), count(&directory).unwrap()),
            (1, 2)
        );
        fs::write(directory.join("counter"), "41\n").unwrap();
        assert_eq!(count(&directory).unwrap(), 42);
        fs::remove_dir_all(directory).unwrap();
    }
}
