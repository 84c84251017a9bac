//! `record_usage_batch`: many uses by the rule of `record_usage`, all or none, or a verdict each.

use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::api::{Customer, customer, refusal};
use crate::support::TestDatabase;

fn event(org: Uuid, amount: Value, key: &str) -> Value {
    let mut event = json!({ "org_id": org, "feature": "scrapes", "idempotency_key": key });
    event["amount"] = amount;
    event
}

fn batch(events: &[Value], is_partial: bool) -> String {
    let text = Value::from(events).to_string().replace('\'', "''");
    format!("select event, outcome, code from record_usage_batch('{text}', {is_partial})")
}

async fn run(connection: &mut PgConnection, statements: &str) {
    let statements = sqlx::AssertSqlSafe(statements.to_owned());
    sqlx::raw_sql(statements).execute(connection).await.expect("a statement of the test");
}

/// What a call of `record_usage` comes to: nothing, or an SQLSTATE and a sentence.
async fn one(connection: &mut PgConnection, event: &Value) -> Option<(String, String)> {
    let call =
        "select record_usage((e ->> 'org_id')::uuid, e ->> 'feature', (e ->> 'amount')::numeric,
                                    (e ->> 'user_id')::uuid, (e ->> 'used_at')::timestamptz,
                                    e ->> 'idempotency_key')
                from (select $1::jsonb as e) x";
    let done = sqlx::query(call).bind(event).execute(connection).await;
    let error = done.err()?.into_database_error().expect("the database's own refusal");
    Some((error.code().expect("an SQLSTATE").into_owned(), error.message().to_owned()))
}

/// When something was recorded is another moment in every database.
fn without_time(sentence: &str) -> &str {
    sentence.split_once(", recorded at").map_or(sentence, |(before, _)| before)
}

/// Events that go every way: good ones of each period, repeated, and refused for each reason.
async fn in_every_state(
    test: &TestDatabase,
    acme: Customer,
    bolt: Customer,
    new: Uuid,
) -> Vec<Value> {
    let (org, user) = (acme.org, acme.user);
    let with = |key: &str, field: &str, value: Value| {
        let mut event = event(org, json!(1), key);
        event[field] = value;
        event
    };
    let when = async |shift: &str| {
        let query = format!(
            "select to_json(current_period_start + interval '{shift}') #>> '{{}}'
                             from organizations where id = '{org}'"
        );
        json!(test.rows(&query).await.concat())
    };
    let mut events = vec![
        event(org, json!("2.5"), "a"),
        event(org, json!(2.50), "a"),
        event(org, json!(3), "a"),
        event(bolt.org, json!(3), "a"),
        event(new, json!(3), "a"),
        event(org, json!(2), "theirs"),
        event(org, json!(3), "kept"),
        event(org, json!(4), "kept"),
        event(org, json!(-1), "correction"),
        event(org, json!(0), "zero"),
        event(org, json!(1e22), "much"),
        event(org, json!("NaN"), "nan"),
        event(org, json!(0.000_000_1), "digits"),
        event(org, json!("many"), "word"),
        event(org, Value::Null, "nothing"),
        event(org, json!(1), ""),
        event(org, json!(1), &"k".repeat(1025)),
        event(org, json!(1), "periodd:mine"),
        event(Uuid::nil(), json!(1), "nobody"),
        with("feature", "feature", json!("faxes")),
        with("folded", "feature", json!("SMS_Sent")),
        with("user", "user_id", json!(user)),
        with("stranger", "user_id", json!(bolt.user)),
        with("no id", "user_id", json!("me")),
        with("millis", "used_at", json!("+58000-01-01T00:00:00Z")),
        with("no time", "used_at", json!("soon")),
        with("early", "used_at", json!("-infinity")),
        with("closed", "used_at", when("-1 day").await),
        with("before", "used_at", when("-60 days").await),
        with("next", "used_at", when("32 days").await),
        with("beyond", "used_at", when("3000 days").await),
        with("full", "used_at", when("35 days").await),
    ];
    let mut no_key = event(org, json!(7), "");
    no_key.as_object_mut().expect("an object").remove("idempotency_key");
    events.extend([no_key.clone(), no_key]);
    events
}

