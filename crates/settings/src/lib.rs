//! The table: one row per directive.
