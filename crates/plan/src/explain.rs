//! A plan as lines for a human, one per step.

use model::Directive;

use crate::planner::SpawnPlan;
use crate::step::{
    Address, Asked, HugePages, RootSource, SecurityModule, Source, Step, TerminalControl, UserMap,
    What,
};

mod words;

use words::{capabilities, namespaces, shown};

impl SpawnPlan {
    /// One line per step: what is done, and in brackets the directive that asks for it.
    pub fn explain(&self) -> Vec<String> {
        self.steps().map(|asked| line(&asked)).collect()
    }

    /// What is done by the step at this place, if it is of the kind that an executor said ([`crate::report::Failure`]).
    pub fn explain_step(&self, position: u16, tag: u8) -> Option<String> {
        let asked = self.steps().nth(position.into())?;
        (asked.step.tag() == tag).then(|| sentence(&asked.step))
    }

    /// What bounds or counts the directory that a step makes, and the directory's path.
    pub fn bounded_by(&self, position: u16) -> Option<(Directive, String)> {
        let asked = self.steps().nth(position.into())?;
        match asked.step {
            Step::Directory {
                class, path, quota, ..
            } => {
                let directive = crate::planner::bounding(class, quota)?;
                Some((directive, shown(path)))
            }
            _ => None,
        }
    }
}

fn line(asked: &Asked<'_>) -> String {
    let what = sentence(&asked.step);
    match Directive::from_index(asked.directive.into()) {
        Some(directive) => format!("{what}  [{directive}]"),
        None => what,
    }
}

fn descriptor(step: &Step<'_>) -> String {
    match step {
        Step::Stream { target, source } => format!("stream {target}: {}", stream(source)),
        Step::OpenFile {
            path,
            flags,
            optional,
        } => {
            let condition = if *optional {
                ", if it can be opened"
            } else {
                ""
            };
            let way = words::opening(*flags);
            format!("open {}{way}{condition}, for the main command", shown(path))
        }
        _ => String::new(),
    }
}

fn sentence(step: &Step<'_>) -> String {
    match step {
        Step::Mount {
            at,
            what,
            set,
            clear,
            missing_ok,
        } => mount(&shown(at), what, *set, *clear, *missing_ok),
        Step::Listen {
            index,
            address,
            mode,
            ..
        } => format!(
            "listen: socket {index} on {}, mode {mode:o}",
            listening(address)
        ),
        Step::Terminal { path, control, .. } => format!(
            "terminal {}{}",
            shown(path),
            match control {
                TerminalControl::None => "",
                TerminalControl::Wait => ": when it is free, it controls the service",
                TerminalControl::Force => ": it controls the service, whoever had it",
                TerminalControl::Fail => ": it controls the service, if it is free",
            }
        ),
        Step::Stream { .. } | Step::OpenFile { .. } => descriptor(step),
        Step::Root { from, set } => format!("root: {}{}", tree(from), words::attributes(*set, 0)),
        Step::UserNamespaceFirst { .. }
        | Step::UserNamespaceLate { .. }
        | Step::UserNamespaceOpen { .. }
        | Step::UserNamespaceEnter
        | Step::UnshareLate { .. }
        | Step::Delegate { .. } => user_namespace(step),
        Step::Unshare { .. }
        | Step::Join { .. }
        | Step::Loopback
        | Step::Hostname { .. }
        | Step::Propagation { .. } => surroundings(step),
        Step::Directory {
            path,
            mode,
            owned,
            private,
            quota,
            ..
        } => {
            let owner = if *owned { "the service's user" } else { "root" };
            let place = match *private {
                true => ", in a directory that only root enters",
                false => "",
            };
            let quota = words::quota(quota);
            let path = shown(path);
            format!("directory: {path} for {owner}, mode {mode:o}{place}{quota}")
        }
        Step::Groups
        | Step::User { .. }
        | Step::BoundingSet { .. }
        | Step::Capabilities { .. }
        | Step::SecureBits { .. } => identity(step),
        Step::Seccomp { program, .. } => format!(
            "system calls: a program of {} instructions",
            program.len() / 8
        ),
        _ => attribute(step),
    }
}

fn user_namespace(step: &Step<'_>) -> String {
    match step {
        Step::UserNamespaceFirst { map } => {
            format!("user namespace, first of all: {}", users(*map))
        }
        Step::UserNamespaceLate { map } => {
            format!("user namespace, after all others: {}", users(*map))
        }
        Step::UnshareLate { kinds } => {
            format!(
                "new namespaces that belong to the user namespace: {}",
                namespaces(*kinds)
            )
        }
        Step::UserNamespaceOpen { path } => format!("user namespace: that of {}", shown(path)),
        Step::UserNamespaceEnter => {
            "user namespace: join it as its root, after all others".to_owned()
        }
        Step::Delegate { map, kinds, bpf } => {
            let kinds = Some(namespaces(*kinds)).filter(|kinds| !kinds.is_empty());
            let bpf = bpf.then(|| "what of BPF is delegated".to_owned());
            let own: Vec<String> = kinds.into_iter().chain(bpf).collect();
            format!(
                "user namespace, made ahead: {}; to it belong: {}",
                users(*map),
                own.join(", ")
            )
        }
        _ => attribute(step),
    }
}

