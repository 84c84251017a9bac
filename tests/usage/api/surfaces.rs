//! What an org may use now has one answer: whoever is asked, of the same org at the same moment,
//! says the same.

use fastrand::Rng;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection, Row};
use std::fmt::Write as _;

use super::foresight::{ENDS, FALLS, SCENE, situation};
use crate::support::TestDatabase;

/// What the functions say of every org and one feature: what all others are compared with.
fn expected(feature: &str, at: &str) -> String {
    format!(
        "select o.slug, u.id as user, o.parked_at is not null as is_parked,
                o.current_period_end <= now() as is_late,
                f.kind = 'level' and o.current_period_end <= now() as is_uncarried,
                a.used, a.included,
                a.is_granted, a.drawn, a.usable, a.owed, a.allowance, a.percent, a.why_not,
                a.period_start
         from organizations o join users u on u.email = o.slug || '@example.com'
         cross join lateral periodd_allowances(o.id, {at}, '{feature}') a
         join features f on f.feature = '{feature}'
         order by o.slug"
    )
}

/// How many orgs are asked about: thirty for each of `PERIODD_TEST_ROUNDS`.
fn orgs() -> u32 {
    let rounds = std::env::var("PERIODD_TEST_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    rounds.unwrap_or(2) * 30
}

async fn table(connection: &mut PgConnection, query: &str) -> Vec<Value> {
    let query = format!("select to_json(q)::text from ({query}) q");
    let rows = sqlx::query(sqlx::AssertSqlSafe(query)).fetch_all(connection).await;
    let rows = rows.unwrap_or_else(|error| panic!("{error}"));
    rows.iter().map(|row| serde_json::from_str(&row.get::<String, _>(0)).expect("JSON")).collect()
}

/// Numbers without regard to how they are written.
fn plain(value: &Value) -> Value {
    // Without a sign where it is nothing.
    value.as_f64().map_or_else(|| value.clone(), |number| json!(number + 0.0))
}

/// What the surfaces say of one org, each compared with what it should say.
struct Comparison {
    org: Value,
    differences: Vec<String>,
}

impl Comparison {
    fn compare(&mut self, surface: &str, what: &str, said: &Value, should: &Value) {
        if plain(said) != plain(should) {
            let slug = &self.org["slug"];
            self.differences.push(format!("{slug}: {surface} says {what} {said}, not {should}"));
        }
    }

    fn number(&self, name: &str) -> f64 {
        self.org[name].as_f64().unwrap_or_default()
    }

    fn is_paused(&self) -> bool {
        self.org["why_not"] == "paused"
    }

    /// What may still be used; null: without limit.
    fn left(&self) -> Value {
        if self.is_paused() {
            return json!(0);
        }
        let left = |allowance: f64| (allowance - self.number("used")).max(0.0);
        json!(self.org["allowance"].as_f64().map(left))
    }

    fn purchased_remaining(&self) -> Value {
        let usable = self.number("usable");
        let left = |allowance: f64| (allowance - self.number("used")).max(0.0);
        let left = json!(self.org["allowance"].as_f64().map(left));
        json!(left.as_f64().map_or(usable, |left| left.min(usable)))
    }

    fn percent(&self) -> Value {
        json!(self.org["percent"].as_f64().map(f64::trunc))
    }

    /// What both increments answer, in a transaction that is taken back.
    async fn increments(&mut self, connection: &mut PgConnection) {
        let user = self.org["user"].as_str().expect("an id").to_owned();
        let is_allowed = self.org["why_not"].is_null();
        for call in [
            format!("increment_feature_usage('{user}', 'scrapes', 1)"),
            format!("increment_usage_if_allowed('{user}')"),
        ] {
            let mut transaction = connection.begin().await.expect("a transaction");
            let query = format!("select to_json(q)::text from {call} q");
            let answer = sqlx::query(sqlx::AssertSqlSafe(query)).fetch_one(&mut *transaction).await;
            transaction.rollback().await.expect("a rollback");
            let answer: Value = match answer {
                Ok(row) => serde_json::from_str(&row.get::<String, _>(0)).expect("JSON"),
                Err(error) => {
                    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
                    let why = match code.as_deref() {
                        Some("PB001") => "no_period",
                        Some("PB003") => "beyond_ends",
                        _ => panic!("{error}"),
                    };
                    let should = self.org["why_not"].clone();
                    self.compare(&call, "why not", &json!(why), &should);
                    continue;
                }
            };
            self.compare(&call, "allowed", &answer["allowed"], &json!(is_allowed));
            let used = self.number("used") + if is_allowed { 1.0 } else { 0.0 };
            self.compare(&call, "usage", &answer["new_usage"], &json!(used));
            let allowance = self.org["allowance"].clone();
            self.compare(&call, "limit", &answer["effective_limit"], &allowance);
        }
    }

    async fn stats(&mut self, connection: &mut PgConnection) {
        let user = self.org["user"].as_str().expect("an id");
        let query =
            format!("select * from get_current_usage_stats('{user}') where feature = 'scrapes'");
        let rows = table(connection, &query).await;
        let org = self.org.clone();
        for stats in rows {
            for (name, should) in [
                ("used", &org["used"]),
                ("included", &org["included"]),
                ("effective_limit", &org["allowance"]),
                ("percent", &org["percent"]),
                ("purchased_remaining", &self.purchased_remaining()),
                ("period_start", &org["period_start"]),
            ] {
                self.compare("get_current_usage_stats", name, &stats[name], should);
            }
        }
    }

    fn commands(&mut self, test: &TestDatabase) {
        let org = self.org.clone();
        let slug = org["slug"].as_str().expect("a slug");
        let json = |arguments: &[&str]| {
            test.periodd(&[arguments, &["--format", "json"]].concat()).exits(0).json()
        };
        let feature = |list: &Value| {
            let list = list.as_array().expect("a list").iter();
            list.clone().find(|row| row["feature"] == "scrapes").cloned()
        };
        let is_allowed = json!(org["why_not"].is_null());
        let (left, purchased) = (self.left(), self.purchased_remaining());

        let check = ["usage", "check", "--org", slug, "--feature", "scrapes", "--format", "json"];
        let answer = test.periodd(&check);
        let check = answer.json();
        answer.exits(if check["allowed"] == json!(true) { 0 } else { 3 });
        self.compare("usage check", "allowed", &check["allowed"], &is_allowed);
        let limits = feature(&json(&["usage", "limits", "--org", slug]));
        for (surface, said) in [("usage check", Some(check)), ("usage limits", limits.clone())] {
            let Some(said) = said else { continue };
            for (name, should) in [
                ("used", &org["used"]),
                ("included", &org["included"]),
                ("effective_limit", &org["allowance"]),
                ("remaining", &left),
                ("percent", &org["percent"]),
                ("purchased_remaining", &purchased),
            ] {
                self.compare(surface, name, &said[name], should);
            }
        }

        let explained = json(&["explain", slug]);
        let explained = feature(&explained["features"]);
        let is_listed = json!(limits.is_some());
        self.compare("explain", "listed", &json!(explained.is_some()), &is_listed);
        if let Some(explained) = explained {
            let percent = self.percent();
            for (name, should) in [
                ("used", &org["used"]),
                ("included", &org["included"]),
                ("drawn", &org["drawn"]),
                ("claimed", &org["owed"]),
                ("allowance", &org["allowance"]),
                ("purchased_remaining", &purchased),
                ("percent", &percent),
            ] {
                self.compare("explain", name, &explained[name], should);
            }
            self.compare("explain", "allowed", &explained["increment"]["allowed"], &is_allowed);
        }

        let shown = feature(&json(&["orgs", "show", slug])["usage"]);
        self.compare("orgs show", "listed", &json!(shown.is_some()), &is_listed);
        if let Some(shown) = shown {
            for name in ["used", "included", "drawn", "usable", "owed", "percent", "why_not"] {
                self.compare("orgs show", name, &shown[name], &org[name]);
            }
        }
    }

    /// The row of the view, as far as it shows one.
    fn view(&mut self, rows: &[Value]) {
        let org = self.org.clone();
        let row = rows.iter().find(|row| row["slug"] == org["slug"]);
        // A level is shown once it has been carried over.
        let is_left_out = self.is_paused() || org["is_uncarried"] == true;
        let used = self.number("used");
        let is_near = |allowance: f64| used > 0.0 && used * 100.0 >= allowance * 80.0;
        let should = org["is_granted"] == true
            && !is_left_out
            && !org["period_start"].is_null()
            && org["allowance"].as_f64().is_some_and(is_near);
        let shown = json!(row.is_some());
        self.compare("usage_alerts_view", "shown", &shown, &json!(should));
        for name in ["used", "allowance", "percent"] {
            let Some(row) = row else { continue };
            self.compare("usage_alerts_view", name, &row[name], &org[name]);
        }
    }

    /// What alerts have judged by, and what they have told.
    fn alerts(&mut self, judged: &[Value], told: &[Value]) {
        let org = self.org.clone();
        let of_it = |row: &&Value| row["slug"] == org["slug"];
        let is_left_out = self.is_paused() || org["is_uncarried"] == true;
        let used = self.number("used");
        let is_over = |allowance: f64| used > 0.0 && used * 100.0 >= allowance * 80.0;
        let should = org["is_granted"] == true
            && org["is_parked"] == false
            && !is_left_out
            && !org["period_start"].is_null()
            && org["allowance"].as_f64().is_some_and(is_over);
        let judged = judged.iter().find(of_it);
        self.compare("alerts run", "judged", &json!(judged.is_some()), &json!(should));
        for (name, should) in [("quantity", "allowance"), ("used", "used")] {
            let Some(judged) = judged else { continue };
            self.compare("alerts run", name, &judged[name], &org[should]);
        }
        let told = told.iter().find(of_it);
        for (name, should) in
            [("included", "included"), ("drawn", "drawn"), ("purchased", "usable")]
        {
            let Some(told) = told else { continue };
            self.compare("alerts run", name, &told[name], &org[should]);
        }
    }
}

/// What every surface says of every org that differs from what the functions say.
async fn differences(test: &TestDatabase) -> Vec<String> {
    let mut connection = test.connect().await;
    let orgs = table(&mut connection, &expected("scrapes", "now()")).await;
    let view = "select * from usage_alerts_view where feature = 'scrapes'";
    let view = table(&mut connection, view).await;
    let began = test.rows("select quote_literal(clock_timestamp())").await.remove(0);
    test.periodd(&["alerts", "run"]).exits(0);
    let judged = "select o.slug, j.quantity, j.used
                  from periodd_alert_limits j join organizations o on o.id = j.org_id
                  where j.feature = 'scrapes' and j.period_end > now()";
    let judged = table(&mut connection, judged).await;
    // An alert of an earlier run says how it was then.
    let told = format!(
        "select o.slug, a.included, a.drawn, a.purchased
         from periodd_alerts a join organizations o on o.id = a.org_id
         where a.feature = 'scrapes' and a.period_end > now() and a.decided_at >= {began}
         order by a.threshold desc"
    );
    let told = table(&mut connection, &told).await;
    let mut differences = Vec::new();
    for org in orgs {
        let mut comparison = Comparison { org, differences: Vec::new() };
        comparison.increments(&mut connection).await;
        comparison.stats(&mut connection).await;
        comparison.commands(test);
        comparison.view(&view);
        comparison.alerts(&judged, &told);
        differences.extend(comparison.differences);
    }
    differences
}

/// Columns that hold copies, compared after they have been written.
async fn copies(test: &TestDatabase) -> Vec<String> {
    let mut connection = test.connect().await;
    // They tell of the open period; what depends on usage waits for the rollover of one that ended.
    let moment = "least(now(), o.current_period_end - interval '1 microsecond')";
    let mut differences = Vec::new();
    let said = table(
        &mut connection,
        "select o.slug, c.left, c.share, u.plan_limits_scrapes as limit
         from organizations o join users u on u.organization_id = o.id
         join copies c on c.org = o.id where o.parked_at is null order by o.slug, u.id",
    )
    .await;
    for org in table(&mut connection, &expected("scrapes", moment)).await {
        let mut comparison = Comparison { org: org.clone(), differences: Vec::new() };
        // A copy is a quantity: what corrections took below nothing is nothing there.
        let share = comparison.number("percent").max(0.0);
        let left = comparison.purchased_remaining();
        for said in said.iter().filter(|said| said["slug"] == org["slug"]) {
            comparison.compare("plan_limits_scrapes", "", &said["limit"], &org["included"]);
            if org["is_late"] != true {
                comparison.compare("copies.left", "", &said["left"], &left);
                comparison.compare("copies.share", "", &said["share"], &json!(share));
            }
        }
        differences.extend(comparison.differences);
    }
    differences
}

async fn world() -> TestDatabase {
    let test = TestDatabase::new().await;
    test.sql(SCENE).await;
    test.sql("create table copies (org uuid primary key, \"left\" numeric, share numeric)").await;
    test.configure("[rollover]\nended_tier = \"ended\"\n[mail]\ntransport = \"none\"\n");
    for (column, quantity) in [("left", "purchased_remaining"), ("share", "percent")] {
        test.configure(&format!(
            "[[sync.derived]]\ntable = \"copies\"\ncolumn = \"{column}\"\nkey = \"org\"\n\
             feature = \"scrapes\"\nscope = \"org\"\nquantity = \"{quantity}\"\n"
        ));
    }
    test.periodd(&["db", "migrate"]).exits(0);
    test
}

/// Refunds some of the packs, all that can go back or a part of it, and returns how many. An org
/// whose period has ended is refused, as is a pack that usage has claimed.
async fn refund(test: &TestDatabase, rng: &mut Rng) -> usize {
    let packs = "select o.slug, p.reference from overage_packs p
                 join organizations o on o.id = p.org_id
                 where p.remaining > 1 and p.reference is not null order by 1, 2";
    let mut refunded = 0;
    for pack in test.rows(packs).await {
        let (org, reference) = pack.split_once(' ').expect("a slug and a reference");
        let mut arguments = vec!["packs", "refund", "--org", org, "--reference", reference];
        match rng.u32(0..4) {
            0 => arguments.extend(["--quantity", "1"]),
            1 => {}
            _ => continue,
        }
        let answer = test.periodd(&arguments);
        assert!([0, 5].contains(&answer.code), "{answer:?}");
        refunded += usize::from(answer.code == 0);
    }
    refunded
}

#[tokio::test]
async fn every_surface_gives_the_same_answer() {
    is_said_everywhere("metered").await;
}

#[tokio::test]
async fn every_surface_gives_the_same_answer_of_a_level() {
    is_said_everywhere("level").await;
}

async fn is_said_everywhere(kind: &str) {
    let test = world().await;
    let seed = fastrand::u64(..);
    let mut rng = Rng::with_seed(seed);
    for org in 0..orgs() {
        let slug = format!("org-{org:03}");
        let mut sql = situation(&mut rng, &slug);
        if rng.u32(0..6) == 0 {
            write!(
                sql,
                "update organizations set parked_at = now(), parked_reason = 'by hand'
                 where slug = '{slug}';"
            )
            .expect("a string takes it");
        }
        test.sql(&format!("set search_path = public, scene; {sql}")).await;
    }
    test.sql(ENDS).await;
    test.sql(
        "update organizations o set next_period_ends = null
         where o.slug like '%7' and o.current_period_end <= now();
         update organizations set current_period_start = null, current_period_end = null,
                                  anchor_day = 15
         where slug like '%13' and parked_at is not null;
         insert into copies select id from organizations;
         insert into users (organization_id, email)
         select id, 'idle-' || slug || '@example.com' from organizations;",
    )
    .await;
    test.sql(FALLS).await;
    test.sql(&format!("update features set kind = '{kind}' where feature = 'scrapes'")).await;
    refund(&test, &mut rng).await;
    let found = differences(&test).await;
    assert!(found.is_empty(), "seed {seed}: {} differences: {found:#?}", found.len());
    test.periodd(&["sync", "--full", "--force", "--yes"]).exits(0);
    let found = copies(&test).await;
    assert!(found.is_empty(), "seed {seed}: {} copies differ: {found:#?}", found.len());
    test.periodd(&["rollover"]);
    assert_ne!(refund(&test, &mut rng).await, 0, "seed {seed}: something could be refunded");
    test.periodd(&["sync"]).exits(0);
    let found = copies(&test).await;
    assert!(found.is_empty(), "seed {seed}: {} copies differ: {found:#?}", found.len());
    let found = differences(&test).await;
    assert!(found.is_empty(), "seed {seed}: {} differences: {found:#?}", found.len());
}

/// An org on 600 with a pack of 1,000 that used 900 in each of three periods that nobody has
/// closed, and 100 in the fourth.
const THREE_PERIODS_LATE: &str = "
    set search_path = public, scene;
    insert into tier_limits values ('business', 'scrapes', 600);
    insert into organizations (slug, name, time_zone, subscription_tier, current_period_start,
                               current_period_end, current_period_end_date)
    select 'acme', 'Acme', 'UTC', 'business', months[1], months[2], months[2]::date from months;
    insert into users (organization_id, email) select id, 'acme@example.com'
         from organizations;
    select grant_overage_pack(o.id, 'scrapes', 1000, 'order-7', null, months[1])
    from organizations o, months;";

#[tokio::test]
async fn three_unclosed_periods_have_drawn_what_they_will() {
    let test = world().await;
    test.sql(THREE_PERIODS_LATE).await;
    test.sql(ENDS).await;
    test.sql(
        "set search_path = public, scene;
         select record_usage(o.id, 'scrapes', case when n < 4 then 900 else 100 end, null,
                             months[n])
         from organizations o, months, generate_series(1, 4) n;",
    )
    .await;
    let told = "select a.included, a.drawn, a.usable, a.owed, a.allowance, a.used, a.why_not
                from organizations o, periodd_allowances(o.id, now(), 'scrapes') a";
    assert_eq!(test.rows(told).await, ["600 0 100 900 700 100 -"]);
    assert_eq!(differences(&test).await, Vec::<String>::new());
    test.periodd(&["rollover"]).exits(0);
    assert_eq!(test.rows(told).await, ["600 0 100 0 700 100 -"]);
    assert_eq!(differences(&test).await, Vec::<String>::new());
}

#[tokio::test]
async fn an_org_that_is_parked_at_its_limit_is_refused_everywhere() {
    let test = world().await;
    test.sql(
        "set search_path = public, scene;
         insert into tier_limits values ('business', 'scrapes', 100);
         insert into organizations (slug, name, time_zone, subscription_tier, current_period_start,
                                    current_period_end, current_period_end_date, parked_at,
                                    parked_reason)
         select 'acme', 'Acme', 'UTC', 'business', months[2], months[3], months[3]::date, now(),
                'by hand' from months;
         insert into users (organization_id, email) select id, 'acme@example.com'
         from organizations;
         select grant_overage_pack(o.id, 'scrapes', 300, 'order-7', null, months[2])
         from organizations o, months;",
    )
    .await;
    test.sql(ENDS).await;
    test.sql(
        "set search_path = public, scene;
         select record_usage(o.id, 'scrapes', u.used, null, months[u.n])
         from organizations o, months, (values (2, 150), (3, 180), (4, 270)) u (n, used);",
    )
    .await;
    let told = "select a.owed, a.allowance, a.used, a.why_not
                from organizations o, periodd_allowances(o.id, now(), 'scrapes') a";
    assert_eq!(test.rows(told).await, ["130 270 270 used_up"]);
    assert_eq!(differences(&test).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_lower_limit_shows_in_every_users_row_with_the_rollover() {
    let test = world().await;
    test.sql(
        "set search_path = public, scene;
         insert into organizations (slug, name, time_zone, subscription_tier, current_period_start,
                                    current_period_end, current_period_end_date,
                                    next_subscription_tier)
         select 'acme', 'Acme', 'UTC', 'pro', months[3], months[4], months[4]::date, 'free'
         from months;
         insert into users (organization_id, email, plan_limits_scrapes)
         select id, who || '@example.com', 50 from organizations, unnest('{busy, idle}'::text[])
              who;
         select record_usage(o.id, 'scrapes', 3, u.id, months[3])
         from organizations o, months, users u where u.email like 'busy%';",
    )
    .await;
    test.periodd(&["rollover"]).exits(0);
    let shown = "select email, usage_this_month, plan_limits_scrapes from users order by 1";
    assert_eq!(test.rows(shown).await, ["busy@example.com 0 10", "idle@example.com 0 10"]);
}
