//! What comes over a network: a transfer beside curl and what memory it takes, an upgrade over a slow line, and a start where the content is
//! there already.
//!
//! All files are in memory, ours and curl's, and both ask one server, which sends files without copying them: this is about the
//! transfer and not about a disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use coracle_system_tests::images::{By, Web, Workshop, furnish};
use testkit::Instance;

use super::building::Words;
use super::figure::{Figure, Times};
use super::{images, memory, timing};
use crate::{run, setup};

const ROUNDS: usize = 9;
const MEMORY: &str = "/dev/shm";
/// Of 5 MB each.
const PIECES: usize = 60;
const PIECES_OF_A_SMALL_ONE: usize = 10;

/// A server of static files that anybody has, with ranges; it ends with the value.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start(folder: &Path, inside: &[&str], address: &str) -> Result<Server> {
        setup::programs(&[
            ("/usr/bin/busybox", "busybox"),
            ("/usr/bin/curl", "curl"),
            ("/bin/ip", "iproute2"),
        ])?;
        let words = ["busybox", "httpd", "-f", "-p", address, "-h"];
        let mut words = inside.iter().chain(&words);
        let mut command = Command::new(words.next().context("a program")?);
        let process = command.args(words).arg(folder).spawn()?;
        let server = Server {
            process,
            address: address.to_owned(),
        };
        let index = folder.join("there");
        fs::write(index, "there")?;
        let there = server.url("there");
        let asks = ["curl", "-s", "--retry", "50", "--retry-connrefused"];
        let asks = [&asks[..], &["--retry-delay", "1", &there]].concat();
        let asks = [inside, &asks].concat();
        run::output(command_of(&asks)?.stderr(Stdio::null()))
            .context("the server does not answer")?;
        Ok(server)
    }

    fn url(&self, file: &str) -> String {
        format!("http://{}/{file}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn command_of(words: &[&str]) -> Result<Command> {
    let (program, words) = words.split_first().context("a program")?;
    let mut command = Command::new(program);
    command.args(words);
    Ok(command)
}

/// All of it.
pub(super) fn delivery() -> Result<Vec<Figure>> {
    let mut figures = transfer()?;
    figures.extend(upgrade()?);
    figures.push(again()?);
    Ok(figures)
}

/// A signed image that comes over loopback into the store, beside curl.
fn transfer() -> Result<Vec<Figure>> {
    let coracle = Instance::below(Path::new(MEMORY));
    let workshop = Workshop::new(&coracle);
    let folder = coracle.folder().to_owned();
    let web = folder.join("web");
    fs::create_dir(&web)?;
    for (name, pieces) in [("small", PIECES_OF_A_SMALL_ONE), ("large", PIECES)] {
        let image = images::signed(&workshop, &folder.join("root"), name, pieces)?;
        fs::rename(image, web.join(format!("{name}.psi")))?;
    }
    let server = Server::start(&web, &[], "127.0.0.1:18741")?;
    let (url, target) = (server.url("large.psi"), folder.join("target"));
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        let mut ours = coracle.command(&["attach", &url]);
        let mut curl = Command::new("curl");
        curl.args(["-s", "-o"]).arg(&target).arg(&url);
        for (command, times) in [&mut ours, &mut curl].into_iter().zip(&mut times) {
            times.push(timing::once(command)?);
        }
        coracle.ok(&["purge", "--forget", "large"]);
        fs::remove_file(&target)?;
    }
    let [ours, curl] = times.map(Times::new);
    let mut figures = vec![
        Figure::new("fetch, verify and store 300 MB", "µs")
            .times("coracle attach", &ours)
            .times("curl", &curl)
            .share_of("curl", 1.0 / 0.9),
    ];
    for (name, size) in [("small", "50 MB"), ("large", "300 MB")] {
        let mut command = coracle.command(&["attach", &server.url(&format!("{name}.psi"))]);
        let kilobytes = peak(&mut command)?;
        coracle.ok(&["purge", "--forget", name]);
        figures.push(
            Figure::new(format!("memory for {size}, all processes"), "kB")
                .value("coracle attach", memory::shown(kilobytes))
                .at_most(16_000.0),
        );
    }
    drop(server);
    coracle.stop();
    Ok(figures)
}

