//! One try: request, redirects, answer, body.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use ureq::http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, ETAG, IF_RANGE, LAST_MODIFIED,
    LOCATION, RANGE,
};
use ureq::http::{HeaderMap, HeaderName, Response, Uri};
use ureq::{Agent, Body};

use super::known::Known;
use super::pace::Pace;
use super::staged::Staged;
use super::ways::Ways;
use super::{Error, Progress, Request, address};

/// Bytes read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// How a try ended, unless in an error.
pub(super) enum Outcome {
    /// Everything is there.
    Whole,
    /// The connection was cut; what came is kept. Why, where anything says so.
    Cut(Option<io::Error>),
    /// The server has trouble of its own, which may pass: what is told if it does not.
    Trouble(Error),
}

/// All that tries have in common.
pub(super) struct Exchange<'a> {
    request: &'a Request,
    url: Uri,
    until: Instant,
    agent: Agent,
    known: Option<Known>,
    pub(super) pace: Pace,
}

/// What a request asks for, and what is there already.
#[derive(Clone, Default)]
pub(super) struct Asked<'b> {
    /// Bytes that are there.
    pub(super) bytes: u64,
    /// The range, as the header has it.
    pub(super) range: Option<String>,
    /// Of what it has to be a range.
    pub(super) validator: Option<&'b str>,
}

impl<'b> Asked<'b> {
    /// The whole, or the rest of it.
    fn rest(staged: &'b Staged<'_>) -> Asked<'b> {
        let bytes = staged.bytes();
        let validator = staged.known().validator.as_deref();
        let validator = validator.filter(|_| bytes > 0);
        Asked {
            bytes,
            range: validator.map(|_| format!("bytes={bytes}-")),
            validator,
        }
    }
}

impl<'a> Exchange<'a> {
    pub(super) fn new(
        request: &'a Request,
        url: Uri,
        until: Instant,
        idle_connections: usize,
    ) -> Result<Exchange<'a>, Error> {
        let ways = Ways::of(request, &url, idle_connections)?;
        let credential = request.access.credential.as_ref();
        Ok(Exchange {
            request,
            url,
            until,
            agent: ways.agent(None)?,
            known: credential
                .map(|credential| Known::new(credential, &ways))
                .transpose()?,
            pace: Pace::new(request.access.rate_bytes),
        })
    }

    pub(super) fn run(
        &self,
        staged: &mut Staged<'_>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Outcome, Error> {
        let (url, response) = match self.answer(&Asked::rest(staged))? {
            Ok(answer) => answer,
            Err(cause) => return Ok(Outcome::Cut(Some(cause))),
        };
        let total_bytes = match response.status().as_u16() {
            206 if staged.bytes() > 0 => {
                resumed(staged, response.headers()).map_err(|what| self.lie(&url, what))?
            }
            200 => self.anew(staged, &url, &response)?,
            416 if staged.known().total_bytes == Some(staged.bytes()) => {
                return Ok(Outcome::Whole);
            }
            // What we have is of a content that is no longer there.
            416 if staged.bytes() > 0 => {
                staged.restart().map_err(Error::staging("empty"))?;
                return Ok(Outcome::Cut(None));
            }
            status => {
                let error = self.status(&url, status);
                return match is_trouble(status) {
                    true => Ok(Outcome::Trouble(error)),
                    false => Err(error),
                };
            }
        };
        self.within_limit(&url, total_bytes.unwrap_or(0))?;
        self.body(staged, &url, response.into_body(), total_bytes, progress)
    }

    /// The answer after redirects, from the last address, or why the connection was cut before it came.
    pub(super) fn answer(
        &self,
        asked: &Asked<'_>,
    ) -> Result<io::Result<(Uri, Response<Body>)>, Error> {
        let mut url = self.url.clone();
        for _ in 0..=self.request.limits.redirects {
            let response = match self.ask(&url, asked)? {
                Ok(response) => response,
                Err(cause) => return Ok(Err(cause)),
            };
            match (
                response.status().as_u16(),
                header(response.headers(), &LOCATION),
            ) {
                (301 | 302 | 303 | 307 | 308, Some(location)) => {
                    url = address::redirect(&url, location)?;
                    self.check_allowed(&url)?;
                }
                _ => return Ok(Ok((url, response))),
            }
        }
        Err(Error::Redirects {
            url: self.url.to_string(),
            limit: self.request.limits.redirects,
        })
    }

    /// Where a policy says where may be fetched from, nobody leads elsewhere.
    fn check_allowed(&self, url: &Uri) -> Result<(), Error> {
        let whole = url.to_string();
        let allowed = self.request.access.allowed.as_ref();
        match allowed.is_none_or(|places| places.iter().any(|place| place.covers(&whole))) {
            true => Ok(()),
            false => Err(Error::Address {
                url: self.told(url),
                reason: "a redirect to where the policy allows no fetching from is not followed",
            }),
        }
    }

    /// One answer, or why the connection was cut before it came.
    fn ask(&self, url: &Uri, asked: &Asked<'_>) -> Result<io::Result<Response<Body>>, Error> {
        let left = self.left(asked.bytes)?;
        let known = self.known.as_ref().filter(|known| known.is_of(url));
        let agent = known.and_then(Known::agent).unwrap_or(&self.agent);
        let mut request = agent
            .get(url)
            .config()
            .timeout_global(Some(left))
            .build()
            .header(ACCEPT_ENCODING, "identity");
        if let Some(login) = known.and_then(Known::login) {
            request = request.header(AUTHORIZATION, login);
        }
        if let Some(range) = &asked.range {
            request = request.header(RANGE, range);
        }
        if let Some(validator) = asked.validator {
            request = request.header(IF_RANGE, validator);
        }
        match request.call() {
            Ok(response) => Ok(Ok(response)),
            Err(error) if is_cut(&error, asked.bytes > 0) => Ok(Err(error.into_io())),
            Err(error) => Err(self.failed(url, asked.bytes, error)),
        }
    }

    /// An address in a message: whole where it was asked for, and without its query where a redirect led there.
    pub(super) fn told(&self, url: &Uri) -> String {
        match *url == self.url {
            true => url.to_string(),
            false => address::bare(url),
        }
    }

    /// An answer that is none.
    pub(super) fn status(&self, url: &Uri, status: u16) -> Error {
        let url = self.told(url);
        Error::Status { url, status }
    }

    pub(super) fn lie(&self, url: &Uri, what: &'static str) -> Error {
        let url = self.told(url);
        Error::Lie { url, what }
    }

    pub(super) fn left(&self, bytes: u64) -> Result<Duration, Error> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            Err(self.too_slow(bytes))
        } else {
            Ok(left)
        }
    }

    fn too_slow(&self, bytes: u64) -> Error {
        Error::TooSlow {
            url: self.request.url.clone(),
            bytes,
            limit: self.request.limits.total,
        }
    }

    fn failed(&self, url: &Uri, bytes: u64, source: ureq::Error) -> Error {
        match source {
            ureq::Error::Timeout(_) if self.until <= Instant::now() => self.too_slow(bytes),
            source => super::no_server(self.request, self.told(url), source),
        }
    }

    /// A whole content, whatever was there before.
    fn anew(
        &self,
        staged: &mut Staged<'_>,
        url: &Uri,
        response: &Response<Body>,
    ) -> Result<Option<u64>, Error> {
        staged.restart().map_err(Error::staging("empty"))?;
        let total_bytes = header(response.headers(), &CONTENT_LENGTH)
            .map(str::parse)
            .transpose();
        let total_bytes = total_bytes.map_err(|_| self.lie(url, "the length is no number"))?;
        self.within_limit(url, total_bytes.unwrap_or(0))?;
        staged
            .note(validator(response.headers()), total_bytes)
            .map_err(Error::staging("write beside"))?;
        Ok(total_bytes)
    }

    fn within_limit(&self, url: &Uri, bytes: u64) -> Result<(), Error> {
        let limit_bytes = self.request.limits.size_max_bytes;
        if bytes > limit_bytes {
            Err(Error::TooLarge {
                url: self.told(url),
                limit_bytes,
            })
        } else {
            Ok(())
        }
    }

    fn body(
        &self,
        staged: &mut Staged<'_>,
        url: &Uri,
        body: Body,
        total_bytes: Option<u64>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Outcome, Error> {
        let mut reader = body.into_with_config().limit(u64::MAX).reader();
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            progress(Progress {
                bytes: staged.bytes(),
                total_bytes,
            });
            self.left(staged.bytes())?;
            let count = match reader.read(&mut buffer) {
                Ok(0) if total_bytes.is_none_or(|total| total == staged.bytes()) => {
                    return Ok(Outcome::Whole);
                }
                Ok(0) => return Ok(Outcome::Cut(None)),
                Err(cause) => return Ok(Outcome::Cut(Some(cause))),
                Ok(count) => count,
            };
            let next = staged.bytes() + count as u64;
            self.within_limit(url, next)?;
            if total_bytes.is_some_and(|total| next > total) {
                return Err(self.lie(url, "there is more than that"));
            }
            staged
                .append(buffer.get(..count).unwrap_or_default())
                .map_err(Error::staging("write"))?;
            self.pace.spend(count as u64);
        }
    }
}

