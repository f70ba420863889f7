//! Device units: what udev has marked is there, from its database at first and from its messages after that. Nothing is read before a unit
//! names a device; only the init reads at once, as devices may want units.

pub mod udev;

mod scan;

use crate::elsewhere::{Lane, Told};
use crate::entry::Origin;
use crate::manager::Manager;
use crate::poll::Token;
use engine::{Input, Relation, UnitConfig, UnitId};
use kernel::message::{Descriptors, ReceiveOptions, receive};
use model::mount::Bound;
use model::sorted::Set;
use model::{Unit, UnitKind, UnitName, key};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, netlink, socket_with, sockopt};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use udev::Device;

/// udev makes it when it begins.
const RUNS: &str = "/run/udev/control";
/// The unit that does so on a machine whose init we are, and the one that has it started.
const SERVICE: &str = "systemd-udevd.service";
const SYSINIT: &str = "sysinit.target";
/// Why a device unit can't be had.
const NO_UDEV: &str = "devices are known by udev, which does not run on this host (/run/udev).";
/// The group of those to whom udev speaks, once it has looked at a device.
const GROUP: u32 = 2;
/// Room for what comes while we are at something else: udev looks at all devices of a machine at its start.
const ROOM_BYTES: usize = 16 << 20;
/// udev's own bound is 8 KiB for the properties.
const MESSAGE_BYTES_MAX: usize = 32 << 10;
/// Messages of one round.
const ROUND: usize = 64;
/// Messages that wait for the end of a look at the database.
const WAITING_MAX: usize = 8192;

/// What is known of devices.
#[derive(Default)]
pub(crate) struct Devices {
    monitor: Option<OwnedFd>,
    /// By their places.
    known: BTreeMap<String, Device>,
    /// How many have this name: links of several may be the same.
    names: BTreeMap<UnitName, usize>,
    /// Names of units that may be told something new: when what they want is loaded, too.
    untold: Set<UnitName>,
    /// A thread looks at the database.
    is_looking: bool,
    /// What was heard meanwhile, and may be newer than what it finds. A machine on which devices come and go all the time is looked at once.
    waiting: Vec<udev::Message>,
    /// Some was lost: what it finds may be old already.
    again: bool,
    /// The database was read.
    has_looked: bool,
    /// The log has it that udev can't be heard.
    is_told: bool,
}

/// What a thread has found.
pub(crate) type Found = io::Result<Vec<Device>>;

impl Manager {
    /// Does anybody tell of devices here, or will?
    fn has_udev(&self) -> bool {
        let is_started = || {
            let name = UnitName::new(SYSINIT).ok()?;
            let target = self.loader.load(&name).unit;
            let wants = target.get(&key::WANTS)?;
            Some(wants.0.iter().any(|name| name.as_str() == SERVICE))
        };
        Path::new(RUNS).exists() || (self.is_of_machine() && is_started() == Some(true))
    }

    /// The init starts what devices want.
    pub(crate) fn begin_devices(&mut self) {
        if self.keeper.init && self.has_udev() {
            self.look_for_devices();
        }
    }

    /// What udev knows of a unit, and the device on which one rests.
    pub(crate) fn add_devices(&self, unit: &Unit, origin: &Origin, config: &mut UnitConfig) {
        if config.load != engine::Load::Loaded {
            return;
        }
        let relations: Vec<(Relation, UnitName)> = match unit.kind() {
            UnitKind::Device if !self.has_udev() => {
                config.kind = engine::Kind::Unsupported(NO_UDEV);
                return;
            }
            UnitKind::Device => self.wanted_by(unit.name()),
            // What others mounted is there, whatever it is on.
            UnitKind::Mount | UnitKind::Swap if origin.fragment.is_some() => {
                let device = model::mount::device(unit).filter(|_| self.has_udev());
                device.map(tied).unwrap_or_default()
            }
            _ => return,
        };
        let mut all = std::mem::take(&mut config.relations).into_vec();
        all.extend(
            relations
                .into_iter()
                .map(|(how, name)| (how, name.as_str().into())),
        );
        config.relations = all.into();
    }

