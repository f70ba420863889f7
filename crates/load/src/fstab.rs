//! fstab(5) as units: a mount or a swap for each line, with what the line's `x-systemd.` options say (systemd.mount(5), section "fstab").

use model::UnitName;
use model::escape::{escape_path, unescape_octal};
use model::mount::DEVICE_BOUND;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

/// A file or a link below a directory of units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made {
    /// With this text.
    File(String),
    /// To this target.
    Link(String),
}

/// What was made of a table.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fstab {
    /// By their paths below the directory.
    pub files: BTreeMap<PathBuf, Made>,
    /// What is not done as the table has it, for the log.
    pub notes: Vec<String>,
}

/// What the manager, and not mount(8), reads of the options.
const OWN: &[&str] = &["auto", "noauto", "nofail", "_netdev"];
const OWN_PREFIX: &str = "x-systemd.";

/// Longest line that is read, in bytes.
const LINE_BYTES_MAX: usize = 16 * 1024;

/// One line of the table.
struct Line<'a> {
    what: String,
    place: String,
    kind: &'a str,
    options: Vec<&'a str>,
    /// Its file system is checked before.
    is_checked: bool,
}

impl<'a> Line<'a> {
    fn read(text: &'a str) -> Result<Option<Self>, String> {
        let mut words = text.split_ascii_whitespace();
        let Some(what) = words.next().filter(|word| !word.starts_with('#')) else {
            return Ok(None);
        };
        let (Some(place), Some(kind)) = (words.next(), words.next()) else {
            return Err("a line has what, where and a type at least".into());
        };
        let options = words.next().unwrap_or("defaults");
        let pass = words.nth(1).unwrap_or("0");
        let pass: u32 = pass
            .parse()
            .map_err(|_| format!("{pass:?} is no number of a pass"))?;
        Ok(Some(Line {
            what: plain(what)?,
            place: plain(place)?,
            kind,
            options: options.split(',').filter(|one| !one.is_empty()).collect(),
            is_checked: pass > 0,
        }))
    }

    fn has(&self, option: &str) -> bool {
        self.options.contains(&option)
    }

    /// The values of an option, with or without `x-systemd.`'s equals sign.
    fn values(&self, option: &str) -> impl Iterator<Item = &'a str> {
        let values = self.options.iter().filter_map(move |one| {
            let own = one.strip_prefix(OWN_PREFIX)?.strip_prefix(option)?;
            own.strip_prefix('=')
        });
        values.collect::<Vec<_>>().into_iter()
    }

    fn has_own(&self, option: &str) -> bool {
        let mut own = self
            .options
            .iter()
            .filter_map(|one| one.strip_prefix(OWN_PREFIX));
        own.any(|own| own == option)
    }

    /// What mount(8) or swapon(8) reads.
    fn others(&self) -> String {
        let others = self.options.iter().filter(|one| {
            let is_own = OWN.contains(one) || one.starts_with(OWN_PREFIX);
            // What the manager reads of the unit, and mount(8) does not get.
            !is_own || one.starts_with(DEVICE_BOUND)
        });
        others.copied().collect::<Vec<_>>().join(",")
    }

    fn is_swap(&self) -> bool {
        self.kind == "swap"
    }

    fn is_remote(&self) -> bool {
        self.has("_netdev") || model::mount::is_network_kind(self.kind)
    }

    /// A whole file system lies on a device that has to be there.
    fn device(&self) -> Option<String> {
        device(&self.what)
    }
}

/// Undoes the escapes of fstab(5): `\040` and its kin. What a unit file could not hold is refused.
fn plain(word: &str) -> Result<String, String> {
    let bytes = unescape_octal(word.as_bytes());
    let text = String::from_utf8(bytes).map_err(|_| format!("{word} is not UTF-8"))?;
    match text.contains(|one: char| one.is_control()) {
        true => Err(format!("{word} has a control character")),
        false => Ok(text),
    }
}

