//! A file system that does not answer, as one of a network whose server is gone.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A file system whose server never answers, until this value goes.
pub struct Dead {
    server: Child,
    pub place: PathBuf,
}

impl Dead {
    /// Mounted at `place`, which is made.
    ///
    /// # Panics
    /// When it can't be mounted.
    pub fn at(place: PathBuf) -> Dead {
        fs::create_dir_all(&place).expect("a directory");
        let script = "exec 7<>/dev/fuse && mount -i -t fuse -o fd=7,rootmode=40000,user_id=0,group_id=0 dead \"$0\" && echo up && read -r end";
        let mut server = Command::new("sh")
            .args(["-c", script])
            .arg(&place)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let mut said = String::new();
        let output = server.stdout.take().expect("its output");
        let read = BufReader::new(output).read_line(&mut said);
        assert_eq!((read.ok(), said.as_str()), (Some(3), "up\n"));
        Dead { server, place }
    }
}

impl Drop for Dead {
    /// The server's descriptor is closed with the shell, and whoever waits for it hears that nobody is there.
    fn drop(&mut self) {
        drop(self.server.stdin.take());
        self.server.wait().ok();
        // Who waited may still be on the way out.
        let mut unmount = Command::new("umount");
        unmount.arg("--lazy").arg(&self.place).status().ok();
    }
}
