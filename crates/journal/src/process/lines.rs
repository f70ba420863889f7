//! Bytes of a stream to lines, and a line to priority, fields and message. Pure.

use crate::format::Fields;
use crate::format::batch::Line;
use crate::stream::Stream;
use model::value::{MAX_LOG_PATTERNS, sized_log_expression};
use regex_lite::Regex;

/// Most lines in one batch: bounds the size of a frame, whatever the lines are.
pub(crate) const BATCH_LINES_MAX: usize = 4096;
/// Separates the fields of a line of the manager's own stream.
pub(crate) const FIELD_SEPARATOR: u8 = 0x1f;
/// Ends a line of the manager's own stream that is void: the manager that wrote it died in the middle of it.
const VOID: u8 = 0x18;
/// The field by which the manager numbers its lines; it is not stored as one.
const NUMBER: &str = "WORD";
/// Longest name of a field that the manager may give, in bytes: the journal's limit.
const FIELD_NAME_MAX_BYTES: usize = 64;

/// Why a line ends; the journal's `_LINE_BREAK` unless it is a newline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Break {
    Newline,
    Nul,
    LineMax,
    End,
}

/// What a chunk of bytes comes to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Split {
    pub(crate) lines: Vec<(Vec<u8>, Break)>,
    /// Bytes of the chunk that are dealt with.
    pub(crate) taken: usize,
    /// The bytes kept from before went into `lines`.
    pub(crate) finished: bool,
    /// Bytes to keep, after those kept from before unless these are finished.
    pub(crate) unfinished: Vec<u8>,
}

/// Splits what was kept from before (at most `line_max` bytes) and a chunk.
pub(crate) fn split(kept: &[u8], chunk: &[u8], line_max: usize) -> Split {
    let mut split = Split::default();
    let mut current = kept.to_vec();
    let mut rest = chunk;
    while !rest.is_empty() && split.lines.len() < BATCH_LINES_MAX {
        // One byte more than fits, for a line that is just as long as may be.
        let room = line_max.saturating_sub(current.len());
        let window = rest.get(..=room).unwrap_or(rest);
        let (text, skip, reason) = next(window, room);
        current.extend_from_slice(text);
        rest = rest.get(text.len() + skip..).unwrap_or_default();
        if let Some(reason) = reason {
            split.lines.push((std::mem::take(&mut current), reason));
            split.finished = true;
        }
    }
    split.taken = chunk.len() - rest.len();
    let known = if split.finished { 0 } else { kept.len() };
    split.unfinished = current.split_off(known.min(current.len()));
    split
}

/// The text up to the first break in the window, the bytes of the break, and which it is.
fn next(window: &[u8], room: usize) -> (&[u8], usize, Option<Break>) {
    let end = window.iter().position(|byte| matches!(byte, b'\n' | 0));
    match end.and_then(|end| window.split_at_checked(end)) {
        Some((text, [0, ..])) => (text, 1, Some(Break::Nul)),
        Some((text, _)) => (text, 1, Some(Break::Newline)),
        None => match window.get(..room) {
            Some(text) if window.len() > room => (text, 0, Some(Break::LineMax)),
            _ => (window, 0, None),
        },
    }
}

/// A line's own number, 0 where it has none, and the line as it is stored; `None` for one that says nothing.
pub(crate) fn line(stream: &Stream, text: &[u8], reason: Break) -> Option<(u64, Line)> {
    let (priority, text) = match text {
        [b'<', digit @ b'0'..=b'7', b'>', rest @ ..] if stream.level_prefix => (digit - b'0', rest),
        _ => (stream.priority, text),
    };
    if priority > stream.priority_max {
        return None;
    }
    let (mut fields, message) = match text {
        [.., VOID] if stream.fields => return None,
        text if stream.fields => own_fields(text),
        text => (Fields::new(), text),
    };
    let number = take_number(&mut fields);
    if message.is_empty() && fields.is_empty() {
        return None;
    }
    let mark = match reason {
        Break::Newline => None,
        Break::Nul => Some("nul"),
        Break::LineMax => Some("line-max"),
        Break::End => Some("eof"),
    };
    fields.extend(mark.map(|mark| ("_LINE_BREAK".to_owned(), mark.into())));
    let line = Line {
        priority,
        fields,
        message: message.to_vec(),
    };
    Some((number, line))
}

fn take_number(fields: &mut Fields) -> u64 {
    let Some(place) = fields.iter().position(|(name, _)| name == NUMBER) else {
        return 0;
    };
    let (_, value) = fields.remove(place);
    let text = String::from_utf8(value).unwrap_or_default();
    text.parse().unwrap_or_default()
}

/// `\x1fNAME=value\x1fNAME=value\x1fmessage`; other text is a message without fields.
fn own_fields(text: &[u8]) -> (Fields, &[u8]) {
    let Some(rest) = text.strip_prefix(&[FIELD_SEPARATOR]) else {
        return (Fields::new(), text);
    };
    let mut parts: Vec<&[u8]> = rest.split(|byte| *byte == FIELD_SEPARATOR).collect();
    let message = parts.pop().unwrap_or_default();
    (parts.into_iter().filter_map(own_field).collect(), message)
}

