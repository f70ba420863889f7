//! What the file may say, and what it may not.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use super::*;

fn parse(text: &str) -> Result<Policy, String> {
    Policy::parse(Path::new("/etc/coracle/delivery.toml"), text).map_err(|error| error.to_string())
}

fn refused(text: &str, expected: &str) {
    let told = parse(text).unwrap_err();
    assert!(
        told.starts_with(&format!("/etc/coracle/delivery.toml:{expected}")),
        "{told}"
    );
}

/// A file that has every key of the list but one, as its example is.
fn whole_but(one: &str) -> String {
    let (mut text, mut table) = (String::new(), "");
    for key in KEYS.iter().filter(|key| key.name != one) {
        let (its, name) = key.name.split_once('.').unwrap_or(("", key.name));
        if its != table {
            let is_many = its != "upgrade";
            text.push_str(&if is_many {
                format!("[[{its}]]\n")
            } else {
                format!("[{its}]\n")
            });
            table = its;
        }
        text.push_str(&format!("{name} = {}\n", key.example));
    }
    text
}

#[test]
fn every_key_that_is_told_of_is_known_and_every_known_one_is_told_of() {
    // Nothing is left at its default: a key that nobody told of would be.
    let policy = parse(&whole_but("credential.token")).unwrap();
    let [CredentialFiles { netrc: Some(_), .. }] = &policy.credential[..] else {
        panic!("{policy:?}");
    };
    let policy = parse(&whole_but("credential.netrc")).unwrap();
    let Policy {
        sources,
        proxy,
        no_proxy,
        rate_limit,
        netrc,
        mirror,
        credential,
        upgrade,
    } = policy;
    assert!(sources.is_some() && proxy.is_some() && !no_proxy.is_empty());
    assert!(rate_limit == Some(Rate(2 << 20)) && netrc.is_some() && mirror.len() == 1);
    let [
        CredentialFiles {
            r#for: _,
            token: Some(_),
            netrc: None,
            certificate: Some(_),
            key: Some(_),
        },
    ] = &credential[..]
    else {
        panic!("{credential:?}");
    };
    let Automatic {
        schedule,
        jitter,
        metered,
    } = upgrade;
    assert!(schedule.is_some() && jitter.is_some() && metered.len() == 2);
}

#[test]
fn the_page_has_every_key_as_it_is_told_of() {
    let page = include_str!("../../../../docs/delivery-policy.md");
    for key in KEYS {
        assert!(
            page.contains(&key.row()),
            "docs/delivery-policy.md lacks:\n{}",
            key.row()
        );
    }
    assert_eq!(page.matches("\n| `").count(), KEYS.len());
}

#[test]
fn what_is_not_known_is_refused_with_its_line() {
    refused(
        "sources = []\nsource = []\n",
        "2: unknown field `source`, expected one of",
    );
    refused(
        "[upgrade]\nschedul = \"daily\"\n",
        "2: unknown field `schedul`",
    );
    refused(
        "\nsources = [\"ftp://a.org/\"]\n",
        "2: \"ftp://a.org/\" is no place of a server",
    );
    refused("rate-limit = \"fast\"\n", "1: \"fast\" is no rate");
    refused(
        "rate-limit = \"100\"\n",
        "1: \"100\" is no rate of at least 1K",
    );
    refused("[upgrade]\nschedule = \"someday\"\n", "2: ");
    refused(
        "[upgrade]\nschedule = \"daily\"\njitter = \"infinity\"\n",
        "3: it would never be due",
    );
    refused(
        "\n[upgrade]\njitter = \"1h\"\n",
        "3: `jitter` says how much later",
    );
    refused(
        "proxy = \"https://p.org\"\n",
        "1: https://p.org is no http:// address",
    );
    refused(
        "proxy = \"http://me:s3cret@p.org\"\n",
        "1: a name or password in an address",
    );
    refused(
        "[[credential]]\nfor = \"http://a.org/\"\ntoken = \"t\"\n",
        "1: the credential for http://a.org:80 would be known to everybody on the way",
    );
    refused(
        "[[credential]]\nfor = \"https://a.org/\"\n",
        "1: the credential for https://a.org:443 names no file",
    );
    refused(
        "[[credential]]\nfor = \"https://a.org/\"\nkey = \"k\"\n",
        "1: the credential for https://a.org:443 has a certificate or a key",
    );
    refused(
        "[[credential]]\nfor = \"https://a.org/\"\ntoken = \"t\"\nnetrc = \"n\"\n",
        "1: the credential for https://a.org:443 has a token and a netrc",
    );
    refused(
        "[[mirror]]\nof = \"https://a.org/\"\n",
        "1: missing field `at`",
    );
    refused("sources = [\n", "");
    assert!(
        !parse("proxy = \"http://me:s3cret@p.org\"\n")
            .unwrap_err()
            .contains("s3cret")
    );
}

