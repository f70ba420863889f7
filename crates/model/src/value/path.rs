//! Paths and lists of them.

use super::words::{Item, colon_fields, escape_colons, list};
use crate::text::{Expand, Form, ParseError, TextForm};

/// Longest path, in bytes, as the kernel has it.
pub const MAX_PATH_BYTES: usize = 4095;

/// Checks an absolute path and takes out doubled slashes, `.` and a slash at the end. `..` is refused.
pub fn normalize_path(path: &str) -> Result<String, ParseError> {
    if !path.starts_with('/') {
        return Err(ParseError::not_a(path, "an absolute path"));
    }
    if path.len() > MAX_PATH_BYTES || path.contains('\0') {
        return Err(ParseError::not_a(path, "a path that the kernel takes"));
    }
    let parts: Vec<&str> = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    if parts.contains(&"..") {
        return Err(ParseError::not_a(path, "a path without \"..\""));
    }
    Ok(format!("/{}", parts.join("/")))
}

/// A path without doubled slashes, single dots and a slash at the end.
pub(crate) fn simplified(path: &str) -> String {
    let parts = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".");
    format!("/{}", parts.collect::<Vec<_>>().join("/"))
}

/// Checks a path below some directory: relative, without `..`.
pub fn normalize_relative(path: &str) -> Result<String, ParseError> {
    let wrong = || ParseError::not_a(path, "a relative path without \"..\"");
    if path.starts_with('/') || path.contains('\0') || path.len() > MAX_PATH_BYTES {
        return Err(wrong());
    }
    let parts: Vec<&str> = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    if parts.is_empty() || parts.contains(&"..") {
        return Err(wrong());
    }
    Ok(parts.join("/"))
}

/// One absolute path; a `-` in front says that it may be missing where the directive knows that.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FilePath {
    /// The path; empty when nothing is set.
    pub path: String,
    /// It may be missing.
    pub optional: bool,
}

impl FilePath {
    /// A path that must be there.
    pub fn new(path: &str) -> Result<FilePath, ParseError> {
        Ok(FilePath {
            path: normalize_path(path)?,
            optional: false,
        })
    }

    /// The path.
    pub fn as_str(&self) -> &str {
        &self.path
    }
}

impl TextForm for FilePath {
    fn parse_with(text: &str, expand: &dyn Expand) -> Result<FilePath, ParseError> {
        let (optional, path) = match text.strip_prefix('-') {
            Some(path) => (true, path),
            None => (false, text),
        };
        Ok(FilePath {
            path: normalize_path(&expand.expand(path)?)?,
            optional,
        })
    }

    fn print_lines(&self, form: Form) -> Vec<String> {
        vec![format!(
            "{}{}",
            if self.optional { "-" } else { "" },
            form.part(&self.path)
        )]
    }
}

list! {
    /// Absolute paths (or names, where the directive takes them), separated by white space.
    Paths of String, words
}

/// A path in a file system rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathRule {
    /// The absolute path.
    pub path: String,
    /// `-`: it may be missing.
    pub optional: bool,
    /// `+`: it is below the unit's root directory, not the host's.
    pub in_root: bool,
}

impl PathRule {
    /// A rule for a path that must be there.
    pub fn new(path: &str) -> Result<PathRule, ParseError> {
        Ok(PathRule {
            path: normalize_path(path)?,
            optional: false,
            in_root: false,
        })
    }
}

impl Item for PathRule {
    fn parse_item(text: &str, expand: &dyn Expand) -> Result<PathRule, ParseError> {
        let (optional, rest) = strip(text, '-');
        let (in_root, path) = strip(rest, '+');
        Ok(PathRule {
            path: normalize_path(&expand.expand(path)?)?,
            optional,
            in_root,
        })
    }

    fn print_item(&self, form: Form) -> String {
        format!(
            "{}{}{}",
            flag(self.optional, "-"),
            flag(self.in_root, "+"),
            form.part(&self.path)
        )
    }
}

fn strip(text: &str, prefix: char) -> (bool, &str) {
    text.strip_prefix(prefix)
        .map_or((false, text), |rest| (true, rest))
}

