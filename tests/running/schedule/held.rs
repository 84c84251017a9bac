//! Rows of schedules that somebody else holds: the others go on, and what is held goes on when it
//! is let go.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, PgConnection};

use crate::schedule::lanes::{Hand, Notes, job, replica, setting, settle};
use crate::support::TestDatabase;

async fn hold(test: &TestDatabase, job: &str) -> PgConnection {
    let mut holder = test.connect().await;
    let hold = format!("begin; select from periodd_schedules where job = '{job}' for update");
    sqlx::raw_sql(AssertSqlSafe(hold)).execute(&mut holder).await.expect("held");
    holder
}

fn jobs(line: &str) -> Vec<periodd::schedule::Scheduled> {
    ["dawn", "night", "noon"].map(|name| job(name, line, "UTC")).into()
}

#[tokio::test]
async fn a_schedule_whose_row_is_held_keeps_no_other_waiting() {
    let test = TestDatabase::new().await;
    let (hand, notes) = (Hand::at("2026-05-01T12:00:00Z"), Notes::default());
    let mut one = replica(&test, &hand, "one", setting(jobs("0 * * * * *"), notes.work())).await;
    let holder = hold(&test, "night").await;
    let ran = |notes: &Notes| {
        let mut ran: Vec<String> = notes.take().into_iter().map(|(job, _)| job).collect();
        ran.sort();
        ran
    };
    for minute in ["2026-05-01T12:01:00Z", "2026-05-01T12:02:00Z"] {
        hand.set(minute);
        let next = settle(&mut one).await;
        assert_eq!(ran(&notes), ["dawn", "noon"]);
        // It is looked at again soon, and not at once.
        assert!(next.wait.is_some_and(|wait| wait <= Duration::from_secs(5)), "{next:?}");
    }
    // One that begins meanwhile goes on without that one, too; its line is another one.
    let config = setting(jobs("30 * * * * *"), notes.work());
    one.adopt(config).await.expect("adopted but for one");
    let lines = "select job, line from periodd_schedules order by 1";
    let adopted = test.rows(lines).await;
    assert!(adopted[0].contains("30 * *") && adopted[2].contains("30 * *"), "{adopted:?}");
    assert!(adopted[1].contains("0 * * * *") && !adopted[1].contains("30 *"), "{adopted:?}");
    hand.set("2026-05-01T12:02:30Z");
    settle(&mut one).await;
    assert_eq!(ran(&notes), ["dawn", "noon"]);
    drop(holder);
    let deadline = Instant::now() + Duration::from_mins(1);
    while test.rows(lines).await.iter().any(|line| !line.contains("30 * *")) {
        assert!(Instant::now() < deadline, "it is let go of, and not adopted");
        settle(&mut one).await;
    }
    hand.set("2026-05-01T12:03:30Z");
    settle(&mut one).await;
    assert_eq!(ran(&notes), ["dawn", "night", "noon"]);
}
