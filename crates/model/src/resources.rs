//! What services keep or leave, by the words of `systemctl clean --what=` (systemctl(1)).

use crate::text::ParseError;

/// One kind of what a service keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// ConfigurationDirectory=
    Configuration,
    /// StateDirectory=
    State,
    /// CacheDirectory=
    Cache,
    /// LogsDirectory=
    Logs,
    /// RuntimeDirectory=
    Runtime,
    /// Descriptors that are kept for the service (FileDescriptorStoreMax=).
    FdStore,
}

/// All of them, with their words.
const ALL: [(Resource, &str); 6] = [
    (Resource::Configuration, "configuration"),
    (Resource::State, "state"),
    (Resource::Cache, "cache"),
    (Resource::Logs, "logs"),
    (Resource::Runtime, "runtime"),
    (Resource::FdStore, "fdstore"),
];

/// A set of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resources(u8);

impl Default for Resources {
    /// What a service makes again by itself: cache and runtime.
    fn default() -> Resources {
        Resources(bit(Resource::Cache) | bit(Resource::Runtime))
    }
}

const fn bit(resource: Resource) -> u8 {
    1 << resource as u8
}

impl Resources {
    /// Reads words; none: the default.
    ///
    /// # Errors
    /// When a word is none of them, and not `all`.
    pub fn read<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Resources, ParseError> {
        let mut bits = 0;
        for word in words {
            bits |= match ALL.iter().find(|(_, name)| *name == word) {
                Some((resource, _)) => bit(*resource),
                None if word == "all" => ALL.iter().map(|(resource, _)| bit(*resource)).sum(),
                None => {
                    return Err(ParseError::not_a(
                        word,
                        "one of configuration, state, cache, logs, runtime, fdstore and all",
                    ));
                }
            };
        }
        Ok(if bits == 0 {
            Resources::default()
        } else {
            Resources(bits)
        })
    }

    /// The set of these bits, of [`Resources::bits`].
    pub fn of_bits(bits: u8) -> Resources {
        Resources(bits)
    }

    /// One bit for each.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// Is it among them?
    pub fn has(self, resource: Resource) -> bool {
        self.0 & bit(resource) != 0
    }

    /// The words of those that are in it.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        let is_in = move |(resource, _): &&(Resource, &str)| self.has(*resource);
        ALL.iter().filter(is_in).map(|(_, word)| *word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_make_a_set_and_a_set_makes_words() {
        let check = |words: &str, expected: &str| {
            let set = Resources::read(words.split_whitespace()).expect("words");
            let found: Vec<&str> = set.words().collect();
            assert_eq!(found.join(" "), expected, "{words}");
            assert_eq!(Resources::of_bits(set.bits()), set);
        };
        check("", "cache runtime");
        check("state", "state");
        check("logs cache logs", "cache logs");
        check("all", "configuration state cache logs runtime fdstore");
        assert!(Resources::read(["tmp"]).is_err());
    }
}
