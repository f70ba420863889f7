//! The world's units, and where their ledgers are.

use std::fs;
use std::path::{Path, PathBuf};

use coracle_system_tests::images::{By, Workshop};
use coracle_system_tests::ledger::Ledger;
use tempfile::TempDir;
use testkit::Instance;

/// Never too often, never too much.
const UNIT: &str = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nLogRateLimitBurst=0\nLimitCORE=0\n";
const AGAIN: &str = "Restart=always\nRestartSec=10ms\n";

/// Name, role and more lines of the services that a ledger of the same name tells of.
const SERVICES: &[(&str, &str, &str)] = &[
    ("web", "serve", ""),
    ("lazy", "serve-once", ""),
    ("crash", "crash", AGAIN),
    (
        "hang",
        "hang",
        "Type=notify\nTimeoutStartSec=300ms\nRestart=always\nRestartSec=10ms\n",
    ),
    // However slow the machine and long the run, the log of all of them keeps below its limit, where the oldest lines go.
    ("burst", "burst", "Restart=always\nRestartSec=500ms\n"),
    ("flood", "flood", ""),
    // One that is stopped before it came to write down its start would never have been there for its ledger.
    ("stay", "stay", "Type=notify\n"),
    ("deaf", "deaf", "Type=notify\nTimeoutStopSec=100ms\n"),
    ("note@", "note", "Type=notify\n"),
];

/// Those that end by themselves and come back until the world comes to a halt.
pub const RESTLESS: &[&str] = &["crash", "fork", "daemon", "hang", "burst", "flood"];

pub struct World<'a> {
    pub coracle: &'a Instance,
    pub seed: u64,
    /// Only root can change what is in it, as an image of the administrator's must be.
    room: TempDir,
}

impl<'a> World<'a> {
    /// Writes the units and starts those that everything begins with.
    pub fn new(coracle: &'a Instance, seed: u64) -> World<'a> {
        let room = tempfile::Builder::new()
            .prefix("coracle-chaos-")
            .tempdir_in("/var");
        let world = World {
            coracle,
            seed,
            room: room.expect("a folder"),
        };
        for (name, role, more) in SERVICES {
            let ledger = name.replace('@', "@%i");
            let exec = world.exec(role, &ledger, "");
            coracle.unit(
                &format!("{name}.service"),
                &format!("{UNIT}{more}ExecStart={exec}\n"),
            );
        }
        world.forking();
        world.oneshots();
        for name in ["web", "lazy"] {
            let path = world.socket(name);
            let text = format!(
                "[Socket]\nListenStream={}\nTriggerLimitIntervalSec=0\nRemoveOnStop=yes\n",
                path.display()
            );
            coracle.unit(&format!("{name}.socket"), &text);
        }
        fs::write(coracle.folder().join("go"), "").expect("a file");
        coracle.ok(&[
            "start",
            "web.socket",
            "lazy.socket",
            "web",
            "crash",
            "fork",
            "burst",
            "flood",
            "stay",
        ]);
        // The one never ends its start, the other may crash before it has: Restart= sees to it.
        coracle.ok(&["start", "--no-block", "hang", "daemon"]);
        world
    }

    fn exec(&self, role: &str, ledger: &str, more: &str) -> String {
        let (program, folder) = (
            env!("CARGO_BIN_EXE_inhabitant"),
            self.coracle.folder().display(),
        );
        format!(
            "{program} {role} {folder}/{ledger}.ledger {} {more}",
            self.seed
        )
    }

    /// Their children take over, one by a message and one by its PID file, and a child's end is its service's.
    fn forking(&self) {
        let (fork, known) = (
            self.exec("fork", "fork", ""),
            self.exec("known", "fork", ""),
        );
        let text = format!(
            "{UNIT}{AGAIN}Type=notify\nNotifyAccess=all\nExecStart={fork}\nExecStartPost={known}\n"
        );
        self.coracle.unit("fork.service", &text);
        let file = self.coracle.folder().join("daemon.pid");
        let file = file.display();
        let (daemon, known) = (
            self.exec("daemon", "daemon", &file.to_string()),
            self.exec("known", "daemon", ""),
        );
        let text = format!(
            "{UNIT}{AGAIN}Type=forking\nPIDFile={file}\nExecStart={daemon}\nExecStartPost={known}\n"
        );
        self.coracle.unit("daemon.service", &text);
    }

    /// One that goes well and one that fails, and one that runs from an image.
    fn oneshots(&self) {
        let exec = self.exec("once", "once", "%i 0");
        self.coracle.unit(
            "done@.service",
            &format!("{UNIT}Type=oneshot\nExecStart={exec}\n"),
        );
        let exec = self.exec("once", "once", "%i 7");
        self.coracle.unit(
            "fail@.service",
            &format!("{UNIT}Type=oneshot\nExecStart={exec}\n"),
        );
        let (image, folder) = (self.image(), self.coracle.folder().display());
        let exec = format!(
            "/usr/bin/inhabitant once /world/image.ledger {} image 0",
            self.seed
        );
        let text = format!(
            "{UNIT}Type=oneshot\nRootImage={}\nBindPaths={folder}:/world\nExecStart={exec}\n",
            image.display()
        );
        self.coracle.unit("image.service", &text);
    }

    fn image(&self) -> PathBuf {
        let workshop = Workshop::new(self.coracle);
        let built = workshop.tree(
            "ID=chaos\nIMAGE_ID=chaos\nIMAGE_VERSION=1\n",
            By::Nobody,
            &[(
                "chaos.service",
                "[Service]
ExecStart=/usr/bin/inhabitant
",
            )],
            |root: &Path| {
                for folder in ["usr/bin", "world", "proc", "sys", "dev", "run", "tmp"] {
                    fs::create_dir_all(root.join(folder)).expect("a folder");
                }
                let program = root.join("usr/bin/inhabitant");
                fs::copy(env!("CARGO_BIN_EXE_inhabitant"), program).expect("the program");
            },
        );
        let place = self.room.path().join("image.psi");
        fs::copy(built, &place).expect("the image");
        place
    }

    pub fn ledger(&self, name: &str) -> Ledger {
        Ledger::at(&self.coracle.folder().join(format!("{name}.ledger")))
    }

    pub fn socket(&self, name: &str) -> PathBuf {
        self.coracle.folder().join(format!("{name}.sock"))
    }
}
