//! What a step is in the order of execution, and what its failure is as an exit status.

use super::{DirectoryClass, SecurityModule, Step, What};

impl Step<'_> {
    /// The place in the order of execution.
    pub const fn rank(&self) -> u8 {
        self.tag()
    }

    /// The status with which the executor ends when the step fails, as administrators know them (exit-status table).
    pub const fn exit_status(&self) -> u8 {
        match self {
            Step::Signals { .. } => 207,
            Step::Session => 220,
            Step::OomScore { .. } => 206,
            Step::CoredumpFilter { .. } | Step::Limit { .. } | Step::Umask { .. } => 205,
            Step::Nice { .. } => 201,
            Step::Scheduling { .. } => 214,
            Step::Affinity { .. } => 215,
            Step::IoPriority { .. } => 211,
            Step::TimerSlack { .. } => 212,
            Step::Personality { .. } => 230,
            Step::MemoryMerge { .. } => 245,
            Step::HugePages { .. } => 246,
            Step::MemoryPolicy { .. } => 242,
            Step::Directory { class, .. } => class.exit_status(),
            Step::Terminal { .. } | Step::Stream { target: 0, .. } => 208,
            Step::Stream { target: 1, .. } => 209,
            Step::Stream { .. } => 222,
            Step::Keyring { .. } => 237,
            Step::UserNamespaceFirst { .. }
            | Step::UserNamespaceLate { .. }
            | Step::UserNamespaceOpen { .. }
            | Step::UserNamespaceEnter
            | Step::Delegate { .. }
            | Step::User { .. } => 217,
            Step::SmackLabel { .. } => 236,
            Step::ExecLabel {
                module: SecurityModule::AppArmor,
                ..
            } => 231,
            Step::ExecLabel { .. } => 229,
            Step::Join { .. } | Step::Loopback | Step::Listen { .. } => 225,
            Step::Groups => 216,
            Step::BoundingSet { .. } | Step::Capabilities { .. } => 218,
            Step::SecureBits { .. } => 213,
            Step::WorkingDirectory { .. } => 200,
            Step::OpenFile { .. } | Step::Descriptors => 202,
            Step::NoNewPrivileges => 227,
            Step::Seccomp { .. } => 228,
            Step::Program | Step::Exec => 203,
            Step::Finish | Step::Stub | Step::MakeNetworks => 255,
            Step::Mount {
                what: What::Credentials { .. },
                ..
            } => 243,
            Step::CloneImage { .. }
            | Step::Unshare { .. }
            | Step::UnshareLate { .. }
            | Step::Hostname { .. }
            | Step::Propagation { .. } => 226,
            Step::Root { .. }
            | Step::RootRoom { .. }
            | Step::Mount { .. }
            | Step::EnterRoot { .. } => 226,
        }
    }
}

impl DirectoryClass {
    /// The status for a directory of this kind that can't be made.
    pub const fn exit_status(self) -> u8 {
        match self {
            DirectoryClass::Runtime => 233,
            DirectoryClass::State => 238,
            DirectoryClass::Cache => 239,
            DirectoryClass::Logs => 240,
            DirectoryClass::Configuration => 241,
        }
    }
}
