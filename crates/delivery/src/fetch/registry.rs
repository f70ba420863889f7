//! The conversation with a registry: who asks is told as it wants to hear it, documents are small and what their digest says, and in the end
//! there is an address that is fetched as any other; or a blob or a manifest is handed over.

use std::fs::File;
use std::io::Read as _;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use ureq::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LOCATION, WWW_AUTHENTICATE};
use ureq::http::{HeaderMap, HeaderValue, Response, Uri};
use ureq::{Agent, Body, SendBody};

use super::exchange::header;
use super::known::{Known, sensitive};
use super::ways::Ways;
use super::{Error, Request, Roots, TOTAL_MAX, address};
use crate::credential::{Credential, Login, Secret};
use crate::digest::Digest;
use crate::place::Origin;
use crate::registry::{
    DOCUMENT_MAX_BYTES, INDEX_TYPE, MANIFEST_TYPE, Manifest, Reference, Referrers, Wanted,
    referrers_tag,
};

/// Largest answer of who gives out tokens, in bytes.
const TOKEN_MAX_BYTES: u64 = 64 << 10;

/// What the media types of manifests are.
const MANIFESTS: &str =
    "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json";

/// What is handed over.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Handed {
    /// A blob of this digest and length, unless it is there.
    Blob(Digest, u64),
    /// A manifest under this tag or digest.
    Manifest(String),
    /// A list of manifests under this tag.
    List(String),
}

/// Whether an origin is asked by http and encryption was meant: where certificates are named, it was.
fn is_encrypted(request: &Request) -> bool {
    matches!(request.roots, Roots::Only(_))
}

/// The address by which a policy judges a place in a registry, and whom a credential is for.
///
/// # Errors
/// When it is no place in one.
pub fn registry_address(reference: &str, is_encrypted: bool) -> Result<String, Error> {
    let reference = parsed(reference)?;
    Ok(reference.url(&format!("manifests/{}", reference.pointer), is_encrypted))
}

fn parsed(text: &str) -> Result<Reference, Error> {
    Reference::parse(text).map_err(|error| Error::Registry {
        url: text.chars().take(200).collect(),
        what: error.to_string(),
    })
}

/// What is to be fetched of a place in a registry, as a request for an address, and the digest that it has to have.
pub(super) fn resolve(request: &Request) -> Result<(Request, Digest), Error> {
    let mut registry = Registry::new(request)?;
    let blob = match registry.reference.wanted.clone() {
        Wanted::Blob(digest) => {
            // The first answer says how one asks.
            let url = registry.url(&format!("blobs/{digest}"))?;
            let status = registry.head(&url)?;
            registry.found(status)?;
            digest
        }
        Wanted::Image => registry.image()?,
        Wanted::Channel => registry.channel()?,
    };
    let url = registry.url(&format!("blobs/{blob}"))?;
    let mut request = request.clone();
    request.url = url.to_string();
    if let Some(token) = registry.token.take() {
        let identity = request.access.credential.take();
        request.access.credential = Origin::of_uri(&url).map(|origin| Credential {
            origin,
            login: Some(Login::Token(token)),
            identity: identity.and_then(|credential| credential.identity),
        });
    }
    Ok((request, blob))
}

/// Hands a file's content over; says whether the registry keeps track of what refers to what.
///
/// # Errors
/// When the registry does not take it.
pub fn hand_over(request: &Request, handed: &Handed, from: &File) -> Result<bool, Error> {
    let mut registry = Registry::new(request)?;
    match handed {
        Handed::Blob(digest, length) => registry.put_blob(digest, *length, from).map(|()| false),
        Handed::Manifest(pointer) => registry.put_document(pointer, MANIFEST_TYPE, from),
        Handed::List(pointer) => registry.put_document(pointer, INDEX_TYPE, from),
    }
}

/// Fetches the list of what refers to an artefact, from where a registry without referrers has it; nothing where there is none yet.
///
/// # Errors
/// When it can't be read.
pub fn referrers(request: &Request, of: &Digest) -> Result<Option<Vec<u8>>, Error> {
    let mut registry = Registry::new(request)?;
    registry.document(&format!("manifests/{}", referrers_tag(of)))
}

/// Whether there is anything under a tag.
///
/// # Errors
/// When the registry does not say.
pub fn there(request: &Request) -> Result<bool, Error> {
    let mut registry = Registry::new(request)?;
    let pointer = registry.reference.pointer.clone();
    Ok(registry
        .document(&format!("manifests/{pointer}"))?
        .is_some())
}

