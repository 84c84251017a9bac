//! `orgs remove`, `orgs merge`, `users erase` and `packs move`: what goes, what stays, what is
//! refused, and what a dry run says of it.

use std::collections::BTreeSet;

use periodd::store::orgs::contacts;
use serde_json::{Value, json};

use crate::support::{Answer, TestDatabase};

const NOW: &str = "2026-06-10T12:00:00Z";

fn run(test: &TestDatabase, line: &str) -> Answer {
    let at: &[&str] = if line.contains("--at") { &[] } else { &["--at", NOW] };
    test.periodd(&[&line.split_whitespace().collect::<Vec<_>>()[..], at].concat())
}

/// Two orgs that have closed May, on tier pro (100 messages): acme drew 20 of its pack of 50, bolt
/// used 30. In June acme has used 110 messages, ten of them claimed of the 30 that are left.
async fn two() -> TestDatabase {
    let test = TestDatabase::new().await;
    test.sql(
        "insert into tier_limits
         values ('pro', 'sms_sent', 100), ('pro', 'minutes_transcribed', 10),
                ('pro', 'scrapes', 10)",
    )
    .await;
    for org in ["acme", "bolt"] {
        let add = format!("orgs add {org} --name {org} --zone UTC --tier pro");
        run(&test, &format!("{add} --contact boss@{org}.example --at 2026-05-02T00:00:00Z"))
            .exits(0);
        run(&test, &format!("users add --org {org} ann@{org}.example")).exits(0);
    }
    let grant = "packs grant --org acme --feature sms_sent --quantity 50 --reference inv-1";
    run(&test, &format!("{grant} --at 2026-05-03T00:00:00Z")).exits(0);
    record(&test, "acme", 120, "2026-05-04T00:00:00Z", "may");
    record(&test, "bolt", 30, "2026-05-04T00:00:00Z", "may");
    run(&test, "rollover --at 2026-06-01T00:00:00Z").exits(0);
    record(&test, "acme", 110, "2026-06-04T00:00:00Z", "june");
    test
}

fn record(test: &TestDatabase, org: &str, quantity: u32, at: &str, key: &str) {
    let record = format!("usage record --org {org} --feature sms_sent --quantity {quantity}");
    let user = format!("--user ann@{org}.example --key {key}");
    run(test, &format!("{record} {user} --used-at {at} --at {at}")).exits(0);
}

/// The steps of an answer, each as `what feature quantity`.
fn steps(answer: &Value) -> Vec<String> {
    let steps = answer["steps"].as_array().expect("steps");
    let line = |step: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        format!("{} {} {}", text(&step["what"]), text(&step["feature"]), step["quantity"])
    };
    steps.iter().map(line).collect()
}

/// Where a text stands in any column of any table.
async fn found(test: &TestDatabase, text: &str) -> BTreeSet<String> {
    let tables = "select relname from pg_class where relkind = 'r'
                  and relnamespace = 'public'::regnamespace order by 1";
    let mut found = BTreeSet::new();
    for table in test.rows(tables).await {
        let rows = format!("select from {table} t where to_json(t)::text ilike '%{text}%' limit 1");
        if !test.rows(&format!("select exists ({rows}) as x")).await[0].contains("false") {
            found.insert(table);
        }
    }
    found
}

#[tokio::test]
async fn an_org_is_not_removed_while_something_is_open() {
    let test = two().await;
    let before = test.contents().await;
    let refused = run(&test, "orgs remove acme --yes").exits(5);
    for words in ["the open period holds 110 sms_sent", "packs hold 30 sms_sent", "--with-history"]
    {
        assert!(refused.stderr.contains(words), "{words}: {}", refused.stderr);
    }
    let asked = run(&test, "orgs remove acme --with-history").exits(5);
    assert!(asked.stderr.contains("confirm with --yes"), "{}", asked.stderr);
    assert_eq!(test.contents().await, before);
}

