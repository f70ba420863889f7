//! The table of verbs: from it come the dispatch, the help, the manual pages and the completions.

use std::ffi::{OsStr, OsString};

use anyhow::Result;
use clap::{ArgMatches, Args, Command, FromArgMatches};

use crate::commands as on;
use crate::context::{Context, Globals, VALUED_OPTIONS};
use crate::portable;

/// A command's options, and what it does with them.
pub(crate) trait Run: Args + FromArgMatches {
    /// Does the work and returns the exit status.
    fn run(self, context: &Context) -> Result<u8>;
}

/// One verb.
pub(crate) struct Verb {
    /// As it is typed.
    pub(crate) name: &'static str,
    /// Builds its options.
    pub(crate) command: fn() -> Command,
    /// Reads its options and runs it.
    pub(crate) run: fn(&ArgMatches, &Context) -> Result<u8>,
}

macro_rules! verbs {
    ($($name:literal $options:ty: $about:literal;)*) => {
        /// Every verb, in the order of the help: services first, then portables, then the rest.
        pub(crate) const VERBS: &[Verb] = &[$(Verb {
            name: $name,
            // The options' own doc comment speaks to those who read the code: the help has the line of this table.
            command: || <$options as Args>::augment_args(Command::new($name)).about($about).long_about(None),
            run: |matches, context| <$options>::from_arg_matches(matches)?.run(context),
        },)*];
    };
}

