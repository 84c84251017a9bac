//! Three processes roll over 2,000 orgs that each missed twelve periods (10,000 and 36 in `make
//! proof`), and a random one of them is killed again and again, in the middle of its work, until
//! nearly everything is done. The rest is done soon after the last kill.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::proof::{figure, is_full, size};
use crate::support::{Answer, TestDatabase, url_of};

const AT: &str = "2026-01-15T12:00:00Z";
/// Processes at work.
const PROCESSES: usize = 3;
/// Nothing here takes that long, unless something hangs.
const PATIENCE: Duration = Duration::from_mins(5);
/// What is due after the last kill is done by then: a twentieth of all.
const SOON: Duration = Duration::from_mins(1);

fn orgs() -> usize {
    size(2_000, 10_000)
}

/// Orgs with a level, and as many that pause: every tenth.
fn tenth() -> usize {
    orgs() / 10
}

/// Years that nobody has closed anything in.
fn years() -> usize {
    size(1, 3)
}

fn missed() -> usize {
    12 * years()
}

/// Orgs in many zones whose open period ended with the first January, with metrics that nobody
/// has counted, more of them than is included; and packs, half of which expire. Every tenth has a
/// level that rises and falls, beside a pack that raises its limit until August; and every tenth is
/// paused from late April to September, or on.
async fn orgs_that_missed_years() -> TestDatabase {
    let test = TestDatabase::new().await;
    let (orgs, first) = (orgs(), 2026 - years());
    test.sql(&format!(
        "insert into features (feature, unit, kind) values ('storage', 'GB', 'level');
         insert into tier_limits values ('pro', 'minutes_transcribed', 500), ('pro', 'storage', 60);
         insert into organizations
             (id, slug, name, time_zone, subscription_tier, current_period_start,
              current_period_end)
         select md5('org ' || i)::uuid, 'org-' || i, 'Org', z.zone, 'pro',
                timestamp '{first}-01-01' at time zone z.zone,
                timestamp '{first}-02-01' at time zone z.zone
         from generate_series(1, {orgs}) i,
              lateral (select (array['UTC', 'Europe/Berlin', 'Asia/Tokyo', 'Asia/Kathmandu',
                                     'America/New_York', 'Pacific/Auckland'])[1 + i % 6] as zone) z;
         insert into users (id, organization_id, email)
         select md5('user ' || slug)::uuid, id, slug || '@example.org' from organizations
         where slug like '%0';
         insert into usage_metrics
             (organization_id, user_id, metric_type, metric_value, created_at)
         select o.id, u.id, case when u.id is null then 'minutes_transcribed' else 'scrapes' end,
                500 + 10 * (abs(hashtext(o.slug)) % 7), m
         from organizations o left join users u on u.organization_id = o.id,
              generate_series(timestamptz '{first}-01-10', '2026-01-10', interval '1 month') m;
         insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
         select o.id, 'storage',
                case when m.number % 4 = 0 then -9 else 8 + abs(hashtext(o.slug)) % 7 end, m.at
         from organizations o,
              generate_series(timestamptz '{first}-01-12', '2026-01-12', interval '1 month')
                  with ordinality as m (at, number)
         where o.slug like '%3';
         update organizations
         set paused_from = '{first}-04-20', pause_reason = 'asked for',
             paused_until = case when slug not like '%77' then timestamptz '{first}-09-10' end
         where slug like '%7';
         insert into overage_packs
             (id, org_id, feature, quantity, remaining, purchased_at, expires_at, entries)
         select md5('pack ' || n || o.slug)::uuid, o.id, 'minutes_transcribed', n, n,
                timestamptz '{first}-01-05',
                case when n = 90 then timestamptz '{first}-06-15' end, 1
         from organizations o, (values (90), (200)) p (n)
         union all
         select md5('storage ' || o.slug)::uuid, o.id, 'storage', 40, 40,
                timestamptz '{first}-01-05', timestamptz '{first}-08-20', 1
         from organizations o where o.slug like '%3';
         insert into overage_entries (org_id, pack_id, seq, kind, quantity, at, remaining)
         select org_id, id, 1, 'granted', quantity, purchased_at, quantity from overage_packs;
         analyze"
    ))
    .await;
    test
}

