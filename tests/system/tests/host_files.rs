//! The host's files that come with the network: inside the image, current, and not to be written to.

use coracle_system_tests::images::{By, Workshop};
use coracle_system_tests::own_etc::OwnEtc;
use coracle_system_tests::{manager, waiting, with_units};

#[test]
fn with_the_network_come_files_of_the_host_that_stay_current_and_without_it_they_do_not() {
    with_units(&[], |coracle| {
        let (workshop, host) = (Workshop::new(coracle), OwnEtc::new(coracle));
        coracle.ok(&["daemon-exit"]);
        let service = "[Service]\nType=exec\nExecStart=/usr/bin/dash -c 'exec /usr/bin/sleep infinity'\nPrivateNetwork=no\n";
        let image = |version: &str, service: &str| {
            let units = [("netboat.service", service)];
            workshop.image("netboat", version, By::Trusted, &units)
        };
        host.ok(coracle, &["start", &image("1", service), "--grant=network"]);
        let main = coracle.property("netboat", "MainPID");
        let inside = |script: &str| {
            host.ok(
                coracle,
                &["shell", "netboat", "--", "/bin/sh", "-c", script],
            )
        };
        let seen = |path: &str, wanted: &str| {
            waiting::eventually(&format!("{path} is {wanted:?}"), || {
                inside(&format!("cat {path}"))
                    .contains(wanted)
                    .then_some(())
            });
        };
        seen("/etc/resolv.conf", "nameserver 192.0.2.1\n");
        host.replace("resolv.conf", "nameserver 192.0.2.2\nsearch a.example\n");
        host.replace("hosts", "192.0.2.3 boat.example\n");
        host.replace("ssl/certs/ca-certificates.crt", "another bundle\n");
        seen(
            "/etc/resolv.conf",
            "nameserver 192.0.2.2\nsearch a.example\n",
        );
        seen("/etc/hosts", "192.0.2.3 boat.example\n");
        seen("$SSL_CERT_FILE", "another bundle\n");
        // What the next manager finds, it keeps current.
        let before = coracle.process("ManagerPID");
        manager::kill(before);
        host.replace("resolv.conf", "nameserver 192.0.2.4\n");
        seen("/etc/resolv.conf", "nameserver 192.0.2.4\n");
        seen("/etc/localtime", "a zone\n");
        for path in [
            "resolv.conf",
            "hosts",
            "localtime",
            "ssl/certs/ca-certificates.crt",
            "ssl/certs/more",
        ] {
            let written = inside(&format!("touch /etc/{path} 2>/dev/null && echo open; true"));
            assert_eq!(written, "", "{path}");
        }
        assert_eq!(coracle.property("netboat", "MainPID"), main);
        let closed = service.replace("=no", "=yes");
        host.ok(coracle, &["start", &image("2", &closed), "--grant=network"]);
        coracle.ok(&["restart", "netboat.service"]);
        let empty = "cat /etc/resolv.conf /etc/localtime; grep -v localhost /etc/hosts; ls /etc/ssl/certs; echo $SSL_CERT_FILE";
        assert_eq!(inside(empty), "\n");
        coracle.ok(&["purge", "netboat"]);
        assert!(!coracle.folder().join("run/network").exists());
    });
}
