//! The dashboard over a million orgs: how long the server takes for each page, and what many open
//! pages cost a daemon that closes periods.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::support::daemon::{Daemon, Jobs, Setup};
use crate::support::fall_due::fall_due;
use crate::support::figure::milliseconds;
use crate::support::{Bench, Goal, Outcome, Series, Server};

const DATABASE: &str = "bench_http_dashboard";
const SEED: &str = concat!(include_str!("../usage/users.sql"), include_str!("dashboard.sql"));
const METRICS: u64 = 30;
/// For a client that opens many pages.
const LINES: &str = "dashboard = true\nmax_clients = 2000\nmax_streams = 2000\n";
/// The pages that are looked at most, and the others.
const SOON: Goal = Goal::AtMost(100.0);
const SOON_ENOUGH: Goal = Goal::AtMost(300.0);
/// Longer than anything is kept for everybody: so each page is read again each time.
const NO_LONGER_KEPT: Duration = Duration::from_millis(3_200);
/// Open pages, and orgs that fall due meanwhile.
const OPEN: usize = 200;
const DUE: u64 = 10_000;
const MANY: [&str; 4] = ["/", "/runs", "/usage", "/emails"];

/// Each page by itself, then many that stay open.
pub(crate) async fn run(bench: &Bench) -> Outcome {
    let Bench { server, size } = bench;
    let orgs = size.of(1_000_000);
    server.seed(DATABASE, SEED, &[("users", orgs), ("metrics", METRICS)]).await;
    let mut series = Series::default();
    let pages = each(bench, &mut series).await;
    open(server, &mut series).await;
    server.discard(DATABASE).await;
    let of = format!("of {orgs} orgs and {} metrics", orgs * METRICS);
    let mut figures: Vec<_> = pages
        .iter()
        .map(|(what, _, goal)| series.figure(&format!("{what} {of}"), "ms", what, *goal))
        .collect();
    let pages = format!("{OPEN} open pages {of}");
    let late = format!("first close after a boundary beside {pages}");
    let without = |name| ("without them", name);
    figures.extend([
        series.against(
            without("share without"),
            &pages,
            "% of a core",
            "share",
            Goal::AtMost(10.0),
        ),
        series.against(without("memory without"), &pages, "MiB", "memory", Goal::Known),
        series.figure(&format!("more memory, {pages}"), "MiB", "more memory", Goal::AtMost(15.0)),
        series.against(without("late without"), &late, "ms", "late", Goal::AtMost(2_000.0)),
    ]);
    Outcome::Measured(figures)
}

/// What each page is called, where it is, and how soon it has to come.
type Page = (&'static str, String, Goal);

async fn each(bench: &Bench, series: &mut Series) -> Vec<Page> {
    let Bench { server, size } = bench;
    keep_an_overview(server).await;
    let setup = Setup { http: Some(4), lines: LINES, jobs: Jobs::Only(&[]) };
    let daemon = Daemon::start(server, DATABASE, &setup).await;
    let browser = Browser::open(&daemon).await;
    let pages = pages(server).await;
    for turn in 0..size.runs {
        tokio::time::sleep(NO_LONGER_KEPT).await;
        // What pages have in common is read by the first of them: each turn by another.
        for place in (turn..pages.len()).chain(0..turn.min(pages.len())) {
            let (what, path, _) = &pages[place];
            let began = Instant::now();
            let answer = browser.get(path).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
            series.add(what, milliseconds(began.elapsed()));
        }
    }
    pages
}

async fn pages(server: &Server) -> Vec<Page> {
    let statement: String = server
        .ask(
            DATABASE,
            "select to_char(max(p.period_start) at time zone 'UTC',
                            '\"/orgs/org-17/periods/\"YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')
             from billing_periods p join organizations o on o.id = p.org_id
             where o.slug = 'org-17'",
        )
        .await;
    let email: String = server
        .ask(
            DATABASE,
            "select '/emails/' || b.id || '?org=' || o.id
             from periodd_outbox b join organizations o on o.id = b.org_id
             where o.slug = 'org-17'",
        )
        .await;
    let page = |what, path: &str, goal| (what, path.to_owned(), goal);
    vec![
        page("page: now", "/", SOON),
        page("page: an org with 36 closed periods", "/orgs/org-17", SOON),
        page("page: an org with a pack", "/orgs/org-5", SOON),
        page("page: a statement", &statement, SOON_ENOUGH),
        page("page: orgs", "/orgs", SOON_ENOUGH),
        page("page: orgs by the start of a slug", "/orgs?q=org-77", SOON_ENOUGH),
        page("page: orgs by a name that none has", "/orgs?q=nobody", SOON_ENOUGH),
        page("page: an org by an email", "/orgs?q=77%40example.com", SOON_ENOUGH),
        page("page: usage", "/usage", SOON_ENOUGH),
        page("page: usage of a feature", "/usage?feature=sms_sent", SOON_ENOUGH),
        page("page: runs", "/runs", SOON_ENOUGH),
        page("page: emails", "/emails", SOON_ENOUGH),
        page("page: an email", &email, SOON_ENOUGH),
        page("page: drift", "/drift", SOON_ENOUGH),
        page("page: system", "/system", SOON_ENOUGH),
    ]
}