    /// Beside another init that one starts what devices want.
    fn wanted_by(&self, name: &UnitName) -> Vec<(Relation, UnitName)> {
        let known = self.aside.devices.known.values();
        let own = known.filter(|device| device.is_ready && device.names.first() == Some(name));
        let wants = own.flat_map(|device| &device.wants).cloned();
        let wants = wants.filter(|_| self.keeper.init);
        wants.map(|name| (Relation::Wants, name)).collect()
    }

    /// A device unit was loaded, perhaps the first.
    pub(crate) fn look_for_device(&mut self, unit: UnitId) {
        let Some(entry) = self.units.get(&unit) else {
            return;
        };
        if entry.name.kind() != UnitKind::Device {
            return;
        }
        let name = entry.name.clone();
        if self.aside.devices.monitor.is_none() && self.has_udev() {
            self.look_for_devices();
        }
        self.aside.devices.untold.insert(name);
    }

    /// Tells the engine what is new.
    pub(crate) fn tell_of_devices(&mut self) {
        if !self.aside.devices.has_looked {
            return;
        }
        while let Some(name) = self.aside.devices.untold.pop_first() {
            let is_there = self.aside.devices.names.contains_key(&name);
            if let Some(unit) = self.engine.id(name.as_str()) {
                self.inputs.push_back(Input::Device { unit, is_there });
            }
        }
    }

    /// Listens, and then looks what is there.
    fn look_for_devices(&mut self) {
        if self.aside.devices.monitor.is_none() {
            match self.listen_to_udev() {
                Ok(monitor) => self.aside.devices.monitor = Some(monitor),
                Err(errno) => self.tell_unheard(errno),
            }
        }
        let devices = &mut self.aside.devices;
        devices.again = devices.is_looking;
        if !std::mem::replace(&mut devices.is_looking, true) {
            let now = crate::clock::monotonic();
            let work = || Told::Devices(scan::all());
            self.elsewhere.ask(now, Lane::Host, Box::new(work));
        }
    }

    fn tell_unheard(&mut self, errno: Errno) {
        if !std::mem::replace(&mut self.aside.devices.is_told, true) {
            self.log(&format!(
                "udev can't be heard, and devices that come later are not seen: {errno}; `coracle daemon-reexec` tries again"
            ));
        }
    }

