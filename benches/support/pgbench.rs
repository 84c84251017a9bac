//! pgbench, which comes with PostgreSQL's server programs.

use std::path::PathBuf;
use std::process::Command;

use super::{NEEDED, Server};

/// Calls per second of a script, made by so many clients for so long.
pub(crate) fn pgbench(
    server: &Server,
    database: &str,
    script: &str,
    clients: u32,
    seconds: u64,
) -> f64 {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), script).expect("the script is written");
    let binaries = std::env::var("PERIODD_TEST_BINARIES").expect(NEEDED);
    let mut program = PathBuf::from(binaries).join("pgbench");
    if !program.exists() {
        program = "pgbench".into();
    }
    let run = Command::new(program)
        .args(["-n", "-M", "prepared", "-c", &clients.to_string(), "-j", "2"])
        .args(["-h", &server.socket, "-U", "postgres", "-T", &seconds.to_string(), "-f"])
        .arg(file.path())
        .arg(database)
        .output()
        .expect("pgbench runs");
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let line = said.lines().find_map(|line| line.strip_prefix("tps = "));
    let figure = line.and_then(|line| line.split(' ').next()?.parse().ok());
    figure.unwrap_or_else(|| panic!("pgbench says no calls per second: {said}"))
}
