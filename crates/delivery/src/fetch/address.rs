//! Addresses and where a redirect leads. Pure.

use ureq::http::Uri;

use super::Error;

/// Longest address in bytes: what servers take.
const ADDRESS_MAX_BYTES: usize = 8192;

/// Checks an address.
pub(super) fn parse(url: &str) -> Result<Uri, Error> {
    let wrong = |reason| Error::Address {
        url: url.chars().take(200).collect(),
        reason,
    };
    if url.len() > ADDRESS_MAX_BYTES {
        return Err(wrong("it is longer than 8192 bytes"));
    }
    let uri: Uri = url.parse().map_err(|_| wrong("it is no address"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(wrong("it begins with neither http:// nor https://"));
    }
    if uri.host().is_none_or(str::is_empty) {
        return Err(wrong("it names no host"));
    }
    if uri
        .authority()
        .is_some_and(|authority| authority.as_str().contains('@'))
    {
        let url = uri.host().unwrap_or_default().to_owned();
        return Err(Error::Address {
            url,
            reason: "a name or password in an address would end in logs",
        });
    }
    Ok(uri)
}

/// Where a redirect leads: never from https to http.
pub(super) fn redirect(from: &Uri, location: &str) -> Result<Uri, Error> {
    let location = location.split('#').next().unwrap_or_default();
    let to = parse(&joined(from, location)).map_err(without_query)?;
    if from.scheme_str() == Some("https") && to.scheme_str() != Some("https") {
        return Err(Error::Address {
            url: bare(&to),
            reason: "a redirect from https to http is not followed",
        });
    }
    Ok(to)
}

/// An address that a server redirected to, as it is told of: its query may be a signature that lets in who has it.
pub(super) fn bare(url: &Uri) -> String {
    before_query(&url.to_string())
}

fn before_query(url: &str) -> String {
    url.split('?').next().unwrap_or_default().to_owned()
}

fn without_query(error: Error) -> Error {
    match error {
        Error::Address { url, reason } => Error::Address {
            url: before_query(&url),
            reason,
        },
        error => error,
    }
}

/// RFC 3986, section 5.2, but for `..`, which servers resolve as well.
fn joined(from: &Uri, location: &str) -> String {
    let (scheme, authority) = (
        from.scheme_str().unwrap_or("https"),
        from.authority().map_or("", |it| it.as_str()),
    );
    if has_scheme(location) {
        return location.to_owned();
    }
    if let Some(rest) = location.strip_prefix("//") {
        return format!("{scheme}://{rest}");
    }
    if location.starts_with('/') {
        return format!("{scheme}://{authority}{location}");
    }
    if location.is_empty() || location.starts_with('?') {
        return format!("{scheme}://{authority}{}{location}", from.path());
    }
    let folder = from
        .path()
        .rsplit_once('/')
        .map_or("", |(folder, _)| folder);
    format!("{scheme}://{authority}{folder}/{location}")
}

/// Whether it begins with a scheme and `://`: in a query they may stand too.
fn has_scheme(location: &str) -> bool {
    let of_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    location.split_once("://").is_some_and(|(scheme, _)| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(of_scheme)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(from: &str, location: &str, expected: &str) {
        let got = match redirect(&from.parse().unwrap(), location) {
            Ok(uri) => uri.to_string(),
            Err(error) => error.to_string(),
        };
        assert_eq!(got, expected);
    }

    #[test]
    fn a_redirect_is_joined_to_where_it_came_from() {
        check(
            "https://a.org/x/y.psi?q",
            "https://b.org/z",
            "https://b.org/z",
        );
        check("https://a.org/x/y.psi", "//b.org/z", "https://b.org/z");
        check("https://a.org:8443/x/y.psi", "/z", "https://a.org:8443/z");
        check("http://a.org/x/y.psi", "z?t#frag", "http://a.org/x/z?t");
        check("http://a.org/x/y.psi", "?t", "http://a.org/x/y.psi?t");
        check("http://a.org/x", "https://a.org/x", "https://a.org/x");
        check(
            "https://a.org/x",
            "/get?from=https://b.org/z",
            "https://a.org/get?from=https://b.org/z",
        );
    }

    #[test]
    fn a_redirect_away_from_https_or_to_elsewhere_is_refused() {
        check(
            "https://a.org/x",
            "http://a.org/x",
            "http://a.org/x cannot be fetched: a redirect from https to http is not followed",
        );
        check(
            "https://a.org/x",
            "file:///etc/shadow",
            "file:///etc/shadow cannot be fetched: it is no address",
        );
        check(
            "http://a.org/x",
            "ftp://b.org/x",
            "ftp://b.org/x cannot be fetched: it begins with neither http:// nor https://",
        );
        check(
            "http://a.org/x",
            "http://me:secret@b.org/",
            "b.org cannot be fetched: a name or password in an address would end in logs",
        );
    }
}