#[tokio::test]
async fn books_are_kept_without_a_name_in_them() {
    let test = two().await;
    run(&test, "tokens add phone --scope read --org bolt").exits(0);
    let ids = "select id from organizations where slug = 'bolt'";
    let org = test.rows(ids).await.remove(0);
    let user = test.rows("select id from users where email = 'ann@bolt.example'").await.remove(0);

    let plan = run(&test, "orgs remove bolt --dry-run --format json").exits(3).json();
    let removed = run(&test, "orgs remove bolt --yes --format json").exits(0).json();
    assert_eq!(steps(&plan), steps(&removed), "a dry run says what is done");
    assert_eq!(
        steps(&removed),
        ["users - 1", "contacts - 1", "tokens - 1", "kept_periods - 1", "kept_metrics - 1",]
    );
    let kept = removed["kept"].as_str().expect("a name").to_owned();
    assert!(kept.starts_with("bolt-removed-"), "{kept}");

    for gone in ["bolt.example", &user] {
        assert_eq!(found(&test, gone).await, BTreeSet::new(), "{gone}");
    }
    let books = format!(
        "select u.used, (select sum(metric_value) from usage_metrics m
                         where m.organization_id = u.org_id) as metrics
         from billing_period_usage u where u.org_id = '{org}'"
    );
    assert_eq!(test.rows(&books).await, ["30 30"]);
    let row = "select kind, with_history, counts ->> 'users' as users from periodd_departures";
    assert_eq!(test.rows(row).await, ["org_removed false 1"]);
    let token = "select revoked_at is not null as revoked from periodd_tokens";
    assert_eq!(test.rows(token).await, ["true"]);
    test.check_invariants().await;

    // No pass takes it for a customer, and no function does.
    run(&test, "rollover --at 2026-08-01T00:00:00Z").exits(0);
    run(&test, "sync --full --at 2026-08-01T00:00:00Z").exits(0);
    let closed = format!("select count(*) from billing_periods where org_id = '{org}'");
    assert_eq!(test.rows(&closed).await, ["1"]);
    let mut connection = test.connect().await;
    for call in [
        format!("select record_usage('{org}', 'sms_sent', 1)"),
        format!("select increment_org_usage('{org}', 'sms_sent', 1)"),
        format!("select grant_overage_pack('{org}', 'sms_sent', 1, 'r')"),
        format!(
            "select record_usage_batch('[{{\"org_id\": \"{org}\", \"feature\": \"sms_sent\",
                                           \"amount\": 1}}]')"
        ),
        format!("select increment_usage_if_allowed('{user}')"),
    ] {
        let refused = sqlx::raw_sql(sqlx::AssertSqlSafe(call.clone())).execute(&mut connection);
        let error = refused.await.expect_err("nobody is there");
        let error = error.into_database_error().expect("a refusal");
        assert_eq!(error.code().as_deref(), Some("PB002"), "{call}: {error}");
    }
    let unpark = run(&test, &format!("orgs unpark {kept}"));
    assert!(unpark.stdout.contains("is not parked"), "{unpark:?}");
    let status = run(&test, "status").stdout;
    assert!(!status.contains("removed"), "{status}");
    // Its name is free, and its books go in a second step.
    run(&test, "orgs add bolt --name Bolt --zone UTC").exits(0);
    let again = run(&test, &format!("orgs remove {kept} --yes --format json")).exits(0).json();
    assert_eq!(steps(&again), ["kept_periods - 1", "kept_metrics - 1"]);
    run(&test, &format!("orgs remove {kept} --with-history --yes")).exits(0);
    // A page of an audit begins or ends with its id, and says no more of it.
    let rows = found(&test, &org).await;
    let known: BTreeSet<String> =
        ["periodd_audited", "periodd_departures", "periodd_runs", "periodd_tokens"]
            .map(str::to_owned)
            .into();
    assert!(rows.is_subset(&known), "{rows:?}");
    test.check_invariants().await;
}

#[tokio::test]
async fn what_programs_are_yet_to_hear_stays_with_the_books() {
    let test = two().await;
    test.sql(
        "insert into periodd_listeners (channel, name)
             values ('table', 'events'), ('webhook', 'app');
         select periodd_enter_closes(array[org_id], array[period_start]) from billing_periods",
    )
    .await;
    let org = test.rows("select id from organizations where slug = 'bolt'").await.remove(0);
    let told = format!(
        "select (select count(*) from periodd_events where org_id = '{org}') as events,
                (select count(*) from periodd_webhook_outbox where org_id = '{org}') as messages"
    );
    run(&test, "orgs remove bolt --yes").exits(0);
    assert_eq!(test.rows(&told).await, ["1 1"]);
    run(&test, &format!("orgs remove {org} --with-history --yes")).exits(0);
    assert_eq!(test.rows(&told).await, ["0 0"]);
}

