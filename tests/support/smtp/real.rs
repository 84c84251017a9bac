//! aiosmtpd, a mail server that shares no code with ours.

use std::path::PathBuf;
use std::process::Child;
use std::sync::OnceLock;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use super::Received;
use crate::python;

/// How the server wants to be spoken to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Security {
    None,
    Starttls,
    Tls,
}

/// An authority of one test, and a certificate from it.
pub struct Certificates {
    directory: TempDir,
}

impl Certificates {
    /// A certificate for a host name or an address.
    pub fn of(host: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_pem = authority.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(authority, key);
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![host.to_owned()]).unwrap();
        let certificate = certificate.signed_by(&key, &issuer).unwrap();
        let directory = TempDir::new().unwrap();
        let write = |name, text: String| std::fs::write(directory.path().join(name), text).unwrap();
        write("ca.pem", authority_pem);
        write("certificate.pem", certificate.pem());
        write("key.pem", key.serialize_pem());
        Self { directory }
    }

    /// The authority's own certificate, for those who are to believe it.
    pub fn ca_file(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// A file of theirs: `certificate.pem` or `key.pem`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// A running server; it ends with the value, and what it kept stays readable until then.
pub struct RealServer {
    pub port: u16,
    process: Child,
    emails: PathBuf,
    command: Vec<String>,
    _directory: TempDir,
}

impl RealServer {
    /// A server without TLS that takes everything.
    pub fn open() -> Self {
        Self::start(Security::None, None, None)
    }

    /// A server on a free port of 127.0.0.1.
    pub fn start(
        security: Security,
        certificates: Option<&Certificates>,
        login: Option<(&str, &str)>,
    ) -> Self {
        let directory = TempDir::new().unwrap();
        let emails = directory.path().join("emails.jsonl");
        let mut command: Vec<String> = Vec::new();
        let mut option = |name: &str, value: String| {
            command.extend([format!("--{name}"), value]);
        };
        option("emails", emails.display().to_string());
        let tls = match security {
            Security::None => "none",
            Security::Starttls => "starttls",
            Security::Tls => "tls",
        };
        option("tls", tls.to_owned());
        if let Some(certificates) = certificates {
            option("certificate", certificates.file("certificate.pem").display().to_string());
            option("key", certificates.file("key.pem").display().to_string());
        }
        if let Some((user, password)) = login {
            option("user", user.to_owned());
            option("password", password.to_owned());
        }
        let (process, port) = run(&command, 0);
        Self { port, process, emails, command, _directory: directory }
    }

    /// Kills it, as a power cut would.
    pub fn stop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts it again after [`RealServer::stop`], on the same port.
    pub fn start_again(&mut self) {
        self.process = run(&self.command, self.port).0;
    }

    /// Everything that it accepted so far, in order.
    pub fn received(&self) -> Vec<Received> {
        let text = std::fs::read_to_string(&self.emails).unwrap_or_default();
        // A line that is being written has no end yet.
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        whole.map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }
}

impl Drop for RealServer {
    fn drop(&mut self) {
        // It may have been stopped already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn run(options: &[String], port: u16) -> (Child, u16) {
    static LIBRARY: OnceLock<String> = OnceLock::new();
    let library = python::library(&LIBRARY, "scripts/aiosmtpd");
    let log = PathBuf::from(&options[1]).with_extension("log");
    python::serve("tests/support/smtp/server.py", options, port, library, &log)
}
