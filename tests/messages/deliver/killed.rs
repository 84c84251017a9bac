//! `alerts run` is killed again and again, at random moments of its work, against a real server:
//! between looking and recording, claiming and composing, sending and settling.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use sqlx::PgConnection;

use crate::deliver::outbox::{NOON, Outbox};
use crate::smtp::RealServer;
use crate::support::times;

const ORGS: usize = 150;
/// How long a process lives at most once it is at work, as long as that gets anything done.
const SHORTEST_LIFE: Duration = Duration::from_millis(40);
/// Nothing here takes that long, unless something hangs.
const PATIENCE: Duration = Duration::from_mins(8);

fn start(outbox: &Outbox) -> Child {
    let mut command = outbox.test.command(&["--at", NOON, "--quiet", "alerts", "run"]);
    // A machine that is busy with other tests is no fault of the server's.
    command.env("PERIODD__MAIL__SMTP__TIMEOUT", "10s");
    command.env("PERIODD__MAIL__MAX_ATTEMPTS", "100");
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary starts")
}

/// Has everybody been told of 90 and of 100 %?
async fn is_done(outbox: &Outbox) -> bool {
    let sent = "select count(*) from periodd_outbox where state = 'sent'";
    outbox.test.rows(sent).await == [(2 * ORGS).to_string()]
}

/// Have all been found that reached 90 %?
async fn all_at_ninety_are_found(outbox: &Outbox) -> bool {
    let found = "select count(*) from periodd_outbox where threshold = 90";
    outbox.test.rows(found).await == [ORGS.to_string()]
}

#[tokio::test]
async fn killed_again_and_again_every_email_arrives_as_one_message() {
    let began = Instant::now();
    let mut kills = 0;
    while kills < times(40, 100) {
        kills += one_outbox_amid_kills(began).await;
    }
}

/// Sees one outbox through; returns how many processes were killed at it.
async fn one_outbox_amid_kills(began: Instant) -> usize {
    let server = RealServer::open();
    let outbox = Outbox::new(ORGS, &format!("port = {}\nmax_connections = 4", server.port)).await;
    let mut watch = outbox.test.connect().await;
    let (mut kills, mut is_full, mut life) = (0, false, SHORTEST_LIFE);
    let mut written = 0;
    while !is_done(&outbox).await {
        assert!(began.elapsed() < PATIENCE, "{kills} kills, and still something to send");
        // Then everybody reaches 100 %, so that there is something to look for, too.
        if !is_full && all_at_ninety_are_found(&outbox).await {
            is_full = true;
            outbox.test.sql("update usage_counters set used = 600").await;
        }
        let mut child = start(&outbox);
        if !comes_to_work(&mut child, &mut watch).await {
            continue;
        }
        tokio::time::sleep(life.mul_f64(fastrand::f64())).await;
        child.kill().expect("it can be killed");
        kills += usize::from(child.wait().expect("it ended").code().is_none());
        // Whoever never lives long enough to get anything done is given more time.
        let now = outbox.test.rows("select count(*) + count(settled_at) from periodd_outbox").await;
        let now: usize = now[0].parse().expect("a number");
        life = if now > written { SHORTEST_LIFE } else { life.mul_f64(1.5) };
        written = now;
        // Nobody waits for the leases of the dead here: they run out.
        outbox.wait().await;
    }

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
    let arrived: BTreeSet<&String> = messages.keys().collect();
    let listed: BTreeSet<&String> = rows.iter().collect();
    assert_eq!(arrived, listed, "all of them, each with one Message-ID");
    let same = messages.values().all(|texts| texts.len() == 1);
    assert!(same, "what came twice is the same, byte for byte");
    let twice = received.len() - rows.len();
    eprintln!("{kills} kills in {:?}; {twice} emails came twice", began.elapsed());
    let alerts = "select threshold, count(*) as n from periodd_alerts
                  where state = 'notified' group by 1 order by 1";
    assert_eq!(outbox.test.rows(alerts).await, [format!("90 {ORGS}"), format!("100 {ORGS}")]);
    kills
}

/// Waits until a process is at work, between two of its statements or in one; or has ended.
async fn comes_to_work(child: &mut Child, watch: &mut PgConnection) -> bool {
    loop {
        if child.try_wait().expect("a child").is_some() {
            return false;
        }
        let at_work: bool = sqlx::query_scalar(
            "select exists (select from pg_stat_activity
                            where datname = current_database() and pid <> pg_backend_pid()
                              and application_name = 'periodd'
                              and (backend_xid is not null or query like '%periodd_outbox%'))",
        )
        .fetch_one(&mut *watch)
        .await
        .expect("an answer");
        if at_work {
            return true;
        }
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
}
