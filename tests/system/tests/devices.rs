//! Device units: there when udev has marked them, waited for, and those that are bound to them go with them.

use std::fs;
use std::path::PathBuf;

use coracle_system_tests::first::First;
use coracle_system_tests::gate::Gate;
use coracle_system_tests::namespaces::Namespaces;
use coracle_system_tests::waiting;
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, sendto, socket_with};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use testkit::Instance;

/// A device that every kernel has, and what stands for udev's view of it.
const PLACE: &str = "/devices/virtual/mem/null";
const ID: &str = "c1:3";
const LABELLED: &str = "dev-disk-by\\x2dlabel-data.device";

/// A host with a udev of the test's own: its files and those who listen to it are in namespaces that no other has.
struct Host(Namespaces);

impl Host {
    fn new(files: &[(&str, &str)]) -> Host {
        let set_up = "mount -t tmpfs -o mode=0755 tmpfs /run";
        let host = Host(Namespaces::new(&["--mount", "--net"], set_up));
        for (name, text) in files {
            let path = host.run().join("udev").join(name);
            fs::create_dir_all(path.parent().expect("a directory")).expect("it is made");
            fs::write(path, text).expect("a file");
        }
        host
    }

    fn run(&self) -> PathBuf {
        PathBuf::from(self.0.file("root/run"))
    }

    /// Starts the instance in it, which needs no more of it then.
    fn start(&self, coracle: &Instance) {
        self.0.ok(&coracle.command(&["start", "first.service"]));
    }

    /// As udev tells those who listen.
    fn tell(&self, properties: &[&str]) {
        let text = properties.join("\0") + "\0";
        let mut message = b"libudev\0".to_vec();
        message.extend(0xfeed_cafe_u32.to_be_bytes());
        for number in [40, 40, u32::try_from(text.len()).expect("a short text")] {
            message.extend(number.to_ne_bytes());
        }
        message.resize(40, 0);
        message.extend(text.bytes());
        let namespace = self.0.file("ns/net");
        let sent = std::thread::spawn(move || {
            let namespace = fs::File::open(namespace).expect("a network namespace");
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(std::os::fd::AsFd::as_fd(&namespace), kind)
                .expect("it is entered");
            let (flags, protocol) = (SocketFlags::CLOEXEC, Some(KOBJECT_UEVENT));
            let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol);
            let udev = SocketAddrNetlink::new(0, 2);
            sendto(
                socket.expect("a socket"),
                &message,
                SendFlags::empty(),
                &udev,
            )
        });
        sent.join().expect("it ends").expect("it is sent");
    }
}

fn with_host(files: &[(&str, &str)], work: impl FnOnce(&Instance, &Host)) {
    testkit::require_root();
    let (instance, host) = (Instance::new(), Host::new(files));
    instance.unit("first.service", "[Service]\nExecStart=sleep 1000\n");
    host.start(&instance);
    work(&instance, &host);
    // A device that is there can't be stopped.
    host.tell(&["ACTION=remove", &format!("DEVPATH={PLACE}")]);
    drop(host);
    instance.stop();
}

const BOUND: &str = "[Unit]\nBindsTo=dev-disk-by\\x2dlabel-data.device\nAfter=dev-disk-by\\x2dlabel-data.device\n\
     [Service]\nExecStart=sleep 1000\n";

#[test]
fn who_is_bound_to_a_device_waits_for_it_and_ends_with_it() {
    let text = "S:disk/by-label/data\nG:systemd\nQ:systemd\nV:1\n";
    let data = format!("data/{ID}");
    let tag = format!("tags/systemd/{ID}");
    let files = [("control", ""), (&data, text), (&tag, "")];
    with_host(&files, |coracle, host| {
        coracle.unit("bound.service", BOUND);
        coracle.ok(&["start", "bound.service"]);
        for name in [
            LABELLED,
            "dev-null.device",
            "sys-devices-virtual-mem-null.device",
        ] {
            waiting::state(coracle, name, "active");
            assert_eq!(coracle.property(name, "SubState"), "plugged", "{name}");
        }
        let place = format!("DEVPATH={PLACE}");
        host.tell(&["ACTION=remove", &place]);
        waiting::state(coracle, "bound.service", "inactive");
        waiting::state(coracle, LABELLED, "inactive");
        coracle.ok(&["start", "--no-block", "bound.service"]);
        assert_eq!(waiting::states(coracle, "bound.service"), "inactive dead");
        let waits = coracle.ok(&["list-jobs"]);
        assert!(waits.contains(LABELLED), "{waits}");
        // It is not ready, and then it is.
        let said = [
            &place,
            "ACTION=add",
            "TAGS=:systemd:",
            "DEVLINKS=/dev/disk/by-label/data",
        ];
        host.tell(&[&said[..], &["SYSTEMD_READY=0"]].concat());
        host.tell(&[&place, "ACTION=add", "DEVNAME=/dev/null"]);
        host.tell(&said);
        waiting::state(coracle, "bound.service", "active");
        let why = coracle.ok(&["why", LABELLED]);
        assert!(why.contains("came"), "{why}");
    });
}

