//! One conversation with a mail server, step by step.
//!
//! lettre's own `send` says that something failed, not where. Here each step is taken by itself,
//! so that a recipient's fault is told from the sender's, and an email that was surely not
//! accepted from one that may have been.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use std::{fmt, io, iter};

use lettre::Address;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Quit, Rcpt, Rset};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::{Response, Severity};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::reply::{Fault, Step};
use super::stream::{Bounded, Encrypted, LineByLine};
use super::{Login, Sent, Tls};
use crate::mail::email::Email;

/// How long what changes nothing any more may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// Whom to talk to, and how.
pub(super) struct Server {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: Tls,
    /// Present unless the connection is to stay in the clear.
    pub(super) parameters: Option<TlsParameters>,
    pub(super) login: Option<Login>,
    pub(super) hello: ClientId,
    /// How long everything may take, from connecting to the server's word.
    pub(super) timeout: Duration,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// How far a conversation has come: what a cut or a deadline means depends on it.
pub(super) struct Progress(Mutex<Step>);

impl Progress {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(Step::Connect))
    }

    pub(super) fn step(&self) -> Step {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reaches(&self, step: Step) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = step;
    }
}

/// An open conversation: introduced, encrypted, logged in.
pub(super) struct Dialogue {
    connection: AsyncSmtpConnection,
    /// Emails that went through it.
    pub(super) sent: u32,
    /// When it was last used.
    pub(super) used: Instant,
}

impl Dialogue {
    /// Connects, encrypts, logs in.
    pub(super) async fn open(server: &Server, progress: &Progress) -> Result<Self, Fault> {
        progress.reaches(Step::Connect);
        let mut connection = connect(server).await?;
        if let Some(login) = &server.login {
            progress.reaches(Step::Login);
            let credentials = Credentials::new(login.username.clone(), login.password.clone());
            let answer = connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await;
            let answer = answer.map_err(|error| Fault::new(Step::Login, &error))?;
            expect(Severity::PositiveCompletion, answer, Step::Login)?;
        }
        Ok(Self { connection, sent: 0, used: Instant::now() })
    }

    /// Sends one email.
    pub(super) async fn deliver(
        &mut self,
        email: &Email,
        progress: &Progress,
    ) -> Result<Sent, Fault> {
        let result = self.steps(email, progress).await;
        self.used = Instant::now();
        self.sent += 1;
        result
    }

    async fn steps(&mut self, email: &Email, progress: &Progress) -> Result<Sent, Fault> {
        let address =
            |step, text: &str| text.parse::<Address>().map_err(|error| Fault::other(step, error));
        progress.reaches(Step::From);
        let from = address(Step::From, &email.from)?;
        self.say(Mail::new(Some(from), Vec::new()), Step::From, DONE).await?;
        progress.reaches(Step::To);
        let to = address(Step::To, &email.to)?;
        self.say(Rcpt::new(to, Vec::new()), Step::To, DONE).await?;
        progress.reaches(Step::Data);
        self.say(Data, Step::Data, Severity::PositiveIntermediate).await?;
        // The iterator is asked for more once the last byte is on its way: from then on the
        // final dot may be, too.
        let whole = iter::once(&email.message[..]).chain(iter::from_fn(|| {
            progress.reaches(Step::Verdict);
            None
        }));
        let verdict = self.connection.message_iter(whole).await;
        let verdict = verdict.map_err(|error| Fault::new(progress.step(), &error))?;
        let verdict = expect(DONE, verdict, Step::Verdict)?;
        let words: Vec<&str> = verdict.message().collect();
        Ok(Sent { note: format!("{} {}", verdict.code(), words.join(" ")) })
    }

    async fn say(
        &mut self,
        command: impl fmt::Display,
        step: Step,
        expected: Severity,
    ) -> Result<(), Fault> {
        let answer = self.connection.command(command).await;
        let answer = answer.map_err(|error| Fault::new(step, &error))?;
        expect(expected, answer, step).map(drop)
    }

    /// Forgets an email that was refused, so that another one can follow. Can it?
    pub(super) async fn reset(&mut self) -> bool {
        timeout(FAREWELL, self.connection.command(Rset)).await.is_ok_and(|answer| answer.is_ok())
    }

    /// Says goodbye and hangs up. The server's answer changes nothing.
    pub(super) async fn end(mut self) {
        let _ = timeout(FAREWELL, self.connection.command(Quit)).await;
    }
}

const DONE: Severity = Severity::PositiveCompletion;

fn expect(expected: Severity, answer: Response, step: Step) -> Result<Response, Fault> {
    if answer.code().severity == expected {
        Ok(answer)
    } else {
        Err(Fault::unexpected(step, &answer))
    }
}

async fn connect(server: &Server) -> Result<AsyncSmtpConnection, Fault> {
    let fault = |error| Fault::new(Step::Connect, &error);
    match (server.tls, &server.parameters) {
        (Tls::None, _) => {
            let stream = Box::new(Bounded::new(open(server).await?));
            AsyncSmtpConnection::connect_with_transport(stream, &server.hello).await.map_err(fault)
        }
        (Tls::Starttls, Some(tls)) => {
            let stream = Box::new(LineByLine::new(Bounded::new(open(server).await?)));
            let connection =
                AsyncSmtpConnection::connect_with_transport(stream, &server.hello).await;
            let mut connection = connection.map_err(fault)?;
            connection.starttls(tls.clone(), &server.hello).await.map_err(fault)?;
            Ok(connection)
        }
        (Tls::Tls, Some(tls)) => {
            let stream = Bounded::new(open(server).await?);
            let stream = Box::new(Encrypted::over(stream, tls.clone()).await.map_err(fault)?);
            AsyncSmtpConnection::connect_with_transport(stream, &server.hello).await.map_err(fault)
        }
        (Tls::Starttls | Tls::Tls, None) => {
            Err(Fault::other(Step::Connect, "TLS is required and not set up"))
        }
    }
}

/// A connection to the first of the server's addresses that answers.
async fn open(server: &Server) -> Result<TcpStream, Fault> {
    let fault = |error: io::Error| Fault::other(Step::Connect, error);
    let found = tokio::net::lookup_host((server.host.as_str(), server.port)).await;
    let found: Vec<SocketAddr> = found.map_err(fault)?.collect();
    // One that swallows everything must not use up the time of the others.
    let each = server.timeout / u32::try_from(found.len()).unwrap_or(u32::MAX).max(1);
    let mut last = Fault::other(Step::Connect, "the name has no address");
    for address in found {
        match timeout(each, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // The final dot is a packet of its own: it must not wait for an acknowledgement.
                stream.set_nodelay(true).map_err(fault)?;
                return Ok(stream);
            }
            Ok(Err(error)) => last = fault(error),
            Err(_) => last = Fault::silence(Step::Connect, each),
        }
    }
    Err(last)
}

/// Does the name mean this very machine, so that nobody can listen in?
pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}
