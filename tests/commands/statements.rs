//! `periodd statements`, and the prices that stay with what was sold.

use serde_json::{Value, json};

use crate::support::{Answer, TestDatabase};

const AT: &str = "2026-03-02T12:00:00Z";

fn run(test: &TestDatabase, line: &str) -> Answer {
    let at: &[&str] = if line.contains("--at ") { &[] } else { &["--at", AT] };
    let words = at.iter().copied().chain(line.split_whitespace()).collect::<Vec<_>>();
    test.periodd(&words)
}

/// Two orgs, in New York and in Tokyo, whose January and February are closed: Acme bought a pack,
/// used more than that covers, and used something that was counted late.
async fn closed() -> TestDatabase {
    closed_with("").await
}

/// With the price of something more, as the catalogue has it.
async fn closed_with(price: &str) -> TestDatabase {
    let test = TestDatabase::new().await;
    test.configure(&format!(
        "[[tiers]]\ncode = \"pro\"\nname = \"Pro\"\nmonthly_price_cents = 7900\n\
         currency = \"EUR\"\n\
         limits = {{ sms_sent = 100, scrapes = \"unlimited\", minutes_transcribed = 0 }}\n\
         uncovered_price_cents = {{ sms_sent = \"2.5\", {price} }}\n\
         [[packs]]\ncode = \"sms-20\"\nfeature = \"sms_sent\"\nquantity = 20\nprice_cents = 900\n\
         currency = \"EUR\"\n"
    ));
    run(&test, "tiers apply").exits(0);
    for (org, zone) in [("acme", "America/New_York"), ("bolt", "Asia/Tokyo")] {
        let add = format!("orgs add {org} --name {org} --zone {zone} --tier pro");
        let add = format!("{add} --period-start 2026-01-05T12:00:00Z");
        run(&test, &add).exits(0);
    }
    let grant = "packs grant --org acme --offer sms-20 --reference order-7";
    run(&test, &format!("{grant} --purchased-at 2026-01-20")).exits(0);
    test.sql(
        "insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
         select id, feature, quantity, '2026-01-25Z' from organizations,
                (values ('sms_sent', 123), ('scrapes', 1234567)) u (feature, quantity)
         where slug = 'acme'",
    )
    .await;
    run(&test, "rollover").exits(0);
    test.sql(
        "insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
         select id, 'sms_sent', 3, '2026-01-26Z' from organizations where slug = 'acme'",
    )
    .await;
    run(&test, "sync").exits(0);
    test
}

fn total(cents: [i64; 5]) -> Value {
    let [usage, adjustments, packs, refunds, total] = cents;
    json!([{"currency": "EUR", "usage_cents": usage, "adjustments_cents": adjustments,
            "packs_cents": packs, "refunds_cents": refunds, "total_cents": total}])
}

#[tokio::test]
async fn prices_stay_with_what_was_sold() {
    let test = closed().await;
    // What is on sale later is dearer, and in another currency.
    test.sql(
        "update tier_limits set uncovered_price_cents = 99;
         update subscription_tiers set currency = 'USD';
         update pack_offers set price_cents = 5000, currency = 'USD'",
    )
    .await;
    let acme = run(&test, "statements --org acme --period 2026-01 --format json").exits(0).json();
    let january = &acme["statements"][0];
    let usage = json!({"feature": "sms_sent", "unit": "messages", "used": 123, "included": 100,
                       "drawn": 20, "uncovered": 3, "price_cents": 2.5, "amount_cents": 8});
    assert_eq!(january["usage"][1], usage, "{acme:#}");
    assert_eq!(january["adjustments"][0]["uncovered"], 3);
    assert_eq!(january["adjustments"][0]["amount_cents"], 8);
    assert_eq!(january["packs_bought"][0]["price_cents"], 900);
    assert_eq!(january["packs_drawn"][0]["quantity"], 20);
    assert_eq!(january["totals"], total([8, 8, 900, 0, 916]));
    assert_eq!(january["agrees_with_ledger"], true);
    assert_eq!(
        (&january["first_day"], &january["last_day"]),
        (&json!("2026-01-05"), &json!("2026-01-31"))
    );
    // A price that was given, and one that nobody knows.
    let grant = "packs grant --org bolt --feature sms_sent --quantity 5";
    run(&test, &format!("{grant} --price-cents 250 --currency JPY --reference a")).exits(0);
    run(&test, &format!("{grant} --reference b")).exits(0);
    let packs = "select reference, price_cents, currency from overage_packs order by 1";
    assert_eq!(test.rows(packs).await, ["a 250 JPY", "b - -", "order-7 900 EUR"]);
    // The catalogue knows prices both ways.
    let exported = run(&test, "tiers export").exits(0).stdout;
    assert!(exported.contains("uncovered_price_cents.\"sms_sent\" = \"99\""), "{exported}");
    let applied = run(&test, "tiers apply --dry-run").exits(3).stdout;
    assert!(applied.contains("99 cents") && applied.contains("2.5 cents"), "{applied}");
}

