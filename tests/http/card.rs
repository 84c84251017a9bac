//! The card for an application's own customers: the numbers of `limits`, as text, and no more.

use serde_json::Value;

use crate::client::Request;
use crate::served::{Served, token};

const CARD: &str = "/api/v1/usage/acme/card?feature=";

async fn served() -> Served {
    let served = Served::new().await;
    served.customer("acme").await;
    served
        .test
        .sql(
            "insert into tier_limits values
                 ('pro', 'scrapes', 5000), ('pro', 'sms_sent', null), ('pro', 'emails_sent', 2);
             select grant_overage_pack(id, 'scrapes', 3000.5, 'p') from organizations;
             select record_usage(id, 'scrapes', 6234.25) from organizations;
             select record_usage(id, 'emails_sent', 2) from organizations",
        )
        .await;
    served
}

/// The rows of a card: names and values.
fn rows(html: &str) -> Vec<(String, String)> {
    let rows = html.split("<dt>").skip(1).map(|row| {
        let (name, rest) = row.split_once("</dt><dd>").expect("a name");
        (name.to_owned(), rest.split("</dd>").next().expect("a value").to_owned())
    });
    rows.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_says_what_limits_say() {
    let served = served().await;
    let limits = served.get("/api/v1/usage/acme/limits").await.is(200).json();
    for limit in limits["limits"].as_array().expect("limits") {
        let feature = limit["feature"].as_str().expect("a name");
        let answer = served.get(&format!("{CARD}{feature}")).await.is(200);
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let check = served.get(&format!("/api/v1/usage/acme/check/{feature}")).await.is(200).json();
        let number = |value: &Value| match value {
            Value::Null => "unlimited".to_owned(),
            number => number.to_string(),
        };
        let plain = answer.body.replace(',', "");
        let used =
            format!("Used: {} / {}", number(&limit["used"]), number(&limit["effective_limit"]));
        assert!(plain.contains(&used), "{used}: {plain}");
        let rows = rows(&plain);
        let value = |name: &str| {
            let row = rows.iter().find(|(known, _)| known == name);
            row.unwrap_or_else(|| panic!("{name}: {rows:?}")).1.clone()
        };
        assert_eq!(value("Left"), number(&limit["remaining"]), "{feature}");
        assert_eq!(value("Included left"), number(&check["included_left"]), "{feature}");
        assert_eq!(value("Purchased left"), number(&check["purchased_left"]), "{feature}");
        assert!(value("Resets").ends_with("00:00 UTC"), "{rows:?}");
        let is_full = check["allowed"] == false;
        assert_eq!(answer.body.contains("class=\"periodd-full\""), is_full, "{feature}");
        let is_limited = !limit["effective_limit"].is_null();
        assert_eq!(answer.body.contains("periodd-bar\""), is_limited, "{feature}");
    }
    // The forecast is that of the history.
    served
        .test
        .sql(
            "insert into usage_metrics (organization_id, metric_type, metric_value, created_at,
                                        counted_at)
             select id, 'sms_sent', 3, now() - i * interval '1 day', now()
             from organizations, generate_series(1, 20) i",
        )
        .await;
    let history = served.get("/api/v1/usage/acme/history?feature=sms_sent").await.is(200).json();
    let expected = history["forecasts"][0]["at_end"].to_string();
    let card = served.get(&format!("{CARD}sms_sent")).await.is(200);
    let rows = rows(&card.body);
    assert!(rows.contains(&("Expected by then".to_owned(), expected)), "{rows:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_the_locales_and_words_are_anybodys() {
    let served = served().await;
    let english = served.get(&format!("{CARD}scrapes")).await.is(200).body;
    assert!(english.contains("Used: 6,234.25 / 8,000.5 (77%)"), "{english}");
    served.test.sql("update organizations set locale = 'de-DE'").await;
    let german = served.get(&format!("{CARD}SCRAPES")).await.is(200).body;
    assert!(german.contains("Used: 6.234,25 / 8.000,5 (77\u{a0}%)"), "{german}");
    let asked = "&locale=fr&title=Pages&used=Utilis%C3%A9&left=Reste&included=Inclus\
                 &purchased=Achet%C3%A9&resets=Jusqu%27au&forecast=Attendu&unlimited=illimit%C3%A9";
    let french = served.get(&format!("{CARD}scrapes{asked}")).await.is(200).body;
    for text in ["Pages", "Utilisé: 6\u{202f}234,25", "Reste", "Inclus", "Acheté", "Jusqu&#39;au"]
    {
        assert!(french.contains(text), "{text}: {french}");
    }
    assert!(!french.contains("Left") && !french.contains("Resets"), "{french}");
    for wrong in ["&locale=klingon", "&colour=red", &format!("&title={}", "x".repeat(81))] {
        served.get(&format!("{CARD}scrapes{wrong}")).await.is(422).is_problem("invalid");
    }
    served.get("/api/v1/usage/acme/card").await.is(422).is_problem("invalid");
    served.get(&format!("{CARD}scrape")).await.is(404).is_problem("unknown_feature");
    served.get("/api/v1/usage/nobody/card?feature=scrapes").await.is(404).is_problem("unknown_org");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_is_a_picture_where_one_is_asked_for() {
    let served = served().await;
    for feature in ["scrapes", "sms_sent", "emails_sent"] {
        let request = Request::get(&format!("{CARD}{feature}")).with("accept", "image/svg+xml");
        let answer = served.with_token(&served.token, request).await.is(200);
        assert_eq!(answer.header("content-type"), Some("image/svg+xml"));
        let svg = &answer.body;
        let document = roxmltree::Document::parse(svg).unwrap_or_else(|error| panic!("{error}"));
        let root = document.root_element();
        assert_eq!((root.tag_name().name(), root.attribute("role")), ("svg", Some("img")));
        let html = served.get(&format!("{CARD}{feature}")).await.is(200).body;
        for (name, value) in rows(&html) {
            assert!(svg.contains(&format!(">{name}</text>")), "{name}: {svg}");
            assert!(svg.contains(&format!(">{value}</text>")), "{value}: {svg}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn markup_in_names_and_words_is_text_and_a_customers_token_sees_its_own_alone() {
    let served = served().await;
    served.customer("bolt").await;
    let hostile = "<script>alert(1)</script>\"'&]]>\u{202e}\u{7}";
    let quoted = format!("E'{}'", hostile.replace('\'', "\\'").replace('\u{7}', "\\x07"));
    let long = "y".repeat(2_000);
    served
        .test
        .sql(&format!(
            "insert into features (feature) values (lower({quoted})), ('{long}');
             insert into limit_overrides
                 select o.id, f.feature, 5 from organizations o, features f
                 where f.feature like '<script>%' or f.feature like 'yyy%'"
        ))
        .await;
    let name = "%3Cscript%3Ealert(1)%3C%2Fscript%3E%22'%26%5D%5D%3E%E2%80%AE%07";
    let words = format!("&title={name}&used={name}&unlimited={name}&resets={name}");
    for asked in [name.to_owned(), long, format!("sms_sent{words}")] {
        for accept in ["text/html", "image/svg+xml"] {
            let request = Request::get(&format!("{CARD}{asked}")).with("accept", accept);
            let body = served.with_token(&served.token, request).await.is(200).body;
            for markup in ["<script", "\u{202e}", "\u{7}", "javascript:", "http://evil"] {
                assert!(!body.contains(markup), "{markup:?}: {body}");
            }
            assert!(body.contains("&lt;script&gt;") || body.contains("yyyy"), "{body}");
            assert!(!body.contains(&"y".repeat(100)), "{body}");
            if accept == "image/svg+xml" {
                roxmltree::Document::parse(&body).unwrap_or_else(|error| panic!("{error}"));
            }
        }
    }
    let own = token(&served.test, "own", &["read"], &["--org", "acme"]);
    let ask = async |path: &str| served.with_token(&own, Request::get(path)).await;
    ask(&format!("{CARD}scrapes")).await.is(200);
    ask("/api/v1/usage/bolt/card?feature=scrapes").await.is(404).is_problem("unknown_org");
    served.bare(Request::get(&format!("{CARD}scrapes"))).await.is(401);
    let writes = token(&served.test, "writes", &["record"], &[]);
    served.with_token(&writes, Request::get(&format!("{CARD}scrapes"))).await.is(403);
}
