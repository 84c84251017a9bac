//! `orgs set`, `park` and `unpark`.

use serde_json::json;

use crate::support::TestDatabase;

async fn acme() -> TestDatabase {
    let test = TestDatabase::new().await;
    let add = "orgs add acme --name Acme --zone Asia/Tokyo --period-start 2026-01-31T15:00:00Z";
    run(&test, &format!("{add} --at 2026-02-10T00:00:00Z")).exits(0);
    test
}

fn run(test: &TestDatabase, line: &str) -> crate::support::Answer {
    test.periodd(&line.split_whitespace().collect::<Vec<_>>())
}

#[tokio::test]
async fn a_change_of_zone_holds_from_the_end_of_the_open_period() {
    let test = acme().await;
    let answer = run(&test, "orgs set acme --zone America/New_York").exits(0);
    assert!(
        answer.stdout.contains("from the end of the open period, 2026-02-28 10:00 EST ("),
        "{}",
        answer.stdout
    );
    assert!(answer.stdout.contains("ends at 2026-04-01 00:00 EDT"), "{}", answer.stdout);
    let answer = run(&test, "orgs set acme --zone America/New_York --format json").exits(0);
    assert_eq!(answer.json()["changes"], json!([]), "the second time there is nothing to change");
    // What was said is what happens.
    run(&test, "rollover --at 2026-03-05T00:00:00Z").exits(0);
    let periods = "select current_period_start, current_period_end from organizations";
    assert_eq!(test.rows(periods).await, ["2026-02-28T15:00:00Z 2026-04-01T04:00:00Z"]);
}

#[tokio::test]
async fn a_quarter_that_ends_at_a_time_of_day_is_added_shown_and_set_back() {
    let test = TestDatabase::new().await;
    let add = "orgs add acme --name Acme --zone Europe/Berlin --cycle quarterly --anchor-month 2 \
               --anchor-day 28 --anchor-time 14:32:10 --at 2026-03-10T00:00:00Z";
    let shown = run(&test, add).exits(0).stdout;
    assert!(shown.contains("cycle   quarterly 2-28 at 14:32:10 in Europe/Berlin"), "{shown}");
    assert!(
        shown.contains("period  2026-02-28 14:32:10 CET to 2026-05-28 14:32:10 CEST"),
        "{shown}"
    );
    let listed = run(&test, "orgs list").exits(0).stdout;
    assert!(listed.contains("quarterly 2-28 at 14:32:10"), "{listed}");
    let explained = run(&test, "explain acme --at 2026-03-10T00:00:00Z --format json").exits(0);
    assert_eq!(explained.json()["org"]["anchor_time"], "14:32:10");

    let set = "orgs set acme --cycle semiannual --anchor-time 09:00";
    let answer = run(&test, set).exits(0).stdout;
    assert!(answer.contains("ends at 2026-08-28 09:00 CEST"), "{answer}");
    let back = "orgs set acme --cycle quarterly --anchor-time 14:32:10";
    assert!(answer.contains(back), "{answer}");
    let set = run(&test, &format!("{set} --format json")).exits(0).json();
    assert_eq!((&set["anchor_time"], &set["cycle"]), (&json!("09:00:00"), &json!("semiannual")));
    run(&test, back).exits(0);
    // The end in the second before a quarter of an hour is no inclusive one, where it is set so.
    run(&test, "orgs add late --name Late --zone UTC --anchor-time 23:59:59").exits(0);
    let findings = run(&test, "doctor --format json").json().to_string();
    assert!(!findings.contains("inclusive_end"), "{findings}");
}

