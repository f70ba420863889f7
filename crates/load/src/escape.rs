//! Any text as part of a unit name, and back: the escaping of systemd.unit(5).

use model::UnitName;

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
