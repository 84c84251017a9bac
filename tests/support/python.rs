//! Servers in Python, which share no code with ours: what they need is installed by a script, and
//! the port that they chose is the first line that they print.

#![allow(clippy::unwrap_used, reason = "helpers of tests, outside the functions clippy excuses")]

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

fn of_the_project(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

/// Starts a server on a port, or on one that it chooses (0). What it complains about goes to a
/// file, and is of interest where it does not start.
pub(crate) fn serve(
    program: &str,
    options: &[String],
    port: u16,
    library: &str,
    log: &Path,
) -> (Child, u16) {
    let mut command = Command::new("python3");
    command.arg(of_the_project(program)).args(options).args(["--port", &port.to_string()]);
    let complaints = File::options().create(true).append(true).open(log).unwrap();
    command.env("PYTHONPATH", library).stdout(Stdio::piped()).stderr(complaints);
    let mut process = command.spawn().expect("Python runs");
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let complaints = || std::fs::read_to_string(log).unwrap_or_default();
    let port = line.trim().parse().unwrap_or_else(|_| panic!("{}", complaints()));
    (process, port)
}

/// Where a package is; installed by whoever asks first.
pub(crate) fn library(of: &'static OnceLock<String>, script: &str) -> &'static str {
    of.get_or_init(|| {
        let found = Command::new(of_the_project(script)).output().expect("the script runs");
        assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
        String::from_utf8(found.stdout).expect("a path").trim().to_owned()
    })
}
