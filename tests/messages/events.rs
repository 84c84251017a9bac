//! Events: each is what docs/events says of its kind, is entered once, and only where somebody
//! hears of it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use periodd::billing::events::Kind;
use periodd::config::Config;
use periodd::jobs::{alerts, rollover};
use periodd::tz::TzData;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use crate::support::{TestDatabase, at};

fn file(kind: Kind) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.join("docs/events").join(format!("{}.json", kind.name()))
}

/// What is written about a kind: the schema of its message, with an example.
fn described(kind: Kind) -> Value {
    let mut generator = SchemaSettings::draft2020_12()
        .with(|settings| settings.inline_subschemas = true)
        .for_serialize()
        .into_generator();
    let said = kind.schema(&mut generator).to_value();
    let mut example = kind.example().expect("an example");
    let mut properties = said["properties"].as_object().cloned().unwrap_or_default();
    let mut required = said["required"].as_array().cloned().unwrap_or_default();
    if kind != Kind::Ping {
        let fields = [
            ("org_id", "Id of the org.", json!("5f0c3a52-4d0e-4b1a-9c67-0e6f1d2c3b4a")),
            ("org", "Slug of the org.", json!("acme")),
        ];
        for (name, description, value) in fields {
            properties
                .insert(name.to_owned(), json!({ "type": "string", "description": description }));
            required.push(json!(name));
            example[name] = value;
        }
    }
    let whole = json!({ "type": "object", "properties": properties, "required": required });
    let cut = json!({
        "type": "object",
        "description": "A message that would be larger than 20 KB says only whom and which period \
                        it is about: `periodd statements` has the rest of a close.",
        "properties": {
            "period_start": { "type": "string", "description": "Start of the period." },
            "period_end": { "type": "string", "description": "End of the period." },
            "too_large": { "const": true },
        },
        "required": ["org_id", "org", "too_large"],
    });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": kind.name(),
        "description": kind.meaning(),
        "type": "object",
        "properties": {
            "type": { "const": kind.name() },
            "id": {
                "type": "string", "format": "uuid",
                "description": "Id of the event, the same for every endpoint and in the table.",
            },
            "timestamp": {
                "type": "string", "format": "date-time",
                "description": "When it happened, in business time.",
            },
            "data": { "anyOf": [whole, cut] },
        },
        "required": ["type", "id", "timestamp", "data"],
        "examples": [{
            "type": kind.name(),
            "id": "0d4c2f9a-7d1b-3a85-8f3e-2b6a1c9d7e5f",
            "timestamp": "2026-06-01T04:00:03.5Z",
            "data": example,
        }],
    })
}

