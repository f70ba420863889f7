//! Fetch, store, versions, trust.
