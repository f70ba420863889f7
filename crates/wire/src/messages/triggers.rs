//! What units that start others tell.

use crate::shape::records;

records! {
    /// What a socket unit adds.
    struct SocketStatus {
        /// What it listens on.
        listen: Vec<Listening>,
        /// Accept=.
        accept: bool,
        /// Connections handed out.
        accepted: u64,
        /// Connections that are served now.
        connections: u64,
        /// Connections turned away.
        refused: u64,
    }

    /// The moments of a timer.
    struct TimerStatus {
        /// When it elapses next by the calendar.
        next_realtime_us: Option<u64>,
        /// When it elapses next after a span of time, in microseconds since the boot without sleep.
        next_monotonic_us: Option<u64>,
        /// The first of both, as a point in time.
        next_us: Option<u64>,
        /// When it elapsed last, perhaps before this boot.
        last_realtime_us: Option<u64>,
        /// The same in microseconds since the boot without sleep; none before it.
        last_monotonic_us: Option<u64>,
    }

    /// What a path unit waits for.
    struct PathStatus {
        /// Line by line.
        watches: Vec<WatchedPath>,
        /// What was found last.
        last_path: Option<String>,
        /// When that was.
        last_realtime_us: Option<u64>,
    }

    /// Where an automount unit is.
    struct AutomountStatus {
        /// The place.
        place: String,
        /// What its mount shows there, where that is known.
        what: Option<String>,
        /// The mount is there.
        mounted: bool,
        /// After how long without visitors it goes, in microseconds; 0: it stays.
        idle_us: u64,
    }

    /// One path that is watched.
    struct WatchedPath {
        /// `PathExists`, `PathExistsGlob`, `PathChanged`, `PathModified` or `DirectoryNotEmpty`.
        condition: String,
        /// The path, or the pattern.
        path: String,
    }

    /// One listening address.
    struct Listening {
        /// `Stream`, `Datagram`, `SequentialPacket`, `FIFO`, `Netlink`, ….
        kind: String,
        /// As the unit says it.
        address: String,
        /// Does the keeper hold it open?
        open: bool,
    }
}
