//! `/metrics`: what Prometheus reads, and what rules and dashboard make of it.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::client::{Request, Response};
use crate::served::{Served, token};
use crate::support::TestDatabase;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";
/// What a rule or a panel may name that periodd does not say.
const OF_PROMETHEUS: [&str; 1] = ["up"];

fn top(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn text(file: &str) -> String {
    fs::read_to_string(top(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Runs promtool, with something to read; `Err`: what it complains about.
fn promtool(arguments: &[&str], input: &str) -> Result<(), String> {
    let found = Command::new(top("scripts/promtool")).output().expect("a shell");
    let path = String::from_utf8(found.stdout).expect("a path");
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
    let mut child = Command::new(path.trim())
        .args(arguments)
        .current_dir(top("config/prometheus"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool runs");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads");
    let ended = child.wait_with_output().expect("it ends");
    let said = [ended.stdout, ended.stderr].concat();
    if ended.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&said).into_owned()) }
}

/// The first page of a server with something of everything.
async fn scrape(served: &Served) -> String {
    until(served, |page| page.contains("periodd_most_overdue_seconds ")).await
}

/// Scrapes until the page says so.
async fn until(served: &Served, done: impl Fn(&str) -> bool) -> String {
    for _ in 0..1_800 {
        let page = served.bare(Request::get("/metrics")).await.is(200).body;
        if done(&page) {
            return page;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it never says so:\n{}", served.bare(Request::get("/metrics")).await.body);
}

/// An org whose period has ended, one that is parked, one that is parked by hand; one without a
/// period, in a zone that is none.
async fn orgs(test: &TestDatabase) {
    for slug in ["acme", "bolt", "coil"] {
        let add = ["orgs", "add", slug, "--name", slug, "--zone", "Asia/Tokyo"];
        test.periodd(&add).exits(0);
    }
    test.periodd(&["orgs", "park", "coil", "--reason", "audit"]).exits(0);
    test.sql(
        "update organizations set current_period_start = now() - interval '40 days',
                current_period_end = now() - interval '2 hours' where slug = 'acme';
         update organizations set parked_at = now(), parked_reason = 'gap', parked_code = 'gap'
         where slug = 'bolt';
         analyze organizations",
    )
    .await;
}

fn value(page: &str, series: &str) -> Option<f64> {
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map(|value| value.parse().unwrap_or_else(|error| panic!("{series} {value}: {error}")))
}

/// Names of metrics in an expression: periodd's, and `up`.
fn named(expression: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = expression.split(|c| !is_part(c));
    let is_metric = |word: &&str| word.starts_with("periodd_") || OF_PROMETHEUS.contains(word);
    words.filter(is_metric).map(str::to_owned).collect()
}

/// Names of metrics in a page.
fn shown(page: &str) -> BTreeSet<String> {
    let samples = page.lines().filter(|line| !line.starts_with('#'));
    samples.filter_map(|line| line.split(['{', ' ']).next()).map(str::to_owned).collect()
}

fn type_of(response: &Response) -> &str {
    response.header("content-type").unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_what_prometheus_reads_in_both_formats() {
    let test = TestDatabase::new().await;
    orgs(&test).await;
    let served = Served::on(test, "").await;
    served.get("/api/v1/usage/acme/limits").await.is(200);
    let page = scrape(&served).await;
    promtool(&["check", "metrics"], &page).unwrap_or_else(|said| panic!("{said}\n{page}"));
    let plain = served.bare(Request::get("/metrics")).await.is(200);
    assert_eq!(type_of(&plain), PLAIN);
    let asked = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;q=0.4,*/*;q=0.2";
    let open = served.bare(Request::get("/metrics").with("accept", asked)).await.is(200);
    assert_eq!(type_of(&open), OPENMETRICS);
    assert!(open.body.ends_with("# EOF\n") && !plain.body.contains("# EOF"), "{}", open.body);
    assert_eq!(shown(&open.body), shown(&plain.body));
    let refused = promtool(&["check", "metrics"], "periodd_bad_total{ 1\n");
    assert!(refused.is_err(), "promtool finds what is wrong");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_rules_and_dashboard_name_is_in_a_page() {
    let test = TestDatabase::new().await;
    orgs(&test).await;
    let served = Served::on(test, "").await;
    served.get("/api/v1/usage/acme/limits").await.is(200);
    let there = shown(&scrape(&served).await);
    let rules = text("config/prometheus/periodd.rules.yml");
    let mut names: BTreeSet<String> = named(&rules);
    let dashboard: Value =
        serde_json::from_str(&text("config/grafana/periodd.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    for target in panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten() {
        let expression = target["expr"].as_str().expect("an expression");
        let found = named(expression);
        assert!(!found.is_empty(), "{expression}");
        names.extend(found);
    }
    assert!(names.len() > 25, "{names:?}");
    for name in names.iter().filter(|name| !OF_PROMETHEUS.contains(&name.as_str())) {
        assert!(there.contains(name), "{name} is in no page: {there:?}");
    }
}

#[test]
fn rules_raise_what_they_should_and_nothing_else() {
    for arguments in
        [["check", "rules", "periodd.rules.yml"], ["test", "rules", "periodd.rules.test.yml"]]
    {
        promtool(&arguments, "").unwrap_or_else(|said| panic!("{said}"));
    }
}

#[test]
fn every_rule_leads_to_a_place_in_the_runbook() {
    let runbook = text("docs/operating.md");
    let is_kept = |c: &char| c.is_alphanumeric() || "_- ".contains(*c);
    let headings = runbook.lines().filter_map(|line| line.strip_prefix('#'));
    let anchors: BTreeSet<String> = headings
        .map(|line| line.trim_start_matches('#').trim().to_lowercase())
        .map(|title| title.chars().filter(is_kept).collect::<String>().replace(' ', "-"))
        .collect();
    let rules = text("config/prometheus/periodd.rules.yml");
    let alerts = rules.matches("- alert:").count();
    let leads: Vec<&str> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("runbook_url: ")).collect();
    assert!(alerts > 10);
    assert_eq!(leads.len(), alerts, "one for each");
    for lead in leads {
        let anchor = lead.strip_prefix("docs/operating.md#").expect("a place of the runbook");
        assert!(anchors.contains(anchor), "{lead} leads nowhere");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_database_says_is_read_now_and_then_and_absent_when_it_cannot_be() {
    let test = TestDatabase::new().await;
    orgs(&test).await;
    let served = Served::on(test, "").await;
    let page = scrape(&served).await;
    for (series, expected) in [
        (r#"periodd_orgs{state="due"}"#, 1.0),
        (r#"periodd_orgs{state="parked"}"#, 1.0),
        (r#"periodd_orgs{state="parked_by_hand"}"#, 1.0),
        (r#"periodd_backlog_orgs{time_zone="Asia/Tokyo"}"#, 1.0),
        (r#"periodd_runs_total{job_name="rollover",outcome="done"}"#, 0.0),
        ("periodd_tz_outdated", 0.0),
    ] {
        assert_eq!(value(&page, series), Some(expected), "{series} in\n{page}");
    }
    for series in
        ["periodd_most_overdue_seconds", r#"periodd_overdue_seconds{time_zone="Asia/Tokyo"}"#]
    {
        let late = value(&page, series).unwrap_or_else(|| panic!("{series} in\n{page}"));
        assert!((7_200.0..10_800.0).contains(&late), "{series} {late}");
    }
    // What runs afterwards, wherever it runs, is counted.
    served.test.periodd(&["rollover"]).exits(0);
    let done = r#"periodd_runs_total{job_name="rollover",outcome="done"}"#;
    let due = r#"periodd_orgs{state="due"}"#;
    // A scrape may come between the two.
    let is_read = |page: &str| value(page, done) == Some(1.0) && value(page, due) == Some(0.0);
    let page = until(&served, is_read).await;
    assert_eq!(value(&page, "periodd_periods_closed_total"), Some(1.0), "{page}");
    assert_eq!(value(&page, "periodd_most_overdue_seconds"), Some(0.0), "{page}");
    assert!(!page.contains("periodd_backlog_orgs{"), "{page}");
    for (bound, count) in [("3600", 0.0), ("21600", 1.0), ("+Inf", 1.0)] {
        let series = format!("periodd_rollover_lateness_seconds_bucket{{le=\"{bound}\"}}");
        assert_eq!(value(&page, &series), Some(count), "{series} in\n{page}");
    }
    assert_eq!(
        value(&page, r#"periodd_run_duration_seconds_count{job_name="rollover"}"#),
        Some(1.0)
    );
    // A reading that fails leaves nothing behind: neither what was, nor 0.
    served.test.sql("alter table organizations rename to away").await;
    let page = until(&served, |page| !page.contains("periodd_most_overdue_seconds ")).await;
    let left = shown(&page);
    for gone in ["periodd_orgs", "periodd_runs_total", "periodd_emails", "periodd_tz_info"] {
        assert!(!left.contains(gone), "{gone} in\n{page}");
    }
    assert!(left.contains("periodd_http_requests_total"), "what the process knows itself: {page}");
    let age = value(&page, "periodd_facts_age_seconds").expect("an age");
    let older = |page: &str| value(page, "periodd_facts_age_seconds").is_some_and(|now| now > age);
    until(&served, older).await;
    served.test.sql("alter table away rename to organizations").await;
    until(&served, |page| page.contains("periodd_most_overdue_seconds ")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted_by_template_and_nothing_names_a_customer() {
    let served = Served::new().await;
    served.customer("acme").await;
    served.test.sql("insert into tier_limits values ('pro', 'scrapes', 1)").await;
    for _ in 0..2 {
        let used = json!({ "feature": "scrapes" });
        served.post("/api/v1/usage/acme/increment", used).await.is(200);
    }
    served.get("/no/such/path").await.is(404);
    served.bare(Request { method: "BREW", ..Request::get("/metrics") }).await.is(405);
    served.bare(Request::get("/api/v1/usage/acme/limits")).await.is(401);
    let page = scrape(&served).await;
    for (series, count) in [
        (
            "periodd_http_requests_total{method=\"POST\",\
             route=\"/api/v1/usage/{org}/increment\",status=\"200\"}",
            2.0,
        ),
        ("periodd_http_requests_total{method=\"GET\",route=\"-\",status=\"404\"}", 1.0),
        ("periodd_http_requests_total{method=\"other\",route=\"/metrics\",status=\"405\"}", 1.0),
        ("periodd_http_tokens_refused_total", 1.0),
        ("periodd_http_rate_limited_total", 0.0),
        ("periodd_http_usage_events_total{result=\"recorded\"}", 1.0),
        ("periodd_http_usage_events_total{result=\"refused\"}", 1.0),
        ("periodd_http_requests_in_flight", 1.0),
        ("periodd_http_database_connections", 4.0),
    ] {
        assert_eq!(value(&page, series), Some(count), "{series} in\n{page}");
    }
    let org = served.test.rows("select id from organizations").await.concat();
    for name in ["acme", "scrapes", org.as_str(), "no/such"] {
        assert!(!page.contains(name), "{name} in\n{page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_for_others_gives_figures_to_a_token_alone() {
    // By its form it is not a loopback address, though nobody else reaches it.
    let served = Served::listening(TestDatabase::new().await, "[::ffff:127.0.0.1]:0", "").await;
    let scrape = || Request::get("/metrics");
    let refused = served.bare(scrape()).await.is(401);
    refused.is_problem("unauthorized");
    assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    let reads = token(&served.test, "reads", &["read"], &[]);
    served.with_token(&reads, scrape()).await.is(403).is_problem("forbidden");
    let scrapes = token(&served.test, "prometheus", &["metrics"], &[]);
    let page = served.with_token(&scrapes, scrape()).await.is(200).body;
    assert!(page.contains("periodd_http_streams 0\n"), "{page}");
    served.bare(Request::get("/healthz")).await.is(200);
}
