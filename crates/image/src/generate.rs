//! Writes the unit files of an image that brings none: from what its maker says, or from a container image's configuration.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::unpack::Configuration;

/// In a second.
const NANOSECONDS: u64 = 1_000_000_000;

/// Ports below this one are bound with a capability.
const FREE_PORTS: u16 = 1024;

/// Where a program is in the image: its name, its `PATH` and its working directory are said.
pub type Find<'a> = dyn Fn(&str, Option<&str>, Option<&str>) -> Option<String> + 'a;

/// How a service is run, as its maker says.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Service {
    /// What it is, in words.
    pub description: Option<String>,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Further arguments.
    pub arguments: Vec<String>,
    /// Variables of its environment.
    pub environment: BTreeMap<String, String>,
    /// `Type=`; `exec` without it.
    pub r#type: Option<String>,
    /// `Restart=`.
    pub restart: Option<String>,
    /// A user of the host's; a dynamic one without it.
    pub user: Option<String>,
    /// Where it runs.
    pub working_directory: Option<String>,
    /// What stops it.
    pub stop_signal: Option<String>,
    /// Whether it uses the host's network; with ports it does.
    pub network: bool,
    /// Ports that it binds: `80`, `80/tcp`, `53/udp`.
    pub ports: Vec<String>,
    /// Names of its directories in /var/lib, /var/cache and /var/log.
    pub state: Vec<String>,
    /// In /var/cache.
    pub cache: Vec<String>,
    /// In /var/log.
    pub logs: Vec<String>,
    /// What says whether it is well.
    pub health: Option<Health>,
    /// Lines that go into the unit as they are, below `[Service]`.
    pub lines: Vec<String>,
    #[serde(skip)]
    remarks: Vec<String>,
}

/// A program that is run now and then and fails where the service is not well.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Health {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Seconds between two.
    #[serde(default = "half_a_minute")]
    pub interval: u64,
    /// Seconds for one.
    #[serde(default = "half_a_minute")]
    pub timeout: u64,
    /// Seconds after the start in which failures don't count.
    #[serde(default)]
    pub start_period: u64,
    /// Failures in a row until it is not well.
    #[serde(default = "three")]
    pub retries: u32,
    /// Whether a start waits for the first success.
    #[serde(default = "yes")]
    pub ready: bool,
}

fn half_a_minute() -> u64 {
    30
}

fn three() -> u32 {
    3
}

fn yes() -> bool {
    true
}

/// Why no unit can be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GenerateError {
    /// Nothing to run.
    #[error(
        "nothing says what is to run: name a unit with --unit, or say `command` in the section [service] of psi.toml"
    )]
    NoCommand,
    /// The program is nowhere.
    #[error("the program {0} is not in the image, nor in a directory of its PATH")]
    NoProgram(String),
    /// A value that no unit file can say.
    #[error("{key}: {value:?} {what}")]
    Value {
        /// Which.
        key: &'static str,
        /// Its value.
        value: String,
        /// What is wrong.
        what: &'static str,
    },
}

fn wrong(key: &'static str, value: &str, what: &'static str) -> GenerateError {
    GenerateError::Value {
        key,
        value: value.into(),
        what,
    }
}

impl Service {
    /// How a container image is run, where its maker says nothing else.
    #[must_use]
    pub fn of_container(configuration: &Configuration) -> Service {
        let words = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
        let mut service = Service {
            command: [words(&configuration.entrypoint), words(&configuration.cmd)].concat(),
            working_directory: configuration
                .working_dir
                .clone()
                .filter(|path| !path.is_empty()),
            stop_signal: configuration.stop_signal.clone(),
            ports: configuration
                .exposed_ports
                .clone()
                .unwrap_or_default()
                .into_keys()
                .collect(),
            health: health(configuration),
            ..Service::default()
        };
        for one in words(&configuration.env) {
            let (name, value) = one.split_once('=').unwrap_or((&one, ""));
            service
                .environment
                .insert(name.to_owned(), value.to_owned());
        }
        if let Some(user) = configuration.user.as_ref().filter(|user| !user.is_empty()) {
            service.remarks.push(format!(
                "The container image runs as {user:?}, a user of its own: here the service has a dynamic one."
            ));
        }
        service
    }

