//! Signals by name, with the numbers of x86, ARM and RISC-V (asm-generic/signal.h).

/// The first realtime signal that programs may use.
pub const RTMIN: u8 = 34;
/// The last realtime signal.
pub const RTMAX: u8 = 64;

/// The number of a signal: `SIGTERM`, `TERM`, `SIGRTMIN+3`, `RTMAX-1` or a number.
pub fn number(text: &str) -> Option<u8> {
    if let Ok(number) = text.parse::<u8>() {
        return (1..=RTMAX).contains(&number).then_some(number);
    }
    let name = text.strip_prefix("SIG").unwrap_or(text);
    let plain = SIGNALS
        .iter()
        .position(|known| *known == name)
        .and_then(|at| u8::try_from(at + 1).ok());
    let alias = || {
        ALIASES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, number)| *number)
    };
    plain.or_else(alias).or_else(|| realtime(name))
}

fn realtime(name: &str) -> Option<u8> {
    if let Some(offset) = name.strip_prefix("RTMIN") {
        let offset = if offset.is_empty() {
            0
        } else {
            offset.strip_prefix('+')?.parse::<u8>().ok()?
        };
        return RTMIN.checked_add(offset).filter(|number| *number <= RTMAX);
    }
    let offset = name.strip_prefix("RTMAX")?;
    let offset = if offset.is_empty() {
        0
    } else {
        offset.strip_prefix('-')?.parse::<u8>().ok()?
    };
    RTMAX.checked_sub(offset).filter(|number| *number >= RTMIN)
}

/// The name of a signal, with `SIG`; numbers without one stay numbers.
pub fn name(number: u8) -> String {
    match number {
        RTMIN => "SIGRTMIN".to_owned(),
        RTMAX => "SIGRTMAX".to_owned(),
        _ if (RTMIN..RTMAX).contains(&number) => format!("SIGRTMIN+{}", number - RTMIN),
        _ => match SIGNALS.get(usize::from(number).wrapping_sub(1)) {
            Some(name) => format!("SIG{name}"),
            None => number.to_string(),
        },
    }
}

/// Second names.
const ALIASES: [(&str, u8); 3] = [("POLL", 29), ("IOT", 6), ("CLD", 17)];

/// The names without `SIG`; the place plus one is the number.
pub static SIGNALS: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];