/// What names an org is emptied for it: a table that is new has to be emptied as well.
#[tokio::test]
async fn with_its_history_an_org_leaves_nothing() {
    let test = two().await;
    test.sql(
        "insert into usage_metrics (organization_id, metric_type, metric_value)
         select id, 'sms_sent', 3 from organizations",
    )
    .await;
    let org = test.rows("select id from organizations where slug = 'acme'").await.remove(0);
    run(&test, "orgs remove acme --with-history --yes").exits(0);
    let rows = found(&test, &org).await;
    let known: BTreeSet<String> = ["periodd_departures", "periodd_runs"].map(str::to_owned).into();
    assert!(rows.is_subset(&known), "{rows:?}");
    // Tables whose rows lead to an org, each of which the removal names.
    let unnamed = "select c.relname from pg_constraint k join pg_class c on c.oid = k.conrelid
                   where k.contype = 'f'
                     and k.confrelid in ('organizations'::regclass, 'billing_periods'::regclass,
                                         'overage_packs'::regclass, 'overage_entries'::regclass)
                     and not exists (select from pg_proc p where p.proname = 'remove_org'
                                     and p.prosrc like '%delete from ' || c.relname || ' %')
                   order by 1";
    assert!(test.rows(unnamed).await.is_empty(), "{:?}", test.rows(unnamed).await);
    test.check_invariants().await;
    // The audit does not miss what was meant to go.
    run(&test, "sync --full").exits(0);
}

#[tokio::test]
async fn a_person_goes_and_the_usage_stays() {
    let test = two().await;
    run(&test, "orgs set bolt --contact Ann@acme.example").exits(0);
    test.sql(
        "insert into periodd_suppressions (org_id, email)
         select id, 'ann@acme.example' from organizations where slug = 'acme';
         insert into periodd_unsubscribe_tokens (org_id, email)
         select id, 'ann@acme.example' from organizations where slug = 'bolt';
         insert into periodd_outbox (org_id, feature, period_start, period_end, threshold,
                                     recipient, letter, message_id, dated)
         select id, 'sms_sent', current_period_start, current_period_end, 80,
                'Ann@Acme.example', '{\"to\": \"ann@acme.example\"}', 'm', now()
         from organizations where slug = 'acme'",
    )
    .await;
    let user = test.rows("select id from users where email = 'ann@acme.example'").await.remove(0);
    let org = test.rows("select id from organizations where slug = 'acme'").await.remove(0);
    let plan = run(&test, "users erase ANN@acme.example --dry-run --format json").exits(3).json();
    let done = run(&test, "users erase ANN@acme.example --yes --format json").exits(0).json();
    assert_eq!(plan["erased"], done["erased"], "a dry run says what is done");
    assert_eq!(found(&test, "ann@acme.example").await, BTreeSet::new());
    // The audit row says which user, and that is all that is left of it.
    let left = found(&test, &user).await;
    assert_eq!(left, BTreeSet::from(["periodd_departures".to_owned()]));
    let used = "select (select sum(metric_value) from usage_metrics where organization_id = o.id),
                       (select sum(used) from usage_counters where org_id = o.id) as used
                from organizations o where slug = 'acme'";
    assert_eq!(test.rows(used).await, ["230 230"]);
    run(&test, "sync --full").exits(0);
    test.check_invariants().await;
    let nobody = run(&test, "users erase ann@acme.example --yes").exits(2);
    assert!(nobody.stderr.contains("nothing is kept"), "{}", nobody.stderr);

    // What is recorded for the person from now on is the org's; a repeated key counts once.
    let record = format!("select record_usage('{org}', 'sms_sent', 5, '{user}', '{NOW}', 'late')");
    assert_eq!(test.rows(&record).await, test.rows(&record).await);
    let again =
        format!("select record_usage('{org}', 'sms_sent', 110, '{user}', '2026-06-04Z', 'june')");
    test.rows(&again).await;
    let batch = json!([{ "org_id": org, "feature": "sms_sent", "amount": 2, "user_id": user }]);
    let batch = format!("select outcome from record_usage_batch('{batch}')");
    assert_eq!(test.rows(&batch).await, ["recorded"]);
    let metrics =
        "select count(*) as rows, count(user_id) as named, sum(metric_value) from usage_metrics m
                   join organizations o on o.id = m.organization_id where o.slug = 'acme'";
    assert_eq!(test.rows(metrics).await, ["4 0 237"]);
    // Somebody who was never known is a mistake still.
    let mut connection = test.connect().await;
    let unknown = format!(
        "select record_usage('{org}', 'sms_sent', 1, '6f0c3a52-4d0e-4a4e-9c51-0c5a5c1a2b3d')"
    );
    let unknown = sqlx::raw_sql(sqlx::AssertSqlSafe(unknown)).execute(&mut connection).await;
    assert!(unknown.expect_err("refused").to_string().contains("unknown user"));
}

