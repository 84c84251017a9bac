//! `/drift`: what audits found, and who refused what.

use super::{is_harmless, quoted, unread};
use crate::pages::{Browser, PUBLIC};
use crate::served::{Served, token};

#[tokio::test(flavor = "multi_thread")]
async fn repairs_are_summed_and_listed() {
    let served = Served::with(PUBLIC).await;
    let browser = Browser::with(&served, &served.token).await;
    let empty = browser.page("/drift").await;
    for text in [
        "Audits have repaired nothing",
        "No repairs.",
        "Nothing was ever repaired",
        "No audit yet.",
        "no audit has ended well yet",
        "sync --full --check",
    ] {
        assert!(empty.contains(text), "{text}: {empty}");
    }
    let (org, _) = served.customer("acme").await;
    served.customer("bolt").await;
    served
        .test
        .sql(&format!(
            "insert into periodd_runs (job, trigger, outcome, replica, started_at, finished_at,
                    counts, error)
             values ('audit', 'command', 'done', 'a:1', now() - interval '2 hours',
                     now() - interval '2 hours' + interval '1.5 s',
                     '{{\"orgs_audited\": 12, \"drift_found\": 4, \"purchases_without_pack\": 2}}',
                     null),
                    ('audit', 'command', 'failed', 'a:1', now() - interval '1 hour', now(), null,
                     'half of all orgs would change');
             insert into periodd_drift (org_id, run, feature, period_start, place, before, after,
                    difference, reason, found_at)
             select '{org}', (select min(id) from periodd_runs), 'scrapes',
                    timestamptz '2026-05-01',
                    'usage_counters.used', 7, 9, 2, 'the counter was lower than its metrics',
                    now() - n * interval '1 minute'
             from generate_series(1, 3) n
             union all
             select id, null, 'scrapes', timestamptz '2026-05-01', 'organizations.usage', null, 1,
                    1, 'gone',
                    now() - interval '9 days'
             from organizations where slug = 'bolt'
             union all
             select id, null, 'scrapes', timestamptz '2026-05-01', 'organizations.usage', null, 1,
                    1, 'older',
                    now() - interval '90 days'
             from organizations where slug = 'bolt'"
        ))
        .await;
    let page = browser.page("/drift").await;
    for text in [
        "Audits have repaired 4 values in the last 30 days",
        ">usage_counters.used<",
        "the counter was lower than its metrics",
        ">nothing<",
        ">older<",
        "The last audit found 2 purchases without a pack.",
        "half of all orgs would change",
        "1.5 s",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text}: {page}"));
    let most = at("Orgs with most repairs");
    let orgs = &page[most..];
    assert!(orgs.find(">acme<") < orgs.find(">bolt<"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn reasons_are_text_and_a_block_that_fails_says_so() {
    let served = Served::with(PUBLIC).await;
    let (org, _) = served.customer("acme").await;
    let hostile = quoted();
    served
        .test
        .sql(&format!(
            "insert into periodd_drift (org_id, feature, period_start, place, before, after,
                    difference, reason)
             values ('{org}', {hostile}, '2026-05-01', {hostile}, 1, 2, 1, {hostile});
             insert into periodd_runs (job, trigger, outcome, replica, started_at, finished_at,
                    error)
             values ('audit', 'command', 'failed', {hostile}, now(), now(), {hostile})"
        ))
        .await;
    let browser = Browser::with(&served, &served.token).await;
    is_harmless(&browser.page("/drift").await, "/drift");
    for one in [
        ("periodd_drift", 4, "no audit has ended well yet"),
        ("periodd_runs", 2, "Audits have repaired 1 value"),
        ("organizations", 2, "Audits have repaired 1 value"),
    ] {
        unread(&served, &browser, "/drift", one).await;
    }
    let own = token(&served.test, "own", &["read"], &["--org", "acme"]);
    Browser::with(&served, &own).await.get("/drift").await.is(403);
}