/// The device that a line names, by its path or by a tag.
fn device(what: &str) -> Option<String> {
    let tags = [
        ("UUID=", "uuid"),
        ("LABEL=", "label"),
        ("PARTUUID=", "partuuid"),
        ("PARTLABEL=", "partlabel"),
    ];
    let tagged = tags.iter().find_map(|(tag, folder)| {
        let value = what.strip_prefix(tag)?.trim_matches('"');
        let value = match *folder {
            "uuid" | "partuuid" => value.to_ascii_lowercase(),
            _ => value.to_owned(),
        };
        Some(format!("/dev/disk/by-{folder}/{}", escape_of_udev(&value)))
    });
    tagged.or_else(|| what.starts_with("/dev/").then(|| what.to_owned()))
}

/// As udev writes values into names of links.
fn escape_of_udev(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for one in value.chars() {
        match one {
            _ if one.is_ascii_alphanumeric() || "#+-.:=@_".contains(one) || !one.is_ascii() => {
                escaped.push(one)
            }
            _ => {
                let _infallible = write!(escaped, "\\x{:02x}", u32::from(one));
            }
        }
    }
    escaped
}

/// As a unit file has it: `%` begins a specifier.
fn value(text: &str) -> String {
    text.replace('%', "%%")
}

/// Makes the units of a table.
#[must_use]
pub fn units(table: &str) -> Fstab {
    let mut made = Fstab::default();
    for (at, text) in table.lines().enumerate() {
        let number = at + 1;
        let outcome = match text.len() > LINE_BYTES_MAX {
            true => Err(format!("it has more than {LINE_BYTES_MAX} bytes")),
            false => Line::read(text).and_then(|line| line.map_or(Ok(()), |line| made.take(&line))),
        };
        if let Err(why) = outcome {
            made.notes
                .push(format!("/etc/fstab:{number}: this line is left out: {why}"));
        }
    }
    made
}

impl Fstab {
    fn take(&mut self, line: &Line<'_>) -> Result<(), String> {
        if line.is_swap() {
            return self.swap(line);
        }
        if line.place == "none" || matches!(line.place.as_str(), "/proc" | "/sys" | "/dev" | "/run")
        {
            // The init has mounted these already.
            return Ok(());
        }
        let escaped = escape_path(&line.place)
            .ok_or_else(|| format!("{} is no absolute path without ..", line.place))?;
        if line.place == "/" || line.place.trim_end_matches('/') == "/usr" {
            return self.remount(line);
        }
        self.mount(line, &format!("{escaped}.mount"))
    }

    /// The root directory, and /usr, are mounted: they get what the line says.
    fn remount(&mut self, line: &Line<'_>) -> Result<(), String> {
        if line.is_checked
            && line.place == "/"
            && let Some(device) = line.device()
        {
            self.pull("local-fs.target", "requires", &checker(&device)?);
        }
        self.pull("local-fs.target", "wants", REMOUNT);
        Ok(())
    }

    fn mount(&mut self, line: &Line<'_>, name: &str) -> Result<(), String> {
        let target = if line.is_remote() {
            "remote-fs.target"
        } else {
            "local-fs.target"
        };
        let mut unit = Self::head(line)?;
        if !line.has("nofail") {
            line_of(&mut unit, "Before", target);
        }
        if line.is_checked
            && !line.is_remote()
            && let Some(device) = line.device()
        {
            let checker = checker(&device)?;
            line_of(&mut unit, "Requires", &checker);
            line_of(&mut unit, "After", &checker);
        }
        let mut body = String::from("\n[Mount]\n");
        line_of(&mut body, "What", &value(&line.what));
        line_of(&mut body, "Where", &value(&line.place));
        if line.kind != "auto" {
            line_of(&mut body, "Type", &value(line.kind));
        }
        let mut options = line.others();
        // What depends on the network waits for it, by the option that says so.
        if line.has("_netdev") {
            options.push_str(if options.is_empty() {
                "_netdev"
            } else {
                ",_netdev"
            });
        }
        if !options.is_empty() {
            line_of(&mut body, "Options", &value(&options));
        }
        if line.has_own("rw-only") {
            line_of(&mut body, "ReadWriteOnly", "yes");
        }
        for time in line.values("mount-timeout") {
            line_of(&mut body, "TimeoutSec", &value(time));
        }
        if line.has_own("automount") {
            return self.automount(line, target, name, unit + &body);
        }
        self.add(line, target, name, unit + &body)
    }

