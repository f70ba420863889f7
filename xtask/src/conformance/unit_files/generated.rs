//! Trees and verbs from dice: what nobody thinks of.

use super::Case;
use crate::conformance::random::Random;

const UNITS: &[&str] = &[
    "a.service",
    "a.service",
    "b.service",
    "c.socket",
    "d.timer",
    "e.mount",
    "m.target",
    "n.target",
    "t@.service",
    "t@.service",
    "t@i.service",
    "u@.target",
    "w@.socket",
];

const ASKED: &[&str] = &[
    "a.service",
    "b.service",
    "c.socket",
    "d.timer",
    "e.mount",
    "m.target",
    "t@.service",
    "t@i.service",
    "t@j.service",
    "u@.target",
    "x.service",
    "y@.service",
    "y@i.service",
];

const PLACES: &[&str] = &[
    "usr/lib/systemd/system",
    "usr/lib/systemd/system",
    "usr/lib/systemd/system",
    "usr/lib/systemd/system",
    "etc/systemd/system",
    "run/systemd/system",
    "usr/local/lib/systemd/system",
    "opt",
    "run/systemd/generator",
];

const LINES: &[&str] = &[
    "WantedBy=m.target",
    "WantedBy=m.target n.target",
    "WantedBy=none.target",
    "RequiredBy=m.target",
    "UpheldBy=n.target",
    "WantedBy=u@x.target",
    "WantedBy=u@.target",
    "WantedBy=%p.target",
    "WantedBy=k%i.target",
    "WantedBy=%j-%N.target",
    "WantedBy=",
    "WantedBy=bad name",
    "WantedBy=\"m.target\" 'n.target'",
    "RequiredBy=%%.target",
    "Alias=x.service",
    "Alias=x.service z.service",
    "Alias=x.socket",
    "Alias=y@.service",
    "Alias=y@i.service",
    "Alias=y@%i.service",
    "Alias=b.service",
    "Alias=m.target.wants/a.service",
    "Alias=m.target.wants/x.service",
    "Alias=a.service",
    "Alias=default.target",
    "Alias=",
    "Also=b.service",
    "Also=c.socket d.timer",
    "Also=t@i.service",
    "Also=nowhere.service",
    "Also=%p.socket",
    "DefaultInstance=i",
    "DefaultInstance=j",
    "DefaultInstance=",
    "DefaultInstance=%H",
];

const LINKS: &[&str] = &[
    "etc/systemd/system/a.service -> /dev/null",
    "run/systemd/system/a.service -> /dev/null",
    "etc/systemd/system/b.service:",
    "etc/systemd/system/x.service -> /usr/lib/systemd/system/a.service",
    "etc/systemd/system/x.service -> a.service",
    "etc/systemd/system/x.service -> ../../../usr/lib/systemd/system/a.service",
    "etc/systemd/system/x.service -> /gone/x.service",
    "etc/systemd/system/x.service -> /gone/other.service",
    "etc/systemd/system/a.service -> /opt/a.service",
    "etc/systemd/system/a.service -> /opt/b.service",
    "etc/systemd/system/a.service -> /usr/lib/systemd/system/a.service",
    "run/systemd/system/b.service -> /opt/b.service",
    "etc/systemd/system/m.target.wants/a.service -> /usr/lib/systemd/system/a.service",
    "etc/systemd/system/m.target.wants/a.service -> ../a.service",
    "etc/systemd/system/m.target.wants/t@i.service -> /usr/lib/systemd/system/t@.service",
    "etc/systemd/system/m.target.requires/t@j.service -> ../t@.service",
    "usr/lib/systemd/system/m.target.wants/a.service -> ../a.service",
    "usr/lib/systemd/system/m.target.wants/t@i.service -> ../t@.service",
    "usr/lib/systemd/system/x.service -> a.service",
    "usr/lib/systemd/system/y@.service -> t@.service",
    "run/systemd/system/n.target.wants/a.service -> /usr/lib/systemd/system/a.service",
    "etc/systemd/system/n.target.upholds/b.service -> /usr/lib/systemd/system/b.service",
    "etc/systemd/system/t@i.service -> /usr/lib/systemd/system/t@.service",
    "etc/systemd/system/t@i.service -> t@.service",
    "etc/systemd/system/y@.service -> /usr/lib/systemd/system/t@.service",
    "etc/systemd/system/default.target -> /usr/lib/systemd/system/m.target",
    "usr/lib/systemd/system/default.target -> n.target",
    "etc/systemd/system/a.service.d/10.conf: [Service]|Nice=1",
    "etc/systemd/system/a.service.d/20.conf: [Install]|WantedBy=n.target",
    "usr/lib/systemd/system/a.service.d/20.conf: [Install]|WantedBy=|Alias=z.service",
    "etc/systemd/system/t@.service.d/20.conf: [Install]|DefaultInstance=k",
    "run/systemd/transient/b.service: [Service]|ExecStart=true",
    "run/systemd/generator/b.service: [Service]|ExecStart=true|[Install]|WantedBy=m.target",
    "run/systemd/generator/m.target.wants/b.service -> ../b.service",
    "etc/systemd/system/x.service -> y.service",
    "etc/systemd/system/y.service -> x.service",
];

