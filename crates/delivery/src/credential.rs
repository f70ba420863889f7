//! What a private source asks for: names and passwords, tokens, client certificates. Files have them; who reads them passes them to the
//! fetch worker over its socket, and nowhere else: no text that is printed, no command line, no other server gets to see them.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use crate::place::Origin;

/// Largest file with a secret, in bytes: a chain of certificates, or a netrc of a thousand servers.
const FILE_MAX_BYTES: u64 = 256 * 1024;
/// What may be done by others than the owner: nothing.
const OF_OTHERS: u32 = 0o077;

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes a text for a secret.
    #[must_use]
    pub fn new(text: String) -> Secret {
        Secret(text)
    }

    /// The text, for who sends it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

/// How one says who one is, in each request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Login {
    /// RFC 7617.
    Password {
        /// The name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// RFC 6750.
    Token(Secret),
}

/// A certificate by which a client says who it is, in PEM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The certificate, and those between it and its authority.
    pub chain: String,
    /// Its key.
    pub key: Secret,
}

/// What one server is told, and no other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// The server.
    pub origin: Origin,
    /// Name or token.
    pub login: Option<Login>,
    /// The client's certificate.
    pub identity: Option<Identity>,
}

/// Why a file with a secret is not used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// It can't be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Others than its owner know what is in it, or could put something else there.
    #[error("{} is not used: {why}", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Who.
        why: &'static str,
    },
    /// It is something else.
    #[error("{}{}: {what}", path.display(), line.map(|line| format!(":{line}")).unwrap_or_default())]
    Form {
        /// Which.
        path: PathBuf,
        /// Where.
        line: Option<usize>,
        /// What is wrong; never what is there.
        what: &'static str,
    },
}

/// Reads a file that its owner alone may read: root, or who runs this.
///
/// # Errors
/// When it can't be read, or others may read it, too.
pub fn read(path: &Path) -> Result<Secret, CredentialError> {
    let unreadable = |source| CredentialError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let open = |why| CredentialError::Open {
        path: path.to_owned(),
        why,
    };
    let mut options = File::options();
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    options.read(true).custom_flags(flags.bits().cast_signed());
    let file = options.open(path).map_err(unreadable)?;
    let found = file.metadata().map_err(unreadable)?;
    let own = [0, rustix::process::geteuid().as_raw()];
    if !found.is_file() {
        return Err(open("it is no regular file"));
    }
    if !own.contains(&found.uid()) {
        return Err(open("it belongs to another user"));
    }
    if found.mode() & OF_OTHERS != 0 {
        return Err(open("others may read it or write to it: `chmod 600` it"));
    }
    let mut text = String::new();
    let mut limited = file.take(FILE_MAX_BYTES + 1);
    limited.read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > FILE_MAX_BYTES {
        return Err(open("it is larger than 256 kB"));
    }
    Ok(Secret(text))
}

/// A token: the one line of a file.
///
/// # Errors
/// As [`read`], or when it is no token.
pub fn token(path: &Path) -> Result<Login, CredentialError> {
    let text = read(path)?;
    let token = text.reveal().trim_end_matches(['\r', '\n']);
    let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    if is_token {
        return Ok(Login::Token(Secret(token.to_owned())));
    }
    Err(CredentialError::Form {
        path: path.to_owned(),
        line: None,
        what: "a token is one line of letters, digits and signs without spaces",
    })
}

/// A client's certificate and its key; the certificate is no secret.
///
/// # Errors
/// As [`read`].
pub fn identity(certificate: &Path, key: &Path) -> Result<Identity, CredentialError> {
    let chain = std::fs::read_to_string(certificate);
    let identity = Identity {
        chain: chain.map_err(|source| CredentialError::Unreadable {
            path: certificate.to_owned(),
            source,
        })?,
        key: read(key)?,
    };
    let form = |path: &Path, what| CredentialError::Form {
        path: path.to_owned(),
        line: None,
        what,
    };
    if !identity.chain.contains("-----BEGIN CERTIFICATE-----") {
        return Err(form(certificate, "it has no certificate in PEM"));
    }
    let has_key = [
        "PRIVATE KEY-----",
        "RSA PRIVATE KEY-----",
        "EC PRIVATE KEY-----",
    ]
    .iter()
    .any(|kind| {
        identity
            .key
            .reveal()
            .contains(&format!("-----BEGIN {kind}"))
    });
    if !has_key {
        return Err(form(key, "it has no key in PEM that is not encrypted"));
    }
    Ok(identity)
}

/// The name and password that a netrc(5) has for a host.
///
/// # Errors
/// As [`read`], or with the line that is none of a netrc. `default` is refused: it would be told to everybody.
pub fn netrc(path: &Path, host: &str) -> Result<Option<Login>, CredentialError> {
    let text = read(path)?;
    in_netrc(text.reveal(), host).map_err(|(line, what)| CredentialError::Form {
        path: path.to_owned(),
        line: Some(line),
        what,
    })
}

