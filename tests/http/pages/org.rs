//! The page of an org: the picture of its period, what one more would do, its packs over time, its
//! closes with their statements, and how it looks in every state.

use serde_json::json;
use sqlx::Connection;

use super::{Browser, PUBLIC};
use crate::client::Request;
use crate::served::{Served, token};

/// Acme in New York since four months ago: use at all hours, packs, closed periods, late usage, a
/// crossed threshold with its email, and a use that is not counted yet.
async fn rich() -> Served {
    let served = Served::with(PUBLIC).await;
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
         from organizations o, generate_series(0, 380) i",
    )
    .await;
    let grant = ["packs", "grant", "--org", "acme", "--feature", "scrapes"];
    for (reference, quantity) in [("order-1", "90"), ("order-2", "500")] {
        let bought = ["--quantity", quantity, "--reference", reference, "--purchased-at", &start];
        test.periodd(&[&grant[..], &bought].concat()).exits(0);
    }
    let refund = ["packs", "refund", "--org", "acme", "--reference", "order-2", "--quantity", "20"];
    test.periodd(&["rollover"]).exits(0);
    test.periodd(&["sync"]).exits(0);
    test.periodd(&[&refund[..], &["--yes"]].concat()).exits(0);
    test.sql(
        "insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
         select o.id, 'scrapes', 3, b.period_start + interval '1 hour'
         from organizations o,
              (select * from billing_periods order by period_start desc limit 1) b;
         insert into usage_metrics (organization_id, metric_type, metric_value)
         select id, 'emails_sent', 6.5 from organizations",
    )
    .await;
    test.periodd(&["sync"]).exits(0);
    test.sql(
        "insert into usage_metrics (organization_id, metric_type, metric_value)
         select id, 'scrapes', 41.5 from organizations;
         insert into periodd_alerts (org_id, feature, period_start, period_end, threshold, used)
         select id, 'emails_sent', current_period_start, current_period_end, 80, 6
         from organizations;
         insert into periodd_outbox (org_id, id, feature, period_start, period_end, generation,
                                     threshold, recipient, state, settled_at)
         select id, gen_random_uuid(), 'emails_sent', current_period_start, current_period_end, 1,
                80, 'ann@acme.example', 'sent', now() from organizations",
    )
    .await;
    served
}

/// The text of a part of a page.
fn part<'a>(page: &'a str, id: &str) -> &'a str {
    let (_, rest) = page.split_once(&format!("id=\"{id}\"")).unwrap_or_else(|| panic!("{id}"));
    rest.split_once("</section>").map_or(rest, |(part, _)| part)
}

