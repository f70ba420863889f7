//! The varlink interface: messages and codec.