/// The server's own trouble, which may pass.
pub(super) fn is_trouble(status: u16) -> bool {
    matches!(status, 429 | 500..=599)
}

/// A part that goes on exactly where we are, of a content of the size that was announced.
fn resumed(staged: &Staged<'_>, headers: &HeaderMap) -> Result<Option<u64>, &'static str> {
    const NO_PLACE: &str = "a part without its place";
    let range = header(headers, &CONTENT_RANGE).and_then(|text| text.strip_prefix("bytes "));
    let (range, total) = range
        .and_then(|text| text.split_once('/'))
        .ok_or(NO_PLACE)?;
    let (start, end) = range.split_once('-').ok_or(NO_PLACE)?;
    if start.parse() != Ok(staged.bytes()) {
        return Err("another part than was asked for");
    }
    let total_bytes = total
        .parse()
        .or_else(|_| end.parse::<u64>().map(|end| end.saturating_add(1)));
    let total_bytes = total_bytes.map_err(|_| NO_PLACE)?;
    if staged
        .known()
        .total_bytes
        .is_some_and(|known| known != total_bytes)
    {
        return Err("a part of something of another size");
    }
    Ok(Some(total_bytes))
}

/// What names this very content: a strong ETag, else the date of its last change.
fn validator(headers: &HeaderMap) -> Option<String> {
    let strong = header(headers, &ETAG).filter(|tag| tag.starts_with('"'));
    strong
        .or_else(|| header(headers, &LAST_MODIFIED))
        .map(str::to_owned)
}

pub(super) fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// What a later try may mend; names, certificates and answers that are no HTTP are not. A server that is away is
/// waited for only where it was there before.
fn is_cut(error: &ureq::Error, begun: bool) -> bool {
    use std::io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, UnexpectedEof,
    };
    match error {
        ureq::Error::Io(error) => match error.kind() {
            BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof => true,
            ConnectionRefused => begun,
            _ => false,
        },
        ureq::Error::Timeout(_) => begun,
        _ => false,
    }
}
