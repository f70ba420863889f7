//! Tests of the shipped files as root: every test starts an instance of its own and proves that it leaves nothing.