#[tokio::test]
async fn totals_are_the_sums_of_the_lines_in_every_format() {
    let test = closed().await;
    let all = run(&test, "statements --closed-since 2026-01-01 --format json").exits(0).json();
    let statements = all["statements"].as_array().expect("statements");
    assert_eq!(statements.len(), 4, "two orgs, two months each");
    assert_eq!(all["totals"], total([8, 8, 900, 0, 916]));
    let csv = run(&test, "statements --closed-since 2026-01-01 --format csv").exits(0).stdout;
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let headings = reader.headers().expect("a heading").clone();
    let amount = headings.iter().position(|name| name == "amount_cents").expect("amounts");
    let amounts = reader.records().map(|row| row.expect("a row")[amount].parse().unwrap_or(0_i64));
    assert_eq!(amounts.sum::<i64>(), 916, "{csv}");
    let table = run(&test, "statements --org acme").exits(0).stdout;
    let sums = "usage 0.08 EUR, adjustments 0.08 EUR, packs 9.00 EUR, refunds 0.00 EUR";
    assert!(table.contains(&format!("total 9.16 EUR: {sums}")), "{table}");
    assert!(table.contains("1,234,567"), "{table}");
    // The month is that of each org: Tokyo's February began on January 31 in UTC.
    let february = run(&test, "statements --period 2026-02 --format json").exits(0).json();
    let days: Vec<&Value> = february["statements"]
        .as_array()
        .expect("statements")
        .iter()
        .map(|shown| &shown["first_day"])
        .collect();
    assert_eq!(days, ["2026-02-01", "2026-02-01"]);
    let none = run(&test, "statements --period 2020-02").exits(0).stdout;
    assert_eq!(none, "no closed periods\n");
}

#[tokio::test]
async fn the_document_escapes_what_others_chose_and_fetches_nothing() {
    let test = closed().await;
    test.sql(
        "update organizations set name = '<script>alert(1)</script> & Söhne' where slug = 'acme'",
    )
    .await;
    let html = run(&test, "statements --org acme --period 2026-01 --format html").exits(0).stdout;
    assert!(html.contains("&lt;script&gt;alert(1)&lt;&#x2f;script&gt; &amp; Söhne"), "{html}");
    for word in ["<script", "http://", "https://", "src=", "url("] {
        assert!(!html.contains(word), "{word} in {html}");
    }
    for cell in ["9.16 EUR", "order-7", "2026-01-05 to 2026-01-31", "America&#x2f;New_York"] {
        assert!(html.contains(cell), "{cell} in {html}");
    }
    let (path, text) = (tempfile::tempdir().expect("a folder"), html);
    let file = path.path().join("acme.html");
    let output = file.to_str().expect("a path");
    let line = format!("statements --org acme --period 2026-01 --format html --output {output}");
    run(&test, &line).exits(0);
    assert_eq!(std::fs::read_to_string(&file).expect("the file"), text);
}