fn flag(set: bool, text: &'static str) -> &'static str {
    if set { text } else { "" }
}

list! {
    /// Paths with `-` and `+` in front.
    PathRules of PathRule, words
}

list! {
    /// Watched paths or patterns of a path unit, one per line.
    PathWatches of String, lines
}

/// Something of the host shown inside.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BindMount {
    /// The path on the host.
    pub source: String,
    /// The path inside.
    pub destination: String,
    /// `-`: nothing happens when the source is missing.
    pub optional: bool,
    /// With everything mounted below it (`rbind`, the default).
    pub recursive: bool,
}

impl Item for BindMount {
    fn parse_item(text: &str, expand: &dyn Expand) -> Result<BindMount, ParseError> {
        let (optional, rest) = strip(text, '-');
        let mut fields = colon_fields(rest, 3).into_iter();
        let source = normalize_path(&expand.expand(&fields.next().unwrap_or_default())?)?;
        let destination = match fields.next().filter(|field| !field.is_empty()) {
            Some(field) => normalize_path(&expand.expand(&field)?)?,
            None => source.clone(),
        };
        let recursive = match fields.next().as_deref() {
            None | Some("" | "rbind") => true,
            Some("norbind") => false,
            Some(other) => return Err(ParseError::not_a(other, "rbind or norbind")),
        };
        Ok(BindMount {
            source,
            destination,
            optional,
            recursive,
        })
    }

    fn print_item(&self, form: Form) -> String {
        let field = |path: &str| escape_colons(&form.part(path));
        let mut text = format!("{}{}", flag(self.optional, "-"), field(&self.source));
        if self.source != self.destination || !self.recursive {
            text.push(':');
            text.push_str(&field(&self.destination));
        }
        text.push_str(flag(!self.recursive, ":norbind"));
        text
    }
}

list! {
    /// Bind mounts.
    BindMounts of BindMount, words
}

/// An empty file system of the unit's own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TemporaryFileSystem {
    /// Where it is mounted.
    pub path: String,
    /// Mount options, separated by commas; may be empty.
    pub options: String,
}

impl Item for TemporaryFileSystem {
    fn parse_item(text: &str, expand: &dyn Expand) -> Result<TemporaryFileSystem, ParseError> {
        let mut fields = colon_fields(text, 2).into_iter();
        let path = normalize_path(&expand.expand(&fields.next().unwrap_or_default())?)?;
        let options = expand.expand(&fields.next().unwrap_or_default())?;
        Ok(TemporaryFileSystem { path, options })
    }

    fn print_item(&self, form: Form) -> String {
        let path = escape_colons(&form.part(&self.path));
        if self.options.is_empty() {
            path
        } else {
            format!("{path}:{}", form.part(&self.options))
        }
    }
}

list! {
    /// Temporary file systems.
    TemporaryFileSystems of TemporaryFileSystem, words
}

/// A directory that belongs to the unit, below `/run`, `/var/lib` and so on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct DirectorySpec {
    /// The path below the base directory.
    pub path: String,
    /// A symbolic link to it, also below the base directory.
    pub symlink: Option<String>,
    /// Shown read-only to the unit.
    pub read_only: bool,
}

impl Item for DirectorySpec {
    fn parse_item(text: &str, expand: &dyn Expand) -> Result<DirectorySpec, ParseError> {
        let mut fields = colon_fields(text, 3).into_iter();
        let path = normalize_relative(&expand.expand(&fields.next().unwrap_or_default())?)?;
        if path == "private" || path.starts_with("private/") {
            return Err(ParseError::new("the directory \"private\" is reserved"));
        }
        let symlink = match fields.next().filter(|field| !field.is_empty()) {
            Some(field) => Some(normalize_relative(&expand.expand(&field)?)?),
            None => None,
        };
        let read_only = match fields.next().as_deref() {
            None | Some("") => false,
            Some("ro") => true,
            Some(other) => return Err(ParseError::not_a(other, "the flag ro")),
        };
        Ok(DirectorySpec {
            path,
            symlink,
            read_only,
        })
    }

    fn print_item(&self, form: Form) -> String {
        let field = |path: &str| escape_colons(&form.part(path));
        let link = self.symlink.as_deref().map(field);
        match (link, self.read_only) {
            (None, false) => field(&self.path),
            (link, false) => format!("{}:{}", field(&self.path), link.unwrap_or_default()),
            (link, true) => format!("{}:{}:ro", field(&self.path), link.unwrap_or_default()),
        }
    }
}

list! {
    /// The unit's own directories of one kind.
    Directories of DirectorySpec, words
}