/// The first feature.
fn first(page: &str) -> &str {
    let (_, rest) = page.split_once("id=\"feature-").unwrap_or_else(|| panic!("{page}"));
    rest.split_once("</section>").map_or(rest, |(part, _)| part)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_picture_of_a_period_says_who_pays_and_where_it_goes() {
    let served = rich().await;
    let browser = Browser::with(&served, &served.token).await;
    let page = browser.page("/orgs/acme?feature=SCRAPES").await;
    let scrapes = first(&page);
    for text in [
        "<h2>scrapes</h2>",
        "class=\"chart\"",
        "included 100",
        "pack order-1: ",
        "pack order-2: ",
        "claimed; drawn at the close",
        "41.5 not counted yet",
        "Not counted yet",
        "Expected at the reset",
        "The same as a table",
        "narrow-only",
        "Resets <time",
        "EST</time> (",
    ] {
        assert!(scrapes.contains(text), "{text}: {scrapes}");
    }
    // Every day of the period up to now is in the table.
    let days = served
        .test
        .rows(
            "select to_char(d, 'Mon FMDD YYYY')
             from organizations o,
                  generate_series((o.current_period_start at time zone o.time_zone)::date,
                                  (now() at time zone o.time_zone)::date, '1 day') d",
        )
        .await;
    for day in days {
        assert!(scrapes.contains(&format!("<td>{day}<td")), "{day}: {scrapes}");
    }
    // A threshold with when it was crossed, and when its email was sent.
    let page = browser.page("/orgs/acme?feature=emails_sent").await;
    let emails = first(&page);
    for text in ["<td>Threshold 80 %<td class=\"n\">5.6<td>crossed ", ", emailed ", "not crossed"] {
        assert!(emails.contains(text), "{text}: {emails}");
    }
    let unlimited = first(&browser.page("/orgs/acme?feature=sms_sent").await).to_owned();
    assert!(unlimited.contains("without a limit") && unlimited.contains("unlimited"));
    assert!(!unlimited.contains("<span>used</span>"), "there is nothing to be a share of");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_more_is_what_a_check_says() {
    let served = rich().await;
    served
        .test
        .sql(
            "insert into pack_offers values
                 ('small', 'emails_sent', 10, 150, 'USD'), ('big', 'emails_sent', 100, 900, 'USD');
             select record_usage(id, 'emails_sent', 0.5) from organizations",
        )
        .await;
    served.test.periodd(&["sync"]).exits(0);
    let browser = Browser::with(&served, &served.token).await;
    for feature in ["emails_sent", "scrapes", "sms_sent"] {
        let check = served.get(&format!("/api/v1/usage/acme/check/{feature}")).await.is(200).json();
        let page = browser.page(&format!("/orgs/acme?feature={feature}")).await;
        let card = first(&page);
        let word = if check["allowed"] == json!(true) { "allowed" } else { "refused" };
        assert!(card.contains(&format!("One more: {word}")), "{feature}: {card}");
        // When it resets stands beside it.
        let message = check["message"].as_str().expect("a sentence");
        let message = message.split("; usage resets").next().unwrap_or_default();
        assert!(card.contains(message), "{message}: {card}");
        for (key, name) in
            [("included_left", "Included, left"), ("purchased_left", "Purchased, left")]
        {
            let left = match &check[key] {
                serde_json::Value::Null => "unlimited".to_owned(),
                left => left.to_string(),
            };
            let fact = format!("<dt>{name}</dt><dd class=\"n\">{left}</dd>");
            assert!(card.contains(&fact), "{feature}: {fact}: {card}");
        }
        let offers = check["offers"].as_array().expect("offers");
        assert_eq!(card.contains("What would cover it"), !offers.is_empty(), "{feature}: {card}");
        if feature == "emails_sent" {
            assert!(card.contains("1 × small, 10 each, for $1.50 in all"), "{card}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn packs_are_drawn_from_their_ledger_and_closes_lead_to_statements() {
    let served = rich().await;
    let browser = Browser::with(&served, &served.token).await;
    let page = browser.page("/orgs/acme").await;
    let packs = part(&page, "packs");
    for text in
        ["Packs of scrapes", "order-1", "order-2", "refunded", "drawn", "granted", "left in"]
    {
        assert!(packs.contains(text), "{text}: {packs}");
    }
    let closed = part(&page, "closed");
    assert!(closed.contains("Closed periods of "), "{closed}");
    let starts = served
        .test
        .rows("select period_start from billing_periods order by period_start desc")
        .await;
    assert_eq!(starts.len(), 4);
    for start in &starts {
        let href = format!("/orgs/acme/periods/{}", start.replace(':', "%3A"));
        assert!(closed.contains(&href), "{href}: {closed}");
    }

    // The statement of the last one says what the books say.
    let path = format!("/orgs/acme/periods/{}", starts[0]);
    let statement = browser.page(&path).await;
    let figures = served
        .test
        .rows(
            "select u.feature || ' ' || trim_scale(u.used) || ' ' || trim_scale(u.drawn)
             from billing_period_usage u
             where u.period_start = (select max(period_start) from billing_periods)
             order by 1",
        )
        .await;
    assert_eq!(figures.len(), 2);
    let shown = part(&statement, "figures");
    for figure in figures {
        for text in figure.split(' ') {
            assert!(shown.contains(&format!(">{text}</td>")), "{text}: {shown}");
        }
    }
    for text in ["Adjustments", "late", ">3</td>", "tier pro", "America/New_York", "as CSV"] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    let drawn = served
        .test
        .rows(
            "select distinct p.reference from overage_entries e
             join overage_packs p on p.org_id = e.org_id and p.id = e.pack_id
             where e.kind = 'drawn'
               and e.period_start = (select max(period_start) from billing_periods)",
        )
        .await;
    for reference in &drawn {
        assert!(part(&statement, "packs").contains(reference), "{reference}: {statement}");
    }
    let by_day = part(&statement, "days");
    assert!(by_day.contains("scrapes by day") && by_day.contains("class=\"chart\""), "{by_day}");
    assert!(!by_day.contains("t-warning"), "the days add up to the figures: {by_day}");
    // It is never edited.
    let main = statement.split_once("<main").expect("a page").1;
    let main = main.split_once("</main>").expect("its end").0;
    assert!(!main.contains("<form") && !main.contains("<button"), "{main}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_is_a_file_and_an_unknown_one_a_page_in_words() {
    let served = rich().await;
    served.customer("bolt").await;
    let browser = Browser::with(&served, &served.token).await;
    let start = served.test.rows("select max(period_start) from billing_periods").await.concat();
    let path = format!("/orgs/acme/periods/{start}");
    let file = browser.get(&format!("{path}?format=csv")).await.is(200);
    assert_eq!(file.header("content-type"), Some("text/csv; charset=utf-8"));
    assert_eq!(file.header("content-disposition"), Some("attachment; filename=\"statement.csv\""));
    let by_accept = browser.request(crate::client::Request::get(&path)).with("accept", "text/csv");
    assert_eq!(served.bare(by_accept).await.is(200).body, file.body);
    let count = |kind: &str| {
        let begins = format!("{kind},");
        file.body.lines().filter(|line| line.starts_with(&begins)).count()
    };
    assert_eq!((count("period"), count("usage"), count("adjustment")), (1, 2, 1), "{}", file.body);
    let sums = served
        .test
        .rows(
            "select count(*) from (
                 select distinct lower(metric_type),
                        (created_at at time zone 'America/New_York')::date
                 from usage_metrics m, billing_periods b
                 where b.period_start = (select max(period_start) from billing_periods)
                   and m.created_at >= b.period_start and m.created_at < b.period_end) d",
        )
        .await;
    assert_eq!(count("day").to_string(), sums[0], "{}", file.body);
    browser.get(&format!("{path}?format=xml")).await.is(422);

    let open = served.test.rows("select current_period_start from organizations").await;
    for unknown in [open[0].as_str(), "2020-01-01T00:00:00Z", "yesterday", "%3Cscript%3E", "x%00"] {
        let answer = browser.get(&format!("/orgs/acme/periods/{unknown}")).await;
        if unknown.contains("%00") {
            answer.is(400);
            continue;
        }
        let answer = answer.is(404);
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
        let said = "no closed period of `acme` begins at";
        assert!(answer.body.contains(said) && !answer.body.contains("<script>"), "{}", answer.body);
    }
    // An org's token sees its own statements, and no others.
    let own = token(&served.test, "own", &["read"], &["--org", "acme"]);
    let own = Browser::with(&served, &own).await;
    own.page(&path).await;
    own.get(&format!("{path}?format=csv")).await.is(200);
    own.get(&format!("/orgs/bolt/periods/{start}")).await.is(404);
    let own = token(&served.test, "bolts", &["read"], &["--org", "bolt"]);
    Browser::with(&served, &own).await.get(&path).await.is(404);
}

/// Orgs in every state: what each is called, and its period.
const LOOKS: [(&str, &str); 8] = [
    ("unlimited", "now() - interval '20 days', now() + interval '10 days'"),
    ("nothing", "now() - interval '20 days', now() + interval '10 days'"),
    ("unopened", "null, null"),
    ("first-day", "now() - interval '3 hours', now() + interval '30 days'"),
    ("daily", "now() - interval '5 hours', now() + interval '19 hours'"),
    ("year", "now() - interval '200 days', now() + interval '165 days'"),
    ("many", "now() - interval '20 days', now() + interval '10 days'"),
    ("parked", "now() - interval '20 days', now() + interval '10 days'"),
];

/// A server with an org for each of these looks.
async fn looks() -> Served {
    let served = Served::with(PUBLIC).await;
    served.test.sql("insert into tier_limits values ('pro', 'scrapes', 500)").await;
    for (slug, period) in LOOKS {
        let tier = if slug == "nothing" { "free" } else { "pro" };
        let cycle = match slug {
            "daily" => "daily",
            "year" => "yearly",
            _ => "monthly",
        };
        served
            .test
            .sql(&format!(
                "insert into organizations (slug, name, time_zone, subscription_tier, cycle,
                                            current_period_start, current_period_end)
                 values ('{slug}', 'Org {slug}', 'Europe/Berlin', '{tier}', '{cycle}', {period});
                 insert into usage_metrics (organization_id, metric_type, metric_value, created_at,
                                            counted_at)
                 select id, 'scrapes', 1, now() - i * interval '2 hours', now()
                 from organizations, generate_series(1, 2000) i
                 where slug = '{slug}' and now() - i * interval '2 hours' >= current_period_start;
                 insert into usage_counters (org_id, feature, period_start, period_end, used)
                 select o.id, 'scrapes', o.current_period_start, o.current_period_end, count(m)
                 from organizations o
                 join usage_metrics m on m.organization_id = o.id
                 where o.slug = '{slug}' group by 1, 2, 3, 4"
            ))
            .await;
    }
    served
        .test
        .sql(
            "insert into limit_overrides
                 select id, 'scrapes', null from organizations where slug = 'unlimited';
             insert into features (feature)
                 select 'feature_' || lpad(i::text, 2, '0') from generate_series(1, 40) i;
             insert into limit_overrides
                 select o.id, f.feature, 100 from organizations o, features f
                 where o.slug = 'many' and f.feature like 'feature\\_%';
             insert into billing_periods (org_id, period_start, period_end, follows, tier, features,
                                          used_each, included_each, drawn_each, uncovered_each)
                 select id, current_period_start - i * interval '720 hours',
                        current_period_start - (i - 1) * interval '720 hours',
                        case when i < 14 then current_period_start - i * interval '720 hours' end,
                        'pro', f.names, array_fill(130, f.length), array_fill(100, f.length),
                        array_fill(10, f.length), array_fill(20, f.length)
                 from organizations, generate_series(1, 14) i,
                      (select array_agg(feature order by feature) as names,
                              array[count(*)::int] as length
                       from features where feature like 'feature\\_%') f
                 where slug = 'many';
             insert into overage_packs (org_id, feature, quantity, reference, purchased_at)
                 select id, 'feature_01', 10 + i, 'order-' || i, now() - i * interval '10 days'
                 from organizations, generate_series(1, 30) i where slug = 'many';
             insert into overage_entries (org_id, pack_id, seq, kind, quantity, remaining, at)
                 select p.org_id, p.id, i, case i when 1 then 'granted' else 'drawn' end, 1, 10 - i,
                        now() - (10 - i) * interval '1 day'
                 from overage_packs p, generate_series(1, 8) i;
             insert into users (organization_id, email)
                 select id, 'user-' || i || '@many.example'
                 from organizations, generate_series(1, 30) i where slug = 'many';
             insert into org_contacts (org_id, email)
                 select id, 'contact-' || i || '@many.example'
                 from organizations, generate_series(1, 30) i where slug = 'many';
             update organizations
                 set parked_at = now(), parked_code = 'by_hand', parked_reason = 'under audit'
                 where slug = 'parked'",
        )
        .await;
    served
}

#[tokio::test(flavor = "multi_thread")]
async fn an_org_has_a_look_of_its_own_in_every_state() {
    let served = looks().await;
    let browser = Browser::with(&served, &served.token).await;
    for (slug, shown, not) in [
        ("unlimited", &["without a limit", "class=\"chart\"", "allowed"][..], "<span>used</span>"),
        ("nothing", &["nothing is granted", "refused", "is not included in the plan"][..], "90 %"),
        (
            "unopened",
            &["No period is open.", "no open period: increments fail"][..],
            "class=\"chart\"",
        ),
        ("first-day", &["class=\"chart\"", "Too little usage for a forecast"][..], "Used up"),
        ("daily", &["class=\"chart\"", "of 500 used"][..], "Uncovered"),
        ("year", &["class=\"chart\"", "of 500 used"][..], "Uncovered"),
        (
            "many",
            &["The other features", "feature_40", "\"?feature=feature_40\">feature_40"][..],
            "No pack",
        ),
        (
            "parked",
            &["This org is parked.", "under audit", "orgs unpark parked", "class=\"chart\""][..],
            "Uncovered",
        ),
    ] {
        let page = browser.page(&format!("/orgs/{slug}")).await;
        for text in shown {
            assert!(page.contains(text), "{slug}: {text}: {page}");
        }
        assert!(!page.contains(not), "{slug}: {not}: {page}");
        assert!(page.len() < 60_000, "{slug}: {} bytes", page.len());
    }
    // Each of the many has a picture, where it is asked for.
    let page = browser.page("/orgs/many?feature=feature_40").await;
    assert!(first(&page).contains("feature_40 in this period"), "{page}");
    // A day by its hours, a year by its weeks, each in the org's zone.
    let year = browser.page("/orgs/year").await;
    let weeks = first(&year).matches(" more<").count();
    assert!((28..=30).contains(&weeks), "{weeks} weeks");
    let parked = browser.page("/orgs/parked").await;
    let at = |text: &str| parked.find(text).unwrap_or_else(|| panic!("{text}"));
    assert!(at("This org is parked.") < at("under audit"));
    assert!(
        at("under audit") < at("orgs unpark parked") && at("orgs unpark parked") < at("Period")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_others_are_text_on_an_orgs_page_in_its_pictures_and_in_its_file() {
    let served = rich().await;
    let hostile = "=cmd<script>alert(1)</script>\"'&{{ 7*7 }}\u{202e}\u{7}";
    let quoted = format!("E'{}'", hostile.replace('\'', "\\'").replace('\u{7}', "\\x07"));
    let long = "x".repeat(10_000);
    let start = served.test.rows("select max(period_start) from billing_periods").await.concat();
    served
        .test
        .sql(&format!(
            "insert into features (feature, unit) values (lower({quoted}), {quoted})
                on conflict do nothing;
             insert into tier_limits (tier, feature, included)
                values ('pro', lower({quoted}), 0) on conflict do nothing;
             update organizations set name = {quoted} || '{long}';
             update overage_packs set reference = {quoted} || '{long}' where reference = 'order-1';
             insert into pack_offers values ({quoted}, lower({quoted}), 10, 150, 'USD');
             insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
                select id, {quoted}, 2, '{start}'::timestamptz + interval '2 hours'
                from organizations;
             insert into overage_packs (org_id, feature, quantity, reference)
                select id, lower({quoted}), 5, {quoted} from organizations;
             update billing_adjustments set reason = {quoted} || '{long}'"
        ))
        .await;
    let browser = Browser::with(&served, &served.token).await;
    let feature =
        "%3Dcmd%3Cscript%3Ealert(1)%3C%2Fscript%3E%22%27%26%7B%7B%207*7%20%7D%7D%E2%80%AE%07";
    let statement = format!("/orgs/acme/periods/{start}");
    for path in ["/orgs/acme", &format!("/orgs/acme?feature={feature}"), &statement] {
        let page = browser.page(path).await;
        assert!(page.contains("&lt;script&gt;"), "{path}: {page}");
        let rest = page.replace("<script src=", "");
        for markup in ["<script>", "\u{202e}", "\u{7}", ">49<"] {
            assert!(!rest.contains(markup), "{path}: {markup:?}: {page}");
        }
        assert!(!page.contains(&"x".repeat(1_000)), "{path}: what is too long is cut");
        assert!(page.len() < 60_000, "{path}: {} bytes", page.len());
    }
    let file = browser.get(&format!("{statement}?format=csv")).await.is(200).body;
    assert!(file.contains("'=cmd"), "{file}");
    for line in file.lines() {
        for cell in line.split(',') {
            let cell = cell.trim_start_matches('"');
            assert!(!cell.starts_with(['=', '+', '@', '\t']), "{line}");
        }
    }
    assert!(!file.contains('\u{202e}') && !file.contains('\u{7}'), "{file}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_cannot_be_read_says_so_and_is_not_nothing() {
    let served = rich().await;
    let start = served.test.rows("select max(period_start) from billing_periods").await.concat();
    let statement = format!("/orgs/acme/periods/{start}");
    let browser = Browser::with(&served, &served.token).await;
    let mut holder = served.test.connect().await;
    for (table, path, unread, stands) in [
        ("billing_adjustments", "/orgs/acme", 3, "The ledger of packs"),
        // Who paid is a part of the statement, which is read as one.
        ("overage_entries", statement.as_str(), 3, "The statement as CSV"),
        ("usage_metrics", statement.as_str(), 1, "Usage, and who paid for it"),
    ] {
        let mut lock = holder.begin().await.expect("a transaction");
        let held = sqlx::AssertSqlSafe(format!("lock table {table} in access exclusive mode"));
        sqlx::raw_sql(held).execute(&mut *lock).await.expect("held");
        let page = browser.page(path).await;
        let file = browser.get(&format!("{statement}?format=csv")).await;
        lock.rollback().await.expect("let go");
        let count = page.matches("did not answer within 2 s").count();
        assert_eq!(count, unread, "{table} for {path}: {page}");
        assert!(page.contains(stands), "{table} for {path}: {page}");
        // A file is whole, or there is none.
        file.is(503);
    }
    browser.get(&format!("{statement}?format=csv")).await.is(200);
}

#[tokio::test]
async fn what_was_set_off_for_an_org_is_on_its_page_and_in_the_list_of_its_runs() {
    let served = Served::with(PUBLIC).await;
    served.customer("acme").await;
    served.customer("cedar").await;
    let own = token(&served.test, "own", &["read", "sync"], &["--org", "acme"]);
    served.with_token(&own, Request::post("/api/v1/usage/acme/sync", &json!({}))).await.is(200);
    served.test.periodd(&["sync", "--org", "acme"]).exits(0);
    served.test.periodd(&["sync", "--org", "cedar"]).exits(0);
    served.test.periodd(&["sync"]).exits(0);
    let of = |named: &str| {
        let list = ["runs", "list", "--format", "json", "--org", named];
        let runs = served.test.periodd(&list).exits(0).stdout;
        let runs: Vec<serde_json::Value> = serde_json::from_str(&runs).expect("JSON");
        runs.iter().map(|run| run["id"].to_string()).collect::<Vec<_>>()
    };
    let (acme, cedar) = (of("acme"), of("cedar"));
    assert_eq!((acme.len(), cedar.len()), (2, 1));
    let chief = Browser::with(&served, &served.token).await;
    let page = chief.page("/orgs/acme").await;
    for run in &acme {
        assert!(page.contains(&format!("href=\"/runs/{run}\"")), "{run}: {page}");
    }
    assert!(!page.contains(&format!("href=\"/runs/{}\"", cedar[0])), "{page}");
    let run = chief.page(&format!("/runs/{}", acme[1])).await;
    assert!(run.contains("href=\"/orgs/acme\"") && run.contains("own"), "{run}");
    // Whoever sees only this page learns nothing of who works on it.
    let page = Browser::with(&served, &own).await.page("/orgs/acme").await;
    assert!(!page.contains("/runs/"), "{page}");
}
