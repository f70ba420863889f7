//! As much of HTTP/1.1 as a small service needs: request lines, two headers, answers with a length.

use std::io::{self, BufRead, Read, Write};

/// Request line and headers together.
const HEAD_LIMIT_BYTES: u64 = 8 * 1024;

/// A body, which is read and thrown away.
const BODY_LIMIT_BYTES: u64 = 64 * 1024;

/// What a client wants.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    /// Whether the client may ask again on this connection.
    pub(crate) keep_alive: bool,
}

/// What it gets.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: &'static str,
    pub(crate) body: String,
}

/// Reads a request. `None`: the client has no more. `InvalidData`: it talks nonsense, or too much.
pub(crate) fn read(from: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut head = from.take(HEAD_LIMIT_BYTES);
    let Some(first) = line(&mut head)? else {
        return Ok(None);
    };
    let mut words = first.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(nonsense());
    };
    if !target.starts_with('/') || !version.starts_with("HTTP/1.") {
        return Err(nonsense());
    }
    let mut request = Request {
        method: method.into(),
        target: target.into(),
        keep_alive: version == "HTTP/1.1",
    };
    let mut body_bytes = 0;
    loop {
        let header = line(&mut head)?.ok_or_else(nonsense)?;
        if header.is_empty() {
            break;
        }
        let (name, value) = header.split_once(':').ok_or_else(nonsense)?;
        match name.to_ascii_lowercase().as_str() {
            "connection" => request.keep_alive = !value.trim().eq_ignore_ascii_case("close"),
            "content-length" => body_bytes = value.trim().parse().map_err(|_| nonsense())?,
            "transfer-encoding" => return Err(nonsense()),
            _ => {}
        }
    }
    discard(from, body_bytes)?;
    Ok(Some(request))
}

/// Writes an answer.
pub(crate) fn write(to: &mut impl Write, answer: &Answer, keep_alive: bool) -> io::Result<()> {
    let connection = if keep_alive { "keep-alive" } else { "close" };
    let Answer { status, body } = answer;
    let text = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: {connection}\r\n\r\n{body}",
        body.len()
    );
    to.write_all(text.as_bytes())
}

/// A line without its end; `None` where nothing comes any more.
fn line(head: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut raw = Vec::new();
    head.read_until(b'\n', &mut raw)?;
    if raw.is_empty() {
        return Ok(None);
    }
    let text = raw.strip_suffix(b"\n").ok_or_else(nonsense)?;
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    String::from_utf8(text.to_vec())
        .map(Some)
        .map_err(|_| nonsense())
}

fn discard(from: &mut impl BufRead, bytes: u64) -> io::Result<()> {
    if bytes > BODY_LIMIT_BYTES {
        return Err(nonsense());
    }
    let read = io::copy(&mut from.take(bytes), &mut io::sink())?;
    if read == bytes {
        Ok(())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

fn nonsense() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "the request is not HTTP/1.1 as it is spoken here",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Method, target and whether the connection stays; or what is wrong.
    fn check(text: &str, expected: &str) {
        let said = match read(&mut text.as_bytes()) {
            Ok(Some(request)) => format!(
                "{} {} {}",
                request.method, request.target, request.keep_alive
            ),
            Ok(None) => "nothing".into(),
            Err(error) => format!("{:?}", error.kind()),
        };
        assert_eq!(said, expected);
    }

    #[test]
    fn requests_are_read_with_what_they_say_of_the_connection() {
        check("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "GET / true");
        check(
            "GET /a?b=c HTTP/1.1\r\nConnection: Close\r\n\r\n",
            "GET /a?b=c false",
        );
        check("GET / HTTP/1.0\r\n\r\n", "GET / false");
        check(
            "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
            "POST / true",
        );
        check("", "nothing");
    }

    #[test]
    fn nonsense_and_too_much_are_refused() {
        check("GET /\r\n\r\n", "InvalidData");
        check("GET / HTTP/1.1\r\nno colon\r\n\r\n", "InvalidData");
        check(
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "InvalidData",
        );
        check(
            "POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n",
            "InvalidData",
        );
        check(
            &format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(9000)),
            "InvalidData",
        );
        check(
            "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\na",
            "UnexpectedEof",
        );
    }
}
