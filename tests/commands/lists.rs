//! Lists: filters, order and pages, CSV, short ids, and one notation of time.

use serde_json::Value;

use crate::support::{Answer, TestDatabase};

fn run(test: &TestDatabase, line: &str) -> Answer {
    test.periodd(&line.split_whitespace().collect::<Vec<_>>())
}

/// Three orgs in three zones; one is due, one is parked.
async fn three() -> TestDatabase {
    let test = TestDatabase::new().await;
    for line in [
        "orgs add beirut --name Beirut --zone Asia/Beirut --tier pro --period-start 2026-11-01",
        "orgs add cairo --name Cairo --zone Africa/Cairo --tier starter --period-start 2026-10-01",
        "orgs add tokyo --name Tokyo --zone Asia/Tokyo --tier pro --period-start 2026-11-01",
    ] {
        run(&test, &format!("{line} --at 2026-11-15T12:00:00Z")).exits(0);
    }
    test.periodd(&["orgs", "park", "tokyo", "--reason", "odd"]).exits(0);
    test
}

const NOW: &str = "--at 2026-11-15T12:00:00Z";

fn slugs(test: &TestDatabase, flags: &str) -> Vec<String> {
    let list = run(test, &format!("orgs list {NOW} --format json {flags}")).exits(0).json();
    let slugs = list.as_array().expect("a list").iter().map(|org| org["slug"].as_str());
    slugs.map(|slug| slug.expect("a slug").to_owned()).collect()
}

#[tokio::test]
async fn orgs_are_filtered_sorted_and_paged() {
    let test = three().await;
    for (flags, expected) in [
        ("", &["beirut", "cairo", "tokyo"][..]),
        ("--tier pro", &["beirut", "tokyo"]),
        ("--zone africa/cairo", &["cairo"]),
        ("--parked", &["tokyo"]),
        ("--due", &["cairo"]),
        ("--sort end", &["cairo", "tokyo", "beirut"]),
        ("--limit 1", &["beirut"]),
        ("--limit 1 --after beirut", &["cairo"]),
        ("--after tokyo", &[]),
    ] {
        assert_eq!(slugs(&test, flags), expected, "{flags}");
    }
    let page = run(&test, &format!("orgs list {NOW} --tier pro --limit 1")).exits(0).stdout;
    let next = page.lines().last().expect("a line").strip_prefix("there are more: periodd ");
    let next = next.unwrap_or_else(|| panic!("{page}"));
    let next = next.replace(&format!("--config {} ", test.config().display()), "");
    let answer = run(&test, &format!("{next} {NOW}")).exits(0).stdout;
    assert!(answer.contains("tokyo") && !answer.contains("beirut"), "{answer}");
    assert!(!answer.contains("there are more"), "{answer}");
    let unknown = run(&test, "orgs list --tier gold").exits(2).stderr;
    assert!(unknown.contains("unknown tier `gold`; known tiers: business"), "{unknown}");
    run(&test, "orgs list --zone Mars/Phobos").exits(2);
    run(&test, "orgs list --sort end --after beirut").exits(2);
    let none = run(&test, "orgs list --after zzz").exits(0).stdout;
    assert_eq!(none, "no orgs\n");
}

#[tokio::test]
async fn times_are_local_to_the_org_or_in_utc() {
    let test = three().await;
    let page = run(&test, &format!("orgs list {NOW}")).exits(0).stdout;
    let row = |page: &str, slug: &str| -> String {
        let row = page.lines().find(|line| line.starts_with(slug));
        row.unwrap_or_else(|| panic!("{slug} in\n{page}")).to_owned()
    };
    assert!(row(&page, "beirut").contains("2026-12-01 00:00 EET  in 15 d"), "{page}");
    assert!(row(&page, "cairo").contains("2026-11-01 00:00 EET  14 d ago"), "{page}");
    assert!(row(&page, "tokyo").contains("parked"), "{page}");
    let page = run(&test, &format!("orgs list {NOW} --utc")).exits(0).stdout;
    assert!(row(&page, "beirut").contains("2026-11-30 22:00 UTC  in 15 d"), "{page}");
    let shown = run(&test, &format!("orgs show cairo {NOW}")).exits(0).stdout;
    let period = "period  2026-10-01 00:00 EEST to 2026-11-01 00:00 EET (14 d ago)";
    assert!(shown.contains(period), "{shown}");
    // The JSON keeps its instants.
    let list = run(&test, &format!("orgs list {NOW} --format json")).exits(0).json();
    assert_eq!(list[0]["current_period_end"], "2026-11-30T22:00:00Z");
}