#[test]
fn a_proxy_has_a_name_and_a_password_and_nothing_else_without_encryption_has() {
    let both = |more: &str| {
        format!(
            "proxy = \"http://p.lan:3128\"\n[[credential]]\nfor = \"https://a.org/\"\ntoken = \"t\"\n\n[[credential]]\nfor = \"http://p.lan:3128\"\n{more}"
        )
    };
    let only_name =
        "6: the credential for http://p.lan:3128 is for the proxy, which is told a name";
    refused(&both("token = \"t\"\n"), only_name);
    refused(
        &both("netrc = \"n\"\nkey = \"k\"\ncertificate = \"c\"\n"),
        only_name,
    );
    refused(
        &both("netrc = \"n\"\n").replace(
            "proxy = \"http://p.lan:3128\"",
            "proxy = \"http://p.lan:80\"",
        ),
        "6: the credential for http://p.lan:3128 would be known to everybody",
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("netrc");
    let text = "machine p.lan login me password s3cret\n";
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let policy = parse(&both(&format!("netrc = \"{}\"\n", file.display()))).unwrap();
    let login = policy.proxy_login().unwrap();
    let Some(Login::Password { user, password }) = &login else {
        panic!("{login:?}");
    };
    assert_eq!((user.as_str(), password.reveal()), ("me", "s3cret"));
    assert!(!format!("{login:?}").contains("s3cret"));
    // As a server it is told nothing.
    assert_eq!(policy.credential("http://p.lan:3128/x").unwrap(), None);
}

#[test]
fn sources_that_are_not_listed_are_not_fetched_and_mirrors_come_first() {
    let policy = parse(
        "sources = [\"https://a.org/boats/\"]\n[[mirror]]\nof = \"https://a.org/\"\nat = \"http://m.lan/a/\"\n",
    )
    .unwrap();
    assert_eq!(
        policy.addresses("https://a.org/boats/boat.psi").unwrap(),
        [
            "http://m.lan/a/boats/boat.psi",
            "https://a.org/boats/boat.psi"
        ]
    );
    let told = policy
        .addresses("https://a.org/other/boat.psi")
        .unwrap_err();
    assert_eq!(
        told.to_string(),
        "https://a.org/other/boat.psi is not among the sources that delivery.toml allows"
    );
    let allowed = policy.allowed().unwrap();
    assert!(allowed.iter().any(|place| place.covers("http://m.lan/a/x")));
    assert!(
        parse("sources = []")
            .unwrap()
            .check_source("https://a.org/")
            .is_err()
    );
    assert!(parse("").unwrap().check_source("https://a.org/").is_ok());
}

#[test]
fn a_file_that_others_could_have_written_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(Policy::read(folder.path()).unwrap(), Policy::default());
    let nowhere = folder.path().join("not/there");
    assert_eq!(Policy::read(&nowhere).unwrap(), Policy::default());
    let path = folder.path().join(FILE);
    let (away, of_directory) = (folder.path().join("away"), folder.path().join("link"));
    for link in [&path, &of_directory] {
        std::os::unix::fs::symlink(&away, link).unwrap();
    }
    // What was meant to be there, and is not, forbids everything.
    for directory in [folder.path(), &of_directory] {
        assert!(matches!(
            Policy::read(directory),
            Err(PolicyError::Unreadable { .. })
        ));
    }
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "rate-limit = \"1M\"\n").unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    assert_eq!(
        Policy::read(folder.path()).unwrap().rate_limit,
        Some(Rate(1 << 20))
    );
    std::fs::set_permissions(&path, Permissions::from_mode(0o664)).unwrap();
    assert!(matches!(
        Policy::read(folder.path()),
        Err(PolicyError::Foreign { .. })
    ));
}

#[test]
fn a_credential_is_found_by_its_server_alone() {
    let folder = tempfile::tempdir().unwrap();
    let secret = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    };
    secret("token", "t0ken\n");
    secret(
        "netrc",
        "machine b.org login me password pass\nmachine 127.0.0.1 login local password host\n",
    );
    let text = "netrc = \"netrc\"\n[[credential]]\nfor = \"https://a.org/\"\ntoken = \"token\"\n[[credential]]\nfor = \"http://127.0.0.1:5000/\"\nnetrc = \"netrc\"\n";
    let policy = Policy::parse(&folder.path().join(FILE), text).unwrap();
    let found = |address: &str| {
        let found = policy.credential(address).unwrap();
        found.map(|found| match found.login.unwrap() {
            credential::Login::Token(token) => token.reveal().to_owned(),
            credential::Login::Password { user, password } => {
                format!("{user}:{}", password.reveal())
            }
        })
    };
    assert_eq!(found("https://a.org/x").as_deref(), Some("t0ken"));
    assert_eq!(found("https://b.org/x").as_deref(), Some("me:pass"));
    for local in ["http://127.0.0.1:5000/x", "https://127.0.0.1:8443/x"] {
        assert_eq!(found(local).as_deref(), Some("local:host"), "{local}");
    }
    for nobody in [
        "https://a.org:8443/x",
        "http://a.org/x",
        "http://b.org/x",
        "https://c.org/x",
        // Whoever listens there.
        "http://127.0.0.1:5001/x",
        "http://127.0.0.1/x",
    ] {
        assert_eq!(found(nobody), None, "{nobody}");
    }
}