/// A process at work, under a role of its own, by which the server's view of it is found.
struct Worker {
    role: String,
    child: Child,
    exits: Vec<Answer>,
}

impl Worker {
    async fn start(test: &TestDatabase, number: usize) -> Self {
        let role = format!("worker_{number}_{}", test.name);
        test.sql(&format!("create role {role} login superuser")).await;
        let child = spawn(test, &role);
        Self { role, child, exits: Vec::new() }
    }

    /// Starts it again at once if it has ended, and remembers how it ended.
    fn see_to(&mut self, test: &TestDatabase) {
        if self.child.try_wait().expect("a child").is_some() {
            let ended = std::mem::replace(&mut self.child, spawn(test, &self.role));
            self.exits.push(Answer::from(ended.wait_with_output().expect("its output")));
        }
    }

    /// SIGKILL, by its pid. False when it had ended by itself.
    fn kill(&mut self, test: &TestDatabase) -> bool {
        if self.child.try_wait().expect("a child").is_some() {
            return false;
        }
        self.child.kill().expect("it can be killed");
        let mut ended = std::mem::replace(&mut self.child, spawn(test, &self.role));
        // No exit code: it ended by the signal, and not by itself in the last instant.
        ended.wait().expect("it ended").code().is_none()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Only a failed test leaves a process behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(test: &TestDatabase, role: &str) -> Child {
    let mut command = test.command(&["--at", AT, "--format", "json", "rollover"]);
    let url = url_of(&test.name).replace("user=postgres", &format!("user={role}"));
    command.env("PERIODD__DATABASE__URL", url);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts")
}

#[tokio::test]
async fn a_random_process_killed_again_and_again_loses_nothing() {
    let enough = size(40, 100);
    let undisturbed = orgs_that_missed_years().await;
    let test = undisturbed.copy().await;
    // Small pages, and few periods in each pass: many transactions to be torn. A level that is
    // carried over raises the org's revision with each pass.
    test.configure("[rollover]\nbatch_size = 20\nmax_periods_per_pass = 2\nconnections = 1\n");
    undisturbed.configure("[rollover]\nmax_periods_per_pass = 2\n");
    undisturbed.periodd(&["--at", AT, "rollover"]).exits(0);

    let mut workers = Vec::new();
    for number in 0..PROCESSES {
        workers.push(Worker::start(&test, number).await);
    }
    let mut watch = Watch::on(&test).await;
    let started = Instant::now();
    let (mut kills, mut torn) = (0, 0);
    let (mut last, mut is_last) = (Instant::now(), false);
    let patience = PATIENCE * u32::try_from(size(1, 12)).expect("a small number");
    while watch.is_anything_due().await {
        assert!(started.elapsed() < patience, "{kills} kills, and still something due");
        for worker in &mut workers {
            worker.see_to(&test);
        }
        if is_last {
            // Nobody is killed any more.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        }
        let worker = &mut workers[fastrand::usize(..PROCESSES)];
        if !watch.is_writing(&worker.role).await {
            continue;
        }
        // At a random instant of the page that it writes or of the next ones; later once there
        // were enough kills, so that the work gets done on a slow machine too.
        let longest = if kills < enough { 20 } else { 1_000 };
        tokio::time::sleep(Duration::from_micros(fastrand::u64(..longest * 1_000))).await;
        let writes = watch.is_writing(&worker.role).await;
        if worker.kill(&test) && watch.is_anything_due().await {
            kills += 1;
            last = Instant::now();
            torn += usize::from(writes);
            is_last = kills >= enough && watch.is_nearly_done().await;
        }
    }
    let late = last.elapsed();
    eprintln!("{kills} kills in {:?}, {torn} of them in an open transaction", started.elapsed());
    assert!(kills >= enough, "only {kills} processes were killed at their work");
    if is_full() {
        assert!(late <= SOON, "what was due after the last of {kills} kills took {late:?}");
    }
    assert!(torn >= enough / 10, "only {torn} were in the middle of a transaction");
    for worker in &mut workers {
        let status = worker.child.wait().expect("it ends by itself");
        assert_eq!(status.code(), Some(0), "nothing is left to do");
        assert!(worker.exits.iter().all(|exit| exit.code == 0), "{:?}", worker.exits);
    }

    let periods =
        format!("select count(*) from billing_periods having count(*) = {} * {}", orgs(), missed());
    assert_eq!(test.rows(&periods).await, [(orgs() * missed()).to_string()]);
    let units = "select sum(quantity) filter (where kind = 'granted') as granted,
                        sum(quantity) filter (where kind <> 'granted')
                            + (select sum(remaining) from overage_packs) as accounted_for
                 from overage_entries";
    assert_eq!(test.rows(units).await, [format!("{0} {0}", orgs() * 290 + tenth() * 40)]);
    // Each close of a level is the sum of all that was ever used, and none was carried over twice.
    let levels = "select count(*), count(*) filter (where u.used > 60) > 0 as exceeded
                  from billing_period_usage u
                  join billing_periods b on b.org_id = u.org_id and b.period_start = u.period_start
                  where u.feature = 'storage' and u.drawn = 0 and u.used = (
                      select sum(m.metric_value) from usage_metrics m
                      where m.organization_id = u.org_id and m.metric_type = 'storage'
                        and m.idempotency_key is null and m.created_at < b.period_end)";
    assert_eq!(test.rows(levels).await, [format!("{} true", tenth() * missed())]);
    // May to August, and of one in ten everything from May on.
    let paused = "select count(distinct (b.org_id, b.period_start)) as periods,
                         count(e.seq) as drawn
                  from billing_periods b
                  left join overage_entries e on e.org_id = b.org_id and e.kind = 'drawn'
                       and e.period_start = b.period_start
                  where b.is_paused";
    assert_eq!(
        test.rows(paused).await,
        [format!("{} 0", tenth() * 4 + tenth() / 10 * (missed() - 8))]
    );
    test.check_invariants().await;
    // The same, row for row, as if nobody had been killed.
    assert_eq!(test.digests().await, undisturbed.digests().await);
    drop(workers);
    for number in 0..PROCESSES {
        test.sql(&format!("drop role worker_{number}_{}", test.name)).await;
    }
    let (orgs, periods) = (orgs(), orgs() * missed());
    figure(
        "36 missed periods, replicas killed",
        &format!("{orgs} orgs, {periods} closed periods, {kills} kills, every unit conserved"),
    );
    let late = late.as_secs();
    figure(
        "due work after the last fault",
        &format!("done {late} s after the last of {kills} kills"),
    );
}

/// Looks at the work from the side, on one connection.
struct Watch(sqlx::PgConnection);

impl Watch {
    async fn on(test: &TestDatabase) -> Self {
        Self(test.connect().await)
    }

    async fn is_anything_due(&mut self) -> bool {
        let due =
            format!("select exists (select from organizations where current_period_end <= '{AT}')");
        self.ask(&due).await
    }

    /// Is a twentieth of the periods left, or less?
    async fn is_nearly_done(&mut self) -> bool {
        let all = orgs() * missed();
        let closed = format!("select 20 * count(*) >= 19 * {all} from billing_periods");
        self.ask(&closed).await
    }

    /// Has a process written something that it has not committed yet?
    async fn is_writing(&mut self, role: &str) -> bool {
        let writing = format!(
            "select exists (select from pg_stat_activity
                            where usename = '{role}' and backend_xid is not null)"
        );
        self.ask(&writing).await
    }

    async fn ask(&mut self, question: &str) -> bool {
        let question = sqlx::AssertSqlSafe(question.to_owned());
        sqlx::query_scalar(question).fetch_one(&mut self.0).await.expect("an answer")
    }
}
