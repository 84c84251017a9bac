//! A machine with a systemd of its own, in namespaces: the units and the program are installed,
//! and nothing of it is seen or left outside.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) struct Machine {
    boot: Child,
    init: String,
    directory: TempDir,
}

impl Machine {
    /// Boots, with these files beside what an installation brings.
    pub(crate) fn boot(files: &[(&str, &str)]) -> Self {
        let top = Path::new(env!("CARGO_MANIFEST_DIR"));
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("files");
        for (from, to) in [
            (env!("CARGO_BIN_EXE_periodd").into(), "usr/bin/periodd"),
            (top.join("systemd/periodd.service"), "usr/lib/systemd/system/periodd.service"),
            (
                top.join("systemd/periodd-rollover@.service"),
                "usr/lib/systemd/system/periodd-rollover@.service",
            ),
            (top.join("systemd/periodd.sysusers.conf"), "usr/lib/sysusers.d/periodd.conf"),
        ] {
            let to = root.join(to);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(from, to).unwrap();
        }
        for (file, text) in files {
            let file = root.join(file.trim_start_matches('/'));
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        let mut boot = Command::new(top.join("scripts/boot-systemd"));
        let boot = boot.arg(directory.path()).stdin(Stdio::null()).spawn().unwrap();
        let mut machine = Self { boot, init: String::new(), directory };
        let number = machine.directory.path().join("init");
        let deadline = Instant::now() + PATIENCE;
        let is_up = |machine: &Self| {
            !machine.init.is_empty() && machine.sh("systemctl is-active basic.target").0 == 0
        };
        while !is_up(&machine) {
            assert!(machine.boot.try_wait().unwrap().is_none(), "systemd did not boot");
            assert!(Instant::now() < deadline, "systemd does not boot");
            let init = std::fs::read_to_string(&number).unwrap_or_default();
            init.trim().clone_into(&mut machine.init);
            std::thread::sleep(Duration::from_millis(50));
        }
        machine
    }

    /// Exit code and output, both kinds, of a line of shell inside.
    pub(crate) fn sh(&self, line: &str) -> (i32, String) {
        let mut command = Command::new("nsenter");
        command.args(["--all", "--target", &self.init, "--", "env", "-i", "--chdir=/"]);
        command.args(["HOME=/root", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "sh", "-c", line]);
        let output = command.stdin(Stdio::null()).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned())
    }

    /// The output of a command that has to succeed.
    #[track_caller]
    pub(crate) fn run(&self, command: &[&str]) -> String {
        let quoted: Vec<_> =
            command.iter().map(|word| format!("'{}'", word.replace('\'', "'\\''"))).collect();
        let (code, said) = self.sh(&quoted.join(" "));
        assert_eq!(code, 0, "{command:?} says\n{said}\nand the journal\n{}", self.text());
        said
    }

    /// The answer of the private cluster to a statement.
    #[track_caller]
    pub(crate) fn ask(&self, statement: &str) -> String {
        let psql = "psql -qAt \"$(periodd db url)\" -c \"$0\"";
        self.run(&["sh", "-c", psql, statement]).trim().to_owned()
    }

    /// Writes a file inside.
    pub(crate) fn write(&self, file: &str, text: &str) {
        let root = PathBuf::from(format!("/proc/{}/root", self.init));
        let file = root.join(file.trim_start_matches('/'));
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }

    /// Changes the daemon's unit by a drop-in.
    pub(crate) fn configure(&self, text: &str) {
        self.write("/etc/systemd/system/periodd.service.d/test.conf", text);
        self.run(&["systemctl", "daemon-reload"]);
    }

    /// A property of the daemon's unit.
    #[track_caller]
    pub(crate) fn show(&self, property: &str) -> String {
        self.run(&["systemctl", "show", "--value", "-p", property, "periodd"]).trim().to_owned()
    }

    /// The journal as text.
    pub(crate) fn text(&self) -> String {
        self.sh("journalctl --sync; journalctl -o cat --no-pager").1
    }

    /// Does the journal say that?
    pub(crate) fn says(&self, words: &str) -> bool {
        self.text().contains(words)
    }

    /// The events of a unit that match.
    pub(crate) fn journal(&self, unit: &str, matching: &[&str]) -> Vec<serde_json::Value> {
        let matching = matching.join(" ");
        let query = format!("journalctl --sync; journalctl -o json -q -u {unit} {matching}");
        let lines = self.sh(&query).1;
        lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Waits until something is so.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so() {
            assert!(Instant::now() < deadline, "waited for: {what}; the journal\n{}", self.text());
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It takes everything inside with it, and tidies up.
        if let Some(pid) = i32::try_from(self.boot.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.boot.wait();
    }
}
