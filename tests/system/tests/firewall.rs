//! NFTSet=: the numbers of a unit are in sets of the firewall while it runs, whoever dies meanwhile.

use std::process::Command;

use coracle_system_tests::namespaces::Namespaces;
use coracle_system_tests::waiting::eventually;
use coracle_system_tests::{manager, with_units};
use testkit::Instance;

/// A network of its own, with a table of three sets. What the first command starts in it sees its firewall.
struct Network(Namespaces);

const TABLE: &str = "table inet filter {
    set groups_of_units { type cgroupsv2; }
    set users { type uid; }
    set groups { type gid; }
}";

impl Network {
    fn new() -> Network {
        let network = Network(Namespaces::new(&["--net"], "ip link set lo up"));
        network.nft(&[TABLE]);
        network
    }

    fn inside(&self, command: &Command) -> String {
        let done = self.0.ok(command);
        let text = [done.stdout, done.stderr].map(|bytes| String::from_utf8(bytes).expect("text"));
        text.concat()
    }

    fn ok(&self, coracle: &Instance, arguments: &[&str]) -> String {
        self.inside(&coracle.command(arguments))
    }

    fn nft(&self, arguments: &[&str]) -> String {
        self.inside(Command::new("nft").args(arguments))
    }

    /// What a set has, as nft prints it; empty where it has nothing.
    fn elements(&self, set: &str) -> String {
        let text = self.nft(&["list", "set", "inet", "filter", set]);
        let mut lines = text.lines().map(str::trim);
        let found = lines.find_map(|line| line.strip_prefix("elements = "));
        found.unwrap_or_default().to_owned()
    }

    fn all(&self) -> [String; 3] {
        let found = ["groups_of_units", "users", "groups"].map(|set| self.elements(set));
        // nft says it from where it looks for version 2, beside which a host may have version 1.
        found.map(|text| text.replace("unified/", ""))
    }
}

const NOTHING: [&str; 3] = ["", "", ""];

/// It tries to send when it is asked to.
const SERVICE: &str = "[Service]
User=daemon
Group=games
NFTSet=cgroup:inet:filter:groups_of_units user:inet:filter:users
NFTSet=group:inet:filter:groups
ExecStart=/bin/sleep infinity
";

#[test]
fn a_units_numbers_are_in_the_sets_while_it_runs_whoever_dies() {
    with_units(&[("web.service", SERVICE)], |coracle| {
        let network = Network::new();
        network.ok(coracle, &["start", "web"]);
        let group = format!("{}/system.slice/web.service", coracle.control_group());
        let there = [
            format!("{{ \"{}\" }}", group.trim_start_matches('/')),
            "{ 1 }".into(),
            "{ 60 }".into(),
        ];
        assert_eq!(network.all(), there);
        // Who writes the firewall anew fills the sets by a reload.
        network.nft(&["flush set inet filter users; flush set inet filter groups"]);
        network.ok(coracle, &["daemon-reload"]);
        assert_eq!(network.all(), there);
        // The next manager has it from the records, and fills what is empty.
        let killed = coracle.process("ManagerPID");
        network.nft(&["flush set inet filter users"]);
        manager::kill(killed);
        coracle.ok(&["is-active", "web"]);
        // It answers before the firewall does, which may be busy.
        eventually("the sets are full", || {
            (network.all() == there).then_some(())
        });
        network.ok(coracle, &["restart", "web"]);
        assert_eq!(network.all(), there);
        network.ok(coracle, &["stop", "web"]);
        assert_eq!(network.all(), NOTHING);
    });
}

#[test]
fn a_rule_tells_a_unit_by_its_control_group() {
    let sends = "[Service]
Type=oneshot
LINE
ExecStart=/bin/bash -c 'echo > /dev/udp/127.0.0.1/9'
";
    let with = sends.replace("LINE", "NFTSet=cgroup:inet:filter:groups_of_units");
    let units = [
        ("plain.service", &*sends.replace("LINE", "")),
        ("named.service", &*with),
    ];
    with_units(&units, |coracle| {
        let network = Network::new();
        network.ok(coracle, &["list-units"]);
        let level = coracle.control_group().trim_matches('/').split('/').count() + 2;
        network.nft(&["add chain inet filter out { type filter hook output priority 0; }"]);
        let rule = format!(
            "add rule inet filter out socket cgroupv2 level {level} @groups_of_units counter drop"
        );
        network.nft(&[&rule]);
        network.ok(coracle, &["start", "plain"]);
        let refused = network.0.run(&coracle.command(&["start", "named"]));
        assert!(!refused.status.success(), "the packet passed: {refused:?}");
        assert!(
            network
                .nft(&["list chain inet filter out"])
                .contains("packets 1 ")
        );
    });
}

#[test]
fn two_units_of_one_user_leave_the_set_when_the_last_one_ends() {
    let unit =
        "[Service]\nUser=daemon\nNFTSet=user:inet:filter:users\nExecStart=/bin/sleep infinity\n";
    with_units(&[("one.service", unit), ("two.service", unit)], |coracle| {
        let network = Network::new();
        network.ok(coracle, &["start", "one", "two"]);
        network.ok(coracle, &["stop", "one"]);
        assert_eq!(network.elements("users"), "{ 1 }");
        network.ok(coracle, &["stop", "two"]);
        assert_eq!(network.elements("users"), "");
    });
}

#[test]
fn where_no_set_is_there_all_is_told() {
    let unit = "[Service]
NFTSet=cgroup:inet:absent:one cgroup:inet:absent:two
ExecStart=/bin/sleep infinity
";
    with_units(&[("web.service", unit)], |coracle| {
        let network = Network::new();
        network.ok(coracle, &["start", "web"]);
        let status = network.ok(coracle, &["status", "web"]);
        for set in ["one", "two"] {
            let missing =
                format!("absent:{set} holds nothing of it: No such file or directory (os error 2)");
            assert!(status.contains(&missing), "{status}");
        }
        network.ok(coracle, &["stop", "web"]);
    });
}

#[test]
fn a_set_that_is_not_there_is_told_and_the_unit_runs() {
    let unit = "[Service]
NFTSet=cgroup:inet:filter:absent user:inet:filter:users cgroup:inet:filter:groups_of_units
ExecStart=/bin/sleep infinity
";
    with_units(&[("web.service", unit)], |coracle| {
        let network = Network::new();
        network.ok(coracle, &["start", "web"]);
        let reduced = || {
            let status = network.ok(coracle, &["status", "web"]);
            let mut lines = status.lines();
            let found = lines.find(|line| line.contains("Reduced: NFTSet="));
            found.unwrap_or_default().to_owned()
        };
        // One that is not there keeps nothing out of those that are.
        assert!(network.elements("groups_of_units").contains("web.service"));
        let status = reduced();
        assert!(!status.contains("groups_of_units"), "{status}");
        let missing = "cgroup:inet:filter:absent holds nothing of it: No such file or directory";
        assert!(status.contains(missing), "{status}");
        assert!(
            status.contains(
                "user:inet:filter:users holds nothing of it: the unit has no such number"
            ),
            "{status}"
        );
        network.nft(&["add set inet filter absent { type cgroupsv2; }"]);
        network.ok(coracle, &["daemon-reload"]);
        assert!(!reduced().contains(missing), "{}", reduced());
    });
}
