//! Signed texts that travel beside images: who said what under a name, and which key came after which.
//!
//! A text's first line is its kind, the form's number and the name. Lines of successors follow, each a certificate and the word of
//! the key before it, then the signature, an empty line and the body. What the signature is over is the first line and the body;
//! what a successor's is over begins with another word, so that neither is ever taken for the other, or for an image's root hash.

use std::fs::File;
use std::io::Read;
use std::time::SystemTime;

use base64ct::{Base64, Encoding};
use serde::{Deserialize, Serialize};

use crate::sign::{SignError, SigningKey};
use crate::signature::{self, SignatureError, Signer, TrustedCertificate};

/// The largest text: an index of some hundred versions is a tenth of it.
pub const STATEMENT_LIMIT_BYTES: usize = 1 << 20;
/// Successors in one text: a key that lasts a year, for as long as certificates do.
const SUCCESSORS_LIMIT: usize = 16;
/// The longest name, as portables have it.
const NAME_LIMIT_BYTES: usize = 128;

const KIND: &str = "coracle-channel 1 ";
const SUCCESSOR_KIND: &str = "coracle-successor 1 ";

/// A text whose signature nobody has looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    name: String,
    successors: Vec<(String, Vec<u8>)>,
    signature: Vec<u8>,
    body: String,
}

/// A text, and who stands for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// Whose portable it is about.
    pub name: String,
    /// What was signed.
    pub body: String,
    /// Who signed it.
    pub signer: Signer,
    /// The keys that came after a trusted one, by that one's own word; the oldest first.
    pub handovers: Vec<Handover>,
}

/// A key that came after another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handover {
    /// Whose word it is.
    pub by: Signer,
    /// Who signs from then on.
    pub to: Signer,
    /// The certificate of the latter.
    pub certificate: TrustedCertificate,
}

