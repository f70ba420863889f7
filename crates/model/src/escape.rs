//! Any text as part of a unit name, and back: the escaping of systemd.unit(5).

use crate::{UnitKind, UnitName};

/// Escapes any text: `/` becomes `-`, what no unit name may hold becomes `\xHH`, as does a dot at the start.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'/' => escaped.push('-'),
            b'.' if at == 0 => escaped.push_str("\\x2e"),
            b'.' | b':' | b'_' => escaped.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("\\x{byte:02x}")),
        }
    }
    escaped
}

/// Undoes [`escape`]; none if an escape is malformed or the outcome is not UTF-8.
#[must_use]
pub fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'-' => bytes.push(b'/'),
            b'\\' => {
                let (digits, after) = rest.strip_prefix(b"x")?.split_at_checked(2)?;
                // A NUL would end the text for the kernel, in its middle.
                bytes.push(hex(digits).filter(|byte| *byte != 0)?);
                rest = after;
            }
            _ => bytes.push(first),
        }
    }
    String::from_utf8(bytes).ok()
}

/// Undoes the escapes of fstab(5) and of the kernel's tables: a space and its like are a backslash and three octal digits.
#[must_use]
pub fn unescape_octal(word: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((&first, more)) = rest.split_first() {
        let code = more
            .first_chunk::<3>()
            .filter(|_| first == b'\\')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(code.unwrap_or(first));
        rest = match code {
            Some(_) => more.get(3..).unwrap_or_default(),
            None => more,
        };
    }
    bytes
}

fn hex(digits: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(digits)
        .ok()
        .filter(|text| !text.starts_with('+'))?;
    u8::from_str_radix(text, 16).ok()
}

/// Escapes an absolute path: slashes at both ends and doubled ones vanish, `/` alone is `-`. None if it is no plain absolute path.
#[must_use]
pub fn escape_path(path: &str) -> Option<String> {
    let parts: Vec<&str> = path
        .strip_prefix('/')?
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    if parts.contains(&"..") {
        return None;
    }
    Some(if parts.is_empty() {
        "-".to_owned()
    } else {
        escape(&parts.join("/"))
    })
}

/// Undoes [`escape_path`]; none if the outcome is no plain absolute path.
#[must_use]
pub fn unescape_path(text: &str) -> Option<String> {
    if text == "-" {
        return Some("/".to_owned());
    }
    let path = unescape(text).filter(|path| !path.is_empty())?;
    let plain = path.split('/').all(|part| !matches!(part, "" | "." | ".."));
    plain.then(|| format!("/{path}"))
}

/// Puts an escaped text, unless it is empty, into a template, as `coracle start getty@$(…)` needs it.
#[must_use]
pub fn instantiate(template: &UnitName, text: &str) -> Option<UnitName> {
    let instance = Some(escape(text)).filter(|instance| !instance.is_empty())?;
    template.with_instance(&instance).ok()
}

/// What patterns have besides the letters of names.
const OF_PATTERNS: &[u8] = b"[]!-*?";

/// The unit that somebody means who types this: a name is one already; a path is that of a device below /dev and /sys, or of a mount;
/// in anything else, what no name may hold is escaped, and a word without a kind of unit is a service. None where that is no name.
///
/// A pattern stays as it is where patterns are taken.
#[must_use]
pub fn mangle(typed: &str, takes_patterns: bool) -> Option<String> {
    let is_name = |name: &str| UnitName::new(name).is_ok();
    let is_pattern = |text: &str| takes_patterns && text.contains(['*', '?', '[']);
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
    let may_stay = |byte: u8| is_letter(byte) || takes_patterns && OF_PATTERNS.contains(&byte);
    if typed.is_empty() {
        return None;
    }
    if is_name(typed) || is_pattern(typed) && typed.bytes().all(may_stay) {
        return Some(typed.to_owned());
    }
    if let Some(unit) = unit_of_path(typed) {
        return Some(unit);
    }
    let mut name = String::with_capacity(typed.len());
    for byte in typed.bytes() {
        match byte {
            b'/' => name.push('-'),
            _ if may_stay(byte) => name.push(char::from(byte)),
            _ => name.push_str(&format!("\\x{byte:02x}")),
        }
    }
    if is_pattern(&name) {
        return Some(name);
    }
    if !is_name(&name) {
        name.push_str(".service");
    }
    is_name(&name).then_some(name)
}

fn unit_of_path(path: &str) -> Option<String> {
    let escaped = escape_path(path)?;
    let is_device = ["dev-", "sys-"]
        .iter()
        .any(|root| escaped.starts_with(root));
    let kind = if is_device {
        UnitKind::Device
    } else {
        UnitKind::Mount
    };
    let name = format!("{escaped}.{kind}");
    UnitName::new(&name).is_ok().then_some(name)
}

#[cfg(test)]
mod tests {
    use super::mangle;

    fn check(typed: &str, name: &str, pattern: &str) {
        let shown = |takes_patterns| mangle(typed, takes_patterns).unwrap_or_default();
        assert_eq!([shown(false), shown(true)], [name, pattern], "{typed}");
    }

    #[test]
    fn what_is_typed_becomes_a_name() {
        for (typed, name) in [
            ("foo", "foo.service"),
            ("foo.mount", "foo.mount"),
            ("foo.bar", "foo.bar.service"),
            ("a@.service", "a@.service"),
            ("/", "-.mount"),
            ("/dev", "dev.mount"),
            ("/dev/sda1", "dev-sda1.device"),
            ("//sys/./x/", "sys-x.device"),
            ("/device", "device.mount"),
            ("/home/a-b", "home-a\\x2db.mount"),
            ("/a/../b", "-a-..-b.service"),
            ("a b/c", "a\\x20b-c.service"),
            ("\u{e9}", "\\xc3\\xa9.service"),
            (".service", ".service.service"),
            ("@", ""),
            ("", ""),
        ] {
            check(typed, name, name);
        }
    }

    #[test]
    fn a_pattern_stays_where_patterns_are_taken() {
        check("foo*", "foo\\x2a.service", "foo*");
        check(
            "[a-c]?.s*",
            "\\x5ba-c\\x5d\\x3f.s\\x2a.service",
            "[a-c]?.s*",
        );
        check("a b*", "a\\x20b\\x2a.service", "a\\x20b*");
        check("wow!", "wow\\x21.service", "");
    }
}
