//! A primary with a synchronous standby, which takes over while a rollover, syncs, alert passes and
//! increments run.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::daemon::process::{Daemon, PATIENCE, binary};
use crate::proof::{figure, size};
use crate::support;

const ORGS: i64 = 1_000;
/// How late the last period may be closed after its server is gone.
const LATEST: Duration = Duration::from_mins(1);

/// Two servers, each in a directory of its own.
struct Pair {
    dir: tempfile::TempDir,
}

impl Pair {
    /// A primary that has periodd's schema, and its standby, which every commit waits for.
    fn started() -> Self {
        let dir = tempfile::Builder::new().prefix("pd-").tempdir().expect("a directory");
        let open = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(dir.path(), open).expect("permissions");
        let pair = Self { dir };
        let [one, other] = ["a", "b"].map(|name| pair.dir.path().join(name));
        std::fs::create_dir_all(&one).expect("a directory");
        own(&one);
        let data = one.join("data");
        let initdb = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"];
        server_program("initdb", &[&["-D", path(&data)][..], &initdb].concat());
        append(
            &data.join("postgresql.conf"),
            "listen_addresses = ''\nmax_connections = 60\nfsync = off\ntimezone = 'UTC'\n",
        );
        pair.start("a");
        pair.stop("a", "fast");
        let copied = Command::new("cp").arg("-a").arg(&one).arg(&other).status();
        assert!(copied.expect("cp runs").success());
        let data = other.join("data");
        std::fs::write(data.join("standby.signal"), "").expect("a file");
        own(&data.join("standby.signal"));
        let leads = format!("primary_conninfo = 'host={} user=postgres'\n", path(&one));
        append(&data.join("postgresql.conf"), &leads);
        let waits = "synchronous_standby_names = '*'\n";
        append(&one.join("data/postgresql.conf"), waits);
        pair.start("a");
        pair.start("b");
        pair
    }

    /// The URL of one of the servers, or of both.
    fn url(&self, servers: &[&str]) -> String {
        let hosts = servers.iter().map(|name| path(&self.dir.path().join(name)).to_owned());
        let hosts = hosts.collect::<Vec<_>>().join(",");
        format!("postgresql:///postgres?host={hosts}&user=postgres")
    }

    fn start(&self, name: &str) {
        let home = self.dir.path().join(name);
        let sockets = format!("-c unix_socket_directories='{}'", path(&home));
        let (data, log) = (home.join("data"), home.join("log"));
        let start = ["-D", path(&data), "-l", path(&log), "-o", &sockets, "-w", "start"];
        server_program("pg_ctl", &start);
    }

    fn stop(&self, name: &str, mode: &str) {
        let data = self.dir.path().join(name).join("data");
        server_program("pg_ctl", &["-D", path(&data), "-m", mode, "-w", "stop"]);
    }

    fn promote(&self, name: &str) {
        let data = self.dir.path().join(name).join("data");
        server_program("pg_ctl", &["-D", path(&data), "-w", "promote"]);
    }

    /// The only row of a query, as text, from one server.
    async fn ask(&self, name: &str, query: &str) -> String {
        let mut connection = PgConnection::connect(&self.url(&[name])).await.expect("it answers");
        let query = format!("select ({query})::text");
        let row: (Option<String>,) = sqlx::query_as(sqlx::AssertSqlSafe(query))
            .fetch_one(&mut connection)
            .await
            .expect("an answer");
        row.0.unwrap_or_default()
    }

