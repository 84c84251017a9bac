//! A pass over many orgs of which one in a hundred crosses a threshold, against the bare select of
//! those that cross; and a pass in which nothing changed: `make bench`.
//!
//! The database is made once. Each pass runs on a fresh copy, in turn with its baseline.
//! `PERIODD_BENCH_ORGS` and `PERIODD_BENCH_RUNS` make it smaller.

use std::time::{Duration, Instant};

use periodd::config::Config;
use periodd::jobs::alerts::{self, Request};
use periodd::store::Database;
use periodd::tzdata::TzData;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

const NOW: &str = "2026-05-20T12:00:00Z";
const SEED: &str = "bench_alerts_seed";
const COPY: &str = "bench_alerts";

/// Orgs in the middle of May, each with a counter and a contact; one in a hundred has used 540 of
/// 600, the others at most 400; one in twenty has bought a pack.
const ORGS: &str = "
    insert into tier_limits (tier, feature, included, judged, judged_included)
        values ('pro', 'minutes_transcribed', 600, true, 600);
    insert into organizations
        (slug, name, time_zone, subscription_tier, judged_tier, current_period_start,
         current_period_end)
    select 'org-' || i, 'Org ' || i, 'Europe/Berlin', 'pro', 'pro', '2026-04-30T22:00Z',
           '2026-05-31T22:00Z' from generate_series(1, :orgs) i;
    insert into org_contacts (org_id, email) select id, slug || '@example.org' from organizations;
    insert into usage_counters
        (org_id, feature, period_start, period_end, used, sync_status, last_synced_at)
    select id, 'minutes_transcribed', current_period_start, current_period_end,
           case when slug like '%00' then 540 else abs(hashtext(slug)) % 400 end, 'synced',
           '2026-05-19Z' from organizations;
    insert into overage_packs (org_id, feature, quantity, remaining, purchased_at, entries)
    select id, 'minutes_transcribed', 300, 300, '2026-05-10', 1
    from organizations where slug like '%5' and slug not like '%55';
    insert into overage_entries (org_id, pack_id, seq, kind, quantity, at, remaining)
    select org_id, id, 1, 'granted', 300, '2026-05-10', 300 from overage_packs;";

/// Who crosses 80 % of their allowance, as one would ask by hand.
const BARE: &str = "
    select c.org_id, c.feature, c.period_start, c.period_end, c.used, l.included, t.included,
           d.drawn, p.held
    from usage_counters c
    join organizations o on o.id = c.org_id
    left join limit_overrides l on l.org_id = c.org_id and l.feature = c.feature
    left join tier_limits t on t.tier = o.subscription_tier and t.feature = c.feature
    left join (select org_id, feature, sum(remaining) as held from overage_packs
               where remaining > 0 and purchased_at <= '2026-05-20T12:00Z'
                 and (expires_at is null or expires_at > '2026-05-20T12:00Z') group by 1, 2) p
           on p.org_id = c.org_id and p.feature = c.feature
    left join (select e.org_id, k.feature, e.period_start, sum(e.quantity) as drawn
               from overage_entries e
               join overage_packs k on k.org_id = e.org_id and k.id = e.pack_id
               where e.kind = 'drawn' group by 1, 2, 3) d
           on d.org_id = c.org_id and d.feature = c.feature and d.period_start = c.period_start
    where c.period_start <= '2026-05-20T12:00Z' and c.period_end > '2026-05-20T12:00Z'
      and o.parked_at is null
      and (l.org_id is not null or t.tier is not null)
      and c.used > 0
      and c.used * 100 >= 80 * (case when l.org_id is not null then l.included else t.included end
                                + coalesce(p.held, 0) + coalesce(d.drawn, 0))";

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn url(database: &str) -> String {
    let socket = std::env::var("PERIODD_TEST_SERVER").expect("run this as `make bench`");
    format!("postgresql:///{database}?host={socket}&user=postgres")
}

async fn run(database: &str, sql: &str) -> Duration {
    let mut connection = PgConnection::connect(&url(database)).await.expect("the server answers");
    let began = Instant::now();
    let script = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
    script.fetch_all(&mut connection).await.expect("a statement of the benchmark");
    began.elapsed()
}

async fn seed(orgs: u64) {
    run("postgres", &format!("create database {SEED}")).await;
    let database = Database::connect(&url(SEED), 1).await.expect("the server answers");
    let now = database.now().await.expect("the server answers");
    let tz = TzData::newest();
    periodd::jobs::zones::migrate(&database, &tz, now).await.expect("the schema is made");
    database.close().await;
    run(SEED, &ORGS.replace(":orgs", &orgs.to_string())).await;
    run(SEED, "vacuum (freeze, analyze)").await;
}

async fn fresh() -> Database {
    run("postgres", &format!("drop database if exists {COPY} with (force)")).await;
    run("postgres", &format!("create database {COPY} template {SEED} strategy file_copy")).await;
    run("postgres", "checkpoint").await;
    // Every page read once, so that both begin with a warm server.
    run(COPY, "select count(*) from usage_counters; select count(*) from organizations").await;
    Database::connect(&url(COPY), 4).await.expect("the server answers")
}

fn median(mut values: Vec<Duration>) -> f64 {
    values.sort_unstable();
    values[values.len() / 2].as_secs_f64() * 1e3
}

#[tokio::main]
async fn main() {
    // `cargo test --benches` runs every bench target once; there is nothing to test here.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let orgs = setting("PERIODD_BENCH_ORGS", 1_000_000);
    let runs = setting("PERIODD_BENCH_RUNS", 5).max(1);
    eprintln!("seeding {orgs} orgs");
    seed(orgs).await;
    let config = Config::load(None, std::iter::empty()).expect("the defaults");
    let at = Some(NOW.parse().expect("an instant"));
    let request = Request { at, ..Request::of(&config) };
    let crossing = usize::try_from(orgs / 100).expect("a number");
    let (mut bare, mut pass, mut quiet) = (vec![], vec![], vec![]);
    for _ in 0..runs {
        let database = fresh().await;
        bare.push(run(COPY, BARE).await);
        let began = Instant::now();
        let report = alerts::run(&database, &request).await.expect("a pass");
        pass.push(began.elapsed());
        assert_eq!((report.notified, report.emails), (crossing, crossing), "one email each");
        for _ in 0..5 {
            let began = Instant::now();
            let report = alerts::run(&database, &request).await.expect("a pass");
            quiet.push(began.elapsed());
            assert_eq!((report.everything, report.judged), (false, 0), "nothing has changed");
        }
        database.close().await;
    }
    let (bare, pass, quiet) = (median(bare), median(pass), median(quiet));
    println!("| alerts, {orgs} orgs, {crossing} cross | periodd | baseline | ratio | goal |");
    println!("|---|---|---|---|---|");
    println!(
        "| a pass that queues {crossing} emails | {pass:.0} ms | the bare select of those that \
         cross, {bare:.0} ms | {:.2} | ≤ 2 |",
        pass / bare
    );
    println!("| a pass in which nothing changed | {quiet:.1} ms | | | ≤ 50 ms |");
}
