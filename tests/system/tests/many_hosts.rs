//! One verb on several hosts: each does it at once and is told of, whether it answers or not.

use std::net::TcpListener;
use std::process::{Command, Stdio};

use coracle_system_tests::waiting::{eventually, state};
use rustix::process::{Pid, Signal, kill_process};
use testkit::{Instance, Ssh, free_port};

const SLEEPER: &str = "[Service]\nType=exec\nExecStart=/bin/sleep infinity\n";

#[test]
fn one_dead_host_holds_up_nobody_and_each_is_told_of() {
    let (one, other) = (Instance::new(), Instance::new());
    let ssh = Ssh::new();
    let hosts = [ssh.host(&one), ssh.host(&other)];
    one.unit("sleeper.service", SLEEPER);
    // It takes connections, and says nothing.
    let dead = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let dead = format!(
        "127.0.0.1:{}",
        dead.local_addr().expect("its number").port()
    );
    let closed = format!("127.0.0.1:{}", free_port());
    let all = [hosts[0].name.as_str(), &dead, &hosts[1].name, &closed].join(",");
    let at =
        |words: &[&str]| ssh.coracle(&one, &[&["-H", &all, "--host-timeout=20"], words].concat());
    let told = at(&["--json", "start", "sleeper"]);
    assert_eq!(told.status, 255, "{}", told.stderr);
    let rows: serde_json::Value = serde_json::from_str(&told.stdout).expect("JSON");
    let states: Vec<_> = (0..4).map(|index| rows[index]["state"].as_str()).collect();
    let expected = ["done", "not reached", "failed", "not reached"];
    assert_eq!(states, expected.map(Some), "{}", told.stdout);
    assert_eq!(rows[2]["host"], hosts[1].name.as_str());
    let errors = rows[2]["errors"].as_str().expect("what it said");
    assert!(errors.contains("sleeper.service"), "{errors}");
    let two = [hosts[0].name.as_str(), &hosts[1].name].join(",");
    let told = ssh.coracle(&one, &["-H", &two, "is-active", "sleeper"]);
    assert_eq!(told.status, 1, "{}", told.stderr);
    assert!(
        told.stdout
            .contains(&format!("{}  active\n", hosts[0].name)),
        "{}",
        told.stdout
    );
    assert!(
        told.stderr.contains("HOST") && told.stderr.contains("done"),
        "{}",
        told.stderr
    );
    let told = ssh.coracle(&one, &["-H", &two, "timespan", "5s"]).ok();
    assert!(told.stdout.contains(&hosts[1].name), "{}", told.stdout);
    // Who would read what is typed reads that it is over.
    let words = ["-H", &two, "run", "--wait", "--pipe", "/bin/cat"];
    let told = ssh.coracle(&one, &words);
    assert_eq!(told.status, 0, "{}", told.stderr);
    drop(hosts);
    one.stop();
    other.stop();
}

#[test]
fn one_signal_ends_what_runs_on_all_hosts() {
    let instances = [Instance::new(), Instance::new()];
    let ssh = Ssh::new();
    let hosts = instances.each_ref().map(|coracle| ssh.host(coracle));
    let list = hosts.each_ref().map(|host| host.name.clone()).join(",");
    let words = [
        "-H",
        &list,
        "run",
        "--wait",
        "--unit=long",
        "sleep",
        "infinity",
    ];
    let mut command = ssh.command(&instances[0], &words);
    let child = command.stderr(Stdio::piped()).spawn().expect("it starts");
    for coracle in &instances {
        state(coracle, "long.service", "active");
    }
    kill_process(Pid::from_child(&child), Signal::INT).expect("a signal");
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(130), "{said}");
    for coracle in &instances {
        let ended = || coracle.property("long", "ActiveState") != "active";
        eventually("the unit's end", || ended().then_some(()));
    }
    drop(hosts);
    instances.iter().for_each(Instance::stop);
}