verbs! {
    "start" on::start::Start: "Start units, or fetch, verify and start a portable service from a URL, file or directory";
    "stop" on::jobs::Stop: "Stop units or portables";
    "restart" on::jobs::Restart: "Stop and start units or portables";
    "try-restart" on::jobs::TryRestart: "Restart those of the units that run";
    "reload" on::jobs::Reload: "Ask units to read their configuration again";
    "reload-or-restart" on::jobs::ReloadOrRestart: "Reload units that can, restart the others";
    "status" on::status::Status: "Show all about units or portables: state, sandbox, image, grants, last log lines";
    "show" on::show::Show: "Print properties for scripts";
    "cat" on::cat::Cat: "Print the files of units";
    "logs" on::logs::Logs: "Print what services wrote";
    "list-units" on::list_units::ListUnits: "List units";
    "list-jobs" on::list_units::ListJobs: "List jobs that wait or run";
    "list-dependencies" on::relations::tree::ListDependencies: "Show what units need, or what needs them, as a tree";
    "list-timers" on::timers::ListTimers: "List timers: when they elapse next, when they did last, and what they start";
    "list-automounts" on::automounts::ListAutomounts: "List the places of automount units, and what is mounted there";
    "list-paths" on::paths::ListPaths: "List the paths that path units watch, and what they start";
    "is-active" on::is::IsActive: "Tell whether units run";
    "is-failed" on::is::IsFailed: "Tell whether units failed";
    "is-enabled" on::unit_files::IsEnabled: "Tell whether units are enabled";
    "enable" on::enable::Enable: "Make units start with others, as their [Install] sections say";
    "disable" on::enable::Disable: "Undo `enable`: remove all links to units";
    "reenable" on::enable::Reenable: "Disable units, then enable them";
    "preset" on::enable::Preset: "Enable or disable units as the preset files say";
    "preset-all" on::enable::PresetAll: "Do that with all units";
    "mask" on::enable::Mask: "Make units impossible to start";
    "unmask" on::enable::Unmask: "Undo `mask`";
    "link" on::enable::Link: "Make unit files elsewhere known by links";
    "revert" on::enable::Revert: "Take away what was changed in units: drop-ins, masks, files before those of the system";
    "edit" on::edit::Edit: "Change units in an editor, by drop-ins";
    "add-wants" on::enable::AddWants: "Make a target want units";
    "add-requires" on::enable::AddRequires: "Make a target require units";
    "set-default" on::enable::SetDefault: "Choose the target that the instance starts when it comes up";
    "get-default" on::unit_files::GetDefault: "Tell which target that is";
    "list-unit-files" on::unit_files::ListUnitFiles: "List unit files and whether they are enabled";
    "kill" on::kill::Kill: "Send a signal to processes of units";
    "freeze" on::freeze::Freeze: "Stop the processes of units in their tracks";
    "thaw" on::freeze::Thaw: "Let frozen units go on";
    "set-property" on::set_property::SetProperty: "Change what bounds units, now and for later starts";
    "top" on::top::Top: "List what units use: processors, memory, tasks, disks";
    "reset-failed" on::kill::ResetFailed: "Forget that units failed";
    "clean" on::clean::Clean: "Remove what units that are down have left: cache, runtime directories, or what --what= says";
    "run" on::run::RunCommand: "Run a command as a transient service";
    "shell" on::shell::Shell: "Open a shell inside a running service's sandbox";
    "list" portable::list::List: "List the portables that are here, and those that are offered";
    "attach" on::attach::Attach: "Install a portable without starting it";
    "reattach" on::attach::Reattach: "Replace an attached portable by another version, and keep its configuration and grants";
    "is-attached" on::attach::IsAttached: "Tell whether a portable is attached: detached, attached, enabled or running";
    "upgrade" on::upgrade::Upgrade: "Replace portables by newer versions, which go again where they do not work";
    "rollback" on::rollback::Rollback: "Go back to a version of a portable that was seen to work";
    "versions" on::versions::Versions: "List the versions of a portable that are stored";
    "hold" on::versions::Hold: "Keep portables at their versions";
    "unhold" on::versions::Unhold: "Undo `hold`";
    "export" on::backup::Export: "Pack a portable, what was set for it and what it has stored, for another host";
    "import" on::import::Import: "Take over a portable that another host has exported";
    "backup" on::backup::Backup: "Pack what a portable has stored";
    "restore" on::restore::Restore: "Put back what a portable had stored";
    "gc" on::versions::Gc: "Remove older versions of portables, and images that none needs";
    "scrub" on::scrub::Scrub: "Hash stored images again, and tell which the disk has changed and whose they are";
    "detach" portable::purge::Detach: "Take a portable's units away, and keep its image and data";
    "configure" portable::configure::Configure: "Set addresses, variables, secrets and files of a portable";
    "purge" portable::purge::Purge: "Remove a portable and everything that it left";
    "build" on::build::Build: "Build an image from a directory, a program, Debian packages or a container image";
    "keygen" on::image::Keygen: "Make a key that signs images, and its certificate";
    "sign" on::image::Sign: "Sign an image";
    "publish" on::publish::Publish: "Write an image and its signed index into a directory for a web server";
    "inspect" on::inspect::Inspect: "Tell what an image, a directory or a portable says of itself";
    "trust" on::trust::Trust: "Say whose images may come in";
    "explain" on::explain::Explain: "Explain a directive, or the plan of a unit's start";
    "verify" on::verify::Verify: "Say what is wrong in unit files";
    "escape" on::escape::Escape: "Write texts and paths as parts of unit names, and back";
    "calendar" on::times::Calendar: "Tell when calendar expressions come true, as OnCalendar= takes them";
    "timespan" on::times::Timespan: "Tell what spans of time come to";
    "timestamp" on::times::Timestamp: "Tell which points in time are meant";
    "image-policy" on::image_policy::Policies: "Tell what image policies let each partition be, as RootImagePolicy= takes them";
    "creds" on::creds::Creds: "Seal credentials for units, open them, and show those that were handed to this process";
    "why" on::relations::why::Why: "Tell how units came into their states: who asked, who pulled them in, what failed before";
    "notify-about" on::notify_about::NotifyAbout: "Tell by mail or webhook of a unit, as OnFailure=coracle-notify@%n.service does";
    "blame" on::relations::chain::Blame: "List units by the time that they took to come up";
    "critical-chain" on::relations::chain::CriticalChain: "Show which units others waited for, and how long";
    "dot" on::relations::dot::Dot: "Print the units and what ties them as a graph for graphviz";
    "plot" on::relations::plot::Plot: "Draw when units came up and went down, as an SVG picture";
    "security" on::security::Security: "Show how exposed services are, line by line";
    "install" on::install::Install: "Make the host's init start Coracle at boot";
    "uninstall" on::install::Uninstall: "Undo `install`";
    "daemon-reload" on::daemon::DaemonReload: "Read all unit files again";
    "daemon-reexec" on::daemon::DaemonReexec: "Replace the manager by the installed version; services go on";
    "daemon-exit" on::daemon::DaemonExit: "Stop all units and end the instance";
    "isolate" on::power::Isolate: "Start a unit with what it needs, and stop all else";
    "default" on::power::Default: "Start the default target, and stop all else";
    "rescue" on::power::Rescue: "Stop all but the local file systems, with a shell on the console";
    "emergency" on::power::Emergency: "Stop everything, with a shell on the console";
    "is-system-running" on::power::IsSystemRunning: "Tell whether the whole is up: starting, running, degraded, stopping …";
    "poweroff" on::power::Poweroff: "Stop all units and switch the machine off";
    "reboot" on::power::Reboot: "Stop all units and start the machine anew";
    "halt" on::power::Halt: "Stop all units and the machine, and leave it on";
    "kexec" on::power::Kexec: "Stop all units and go on with the kernel that kexec(8) has loaded";
    "set-environment" on::environment::SetEnvironment: "Set variables of services that start from now on";
    "unset-environment" on::environment::UnsetEnvironment: "Remove such variables";
    "show-environment" on::environment::ShowEnvironment: "Print such variables";
    "stdio" on::stdio::Stdio: "Run a verb for another host's `coracle -H`, over standard input and output";
    "completion" on::pages::Completion: "Print completions for a shell";
    "man" on::pages::Man: "Print a manual page for man(1): `coracle man status | man -l -`";
}

/// The verb in `arguments`: the first word that is neither an option nor an option's value.
pub(crate) fn of(arguments: &[OsString]) -> Option<&'static Verb> {
    let word = arguments.get(place(arguments)?)?;
    VERBS.iter().find(|verb| word == OsStr::new(verb.name))
}

/// Where the verb stands.
pub(crate) fn place(arguments: &[OsString]) -> Option<usize> {
    let mut words = arguments.iter().enumerate().skip(1);
    while let Some((place, word)) = words.next() {
        if VALUED_OPTIONS
            .iter()
            .any(|option| word == OsStr::new(option))
        {
            words.next();
        } else if !word.as_encoded_bytes().starts_with(b"-") {
            return Some(place);
        }
    }
    None
}

/// The command without verbs: its name, version and the options that every verb takes.
pub(crate) fn root_command() -> Command {
    let root = Command::new("coracle")
        .version(env!("CARGO_PKG_VERSION"))
        .disable_help_subcommand(true)
        .max_term_width(100);
    Globals::augment_args(root)
        .about("Containers without a container manager: services from unit files and images, sandboxed and supervised")
        .long_about(None)
}

/// The command with all verbs.
pub(crate) fn whole_command() -> Command {
    root_command().subcommands(VERBS.iter().map(|verb| (verb.command)()))
}
