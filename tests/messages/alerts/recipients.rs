//! Who is told, and what happens when there is nobody.

use periodd::store::orgs::contacts;

use crate::alerts::story::{ORG, Story};
use crate::support::at;

async fn addressees(story: &Story) -> Vec<String> {
    story
        .test
        .rows("select threshold, recipient from periodd_outbox order by recorded_at, recipient")
        .await
}

#[tokio::test]
async fn an_alert_waits_for_somebody_and_then_the_highest_goes() {
    let story = Story::new().await;
    story.test.sql("delete from org_contacts").await;
    story.uses_and_passes("500").await;
    assert_eq!(story.alerts().await, ["1 80 waiting"]);
    story.uses_and_passes("45").await;
    assert_eq!(story.alerts().await, ["1 80 covered", "1 90 waiting"]);
    story.pass().await;
    assert!(story.told().await.is_empty());
    story.sync().await;
    story.test.sql("update usage_counters set last_synced_at = '2020-01-01Z'").await;
    contacts::add(&story.test.database, ORG.parse().unwrap(), "new@acme.example").await.unwrap();
    assert_eq!(story.pass().await.emails, 1);
    story.pass().await;
    assert_eq!(addressees(&story).await, ["90 new@acme.example"]);
}

#[tokio::test]
async fn an_alert_does_not_wait_beyond_its_period() {
    let mut story = Story::new().await;
    story.test.sql("delete from org_contacts").await;
    story.uses_and_passes("500").await;
    story.at("2026-06-02T00:00:00Z");
    contacts::add(&story.test.database, ORG.parse().unwrap(), "new@acme.example").await.unwrap();
    story.pass().await;
    assert_eq!(story.alerts().await, ["1 80 expired"]);
}

#[tokio::test]
async fn users_are_told_where_there_are_no_contacts_and_each_only_once() {
    let story = Story::new().await;
    story
        .test
        .sql(&format!(
            "delete from org_contacts;
             insert into users (organization_id, email)
             values ('{ORG}', 'a@acme.example'), ('{ORG}', 'A@acme.example'),
                    ('{ORG}', 'b@acme.example'), ('{ORG}', 'no address'),
                    ('{ORG}', 'c@acme.example, d@acme.example')"
        ))
        .await;
    story.uses_and_passes("500").await;
    let told = addressees(&story).await;
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].eq_ignore_ascii_case("80 a@acme.example"));
    assert_eq!(told[1], "80 b@acme.example");
}

#[tokio::test]
async fn one_click_ends_the_warnings_and_not_the_news_that_the_limit_is_reached() {
    let story = Story::new().await;
    story.uses_and_passes("500").await;
    let org: uuid::Uuid = ORG.parse().unwrap();
    let mut connection = story.test.database.connection().await.unwrap();
    let address = [(org, "Billing@acme.example")];
    let made = contacts::tokens(&mut connection, &address).await.unwrap();
    assert_eq!(contacts::tokens(&mut connection, &address).await.unwrap(), made);
    drop(connection);
    let token = contacts::token(org, made[0].expect("a token"));
    // It holds as long as the contact, however long the email is kept.
    story.test.sql("delete from periodd_outbox").await;
    let click = async || {
        contacts::unsubscribe(&story.test.database, &token, at("2026-05-13T00:00:00Z")).await
    };
    assert!(click().await.unwrap());
    assert!(click().await.unwrap(), "twice is once");
    let made_up = contacts::token(ORG.parse().unwrap(), ORG.parse().unwrap());
    for wrong in ["", "x", "ü", made_up.as_str()] {
        let now = at("2026-05-13T00:00:00Z");
        assert!(!contacts::unsubscribe(&story.test.database, wrong, now).await.unwrap());
    }
    story.uses_and_passes("50").await;
    assert_eq!(story.alerts().await, ["1 80 notified", "1 90 waiting"]);
    story.uses_and_passes("50").await;
    assert_eq!(addressees(&story).await, ["100 billing@acme.example"]);
    // Whoever is no contact any more has no link any more.
    assert!(contacts::remove(&story.test.database, org, "billing@acme.example").await.unwrap());
    assert!(!click().await.unwrap());
}

#[tokio::test]
async fn a_dead_address_gets_nothing() {
    let story = Story::new().await;
    story
        .test
        .sql(&format!(
            "insert into periodd_suppressions (org_id, email)
             values ('{ORG}', 'billing@acme.example')"
        ))
        .await;
    story.uses_and_passes("500").await;
    assert_eq!(story.alerts().await, ["1 80 waiting"]);
}

#[tokio::test]
async fn without_a_transport_alerts_are_only_recorded() {
    let story = Story::new().await;
    story.test.configure("[mail]\ntransport = \"none\"\n");
    story.uses_and_passes("570").await;
    assert_eq!(story.alerts().await, ["1 80 covered", "1 90 recorded"]);
    assert!(story.told().await.is_empty());
}

#[tokio::test]
async fn an_address_with_a_comma_is_refused_when_it_is_added() {
    let story = Story::new().await;
    let org = ORG.parse().unwrap();
    for address in ["a@x.example,b@x.example", "a@x.example\r\nBcc: b@x.example", "a b@x.example"] {
        let refused = contacts::add(&story.test.database, org, address).await.unwrap_err();
        assert!(refused.to_string().contains("write it as"), "{refused}");
        let mut connection = story.test.connect().await;
        let inserted = sqlx::query("insert into org_contacts (org_id, email) values ($1, $2)")
            .bind(org)
            .bind(address)
            .execute(&mut connection)
            .await;
        assert!(inserted.is_err(), "{address}: the table takes it");
    }
    let kept = contacts::list(&story.test.database, org).await.unwrap();
    assert_eq!(kept.len(), 1);
    assert!(contacts::remove(&story.test.database, org, "BILLING@acme.example").await.unwrap());
    assert!(!contacts::remove(&story.test.database, org, "billing@acme.example").await.unwrap());
}