/// The most that a command and all that it starts have in memory at one moment, in kB: pages of its file that two of them have
/// count twice.
fn peak(command: &mut Command) -> Result<u64> {
    use std::os::unix::process::CommandExt as _;
    const BETWEEN: Duration = Duration::from_millis(1);
    let command = command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.process_group(0).spawn()?;
    let mut most = 0;
    loop {
        if let Some(status) = child.try_wait()? {
            ensure!(status.success(), "{command:?} ended with {status}");
            return Ok(most);
        }
        most = most.max(resident(child.id()));
        std::thread::sleep(BETWEEN);
    }
}

/// What the processes of a group have in memory, in kB; some end while they are looked at.
fn resident(group: u32) -> u64 {
    const PAGE_KILOBYTES: u64 = 4;
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let of_process = |path: PathBuf| -> Option<u64> {
        let text = fs::read_to_string(path.join("stat")).ok()?;
        // Behind the name: state, parent, group (proc_pid_stat(5)), and the 22nd of these is the resident set.
        let (_, rest) = text.rsplit_once(") ")?;
        let mut fields = rest.split(' ');
        let is_of_group = fields.nth(2)?.parse() == Ok(group);
        let pages: u64 = fields.nth(18)?.parse().ok()?;
        is_of_group.then_some(pages * PAGE_KILOBYTES)
    };
    entries.filter_map(|entry| of_process(entry.path())).sum()
}

/// Two network namespaces with a line of 100 Mbit/s between them; they go with the value.
struct Line {
    names: [String; 2],
}

impl Line {
    const ADDRESSES: [&str; 2] = ["10.78.0.1/30", "10.78.0.2/30"];

    fn new() -> Result<Line> {
        let name = |end: &str| format!("coracle-bench-{}-{end}", std::process::id());
        let line = Line {
            names: [name("host"), name("server")],
        };
        for name in &line.names {
            ip(&["netns", "add", name])?;
            ip(&["-n", name, "link", "set", "lo", "up"])?;
        }
        let [host, server] = &line.names;
        let pair = ["type", "veth", "peer", "name", "eth0", "netns", server];
        ip(&[&["-n", host, "link", "add", "eth0"], &pair[..]].concat())?;
        for (name, address) in line.names.iter().zip(Line::ADDRESSES) {
            ip(&["-n", name, "addr", "add", address, "dev", "eth0"])?;
            ip(&["-n", name, "link", "set", "eth0", "up"])?;
            let shape = ["rate", "100mbit", "burst", "32kb", "latency", "50ms"];
            let tc = ["-n", name, "qdisc", "add", "dev", "eth0", "root", "tbf"];
            run::check(Command::new("tc").args(tc).args(shape))?;
        }
        Ok(line)
    }

    /// The way into an end.
    fn inside(name: &str) -> [String; 2] {
        ["nsenter".to_owned(), format!("--net=/run/netns/{name}")]
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        for name in &self.names {
            Command::new("ip")
                .args(["netns", "del", name])
                .status()
                .ok();
        }
    }
}

fn ip(words: &[&str]) -> Result<()> {
    run::check(Command::new("ip").args(words))
}

/// The command as it is, in another network.
fn in_network(inside: &[String; 2], command: &Command) -> Command {
    let [program, network] = inside;
    let mut entered = Command::new(program);
    entered.arg(network);
    testkit::executed(entered, command)
}

/// A thousand files of 100 kB, of which 30 are others in each version.
const FILES: usize = 1000;
const FILE_BYTES: usize = 100_000;
const CHANGED: usize = 30;

/// The image of a version; returned is what is in the files that changed.
fn version(
    coracle: &Instance,
    workshop: &Workshop<'_>,
    number: usize,
) -> Result<(String, Vec<u8>)> {
    let root = coracle.folder().join("root");
    furnish(&root);
    let (units, data) = (
        root.join("usr/lib/systemd/system"),
        root.join("usr/share/data"),
    );
    fs::create_dir_all(&units)?;
    fs::create_dir_all(&data)?;
    fs::write(
        units.join("boat.service"),
        "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/bin/dash -c :\n",
    )?;
    fs::write(
        root.join("usr/lib/os-release"),
        format!("ID=boat\nVERSION_ID=1.{number}\n"),
    )?;
    fs::write(root.join("etc/machine-id"), "")?;
    let mut changed = Vec::new();
    for file in 0..FILES {
        let is_changed = file % (FILES / CHANGED) == 0 && file / (FILES / CHANGED) < CHANGED;
        let seed = if is_changed { number * FILES } else { 0 } + file + 1;
        let bytes = Words(seed as u64 * 0x9e37_79b9).bytes(FILE_BYTES);
        fs::write(data.join(file.to_string()), &bytes)?;
        if is_changed {
            changed.extend(bytes);
        }
    }
    let file = format!("boat_1.{number}.psi");
    let image = workshop.built(&file, By::Trusted, &[&root.to_string_lossy()]);
    fs::remove_dir_all(&root)?;
    Ok((image, changed))
}

