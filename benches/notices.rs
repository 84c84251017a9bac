//! A look for notices over many orgs of which one in a hundred will run out, against the bare
//! select of those, with their usage by day; and a look an hour later, when no counter has moved.

use std::time::Instant;

use periodd::config::Config;
use periodd::jobs::alerts::Request;
use periodd::jobs::alerts::notices::{self, Look};
use periodd::store::Database;
use periodd::tz::TzData;

use crate::support::binary::NOW;
use crate::support::figure::milliseconds;
use crate::support::{Bench, Goal, Outcome, Series, Server};

const SEED: &str = "bench_notices_seed";
const COPY: &str = "bench_notices";
/// An hour after [`NOW`].
const LATER: &str = "2026-05-20T13:00:00Z";

/// Orgs in the middle of May, each with a counter and a contact; one in a hundred has used 27 a day
/// since April 26, 540 in May, and will run out of 600; the others have used at most 250.
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
           case when slug like '%00' then 540 else abs(hashtext(slug)) % 250 end, 'synced',
           '2026-05-19Z' from organizations;
    insert into usage_metrics
        (organization_id, metric_type, metric_value, created_at, recorded_at, counted_at)
    select o.id, 'minutes_transcribed', 27, d, d, d
    from organizations o,
         generate_series('2026-04-26T09:00Z'::timestamptz, '2026-05-20T09:00Z', '1 day') d
    where o.slug like '%00';";

/// Who has used much for the time, with the usage of each of the last days, as one would ask by
/// hand.
const BARE: &str = "
    select c.org_id, c.used, t.included, d.day, d.used
    from usage_counters c
    join organizations o on o.id = c.org_id and c.period_start = o.current_period_start
    left join limit_overrides l on l.org_id = c.org_id and l.feature = c.feature
    left join tier_limits t on t.tier = o.subscription_tier and t.feature = c.feature
    cross join lateral (
        select (m.created_at at time zone o.time_zone)::date as day, sum(m.metric_value) as used
        from usage_metrics m
        where m.organization_id = c.org_id and m.created_at >= '2026-04-22T22:00Z'
        group by 1) d
    where o.parked_at is null and c.period_end > '2026-05-20T12:00Z' and c.used > 0
      and c.used / extract(epoch from '2026-05-20T12:00Z' - c.period_start)
          >= 0.75 * coalesce(l.included, t.included)
             / extract(epoch from c.period_end - c.period_start)";

/// A fresh copy of the seeded database, with every page read once, so that both begin with a warm
/// server.
async fn fresh(server: &Server) -> Database {
    server.copy(SEED, COPY).await;
    let warm = "select count(*) from usage_counters; select count(*) from organizations;
                select count(*) from usage_metrics";
    server.run(COPY, warm).await;
    Database::connect(&server.url(COPY), 4).await.expect("the server answers")
}

pub(crate) async fn run(bench: &Bench) -> Outcome {
    let Bench { server, size } = bench;
    let orgs = size.of(1_000_000);
    server.seed(SEED, ORGS, &[("orgs", orgs)]).await;
    let (config, tz) =
        (Config::load(None, std::iter::empty()).expect("defaults"), TzData::newest());
    let request = |at: &str| {
        let at = Some(at.parse().expect("an instant"));
        Request { at, ..Request::of(&config) }
    };
    let told = usize::try_from(orgs / 100).expect("a number");
    let mut series = Series::default();
    for _ in 0..size.runs {
        let database = fresh(server).await;
        series.add("bare", milliseconds(server.run(COPY, BARE).await));
        let began = Instant::now();
        let report = notices::run(&database, &tz, &request(NOW), Look::Now).await.expect("a look");
        series.add("look", milliseconds(began.elapsed()));
        assert_eq!(report.emails, told, "one email each");
        let began = Instant::now();
        let later = notices::run(&database, &tz, &request(LATER), Look::Hourly).await;
        series.add("quiet", milliseconds(began.elapsed()));
        assert_eq!(later.expect("a look").emails, 0, "nothing has changed");
        database.close().await;
        server.discard(COPY).await;
    }
    server.discard(SEED).await;
    let what = format!("a look for notices over {orgs} orgs that queues {told} emails");
    let quiet = format!("a look an hour later, over {orgs} orgs whose counters did not move");
    let bare = ("the bare select of those that will run out", "bare");
    Outcome::Measured(vec![
        series.against(bare, &what, "ms", "look", Goal::RatioAtMost(2.0)),
        series.against(bare, &quiet, "ms", "quiet", Goal::RatioAtMost(1.0)),
    ])
}
