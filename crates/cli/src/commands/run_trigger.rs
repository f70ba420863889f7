//! `run --on-active=` and its kin: a command that a transient timer, path or socket unit starts.

use anyhow::Result;
use clap::Args;
use wire::TransientRequest;

use super::run::RunCommand;
use crate::context::Context;
use crate::failure::hint;

/// What starts the service, instead of now.
#[derive(Args, Debug, Default)]
pub(crate) struct Trigger {
    /// Start it this span from now
    #[arg(long, value_name = "SPAN")]
    on_active: Vec<String>,
    /// … this span after the machine came up
    #[arg(long, value_name = "SPAN")]
    on_boot: Vec<String>,
    /// … this span after the instance came up
    #[arg(long, value_name = "SPAN")]
    on_startup: Vec<String>,
    /// … this span after its last start
    #[arg(long, value_name = "SPAN")]
    on_unit_active: Vec<String>,
    /// … this span after its last end
    #[arg(long, value_name = "SPAN")]
    on_unit_inactive: Vec<String>,
    /// … at these moments, such as `daily` or `Mon 07:00`
    #[arg(long, value_name = "CALENDAR")]
    on_calendar: Vec<String>,
    /// … when the clock is set
    #[arg(long)]
    on_clock_change: bool,
    /// … when the time zone changes
    #[arg(long)]
    on_timezone_change: bool,
    /// A directive of the timer unit that starts it
    #[arg(long, value_name = "DIRECTIVE=VALUE")]
    timer_property: Vec<String>,
    /// A directive of the path unit that starts it
    #[arg(long, value_name = "DIRECTIVE=VALUE")]
    path_property: Vec<String>,
    /// A directive of the socket unit that starts it
    #[arg(long, value_name = "DIRECTIVE=VALUE")]
    socket_property: Vec<String>,
}

impl Trigger {
    /// The kind of the unit that starts the service, as its suffix; none: it starts now.
    pub(super) fn kind(&self) -> Option<&'static str> {
        let kinds = [
            ("path", self.path_property.is_empty()),
            ("socket", self.socket_property.is_empty()),
            ("timer", self.timer_lines().is_empty()),
        ];
        let kind = kinds.into_iter().find(|(_, is_empty)| !is_empty);
        kind.map(|(kind, _)| kind)
    }

    /// Refuses what contradicts itself, before anything is made.
    pub(super) fn check(&self, run: &RunCommand) -> Result<()> {
        let kinds = [
            !self.path_property.is_empty(),
            !self.socket_property.is_empty(),
            !self.timer_lines().is_empty(),
        ];
        let count = kinds.into_iter().filter(|is_asked| *is_asked).count();
        if count > 1 {
            return Err(hint(
                "a service is started by a timer, a path or a socket, but not by several of them here",
                "give the options of one of them, and write unit files for more",
            ));
        }
        if count == 1 && (run.wait || run.pipe || run.scope) {
            return Err(hint(
                "what is started later can't be waited for, and has neither our streams nor our process",
                "leave out --wait, --pipe, --pty, --shell and --scope",
            ));
        }
        if run.command.is_empty() && (count == 0 || run.unit.is_none()) {
            return Err(hint(
                "no command is given",
                "say what to run; only with --unit= and an option such as --on-active= a unit that is there is started",
            ));
        }
        self.has_moment()
    }

    /// A timer that never elapses is a mistake.
    fn has_moment(&self) -> Result<()> {
        let is_moment = |line: &String| line.starts_with("On");
        match self.timer_property.is_empty() || self.timer_lines().iter().any(is_moment) {
            true => Ok(()),
            false => Err(hint(
                "the timer has no moment at which it elapses",
                "give --on-calendar=, --on-active= or one of the others, too",
            )),
        }
    }

    /// The directives of the timer.
    fn timer_lines(&self) -> Vec<String> {
        let spans = [
            ("OnActiveSec", &self.on_active),
            ("OnBootSec", &self.on_boot),
            ("OnStartupSec", &self.on_startup),
            ("OnUnitActiveSec", &self.on_unit_active),
            ("OnUnitInactiveSec", &self.on_unit_inactive),
            ("OnCalendar", &self.on_calendar),
        ];
        let mut lines: Vec<String> = spans
            .into_iter()
            .flat_map(|(name, values)| values.iter().map(move |value| format!("{name}={value}")))
            .collect();
        let changes = [
            ("OnClockChange", self.on_clock_change),
            ("OnTimezoneChange", self.on_timezone_change),
        ];
        let changes = changes.into_iter().filter(|(_, is_asked)| *is_asked);
        lines.extend(changes.map(|(name, _)| format!("{name}=yes")));
        lines.extend(self.timer_property.iter().cloned());
        lines
    }

    /// The request for the unit that starts the service, from that for the service alone.
    pub(super) fn request(
        &self,
        kind: &'static str,
        service: TransientRequest,
    ) -> Result<TransientRequest> {
        let name = match crate::context::is_full_unit_name(&service.unit) {
            true => service.unit.clone(),
            false => format!("{}.service", service.unit),
        };
        let Some(stem) = name.strip_suffix(".service") else {
            return Err(hint(
                format!("{name:?} is not a service, and only a service is started later"),
                "leave the suffix out",
            ));
        };
        let mut properties = match kind {
            "timer" => self.timer_lines(),
            "path" => self.path_property.clone(),
            _ => self.socket_property.clone(),
        };
        // It goes when it has nothing more to do, and the service with it.
        let has_word = properties
            .iter()
            .any(|line| line.starts_with("RemainAfterElapse="));
        if kind == "timer" && !has_word {
            properties.push("RemainAfterElapse=no".to_owned());
        }
        properties.push(match kind {
            "socket" => format!("Service={name}"),
            _ => format!("Unit={name}"),
        });
        Ok(TransientRequest {
            unit: format!("{stem}.{kind}"),
            properties,
            mode: service.mode,
            no_block: service.no_block,
            collect: service.collect,
            allow_unenforced: service.allow_unenforced,
            starts: match service.command.is_empty() {
                true => String::new(),
                false => name,
            },
            started_properties: service.properties,
            started_command: service.command,
            ..TransientRequest::default()
        })
    }

    /// Says what runs now, and what will.
    pub(super) fn tell(&self, context: &Context, kind: &str, unit: &str, run: &RunCommand) {
        context.narrate(&format!("Running {kind} as unit: {unit}"));
        if !run.command.is_empty() {
            let stem = unit.strip_suffix(&format!(".{kind}")).unwrap_or(unit);
            context.narrate(&format!("Will run service as unit: {stem}.service"));
        }
    }
}
