//! Physical lines: where the content ends and where the end-of-line marker ends, as the reference's line reader sees it.

/// One physical line: `start..content` is its text, `content..end` its end-of-line marker (empty at the end of the file).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) start: usize,
    pub(crate) content: usize,
    pub(crate) end: usize,
}

/// Cuts the source into physical lines. LF, CR, CRLF and LFCR each end one line; the same byte twice ends two.
pub(crate) fn lines(source: &[u8], from: usize) -> impl Iterator<Item = Line> {
    let mut start = from;
    std::iter::from_fn(move || {
        let rest = source.get(start..).filter(|rest| !rest.is_empty())?;
        let length = rest
            .iter()
            .position(|byte| is_eol(*byte))
            .unwrap_or(rest.len());
        let content = start + length;
        let end = content + marker_length(rest.get(length..).unwrap_or_default());
        let line = Line {
            start,
            content,
            end,
        };
        start = end;
        Some(line)
    })
}

fn is_eol(byte: u8) -> bool {
    byte == b'\n' || byte == b'\r'
}

fn marker_length(at: &[u8]) -> usize {
    match at {
        [b'\n', b'\r', ..] | [b'\r', b'\n', ..] => 2,
        [] => 0,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_line_end_ends_one_line() {
        let source = b"a\nb\r\nc\rd\n\re\n\nf";
        let texts: Vec<_> = lines(source, 0)
            .map(|line| std::str::from_utf8(&source[line.start..line.content]).unwrap())
            .collect();
        assert_eq!(texts, ["a", "b", "c", "d", "e", "", "f"]);
    }

    #[test]
    fn lines_tile_the_source() {
        let source = b"\r\r\n\n\n\rlast";
        let mut at = 0;
        for line in lines(source, 0) {
            assert_eq!(line.start, at);
            at = line.end;
        }
        assert_eq!(at, source.len());
    }
}
