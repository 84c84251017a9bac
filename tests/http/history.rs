//! The series behind charts: days of the org's zone, periods as the books have them, the forecast
//! of `explain`; within bounds, and as CSV.

use serde_json::{Value, json};

use crate::client::Request;
use crate::served::{Served, token};

const PATH: &str = "/api/v1/usage/acme/history";
/// What is said of a period.
const BY_PERIOD: &str =
    "feature,state,period_start,period_end,tier,used,included,drawn,uncovered,late";

/// Acme in New York since four months ago, with use at all hours, packs, and what came late.
async fn served() -> Served {
    let served = Served::new().await;
    let test = &served.test;
    test.sql(
        "insert into tier_limits values
             ('pro', 'scrapes', 100), ('pro', 'sms_sent', null), ('pro', 'emails_sent', 7)",
    )
    .await;
    let start = test
        .rows(
            "select (date_trunc('month', now() at time zone 'America/New_York')
                     - interval '4 months') at time zone 'America/New_York'",
        )
        .await
        .concat();
    let add = ["orgs", "add", "acme", "--name", "Acme", "--zone", "America/New_York"];
    test.periodd(&[&add[..], &["--tier", "pro", "--period-start", &start]].concat()).exits(0);
    test.sql(
        "insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
         select o.id, case when i % 3 = 0 then 'Scrapes' else 'sms_sent' end, 0.25 + i % 7,
                now() - i * interval '7 hours 13 minutes'
         from organizations o, generate_series(0, 280) i",
    )
    .await;
    let bought = ["--quantity", "60", "--reference", "order-1", "--purchased-at", &start];
    let grant = ["packs", "grant", "--org", "acme", "--feature", "scrapes"];
    test.periodd(&[&grant[..], &bought].concat()).exits(0);
    test.periodd(&["rollover"]).exits(0);
    test.periodd(&["sync"]).exits(0);
    test.sql(
        "insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
         select o.id, 'scrapes', 3, b.period_start + interval '1 hour'
         from organizations o,
              (select * from billing_periods order by period_start desc limit 1) b",
    )
    .await;
    test.periodd(&["sync"]).exits(0);
    served
}