#[tokio::test]
async fn an_id_is_one_account_and_doctor_finds_one_that_was_deleted_by_hand() {
    let test = two().await;
    run(&test, "users add --org bolt ann@acme.example").exits(0);
    let of = |org: &str| {
        format!(
            "select u.id from users u join organizations o on o.id = u.organization_id
             where u.email = 'ann@acme.example' and o.slug = '{org}'"
        )
    };
    let (acme, bolt) = (test.rows(&of("acme")).await, test.rows(&of("bolt")).await);
    run(&test, &format!("users erase {} --yes", bolt[0])).exits(0);
    assert_eq!(test.rows(&of("acme")).await, acme);
    test.sql(&format!("delete from users where id = '{}'", acme[0])).await;
    let doctor = run(&test, "doctor --format json").json();
    let findings: Vec<&Value> = doctor["checks"]
        .as_array()
        .expect("checks")
        .iter()
        .flat_map(|check| check["findings"].as_array().expect("findings"))
        .filter(|finding| finding["check"] == "departures")
        .collect();
    assert_eq!(findings.len(), 1, "{findings:?}");
    let mend = findings[0]["mend"].as_str().expect("a command");
    assert!(mend.contains(&format!("users erase {} --org acme --yes", acme[0])), "{mend}");
    // Usage of a user who was deleted by hand is the org's as well.
    let org = test.rows("select id from organizations where slug = 'acme'").await.remove(0);
    test.rows(&format!("select record_usage('{org}', 'sms_sent', 1, '{}', '{NOW}')", acme[0]))
        .await;
    run(&test, &format!("users erase {} --org acme --yes", acme[0])).exits(0);
    assert_eq!(found(&test, &acme[0]).await, BTreeSet::from(["periodd_departures".to_owned()]));
    test.check_invariants().await;
}

const PACKS: &str = "select o.slug, p.quantity, p.remaining, p.reference, p.entries
                     from overage_packs p join organizations o on o.id = p.org_id order by 1";

#[tokio::test]
async fn a_pack_moves_with_its_dates_and_what_is_claimed_stays() {
    let test = two().await;
    let plan = "packs move --org acme --reference inv-1 --into bolt --dry-run --format json";
    let plan = run(&test, plan).exits(3).json();
    assert_eq!(plan["quantity"], json!(20));
    assert_eq!(test.rows(PACKS).await, ["acme 50 30 inv-1 2"]);
    let moving = "packs move --org acme --reference inv-1 --into bolt";
    let moved = run(&test, &format!("{moving} --format json")).exits(0).json();
    assert_eq!((&moved["quantity"], &moved["dry_run"]), (&json!(20), &json!(false)));
    assert_eq!(test.rows(PACKS).await, ["acme 50 10 inv-1 3", "bolt 20 20 inv-1 1"]);
    let ledger = "select o.slug, e.seq, e.kind, e.quantity, e.remaining from overage_entries e
                  join organizations o on o.id = e.org_id order by 1, 2";
    assert_eq!(
        test.rows(ledger).await,
        [
            "acme 1 granted 50 50",
            "acme 2 drawn 20 30",
            "acme 3 moved 20 10",
            "bolt 1 granted 20 20",
        ]
    );
    let dates = "select count(distinct purchased_at) as p, count(distinct expires_at) as e
                 from overage_packs";
    assert_eq!(test.rows(dates).await, ["1 0"]);
    test.check_invariants().await;
    let again = run(&test, moving).exits(5);
    assert!(again.stderr.contains("has claimed all 10 sms_sent"), "{}", again.stderr);
    // The purchase is known wherever it is repeated.
    for org in ["acme", "bolt"] {
        let grant = format!("packs grant --org {org} --feature sms_sent --quantity 50");
        run(&test, &format!("{grant} --reference inv-1")).exits(0);
    }
    assert_eq!(test.rows(PACKS).await, ["acme 50 10 inv-1 3", "bolt 20 20 inv-1 1"]);
    // The close draws what was claimed, and nothing is missing.
    run(&test, "rollover --at 2026-07-01T00:00:00Z").exits(0);
    assert_eq!(test.rows(PACKS).await[0], "acme 50 0 inv-1 4");
    let uncovered = "select sum(uncovered) from billing_period_usage";
    assert_eq!(test.rows(uncovered).await, ["0"]);
    let spent = run(&test, &format!("{moving} --at 2026-07-02T00:00:00Z")).exits(5);
    assert!(spent.stderr.contains("used up"), "{}", spent.stderr);
    test.check_invariants().await;
}

