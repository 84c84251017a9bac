//! One, two and four processes at the same due orgs: each period is closed once, and more of them
//! are no slower. And four of them while the server lacks something for a tenth of the orgs, as
//! where one machine of several is dead: all others are closed.

use std::time::Duration;

use super::{DUE, Seed, over};
use crate::support::binary::{self, Ran};
use crate::support::{Bench, Goal, Outcome, Series, Server, rate};

const SEED: &str = "bench_replicas";
const COPY: &str = "bench_replicas_copy";
const REPLICAS: [usize; 3] = [1, 2, 4];

/// A sort that must not use the disk fails by the server's own code, and by no rule about the row.
const DEAD_SHARD: &str = "
    create function dead_shard() returns trigger language plpgsql
    set temp_file_limit = 0 set work_mem = '64kB' set max_parallel_workers_per_gather = 0 as $$
    begin
        if abs(hashtext(new.id::text)) % 10 = 0 then
            perform count(*) from (select g from generate_series(1, 20000) g
                                   order by md5(g::text) offset 0) s;
        end if;
        return new;
    end $$;
    create trigger dead_shard before update on organizations
    for each row execute function dead_shard()";
const IS_DEAD: &str = "abs(hashtext(id::text)) % 10 = 0";

pub(crate) async fn run(bench: &Bench) -> Outcome {
    let Bench { server, size } = bench;
    let orgs = size.of(200_000);
    Seed { orgs, features: 1, months: 0 }.make(server, SEED).await;
    let mut series = Series::default();
    for _ in 0..size.runs {
        for replicas in REPLICAS {
            server.copy(SEED, COPY).await;
            let ran = together(server, replicas, 0).await;
            assert_eq!(sum(&ran), orgs, "each org is in one report");
            series.add(&name(replicas), rate(orgs, longest(&ran)));
            assert_eq!(closed(server).await, orgs, "each period is closed once");
            server.discard(COPY).await;
        }
        server.copy(SEED, COPY).await;
        let dead = format!("select count(*) from organizations where {IS_DEAD}");
        let alive = orgs - count(server, &dead).await;
        server.run(COPY, DEAD_SHARD).await;
        let ran = together(server, 4, 1).await;
        series.add("dead", rate(alive, longest(&ran)));
        assert_eq!(closed(server).await, alive, "everybody else is closed");
        server.discard(COPY).await;
    }
    server.discard(SEED).await;
    let one = name(1);
    let base = (one.as_str(), one.as_str());
    let mut figures = vec![series.figure(
        &format!("{orgs} due orgs, {}", name(1)),
        "orgs/s",
        &name(1),
        Goal::Known,
    )];
    for replicas in &REPLICAS[1..] {
        let ours = name(*replicas);
        let workload = format!("{orgs} due orgs, {ours}");
        figures.push(series.against(base, &workload, "orgs/s", &ours, Goal::RatioAtLeast(1.0)));
    }
    let workload = format!("{orgs} due orgs, four replicas, a tenth of the orgs away");
    figures.push(series.figure(&workload, "orgs/s", "dead", Goal::Known));
    Outcome::Measured(figures)
}

fn name(replicas: usize) -> String {
    match replicas {
        1 => "one replica".to_owned(),
        several => format!("{several} replicas"),
    }
}

/// Rolls over with so many processes at once, each of which ends with that exit code.
async fn together(server: &Server, replicas: usize, code: i32) -> Vec<Ran> {
    let settings = [&[("PERIODD__DATABASE__SANDBOX", "true")], &over("1")[..]].concat();
    let arguments = ["--format", "json", "--quiet", "--at", DUE, "rollover"];
    let codes = [code];
    let processes = (0..replicas).map(|_| binary::run(server, COPY, &arguments, &settings, &codes));
    futures_util::future::join_all(processes).await
}

fn sum(ran: &[Ran]) -> u64 {
    ran.iter().filter_map(|ran| ran.report()["orgs"].as_u64()).sum()
}

fn longest(ran: &[Ran]) -> Duration {
    ran.iter().map(|ran| ran.elapsed).max().unwrap_or_default()
}

async fn closed(server: &Server) -> u64 {
    count(server, "select count(*) from billing_periods").await
}

async fn count(server: &Server, query: &str) -> u64 {
    let mut connection = server.connect(COPY).await;
    let query = sqlx::AssertSqlSafe(query.to_owned());
    let count: i64 = sqlx::query_scalar(query).fetch_one(&mut connection).await.expect("a count");
    count.unsigned_abs()
}
