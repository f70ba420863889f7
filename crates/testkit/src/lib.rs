//! For tests only: fixtures, privilege gate, instances, pictures of the system.
