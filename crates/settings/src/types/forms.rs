//! Text forms that differ from their type's usual one.

use model::{
    Expand, ParseError, Setting, TextForm, Value,
    value::{
        Amount, Bytes, CapabilitySet, Conditions, DeviceAmounts, FilePath, NamespaceSet,
        PathWatches, Paths, ResourceLimit, SyscallFilter, TimeSpan, normalize_path,
    },
};

use super::{ValueType, assign, assign_as, print};

/// A form of resource limits; all print as plain numbers in the kernel's unit.
macro_rules! limits {
    ($($name:ident = $parse:ident, $print:expr, $words:literal;)*) => {
        $(pub(crate) static $name: ValueType = ValueType {
            name: $words,
            list: false,
            assign: |value, text, _| {
                assign_as(value, text, true, ResourceLimit::$parse)
            },
            print: $print,
        };)*
    };
}

limits! {
    LIMIT_BYTES = parse_bytes, print::<ResourceLimit>, "a size, infinity, or soft:hard";
    LIMIT_SECONDS = parse_seconds, print::<ResourceLimit>, "a span of time, infinity, or soft:hard";
    LIMIT_MICROS = parse_micros, print::<ResourceLimit>, "a span of time in microseconds, infinity, or soft:hard";
    LIMIT_NICE = parse_nice, print::<ResourceLimit>, "a nice level with its sign, or 0 to 40, or soft:hard";
}

/// A span of time in which 0 means no bound.
pub(crate) static TIMEOUT: ValueType = ValueType {
    name: "a span of time; 0 or infinity for no bound",
    list: false,
    assign: |value, text, _| {
        assign_as(value, text, true, |text| {
            TimeSpan::parse(text).map(|span| {
                if span == TimeSpan::ZERO {
                    TimeSpan::INFINITY
                } else {
                    span
                }
            })
        })
    },
    print: print::<TimeSpan>,
};

/// A switch whose default depends on other directives: the empty text returns it to that, where other switches take it for a mistake.
pub(crate) static TRISTATE: ValueType = ValueType {
    name: "yes or no",
    list: false,
    assign: |value, text, expand| {
        assign_as(value, text, true, |text| bool::parse_with(text, expand))
    },
    print: print::<bool>,
};

const CAPABILITIES: &str = "capabilities, with ~ in front of all but these";

/// `CapabilityBoundingSet=`: all capabilities, which `~` alone means, are as if nothing had been said.
pub(crate) static BOUNDING_SET: ValueType = ValueType {
    name: CAPABILITIES,
    list: true,
    assign: |value, text, expand| assign_set(value, text, expand, CapabilitySet::FULL),
    print: print::<CapabilitySet>,
};

/// `AmbientCapabilities=`: here no capability is.
pub(crate) static AMBIENT_SET: ValueType = ValueType {
    name: CAPABILITIES,
    list: true,
    assign: |value, text, expand| assign_set(value, text, expand, CapabilitySet::EMPTY),
    print: print::<CapabilitySet>,
};

/// After what is `unsaid`, a later line begins anew.
fn assign_set(
    value: &mut Option<Value>,
    text: &str,
    expand: &dyn Expand,
    unsaid: CapabilitySet,
) -> Result<(), ParseError> {
    assign::<CapabilitySet>(value, text, expand)?;
    let is_said = |value: &Value| CapabilitySet::from_value(value) != Some(&unsaid);
    *value = value.take().filter(is_said);
    Ok(())
}

/// Conditions whose parameter is an absolute path.
pub(crate) static CONDITIONS_ON_PATHS: ValueType = ValueType {
    name: "a path, with ! to negate and | as one of several",
    list: true,
    assign: |value, text, expand| {
        assign_as(value, text, true, |text| {
            Conditions::parse_paths(text, expand)
        })
    },
    print: print::<Conditions>,
};

/// `SystemCallFilter=`: an allow list of which no word is known allows what every allow list does, and nothing more.
pub(crate) static CALL_FILTER: ValueType = ValueType {
    name: super::SYSCALL_FILTER.name,
    list: true,
    assign: |value, text, expand| {
        let is_more = value.is_some() || text.is_empty() || text.starts_with('~');
        assign::<SyscallFilter>(value, text, expand)?;
        if value.is_none() && !is_more {
            assign::<SyscallFilter>(value, "@default", expand)?;
        }
        Ok(())
    },
    print: print::<SyscallFilter>,
};

