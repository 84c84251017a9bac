//! `/usage`: how the month goes, and the overview that it is read from.

use super::{is_harmless, quoted, unread};
use crate::pages::{Browser, PUBLIC};
use crate::served::{Served, token};

/// Orgs in the tenth day of a month: acme uses 5 scrapes a day and has used 50 of 100, bolt has a
/// pack, cape has no limit, dorm has ended its period unclosed, echo is parked.
async fn with_usage() -> Served {
    let served = Served::with(PUBLIC).await;
    for slug in ["acme", "bolt", "cape", "dorm", "echo"] {
        served.customer(slug).await;
    }
    served
        .test
        .sql(
            "insert into tier_limits values ('pro', 'scrapes', 100);
             insert into pack_offers (code, feature, quantity, price_cents)
                values ('scrapes-60', 'scrapes', 60, 900);
             update organizations
                set current_period_start = now() - interval '10 days',
                    current_period_end = now() + interval '20 days',
                    current_period_end_date = (now() + interval '20 days')::date,
                    next_period_ends = array[now() + interval '50 days'];
             update organizations
                set current_period_start = now() - interval '31 days',
                    current_period_end = now() - interval '1 hour',
                    current_period_end_date = (now() - interval '1 hour')::date,
                    next_period_ends = array[now() + interval '30 days']
                where slug = 'dorm';
             update organizations set parked_at = now(), parked_reason = 'by hand',
                    parked_code = 'by_hand' where slug = 'echo';
             insert into usage_metrics (organization_id, metric_type, metric_value, created_at,
                    counted_at)
                select id, 'Scrapes', 5, now() - n * interval '1 day', now()
                from organizations, generate_series(0, 40) n where slug = 'acme';
             insert into usage_counters (org_id, feature, period_start, period_end, used,
                    sync_status)
                select o.id, 'scrapes', case when slug = 'dorm' then o.current_period_end
                       else o.current_period_start end,
                       case when slug = 'dorm' then o.next_period_ends[1]
                       else o.current_period_end end, u.used, 'synced'
                from organizations o
                join (values ('acme', 50), ('bolt', 150), ('cape', 7000), ('dorm', 12),
                             ('echo', 99)) as u (slug, used) using (slug);
             insert into overage_packs (org_id, feature, quantity, remaining, entries)
                select id, 'scrapes', 100, 100, 1 from organizations where slug = 'bolt';
             insert into overage_entries (org_id, pack_id, seq, kind, quantity, remaining)
                select org_id, id, 1, 'granted', 100, 100 from overage_packs;
             insert into limit_overrides (org_id, feature, included)
                select id, 'scrapes', null from organizations where slug = 'cape'",
        )
        .await;
    served
}

