//! A service for each connection (Accept=yes) while versions change: who is being served is served to the end, and others by the next version.

use std::io::{Read, Write};
use std::net::TcpStream;

use coracle_system_tests::images::{By, Web, Workshop, with_workshop};
use coracle_system_tests::waiting::eventually;
use testkit::{Instance, free_port};

/// Answers one line with its version and that line.
fn image(workshop: &Workshop<'_>, version: &str, port: u16) -> String {
    let socket = format!("[Socket]\nListenStream=127.0.0.1:{port}\nAccept=yes\n");
    let service = format!(
        "[Service]\nStateDirectory=pier\nStandardInput=socket\nStandardOutput=socket\nExecStart=/usr/bin/dash -c 'read -r line; echo {version} $line'\n"
    );
    let units = [
        ("pier.socket", socket.as_str()),
        ("pier@.service", &service),
    ];
    workshop.image("pier", version, By::Trusted, &units)
}

/// One that is served, and has said nothing yet.
fn connect(coracle: &Instance, port: u16, number: usize) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    eventually("its service", || {
        let all = coracle.ok(&["list-units", "pier@*"]);
        (all.matches("pier@").count() >= number).then_some(())
    });
    stream
}

fn answer(mut stream: TcpStream) -> String {
    // Who has ended neither takes nor says anything.
    stream.write_all(b"ahoy\n").ok();
    let mut text = String::new();
    stream.read_to_string(&mut text).ok();
    text
}

#[test]
fn a_connection_that_is_served_is_no_reason_to_go_back_and_is_served_to_the_end() {
    with_workshop(|coracle, workshop| {
        let (web, port) = (Web::of(coracle), free_port());
        let (folder, key) = (web.folder.display().to_string(), workshop.key(By::Trusted));
        let publish = |version: &str| {
            let image = image(workshop, version, port);
            coracle.ok(&["publish", &image, &folder, "--key", &key]);
        };
        publish("1");
        let (url, listen) = (
            web.server.url("pier.psi"),
            format!("--grant=listen:127.0.0.1:{port}"),
        );
        coracle.ok(&["start", &url, "--ca", &web.ca, &listen]);
        let first = connect(coracle, port, 1);
        publish("2");
        let done = coracle.coracle(&["upgrade", "pier", "--healthy-for", "1"]);
        assert_eq!(done.status, 0, "{}{}", done.stdout, done.stderr);
        let pier = || connect(coracle, port, 1);
        assert_eq!(answer(pier()), "2 ahoy\n");
        coracle.ok(&["rollback", "pier"]);
        assert_eq!(answer(pier()), "1 ahoy\n");
        let file = image(workshop, "3", port);
        coracle.ok(&["reattach", &file, "--now"]);
        assert_eq!(answer(pier()), "3 ahoy\n");
        assert_eq!(answer(first), "1 ahoy\n");

        // What it has stored is exchanged while nobody is served.
        let backup = coracle.folder().join("backup").display().to_string();
        coracle.ok(&["backup", "pier", &backup]);
        let cut = pier();
        coracle.ok(&["restore", "pier", &backup]);
        assert_eq!(answer(cut), "");
        assert_eq!(answer(pier()), "3 ahoy\n");
    });
}
