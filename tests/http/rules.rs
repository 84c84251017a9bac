//! The rules of the SQL functions once more over HTTP: the same question, asked of the function and
//! rolled back, then of the server, on orgs in every state.

use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::served::Served;
use crate::support::TestDatabase;

/// An open period of two months around now, and the same a month late, which a rollover has yet to
/// close; beyond all stored ends; and none.
const OPEN: &str = "now() - interval '20 days', now() + interval '10 days', \
                    array[now() + interval '40 days', now() + interval '70 days',
                          now() + interval '100 days']";
const LATE: &str = "now() - interval '40 days', now() - interval '10 days', \
                    array[now() + interval '20 days', now() + interval '50 days',
                          now() + interval '80 days']";
const STALE: &str = "now() - interval '90 days', now() - interval '60 days', \
                     array[now() - interval '55 days', now() - interval '45 days',
                           now() - interval '25 days']";
const NONE: &str = "null, null, null";
const HALF: &str = "null, now() - interval '10 days', null";

/// Orgs: what each is called, its period, and what else there is of it.
const STATES: [(&str, &str, &str); 15] = [
    ("plain", OPEN, ""),
    ("unlimited", OPEN, "insert into limit_overrides select id, 'scrapes', null from org"),
    ("override", OPEN, "insert into limit_overrides select id, 'scrapes', 2 from org"),
    ("packs", OPEN, "select grant_overage_pack(id, 'scrapes', 3, 'p') from org"),
    (
        "expired",
        OPEN,
        "insert into overage_packs (org_id, feature, quantity, purchased_at, expires_at)
         select id, 'scrapes', 4, now() - interval '19 days', now() - interval '1 day' from org",
    ),
    (
        "future",
        OPEN,
        "insert into overage_packs (org_id, feature, quantity, purchased_at)
         select id, 'scrapes', 4, now() + interval '1 day' from org",
    ),
    ("late", LATE, ""),
    (
        "owing",
        LATE,
        "select grant_overage_pack(id, 'scrapes', 3, 'p', null, now() - interval '30 days'),
                record_usage(id, 'scrapes', 6.5, null, now() - interval '20 days') from org",
    ),
    (
        "parked",
        LATE,
        "update organizations set parked_at = now(), parked_reason = 'a test'
         where slug = 'parked'",
    ),
    ("stale", STALE, ""),
    ("fresh", NONE, ""),
    ("half", HALF, ""),
    (
        "canceled",
        OPEN,
        "update organizations set subscription_status = 'canceled' where slug = 'canceled'",
    ),
    (
        "ungranted",
        OPEN,
        "update organizations set subscription_tier = 'free' where slug = 'ungranted'",
    ),
    (
        "moving",
        LATE,
        "update organizations set next_subscription_tier = 'business' where slug = 'moving'",
    ),
];

async fn served() -> Served {
    served_at("now()").await
}

/// With states that are as they are at an instant.
async fn served_at(base: &str) -> Served {
    let served = Served::new().await;
    served
        .test
        .sql(
            "insert into tier_limits
             values ('pro', 'scrapes', 5), ('pro', 'sms_sent', 2.5), ('business', 'scrapes', 9)",
        )
        .await;
    for (slug, period, more) in STATES {
        let user = Uuid::new_v4();
        let org = format!(
            "insert into organizations (slug, name, time_zone, subscription_tier,
                                        current_period_start, current_period_end, next_period_ends)
             values ('{slug}', 'Org', 'UTC', 'pro', {period});
             insert into users (id, organization_id, email, plan)
             select '{user}', id, 'ann@{slug}.example', nullif('own', '{}')
             from organizations where slug = '{slug}';
             create temporary view org as select * from organizations where slug = '{slug}';
             {more}",
            // Every second user has a plan of its own.
            if slug.len() % 2 == 0 { "own" } else { "" }
        );
        served.test.sql(&org.replace("now()", base)).await;
    }
    served
}

/// What an increment came to: the function's row, or the code of its refusal.
type Made = Result<(bool, String, Option<String>, Option<String>, Option<String>), String>;

/// By the function, and rolled back.
async fn by_sql(connection: &mut PgConnection, call: &str, key: Option<&str>) -> Made {
    let query = format!(
        "select allowed, trim_scale(new_usage)::text, trim_scale(effective_limit)::text, plan,
                subscription_status from {call}"
    );
    let mut transaction = connection.begin().await.expect("a transaction");
    let made = sqlx::query_as(sqlx::AssertSqlSafe(query)).bind(key);
    let made = made.fetch_one(&mut *transaction).await.map_err(|error| {
        let code = error.as_database_error().and_then(|error| error.code().map(|c| c.to_string()));
        match code.as_deref() {
            Some("22023") => "invalid",
            Some("PB001") => "no_open_period",
            Some("PB002") => "unknown_feature",
            Some("PB003") => "not_calculated",
            Some("PB004") => "key_reused",
            _ => panic!("{error}"),
        }
        .to_owned()
    });
    transaction.rollback().await.expect("rolled back");
    made
}

