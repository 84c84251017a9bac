//! The two orgs that every schedule begins with, in either of two states.
//!
//! They are made once, by commands and functions as people call them. What is in the database then
//! is kept as a script, which puts it back before each schedule: that takes milliseconds.

use std::fmt::Write;

use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::verbs::Needs;
use crate::support::TestDatabase;

/// The org that things happen to.
pub(crate) const ACME: Uuid = Uuid::from_u128(0xacce);
/// Another one, which users and merged orgs go to.
pub(crate) const BOLT: Uuid = Uuid::from_u128(0xb017);
/// A user of the first.
pub(crate) const USER: Uuid = Uuid::from_u128(0xadae);

/// Minutes that both orgs have used.
pub(crate) const USED: i32 = 110 + 50 + 120 + 90 + 5 + 85 + 10;

/// Tables that no verb writes to, and that are large or not the orgs'.
const FIXED: [&str; 4] =
    ["periodd_api", "periodd_migrations", "periodd_zone_months", "periodd_clocks"];

/// Scripts that put the orgs into a state, whatever is in the database.
pub(crate) struct Worlds {
    open: String,
    due: String,
}

impl Worlds {
    /// Makes both states in an empty database, one after the other.
    pub(crate) async fn make(test: &TestDatabase) -> Self {
        let mail = test.config().with_file_name("mail");
        test.configure(&format!(
            "[mail]\ntransport = \"directory\"\ndirectory = \"{}\"\n\
             from = \"periodd <alerts@periodd.example>\"\n",
            mail.display()
        ));
        begin(test).await;
        // The two oldest periods are closed.
        for hours in [83, 59] {
            close(test, hours).await;
        }
        let due = script(test).await;
        for hours in [35, 11] {
            close(test, hours).await;
        }
        test.periodd(&["sync"]).exits(0);
        test.periodd(&["alerts", "run"]).exits(0);
        let emails = "select threshold from periodd_outbox where feature = 'scrapes'";
        assert_eq!(test.rows(emails).await, ["80"], "the world is another one");
        // From 80 to 90 % of the scrapes, and no pass has seen it.
        test.sql(&format!("select record_usage('{ACME}', 'scrapes', 1, '{USER}')")).await;
        test.check_invariants().await;
        let uncovered = "select coalesce(sum(uncovered), 0) as u from billing_period_usage";
        assert_eq!(test.rows(uncovered).await, ["0"], "the world is another one");
        Self { open: script(test).await, due }
    }

    pub(crate) fn script(&self, state: Needs) -> &str {
        match state {
            Needs::Open => &self.open,
            Needs::Due => &self.due,
        }
    }
}

/// The orgs and all of their usage; nothing is closed. Their days end twelve hours from now.
async fn begin(test: &TestDatabase) {
    let noon = test
        .rows(
            "select to_char(now() at time zone 'UTC' + interval '12 hours', 'HH24:MI') as time,
                    now() - interval '107 hours 50 minutes' as at",
        )
        .await
        .concat();
    let (time, at) = noon.split_once(' ').expect("two columns");
    for slug in ["acme", "bolt"] {
        let add = ["--at", at, "orgs", "add", slug, "--name", slug, "--zone", "UTC"];
        let flags = ["--tier", "pro", "--cycle", "daily", "--anchor-time", time];
        test.periodd(&[&add[..], &flags].concat()).exits(0);
    }
    test.sql(&format!(
        "insert into tier_limits (tier, feature, included)
         values ('pro', 'minutes_transcribed', 100), ('pro', 'scrapes', 10),
                ('pro', 'ai_messages', 10), ('starter', 'minutes_transcribed', 50),
                ('starter', 'scrapes', 10), ('starter', 'ai_messages', 10);
         update features set kind = 'level' where feature = 'ai_messages';
         update organizations set id = '{ACME}' where slug = 'acme';
         update organizations set id = '{BOLT}' where slug = 'bolt';
         insert into users (id, organization_id, email)
         values ('{USER}', '{ACME}', 'ada@acme.example');
         insert into org_contacts (org_id, email) values ('{ACME}', 'owner@acme.example');
         select grant_overage_pack('{ACME}', 'minutes_transcribed', 40, 'lasts', null,
                                   now() - interval '107 hours'),
                grant_overage_pack('{ACME}', 'minutes_transcribed', 12, 'soon',
                                   now() - interval '38 hours', now() - interval '107 hours');
         select set_usage_level('{ACME}', 'ai_messages', 5, null, now() - interval '100 hours');
         select record_usage('{ACME}', 'minutes_transcribed', u.minutes, '{USER}',
                             now() - u.hours * interval '1 hour')
         from (values (100, 110), (71, 50), (50, 120), (20, 90), (1, 85)) as u (hours, minutes);
         -- As if it had been asked for: what an increment was allowed by stays included.
         update usage_counters set included_seen = 100 where feature = 'minutes_transcribed';
         select record_usage('{BOLT}', 'minutes_transcribed', 10);
         select record_usage('{ACME}', 'scrapes', 8, '{USER}', now() - interval '2 hours');
         insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
         values ('{ACME}', 'minutes_transcribed', 5, now() - interval '19 hours')"
    ))
    .await;
}

/// Closes what has ended so many hours ago.
async fn close(test: &TestDatabase, hours: u32) {
    let at = format!("select now() - interval '{hours} hours' as at");
    let at = test.rows(&at).await.concat();
    test.periodd(&["--at", &at, "rollover"]).exits(0);
}

/// Everything that is in the database, as a script that puts it there again.
async fn script(test: &TestDatabase) -> String {
    let mut connection = test.connect().await;
    let tables = "select t.table_name::text,
                         string_agg(quote_ident(c.column_name), ', ' order by c.column_name)
                  from information_schema.tables t
                  join information_schema.columns c using (table_schema, table_name)
                  where t.table_schema = 'public' and t.table_type = 'BASE TABLE'
                    and c.is_generated = 'NEVER'
                  group by 1 order by 1";
    let tables: Vec<(String, String)> =
        sqlx::query_as(tables).fetch_all(&mut connection).await.expect("the tables");
    let mut script = "set session_replication_role = replica;\n".to_owned();
    for (table, columns) in tables {
        if FIXED.contains(&table.as_str()) {
            continue;
        }
        let rows = rows(&mut connection, &table).await;
        // Writing to a string cannot fail.
        let _ = writeln!(script, "delete from {table};");
        if let Some(rows) = rows {
            let _ = writeln!(
                script,
                "insert into {table} ({columns}) overriding system value select {columns} \
                 from jsonb_populate_recordset(null::{table}, '{}');",
                rows.replace('\'', "''")
            );
        }
    }
    script + "set session_replication_role = origin;\n"
}

async fn rows(connection: &mut PgConnection, table: &str) -> Option<String> {
    let query = format!("select jsonb_agg(to_jsonb(t))::text from {table} t");
    let row = sqlx::query(sqlx::AssertSqlSafe(query)).fetch_one(connection).await;
    row.expect("the rows").get(0)
}
