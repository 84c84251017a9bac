//! A receiver that shares no code with ours: Python's HTTP server and standardwebhooks.

#![allow(clippy::unwrap_used, reason = "helpers of tests, outside the functions clippy excuses")]

use std::collections::HashMap;
use std::process::Child;
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::python;
use crate::smtp::Certificates;

pub(crate) const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
pub(crate) const OTHER_SECRET: &str = "whsec_KbqWZ0Xs1yCGS4m8yJjqg2pUKVvJUWZLYyNnCQ5gTjM=";

/// A request, as the receiver kept it.
#[derive(Debug, Clone, serde::Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "what the receiver found, one by one")]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) body: String,
    pub(crate) headers: HashMap<String, String>,
    verified: bool,
    tampered: bool,
    old: bool,
    replayed: bool,
}

impl Request {
    pub(crate) fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).expect("a body of JSON")
    }

    /// Was it taken as it came, and no other way?
    pub(crate) fn is_genuine(&self) -> bool {
        self.verified && !self.tampered && !self.old && !self.replayed
    }
}

/// A running receiver; it ends with the value.
pub(crate) struct Receiver {
    pub(crate) port: u16,
    scheme: &'static str,
    process: Child,
    directory: TempDir,
    options: Vec<String>,
}

impl Receiver {
    /// One that trusts [`SECRET`] and takes everything.
    pub(crate) fn start() -> Self {
        Self::with(None)
    }

    /// The same with a certificate.
    pub(crate) fn encrypted(certificates: &Certificates) -> Self {
        Self::with(Some(certificates))
    }

    fn with(certificates: Option<&Certificates>) -> Self {
        let directory = TempDir::new().unwrap();
        let file = |name: &str| directory.path().join(name).display().to_string();
        let mut options = Vec::new();
        for name in ["requests", "mode", "secret"] {
            options.extend([format!("--{name}"), file(name)]);
        }
        let mut scheme = "http";
        if let Some(certificates) = certificates {
            scheme = "https";
            for (name, pem) in [("certificate", "certificate.pem"), ("key", "key.pem")] {
                let path = certificates.file(pem).display().to_string();
                options.extend([format!("--{name}"), path]);
            }
        }
        std::fs::write(file("mode"), "200").unwrap();
        std::fs::write(file("secret"), SECRET).unwrap();
        let (process, port) = run(&options, 0, &directory);
        Self { port, scheme, process, directory, options }
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://127.0.0.1:{}/hooks", self.scheme, self.port)
    }

    /// Has it answer so from now on.
    pub(crate) fn answers(&self, mode: &str) {
        self.replace("mode", mode);
    }

    /// Has it trust another secret from now on.
    pub(crate) fn trusts(&self, secret: &str) {
        self.replace("secret", secret);
    }

    /// In one step: it may be read at any time.
    fn replace(&self, name: &str, text: &str) {
        let new = self.directory.path().join("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(&new, self.directory.path().join(name)).unwrap();
    }

    /// Kills it.
    pub(crate) fn stop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts it again, on the same port.
    pub(crate) fn start_again(&mut self) {
        self.process = run(&self.options, self.port, &self.directory).0;
    }

    /// Everything that it was sent, in order.
    pub(crate) fn received(&self) -> Vec<Request> {
        let text = std::fs::read_to_string(self.directory.path().join("requests"));
        let text = text.unwrap_or_default();
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        whole.map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn run(options: &[String], port: u16, directory: &TempDir) -> (Child, u16) {
    static LIBRARY: OnceLock<String> = OnceLock::new();
    let library = python::library(&LIBRARY, "scripts/standardwebhooks");
    let program = "tests/messages/webhooks/receiver.py";
    python::serve(program, options, port, library, &directory.path().join("log"))
}
