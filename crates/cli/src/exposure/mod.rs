//! How much of the system a service could reach: the exposure score, as `systemd-analyze security` counts it.

mod rules;
mod table;

use model::value::{DevicePolicy, PrivateTmp, ProtectHome, ProtectSystem};
use model::{Unit, key};
use serde::Serialize;

pub(crate) use table::{ASSESSORS, Assessor};

/// A service, with what its directives bring along.
pub(crate) struct Subject {
    unit: Unit,
    /// Its manager is a user's, so nothing in it has privileges.
    is_of_user: bool,
}

/// One line, judged.
#[derive(Serialize)]
pub(crate) struct Line {
    /// The directive that closes what this line is about.
    pub(crate) name: &'static str,
    pub(crate) json_field: &'static str,
    /// How much it counts, in parts of all weights together.
    pub(crate) weight: u32,
    /// From 0 to the range; `null` where it says nothing about this unit, and counts nothing.
    pub(crate) badness: Option<u32>,
    pub(crate) range: u32,
    /// Its part of the whole, in tenths.
    pub(crate) exposure: u32,
    /// What the service can do, or can't.
    pub(crate) reason: String,
}

/// A unit's score.
#[derive(Serialize)]
pub(crate) struct Score {
    pub(crate) unit: String,
    /// In tenths, from 0 to 100.
    pub(crate) exposure: u32,
    pub(crate) rating: &'static str,
    pub(crate) lines: Vec<Line>,
}

/// What scores are called, from the worst; the least in tenths.
const RATINGS: &[(u32, &str)] = &[
    (100, "dangerous"),
    (90, "unsafe"),
    (75, "exposed"),
    (50, "medium"),
    (10, "ok"),
    (1, "safe"),
    (0, "perfect"),
];

/// A score as people read it: tenths with a point.
pub(crate) fn tenths(exposure: u32) -> String {
    format!("{}.{}", exposure / 10, exposure % 10)
}

impl Subject {
    pub(crate) fn new(mut unit: Unit, is_of_user: bool) -> Subject {
        // What a dynamic user brings along, and private devices.
        if unit.value(&key::DYNAMIC_USER) {
            for key in [
                &key::NO_NEW_PRIVILEGES,
                &key::RESTRICT_SUID_SGID,
                &key::REMOVE_IPC,
            ] {
                unit.set(key, true);
            }
            if unit.value(&key::PRIVATE_TMP) == PrivateTmp::No {
                unit.set(&key::PRIVATE_TMP, PrivateTmp::Connected);
            }
            if unit.value(&key::PROTECT_SYSTEM) == ProtectSystem::No {
                unit.set(&key::PROTECT_SYSTEM, ProtectSystem::Strict);
            }
            if unit.value(&key::PROTECT_HOME) == ProtectHome::No {
                unit.set(&key::PROTECT_HOME, ProtectHome::ReadOnly);
            }
        }
        if unit.value(&key::PRIVATE_DEVICES)
            && unit.value(&key::DEVICE_POLICY) == DevicePolicy::Auto
        {
            unit.set(&key::DEVICE_POLICY, DevicePolicy::Closed);
        }
        Subject { unit, is_of_user }
    }

    /// Judges every line.
    pub(crate) fn score(&self) -> Score {
        let judged = ASSESSORS.iter().map(|line| (line, (line.assess)(self)));
        let judged: Vec<(&Assessor, Option<u32>)> = judged.collect();
        let counted = || {
            judged
                .iter()
                .filter_map(|(line, badness)| Some((line, (*badness)?)))
        };
        let whole: u32 = counted().map(|(line, _)| line.weight).sum();
        let part =
            |(line, badness): (&&Assessor, u32)| (badness * line.weight).div_ceil(line.range);
        let open: u32 = counted().map(part).sum();
        let exposure = (open * 100)
            .checked_div(whole)
            .map_or(0, |_| (open * 100).div_ceil(whole));
        let rating = RATINGS.iter().find(|(least, _)| exposure >= *least);
        Score {
            unit: self.unit.name().to_string(),
            exposure,
            rating: rating.map_or("perfect", |(_, name)| name),
            lines: judged
                .iter()
                .map(|(line, badness)| Line::new(line, *badness, whole))
                .collect(),
        }
    }
}

