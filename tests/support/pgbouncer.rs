//! A PgBouncer of one test, in front of the test server.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::support::server;

const PORT: u16 = 6432;

pub(crate) struct Pooler {
    process: Child,
    directory: TempDir,
}

impl Pooler {
    /// Starts one with so many connections to the server per database and role; `roles` may
    /// connect through it besides `postgres`.
    pub(crate) fn started(connections: u8, roles: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        // It serves as somebody else when the tests are run by root.
        let open = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(directory.path(), open).expect("a directory of ours");
        let users = directory.path().join("users.txt");
        let lines = roles.iter().chain(&["postgres"]).map(|role| format!("\"{role}\" \"\"\n"));
        std::fs::write(&users, lines.collect::<String>()).expect("the users are written");
        let path = directory.path().display();
        let config = format!(
            "[databases]\n\
             * = host={} port=5432\n\
             [pgbouncer]\n\
             listen_addr =\n\
             listen_port = {PORT}\n\
             unix_socket_dir = {path}\n\
             auth_type = trust\n\
             auth_file = {}\n\
             pool_mode = transaction\n\
             default_pool_size = {connections}\n\
             max_prepared_statements = 100\n\
             ignore_startup_parameters = extra_float_digits\n\
             {}",
            server(),
            users.display(),
            unprivileged().map(|user| format!("user = {user}\n")).unwrap_or_default()
        );
        let file = directory.path().join("pgbouncer.ini");
        std::fs::write(&file, config).expect("the configuration is written");
        let log = std::fs::File::create(directory.path().join("log")).expect("a log");
        let process = Command::new(program())
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("PgBouncer starts");
        let mut pooler = Self { process, directory };
        let socket = pooler.directory.path().join(format!(".s.PGSQL.{PORT}"));
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            let ended = pooler.process.try_wait().expect("a child");
            assert!(ended.is_none(), "PgBouncer ended ({ended:?}): {}", pooler.log());
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        pooler
    }

    pub(crate) fn url(&self, database: &str, role: &str) -> String {
        let directory = self.directory.path().display();
        format!("postgresql:///{database}?host={directory}&port={PORT}&user={role}")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("PgBouncer's log:\n{}", self.log());
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn program() -> PathBuf {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scripts/pgbouncer");
    let output = Command::new(script).output().expect("the script runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().into()
}

/// Whom it serves as when the tests are run by root: as the server under test does.
fn unprivileged() -> Option<&'static str> {
    let id = |arguments: &[&str]| {
        let id = Command::new("id").args(arguments).output().expect("id runs");
        id.status.success().then(|| String::from_utf8_lossy(&id.stdout).trim().to_owned())
    };
    let is_root = id(&["-u"]).as_deref() == Some("0");
    is_root.then(|| if id(&["-u", "postgres"]).is_some() { "postgres" } else { "nobody" })
}