fn surroundings(step: &Step<'_>) -> String {
    match step {
        Step::Unshare { kinds, .. } => format!("new namespaces: {}", namespaces(*kinds)),
        Step::Join { kind, path } => {
            format!(
                "join: the {} namespace {}",
                namespaces(*kind),
                path.map_or("that the manager passes".into(), |path| format!(
                    "of {}",
                    shown(path)
                ))
            )
        }
        Step::Loopback => "network: loopback up".to_owned(),
        Step::Hostname { name } => format!("host name: {}", shown(name)),
        Step::Propagation { flag } => format!(
            "mounts of the host: {}",
            if *flag == 1 << 18 {
                "private"
            } else {
                "come in, none goes out"
            }
        ),
        _ => attribute(step),
    }
}

fn identity(step: &Step<'_>) -> String {
    match step {
        Step::Groups => "groups: of the service's user".to_owned(),
        Step::User {
            keep_capabilities: true,
        } => "user: the service's, capabilities kept until exec".to_owned(),
        Step::User {
            keep_capabilities: false,
        } => "user: the service's".to_owned(),
        Step::BoundingSet { keep } => format!("bounding set: {}", capabilities(*keep)),
        Step::Capabilities { ambient } => {
            format!("ambient capabilities: {}", capabilities(*ambient))
        }
        Step::SecureBits { bits } => format!("secure bits: {bits:#x}"),
        _ => attribute(step),
    }
}

fn labelled(module: &str, label: &std::ffi::CStr, optional: bool) -> String {
    let optional = if optional { ", if it can be set" } else { "" };
    format!("label of {module}: {}{optional}", shown(label))
}

fn attribute(step: &Step<'_>) -> String {
    match step {
        Step::Signals { ignore_sigpipe } => format!(
            "signals: default{}",
            if *ignore_sigpipe {
                ", SIGPIPE ignored"
            } else {
                ""
            }
        ),
        Step::Session => "session: a new one".to_owned(),
        Step::OomScore { adjust } => format!("out-of-memory score: {adjust}"),
        Step::CoredumpFilter { mask } => format!("core dump filter: {mask:#x}"),
        Step::Nice { value } => format!("nice: {value}"),
        Step::Scheduling {
            policy, priority, ..
        } => format!("scheduling: policy {policy}, priority {priority}"),
        Step::Affinity { mask } => format!("processors: mask {mask:02x?}"),
        Step::IoPriority { class, level } => {
            format!("input and output: class {class}, level {level}")
        }
        Step::TimerSlack { nanoseconds } => format!("timer slack: {nanoseconds} ns"),
        Step::Personality { domain } => format!("personality: {domain:#x}"),
        Step::Keyring { link_user } => format!(
            "keyring: a new session{}",
            if *link_user {
                " with the user's linked"
            } else {
                ""
            }
        ),
        Step::CloneImage { index: 0 } => "image: a clone of the verified tree".to_owned(),
        Step::CloneImage { index } => format!("image {index}: a clone of its tree"),
        Step::EnterRoot { shared } => format!(
            "root: enter it, let go of the old one{}",
            if *shared {
                ", share its mounts with copies of it"
            } else {
                ""
            }
        ),
        Step::Limit {
            resource,
            soft,
            hard,
        } => format!(
            "limit {}: {}",
            words::limit(*resource),
            words::bounds(*soft, *hard)
        ),
        Step::Umask { mask } => format!("file mode mask: {mask:04o}"),
        Step::WorkingDirectory { path, missing_ok } => format!(
            "working directory: {}{}",
            shown(path),
            if *missing_ok { ", if there" } else { "" }
        ),
        Step::Descriptors => "descriptors: only what the service is handed".to_owned(),
        Step::Program => "program: find it".to_owned(),
        Step::Stub => "stub: stays the first process, the service is its child".to_owned(),
        Step::NoNewPrivileges => "privileges: none is gained by exec".to_owned(),
        Step::Exec => "execute".to_owned(),
        Step::Finish => "end".to_owned(),
        Step::MakeNetworks => "ahead: what later starts take".to_owned(),
        _ => memory(step),
    }
}

fn memory(step: &Step<'_>) -> String {
    match step {
        Step::SmackLabel { label, optional } => labelled("SMACK", label, *optional),
        Step::ExecLabel {
            module: SecurityModule::AppArmor,
            label,
            optional,
        } => labelled("AppArmor, with exec", label, *optional),
        Step::ExecLabel {
            label, optional, ..
        } => labelled("SELinux, with exec", label, *optional),
        Step::RootRoom { parent, .. } => format!(
            "root: what a run changes in it is in {}, and goes with the run",
            shown(parent)
        ),
        Step::MemoryMerge { merge } => {
            format!(
                "equal pages: {}",
                if *merge { "merged" } else { "not merged" }
            )
        }
        Step::HugePages { pages } => format!(
            "huge pages: {}",
            match pages {
                HugePages::Never => "never",
                HugePages::Advised => "where the program asks",
                HugePages::Any => "as the kernel is set",
            }
        ),
        Step::MemoryPolicy { mode, nodes } => {
            format!("memory nodes: policy {mode}, mask {nodes:02x?}")
        }
        // The other sentences are made by the functions above.
        _ => String::new(),
    }
}