#[tokio::test]
async fn every_option_that_takes_a_time_takes_dates_and_relative_times() {
    let test = three().await;
    for (line, query, expected) in [
        (
            "packs grant --org beirut --feature sms_sent --quantity 5 --purchased-at 2026-11-02 \
             --expires-at +30d",
            "select purchased_at, expires_at from overage_packs",
            "2026-11-01T22:00:00Z 2026-12-15T12:00:00Z",
        ),
        (
            "usage record --org beirut --feature sms_sent --quantity 1 --used-at yesterday",
            "select created_at from usage_metrics",
            "2026-11-13T22:00:00Z",
        ),
        (
            "orgs set beirut --next-tier starter --next-tier-at 2026-12-15 --ends-at 2027-01-01",
            "select next_subscription_tier_at, subscription_ends_at from organizations
             where slug = 'beirut'",
            "2026-12-14T22:00:00Z 2026-12-31T22:00:00Z",
        ),
    ] {
        run(&test, &format!("{line} {NOW}")).exits(0);
        assert_eq!(test.rows(query).await, [expected], "{line}");
    }
    for at in ["2026-11-15", "2h ago", "yesterday"] {
        let said = test.periodd(&["orgs", "list", "--at", at]).exits(0).stderr;
        assert!(said.starts_with("business time: 2026-"), "{said}");
    }
    // The instant that was understood is said.
    let grant = "packs grant --org beirut --feature sms_sent --quantity 5 --expires-at +30d";
    let said = run(&test, &format!("{grant} {NOW}")).exits(0).stderr;
    assert_eq!(said, "time: 2026-12-15 14:00 EET (2026-12-15T12:00:00Z)\n");
    let invalid = test.periodd(&["orgs", "list", "--at", "next week"]).exits(2).stderr;
    assert!(invalid.contains("invalid time `next week`; write it as RFC 3339"), "{invalid}");
    assert!(invalid.contains("2h ago"), "{invalid}");
}