/// A registry, and how it is spoken to.
struct Registry<'a> {
    request: &'a Request,
    reference: Reference,
    agent: Agent,
    /// Without the client's certificate, for anybody else.
    stranger: Agent,
    known: Option<Known>,
    /// What it gave for the login, or for nothing.
    token: Option<Secret>,
    /// The login is sent as it is.
    is_basic: bool,
    until: Instant,
}

impl<'a> Registry<'a> {
    fn new(request: &'a Request) -> Result<Registry<'a>, Error> {
        let reference = parsed(&request.url)?;
        let base = address::parse(&reference.url("", is_encrypted(request)))?;
        let ways = Ways::of(request, &base, 1)?;
        let credential = request.access.credential.as_ref();
        let known = credential.map(|credential| Known::new(credential, &ways));
        let known = known.transpose()?;
        let agent = known.as_ref().and_then(|known| known.agent().cloned());
        let is_token = |credential: &Credential| matches!(credential.login, Some(Login::Token(_)));
        Ok(Registry {
            request,
            reference,
            agent: agent.map_or_else(|| ways.agent(None), Ok)?,
            stranger: ways.agent(None)?,
            // A token of one's own needs no other one.
            is_basic: credential.is_some_and(is_token),
            known,
            token: None,
            until: Instant::now() + request.limits.total.min(TOTAL_MAX),
        })
    }

    fn url(&self, rest: &str) -> Result<Uri, Error> {
        address::parse(&self.reference.url(rest, is_encrypted(self.request)))
    }

    fn image(&mut self) -> Result<Digest, Error> {
        let (manifest, _) = self.manifest(&self.reference.pointer.clone())?;
        let image = manifest.image();
        let image = image.ok_or_else(|| self.wrong("what is there is no portable's image"))?;
        Ok(image.digest)
    }

    fn channel(&mut self) -> Result<Digest, Error> {
        let (_, digest) = self.manifest(&self.reference.pointer.clone())?;
        let list = match self.document(&format!("referrers/{digest}"))? {
            Some(list) => list,
            None => {
                let tag = referrers_tag(&digest);
                let list = self.document(&format!("manifests/{tag}"))?;
                list.ok_or_else(|| self.no_channel())?
            }
        };
        let list: Referrers = self.read(&list)?;
        let newest = list.newest_channel();
        let newest = newest.ok_or_else(|| self.no_channel())?.digest;
        let (manifest, _) = self.manifest(&newest.to_string())?;
        let channel = manifest.channel(&digest);
        let channel =
            channel.ok_or_else(|| self.wrong("what refers to the image is no channel of it"))?;
        Ok(channel.digest)
    }

    fn no_channel(&self) -> Error {
        self.wrong("it has no channel: nothing there refers to the image")
    }

    /// A manifest; one that is asked for by its digest has to have it.
    fn manifest(&mut self, pointer: &str) -> Result<(Manifest, Digest), Error> {
        let text = self.document(&format!("manifests/{pointer}"))?;
        let text = text.ok_or_else(|| self.no_answer(404))?;
        let digest = Digest::of(&text);
        if pointer.starts_with("sha256:") && pointer != digest.to_string() {
            return Err(self.wrong("a manifest is not what its digest says"));
        }
        Ok((self.read(&text)?, digest))
    }

    fn read<T: for<'d> Deserialize<'d>>(&self, text: &[u8]) -> Result<T, Error> {
        serde_json::from_slice(text)
            .map_err(|_| self.wrong("a document is damaged or of another kind"))
    }

    /// A document; nothing where there is none.
    fn document(&mut self, rest: &str) -> Result<Option<Vec<u8>>, Error> {
        let url = self.url(rest)?;
        let response = self.call(&url, |agent, login| {
            let request = agent.get(&url).header(ACCEPT, MANIFESTS);
            with_login(request, login).call()
        })?;
        match response.status().as_u16() {
            200 => self.body(response, DOCUMENT_MAX_BYTES).map(Some),
            404 => Ok(None),
            status => Err(self.status(&url, status)),
        }
    }

    fn body(&self, response: Response<Body>, limit_bytes: u64) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        let reader = response
            .into_body()
            .into_with_config()
            .limit(u64::MAX)
            .reader();
        let read = reader.take(limit_bytes + 1).read_to_end(&mut bytes);
        read.map_err(|source| self.failed(source.into()))?;
        match bytes.len() as u64 > limit_bytes {
            true => Err(Error::TooLarge {
                url: self.request.url.clone(),
                limit_bytes,
            }),
            false => Ok(bytes),
        }
    }

