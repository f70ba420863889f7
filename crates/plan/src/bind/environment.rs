//! The environment of a start, from the weakest word to the strongest.

use crate::bind::{Bindings, User};
use crate::frame::Role;
use crate::planner::SpawnPlan;
use crate::step::Step;

/// Where programs are looked for, and what `PATH` says, unless the unit says otherwise.
/// `PATH` of services that set none.
pub const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Names and values, each name once, in the order of their first mention; UnsetEnvironment= is not heeded yet, as command lines may
/// name what it takes away.
pub(super) fn collect(plan: &SpawnPlan, bindings: &Bindings<'_>) -> Vec<(String, String)> {
    let mut variables = Variables::default();
    variables.set("PATH", &search_path(plan));
    if let Some(kind) = terminal(plan) {
        variables.set("TERM", kind);
    }
    variables.lines(&bindings.manager_environment);
    of_user(plan, bindings, &mut variables);
    let id: String = bindings
        .invocation
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    variables.set("INVOCATION_ID", &id);
    of_descriptors(plan, bindings, &mut variables);
    if let Some(path) = &plan.notify_path {
        variables.set("NOTIFY_SOCKET", path);
    }
    variables.lines(&bindings.start_environment);
    for (name, value) in &plan.environment {
        variables.set(name, value);
    }
    variables.lines(&bindings.file_environment);
    variables.0
}

/// What the process gets of them, as lines: all that UnsetEnvironment= leaves.
pub(super) fn lines(plan: &SpawnPlan, variables: &[(String, String)]) -> Vec<String> {
    // A name, or `NAME=value` to drop only that value.
    let is_unset = |name: &str, value: &str| {
        let mut entries = plan.unset_environment.iter();
        entries.any(|entry| match entry.split_once('=') {
            Some((unwanted, of)) => name == unwanted && value == of,
            None => name == entry,
        })
    };
    variables
        .iter()
        .filter(|(name, value)| !is_unset(name, value))
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

/// What kind of terminal a service has: the kernel's own, or what every other understands.
fn terminal(plan: &SpawnPlan) -> Option<&'static str> {
    plan.steps().find_map(|asked| match asked.step {
        Step::Terminal { path, .. } => {
            let path = path.to_bytes();
            let number = path.strip_prefix(b"/dev/tty").and_then(<[u8]>::first);
            let is_kernels = path == b"/dev/console" || number.is_some_and(u8::is_ascii_digit);
            Some(if is_kernels { "linux" } else { "vt220" })
        }
        _ => None,
    })
}

fn search_path(plan: &SpawnPlan) -> String {
    if plan.search_path.is_empty() {
        SEARCH_PATH.to_owned()
    } else {
        plan.search_path.join(":")
    }
}

/// By default only a service with a user of its own hears of it.
fn of_user(plan: &SpawnPlan, bindings: &Bindings<'_>, variables: &mut Variables) {
    let root = User {
        name: "root".into(),
        home: "/root".into(),
        shell: "/bin/sh".into(),
        group: "root".into(),
    };
    let user = match (plan.login_environment, &bindings.user) {
        (Some(false), _) | (None, None) => return,
        (_, Some(user)) => user,
        (Some(true), None) => &root,
    };
    for (name, value) in [
        ("USER", &user.name),
        ("LOGNAME", &user.name),
        ("HOME", &user.home),
        ("SHELL", &user.shell),
    ] {
        if !value.is_empty() {
            variables.set(name, value);
        }
    }
}

/// The executor adds `LISTEN_PID`, `SYSTEMD_EXEC_PID` and `WATCHDOG_PID`, which only it knows, and takes out files that are missing.
fn of_descriptors(plan: &SpawnPlan, bindings: &Bindings<'_>, variables: &mut Variables) {
    let names: Vec<&str> = bindings
        .descriptors
        .iter()
        .filter(|passed| matches!(passed.role, Role::Service | Role::Stored))
        .map(|passed| passed.name.as_str())
        .chain(plan.files_for(bindings).iter().map(String::as_str))
        .collect();
    if !names.is_empty() {
        variables.set("LISTEN_FDS", &names.len().to_string());
        variables.set("LISTEN_FDNAMES", &names.join(":"));
    }
}

#[derive(Default)]
struct Variables(Vec<(String, String)>);

impl Variables {
    fn set(&mut self, name: &str, value: &str) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value.to_owned(),
            None => self.0.push((name.to_owned(), value.to_owned())),
        }
    }

    fn lines(&mut self, lines: &[String]) {
        for (name, value) in lines.iter().filter_map(|line| line.split_once('=')) {
            self.set(name, value);
        }
    }
}
