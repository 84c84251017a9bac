//! pgbench, which comes with PostgreSQL's server programs.

use std::process::Command;

use super::Server;

/// Calls per second of a script, made by so many clients for so long; `:names` in it stand for
/// numbers. (pgbench replaces its own variables by values, but not inside of a string.)
pub(crate) fn pgbench(
    server: &Server,
    database: &str,
    script: &str,
    numbers: &[(&str, u64)],
    clients: u32,
    seconds: u64,
) -> f64 {
    let mut text = script.to_owned();
    for (name, number) in numbers {
        text = text.replace(&format!(":{name}"), &number.to_string());
    }
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), text).expect("the script is written");
    let run = Command::new(server.program("pgbench"))
        .args(["-n", "-M", "prepared", "-c", &clients.to_string(), "-j", "2"])
        .args(["-h", server.socket(), "-U", "postgres", "-T", &seconds.to_string(), "-f"])
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
