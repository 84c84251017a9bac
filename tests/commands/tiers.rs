//! `tiers list` and `apply`.

use serde_json::json;

use crate::support::TestDatabase;

const CATALOGUE: &str = r#"
[[features]]
name = "Pages"
unit = "pages"

[[features]]
name = "sms_sent"

[[tiers]]
code = "pro"
name = "Professional"
monthly_price_cents = 8900
limits = { sms_sent = 500, pages = "unlimited" }

[[tiers]]
code = "team"
name = "Team"
monthly_price_cents = 19900
currency = "EUR"

[[packs]]
code = "sms-500"
feature = "sms_sent"
quantity = "500.5"
price_cents = 900
"#;

const LIMITS: &str = "select tier, feature, included from tier_limits order by 1, 2";
const TIERS: &str = "select code, name, monthly_price_cents, currency from subscription_tiers
                     order by 1";

#[tokio::test]
async fn the_tables_become_what_the_configuration_says_and_nothing_in_use_goes() {
    let test = TestDatabase::new().await;
    test.sql("insert into tier_limits values ('pro', 'scrapes', 7), ('starter', 'scrapes', 1)")
        .await;
    let add = ["orgs", "add", "acme", "--name", "Acme", "--zone", "UTC", "--tier", "business"];
    test.periodd(&add).exits(0);
    let next = ["orgs", "set", "acme", "--next-tier", "starter"];
    test.periodd(&next).exits(0);
    test.configure(CATALOGUE);

    let before = (test.rows(LIMITS).await, test.rows(TIERS).await);
    let dry = test.periodd(&["tiers", "apply", "--dry-run"]).exits(3);
    assert!(dry.stdout.contains("Professional, 89.00 USD"), "{}", dry.stdout);
    assert_eq!(
        (test.rows(LIMITS).await, test.rows(TIERS).await),
        before,
        "a dry run writes nothing"
    );

    let applied = test.periodd(&["tiers", "apply", "--format", "json"]).exits(0).json();
    let steps = applied["steps"].as_array().expect("steps");
    let step = |name: &str| steps.iter().find(|step| step["name"] == name).expect("a step");
    assert_eq!(step("pages")["after"], "pages");
    assert_eq!(step("pro scrapes")["deed"], "keep");
    assert_eq!(step("team")["deed"], "add");
    assert_eq!(
        test.rows(LIMITS).await,
        ["pro pages -", "pro scrapes 7", "pro sms_sent 500", "starter scrapes 1"]
    );
    assert_eq!(
        test.rows("select code, feature, quantity, price_cents, currency from pack_offers").await,
        ["sms-500 sms_sent 500.5 900 USD"]
    );
    let again = test.periodd(&["tiers", "apply", "--dry-run"]).exits(0);
    assert!(
        !again.stdout.contains("\nchange") && !again.stdout.contains("\nadd"),
        "{}",
        again.stdout
    );

    test.periodd(&["tiers", "apply", "--prune"]).exits(0);
    assert_eq!(test.rows(LIMITS).await, ["pro pages -", "pro sms_sent 500", "starter scrapes 1"]);
    assert_eq!(
        test.rows(TIERS).await,
        [
            "business Business 14900 USD",
            "free Free 0 USD",
            "pro Professional 8900 USD",
            "starter Starter 2900 USD",
            "team Team 19900 EUR",
        ],
        "one is used, one is to come, one is where ended subscriptions fall back to"
    );
    test.periodd(&["orgs", "set", "acme", "--no-next-tier"]).exits(0);
    test.periodd(&["tiers", "apply", "--prune"]).exits(0);
    assert!(!test.rows(TIERS).await.iter().any(|tier| tier.starts_with("starter")));

    let list = test.periodd(&["tiers", "list", "--format", "json"]).exits(0).json();
    assert_eq!(list["packs"][0]["quantity"], json!(500.5));
    let pro = list["tiers"].as_array().expect("tiers").iter().find(|tier| tier["code"] == "pro");
    assert_eq!(
        pro.expect("pro")["limits"][0],
        json!({"feature": "pages", "included": null, "uncovered_price_cents": null})
    );
    let page = test.periodd(&["tiers", "list"]).exits(0);
    assert!(page.stdout.contains("199.00 EUR"), "{}", page.stdout);
}
