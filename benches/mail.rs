//! Emails over SMTP on loopback, beside Postfix's smtp-source.
//!
//! Both send as many emails of the same size through as many sessions into the same smtp-sink.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use periodd::mail::transport::{Settings, Tls};
use periodd::mail::{Email, Envelope, Letter, Sender, Templates, Transport, render, samples};

use crate::support::{Bench, Goal, Outcome, Series, process, rate};

/// Connections at once.
const SESSIONS: u32 = 10;

pub(crate) async fn run(bench: &Bench) -> Outcome {
    let size = bench.size;
    let Some(tools) = Tools::found() else {
        return Outcome::LeftOut("Postfix's smtp-source is not installed.".to_owned());
    };
    let (emails, composer) = (size.of(10_000), Composer::new());
    let bytes = composer.email(0).message.len();
    let mut series = Series::default();
    for _ in 0..size.runs {
        series.add("theirs", tools.source(emails, bytes));
        series.add("ours", render_and_send(&tools, &composer, emails).await);
        series.add("sent", only_send(&tools, &composer, emails).await);
    }
    let base = ("Postfix's smtp-source", "theirs");
    let figure = |how: &str, ours: &str, goal: Goal| {
        let what = format!("{emails} emails of {bytes} bytes over SMTP, {how}");
        series.against(base, &what, "emails/s", ours, goal)
    };
    Outcome::Measured(vec![
        figure("rendered and sent", "ours", Goal::RatioAtLeast(0.6)),
        figure("sent", "sent", Goal::Known),
    ])
}

struct Composer {
    templates: Templates,
    letter: Letter,
    sender: Sender,
}

impl Composer {
    fn new() -> Self {
        let templates = Templates::load(None).expect("the embedded templates");
        let sender = Sender {
            name: None,
            address: "billing@example.com".to_owned(),
            unsubscribe_url: Some("https://example.com/{token}".to_owned()),
            ..Sender::default()
        };
        Self { templates, letter: samples::warning(), sender }
    }

    fn email(&self, number: u64) -> Email {
        let envelope = Envelope {
            to: format!("contact-{number}@example.com"),
            message_id: format!("{number}@example.com"),
            date: "2026-05-21T12:05:00Z".parse().expect("an instant"),
            unsubscribe: Some(number.to_string()),
        };
        render(&self.templates, &self.letter, &envelope, &self.sender).expect("an email")
    }
}

fn transport(sink: &Sink) -> Transport {
    let settings = Settings {
        host: "127.0.0.1".to_owned(),
        port: sink.port,
        tls: Tls::None,
        ca_file: None,
        login: None,
        max_connections: SESSIONS,
        rate_per_second: u32::MAX,
        timeout: Duration::from_mins(1),
    };
    Transport::smtp(settings).expect("sound settings")
}

async fn render_and_send(tools: &Tools, composer: &Composer, emails: u64) -> f64 {
    let sink = tools.sink();
    let transport = transport(&sink);
    let began = Instant::now();
    let sends = (0..emails).map(|number| {
        let transport = &transport;
        async move { transport.send(&composer.email(number)).await.map(drop) }
    });
    let sends = stream::iter(sends).buffer_unordered(transport.concurrency());
    sends.try_collect::<Vec<()>>().await.expect("every email is taken");
    transport.rest().await;
    rate(emails, began.elapsed())
}

async fn only_send(tools: &Tools, composer: &Composer, count: u64) -> f64 {
    let sink = tools.sink();
    let transport = transport(&sink);
    let emails: Vec<_> = (0..count).map(|number| composer.email(number)).collect();
    let began = Instant::now();
    let sends = emails.iter().map(|email| async { transport.send(email).await.map(drop) });
    let sends = stream::iter(sends).buffer_unordered(transport.concurrency());
    sends.try_collect::<Vec<()>>().await.expect("every email is taken");
    transport.rest().await;
    rate(count, began.elapsed())
}

/// Postfix's two programs.
struct Tools {
    directory: PathBuf,
}

impl Tools {
    /// Where they are, or were fetched to; the script says what is missing.
    fn found() -> Option<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/postfix-tools");
        let output = Command::new(script).stderr(Stdio::inherit()).output().expect("the script");
        let directory = String::from_utf8(output.stdout).expect("a path");
        output.status.success().then(|| Self { directory: PathBuf::from(directory.trim()) })
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.directory.join(name));
        command.env("LD_LIBRARY_PATH", self.directory.join("../lib/postfix"));
        command
    }

    /// A server that takes everything and forgets it.
    fn sink(&self) -> Sink {
        let port = process::free_address().port();
        let mut command = self.command("smtp-sink");
        if rustix::process::geteuid().is_root() {
            command.args(["-u", "nobody"]);
        }
        let process = command.arg(format!("127.0.0.1:{port}")).arg("1000").spawn();
        let sink = Sink { port, process: process.expect("smtp-sink runs") };
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < Duration::from_secs(10), "smtp-sink listens");
            std::thread::sleep(Duration::from_millis(10));
        }
        sink
    }

    /// smtp-source's rate, over connections that carry one email after the other, as ours do.
    fn source(&self, emails: u64, bytes: usize) -> f64 {
        let sink = self.sink();
        let began = Instant::now();
        let mut command = self.command("smtp-source");
        command.args(["-d", "-s", &SESSIONS.to_string(), "-m", &emails.to_string()]);
        command.args(["-l", &bytes.to_string(), "-f", "billing@example.com"]);
        command.args(["-t", "contact@example.com", &format!("127.0.0.1:{}", sink.port)]);
        assert!(command.status().expect("smtp-source runs").success());
        rate(emails, began.elapsed())
    }
}

struct Sink {
    port: u16,
    process: Child,
}

impl Drop for Sink {
    fn drop(&mut self) {
        // Best effort: it ends with us at the latest.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
