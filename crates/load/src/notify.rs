//! `notify.conf`: who is told of units that failed, and how. One line is enough; a header `[Notify]` may stand before it.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use model::{UnitKind, UnitName};

use crate::host_tree::OPEN_NON_BLOCKING;

/// The file's name in the administrator's directory.
pub const FILE: &str = "notify.conf";

/// What the template that tells is called.
pub const PREFIX: &str = "coracle-notify";

/// Largest file that is read, in bytes.
const FILE_MAX_BYTES: u64 = 64 * 1024;
/// Most log lines that go along: a notification is no archive.
const LINES_MAX: usize = 200;
const LINES_DEFAULT: usize = 20;
const SENDMAIL: &str = "/usr/sbin/sendmail";
const HEADER: &str = "[Notify]\n";
/// Others may read the file.
const OTHERS_READ: u32 = 0o004;

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notify {
    /// Mail=: whom mails go to.
    pub mail: Vec<String>,
    /// MailFrom=: whom they come from; the mailer knows where nothing is said.
    pub mail_from: Option<String>,
    /// Sendmail=: the program that takes mails.
    pub sendmail: PathBuf,
    /// Webhook=: an address, which may hold a token: it is never shown.
    pub webhook: Option<String>,
    /// WebhookCertificates=: a PEM file with the only roots that its server is trusted by.
    pub certificates: Option<PathBuf>,
    /// Lines=: how many log lines go along.
    pub lines: usize,
    /// EveryService=: services without an OnFailure= of their own are told of, too.
    pub every_service: bool,
    /// What has no effect, and why, without the values.
    pub complaints: Vec<String>,
}

impl Default for Notify {
    fn default() -> Self {
        Self {
            mail: Vec::new(),
            mail_from: None,
            sendmail: SENDMAIL.into(),
            webhook: None,
            certificates: None,
            lines: LINES_DEFAULT,
            every_service: false,
            complaints: Vec::new(),
        }
    }
}

impl Notify {
    /// The file in this directory; one that is not there says nothing.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn read(directory: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(OPEN_NON_BLOCKING);
        let file = match options.open(directory.join(FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            file => file?,
        };
        let found = file.metadata()?;
        if !found.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        let mode = found.mode();
        let mut text = Vec::new();
        file.take(FILE_MAX_BYTES + 1).read_to_end(&mut text)?;
        if text.len() as u64 > FILE_MAX_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let mut notify = Self::parse(&text);
        if notify.webhook.is_some() && mode & OTHERS_READ != 0 {
            (notify.complaints).push(
                "everybody may read the file, and with it the address of Webhook=: `chmod 600` it"
                    .to_owned(),
            );
        }
        Ok(notify)
    }

    /// What a text says. What is wrong has no effect and is a complaint.
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        let whole = [HEADER.as_bytes(), text].concat();
        let document = syntax::parse(FILE, &whole);
        let mut notify = Self::default();
        for wrong in &document.diagnostics {
            let line = wrong.line.saturating_sub(1);
            notify.complain(line, &wrong.message);
        }
        for (section, line, assignment) in document.assignments() {
            let line = line.saturating_sub(1);
            if section != "Notify" {
                notify.complain(line, "only the section [Notify] is known here");
                continue;
            }
            let (name, value) = (assignment.name.as_str(), assignment.value.as_str());
            if let Err(why) = notify.assign(name, value) {
                notify.complain(line, &why);
            }
        }
        notify
    }

    /// Is there anybody to tell?
    #[must_use]
    pub fn tells(&self) -> bool {
        !self.mail.is_empty() || self.webhook.is_some()
    }

    fn complain(&mut self, line: u32, why: &str) {
        self.complaints.push(format!("line {line}: {why}"));
    }

    fn assign(&mut self, name: &str, value: &str) -> Result<(), String> {
        let some = || Some(value.to_owned()).filter(|value| !value.is_empty());
        match name {
            "Mail" if value.is_empty() => self.mail.clear(),
            "Mail" => {
                let mails = value.split_whitespace().map(|one| address(name, one));
                self.mail.extend(mails.collect::<Result<Vec<_>, _>>()?);
            }
            "MailFrom" => self.mail_from = some().map(|one| address(name, &one)).transpose()?,
            "Sendmail" => {
                self.sendmail = some()
                    .map(|one| absolute(name, &one))
                    .transpose()?
                    .unwrap_or_else(|| SENDMAIL.into());
            }
            "Webhook" => self.webhook = some(),
            "WebhookCertificates" => {
                self.certificates = some().map(|one| absolute(name, &one)).transpose()?;
            }
            "Lines" => {
                let lines = value.parse().ok().filter(|lines| *lines <= LINES_MAX);
                self.lines = lines.ok_or_else(|| format!("Lines= takes 0 to {LINES_MAX}"))?;
            }
            "EveryService" => {
                let said = model::text::parse_bool(value);
                self.every_service = said.ok_or("EveryService= takes yes or no")?;
            }
            // What is before the first sign of equality may be an address with a secret in it.
            _ if name.len() > NAME_BYTES_MAX
                || !name.bytes().all(|byte| byte.is_ascii_alphabetic()) =>
            {
                return Err(format!("this is no line of it: {KNOWN}"));
            }
            _ => {
                return Err(format!("there is no {name}=: {KNOWN}"));
            }
        }
        Ok(())
    }
}