/// `RestrictFileSystems=`.
pub(crate) static FILE_SYSTEMS: ValueType = ValueType {
    name: "kinds of file systems and @groups, with ~ in front of all but these",
    list: true,
    assign: |value, text, expand| {
        let mut typed = value.take().and_then(model::value::NameFilter::take);
        let result = model::value::NameFilter::assign_file_systems(&mut typed, text, expand);
        *value = typed.map(model::value::NameFilter::into_value);
        result
    },
    print: print::<model::value::NameFilter>,
};

/// `DelegateNamespaces=`.
pub(crate) static DELEGATED_NAMESPACES: ValueType = ValueType {
    name: "yes, no or kinds of namespaces",
    list: true,
    assign: |value, text, expand| {
        let earlier = value.take().and_then(NamespaceSet::take);
        let joined = match earlier {
            _ if text.is_empty() => Ok(None),
            earlier => NamespaceSet::join_delegated(earlier, text, expand).map(Some),
        };
        // After an error nothing has changed.
        *value = match &joined {
            Ok(set) => *set,
            Err(_) => earlier,
        }
        .map(NamespaceSet::into_value);
        joined.map(drop)
    },
    print: |value, _| typed(value, |set: &NamespaceSet| vec![set.print_delegated()]),
};

pub(crate) static DEVICE_WEIGHTS: ValueType = ValueType {
    name: "pairs of a device and a weight",
    list: true,
    assign: |value, text, expand| {
        assign_as(value, text, true, |text| {
            DeviceAmounts::parse_weights(text, expand)
        })
    },
    print: print::<DeviceAmounts>,
};

pub(crate) static DEVICE_LATENCIES: ValueType = ValueType {
    name: "pairs of a device and a span of time",
    list: true,
    assign: |value, text, expand| {
        assign_as(value, text, true, |text| {
            DeviceAmounts::parse_latencies(text, expand)
        })
    },
    print: |value, form| {
        typed(value, |amounts: &DeviceAmounts| {
            amounts.print_latencies(form)
        })
    },
};

/// A path that can't be marked as optional.
pub(crate) static PLAIN_PATH: ValueType = ValueType {
    name: "an absolute path",
    list: false,
    assign: |value, text, expand| {
        assign_as(value, text, true, |text| {
            FilePath::new(&expand.expand(text)?)
        })
    },
    print: print::<FilePath>,
};

/// The path of a PID file: below /run where it is not absolute, and the old name of /run stands for it.
pub(crate) static PID_FILE_PATH: ValueType = ValueType {
    name: "a path, below /run if it is not absolute",
    list: false,
    assign: |value, text, expand| {
        assign_as(value, text, true, |text| {
            let path = FilePath::new(&below_run(&expand.expand(text)?))?;
            match path.path.strip_prefix("/var/run/") {
                Some(rest) => FilePath::new(&format!("/run/{rest}")),
                None => Ok(path),
            }
        })
    },
    print: print::<FilePath>,
};

fn below_run(path: &str) -> String {
    match path {
        "" => String::new(),
        absolute if absolute.starts_with('/') => absolute.to_owned(),
        relative => format!("/run/{relative}"),
    }
}

/// Lines with one absolute path each.
pub(crate) static PATH_LINES: ValueType = ValueType {
    name: "an absolute path",
    list: true,
    assign: |value, text, expand| {
        assign_as(value, text, true, |text| {
            Ok(Paths(vec![normalize_path(&expand.expand(text)?)?]))
        })
    },
    print: |value, form| {
        typed(value, |paths: &Paths| {
            paths
                .iter()
                .map(|path| form.part(path).into_owned())
                .collect()
        })
    },
};

