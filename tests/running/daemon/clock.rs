//! A server whose clock is wrong for some seconds, under a daemon: nothing is done by it, and all
//! that is due is done once it is right again.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::client::{Request, Response, ask};
use crate::daemon::faketime::FakedServer;
use crate::daemon::http::address;
use crate::daemon::process::{Daemon, PATIENCE, binary, wait_until};

/// How far, and which way.
const SHIFTS: [&str; 4] = ["+3h", "+40d", "+1825d", "-1h"];
const JOBS: [&str; 5] = ["rollover", "sync", "alerts", "deliver", "retention"];
/// Once the clock is right, everything that is due is done within this.
const SOON: Duration = Duration::from_mins(1);

/// How long each clock is wrong, in seconds: `make test-clock` takes its time.
fn spell() -> Duration {
    let secs = std::env::var("PERIODD_TEST_SPELL").ok().and_then(|secs| secs.parse().ok());
    Duration::from_secs(secs.unwrap_or(3))
}

async fn until(server: &FakedServer, what: &str, query: &str, patience: Duration) {
    let begun = Instant::now();
    while server.rows(query).await != ["t"] {
        assert!(begun.elapsed() < patience, "{what}: not yet");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Every job has a run that is done, after the newest that there was.
async fn all_jobs_run(server: &FakedServer, what: &str, patience: Duration) {
    let last = server.rows("select coalesce(max(id), 0) from periodd_runs").await.concat();
    let ran = format!(
        "select count(distinct job) >= {} from periodd_runs where id > {last} and outcome = 'done'",
        JOBS.len()
    );
    until(server, what, &ran, patience).await;
}

/// Somebody at the dashboard.
struct Reader {
    address: SocketAddr,
    session: String,
}

impl Reader {
    async fn log_in(daemon: &Daemon, token: &str) -> Self {
        let address = address(daemon).await;
        let mut begin = Request::get("/login");
        begin.method = "POST";
        begin.body = Some(format!("token={token}"));
        let begin = begin
            .with("content-type", "application/x-www-form-urlencoded")
            .with("sec-fetch-site", "same-origin");
        let begun = ask(address, &begin).await.is(303);
        let cookie = begun.header("set-cookie").expect("a session");
        let session = cookie.split(';').next().unwrap_or_default().to_owned();
        Self { address, session }
    }

    async fn get(&self, path: &str) -> Response {
        ask(self.address, &Request::get(path).with("cookie", &self.session)).await
    }
}

async fn survives(shift: &'static str) {
    let server = tokio::task::spawn_blocking(FakedServer::start).await.expect("a server");
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("periodd.toml");
    let lines = JOBS.map(|job| {
        format!("[schedule.{job}]\ncron = \"* * * * * *\"\njitter = \"0s\"\ncatch_up = \"once\"\n")
    });
    let state = directory.path().display();
    let text = format!(
        "[database]\nurl = \"{}\"\n[daemon]\nstate_dir = \"{state}\"\n[log]\nformat = \"json\"\n\
         [http]\nenabled = true\nlisten = \"127.0.0.1:0\"\n{}",
        server.url(),
        lines.concat()
    );
    std::fs::write(&config, text).expect("a configuration");
    let run = |line: &str, code: i32| {
        let arguments: Vec<&str> = line.split_whitespace().collect();
        let output = binary(&config, &arguments).output().expect("the binary runs");
        assert_eq!(output.status.code(), Some(code), "{shift}: {line}: {output:?}");
        format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    };
    run("db migrate", 0);
    server
        .sql(
            "insert into tier_limits values ('pro', 'scrapes', 100);
             insert into organizations (slug, name, time_zone, subscription_tier,
                                        current_period_start, current_period_end)
             select 'org-' || i, 'Org', 'UTC', 'pro', date_trunc('day', now()) - interval '1 day',
                    date_trunc('day', now()) + interval '25 days'
             from generate_series(1, 3) i;
             select grant_overage_pack(id, 'scrapes', 50, 'r', now() + interval '1 year')
             from organizations;
             insert into usage_metrics (organization_id, metric_type, metric_value)
             select id, 'scrapes', 1 from organizations",
        )
        .await;
    let token = run("tokens add reader --scope read", 0);
    let token = token.split_whitespace().find(|word| word.starts_with("pd_")).expect("a token");
    let mut daemon = Daemon::spawn(binary(&config, &["run"]));
    all_jobs_run(&server, "it works", PATIENCE).await;

    server.set(shift);
    wait_until("the clock is found wrong", || daemon.said("the clock is not trusted") == 1).await;
    // One more org falls due meanwhile, by the clock that is right.
    server
        .sql(
            "insert into organizations (slug, name, time_zone, current_period_start,
                                        current_period_end)
             select 'due', 'Due', 'UTC', max(database_at) - interval '1 day', max(database_at)
             from periodd_clocks",
        )
        .await;
    let wrong = Instant::now();
    assert!(run("rollover", 5).contains("the database's clock says"), "{shift}");
    assert!(run("status", 3).contains("the database's clock says"), "{shift}");
    // Another process believes it no sooner.
    daemon.kill();
    let daemon = Daemon::spawn(binary(&config, &["run"]));
    wait_until("it is found again", || daemon.said("the clock is not trusted") == 1).await;
    let said = "select count(*) > 0 from periodd_runs where reason = 'clock'";
    until(&server, "what is left out says why", said, PATIENCE).await;
    // Whoever looks sees why nothing happens.
    let reader = Reader::log_in(&daemon, token).await;
    let page = reader.get("/").await.is(200).body;
    assert!(page.contains("the database&#x27;s clock says"), "{shift}: {page}");
    tokio::time::sleep(spell().saturating_sub(wrong.elapsed())).await;
    let done = "select (select count(*) from billing_periods) = 0
                   and (select sum(remaining) from overage_packs) = 150
                   and (select count(*) from overage_entries where kind <> 'granted') = 0";
    assert_eq!(server.rows(done).await, ["t"], "{shift}: something was done by a wrong clock");

    server.set("+0");
    let closed = "select count(*) = 1 and max(period_end) <= now() from billing_periods";
    until(&server, "what is due is closed", closed, SOON).await;
    all_jobs_run(&server, "every job runs again", SOON).await;
    // What began by a clock that was ahead is over, once the session is looked up again: it would
    // last until then.
    let begun = Instant::now();
    while shift.starts_with('+') && reader.get("/").await.status != 303 {
        assert!(begun.elapsed() < PATIENCE, "{shift}: the session goes on");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let page = Reader::log_in(&daemon, token).await.get("/").await.is(200).body;
    assert!(!page.contains("clock says"), "{shift}: {page}");
    assert_eq!(daemon.said("the clock is trusted again"), 1, "{shift}: {}", daemon.log());
    let left = "select (select count(*) from periodd_schedules where settled > now()),
                       (select count(*) from periodd_schedules
                        where lease_until > now() + interval '1 minute'),
                       (select count(*) > 0 from periodd_runs where reason = 'clock'),
                       (select sum(remaining) from overage_packs)";
    assert_eq!(server.rows(left).await, ["0 0 t 150"], "{shift}");
    let failed = "select id, job, error from periodd_runs where outcome = 'failed'";
    assert_eq!(server.rows(failed).await, Vec::<String>::new(), "{shift}");
    run("doctor", 0);
    assert_eq!(daemon.stop().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_wrong_for_seconds_closes_nothing_and_stops_nobody_afterwards() {
    let spells = SHIFTS.map(|shift| tokio::spawn(survives(shift)));
    for spell in spells {
        spell.await.expect("it survives");
    }
}