    /// What is said here, and what another one says besides.
    #[must_use]
    pub fn or(self, other: Service) -> Service {
        let first = |one: Vec<String>, other: Vec<String>| if one.is_empty() { other } else { one };
        let mut environment = other.environment;
        environment.extend(self.environment);
        Service {
            description: self.description.or(other.description),
            command: first(self.command, other.command),
            arguments: first(self.arguments, other.arguments),
            environment,
            r#type: self.r#type.or(other.r#type),
            restart: self.restart.or(other.restart),
            user: self.user.or(other.user),
            working_directory: self.working_directory.or(other.working_directory),
            stop_signal: self.stop_signal.or(other.stop_signal),
            network: self.network || other.network,
            ports: first(self.ports, other.ports),
            state: first(self.state, other.state),
            cache: first(self.cache, other.cache),
            logs: first(self.logs, other.logs),
            health: self.health.or(other.health),
            lines: first(self.lines, other.lines),
            remarks: first(self.remarks, other.remarks),
        }
    }

    /// The unit files: names and texts. `find` says where a program is in the image.
    ///
    /// # Errors
    /// See [`GenerateError`].
    pub fn units(
        &self,
        name: &str,
        find: &Find<'_>,
    ) -> Result<Vec<(String, String)>, GenerateError> {
        Ok(vec![(format!("{name}.service"), self.service(name, find)?)])
    }

    fn service(&self, name: &str, find: &Find<'_>) -> Result<String, GenerateError> {
        let mut text = String::from("# Generated by `coracle build`.\n[Unit]\n");
        let description = self.description.as_deref().unwrap_or(name);
        line(
            &mut text,
            "Description",
            &plain("description", description)?,
        );
        text.push_str("\n[Service]\n");
        for remark in &self.remarks {
            writeln!(text, "# {}", plain("user", remark)?).unwrap_or_default();
        }
        line(
            &mut text,
            "Type",
            &plain("type", self.r#type.as_deref().unwrap_or("exec"))?,
        );
        let command = [&self.command[..], &self.arguments[..]].concat();
        line(&mut text, "ExecStart", &self.command_line(&command, find)?);
        self.surroundings(&mut text)?;
        self.network(&mut text)?;
        let directories = [
            ("StateDirectory", &self.state),
            ("CacheDirectory", &self.cache),
            ("LogsDirectory", &self.logs),
        ];
        for (key, names) in directories
            .into_iter()
            .filter(|(_, names)| !names.is_empty())
        {
            line(&mut text, key, &plain("a directory", &names.join(" "))?);
        }
        self.probe(&mut text, find)?;
        for one in &self.lines {
            writeln!(text, "{}", plain("lines", one)?).unwrap_or_default();
        }
        Ok(text)
    }

    /// What is around the command.
    fn surroundings(&self, text: &mut String) -> Result<(), GenerateError> {
        for (name, value) in &self.environment {
            if name.is_empty()
                || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
                || value.contains('\0')
            {
                return Err(wrong(
                    "environment",
                    name,
                    "is no name of a variable, or has no value that one can have",
                ));
            }
            line(text, "Environment", &quoted(&format!("{name}={value}")));
        }
        if let Some(directory) = &self.working_directory {
            if !directory.starts_with('/') {
                return Err(wrong("working-directory", directory, "is no absolute path"));
            }
            line(
                text,
                "WorkingDirectory",
                &plain("working-directory", directory)?,
            );
        }
        if let Some(user) = &self.user {
            line(text, "User", &plain("user", user)?);
        }
        if let Some(signal) = &self.stop_signal {
            let signal = plain("stop-signal", signal)?;
            let is_sound = signal
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"+-".contains(&b));
            if !is_sound {
                return Err(wrong("stop-signal", &signal, "is no signal"));
            }
            let signal =
                match signal.bytes().all(|b| b.is_ascii_digit()) || signal.starts_with("SIG") {
                    true => signal,
                    false => format!("SIG{signal}"),
                };
            line(text, "KillSignal", &signal);
        }
        if let Some(restart) = &self.restart {
            line(text, "Restart", &plain("restart", restart)?);
        }
        Ok(())
    }

    fn network(&self, text: &mut String) -> Result<(), GenerateError> {
        if self.network || !self.ports.is_empty() {
            line(text, "PrivateNetwork", "no");
        }
        let mut is_privileged = false;
        for port in &self.ports {
            let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
            let number = number.parse::<u16>().ok().filter(|number| *number > 0);
            let number = number.filter(|_| ["tcp", "udp"].contains(&protocol));
            let number = number
                .ok_or_else(|| wrong("ports", port, "is no port: `80`, `80/tcp` or `53/udp` is"))?;
            is_privileged |= number < FREE_PORTS;
            line(text, "SocketBindAllow", &format!("{protocol}:{number}"));
        }
        if !self.ports.is_empty() {
            line(text, "SocketBindDeny", "any");
        }
        if is_privileged {
            line(text, "AmbientCapabilities", "CAP_NET_BIND_SERVICE");
            line(text, "CapabilityBoundingSet", "CAP_NET_BIND_SERVICE");
        }
        Ok(())
    }