    fn listen_to_udev(&self) -> Result<OwnedFd, Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let protocol = Some(netlink::KOBJECT_UEVENT);
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)?;
        sockopt::set_socket_passcred(&socket, true)?;
        // Without the privilege it is as large as the host allows.
        match sockopt::set_socket_recv_buffer_size_force(&socket, ROOM_BYTES) {
            Ok(()) | Err(_) => {}
        }
        kernel::listening::bind_netlink(&socket, GROUP)
            .map_err(|errno| Errno::from_raw_os_error(errno.raw_os_error()))?;
        self.poll.watch(&socket, Token::Devices)?;
        Ok(socket)
    }

    /// A thread has looked at the database.
    pub(crate) fn on_devices_found(&mut self, found: Found) {
        let devices = &mut self.aside.devices;
        devices.is_looking = false;
        let again = std::mem::take(&mut devices.again);
        let waiting = std::mem::take(&mut devices.waiting);
        match found {
            Ok(found) => self.take_over_found(found),
            Err(error) => self.log(&format!(
                "which devices are there can't be told, and what was known before holds: /run/udev: {error}"
            )),
        }
        for message in waiting {
            self.hear_of_device(message);
        }
        if again {
            self.look_for_devices();
        }
    }

    fn take_over_found(&mut self, found: Vec<Device>) {
        let devices = &mut self.aside.devices;
        devices.has_looked = true;
        let there: Set<&String> = found.iter().map(|device| &device.path).collect();
        let known = devices.known.keys();
        let gone: Vec<String> = known
            .filter(|path| !there.contains(path))
            .cloned()
            .collect();
        for path in &gone {
            self.device_goes(path);
        }
        for device in found {
            self.device_comes(device);
        }
    }

    /// udev speaks.
    pub(crate) fn on_udev(&mut self) {
        let mut buffer = vec![0; MESSAGE_BYTES_MAX];
        for _ in 0..ROUND {
            let Some(monitor) = &self.aside.devices.monitor else {
                return;
            };
            let mut sent = Descriptors::default();
            let received = receive(monitor, &mut buffer, &mut sent, ReceiveOptions::default());
            let received = match received {
                Ok(received) => received,
                Err(errno) => match Errno::from_raw_os_error(errno.raw_os_error()) {
                    // Some were lost.
                    Errno::NOBUFS => return self.look_for_devices(),
                    Errno::AGAIN | Errno::INTR => return,
                    // It would be told again without end.
                    errno => {
                        self.aside.devices.monitor = None;
                        return self.tell_unheard(errno);
                    }
                },
            };
            let is_of_root = received.credentials.is_some_and(|sender| sender.uid == 0);
            let bytes = buffer.get(..received.bytes).unwrap_or_default();
            if received.truncated {
                return self.look_for_devices();
            }
            if is_of_root && let Some(message) = udev::of_message(bytes) {
                self.hear_of_device(message);
            }
        }
    }

    fn hear_of_device(&mut self, message: udev::Message) {
        let devices = &mut self.aside.devices;
        if devices.is_looking {
            match devices.waiting.len() < WAITING_MAX {
                true => devices.waiting.push(message),
                false => devices.again = true,
            }
            return;
        }
        if let Some(before) = &message.moved_from {
            self.device_goes(before);
        }
        match message.is_removal {
            true => self.device_goes(&message.device.path),
            false => self.device_comes(message.device),
        }
    }

    fn device_goes(&mut self, path: &str) {
        if let Some(device) = self.aside.devices.known.remove(path) {
            let names = self.aside.devices.let_go(&device);
            self.aside.devices.untold.extend(names);
        }
    }

    /// It is there, or is otherwise than it was.
    fn device_comes(&mut self, device: Device) {
        let devices = &mut self.aside.devices;
        let before = devices.known.get(&device.path).cloned().unwrap_or_default();
        if before == device {
            return;
        }
        let wants = device.is_ready && !device.wants.is_empty() && before.wants != device.wants;
        let gone = devices.let_go(&before);
        devices.take_in(&device);
        devices.untold.extend(gone);
        devices.untold.extend(device.names.iter().cloned());
        devices.known.insert(device.path.clone(), device.clone());
        if wants && self.keeper.init {
            self.want_for(&device);
        }
    }

    /// The unit of its place has what it wants, which is started when the device comes.
    fn want_for(&mut self, device: &Device) {
        let Some(name) = device.names.first() else {
            return;
        };
        match self
            .engine
            .id(name.as_str())
            .and_then(|id| self.units.get(&id))
        {
            Some(entry) => {
                let (unit, origin) = (Unit::clone(&entry.unit), entry.origin.clone());
                self.configure(name.clone(), unit, origin);
                self.load_named();
            }
            None => {
                if let Err(failure) = self.find_or_load(name.as_str()) {
                    self.log(&format!("what {name} wants is not started: {failure}"));
                }
            }
        }
    }
}

impl Devices {
    /// The names that nobody has any more.
    fn let_go(&mut self, device: &Device) -> Vec<UnitName> {
        let mut gone = Vec::new();
        for name in device.names.iter().filter(|_| device.is_ready) {
            let count = self.names.get_mut(name);
            if let Some(count) = count {
                *count -= 1;
                if *count == 0 {
                    self.names.remove(name);
                    gone.push(name.clone());
                }
            }
        }
        gone
    }

    fn take_in(&mut self, device: &Device) {
        for name in device.names.iter().filter(|_| device.is_ready) {
            *self.names.entry(name.clone()).or_default() += 1;
        }
    }
}

/// As systemd.mount(5) has it, by x-systemd.device-bound=.
fn tied((path, bound): (String, Bound)) -> Vec<(Relation, UnitName)> {
    let Some(name) = udev::unit_of(&path) else {
        return Vec::new();
    };
    let how: &[Relation] = match bound {
        Bound::Yes => &[Relation::BindsTo, Relation::After],
        Bound::No => &[Relation::Requires, Relation::After],
        Bound::Unsaid => &[
            Relation::Requires,
            Relation::StopPropagatedFrom,
            Relation::After,
        ],
    };
    how.iter().map(|how| (*how, name.clone())).collect()
}
