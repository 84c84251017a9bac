//! `/emails`: what became of them, and what they say.

use serde_json::json;

use super::{is_harmless, quoted, unread};
use crate::pages::{Browser, PUBLIC};
use crate::served::Served;

/// An org that has crossed its thresholds, with an email that was written into a directory.
async fn with_an_email(settings: &str) -> (Served, String) {
    let served = Served::with(&format!("{PUBLIC}\n{settings}")).await;
    served.customer("acme").await;
    served.test.sql("insert into tier_limits values ('pro', 'scrapes', 10)").await;
    let used = json!({ "feature": "scrapes", "amount": "9" });
    served.post("/api/v1/usage/acme/increment", used).await.is(200);
    served.test.periodd(&["alerts", "run"]).exits(0);
    let email = served
        .test
        .rows("select id::text || '?org=' || org_id from periodd_outbox order by recorded_at")
        .await;
    assert_eq!(email.len(), 1, "{email:?}");
    (served, email[0].clone())
}

fn html_of(email: &str) -> String {
    format!("/emails/{}", email.replace('?', "/html?"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_email_is_shown_as_it_was_sent() {
    let (served, email) = with_an_email("").await;
    let browser = Browser::with(&served, &served.token).await;
    let list = browser.page("/emails?state=sent").await;
    assert!(list.contains(&format!("<a href=\"/emails/{email}\">")), "{list}");
    let page = browser.page(&format!("/emails/{email}")).await;
    for text in
        ["acme@example.com", "90 %", ">sent<", "Message-ID", "alerts resend", "<iframe sandbox"]
    {
        assert!(page.contains(text), "{text}: {page}");
    }
    assert!(!page.contains("templates"), "they are the same: {page}");
    let framed = browser.get(&html_of(&email)).await.is(200);
    assert_eq!(
        framed.header("content-security-policy"),
        Some(
            "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'self'; sandbox"
        )
    );
    assert!(framed.body.contains("90") && framed.body.contains("<html"), "{}", framed.body);
    // A link of ours would opt the recipient out.
    let token = served.test.rows("select token::text from periodd_unsubscribe_tokens").await;
    for token in token {
        let token = token.replace('-', "");
        assert!(!page.contains(&token) && !framed.body.contains(&token), "{token}");
    }
    // By its id and its org alone.
    let (id, _) = email.split_once("?org=").expect("an org");
    browser.get(&format!("/emails/{id}")).await.is(404);
    browser.get(&format!("/emails/{id}?org={id}")).await.is(404);
    browser.get("/emails/many?org=acme").await.is(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_templates_are_said_and_those_that_fail_too() {
    let templates = tempfile::tempdir().expect("a directory");
    let folder = templates.path().join("alert");
    std::fs::create_dir(&folder).expect("a folder");
    let settings = format!("[mail]\ntemplates_dir = \"{}\"", templates.path().display());
    let (served, email) = with_an_email(&settings).await;
    let browser = Browser::with(&served, &served.token).await;
    let path = format!("/emails/{email}");
    assert!(!browser.page(&path).await.contains("templates have changed"));
    std::fs::write(folder.join("body.txt"), "{{ org.name }} has used much.").expect("written");
    let page = browser.page(&path).await;
    assert!(page.contains("The templates have changed since"), "{page}");
    assert!(page.contains("acme has used much."), "{page}");
    std::fs::write(folder.join("body.txt"), "{{ nothing.such }}").expect("written");
    let page = browser.page(&path).await;
    assert!(page.contains("The email cannot be shown.") && page.contains("body.txt:1"), "{page}");
    browser.get(&html_of(&email)).await.is(404);
    // Of the time before it was written down.
    std::fs::remove_file(folder.join("body.txt")).expect("removed");
    let forget = "update periodd_outbox set letter = (letter::jsonb - 'templates')::text";
    served.test.sql(forget).await;
    assert!(browser.page(&path).await.contains("is not known"));
    served.test.sql("update periodd_outbox set letter = '{\"templates\": 7}'").await;
    assert!(browser.page(&path).await.contains("It cannot be read"));
    served
        .test
        .sql(
            "update periodd_outbox set state = 'due', settled_at = null, letter = null,
                    message_id = null, dated = null",
        )
        .await;
    assert!(browser.page(&path).await.contains("It is not composed yet"));
}

#[tokio::test(flavor = "multi_thread")]
async fn emails_are_listed_by_state_and_page_by_page() {
    let served = Served::with(PUBLIC).await;
    let browser = Browser::with(&served, &served.token).await;
    let empty = browser.page("/emails").await;
    for text in [
        "No email was queued yet",
        "There is no such email.",
        "Every alert has a recipient.",
        "None: nothing was returned.",
        "Nobody has opted out.",
    ] {
        assert!(empty.contains(text), "{text}: {empty}");
    }
    served.customer("acme").await;
    served
        .test
        .sql(
            "insert into periodd_outbox (org_id, feature, period_start, period_end, threshold,
                    recipient, state, attempts, answer, settled_at, recorded_at)
             select id, 'scrapes', timestamptz '2026-05-01', timestamptz '2026-06-01', 80,
                    'due-' || n || '@a.example', 'due', n % 2, 'mailbox full', null,
                    timestamptz '2026-05-02' + n * interval '1 s'
             from organizations, generate_series(1, 120) n
             union all
             select id, 'scrapes', timestamptz '2026-05-01', timestamptz '2026-06-01', 90,
                    state || '@a.example', state, 3,
                    'no such user', now(), timestamptz '2026-05-02'
             from organizations, unnest(array['given_up', 'suppressed', 'sent']) state;
             insert into periodd_suppressions (org_id, email, reason)
             select id, 'gone@a.example', '550 no such user' from organizations;
             insert into org_contacts (org_id, email, opted_out_at)
             select id, 'quiet@a.example', now() from organizations;
             insert into periodd_alerts (org_id, feature, period_start, period_end, threshold,
                                         state)
             select id, 'alone', timestamptz '2026-05-01', timestamptz '2026-06-01', 80, 'waiting'
             from organizations",
        )
        .await;
    let (mut path, mut seen) = ("/emails".to_owned(), Vec::new());
    loop {
        let page = browser.page(&path).await;
        let rows = page.split("due-").skip(1);
        seen.extend(rows.filter_map(|row| row.split('@').next()?.parse::<u32>().ok()));
        let Some((before, _)) = page.split_once("\">Next page</a>") else { break };
        path = before.rsplit_once("href=\"").expect("a link").1.replace("&amp;", "&");
    }
    assert_eq!(seen, (1..=120).collect::<Vec<_>>(), "the oldest first, and each once");
    let page = browser.page("/emails").await;
    for text in ["to be retried", "mailbox full", "gone@a.example", "550 no such user", "alone"] {
        assert!(page.contains(text), "{text}: {page}");
    }
    assert!(page.contains("quiet@a.example"), "{page}");
    for (state, resends) in [("given_up", true), ("suppressed", true), ("sent", false)] {
        let page = browser.page(&format!("/emails?state={state}")).await;
        assert!(page.contains(&format!("{state}@a.example")), "{state}: {page}");
        assert!(!page.contains("due-1@"), "{state}: {page}");
        assert_eq!(page.contains("alerts resend --state"), resends, "{state}: {page}");
    }
    browser.get("/emails?state=lost").await.is(422);
    browser.get("/emails?after=first").await.is(422);
}

#[tokio::test(flavor = "multi_thread")]
async fn words_of_servers_are_text_and_a_block_that_fails_says_so() {
    let served = Served::with(PUBLIC).await;
    let (org, _) = served.customer("acme").await;
    let hostile = quoted();
    served
        .test
        .sql(&format!(
            "insert into periodd_outbox (org_id, feature, period_start, period_end, threshold,
                    recipient, state, attempts, answer, settled_at, message_id, dated, letter)
             values ('{org}', {hostile}, timestamptz '2026-05-01', timestamptz '2026-06-01',
                     80, {hostile},
                     'given_up', 3, {hostile}, now(), {hostile}, now(), {hostile});
             insert into periodd_suppressions (org_id, email, reason)
             values ('{org}', lower({hostile}), {hostile});
             insert into periodd_alerts (org_id, feature, period_start, period_end, threshold,
                                         state)
             values ('{org}', {hostile}, timestamptz '2026-05-01', timestamptz '2026-06-01',
                     80,
                     'waiting')"
        ))
        .await;
    let browser = Browser::with(&served, &served.token).await;
    let id = served.test.rows("select id from periodd_outbox").await;
    is_harmless(&browser.page("/emails?state=given_up").await, "/emails");
    let path = format!("/emails/{}?org={org}", id[0]);
    let page = browser.page(&path).await;
    assert!(page.contains("The email cannot be shown."), "{page}");
    // The answer is shown in full: it is what one comes here for.
    is_harmless(&page.replace(&"x".repeat(10_000), ""), &path);
    for one in [
        ("periodd_outbox", 2, "Nobody has opted out."),
        ("periodd_suppressions", 1, "By state"),
        ("org_contacts", 1, "By state"),
        ("periodd_alerts", 1, "By state"),
    ] {
        unread(&served, &browser, "/emails", one).await;
    }
    let own = crate::served::token(&served.test, "own", &["read"], &["--org", "acme"]);
    let own = Browser::with(&served, &own).await;
    for path in ["/emails".to_owned(), path] {
        own.get(&path).await.is(403);
    }
}
