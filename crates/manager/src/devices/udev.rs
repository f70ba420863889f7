//! What udev says of a device: in its database, and in the messages that it sends to whoever listens.

use model::UnitName;
use model::escape::escape_path;
use std::collections::BTreeMap;

/// The mark of devices that are units (systemd.device(5)).
pub(crate) const TAG: &str = "systemd";
/// How a message of udev begins, its number behind that in network order (libudev).
const PREFIX: &[u8; 8] = b"libudev\0";
const MAGIC: u32 = 0xfeed_cafe;
/// Names that one device may have; udev itself knows a handful.
const NAMES_MAX: usize = 256;

/// A device that may be a unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// Where it is below `/sys`: `/devices/…`.
    pub(crate) path: String,
    /// It is a unit, and there for others.
    pub(crate) is_ready: bool,
    /// The names of its units: that of its path first.
    pub(crate) names: Vec<UnitName>,
    /// SYSTEMD_WANTS=: units that are to run when it comes.
    pub(crate) wants: Vec<UnitName>,
}

/// A message.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    /// It is gone.
    pub(crate) is_removal: bool,
    /// Where it was before it moved.
    pub(crate) moved_from: Option<String>,
    /// The device.
    pub(crate) device: Device,
}

/// Reads a file of the database about the device at that place, whose node is that below /dev.
pub fn of_database(path: &str, node: Option<&str>, text: &str) -> Device {
    let (mut properties, mut links) = (BTreeMap::new(), Vec::new());
    let (mut tags, mut current) = (false, None);
    for line in text.lines() {
        match line.split_once(':') {
            Some(("S", link)) => links.push(format!("/dev/{link}")),
            Some(("G", tag)) => tags |= tag == TAG,
            Some(("Q", tag)) => current = Some(current == Some(true) || tag == TAG),
            Some(("E", property)) => properties.extend(property.split_once('=')),
            _ => {}
        }
    }
    let node = node.map(|node| format!("/dev/{node}"));
    // Before systemd 247 there were none that are only of now.
    let is_tagged = current.unwrap_or(tags);
    device(path, node.into_iter().chain(links), is_tagged, &properties)
}

/// Reads a message; none where it is not one of udev's, or of no device.
pub fn of_message(bytes: &[u8]) -> Option<Message> {
    let number = |at: usize| {
        let bytes = bytes.get(at..at + 4)?;
        <[u8; 4]>::try_from(bytes).ok()
    };
    if !bytes.starts_with(PREFIX) || number(8).map(u32::from_be_bytes) != Some(MAGIC) {
        return None;
    }
    let begin = u32::from_ne_bytes(number(16)?) as usize;
    let length = u32::from_ne_bytes(number(20)?) as usize;
    let text = bytes.get(begin..begin.checked_add(length)?)?;
    let pairs = text.split(|byte| *byte == 0);
    let pairs = pairs.filter_map(|pair| std::str::from_utf8(pair).ok()?.split_once('='));
    let said: BTreeMap<&str, &str> = pairs.collect();
    let path = said.get("DEVPATH").filter(|path| path.starts_with('/'))?;
    let get = |name: &str| said.get(name).copied().unwrap_or_default();
    let tags = said.get("CURRENT_TAGS").or_else(|| said.get("TAGS"));
    let is_tagged = tags.is_some_and(|tags| tags.split(':').any(|tag| tag == TAG));
    let links = get("DEVLINKS").split_ascii_whitespace();
    let node = Some(get("DEVNAME")).filter(|node| !node.is_empty());
    let nodes = node.into_iter().chain(links).map(node_of);
    Some(Message {
        is_removal: get("ACTION") == "remove",
        moved_from: said.get("DEVPATH_OLD").map(|path| (*path).to_owned()),
        device: device(path, nodes, is_tagged, &said),
    })
}

/// udev says where it is, the kernel only its name.
fn node_of(said: &str) -> String {
    match said.starts_with('/') {
        true => said.to_owned(),
        false => format!("/dev/{said}"),
    }
}

