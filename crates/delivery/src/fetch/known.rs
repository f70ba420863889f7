//! A server that may know who asks.

use base64ct::{Base64, Encoding as _};
use ureq::Agent;
use ureq::http::{HeaderValue, Uri};

use super::Error;
use super::ways::Ways;
use crate::credential::{Credential, Login};
use crate::place::Origin;

/// What one server is told, in the form in which it is sent.
pub(super) struct Known {
    origin: Origin,
    login: Option<HeaderValue>,
    /// Has the client's certificate: no other server is asked by it.
    agent: Option<Agent>,
}

impl Known {
    pub(super) fn new(credential: &Credential, ways: &Ways<'_>) -> Result<Known, Error> {
        let login = credential.login.as_ref().map(header).transpose()?;
        let identity = credential.identity.as_ref();
        let agent = identity.map(|identity| ways.agent(Some(identity)));
        Ok(Known {
            origin: credential.origin.clone(),
            login,
            agent: agent.transpose()?,
        })
    }

    /// Whether an address is of that very server, and nobody on the way there can listen.
    pub(super) fn is_of(&self, url: &Uri) -> bool {
        self.origin.is_private() && Origin::of_uri(url).as_ref() == Some(&self.origin)
    }

    /// Whether an address is of that server's host, on which who has a certificate may use any port; without encryption it is the same server.
    pub(super) fn is_of_host(&self, url: &Uri) -> bool {
        let is_host = |origin: Origin| origin.scheme == "https" && origin.host == self.origin.host;
        self.is_of(url) || Origin::of_uri(url).is_some_and(is_host)
    }

    pub(super) fn login(&self) -> Option<&HeaderValue> {
        self.login.as_ref()
    }

    pub(super) fn agent(&self) -> Option<&Agent> {
        self.agent.as_ref()
    }
}

fn header(login: &Login) -> Result<HeaderValue, Error> {
    let text = match login {
        Login::Password { user, password } => {
            format!(
                "Basic {}",
                Base64::encode_string(format!("{user}:{}", password.reveal()).as_bytes())
            )
        }
        Login::Token(token) => format!("Bearer {}", token.reveal()),
    };
    let value = HeaderValue::from_str(&text).map_err(|_| Error::Identity {
        reason: "a token has signs that no header can have",
    })?;
    Ok(sensitive(value))
}

/// Not to be printed, nor remembered by what compresses headers.
pub(super) fn sensitive(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credential::Secret;

    #[test]
    fn a_name_and_a_password_are_one_word() {
        let login = Login::Password {
            user: "Aladdin".to_owned(),
            password: Secret::new("open sesame".to_owned()),
        };
        let value = header(&login).unwrap();
        assert_eq!(value.as_bytes(), b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(format!("{value:?}"), "Sensitive");
    }
}
