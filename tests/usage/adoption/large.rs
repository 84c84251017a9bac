//! A database that has been in use for years. (`make bench` adopts a million metrics.)

use crate::adoption::situation;

/// Orgs, and how many metrics there are of each.
const ORGS: i64 = 500;
const METRICS_OF_EACH: i64 = 200;

#[tokio::test]
async fn many_metrics_are_adopted_with_progress() {
    let test = situation(&format!(
        "create table organizations (
             id uuid primary key, name text, used_minutes numeric, overage_minutes numeric,
             current_period_start timestamptz, current_period_end timestamptz);
         create table usage_metrics (
             id uuid primary key default gen_random_uuid(),
             organization_id uuid not null references organizations (id),
             metric_type text not null, metric_value numeric not null, created_at timestamptz);
         insert into organizations
         select md5(n::text)::uuid, 'Org ' || n, 3, n % 5, date_trunc('month', now(), 'UTC'),
                date_trunc('month', now(), 'UTC') + interval '1 month'
         from generate_series(1, {ORGS}) as n;
         insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
         select md5(o::text)::uuid,
                case when m % 2 = 0 then 'sms_sent' else 'Minutes_Transcribed' end, 1.5,
                now() - m * interval '3 days'
         from generate_series(1, {ORGS}) as o, generate_series(1, {METRICS_OF_EACH}) as m;
         analyze"
    ))
    .await;
    let answer = test.periodd(&["--yes", "db", "import", "--apply"]).exits(0);
    let rows = format!("{} rows", ORGS * METRICS_OF_EACH);
    assert!(answer.stderr.contains(&rows), "{}", answer.stderr);
    let sums = "select count(*), sum(metric_value) from usage_metrics";
    let total = ORGS * METRICS_OF_EACH;
    assert_eq!(test.rows(sums).await, [format!("{total} {}.0", total * 3 / 2)]);
    test.periodd(&["db", "verify"]).exits(0);
}
