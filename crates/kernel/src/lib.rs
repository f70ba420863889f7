//! The only unsafe code: system calls that rustix lacks, and probes.