#[tokio::test(flavor = "multi_thread")]
async fn the_overview_is_kept_once_an_hour_and_says_what_the_functions_say() {
    let served = with_usage().await;
    served.test.periodd(&["alerts", "run"]).exits(0);
    // The same org by org, by the function that increments go by.
    let expected = served
        .test
        .rows(
            "select t.tenth, count(*) from (
                 select least(trunc(c.used * 10 / a.allowance), 12)::int as tenth
                 from organizations o join usage_counters c on c.org_id = o.id
                 cross join lateral periodd_limit(o.id, c.feature, now()) a
                 where o.parked_at is null and a.allowance is not null) t
             group by 1 order by 1",
        )
        .await;
    assert_eq!(expected, ["1 1", "5 1", "7 1"]);
    let kept = served
        .test
        .rows(
            "select place - 1, orgs from periodd_overview,
                    jsonb_array_elements(tenths) with ordinality as t (orgs, place)
             where feature = 'scrapes' and orgs <> '0' order by 1",
        )
        .await;
    assert_eq!(kept, expected);
    let taken = "select feature, taken_at from periodd_overview order by 1";
    let first = served.test.rows(taken).await;
    served.test.periodd(&["alerts", "run"]).exits(0);
    assert_eq!(served.test.rows(taken).await, first, "once an hour");
    served.test.periodd(&["alerts", "run", "--full"]).exits(0);
    assert_ne!(served.test.rows(taken).await, first, "and with everything");
    assert_eq!(served.test.rows(taken).await.len(), first.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_says_who_will_run_out_and_when_that_was_read() {
    let served = with_usage().await;
    let browser = Browser::with(&served, &served.token).await;
    let page = browser.page("/usage?feature=scrapes").await;
    assert!(page.matches("Not read yet").count() == 4, "{page}");
    served.test.periodd(&["alerts", "run"]).exits(0);
    served
        .test
        .sql(
            "insert into periodd_overview
             select hour - interval '30 days 5 hours', feature, taken_at - interval '30 days',
                    '[9,0,0,0,0,0,0,0,0,0,0,0,0]', '[]', '[]',
                    '{\"orgs\": [], \"looked_at\": 0, \"unread\": 0}'
             from periodd_overview",
        )
        .await;
    let page = browser.page("/usage").await;
    for text in [
        "Who will run out",
        // At 5 a day 50 more last ten days; twenty days need 50 more than that.
        ">1 × scrapes-60<",
        "Of 3 orgs, 0 have used 80 % or more",
        "A month ago",
        "7,000",
        "unlimited",
        "75 %",
        "The same as a table",
        "As of <time",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    let row = page.split("data-label=\"Used up on\"").nth(1).expect("a row");
    assert!(row.contains(">acme</a>"), "{row}");
    for (label, value) in [("Used", "50"), ("Allowance", "100")] {
        assert!(row.contains(&format!("data-label=\"{label}\">{value}<")), "{label}: {row}");
    }
    // Orgs that are parked are nobody's overview.
    assert!(!page.contains(">echo</a>"), "{page}");
    served.test.sql("update periodd_overview set taken_at = taken_at - interval '1 day'").await;
    assert!(browser.page("/usage").await.contains("alerts job, which is late"));
    let other = browser.page("/usage?feature=nothing").await;
    assert!(other.contains("Nothing was used in 60 days."), "{other}");
    assert!(page.len() < 60_000, "{} bytes", page.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_said_to_be_nothing_and_a_block_that_fails_says_so() {
    let served = Served::with(PUBLIC).await;
    let browser = Browser::with(&served, &served.token).await;
    let page = browser.page("/usage").await;
    for text in ["Not read yet", "Nothing was used in 60 days.", "No packs were ever sold."] {
        assert!(page.contains(text), "{text}: {page}");
    }
    served.customer("acme").await;
    served.test.periodd(&["alerts", "run"]).exits(0);
    let page = browser.page("/usage?feature=scrapes").await;
    for text in
        ["Nobody, by the forecast.", "No org with a limit has used it", "No org has used it."]
    {
        assert!(page.contains(text), "{text}: {page}");
    }
    unread(&served, &browser, "/usage", ("periodd_overview", 4, "No packs were ever sold.")).await;
    served.test.sql("update periodd_overview set tenths = '{}'").await;
    let page = browser.page("/usage").await;
    assert_eq!(page.matches("It could not be read; the log has the reason.").count(), 4, "{page}");
    let own = token(&served.test, "own", &["read"], &["--org", "acme"]);
    Browser::with(&served, &own).await.get("/usage").await.is(403);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_text() {
    let served = with_usage().await;
    let hostile = quoted();
    served
        .test
        .sql(&format!(
            "insert into features (feature) values (lower({hostile}));
             update organizations set slug = {hostile} where slug = 'acme';
             insert into usage_counters (org_id, feature, period_start, period_end, used)
                select id, lower({hostile}), current_period_start, current_period_end, 9
                from organizations where slug = 'bolt';
             insert into overage_packs (org_id, feature, quantity, remaining, entries)
                select id, lower({hostile}), 100, 100, 1 from organizations where slug = 'bolt'"
        ))
        .await;
    served.test.periodd(&["alerts", "run"]).exits(0);
    let browser = Browser::with(&served, &served.token).await;
    let page = browser.page("/usage").await;
    // In the address of a link every letter stands.
    let words: String = page
        .split(" href=\"")
        .map(|part| part.split_once('"').map_or(part, |(_, rest)| rest))
        .collect();
    is_harmless(&words, "/usage");
}