/// What is said of a line that is none.
const KNOWN: &str = "Mail=, MailFrom=, Sendmail=, Webhook=, WebhookCertificates=, Lines= and EveryService= are known";
/// Letters of a name that is told.
const NAME_BYTES_MAX: usize = 32;

/// A mail address or a local user, as far as it can be a word of a header: nothing that begins another header, list or option.
fn address(name: &str, word: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_graphic() && !b"(),:;<>[]\\\"".contains(&byte);
    if word.starts_with('-') || !word.bytes().all(fits) {
        return Err(format!("{name}= takes mail addresses or local users"));
    }
    Ok(word.to_owned())
}

fn absolute(name: &str, path: &str) -> Result<PathBuf, String> {
    if path.starts_with('/') {
        Ok(path.into())
    } else {
        Err(format!("{name}= takes an absolute path"))
    }
}

/// Is this one of the units that tell? Nothing is told of those.
#[must_use]
pub fn is_teller(name: &UnitName) -> bool {
    name.kind() == UnitKind::Service && name.prefix() == PREFIX && name.instance().is_some()
}

/// The unit that tells of another; none where its name would be too long.
#[must_use]
pub fn teller(name: &UnitName) -> Option<UnitName> {
    UnitName::new(&format!("{PREFIX}@{name}.service")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> UnitName {
        text.parse().expect("a name")
    }

    #[test]
    fn one_line_is_enough_and_a_header_may_stand_before_it() {
        for text in ["Mail=root", "[Notify]\nMail=root\n", "# who\nMail = root\n"] {
            let notify = Notify::parse(text.as_bytes());
            let expected = Notify {
                mail: vec!["root".into()],
                ..Notify::default()
            };
            assert_eq!(notify, expected, "{text}");
            assert!(notify.tells());
        }
        assert!(!Notify::parse(b"EveryService=yes").tells());
    }

    #[test]
    fn everything_that_may_be_said_is_read() {
        let text = "Mail=a@b.org c@d.org\nMailFrom=host@b.org\nSendmail=/opt/mail\nWebhook=https://b.org/?t=1%2\n\
                    WebhookCertificates=/etc/ca.pem\nLines=0\nEveryService=yes\n";
        let expected = Notify {
            mail: vec!["a@b.org".into(), "c@d.org".into()],
            mail_from: Some("host@b.org".into()),
            sendmail: "/opt/mail".into(),
            webhook: Some("https://b.org/?t=1%2".into()),
            certificates: Some("/etc/ca.pem".into()),
            lines: 0,
            every_service: true,
            complaints: Vec::new(),
        };
        assert_eq!(Notify::parse(text.as_bytes()), expected);
    }

    #[test]
    fn what_is_wrong_is_told_by_its_line_without_what_may_be_secret() {
        for (text, expected) in [
            ("Mail=-oQ/tmp", "line 1: Mail= takes"),
            ("Mail=<a@b>", "line 1: Mail= takes"),
            (
                "\nSendmail=mail",
                "line 2: Sendmail= takes an absolute path",
            ),
            ("Lines=201", "line 1: Lines= takes 0 to 200"),
            (
                "EveryService=maybe",
                "line 1: EveryService= takes yes or no",
            ),
            ("Wehook=https://secret", "line 1: there is no Wehook="),
            ("[Unit]\nWebhook=https://secret", "line 2: only the section"),
            ("https://secret", "line 1: "),
            ("Webhook: https://b.org/secret?chat=1", "line 1: "),
            ("https://b.org/secret?chat=1", "line 1: "),
        ] {
            let notify = Notify::parse(text.as_bytes());
            let told = notify.complaints.join("\n");
            assert!(told.starts_with(expected), "{text}: {told}");
            assert!(!told.contains("secret") && !notify.tells(), "{told}");
        }
    }

    #[test]
    fn an_address_that_everybody_may_read_is_complained_about() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(
            Notify::read(folder.path()).expect("nothing"),
            Notify::default()
        );
        let file = folder.path().join(FILE);
        std::fs::write(&file, "Webhook=https://b.org/secret\n").expect("a file");
        for (mode, count) in [(0o600, 0), (0o644, 1)] {
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&file, permissions).expect("a mode");
            let notify = Notify::read(folder.path()).expect("a file");
            assert_eq!(notify.complaints.len(), count);
        }
    }

    #[test]
    fn units_that_tell_are_known_by_their_name() {
        let web = teller(&name("web@1.service")).expect("a short name");
        assert_eq!(web.as_str(), "coracle-notify@web@1.service.service");
        assert!(is_teller(&web));
        for other in ["coracle-notify.service", "web@coracle-notify.service"] {
            assert!(!is_teller(&name(other)), "{other}");
        }
        let long = format!("{}.service", "n".repeat(240));
        assert_eq!(teller(&name(&long)), None);
    }
}
