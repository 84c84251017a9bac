//! `explain`: each question that a customer's complaint raises is answered by one command, on a
//! database that has the fault.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Answer, TestDatabase};

fn run(test: &TestDatabase, line: &str) -> Answer {
    test.periodd(&line.split_whitespace().collect::<Vec<_>>())
}

/// Acme in the middle of May: 600 minutes included, 300 bought, 450 used and synced.
async fn acme() -> TestDatabase {
    let test = TestDatabase::new().await;
    test.sql(
        "insert into tier_limits values ('pro', 'minutes_transcribed', 600), ('pro', 'scrapes', 5)",
    )
    .await;
    let add = "orgs add acme --name Acme --zone Europe/Berlin --tier pro";
    run(&test, &format!("{add} --at 2026-05-02T00:00:00Z")).exits(0);
    test.sql(
        "insert into users (id, organization_id, email)
         select '33333333-3333-3333-3333-333333333333', id, 'Ann@acme.example' from organizations",
    )
    .await;
    let grant = "packs grant --org acme --feature minutes_transcribed --quantity 300";
    let grant = format!("{grant} --reference order-7 --at 2026-05-03T00:00:00Z");
    run(&test, &grant).exits(0);
    let record = "usage record --org acme --feature minutes_transcribed --quantity 450";
    run(&test, &format!("{record} --used-at 2026-05-12T09:00:00Z --at {NOW}")).exits(0);
    let record = "usage record --org acme --feature scrapes --quantity 2 --user ann@acme.example";
    run(&test, &format!("{record} --used-at 2026-05-10T09:00:00Z --at {NOW}")).exits(0);
    run(&test, &format!("sync --at {NOW}")).exits(0);
    test
}

const NOW: &str = "2026-05-16T12:00:00Z";

fn explained(test: &TestDatabase, named: &str) -> Value {
    run(test, &format!("explain {named} --at {NOW} --format json")).exits(0).json()
}

/// The checks that found something, with what mends it.
fn findings(explained: &Value) -> Vec<(&str, &str, &str)> {
    let text = |finding: &Value, key: &str| {
        let said = finding[key].as_str().unwrap_or("-");
        plain(said)
    };
    let findings = explained["findings"].as_array().expect("findings");
    findings
        .iter()
        .map(|finding| {
            let leaked = |key| -> &str { Box::leak(text(finding, key).into_boxed_str()) };
            (leaked("check"), leaked("severity"), leaked("mend"))
        })
        .collect()
}

/// What is proposed, without the options that it was called with.
fn plain(proposed: &str) -> String {
    let mut words: Vec<&str> = Vec::new();
    let mut rest = proposed.split(' ');
    while let Some(word) = rest.next() {
        if ["--config", "--at"].contains(&word) {
            rest.next();
        } else {
            words.push(word);
        }
    }
    words.join(" ")
}

fn feature<'a>(explained: &'a Value, name: &str) -> &'a Value {
    let features = explained["features"].as_array().expect("features");
    features.iter().find(|feature| feature["feature"] == name).expect("the feature")
}

#[tokio::test]
async fn a_customer_who_is_well_is_told_so_in_full() {
    let test = acme().await;
    let found = explained(&test, "acme");
    assert_eq!(findings(&found), []);
    let minutes = feature(&found, "minutes_transcribed");
    assert_eq!(minutes["used"], json!(450));
    assert_eq!(minutes["allowance"], json!(900));
    assert_eq!((&minutes["left"], &minutes["percent"]), (&json!(450), &json!(50)));
    assert_eq!(minutes["purchased_remaining"], json!(300));
    assert_eq!(minutes["increment"], json!({"allowed": true, "why": null}));
    let copies = minutes["copies"].as_array().expect("copies");
    assert_eq!(copies.len(), 3);
    assert!(copies.iter().all(|copy| copy["agrees"] == true), "{copies:#?}");
    let curve = minutes["curve"].as_array().expect("a curve");
    assert_eq!(curve.last().expect("a point")["used"], json!(450));
    assert_eq!(found["period"]["start_local"], "2026-05-01T00:00:00+02:00");
    assert_eq!(found["packs"][0]["reference"], "order-7");
    assert_eq!(explained(&test, "ANN@acme.example")["users"][0]["email"], "Ann@acme.example");

    let page = run(&test, &format!("explain acme --at {NOW}")).exits(0).stdout;
    for line in ["no problems found", "minutes_transcribed: 450 used of 900", "█", "───", "agrees"]
    {
        assert!(page.contains(line), "{line} in\n{page}");
    }
    assert!(!page.contains('\u{1b}'), "no colour where nobody sees it");
}

