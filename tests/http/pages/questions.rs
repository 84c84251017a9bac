//! What people ask, each answered within two clicks from the first page.

use serde_json::json;

use super::{Browser, PUBLIC};
use crate::served::Served;

/// Two clicks are enough.
const CLICKS: usize = 2;

/// The links of a page: where each leads, and what it says.
fn links(page: &str) -> Vec<(String, String)> {
    let anchors = page.split("<a ").skip(1).map(|rest| {
        let href = rest.split_once("href=\"").expect("an address").1;
        let (href, rest) = href.split_once('"').expect("its end");
        let text = rest.split_once('>').expect("a tag").1.split("</a>").next().unwrap_or_default();
        (href.replace("&amp;", "&"), text.trim().to_owned())
    });
    anchors.collect()
}

/// The page that the first link of that name leads to.
async fn click(browser: &Browser<'_>, page: &str, text: &str) -> String {
    let links = links(page);
    let found = links.iter().find(|(_, says)| says == text);
    let (href, _) = found.unwrap_or_else(|| panic!("no link is called {text}: {links:?}"));
    browser.page(href).await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_question_is_answered_within_two_clicks() {
    let mail = tempfile::tempdir().expect("a directory");
    let mail =
        format!("[mail]\ntransport = \"directory\"\ndirectory = \"{}\"", mail.path().display());
    let served = Served::with(&format!("{PUBLIC}\n{mail}")).await;
    served.customer("acme").await;
    served.customer("bolt").await;
    let test = &served.test;
    test.sql("insert into tier_limits values ('pro', 'scrapes', 10)").await;
    let grant = ["packs", "grant", "--org", "acme", "--feature", "scrapes", "--quantity", "5"];
    test.periodd(&[&grant[..], &["--reference", "order-7"]].concat()).exits(0);
    // A month ends: usage resets, and what was bought stays.
    let early = ["rollover", "--org", "acme", "--early", "--yes"];
    test.sql("update organizations set current_period_start = now() - interval '3 days'").await;
    test.periodd(&early).exits(0);
    for org in ["acme", "bolt"] {
        let most = if org == "acme" { 15 } else { 8 };
        let used = json!({ "feature": "scrapes", "amount": most });
        served.post(&format!("/api/v1/usage/{org}/increment"), used).await.is(200);
    }
    test.periodd(&["sync", "--full"]).exits(0);
    test.periodd(&["alerts", "run", "--full"]).exits(0);
    let browser = Browser::with(&served, &served.token).await;
    let first = browser.page("/").await;
    for (question, clicks, answers) in [
        ("Is everything closed?", &[][..], &["every period that has ended is closed"][..]),
        (
            "Why was I refused, though I have paid?",
            &["Orgs", "acme"],
            &[
                "One more: refused",
                "The included quantity and the purchased packs of acme are used up",
            ],
        ),
        ("May I go on?", &["Orgs", "bolt"], &["One more: allowed", "2 left"]),
        ("When is it over?", &["Orgs", "acme"], &["Resets <time"]),
        ("What became of the pack that we bought?", &["Orgs", "acme"], &["order-7", "granted"]),
        ("Is the number right?", &["Orgs", "acme"], &["Copies of the number: all agree"]),
        (
            "Does something else write to our numbers?",
            &["Drift"],
            &["Audits have repaired nothing"],
        ),
        ("Who will run out?", &["Usage"], &["Who will run out before the reset"]),
        ("How does the month go?", &["Usage"], &["Orgs by share of their allowance", "acme"]),
        ("Were they warned?", &["Emails", "sent"], &["acme@example.com", ">100 %<"]),
        ("Is periodd at work?", &["Runs"], &["audit", "2 orgs audited"]),
    ] {
        assert!(clicks.len() <= CLICKS, "{question}");
        let mut page = first.clone();
        for text in clicks {
            page = click(&browser, &page, text).await;
        }
        for answer in answers {
            assert!(page.contains(answer), "{question} {answer}: {page}");
        }
    }
}
