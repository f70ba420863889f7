//! One message to a webhook: JSON by an HTTP POST. The address may hold a token, so no error names more of it than its host.

use std::time::Duration;

use ureq::Agent;
use ureq::http::Uri;
use ureq::http::header::CONTENT_TYPE;
use ureq::unversioned::transport::DefaultConnector;

use super::resolver::HostResolver;
use super::ways::tls;
use super::{Error, Roots, address};

/// Largest head of an answer, in bytes; what follows it is not read.
const HEAD_MAX_BYTES: usize = 16 * 1024;

/// Why a webhook was not told.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// The address is no http or https address.
    #[error("the address of the webhook cannot be used: {reason}")]
    Address {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The certificates to trust cannot be read.
    #[error("there are no certificates to trust the webhook's server by: {reason}")]
    Roots {
        /// What is wrong with them.
        reason: &'static str,
    },
    /// The server cannot be reached or trusted, or what it says is no HTTP.
    #[error("the webhook at {host} does not answer")]
    Server {
        /// The address's host.
        host: String,
        /// Why.
        #[source]
        source: Box<ureq::Error>,
    },
    /// The server sends the message elsewhere: what is in it goes to nobody whom the administrator has not named.
    #[error(
        "the webhook at {host} answers with a redirect (status {status}), which is not followed"
    )]
    Redirect {
        /// The address's host.
        host: String,
        /// The HTTP status.
        status: u16,
    },
    /// The server does not take it.
    #[error("the webhook at {host} answers with status {status}")]
    Status {
        /// The address's host.
        host: String,
        /// The HTTP status.
        status: u16,
    },
}

/// Sends `json` to `url`; the server must have taken it before `total` is over.
///
/// # Errors
/// When nobody is known to have taken it.
pub fn post(url: &str, json: &[u8], roots: &Roots, total: Duration) -> Result<(), PostError> {
    let uri = address::parse(url).map_err(without_address)?;
    let host = uri.host().unwrap_or_default().to_owned();
    let agent = agent(roots, &uri, total)?;
    let answer = agent
        .post(&uri)
        .header(CONTENT_TYPE, "application/json")
        .send(json);
    match answer.map(|answer| answer.status().as_u16()) {
        Ok(200..=299) => Ok(()),
        Ok(status @ 300..=399) => Err(PostError::Redirect { host, status }),
        Ok(status) => Err(PostError::Status { host, status }),
        Err(source) => Err(PostError::Server {
            host,
            source: Box::new(source),
        }),
    }
}

fn agent(roots: &Roots, uri: &Uri, total: Duration) -> Result<Agent, PostError> {
    let config = Agent::config_builder()
        .tls_config(tls(roots, uri).map_err(without_address)?)
        .proxy(None)
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .max_response_header_size(HEAD_MAX_BYTES)
        .timeout_global(Some(total))
        .user_agent(concat!("coracle/", env!("CARGO_PKG_VERSION")))
        .build();
    Ok(Agent::with_parts(
        config,
        DefaultConnector::default(),
        HostResolver::new(),
    ))
}

/// The reason alone.
fn without_address(error: Error) -> PostError {
    match error {
        Error::Roots { reason } => PostError::Roots { reason },
        Error::Address { reason, .. } => PostError::Address { reason },
        _ => PostError::Address {
            reason: "it is no address",
        },
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn told(error: PostError) -> String {
        let mut words = vec![error.to_string()];
        let mut next = std::error::Error::source(&error);
        while let Some(cause) = next {
            words.push(cause.to_string());
            next = cause.source();
        }
        words.join(": ")
    }

    /// What a server gets, and what comes of its answer.
    fn answered(answer: &'static str) -> (String, Result<(), PostError>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!(
            "http://{}/hook?token=secret",
            listener.local_addr().unwrap()
        );
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut head, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                head.push_str(&line);
                if line == "\r\n" {
                    break;
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            head + &String::from_utf8(body).unwrap()
        });
        let outcome = post(
            &url,
            b"{\"unit\":\"web.service\"}",
            &Roots::System,
            PATIENCE,
        );
        (server.join().unwrap(), outcome)
    }

    #[test]
    fn the_message_arrives_as_json_and_is_taken() {
        let (request, outcome) = answered("HTTP/1.1 204 No Content\r\n\r\n");
        outcome.unwrap();
        assert!(
            request.starts_with("POST /hook?token=secret HTTP/1.1\r\n"),
            "{request}"
        );
        let lower = request.to_ascii_lowercase();
        assert!(
            lower.contains("\r\ncontent-type: application/json\r\n"),
            "{request}"
        );
        assert!(
            request.ends_with("\r\n\r\n{\"unit\":\"web.service\"}"),
            "{request}"
        );
    }

    #[test]
    fn redirects_and_refusals_are_errors_that_keep_the_address_secret() {
        for (answer, expected) in [
            (
                "HTTP/1.1 307 Elsewhere\r\nLocation: ftp://127.0.0.1/secret\r\nContent-Length: 0\r\n\r\n",
                "the webhook at 127.0.0.1 answers with a redirect (status 307), which is not followed",
            ),
            (
                "HTTP/1.1 301 Elsewhere\r\nLocation: http://127.0.0.1:1/secret\r\nContent-Length: 0\r\n\r\n",
                "the webhook at 127.0.0.1 answers with a redirect (status 301), which is not followed",
            ),
            (
                "HTTP/1.1 403 secret\r\nContent-Length: 0\r\n\r\n",
                "the webhook at 127.0.0.1 answers with status 403",
            ),
        ] {
            assert_eq!(told(answered(answer).1.unwrap_err()), expected);
        }
    }

    #[test]
    fn a_server_that_hangs_or_is_not_there_is_waited_for_no_longer_than_said() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let url = format!("http://{address}/secret");
        let short = Duration::from_millis(200);
        let hung = told(post(&url, b"{}", &Roots::System, short).unwrap_err());
        assert!(hung.contains("does not answer: timeout"), "{hung}");
        drop(listener);
        let gone = told(post(&url, b"{}", &Roots::System, PATIENCE).unwrap_err());
        assert!(gone.contains("does not answer"), "{gone}");
        assert!(!(hung + &gone).contains("secret"));
    }

    #[test]
    fn what_is_no_address_of_the_web_is_refused_unseen() {
        for url in [
            "file:///secret",
            "secret",
            "http://me:secret@b.org/",
            "https:///secret",
        ] {
            let told = told(post(url, b"{}", &Roots::System, PATIENCE).unwrap_err());
            assert!(
                told.starts_with("the address of the webhook cannot be used"),
                "{told}"
            );
            assert!(!told.contains("secret"), "{told}");
        }
        let url = "https://127.0.0.1/secret";
        let told = told(post(url, b"{}", &Roots::Only(Vec::new()), PATIENCE).unwrap_err());
        assert_eq!(
            told,
            "there are no certificates to trust the webhook's server by: the given file has none"
        );
    }
}