fn mount(at: &str, what: &What<'_>, set: u64, clear: u64, missing_ok: bool) -> String {
    let missing = if missing_ok { ", if there" } else { "" };
    let what = match what {
        What::Inaccessible => "inaccessible".to_owned(),
        What::Again { .. } => "what is there".to_owned(),
        What::Bind {
            source,
            source_missing_ok,
            ..
        } => format!(
            "{}{} of the host",
            shown(source),
            if *source_missing_ok {
                " (if there)"
            } else {
                ""
            }
        ),
        What::Tmpfs { mode, options } => {
            let options: String = options
                .iter()
                .map(|option| format!(", {}", shown(option)))
                .collect();
            format!("empty, in memory (mode {mode:04o}{options})")
        }
        What::Proc { hide, only_pids } => {
            let hidden = hide.map_or_else(String::new, |hide| format!(", others' {}", shown(hide)));
            format!(
                "processes of this namespace{hidden}{}",
                if *only_pids { ", nothing else" } else { "" }
            )
        }
        What::Sysfs => "the system as this network sees it".to_owned(),
        What::Devices { bound } => format!(
            "pseudo-devices only{}",
            if *bound { ", bound from the host" } else { "" }
        ),
        What::PrivateTmp { parent } => format!("a directory of this start in {}", shown(parent)),
        What::Credentials => "the credentials of this start".to_owned(),
        What::Users { .. } => "its users, and whom of the service it lacks".to_owned(),
        What::UserGroups { .. } => "its groups, and which of the service it lacks".to_owned(),
        What::BpfObjects => "no pinned objects of BPF".to_owned(),
        What::BpfDelegation { options } => format!(
            "no pinned objects of BPF, and tokens for {}",
            options.iter().map(shown).collect::<Vec<_>>().join(", ")
        ),
        What::MessageQueues => "message queues of this namespace".to_owned(),
        What::Cgroups => "control groups of this namespace".to_owned(),
        What::Image { index } => format!("the tree of image {index}"),
        What::Extensions { images } => format!(
            "/usr, /opt and /etc with those of {} over them",
            images
                .iter()
                .map(|index| format!("image {index}"))
                .collect::<Vec<_>>()
                .join(", ")
        ),
        What::Terminals => "new pseudo-terminals".to_owned(),
        What::Seal => "closed".to_owned(),
    };
    format!(
        "mount {at}: {what}{}{missing}",
        words::attributes(set, clear)
    )
}

fn listening(address: &Address<'_>) -> String {
    match address {
        Address::V4 { ip, port } => std::net::SocketAddrV4::new((*ip).into(), *port).to_string(),
        Address::V6 {
            high,
            low,
            port,
            scope,
            interface,
        } => {
            let ip = (u128::from(*high) << 64 | u128::from(*low)).into();
            let address = std::net::SocketAddrV6::new(ip, *port, 0, *scope).to_string();
            match interface {
                Some(name) => format!("{address} at {}", shown(name)),
                None => address,
            }
        }
        Address::Unix { path } => shown(path),
        Address::Abstract { name } => format!("@{}", String::from_utf8_lossy(name)),
        Address::Fifo { path } => format!("the pipe {}", shown(path)),
        Address::Netlink { groups } => format!("netlink, groups {groups:#x}"),
        Address::Vsock { cid, port } => format!("vsock:{cid}:{port}"),
        Address::Queue { name, .. } => format!("the message queue {}", shown(name)),
        Address::Special { path, .. } => format!("the file {}", shown(path)),
    }
}

fn stream(source: &Source<'_>) -> String {
    match source {
        Source::Null => "/dev/null".to_owned(),
        Source::Passed => "handed over by the manager".to_owned(),
        Source::Same { stream } => format!("the same as stream {stream}"),
        Source::File { path, .. } => shown(path),
        Source::Data { bytes } => format!("{} bytes of the unit", bytes.len()),
        Source::Terminal => "the terminal".to_owned(),
        Source::Inherit => "as it comes".to_owned(),
    }
}

fn tree(from: &RootSource<'_>) -> String {
    match from {
        RootSource::Host => "the host's tree".to_owned(),
        RootSource::Directory { path } => format!("the tree of {}", shown(path)),
        RootSource::Image => "the image's tree".to_owned(),
    }
}

const fn users(map: UserMap) -> &'static str {
    match map {
        UserMap::SelfAndRoot => "root and the service's user",
        UserMap::Identity => "the first 65536 users",
        UserMap::CallerOnly => "the caller",
        UserMap::Full => "all users",
        UserMap::CallerAsRoot => "the caller as root",
    }
}
