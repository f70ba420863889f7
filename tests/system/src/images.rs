//! Images for the tests, built by the shipped command from programs that every Debian system has.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::{HttpsServer, Instance};

/// Says something and goes on.
pub const BOAT: &str = "[Service]\nType=exec\nExecStart=/usr/bin/dash -c 'echo said $WORD; exec /usr/bin/sleep infinity'\n";

/// Gives `work` an instance and its workshop.
///
/// # Panics
/// When something was left behind.
pub fn with_workshop(work: impl FnOnce(&Instance, &Workshop)) {
    crate::with_units(&[], |coracle| work(coracle, &Workshop::new(coracle)));
}

/// A directory in an instance's folder, what gives it out, and the certificate that vouches for that.
pub struct Web {
    /// The directory.
    pub folder: PathBuf,
    /// The path of the certificate.
    pub ca: String,
    /// It goes with this.
    pub server: HttpsServer,
}

impl Web {
    /// Begins to give out what is still to be published.
    ///
    /// # Panics
    /// When there is one already.
    #[must_use]
    pub fn of(coracle: &Instance) -> Web {
        let (folder, keys) = (coracle.folder().join("web"), coracle.folder().join("keys"));
        fs::create_dir(&folder).expect("a folder");
        fs::create_dir(&keys).expect("a folder");
        let server = HttpsServer::start(&folder, &keys, 0);
        let ca = keys.join("ca.crt").display().to_string();
        Web { folder, ca, server }
    }
}

/// One instance's workshop: a key that its administrator trusts, and one that nobody knows.
pub struct Workshop<'a> {
    coracle: &'a Instance,
}

/// Who signs an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Nobody.
    Nobody,
    /// "Trusted Maker", whose certificate is in the instance's trust store.
    Trusted,
    /// "Unknown Maker", whose certificate is not.
    Unknown,
}

impl By {
    fn folder(self) -> &'static str {
        match self {
            By::Nobody => "nobody",
            By::Trusted => "trusted",
            By::Unknown => "unknown",
        }
    }
}

impl<'a> Workshop<'a> {
    /// Makes both keys and trusts the first.
    ///
    /// # Panics
    /// When a key can't be made.
    #[must_use]
    pub fn new(coracle: &'a Instance) -> Workshop<'a> {
        let workshop = Workshop { coracle };
        for (by, name) in [
            (By::Trusted, "Trusted Maker"),
            (By::Unknown, "Unknown Maker"),
        ] {
            let folder = workshop.folder(by.folder());
            coracle.ok(&["keygen", &folder, "--name", name]);
        }
        let certificate = format!("{}/signing.crt", workshop.folder(By::Trusted.folder()));
        coracle.ok(&["trust", "add", &certificate]);
        workshop
    }

    /// A folder of the workshop's, made where it is missing.
    fn folder(&self, name: &str) -> String {
        let folder = self.coracle.folder().join("workshop").join(name);
        fs::create_dir_all(&folder).expect("a folder");
        folder.display().to_string()
    }

    /// The file of a key.
    ///
    /// # Panics
    /// When its folder can't be made.
    #[must_use]
    pub fn key(&self, by: By) -> String {
        format!("{}/signing.key", self.folder(by.folder()))
    }

    /// What `coracle build` makes of these words, in a file of this name.
    ///
    /// # Panics
    /// When it can't be built.
    #[must_use]
    pub fn built(&self, name: &str, by: By, words: &[&str]) -> String {
        let image = format!("{}/{name}", self.folder("built"));
        let key = self.key(by);
        let mut all = vec!["build", "-o", &image];
        all.extend(words);
        if by != By::Nobody {
            all.extend(["--key", &key]);
        }
        self.coracle.ok(&all);
        image
    }

    /// An image with `/usr/bin/dash`, `/usr/bin/sleep` and these units.
    ///
    /// # Panics
    /// When it can't be built.
    #[must_use]
    pub fn image(&self, name: &str, version: &str, by: By, units: &[(&str, &str)]) -> String {
        let folder = PathBuf::from(self.folder(&format!("{name}-{version}")));
        let image = folder.join(format!("{name}_{version}.psi"));
        let image = image.display().to_string();
        let mut words: Vec<String> = [
            "build",
            "--program",
            "/usr/bin/dash",
            "--add",
            "/usr/bin/sleep:/usr/bin/sleep",
            "--name",
            name,
            "--image-version",
            version,
            "-o",
            &image,
        ]
        .map(str::to_owned)
        .into();
        for (unit, text) in units {
            let path = folder.join(unit);
            fs::write(&path, text).expect("a unit file");
            words.extend(["--unit".to_owned(), path.display().to_string()]);
        }
        if by != By::Nobody {
            words.extend([
                "--key".to_owned(),
                format!("{}/signing.key", self.folder(by.folder())),
            ]);
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.coracle.ok(&words);
        image
    }

    /// An image of a directory with this os-release, these units and whatever `more` adds to it.
    ///
    /// # Panics
    /// When it can't be built.
    #[must_use]
    pub fn tree(
        &self,
        release: &str,
        by: By,
        units: &[(&str, &str)],
        more: impl FnOnce(&Path),
    ) -> String {
        let folder = PathBuf::from(self.folder("tree"));
        fs::remove_dir_all(&folder).expect("the former tree is removed");
        let (root, image) = (folder.join("root"), folder.join("image.psi"));
        let place = root.join("usr/lib/systemd/system");
        fs::create_dir_all(&place).expect("a folder");
        fs::write(root.join("usr/lib/os-release"), release).expect("an os-release file");
        for (unit, text) in units {
            fs::write(place.join(unit), text).expect("a unit file");
        }
        // What units name that never start.
        fs::create_dir(root.join("bin")).expect("a folder");
        fs::write(root.join("bin/x"), "").expect("a file");
        more(&root);
        let (root, image) = (root.display().to_string(), image.display().to_string());
        let key = format!("{}/signing.key", self.folder(by.folder()));
        let mut words = vec!["build", &root, "-o", &image];
        if by != By::Nobody {
            words.extend(["--key", &key]);
        }
        self.coracle.ok(&words);
        image
    }
}

/// A shell with its libraries, and the directories that an image has.
///
/// # Panics
/// When a file of the host is not there.
pub fn furnish(root: &Path) {
    let of = Command::new("ldd")
        .arg("/usr/bin/dash")
        .output()
        .expect("ldd");
    let text = String::from_utf8_lossy(&of.stdout).into_owned();
    let libraries = text.split_whitespace().filter(|word| word.starts_with('/'));
    for file in libraries.chain(["/usr/bin/dash"]) {
        let place = root.join(file.trim_start_matches('/'));
        fs::create_dir_all(place.parent().expect("a folder")).expect("a folder");
        fs::copy(file, place).expect("a file of the host");
    }
    for folder in [
        "proc", "sys", "dev", "run", "tmp", "var/tmp", "var/lib", "etc", "home", "root",
    ] {
        fs::create_dir_all(root.join(folder)).expect("a folder");
    }
    fs::write(root.join("etc/resolv.conf"), "").expect("a file");
}

/// A file system of a few pages at a directory, until this is dropped.
pub struct Small(PathBuf);

impl Small {
    /// # Panics
    /// When it can't be mounted.
    #[must_use]
    pub fn at(directory: PathBuf) -> Small {
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64k,mode=0755", "none"])
            .arg(&directory)
            .status();
        assert!(status.expect("mount(8)").success());
        Small(directory)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let status = Command::new("umount").arg(&self.0).status();
        assert!(status.expect("umount(8)").success());
    }
}
