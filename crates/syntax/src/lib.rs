//! Unit-file text to assignments with spans, and diagnostics.
