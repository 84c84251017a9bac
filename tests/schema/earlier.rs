//! A database of before the first release, as the periodd of that time made and used it: it comes
//! to the schema of ours in place, and says the same as before. `earlier/make` tells its story.

use std::path::PathBuf;

use serde_json::Value;

use crate::dump::{dump, file};
use crate::migrations::{die_before_statements, files, inventory};
use crate::ranges::a_range_refuses;
use crate::support::TestDatabase;

/// When its story ends: what the earlier periodd answered holds at this time.
const THEN: &str = "2026-11-12T16:00:00Z";

/// What is not compared: sentences, and findings, of which there are others now.
const PROSE: [&str; 2] = ["why", "findings"];

/// What is another answer now, because the earlier one was wrong.
const CORRECTED: [&str; 22] = [
    // Nothing of what is unlimited is left over, and an override without a limit is one.
    "usage limits --org nippon /0/remaining: 0, now null",
    "usage limits --org lord-howe /2/effective_limit: 250.5, now null",
    "usage limits --org lord-howe /2/included: 250.5, now null",
    "usage limits --org lord-howe /2/percent: 0, now null",
    "usage limits --org lord-howe /2/remaining: 250.5, now null",
    // No less than nothing is left; what is not included is used up.
    "explain month-end /features/0/left: -550, now 0",
    "explain changing /features/0/left: -3, now 0",
    "explain changing /features/0/percent: null, now 100",
    // Three ended periods owe their draws, not one; usage is that of the present one.
    "orgs show late /usage/0/used: 900, now 100",
    "explain late /features/0/allowance: 1300, now 820.5",
    "explain late /features/0/claimed: 300, now 779.5",
    "explain late /features/0/left: 1200, now 720.5",
    "explain late /features/0/percent: 7, now 12",
    "explain late /features/0/purchased_remaining: 700, now 220.5",
    // Increments open a first period.
    "explain new /features/0/increment/allowed: false, now true",
    "explain new /features/1/increment/allowed: false, now true",
    "usage limits --org new /0/period_end: null, now \"2026-11-30T18:15:00Z\"",
    "usage limits --org new /0/period_start: null, now \"2026-10-31T18:15:00Z\"",
    "usage limits --org new /1/period_end: null, now \"2026-11-30T18:15:00Z\"",
    "usage limits --org new /1/period_start: null, now \"2026-10-31T18:15:00Z\"",
    // Packs hold what can be used of them: not yet before they were bought, nor what is owed.
    "orgs show late /usage/0/in_packs: 1120.5, now 220.5",
    "orgs show old-hand /usage/0/in_packs: 40, now 0",
];

fn fixture(name: &str) -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/schema/earlier");
    std::fs::read_to_string(folder.join(name)).expect("the fixture")
}

/// The earlier database.
async fn earlier() -> TestDatabase {
    let test = TestDatabase::empty().await;
    test.sql(&fixture("database.sql")).await;
    test
}

async fn upgraded() -> TestDatabase {
    let test = earlier().await;
    let applied = test.periodd(&["--format", "json", "db", "migrate"]).exits(0).json();
    assert_eq!(applied.as_array().map(Vec::len), Some(files()), "{applied}");
    test
}

/// Values of an earlier answer that are not in the one of now, but for what it says in prose.
fn differences(at: &str, then: &Value, now: &Value, found: &mut Vec<String>) {
    match (then, now) {
        (Value::Object(then), Value::Object(now)) => {
            for (key, value) in then.iter().filter(|(key, _)| !PROSE.contains(&key.as_str())) {
                let renamed = if key == "in_packs" { now.get("usable") } else { None };
                let now = now.get(key).or(renamed).unwrap_or(&Value::Null);
                differences(&format!("{at}/{key}"), value, now, found);
            }
        }
        (Value::Array(then), Value::Array(now)) if then.len() == now.len() => {
            for (place, (then, now)) in then.iter().zip(now).enumerate() {
                differences(&format!("{at}/{place}"), then, now, found);
            }
        }
        (then, now) if then == now => {}
        (then, now) => found.push(format!("{at}: {then}, now {now}")),
    }
}