/// Absolute paths between white space.
pub(crate) static PATHS: ValueType = ValueType {
    name: "absolute paths",
    list: true,
    assign: |value, text, expand| {
        assign_as(value, text, true, |text| {
            let mut paths = Vec::new();
            for path in Paths::parse_with(text, expand)?.0 {
                match normalize_path(&path) {
                    Ok(path) => paths.push(path),
                    Err(problem) => expand.wrong_item(problem)?,
                }
            }
            Ok(Paths(paths))
        })
    },
    print: print::<Paths>,
};

/// Absolute paths between colons.
pub(crate) static SEARCH_PATH: ValueType = ValueType {
    name: "absolute paths, separated by colons",
    list: true,
    assign: |value, text, expand| {
        assign_as(value, text, true, |text| {
            let text = expand.expand(text)?;
            let paths: Result<Vec<String>, ParseError> = text
                .split(':')
                .filter(|path| !path.is_empty())
                .map(normalize_path)
                .collect();
            Ok(Paths(paths?))
        })
    },
    print: |value, form| {
        typed(value, |paths: &Paths| {
            vec![form.part(&paths.join(":")).into_owned()]
        })
    },
};

/// Watched paths, one per line.
pub(crate) static WATCHED_PATH: ValueType = ValueType {
    name: "an absolute path",
    list: true,
    assign: |value, text, expand| {
        assign_as(value, text, true, |text| {
            Ok(PathWatches(vec![normalize_path(&expand.expand(text)?)?]))
        })
    },
    print: print::<PathWatches>,
};

/// `RebootArgument=`: of a longer one the kernel would take the beginning alone (reboot(2)).
pub(crate) static REBOOT_ARGUMENT: ValueType = ValueType {
    name: "text of at most 255 bytes",
    list: false,
    assign: |value, text, expand| {
        assign_as(value, text, true, |text| {
            let said = expand.expand(text)?;
            match said.len() {
                0..=255 => Ok(said),
                long => Err(ParseError::new(format!(
                    "an argument of a reboot has at most 255 bytes, and this one has {long}"
                ))),
            }
        })
    },
    print: print::<String>,
};

/// A name that can be taken on a message bus (D-Bus Specification, "Bus names"): those that begin with a colon are the bus's to give.
pub(crate) static BUS_NAME: ValueType = ValueType {
    name: "a name on the bus, such as org.example.Boat",
    list: false,
    assign: |value, text, expand| {
        assign_as(value, text, true, |text| {
            let said = String::parse_with(text, expand)?;
            let is_part = |part: &str| {
                let first = part.bytes().next();
                first.is_some_and(|byte| !byte.is_ascii_digit())
                    && part
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
            };
            match said.len() <= BUS_NAME_BYTES_MAX
                && said.contains('.')
                && said.split('.').all(is_part)
            {
                true => Ok(said),
                false => Err(ParseError::not_a(
                    &said,
                    "a name on the bus, such as org.example.Boat",
                )),
            }
        })
    },
    print: print::<String>,
};

/// What a name on the bus may have (D-Bus Specification).
const BUS_NAME_BYTES_MAX: usize = 255;

/// `StandardInputText=`; it is kept, and printed, as bytes.
pub(crate) static INPUT_TEXT: ValueType = ValueType {
    name: "text with C escapes",
    list: true,
    assign: |value, text, expand| {
        assign_as(value, text, true, |text| Bytes::parse_text(text, expand))
    },
    print: print::<Bytes>,
};

/// Prints a value of a type; a value of another type as nothing.
fn typed<T: Setting>(value: &Value, print: impl FnOnce(&T) -> Vec<String>) -> Vec<String> {
    T::from_value(value).map(print).unwrap_or_default()
}

/// What directories may hold: "infinity" is no word here.
pub(crate) static QUOTA: ValueType = ValueType {
    name: "a size, a share of the file system, or off",
    list: false,
    assign: |value, text, _| {
        assign_as(value, text, true, |text| match Amount::parse(text) {
            _ if text == "off" => Ok(Amount::Infinity),
            Ok(Amount::Infinity) | Err(_) => {
                Err(ParseError::not_a(text, "an amount such as 2G, 20% or off"))
            }
            amount => amount,
        })
    },
    print: |value, form| match Amount::from_value(value) {
        Some(Amount::Infinity) => vec!["off".into()],
        _ => print::<Amount>(value, form),
    },
};