/// Upgrades of a 100 MB image with 3 % changed content over a line of 100 Mbit/s, beside curl with what changed.
fn upgrade() -> Result<Vec<Figure>> {
    let coracle = Instance::below(Path::new(MEMORY));
    let workshop = Workshop::new(&coracle);
    let line = Line::new()?;
    let [host, server] = line.names.each_ref().map(|name| Line::inside(name));
    let web = coracle.folder().join("web");
    fs::create_dir(&web)?;
    let inside = server.each_ref().map(String::as_str);
    let server = Server::start(&web, &inside, "10.78.0.2:80")?;
    let (url, key) = (server.url("boat.psi"), workshop.key(By::Trusted));
    let target = coracle.folder().join("target");
    let (first, _) = version(&coracle, &workshop, 0)?;
    let web = web.display().to_string();
    coracle.ok(&["publish", &first, &web, "--key", &key]);
    let attach = in_network(&host, &coracle.command(&["attach", &url]));
    let mut attach = attach;
    timing::once(&mut attach)?;
    let (mut by_patch, mut by_chunks, mut curl) = (Vec::new(), Vec::new(), Vec::new());
    for number in 1..=2 * ROUNDS_OF_UPGRADES {
        let (image, changed) = version(&coracle, &workshop, number)?;
        let is_patch = number % 2 == 0;
        let way = if is_patch {
            "--no-chunks"
        } else {
            "--patches=0"
        };
        coracle.ok(&["publish", &image, &web, "--key", &key, way, "--keep", "2"]);
        fs::remove_file(&image)?;
        let upgrade = coracle.command(&["upgrade", "boat"]);
        let time = timing::once(&mut in_network(&host, &upgrade))?;
        let times = if is_patch {
            &mut by_patch
        } else {
            &mut by_chunks
        };
        times.push(time);
        coracle.ok(&["gc", "--keep", "1"]);
        fs::write(Path::new(&web).join("changed"), &changed)?;
        let mut plain = Command::new("curl");
        plain
            .args(["-s", "-o"])
            .arg(&target)
            .arg(server.url("changed"));
        curl.push(timing::once(&mut in_network(&host, &plain))?);
    }
    drop(server);
    coracle.stop();
    let curl = Times::new(curl);
    let figure = |how: &str, times| {
        Figure::new(format!("upgrade, 3 % of 100 MB changed, by {how}"), "µs")
            .times("coracle upgrade", &Times::new(times))
            .times("curl of what changed", &curl)
            .share_of("curl of what changed", 1.5)
    };
    Ok(vec![figure("patch", by_patch), figure("chunks", by_chunks)])
}

const ROUNDS_OF_UPGRADES: usize = 5;

/// What comes where the content is there under another name, of the whole.
fn again() -> Result<Figure> {
    let coracle = Instance::below(Path::new(MEMORY));
    let workshop = Workshop::new(&coracle);
    let web = Web::of(&coracle);
    let (image, _) = version(&coracle, &workshop, 0)?;
    let folder = web.folder.display().to_string();
    let key = workshop.key(By::Trusted);
    coracle.ok(&["publish", &image, &folder, "--key", &key]);
    let url = web.server.url("boat.psi");
    let came = || -> Result<u64> {
        let before = web.server.sent_bytes();
        coracle.ok(&["start", &url, "--ca", &web.ca]);
        Ok(web.server.sent_bytes() - before)
    };
    let whole = came()?;
    coracle.ok(&["detach", "--now", "boat"]);
    let second = came()?;
    coracle.ok(&["detach", "--now", "boat"]);
    coracle.stop();
    let share = |bytes: u64| bytes as f64 / whole as f64;
    Ok(Figure::new("start where the content is, of the whole", "")
        .value("coracle", share(second))
        .at_most(0.01))
}
