//! An nginx of one test, in front of a server, with its defaults.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tokio::net::UnixStream;

pub(crate) struct Nginx {
    process: Child,
    directory: TempDir,
}

impl Nginx {
    /// Starts one that passes everything on.
    pub(crate) fn started(behind: SocketAddr) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        // It works as somebody else when the tests are run by root.
        let open = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(directory.path(), open).expect("a directory of ours");
        let path = directory.path().display();
        // Where it keeps things is all that is said, and where it passes them on to.
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary = temporary.map(|name| format!("{name}_temp_path {path}/{name};\n")).concat();
        let config = format!(
            "daemon off;\npid {path}/pid;\nerror_log {path}/error.log;\nevents {{}}\n\
             http {{\naccess_log off;\n{temporary}\
             server {{\nlisten unix:{path}/nginx.sock;\n\
             location / {{ proxy_pass http://{behind}; }}\n}}\n}}\n"
        );
        let file = directory.path().join("nginx.conf");
        std::fs::write(&file, config).expect("the configuration is written");
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scripts/nginx");
        let found = Command::new(script).output().expect("the script runs");
        assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
        let log = std::fs::File::create(directory.path().join("log")).expect("a log");
        let process = Command::new(String::from_utf8_lossy(&found.stdout).trim())
            .arg("-p")
            .arg(directory.path())
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("nginx starts");
        let mut nginx = Self { process, directory };
        while std::os::unix::net::UnixStream::connect(nginx.socket()).is_err() {
            let ended = nginx.process.try_wait().expect("a child");
            assert!(ended.is_none(), "nginx ended ({ended:?}): {}", nginx.log());
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        nginx
    }

    pub(crate) async fn connect(&self) -> UnixStream {
        UnixStream::connect(self.socket()).await.expect("it listens")
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("nginx.sock")
    }

    fn log(&self) -> String {
        let read = |name| std::fs::read_to_string(self.directory.path().join(name));
        ["log", "error.log"].map(|name| read(name).unwrap_or_default()).concat()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("nginx's log:\n{}", self.log());
        }
        // SIGTERM, so that its worker goes with it.
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }
}
