//! The services: what an administrator would write for each, what it is asked, and what it needs of what the default profile closes.

use super::load::Load;

/// A service of a package.
pub(super) struct Service {
    pub(super) name: &'static str,
    pub(super) package: &'static str,
    /// The unit that is started.
    pub(super) unit: &'static str,
    /// What is configured before the start, as lines of a shell.
    pub(super) prepare: &'static str,
    /// A server that it asks is on this port.
    pub(super) origin: Option<u16>,
    pub(super) load: Load,
    /// What it is granted under the default profile: lines of a drop-in.
    pub(super) grants: &'static [&'static str],
}

const BASE: Service = Service {
    name: "",
    package: "",
    unit: "",
    prepare: "",
    origin: None,
    load: Load::Time,
    grants: &[],
};

/// What serves a network by sockets that it opens itself.
const NETWORK: &str = "PrivateNetwork=no";
/// What starts as root and becomes a user of its own.
const OWN_USER: &str = "DynamicUser=no";
const USERS: &str = "PrivateUsers=no";
/// What ends by a signal that it sends to itself, or that it does not handle: the first process of a namespace does not die of it. And
/// what puts itself into the background: all end with the first.
const FIRST: &str = "PrivatePIDs=no";
/// What opens a low port as root and works as somebody else, with files of either.
const LOW_PORT: &str =
    "CapabilityBoundingSet=CAP_NET_BIND_SERVICE CAP_SETUID CAP_SETGID CAP_CHOWN CAP_DAC_OVERRIDE";

