//! A dry run says what the real run does, and changes nothing.

use crate::story::{add, dump, granted, including, inserted, rollover, used};
use crate::support::TestDatabase;

const AT: &str = "2026-09-10T00:00:00Z";

/// Orgs with everything that a rollover does.
async fn everything() -> TestDatabase {
    let test = including(500).await;
    test.sql("insert into tier_limits values ('free', 'minutes_transcribed', 10)").await;
    for (slug, zone, cycle) in [
        ("acme", "Europe/Berlin", "monthly"),
        ("globex", "Asia/Tokyo", "weekly"),
        ("initech", "America/New_York", "daily"),
    ] {
        add(&test, slug, "2026-05-02T00:00:00Z", &["--zone", zone, "--cycle", cycle]);
        for month in 5..=9 {
            used(&test, slug, "530", &format!("2026-{month:02}-05T00:00:00Z")).await;
            inserted(&test, slug, "Faxes", "2", &format!("2026-{month:02}-06T00:00:00Z")).await;
        }
        granted(&test, slug, "A", 50, "2026-05-01T00:00:00Z", "2026-06-20T00:00:00Z").await;
        granted(&test, slug, "B", 70, "2026-05-01T00:00:00Z", "").await;
    }
    test.sql(
        "insert into overage_packs (org_id, feature, quantity, purchased_at, reference)
         select id, 'minutes_transcribed', 25, '2026-05-01', 'plain'
         from organizations where slug <> 'initech';
         update organizations set subscription_ends_at = '2026-07-10', time_zone = 'UTC'
         where slug = 'acme';
         insert into organizations (slug, name, time_zone) values ('new', 'New', 'UTC'),
                                                                  ('phobos', 'Bad', 'Mars/Phobos')",
    )
    .await;
    test
}

#[tokio::test]
async fn a_dry_run_prints_the_closes_and_draws_of_the_real_run_and_changes_nothing() {
    let test = everything().await;
    let before = dump(&test).await;
    let planned = rollover(&test, AT, &["--dry-run"]).exits(3).json();
    assert_eq!(dump(&test).await, before);

    let real = rollover(&test, AT, &[]).exits(4).json();
    for field in ["orgs", "periods_closed", "opened", "pack_entries", "parked"] {
        assert_eq!(planned[field], real[field], "{field}");
    }
    assert_eq!(closes_of(&planned), closes_in(&test).await);
    assert_eq!(entries_of(&planned), entries_in(&test).await);
    let mut opened: Vec<String> = (planned["plans"].as_array().unwrap().iter())
        .map(|plan| format!("{} {}", text(&plan["slug"]), text(&plan["open"]["end"])))
        .collect();
    opened.sort();
    let open =
        "select slug, current_period_end from organizations where parked_at is null order by 1";
    assert_eq!(opened, test.rows(open).await);
    test.check_invariants().await;
}

fn text(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn closes_of(report: &serde_json::Value) -> Vec<String> {
    let mut lines = Vec::new();
    for plan in report["plans"].as_array().unwrap() {
        for close in plan["closes"].as_array().unwrap() {
            let period = [&plan["slug"], &close["start"], &close["end"], &close["tier"]].map(text);
            for usage in close["features"].as_array().unwrap() {
                let cells = ["feature", "used", "included", "drawn", "uncovered"];
                let cells = cells.map(|name| text(&usage[name]));
                lines.push(format!("{} {}", period.join(" "), cells.join(" ")));
            }
        }
    }
    lines.sort();
    lines
}

async fn closes_in(test: &TestDatabase) -> Vec<String> {
    let query =
        "select slug, period_start, period_end, tier, feature, used, included, drawn, uncovered
                 from billing_periods join organizations o on o.id = org_id
                 join billing_period_usage using (org_id, period_start)";
    let mut lines = test.rows(query).await;
    lines.sort();
    lines
}

fn entries_of(report: &serde_json::Value) -> Vec<String> {
    let plans = report["plans"].as_array().unwrap().iter();
    let entries = plans.flat_map(|plan| plan["entries"].as_array().unwrap());
    let line = |entry: &serde_json::Value| {
        ["pack", "seq", "kind", "quantity", "at", "period_start", "remaining"]
            .map(|name| text(&entry[name]))
            .join(" ")
    };
    let mut lines: Vec<String> = entries.map(line).collect();
    lines.sort();
    lines
}

async fn entries_in(test: &TestDatabase) -> Vec<String> {
    let query = "select pack_id, seq, kind, quantity, at, period_start, remaining
                 from overage_entries where kind <> 'granted'";
    let mut lines = test.rows(query).await;
    lines.sort();
    lines
}

#[tokio::test]
async fn a_dry_run_of_nothing_exits_0() {
    let test = including(500).await;
    add(&test, "acme", "2026-05-02T00:00:00Z", &["--zone", "UTC"]);
    let report = rollover(&test, "2026-05-20T00:00:00Z", &["--dry-run"]).exits(0).json();
    assert_eq!(report["orgs"], 0);
    let said = test.periodd(&["--at", "2026-05-20T00:00:00Z", "rollover", "--dry-run"]).exits(0);
    assert!(said.stdout.contains("nothing is due"), "{}", said.stdout);
}

#[tokio::test]
async fn the_future_is_for_dry_runs_and_sandboxes_only() {
    let test = including(500).await;
    add(&test, "acme", "2025-05-02T00:00:00Z", &["--zone", "UTC"]);
    let before = dump(&test).await;
    let config = format!("[database]\nurl = \"{}\"\n", test.url());
    let run = |at: &str, flags: &[&str]| {
        let fixed = ["--at", at, "--format", "json", "rollover"];
        test.periodd_configured(&config, &[&fixed[..], flags].concat())
    };
    let future = "2099-01-01T00:00:00Z";
    assert_eq!(run(future, &["--dry-run"]).exits(3).json()["periods_closed"], 884);
    let refused = run(future, &[]).exits(5);
    assert_eq!(refused.json()["error"]["exit"], 5, "{refused:?}");
    for word in ["2099-01-01 00:00 UTC", "--dry-run", "sandbox = true"] {
        assert!(refused.stderr.contains(word), "{}", refused.stderr);
    }
    assert_eq!(dump(&test).await, before);

    // The past needs no sandbox.
    assert_eq!(run("2025-06-02T00:00:00Z", &[]).exits(0).json()["periods_closed"], 1);
    test.check_invariants().await;
}