async fn by_http(served: &Served, path: &str, body: Value) -> Made {
    let answer = served.post(path, body).await;
    let document = answer.json();
    if answer.status != 200 {
        return Err(document["code"].as_str().expect("a code").to_owned());
    }
    let text = |key: &str| match &document[key] {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    let allowed = document["allowed"].as_bool().expect("a verdict");
    assert_eq!(document["refusal"].is_null(), allowed, "{document}");
    let new_usage = text("new_usage").expect("a quantity");
    Ok((allowed, new_usage, text("effective_limit"), text("plan"), text("subscription_status")))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_increment_is_the_functions_in_every_state_of_an_org() {
    let served = served().await;
    let mut connection = served.test.connect().await;
    let (mut allowed, mut refused, mut errors) = (0, 0, 0);
    for (slug, ..) in STATES {
        let ids: (Uuid, Uuid) = sqlx::query_as(
            "select o.id, u.id from organizations o join users u on u.organization_id = o.id
             where o.slug = $1",
        )
        .bind(slug)
        .fetch_one(&mut connection)
        .await
        .expect("an org");
        let (org, user) = ids;
        for (feature, amount) in [
            ("scrapes", "0.5"),
            ("SCRAPES", "1"),
            ("scrapes", "100"),
            ("sms_sent", "2.5"),
            ("sms_sent", "0.000001"),
            ("emails_sent", "1"),
            ("scrapes", "0"),
            ("scrapes", "-1"),
            ("scrapes", "3.5"),
            ("nothing", "1"),
            ("scrapes", "3"),
        ] {
            let what = format!("{amount} {feature} of {slug}");
            let body = json!({ "feature": feature, "amount": amount });
            // The display and the refusal come from one read.
            let checked = format!("/api/v1/usage/{slug}/check/{feature}?amount={amount}");
            let checked = served.get(&checked).await;
            let call = format!("increment_org_usage('{org}', '{feature}', {amount}, $1)");
            let expected = by_sql(&mut connection, &call, None).await;
            if let Ok((is_allowed, ..)) = &expected {
                assert_eq!(checked.clone().is(200).json()["allowed"], *is_allowed, "check {what}");
            }
            let path = format!("/api/v1/usage/{slug}/increment");
            assert_eq!(by_http(&served, &path, body.clone()).await, expected, "{what}");
            let call = format!("increment_feature_usage('{user}', '{feature}', {amount}, $1)");
            let expected = by_sql(&mut connection, &call, None).await;
            let mut of_user = body;
            of_user["user"] = json!(user);
            let path = if amount == "1" { "/api/v1/usage/increment" } else { path.as_str() };
            assert_eq!(by_http(&served, path, of_user).await, expected, "{what} by a user");
            match expected {
                Ok((true, ..)) => allowed += 1,
                Ok(_) => refused += 1,
                Err(_) => errors += 1,
            }
        }
        let by_sql = format!(
            "select a.feature, trim_scale(a.used) as used, trim_scale(a.allowance) as allowance,
                    trim_scale(a.remaining) as remaining
             from periodd_allowances('{org}', now()) a order by 1"
        );
        let limits = served.get(&format!("/api/v1/usage/{slug}/limits")).await.is(200).json();
        let told = limits["limits"].as_array().expect("limits").iter().map(|limit| {
            let text = |key: &str| match &limit[key] {
                Value::Null => "-".to_owned(),
                value => value.to_string(),
            };
            let feature = limit["feature"].as_str().expect("a name");
            format!("{feature} {} {} {}", text("used"), text("effective_limit"), text("remaining"))
        });
        let told: Vec<String> = told.collect();
        assert_eq!(told, served.test.rows(&by_sql).await, "limits of {slug}");
    }
    assert!(allowed > 20 && refused > 20 && errors > 20, "{allowed} {refused} {errors}");
    served.test.check_invariants().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_the_functions_too() {
    let served = served().await;
    let path = "/api/v1/usage/plain/increment";
    let body =
        |amount: u32, key: &str| json!({ "feature": "scrapes", "amount": amount, "key": key });
    // At once, while the first call is under way.
    let calls = (0..12).map(|_| served.post(path, body(4, "same")));
    for answer in futures_util::future::join_all(calls).await {
        let answer = answer.is(200).json();
        assert_eq!((&answer["allowed"], &answer["new_usage"]), (&json!(true), &json!(4)));
    }
    // A refusal is not remembered.
    let refused = served.post(path, body(3, "later")).await.is(200).json();
    assert_eq!(refused["allowed"], false);
    served
        .test
        .sql(
            "select grant_overage_pack(id, 'scrapes', 10, 'p') from organizations
             where slug = 'plain'",
        )
        .await;
    let allowed = served.post(path, body(3, "later")).await.is(200).json();
    assert_eq!((&allowed["allowed"], &allowed["new_usage"]), (&json!(true), &json!(7)));
    // A key outlives its metric, in the function and here.
    served
        .test
        .sql(
            "insert into periodd_usage_keys
                 (org_id, idempotency_key, metric_id, feature, quantity, used_at, recorded_at)
             select organization_id, idempotency_key, id, metric_type, metric_value, created_at,
                    recorded_at from usage_metrics where idempotency_key = 'same';
             delete from usage_metrics where idempotency_key = 'same'",
        )
        .await;
    let mut connection = served.test.connect().await;
    let org = served.test.rows("select id from organizations where slug = 'plain'").await.concat();
    let call = |amount: u32| format!("increment_org_usage('{org}', 'scrapes', {amount}, $1)");
    for (amount, key) in [(4, "same"), (5, "same"), (3, "later"), (1, "")] {
        let expected = by_sql(&mut connection, &call(amount), Some(key)).await;
        let told = by_http(&served, path, body(amount, key)).await;
        assert_eq!(told, expected, "{amount} {key:?}");
    }
    let event = |quantity: u32| {
        let (org, feature, key) = ("plain", "scrapes", "same");
        json!({ "org": org, "feature": feature, "quantity": quantity, "key": key })
    };
    let known = served.post("/api/v1/usage/events", event(4)).await.is(200).json();
    assert_eq!(known["duplicates"], 1);
    served.post("/api/v1/usage/events", event(5)).await.is(422);
    let metrics = format!("select count(*) from usage_metrics where organization_id = '{org}'");
    assert_eq!(served.test.rows(&metrics).await, ["1"]);
}

/// An event is `record_usage`: of two orgs that are alike, one is told of by events and the other
/// by the function, and after the next sync they are alike again.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_the_functions_in_every_state_of_an_org() {
    let now = TestDatabase::new().await.rows("select now()").await.concat();
    let base = format!("'{now}'::timestamptz");
    let (events, function) = (served_at(&base).await, served_at(&base).await);
    let mut recorded = 0;
    for (slug, ..) in STATES {
        for (number, (feature, quantity, days_ago)) in [
            ("scrapes", "3.25", 0),
            ("SMS_SENT", "7", 5),
            ("scrapes", "2", 30),
            ("emails_sent", "1", 100),
            ("scrapes", "-1", 1),
        ]
        .into_iter()
        .enumerate()
        {
            let used_at = format!(
                "select to_char({base} at time zone 'UTC' - interval '{days_ago} days',
                                'YYYY-MM-DD\"T\"HH24:MI:00\"Z\"')"
            );
            let used_at = events.test.rows(&used_at).await.concat();
            let event = json!({
                "feature": feature, "quantity": quantity, "used_at": used_at,
                "key": number.to_string(), "correction": quantity.starts_with('-'),
            });
            events.post(&format!("/api/v1/usage/{slug}/events"), event).await.is(200);
            function
                .test
                .sql(&format!(
                    "select record_usage(id, '{feature}', {quantity}, null, '{used_at}', '{number}')
                     from organizations where slug = '{slug}'"
                ))
                .await;
            recorded += 1;
        }
    }
    let mut seen = Vec::new();
    for served in [&events, &function] {
        served.test.periodd(&["sync"]).exits(0);
        let mut all = served
            .test
            .rows(
                "select o.slug, c.feature, c.period_start::date, trim_scale(c.used)
                 from usage_counters c join organizations o on o.id = c.org_id order by 1, 2, 3",
            )
            .await;
        all.extend(
            served
                .test
                .rows(
                    "select o.slug, periodd_folded(m.metric_type), m.created_at, m.metric_value,
                            m.idempotency_key, m.counted_at is not null
                     from usage_metrics m join organizations o on o.id = m.organization_id
                     order by 1, 2, 3",
                )
                .await,
        );
        served.test.check_invariants().await;
        seen.push(all);
    }
    assert!(seen[0].len() > recorded, "{:?}", seen[0]);
    assert_eq!(seen[0], seen[1]);
}