pub(super) const SERVICES: &[Service] = &[
    Service {
        name: "nginx",
        package: "nginx",
        unit: "nginx.service",
        load: Load::Page(80, "/"),
        grants: &[
            NETWORK,
            OWN_USER,
            USERS,
            LOW_PORT,
            "ReadWritePaths=/run /var/log/nginx /var/lib/nginx",
            FIRST,
        ],
        ..BASE
    },
    Service {
        name: "PostgreSQL",
        package: "postgresql",
        unit: "postgresql@17-main.service",
        load: Load::Command(
            "su postgres -c 'psql -qAt -c \"select sum(g) from generate_series(1, 1000) g\"'",
        ),
        grants: &[
            NETWORK,
            OWN_USER,
            USERS,
            "CapabilityBoundingSet=CAP_SETUID CAP_SETGID CAP_DAC_OVERRIDE CAP_CHOWN CAP_FOWNER CAP_KILL",
            "ReadWritePaths=/run/postgresql /var/lib/postgresql /var/log/postgresql",
            "PrivateIPC=no",
            "UMask=0022",
            FIRST,
        ],
        ..BASE
    },
    Service {
        name: "redis",
        package: "redis-server",
        unit: "redis-server.service",
        load: Load::Words(
            6379,
            &[
                ("SET a 1\r\n", "+OK"),
                ("INCR b\r\n", ":"),
                ("GET a\r\n", "$1\r\n1\r\n"),
            ],
        ),
        grants: &[NETWORK, OWN_USER],
        ..BASE
    },
    Service {
        name: "OpenSSH",
        package: "openssh-server",
        unit: "ssh.service",
        prepare: "mkdir -p -m 700 /root/.ssh; ssh-keygen -q -N '' -t ed25519 -f /root/.ssh/id_ed25519; cp /root/.ssh/id_ed25519.pub /root/.ssh/authorized_keys",
        load: Load::Command(
            "ssh -o StrictHostKeyChecking=no -o BatchMode=yes -o LogLevel=ERROR root@127.0.0.1 true",
        ),
        grants: &[
            NETWORK,
            OWN_USER,
            USERS,
            "ProtectHome=no",
            "CapabilityBoundingSet=CAP_NET_BIND_SERVICE CAP_SETUID CAP_SETGID CAP_SYS_CHROOT CAP_CHOWN CAP_DAC_OVERRIDE CAP_KILL",
            "SystemCallFilter=chroot",
        ],
        ..BASE
    },
    Service {
        name: "unbound",
        package: "unbound",
        unit: "unbound.service",
        prepare: "printf 'server:\\n  local-data: \"test.example. A 127.0.0.2\"\\n' > /etc/unbound/unbound.conf.d/test.conf",
        load: Load::Name("test.example"),
        grants: &[
            NETWORK,
            OWN_USER,
            USERS,
            LOW_PORT,
            "ReadWritePaths=/run /var/lib/unbound",
            "UMask=0022",
        ],
        ..BASE
    },
    Service {
        name: "chrony",
        package: "chrony",
        unit: "chrony.service",
        prepare: "echo 'DAEMON_OPTS=\"-x\"' > /etc/default/chrony; printf 'local stratum 10\\nallow 127.0.0.0/8\\n' > /etc/chrony/conf.d/test.conf",
        load: Load::Time,
        grants: &[NETWORK, OWN_USER, USERS, LOW_PORT, "ProtectClock=no", FIRST],
        ..BASE
    },
    Service {
        name: "MariaDB",
        package: "mariadb-server",
        unit: "mariadb.service",
        load: Load::Command("mariadb -N -e 'select sum(seq) from seq_1_to_1000' mysql"),
        grants: &[
            NETWORK,
            OWN_USER,
            USERS,
            "CapabilityBoundingSet=CAP_IPC_LOCK CAP_DAC_OVERRIDE",
            "ReadWritePaths=/run /var/lib/mysql -/var/log/mysql",
        ],
        ..BASE
    },
    Service {
        name: "BIND",
        package: "bind9",
        unit: "named.service",
        prepare: "printf '$TTL 60\\n@ SOA ns root 1 60 60 60 60\\n@ NS ns\\n@ A 127.0.0.2\\nns A 127.0.0.1\\n' > /etc/bind/db.test; echo 'zone \"test.example\" { type primary; file \"/etc/bind/db.test\"; };' >> /etc/bind/named.conf.local",
        load: Load::Name("test.example"),
        grants: &[
            NETWORK,
            OWN_USER,
            USERS,
            "CapabilityBoundingSet=CAP_NET_BIND_SERVICE CAP_SETUID CAP_SETGID CAP_CHOWN CAP_DAC_OVERRIDE CAP_SYS_RESOURCE CAP_SYS_CHROOT",
            "ReadWritePaths=/run /var/cache/bind",
            "ProcSubset=all",
        ],
        ..BASE
    },
    Service {
        name: "Dovecot",
        package: "dovecot-imapd",
        unit: "dovecot.service",
        prepare: "useradd -m test; echo test:secret | chpasswd; echo 'auth_allow_cleartext = yes' > /etc/dovecot/local.conf; mkdir -p /var/mail; touch /var/mail/test; chown test:mail /var/mail/test",
        load: Load::Words(
            143,
            &[
                ("", "* OK"),
                ("a LOGIN test secret\r\n", "a OK"),
                ("b SELECT INBOX\r\n", "b OK"),
                ("c LOGOUT\r\n", "c OK"),
            ],
        ),
        grants: &[
            NETWORK,
            OWN_USER,
            USERS,
            "ProtectHome=no",
            "CapabilityBoundingSet=CAP_NET_BIND_SERVICE CAP_SETUID CAP_SETGID CAP_SYS_CHROOT CAP_CHOWN CAP_DAC_OVERRIDE CAP_KILL CAP_SYS_RESOURCE",
            "SystemCallFilter=chroot",
            "ReadWritePaths=/run /home /var/mail /var/lib/dovecot",
            "UMask=0022",
            // What stops it looks for its main process by its number, which is another one outside of the namespace.
            "PrivatePIDs=no",
        ],
        ..BASE
    },
    Service {
        name: "HAProxy",
        package: "haproxy",
        unit: "haproxy.service",
        prepare: "printf 'frontend test\\n  mode http\\n  bind 127.0.0.1:8081\\n  default_backend origin\\nbackend origin\\n  mode http\\n  server one 127.0.0.1:8000\\n' >> /etc/haproxy/haproxy.cfg; test -e /dev/log || touch /dev/log",
        origin: Some(8000),
        load: Load::Page(8081, "/"),
        grants: &[
            NETWORK,
            OWN_USER,
            USERS,
            "CapabilityBoundingSet=CAP_NET_BIND_SERVICE CAP_SETUID CAP_SETGID CAP_SYS_CHROOT CAP_CHOWN CAP_DAC_OVERRIDE CAP_KILL",
            "SystemCallFilter=chroot",
            "ReadWritePaths=/run",
            FIRST,
        ],
    },
    Service {
        name: "Apache",
        package: "apache2",
        unit: "apache2.service",
        load: Load::Page(80, "/"),
        grants: &[
            NETWORK,
            OWN_USER,
            USERS,
            "CapabilityBoundingSet=CAP_NET_BIND_SERVICE CAP_SETUID CAP_SETGID CAP_CHOWN CAP_DAC_OVERRIDE CAP_KILL",
            "ReadWritePaths=/run /var/log/apache2",
            FIRST,
        ],
        ..BASE
    },
    Service {
        name: "lighttpd",
        package: "lighttpd",
        unit: "lighttpd.service",
        load: Load::Page(80, "/"),
        grants: &[
            NETWORK,
            OWN_USER,
            USERS,
            LOW_PORT,
            "ReadWritePaths=/run /var/log/lighttpd /var/cache/lighttpd",
        ],
        ..BASE
    },
    Service {
        name: "memcached",
        package: "memcached",
        unit: "memcached.service",
        load: Load::Words(
            11211,
            &[("set a 0 0 1\r\nx\r\n", "STORED"), ("get a\r\n", "END\r\n")],
        ),
        grants: &[
            NETWORK,
            OWN_USER,
            USERS,
            "CapabilityBoundingSet=CAP_SETUID CAP_SETGID",
            "ReadWritePaths=/run/memcached",
        ],
        ..BASE
    },
    Service {
        name: "Exim",
        package: "exim4-daemon-light",
        unit: "exim4.service",
        prepare: "useradd -m test",
        load: Load::Words(
            25,
            &[
                ("", "220 "),
                ("HELO localhost\r\n", "250 "),
                ("MAIL FROM:<root@localhost>\r\n", "250 "),
                ("RCPT TO:<test@localhost>\r\n", "250 "),
                ("DATA\r\n", "354 "),
                ("Subject: test\r\n\r\ntest\r\n.\r\n", "250 "),
                ("QUIT\r\n", "221 "),
            ],
        ),
        grants: &[
            NETWORK,
            OWN_USER,
            USERS,
            "NoNewPrivileges=no",
            "CapabilityBoundingSet=CAP_NET_BIND_SERVICE CAP_SETUID CAP_SETGID CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER",
            "ReadWritePaths=/run /var/spool /var/log/exim4 /var/lib/exim4 /var/mail",
        ],
        ..BASE
    },
    Service {
        name: "rsync",
        package: "rsync",
        unit: "rsync.service",
        prepare: "mkdir -p /srv/files; head -c 100000 /dev/urandom > /srv/files/one; printf '[files]\\npath = /srv/files\\nread only = yes\\n' > /etc/rsyncd.conf",
        load: Load::Command(
            "d=$(mktemp -d); rsync -q rsync://127.0.0.1/files/one $d/ && cmp /srv/files/one $d/one; s=$?; rm -r $d; exit $s",
        ),
        grants: &[
            NETWORK,
            OWN_USER,
            USERS,
            "CapabilityBoundingSet=CAP_NET_BIND_SERVICE CAP_SETUID CAP_SETGID CAP_SYS_CHROOT",
            "SystemCallFilter=chroot",
            "ReadWritePaths=/run",
        ],
        ..BASE
    },
    Service {
        name: "dnsmasq",
        package: "dnsmasq",
        unit: "dnsmasq.service",
        prepare: "printf 'address=/test.example/127.0.0.2\\nno-resolv\\n' > /etc/dnsmasq.d/test.conf",
        load: Load::Name("test.example"),
        grants: &[
            NETWORK,
            OWN_USER,
            USERS,
            "CapabilityBoundingSet=CAP_NET_BIND_SERVICE CAP_NET_ADMIN CAP_NET_RAW CAP_SETUID CAP_SETGID CAP_CHOWN CAP_DAC_OVERRIDE",
            "ReadWritePaths=/run",
            FIRST,
        ],
        ..BASE
    },
    Service {
        name: "Mosquitto",
        package: "mosquitto",
        unit: "mosquitto.service",
        load: Load::Bytes(
            1883,
            &[
                // CONNECT of version 3.1.1 without a name, a PUBLISH with an answer, DISCONNECT (MQTT 3.1.1).
                (
                    b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00",
                    b"\x20\x02\x00\x00",
                ),
                (b"\x32\x06\x00\x01a\x00\x01x", b"\x40\x02\x00\x01"),
            ],
        ),
        grants: &[
            NETWORK,
            OWN_USER,
            USERS,
            "CapabilityBoundingSet=CAP_SETUID CAP_SETGID CAP_CHOWN CAP_DAC_OVERRIDE",
            "ReadWritePaths=/run /var/lib/mosquitto /var/log",
        ],
        ..BASE
    },
    Service {
        name: "Prometheus node exporter",
        package: "prometheus-node-exporter",
        unit: "prometheus-node-exporter.service",
        load: Load::Page(9100, "/metrics"),
        grants: &[
            NETWORK,
            OWN_USER,
            USERS,
            "ProcSubset=all",
            "ProtectProc=default",
            FIRST,
        ],
        ..BASE
    },
    Service {
        name: "Varnish",
        package: "varnish",
        unit: "varnish.service",
        origin: Some(8080),
        load: Load::Page(6081, "/"),
        grants: &[
            NETWORK,
            OWN_USER,
            USERS,
            "CapabilityBoundingSet=CAP_SETUID CAP_SETGID CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_KILL",
            "ReadWritePaths=/var/lib/varnish",
            "UMask=0022",
        ],
        ..BASE
    },
    Service {
        name: "Squid",
        package: "squid",
        unit: "squid.service",
        origin: Some(8000),
        load: Load::Page(3128, "http://127.0.0.1:8000/"),
        grants: &[
            NETWORK,
            OWN_USER,
            USERS,
            "CapabilityBoundingSet=CAP_SETUID CAP_SETGID CAP_CHOWN CAP_DAC_OVERRIDE CAP_KILL",
            "ReadWritePaths=/run /var/log/squid /var/spool/squid",
            "PrivateIPC=no",
        ],
        ..BASE
    },
    Service {
        name: "Knot",
        package: "knot",
        unit: "knot.service",
        prepare: "printf '$ORIGIN test.example.\\n@ 60 SOA ns.test.example. root.test.example. 1 60 60 60 60\\n@ 60 NS ns\\n@ 60 A 127.0.0.2\\nns 60 A 127.0.0.1\\n' > /var/lib/knot/test.example.zone; printf 'server:\\n  rundir: /run/knot\\n  user: knot:knot\\n  listen: 127.0.0.1@53\\ndatabase:\\n  storage: /var/lib/knot\\nzone:\\n  - domain: test.example\\n    storage: /var/lib/knot\\n    file: test.example.zone\\n' > /etc/knot/knot.conf",
        load: Load::Name("test.example"),
        grants: &[
            NETWORK,
            OWN_USER,
            USERS,
            "CapabilityBoundingSet=CAP_NET_BIND_SERVICE CAP_SETPCAP",
        ],
        ..BASE
    },
    Service {
        name: "vsftpd",
        package: "vsftpd",
        unit: "vsftpd.service",
        prepare: "sed -i 's/^anonymous_enable=.*/anonymous_enable=YES/; s/^listen=.*/listen=YES/; s/^listen_ipv6=.*/listen_ipv6=NO/' /etc/vsftpd.conf",
        load: Load::Words(
            21,
            &[
                ("", "220 "),
                ("USER anonymous\r\n", "331 "),
                ("PASS test\r\n", "230 "),
                ("PWD\r\n", "257 "),
                ("QUIT\r\n", "221 "),
            ],
        ),
        grants: &[
            NETWORK,
            OWN_USER,
            USERS,
            "CapabilityBoundingSet=CAP_NET_BIND_SERVICE CAP_SETUID CAP_SETGID CAP_SYS_CHROOT CAP_SYS_ADMIN",
            "SystemCallFilter=chroot",
            "RestrictNamespaces=no",
            "ReadWritePaths=/run /var/log",
            FIRST,
        ],
        ..BASE
    },
    Service {
        name: "Caddy",
        package: "caddy",
        unit: "caddy.service",
        load: Load::Page(80, "/"),
        grants: &[
            NETWORK,
            OWN_USER,
            USERS,
            "CapabilityBoundingSet=CAP_NET_BIND_SERVICE",
            "ReadWritePaths=/var/lib/caddy",
        ],
        ..BASE
    },
    Service {
        name: "Prometheus",
        package: "prometheus",
        unit: "prometheus.service",
        load: Load::Page(9090, "/api/v1/query?query=1"),
        grants: &[
            NETWORK,
            OWN_USER,
            USERS,
            "ReadWritePaths=/var/lib/prometheus",
            FIRST,
        ],
        ..BASE
    },
    Service {
        name: "NSD",
        package: "nsd",
        unit: "nsd.service",
        prepare: "printf '$ORIGIN test.example.\n@ 60 SOA ns root 1 60 60 60 60\n@ 60 NS ns\n@ 60 A 127.0.0.2\nns 60 A 127.0.0.1\n' > /etc/nsd/test.zone; printf 'server:\n  ip-address: 127.0.0.1\n  rrl-ratelimit: 0\nzone:\n  name: test.example\n  zonefile: /etc/nsd/test.zone\n' > /etc/nsd/nsd.conf.d/test.conf",
        load: Load::Name("test.example"),
        grants: &[
            NETWORK,
            OWN_USER,
            USERS,
            LOW_PORT,
            "ReadWritePaths=/run /var/lib/nsd",
        ],
        ..BASE
    },
    Service {
        name: "etcd",
        package: "etcd-server",
        unit: "etcd.service",
        load: Load::Page(2379, "/health"),
        grants: &[NETWORK, OWN_USER, USERS, "ReadWritePaths=/var/lib/etcd"],
        ..BASE
    },
];