/// Fields that an entry has of its own, or that say where it comes from: nobody else gives them.
const TAKEN: &[&str] = &[
    "MESSAGE",
    "PRIORITY",
    "SYSLOG_FACILITY",
    "SYSLOG_IDENTIFIER",
    "UNIT",
];

/// The content of a file of fields: `NAME=value`, each ended by a NUL. A name that starts with `_` is the journal's own.
pub(crate) fn extra_fields(content: &[u8]) -> Fields {
    let parts = content.split(|byte| *byte == 0);
    let fields = parts.filter_map(own_field);
    fields
        .filter(|(name, _)| !name.starts_with('_') && !TAKEN.contains(&name.as_str()))
        .collect()
}

/// Expressions that a stream's lines are held against.
#[derive(Debug, Default)]
pub(crate) struct Patterns {
    kept: Vec<Regex>,
    dropped: Vec<Regex>,
    /// Bytes of all of them.
    size: u64,
}

/// How much of a line is looked at, in bytes: what a line costs is bounded.
const LOOKED_AT_BYTES: u64 = 4096;
/// The work of one line: a unit of it is a byte of a line times a byte of a compiled pattern, and takes a sixth of a nanosecond
/// where every state of a pattern is alive, so this is 6 ms.
const LINE_WORK_MAX: u64 = 32 << 20;

impl Patterns {
    /// The patterns in a file of fields: `+` or `~` and the expression, each ended by a NUL. The loader has compiled them before.
    pub(crate) fn of(content: &[u8]) -> Patterns {
        let mut patterns = Patterns::default();
        for part in content.split(|byte| *byte == 0) {
            let (list, text) = match part {
                [b'+', text @ ..] => (&mut patterns.kept, text),
                [b'~', text @ ..] => (&mut patterns.dropped, text),
                _ => continue,
            };
            let expression = std::str::from_utf8(text).ok();
            if let Some((compiled, size)) =
                expression.and_then(|text| sized_log_expression(text).ok())
                && list.len() < MAX_LOG_PATTERNS
            {
                list.push(compiled);
                patterns.size += size as u64;
            }
        }
        patterns
    }

    /// Bytes of a line that are looked at: fewer where the patterns are large.
    fn looked_at(&self) -> u64 {
        LOOKED_AT_BYTES.min(LINE_WORK_MAX / self.size.max(1))
    }

    /// What a message costs.
    pub(crate) fn work(&self, message: &[u8]) -> u64 {
        self.size * self.looked_at().min(message.len() as u64)
    }

    /// How many bytes of a stream are read at once, so that the others' lines come between: with what was kept of a line before, they cost what two
    /// lines may cost.
    pub(crate) fn chunk_bytes(&self) -> usize {
        usize::try_from(LINE_WORK_MAX / self.size.max(1)).unwrap_or(usize::MAX)
    }

    /// Is a message kept?
    pub(crate) fn keep(&self, message: &[u8]) -> bool {
        if self.kept.is_empty() && self.dropped.is_empty() {
            return true;
        }
        let length = usize::try_from(self.looked_at()).unwrap_or_default();
        let looked_at = message.get(..length).unwrap_or(message);
        let text = String::from_utf8_lossy(looked_at);
        let matches = |list: &[Regex]| list.iter().any(|expression| expression.is_match(&text));
        (self.kept.is_empty() || matches(&self.kept)) && !matches(&self.dropped)
    }
}

