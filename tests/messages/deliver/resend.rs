//! Emails that a person has sent again: to those who get the org's emails now.

use crate::deliver::outbox::{NOON, Outbox};
use crate::smtp::{Act, ScriptedServer, Verb};
use crate::support::Answer;

async fn three(server: &ScriptedServer) -> Outbox {
    Outbox::queued(3, &format!("port = {}\nmax_connections = 1", server.port)).await
}

fn resend(outbox: &Outbox, arguments: &[&str]) -> Answer {
    outbox.test.periodd(&[&["--at", NOON, "alerts", "resend"], arguments].concat())
}

fn recipients(server: &ScriptedServer) -> Vec<String> {
    let mut all: Vec<String> = server.received().into_iter().flat_map(|email| email.to).collect();
    all.sort();
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_was_given_up_is_sent_to_the_contacts_of_now() {
    let server = ScriptedServer::start().await;
    let outbox = three(&server).await;
    for words in ["554 5.7.1 like spam", "554 too large", "554 odd"] {
        server.once(Verb::Dot, Act::Reply(words));
    }
    assert_eq!(outbox.deliver().await.given_up, 3);
    // One org has another contact by now, one has two, one has opted out.
    outbox
        .test
        .sql(
            "update org_contacts set email = 'new@example.org' where email = 'org-1@example.org';
             insert into org_contacts (org_id, email)
                 select org_id, 'second@example.org' from org_contacts
                 where email = 'org-2@example.org';
             update org_contacts set opted_out_at = now() where email = 'org-3@example.org'",
        )
        .await;
    let answer = resend(&outbox, &["--state", "given_up", "--since", "2030-01-01T00:00:00Z"]);
    assert!(answer.exits(0).stdout.contains("no email to send again"));
    let answer = resend(&outbox, &["--state", "given_up"]).exits(0);
    assert!(answer.stdout.contains("3 emails sent"), "{answer:?}");
    let expected = ["new@example.org", "org-2@example.org", "second@example.org"];
    assert_eq!(recipients(&server), expected);
    // Nothing is left to be sent again, and nobody gets anything twice.
    resend(&outbox, &["--state", "given_up"]).exits(0);
    resend(&outbox, &["--state", "suppressed"]).exits(0);
    assert_eq!(server.received().len(), 3);
    let left = "select recipient, state from periodd_outbox where state <> 'sent'";
    assert_eq!(outbox.test.rows(left).await, ["org-3@example.org suppressed"]);
    outbox.test.periodd(&["--at", NOON, "status"]).exits(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_went_to_a_dead_address_goes_to_the_new_one_and_lifts_what_is_known_again() {
    let server = ScriptedServer::start().await;
    let outbox = three(&server).await;
    server.once(Verb::Rcpt, Act::Reply("550 5.1.1 no such user"));
    assert_eq!(outbox.deliver().await.suppressed, 1);
    let dead = outbox.test.rows("select email from periodd_suppressions").await.remove(0);
    let slug = dead.trim_end_matches("@example.org").to_owned();
    // It is said by the commands that a person looks at, with the state that shows it.
    let status = outbox.test.periodd(&["--at", NOON, "status"]).exits(3).stdout;
    assert!(status.contains(&format!("a mail server does not know {dead} of {slug}")), "{status}");
    let explained = outbox.test.periodd(&["--at", NOON, "explain", &dead]).exits(0).stdout;
    assert!(explained.contains("a mail server does not know"), "{explained}");
    let contact = ["orgs", "set", &slug, "--contact", "new@example.org", "--no-contact", &dead];
    outbox.test.periodd(&contact).exits(0);
    outbox.test.periodd(&["--at", NOON, "status"]).exits(0);
    let id = "select id from periodd_outbox where state = 'suppressed'";
    let id = outbox.test.rows(id).await.remove(0);
    resend(&outbox, &[&id]).exits(0);
    assert!(recipients(&server).contains(&"new@example.org".to_owned()));
    assert!(!recipients(&server).contains(&dead));
    // The first one is there again, says the customer: named again, it gets emails again.
    let named = outbox.test.periodd(&["orgs", "set", &slug, "--contact", &format!("{dead} ")]);
    let named = named.exits(0).stdout;
    assert!(
        named.contains(&format!("did not know {dead}; emails are sent there again")),
        "{named}"
    );
    assert!(outbox.test.rows("select from periodd_suppressions").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_may_name_the_address() {
    let server = ScriptedServer::start().await;
    let outbox = three(&server).await;
    server.always(Verb::Dot, Act::Reply("554 5.7.1 like spam"));
    outbox.test.sql("update periodd_outbox set state = 'given_up', settled_at = now()").await;
    server.relent();
    let to = ["--state", "given_up", "--org", "org-2", "--to", "boss@example.org"];
    resend(&outbox, &to).exits(0);
    assert_eq!(recipients(&server), ["boss@example.org"]);
    let bad = resend(&outbox, &["--state", "given_up", "--to", "a b@example.org"]).exits(2);
    assert!(bad.stderr.contains("contains a space"), "{bad:?}");
    resend(&outbox, &[]).exits(2);
    // Whose org has nobody is said, for one email …
    outbox.test.sql("delete from org_contacts").await;
    let id = "select id from periodd_outbox where state = 'given_up' limit 1";
    let id = outbox.test.rows(id).await.remove(0);
    let nobody = resend(&outbox, &[&id]).exits(2);
    assert!(nobody.stderr.contains("nobody is there to get the email"), "{nobody:?}");
    // … and what is over is not sent to everybody.
    outbox.test.sql("update periodd_outbox set period_end = '2026-05-10Z'").await;
    resend(&outbox, &["--state", "given_up"]).exits(0);
    assert_eq!(server.received().len(), 1);
}
