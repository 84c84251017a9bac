//! `alerts run` is killed again and again, at random moments between its steps: each message comes
//! under one id, with the same bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::Queue;
use super::receiver::{Receiver, SECRET};
use crate::support::times;

const MESSAGES: usize = 400;
/// Nothing here takes that long, unless something hangs.
const PATIENCE: Duration = Duration::from_mins(5);

#[tokio::test]
async fn killed_again_and_again_every_message_comes_under_one_id() {
    let began = Instant::now();
    let receiver = Receiver::start();
    let queue = Queue::to(&receiver, MESSAGES).await;
    let mut kills = 0;
    let mut life = Duration::from_millis(60);
    let mut done = 0;
    loop {
        assert!(began.elapsed() < PATIENCE, "{kills} kills, and still something to send");
        let sent = "select count(*) from periodd_webhook_outbox where state = 'sent'";
        let now: usize = queue.test.rows(sent).await[0].parse().expect("a number");
        if now == MESSAGES {
            if kills >= times(15, 40) {
                break;
            }
            // Once more, so that there is something to do; by the ids that they had.
            queue
                .test
                .sql("update periodd_webhook_outbox set state = 'due', settled_at = null")
                .await;
            done = 0;
        }
        life = if now > done { Duration::from_millis(60) } else { life.mul_f64(1.3) };
        done = now % MESSAGES;
        let mut command = queue.test.command(&["--quiet", "alerts", "run"]);
        command.env("SECRET", SECRET).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the binary starts");
        tokio::time::sleep(life.mul_f64(0.3 + fastrand::f64())).await;
        child.kill().expect("it can be killed");
        kills += usize::from(child.wait().expect("it ended").code().is_none());
        // Nobody waits for the leases of the dead here: they run out.
        let mut connection = queue.test.connect().await;
        let freed = "update periodd_webhook_outbox
                     set leased_until = null, next_attempt_at = least(next_attempt_at, now())
                     where state = 'due'";
        while sqlx::raw_sql(freed).execute(&mut connection).await.is_err() {}
        queue.test.sql("update periodd_listeners set rests_until = null").await;
    }
    let mut bodies: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let received = receiver.received();
    for request in &received {
        assert!(request.is_genuine(), "{request:?}");
        bodies.entry(request.id().to_owned()).or_default().insert(request.body.clone());
    }
    let ids = queue.test.rows("select id from periodd_webhook_outbox order by 1").await;
    assert_eq!(bodies.keys().cloned().collect::<Vec<_>>(), ids, "all of them, and no other id");
    assert!(bodies.values().all(|texts| texts.len() == 1), "the same, byte for byte");
    eprintln!("{kills} kills in {:?}; {} requests", began.elapsed(), received.len());
}
