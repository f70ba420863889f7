//! Where addresses lie: the origin that a credential belongs to, and the part of a server that a policy names.

use serde::{Deserialize, Serialize};
use ureq::http::Uri;

/// Scheme, host and port: what may know a secret knows it under all three.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Origin {
    /// `https` or `http`.
    pub scheme: String,
    /// In small letters.
    pub host: String,
    /// Said or not.
    pub port: u16,
}

impl Origin {
    /// That of an http or https address; none of others.
    #[must_use]
    pub fn of(address: &str) -> Option<Origin> {
        Origin::of_uri(&address.parse().ok()?)
    }

    pub(crate) fn of_uri(uri: &Uri) -> Option<Origin> {
        let scheme = uri.scheme_str()?;
        let port = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return None,
        };
        let host = uri.host().filter(|host| !host.is_empty())?;
        Some(Origin {
            scheme: scheme.to_owned(),
            host: host.to_ascii_lowercase(),
            port: uri.port_u16().unwrap_or(port),
        })
    }

    /// Whether what is sent there can be read by those who were meant only: it is encrypted, or does not leave this machine.
    #[must_use]
    pub fn is_private(&self) -> bool {
        self.scheme == "https" || self.is_loopback()
    }

    /// Whether it is an address of this machine's loopback; a name is none, whatever it leads to.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let address: Result<std::net::IpAddr, _> = host.parse();
        address.is_ok_and(|address| address.is_loopback())
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}:{}", self.scheme, self.host, self.port)
    }
}

/// A server, or what lies on it below a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Place {
    text: String,
    origin: Origin,
    path: String,
}

impl TryFrom<String> for Place {
    type Error = String;

    fn try_from(text: String) -> Result<Place, String> {
        let wrong = |why: &str| Err(format!("{text:?} is no place of a server: {why}"));
        let Ok(uri) = text.parse::<Uri>() else {
            return wrong("it is no address");
        };
        let Some(origin) = Origin::of_uri(&uri) else {
            return wrong("it begins with neither http:// nor https://, or names no host");
        };
        if uri.authority().is_some_and(|it| it.as_str().contains('@')) {
            // The text is not repeated: what is in it is a secret.
            return Err(
                "a name or password in an address would end in logs; [[credential]] names files that have them"
                    .to_owned(),
            );
        }
        if uri.query().is_some() || has_dots(uri.path()) {
            return wrong("it has a query, or `..` in its path");
        }
        let path = uri.path().to_owned();
        Ok(Place { text, origin, path })
    }
}

impl From<Place> for String {
    fn from(place: Place) -> String {
        place.text
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.text.fmt(f)
    }
}

impl Place {
    /// Whose it is.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Whether an address lies there. One that a server may take for another one, as it leads upwards, lies nowhere.
    #[must_use]
    pub fn covers(&self, address: &str) -> bool {
        let uri: Option<Uri> = address.parse().ok();
        uri.is_some_and(|uri| self.rest(&uri).is_some())
    }

    /// What follows after it in an address that lies there.
    fn rest<'a>(&self, uri: &'a Uri) -> Option<&'a str> {
        if Origin::of_uri(uri)? != self.origin || has_dots(uri.path()) {
            return None;
        }
        let folder = self.path.trim_end_matches('/');
        let whole = uri.path_and_query()?.as_str();
        let rest = whole.strip_prefix(folder)?;
        rest.starts_with(['/', '?']).then_some(rest).or_else(|| {
            // The place itself.
            rest.is_empty().then_some(rest)
        })
    }

    /// The same address below another place.
    #[must_use]
    pub fn moved(&self, address: &str, to: &Place) -> Option<String> {
        let uri: Uri = address.parse().ok()?;
        let rest = self.rest(&uri)?;
        Some(format!("{}{rest}", to.text.trim_end_matches('/')))
    }
}

/// Whether a path leads upwards, however that is written.
fn has_dots(path: &str) -> bool {
    let plain = path.to_ascii_lowercase().replace("%2e", ".");
    let plain = plain
        .replace("%2f", "/")
        .replace(['\\'], "/")
        .replace("%5c", "/");
    plain.split('/').any(|part| part == "." || part == "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Place {
        Place::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn a_place_covers_what_lies_below_it_on_the_same_server_and_nothing_else() {
        let boats = place("https://a.org/boats/");
        for (address, expected) in [
            ("https://a.org/boats/boat.psi", true),
            ("https://A.org:443/boats/x/y.psi?z", true),
            ("https://a.org/boats", true),
            ("https://a.org/boats2/boat.psi", false),
            ("https://a.org/", false),
            ("https://a.org:8443/boats/boat.psi", false),
            ("http://a.org/boats/boat.psi", false),
            ("https://b.org/boats/boat.psi", false),
            ("https://a.org.b.org/boats/boat.psi", false),
            ("https://a.org/boats/../x.psi", false),
            ("https://a.org/boats/%2E%2e/x.psi", false),
            ("https://a.org/boats/x%2f..%2F../x.psi", false),
            ("no address", false),
        ] {
            assert_eq!(boats.covers(address), expected, "{address}");
        }
        assert!(place("https://a.org").covers("https://a.org/x"));
        let to = place("http://mirror.lan:8080/a");
        assert_eq!(
            boats.moved("https://a.org/boats/x/y.psi?z", &to).as_deref(),
            Some("http://mirror.lan:8080/a/x/y.psi?z")
        );
        assert_eq!(boats.moved("https://a.org/x", &to), None);
    }

    #[test]
    fn what_is_no_place_is_refused_and_a_password_is_not_repeated() {
        for text in [
            "a.org",
            "ftp://a.org/",
            "https:///x",
            "https://a.org/x?y",
            "https://a.org/../",
        ] {
            let error = Place::try_from(text.to_owned()).unwrap_err();
            assert!(
                error.starts_with(&format!("{text:?} is no place")),
                "{error}"
            );
        }
        let error = Place::try_from("https://me:secret@a.org/".to_owned()).unwrap_err();
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn a_secret_may_travel_encrypted_or_within_this_machine() {
        for (address, expected) in [
            ("https://a.org/", true),
            ("http://127.0.0.1:80/", true),
            ("http://[::1]/", true),
            ("http://localhost/", false),
            ("http://a.org/", false),
        ] {
            assert_eq!(
                Origin::of(address).unwrap().is_private(),
                expected,
                "{address}"
            );
        }
    }
}
