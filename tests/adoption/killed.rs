//! An import whose connection breaks, at every message that it sends: the database is as it was.
//! Where only the answer to the commit is lost, it is imported.

use periodd::jobs::{adoption as job, zones};
use periodd::store::{Database, StoreError, adoption};
use periodd::tzdata::TzData;
use tempfile::TempDir;

use crate::proxy::{Cut, Proxy};
use crate::situation;
use crate::support::{TestDatabase, server};
use crate::whole::everything;

/// An import through a proxy that cuts: how it ended, how many messages the client sent before it
/// began, and how many in all.
async fn import(
    test: &TestDatabase,
    report: &job::Report,
    cut: Option<(usize, Cut)>,
) -> (Result<(), StoreError>, usize, usize) {
    let directory = TempDir::new().expect("a directory");
    let proxy = Proxy::listen(directory.path(), &server(), cut);
    let tz = TzData::newest();
    let months = zones::months(&tz, test.database.now().await.expect("the time"));
    let database = Database::connect(&proxy.url(&test.name), 1).await.expect("a connection");
    // Before it is lent, the server is asked whether it still answers there.
    let before = proxy.said().len() + 1;
    let adoption = &report.adoption;
    let done = adoption::apply(&database, adoption, &months, tz.release(), |_| {}).await;
    // The commit is a simple query, and the last one.
    let commit = proxy.said().iter().rposition(|said| said.kind == b'Q');
    (done, before, commit.map_or(before, |at| at + 1))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_that_breaks_off_anywhere_has_not_happened() {
    let sql = include_str!("002.sql");
    let rehearsal = situation(sql).await;
    let tz = TzData::newest();
    let report = job::report(&rehearsal.database, &tz, "UTC").await.expect("a report");
    let report = report.expect("something to import");
    let (done, begins, messages) = import(&rehearsal, &report, None).await;
    done.expect("an undisturbed import");
    assert!(messages > begins + 100, "there is more to do than that: {begins}, {messages}");

    let test = situation(sql).await;
    let before = everything(&test).await;
    for at in begins..messages {
        let (done, ..) = import(&test, &report, Some((at, Cut::Before))).await;
        assert!(matches!(done, Err(StoreError::Unavailable(_))), "message {at}: {done:?}");
        if at % 10 == 0 {
            assert_eq!(everything(&test).await, before, "message {at}");
        }
        let there = "select to_regclass('organizations_legacy') is null as untouched";
        assert_eq!(test.rows(there).await, ["true"], "message {at}");
    }
    assert_eq!(everything(&test).await, before);

    // The last message that matters is the commit.
    let (done, ..) = import(&test, &report, Some((messages - 1, Cut::AnswerLost))).await;
    assert!(matches!(done, Err(StoreError::Unavailable(_))), "{done:?}");
    test.periodd(&["rollover"]).exits(0);
    test.periodd(&["db", "verify"]).exits(0);
    test.periodd(&["db", "import"]).exits(0);
}