#[tokio::test]
async fn lists_are_written_as_csv() {
    let test = three().await;
    let csv = run(&test, &format!("orgs list {NOW} --format csv --limit 1")).exits(0).stdout;
    let mut lines = csv.lines();
    let head: Vec<&str> = lines.next().expect("a heading").split(',').collect();
    assert_eq!(head[..3], ["id", "slug", "name"]);
    let row: Vec<&str> = lines.next().expect("a row").split(',').collect();
    let end = head.iter().position(|name| *name == "current_period_end").expect("a column");
    assert_eq!((row[1], row[end]), ("beirut", "2026-11-30T22:00:00Z"));
    // What a name holds stays in its cell, and is not obeyed by a terminal.
    test.sql("update organizations set name = E'A, \"B\"\\n\\x1b[2J' where slug = 'beirut'").await;
    let csv = run(&test, "orgs list --format csv --limit 1").exits(0).stdout;
    assert!(csv.contains(r#""A, ""B""\n\u{1b}[2J""#), "{csv}");
    // An empty list has its headings.
    let empty = run(&test, "packs list --format csv").exits(0).stdout;
    assert!(empty.starts_with("id,org,feature,quantity,"), "{empty}");
    assert_eq!(empty.lines().count(), 1, "{empty}");
    for line in [
        "users list",
        "drift list",
        "webhooks list",
        "runs list",
        "schedule list",
        "alerts list",
        "usage limits --org beirut",
        "periods --zone UTC --cycle daily",
    ] {
        let csv = run(&test, &format!("{line} --format csv")).exits(0).stdout;
        assert!(csv.lines().next().is_some_and(|head| head.contains(',')), "{line}: {csv}");
    }
    // What is no list is refused before anything is done.
    let refused = run(&test, "rollover --format csv").exits(2).stderr;
    assert!(refused.contains("--format csv is for lists"), "{refused}");
    assert_eq!(test.rows("select count(*) from billing_periods").await, ["0"]);
}

#[tokio::test]
async fn runs_say_when_they_were_and_quiet_ones_are_one_line() {
    let test = three().await;
    test.sql("truncate periodd_runs").await;
    run(&test, "rollover --at 2026-11-16T00:00:00Z").exits(0);
    test.sql(
        "insert into periodd_runs (job, trigger, occurrence, occurrences, outcome, replica,
                                   attempts, started_at, finished_at, lateness_ms, counts)
         select 'deliver', 'schedule', now() - i * interval '15 seconds', 1, 'done', 'r', 1,
                now() - i * interval '15 seconds', now() - i * interval '15 seconds', 0,
                '{\"sent\": 0}'
         from generate_series(1, 700) as i",
    )
    .await;
    test.sql(
        "insert into periodd_runs (job, trigger, outcome, replica, started_at, finished_at, error)
         values ('sync', 'command', 'failed', 'r', now() - interval '3 hours',
                 now() - interval '3 hours', 'no room')",
    )
    .await;
    let page = run(&test, "runs list").exits(0).stdout;
    assert!(page.contains("700 runs with nothing to do"), "{page}");
    let line = |word: &str| page.lines().find(|line| line.contains(word)).expect("a line");
    assert!(line("no room").contains("3 h ago"), "{page}");
    assert!(line("rollover").contains("1 period closed"), "{page}");
    assert!(line("rollover").contains(" UTC"), "a command has its time: {page}");
    assert_eq!(page.lines().count(), 5, "{page}");
    let ids = |flags: &str| {
        let list = run(&test, &format!("runs list --format json {flags}")).exits(0).json();
        list.as_array().expect("a list").len()
    };
    assert_eq!(ids("--limit 800"), 702);
    assert_eq!(ids("--failed"), 1);
    assert_eq!(ids("--job rollover"), 1);
    let since: Vec<String> = ["runs", "list", "--since", "2h ago", "--failed", "--format", "json"]
        .map(str::to_owned)
        .to_vec();
    let since = test.periodd(&since.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(since.exits(0).json(), serde_json::json!([]));
    let all = run(&test, "runs list --all --limit 3").exits(0).stdout;
    assert!(!all.contains("runs with nothing"), "{all}");
    let first = test.rows("select id from periodd_runs where job = 'rollover'").await;
    let shown = run(&test, &format!("runs show {}", first[0])).exits(0).stdout;
    assert!(shown.contains("started by a command") && shown.contains(" UTC ("), "{shown}");
}

#[tokio::test]
async fn watching_shows_the_answer_again_until_it_is_interrupted() {
    use std::io::{BufRead, BufReader};
    let test = three().await;
    let mut command = test.command(&["status", "--watch=1"]);
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().expect("it runs");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut heads = 0;
    while heads < 2 {
        let line = lines.next().expect("it goes on").expect("text");
        heads += usize::from(line.starts_with("waiting"));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it is there");
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    let refused = run(&test, "status --watch --format json").exits(2).stderr;
    assert!(refused.contains("--watch shows tables only"), "{refused}");
}

#[tokio::test]
async fn an_email_is_found_by_its_first_digits() {
    let test = three().await;
    test.sql(
        "insert into tier_limits values ('pro', 'sms_sent', 10);
         insert into org_contacts (org_id, email)
         select id, e from organizations, unnest(array['a@x.example', 'b@x.example']) e
         where slug = 'beirut'",
    )
    .await;
    let mail = tempfile::tempdir().expect("a directory");
    test.configure(&format!("[mail]\ndirectory = \"{}\"\n", mail.path().display()));
    run(&test, &format!("usage record --org beirut --feature sms_sent --quantity 9 {NOW}"))
        .exits(0);
    run(&test, &format!("alerts run {NOW}")).exits(0);
    let page = run(&test, &format!("alerts list {NOW}")).exits(0).stdout;
    let row = page.lines().find(|line| line.contains("a@x.example")).expect("a row");
    let id = row.split_whitespace().next().expect("an id");
    assert_eq!(id.len(), 8, "{page}");
    let sent = run(&test, &format!("alerts resend {id} {NOW}")).exits(0).stdout;
    assert!(sent.contains("1 email sent"), "{sent}");
    // The same digits twice are nobody's.
    test.sql("update periodd_outbox set id = overlay(id::text placing '00000000' from 1)::uuid")
        .await;
    let several = run(&test, &format!("alerts resend 00000000 {NOW}")).exits(2).stderr;
    assert!(several.contains("several emails begin with 00000000"), "{several}");
    let none = run(&test, &format!("alerts resend ffffffff0 {NOW}")).exits(2).stderr;
    assert!(none.contains("there is no email ffffffff0"), "{none}");
    assert!(matches!(run(&test, "alerts list --format json").exits(0).json(), Value::Object(_)));
}
