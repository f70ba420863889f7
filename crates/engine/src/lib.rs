//! Unit states, jobs, transactions and restart policy, pure.
