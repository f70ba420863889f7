//! One run of a machine: qemu without hardware virtualisation, its two ports, its console, its time limit.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How much of the console is shown of a machine that failed, in bytes from its end.
const CONSOLE_SHOWN: usize = 6_000;

/// A machine that is ready to boot.
pub(super) struct Machine {
    pub(super) kernel: PathBuf,
    pub(super) initramfs: PathBuf,
    /// The disk with a tree, where there is one.
    pub(super) disk: Option<PathBuf>,
    /// One that it may write.
    pub(super) scratch: Option<PathBuf>,
    /// In MiB.
    pub(super) memory: u32,
    pub(super) limit: Duration,
    pub(super) processors: u32,
}

/// A child that does not outlive whoever waits for it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        if self.0.kill().is_ok() {
            self.0.wait().ok();
        }
    }
}

impl Machine {
    /// Boots, writes the command's output to `sink`, and returns its exit status. Files of the run are in `folder`.
    ///
    /// # Errors
    /// When the machine does not boot, does not tell an exit status, or takes longer than its limit; the end of its console is shown.
    pub(super) fn run(&self, folder: &Path, sink: &mut (dyn Write + Send)) -> Result<i32> {
        let begin = Instant::now();
        let console = folder.join("console");
        let status = folder.join("status");
        let mut qemu = self.qemu(&console, &status);
        let mut child = Running(
            qemu.spawn()
                .context("cannot run qemu-system-x86_64 by setpriv")?,
        );
        let mut output = child.0.stdout.take().context("qemu has no output")?;
        let (send, receive) = mpsc::channel();
        let in_time = std::thread::scope(|scope| {
            let copier = scope.spawn(|| {
                let copied = std::io::copy(&mut output, sink).and_then(|_| sink.flush());
                // Nobody listens any more where the limit was reached.
                send.send(()).ok();
                copied
            });
            let in_time = receive.recv_timeout(self.limit).is_ok();
            drop(child);
            copier
                .join()
                .map_err(|_panic| anyhow::anyhow!("the thread that copies output panicked"))?
                .context("cannot pass the command's output on")?;
            anyhow::Ok(in_time)
        })?;
        let told = fs::read_to_string(&status).unwrap_or_default();
        if let Ok(code) = told.trim().parse() {
            eprintln!(
                "vm: status {code} after {:.1} s",
                begin.elapsed().as_secs_f64()
            );
            return Ok(code);
        }
        let text = fs::read(&console).unwrap_or_default();
        let end = text.len().saturating_sub(CONSOLE_SHOWN);
        eprintln!(
            "{}",
            String::from_utf8_lossy(text.get(end..).unwrap_or_default())
        );
        if in_time {
            bail!("the machine ended without the command's exit status: its console is above");
        }
        bail!(
            "the command did not end within {} s: the machine's console is above",
            self.limit.as_secs()
        )
    }

    fn qemu(&self, console: &Path, status: &Path) -> Command {
        // A machine does not outlive this process, however it ends.
        let mut qemu = Command::new("setpriv");
        qemu.args(["--pdeathsig", "KILL", "qemu-system-x86_64"])
            .args([
                "-nodefaults",
                "-no-user-config",
                "-no-reboot",
                "-display",
                "none",
            ])
            // With a thread for each processor, one may run code that the other is rewriting, and now and then the kernel dies of it.
            .args(["-machine", "q35,usb=off", "-accel", "tcg,thread=single"])
            .args(["-cpu", "max", "-smp", &self.processors.to_string()])
            .args(["-m", &self.memory.to_string()])
            .arg("-kernel")
            .arg(&self.kernel)
            .arg("-initrd")
            .arg(&self.initramfs)
            .args([
                "-append",
                "console=ttyS0 loglevel=5 panic=-1 random.trust_cpu=on lsm=landlock,lockdown,yama,apparmor,bpf",
            ])
            .arg("-chardev")
            .arg(format!("file,id=console,path={}", console.display()))
            .args(["-serial", "chardev:console"])
            .args(["-device", "virtio-serial-pci"])
            .args(["-chardev", "file,id=output,path=/dev/stdout"])
            .args([
                "-device",
                "virtserialport,chardev=output,name=coracle.output",
            ])
            .arg("-chardev")
            .arg(format!("file,id=status,path={}", status.display()))
            .args([
                "-device",
                "virtserialport,chardev=status,name=coracle.status",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        if let Some(disk) = &self.disk {
            qemu.arg("-drive").arg(format!(
                "file={},format=raw,if=virtio,readonly=on",
                disk.display()
            ));
        }
        if let Some(disk) = &self.scratch {
            qemu.arg("-drive")
                .arg(format!("file={},format=raw,if=virtio", disk.display()));
        }
        qemu
    }
}