    /// Waits until a query has that answer on one server; how long it took.
    async fn until(&self, name: &str, query: &str, done: impl Fn(i64) -> bool) -> Duration {
        let begun = Instant::now();
        loop {
            let said = self.ask(name, query).await;
            if done(said.parse().unwrap_or(-1)) {
                return begun.elapsed();
            }
            assert!(begun.elapsed() < PATIENCE, "{query}: still {said}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn periodd(&self, config: &Path, arguments: &[&str]) -> support::Answer {
        let mut command = binary(config, arguments);
        command.env("STATE_DIRECTORY", self.dir.path().join("state"));
        command.output().expect("the binary runs").into()
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        for name in ["a", "b"] {
            let data = self.dir.path().join(name).join("data");
            let stop = ["-D", path(&data), "-m", "immediate", "-w", "stop"];
            let _ = as_server("pg_ctl", &stop).stderr(Stdio::null()).output();
        }
    }
}

fn path(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn append(file: &Path, lines: &str) {
    let mut text = std::fs::read_to_string(file).expect("a file");
    text.push_str(lines);
    std::fs::write(file, text).expect("it is written");
}

/// Whom PostgreSQL runs as when the tests are run by root.
fn unprivileged() -> Option<(u32, u32)> {
    let uid = rustix::process::geteuid();
    let known = nix::unistd::User::from_name("postgres").ok().flatten();
    let ids = known.map_or((65_534, 65_534), |user| (user.uid.as_raw(), user.gid.as_raw()));
    uid.is_root().then_some(ids)
}

fn own(place: &Path) {
    if let Some((uid, gid)) = unprivileged() {
        std::os::unix::fs::chown(place, Some(uid), Some(gid)).expect("it is given away");
    }
}

fn as_server(program: &str, arguments: &[&str]) -> Command {
    use std::os::unix::process::CommandExt;
    let binaries = std::env::var("PERIODD_TEST_BINARIES").expect("the server's programs");
    let mut command = Command::new(PathBuf::from(binaries).join(program));
    command.args(arguments).current_dir("/").stdout(Stdio::null());
    if let Some((uid, gid)) = unprivileged() {
        command.uid(uid).gid(gid);
    }
    command
}

fn server_program(program: &str, arguments: &[&str]) {
    let status = as_server(program, arguments).status().expect("it runs");
    assert!(status.success(), "{program} {arguments:?}: {status}");
}

/// Orgs whose last month has ended, with a user each.
fn seed() -> String {
    format!(
        "with m as (select (now() at time zone 'UTC')::date
                           - extract(day from now())::int + 1 as d)
         insert into organizations
             (slug, name, time_zone, subscription_tier, current_period_start, current_period_end,
              current_period_end_date, next_period_ends, ends_time_zone, ends_cycle,
              ends_anchor_day, ends_anchor_month, ends_tzdb_version)
         select 'org-' || i, 'Org', 'UTC', 'pro', m.d - interval '1 month', m.d, m.d,
                array[m.d + interval '1 month', m.d + interval '2 months',
                      m.d + interval '3 months'],
                'UTC', 'monthly', 1, 1, '2099z'
         from generate_series(1, {ORGS}) i, m;
         insert into users (organization_id, email)
         select id, slug || '@example.com' from organizations;
         insert into tier_limits values ('pro', 'minutes_transcribed', 1000000);
         insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
         select id, 'minutes_transcribed', 7, current_period_end - interval '1 day'
         from organizations"
    )
}

/// Counts a use again and again until it is told to end; a call whose outcome is not known is made
/// again with its key, on whichever server takes it.
async fn use_it(urls: Vec<String>, user: Uuid, ends: Arc<AtomicBool>, done: Arc<AtomicI64>) {
    let mut at_hand: Option<PgConnection> = None;
    let mut place = 0;
    while !ends.load(Ordering::Relaxed) {
        let key = Uuid::new_v4().to_string();
        let begun = Instant::now();
        loop {
            assert!(begun.elapsed() < PATIENCE, "a use is not counted");
            if at_hand.is_none() {
                at_hand = PgConnection::connect(&urls[place % urls.len()]).await.ok();
            }
            let Some(connection) = &mut at_hand else {
                place += 1;
                tokio::time::sleep(Duration::from_millis(5)).await;
                continue;
            };
            let call = "select allowed
                        from increment_feature_usage($1, 'minutes_transcribed', 1, $2)";
            let answer: Result<bool, sqlx::Error> =
                sqlx::query_scalar(call).bind(user).bind(&key).fetch_one(connection).await;
            if let Ok(allowed) = answer {
                assert!(allowed, "it is within the limit");
                done.fetch_add(1, Ordering::Relaxed);
                break;
            }
            at_hand = None;
            place += 1;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_standby_takes_over_amid_all_work_and_nothing_is_lost_or_done_twice() {
    let times = size(1, 20);
    for _ in 0..times {
        taken_over().await;
    }
    figure(
        "primary killed with a synchronous standby",
        &format!("{times} times; nothing lost or done twice"),
    );
}

async fn taken_over() {
    let pair = Pair::started();
    let config = pair.dir.path().join("periodd.toml");
    let every_second = ["rollover", "sync", "alerts", "deliver"]
        .map(|job| format!("[schedule.{job}]\ncron = \"* * * * * *\"\njitter = \"0s\"\n"));
    let lines = format!(
        "[database]\nurl = \"{}\"\n[daemon]\nlease = \"3s\"\n[rollover]\nbatch_size = 5\n\
         [mail]\ntransport = \"none\"\n{}",
        pair.url(&["b", "a"]),
        every_second.concat()
    );
    std::fs::write(&config, lines).expect("the configuration is written");
    // The standby stands first in the URL: the one that takes writes is looked for.
    pair.periodd(&config, &["db", "migrate"]).exits(0);
    let mut primary = PgConnection::connect(&pair.url(&["a"])).await.expect("it answers");
    let seeded = sqlx::raw_sql(sqlx::AssertSqlSafe(seed())).execute(&mut primary).await;
    seeded.expect("the orgs are made");
    let synchronous = "select count(*) from pg_stat_replication where sync_state = 'sync'";
    pair.until("a", synchronous, |count| count == 1).await;
    let users: Vec<(Uuid,)> = sqlx::query_as("select id from users order by email limit 4")
        .fetch_all(&mut primary)
        .await
        .expect("users");

    let mut command = binary(&config, &["run"]);
    command.env("STATE_DIRECTORY", pair.dir.path().join("state"));
    let daemon = Daemon::spawn(command);
    let (ends, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicI64::new(0)));
    let mut clients = Vec::new();
    for (user,) in users {
        let urls = vec![pair.url(&["a"]), pair.url(&["b"])];
        clients.push(tokio::spawn(use_it(urls, user, ends.clone(), done.clone())));
    }
    let closed = "select count(*) from billing_periods";
    pair.until("a", closed, |count| count > 0).await;
    drop(primary);
    pair.stop("a", "immediate");
    let gone = Instant::now();
    pair.promote("b");
    let before: i64 = pair.ask("b", closed).await.parse().expect("a number");
    assert!(before < ORGS, "it takes over amid the rollover");
    pair.until("b", closed, |count| count == ORGS).await;
    let late = gone.elapsed();
    assert!(late < LATEST, "the last period is closed after {late:?}");
    let uncounted = "select count(*) from usage_metrics where counted_at is null";
    pair.until("b", uncounted, |count| count == 0).await;
    ends.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.expect("a client");
    }
    eprintln!("{before} of {ORGS} were closed before; the last {late:?} after its end");

    // Each use once, whatever was answered; each period once; nobody parked.
    let of_clients = "select sum(used) from usage_counters c join organizations o
                      on o.id = c.org_id and o.current_period_start = c.period_start";
    assert_eq!(pair.ask("b", of_clients).await, done.load(Ordering::Relaxed).to_string());
    assert_eq!(pair.ask("b", closed).await, ORGS.to_string());
    let parked = "select count(*) from organizations where parked_at is not null";
    assert_eq!(pair.ask("b", parked).await, "0");
    for (name, query) in support::invariants() {
        let query = query.trim_end().trim_end_matches(';').to_owned();
        let broken = pair.ask("b", &format!("select count(*) from ({query}) q")).await;
        assert_eq!(broken, "0", "{name}");
    }
    let status = pair.periodd(&config, &["status"]);
    assert!([0, 3].contains(&status.code), "{status:?}");
    let log = daemon.log();
    assert!(daemon.stop().await.success(), "SIGTERM ends it well:\n{log}");
}

#[tokio::test]
async fn a_primary_that_is_full_is_waited_for() {
    let pair = Pair::started();
    let config = pair.dir.path().join("periodd.toml");
    let lines = format!("[database]\nurl = \"{}\"\n", pair.url(&["b", "a"]));
    std::fs::write(&config, lines).expect("the configuration is written");
    pair.periodd(&config, &["db", "migrate"]).exits(0);
    let mut all = Vec::new();
    while let Ok(one) = PgConnection::connect(&pair.url(&["a"])).await {
        all.push(one);
    }
    let log = pair.dir.path().join("a/log");
    let refused = || {
        let log = std::fs::read_to_string(&log).expect("a log");
        log.matches("too many clients already").count()
    };
    let before = refused();
    let add = ["orgs", "add", "acme", "--name", "Acme", "--zone", "UTC"];
    let mut command = binary(&config, &add);
    command.env("STATE_DIRECTORY", pair.dir.path().join("state"));
    let adding = tokio::task::spawn_blocking(move || command.output());
    let begun = Instant::now();
    while refused() == before {
        assert!(begun.elapsed() < PATIENCE, "it is not refused");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    drop(all);
    let added = adding.await.expect("a task").expect("the binary runs");
    assert!(added.status.success(), "{added:?}");
}

#[tokio::test]
async fn with_standbys_alone_what_only_looks_still_looks() {
    let pair = Pair::started();
    let config = pair.dir.path().join("periodd.toml");
    let url = |servers: &[&str]| {
        let lines = format!("[database]\nurl = \"{}\"\n", pair.url(servers));
        std::fs::write(&config, lines).expect("the configuration is written");
    };
    url(&["a", "b"]);
    pair.periodd(&config, &["db", "migrate"]).exits(0);
    pair.stop("a", "immediate");
    let status = pair.periodd(&config, &["status"]);
    assert_eq!(status.code, 3, "{status:?}");
    assert!(status.stdout.contains("the database is a standby"), "{status:?}");
    pair.stop("b", "immediate");
    let gone = pair.periodd(&config, &["status"]).exits(69);
    let both = pair.dir.path().join("a").display().to_string();
    assert!(gone.stderr.contains(&both), "{}", gone.stderr);
}