/// The directory that a process starts in.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct WorkingDirectory {
    /// An absolute path inside the root directory, `None` for the user's home (`~`).
    pub path: Option<String>,
    /// `-`: it may be missing.
    pub optional: bool,
}

impl TextForm for WorkingDirectory {
    fn parse_with(text: &str, expand: &dyn Expand) -> Result<WorkingDirectory, ParseError> {
        let (optional, rest) = strip(text, '-');
        let path = if rest == "~" {
            None
        } else {
            Some(normalize_path(&expand.expand(rest)?)?)
        };
        Ok(WorkingDirectory { path, optional })
    }

    fn print_lines(&self, form: Form) -> Vec<String> {
        let path = self
            .path
            .as_deref()
            .map_or("~".into(), |path| form.part(path));
        vec![format!("{}{path}", flag(self.optional, "-"))]
    }
}

/// A file that is opened for the service.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OpenFile {
    /// The path.
    pub path: String,
    /// The name of the descriptor.
    pub name: String,
    /// Opened for reading only.
    pub read_only: bool,
    /// Opened for appending.
    pub append: bool,
    /// Cut to nothing on opening.
    pub truncate: bool,
    /// Failing to open it is not an error.
    pub graceful: bool,
}

impl Item for OpenFile {
    fn parse_item(text: &str, expand: &dyn Expand) -> Result<OpenFile, ParseError> {
        let mut fields = colon_fields(text, 3).into_iter();
        let path = normalize_path(&expand.expand(&fields.next().unwrap_or_default())?)?;
        let last = path.rsplit('/').next().unwrap_or_default().to_owned();
        let name = fields
            .next()
            .filter(|name| !name.is_empty())
            .map_or(Ok(last), |name| expand.expand(&name))?;
        let mut file = OpenFile {
            path,
            name,
            read_only: false,
            append: false,
            truncate: false,
            graceful: false,
        };
        for option in fields
            .next()
            .iter()
            .flat_map(|options| options.split(','))
            .filter(|o| !o.is_empty())
        {
            match option {
                "read-only" => file.read_only = true,
                "append" => file.append = true,
                "truncate" => file.truncate = true,
                "graceful" => file.graceful = true,
                other => {
                    return Err(ParseError::not_a(
                        other,
                        "read-only, append, truncate or graceful",
                    ));
                }
            }
        }
        let ways = [file.read_only, file.append, file.truncate];
        if ways.iter().filter(|is_asked| **is_asked).count() > 1 {
            return Err(ParseError::new(
                "read-only, append and truncate exclude each other",
            ));
        }
        match is_descriptor_name(&file.name) {
            true => Ok(file),
            false => Err(ParseError::not_a(&file.name, "a name of a descriptor")),
        }
    }

    fn print_item(&self, form: Form) -> String {
        let options = [
            (self.read_only, "read-only"),
            (self.append, "append"),
            (self.truncate, "truncate"),
            (self.graceful, "graceful"),
        ];
        let options: Vec<&str> = options
            .into_iter()
            .filter_map(|(set, name)| set.then_some(name))
            .collect();
        let field = |text: &str| escape_colons(&form.part(text));
        format!(
            "{}:{}:{}",
            field(&self.path),
            field(&self.name),
            options.join(",")
        )
    }
}

/// Longest name of a descriptor in `$LISTEN_FDNAMES`, sd_listen_fds(3).
const DESCRIPTOR_NAME_BYTES_MAX: usize = 255;

/// Colons are between them.
fn is_descriptor_name(name: &str) -> bool {
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b':';
    (1..=DESCRIPTOR_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_plain)
}

list! {
    /// Files to open, one per line.
    OpenFiles of OpenFile, lines
}

#[cfg(test)]
mod tests {
    use super::OpenFile;
    use crate::text::Verbatim;
    use crate::value::words::Item;

    #[test]
    fn a_file_is_opened_in_one_way_and_has_a_name_that_a_list_can_hold() {
        let read = |text: &str| OpenFile::parse_item(text, &Verbatim);
        let file = read("/srv/log:name:append,graceful").expect("a file");
        assert!(file.append && file.graceful && !file.truncate && !file.read_only);
        assert_eq!(read("/srv/log").expect("a file").name, "log");
        for wrong in [
            "srv/log",
            "/srv/log:name:append,truncate",
            "/srv/log:name:read-only,append",
            "/srv/log:na\u{e9}me",
            "/srv/log:name:writable",
            &format!("/srv/log:{}", "x".repeat(256)),
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
