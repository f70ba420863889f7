//! What a month's updates of a server's image cost to fetch, of the full compressed image: by chunks, by patch, and by what others do.
//!
//! The packages and versions are those of `docs/internals/updates.txt`, which was fixed before anything was measured.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use testkit::{HttpsServer, Instance};

use super::figure::Figure;
use crate::{run, setup};

const LIST: &str = "docs/internals/updates.txt";
/// The months of the list, and what is before them.
const MONTHS: [(&str, &str); 3] = [
    ("2026-09", "September"),
    ("2026-10", "October"),
    ("2026-11", "November"),
];
/// As the image is compressed whole.
const LEVEL: &str = "-12";

/// A package with its version, and the month and the version of its update.
struct Package {
    name: String,
    version: String,
    update: Option<(String, String)>,
}

/// All months' updates.
pub(super) fn update() -> Result<Vec<Figure>> {
    setup::programs(&[
        ("/usr/bin/zstd", "zstd"),
        ("/usr/bin/xdelta3", "xdelta3"),
        ("/usr/bin/casync", "casync"),
    ])?;
    let packages = packages()?;
    let folder = tempfile::Builder::new()
        .prefix("coracle-update-")
        .tempdir_in("/var/tmp")?;
    let archive = downloaded(&packages)?;
    let bench = Bench::open(folder.path())?;
    let mut images = Vec::new();
    for number in 0..=MONTHS.len() {
        let root = folder.path().join(format!("tree{number}"));
        let until = number.checked_sub(1).and_then(|last| MONTHS.get(last));
        unpack(&packages, &archive, &root, until.map(|(month, _)| *month))?;
        images.push(bench.build(&root, number)?);
        fs::remove_dir_all(&root)?;
    }
    bench.figures(&images)
}

fn packages() -> Result<Vec<Package>> {
    let text = fs::read_to_string(run::root().join(LIST))?;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (name, version, update) = match words.as_slice() {
                [name, version] => (name, version, None),
                [name, version, month, newer] => (
                    name,
                    version,
                    Some(((*month).to_owned(), (*newer).to_owned())),
                ),
                _ => bail!("{LIST} has a line that is none: {line}"),
            };
            Ok(Package {
                name: (*name).to_owned(),
                version: (*version).to_owned(),
                update,
            })
        })
        .collect()
}

/// The directory of all packages' files; what is there is not downloaded again.
fn downloaded(packages: &[Package]) -> Result<PathBuf> {
    let archive = run::root().join("target/updates");
    fs::create_dir_all(&archive)?;
    let all = packages.iter().flat_map(|package| {
        let update = package.update.as_ref().map(|(_, version)| version);
        let versions = std::iter::once(&package.version).chain(update);
        versions.map(|version| (package.name.as_str(), version.as_str()))
    });
    let missing = all.filter(|(name, version)| file(&archive, name, version).is_err());
    let missing: Vec<String> = missing
        .map(|(name, version)| format!("{name}={version}"))
        .collect();
    if !missing.is_empty() {
        let mut apt = Command::new("apt-get");
        apt.args(["-q", "-q", "download"])
            .args(&missing)
            .current_dir(&archive);
        run::check(&mut apt).context(
            "the versions of the list can't be downloaded: it is of Debian 12, and needs a machine whose lists have its updates",
        )?;
    }
    Ok(archive)
}

fn file(archive: &Path, name: &str, version: &str) -> Result<PathBuf> {
    let begin = format!("{name}_{}_", version.replace(':', "%3a"));
    for entry in fs::read_dir(archive)? {
        let path = entry?.path();
        let found = path.file_name().and_then(|name| name.to_str());
        if found.is_some_and(|found| found.starts_with(&begin)) {
            return Ok(path);
        }
    }
    bail!("{name} {version} is not there")
}

fn unpack(packages: &[Package], archive: &Path, root: &Path, until: Option<&str>) -> Result<()> {
    for package in packages {
        let update = package.update.as_ref();
        let update = update.filter(|(month, _)| until.is_some_and(|until| month.as_str() <= until));
        let version = update.map_or(&package.version, |(_, version)| version);
        let file = file(archive, &package.name, version)?;
        run::check(Command::new("dpkg-deb").arg("-x").arg(file).arg(root))?;
    }
    let units = root.join("usr/lib/systemd/system");
    fs::create_dir_all(&units)?;
    fs::write(
        units.join("corpus.service"),
        "[Service]\nExecStart=/usr/sbin/nginx\n",
    )?;
    Ok(())
}

/// A maker, a server with patches and one without, and a host for each.
struct Bench {
    folder: PathBuf,
    key: String,
    sides: [Side; 2],
}

struct Side {
    host: Instance,
    web: PathBuf,
    ca: String,
    server: HttpsServer,
    publishes: &'static [&'static str],
}

