//! How long `periodd db import --apply` takes with a million metrics, the counting of all of them
//! included, and `db verify` after it.

use crate::support::binary;
use crate::support::{Bench, Goal, Outcome, Series};

const DATABASE: &str = "bench_import";
/// Metrics of each org.
const OF_EACH: u64 = 200;

/// What an application had: orgs with their columns, and metrics of the last twenty months.
const SEED: &str = "
    create table organizations (
        id uuid primary key, name text, used_minutes numeric, overage_minutes numeric,
        current_period_start timestamptz, current_period_end timestamptz);
    create table usage_metrics (
        id uuid primary key default gen_random_uuid(),
        organization_id uuid not null references organizations (id),
        metric_type text not null, metric_value numeric not null, created_at timestamptz);
    insert into organizations
    select md5(n::text)::uuid, 'Org ' || n, 3, n % 5, date_trunc('month', now(), 'UTC'),
           date_trunc('month', now(), 'UTC') + interval '1 month'
    from generate_series(1, :orgs) as n;
    insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
    select md5(o::text)::uuid, case when m % 2 = 0 then 'sms_sent' else 'Minutes_Transcribed' end,
           1.5, now() - m * interval '3 days'
    from generate_series(1, :orgs) as o, generate_series(1, :of_each) as m";

pub(crate) async fn run(bench: &Bench) -> Outcome {
    let Bench { server, size } = bench;
    let orgs = size.of(1_000_000 / OF_EACH);
    let metrics = orgs * OF_EACH;
    let numbers = [(":orgs", orgs), (":of_each", OF_EACH)];
    let seed = numbers
        .iter()
        .fold(SEED.to_owned(), |text, (name, number)| text.replace(name, &number.to_string()));
    let mut series = Series::default();
    for _ in 0..size.runs {
        server.empty(DATABASE).await;
        server.run(DATABASE, &seed).await;
        server.run(DATABASE, "vacuum (freeze, analyze)").await;
        let import = ["--quiet", "--yes", "db", "import", "--apply"];
        let ran = binary::run(server, DATABASE, &import, &[], &[0]).await;
        series.add("import", ran.elapsed.as_secs_f64());
        let ran = binary::run(server, DATABASE, &["--quiet", "db", "verify"], &[], &[0]).await;
        series.add("verify", ran.elapsed.as_secs_f64());
    }
    server.discard(DATABASE).await;
    let (import, verify) =
        (format!("`db import --apply` of {metrics} metrics"), "`db verify` after it");
    Outcome::Measured(vec![
        series.figure(&import, "s", "import", Goal::Known),
        series.figure(verify, "s", "verify", Goal::Known),
    ])
}