#[tokio::test]
async fn a_batch_does_and_says_what_record_usage_does_and_says_of_each() {
    let test = TestDatabase::new().await;
    let acme = customer(&test, "acme").await;
    let bolt = customer(&test, "bolt").await;
    let (org, user) = (acme.org, acme.user);
    test.sql(&format!(
        "insert into billing_periods (org_id, period_start, period_end)
             select id, current_period_start - interval '1 month', current_period_start
             from organizations where id = '{org}';
         insert into organizations (slug, name, time_zone) values ('new', 'New', 'UTC');
         insert into periodd_usage_keys
             (org_id, idempotency_key, metric_id, user_id, feature, quantity, used_at, recorded_at)
         values ('{org}', 'kept', gen_random_uuid(), null, 'scrapes', 3, '2024-05-01Z',
                 '2024-05-01Z');
         select record_usage('{org}', 'scrapes', 2, '{user}', now(), 'theirs');
         select record_usage(id, 'scrapes', 9999999999999999999999, null,
                             current_period_start + interval '35 days')
         from organizations where id = '{org}'",
    ))
    .await;
    let new: Uuid = test.rows("select id from organizations where slug = 'new'").await[0]
        .parse()
        .expect("an id");
    let events = in_every_state(&test, acme, bolt, new).await;
    let twin = test.copy().await;
    let query = "select outcome, code, detail from record_usage_batch($1, true) order by event";
    let verdicts: Vec<(String, Option<String>, Option<String>)> = sqlx::query_as(query)
        .bind(Value::from(events.as_slice()))
        .fetch_all(&mut twin.connect().await)
        .await
        .expect("a verdict each");
    let mut connection = test.connect().await;
    assert_eq!(verdicts.len(), events.len());
    for (event, (outcome, code, detail)) in events.iter().zip(&verdicts) {
        let alone = one(&mut connection, event).await;
        assert_eq!(alone.is_none(), outcome != "refused", "{event}: {alone:?}, {outcome}");
        if let Some((state, sentence)) = alone {
            assert_eq!(code.as_deref(), Some(state.as_str()), "{event}");
            let detail = detail.as_deref().expect("a sentence");
            assert_eq!(without_time(detail), without_time(&sentence), "{event}");
        }
    }
    let recorded = verdicts.iter().filter(|(outcome, ..)| outcome == "recorded").count();
    assert!(recorded > 10 && verdicts.len() - recorded > 10, "{verdicts:?}");
    for query in [
        "select organization_id, user_id, metric_type, metric_value, idempotency_key,
                counted_at is not null
         from usage_metrics order by 1, 5, 3, 4",
        "select org_id, feature, period_start, period_end, used, sync_status from usage_counters
         order by 1, 2, 3",
        "select user_id, feature, period_start, usage_count from feature_usage order by 1, 2, 3",
    ] {
        assert_eq!(twin.rows(query).await, test.rows(query).await);
    }
}

#[tokio::test]
async fn a_batch_is_all_or_nothing_and_names_the_event_that_is_refused() {
    let test = TestDatabase::new().await;
    let Customer { org, .. } = customer(&test, "acme").await;
    let before = test.contents().await;
    let mut connection = test.connect().await;
    for (bad, code) in [
        (event(org, json!(0), "b"), "22023"),
        (event(org, json!(2), "a"), "PB004"),
        (event(Uuid::nil(), json!(2), "b"), "PB002"),
        (event(org, json!("x"), "b"), "22P02"),
        (json!({ "org_id": org, "feature": "scrapes", "amount": 1, "key": "b" }), "22023"),
        (json!([]), "22023"),
    ] {
        let events = [event(org, json!(1), "a"), bad.clone(), event(org, json!(0), "c")];
        let call = batch(&events, false);
        let error = sqlx::raw_sql(sqlx::AssertSqlSafe(call)).execute(&mut connection).await;
        let error = error.expect_err("a refusal").into_database_error().expect("the database's");
        assert_eq!(error.code().as_deref(), Some(code), "{bad}");
        let error = error.downcast_ref::<sqlx::postgres::PgDatabaseError>();
        assert_eq!(error.detail(), Some("event 2 of 3; nothing is recorded"), "{bad}");
    }
    assert_eq!(test.contents().await, before);
    let good = [event(org, json!(1), "a"), event(org, json!(2), "b"), event(org, json!(1), "a")];
    let told = test.rows(&batch(&good, false)).await;
    assert_eq!(told, ["1 recorded -", "2 recorded -", "3 duplicate -"]);
    let told = test.rows(&batch(&good, false)).await;
    assert_eq!(told, ["1 duplicate -", "2 duplicate -", "3 duplicate -"]);
    assert_eq!(test.rows("select used from usage_counters").await, ["3"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn what_is_no_batch_is_refused_and_an_empty_one_is_nothing() {
    let test = TestDatabase::new().await;
    let Customer { org, .. } = customer(&test, "acme").await;
    let mut connection = test.connect().await;
    for events in ["null", "'{}'", "'17'", "'\"events\"'"] {
        let call = format!("select record_usage_batch({events})");
        assert_eq!(refusal(&mut connection, &call).await.0, "22023", "{events}");
    }
    assert_eq!(test.rows("select * from record_usage_batch('[]')").await, Vec::<String>::new());
    let many = |count: u32| {
        format!(
            "select record_usage_batch(jsonb_agg(jsonb_build_object(
                 'org_id', '{org}', 'feature', 'scrapes', 'amount', 1)))
             from generate_series(1, {count})"
        )
    };
    let (code, sentence) = refusal(&mut connection, &many(10_001)).await;
    assert_eq!(code, "22023", "{sentence}");
    run(&mut connection, &many(10_000)).await;
    assert_eq!(test.rows("select used from usage_counters").await, ["10000"]);
}

