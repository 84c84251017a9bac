//! Webhooks on loopback, from the outbox to their settled rows, beside a client that only posts.
//!
//! Both send as many bodies of the same size, as many at once, to the same receiver.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use periodd::config::Config;
use periodd::jobs::deliver::{self, Mailer};
use periodd::store::Database;
use periodd::tz::TzData;
use tokio::net::TcpListener;

use crate::support::{Bench, Goal, Outcome, Series, rate};

const NAME: &str = "bench_webhooks";
/// Messages at once, as a delivery sends them.
const AT_ONCE: usize = 16;
const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// One pack each, told to the endpoint.
const MESSAGES: &str = "
    insert into periodd_listeners (channel, name) values ('webhook', 'app');
    insert into organizations (slug, name, time_zone)
    select 'org-' || i, 'Org ' || i, 'UTC' from generate_series(1, :messages) i;
    select count(grant_overage_pack(id, 'scrapes', 300, 'order-' || slug)) from organizations;";

pub(crate) async fn run(bench: &Bench) -> Outcome {
    let Bench { server, size } = bench;
    let messages = size.of(10_000);
    let receiver = receive();
    let directory = tempfile::tempdir().expect("a directory");
    let (file, secret) = (directory.path().join("periodd.toml"), directory.path().join("secret"));
    std::fs::write(&secret, SECRET).expect("written");
    let block = format!(
        "[mail]\ntransport = \"none\"\n[[webhooks]]\nname = \"app\"\nurl = \"http://{receiver}/\"\n\
         secret_file = \"{}\"\nrate_per_second = 100000\n",
        secret.display()
    );
    std::fs::write(&file, block).expect("written");
    let home = ("HOME".to_owned(), directory.path().display().to_string());
    let config = Config::load(Some(&file), std::iter::once(home)).expect("a configuration");
    let mut series = Series::default();
    for _ in 0..size.runs {
        server.seed(NAME, MESSAGES, &[("messages", messages)]).await;
        let body: String =
            server.ask(NAME, "select body from periodd_webhook_outbox order by id limit 1").await;
        series.add("plain", post(receiver, &body, messages).await);
        let database = Database::connect(&server.url(NAME), 4).await.expect("the server answers");
        series.add("ours", send(&database, &config, messages).await);
        database.close().await;
        server.discard(NAME).await;
    }
    let what = format!("{messages} webhooks on loopback");
    let base = ("a client that only posts", "plain");
    Outcome::Measured(vec![series.against(
        base,
        &what,
        "webhooks/s",
        "ours",
        Goal::RatioAtLeast(0.5),
    )])
}

async fn send(database: &Database, config: &Config, messages: u64) -> f64 {
    let (mailer, tz) = (Mailer::of(config).expect("a mailer"), TzData::newest());
    let request = deliver::Request::of(config);
    let began = Instant::now();
    let mut sent = 0;
    while sent < messages {
        let report = deliver::run(database, &tz, &mailer, &request).await.expect("a delivery");
        assert!(report.webhooks.sent > 0, "{report:?}");
        sent += report.webhooks.sent as u64;
    }
    rate(messages, began.elapsed())
}

async fn post(receiver: SocketAddr, body: &str, messages: u64) -> f64 {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let body = Bytes::copy_from_slice(body.as_bytes());
    let began = Instant::now();
    let posts = (0..messages).map(|_| {
        let request = Request::post(format!("http://{receiver}/"))
            .header("content-type", "application/json")
            .body(Full::new(body.clone()));
        let client = &client;
        async move {
            let answer = client.request(request.expect("a request")).await?;
            answer.into_body().collect().await.expect("a body");
            Ok::<(), hyper_util::client::legacy::Error>(())
        }
    });
    let posts = stream::iter(posts).buffer_unordered(AT_ONCE);
    posts.try_collect::<Vec<()>>().await.expect("every message is taken");
    rate(messages, began.elapsed())
}

/// A receiver that takes everything and forgets it, on a thread of its own.
fn receive() -> SocketAddr {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            tell.send(listener.local_addr().expect("an address")).expect("it is waited for");
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                stream.set_nodelay(true).expect("a socket");
                let serving =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(take));
                tokio::spawn(serving);
            }
        });
    });
    told.recv_timeout(Duration::from_secs(10)).expect("it listens")
}

async fn take(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let _ = request.into_body().collect().await;
    Ok(Response::new(Full::new(Bytes::from_static(b"ok"))))
}
