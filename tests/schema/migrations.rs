//! Migrations: once each, whoever else migrates; all or nothing, whatever happens meanwhile.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use periodd::jobs::zones;
use periodd::store::{StoreError, db::migrate};
use periodd::tz::TzData;
use sqlx::{Connection, PgConnection};

use crate::support::{Answer, TestDatabase, every};

/// How long a process may take to get somewhere before a test gives up.
const PATIENCE: Duration = Duration::from_mins(1);

/// The numbers of the migrations, from their files' names.
fn numbers() -> Vec<u32> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let files = std::fs::read_dir(folder).expect("migrations");
    let names = files.map(|file| file.expect("a file").file_name().into_string().expect("UTF-8"));
    // Beside them: the folders of what is repeatable and of earlier databases, and the dump.
    names.filter_map(|name| name.split_once('_')?.0.parse().ok()).collect()
}

pub(crate) fn files() -> usize {
    numbers().len()
}

fn start(test: &TestDatabase) -> Child {
    let mut command: Command = test.command(&["--format", "json", "db", "migrate"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs")
}

fn answer(child: Child) -> Answer {
    child.wait_with_output().expect("an answer").into()
}

/// Everything in the schema, to compare.
pub(crate) async fn inventory(test: &TestDatabase) -> Vec<String> {
    test.rows(
        "select 'table' as kind, c.relname as name, c.relkind from pg_class c
         where c.relnamespace = 'public'::regnamespace
         union all
         select 'function', proname, prokind from pg_proc
         where pronamespace = 'public'::regnamespace
         order by 1, 2",
    )
    .await
}

/// Asks again and again until the answer is yes.
async fn until(connection: &mut PgConnection, question: &str) {
    let began = Instant::now();
    loop {
        let (yes,): (bool,) = sqlx::query_as(sqlx::AssertSqlSafe(question.to_owned()))
            .fetch_one(&mut *connection)
            .await
            .expect("an answer");
        if yes {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "this did not come true: {question}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Asks until both migrators wait for somebody.
async fn until_both_wait(test: &TestDatabase) {
    let mut onlooker = test.connect().await;
    until(
        &mut onlooker,
        "select count(*) = 2 from pg_stat_activity
         where datname = current_database() and wait_event_type = 'Lock'",
    )
    .await;
}

#[tokio::test]
async fn two_migrators_at_once_apply_each_migration_once() {
    // Of a database without a schema, and of one that lacks what its table of migrations lacks.
    for (gate, is_new) in [
        ("create table periodd_migrations (version bigint primary key)", true),
        ("lock table periodd_migrations", false),
    ] {
        let test = if is_new { TestDatabase::empty().await } else { TestDatabase::new().await };
        test.sql(if is_new { "" } else { "update periodd_api set checksum = ''" }).await;
        let mut holder = test.connect().await;
        let mut held = holder.begin().await.unwrap();
        sqlx::query(gate).execute(&mut *held).await.unwrap();
        let both = [start(&test), start(&test)];
        until_both_wait(&test).await;
        held.rollback().await.unwrap();
        let mut applied: Vec<usize> = Vec::new();
        for child in both {
            let answer = answer(child).exits(0);
            applied.push(answer.json().as_array().expect("a list of migrations").len());
        }
        applied.sort_unstable();
        let expected = if is_new { [0, files()] } else { [0, 0] };
        assert_eq!(applied, expected, "one applies everything, the other finds nothing to do");
        let known = test.rows("select count(*) from periodd_migrations").await;
        assert_eq!(known, [files().to_string()]);
        let unmade = "select count(*) from periodd_api where checksum = ''";
        assert_eq!(test.rows(unmade).await, ["0"]);
    }
}

/// Without anybody who holds them back, however they meet.
#[tokio::test]
async fn migrators_that_start_together_never_fail() {
    let rounds = std::env::var("PERIODD_TEST_ROUNDS").ok().and_then(|count| count.parse().ok());
    for _ in 0..rounds.unwrap_or(3) {
        let test = TestDatabase::empty().await;
        let all = [start(&test), start(&test), start(&test)];
        let mut applied = 0;
        for child in all {
            applied += answer(child).exits(0).json().as_array().expect("a list").len();
        }
        assert_eq!(applied, files());
    }
}

#[tokio::test]
async fn migrating_again_changes_nothing_and_keeps_edits_of_seeds() {
    let test = TestDatabase::new().await;
    test.sql(
        "update subscription_tiers set monthly_price_cents = 9900, name = 'Professional'
             where code = 'pro';
         delete from subscription_tiers where code = 'business';
         update features set unit = 'texts' where feature = 'sms_sent';
         insert into tier_limits values ('pro', 'scrapes', 10)",
    )
    .await;
    let seeds = "select * from subscription_tiers order by 1";
    let (before, schema) = (test.rows(seeds).await, inventory(&test).await);
    assert_eq!(
        before,
        ["free Free 0 USD", "pro Professional 9900 USD", "starter Starter 2900 USD"]
    );
    let answer = test.periodd(&["--format", "json", "db", "migrate"]).exits(0);
    assert_eq!(answer.json(), serde_json::json!([]));
    assert_eq!(test.rows(seeds).await, before);
    assert_eq!(test.rows("select unit from features where feature = 'sms_sent'").await, ["texts"]);
    assert_eq!(test.rows("select included from tier_limits").await, ["10"]);
    assert_eq!(inventory(&test).await, schema);
}

#[tokio::test]
async fn a_database_that_is_newer_than_the_binary_is_left_alone() {
    let test = TestDatabase::new().await;
    test.sql("insert into periodd_migrations values (9999, 'from tomorrow', '')").await;
    for command in [
        &["db", "migrate"][..],
        &["db", "status"],
        &["rollover"],
        &["orgs", "list"],
        &["orgs", "add", "acme", "--name", "Acme", "--zone", "UTC"],
    ] {
        let answer = test.periodd(command).exits(78);
        let sentence = format!(
            "periodd: the database is newer than this program: it is at migration 9999, this \
             program at {}; install the newer periodd\n",
            numbers().into_iter().max().expect("a migration")
        );
        assert_eq!((answer.stderr, answer.stdout), (sentence, String::new()), "{command:?}");
    }
    assert_eq!(test.rows("select count(*) from organizations").await, ["0"]);
}

#[tokio::test]
async fn a_migration_with_another_text_is_refused() {
    let test = TestDatabase::new().await;
    test.sql("update periodd_migrations set checksum = 'other' where version = 12").await;
    let schema = inventory(&test).await;
    for command in [["db", "migrate"], ["db", "status"]] {
        let answer = test.periodd(&command).exits(78);
        assert_eq!(
            answer.stderr,
            "periodd: migration 12 was applied in a different version; install the periodd that \
             applied it\n"
        );
    }
    assert_eq!(inventory(&test).await, schema);
}

#[tokio::test]
async fn a_function_with_another_text_is_made_again() {
    let test = TestDatabase::new().await;
    let function = "select prosrc from pg_proc where proname = 'periodd_percent'";
    let ours = test.rows(function).await;
    test.sql(
        "create or replace function periodd_percent(p_used numeric, p_allowance numeric)
             returns numeric language sql immutable set search_path = pg_catalog, pg_temp
             as 'select 0::numeric';
         update periodd_api set checksum = 'older' where name = 'periodd percent'",
    )
    .await;
    let answer = test.periodd(&["rollover"]).exits(78);
    let said = test.plain(&answer.stderr);
    assert!(said.contains("run `periodd db migrate`"), "{said}");
    let others =
        "select name, applied_at from periodd_api where name <> 'periodd percent' order by 1";
    let before = test.rows(others).await;
    test.periodd(&["db", "migrate"]).exits(0);
    assert_eq!(test.rows(function).await, ours);
    assert_eq!(test.rows(others).await, before, "what did not change is left alone");
    test.periodd(&["rollover"]).exits(0);
}

#[tokio::test]
async fn a_database_without_the_schema_says_what_to_run() {
    let test = TestDatabase::empty().await;
    let answer = test.periodd(&["rollover"]).exits(78);
    let said = test.plain(&answer.stderr);
    assert!(said.contains("run `periodd db migrate`"), "{said}");
    assert_eq!(inventory(&test).await, Vec::<String>::new());
}

/// Ends the migrator's connection before its n-th change of the schema, and with that after every
/// statement that comes before one. The count is a sequence: it stays when the transaction goes.
const GUILLOTINE: &str = "
    create schema chaos;
    create sequence chaos.step;
    create table chaos.fatal (step bigint);
    create function chaos.strike() returns event_trigger language plpgsql as $$
    begin
        if nextval('chaos.step') = (select step from chaos.fatal) then
            perform pg_terminate_backend(pg_backend_pid());
        end if;
    end $$;
    create event trigger guillotine on ddl_command_start execute function chaos.strike();";
/// Databases in which migrators die side by side.
const SIDE_BY_SIDE: usize = 4;

/// Migrators of this process that die before their statements `first`, `first + step` and so on,
/// until one gets to the end, or to what is done once the schema is committed. Returns how many
/// died.
async fn die_and_migrate(test: TestDatabase, first: usize, step: usize) -> usize {
    let tz = TzData::newest();
    let months = zones::months(&tz, test.database.now().await.expect("the time"));
    let untouched = inventory(&test).await;
    test.sql(GUILLOTINE).await;
    test.sql(&format!("insert into chaos.fatal values ({first})")).await;
    let again = format!(
        "select setval('chaos.step', 1, false); update chaos.fatal set step = step + {step}"
    );
    let (mut died, mut is_applied) = (0, false);
    loop {
        match migrate::migrate(&test.database, &months, tz.release()).await {
            Ok(applied) => {
                assert_eq!(applied.len(), if is_applied { 0 } else { files() });
                break;
            }
            Err(error) => assert!(matches!(error, StoreError::Unavailable(_)), "{error}"),
        }
        died += 1;
        // All of it is there once it is committed; rows are then looked at table by table.
        if inventory(&test).await != untouched {
            is_applied = true;
            let known = test.rows("select count(*) from periodd_migrations").await;
            assert_eq!(known, [files().to_string()], "after {died} deaths");
            test.sql("drop event trigger guillotine").await;
            continue;
        }
        test.sql(&again).await;
    }
    assert_ne!(inventory(&test).await, untouched);
    let open = "select count(*) from pg_constraint where not convalidated";
    assert_eq!(test.rows(open).await, ["0"], "what was left undone is done");
    died
}

/// Lets migrators die before statements of every part, in copies of a database.
pub(crate) async fn die_before_statements<F>(made: impl Fn() -> F)
where
    F: Future<Output = TestDatabase>,
{
    let mut migrators = tokio::task::JoinSet::new();
    let every = every();
    for place in 0..SIDE_BY_SIDE {
        let first = 1 + place * every;
        migrators.spawn(die_and_migrate(made().await, first, SIDE_BY_SIDE * every));
    }
    let mut died = 0;
    while let Some(ended) = migrators.join_next().await {
        died += ended.expect("nothing but what was meant to die died");
    }
    assert!(died * every > 400, "there are more statements than that: {died}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migrator_that_dies_before_any_statement_leaves_nothing_behind() {
    die_before_statements(TestDatabase::empty).await;
}

#[tokio::test]
async fn a_migrator_that_dies_at_any_moment_leaves_all_or_nothing() {
    let test = TestDatabase::empty().await;
    let untouched = inventory(&test).await;
    let mut onlooker = test.connect().await;
    for _ in 0..8 {
        let child = start(&test);
        until(
            &mut onlooker,
            "select count(*) > 0 from pg_stat_activity
             where datname = current_database() and application_name = 'periodd'
               and xact_start is not null",
        )
        .await;
        tokio::time::sleep(Duration::from_millis(fastrand::u64(..60))).await;
        sqlx::raw_sql(
            "select pg_terminate_backend(pid) from pg_stat_activity
             where datname = current_database() and application_name = 'periodd'
               and xact_start is not null",
        )
        .execute(&mut onlooker)
        .await
        .unwrap();
        let answer = answer(child);
        assert!([0, 69].contains(&answer.code), "{answer:?}");
        if answer.code == 0 {
            break;
        }
        let now = inventory(&test).await;
        let finished = now.contains(&"table periodd_migrations r".to_owned());
        assert!(now == untouched || finished, "{now:#?}");
    }
    test.periodd(&["db", "migrate"]).exits(0);
    let known = test.rows("select count(*) from periodd_migrations").await;
    assert_eq!(known, [files().to_string()]);
}