impl Side {
    fn open(
        folder: &Path,
        name: &str,
        certificate: &str,
        publishes: &'static [&'static str],
    ) -> Result<Side> {
        let (web, keys) = (folder.join(name), folder.join(format!("{name}-keys")));
        fs::create_dir(&web)?;
        fs::create_dir(&keys)?;
        let server = HttpsServer::start(&web, &keys, 0);
        let host = Instance::below(folder);
        host.ok(&["trust", "add", certificate]);
        let ca = keys.join("ca.crt").display().to_string();
        Ok(Side {
            host,
            web,
            ca,
            server,
            publishes,
        })
    }

    /// Publishes an image and brings it to the host; returned is how many bytes of contents came.
    fn bring(&self, image: &str, key: &str) -> u64 {
        let web = self.web.display().to_string();
        let mut words = vec!["publish", image, &web, "--key", key];
        words.extend(self.publishes);
        self.host.ok(&words);
        let before = self.server.sent_bytes();
        let url = self.server.url("corpus.psi");
        let is_new = !self.host.folder().join("state/portables/corpus").exists();
        match is_new {
            true => self.host.ok(&["attach", &url, "--ca", &self.ca]),
            false => self.host.ok(&["upgrade", "corpus"]),
        };
        self.server.sent_bytes() - before
    }
}

impl Bench {
    fn open(folder: &Path) -> Result<Bench> {
        let maker = Instance::below(folder);
        let keys = folder.join("signing").display().to_string();
        maker.ok(&["keygen", &keys]);
        let certificate = format!("{keys}/signing.crt");
        let patches = Side::open(folder, "patches", &certificate, &["--no-chunks"])?;
        let chunks = Side::open(folder, "chunks", &certificate, &["--patches", "0"])?;
        Ok(Bench {
            folder: folder.to_owned(),
            key: format!("{keys}/signing.key"),
            sides: [patches, chunks],
        })
    }

    fn build(&self, root: &Path, number: usize) -> Result<String> {
        let release = format!("ID=corpus\nVERSION_ID=1.{number}\n");
        fs::write(root.join("usr/lib/os-release"), release)?;
        let image = self.folder.join(format!("corpus_1.{number}.psi"));
        let (image, root) = (image.display().to_string(), root.display().to_string());
        let [side, _] = &self.sides;
        side.host
            .ok(&["build", &root, "-o", &image, "--key", &self.key]);
        Ok(image)
    }

    fn figures(&self, images: &[String]) -> Result<Vec<Figure>> {
        let [patches, chunks] = &self.sides;
        let first = images.first().context("there are images")?;
        // What a first start brings counts as nothing here.
        patches.bring(first, &self.key);
        chunks.bring(first, &self.key);
        let (mut figures, mut sums) = (Vec::new(), [0.0; 2]);
        let store = self.folder.join("casync");
        casync(&store, first)?;
        for (pair, (_, month)) in images.windows(2).zip(MONTHS) {
            let [old, new] = pair else {
                bail!("windows of two are two")
            };
            let whole = zstd(new, &[])?;
            let share = |bytes: u64| bytes as f64 / whole as f64;
            let ours = [patches, chunks].map(|side| share(side.bring(new, &self.key)));
            for (sum, one) in sums.iter_mut().zip(ours) {
                *sum += one;
            }
            let [by_patch, by_chunks] = ours;
            let work = format!("updates of {month}, of the whole");
            figures.push(
                Figure::new(format!("{work}, by chunks"), "")
                    .value("coracle", by_chunks)
                    .value("casync", share(casync(&store, new)?))
                    .at_most(1.02),
            );
            figures.push(
                Figure::new(format!("{work}, by patch"), "")
                    .value("coracle", by_patch)
                    .value(
                        "zstd --patch-from",
                        share(zstd(new, &["--patch-from", old])?),
                    )
                    .value("xdelta3", share(xdelta(old, new)?))
                    .at_most(1.02),
            );
        }
        let [by_patch, by_chunks] = sums.map(|sum| sum / MONTHS.len() as f64);
        figures.push(
            Figure::new("a month's updates, by chunks", "")
                .value("coracle", by_chunks)
                .at_most(0.22),
        );
        figures.push(
            Figure::new("a month's updates, by patch", "")
                .value("coracle", by_patch)
                .at_most(0.15),
        );
        Ok(figures)
    }
}

fn zstd(image: &str, more: &[&str]) -> Result<u64> {
    let out = format!("{image}.out");
    let mut command = Command::new("zstd");
    command
        .args(["-q", "-f", LEVEL, "--long=27", "-o", &out])
        .args(more)
        .arg(image);
    measured(&mut command, &out)
}

fn xdelta(old: &str, new: &str) -> Result<u64> {
    let out = format!("{new}.out");
    measured(
        Command::new("xdelta3").args(["-q", "-f", "-9", "-e", "-s", old, new, &out]),
        &out,
    )
}

/// The length of what a program writes, which goes again.
fn measured(command: &mut Command, out: &str) -> Result<u64> {
    run::check(command)?;
    let length = fs::metadata(out)?.len();
    fs::remove_file(out)?;
    Ok(length)
}

/// What an image adds to a store, and its index.
fn casync(store: &Path, image: &str) -> Result<u64> {
    let before = total(store)?;
    let index = format!("{image}.caibx");
    let store_option = format!("--store={}", store.display());
    let mut command = Command::new("casync");
    command
        .args(["make", &store_option, &index, image])
        .stdout(std::process::Stdio::null());
    let index = measured(&mut command, &index)?;
    Ok(total(store)? - before + index)
}

fn total(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    if folder.exists() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let found = entry.metadata()?;
            bytes += if found.is_dir() {
                total(&entry.path())?
            } else {
                found.len()
            };
        }
    }
    Ok(bytes)
}