#[tokio::test]
async fn an_earlier_database_says_the_same_after_the_upgrade() {
    let test = upgraded().await;
    // Months are kept from that of the migration on; the answers are of an earlier one.
    test.sql(
        "update periodd_zone_months z set starts = (
             select array_agg(d.at at time zone z.time_zone order by d.at)
             from generate_series(timestamp '2026-11-01', '2028-12-01', '1 month') as d (at))",
    )
    .await;
    let answers: Vec<(String, Value)> =
        serde_json::from_str(&fixture("answers.json")).expect("JSON");
    assert_eq!(answers.len(), 40);
    let mut found = Vec::new();
    for (arguments, then) in answers {
        let mut words = vec!["--format", "json", "--at", THEN];
        words.extend(arguments.split(' '));
        let now = test.periodd(&words);
        assert!([0, 3].contains(&now.code), "{arguments}: {now:?}");
        differences(&format!("{arguments} "), &then, &now.json(), &mut found);
    }
    found.sort_unstable();
    let mut corrected = CORRECTED;
    corrected.sort_unstable();
    assert_eq!(found, corrected);
}

/// Columns in their order, comments, and the rights that the dump leaves out.
const DETAILS: &str = "
    select 'column' as kind, c.relname as name, a.attnum::text as place, a.attname::text as words
    from pg_class c join pg_attribute a on a.attrelid = c.oid
    where c.relnamespace = 'public'::regnamespace and a.attnum > 0 and not a.attisdropped
    union all
    select 'table', c.relname, c.relacl::text, c.reloptions::text from pg_class c
    where c.relnamespace = 'public'::regnamespace
    union all
    select 'comment', c.relname, a.attname::text, d.description
    from pg_description d
    join pg_class c on c.oid = d.objoid and d.classoid = 'pg_class'::regclass
    left join pg_attribute a on a.attrelid = c.oid and a.attnum = d.objsubid and a.attnum > 0
    where c.relnamespace = 'public'::regnamespace
    union all
    select 'function', p.proname, p.proacl::text,
           md5(p.prosrc || coalesce(pg_get_function_sqlbody(p.oid), ''))
               || obj_description(p.oid, 'pg_proc')
    from pg_proc p where p.pronamespace = 'public'::regnamespace
    union all
    select 'migration', description, version::text, md5(checksum) from periodd_migrations
    order by 1, 2, 3, 4";

/// Closed usage, as applications read it.
const CLOSED: &str = "
    select org_id, feature, period_start, used, included, drawn, uncovered
    from billing_period_usage order by period_start, org_id, feature";

