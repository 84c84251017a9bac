//! Settings that somebody has given to the role or the database: none of them changes what periodd
//! reads, or what it means.

use uuid::Uuid;

use crate::support::{Answer, TestDatabase, server};

/// What a role may set for itself, each to another value than a server has.
const SETTINGS: [&str; 34] = [
    "quote_all_identifiers = on",
    "standard_conforming_strings = off",
    "escape_string_warning = on",
    "backslash_quote = on",
    "bytea_output = escape",
    "intervalstyle = sql_standard",
    "datestyle = 'German, DMY'",
    "timezone = 'Asia/Kathmandu'",
    "extra_float_digits = -15",
    "array_nulls = off",
    "transform_null_equals = on",
    "xmlbinary = hex",
    "xmloption = document",
    "default_transaction_isolation = serializable",
    "default_transaction_deferrable = on",
    "row_security = on",
    "jit = on",
    "jit_above_cost = 0",
    "statement_timeout = 1000",
    "lock_timeout = 1",
    "idle_in_transaction_session_timeout = 1",
    "plan_cache_mode = force_generic_plan",
    "check_function_bodies = off",
    "client_min_messages = debug1",
    "synchronous_commit = off",
    "enable_indexscan = off",
    "enable_hashjoin = off",
    "enable_nestloop = off",
    "enable_sort = off",
    "force_parallel_mode = on",
    "default_statistics_target = 1",
    "work_mem = '64kB'",
    "constraint_exclusion = off",
    "plpgsql.extra_errors = 'all'",
];

/// A database of a role with these settings, and what its commands say.
struct Home {
    test: TestDatabase,
    config: String,
}

impl Home {
    async fn with(settings: &[&str]) -> Self {
        let test = TestDatabase::empty().await;
        let role = format!("set_{}", Uuid::new_v4().simple());
        let name = &test.name;
        test.sql(&format!(
            "create role {role} login; alter database {name} owner to {role};
             grant all on schema public to {role}"
        ))
        .await;
        for setting in settings {
            test.sql(&format!("alter role {role} in database {name} set {setting}")).await;
        }
        let state = test.config().parent().expect("a directory").to_owned();
        let config = format!(
            "[database]\nurl = \"postgresql:///{name}?host={}&user={role}\"\nsandbox = true\n\
             [daemon]\nstate_dir = \"{}\"\n\
             [mail]\ntransport = \"directory\"\ndirectory = \"{}\"\n\
             from = \"periodd <alerts@periodd.example>\"\n",
            server(),
            state.display(),
            state.join("mail").display()
        );
        Self { test, config }
    }

    fn run(&self, line: &str) -> Answer {
        let arguments: Vec<&str> = line.split_whitespace().collect();
        self.test.periodd_configured(&self.config, &arguments)
    }

    /// A month and a half of a customer's life, and what has come of it.
    async fn lived(&self) -> Vec<Vec<String>> {
        self.run("db migrate").exits(0);
        let days = |day: &str| format!("--at 2026-{day}T12:00:00Z");
        let add = "orgs add acme --name Acme --zone Europe/Berlin --tier pro";
        self.run(&format!("{add} {}", days("04-05"))).exits(0);
        self.test
            .sql(
                "insert into tier_limits values ('pro', 'sms_sent', 10);
                 insert into org_contacts (org_id, email)
                 select id, 'ann@acme.example' from organizations;
                 insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
                 select id, 'sms_sent', 13, '2026-04-10T12:00:00Z' from organizations;
                 insert into overage_packs (org_id, feature, quantity, purchased_at)
                 select id, 'sms_sent', 5, '2026-04-11T12:00:00Z' from organizations",
            )
            .await;
        self.run(&format!("sync {}", days("04-12"))).exits(0);
        self.run(&format!("alerts run {}", days("04-12"))).exits(0);
        let record = "usage record --org acme --feature sms_sent --quantity 3.5";
        self.run(&format!("{record} --used-at 2026-04-20T12:00:00Z {}", days("04-20"))).exits(0);
        self.run(&format!("rollover {}", days("05-02"))).exits(0);
        self.test.sql("update usage_counters set used = 8 where used > 12").await;
        self.run(&format!("sync --full {}", days("05-02"))).exits(0);
        let checked = self.run(&format!("sync --check {}", days("05-03"))).exits(0);
        let doctor = self.run(&format!("doctor --format json {}", days("05-03"))).json();
        let faults = doctor["checks"].as_array().expect("checks").iter();
        let faults = faults.flat_map(|check| check["findings"].as_array().expect("findings"));
        let faults = faults.map(|finding| format!("{} {}", finding["check"], finding["what"]));
        let mut lived = vec![faults.collect(), vec![checked.stdout]];
        for query in [
            "select p.period_start, p.period_end, p.tier, u.feature, u.used, u.drawn, u.uncovered
             from billing_periods p join billing_period_usage u using (org_id, period_start)
             order by 1, 4",
            "select feature, period_start, period_end, used, sync_status from usage_counters
             order by 1, 2",
            "select feature, threshold, state, period_end from periodd_alerts order by 1, 2, 4",
            "select kind, quantity, remaining, at from overage_entries order by seq",
            "select count(*), bool_and(starts[1] < starts[2]) from periodd_zone_months",
            "select state, count(*) from periodd_outbox group by 1 order by 1",
        ] {
            lived.push(self.test.rows(query).await);
        }
        lived
    }
}

#[tokio::test]
async fn what_a_role_is_set_to_changes_nothing() {
    let plain = Home::with(&[]).await.lived().await;
    assert!(plain[2..].iter().all(|rows| !rows.is_empty()), "{plain:#?}");
    let home = Home::with(&SETTINGS).await;
    assert_eq!(home.lived().await, plain);
}

#[tokio::test]
async fn what_an_application_is_set_to_changes_no_answer() {
    let test = TestDatabase::new().await;
    test.periodd(&["orgs", "add", "acme", "--name", "A", "--zone", "UTC", "--tier", "pro"])
        .exits(0);
    test.sql(
        "insert into tier_limits values ('pro', 'scrapes', null);
         insert into users (id, organization_id, email)
         select md5('u')::uuid, id, 'u@acme.example' from organizations",
    )
    .await;
    let answers = async || {
        let mut answers = Vec::new();
        for query in [
            "select s.* from users u, increment_feature_usage(u.id, 'scrapes', 2) s",
            "select s.* from users u, increment_usage_if_allowed(u.id) s",
            "select s.used, s.effective_limit, s.percent, s.period_start
             from users u, get_current_usage_stats(u.id) s",
            "select p.* from get_current_usage_period('Europe/Berlin') p",
            "select grant_overage_pack(o.id, 'scrapes', 3, 'r', now() + interval '1 day') is null
             from organizations o",
            "select s.* from organizations o, periodd_foreseen(o.id, 'scrapes', now()) s",
        ] {
            answers.push(test.rows(query).await);
        }
        test.sql(
            "delete from usage_metrics; delete from usage_counters; delete from feature_usage;
             delete from overage_entries; delete from overage_packs",
        )
        .await;
        answers
    };
    let plain = answers().await;
    for setting in SETTINGS {
        // What bounds a statement or chooses its isolation is the application's own business, and
        // shows in no answer.
        if setting.contains("_timeout") {
            continue;
        }
        test.sql(&format!("alter database {} set {setting}", test.name)).await;
    }
    assert_eq!(answers().await, plain);
}
