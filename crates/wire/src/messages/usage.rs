//! The records of what a unit uses.

use crate::shape::records;

records! {
    /// What was read from disks and written to them.
    struct BlockIo {
        /// Bytes that were read.
        read_bytes: u64,
        /// Bytes that were written.
        write_bytes: u64,
        /// Reads.
        read_operations: u64,
        /// Writes.
        write_operations: u64,
    }

    /// What went through a unit's sockets.
    struct Traffic {
        /// Bytes that came in.
        ingress_bytes: u64,
        /// Packets that came in.
        ingress_packets: u64,
        /// Bytes that went out.
        egress_bytes: u64,
        /// Packets that went out.
        egress_packets: u64,
    }

    /// What the directories of a kind hold.
    struct Storage {
        /// `state`, `cache` or `logs`.
        kind: String,
        /// Bytes of their file system.
        bytes: u64,
        /// The most of them.
        bytes_max: Option<u64>,
        /// Files and directories.
        entries: u64,
        /// The most of them.
        entries_max: Option<u64>,
    }
}
