//! One room per step, and the door to each.

use kernel::Result;
use plan::Step;

use crate::state::State;

pub(crate) use mount::Masks;

mod bounding_set;
mod capabilities;
mod clone_image;
mod delegate;
mod descriptors;
mod directory;
mod enter_root;
mod exec;
mod groups;
mod hostname;
mod join;
mod keyring;
mod label;
mod limit;
mod listen;
mod loopback;
mod make_networks;
mod memory;
mod mount;
mod no_new_privileges;
mod open_file;
mod ownership;
mod proc_file;
mod program;
mod propagation;
mod quota;
mod root;
mod scheduling;
mod seccomp;
mod secure_bits;
mod session;
mod signals;
mod stream;
mod stub;
mod terminal;
mod umask;
mod unshare;
mod user;
mod user_namespace;
mod working_directory;

pub(crate) use delegate::Holder;
pub(crate) use open_file::Opened;
pub(crate) use quota::Project;

/// Takes one step.
pub(crate) fn take<'a>(state: &mut State<'a>, step: &Step<'a>) -> Result<()> {
    match *step {
        Step::Signals { ignore_sigpipe } => signals::take(state, ignore_sigpipe),
        Step::Session => session::take(),
        Step::OomScore { adjust } => proc_file::oom_score(adjust),
        Step::CoredumpFilter { mask } => proc_file::coredump_filter(mask),
        Step::Nice { value } => scheduling::nice(value),
        Step::Scheduling {
            policy,
            priority,
            reset_on_fork,
        } => scheduling::policy(policy, priority, reset_on_fork),
        Step::Affinity { mask } => scheduling::affinity(mask),
        Step::IoPriority { class, level } => scheduling::io_priority(class, level),
        Step::TimerSlack { nanoseconds } => scheduling::timer_slack(nanoseconds),
        Step::Personality { domain } => scheduling::personality(domain),
        Step::MemoryMerge { merge } => memory::merge(merge),
        Step::HugePages { pages } => memory::huge_pages(pages),
        Step::MemoryPolicy { mode, nodes } => memory::policy(mode, nodes),
        Step::Directory {
            path,
            mode,
            owned,
            private,
            takes_over,
            links,
            quota,
            class,
        } => {
            if private {
                directory::clear_public(state, path, takes_over)?;
            } else if owned {
                directory::clear_private(path, takes_over)?;
            }
            let made = directory::take(state, path, mode, owned, private)?;
            quota::take(state, &made, class, quota)?;
            directory::link(state, path, links)
        }
        Step::Terminal { .. } => terminal::take(state, step),
        Step::Stream { target, source } => stream::take(state, target, source),
        Step::OpenFile {
            path,
            flags,
            optional,
        } => open_file::take(state, path, flags, optional),
        Step::Keyring { link_user } => keyring::take(state, link_user),
        Step::CloneImage { index } => clone_image::take(state, index),
        Step::RootRoom { parent, directory } => root::layers(state, parent, directory),
        Step::UserNamespaceFirst { map } => user_namespace::first(map),
        Step::UserNamespaceOpen { path } => delegate::open_path(state, path),
        Step::Delegate { map, kinds, bpf } => delegate::take(state, map, kinds, bpf),
        Step::Join { kind, path } => join::take(state, kind, path),
        Step::Unshare { kinds, told } => unshare::take(state, kinds, told),
        Step::Loopback => loopback::take(state),
        Step::Hostname { name } => hostname::take(name),
        Step::Listen { .. } => listen::take(state, step),
        _ => take_later(state, step),
    }
}

/// Takes a step of the second half: mounts, identity, the end.
fn take_later<'a>(state: &mut State<'a>, step: &Step<'a>) -> Result<()> {
    match *step {
        Step::Propagation { flag } => propagation::take(flag),
        Step::Root { from, set } => root::take(state, from, set),
        Step::Mount {
            at,
            what,
            set,
            clear,
            missing_ok,
        } => mount::take(
            state,
            at,
            what,
            mount::Change {
                set,
                clear,
                missing_ok,
            },
        ),
        Step::EnterRoot { shared } => enter_root::take(state, shared),
        Step::Limit {
            resource,
            soft,
            hard,
        } => limit::take(state, resource, soft, hard),
        Step::Umask { mask } => umask::take(mask),
        Step::SmackLabel { label, optional } => label::smack(state, label, optional),
        Step::UserNamespaceEnter => delegate::enter_path(state),
        Step::Groups => groups::take(state),
        Step::UserNamespaceLate { map } => match state.holder.take() {
            Some(holder) => delegate::enter(holder),
            None => user_namespace::alone(state, map),
        },
        Step::UnshareLate { kinds } => unshare::late(kinds),
        Step::BoundingSet { keep } => bounding_set::take(keep),
        Step::User { keep_capabilities } => user::take(state, keep_capabilities),
        Step::Capabilities { ambient } => capabilities::take(ambient),
        Step::SecureBits { bits } => secure_bits::take(bits),
        Step::WorkingDirectory { path, missing_ok } => working_directory::take(path, missing_ok),
        Step::Descriptors => descriptors::take(state),
        Step::Program => program::take(state),
        Step::Stub => stub::take(state),
        Step::ExecLabel {
            module,
            label,
            optional,
        } => label::at_exec(state, module, label, optional),
        Step::NoNewPrivileges => no_new_privileges::take(),
        Step::Seccomp { flags, program } => seccomp::take(state, flags, program),
        Step::Exec => exec::take(state),
        Step::Finish => Ok(()),
        Step::MakeNetworks => make_networks::take(state),
        // The first half has taken the others.
        _ => Err(kernel::Errno::PROTO),
    }
}
