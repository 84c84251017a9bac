//! Users, limits, drift, tiers: what is set from a shell, what it does to open periods, and how it
//! is set back.

use serde_json::json;

use crate::support::{Answer, TestDatabase};

fn run(test: &TestDatabase, line: &str) -> Answer {
    test.periodd(&line.split_whitespace().collect::<Vec<_>>())
}

/// An org on pro that has used 70 of 100 messages.
async fn acme() -> TestDatabase {
    let test = TestDatabase::new().await;
    test.sql(
        "insert into tier_limits values ('pro', 'sms_sent', 100), ('starter', 'sms_sent', 50)",
    )
    .await;
    run(&test, "orgs add acme --name Acme --zone Europe/Berlin --tier pro --contact a@x.example")
        .exits(0);
    run(&test, "usage record --org acme --feature sms_sent --quantity 70").exits(0);
    test
}

/// Runs the command that an answer ends with.
fn undo(test: &TestDatabase, answer: &str) {
    let line = answer.lines().last().expect("a line");
    let command = line.strip_prefix("undo with: ").unwrap_or_else(|| panic!("{answer}"));
    let config = format!("--config {} ", test.config().display());
    assert!(command.contains(&config), "{command}");
    let script = command.replacen("periodd", env!("CARGO_BIN_EXE_periodd"), 1);
    let done = std::process::Command::new("sh").arg("-c").arg(script).output().expect("a shell");
    assert!(done.status.success(), "{command}: {done:?}");
}

#[tokio::test]
async fn a_lower_tier_says_who_is_over_and_how_to_set_it_back() {
    let test = acme().await;
    let row = "select subscription_tier, locale, subscription_status from organizations";
    run(&test, "usage record --org acme --feature sms_sent --quantity 50").exits(0);
    // What was used within the higher limit stays included.
    let dry = run(&test, "orgs set acme --tier starter --dry-run").exits(3).stdout;
    let over = "sms_sent would be over the limit in the open period: 120 used, 100 allowed";
    assert!(dry.contains(over) && dry.ends_with("dry run; nothing was changed\n"), "{dry}");
    assert_eq!(test.rows(row).await, ["pro - -"]);
    let set = test
        .periodd(&[
            "orgs", "set", "acme", "--tier", "starter", "--locale", "de-AT", "--status", "past due",
        ])
        .exits(0)
        .stdout;
    assert!(set.contains("sms_sent is over the limit in the open period"), "{set}");
    assert_eq!(test.rows(row).await, ["starter de-AT past due"]);
    undo(&test, &set);
    assert_eq!(test.rows(row).await, ["pro - -"]);
}

#[tokio::test]
async fn thresholds_and_locale_are_set_and_shown() {
    let test = acme().await;
    let set = "orgs set acme --thresholds 75,100 --locale pt-BR --no-contact a@x.example";
    let answer = run(&test, set).exits(0).stdout;
    assert!(answer.contains("nobody gets its emails; add a recipient"), "{answer}");
    let levels = "select feature, thresholds from org_alert_settings";
    assert_eq!(test.rows(levels).await, ["* [75,100]"]);
    let shown = run(&test, "orgs show acme").exits(0).stdout;
    assert!(shown.contains("locale  pt-BR") && shown.contains("alerts  75 %, 100 %"), "{shown}");
    undo(&test, &answer);
    let shown = run(&test, "orgs show acme --format json").exits(0).json();
    assert_eq!((&shown["thresholds"], &shown["locale"]), (&json!(null), &json!(null)));
    assert_eq!(shown["contacts"][0]["email"], "a@x.example");
    for (flags, sentence) in [
        ("--thresholds 100,80", "invalid thresholds"),
        ("--thresholds 0", "invalid thresholds"),
        ("--thresholds many", "invalid thresholds"),
        ("--locale Klingon", "unknown locale `Klingon`"),
        ("--locale de_AT", "unknown locale `de_AT`"),
    ] {
        let refused = run(&test, &format!("orgs set acme --name Other {flags}")).exits(2).stderr;
        assert!(refused.contains(sentence), "{flags}: {refused}");
    }
    assert_eq!(test.rows("select name from organizations").await, ["Acme"]);
}

