//! The nouns: unit names, values, typed unit records.