/// Why a text is refused.
#[derive(Debug, thiserror::Error)]
pub enum StatementError {
    /// It is of another form.
    #[error("this is no channel index: {what}")]
    Form {
        /// What is wrong.
        what: &'static str,
    },
    /// Nobody who is trusted stands for it.
    #[error("the channel index is signed by \"{}\" ({}), which is not trusted", .0.common_name, .0.fingerprint)]
    NotTrusted(Box<Signer>),
    /// It was changed after it was signed, or never was.
    #[error("the channel index is not what \"{}\" signed: it was changed on its way", .0.common_name)]
    Changed(Box<Signer>),
    /// The signature or a certificate can't be read, or must not sign.
    #[error("nobody can stand for the channel index by its signature")]
    Signature(#[source] SignatureError),
}

impl StatementError {
    fn of(error: SignatureError) -> Self {
        match error {
            SignatureError::NotTrusted(signer) => Self::NotTrusted(signer),
            SignatureError::Wrong(signer) => Self::Changed(signer),
            other => Self::Signature(other),
        }
    }
}

impl Statement {
    /// The handovers that lead on from keys that are known, where the signer is one of these or comes after one of them. Nothing is said of
    /// keys before them: the lines of successors are not under the signature, and anybody may hand over to a key that is not theirs.
    #[must_use]
    pub fn line_from(&self, is_known: &dyn Fn(&Signer) -> bool) -> Option<Vec<&Handover>> {
        let mut line: Vec<&Handover> = Vec::new();
        let is_own = |line: &[&Handover], signer: &Signer| {
            let is_heir = |handover: &&Handover| handover.to.fingerprint == signer.fingerprint;
            is_known(signer) || line.iter().any(is_heir)
        };
        for handover in &self.handovers {
            if is_own(&line, &handover.by) {
                line.push(handover);
            }
        }
        is_own(&line, &self.signer).then_some(line)
    }
}

impl Signed {
    /// Takes a text apart.
    ///
    /// # Errors
    /// Where it is of another form, or too large.
    pub fn parse(bytes: &[u8]) -> Result<Self, StatementError> {
        if bytes.len() > STATEMENT_LIMIT_BYTES {
            return Err(form("it is larger than 1 MiB"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| form("it is no text"))?;
        let (first, rest) = line(text)?;
        let name = first
            .strip_prefix(KIND)
            .ok_or_else(|| form("its first line is another one"))?;
        check_name(name)?;
        let (mut successors, mut rest) = (Vec::new(), rest);
        loop {
            let (next, after) = line(rest)?;
            rest = after;
            if let Some(successor) = next.strip_prefix("successor ") {
                if successors.len() == SUCCESSORS_LIMIT {
                    return Err(form("it has more than 16 successors"));
                }
                let (certificate, word) = successor
                    .split_once(' ')
                    .ok_or_else(|| form("a successor has no signature"))?;
                successors.push((certificate.to_owned(), decode(word)?));
                continue;
            }
            let signature = next
                .strip_prefix("signature ")
                .ok_or_else(|| form("a line before the body is neither successor nor signature"))?;
            let body = rest
                .strip_prefix('\n')
                .ok_or_else(|| form("no empty line is before the body"))?;
            return Ok(Self {
                name: name.to_owned(),
                successors,
                signature: decode(signature)?,
                body: body.to_owned(),
            });
        }
    }

    /// Its text.
    #[must_use]
    pub fn print(&self) -> String {
        let mut text = format!("{KIND}{}\n", self.name);
        for (certificate, word) in &self.successors {
            text += &format!("successor {certificate} {}\n", Base64::encode_string(word));
        }
        text += &format!("signature {}\n\n", Base64::encode_string(&self.signature));
        text + &self.body
    }

    /// Whom it says that it is about; proven by nothing.
    #[must_use]
    pub fn claimed_name(&self) -> &str {
        &self.name
    }

    /// Checks who stands for it: somebody trusted, or a key that came after theirs by their own word. A successor that nobody who is
    /// trusted now speaks for is passed over: who trusts the newest key, or knows it by now, needs none of them.
    ///
    /// # Errors
    /// See [`StatementError`].
    pub fn verify(
        &self,
        trusted: &[TrustedCertificate],
        now: SystemTime,
    ) -> Result<Statement, StatementError> {
        let mut trusted = trusted.to_vec();
        let mut handovers = Vec::new();
        for (text, word) in &self.successors {
            let content = successor_content(&self.name, text);
            let by = match signature::check_content(word, &content, &trusted, now) {
                Ok(by) => by,
                Err(
                    SignatureError::NotTrusted(_)
                    | SignatureError::UnknownSigner
                    | SignatureError::Certificate { .. },
                ) => continue,
                Err(error) => return Err(StatementError::of(error)),
            };
            let certificate =
                TrustedCertificate::parse(&decode(text)?).map_err(StatementError::Signature)?;
            certificate
                .is_of_a_signer()
                .map_err(StatementError::Signature)?;
            let to = certificate.signer().map_err(StatementError::Signature)?;
            trusted.push(certificate.clone());
            handovers.push(Handover {
                by,
                to,
                certificate,
            });
        }
        let content = body_content(&self.name, &self.body);
        let signer = signature::check_content(&self.signature, &content, &trusted, now)
            .map_err(StatementError::of)?;
        Ok(Statement {
            name: self.name.clone(),
            body: self.body.clone(),
            signer,
            handovers,
        })
    }

    /// Signs a body under a name.
    ///
    /// # Errors
    /// Where the key can't sign, or the name is none.
    pub fn new(name: &str, body: String, key: &SigningKey) -> Result<Self, PublishError> {
        check_name(name)?;
        let signature = key.sign_content(&body_content(name, &body))?;
        Ok(Self {
            name: name.to_owned(),
            successors: Vec::new(),
            signature,
            body,
        })
    }

    /// Takes over the successors of an older text, so that who knows but the first key finds the way to the newest.
    #[must_use]
    pub fn continuing(mut self, older: &Self) -> Self {
        let mut successors = older.successors.clone();
        successors.append(&mut self.successors);
        self.successors = successors;
        self
    }

    /// Adds the word of a former key that this one comes after it.
    ///
    /// # Errors
    /// Where the key can't sign, or there are too many.
    pub fn after(mut self, former: &SigningKey, key: &SigningKey) -> Result<Self, PublishError> {
        let certificate = Base64::encode_string(&key.certificate_der()?);
        if self
            .successors
            .iter()
            .any(|(known, _)| *known == certificate)
        {
            return Ok(self);
        }
        if self.successors.len() == SUCCESSORS_LIMIT {
            return Err(form("it has more than 16 successors").into());
        }
        let word = former.sign_content(&successor_content(&self.name, &certificate))?;
        self.successors.push((certificate, word));
        Ok(self)
    }
}

/// Reads a text from where the file is, and checks it by this machine's clock.
///
/// # Errors
/// Where it can't be read, or is refused.
pub(crate) fn stand(
    file: &File,
    trusted: &[TrustedCertificate],
) -> Result<Statement, Box<dyn std::error::Error>> {
    let mut bytes = Vec::new();
    // One byte more than is allowed says that there is more.
    let limit_bytes = STATEMENT_LIMIT_BYTES as u64 + 1;
    file.take(limit_bytes).read_to_end(&mut bytes)?;
    Ok(Signed::parse(&bytes)?.verify(trusted, SystemTime::now())?)
}

/// Why a text was not signed.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The key can't.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// It would be refused.
    #[error(transparent)]
    Form(#[from] StatementError),
}

fn body_content(name: &str, body: &str) -> Vec<u8> {
    format!("{KIND}{name}\n{body}").into_bytes()
}

fn successor_content(name: &str, certificate: &str) -> Vec<u8> {
    format!("{SUCCESSOR_KIND}{name}\n{certificate}\n").into_bytes()
}

fn line(text: &str) -> Result<(&str, &str), StatementError> {
    text.split_once('\n')
        .ok_or_else(|| form("it ends before its body"))
}

fn decode(text: &str) -> Result<Vec<u8>, StatementError> {
    signature::from_base64(text).map_err(StatementError::Signature)
}

fn check_name(name: &str) -> Result<(), StatementError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let good = !name.is_empty()
        && name.len() <= NAME_LIMIT_BYTES
        && !name.starts_with(['.', '-'])
        && name.bytes().all(plain);
    if good {
        Ok(())
    } else {
        Err(form("its name cannot be a portable's"))
    }
}

fn form(what: &'static str) -> StatementError {
    StatementError::Form { what }
}

#[cfg(test)]
mod tests;
