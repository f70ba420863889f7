//! The parent process of everything.
