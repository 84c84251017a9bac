//! A PostgreSQL server of a test's own, whose clock the test moves while it runs.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::process::Command;

use sqlx::{Connection, PgConnection, Row};
use tempfile::TempDir;

/// The server; stopped with the value.
pub(crate) struct FakedServer {
    directory: TempDir,
    /// Whom it runs as, when the tests are run by root.
    user: Option<(u32, u32)>,
}

impl FakedServer {
    /// Starts one whose clock is right.
    pub(crate) fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("pd-").tempdir().expect("a directory");
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(directory.path(), open).expect("a directory of ours");
        let user = unprivileged();
        if let Some((user, group)) = user {
            chown(directory.path(), Some(user), Some(group)).expect("a directory of the server's");
        }
        let server = Self { directory, user };
        // Where the library lies need not be open to whom the server runs as.
        let library = std::fs::read(library()).expect("the library");
        std::fs::write(server.path("libfaketime.so.1"), library).expect("its copy");
        server.set("+0");
        let (data, log) = (server.path("data"), server.path("log"));
        let (data, log) = (data.display().to_string(), log.display().to_string());
        server.run("initdb", &["-D", &data, "-U", "postgres", "-A", "trust", "--no-sync"]);
        let settings = format!(
            "-c listen_addresses='' -c unix_socket_directories='{}' -c fsync=off \
             -c shared_buffers=16MB -c timezone=UTC",
            server.directory.path().display()
        );
        server.run("pg_ctl", &["-D", &data, "-l", &log, "-o", &settings, "-w", "start"]);
        server
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Sets its clock: `+3h` ahead of time, `-1h` behind, `+0` right.
    pub(crate) fn set(&self, shift: &str) {
        let new = self.path("clock.new");
        std::fs::write(&new, shift).expect("the clock is set");
        std::fs::rename(new, self.path("clock")).expect("at once");
    }

    pub(crate) fn url(&self) -> String {
        format!("postgresql:///postgres?host={}&user=postgres", self.directory.path().display())
    }

    /// The rows of a query, every column as text.
    pub(crate) async fn rows(&self, query: &str) -> Vec<String> {
        let mut connection = PgConnection::connect(&self.url()).await.expect("it serves");
        let query = format!("select translate(q::text, ',()\"', ' ') from ({query}) q");
        let rows = sqlx::query(sqlx::AssertSqlSafe(query)).fetch_all(&mut connection).await;
        let rows = rows.unwrap_or_else(|error| panic!("{error}"));
        rows.iter().map(|row| row.get::<String, _>(0).trim().to_owned()).collect()
    }

    /// Runs statements.
    pub(crate) async fn sql(&self, statements: &str) {
        let mut connection = PgConnection::connect(&self.url()).await.expect("it serves");
        let script = sqlx::AssertSqlSafe(statements.to_owned());
        sqlx::raw_sql(script).execute(&mut connection).await.expect("statements");
    }

    /// Runs a program of the server's, with the clock that it has.
    fn run(&self, program: &str, arguments: &[&str]) {
        let binaries = std::env::var("PERIODD_TEST_BINARIES").expect("scripts/with-postgresql");
        let program = PathBuf::from(binaries).join(program);
        let mut command = match self.user {
            Some((user, group)) => {
                let mut command = Command::new("setpriv");
                command.arg(format!("--reuid={user}")).arg(format!("--regid={group}"));
                command.args(["--clear-groups", "env"]);
                command
            }
            None => Command::new("env"),
        };
        command
            .arg(format!("LD_PRELOAD={}", self.path("libfaketime.so.1").display()))
            .arg(format!("FAKETIME_TIMESTAMP_FILE={}", self.path("clock").display()))
            .args(["FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"])
            .arg("FAKETIME_DISABLE_SHM=1")
            .arg(program)
            .args(arguments)
            .current_dir("/")
            .stdout(std::fs::File::create(self.path("output")).expect("a file"));
        let status = command.status().expect("the program runs");
        let said = std::fs::read_to_string(self.path("log")).unwrap_or_default();
        assert!(status.success(), "{arguments:?}: {status}\n{said}");
    }
}

impl Drop for FakedServer {
    fn drop(&mut self) {
        let data = self.path("data").display().to_string();
        self.run("pg_ctl", &["-D", &data, "-m", "immediate", "-w", "stop"]);
    }
}

/// Where the library is, fetched if need be.
fn library() -> PathBuf {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scripts/libfaketime");
    let output = Command::new(script).output().expect("the script runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().into()
}

/// Root may not run a server: `postgres` does where there is one, else nobody.
fn unprivileged() -> Option<(u32, u32)> {
    let id = |arguments: &[&str]| -> Option<u32> {
        let id = Command::new("id").args(arguments).output().expect("id runs");
        String::from_utf8_lossy(&id.stdout).trim().parse().ok()
    };
    if id(&["-u"]) != Some(0) {
        return None;
    }
    let nobody = (65_534, 65_534);
    Some(id(&["-u", "postgres"]).zip(id(&["-g", "postgres"])).unwrap_or(nobody))
}