#[tokio::test]
async fn no_minutes_remaining_with_credits_left() {
    // The column shows credits that no pack stands for.
    let test = acme().await;
    test.sql("update organizations set overage_minutes = overage_minutes + 120").await;
    let found = explained(&test, "acme");
    let grant = "periodd packs grant --org acme --feature minutes_transcribed --quantity 120";
    assert_eq!(findings(&found)[0], ("purchase_without_pack", "problem", grant));
    run(&test, &format!("{} --at {NOW}", grant.trim_start_matches("periodd "))).exits(0);
    run(&test, &format!("sync --at {NOW}")).exits(0);
    assert_eq!(findings(&explained(&test, "acme")), []);
    assert_eq!(test.rows("select overage_minutes from organizations").await, ["420"]);

    // The pack expired before it was needed.
    let test = acme().await;
    test.sql("update overage_packs set expires_at = '2026-05-15Z'").await;
    let found = explained(&test, "acme");
    assert_eq!(findings(&found).last().expect("one").0, "expired_pack");
    assert_eq!(feature(&found, "minutes_transcribed")["allowance"], json!(600));

    // Everything bought is claimed by what was used above the included quantity.
    let test = acme().await;
    let record = "usage record --org acme --feature minutes_transcribed --quantity 450";
    run(&test, &format!("{record} --used-at 2026-05-15T09:00:00Z --at {NOW}")).exits(0);
    let found = explained(&test, "acme");
    let minutes = feature(&found, "minutes_transcribed");
    assert_eq!(minutes["increment"]["allowed"], false);
    assert_eq!(
        minutes["increment"]["why"],
        "all 600 included are used up, and purchased packs are used up too: 900 used of 900"
    );
    let checks: Vec<&str> = findings(&found).iter().map(|finding| finding.0).collect();
    assert!(checks.contains(&"limit_reached") && checks.contains(&"packs_claimed"), "{checks:?}");
}

#[tokio::test]
async fn null_billing_periods() {
    for set in [
        "current_period_start = null",
        "current_period_end = null",
        "current_period_start = null, current_period_end = null",
    ] {
        let test = acme().await;
        test.sql(&format!("update organizations set {set}")).await;
        let found = explained(&test, "acme");
        let mend = "periodd rollover --org acme";
        assert_eq!(findings(&found)[0], ("no_period", "problem", mend), "{set}");
        let why = &feature(&found, "minutes_transcribed")["increment"]["why"];
        assert!(why.as_str().expect("why").contains("PB001"), "{why}");
        run(&test, &format!("rollover --org acme --at {NOW}")).exits(0);
        assert_eq!(explained(&test, "acme")["period"]["is_open"], true, "{set}");
    }
}

#[tokio::test]
async fn metrics_of_a_time_to_come_are_told_apart_from_those_that_wait_for_a_sync() {
    let test = acme().await;
    test.sql(
        "insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
         select id, 'scrapes', 1, at::timestamptz from organizations,
                unnest(array['2030-05-16Z', '2031-05-16Z']) at",
    )
    .await;
    let explained = test.periodd(&["explain", "acme", "--at", NOW, "--format", "json"]).json();
    let findings = explained["findings"].as_array().expect("findings").iter();
    let ahead: Vec<_> = findings.filter(|finding| finding["check"] == "dated_ahead").collect();
    let [ahead] = ahead[..] else { panic!("{explained:#}") };
    let what = ahead["what"].as_str().expect("a sentence");
    assert!(what.starts_with("2 metrics are dated 2030-05-16T00:00:00Z or later"), "{what}");
    assert!(!explained.to_string().contains("periodd sync"), "{explained:#}");
}

