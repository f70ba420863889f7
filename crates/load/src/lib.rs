//! Search path, drop-ins, templates and aliases to a typed unit.