    fn head(&mut self, url: &Uri) -> Result<u16, Error> {
        let response = self.call(url, |agent, login| {
            with_login(agent.head(url), login).call()
        })?;
        Ok(response.status().as_u16())
    }

    /// Where a blob is elsewhere, who fetches it is led there.
    fn found(&self, status: u16) -> Result<(), Error> {
        match status {
            200 | 301 | 302 | 303 | 307 | 308 => Ok(()),
            status => Err(self.no_answer(status)),
        }
    }

    /// What was asked for is not there, by the name that the administrator knows.
    fn no_answer(&self, status: u16) -> Error {
        Error::Status {
            url: self.request.url.clone(),
            status,
        }
    }

    /// One call, and once more where the registry wants to know who asks.
    fn call(
        &mut self,
        url: &Uri,
        call: impl Fn(&Agent, Option<HeaderValue>) -> Result<Response<Body>, ureq::Error>,
    ) -> Result<Response<Body>, Error> {
        for is_first in [true, false] {
            let login = self.login(url)?;
            let response = call(&self.agent, login).map_err(|error| self.failed(error))?;
            if response.status().as_u16() != 401 || !is_first {
                return Ok(response);
            }
            self.answer_challenge(response.headers())?;
            if Instant::now() > self.until {
                break;
            }
        }
        Err(Error::TooSlow {
            url: self.request.url.clone(),
            bytes: 0,
            limit: self.request.limits.total,
        })
    }

    /// What is sent along: nothing to any other server.
    fn login(&self, url: &Uri) -> Result<Option<HeaderValue>, Error> {
        let own = self.url("")?;
        if Origin::of_uri(url) != Origin::of_uri(&own) {
            return Ok(None);
        }
        if let Some(token) = &self.token {
            let text = format!("Bearer {}", token.reveal());
            let value = HeaderValue::from_str(&text);
            let value = value.map_err(|_| self.wrong("it gave a token that no header can have"))?;
            return Ok(Some(sensitive(value)));
        }
        let known = self
            .known
            .as_ref()
            .filter(|known| self.is_basic && known.is_of(url));
        Ok(known.and_then(Known::login).cloned())
    }

    /// Does what the registry asks for: the login itself, or a token of who gives those out.
    fn answer_challenge(&mut self, headers: &HeaderMap) -> Result<(), Error> {
        let challenge = header(headers, &WWW_AUTHENTICATE).unwrap_or_default();
        let (scheme, rest) = challenge.split_once(' ').unwrap_or((challenge, ""));
        if scheme.eq_ignore_ascii_case("basic") {
            let is_new = self.known.is_some() && !self.is_basic;
            self.is_basic = true;
            return match is_new {
                true => Ok(()),
                false => Err(self.denied()),
            };
        }
        if !scheme.eq_ignore_ascii_case("bearer") || self.token.is_some() {
            return Err(self.denied());
        }
        self.token = Some(self.fetch_token(rest)?);
        Ok(())
    }

    /// A token for what is asked, from the server that the registry names. The login goes there only where it is the registry's own host,
    /// by https or at the same port: any other server that a registry names would get to know it.
    fn fetch_token(&self, challenge: &str) -> Result<Secret, Error> {
        let realm = parameter(challenge, "realm").ok_or_else(|| self.denied())?;
        let mut address = realm.to_owned();
        for name in ["service", "scope"] {
            if let Some(value) = parameter(challenge, name) {
                let mark = if address.contains('?') { '&' } else { '?' };
                address.push_str(&format!("{mark}{name}={}", encoded(value)));
            }
        }
        let url = address::parse(&address)?;
        let own = self.url("")?;
        if own.scheme_str() == Some("https") && url.scheme_str() != Some("https") {
            return Err(
                self.wrong("it sends who asks for a token to an address without encryption")
            );
        }
        let is_allowed =
            |places: &Vec<crate::place::Place>| places.iter().any(|place| place.covers(&address));
        if !self.request.access.allowed.as_ref().is_none_or(is_allowed) {
            return Err(self.wrong("its tokens come from where the policy allows no fetching from"));
        }
        let login = self
            .known
            .as_ref()
            .filter(|known| known.is_of_host(&url))
            .and_then(Known::login);
        let request = with_login(self.stranger.get(&url), login.cloned());
        let response = request.call().map_err(|error| self.failed(error))?;
        if response.status().as_u16() != 200 {
            return Err(self.denied());
        }
        #[derive(Deserialize)]
        struct Given {
            token: Option<Secret>,
            access_token: Option<Secret>,
        }
        let given: Given = self.read(&self.body(response, TOKEN_MAX_BYTES)?)?;
        let token = given.token.or(given.access_token);
        token.ok_or_else(|| self.wrong("who gives out its tokens gave none"))
    }