    /// What is mounted when it is first entered is pulled in by its automount alone, which `noauto` is not about.
    fn automount(
        &mut self,
        line: &Line<'_>,
        target: &str,
        mount: &str,
        text: String,
    ) -> Result<(), String> {
        let stem = mount.strip_suffix(".mount").unwrap_or(mount);
        let name = format!("{stem}.automount");
        let mut unit = String::from("# Made from /etc/fstab.\n\n[Unit]\n");
        line_of(&mut unit, "Documentation", "man:fstab(5)");
        line_of(&mut unit, "SourcePath", "/etc/fstab");
        unit.push_str("\n[Automount]\n");
        line_of(&mut unit, "Where", &value(&line.place));
        for time in line.values("idle-timeout") {
            line_of(&mut unit, "TimeoutIdleSec", &value(time));
        }
        if self.files.contains_key(&PathBuf::from(mount)) {
            return Err(format!("an earlier line makes {mount} too"));
        }
        self.want(line, target, &name, false)?;
        self.device(line);
        self.files.insert(mount.into(), Made::File(text));
        self.files.insert(name.into(), Made::File(unit));
        Ok(())
    }

    fn swap(&mut self, line: &Line<'_>) -> Result<(), String> {
        let path = line
            .device()
            .or_else(|| line.what.starts_with('/').then(|| line.what.clone()))
            .ok_or_else(|| format!("{} is neither a path nor a tag of a device", line.what))?;
        let escaped = escape_path(&path).ok_or_else(|| format!("{path} has .. in it"))?;
        let name = format!("{escaped}.swap");
        let mut unit = Self::head(line)?;
        if !line.has("nofail") {
            line_of(&mut unit, "Before", "swap.target");
        }
        let mut body = String::from("\n[Swap]\n");
        line_of(&mut body, "What", &value(&path));
        let others = line.others();
        if !others.is_empty() {
            line_of(&mut body, "Options", &value(&others));
        }
        self.add(line, "swap.target", &name, unit + &body)
    }

    /// The `[Unit]` section's beginning, with the relations that the options give.
    fn head(line: &Line<'_>) -> Result<String, String> {
        let mut unit = String::from("# Made from /etc/fstab.\n\n[Unit]\n");
        line_of(&mut unit, "Documentation", "man:fstab(5)");
        line_of(&mut unit, "SourcePath", "/etc/fstab");
        for name in line.values("requires") {
            let name = unit_of(name)?;
            line_of(&mut unit, "Requires", &name);
            line_of(&mut unit, "After", &name);
        }
        for (option, directive) in [("before", "Before"), ("after", "After")] {
            for name in line.values(option) {
                line_of(&mut unit, directive, &unit_of(name)?);
            }
        }
        for (option, directive) in [
            ("requires-mounts-for", "RequiresMountsFor"),
            ("wants-mounts-for", "WantsMountsFor"),
        ] {
            for path in line.values(option) {
                line_of(&mut unit, directive, &value(path));
            }
        }
        Ok(unit)
    }

    /// How long its device is waited for: of several lines on one the first counts.
    fn device(&mut self, line: &Line<'_>) {
        let path = line
            .device()
            .or_else(|| line.what.starts_with("/dev/").then(|| line.what.clone()));
        let Some(escaped) = path.as_deref().and_then(escape_path) else {
            return;
        };
        for time in line.values("device-timeout") {
            let mut unit = String::from("# Made from /etc/fstab.\n\n[Unit]\n");
            line_of(&mut unit, "SourcePath", "/etc/fstab");
            line_of(&mut unit, "JobRunningTimeoutSec", &value(time));
            let place = PathBuf::from(format!("{escaped}.device"));
            self.files.entry(place).or_insert(Made::File(unit));
        }
    }

    fn add(
        &mut self,
        line: &Line<'_>,
        target: &str,
        name: &str,
        text: String,
    ) -> Result<(), String> {
        if self.files.contains_key(&PathBuf::from(name)) {
            return Err(format!("an earlier line makes {name} too"));
        }
        self.want(line, target, name, line.has("noauto"))?;
        self.device(line);
        self.files.insert(name.into(), Made::File(text));
        Ok(())
    }

