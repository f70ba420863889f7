//! Sealed credentials as text: base64, with blanks and line ends anywhere.

use base64ct::{Base64, Encoding};

use crate::sealed::{Error, SEALED_BYTES_MAX};

/// Characters of a text that is read: base64 of the longest, and as many line ends and blanks.
const TEXT_BYTES_MAX: usize = SEALED_BYTES_MAX * 2;
/// Characters of a line that is written.
const LINE_CHARS: usize = 79;

/// The bytes that a text stands for.
///
/// # Errors
/// When it is too long, or no base64.
pub fn from_text(text: &[u8]) -> Result<Vec<u8>, Error> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(Error::TooLarge);
    }
    let is_blank = |byte: &u8| byte.is_ascii_whitespace();
    let plain: Vec<u8> = text
        .iter()
        .copied()
        .filter(|byte| !is_blank(byte))
        .collect();
    let plain = std::str::from_utf8(&plain).map_err(|_| Error::Malformed("it is no base64"))?;
    Base64::decode_vec(plain).map_err(|_| Error::Malformed("it is no base64"))
}

/// Bytes as a text, in lines.
pub fn to_text(bytes: &[u8]) -> String {
    let whole = Base64::encode_string(bytes);
    let mut text = String::with_capacity(whole.len() + whole.len() / LINE_CHARS + 1);
    for (place, character) in whole.chars().enumerate() {
        if place > 0 && place % LINE_CHARS == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn a_text_is_read_back_wherever_its_lines_end() {
        for length in [0, 1, 2, 3, 58, 59, 60, 1000] {
            let bytes: Vec<u8> = (0..length).map(|place| place as u8).collect();
            let text = to_text(&bytes);
            assert!(text.lines().all(|line| line.len() <= LINE_CHARS));
            assert_eq!(from_text(text.as_bytes()).unwrap(), bytes);
            assert_eq!(
                from_text(text.replace('\n', " \t\n").as_bytes()).unwrap(),
                bytes
            );
        }
        assert!(from_text(b"a?==").is_err());
        assert!(from_text(&[0xff]).is_err());
    }
}