fn in_netrc(text: &str, host: &str) -> Result<Option<Login>, (usize, &'static str)> {
    let (mut login, mut user, mut is_it, mut is_any) = (None, None, false, false);
    let mut words = words(text)?.into_iter();
    while let Some((line, word)) = words.next() {
        let mut value = || {
            words
                .next()
                .map(|(_, value)| value)
                .ok_or((line, "a value is missing"))
        };
        match word.as_str() {
            "machine" => {
                if is_it && login.is_some() {
                    break;
                }
                (is_it, is_any) = (value()?.eq_ignore_ascii_case(host), true);
                (user, login) = (None, None);
            }
            "default" => return Err((line, "`default` would tell its password to every server")),
            "macdef" => return Err((line, "macros are not known here")),
            "login" | "password" | "account" if !is_any => {
                return Err((line, "it belongs to no machine"));
            }
            "login" => user = Some(value()?).filter(|_| is_it),
            "password" => {
                let password = value()?;
                login = is_it.then_some(password).or(login);
            }
            "account" => drop(value()?),
            _ => return Err((line, "machine, login, password and account are known")),
        }
    }
    let found = login.filter(|_| is_it).map(|password| Login::Password {
        user: user.unwrap_or_default(),
        password: Secret(password),
    });
    Ok(found)
}

/// Words with their lines: between spaces, or between quotation marks, in which `\` takes the next sign for itself.
fn words(text: &str) -> Result<Vec<(usize, String)>, (usize, &'static str)> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let mut rest = line.trim_start();
        while !rest.is_empty() && !rest.starts_with('#') {
            let (word, after) = match rest.strip_prefix('"') {
                None => {
                    let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                    let (word, after) = rest.split_at(end);
                    (word.to_owned(), after)
                }
                Some(quoted) => {
                    unquoted(quoted).ok_or((number + 1, "a quotation mark is missing"))?
                }
            };
            found.push((number + 1, word));
            rest = after.trim_start();
        }
    }
    Ok(found)
}

fn unquoted(text: &str) -> Option<(String, &str)> {
    let (mut word, mut signs) = (String::new(), text.char_indices());
    while let Some((at, sign)) = signs.next() {
        match sign {
            '"' => return Some((word, text.get(at + 1..)?)),
            '\\' => word.push(signs.next()?.1),
            other => word.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn found(text: &str, host: &str) -> String {
        match in_netrc(text, host) {
            Ok(Some(Login::Password { user, password })) => format!("{user}:{}", password.reveal()),
            Ok(_) => "nothing".to_owned(),
            Err((line, what)) => format!("line {line}: {what}"),
        }
    }

    #[test]
    fn a_netrc_has_names_and_passwords_by_host() {
        let text = "# ours\nmachine a.org login me password \"two \\\"words\\\"\"\n\nmachine b.org\n\tlogin you\n\taccount x\n\tpassword p#1 # not this\nmachine b.org login second password second\n";
        assert_eq!(found(text, "A.org"), "me:two \"words\"");
        assert_eq!(found(text, "b.org"), "you:p#1");
        assert_eq!(found(text, "c.org"), "nothing");
        assert_eq!(found("machine a.org login me", "a.org"), "nothing");
    }

    #[test]
    fn what_is_no_netrc_is_told_by_line_and_without_what_is_there() {
        for (text, expected) in [
            ("\nmachine a.org login", "line 2: a value is missing"),
            (
                "default login me password secret",
                "line 1: `default` would",
            ),
            ("machine a.org\npasswort secret", "line 2: machine, login"),
            ("password secret", "line 1: it belongs to no machine"),
            (
                "machine a.org password \"secret",
                "line 1: a quotation mark",
            ),
            ("macdef init", "line 1: macros"),
        ] {
            let told = found(text, "a.org");
            assert!(
                told.starts_with(expected) && !told.contains("secret"),
                "{told}"
            );
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() })]

        #[test]
        fn any_text_is_read_to_its_end(text in "((machine|login|password|default|account|a\\.org|\"|\\\\|#)?[ \t\n]?\\PC{0,6}){0,30}") {
            found(&text, "a.org");
        }
    }

    #[test]
    fn a_file_that_others_may_read_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "s3cret\n").unwrap();
        for (mode, expected) in [
            (0o600, None),
            (0o400, None),
            (0o640, Some("others")),
            (0o604, Some("others")),
        ] {
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            match (token(&path), expected) {
                (Ok(Login::Token(token)), None) => assert_eq!(token.reveal(), "s3cret"),
                (Err(error), Some(expected)) => {
                    let told = error.to_string();
                    assert!(
                        told.contains(expected) && told.contains("chmod 600"),
                        "{told}"
                    );
                }
                (other, _) => panic!("{mode:o}: {other:?}"),
            }
        }
        assert!(matches!(
            token(folder.path()),
            Err(CredentialError::Open { .. })
        ));
    }

    #[test]
    fn no_secret_is_printed() {
        let login = Login::Password {
            user: "me".to_owned(),
            password: Secret::new("s3cret".to_owned()),
        };
        assert_eq!(
            format!("{login:?}"),
            "Password { user: \"me\", password: … }"
        );
    }
}