fn device(
    path: &str,
    nodes: impl Iterator<Item = String>,
    is_tagged: bool,
    properties: &BTreeMap<&str, &str>,
) -> Device {
    let words = |name: &str| {
        let said = properties.get(name).copied().unwrap_or_default();
        said.split_ascii_whitespace()
    };
    let sysfs = format!("/sys{path}");
    let aliases = words("SYSTEMD_ALIAS").map(str::to_owned);
    let paths = std::iter::once(sysfs.clone()).chain(nodes).chain(aliases);
    let mut names = Vec::new();
    for name in paths.filter_map(|path| unit_of(&path)).take(NAMES_MAX) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let wants = words("SYSTEMD_WANTS").take(NAMES_MAX);
    Device {
        path: path.to_owned(),
        is_ready: is_tagged && properties.get("SYSTEMD_READY") != Some(&"0"),
        wants: wants.filter_map(|name| wanted(name, &sysfs)).collect(),
        names,
    }
}

/// The unit of a path; none where the path is too long for a name.
pub(crate) fn unit_of(path: &str) -> Option<UnitName> {
    let escaped = escape_path(path).filter(|_| path.starts_with('/'))?;
    UnitName::new(&format!("{escaped}.device")).ok()
}

/// A template is an instance for the device's path.
fn wanted(name: &str, sysfs: &str) -> Option<UnitName> {
    let name = UnitName::new(name).ok()?;
    if !name.is_template() {
        return Some(name);
    }
    let (prefix, suffix) = name.as_str().split_once('@')?;
    let instance = escape_path(sysfs)?;
    UnitName::new(&format!("{prefix}@{instance}{suffix}")).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    fn names(device: &Device) -> Vec<&str> {
        device.names.iter().map(UnitName::as_str).collect()
    }

    /// As udev sends it.
    fn message(properties: &[&str]) -> Vec<u8> {
        let text = properties.join("\0") + "\0";
        let mut bytes = PREFIX.to_vec();
        bytes.extend(MAGIC.to_be_bytes());
        for number in [40, 40, u32::try_from(text.len()).unwrap()] {
            bytes.extend(number.to_ne_bytes());
        }
        bytes.resize(40, 0);
        bytes.extend(text.bytes());
        bytes
    }

    #[test]
    fn a_device_has_the_names_of_its_place_its_node_its_links_and_its_aliases() {
        let text = "S:disk/by-label/a\\x20b\nI:7\nE:SYSTEMD_ALIAS=/dev/x /dev/vda\nG:systemd\nQ:systemd\nV:1\n\
             E:SYSTEMD_WANTS=a.service b@.service c\n";
        let device = of_database("/devices/a/vda", Some("vda"), text);
        assert!(device.is_ready);
        let expected = [
            "sys-devices-a-vda.device",
            "dev-vda.device",
            "dev-disk-by\\x2dlabel-a\\x5cx20b.device",
            "dev-x.device",
        ];
        assert_eq!(names(&device), expected);
        let wants: Vec<&str> = device.wants.iter().map(UnitName::as_str).collect();
        assert_eq!(wants, ["a.service", "b@sys-devices-a-vda.service"]);
    }

    #[test]
    fn a_device_is_ready_where_its_tag_is_of_now_and_nothing_says_otherwise() {
        let is_ready = |text| of_database("/devices/a", None, text).is_ready;
        assert!(is_ready("G:systemd\n") && is_ready("Q:a\nQ:systemd\nQ:b\nG:systemd\n"));
        for text in [
            "",
            "G:other\n",
            "G:systemd\nQ:other\n",
            "G:systemd\nE:SYSTEMD_READY=0\n",
        ] {
            assert!(!is_ready(text), "{text}");
        }
    }

    #[test]
    fn messages_say_the_same_as_the_database() {
        let bytes = message(&[
            "ACTION=add",
            "DEVPATH=/devices/a/vda",
            "DEVNAME=/dev/vda",
            "DEVLINKS=/dev/x /dev/y",
            "TAGS=:a:systemd:",
        ]);
        let read = of_message(&bytes).unwrap();
        let text = "S:x\nS:y\nG:systemd\n";
        assert_eq!(
            read.device,
            of_database("/devices/a/vda", Some("vda"), text)
        );
        assert!(!read.is_removal && read.moved_from.is_none());
        let gone = message(&["ACTION=remove", "DEVPATH=/devices/a/vda"]);
        assert!(of_message(&gone).unwrap().is_removal);
        for cut in 0..bytes.len() {
            assert_eq!(of_message(bytes.get(..cut).unwrap()), None, "{cut}");
        }
        // As the kernel says it: udev has not looked at it yet.
        assert_eq!(
            of_message(b"add@/devices/a\0ACTION=add\0DEVPATH=/devices/a\0"),
            None
        );
    }
}
