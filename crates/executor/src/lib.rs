//! Takes a plan's steps, then executes the service.
