//! A pass over many orgs of which one in a hundred crosses a threshold, against the bare select of
//! those that cross; and a pass in which nothing changed: `make bench`.
//!
//! The database is made once. Each pass runs on a fresh copy, in turn with its baseline.
//! `PERIODD_BENCH_ORGS` and `PERIODD_BENCH_RUNS` make it smaller.

use std::time::{Duration, Instant};

use periodd::config::Config;
use periodd::jobs::alerts::{self, Request};
use periodd::store::Database;

#[path = "support/mod.rs"]
mod support;

use support::{Server, setting};

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

/// A fresh copy of the seeded database, with every page read once, so that both begin with a warm
/// server.
async fn fresh(server: &Server) -> Database {
    server.copy(SEED, COPY).await;
    let warm = "select count(*) from usage_counters; select count(*) from organizations";
    server.run(COPY, warm).await;
    Database::connect(&server.url(COPY), 4).await.expect("the server answers")
}

fn median(mut values: Vec<Duration>) -> f64 {
    values.sort_unstable();
    values[values.len() / 2].as_secs_f64() * 1e3
}

#[tokio::main]
async fn main() {
    if !support::is_asked_for() {
        return;
    }
    let orgs = setting("PERIODD_BENCH_ORGS", 1_000_000);
    let runs = setting("PERIODD_BENCH_RUNS", 5).max(1);
    eprintln!("seeding {orgs} orgs");
    let server = Server::new();
    server.seed(SEED, &ORGS.replace(":orgs", &orgs.to_string())).await;
    let config = Config::load(None, std::iter::empty()).expect("the defaults");
    let at = Some(NOW.parse().expect("an instant"));
    let request = Request { at, ..Request::of(&config) };
    let crossing = usize::try_from(orgs / 100).expect("a number");
    let (mut bare, mut pass, mut quiet) = (vec![], vec![], vec![]);
    for _ in 0..runs {
        let database = fresh(&server).await;
        bare.push(server.run(COPY, BARE).await);
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
