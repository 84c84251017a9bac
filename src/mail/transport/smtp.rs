//! A mail server that takes emails.

use std::fmt;
use std::path::PathBuf;

use lettre::transport::smtp::client::{Certificate, CertificateStore, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::dialogue::{Dialogue, Progress, Server, is_loopback};
use super::pool::{Pace, Waiting};
use super::reply::{Fault, Step};
use super::settings::{Settings, Tls, Unusable};
use super::{SendError, Sent};
use crate::files;
use crate::mail::email::Email;

/// A mail server, with the connections that are open to it.
pub struct Smtp {
    server: Server,
    permits: Semaphore,
    waiting: Waiting,
    pace: Pace,
    most: usize,
}

impl Smtp {
    pub(super) fn new(settings: Settings) -> Result<Self, Unusable> {
        let Settings { host, port, tls, login, timeout, .. } = settings;
        if tls == Tls::None && !is_loopback(&host) {
            return Err(Unusable(format!(
                "tls = \"none\" would send emails to {host} in the clear; use \"starttls\" or \
                 \"tls\""
            )));
        }
        let parameters = match tls {
            Tls::None => None,
            Tls::Starttls | Tls::Tls => Some(trust(&host, settings.ca_file)?),
        };
        let most = usize::try_from(settings.max_connections).unwrap_or(1).max(1);
        Ok(Self {
            server: Server { host, port, tls, parameters, login, hello: hello(), timeout },
            permits: Semaphore::new(most),
            waiting: Waiting::default(),
            pace: Pace::new(settings.rate_per_second),
            most,
        })
    }

    /// How many emails can travel at once.
    pub(super) const fn concurrency(&self) -> usize {
        self.most
    }

    pub(super) async fn send(&self, email: &Email) -> Result<Sent, SendError> {
        // Nobody closes the semaphore, so there always is a permit in the end.
        let _permit = self.permits.acquire().await;
        self.pace.turn().await;
        let (progress, limit) = (Progress::new(), self.server.timeout);
        let mut open = None;
        let result = match timeout(limit, self.attempt(email, &progress, &mut open)).await {
            Ok(result) => result,
            Err(_) => Err(Fault::silence(progress.step(), limit)),
        };
        // After the verdict, and not within its time.
        if let Some(dialogue) = open {
            self.keep(dialogue, result.is_ok()).await;
        }
        result.map_err(|fault| fault.judge(&self.server.to_string()))
    }

    pub(super) async fn greet(&self) -> Result<String, SendError> {
        let (progress, limit) = (Progress::new(), self.server.timeout);
        let _permit = self.permits.acquire().await;
        let result = match timeout(limit, Dialogue::open(&self.server, &progress)).await {
            Ok(result) => result,
            Err(_) => Err(Fault::silence(progress.step(), limit)),
        };
        let place = self.server.to_string();
        result.map_err(|fault| fault.judge(&place))?.end().await;
        Ok(place)
    }

    pub(super) async fn rest(&self) {
        let waiting = self.waiting.empty();
        futures_util::future::join_all(waiting.into_iter().map(Dialogue::end)).await;
    }

    /// Sends an email, and leaves in `open` the conversation that could go on.
    async fn attempt(
        &self,
        email: &Email,
        progress: &Progress,
        open: &mut Option<Dialogue>,
    ) -> Result<Sent, Fault> {
        loop {
            let waiting = self.waiting.take();
            let is_used = waiting.is_some();
            let mut dialogue = match waiting {
                Some(dialogue) => dialogue,
                None => Dialogue::open(&self.server, progress).await?,
            };
            let result = dialogue.deliver(email, progress).await;
            match &result {
                // The server hung up while the conversation lay idle: no news of this email.
                Err(fault) if fault.is_of_connection() && fault.step == Step::From && is_used => {}
                Err(fault) if fault.is_of_connection() => return result,
                _ => {
                    *open = Some(dialogue);
                    return result;
                }
            }
        }
    }

    /// Keeps a conversation for the next email, or ends it.
    async fn keep(&self, mut dialogue: Dialogue, is_clean: bool) {
        if !is_clean && !dialogue.reset().await {
            return;
        }
        if let Some(done) = self.waiting.keep(dialogue) {
            done.end().await;
        }
    }
}

impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Smtp").field("server", &self.server.to_string()).finish_non_exhaustive()
    }
}

/// Whose certificates are believed.
fn trust(host: &str, ca_file: Option<PathBuf>) -> Result<TlsParameters, Unusable> {
    let mut trust = TlsParameters::builder(host.to_owned());
    if let Some(file) = ca_file {
        let unusable = |why: &dyn fmt::Display| {
            Unusable(format!("the certificates in {} cannot be used: {why}", file.display()))
        };
        let pem = files::read_limited(&file, files::TEXT_BYTES).map_err(|why| unusable(&why))?;
        // The parser skips what is no certificate, and finds nothing in a file without any.
        if !pem.windows(CERTIFICATE.len()).any(|window| window == CERTIFICATE) {
            return Err(unusable(&"it contains no certificate in PEM format"));
        }
        let authorities = Certificate::from_pem(&pem).map_err(|why| unusable(&why))?;
        trust = trust.certificate_store(CertificateStore::None).add_root_certificate(authorities);
    }
    trust.build().map_err(|why| Unusable(format!("TLS cannot be set up: {why}")))
}

const CERTIFICATE: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// How we introduce ourselves: the machine's full name if it has one.
fn hello() -> ClientId {
    let system = rustix::system::uname();
    let name = system.nodename().to_string_lossy();
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let is_full = name.contains('.') && name.chars().all(is_word);
    if is_full { ClientId::Domain(name.into_owned()) } else { ClientId::default() }
}