#[tokio::test]
async fn closed_history_is_converted_in_the_order_of_time() {
    let test = earlier().await;
    // Of many orgs, each written as a whole, with features in another order than their bytes'.
    test.sql(
        "insert into organizations (id, slug, name, time_zone)
             select ('30000000-0000-4000-8000-' || lpad(i::text, 12, '0'))::uuid, 'many-' || i,
                    'Many', 'UTC' from generate_series(1, 300) i;
         insert into billing_periods (org_id, period_start, period_end, follows)
             select o.id, p.start, p.start + interval '1 day', nullif(p.start, '2026-01-01Z')
             from organizations o,
                  generate_series(timestamptz '2026-01-01Z', '2026-01-20Z', '1 day') as p (start)
             where o.slug like 'many-%' order by o.id, p.start;
         insert into billing_period_usage
                 (org_id, feature, period_start, used, included, drawn, uncovered)
             select b.org_id, f, b.period_start, 12.5, case f when 'sms_sent' then 10 end,
                    case f when 'sms_sent' then 2.25 else 0 end,
                    case f when 'sms_sent' then 0.25 else 0 end
             from billing_periods b join organizations o on o.id = b.org_id,
                  unnest(array['sms_sent', 'Zebras', 'scrapes']) f
             where o.slug like 'many-%' and extract(day from b.period_start) <> 7",
    )
    .await;
    let before = test.rows(CLOSED).await;
    assert_eq!(before.len(), 300 * 19 * 3 + 4);
    test.periodd(&["db", "migrate"]).exits(0);
    assert_eq!(test.rows(CLOSED).await, before);
    let features = "select distinct features from billing_periods
                    where org_id::text like '30000000%' order by 1";
    assert_eq!(test.rows(features).await, ["[]", r#"["Zebras","scrapes","sms_sent"]"#]);
    // Row after row, and page after page; a small one may find room in the page before.
    test.sql("analyze billing_periods").await;
    let in_order = "select correlation > 0.999 from pg_stats
                    where tablename = 'billing_periods' and attname = 'period_start'";
    assert_eq!(test.rows(in_order).await, ["true"]);
    let gaps = "select pg_relation_size('billing_periods') / 8192
                       - count(distinct (ctid::text::point)[0]) from billing_periods";
    assert_eq!(test.rows(gaps).await, ["0"]);
    // The chain is held as ever.
    for (change, refused) in [
        ("delete from billing_periods where period_end = '2026-01-05Z'", "_follows_fkey"),
        ("update billing_periods set drawn_each = '{0,0,1}' where features <> '{}'", "_adds_up"),
    ] {
        let mut connection = test.connect().await;
        let error = sqlx::raw_sql(change).execute(&mut connection).await.expect_err(change);
        assert!(error.to_string().contains(refused), "{change}: {error}");
    }
}

#[tokio::test]
async fn an_earlier_database_gets_the_schema_of_a_new_one() {
    let test = upgraded().await;
    // What it had replaced by an import is no part of the schema.
    test.periodd(&["--yes", "db", "import", "--drop-legacy"]).exits(0);
    let ours = std::fs::read_to_string(file()).expect("the file");
    let dumped = dump(&test).await;
    let differs = dumped.lines().zip(ours.lines()).find(|(found, ours)| found != ours);
    assert!(dumped == ours, "the first line that differs, here and in a new one: {differs:?}");
    // Dropped columns leave a gap in the numbers of columns.
    let details = format!(
        "select kind, name, case kind when 'column'
                    then rank() over (partition by kind, name order by lpad(place, 4, '0'))::text
                    else place end, words
         from ({DETAILS}) d order by 1, 2, 3, 4"
    );
    assert_eq!(test.rows(&details).await, TestDatabase::new().await.rows(&details).await);

    let before = (inventory(&test).await, test.contents().await);
    let again = test.periodd(&["--format", "json", "db", "migrate"]).exits(0);
    assert_eq!(again.json(), serde_json::json!([]));
    assert_eq!((inventory(&test).await, test.contents().await), before);
}

#[tokio::test]
async fn an_earlier_database_works_on_after_the_upgrade() {
    let test = upgraded().await;
    a_range_refuses(&test).await;
    // Reasons that periodd gave have a code now; one that a person gave has none.
    let codes = "select slug, parked_code from organisations where parked_at is not null or
                 parked_code is not null order by 1";
    assert_eq!(
        test.rows(codes).await,
        ["daily -", "inverted inverted_period", "martian unknown_zone"]
    );
    let keys = "select count(*) from usage_metrics where idempotency_key = ''";
    assert_eq!(test.rows(keys).await, ["0"]);
    let verified = |answer: &str| {
        assert!(answer.contains("imported data adds up to the original data"), "{answer}");
    };
    verified(&test.periodd(&["db", "verify"]).exits(3).stdout);
    // What an import brought is still compared with the tables that it replaced.
    test.sql("update periodd_import_sums set amount = amount + 1 where not is_period").await;
    let differs = test.periodd(&["db", "verify"]).exits(3).stdout;
    assert!(!differs.contains("imported data adds up"), "{differs}");
    test.sql("update periodd_import_sums set amount = amount - 1 where not is_period").await;

    let emails = "select message_id, state from periodd_outbox order by 1";
    let composed = test.rows(emails).await;
    assert_eq!(composed.len(), 2, "{composed:?}");
    for command in [&["rollover"][..], &["sync", "--full"], &["alerts", "run", "--full"]] {
        test.periodd(&[&["--at", THEN], command].concat()).exits(0);
    }
    // They were composed then, and are sent as they are.
    let sent: Vec<String> = composed.iter().map(|email| email.replace(" due", " sent")).collect();
    assert_eq!(test.rows(emails).await, sent);
    // Three periods with 300 more than is included: the pack that expires in September comes first.
    let drawn = "select p.reference, e.kind, e.quantity
                 from overage_entries e join overage_packs p on p.id = e.pack_id
                 join organizations o on o.id = e.org_id
                 where o.slug = 'late' and e.kind <> 'granted' order by 1, e.seq";
    assert_eq!(
        test.rows(drawn).await,
        ["inv-4 drawn 179.5", "inv-4 drawn 300", "inv-4 drawn 300", "inv-5 drawn 120.5"]
    );
    let faults = test.periodd(&["--format", "json", "db", "verify"]).exits(3).json();
    let broken: Vec<&Value> = faults["rules"]
        .as_array()
        .expect("rules")
        .iter()
        .filter(|rule| rule["broken_by"] != 0)
        .collect();
    assert_eq!(broken.len(), 2, "those of the two that are parked for it: {broken:?}");
}

#[tokio::test]
async fn what_was_granted_on_an_earlier_database_is_still_granted() {
    let test = earlier().await;
    let role = format!("earlier_{}", uuid::Uuid::new_v4().simple());
    let org = "10000000-0000-4000-8000-000000000009";
    test.sql(&format!(
        "create role {role} bypassrls;
         grant usage on schema public to {role};
         grant select on organizations, organisations to {role};
         grant select, insert, update on usage_metrics, usage_counters to {role};
         grant select on features, users, billing_periods, billing_period_usage to {role};
         grant execute on function record_usage to {role}"
    ))
    .await;
    test.periodd(&["db", "migrate"]).exits(0);
    let used = format!(
        "set role {role}; select count(*) from organisations;
         select count(*) from billing_periods join billing_period_usage
             using (org_id, period_start);
         select record_usage('{org}', 'scrapes', 1); reset role;"
    );
    let answered =
        sqlx::raw_sql(sqlx::AssertSqlSafe(used)).execute(&mut test.connect().await).await;
    test.sql(&format!("drop owned by {role}; drop role {role}")).await;
    answered.expect("what it may do");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_that_dies_before_any_statement_leaves_the_earlier_database() {
    die_before_statements(earlier).await;
}

#[tokio::test]
async fn an_earlier_history_with_another_text_is_refused() {
    for change in [
        "update periodd_migrations set checksum = 'other' where version = 3",
        "delete from periodd_migrations where version = 10",
    ] {
        let test = earlier().await;
        test.sql(change).await;
        let before = inventory(&test).await;
        for command in [["db", "migrate"], ["db", "status"]] {
            let refused = test.periodd(&command).exits(78).stderr;
            assert_eq!(
                refused,
                "periodd: migration 1 was applied in a different version; install the periodd \
                 that applied it\n"
            );
        }
        assert_eq!(inventory(&test).await, before);
    }
}

#[tokio::test]
async fn an_import_that_only_the_earlier_periodd_can_undo_comes_first() {
    let test = earlier().await;
    test.sql("update periodd_imports set views = '{create view v as select 1}'").await;
    let before = inventory(&test).await;
    let refused = test.periodd(&["db", "migrate"]).exits(78).stderr;
    assert!(refused.contains("--drop-legacy"), "{refused}");
    assert_eq!(inventory(&test).await, before);
    test.sql("update periodd_imports set legacy_dropped_at = now()").await;
    test.periodd(&["db", "migrate"]).exits(0);
}

#[tokio::test]
async fn rows_of_an_earlier_database_that_break_a_range_are_named_before_anything_changes() {
    let test = earlier().await;
    test.sql("update organizations set used_minutes = 1e30 where slug = 'acme'").await;
    let before = inventory(&test).await;
    let refused = test.periodd(&["db", "migrate"]).exits(78).stderr;
    assert!(refused.contains("organizations.used_minutes of acme is 1000"), "{refused}");
    assert_eq!(inventory(&test).await, before);
}