const PRESETS: &[&str] = &[
    "enable a.service|disable *",
    "disable a.*|enable *",
    "# nothing|ignore b.service|disable t@.service",
    "enable t@.service i j|disable *",
    "enable t*@.service k",
    "disable *@*",
    "nonsense|enable b*",
];

const VERBS: &[&str] = &[
    "enable",
    "enable",
    "enable",
    "disable",
    "reenable",
    "mask",
    "unmask",
    "preset",
    "preset --preset-mode=enable-only",
    "preset --preset-mode=disable-only",
    "revert",
    "add-wants m.target",
    "add-requires n.target",
];

const OTHERS: &[&str] = &[
    "preset-all",
    "set-default m.target",
    "set-default n.target",
    "set-default a.service",
    "set-default default.target",
    "get-default",
    "link /opt/a.service",
    "link /opt/b.service /opt/t@.service",
    "link opt/a.service",
    "enable /opt/a.service",
    "enable /opt/t@.service",
    "enable /usr/lib/systemd/system/a.service",
    "disable nowhere.service",
    "enable nowhere.service",
    "mask nowhere.service",
    "enable a",
    "mask c.socket d.timer",
];

pub(super) fn cases(count: usize) -> Vec<Case> {
    let mut random = Random::new();
    (0..count).map(|number| case(number, &mut random)).collect()
}

fn case(number: usize, random: &mut Random) -> Case {
    let mut tree = Vec::new();
    let mut known = std::collections::BTreeSet::new();
    let mut add = |line: String| {
        let path = line.split([' ', ':']).next().unwrap_or_default().to_owned();
        if known.insert(path) {
            tree.push(line);
        }
    };
    for _ in 0..=random.below(3) {
        add(random.one_of(LINKS).to_owned());
    }
    for _ in 0..2 + random.below(4) {
        let (place, unit) = (random.one_of(PLACES), random.one_of(UNITS));
        let lines: Vec<&str> = (0..random.below(4)).map(|_| random.one_of(LINES)).collect();
        let install = if lines.is_empty() { "" } else { "|[Install]|" };
        add(format!(
            "{place}/{unit}: [Unit]|Description=x{install}{}",
            lines.join("|")
        ));
    }
    if random.below(2) == 0 {
        let place = random.one_of(&["etc", "usr/lib"]);
        let text = random.one_of(PRESETS);
        add(format!("{place}/systemd/system-preset/50.preset: {text}"));
    }
    let mut verbs = Vec::new();
    for _ in 0..=random.below(3) {
        if random.below(4) == 0 {
            verbs.push(random.one_of(OTHERS).to_owned());
            continue;
        }
        let (verb, option) = (
            random.one_of(VERBS),
            random.one_of(&["", "", "", "", " --runtime", " --force"]),
        );
        let units: Vec<&str> = (0..=random.below(2))
            .map(|_| random.one_of(ASKED))
            .collect();
        verbs.push(format!("{verb} {}{option}", units.join(" ")));
    }
    Case {
        name: format!("made up {number}: {}", verbs.join("; ")),
        tree,
        verbs,
        asked: (0..4).map(|_| random.one_of(ASKED).to_owned()).collect(),
    }
}