#[tokio::test]
async fn a_counter_without_room_refuses_its_events_and_no_others() {
    let test = TestDatabase::new().await;
    let acme = customer(&test, "acme").await;
    let bolt = customer(&test, "bolt").await;
    let most = json!("9000000000000000000000");
    let mut of_user = event(bolt.org, json!(1), "c");
    of_user["user_id"] = json!(bolt.user);
    let events = [event(acme.org, most.clone(), "a"), event(acme.org, most, "b"), of_user.clone()];
    let told = test.rows(&batch(&events, true)).await;
    assert_eq!(told, ["1 refused 22003", "2 refused 22003", "3 recorded -"]);
    let mut connection = test.connect().await;
    let (code, sentence) = refusal(&mut connection, &batch(&events, false)).await;
    assert_eq!(code, "22003");
    assert!(sentence.contains("with other events of the batch"), "{sentence}");
    // A user's own counter is full.
    test.sql("update feature_usage set usage_count = 1e22 - 1").await;
    of_user["idempotency_key"] = json!("d");
    let told = test.rows(&batch(&[of_user, event(bolt.org, json!(1), "e")], true)).await;
    assert_eq!(told, ["1 refused 22003", "2 recorded -"]);
    assert_eq!(test.rows("select used from usage_counters").await, ["2"]);
}

/// Two batches claim keys in the same order, whatever order they name them in.
#[tokio::test(flavor = "multi_thread")]
async fn batches_in_opposite_orders_do_not_wait_in_a_circle() {
    let test = TestDatabase::new().await;
    let mut events = Vec::new();
    for slug in ["acme", "bolt", "chip"] {
        let Customer { org, user } = customer(&test, slug).await;
        for number in 0..50 {
            let mut event = event(org, json!(1), &number.to_string());
            event["user_id"] = json!(user);
            events.push(event);
        }
    }
    let mut reversed = events.clone();
    reversed.reverse();
    let mut tasks = tokio::task::JoinSet::new();
    for round in 0..16 {
        let mut connection = test.connect().await;
        let mut events = if round % 2 == 0 { events.clone() } else { reversed.clone() };
        // Some of each round are its own.
        for event in events.iter_mut().skip(round).step_by(3) {
            let key = event["idempotency_key"].as_str().expect("a key");
            event["idempotency_key"] = json!(format!("{round}-{key}"));
        }
        tasks.spawn(async move {
            let call = "select count(*) from record_usage_batch($1) where outcome = 'recorded'";
            let done = sqlx::query_scalar::<_, i64>(call).bind(Value::from(events));
            done.fetch_one(&mut connection).await
        });
    }
    let mut recorded = 0;
    while let Some(done) = tasks.join_next().await {
        recorded += done.expect("a task").expect("nobody is refused, or waits in a circle");
    }
    let kept = test.rows("select count(*) from usage_metrics").await;
    assert_eq!(kept, [recorded.to_string()]);
    let counted = "select (select sum(used) from usage_counters) as of_orgs,
                          (select sum(usage_count) from feature_usage) as of_users";
    assert_eq!(test.rows(counted).await, [format!("{recorded} {recorded}")]);
    test.check_invariants().await;
}

