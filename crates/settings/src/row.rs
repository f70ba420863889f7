//! What is known of one directive.

use model::Directive;

use crate::ValueType;

/// Everything that Coracle knows of a directive.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The name, without the `=`.
    pub name: &'static str,
    /// The directive in the typed unit; its room says which sections take it.
    pub directive: Directive,
    /// How its values are read, joined and printed.
    pub value: &'static ValueType,
    /// The value of a unit that doesn't set it; empty where there is none or it depends.
    pub default_text: &'static str,
    /// One sentence, in the third person.
    pub summary: Said,
    /// The version of systemd that introduced it; empty for the oldest.
    pub since: Said,
    /// What leaving it open costs in the exposure score, all its parts together.
    pub weight: u16,
    /// Whether it restricts the service: not applying it must not go unnoticed.
    pub sandboxing: bool,
    /// Whether a start may go on, with a reduction shown, where the host can't apply it.
    pub may_reduce: bool,
    /// Whether a portable's image may set it. Where the answer depends on the value, the portable loader knows more.
    pub from_image: FromImage,
    /// The D-Bus type of its property; empty where it has none of its own name.
    pub bus: Said,
    /// What it does here.
    pub status: Status,
    /// The directives that an assignment goes to instead: its successors.
    pub stands_for: &'static &'static [Directive],
}

/// The version of a directive that systemd has not got.
const OURS: &str = "none: it is Coracle's own";

/// A text that is only for people to read: it takes no room in the resident programs.
#[derive(Debug, Clone, Copy)]
pub struct Said {
    #[cfg(feature = "prose")]
    text: &'static str,
}

impl Said {
    /// What is said.
    #[cfg(feature = "prose")]
    pub const fn text(self) -> &'static str {
        self.text
    }
}

#[cfg_attr(
    not(feature = "prose"),
    expect(unused_variables, reason = "nobody reads it")
)]
pub(crate) const fn said(text: &'static str) -> Said {
    Said {
        #[cfg(feature = "prose")]
        text,
    }
}

/// Whether the units of an image may set a directive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FromImage {
    /// Yes: it describes or narrows the service itself.
    Free,
    /// With a grant of the administrator.
    Asks,
    /// No.
    Never,
}

impl FromImage {
    /// What it means, in words for people.
    pub const fn words(self) -> &'static str {
        match self {
            FromImage::Free => "allowed",
            FromImage::Asks => "needs a grant",
            FromImage::Never => "refused",
        }
    }
}

/// What a directive does here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// It has its effect.
    Works,
    /// It is read, checked and kept, and has no effect yet, for this reason.
    ParsedOnly(Reason),
    /// It will not have an effect, for this reason.
    Rejected(Reason),
}

/// Why a row has no effect: a number instead of the text, as hundreds of rows have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reason(u8);

impl Reason {
    /// The reason in words.
    pub fn text(self) -> &'static str {
        later::REASONS
            .get(usize::from(self.0))
            .copied()
            .unwrap_or_default()
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.text())
    }
}

/// Of rows that stand for themselves.
const NOTHING: &[Directive] = &[];

impl Row {
    /// What a row says unless it says otherwise.
    pub(crate) const BASE: Row = Row {
        name: "",
        directive: model::key::DESCRIPTION.directive(),
        value: &crate::types::TEXT,
        default_text: "",
        summary: said(""),
        since: said(""),
        weight: 0,
        sandboxing: false,
        may_reduce: false,
        from_image: FromImage::Never,
        bus: said(""),
        status: later::NOT_BUILT,
        stands_for: &NOTHING,
    };

    /// It works, and an image may set it.
    pub(crate) const FREE: Row = Row {
        from_image: FromImage::Free,
        status: Status::Works,
        ..Row::BASE
    };

    /// It works, and an image needs a grant to set it.
    pub(crate) const ASKS: Row = Row {
        from_image: FromImage::Asks,
        ..Row::FREE
    };

    /// It works, and an image can't set it.
    pub(crate) const NEVER: Row = Row {
        from_image: FromImage::Never,
        ..Row::FREE
    };

    /// It works, restricts the service, and an image may set it.
    pub(crate) const RESTRICTS: Row = Row {
        sandboxing: true,
        ..Row::FREE
    };

    /// It works, an image may set it, and the reference does not have it: others ignore it.
    pub(crate) const OURS: Row = Row {
        since: said(OURS),
        ..Row::FREE
    };

    /// The same, and it restricts the service.
    pub(crate) const EXTENDS: Row = Row {
        sandboxing: true,
        ..Row::OURS
    };

    /// Whether the reference does not have it.
    #[cfg(feature = "prose")]
    pub fn is_extension(&self) -> bool {
        self.since.text() == OURS
    }

    /// The sections that take it.
    pub fn sections(&self) -> &'static [&'static str] {
        self.directive.room().sections()
    }

    /// Whether it has its effect.
    pub fn works(&self) -> bool {
        self.status == Status::Works
    }

    /// Whether it restricts the service.
    pub fn is_sandboxing(&self) -> bool {
        self.sandboxing
    }

    /// Whether it would restrict the service and does not yet: a unit that sets it is not started without consent.
    pub fn is_unenforced_restriction(&self) -> bool {
        self.sandboxing && !self.works()
    }

    /// Whether later assignments add to earlier ones.
    pub fn is_list(&self) -> bool {
        self.value.is_list()
    }
}

/// Why rows have no effect yet. One that works has no status of its own.
pub(crate) mod later {
    use super::{Reason, Status};

    macro_rules! reasons {
        ($($name:ident $kind:ident $text:literal;)*) => {
            /// The texts, by number.
            pub(super) const REASONS: &[&str] = &[$($text,)*];

            #[expect(non_camel_case_types, clippy::upper_case_acronyms, reason = "named as the constants")]
            enum Place {
                $($name,)*
            }

            $(pub(crate) const $name: Status = Status::$kind(Reason(Place::$name as u8));)*
        };
    }

    reasons! {
        NOT_BUILT ParsedOnly "not built yet";
        CONTROL_GROUPS ParsedOnly "this part of resource control is not built yet";
        MEMORY_KILLER ParsedOnly "no process of ours looks for memory pressure and kills: MemoryHigh= slows down, at MemoryMax= the kernel kills, and the host's own killer does not know our units";
        SECURITY_MODULES ParsedOnly "labels of sockets are not set yet: those of services are";
        SERVICES ParsedOnly "this part of services is not built yet";
        SOCKET_ATTRIBUTES ParsedOnly "sockets have extended attributes since Linux 7.0, on which nobody has tried it yet";
        USB ParsedOnly "needs a USB device controller, which no machine had on which Coracle is tried";
        UNITS ParsedOnly "this part of units is not built yet";
        UTMP ParsedOnly "no entry is made: what logs in makes its own, and utmp's times end in 2038";
        PAM Rejected "a session of PAM needs the host's modules, which a static program can't load: give the service what it needs by User=, Environment= and Limit…=";
        GONE Rejected "the reference has given it up: it is read and ignored";
    }
}