    /// What asks the service whether it is well, in its own sandbox. What is the default is not said.
    fn probe(&self, text: &mut String, find: &Find<'_>) -> Result<(), GenerateError> {
        let health = self.health.as_ref();
        let Some(health) = health.filter(|health| !health.command.is_empty()) else {
            return Ok(());
        };
        let command = self.command_line(&health.command, find)?;
        line(text, "HealthCommand", &command);
        let usual = [
            ("HealthIntervalSec", health.interval.max(1), half_a_minute()),
            ("HealthTimeoutSec", health.timeout.max(1), half_a_minute()),
            ("HealthStartPeriodSec", health.start_period, 0),
            (
                "HealthRetries",
                health.retries.max(1).into(),
                three().into(),
            ),
        ];
        for (key, value, usual) in usual {
            if value != usual {
                line(text, key, &value.to_string());
            }
        }
        if !health.ready {
            line(text, "HealthReady", "no");
        }
        Ok(())
    }

    fn command_line(&self, command: &[String], find: &Find<'_>) -> Result<String, GenerateError> {
        let (program, arguments) = command.split_first().ok_or(GenerateError::NoCommand)?;
        let searched = self.environment.get("PATH").map(String::as_str);
        let found = find(program, searched, self.working_directory.as_deref());
        let found = found.ok_or_else(|| GenerateError::NoProgram(program.clone()))?;
        let mut text = quoted(&found);
        for argument in arguments {
            if argument.contains('\0') {
                return Err(wrong(
                    "command",
                    argument,
                    "has a NUL, which no argument has",
                ));
            }
            text.push(' ');
            text.push_str(&quoted(&argument.replace('$', "$$")));
        }
        Ok(text)
    }
}

fn health(configuration: &Configuration) -> Option<Health> {
    let check = configuration.healthcheck.as_ref()?;
    let (kind, words) = check.test.as_ref()?.split_first()?;
    let command = match kind.as_str() {
        "CMD" => words.to_vec(),
        "CMD-SHELL" => ["/bin/sh".to_owned(), "-c".to_owned()]
            .into_iter()
            .chain(words.first().cloned())
            .collect(),
        _ => return None,
    };
    // Nothing and zero are the default.
    let seconds = |nanoseconds: Option<u64>, usual| match nanoseconds.unwrap_or_default() {
        0 => usual,
        some => some.div_ceil(NANOSECONDS),
    };
    let retries = check.retries.unwrap_or_default();
    Some(Health {
        command,
        interval: seconds(check.interval, half_a_minute()),
        timeout: seconds(check.timeout, half_a_minute()),
        start_period: seconds(check.start_period, 0),
        retries: if retries == 0 { three() } else { retries },
        // Where container images come from, a start does not wait for it.
        ready: false,
    })
}

fn line(text: &mut String, key: &str, value: &str) {
    writeln!(text, "{key}={value}").unwrap_or_default();
}

/// A value as it is, but for `%`, which begins a specifier; one line.
fn plain(key: &'static str, value: &str) -> Result<String, GenerateError> {
    if value.contains(|letter: char| letter.is_control()) || value.ends_with('\\') {
        return Err(wrong(
            key,
            value,
            "is more than one line, or has control characters",
        ));
    }
    Ok(value.replace('%', "%%"))
}