fn own_field(part: &[u8]) -> Option<(String, Vec<u8>)> {
    let place = part.iter().position(|byte| *byte == b'=')?;
    let (name, value) = part.split_at_checked(place)?;
    let plain = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_';
    let fine = !name.is_empty() && name.len() <= FIELD_NAME_MAX_BYTES && name.iter().all(plain);
    let name = String::from_utf8(name.to_vec()).ok().filter(|_| fine)?;
    Some((name, value.get(1..).unwrap_or_default().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines separated by `|` with their break, then what is kept.
    fn check(kept: &str, chunk: &str, line_max: usize, expected: &str) {
        let split = split(kept.as_bytes(), chunk.as_bytes(), line_max);
        let mut text = String::new();
        for (line, reason) in &split.lines {
            text.push_str(&format!("{} {reason:?}|", String::from_utf8_lossy(line)));
        }
        text.push_str(&String::from_utf8_lossy(&split.unfinished));
        assert_eq!(text, expected);
        assert_eq!(split.taken, chunk.len());
        assert_eq!(split.finished, !split.lines.is_empty());
    }

    #[test]
    fn whole_lines_are_cut_and_the_rest_is_kept() {
        check("", "one\ntwo\nthr", 10, "one Newline|two Newline|thr");
        check("thr", "ee\nx", 10, "three Newline|x");
        check("thr", "ee", 10, "ee");
    }

    #[test]
    fn a_line_as_long_as_may_be_is_whole_and_a_longer_one_is_cut() {
        check("", "0123\n", 4, "0123 Newline|");
        check("", "01234\n", 4, "0123 LineMax|4 Newline|");
        check("0123", "\n", 4, "0123 Newline|");
        check("0123", "4", 4, "0123 LineMax|4");
        check("", "0123", 4, "0123");
    }

    #[test]
    fn a_zero_byte_ends_a_line_too() {
        check("", "a\0b\n", 9, "a Nul|b Newline|");
    }

    #[test]
    fn any_way_to_cut_the_bytes_gives_the_same_lines() {
        let text = b"one\n\ntwo\0three four five\nlong long long line\nrest";
        let whole = split(b"", text, 9);
        for place in 0..text.len() {
            let first = split(b"", &text[..place], 9);
            let second = split(&first.unfinished, &text[place..], 9);
            let lines: Vec<_> = first.lines.into_iter().chain(second.lines).collect();
            assert_eq!(lines, whole.lines, "cut at {place}");
        }
    }

    #[test]
    fn a_batch_has_a_limit_and_the_rest_waits() {
        let chunk = "a\n".repeat(BATCH_LINES_MAX + 5);
        let split = split(b"", chunk.as_bytes(), 10);
        assert_eq!(
            (split.lines.len(), split.taken),
            (BATCH_LINES_MAX, BATCH_LINES_MAX * 2)
        );
    }

    fn check_line(options: &str, text: &str, expected: &str) {
        let stream: Stream = format!("a.service|1|x{options}").parse().unwrap();
        let shown = line(&stream, text.as_bytes(), Break::Newline).map(|(number, line)| {
            let fields: String = line
                .fields
                .iter()
                .map(|(name, value)| format!("{name}={} ", String::from_utf8_lossy(value)))
                .collect();
            let number = Some(number).filter(|number| *number > 0);
            let number = number.map(|number| format!("#{number} "));
            format!(
                "{} {}{fields}{}",
                line.priority,
                number.unwrap_or_default(),
                String::from_utf8_lossy(&line.message)
            )
        });
        assert_eq!(shown.as_deref().unwrap_or("-"), expected);
    }

    #[test]
    fn a_prefix_is_the_priority_unless_switched_off() {
        check_line("", "hello", "6 hello");
        check_line("", "<3>hello", "3 hello");
        check_line("", "<8>hello", "6 <8>hello");
        check_line("", "<13>hello", "6 <13>hello");
        check_line("|prefix=no|priority=5", "<3>hello", "5 <3>hello");
        check_line("|max=4", "<5>hello", "-");
        check_line("|max=4", "<4>hello", "4 hello");
        check_line("|max=4", "hello", "-");
        check_line("", "", "-");
        check_line("", "<3>", "-");
    }

    #[test]
    fn fields_that_an_entry_has_of_its_own_are_nobody_elses() {
        let content = b"A=1\0_PID=1\0MESSAGE=x\0UNIT=y\0B_2=c=d\0bad=1\0";
        let fields = extra_fields(content);
        let shown: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value)))
            .collect();
        assert_eq!(shown, ["A=1", "B_2=c=d"]);
    }

    #[test]
    fn what_a_pattern_drops_is_dropped_and_what_none_keeps_too() {
        let check = |content: &[u8], kept: &str| {
            let patterns = Patterns::of(content);
            let lines = ["one", "two", "one two", "ONE"].into_iter();
            let found: Vec<&str> = lines
                .filter(|line| patterns.keep(line.as_bytes()))
                .collect();
            assert_eq!(found.join(", "), kept);
        };
        check(b"", "one, two, one two, ONE");
        check(b"A=one\0", "one, two, one two, ONE");
        check(b"+one\0", "one, one two");
        check(b"+one\0+ONE\0", "one, one two, ONE");
        check(b"~one\0", "two, ONE");
        check(b"+^o\0~two$\0", "one");
        let long = [b"x".repeat(4096).as_slice(), b"one"].concat();
        assert!(!Patterns::of(b"+one\0").keep(&long));
        assert!(Patterns::of(b"+\xef\xbf\xbd\0").keep(b"\xff"));
    }

    #[test]
    fn only_the_managers_stream_may_give_fields() {
        let text = "<4>\x1fUNIT=web.service\x1fbad=1\x1f=2\x1fJOB=3\x1fweb.service failed";
        check_line(
            "|fields=yes",
            text,
            "4 UNIT=web.service JOB=3 web.service failed",
        );
        check_line("", "\x1fUNIT=x\x1fy", "6 \x1fUNIT=x\x1fy");
        let numbered = "<4>\x1fWORD=17\x1fUNIT=web.service\x1fx";
        check_line("|fields=yes", numbered, "4 #17 UNIT=web.service x");
        check_line("", numbered, &format!("4 {}", &numbered[3..]));
    }

    #[test]
    fn what_the_manager_did_not_come_to_the_end_of_is_void() {
        check_line("|fields=yes", "<4>\x1fWORD=17\x1fUNIT=web.serv\x18", "-");
        check_line("|fields=yes", "\x18", "-");
        check_line("", "a\x18", "6 a\x18");
    }
}