#[tokio::test]
async fn a_browser_that_does_not_print_is_named() {
    let test = closed().await;
    let pdf = "statements --org acme --format pdf";
    let missing = run(&test, &format!("{pdf} --chromium no-such-browser")).exits(2);
    assert!(missing.stderr.contains("install one, name it with --chromium"), "{}", missing.stderr);
    let fails = run(&test, &format!("{pdf} --chromium /bin/false")).exits(1);
    assert!(fails.stderr.contains("/bin/false did not print"), "{}", fails.stderr);
    for (line, words) in [
        ("statements", "required"),
        ("statements --org acmee", "did you mean `acme`?"),
        ("statements --period 2026-1", "write it as 2026-11"),
        ("statements --period 2026-01 --closed-since yesterday", "cannot be used with"),
        ("statements --closed-since noon", "RFC 3339"),
        ("statements --org acme --format parquet", "are for `export`"),
        ("statements --org acme --output x.html", "--output is for"),
    ] {
        let answer = run(&test, line).exits(2);
        assert!(answer.stderr.contains(words), "{line}: {}", answer.stderr);
    }
}

/// Usage of January that nobody counted by its close.
async fn late(test: &TestDatabase, feature: &str, quantity: i64) {
    test.sql(&format!(
        "insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
         select id, '{feature}', {quantity}, '2026-01-26Z' from organizations
         where slug = 'acme'"
    ))
    .await;
    run(test, "sync").exits(0);
}

/// The amounts of Acme's adjustments in January, by feature and number.
fn adjusted(test: &TestDatabase) -> Vec<String> {
    let acme = run(test, "statements --org acme --period 2026-01 --format json").exits(0).json();
    let lines = acme["statements"][0]["adjustments"].as_array().expect("adjustments").iter();
    let said = lines.map(|line| {
        format!(
            "{} {} {} {}",
            line["feature"], line["uncovered"], line["amount_cents"], line["currency"]
        )
    });
    said.map(|line| line.replace('"', "")).collect()
}

#[tokio::test]
async fn late_usage_has_the_price_that_held_in_its_period_whatever_is_sold_later() {
    const DEARER: &str = "update tier_limits set uncovered_price_cents = 99;
                          update subscription_tiers set currency = 'USD'";
    let test = closed_with("minutes_transcribed = \"10\"").await;
    test.sql(DEARER).await;
    // Of something that was used by the close, and of something that was not.
    late(&test, "sms_sent", 4).await;
    late(&test, "minutes_transcribed", 5).await;
    // One that had no price then has none.
    test.sql(
        "insert into tier_limits (tier, feature, included, uncovered_price_cents)
         values ('pro', 'emails_sent', 0, 7)",
    )
    .await;
    late(&test, "emails_sent", 2).await;
    let priced = [
        "emails_sent 2 null null",
        "minutes_transcribed 5 50 EUR",
        "sms_sent 3 8 EUR",
        "sms_sent 4 10 EUR",
    ];
    assert_eq!(adjusted(&test), priced);
    // What was kept stays, and no close is asked again.
    test.sql("update billing_periods set unused_features = null, unused_prices = null").await;
    assert_eq!(adjusted(&test), priced);
    let exported = run(&test, "export adjustments --format csv").exits(0).stdout;
    assert!(exported.contains(",10,50,EUR,") && !exported.contains("USD"), "{exported}");
}

#[tokio::test]
async fn late_usage_from_before_prices_were_kept_has_that_of_its_close_or_of_the_tier() {
    let test = closed_with("minutes_transcribed = \"10\"").await;
    late(&test, "minutes_transcribed", 5).await;
    test.sql(
        "update billing_adjustments
             set keeps_price = false, uncovered_price_cents = null, currency = null;
         update billing_periods set unused_features = null, unused_prices = null;
         update tier_limits set uncovered_price_cents = 99",
    )
    .await;
    assert_eq!(adjusted(&test), ["minutes_transcribed 5 495 EUR", "sms_sent 3 8 EUR"]);
    let exported = run(&test, "export adjustments --format csv").exits(0).stdout;
    assert!(exported.contains(",99,495,EUR,"), "{exported}");
}

