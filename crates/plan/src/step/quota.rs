//! What a directory of a service may hold.

use crate::code::coded;

/// Directories below one that is counted may be so deep in each other: each costs the executor a descriptor and a frame of its stack.
pub const DEPTH_MAX: usize = 64;
/// The kernel's number of the error with which a step ends that finds deeper ones: EOVERFLOW, which nothing else there comes to.
pub const TOO_DEEP: i32 = 75;

coded! {
    /// What directories of a service may hold.
    enum Quota {
        /// Nothing is said about it.
        Unsaid = 1,
        /// What limited it before does not any more.
        Lifted = 2,
        /// What they hold is counted, and not bounded.
        Counted = 3,
        /// So many bytes.
        Bytes = 4 {
            /// At least 1.
            most: u64,
        },
        /// A share of the file system's space, and of its files.
        Share = 5 {
            /// In hundredths of a percent.
            permyriad: u32,
        },
    }
}
