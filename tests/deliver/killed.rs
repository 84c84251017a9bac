//! `alerts run` is killed again and again, at random moments of its work, against a real server:
//! between looking and recording, claiming and composing, sending and settling.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::outbox::{NOON, Outbox};
use crate::smtp::RealServer;

const ORGS: usize = 1_000;
/// How often a process has to be killed at its work.
const KILLS: usize = 100;
/// Nothing here takes that long, unless something hangs.
const PATIENCE: Duration = Duration::from_mins(8);

fn start(outbox: &Outbox) -> Child {
    let mut command = outbox.test.command(&["--at", NOON, "--quiet", "alerts", "run"]);
    // A machine that is busy with other tests is no fault of the server's.
    command.env("PERIODD__MAIL__SMTP__TIMEOUT", "10s");
    command.env("PERIODD__MAIL__MAX_ATTEMPTS", "100");
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary starts")
}

/// Is something still to be sent, or to be looked for?
async fn is_done(outbox: &Outbox) -> bool {
    let left = format!(
        "select count(*) filter (where state <> 'sent') as unsent, count(*) as emails
         from periodd_outbox having count(*) = {} and bool_and(state = 'sent')",
        2 * ORGS
    );
    !outbox.test.rows(&left).await.is_empty()
}

#[tokio::test]
async fn killed_a_hundred_times_every_email_arrives_as_one_message() {
    let server = RealServer::open();
    let outbox = Outbox::new(ORGS, &format!("port = {}\nmax_connections = 4", server.port)).await;
    let mut watch = outbox.test.connect().await;
    let began = Instant::now();
    let (mut kills, mut is_full) = (0, false);
    while !is_done(&outbox).await {
        assert!(began.elapsed() < PATIENCE, "{kills} kills, and still something to send");
        // Halfway through everybody reaches 100 %, so that there is something to look for, too.
        if !is_full && kills >= KILLS / 2 {
            is_full = true;
            outbox.test.sql("update usage_counters set used = 600").await;
        }
        let mut child = start(&outbox);
        if kills >= KILLS {
            // Enough of that: this one is left to finish the work.
            assert!(child.wait().expect("it ends by itself").success());
            outbox.wait().await;
            continue;
        }
        // Once it is at work …
        let ended = loop {
            if child.try_wait().expect("a child").is_some() {
                break true;
            }
            let at_work: bool = sqlx::query_scalar(
                "select exists (select from pg_stat_activity
                                where datname = current_database() and pid <> pg_backend_pid()
                                  and application_name = 'periodd'
                                  and (backend_xid is not null or query like '%periodd_outbox%'))",
            )
            .fetch_one(&mut watch)
            .await
            .expect("an answer");
            if at_work {
                break false;
            }
            tokio::time::sleep(Duration::from_micros(500)).await;
        };
        if ended {
            // It was through before anybody looked: then everybody reaches 100 %, and after that
            // only the rest is left to be killed at.
            if is_full && is_done(&outbox).await {
                break;
            }
            is_full = true;
            outbox.test.sql("update usage_counters set used = 600").await;
            continue;
        }
        // … it lives on for a random moment.
        tokio::time::sleep(Duration::from_micros(fastrand::u64(..40_000))).await;
        child.kill().expect("it can be killed");
        kills += usize::from(child.wait().expect("it ended").code().is_none());
        // Nobody waits for the leases of the dead here: they run out.
        outbox.wait().await;
    }
    assert!(kills >= KILLS, "only {kills} processes were killed at their work");

    let rows = "select recipient, threshold, message_id from periodd_outbox order by 1, 2";
    let rows = outbox.test.rows(rows).await;
    assert_eq!(rows.len(), 2 * ORGS);
    let received = server.received();
    let mut messages: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for email in &received {
        let threshold = email.header("X-Periodd-Threshold").expect("the header");
        let key = format!("{} {threshold} {}", email.to.join(","), email.message_id());
        messages.entry(key).or_default().insert(&email.data);
    }
    let arrived: Vec<&String> = messages.keys().collect();
    assert_eq!(arrived, rows.iter().collect::<Vec<_>>(), "all of them, each with one Message-ID");
    let same = messages.values().all(|texts| texts.len() == 1);
    assert!(same, "what came twice is the same, byte for byte");
    let twice = received.len() - rows.len();
    eprintln!("{kills} kills in {:?}; {twice} emails came twice", began.elapsed());
    let alerts = "select threshold, count(*) as n from periodd_alerts
                  where state = 'notified' group by 1 order by 1";
    assert_eq!(outbox.test.rows(alerts).await, [format!("90 {ORGS}"), format!("100 {ORGS}")]);
}
