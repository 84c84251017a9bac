//! Emails of orgs whose machine is away, as where a worker of a spread database is dead: more of
//! them are due, and earlier, than are claimed at once.

use periodd::config::Config;
use periodd::jobs::deliver::{self, DeliveryReport, Mailer, Request};
use periodd::store::StoreError;
use periodd::tz::TzData;

use crate::deliver::outbox::{NOON, Outbox};
use crate::smtp::ScriptedServer;
use crate::support::{at, lacking};

const AWAY: usize = 30;
const OTHERS: usize = 10;
const CLAIM: u32 = 4;

async fn deliver(outbox: &Outbox) -> Result<DeliveryReport, StoreError> {
    let config = Config::load(Some(&outbox.test.config()), std::iter::empty()).expect("a file");
    let request = Request { at: Some(at(NOON)), claim: CLAIM, ..Request::of(&config) };
    let mailer = Mailer::of(&config).expect("a mailer");
    deliver::run(&outbox.test.database, &TzData::newest(), &mailer, &request).await
}

#[tokio::test]
async fn emails_of_orgs_that_are_away_hold_up_nobody_elses() {
    let server = ScriptedServer::start().await;
    let smtp = format!("port = {}\nmax_connections = 1", server.port);
    let outbox = Outbox::queued(AWAY + OTHERS, &smtp).await;
    let these =
        |row: &str| format!("regexp_replace({row}.recipient, '[^0-9]', '', 'g')::int <= {AWAY}");
    let earlier = format!(
        "update periodd_outbox o set next_attempt_at = o.next_attempt_at - interval '1 minute'
         where {}",
        these("o")
    );
    outbox.test.sql(&earlier).await;
    outbox.test.sql(&lacking("periodd_outbox", "true")).await;
    // What it lacks for everybody is an outage.
    let failed = deliver(&outbox).await;
    assert!(matches!(failed, Err(StoreError::Unavailable(_))), "{failed:?}");
    outbox.test.sql(&lacking("periodd_outbox", &these("new"))).await;
    let report = deliver(&outbox).await.expect("a delivery");
    assert_eq!((report.sent, report.left), (OTHERS, AWAY), "{report:?}");
    outbox.test.sql("drop trigger away on periodd_outbox").await;
    let report = deliver(&outbox).await.expect("a delivery");
    assert_eq!((report.sent, report.left), (AWAY, 0), "{report:?}");
    assert_eq!(server.received().len(), AWAY + OTHERS, "each once");
}

#[tokio::test]
async fn a_late_email_of_an_org_that_is_away_holds_up_nobody() {
    let server = ScriptedServer::start().await;
    let smtp = format!("port = {}\nmax_connections = 2", server.port);
    let outbox = Outbox::queued(OTHERS, &smtp).await;
    let late = "update periodd_outbox set period_end = '2026-05-12T11:00Z',
                    next_attempt_at = next_attempt_at - interval '1 minute'
                where recipient = 'org-1@example.org'";
    outbox.test.sql(late).await;
    outbox.test.sql(&lacking("periodd_outbox", "new.recipient = 'org-1@example.org'")).await;
    let report = deliver(&outbox).await.expect("a delivery");
    assert_eq!((report.sent, report.expired, report.left), (OTHERS - 1, 0, 1), "{report:?}");
    // Nobody but that one is left: whoever looks at the runs sees that.
    let failed = deliver(&outbox).await;
    assert!(matches!(failed, Err(StoreError::Unavailable(_))), "{failed:?}");
    outbox.test.sql("drop trigger away on periodd_outbox").await;
    let report = deliver(&outbox).await.expect("a delivery");
    assert_eq!((report.sent, report.expired), (0, 1), "{report:?}");
    assert_eq!(server.received().len(), OTHERS - 1, "each once");
}