/// The statement of a batch, held up by another session, which then ends in one of several ways.
async fn during(test: &TestDatabase, call: &str, theirs: &mut PgConnection, end: &str) -> String {
    let mut ours = test.connect().await;
    let call = format!("select string_agg(concat_ws(' ', outcome, code), ', ') from ({call}) b");
    let asking = sqlx::query_scalar(sqlx::AssertSqlSafe(call)).fetch_one(&mut ours);
    let ending = async {
        test.until_somebody_waits().await;
        run(theirs, end).await;
    };
    let (answer, ()): (Result<String, sqlx::Error>, ()) = tokio::join!(asking, ending);
    answer.unwrap_or_else(|error| error.to_string())
}

#[tokio::test]
async fn a_key_that_somebody_else_is_using_is_waited_for() {
    let test = TestDatabase::new().await;
    let Customer { org, .. } = customer(&test, "acme").await;
    for (key, amount, end, told) in [
        ("a", 1, "commit", "duplicate, recorded"),
        ("b", 2, "commit", "refused PB004, recorded"),
        ("c", 2, "rollback", "recorded, recorded"),
    ] {
        let mut theirs = test.connect().await;
        let call = format!(
            "begin; select record_usage('{org}', 'scrapes', {amount}, null, now(), '{key}')"
        );
        run(&mut theirs, &call).await;
        let events = [event(org, json!(1), key), event(org, json!(5), &format!("{key}-other"))];
        assert_eq!(during(&test, &batch(&events, true), &mut theirs, end).await, told);
    }
    test.check_invariants().await;
}

/// The open period is made shorter while the batch waits for its counter.
#[tokio::test]
async fn events_are_counted_in_the_period_that_holds_when_they_are_written() {
    let test = TestDatabase::new().await;
    let Customer { org, .. } = customer(&test, "acme").await;
    let later = "(select current_period_end - interval '1 hour' from organizations)";
    test.sql(
        "select record_usage(id, 'scrapes', 1, null, current_period_start) from organizations",
    )
    .await;
    let used_at = test.rows(&format!("select to_json({later}) #>> '{{}}'")).await.concat();
    let mut theirs = test.connect().await;
    run(
        &mut theirs,
        "begin;
         update usage_counters set period_end = period_end - interval '1 day';
         update organizations set revision = revision + 1,
             next_period_ends = array[current_period_end] || next_period_ends,
             current_period_end = current_period_end - interval '1 day'",
    )
    .await;
    let mut event = event(org, json!(3), "a");
    event["used_at"] = json!(used_at);
    let told = during(&test, &batch(&[event], true), &mut theirs, "commit").await;
    assert_eq!(told, "recorded");
    let counters = "select c.used, c.period_start = o.current_period_start
                    from usage_counters c join organizations o on o.id = c.org_id
                    order by c.period_start";
    assert_eq!(test.rows(counters).await, ["1 true", "3 false"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn a_batch_that_is_killed_has_left_nothing_and_is_sent_again() {
    let test = TestDatabase::new().await;
    let Customer { org, .. } = customer(&test, "acme").await;
    test.sql(&format!("select record_usage('{org}', 'scrapes', 1)")).await;
    let before = test.contents().await;
    let events: Vec<Value> =
        (0..100).map(|number| event(org, json!(1), &number.to_string())).collect();
    let mut theirs = test.connect().await;
    run(&mut theirs, "begin; update usage_counters set used = used").await;
    let kill = "select pg_terminate_backend(pid) from pg_stat_activity
                where datname = current_database() and wait_event_type = 'Lock'; rollback";
    let told = during(&test, &batch(&events, false), &mut theirs, kill).await;
    assert!(told.contains("terminating connection"), "{told}");
    assert_eq!(test.contents().await, before);
    test.sql(&batch(&events, false)).await;
    test.sql(&batch(&events, false)).await;
    assert_eq!(test.rows("select used from usage_counters").await, ["101"]);
    test.check_invariants().await;
}

/// Who was known by another id when a line was imported is not another use now.
#[tokio::test]
async fn a_key_of_periodds_own_stands_for_one_use_whatever_is_said_of_it() {
    let test = TestDatabase::new().await;
    let Customer { org, user } = customer(&test, "acme").await;
    for (user, told) in [("null".to_owned(), "recorded"), (format!("'{user}'"), "duplicate")] {
        let call = format!(
            "select outcome from periodd_record_batch(
                 array['{org}'::uuid], array['scrapes'], array[1::numeric], array[{user}::uuid],
                 array[now()], array['periodd:line:1'], false, true)"
        );
        assert_eq!(test.rows(&call).await, [told]);
    }
    assert_eq!(test.rows("select used from usage_counters").await, ["1"]);
}