#[tokio::test]
async fn a_short_period_is_warned_of_and_left_to_the_boundary_after() {
    let test = acme().await;
    let short = run(&test, "orgs set acme --anchor-day 5 --dry-run").exits(3).stdout;
    assert!(short.contains("ends at 2026-03-05 00:00 JST"), "{short}");
    assert!(short.contains("is short (4 d) and includes the full quantity; --at-next"), "{short}");
    let quiet = "[database]\nurl = \"URL\"\n[rollover]\nshort_period_warning = false\n";
    let quiet = quiet.replace("URL", &test.url());
    let line = ["orgs", "set", "acme", "--anchor-day", "5", "--dry-run"];
    let quiet = test.periodd_configured(&quiet, &line).exits(3).stdout;
    assert!(!quiet.contains("is short"), "{quiet}");
    // A third and more is as long as people expect after a change.
    let long = run(&test, "orgs set acme --anchor-day 15 --dry-run").exits(3).stdout;
    assert!(!long.contains("is short"), "{long}");

    let set = "orgs set acme --anchor-day 5 --at-next --next-tier pro --next-tier-at 2026-03-03";
    let left = run(&test, set).exits(0).stdout;
    assert!(left.contains("ends at 2026-04-05 00:00 JST"), "{left}");
    assert!(!left.contains("is short"), "{left}");
    // The tier comes with a boundary, and there is not one on March 5.
    assert!(left.contains("tier pro from 2026-04-05 00:00 JST"), "{left}");
    let following =
        "select next_period_ends[1] as one, next_period_ends[2] as two from organizations";
    run(&test, "rollover --at 2026-02-20T00:00:00Z").exits(0);
    assert_eq!(test.rows(following).await, ["2026-04-04T15:00:00Z 2026-05-04T15:00:00Z"]);
    run(&test, "rollover --at 2026-03-20T00:00:00Z").exits(0);
    let periods = "select current_period_start, current_period_end, subscription_tier
                   from organizations";
    assert_eq!(test.rows(periods).await, ["2026-02-28T15:00:00Z 2026-04-04T15:00:00Z free"]);
    run(&test, "rollover --at 2026-04-20T00:00:00Z").exits(0);
    assert_eq!(test.rows(periods).await, ["2026-04-04T15:00:00Z 2026-05-04T15:00:00Z pro"]);
    // Another change is one of its own.
    run(&test, "orgs set acme --anchor-day 20").exits(0);
    run(&test, "rollover --at 2026-05-10T00:00:00Z").exits(0);
    assert_eq!(test.rows(periods).await, ["2026-05-04T15:00:00Z 2026-05-19T15:00:00Z pro"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn a_first_period_has_any_length() {
    let test = TestDatabase::new().await;
    let add = "orgs add trial --name Trial --zone Europe/Berlin --anchor-day 20 --period-end +14d \
               --at 2026-03-10T09:30:00Z";
    let added = run(&test, add).exits(0);
    assert!(added.stdout.contains("2026-03-10 10:30 CET to 2026-03-24 10:30 CET"), "{added:?}");
    assert_eq!(added.stderr, "time: 2026-03-24 10:30 CET (2026-03-24T09:30:00Z)\n");
    run(
        &test,
        "orgs add past --name Past --zone UTC --period-start 2026-01-10 \
                --period-end 2026-01-12 --at 2026-03-10T09:30:00Z",
    )
    .exits(0);
    run(&test, "rollover --at 2026-03-30T00:00:00Z").exits(0);
    let periods = "select slug, array_agg(b.period_end order by b.period_end)::text
                   from billing_periods b join organizations o on o.id = b.org_id
                   group by 1 order by 1";
    let past =
        r#"past {"2026-01-12 00:00:00+00","2026-02-01 00:00:00+00","2026-03-01 00:00:00+00"}"#;
    assert_eq!(test.rows(periods).await, [past, r#"trial {"2026-03-24 09:30:00+00"}"#]);
    let open = "select current_period_end from organizations where slug = 'trial'";
    assert_eq!(test.rows(open).await, ["2026-04-19T22:00:00Z"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn a_lifetime_plan_may_begin_with_a_period_that_ends() {
    let test = TestDatabase::new().await;
    let add = "orgs add life --name Life --zone UTC --cycle none --period-end +14d";
    run(&test, &format!("{add} --at 2026-03-10T09:30:00Z")).exits(0);
    run(&test, "rollover --at 2026-04-30T00:00:00Z").exits(0);
    let period = "select current_period_start, current_period_end from organizations";
    assert_eq!(test.rows(period).await, ["2026-03-24T09:30:00Z 9999-12-31T23:59:59.999999Z"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn what_is_set_is_set_together_or_not_at_all() {
    let test = acme().await;
    let set = "orgs set acme --cycle weekly --anchor-day 3 --tier pro --next-tier business \
               --next-tier-at 2026-06-01T00:00:00Z --status active --ends-at 2027-01-01T00:00:00Z \
               --contact a@acme.example --contact b@acme.example --format json";
    let answer = run(&test, set).exits(0).json();
    assert_eq!(answer["cycle"], "weekly");
    assert_eq!(answer["contacts"][1]["email"], "b@acme.example");
    assert_eq!(
        answer["changes"][0],
        json!({"setting": "cycle", "before": "monthly", "after": "weekly"})
    );
    let row = "select cycle, anchor_day, subscription_tier, next_subscription_tier,
                      next_subscription_tier_at, subscription_status, subscription_ends_at
               from organizations";
    // A time means its date in Tokyo, which begins there.
    let is = "weekly 3 pro business 2026-05-31T15:00:00Z active 2026-12-31T15:00:00Z";
    assert_eq!(test.rows(row).await, [is]);
    for (bad, sentence) in [
        ("--zone Mars/Phobos", "unknown time zone `Mars/Phobos`"),
        ("--anchor-day 9", "anchor weekday 9 does not exist; use 1 to 7"),
        ("--tier gold", "unknown tier `gold`; known tiers: business, free, pro, starter"),
        ("--contact nobody", "`nobody` has no @; write it as name@example.com"),
        ("--ends-at soon", "invalid time `soon`"),
        ("--cycle hourly", "invalid value"),
    ] {
        let answer = run(&test, &format!("orgs set acme --name Other {bad}")).exits(2);
        assert!(answer.stderr.contains(sentence), "{bad}: {}", answer.stderr);
        assert_eq!(test.rows(row).await, [is], "{bad}");
    }
    run(&test, "orgs set acme --no-next-tier --no-ends-at --no-contact A@acme.example").exits(0);
    let is = "weekly 3 pro - - active -";
    assert_eq!(test.rows(row).await, [is]);
    assert_eq!(test.rows("select email from org_contacts").await, ["b@acme.example"]);
    assert_eq!(test.rows("select name from organizations").await, ["Acme"]);
}

#[tokio::test]
async fn a_contact_has_a_role_and_kinds_of_emails() {
    let test = acme().await;
    let contact = "orgs set acme --contact pay@acme.example";
    run(&test, &format!("{contact} --contact-role Pay@acme.example=billing")).exits(0);
    let kinds = "orgs set acme --contact-kinds pay@acme.example=pack_expires,threshold";
    let answer = run(&test, &format!("{kinds} --format json")).exits(0).json();
    let named = &answer["contacts"][0];
    assert_eq!(named["role"], "billing");
    assert_eq!(named["kinds"], json!(["pack_expires", "threshold"]));
    let shown = run(&test, "orgs show acme").exits(0).stdout;
    assert!(shown.contains("pay@acme.example (billing)"), "{shown}");
    let of_nobody = "orgs set acme --name Other --contact-role x@acme.example=owner";
    run(&test, of_nobody).exits(2);
    assert_eq!(test.rows("select name from organizations").await, ["Acme"], "all or nothing");
    let back = "orgs set acme --contact-role pay@acme.example=none";
    run(&test, &format!("{back} --contact-kinds pay@acme.example=all")).exits(0);
    assert_eq!(test.rows("select role, kinds from org_contacts").await, ["- -"]);
}

#[tokio::test]
async fn a_parked_org_is_left_alone_until_it_is_taken_back() {
    let test = acme().await;
    let park = ["orgs", "park", "acme", "--reason", "their data moves", "--format", "json"];
    let parked = test.periodd(&park).exits(0).json();
    assert_eq!(
        (&parked["changed"], &parked["parked"]["reason"]),
        (&json!(true), &json!("their data moves"))
    );
    let again = test.periodd(&["orgs", "park", "acme", "--reason", "other"]).exits(0);
    assert!(again.stdout.contains("already: their data moves"), "{}", again.stdout);
    run(&test, "rollover --at 2026-03-05T00:00:00Z").exits(0);
    let closed = "select count(*) from billing_periods";
    assert_eq!(test.rows(closed).await, ["0"]);
    run(&test, "orgs unpark acme").exits(0);
    run(&test, "orgs unpark acme").exits(0);
    run(&test, "rollover --at 2026-03-05T00:00:00Z").exits(0);
    assert_eq!(test.rows(closed).await, ["1"]);
    test.periodd(&["orgs", "park", "acme", "--reason", " "]).exits(2);
}
