//! Emails over SMTP on loopback, beside Postfix's smtp-source: `cargo bench --bench mail`.
//!
//! Both send as many emails of the same size through as many sessions into the same smtp-sink,
//! in turn, and the medians of the runs are compared. `PERIODD_BENCH_EMAILS` and
//! `PERIODD_BENCH_RUNS` make it smaller.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use periodd::mail::transport::{Settings, Tls};
use periodd::mail::{Email, Envelope, Letter, Sender, Templates, Transport, render, samples};

/// Connections at once.
const SESSIONS: u32 = 10;
/// Ours against smtp-source's.
const GOAL: f64 = 0.5;

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

#[tokio::main]
async fn main() {
    // `cargo test --benches` runs every bench target once; there is nothing to test here.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let emails = setting("PERIODD_BENCH_EMAILS", 10_000);
    let runs = setting("PERIODD_BENCH_RUNS", 5);
    let (tools, composer) = (Tools::find(), Composer::new());
    let bytes = composer.email(0).message.len();
    let (mut ours, mut sent, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        theirs.push(tools.source(emails, bytes));
        ours.push(render_and_send(&tools, &composer, emails).await);
        sent.push(only_send(&tools, &composer, emails).await);
    }
    let (theirs, ours, sent) = (median(theirs), median(ours), median(sent));
    println!("{emails} emails of {bytes} bytes, {SESSIONS} sessions, medians of {runs} runs:");
    println!("  smtp-source        {theirs:7.0} emails/s");
    println!("  rendered and sent  {ours:7.0} emails/s, ratio {:.2} (goal {GOAL})", ours / theirs);
    println!("  sent               {sent:7.0} emails/s, ratio {:.2}", sent / theirs);
}

/// Emails per second, the middle of several runs.
fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

#[expect(clippy::cast_precision_loss, reason = "a number of emails is small")]
fn rate(emails: usize, took: Duration) -> f64 {
    emails as f64 / took.as_secs_f64()
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

    fn email(&self, number: usize) -> Email {
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

async fn render_and_send(tools: &Tools, composer: &Composer, emails: usize) -> f64 {
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

async fn only_send(tools: &Tools, composer: &Composer, emails: usize) -> f64 {
    let sink = tools.sink();
    let transport = transport(&sink);
    let emails: Vec<_> = (0..emails).map(|number| composer.email(number)).collect();
    let began = Instant::now();
    let sends = emails.iter().map(|email| async { transport.send(email).await.map(drop) });
    let sends = stream::iter(sends).buffer_unordered(transport.concurrency());
    sends.try_collect::<Vec<()>>().await.expect("every email is taken");
    transport.rest().await;
    rate(emails.len(), began.elapsed())
}

/// Postfix's two programs.
struct Tools {
    directory: PathBuf,
}

impl Tools {
    fn find() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/postfix-tools");
        let output = Command::new(script).stderr(Stdio::inherit()).output().expect("the script");
        assert!(output.status.success(), "scripts/postfix-tools says what to do");
        let directory = String::from_utf8(output.stdout).expect("a path");
        Self { directory: PathBuf::from(directory.trim()) }
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.directory.join(name));
        command.env("LD_LIBRARY_PATH", self.directory.join("../lib/postfix"));
        command
    }

    /// A server that takes everything and forgets it.
    fn sink(&self) -> Sink {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = free.expect("a free port").port();
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
    fn source(&self, emails: usize, bytes: usize) -> f64 {
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
