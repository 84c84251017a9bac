//! A pass over many orgs of which one in a hundred crosses a threshold, against the bare select of
//! those that cross; and a pass in which nothing changed.

use std::time::Instant;

use periodd::config::Config;
use periodd::jobs::alerts::{self, Request};
use periodd::store::Database;

use crate::support::binary::NOW;
use crate::support::figure::{median, milliseconds};
use crate::support::{Bench, Goal, Outcome, Series, Server};

const SEED: &str = "bench_alerts_seed";
const COPY: &str = "bench_alerts";
/// Passes of one run in which nothing changed, of which the middle counts.
const QUIET: usize = 5;

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

pub(crate) async fn run(bench: &Bench) -> Outcome {
    let Bench { server, size } = bench;
    let orgs = size.of(1_000_000);
    server.seed(SEED, ORGS, &[("orgs", orgs)]).await;
    let config = Config::load(None, std::iter::empty()).expect("the defaults");
    let at = Some(NOW.parse().expect("an instant"));
    let request = Request { at, ..Request::of(&config) };
    let crossing = usize::try_from(orgs / 100).expect("a number");
    let mut series = Series::default();
    for _ in 0..size.runs {
        let database = fresh(server).await;
        series.add("bare", milliseconds(server.run(COPY, BARE).await));
        let began = Instant::now();
        let report = alerts::run(&database, &request).await.expect("a pass");
        series.add("pass", milliseconds(began.elapsed()));
        assert_eq!((report.notified, report.emails), (crossing, crossing), "one email each");
        let mut quiet = Vec::with_capacity(QUIET);
        for _ in 0..QUIET {
            let began = Instant::now();
            let report = alerts::run(&database, &request).await.expect("a pass");
            quiet.push(milliseconds(began.elapsed()));
            assert_eq!((report.everything, report.judged), (false, 0), "nothing has changed");
        }
        series.add("quiet", median(&quiet));
        database.close().await;
        server.discard(COPY).await;
    }
    server.discard(SEED).await;
    let what = format!("an alert pass over {orgs} orgs that queues {crossing} emails");
    let bare = ("the bare select of those that cross", "bare");
    let quiet = format!("an alert pass over {orgs} orgs of which none has changed");
    Outcome::Measured(vec![
        series.against(bare, &what, "ms", "pass", Goal::RatioAtMost(1.6)),
        series.figure(&quiet, "ms", "quiet", Goal::AtMost(5.0)),
    ])
}
