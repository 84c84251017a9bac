//! What emails share, and rows that somebody holds: neither costs anybody else an email.

use sqlx::{AssertSqlSafe, Connection};

use crate::deliver::outbox::Outbox;
use crate::smtp::{Act, ScriptedServer, Verb};

async fn three(server: &ScriptedServer) -> Outbox {
    Outbox::queued(3, &format!("port = {}\nmax_connections = 1", server.port)).await
}

#[tokio::test]
async fn an_offer_that_nobody_can_count_with_is_not_on_sale() {
    let server = ScriptedServer::start().await;
    let outbox = three(&server).await;
    // From before there was a rule about it.
    outbox
        .test
        .sql(
            "do $$ declare c record; begin
                 for c in select conname from pg_constraint
                          where contype = 'c' and conrelid = 'pack_offers'::regclass loop
                     execute format('alter table pack_offers drop constraint %I', c.conname);
                 end loop;
             end $$;
             insert into pack_offers (code, feature, quantity, price_cents, currency)
             values ('other', 'scrapes', 1e50, 100, 'EUR'),
                    ('same', 'minutes_transcribed', 1e50, 100, 'EUR')",
        )
        .await;
    let report = outbox.deliver().await;
    assert_eq!((report.sent, report.given_up), (3, 0), "{report:?}");
}

#[tokio::test]
async fn an_email_whose_row_somebody_holds_keeps_no_other() {
    let server = ScriptedServer::start().await;
    let outbox = three(&server).await;
    let mut holder = sqlx::PgConnection::connect(&outbox.test.url()).await.expect("connected");
    let hold = "begin; select from periodd_outbox where org_id = md5('org 2')::uuid for update";
    sqlx::raw_sql(AssertSqlSafe(hold)).execute(&mut holder).await.expect("held");
    let report = outbox.deliver().await;
    assert_eq!((report.sent, report.left), (2, 1), "{report:?}");
    sqlx::raw_sql("rollback").execute(&mut holder).await.expect("let go");
    let report = outbox.deliver().await;
    assert_eq!((report.sent, report.left), (1, 0), "{report:?}");
    let mut ids: Vec<String> =
        server.received().iter().map(|email| email.message_id().to_owned()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((ids.len(), server.received().len()), (3, 3));
}

#[tokio::test]
async fn once_the_server_is_well_again_an_email_that_somebody_holds_keeps_no_other_waiting() {
    let server = ScriptedServer::start().await;
    let outbox = three(&server).await;
    server.always(Verb::Rcpt, Act::Reply("550 relay not permitted"));
    assert!(outbox.deliver().await.refused.is_some());
    server.relent();
    outbox
        .test
        .sql(
            "update periodd_outbox
             set next_attempt_at = now() + interval '3 hours', fault = 'refused';
             update periodd_outbox set next_attempt_at = now(), fault = null
             where recipient = 'org-3@example.org'",
        )
        .await;
    let mut holder = sqlx::PgConnection::connect(&outbox.test.url()).await.expect("connected");
    let hold = "begin; select from periodd_outbox where org_id = md5('org 2')::uuid for update";
    sqlx::raw_sql(AssertSqlSafe(hold)).execute(&mut holder).await.expect("held");
    // One that is tried makes the others due.
    assert_eq!(outbox.deliver().await.sent, 1);
    let due = "select recipient from periodd_outbox
               where state = 'due' and next_attempt_at <= now() order by 1";
    assert_eq!(outbox.test.rows(due).await, ["org-1@example.org"]);
    sqlx::raw_sql("rollback").execute(&mut holder).await.expect("let go");
    assert_eq!(outbox.deliver().await.sent, 1);
    assert_eq!(outbox.test.rows(due).await, ["org-2@example.org"]);
}

#[tokio::test]
async fn an_email_of_an_org_with_an_unknown_zone_waits_for_its_correction() {
    let server = ScriptedServer::start().await;
    let outbox = three(&server).await;
    let zone = |zone: &str| {
        format!("update organizations set time_zone = '{zone}' where id = md5('org 2')::uuid")
    };
    outbox.test.sql(&zone("Mars/Phobos")).await;
    let report = outbox.deliver().await;
    assert_eq!((report.sent, report.given_up, report.postponed), (2, 0, 1), "{report:?}");
    outbox.test.sql(&zone("UTC")).await;
    outbox.wait().await;
    let report = outbox.deliver().await;
    assert_eq!((report.sent, report.given_up), (1, 0), "{report:?}");
}