#[tokio::test]
async fn a_date_takes_effect_at_that_dates_boundary_and_the_answer_says_so() {
    let test = TestDatabase::new().await;
    let now = "--at 2026-11-15T12:00:00Z";
    test.sql("insert into tier_limits values ('free', 'scrapes', 60), ('free', 'sms_sent', null)")
        .await;
    run(&test, &format!("orgs add cedar --name Cedar --zone Asia/Beirut --tier pro {now}"))
        .exits(0);
    // Midnight in London is two o'clock in Beirut: the same date, and the same boundary.
    for ends in ["2026-12-01", "2026-12-01T00:00:00Z"] {
        let answer = run(&test, &format!("orgs set cedar --ends-at {ends} {now}")).exits(0).stdout;
        let line = "subscription ends 2026-12-01 00:00 EET (in 15 d); then tier free";
        assert!(answer.contains(line), "{answer}");
    }
    let ahead = "takes effect 2026-12-01 00:00 EET (in 15 d): until then pro, then free, which \
                 includes 60 scrapes, unlimited sms_sent";
    let explained = run(&test, &format!("explain cedar {now} --format json")).exits(0).json();
    assert_eq!(explained["tiers_ahead"][0]["includes"][0]["included"], 60);
    let answer =
        run(&test, &format!("orgs set cedar --next-tier starter --next-tier-at 2026-12-02 {now}"));
    let answer = answer.exits(0).stdout;
    assert!(answer.contains(ahead), "{answer}");
    let later = "takes effect 2027-01-01 00:00 EET (in 46 d): until then free, then starter, which \
                 includes nothing";
    assert!(answer.contains(later), "{answer}");
    assert!(answer.contains("tier starter from 2027-01-01 00:00 EET"), "{answer}");
    run(&test, "orgs set cedar --no-next-tier").exits(0);
    let plan = run(&test, "rollover --at 2026-12-01T08:00:00Z --dry-run").exits(3).stdout;
    assert!(plan.contains("close 2026-11-01 00:00 EET to 2026-12-01 00:00 EET"), "{plan}");
    assert!(plan.contains("tier pro → free"), "it ends at the boundary that was named: {plan}");
    let shown = run(&test, &format!("orgs show cedar {now}")).exits(0).stdout;
    assert!(shown.contains("subscription ends 2026-12-01 00:00 EET"), "{shown}");
}

#[tokio::test]
async fn a_limit_of_one_org_is_overridden_and_set_back() {
    let test = acme().await;
    let row = "select feature, included from limit_overrides";
    let dry = run(&test, "limits set --org acme --feature sms_sent --included 60 --dry-run");
    let dry = dry.exits(3).stdout;
    assert!(dry.contains("acme: sms_sent as the tier includes → 60"), "{dry}");
    // What was used within the tier's limit stays included.
    assert!(dry.contains("70 used of 70 in the open period"), "{dry}");
    assert!(test.rows(row).await.is_empty());
    let first = run(&test, "limits set --org acme --feature SMS_sent --included 500").exits(0);
    let revision = test.rows("select revision from organizations").await;
    let second = run(&test, "limits set --org acme --feature sms_sent --unlimited").exits(0);
    assert_ne!(test.rows("select revision from organizations").await, revision);
    assert_eq!(test.rows(row).await, ["sms_sent -"]);
    undo(&test, &second.stdout);
    assert_eq!(test.rows(row).await, ["sms_sent 500"]);
    undo(&test, &first.stdout);
    assert!(test.rows(row).await.is_empty());
    for line in [
        "limits set --org acme --feature sms_sent",
        "limits set --org acme --feature sms_sent --included 5 --reset",
        "limits set --org acme --feature sms_sent --included=-1",
        "limits set --org acme --feature nosuch --included 5",
    ] {
        run(&test, line).exits(2);
    }
}