    /// What pulls a unit in: a target of the boot, but for those that are asked for, or those that the line names.
    fn want(
        &mut self,
        line: &Line<'_>,
        target: &str,
        name: &str,
        is_asked_for: bool,
    ) -> Result<(), String> {
        let mut is_named = false;
        for (option, folder) in [("wanted-by", "wants"), ("required-by", "requires")] {
            for by in line.values(option) {
                is_named = true;
                self.pull(&unit_of(by)?, folder, name);
            }
        }
        if !is_named && !is_asked_for {
            let folder = if line.has("nofail") {
                "wants"
            } else {
                "requires"
            };
            self.pull(target, folder, name);
        }
        Ok(())
    }

    fn pull(&mut self, by: &str, folder: &str, name: &str) {
        let place = PathBuf::from(format!("{by}.{folder}")).join(name);
        self.files.insert(place, Made::Link(format!("../{name}")));
    }
}

/// What remounts what is mounted before any unit, as the table has it.
pub const REMOUNT: &str = "coracle-remount.service";

/// The unit that checks a device's file system.
fn checker(device: &str) -> Result<String, String> {
    let escaped = escape_path(device).ok_or_else(|| format!("{device} has .. in it"))?;
    Ok(format!("coracle-fsck@{escaped}.service"))
}

/// An option names a unit, a device or a mount's place; what is neither is no part of a path.
fn unit_of(name: &str) -> Result<String, String> {
    let full = match name.starts_with('/') {
        true => {
            let suffix = match name.starts_with("/dev/") {
                true => "device",
                false => "mount",
            };
            let escaped = escape_path(name).ok_or_else(|| format!("{name} has .. in it"))?;
            format!("{escaped}.{suffix}")
        }
        false => name.to_owned(),
    };
    match full.parse::<UnitName>() {
        Ok(name) => Ok(value(name.as_str())),
        Err(_) => Err(format!("{name} is not the name of a unit")),
    }
}

