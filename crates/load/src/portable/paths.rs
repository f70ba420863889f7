//! Paths, directories and files of the host that a unit names.

use crate::portable::judge::{Scope, Verdict};

/// The roots below which a portable's own directory is its own.
const OWN_ROOTS: [&str; 5] = ["/run/", "/var/lib/", "/var/cache/", "/var/log/", "/etc/"];

/// Whether a path lies in a directory of the portable's own.
pub(crate) fn is_own(scope: Scope, path: &str) -> bool {
    own_directory(scope, path).is_some()
}

/// The directory of the portable's own that a path lies in.
fn own_directory(scope: Scope, path: &str) -> Option<String> {
    let root = OWN_ROOTS.iter().find(|root| path.starts_with(**root))?;
    let first = path.strip_prefix(root)?.split('/').next()?;
    let is_own = is_plain(path) && scope.portable.owns_word(first);
    is_own.then(|| format!("{root}{first}"))
}

/// Its own, or what is said otherwise.
pub(crate) fn own_or(scope: Scope, path: &str, otherwise: impl FnOnce() -> Verdict) -> Verdict {
    own_directory(scope, path).map_or_else(otherwise, |directory| Verdict::Own(vec![directory]))
}

/// No way up, and nothing that an instance's name fills in later.
fn is_plain(path: &str) -> bool {
    !path.split('/').any(|part| part == "..") && !path.contains('%')
}

/// Without the marks that say "may be missing" and "below the unit's root".
fn split_marks(rule: &str) -> (&str, bool) {
    let path = rule.trim_start_matches(['-', '+']);
    let marks = rule.len() - path.len();
    (
        path,
        rule.get(..marks).is_some_and(|marks| marks.contains('+')),
    )
}

fn asks_path(grant: &str, verb: &str, path: &str) -> Verdict {
    Verdict::asks(format!("{grant}:{path}"), format!("{verb} {path}"))
}

/// ReadWritePaths=: free inside the image and in its own directories, but not where the sandbox shows it the kernel's files.
pub(crate) fn read_write(scope: Scope, rule: &str) -> Verdict {
    let (path, is_inside) = split_marks(rule);
    match kernel_files(path) {
        Some(Grant { name, words }) if is_inside => Verdict::asks(name, words),
        _ => Verdict::free_if(is_inside && is_plain(path) || is_own(scope, path), || {
            asks_path("path", "write to the host's", path)
        }),
    }
}

/// The consent that turns a protection off, as the dial of that protection has it.
struct Grant {
    name: &'static str,
    words: &'static str,
}

/// What protects a path where the kernel's files are mounted, also in an image.
fn kernel_files(path: &str) -> Option<Grant> {
    let parts: Vec<&str> = path
        .split('/')
        .filter(|part| !matches!(*part, "" | "."))
        .collect();
    match parts.as_slice() {
        ["sys", "fs", "cgroup", ..] => Some(Grant {
            name: "control-groups",
            words: "change control groups",
        }),
        ["proc" | "sys", ..] => Some(Grant {
            name: "kernel-tunables",
            words: "change the kernel's settings",
        }),
        _ => None,
    }
}

/// BindPaths=.
pub(crate) fn bind(scope: Scope, rule: &str) -> Verdict {
    let (source, _) = split_marks(bind_source(rule));
    own_or(scope, source, || {
        asks_path("path", "write to the host's", source)
    })
}

/// BindReadOnlyPaths=.
pub(crate) fn bind_read_only(scope: Scope, rule: &str) -> Verdict {
    let (source, _) = split_marks(bind_source(rule));
    own_or(scope, source, || {
        asks_path("path-read-only", "read the host's", source)
    })
}