    fn put_blob(&mut self, digest: &Digest, length: u64, from: &File) -> Result<(), Error> {
        let url = self.url(&format!("blobs/{digest}"))?;
        if self.head(&url)? == 200 {
            return Ok(());
        }
        let uploads = self.url("blobs/uploads/")?;
        let begun = self.call(&uploads, |agent, login| {
            with_login(agent.post(&uploads), login).send_empty()
        })?;
        let location = header(begun.headers(), &LOCATION);
        let (202, Some(location)) = (begun.status().as_u16(), location) else {
            return Err(self.status(&uploads, begun.status().as_u16()));
        };
        let place = address::redirect(&uploads, location)?;
        if Origin::of_uri(&place) != Origin::of_uri(&uploads) {
            return Err(self.wrong("it wants the image sent to another server"));
        }
        let mark = if place.query().is_some() { '&' } else { '?' };
        let place = address::parse(&format!(
            "{place}{mark}digest={}",
            encoded(&digest.to_string())
        ))?;
        let login = self.login(&place)?;
        let request = self.agent.put(&place);
        let request = request.header(CONTENT_TYPE, "application/octet-stream");
        let request = request.header("Content-Length", length.to_string());
        let mut content = super::FromStart {
            file: from,
            place: 0,
        };
        let sent = with_login(request, login).send(SendBody::from_reader(&mut content));
        let status = sent.map_err(|error| self.failed(error))?.status().as_u16();
        match status {
            201 => Ok(()),
            status => Err(self.status(&url, status)),
        }
    }

    fn put_document(&mut self, pointer: &str, kind: &str, from: &File) -> Result<bool, Error> {
        let mut text = Vec::new();
        let content = super::FromStart {
            file: from,
            place: 0,
        };
        let read = content.take(DOCUMENT_MAX_BYTES).read_to_end(&mut text);
        read.map_err(Error::staging("read"))?;
        let url = self.url(&format!("manifests/{pointer}"))?;
        let response = self.call(&url, |agent, login| {
            with_login(agent.put(&url).header(CONTENT_TYPE, kind), login).send(&text[..])
        })?;
        match response.status().as_u16() {
            200 | 201 => Ok(response.headers().contains_key("oci-subject")),
            status => Err(self.status(&url, status)),
        }
    }

    fn status(&self, url: &Uri, status: u16) -> Error {
        match status {
            401 | 403 => self.denied(),
            status => Error::Status {
                url: address::bare(url),
                status,
            },
        }
    }

    fn denied(&self) -> Error {
        let what = match self.known {
            Some(_) => {
                "it does not let in who says so: name, password or token are not what it knows, or not good for this"
            }
            None => "it wants to know who asks",
        };
        self.wrong(what)
    }

    fn wrong(&self, what: &str) -> Error {
        Error::Registry {
            url: self.request.url.clone(),
            what: what.to_owned(),
        }
    }

    fn failed(&self, source: ureq::Error) -> Error {
        super::no_server(self.request, self.request.url.clone(), source)
    }
}

fn with_login<B>(
    request: ureq::RequestBuilder<B>,
    login: Option<HeaderValue>,
) -> ureq::RequestBuilder<B> {
    match login {
        Some(login) => request.header(AUTHORIZATION, login),
        None => request,
    }
}

/// A value of a challenge: `realm="https://…",service="…"`.
fn parameter<'c>(challenge: &'c str, name: &str) -> Option<&'c str> {
    let mut rest = challenge;
    loop {
        let (key, after) = rest.split_once('=')?;
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_at(after.find(',').unwrap_or(after.len())),
        };
        if key.trim().eq_ignore_ascii_case(name) {
            return Some(value);
        }
        rest = next.trim_start().trim_start_matches(',');
    }
}

/// A value of a query.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_read_as_it_is_written_by_any_registry() {
        let text = r#"realm="https://auth.example/token?a=b",service="reg, example", scope="repository:boat:pull,push",n=1"#;
        for (name, value) in [
            ("realm", Some("https://auth.example/token?a=b")),
            ("service", Some("reg, example")),
            ("SCOPE", Some("repository:boat:pull,push")),
            ("n", Some("1")),
            ("other", None),
        ] {
            assert_eq!(parameter(text, name), value, "{name}");
        }
        for odd in ["", "=", "realm=\"open", ",,,", "realm"] {
            assert_eq!(parameter(odd, "realm"), None, "{odd}");
        }
        assert_eq!(encoded("repository:a/b:pull"), "repository%3Aa%2Fb%3Apull");
    }
}