#[tokio::test]
async fn users_are_added_and_listed() {
    let test = acme().await;
    let id = "0b9f2a5e-0000-4000-8000-000000000001";
    let added = run(&test, &format!("users add --org acme ann@acme.example --id {id}")).exits(0);
    assert!(added.stdout.contains("ann@acme.example"), "{added:?}");
    let list = run(&test, "users list --org acme --format json").exits(0).json();
    assert_eq!((&list[0]["id"], &list[0]["org"]), (&json!(id), &json!("acme")));
    let again = run(&test, "users add --org acme ANN@acme.example").exits(2).stderr;
    assert!(again.contains("is a user of that org already"), "{again}");
    run(&test, &format!("users add --org acme bob@acme.example --id {id}")).exits(2);
    run(&test, "users add --org acme nobody").exits(2);
    run(&test, "users add --org nosuch a@b.example").exits(2);
    assert_eq!(test.rows("select count(*) from users").await, ["1"]);
}

#[tokio::test]
async fn drift_is_listed_as_it_was_repaired() {
    let test = acme().await;
    test.sql("update usage_counters set used = 60").await;
    run(&test, "sync --org acme").exits(0);
    let page = run(&test, "drift list --org acme --since yesterday").exits(0).stdout;
    assert!(page.contains("usage_counters.used") && page.contains(" 60 "), "{page}");
    assert!(page.contains("CE"), "in the org's zone: {page}");
    let list = run(&test, "drift list --feature sms_sent --format json").exits(0).json();
    assert_eq!((&list[0]["before"], &list[0]["after"]), (&json!(60), &json!(70)));
    let none = run(&test, "drift list --feature scrapes").exits(0).stdout;
    assert_eq!(none, "no drift\n");
}

#[tokio::test]
async fn applied_tiers_put_nobody_over_a_limit_and_are_exported_as_they_are() {
    let test = acme().await;
    test.configure(
        "[[tiers]]\ncode = \"pro\"\nname = \"Pro \\\"x\\\"\"\nmonthly_price_cents = 7900\n\
         limits = { sms_sent = \"60.5\", scrapes = \"unlimited\" }\n",
    );
    let dry = run(&test, "tiers apply --dry-run").exits(3).stdout;
    // What was used within the higher limit stays included.
    assert!(!dry.contains("over a limit") && dry.contains("60.5"), "{dry}");
    let limit = "select included from tier_limits where tier = 'pro' and feature = 'sms_sent'";
    assert_eq!(test.rows(limit).await, ["100"], "a dry run keeps nothing");
    let applied = run(&test, "tiers apply").exits(0).stdout;
    assert!(!applied.contains("over a limit"), "{applied}");
    assert!(applied.ends_with("3 changes made\n"), "{applied}");
    let again = run(&test, "tiers apply").exits(0).stdout;
    assert!(!again.contains("over a limit"), "{again}");
    // What is exported is what the tables hold: applying it changes nothing.
    let exported = run(&test, "tiers export").exits(0).stdout;
    let fresh = test.copy().await;
    fresh.configure(&exported);
    let nothing = run(&fresh, "tiers apply --prune --dry-run").exits(0).stdout;
    assert!(nothing.contains("the tables match the configuration"), "{nothing}\n{exported}");
}

#[tokio::test]
async fn parking_is_undone_as_it_was() {
    let test = acme().await;
    let parked = test.periodd(&["orgs", "park", "acme", "--reason", "their 'data' moves"]);
    let parked = parked.exits(0).stdout;
    let row = "select parked_reason from organizations";
    assert_eq!(test.rows(row).await, ["their 'data' moves"]);
    undo(&test, &parked);
    assert_eq!(test.rows(row).await, ["-"]);
    test.periodd(&["orgs", "park", "acme", "--reason", "it's odd"]).exits(0);
    let unparked = run(&test, "orgs unpark acme").exits(0).stdout;
    undo(&test, &unparked);
    assert_eq!(test.rows(row).await, ["it's odd"]);
}