/// Hosts that nobody else reaches, in network namespaces that go with the value.
struct Net {
    names: Vec<String>,
}

impl Net {
    /// One for the asking side, which has a bridge to the others.
    fn new(hosts: usize) -> Net {
        let name = |index: usize| format!("coracle-test-{}-{index}", std::process::id());
        let net = Net {
            names: (0..=hosts).map(name).collect(),
        };
        for name in &net.names {
            ip(&["netns", "add", name]);
            ip(&["-n", name, "link", "set", "lo", "up"]);
        }
        let (asking, others) = net.names.split_first().expect("a name");
        ip(&["-n", asking, "link", "add", "bridge", "type", "bridge"]);
        ip(&["-n", asking, "addr", "add", "10.77.0.1/24", "dev", "bridge"]);
        ip(&["-n", asking, "link", "set", "bridge", "up"]);
        for (index, other) in others.iter().enumerate() {
            let (end, address) = (format!("to{index}"), format!("{}/24", Net::address(index)));
            let pair = [
                "-n", asking, "link", "add", &end, "type", "veth", "peer", "name", "eth0", "netns",
                other,
            ];
            ip(&pair);
            ip(&["-n", asking, "link", "set", &end, "master", "bridge", "up"]);
            ip(&["-n", other, "addr", "add", &address, "dev", "eth0"]);
            ip(&["-n", other, "link", "set", "eth0", "up"]);
        }
        net
    }

    fn address(index: usize) -> String {
        format!("10.77.0.{}", index + 10)
    }

    /// The way into one: 0 is the asking side.
    fn inside(&self, index: usize) -> [String; 2] {
        [
            "nsenter".to_owned(),
            format!("--net=/run/netns/{}", self.names[index]),
        ]
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for name in &self.names {
            let mut ip = Command::new("ip");
            ip.args(["netns", "del", name]).status().ok();
        }
    }
}

fn ip(words: &[&str]) {
    let status = Command::new("ip").args(words).status().expect("ip");
    assert!(status.success(), "ip {words:?}");
}

#[test]
fn hosts_of_a_network_do_it_at_once_and_one_that_is_unplugged_is_told_of() {
    let instances: Vec<Instance> = (0..3).map(|_| Instance::new()).collect();
    let (ssh, net) = (Ssh::new(), Net::new(4));
    let mut hosts = Vec::new();
    for (index, coracle) in instances.iter().enumerate() {
        coracle.unit("sleeper.service", SLEEPER);
        let words = net.inside(index + 1);
        let words = words.each_ref().map(String::as_str);
        let path = format!("{}:/usr/bin:/bin", coracle.dist().display());
        hosts.push(ssh.host_with(&Net::address(index), &words, &path, Some(coracle)));
    }
    ip(&["-n", &net.names[4], "link", "set", "eth0", "down"]);
    let mut all: Vec<String> = hosts.iter().map(|host| host.name.clone()).collect();
    all.push(Net::address(3));
    let list = all.join(",");
    let at = |words: &[&str]| {
        let words = [&["-H", &list, "--host-timeout", "20"], words].concat();
        let coracle = ssh.command(&instances[0], &words);
        let [nsenter, net] = net.inside(0);
        let mut inside = Command::new(nsenter);
        inside.arg(net).stdin(Stdio::null());
        let output = testkit::executed(inside, &coracle).output();
        output.expect("nsenter starts")
    };
    let told = at(&["--json", "start", "sleeper"]);
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    let rows: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let states: Vec<_> = (0..4)
        .filter_map(|index| rows[index]["state"].as_str())
        .collect();
    assert_eq!(states, ["done", "done", "done", "not reached"], "{text}");
    assert_eq!(told.status.code(), Some(255));
    for coracle in &instances {
        assert_eq!(coracle.property("sleeper", "ActiveState"), "active");
    }
    drop(hosts);
    instances.iter().for_each(Instance::stop);
    drop(net);
}