/// A file of the database whose reader waits until somebody opens it to write.
const SLOW: &str = "c1:5";

#[test]
fn what_udev_tells_while_its_database_is_read_counts_and_nothing_is_read_again() {
    let tag = format!("tags/systemd/{SLOW}");
    with_host(&[("control", ""), (&tag, "")], |coracle, host| {
        let slow = host.run().join("udev/data").join(SLOW);
        fs::create_dir_all(slow.parent().expect("a directory")).expect("it is made");
        let slow = Gate::at(slow);
        coracle.unit("bound.service", BOUND);
        coracle.ok(&["start", "--no-block", "bound.service"]);
        let reading = slow.writer();
        host.tell(&[
            &format!("DEVPATH={PLACE}"),
            "ACTION=add",
            "TAGS=:systemd:",
            "DEVLINKS=/dev/disk/by-label/data",
        ]);
        // Whoever is answered by now has been heard after udev.
        assert_eq!(waiting::states(coracle, "bound.service"), "inactive dead");
        drop(reading);
        waiting::state(coracle, "bound.service", "active");
    });
}

#[test]
fn a_device_that_does_not_come_is_waited_for_as_long_as_its_job_may_run() {
    with_host(&[("control", "")], |coracle, _| {
        coracle.unit("bound.service", BOUND);
        let folder = coracle
            .folder()
            .join("config/units")
            .join(format!("{LABELLED}.d"));
        fs::create_dir_all(&folder).expect("a directory");
        let drop_in = "[Unit]\nJobRunningTimeoutSec=300ms\n";
        fs::write(folder.join("time.conf"), drop_in).expect("a drop-in");
        coracle.ok(&["daemon-reload"]);
        let late = coracle.coracle(&["start", LABELLED]);
        assert_ne!(late.status, 0, "{late:?}");
        let failed = coracle.coracle(&["start", "bound.service"]);
        assert!(failed.stderr.contains("depend"), "{failed:?}");
    });
}

#[test]
fn without_udev_a_device_unit_says_so_and_a_mount_does_not_wait() {
    with_host(&[], |coracle, _| {
        let refused = coracle.coracle(&["start", LABELLED]);
        assert!(
            refused.stderr.contains("does not run on this host"),
            "{refused:?}"
        );
        coracle.unit(
            "srv.mount",
            "[Mount]\nWhat=/dev/disk/by-label/data\nWhere=/srv\n",
        );
        let tied = coracle.ok(&["list-dependencies", "--plain", "srv.mount"]);
        assert!(!tied.contains(".device"), "{tied}");
    });
}

#[test]
fn the_init_starts_what_a_device_wants_when_it_comes() {
    testkit::require_root();
    let (coracle, host) = (Instance::new(), Host::new(&[("control", "")]));
    for name in ["wanted.service", "each@.service"] {
        coracle.unit(name, "[Service]\nExecStart=sleep 1000\n");
    }
    let mut unshare = host.0.entering();
    unshare.args(["--", "unshare"]);
    let mut first = First::start_by(&coracle, unshare);
    let place = format!("DEVPATH={PLACE}");
    // It listens: a device of which it is told is there.
    let said = ["ACTION=add", &place, "TAGS=:systemd:"];
    let wants = "SYSTEMD_WANTS=wanted.service each@.service";
    waiting::eventually("what the device wants", || {
        host.tell(&[&said[..], &[wants]].concat());
        (coracle.property("wanted.service", "ActiveState") == "active").then_some(())
    });
    let instance = "each@sys-devices-virtual-mem-null.service";
    waiting::state(&coracle, instance, "active");
    let why = coracle.ok(&["why", "wanted.service"]);
    assert!(why.contains("sys-devices-virtual-mem-null.device"), "{why}");
    first.signal(rustix::process::Signal::TERM);
    let status = first.unshare.wait().expect("its end");
    assert!(status.success(), "{status}");
}

#[test]
fn a_mount_comes_after_its_device() {
    with_host(&[("control", "")], |coracle, _| {
        coracle.unit(
            "srv.mount",
            "[Mount]\nWhat=/dev/disk/by-label/data\nWhere=/srv\n",
        );
        for property in ["Requires", "After", "StopPropagatedFrom"] {
            let tied = coracle.property("srv.mount", property);
            assert!(tied.contains(LABELLED), "{property}={tied}");
        }
    });
}
