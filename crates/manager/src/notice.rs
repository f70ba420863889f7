//! What services say over their notification socket, as text lines; and what of it the engine hears.

use engine::Notice;
use model::value::{Keyword, NotifyAccess};

/// Bytes of one message; the reference takes as many.
pub(crate) const MESSAGE_BYTES_MAX: usize = 4096;
/// Bytes of a status text that are kept.
const STATUS_BYTES_MAX: usize = 1024;

/// A message, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// For the engine.
    pub(crate) notice: Notice,
    /// STATUS=
    pub(crate) status: Option<String>,
    /// ERRNO=
    pub(crate) errno: Option<u32>,
    /// MAINPIDFD=1: the descriptor of the message says who is the main process.
    pub(crate) main_by_descriptor: bool,
    /// MAINPIDFDID=, which tells the process of MAINPID= from a later one of that number.
    pub(crate) main_id: Option<u64>,
    /// NOTIFYACCESS=: who is heard from now on.
    pub(crate) access: Option<NotifyAccess>,
    /// FDSTORE=1
    pub(crate) stores: bool,
    /// FDSTOREREMOVE=1
    pub(crate) removes: bool,
    /// FDNAME= and FDPOLL=
    pub(crate) storing: Storing,
}

/// How a descriptor is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Storing {
    /// What the service finds in $LISTEN_FDNAMES.
    pub(crate) name: String,
    /// It goes when its other end does.
    pub(crate) poll: bool,
}

impl Default for Storing {
    fn default() -> Self {
        Self {
            name: "stored".into(),
            poll: true,
        }
    }
}

impl Message {
    /// Reads a message. Lines that mean nothing here are passed over, as others may be listening too.
    pub fn read(bytes: &[u8]) -> Self {
        let mut message = Self::default();
        for line in String::from_utf8_lossy(bytes).lines() {
            if let Some((key, value)) = line.split_once('=') {
                message.take(key, value);
            }
        }
        message
    }

    fn take(&mut self, key: &str, value: &str) {
        let yes = value == "1";
        let notice = &mut self.notice;
        match key {
            "READY" => notice.ready |= yes,
            "RELOADING" => notice.reloading |= yes,
            "STOPPING" => notice.stopping |= yes,
            "MAINPID" => notice.main_pid = value.parse().ok().filter(|pid| *pid > 1),
            "MAINPIDFD" => self.main_by_descriptor |= yes,
            "MAINPIDFDID" => self.main_id = value.parse().ok(),
            "NOTIFYACCESS" => self.access = NotifyAccess::from_word(value),
            "RESTART_RESET" => notice.restart_reset |= yes,
            "WATCHDOG" => {
                notice.alive |= yes;
                notice.watchdog_trigger |= value == "trigger";
            }
            "WATCHDOG_USEC" => notice.watchdog = value.parse().ok().filter(|span| *span > 0),
            "EXTEND_TIMEOUT_USEC" => notice.extend_timeout = value.parse().ok(),
            "MONOTONIC_USEC" => notice.monotonic = value.parse().ok(),
            "STATUS" => self.status = Some(cut(value)),
            "FDSTORE" => self.stores |= yes,
            "FDSTOREREMOVE" => self.removes |= yes,
            "FDNAME" if is_name(value) => self.storing.name = value.to_owned(),
            "FDPOLL" => self.storing.poll = value != "0",
            "ERRNO" => self.errno = value.parse().ok(),
            _ => {}
        }
    }
}

/// A name of $LISTEN_FDNAMES, which has colons between them.
fn is_name(text: &str) -> bool {
    let fits = (1..=crate::fd_store::NAME_BYTES_MAX).contains(&text.len());
    fits && text
        .bytes()
        .all(|byte| matches!(byte, b' '..=b'~') && byte != b':')
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(STATUS_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_line_by_line() {
        let message = Message::read(b"READY=1\nSTATUS=up and well\nMAINPID=42\nX_OTHER=1\nERRNO=2");
        assert!(message.notice.ready && !message.notice.stopping);
        assert_eq!(
            (message.notice.main_pid, message.errno),
            (Some(42), Some(2))
        );
        assert_eq!(message.status.as_deref(), Some("up and well"));
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() })]

        #[test]
        fn any_message_is_read_within_the_limits(text in "((READY|MAINPID|STATUS|ERRNO|EXTEND_TIMEOUT_USEC|X)?=?[0-9\n=:\\-]{0,24}\\PC{0,8}){0,12}", bytes in proptest::collection::vec(0..=255_u8, 0..60)) {
            for message in [Message::read(text.as_bytes()), Message::read(&bytes)] {
                assert!(message.status.is_none_or(|status| status.len() <= STATUS_BYTES_MAX));
                assert!(message.notice.main_pid.is_none_or(|pid| pid > 1));
            }
        }
    }

    #[test]
    fn hostile_messages_are_cut_and_passed_over() {
        let long = format!("STATUS={}\nMAINPID=1\nREADY=yes", "é".repeat(3000));
        let message = Message::read(long.as_bytes());
        assert!(message.status.unwrap().len() <= STATUS_BYTES_MAX);
        assert_eq!(message.notice, Notice::default());
    }
}