/// Rows of an answer as text, by these keys, with `-` for null.
fn rows(answer: &Value, list: &str, keys: &[&str]) -> Vec<String> {
    let text = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let rows = answer[list].as_array().expect("a list").iter();
    rows.map(|row| keys.iter().map(|key| text(&row[*key])).collect::<Vec<_>>().join(" ")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn days_are_those_of_the_orgs_zone_and_none_is_missing() {
    let served = served().await;
    let answer = served.get(PATH).await.is(200).json();
    assert_eq!(
        (&answer["org"], &answer["time_zone"]),
        (&json!("acme"), &json!("America/New_York"))
    );
    let by_sql = served
        .test
        .rows(
            "with days as (
                 select (now() at time zone 'America/New_York')::date - i as date
                 from generate_series(0, 29) i)
             select f.feature, d.date,
                    trim_scale(coalesce(
                        (select sum(m.metric_value) from usage_metrics m
                         where lower(m.metric_type) = f.feature
                           and (m.created_at at time zone 'America/New_York')::date = d.date), 0))
             from days d, tier_limits f where f.tier = 'pro' order by 1, 2",
        )
        .await;
    let told = rows(&answer, "days", &["feature", "date", "used"]);
    assert_eq!(told.len(), 90, "a feature that nobody used is there");
    assert_eq!(told, by_sql);
    // Each day begins where the one before it ends.
    let days = answer["days"].as_array().expect("days");
    for pair in days[..30].windows(2) {
        assert_eq!(pair[0]["end"], pair[1]["start"]);
    }
    // What is not counted yet belongs to its day.
    served
        .test
        .sql(
            "insert into usage_metrics (organization_id, metric_type, metric_value)
             select id, 'EMAILS_SENT', 0.5 from organizations",
        )
        .await;
    let org = served.test.rows("select id from organizations").await.concat();
    let one = served.get(&format!("/api/v1/usage/{org}/history?feature=Emails_Sent")).await.is(200);
    let one = rows(&one.json(), "days", &["feature", "used"]);
    assert_eq!((one.len(), one.last().map(String::as_str)), (30, Some("emails_sent 0.5")));
    // A range, both of its ends included; it ends today at the latest.
    let (from, to) = ("2026-01-01", "2026-01-03");
    let answer = served.get(&format!("{PATH}?feature=scrapes&from={from}&to={to}")).await.is(200);
    let days = rows(&answer.json(), "days", &["date", "start"]);
    assert_eq!(
        days,
        [
            "2026-01-01 2026-01-01T05:00:00Z",
            "2026-01-02 2026-01-02T05:00:00Z",
            "2026-01-03 2026-01-03T05:00:00Z"
        ]
    );
    assert_eq!(answer.json()["forecasts"], json!([]), "nothing of that time is ahead");
    let today = "select (now() at time zone 'America/New_York')::date";
    let today = served.test.rows(today).await.concat();
    let ahead = format!("{PATH}?feature=scrapes&from={today}&to=2999-01-01");
    let ahead = served.get(&ahead).await.is(200).json();
    assert_eq!(rows(&ahead, "days", &["date"]), [today]);
}

#[tokio::test(flavor = "multi_thread")]
async fn periods_are_those_of_the_books_and_the_open_one_is_as_it_stands() {
    let served = served().await;
    let answer = served.get(&format!("{PATH}?by=period")).await.is(200).json();
    let keys: Vec<&str> = BY_PERIOD.split(',').collect();
    let told = rows(&answer, "periods", &keys);
    let by_sql = served
        .test
        .rows(
            "select f.feature, p.state, p.period_start, p.period_end, 'pro' as tier,
                    trim_scale(coalesce(u.used, c.used, 0)) as used,
                    case when p.state = 'open' then f.included else u.included end as included,
                    trim_scale(coalesce(u.drawn, 0)) as drawn,
                    case when p.state = 'closed' then trim_scale(coalesce(u.uncovered, 0)) end
                        as uncovered,
                    coalesce((select trim_scale(sum(a.used)) from billing_adjustments a
                              where a.feature = f.feature and a.period_start = p.period_start), 0)
                        as late
             from (select period_start, period_end, 'closed' as state from billing_periods
                   union all
                   select current_period_start, current_period_end, 'open' from organizations) p
             cross join tier_limits f
             left join billing_period_usage u
                  on u.period_start = p.period_start and u.feature = f.feature
             left join usage_counters c
                  on c.period_start = p.period_start and c.feature = f.feature
                  and p.state = 'open'
             where f.tier = 'pro' order by 1, 3",
        )
        .await;
    assert_eq!(told.len(), 15, "five periods of three features");
    assert_eq!(told, by_sql);
    assert!(told.iter().any(|row| row.ends_with(" 3")), "what came late is beside: {told:#?}");
    let drawn = answer["periods"].as_array().expect("periods").iter();
    assert!(drawn.clone().any(|row| row["drawn"] != json!(0)), "packs paid");
    assert!(drawn.clone().any(|row| row["uncovered"] == Value::Null), "one is open");
    // Those that contain one of the dates.
    let second = answer["periods"][1]["period_start"].as_str().expect("a time")[..10].to_owned();
    let some = format!("{PATH}?by=period&feature=SCRAPES&from={second}&to={second}");
    let some = served.get(&some).await.is(200).json();
    assert_eq!(rows(&some, "periods", &keys), told[6..7]);
    // A period that has ended and is not closed yet says so.
    served
        .test
        .sql(
            "update organizations set current_period_end = now() - interval '1 minute',
                 next_period_ends = array[now() + interval '10 days', now() + interval '40 days']",
        )
        .await;
    let ended = served.get(&format!("{PATH}?by=period&feature=scrapes")).await.is(200).json();
    let states = rows(&ended, "periods", &["state"]);
    assert_eq!(states, ["closed", "closed", "closed", "closed", "ended", "open"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_forecast_is_that_of_explain() {
    let served = served().await;
    for by in ["day", "period"] {
        let answer = served.get(&format!("{PATH}?by={by}")).await.is(200).json();
        let explained = served.get("/api/v1/usage/acme").await.is(200).json();
        let features = explained["features"].as_array().expect("features").iter();
        let expected: Vec<Value> = features
            .filter(|feature| feature["forecast"] != Value::Null)
            .map(|feature| {
                let ahead = &feature["forecast"];
                json!({
                    "feature": feature["feature"], "period_end": explained["period"]["end"],
                    "at_end": ahead["at_end"], "used_up_on": ahead["used_up_on"],
                })
            })
            .collect();
        assert!(expected.len() >= 2, "{explained}");
        assert_eq!(answer["forecasts"], Value::from(expected), "by {by}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_shown_is_refused_with_the_name_of_the_parameter() {
    let served = served().await;
    for (query, said) in [
        (
            "from=2026-02-30",
            "the parameter `from`: invalid date `2026-02-30`; write it as 2026-05-01",
        ),
        ("to=tomorrow", "the parameter `to`: invalid date `tomorrow`; write it as 2026-05-01"),
        ("by=week", "the parameter `by`: unknown value `week`; write day or period"),
        (
            "from=2026-03-02&to=2026-03-01",
            "the parameter `from`: 2026-03-02 is after `to`, 2026-03-01",
        ),
        (
            "from=2020-01-01&to=2021-02-04",
            "the parameter `from`: 401 days are too many; ask for at \
                                           most 400",
        ),
        ("since=2026-01-01", "unknown parameter `since`; this path takes feature, from, to, by"),
    ] {
        let refused = served.get(&format!("{PATH}?{query}")).await.is(422);
        assert_eq!(refused.is_problem("invalid"), said);
    }
    let ahead = served.get(&format!("{PATH}?from=2999-01-01")).await.is(422);
    assert!(ahead.is_problem("invalid").contains("`from`: 2999-01-01 is after today, "));
    served.get(&format!("{PATH}?from=2020-01-01&to=2021-02-03")).await.is(200);
    let unknown = served.get(&format!("{PATH}?feature=scraps")).await.is(404);
    let said = served.get("/api/v1/usage/acme/limits?feature=scraps").await.is(404);
    assert_eq!(unknown.is_problem("unknown_feature"), said.is_problem("unknown_feature"));
    served.get("/api/v1/usage/nobody/history").await.is(404).is_problem("unknown_org");
    served.customer("bolt").await;
    let bolt = token(&served.test, "bolt", &["read"], &["--org", "bolt"]);
    let foreign = served.with_token(&bolt, Request::get(PATH)).await.is(404);
    assert_eq!(foreign.is_problem("unknown_org"), "unknown organization `acme`");
    let records = token(&served.test, "records", &["record"], &[]);
    served.with_token(&records, Request::get(PATH)).await.is(403).is_problem("forbidden");
    // More periods than fit: a daily cycle since 200 days ago, in books that end here.
    served
        .test
        .sql(
            "insert into billing_periods (org_id, period_start, period_end, follows)
             select o.id, s.at, s.at + interval '1 day', case when i > 0 then s.at end
             from organizations o, generate_series(0, 199) i,
                  lateral (select date_trunc('day', now(), 'UTC') - interval '1 year'
                                  + i * interval '1 day' as at) s
             where o.slug = 'bolt'",
        )
        .await;
    let many = served.get("/api/v1/usage/bolt/history?by=period&from=2020-01-01").await.is(422);
    let said = "the parameter `from`: the range has more than 120 periods; choose a later date";
    assert_eq!(many.is_problem("invalid"), said);
    let last = served.get("/api/v1/usage/bolt/history?by=period&feature=scrapes").await.is(200);
    assert_eq!(rows(&last.json(), "periods", &["state"]).len(), 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn as_csv_it_says_the_same_and_no_name_is_a_formula() {
    let served = served().await;
    served
        .test
        .sql(
            r#"insert into features (feature) values ('=1+1'), ('a "b", c');
               insert into limit_overrides
                   select id, f, 1 from organizations, unnest(array['=1+1', 'a "b", c']) f"#,
        )
        .await;
    let csv = async |query: &str| {
        let request = Request::get(&format!("{PATH}{query}"));
        served.with_token(&served.token, request.with("accept", "text/csv, */*;q=0.1")).await
    };
    for (query, list, heading) in
        [("", "days", "feature,date,start,end,used"), ("?by=period", "periods", BY_PERIOD)]
    {
        let answer = csv(query).await.is(200);
        assert_eq!(answer.header("content-type"), Some("text/csv; charset=utf-8"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let json = served.get(&format!("{PATH}{query}")).await.is(200).json();
        let mut lines = answer.body.lines();
        assert_eq!(lines.next(), Some(heading));
        let keys: Vec<&str> = heading.split(',').collect();
        let told: Vec<String> = lines.map(str::to_owned).collect();
        let cell = |value: &Value| match value {
            Value::Null => String::new(),
            Value::String(text) if text == "=1+1" => "'=1+1".to_owned(),
            Value::String(text) if text.contains('"') => "\"a \"\"b\"\", c\"".to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let expected = json[list].as_array().expect("a list").iter();
        let expected = expected
            .map(|row| keys.iter().map(|key| cell(&row[*key])).collect::<Vec<_>>().join(","));
        assert_eq!(told, expected.collect::<Vec<String>>());
        assert!(answer.body.contains("\n'=1+1,") && answer.body.contains("\n\"a \"\"b\"\", c\","));
    }
    // A refusal is a problem document whatever was asked for.
    csv("?by=week").await.is(422).is_problem("invalid");
}
