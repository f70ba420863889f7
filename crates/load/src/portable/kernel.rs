//! Commands, and the surface of the kernel that a unit asks for beyond the default profile.

use model::text::{Quoting, next_word};

use crate::portable::judge::{Scope, Verdict};

/// Exec lines: no prefix may step out of the sandbox. Quotes go first, as where the line is read.
pub(crate) fn command(_: Scope, line: &str) -> Verdict {
    let Ok(Some((program, _))) = next_word(line, Quoting::Unescape) else {
        return Verdict::never("nobody can say what it runs");
    };
    let mut prefixes = program
        .chars()
        .take_while(|character| "-@:+!|".contains(*character));
    match prefixes.find(|prefix| matches!(prefix, '+' | '!')) {
        Some(prefix) => Verdict::never(format!(
            "the prefix “{prefix}” would run the command outside the sandbox"
        )),
        None => Verdict::Free,
    }
}

/// RestrictNamespaces=: `yes`, `no`, or the kinds that are allowed.
pub(crate) fn namespaces(_: Scope, line: &str) -> Verdict {
    match line {
        "yes" => Verdict::Free,
        "no" => Verdict::asks("namespaces", "make namespaces of every kind"),
        _ => Verdict::asks(
            format!("namespaces:{line}"),
            format!("make namespaces: {line}"),
        ),
    }
}

/// The families of the default profile, which reach no further than its private network.
const FREE_FAMILIES: [&str; 5] = ["AF_UNIX", "AF_INET", "AF_INET6", "AF_NETLINK", "none"];

/// RestrictAddressFamilies=: each family allowed; `~` allows all but some.
pub(crate) fn address_family(_: Scope, family: &str) -> Verdict {
    if FREE_FAMILIES.contains(&family) {
        return Verdict::Free;
    }
    if family.starts_with('~') {
        return Verdict::asks("address-family", "use nearly every kind of socket");
    }
    Verdict::asks(
        format!("address-family:{family}"),
        format!("use {family} sockets"),
    )
}

/// SystemCallFilter=: each allowed group or call; what `~` takes away only narrows, as the profile's list comes before it.
pub(crate) fn system_call(_: Scope, word: &str) -> Verdict {
    let call = word.split(':').next().unwrap_or_default();
    let is_free = word.starts_with('~') || is_in_system_service(call);
    Verdict::free_if(is_free, || {
        Verdict::asks(
            format!("system-call:{call}"),
            format!("make the system calls {call}"),
        )
    })
}

/// The groups that @system-service includes.
const SYSTEM_SERVICE: [&str; 17] = [
    "@system-service",
    "@aio",
    "@basic-io",
    "@chown",
    "@default",
    "@file-system",
    "@io-event",
    "@ipc",
    "@keyring",
    "@memlock",
    "@network-io",
    "@process",
    "@resources",
    "@setuid",
    "@signal",
    "@sync",
    "@timer",
];

fn is_in_system_service(call: &str) -> bool {
    SYSTEM_SERVICE.contains(&call)
}

/// SystemCallArchitectures=.
pub(crate) fn architecture(_: Scope, name: &str) -> Verdict {
    Verdict::free_if(name == "native", || {
        Verdict::asks(
            format!("architecture:{name}"),
            format!("run {name} programs"),
        )
    })
}

/// CapabilityBoundingSet=, AmbientCapabilities=.
pub(crate) fn capability(_: Scope, name: &str) -> Verdict {
    if name.starts_with('~') {
        return Verdict::asks("capability", "hold nearly every capability");
    }
    Verdict::asks(
        format!("capability:{name}"),
        format!("hold the capability {name}"),
    )
}

fn only(line: &str, allowed: &str, reason: &str) -> Verdict {
    Verdict::free_if(line == allowed, || Verdict::never(reason))
}

/// ReusePort=.
pub(crate) fn no_reuse(_: Scope, line: &str) -> Verdict {
    only(line, "no", "the port could be shared with another service")
}

/// Transparent=.
pub(crate) fn no_transparent(_: Scope, line: &str) -> Verdict {
    only(line, "no", "traffic for other hosts could be taken")
}

/// Delegate=.
pub(crate) fn no_delegate(_: Scope, line: &str) -> Verdict {
    only(line, "no", "control groups are not handed to an image")
}

/// DefaultDependencies=.
pub(crate) fn default_dependencies(_: Scope, line: &str) -> Verdict {
    only(
        line,
        "yes",
        "an image's unit must be ordered and stopped like any other",
    )
}

/// FailureAction= and its kin.
pub(crate) fn no_action(_: Scope, line: &str) -> Verdict {
    only(line, "none", "an image can't stop or reboot the host")
}