fn kept(kind: Kind) -> Value {
    let text = std::fs::read_to_string(file(kind)).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

#[test]
fn every_kind_is_described_with_an_example_that_holds() {
    for kind in Kind::ALL {
        let described = described(kind);
        if std::env::var_os("UPDATE_EVENTS").is_some() {
            let text = serde_json::to_string_pretty(&described).expect("JSON") + "\n";
            std::fs::write(file(kind), text).expect("written");
        }
        let name = kind.name();
        assert_eq!(kept(kind), described, "{name}: UPDATE_EVENTS=1 writes docs/events");
        let example = &described["examples"][0];
        let valid = jsonschema::validator_for(&described).expect("a schema").validate(example);
        assert!(valid.is_ok(), "{name}: {valid:?}");
        assert!(example.to_string().len() < 20_000);
    }
    let files = std::fs::read_dir(file(Kind::Ping).parent().expect("a folder")).expect("listed");
    assert_eq!(files.count(), Kind::ALL.len(), "a file for each kind, and no other");
}

/// Acme with a hundred minutes, told of everything.
async fn acme() -> TestDatabase {
    let test = TestDatabase::new().await;
    test.sql(
        "insert into tier_limits values ('pro', 'minutes_transcribed', 100),
                                        ('starter', 'minutes_transcribed', 50);
         insert into periodd_listeners (channel, name)
             values ('table', 'events'), ('webhook', 'app')",
    )
    .await;
    let add = ["orgs", "add", "acme", "--name", "Acme", "--zone", "Europe/Berlin"];
    let start = ["--tier", "pro", "--period-start", "2026-05-01T00:00:00+02:00"];
    test.periodd(&[&["--at", "2026-05-02T00:00:00Z"], &add[..], &start].concat()).exits(0);
    test
}

fn grant(test: &TestDatabase, reference: &str, quantity: &str, more: &[&str]) {
    let grant = ["packs", "grant", "--org", "acme", "--feature", "minutes_transcribed"];
    let what = [
        "--quantity",
        quantity,
        "--reference",
        reference,
        "--purchased-at",
        "2026-05-03T00:00:00Z",
    ];
    let at = ["--at", "2026-05-04T00:00:00Z"];
    test.periodd(&[&at[..], &grant, &what, more].concat()).exits(0);
}

async fn used(test: &TestDatabase, quantity: u32, day: &str) {
    test.sql(&format!(
        "select record_usage(id, 'minutes_transcribed', {quantity}, null, '{day}')
         from organizations"
    ))
    .await;
}

async fn look(test: &TestDatabase, now: &str) {
    let config = Config::load(Some(&test.config()), std::iter::empty()).expect("a configuration");
    let request = alerts::Request { at: Some(at(now)), ..alerts::Request::of(&config) };
    alerts::run(&test.database, &request).await.expect("a pass");
}

const KINDS: &str = "select kind from periodd_events order by position";

#[tokio::test]
async fn a_story_tells_each_fact_once_and_as_it_is_described() {
    let test = acme().await;
    grant(&test, "order-1", "30", &[]);
    grant(&test, "order-2", "5", &["--expires-at", "2026-05-20T00:00:00Z"]);
    used(&test, 110, "2026-05-05Z").await;
    // Nobody gets an email; programs hear of it all the same, and of the highest alone.
    look(&test, "2026-05-06T00:00:00Z").await;
    look(&test, "2026-05-06T01:00:00Z").await;
    used(&test, 30, "2026-05-07Z").await;
    look(&test, "2026-05-08T00:00:00Z").await;
    test.sql(
        "insert into org_contacts (org_id, email) select id, 'a@b.example' from organizations",
    )
    .await;
    look(&test, "2026-05-09T00:00:00Z").await;
    let told = ["pack.granted", "pack.granted", "usage.threshold_reached", "usage.limit_reached"];
    assert_eq!(test.rows(KINDS).await, told);
    let set = ["orgs", "set", "acme", "--tier", "starter"];
    test.periodd(&[&["--at", "2026-05-10T00:00:00Z"], &set[..]].concat()).exits(0);
    test.periodd(&["--at", "2026-06-02T00:00:00Z", "rollover"]).exits(0);
    test.periodd(&["--at", "2026-06-02T00:01:00Z", "rollover"]).exits(0);
    let kinds = test.rows(KINDS).await;
    for (kind, count) in [("org.tier_changed", 1), ("period.closed", 1), ("pack.drawn", 2)] {
        let found = kinds.iter().filter(|one| *one == kind).count();
        assert_eq!(found, count, "{kind}: {kinds:?}");
    }
    // The books, and nothing else.
    let closed = "select (f.line ->> 'used')::numeric = u.used as used,
                         (f.line ->> 'drawn')::numeric = u.drawn as drawn,
                         (f.line ->> 'uncovered')::numeric = u.uncovered as rest,
                         e.at = p.closed_at as at
                  from periodd_events e
                  cross join lateral jsonb_array_elements(e.payload -> 'features') as f (line)
                  join billing_period_usage u on u.org_id = e.org_id
                  join billing_periods p on p.org_id = e.org_id
                  where e.kind = 'period.closed'";
    assert_eq!(test.rows(closed).await, ["true true true true"]);
    for row in test.rows("select body from periodd_webhook_outbox").await {
        let body: Value = serde_json::from_str(&row).expect("a body");
        let kind: Kind = body["type"].as_str().expect("a kind").parse().expect("a known kind");
        let schema = jsonschema::validator_for(&kept(kind)).expect("a schema");
        let errors: Vec<String> = schema.iter_errors(&body).map(|why| why.to_string()).collect();
        assert!(errors.is_empty(), "{body}: {errors:?}");
        let known = &kept(kind)["properties"]["data"]["anyOf"][0]["properties"];
        let known: BTreeSet<&String> = known.as_object().expect("fields").keys().collect();
        let said: BTreeSet<&String> = body["data"].as_object().expect("data").keys().collect();
        assert_eq!(known, said, "{body}");
    }
    let both = "select count(*) from periodd_events e
                full join periodd_webhook_outbox m on m.org_id = e.org_id and m.event_id = e.id
                where e.id is null or m.id is null";
    assert_eq!(test.rows(both).await, ["0"], "the table and the endpoint hear the same");
}

#[tokio::test]
async fn a_tier_that_was_set_and_one_that_a_rollover_brings_are_both_told() {
    let test = acme().await;
    let set = ["orgs", "set", "acme", "--tier", "starter", "--ends-at", "2026-05-20T00:00:00Z"];
    test.periodd(&[&["--at", "2026-05-10T00:00:00Z"], &set[..]].concat()).exits(0);
    test.periodd(&["--at", "2026-06-02T00:00:00Z", "rollover"]).exits(0);
    test.periodd(&["--at", "2026-06-02T00:01:00Z", "rollover"]).exits(0);
    let changes = "select payload ->> 'before' as before, payload ->> 'after' as after
                   from periodd_events where kind = 'org.tier_changed' order by position";
    assert_eq!(test.rows(changes).await, ["pro starter", "starter free"]);
}

#[tokio::test]
async fn whoever_listens_while_a_rollover_runs_hears_of_the_closes_that_come() {
    let test = Arc::new(TestDatabase::new().await);
    for slug in ["acme", "beta"] {
        let add = ["orgs", "add", slug, "--name", slug, "--zone", "UTC"];
        let start = ["--period-start", "2026-05-01T00:00:00Z"];
        test.periodd(&[&["--at", "2026-05-02T00:00:00Z"], &add[..], &start].concat()).exits(0);
    }
    test.configure("[events]\nenabled = true\n");
    let config = Config::load(Some(&test.config()), std::iter::empty()).expect("a configuration");
    let standing = rollover::Request::standing(&config.rollover);
    let now = Some(at("2026-06-02T00:00:00Z"));
    let request = rollover::Request { batch_size: 1, connections: 1, at: now, ..standing };
    // After its first page.
    let listens = Arc::clone(&test);
    let observer: rollover::Observer = Arc::new(move |report| {
        if report.orgs == 1 {
            listens.periodd(&["webhooks", "apply"]).exits(0);
        }
    });
    let tz = TzData::newest();
    let report = rollover::run(&test.database, &tz, &request, observer).await.expect("a run");
    assert_eq!(report.orgs, 2, "{report:?}");
    assert_eq!(test.rows(KINDS).await, ["period.closed"]);
}

#[tokio::test]
async fn the_limit_is_told_where_usage_exceeds_it_at_once_and_a_higher_threshold_is_none() {
    let test = acme().await;
    test.configure("[notices.limit_reached_again]\nenabled = true\n");
    used(&test, 130, "2026-05-05Z").await;
    look(&test, "2026-05-06T00:00:00Z").await;
    used(&test, 30, "2026-05-07Z").await;
    look(&test, "2026-05-08T00:00:00Z").await;
    let told = "select kind, payload -> 'threshold' as threshold from periodd_events
                order by position";
    let reached = |level: &str| format!("usage.threshold_reached {level}");
    let limit = "usage.limit_reached 100".to_owned();
    assert_eq!(test.rows(told).await, [limit, reached("120"), reached("150")]);
}

#[tokio::test]
async fn an_alert_that_waited_longer_than_events_are_kept_is_not_told_again() {
    let test = acme().await;
    used(&test, 110, "2026-05-05Z").await;
    look(&test, "2026-05-06T00:00:00Z").await;
    assert_eq!(test.rows(KINDS).await, ["usage.limit_reached"]);
    // Nobody is there to get the email, until there is; meanwhile the event is read and deleted.
    test.sql(
        "delete from periodd_events; delete from periodd_webhook_outbox;
         insert into org_contacts (org_id, email) select id, 'a@b.example' from organizations",
    )
    .await;
    look(&test, "2026-05-20T00:00:00Z").await;
    let states = "select state from periodd_alerts where threshold = 100";
    assert_eq!(test.rows(states).await, ["notified"]);
    assert_eq!(test.rows(KINDS).await, [""; 0]);
}

#[tokio::test]
async fn refunds_and_late_draws_are_told_and_nothing_is_where_nobody_listens() {
    let test = acme().await;
    grant(&test, "order-1", "30", &[]);
    let refund = ["packs", "refund", "--org", "acme", "--reference", "order-1", "--quantity", "4"];
    test.periodd(&[&["--at", "2026-05-05T00:00:00Z"], &refund[..], &["--yes"]].concat()).exits(0);
    test.periodd(&["--at", "2026-06-01T01:00:00Z", "rollover"]).exits(0);
    // What comes after the close draws on the pack.
    used(&test, 110, "2026-05-30Z").await;
    test.periodd(&["--at", "2026-06-01T02:00:00Z", "sync"]).exits(0);
    let told = ["pack.granted", "pack.refunded", "period.closed", "pack.drawn"];
    assert_eq!(test.rows(KINDS).await, told);
    test.sql("delete from periodd_listeners; delete from periodd_events").await;
    used(&test, 90, "2026-06-03Z").await;
    look(&test, "2026-06-04T00:00:00Z").await;
    grant(&test, "order-3", "1", &[]);
    test.periodd(&["--at", "2026-07-01T01:00:00Z", "rollover"]).exits(0);
    assert_eq!(test.rows(KINDS).await, [""; 0]);
}

#[tokio::test]
async fn what_is_rolled_back_is_not_told_and_what_no_receiver_would_take_is_cut() {
    let test = acme().await;
    test.sql(
        "begin; select grant_overage_pack(id, 'scrapes', 1, 'gone') from organizations; rollback",
    )
    .await;
    assert_eq!(test.rows(KINDS).await, [""; 0]);
    test.sql(
        "insert into billing_periods (org_id, period_start, period_end, features, used_each,
                                      included_each, drawn_each, uncovered_each)
         select o.id, '2026-03-31T22:00Z', '2026-04-30T22:00Z',
                array_agg('feature_' || i order by ('feature_' || i) collate \"C\"),
                array_agg(1.0), array_agg(1.0), array_agg(0.0), array_agg(0.0)
         from organizations o, generate_series(1, 400) i group by o.id;
         select periodd_enter_closes(array[id], array['2026-03-31T22:00Z'::timestamptz])
         from organizations",
    )
    .await;
    let sizes = "select octet_length(m.body) < 20480 as fits,
                        m.body::json -> 'data' ->> 'too_large' as cut,
                        m.body::json -> 'data' ->> 'period_start' as starts,
                        jsonb_array_length(e.payload -> 'features') as whole
                 from periodd_webhook_outbox m, periodd_events e";
    assert_eq!(test.rows(sizes).await, ["true true 2026-03-31T22:00:00Z 400"]);
}