/// A word in quotes, where it needs them.
fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "/-_.,:=@+$".contains(letter);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    let mut text = String::from("\"");
    for letter in word.chars() {
        match letter {
            '"' | '\\' => text.extend(['\\', letter]),
            '%' => text.push_str("%%"),
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            letter if letter.is_ascii_control() => {
                write!(text, "\\x{:02x}", u32::from(letter)).unwrap_or_default();
            }
            letter => text.push(letter),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(program: &str, _: Option<&str>, _: Option<&str>) -> Option<String> {
        match program {
            "gone" => None,
            path if path.starts_with('/') => Some(path.to_owned()),
            name => Some(format!("/usr/bin/{name}")),
        }
    }

    fn check(service: &Service, expected: &str) {
        let said = match service.units("web", &find) {
            Ok(units) => units
                .iter()
                .map(|(name, text)| {
                    format!(
                        "{name}: {}",
                        text.lines()
                            .filter(|line| !line.is_empty())
                            .collect::<Vec<_>>()
                            .join(" | ")
                    )
                })
                .collect::<Vec<_>>()
                .join("\n"),
            Err(error) => format!("refused: {error}"),
        };
        assert_eq!(said, expected);
    }

    #[test]
    fn a_container_image_is_run_as_it_says() {
        let configuration: Configuration = serde_json::from_str(
            r#"{"User": "www", "ExposedPorts": {"80/tcp": {}, "53/udp": {}}, "Env": ["PATH=/bin", "A=100% \"$b\""],
                "Entrypoint": ["run"], "Cmd": ["-c", "echo $HOME; exit 7", ""], "WorkingDir": "/srv", "StopSignal": "QUIT",
                "Healthcheck": {"Test": ["CMD-SHELL", "curl localhost"], "Interval": 5000000000, "StartPeriod": 1500000000, "Retries": 5}}"#,
        )
        .unwrap();
        check(
            &Service::of_container(&configuration),
            "web.service: # Generated by `coracle build`. | [Unit] | Description=web | [Service] | # The container image runs as \"www\", a user of its own: here the service has a dynamic one. | \
             Type=exec | ExecStart=/usr/bin/run -c \"echo $$HOME; exit 7\" \"\" | Environment=\"A=100%% \\\"$b\\\"\" | Environment=PATH=/bin | \
             WorkingDirectory=/srv | KillSignal=SIGQUIT | PrivateNetwork=no | SocketBindAllow=udp:53 | SocketBindAllow=tcp:80 | SocketBindDeny=any | \
             AmbientCapabilities=CAP_NET_BIND_SERVICE | CapabilityBoundingSet=CAP_NET_BIND_SERVICE | \
             HealthCommand=/bin/sh -c \"curl localhost\" | HealthIntervalSec=5 | HealthStartPeriodSec=2 | HealthRetries=5 | HealthReady=no",
        );
    }

    #[test]
    fn a_container_images_health_check_asks_as_it_says_or_not_at_all() {
        let check = |json: &str, expected: &str| {
            let text = format!(r#"{{"Cmd": ["/run"], "Healthcheck": {json}}}"#);
            let configuration: Configuration = serde_json::from_str(&text).unwrap();
            let units = Service::of_container(&configuration).units("web", &find);
            let units = units.unwrap();
            assert_eq!(units.len(), 1);
            let lines = units[0].1.lines().filter(|line| line.starts_with("Health"));
            assert_eq!(lines.collect::<Vec<_>>().join(" | "), expected);
        };
        check(
            r#"{"Test": ["CMD", "probe", "--a b"]}"#,
            "HealthCommand=/usr/bin/probe \"--a b\" | HealthReady=no",
        );
        check(
            r#"{"Test": ["CMD", "probe"], "Timeout": 1, "Interval": 30000000000, "Retries": 0}"#,
            "HealthCommand=/usr/bin/probe | HealthTimeoutSec=1 | HealthReady=no",
        );
        for nothing in [
            r#"{"Test": ["NONE"]}"#,
            r#"{"Test": []}"#,
            r#"{"Interval": 1}"#,
            "{}",
        ] {
            check(nothing, "");
        }
    }

    #[test]
    fn no_value_becomes_a_line_of_its_own() {
        let of = |change: fn(&mut Service)| {
            let mut service = Service {
                command: vec!["run".into()],
                ..Service::default()
            };
            change(&mut service);
            service
        };
        check(
            &Service::default(),
            "refused: nothing says what is to run: name a unit with --unit, or say `command` in the section [service] of psi.toml",
        );
        check(
            &of(|s| s.command = vec!["gone".into()]),
            "refused: the program gone is not in the image, nor in a directory of its PATH",
        );
        let lines = "refused: working-directory: \"/a\\nExecStartPre=/b\" is more than one line, or has control characters";
        check(
            &of(|s| s.working_directory = Some("/a\nExecStartPre=/b".into())),
            lines,
        );
        check(
            &of(|s| s.stop_signal = Some("TERM %n".into())),
            "refused: stop-signal: \"TERM %%n\" is no signal",
        );
        check(
            &of(|s| s.ports = vec!["0".into()]),
            "refused: ports: \"0\" is no port: `80`, `80/tcp` or `53/udp` is",
        );
        check(
            &of(|s| s.environment = [("A=b\n".to_owned(), String::new())].into()),
            "refused: environment: \"A=b\\n\" is no name of a variable, or has no value that one can have",
        );
        check(
            &of(|s| s.command.push("a\nb\tc\u{1}".into())),
            "web.service: # Generated by `coracle build`. | [Unit] | Description=web | [Service] | Type=exec | ExecStart=/usr/bin/run \"a\\nb\\tc\\x01\"",
        );
    }
}