fn line_of(text: &mut String, directive: &str, value: &str) {
    let _infallible = writeln!(text, "{directive}={value}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text<'a>(made: &'a Fstab, name: &str) -> &'a str {
        match made.files.get(&PathBuf::from(name)) {
            Some(Made::File(text)) => text,
            other => panic!("{name}: {other:?}"),
        }
    }

    fn links(made: &Fstab) -> Vec<String> {
        let links = made
            .files
            .iter()
            .filter(|(_, made)| matches!(made, Made::Link(_)));
        links.map(|(path, _)| path.display().to_string()).collect()
    }

    #[test]
    fn a_table_becomes_units_that_its_targets_pull_in() {
        let made = units(
            "# a comment\n\n\
             UUID=ABCD-12 / ext4 errors=remount-ro 0 1\n\
             /dev/vdb1 /srv/my\\040data xfs defaults,noatime 0 2\n\
             host:/export /mnt/nfs nfs4 ro,nofail,x-systemd.mount-timeout=30 0 0\n\
             LABEL=a/b none swap sw,pri=5 0 0\n\
             tmpfs /var/tmp/ tmpfs noauto,size=50% 0 0\n\
             proc /proc proc defaults 0 0\n",
        );
        assert_eq!(made.notes, Vec::<String>::new());
        let data = text(&made, "srv-my\\x20data.mount");
        for line in [
            "What=/dev/vdb1",
            "Where=/srv/my data",
            "Type=xfs",
            "Options=defaults,noatime",
            "Before=local-fs.target",
            "Requires=coracle-fsck@dev-vdb1.service",
            "After=coracle-fsck@dev-vdb1.service",
        ] {
            assert!(data.lines().any(|found| found == line), "{line}: {data}");
        }
        let remote = text(&made, "mnt-nfs.mount");
        assert!(remote.contains("Options=ro\nTimeoutSec=30\n"), "{remote}");
        assert!(!remote.contains("Before="), "it may fail: {remote}");
        let swap = text(&made, "dev-disk-by\\x2dlabel-a\\x5cx2fb.swap");
        assert!(swap.contains("Options=sw,pri=5\n"), "{swap}");
        assert!(text(&made, "var-tmp.mount").contains("size=50%%"));
        assert_eq!(
            links(&made),
            [
                "local-fs.target.requires/coracle-fsck@dev-disk-by\\x2duuid-abcd\\x2d12.service",
                "local-fs.target.requires/srv-my\\x20data.mount",
                "local-fs.target.wants/coracle-remount.service",
                "remote-fs.target.wants/mnt-nfs.mount",
                "swap.target.requires/dev-disk-by\\x2dlabel-a\\x5cx2fb.swap",
            ]
        );
    }

    #[test]
    fn a_device_is_waited_for_as_long_as_the_first_of_its_lines_says() {
        let made = units(
            "LABEL=a /a ext4 x-systemd.device-timeout=3,x-systemd.device-bound=no 0 0\n\
             /dev/disk/by-label/a /b ext4 x-systemd.device-timeout=4 0 0\n",
        );
        let device = text(&made, "dev-disk-by\\x2dlabel-a.device");
        assert!(device.contains("JobRunningTimeoutSec=3\n"), "{device}");
        let mount = text(&made, "a.mount");
        let options = "Options=x-systemd.device-bound=no\n";
        assert!(mount.contains(options), "{mount}");
    }

    #[test]
    fn options_of_a_line_tie_its_unit_to_others() {
        let made = units(
            "/dev/a /a ext4 x-systemd.requires=/dev/k,x-systemd.before=b.service,x-systemd.after=/c,x-systemd.wanted-by=d.target,\
             x-systemd.requires-mounts-for=/e,x-systemd.rw-only 0 0\n",
        );
        let unit = text(&made, "a.mount");
        for line in [
            "Requires=dev-k.device",
            "After=dev-k.device",
            "Before=b.service",
            "After=c.mount",
            "RequiresMountsFor=/e",
            "ReadWriteOnly=yes",
        ] {
            assert!(unit.lines().any(|found| found == line), "{line}: {unit}");
        }
        assert!(!unit.contains("Options="), "{unit}");
        assert_eq!(links(&made), ["d.target.wants/a.mount"]);
    }

    #[test]
    fn what_is_mounted_when_it_is_entered_is_pulled_in_by_its_automount() {
        let made = units(
            "/dev/a /a.mount/b ext4 noauto,x-systemd.automount,x-systemd.idle-timeout=5min 0 0\n\
             host:/c /c nfs nofail,x-systemd.automount 0 0\n\
             /dev/d /d ext4 x-systemd.automount,x-systemd.wanted-by=e.target 0 0\n",
        );
        assert_eq!(made.notes, Vec::<String>::new());
        let unit = text(&made, "a.mount-b.automount");
        let ending = "\n[Automount]\nWhere=/a.mount/b\nTimeoutIdleSec=5min\n";
        assert!(unit.ends_with(ending), "{unit}");
        let mount = text(&made, "a.mount-b.mount");
        assert!(mount.contains("What=/dev/a\n"), "{mount}");
        assert!(!mount.contains("Options="), "{mount}");
        assert_eq!(
            links(&made),
            [
                "e.target.wants/d.automount",
                "local-fs.target.requires/a.mount-b.automount",
                "remote-fs.target.wants/c.automount",
            ]
        );
    }

    #[test]
    fn a_line_that_makes_no_sense_is_left_out_with_the_reason() {
        let made = units(
            "/dev/a\n/dev/a a ext4\n/dev/a /a/../b ext4\n/dev/a /a\\012X=1 ext4\n/dev/a /b ext4 rw 0 x\n/dev/b /c ext4\n/dev/d /c xfs\nfoo none swap\n\
             /dev/e /e ext4 x-systemd.wanted-by=../../etc/x\n/dev/f /f ext4 x-systemd.after=a%n\n",
        );
        assert_eq!(made.files.len(), 2, "{made:?}");
        let lines = [1, 2, 3, 4, 5, 7, 8, 9, 10].map(|line| format!("/etc/fstab:{line}: "));
        assert_eq!(made.notes.len(), lines.len(), "{:?}", made.notes);
        for (note, line) in made.notes.iter().zip(lines) {
            assert!(note.starts_with(&line), "{note}");
        }
    }
}
