//! Versions change under load: sockets that stay open turn nobody away.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use coracle_system_tests::images::{By, Web, Workshop, with_workshop};
use coracle_system_tests::waiting::eventually;
use testkit::{Instance, free_port};

/// Clients at once; each question is a connection of its own.
const CLIENTS: usize = 2;
/// Between two questions of a client.
const PACE: Duration = Duration::from_millis(4);
/// A question that has no answer by then has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the clients were told: answers by version, and what went wrong.
#[derive(Debug, Default)]
struct Told {
    answers: BTreeMap<String, usize>,
    failures: Vec<String>,
}

/// Clients that ask until they are ended.
struct Load {
    told: Arc<Mutex<Told>>,
    ends: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
    began: Instant,
}

fn ask(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: ferry\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let body = answer.strip_prefix("HTTP/1.1 200 OK\r\n");
    let body = body.and_then(|rest| rest.split_once("\r\n\r\n"));
    body.map(|(_, body)| body.to_owned())
        .ok_or_else(|| std::io::Error::other(format!("{answer:?}")))
}

impl Load {
    fn begin(port: u16) -> Load {
        let told = Arc::new(Mutex::new(Told::default()));
        let ends = Arc::new(AtomicBool::new(false));
        let client = |_| {
            let (told, ends) = (Arc::clone(&told), Arc::clone(&ends));
            std::thread::spawn(move || {
                while !ends.load(Ordering::Relaxed) {
                    let answer = ask(port);
                    let mut told = told.lock().expect("no client panics");
                    match answer {
                        Ok(version) => *told.answers.entry(version).or_default() += 1,
                        Err(error) => told.failures.push(error.to_string()),
                    }
                    drop(told);
                    std::thread::park_timeout(PACE);
                }
            })
        };
        let clients = (0..CLIENTS).map(client).collect();
        let began = Instant::now();
        Load {
            told,
            ends,
            clients,
            began,
        }
    }

    fn answers(&self, version: &str) -> usize {
        let told = self.told.lock().expect("no client panics");
        told.answers.get(version).copied().unwrap_or_default()
    }

    /// Until this version has answered some more questions.
    fn is_served_by(&self, version: &str) {
        let before = self.answers(version);
        eventually(&format!("answers of {version}"), || {
            (self.answers(version) > before + 100).then_some(())
        });
    }

    /// How many were answered, none having failed.
    fn end(self) -> usize {
        self.ends.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().expect("no client panics");
        }
        let told = self.told.lock().expect("no client panics");
        assert!(told.failures.is_empty(), "{:?}", told.failures);
        let count = told.answers.values().sum();
        let rate = count as f64 / self.began.elapsed().as_secs_f64();
        println!("{count} questions, {rate:.0} a second: {:?}", told.answers);
        count
    }
}

/// A maker of ferries, whose server answers with the version.
struct Maker<'a> {
    coracle: &'a Instance,
    workshop: &'a Workshop<'a>,
    web: String,
}

impl Maker<'_> {
    fn publish(&self, version: &str, socket: &str) {
        let folder = self.coracle.folder().join(format!("ferry-{version}"));
        fs::create_dir(&folder).expect("a folder");
        let program = env!("CARGO_BIN_EXE_inhabitant");
        let service = format!(
            "[Unit]\nDescription=ferry {version}\n[Service]\nType=exec\nExecStart=/usr/bin/inhabitant http /nowhere 1 {version}\n"
        );
        let socket = format!("[Unit]\nDescription=landing of {version}\n[Socket]\n{socket}\n");
        let [socket, service] =
            [("ferry.socket", socket), ("ferry.service", service)].map(|(name, text)| {
                let path = folder.join(name);
                fs::write(&path, text).expect("a unit file");
                path.display().to_string()
            });
        let image = self.workshop.built(
            &format!("ferry_{version}.psi"),
            By::Trusted,
            &[
                "--program",
                program,
                "--name",
                "ferry",
                "--image-version",
                version,
                "--unit",
                &socket,
                "--unit",
                &service,
            ],
        );
        let key = self.workshop.key(By::Trusted);
        self.coracle
            .ok(&["publish", &image, &self.web, "--key", &key]);
    }
}

#[test]
fn an_upgrade_and_a_rollback_turn_nobody_away_where_the_socket_is_the_same() {
    with_workshop(|coracle, workshop| {
        let Web {
            folder: web,
            ca,
            server,
        } = Web::of(coracle);
        let web = web.display().to_string();
        let maker = Maker {
            coracle,
            workshop,
            web,
        };
        let port = free_port();
        let socket = format!("ListenStream=127.0.0.1:{port}");
        let grant = format!("--grant=listen:127.0.0.1:{port}");
        maker.publish("1.0", &socket);
        coracle.ok(&["start", &server.url("ferry.psi"), "--ca", &ca, &grant]);
        let opened = coracle.property("ferry.socket", "ActiveEnterTimestamp");
        let load = Load::begin(port);
        load.is_served_by("1.0");
        maker.publish("1.1", &socket);
        coracle.ok(&["upgrade", "ferry", "--ca", &ca, "--healthy-for", "1"]);
        load.is_served_by("1.1");
        coracle.ok(&["rollback", "ferry"]);
        load.is_served_by("1.0");
        assert!(load.end() >= 300);
        assert_eq!(
            coracle.property("ferry.socket", "ActiveEnterTimestamp"),
            opened
        );
        assert_eq!(
            coracle.property("ferry.socket", "Description"),
            "landing of 1.0"
        );

        // Another socket is another one, and opened anew.
        maker.publish("1.2", &format!("{socket}\nBacklog=64"));
        coracle.ok(&["upgrade", "ferry", "--ca", &ca, "--healthy-for", "1"]);
        assert_ne!(
            coracle.property("ferry.socket", "ActiveEnterTimestamp"),
            opened
        );
        assert_eq!(ask(port).expect("an answer"), "1.2");
    });
}