/// The overview of an hour is kept by the pass of alerts.
async fn keep_an_overview(server: &Server) {
    let setup = Setup { http: Some(4), lines: LINES, jobs: Jobs::Only(&["alerts"]) };
    let daemon = Daemon::start(server, DATABASE, &setup).await;
    let began = Instant::now();
    while !server.ask::<bool>(DATABASE, "select exists (select from periodd_overview)").await {
        assert!(began.elapsed() < Duration::from_mins(10), "the overview is not kept");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    drop(daemon);
}

/// A rollover without and with many open pages; half of them show all orgs, the others one each,
/// and some of these are used all the time.
async fn open(server: &Server, series: &mut Series) {
    for (is_open, [share, memory, late]) in [
        (false, ["share without", "memory without", "late without"]),
        (true, ["share", "memory", "late"]),
    ] {
        let setup = Setup { http: Some(4), lines: LINES, jobs: Jobs::Shipped };
        let daemon = Daemon::start(server, DATABASE, &setup).await;
        let browser = Arc::new(Browser::open(&daemon).await);
        let mut open = JoinSet::new();
        for page in (0..OPEN).filter(|_| is_open) {
            let browser = Arc::clone(&browser);
            let (key, path) = match page % 2 {
                0 => ("all".to_owned(), MANY[page / 2 % MANY.len()].to_owned()),
                _ => (format!("org-{page}"), format!("/orgs/org-{page}")),
            };
            open.spawn(async move { browser.stay(&key, &path).await });
        }
        let measured = async {
            // The start itself is not idle.
            tokio::time::sleep(Duration::from_secs(20)).await;
            100.0 * daemon.share(Duration::from_secs(30)).await
        };
        tokio::select! {
            percent = measured => series.add(share, percent),
            () = use_up(server) => {}
        }
        series.add(memory, daemon.memory_mib());
        series.add(late, milliseconds(first_close(server).await));
        assert!(open.try_join_next().is_none(), "a page was closed");
        open.shutdown().await;
        if is_open {
            let (with, without) = (series.last("memory"), series.last("memory without"));
            series.add("more memory", with - without);
        }
    }
}

/// Ten uses a second by SQL, of orgs whose pages are open.
async fn use_up(server: &Server) {
    let mut connection = server.connect(DATABASE).await;
    let mut every = tokio::time::interval(Duration::from_millis(100));
    for number in 0_u64.. {
        every.tick().await;
        let used = "select increment_org_usage(id, 'scrapes') from organizations where slug = $1";
        let used = sqlx::query(used).bind(format!("org-{}", number % 20 * 2 + 1));
        used.execute(&mut connection).await.expect("a use");
    }
}

/// From when orgs fall due until the first of them is closed.
async fn first_close(server: &Server) -> Duration {
    let some = format!(
        "id in (select id from organizations
                where current_period_end > now() + interval '1 hour' and slug like '%9'
                limit {DUE})"
    );
    server.run(DATABASE, &fall_due(15, &some)).await;
    let end = "select extract(epoch from min(current_period_end))::float8 from organizations
               where current_period_end > now() - interval '1 minute'";
    let due: f64 = server.ask(DATABASE, end).await;
    let began = Instant::now();
    let first = format!(
        "select extract(epoch from min(recorded_at))::float8 - {due} from billing_periods
         where period_end >= to_timestamp({due}) - interval '1 second'"
    );
    loop {
        if let Some(late) = server.ask::<Option<f64>>(DATABASE, &first).await {
            return Duration::from_secs_f64(late.max(0.0));
        }
        assert!(began.elapsed() < Duration::from_mins(3), "nothing is closed");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Somebody who is logged in.
struct Browser {
    address: SocketAddr,
    cookie: String,
}

impl Browser {
    async fn open(daemon: &Daemon) -> Self {
        let mut browser = Self { address: daemon.address, cookie: String::new() };
        let answer = browser.ask("POST", "/login", &format!("token={}", daemon.token)).await;
        let cookie = answer.lines().find_map(|line| line.strip_prefix("set-cookie: "));
        let cookie = cookie.and_then(|line| line.split(';').next());
        cookie.expect("a session").clone_into(&mut browser.cookie);
        browser
    }

    async fn get(&self, path: &str) -> String {
        self.ask("GET", path, "").await
    }

    async fn ask(&self, method: &str, path: &str, form: &str) -> String {
        let mut stream = self.send(method, path, form).await;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("an answer");
        String::from_utf8(answer).expect("text")
    }

    async fn send(&self, method: &str, path: &str, form: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.expect("a connection");
        let text = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncookie: {}\r\n\
             sec-fetch-site: same-origin\r\ncontent-type: application/x-www-form-urlencoded\r\n\
             content-length: {}\r\n\r\n{form}",
            self.address,
            self.cookie,
            form.len()
        );
        stream.write_all(text.as_bytes()).await.expect("sent");
        stream
    }

    /// A page that stays open: it listens, and looks again at most once a second.
    async fn stay(&self, key: &str, path: &str) {
        let mut stream = self.send("GET", &format!("/live?pages={key}"), "").await;
        let mut bytes = [0; 4_096];
        loop {
            let count = stream.read(&mut bytes).await.expect("a stream");
            assert!(count > 0, "the stream of {path} ended");
            if String::from_utf8_lossy(&bytes[..count]).contains("event: changed") {
                let page = self.get(path).await;
                assert!(page.starts_with("HTTP/1.1 200"), "{path}: {page}");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}