impl Line {
    fn new(line: &Assessor, badness: Option<u32>, whole: u32) -> Line {
        let part = (badness.unwrap_or(0) * line.weight * 100).div_ceil(line.range);
        let what = line.what;
        Line {
            name: line.name,
            json_field: line.field,
            weight: line.weight,
            badness,
            range: line.range,
            exposure: part.div_ceil(whole.max(1)),
            reason: match badness {
                None => format!("whether it may {what} does not matter here"),
                Some(0) => format!("it can't {what}"),
                Some(badness) if badness < line.range => format!("it may {what}, within bounds"),
                Some(_) => format!("it may {what}"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The score of a service with these lines.
    fn score(lines: &str) -> Score {
        let mut unit = Unit::new("web.service".parse().unwrap());
        for line in lines.lines() {
            let (name, value) = line.split_once('=').unwrap();
            let section = model::Directive::named(name)
                .find_map(|directive| directive.room().section_of(model::UnitKind::Service));
            settings::apply(
                &mut unit,
                section.unwrap(),
                name,
                value,
                &model::text::Verbatim,
            )
            .unwrap_or_else(|error| panic!("{line}: {error}"));
        }
        Subject::new(unit, false).score()
    }

    fn badness(lines: &str, field: &str) -> Option<u32> {
        let score = score(lines);
        let line = score.lines.iter().find(|line| line.json_field == field);
        line.unwrap_or_else(|| panic!("no line {field}")).badness
    }

    #[test]
    fn a_service_without_any_restriction_is_unsafe() {
        let score = score("ExecStart=/bin/true");
        assert_eq!((score.exposure, score.rating), (96, "unsafe"));
        assert_eq!(tenths(score.exposure), "9.6");
    }

    #[test]
    fn every_kind_of_root_is_one_of_its_own() {
        let root = |line: &str| badness(line, "RootDirectoryOrRootImage");
        assert_eq!(root("RootDirectory=/"), Some(1));
        for line in [
            "RootDirectory=/w",
            "RootImage=/w.raw",
            "RootMStack=/w.mstack",
        ] {
            assert_eq!(root(line), Some(0), "{line}");
        }
    }

    #[test]
    fn the_weights_are_those_of_the_settings() {
        for row in settings::TABLE.iter().filter(|row| row.weight > 0) {
            let of_row = |line: &&Assessor| {
                let mut names = line.name.split('/').filter_map(|part| part.split_once('='));
                names.any(|(name, _)| name == row.name)
            };
            let weight: u32 = ASSESSORS
                .iter()
                .filter(of_row)
                .map(|line| line.weight)
                .sum();
            assert_eq!(weight, u32::from(row.weight), "{}", row.name);
        }
        let whole: u32 = ASSESSORS.iter().map(|line| line.weight).sum();
        assert_eq!((ASSESSORS.len(), whole), (81, 56_460));
    }

    const GRADES: &[(&str, &str, Option<u32>)] = &[
        ("User=nobody", "UserOrDynamicUser", Some(9)),
        ("User=web", "UserOrDynamicUser", Some(0)),
        ("DynamicUser=yes", "UserOrDynamicUser", Some(0)),
        ("User=0", "UserOrDynamicUser", Some(10)),
        ("SupplementaryGroups=web", "SupplementaryGroups", None),
        (
            "User=web\nSupplementaryGroups=web",
            "SupplementaryGroups",
            Some(1),
        ),
        ("ProtectHome=read-only", "ProtectHome", Some(5)),
        ("ProtectHome=tmpfs", "ProtectHome", Some(1)),
        ("DynamicUser=yes", "ProtectHome", Some(5)),
        (
            "ProtectHome=yes\nDefaultDependencies=no",
            "ProtectHome",
            None,
        ),
        ("ProtectSystem=full", "ProtectSystem", Some(3)),
        ("DynamicUser=yes", "ProtectSystem", Some(0)),
        ("ProtectSystem=yes", "PrivateMounts", Some(0)),
        ("ProtectKernelLogs=yes", "PrivateMounts", Some(1)),
        ("UMask=0022", "UMask", Some(5)),
        ("UMask=0077", "UMask", Some(0)),
        ("UMask=0027", "UMask", Some(1)),
        ("ProtectProc=noaccess", "ProtectProc", Some(1)),
        (
            "SystemCallArchitectures=native x86",
            "SystemCallArchitectures",
            Some(8),
        ),
        ("IPAddressDeny=any", "IPAddressDeny", Some(0)),
        (
            "IPAddressDeny=any\nIPAddressAllow=localhost",
            "IPAddressDeny",
            Some(2),
        ),
        (
            "IPAddressDeny=any\nIPAddressAllow=10.0.0.0/8",
            "IPAddressDeny",
            Some(5),
        ),
        ("PrivateDevices=yes", "DeviceAllow", Some(0)),
        (
            "PrivateDevices=yes\nDeviceAllow=/dev/null r",
            "DeviceAllow",
            Some(5),
        ),
        (
            "SystemCallFilter=@system-service",
            "SystemCallFilter_mount",
            Some(0),
        ),
        (
            "SystemCallFilter=@system-service",
            "SystemCallFilter_resources",
            Some(9),
        ),
        (
            "SystemCallFilter=~@mount",
            "SystemCallFilter_mount",
            Some(0),
        ),
        (
            "SystemCallFilter=~@mount",
            "SystemCallFilter_clock",
            Some(10),
        ),
        (
            "RestrictAddressFamilies=AF_UNIX",
            "RestrictAddressFamilies_AF_UNIX",
            Some(1),
        ),
        (
            "RestrictAddressFamilies=AF_UNIX",
            "RestrictAddressFamilies_OTHER",
            Some(0),
        ),
        (
            "RestrictAddressFamilies=~AF_PACKET",
            "RestrictAddressFamilies_OTHER",
            Some(1),
        ),
        ("RestrictNamespaces=net", "RestrictNamespaces_net", Some(1)),
        ("RestrictNamespaces=net", "RestrictNamespaces_mnt", Some(0)),
        (
            "ProtectClock=yes",
            "CapabilityBoundingSet_CAP_WAKE_ALARM",
            Some(0),
        ),
        (
            "CapabilityBoundingSet=~CAP_BPF",
            "CapabilityBoundingSet_CAP_BPF",
            Some(0),
        ),
        ("Delegate=yes", "Delegate", Some(1)),
    ];

    #[test]
    fn graded_lines_have_their_grades() {
        for (lines, field, expected) in GRADES {
            assert_eq!(badness(lines, field), *expected, "{field} of {lines}");
        }
    }

    #[test]
    fn every_switch_closes_its_line() {
        let mut switches = 0;
        for line in ASSESSORS {
            let (name, _) = line.name.split_once('=').unwrap();
            let is_switch = settings::rows_named(name).any(|row| row.value.name == "yes or no");
            if is_switch && line.field == name {
                switches += 1;
                let lines = format!("User=web\n{name}=yes");
                assert_eq!(badness(&lines, name), Some(0), "{name}");
                assert_eq!(badness("User=web", name), Some(1), "{name}");
            }
        }
        assert_eq!(switches, 13, "another count of lines is of another list");
    }
}