#[tokio::test]
async fn used_minutes_that_disagree() {
    let test = acme().await;
    test.sql("update organizations set used_minutes = 7").await;
    let found = explained(&test, "acme");
    assert_eq!(findings(&found), [("drift", "problem", "periodd sync --org acme")]);
    let copy = &feature(&found, "minutes_transcribed")["copies"][1];
    assert_eq!(
        copy,
        &json!({"column": "organizations.used_minutes", "holds": 7, "should": 450, "agrees": false})
    );
    run(&test, &format!("sync --org acme --at {NOW}")).exits(0);
    assert_eq!(findings(&explained(&test, "acme")), []);

    // So is a counter that disagrees with its metrics, and a user's own number.
    test.sql(
        "update usage_counters set used = used + 1 where feature = 'minutes_transcribed';
         update users set usage_this_month = 99",
    )
    .await;
    let found = explained(&test, "acme");
    let all = findings(&found);
    assert!(all.len() >= 2 && all.iter().all(|finding| finding.0 == "drift"), "{all:?}");
    run(&test, &format!("sync --org acme --at {NOW}")).exits(0);
    let found = explained(&test, "acme");
    assert_eq!(findings(&found), []);
    assert!(!found["mends"].as_array().expect("mends").is_empty());
}

/// A table of the application's own: minutes of orgs, what is left of them, scrapes of users.
const OWN: &str = "
    create schema app;
    create table app.accounts (org uuid primary key, minutes integer, \"left\" numeric);
    insert into app.accounts (org) select id from organizations;
    create table seats (person uuid primary key, scrapes bigint not null default 0);
    insert into seats (person) select id from users";

const OWN_COLUMNS: &str = "
[[sync.derived]]
table = \"app.accounts\"
column = \"minutes\"
key = \"org\"
feature = \"Minutes_Transcribed\"
scope = \"org\"
quantity = \"used\"
[[sync.derived]]
table = \"app.accounts\"
column = \"left\"
key = \"org\"
feature = \"minutes_transcribed\"
scope = \"org\"
quantity = \"purchased_remaining\"
[[sync.derived]]
table = \"seats\"
column = \"scrapes\"
key = \"person\"
feature = \"scrapes\"
scope = \"user\"
quantity = \"used\"
";

#[tokio::test]
async fn every_configured_column_is_looked_at() {
    let test = acme().await;
    test.sql(OWN).await;
    test.configure(OWN_COLUMNS);
    // Nothing has been written there yet, and that is said of each.
    let copies = |found: &Value, name: &str| -> Vec<Value> {
        let copies = feature(found, name)["copies"].as_array().expect("copies").clone();
        let own = |copy: &Value| {
            let column = copy["column"].as_str().expect("a name").to_owned();
            column.starts_with("app.") || column.starts_with("seats.")
        };
        copies.into_iter().filter(own).collect()
    };
    let found = explained(&test, "acme");
    let missing = |column: &str, should: i32| {
        let holds = Value::Null;
        json!({"column": column, "holds": holds, "should": should, "agrees": false})
    };
    assert_eq!(
        copies(&found, "minutes_transcribed"),
        [missing("app.accounts.minutes", 450), missing("app.accounts.left", 300)]
    );
    let seat = "seats.scrapes of 33333333-3333-3333-3333-333333333333";
    assert_eq!(
        copies(&found, "scrapes"),
        [json!({"column": seat, "holds": 0, "should": 2, "agrees": false})]
    );
    assert_eq!(findings(&found), [("drift", "problem", "periodd sync --org acme"); 3]);
    run(&test, &format!("sync --org acme --at {NOW}")).exits(0);
    let found = explained(&test, "acme");
    assert_eq!(findings(&found), []);
    assert_eq!(
        copies(&found, "scrapes"),
        [json!({"column": "seats.scrapes", "holds": 2, "should": 2, "agrees": true})]
    );

    // A parked org is the one that somebody looks at.
    run(&test, "orgs park acme --reason odd").exits(0);
    test.sql("update app.accounts set minutes = 7").await;
    let page = run(&test, &format!("explain acme --at {NOW}")).exits(0).stdout;
    let line = page.lines().find(|line| line.starts_with("app.accounts.minutes ")).expect("it");
    assert_eq!(
        line.split_whitespace().collect::<Vec<_>>(),
        ["app.accounts.minutes", "minutes_transcribed", "7", "450", "differs"]
    );

    // A column that is not there keeps nobody from an answer.
    test.sql("drop table seats").await;
    let answer = run(&test, &format!("explain acme --at {NOW}")).exits(0);
    assert!(answer.stdout.contains("organizations.used_minutes"), "{answer:?}");
    assert!(answer.stderr.contains("`seats`"), "{answer:?}");
}

#[tokio::test]
async fn limit_reached_or_wrong() {
    let test = acme().await;
    test.sql(
        "insert into pack_offers (code, feature, quantity)
         values ('s', 'scrapes', 10), ('x', 'scrapes', 100)",
    )
    .await;
    let record = "usage record --org acme --feature scrapes --quantity 3";
    run(&test, &format!("{record} --used-at 2026-05-15T09:00:00Z --at {NOW}")).exits(0);
    run(&test, &format!("sync --at {NOW}")).exits(0);
    let found = explained(&test, "acme");
    let buy = "raise the limit, or sell a pack and record the sale; then: periodd packs grant \
               --org acme --feature scrapes --quantity 10";
    assert_eq!(findings(&found), [("limit_reached", "warning", buy)]);
    // It is wrong: somebody has counted twice.
    test.sql("delete from usage_metrics where metric_type = 'scrapes' and metric_value = 3").await;
    let found = explained(&test, "acme");
    assert_eq!(findings(&found)[0], ("drift", "problem", "periodd sync --org acme"));
}

#[tokio::test]
async fn what_stands_in_the_row_and_cannot_be_right() {
    for (set, check, mend) in [
        (
            "parked_at = now(), parked_reason = 'why not'",
            "parked",
            "repair the cause, which `explain acme` shows with what to do; then: periodd orgs \
             unpark acme && periodd rollover --org acme",
        ),
        ("time_zone = 'Europe/Berln'", "zone", "periodd orgs set acme --zone Europe/Berlin"),
        (
            "cycle = 'weekly', anchor_day = 9",
            "cycle",
            "periodd orgs set acme --anchor-day 1 --anchor-month 1",
        ),
        ("current_period_end = '2026-05-10Z'", "overdue", "periodd rollover --org acme"),
        ("current_period_end = '2026-04-10Z'", "inverted_period", "periodd db import --apply"),
        (
            "current_period_end = '2026-05-31T21:59:59.999Z'",
            "inclusive_end",
            "periodd db import --apply",
        ),
    ] {
        let test = acme().await;
        test.sql(&format!("update organizations set {set}")).await;
        let found = explained(&test, "acme");
        let all = findings(&found);
        assert!(all.contains(&(check, "problem", mend)), "{set}: {all:?}");
    }
}

#[tokio::test]
async fn the_page_is_a_document_of_its_own_and_says_names_as_they_are() {
    let test = acme().await;
    test.sql("update organizations set name = '<script>alert(1)</script> & Co'").await;
    let directory = TempDir::new().expect("a directory");
    let file = directory.path().join("acme.html");
    let line = format!("explain acme --at {NOW} --html {}", file.display());
    run(&test, &line).exits(0);
    let document = std::fs::read_to_string(&file).expect("written");
    assert!(document.starts_with("<!doctype html>"));
    assert!(document.contains("&lt;script&gt;alert(1)&lt;/script&gt; &amp; Co"));
    assert!(!document.contains("<script"), "no script");
    assert!(!document.contains("http://") && !document.contains("https://"), "nothing is fetched");
    assert!(document.contains("<svg") && document.contains("class=\"allowance\""));
    assert!(document.contains("order-7"));
    // For the customer: headings, captions, scales and a legend; no commands.
    for part in [
        "<main>\n<h1>",
        "<caption>Usage in this period</caption>",
        "class=\"scale\"",
        "class=\"legend\"",
        "<dt>period</dt>",
        "<footer>As of ",
        "@media print",
    ] {
        assert!(document.contains(part), "{part} in {document}");
    }
    assert!(!document.contains("periodd orgs") && !document.contains("→"), "{document}");
    let label = document.split("aria-label=\"").nth(1).and_then(|rest| rest.split('"').next());
    assert!(label.is_some_and(|label| label.contains(" used of ")), "{label:?}");
    run(&test, "explain acme --html /nowhere/acme.html").exits(2);
}

#[tokio::test]
async fn what_will_run_out_is_told_with_the_pack_that_covers_it() {
    let test = acme().await;
    for day in 4..12 {
        let record = "usage record --org acme --feature minutes_transcribed --quantity 40";
        run(&test, &format!("{record} --used-at 2026-05-{day:02}T09:00:00Z --at {NOW}")).exits(0);
    }
    run(&test, &format!("sync --at {NOW}")).exits(0);
    let found = explained(&test, "acme");
    let minutes = feature(&found, "minutes_transcribed");
    let day = minutes["forecast"]["used_up_on"].as_str().expect("a day");
    let all = findings(&found);
    assert_eq!((all[0].0, all[0].1), ("runs_out", "note"));
    // A command would give units away; only of what is on sale a sale is recorded.
    assert!(all[0].2.starts_with("sell a pack of at least "), "{all:?}");
    test.sql(
        "insert into pack_offers (code, feature, quantity)
         values ('m', 'minutes_transcribed', 9000)",
    )
    .await;
    let found = explained(&test, "acme");
    let grant = "periodd packs grant --org acme --feature minutes_transcribed --quantity 9000";
    assert!(findings(&found)[0].2.ends_with(grant), "{found:#}");
    let page = run(&test, &format!("explain acme --at {NOW}")).exits(0).stdout;
    assert!(page.contains(&format!("used up on {day}")) && page.contains('·'), "{page}");
}

#[tokio::test]
async fn who_is_meant_has_to_be_clear() {
    let test = acme().await;
    test.sql(
        "insert into organizations (slug, name, time_zone) values ('bolt', 'Bolt', 'UTC');
         insert into users (organization_id, email)
         select id, 'ann@ACME.example' from organizations where slug = 'bolt'",
    )
    .await;
    let answer = run(&test, "explain ann@acme.example").exits(2);
    assert!(answer.stderr.contains("several orgs; choose one: acme, bolt"), "{}", answer.stderr);
    let answer = run(&test, "explain bob@acme.example").exits(2);
    assert!(
        answer.stderr.contains("no user and no contact has the email `bob@acme.example`"),
        "{}",
        answer.stderr
    );
    let answer = run(&test, "explain acm").exits(2);
    assert!(answer.stderr.contains("did you mean `acme`?"), "{}", answer.stderr);
}

#[tokio::test]
async fn late_usage_is_told_with_what_became_of_it() {
    let test = acme().await;
    run(&test, "rollover --at 2026-06-01T00:00:00Z").exits(0);
    let record = "usage record --org acme --feature minutes_transcribed";
    for (quantity, found_at) in [(200, "2026-06-02T00:00:00Z"), (7, "2026-06-20T00:00:00Z")] {
        let used_at = "--used-at 2026-05-20T09:00:00Z";
        run(&test, &format!("{record} --quantity {quantity} {used_at} --at {found_at}")).exits(0);
        run(&test, &format!("sync --at {found_at}")).exits(0);
    }
    let line = "explain acme --at 2026-06-20T00:00:00Z";
    let found = run(&test, &format!("{line} --format json")).exits(0).json();
    let told = |row: &Value| {
        ["kind", "used", "drawn", "uncovered"].map(|key| row[key].to_string()).join(" ")
    };
    let mut rows: Vec<String> =
        found["adjustments"].as_array().expect("adjustments").iter().map(told).collect();
    rows.sort();
    // 450 and 200 of 600: the pack pays for 50 of them, as it would have then.
    assert_eq!(rows, ["\"late\" 200 50 0", "\"set_aside\" 7 0 0"]);
    let page = run(&test, line).exits(0).stdout;
    let row = |kind: &str| {
        let is_row = |line: &&str| line.contains("minutes_transcribed") && line.contains(kind);
        page.lines().find(is_row).unwrap_or_else(|| panic!("{kind} in\n{page}"))
    };
    assert!(page.contains("late usage of"), "{page}");
    assert!(row(" late ").contains("200") && row(" late ").contains("50"), "{page}");
    assert!(row("set_aside").contains('7'), "{page}");
}

#[tokio::test]
async fn usage_of_a_feature_without_a_counter_is_said_before_it_is_counted() {
    let test = acme().await;
    test.sql(
        "insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
         select id, 'Faxes', 7, '2026-05-15Z' from organizations",
    )
    .await;
    let before = explained(&test, "acme");
    let found = findings(&before);
    assert!(found.contains(&("uncounted", "note", "periodd sync --org acme")), "{found:?}");
    assert!(before.to_string().contains("7 faxes recorded but not counted yet"), "{before}");
    run(&test, &format!("sync --at {NOW}")).exits(0);
    let after = explained(&test, "acme");
    assert!(!after.to_string().contains("not counted yet"), "{after}");
}
