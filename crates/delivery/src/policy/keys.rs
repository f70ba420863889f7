//! The keys of `delivery.toml`, each with what is told of it: one list for `coracle explain`, the page and the tests.

/// One key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// With its table, as in `upgrade.schedule`.
    pub name: &'static str,
    /// What it takes, as it stands in a file.
    pub example: &'static str,
    /// What holds where it is not there.
    pub default: &'static str,
    /// What it does.
    pub about: &'static str,
}

/// All keys, in the order of the page.
pub const KEYS: &[Key] = &[
    Key {
        name: "sources",
        example: r#"["https://boats.example/", "https://cdn.example/boats/"]"#,
        default: "any http or https address",
        about: "Where portables, indexes and updates may be fetched from: a server, or what lies below a path of it, by scheme, host and port. Where a server redirects to has to be among them, \
too. An empty list allows nothing.",
    },
    Key {
        name: "proxy",
        example: r#""http://proxy.example:3128""#,
        default: "none; the environment's variables are not asked",
        about: "The HTTP proxy that all fetching goes through, by CONNECT for http, too. It resolves the names. Loopback addresses are never asked for through it. A [[credential]] for its address has the name and the password that it is told, by Basic.",
    },
    Key {
        name: "no-proxy",
        example: r#"["127.0.0.1", ".lan"]"#,
        default: "none",
        about: "Hosts that are reached without the proxy: a name or an address, `.lan` for all names that end so, `*` for all.",
    },
    Key {
        name: "rate-limit",
        example: r#""2M""#,
        default: "as fast as it goes",
        about: "Bytes a second, with K, M, G or T to the base of 1024, at least 1K: of a transfer, all its connections together.",
    },
    Key {
        name: "netrc",
        example: r#""/etc/coracle/netrc""#,
        default: "none; nobody's ~/.netrc is read",
        about: "A netrc(5) with names and passwords by host, for its owner alone to read (chmod 600). They are sent over https only, to that host only. \
`default` and `macdef` are refused.",
    },
    Key {
        name: "mirror.of",
        example: r#""https://boats.example/""#,
        default: "",
        about: "In a table [[mirror]], of which there may be several: the place whose files another one has, too.",
    },
    Key {
        name: "mirror.at",
        example: r#""http://mirror.lan/boats/""#,
        default: "",
        about: "Where they are. A mirror is asked first, and the place itself when it fails; but the signed index always comes from the place itself, so that no mirror can hold a version back. \
It is allowed by being named here. A registry's is `https://mirror.lan/v2/boats/`.",
    },
    Key {
        name: "credential.for",
        example: r#""https://boats.example/""#,
        default: "",
        about: "In a table [[credential]], of which there may be one for each server: whom it is for, by scheme, host and port. It goes to nobody else, wherever that server redirects to. Its address may be the proxy's.",
    },
    Key {
        name: "credential.token",
        example: r#""/etc/coracle/boats.token""#,
        default: "none",
        about: "A file whose one line is sent as a bearer token; for its owner alone to read (chmod 600).",
    },
    Key {
        name: "credential.netrc",
        example: r#""/etc/coracle/boats.netrc""#,
        default: "the netrc of all, for https",
        about: "Instead of a token: a netrc(5) whose name and password for this host are sent; for its owner alone to read (chmod 600). A server that is asked by http on a loopback address is told \
them by this key alone, as it is for one port; so is the proxy, which is told them without encryption.",
    },
    Key {
        name: "credential.certificate",
        example: r#""/etc/coracle/boats.crt""#,
        default: "none",
        about: "The certificate by which this host says who it is, in PEM, with those between it and its authority.",
    },
    Key {
        name: "credential.key",
        example: r#""/etc/coracle/boats.key""#,
        default: "none",
        about: "Its key, in PEM and not encrypted; for its owner alone to read (chmod 600).",
    },
    Key {
        name: "upgrade.schedule",
        example: r#""Sun 03:00""#,
        default: "never",
        about: "When all portables that came from an address and are not held are upgraded, as OnCalendar= has it. `coracle upgrade --reschedule` takes it over into coracle-upgrade.timer, as does \
every start of the instance.",
    },
    Key {
        name: "upgrade.jitter",
        example: r#""4h""#,
        default: "1h, where there is a schedule",
        about: "How much later at most, at random for each time, as RandomizedDelaySec= has it: a fleet does not come to its server all at once.",
    },
    Key {
        name: "upgrade.metered",
        example: r#"["wwan*", "ppp0"]"#,
        default: "none",
        about: "Interfaces on which bytes cost money, as patterns: while a default route goes over one of them, no upgrade happens by itself. What is said here is all that is known of that: \
the kernel knows no such property, and what a network manager thinks of it is not asked.",
    },
];

/// The whole file, for a terminal.
#[must_use]
pub fn about() -> String {
    let mut text =
        String::from("What is allowed and wanted of fetching and of upgrades, in TOML:\n");
    for key in KEYS {
        text.push_str(&format!("\n{}", key.text()));
    }
    text
}

impl Key {
    /// One key, for a terminal.
    #[must_use]
    pub fn text(&self) -> String {
        let name = self.name.rsplit('.').next().unwrap_or(self.name);
        let default = match self.default {
            "" => "",
            default => &format!("\n     Default: {default}"),
        };
        format!(
            "{}\n     Example: {name} = {}{default}\n  {}\n",
            self.name, self.example, self.about
        )
    }

    /// One key, as a row of the page.
    #[must_use]
    pub fn row(&self) -> String {
        let cell = |text: &str| text.replace('|', "\\|");
        format!(
            "| `{}` | `{}` | {} | {} |\n",
            self.name,
            self.example,
            cell(self.default),
            cell(self.about)
        )
    }
}
