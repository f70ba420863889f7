//! The names of users and groups inside a root that is not the host's: the bundle's own table (passwd(5), group(5)), with what it lacks.
//!
//! The bundle's table is hostile: of it only whole lines stay, and none of them gives a name of the service's another number.

/// Bytes of a bundle's table that are read: some hundred lines. A longer one stays as it is.
pub const MAX_TABLE_BYTES: usize = 64 << 10;
/// Bytes of a name, as useradd(8) and the reference have them, with room to spare.
const MAX_NAME_BYTES: usize = 255;

/// Which of both tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// passwd(5), seven fields.
    Users,
    /// group(5), four fields.
    Groups,
}

impl Table {
    const fn fields(self) -> usize {
        match self {
            Self::Users => 7,
            Self::Groups => 4,
        }
    }

    /// What every system has, without line ends. Who has neither the name nor the number gets it.
    const fn usual(self) -> [&'static [u8]; 2] {
        match self {
            Self::Users => [
                b"root:x:0:0:root:/root:/bin/sh",
                b"nobody:x:65534:65534:nobody:/:/usr/sbin/nologin",
            ],
            Self::Groups => [b"root:x:0:", b"nobody:x:65534:"],
        }
    }

    /// The name and the number of a whole line.
    fn entry(self, line: &[u8]) -> Option<(&[u8], u32)> {
        let mut fields = line.split(|&byte| byte == b':');
        let name = fields.next().filter(|name| is_name(name))?;
        let id = number(fields.nth(1)?)?;
        if self == Self::Users {
            number(fields.next()?)?;
        }
        let is_whole = line.split(|&byte| byte == b':').count() == self.fields()
            && !line.iter().any(u8::is_ascii_control);
        is_whole.then_some((name, id))
    }
}

/// Whether a table can have this name: one that is a number would be taken for it.
pub fn is_name(name: &[u8]) -> bool {
    let is_start = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
    let is_rest = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.$".contains(byte);
    name.first().is_some_and(is_start) && name.iter().all(is_rest) && name.len() <= MAX_NAME_BYTES
}

fn number(field: &[u8]) -> Option<u32> {
    let is_digits = !field.is_empty() && field.iter().all(u8::is_ascii_digit);
    let text = core::str::from_utf8(field).ok().filter(|_| is_digits)?;
    // The last number means "none" to the kernel.
    text.parse().ok().filter(|&number| number != u32::MAX)
}

/// A whole line, and the name and number that it gives.
type Line<'a> = (&'a [u8], (&'a [u8], u32));

/// A bundle's table and what the service needs in it.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    /// Which table.
    pub table: Table,
    /// The bundle's own; empty where it has none.
    pub bundle: &'a [u8],
    /// The service's own line, without a line end; empty where it has none.
    pub own: &'a [u8],
}

impl<'a> Names<'a> {
    /// Whether the bundle's table says all that the service needs.
    pub fn is_complete(&self) -> bool {
        self.missing().next().is_none()
    }

    /// The lines of the whole table, without line ends: the bundle's first, so that a number that it gives another name keeps that.
    pub fn lines(self) -> impl Iterator<Item = &'a [u8]> {
        self.kept().map(|(line, _)| line).chain(self.missing())
    }

    fn own(self) -> Option<Line<'a>> {
        let entry = self.table.entry(self.own)?;
        Some((self.own, entry))
    }

    /// The bundle's whole lines, but for those that give the service's name another number.
    fn kept(self) -> impl Iterator<Item = Line<'a>> {
        let own = self.own();
        let lines = self.bundle.split(|&byte| byte == b'\n');
        let whole = lines.filter_map(move |line| Some((line, self.table.entry(line)?)));
        whole.filter(move |(_, (name, id))| {
            own.is_none_or(|(_, (own_name, own_id))| own_name != *name || own_id == *id)
        })
    }

    fn missing(self) -> impl Iterator<Item = &'a [u8]> {
        let own = self.own();
        let has_own = own.is_some_and(|(_, entry)| self.kept().any(|(_, known)| known == entry));
        let is_missing = move |line: &&[u8]| {
            let Some((name, id)) = self.table.entry(line) else {
                return false;
            };
            let mut known = self.kept().chain(own).map(|(_, known)| known);
            !known.any(|(known, number)| known == name || number == id)
        };
        let usual = self.table.usual().into_iter().filter(is_missing);
        own.filter(|_| !has_own)
            .map(|(line, _)| line)
            .into_iter()
            .chain(usual)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(table: Table, bundle: &str, own: &str, expected: &[&str]) {
        let (bundle, own) = (bundle.as_bytes(), own.as_bytes());
        let names = Names { table, bundle, own };
        let lines: Vec<_> = names.lines().map(String::from_utf8_lossy).collect();
        assert_eq!(lines, expected);
        let text: Vec<u8> = names
            .lines()
            .flat_map(|line| [line, b"\n"].concat())
            .collect();
        let again = Names {
            bundle: &text,
            ..names
        };
        assert!(again.is_complete() && again.lines().eq(names.lines()));
    }

    const ROOT: &str = "root:x:0:0:root:/root:/bin/sh";
    const NOBODY: &str = "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin";
    const WEB: &str = "web:x:62001:62001::/:/usr/sbin/nologin";

    #[test]
    fn what_is_missing_comes_after_what_is_there() {
        check(Table::Users, "", "", &[ROOT, NOBODY]);
        check(Table::Users, "", WEB, &[WEB, ROOT, NOBODY]);
        let shell = "root:x:0:0::/:/bin/bash";
        check(Table::Users, shell, WEB, &[shell, WEB, NOBODY]);
        let groups = "root:x:0:\nnogroup:x:65534:\n";
        let expected = ["root:x:0:", "nogroup:x:65534:", "web:x:62001:"];
        check(Table::Groups, groups, "web:x:62001:", &expected);
        check(Table::Users, "", ROOT, &[ROOT, NOBODY]);
    }

    #[test]
    fn a_table_that_says_all_is_complete() {
        let bundle = format!("{NOBODY}\n{WEB}\n{ROOT}\n");
        let (bundle, own) = (bundle.as_bytes(), WEB.as_bytes());
        let table = Table::Users;
        assert!(Names { table, bundle, own }.is_complete());
        let own = b"other:x:7:7::/:/bin/sh";
        assert!(!Names { table, bundle, own }.is_complete());
    }

    #[test]
    fn the_services_name_has_one_number_and_a_number_keeps_the_bundles_name() {
        let bundle = "web:x:33:33::/:/bin/sh\nwww:x:62001:62001::/:/bin/sh";
        let www = "www:x:62001:62001::/:/bin/sh";
        check(Table::Users, bundle, WEB, &[www, WEB, ROOT, NOBODY]);
    }

    #[test]
    fn lines_that_are_not_whole_are_dropped() {
        let bundle = "# text\n\n+::::::\nroot:x:0\nroot:x:zero:0:::\nroot:x:-1:0:::\nroot:x:+0:0:::\nx y:x:1:1:::\n\
            big:x:4294967295:0:::\nbig:x:99999999999:0:::\nmore:x:1:1::::\nbell:x:1:1:\x07::\n0:x:5:5:::\nroot:x:0::::";
        check(Table::Users, bundle, "", &[ROOT, NOBODY]);
        check(Table::Users, "", "7:x:7:7:::", &[ROOT, NOBODY]);
    }
}
