//! Capture, store and query the logs of services.