#[tokio::test]
async fn the_column_of_minutes_follows_a_pack_to_both_orgs() {
    let test = two().await;
    let grant = "packs grant --org acme --feature minutes_transcribed --quantity 40 --reference m";
    run(&test, grant).exits(0);
    run(&test, "sync").exits(0);
    test.sql("update organizations set overage_minutes = overage_minutes + 5").await;
    run(&test, "packs move --org acme --reference m --into bolt").exits(0);
    run(&test, "sync --full").exits(0);
    let column = "select slug, overage_minutes from organizations order by 1";
    assert_eq!(test.rows(column).await, ["acme 5", "bolt 45"]);
    run(&test, "orgs merge bolt acme --yes").exits(0);
    run(&test, "sync --full").exits(0);
    let column = "select overage_minutes from organizations where slug = 'acme'";
    assert_eq!(test.rows(column).await, ["45"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn a_refund_of_a_pack_that_moved_is_its_share_of_what_it_was_sold_for() {
    let test = two().await;
    test.sql("update overage_packs set price_cents = 500, currency = 'EUR'").await;
    run(&test, "packs move --org acme --reference inv-1 --into bolt").exits(0);
    run(&test, "packs refund --org bolt --reference inv-1 --quantity 2 --yes").exits(0);
    run(&test, "rollover --at 2026-07-01T00:00:00Z").exits(0);
    let line = "statements --org bolt --period 2026-06 --format json --at 2026-07-02T00:00:00Z";
    let june = run(&test, line).exits(0).json();
    let refunds = &june["statements"][0]["packs_refunded"];
    assert_eq!(refunds[0]["amount_cents"], json!(-20), "{refunds}");
}

#[tokio::test]
async fn two_orgs_become_one_and_history_stays_where_it_was() {
    let test = two().await;
    // Half counted, half not; in June, and in bolt's open period.
    record(&test, "bolt", 7, "2026-06-05T00:00:00Z", "june");
    test.sql(
        "insert into usage_metrics (organization_id, user_id, metric_type, metric_value, created_at)
         select organization_id, id, 'Scrapes', 2, '2026-06-06Z' from users
         where email = 'ann@acme.example'",
    )
    .await;
    run(&test, "tokens add phone --scope read --org acme").exits(0);
    let acme = test.rows("select id from organizations where slug = 'acme'").await.remove(0);
    let bolt = test.rows("select id from organizations where slug = 'bolt'").await.remove(0);
    let plan = run(&test, "orgs merge acme bolt --dry-run --format json").exits(3).json();
    let merged = run(&test, "orgs merge acme bolt --yes --format json").exits(0).json();
    assert_eq!(steps(&plan), steps(&merged), "a dry run says what is done");
    assert_eq!(
        steps(&merged),
        [
            "users - 1",
            "contacts - 1",
            "usage scrapes 2",
            "usage sms_sent 110",
            "packs sms_sent 30",
            "tokens - 1",
            "kept_periods - 1",
        ]
    );
    let counters = format!(
        "select feature, used from usage_counters c
         where c.org_id = '{bolt}' and c.period_start = '2026-06-01Z' and used <> 0 order by 1"
    );
    assert_eq!(test.rows(&counters).await, ["scrapes 2", "sms_sent 117"]);
    let of_user = "select f.feature, f.usage_count, u.usage_this_month from feature_usage f
                   join users u on u.id = f.user_id and u.organization_id = f.organization_id
                   where u.email = 'ann@acme.example' and f.period_start = '2026-06-01Z'
                   order by 1";
    assert_eq!(test.rows(of_user).await, ["scrapes 2 2", "sms_sent 110 2"]);
    let contacts = "select o.slug, c.email from org_contacts c
                    join organizations o on o.id = c.org_id order by 2";
    assert_eq!(test.rows(contacts).await, ["bolt boss@acme.example", "bolt boss@bolt.example"]);
    let history =
        "select org_id, period_start, used, drawn from billing_period_usage order by used";
    let may = [
        format!("{bolt} 2026-05-01T00:00:00Z 30 0"),
        format!("{acme} 2026-05-01T00:00:00Z 120 20"),
    ];
    assert_eq!(test.rows(history).await, may);
    run(&test, "sync --full").exits(0);
    test.check_invariants().await;
    // Keys and purchases of both are known to the one.
    let ann = test.rows("select id from users where email = 'ann@acme.example'").await.remove(0);
    let known =
        format!("select record_usage('{bolt}', 'sms_sent', 110, '{ann}', '2026-06-04Z', 'june')");
    let mut connection = test.connect().await;
    let reused = sqlx::raw_sql(sqlx::AssertSqlSafe(known)).execute(&mut connection).await;
    assert!(reused.expect_err("bolt's own key").to_string().contains("used before"));
    run(&test, "packs grant --org bolt --feature sms_sent --quantity 50 --reference inv-1")
        .exits(0);
    let holds = "select sum(remaining) from overage_packs";
    assert_eq!(test.rows(holds).await, ["30"]);
    // What is closed next is paid for once: 117 of 100 included, and the rest from acme's pack.
    run(&test, "rollover --at 2026-07-01T00:00:00Z").exits(0);
    let june = "select used, included, drawn, uncovered from billing_period_usage
                where period_start = '2026-06-01Z' and feature = 'sms_sent'";
    assert_eq!(test.rows(june).await, ["117 100 17 0"]);
    test.check_invariants().await;
    // Asked again, it is done.
    let again = format!("select count(*) from merge_orgs('{acme}', '{bolt}')");
    assert_eq!(test.rows(&again).await, ["0"]);
    let row = "select kind, into_org from periodd_departures";
    assert_eq!(test.rows(row).await, [format!("org_merged {bolt}")]);
}

#[tokio::test]
async fn a_merge_waits_for_what_is_due() {
    let test = two().await;
    let before = test.contents().await;
    let merge = "orgs merge acme bolt --yes --at 2026-07-02T00:00:00Z";
    let refused = run(&test, merge).exits(5);
    assert!(refused.stderr.contains("a period has ended"), "{}", refused.stderr);
    assert!(refused.stderr.contains("rollover --org acme"), "{}", refused.stderr);
    assert_eq!(test.contents().await, before);
    run(&test, "rollover --at 2026-07-02T00:00:00Z").exits(0);
    run(&test, merge).exits(0);
    test.check_invariants().await;
}

#[tokio::test]
async fn an_unsubscribe_link_of_the_org_that_went_still_works() {
    let test = two().await;
    test.sql(
        "insert into periodd_unsubscribe_tokens (org_id, email)
         select id, 'boss@acme.example' from organizations where slug = 'acme'",
    )
    .await;
    let link =
        "select replace(org_id::text || token::text, '-', '') from periodd_unsubscribe_tokens";
    let link = test.rows(link).await.remove(0);
    run(&test, "orgs merge acme bolt --yes").exits(0);
    let unsubscribed = format!("select periodd_unsubscribe('{link}')");
    assert_eq!(test.rows(&unsubscribed).await, ["true"]);
    let out = "select o.slug, c.email from org_contacts c join organizations o on o.id = c.org_id
               where c.opted_out_at is not null";
    assert_eq!(test.rows(out).await, ["bolt boss@acme.example"]);
}

#[tokio::test]
async fn a_link_that_is_taken_back_after_a_merge_leaves_the_users_as_they_were() {
    let test = two().await;
    test.sql(
        "delete from org_contacts;
         insert into periodd_unsubscribe_tokens (org_id, email)
         select id, 'ann@acme.example' from organizations where slug = 'acme'",
    )
    .await;
    let link =
        "select replace(org_id::text || token::text, '-', '') from periodd_unsubscribe_tokens";
    let link = test.rows(link).await.remove(0);
    run(&test, "orgs merge acme bolt --yes").exits(0);
    let rows = "select o.slug, c.email, c.opted_out_at is null, c.opted_out_of
                from org_contacts c join organizations o on o.id = c.org_id";
    for kind in ["", ".runs_out"] {
        test.sql(&format!("select periodd_unsubscribe('{link}{kind}')")).await;
        assert_eq!(test.rows(rows).await.len(), 1);
        let mut connection = test.connect().await;
        let token = format!("{link}{kind}");
        contacts::subscribe_again(&mut connection, &token).await.expect("it is taken back");
        assert_eq!(test.rows(rows).await, [""; 0], "{kind}");
        contacts::subscribe_again(&mut connection, &token).await.expect("nothing happens");
    }
    // Of two that were given, one is left.
    test.sql(&format!(
        "select periodd_unsubscribe('{link}'), periodd_unsubscribe('{link}.runs_out')"
    ))
    .await;
    contacts::subscribe_again(&mut test.connect().await, &link).await.expect("it is taken back");
    assert_eq!(test.rows(rows).await, [r#"bolt ann@acme.example true ["runs_out"]"#]);
}

#[tokio::test]
async fn a_merge_carries_what_somebody_wants_no_more_and_names_nobody_by_it() {
    let test = two().await;
    test.sql(
        "delete from org_contacts;
         insert into org_contacts (org_id, email, role, opted_out_at, opted_out_of)
         select o.id, c.email, c.role, c.opted_out_at, c.opted_out_of
         from organizations o
         join (values ('acme', 'Ann@acme.example', 'billing', null::timestamptz,
                       '{runs_out}'::text[]),
                      ('acme', 'boss@acme.example', null, '2026-05-05Z', null),
                      ('acme', 'both@acme.example', null, '2026-05-06Z', '{runs_out}'),
                      ('bolt', 'both@acme.example', null, null, '{tier_changes,runs_out}'),
                      ('bolt', 'ann@bolt.example', null, '2026-05-05Z', null))
                  as c (slug, email, role, opted_out_at, opted_out_of) on c.slug = o.slug;
         insert into users (organization_id, email)
         select id, 'both@acme.example' from organizations where slug = 'bolt'",
    )
    .await;
    run(&test, "orgs merge acme bolt --yes").exits(0);
    let rows = "select email, role, opted_out_at is not null, opted_out_of from org_contacts
                order by 1";
    let carried = [
        r#"Ann@acme.example - false ["runs_out"]"#,
        "ann@bolt.example - true -",
        r#"both@acme.example - true ["runs_out","tier_changes"]"#,
    ];
    let mut found = test.rows(rows).await;
    found.sort();
    assert_eq!(found, carried);
}

#[tokio::test]
async fn doctor_says_what_was_written_to_a_removed_org() {
    let test = two().await;
    run(&test, "orgs remove bolt --yes").exits(0);
    let found = |test: &TestDatabase| {
        let doctor = run(test, "doctor --format json").json();
        let checks = doctor["checks"].as_array().expect("checks").clone();
        let findings =
            checks.iter().flat_map(|check| check["findings"].as_array().unwrap().clone());
        let of = findings.filter(|finding| finding["check"] == "departures");
        of.map(|finding| finding["what"].as_str().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(found(&test), Vec::<String>::new());
    test.sql(
        "insert into users (organization_id, email)
         select id, 'new@bolt.example' from organizations where removed_at is not null",
    )
    .await;
    let said = found(&test);
    assert!(
        said.len() == 1 && said[0].contains("is removed, but has users or contacts again"),
        "{said:?}"
    );
    let kept = test.rows("select slug from organizations where removed_at is not null").await;
    run(&test, &format!("orgs remove {} --yes", kept[0])).exits(0);
    assert_eq!(found(&test), Vec::<String>::new());
    test.sql(
        "insert into usage_metrics (organization_id, metric_type, metric_value)
         select id, 'sms_sent', 1 from organizations where removed_at is not null",
    )
    .await;
    let said = found(&test);
    assert!(
        said.len() == 1 && said[0].starts_with("usage was recorded for bolt-removed-"),
        "{said:?}"
    );
}

#[tokio::test]
async fn usage_from_before_the_other_orgs_period_is_closed_first_and_a_level_comes_along() {
    let test = two().await;
    test.sql(
        "insert into features values ('seats', 'seats', 'level');
         insert into tier_limits values ('pro', 'seats', 10)",
    )
    .await;
    run(&test, "orgs add cave --name Cave --zone UTC --tier pro --at 2026-06-02T00:00:00Z")
        .exits(0);
    let seats = "usage record --org cave --feature seats --quantity 4 --key s";
    run(&test, &format!("{seats} --used-at 2026-06-04T00:00:00Z --at {NOW}")).exits(0);
    run(&test, "rollover --early --org bolt --yes").exits(0);

    let before = test.contents().await;
    let refused = run(&test, "orgs merge acme bolt --yes").exits(5);
    assert!(refused.stderr.contains("are from before the open period"), "{}", refused.stderr);
    assert!(refused.stderr.contains("rollover --early --org acme"), "{}", refused.stderr);
    assert!(!refused.stderr.contains("--org bolt"), "{}", refused.stderr);
    assert_eq!(test.contents().await, before);

    run(&test, "orgs merge cave bolt --yes").exits(0);
    let level = "select c.used, c.period_start = o.current_period_start from usage_counters c
                 join organizations o on o.id = c.org_id
                 where o.slug = 'bolt' and c.feature = 'seats' and c.used <> 0";
    assert_eq!(test.rows(level).await, ["4 true"]);
    run(&test, "sync --full").exits(0);
    assert_eq!(test.rows(level).await, ["4 true"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn what_comes_late_and_what_was_sold_is_settled_before_a_merge() {
    let test = two().await;
    test.sql(
        "insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
         select id, 'sms_sent', 3, '2026-05-20Z' from organizations where slug = 'acme'",
    )
    .await;
    let refused = run(&test, "orgs merge acme bolt --yes").exits(5);
    assert!(refused.stderr.contains("1 metrics are not counted yet"), "{}", refused.stderr);
    assert!(refused.stderr.contains("sync --org acme"), "{}", refused.stderr);
    run(&test, "sync").exits(0);
    let grant = "packs grant --org bolt --feature sms_sent --quantity 5 --reference b";
    run(&test, &format!("{grant} --price-cents 250 --currency EUR --at 2026-06-05T00:00:00Z"))
        .exits(0);
    let refused = run(&test, "orgs merge bolt acme --yes").exits(5);
    assert!(refused.stderr.contains("are on no statement yet"), "{}", refused.stderr);
    run(&test, "rollover --early --org bolt --yes").exits(0);
    run(&test, "orgs merge bolt acme --yes").exits(0);
    test.check_invariants().await;
}

#[tokio::test]
async fn keys_and_references_stay_known_and_an_erasure_reaches_the_history() {
    let test = two().await;
    let id = |org: &str| format!("select id from organizations where slug = '{org}'");
    let (acme, bolt) = (test.rows(&id("acme")).await, test.rows(&id("bolt")).await);
    let refund = |org: &str| {
        format!(
            "select quantity, already_refunded_at is not null
             from refund_overage_pack('{org}', 'inv-1', 5, 're-1', '{NOW}')"
        )
    };
    assert_eq!(test.rows(&refund(&acme[0])).await, ["5 false"]);
    test.sql(&format!(
        "insert into periodd_restarts (org_id, reference, at)
         values ('{}', 'evt-1', '2026-06-01Z')",
        acme[0]
    ))
    .await;
    run(&test, "users limits ann@acme.example --set scrapes=5").exits(0);
    test.sql(
        "insert into periodd_notices (org_id, kind, key)
         select organization_id, 'user_limit', 'May/' || id || '/scrapes/5/80' from users
         where email = 'ann@acme.example'",
    )
    .await;
    run(&test, "orgs merge acme bolt --yes").exits(0);
    let limits = "select o.slug, l.included from user_limits l
                  join organizations o on o.id = l.organization_id";
    assert_eq!(test.rows(limits).await, ["bolt 5"]);
    assert_eq!(test.rows(&refund(&bolt[0])).await, ["5 true"]);
    let restarts = "select org_id, reference from periodd_restarts";
    assert_eq!(test.rows(restarts).await, [format!("{} evt-1", bolt[0])]);

    let user = test.rows("select id from users where email = 'ann@acme.example'").await.remove(0);
    run(&test, &format!("users erase {user} --yes")).exits(0);
    assert_eq!(found(&test, &user).await, BTreeSet::from(["periodd_departures".to_owned()]));
    test.check_invariants().await;
}

#[tokio::test]
async fn a_removal_reaches_the_history_of_what_was_merged() {
    let test = two().await;
    let user = test.rows("select id from users where email = 'ann@acme.example'").await.remove(0);
    run(&test, "orgs merge acme bolt --yes").exits(0);
    run(&test, "orgs remove bolt --with-history --yes").exits(0);
    assert_eq!(found(&test, &user).await, BTreeSet::new());
    let row = "select removed_at is not null and merged_into is not null from organisations";
    assert_eq!(test.rows(row).await, ["true"]);
    let parked = run(&test, "orgs list --parked --format json").exits(0).stdout;
    assert!(!parked.contains("removed"), "{parked}");
    test.check_invariants().await;
}

#[tokio::test]
async fn a_level_that_was_only_carried_over_is_not_open_usage() {
    let test = two().await;
    test.sql(
        "insert into features values ('seats', 'seats', 'level');
         insert into tier_limits values ('pro', 'seats', 10)",
    )
    .await;
    let seats = "usage record --org bolt --feature seats --quantity 4 --key s";
    run(&test, &format!("{seats} --used-at 2026-06-04T00:00:00Z --at {NOW}")).exits(0);
    let refused = run(&test, "orgs remove bolt --yes").exits(5);
    assert!(refused.stderr.contains("the open period holds 4 seats"), "{}", refused.stderr);
    run(&test, "rollover --early --org bolt --yes").exits(0);
    run(&test, "orgs remove bolt --yes").exits(0);
    run(&test, "sync --full").exits(0);
    test.check_invariants().await;
}
