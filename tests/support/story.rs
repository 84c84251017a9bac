//! The sentences that the stories are told with.

use crate::support::{Answer, TestDatabase};

/// A database whose tier pro includes that many minutes.
pub(crate) async fn including(minutes: i64) -> TestDatabase {
    let test = TestDatabase::new().await;
    test.sql(&format!("insert into tier_limits values ('pro', 'minutes_transcribed', {minutes})"))
        .await;
    test
}

/// Adds an org on tier pro at an instant, with flags of one's own.
pub(crate) fn add(test: &TestDatabase, slug: &str, at: &str, flags: &[&str]) {
    let fixed = ["--at", at, "orgs", "add", slug, "--name", slug, "--tier", "pro"];
    test.periodd(&[&fixed[..], flags].concat()).exits(0);
}

/// `periodd --at AT --format json rollover FLAGS`.
pub(crate) fn rollover(test: &TestDatabase, at: &str, flags: &[&str]) -> Answer {
    test.periodd(&[&["--at", at, "--format", "json", "rollover"], flags].concat())
}

/// Records minutes through the function that applications call.
pub(crate) async fn used(test: &TestDatabase, slug: &str, minutes: &str, at: &str) {
    test.sql(&format!(
        "select record_usage(id, 'minutes_transcribed', {minutes}, null, '{at}')
         from organizations where slug = '{slug}'"
    ))
    .await;
}

/// Inserts a metric plainly, as applications do that know nothing of periodd.
pub(crate) async fn inserted(
    test: &TestDatabase,
    slug: &str,
    feature: &str,
    quantity: &str,
    at: &str,
) {
    test.sql(&format!(
        "insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
         select id, '{feature}', {quantity}, '{at}' from organizations where slug = '{slug}'"
    ))
    .await;
}

/// Grants a pack of minutes; `expires` is an instant, or empty for never.
pub(crate) async fn granted(
    test: &TestDatabase,
    slug: &str,
    name: &str,
    minutes: i64,
    purchased: &str,
    expires: &str,
) {
    test.sql(&format!(
        "select grant_overage_pack(id, 'minutes_transcribed', {minutes}, '{name}',
                                   nullif('{expires}', '')::timestamptz, '{purchased}')
         from organizations where slug = '{slug}'"
    ))
    .await;
}

/// The closed minutes of an org, oldest first: end, used, included, drawn, uncovered.
pub(crate) async fn closed(test: &TestDatabase, slug: &str) -> Vec<String> {
    test.rows(&format!(
        "select b.period_end, u.used, u.included, u.drawn, u.uncovered
         from billing_periods b join organizations o on o.id = b.org_id
         left join billing_period_usage u
              on u.org_id = b.org_id and u.period_start = b.period_start
                 and u.feature = 'minutes_transcribed'
         where o.slug = '{slug}' order by b.period_start"
    ))
    .await
}

/// The boundaries of an org, oldest first, up to the end of the open period.
pub(crate) async fn boundaries(test: &TestDatabase, slug: &str) -> Vec<String> {
    test.rows(&format!(
        "select at from (
             select b.period_start as at from billing_periods b
             join organizations o on o.id = b.org_id where o.slug = '{slug}'
             union select unnest(array[current_period_start, current_period_end])
             from organizations where slug = '{slug}') x order by at"
    ))
    .await
}

/// The packs in the order of their references: reference, remaining, drawn, expired.
pub(crate) async fn packs(test: &TestDatabase) -> Vec<String> {
    test.rows(
        "select p.reference, p.remaining,
                coalesce(sum(e.quantity) filter (where e.kind = 'drawn'), 0) as drawn,
                coalesce(sum(e.quantity) filter (where e.kind = 'expired'), 0) as expired
         from overage_packs p
         left join overage_entries e on e.org_id = p.org_id and e.pack_id = p.id
         group by p.org_id, p.id, p.reference, p.remaining order by p.reference",
    )
    .await
}

/// The counters of minutes of an org, oldest first: start, end, used.
pub(crate) async fn counters(test: &TestDatabase, slug: &str) -> Vec<String> {
    test.rows(&format!(
        "select c.period_start, c.period_end, c.used from usage_counters c
         join organizations o on o.id = c.org_id
         where o.slug = '{slug}' and c.feature = 'minutes_transcribed' order by c.period_start"
    ))
    .await
}

/// Every row of every table, as text; but for the ledger of runs, which a run that changes nothing
/// is entered in, too.
pub(crate) async fn dump(test: &TestDatabase) -> Vec<String> {
    let tables = test
        .rows(
            "select table_name from information_schema.tables
             where table_schema = 'public' and table_type = 'BASE TABLE'
               and table_name not in ('periodd_runs', 'periodd_clocks') order by 1",
        )
        .await;
    let mut dump = Vec::new();
    for table in tables {
        let rows = test.rows(&format!("select t::text as row from {table} t order by 1")).await;
        dump.extend(rows.into_iter().map(|row| format!("{table}: {row}")));
    }
    dump
}