#[tokio::test]
async fn a_refund_takes_its_share_of_the_price_off_its_period() {
    let test = closed().await;
    run(
        &test,
        "packs grant --org acme --offer sms-20 --reference order-8 --at 2026-03-01T12:00:00Z",
    )
    .exits(0);
    // Thirds of a price that does not divide.
    test.sql(
        "update overage_packs set price_cents = 1000, quantity = 3, remaining = 3
              where reference = 'order-8';
              update overage_entries e set quantity = 3, remaining = 3 from overage_packs p
              where p.org_id = e.org_id and p.id = e.pack_id and p.reference = 'order-8'",
    )
    .await;
    for day in ["2026-03-03", "2026-03-04", "2026-04-03"] {
        run(&test, &format!("rollover --at {day}T12:00:00Z")).exits(0);
        let refund = "packs refund --org acme --reference order-8 --quantity 1 --yes";
        run(&test, &format!("{refund} --at {day}T12:00:00Z")).exits(0);
    }
    run(&test, "rollover --at 2026-05-02T12:00:00Z").exits(0);
    let shown = |month: &str, format: &str| {
        let line = format!("statements --org acme --period {month} --format {format}");
        run(&test, &format!("{line} --at 2026-05-02T12:00:00Z")).exits(0)
    };
    let march = shown("2026-03", "json").json();
    let refunds = march["statements"][0]["packs_refunded"].as_array().expect("refunds").clone();
    let amounts: Vec<&Value> = refunds.iter().map(|refund| &refund["amount_cents"]).collect();
    assert_eq!(amounts, [&json!(-333), &json!(-334)], "{march:#}");
    assert_eq!(march["totals"], total([0, 0, 1000, -667, 333]));
    let april = shown("2026-04", "json").json();
    assert_eq!(april["totals"], total([0, 0, 0, -333, -333]));
    let csv = shown("2026-03", "csv").stdout;
    assert!(csv.contains(",refund,sms_sent,,,,,,-334,EUR,1,order-8,"), "{csv}");
    let table = shown("2026-03", "table").stdout;
    assert!(table.contains("refund of order-8: 1 sms_sent"), "{table}");
    assert!(table.contains("packs 10.00 EUR, refunds -6.67 EUR"), "{table}");
    let html = shown("2026-03", "html").stdout;
    assert!(html.contains("Packs refunded") && html.contains("-3.34 EUR"), "{html}");
    // The ledger says the same.
    let ledger = "select sum(quantity) from overage_entries where kind = 'refunded'";
    assert_eq!(test.rows(ledger).await, ["3"]);
}

#[tokio::test]
async fn what_would_be_left_out_is_refused() {
    let test = closed().await;
    // Nothing is left out silently.
    test.sql(
        "insert into billing_adjustments (org_id, feature, period_start, seq, kind)
         select b.org_id, 'scrapes', b.period_start, s, 'late'
         from billing_periods b join organizations o on o.id = b.org_id,
              generate_series(1, 501) s
         where o.slug = 'acme' and b.period_start < '2026-02-01Z'",
    )
    .await;
    let refused = run(&test, "statements --org acme --period 2026-01");
    assert!(refused.stderr.contains("more than 500 adjustments"), "{refused:?}");
}

#[tokio::test]
async fn a_pack_that_moved_is_sold_once() {
    let test = closed().await;
    run(&test, "packs grant --org acme --offer sms-20 --reference order-8").exits(0);
    run(&test, "packs move --org acme --reference order-8 --into bolt").exits(0);
    run(&test, "rollover --at 2026-04-02T00:00:00Z").exits(0);
    let march = run(&test, "statements --period 2026-03 --format json --at 2026-04-02T00:00:00Z");
    let march = march.exits(0).json();
    let packs = march["statements"].as_array().expect("statements").iter().map(|shown| {
        (shown["org"].as_str().expect("a slug"), shown["packs_bought"].as_array().expect("packs"))
    });
    let sold: Vec<(&str, usize)> = packs.map(|(org, packs)| (org, packs.len())).collect();
    assert_eq!(sold, [("acme", 1), ("bolt", 0)], "{march:#}");
    let csv = run(&test, "export packs --format csv").exits(0).stdout;
    assert!(csv.lines().next().is_some_and(|line| line.contains("moved_from")), "{csv}");
    let acme = test.rows("select id from organizations where slug = 'acme'").await.remove(0);
    let moved = csv.lines().filter(|line| line.contains("bolt") && line.contains(&acme));
    assert_eq!(moved.count(), 1, "{csv}");
}