/// Up to the first colon that no backslash takes the meaning of.
fn bind_source(rule: &str) -> &str {
    let mut escaped = false;
    let end = rule.bytes().position(|byte| {
        let ends = byte == b':' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    end.and_then(|end| rule.get(..end)).unwrap_or(rule)
}

/// RuntimeDirectory= and its kin: `NAME[:LINK[:FLAGS]]`, each name relative.
fn directory(scope: Scope, root: &str, word: &str) -> Verdict {
    let mut parts = word.split(':');
    let names = [
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    ];
    let mut own = Vec::new();
    for name in names.into_iter().filter(|name| !name.is_empty()) {
        let path = format!("{root}{name}");
        match own_directory(scope, &path) {
            Some(directory) => own.push(directory),
            None => return asks_path("path", "own the host's", &path),
        }
    }
    Verdict::Own(own)
}

/// RuntimeDirectory=.
pub(crate) fn runtime_directory(scope: Scope, word: &str) -> Verdict {
    directory(scope, "/run/", word)
}

/// StateDirectory=.
pub(crate) fn state_directory(scope: Scope, word: &str) -> Verdict {
    directory(scope, "/var/lib/", word)
}

/// CacheDirectory=.
pub(crate) fn cache_directory(scope: Scope, word: &str) -> Verdict {
    directory(scope, "/var/cache/", word)
}

/// LogsDirectory=.
pub(crate) fn logs_directory(scope: Scope, word: &str) -> Verdict {
    directory(scope, "/var/log/", word)
}

/// ConfigurationDirectory=.
pub(crate) fn configuration_directory(scope: Scope, word: &str) -> Verdict {
    directory(scope, "/etc/", word)
}

/// PathExists= and its kin: the manager looks on its behalf.
pub(crate) fn watch(scope: Scope, path: &str) -> Verdict {
    own_or(scope, path, || asks_path("watch", "watch the host's", path))
}

/// MakeDirectory=: where its service is to have a directory of its own, nothing may be before.
pub(crate) fn no_making(_: Scope, line: &str) -> Verdict {
    Verdict::free_if(line == "no", || {
        Verdict::never(
            "the directory would be made as root on the host: StateDirectory= and its kin make its own",
        )
    })
}

/// A path that a condition or an assertion looks at.
pub(crate) fn tested(scope: Scope, test: &str) -> Verdict {
    let path = test.trim_start_matches(['|', '!', ' ']);
    own_or(scope, path, || {
        asks_path("look", "know what the host has at", path)
    })
}

/// The two directories that updates leave a stamp in are free.
pub(crate) fn brought_up_to_date(scope: Scope, test: &str) -> Verdict {
    let path = test.trim_start_matches(['|', '!', ' ']);
    Verdict::free_if(matches!(path, "/etc" | "/var"), || tested(scope, test))
}

/// PIDFile=: read as root, so only its own.
pub(crate) fn pid_file(scope: Scope, path: &str) -> Verdict {
    let full = if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/run/{path}")
    };
    let full = full.replacen("/var/run/", "/run/", 1);
    own_or(scope, &full, || {
        Verdict::never("a PID file outside its own directories would be read as root")
    })
}

/// Symlinks= of sockets.
pub(crate) fn symlink(scope: Scope, path: &str) -> Verdict {
    own_or(scope, path, || {
        Verdict::never("links outside its own directories would be made as root")
    })
}

/// XAttrEntryPoint= of sockets: `NAME=VALUE`.
pub(crate) fn attribute(_: Scope, word: &str) -> Verdict {
    // Those of the other spaces mean something to the kernel, as capabilities and labels do.
    Verdict::free_if(word.starts_with("user."), || {
        Verdict::never("an image may give files attributes of `user.` only")
    })
}

/// RequiresMountsFor= and WantsMountsFor=.
pub(crate) fn mounts_for(scope: Scope, path: &str) -> Verdict {
    own_or(scope, path, || {
        Verdict::never("an image can't depend on the host's mounts")
    })
}

/// LoadCredential= and LoadCredentialEncrypted=: `ID[:PATH]`.
pub(crate) fn credential(_: Scope, line: &str) -> Verdict {
    // What it is given is what the manager has under the second name; the first is the service's own word for it.
    let (_, source) = line.split_once(':').unwrap_or(("", line));
    if source.starts_with('/') {
        return Verdict::never(
            "the host's files can't be loaded as credentials on an image's word; `coracle configure` gives it secrets",
        );
    }
    Verdict::asks(
        format!("credential:{source}"),
        format!("be given the host's credential {source}"),
    )
}

/// SetCredentialEncrypted=: whoever has the sealed text, which is no secret, would have it unsealed by the host.
pub(crate) fn sealed_credential(_: Scope, line: &str) -> Verdict {
    let name = line.split(':').next().unwrap_or_default();
    Verdict::asks(
        format!("unseal:{name}"),
        format!("have its credential {name} unsealed by the host"),
    )
}

/// ImportCredential=.
pub(crate) fn import_credential(_: Scope, line: &str) -> Verdict {
    Verdict::asks(
        format!("credential:{line}"),
        format!("be given the host's credentials {line}"),
    )
}

/// StandardOutput= and StandardError=; StandardInput= has a subset of the words.
pub(crate) fn standard_stream(_: Scope, line: &str) -> Verdict {
    match line.split(':').next().unwrap_or_default() {
        "file" | "append" | "truncate" => {
            Verdict::never("a file for its output would be opened as root on the host")
        }
        "inherit" | "null" | "journal" | "syslog" | "socket" | "fd" | "data" => Verdict::Free,
        "kmsg" => Verdict::asks("kernel-logs", "write to the kernel's log"),
        _ => Verdict::asks("terminal", "use the host's terminal"),
    }
}

/// DeviceAllow=: `NODE [RIGHTS]`.
pub(crate) fn device(_: Scope, line: &str) -> Verdict {
    let node = line.split_whitespace().next().unwrap_or_default();
    let free = [
        "/dev/null",
        "/dev/zero",
        "/dev/full",
        "/dev/random",
        "/dev/urandom",
        "/dev/tty",
    ];
    Verdict::free_if(free.contains(&node), || {
        asks_path("device", "use the device", node)
    })
}
