//! An import whose connection breaks, at every message that it sends: the database is as it was.
//! Where only the answer to the commit is lost, it is imported.

use periodd::import::answers::Answers;
use periodd::store::db::lock_wait::LockWait;
use periodd::tz::TzData;
use periodd::{
    import,
    store::{Database, StoreError},
};
use periodd::{import::report as job, jobs::zones};
use tempfile::TempDir;

use crate::adoption::situation;
use crate::adoption::whole::everything;
use crate::proxy::{Cut, Proxy};
use crate::support::{TestDatabase, every, server};

/// An import through a proxy that cuts: how it ended, how many messages the client sent before it
/// began, and those since that the server answers, by their numbers. The server acts on the others
/// (parse, bind, execute) only together with the sync that follows them.
async fn import(
    test: &TestDatabase,
    report: &job::AdoptionReport,
    cut: Option<(usize, Cut)>,
) -> (Result<(), StoreError>, usize, Vec<usize>) {
    let directory = TempDir::new().expect("a directory");
    let proxy = Proxy::listen(directory.path(), &server(), cut);
    let tz = TzData::newest();
    let months = zones::months(&tz, test.database.now().await.expect("the time"));
    let database = Database::connect(&proxy.url(&test.name), 1).await.expect("a connection");
    // Before it is lent, the server is asked whether it still answers there.
    let before = proxy.said().len() + 1;
    let (adoption, wait) = (&report.adoption, LockWait::default());
    let done = import::apply(&database, adoption, &months, tz.release(), wait, |_| {}).await;
    // The commit is a simple query, and the last one.
    let said = proxy.said();
    let commit = said.iter().rposition(|said| said.kind == b'Q').unwrap_or(before);
    let answered = (before..=commit).filter(|at| said[*at].is_answered()).collect();
    (done, before, answered)
}

/// The statements that are broken off one by one.
const OWN: usize = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_that_breaks_off_anywhere_has_not_happened() {
    let sql = include_str!("002.sql");
    let rehearsal = situation(sql).await;
    let tz = TzData::newest();
    let report = job::report(&rehearsal.database, &tz, &Answers::default(), LockWait::default())
        .await
        .expect("a report");
    let report = report.expect("something to import");
    let (done, begins, messages) = import(&rehearsal, &report, None).await;
    done.expect("an undisturbed import");
    assert!(messages.len() > 100, "there is more to do than that: {begins}, {messages:?}");

    let test = situation(sql).await;
    let before = everything(&test).await;
    // The schema comes first, the import's own statements last.
    let own = messages.len() - OWN;
    let chosen = messages.iter().enumerate().filter(|(n, _)| n % every() == 0 || *n >= own);
    for (n, &at) in chosen {
        let (done, ..) = import(&test, &report, Some((at, Cut::Before))).await;
        assert!(matches!(done, Err(StoreError::Unavailable(_))), "message {at}: {done:?}");
        if n % 42 == 0 {
            assert_eq!(everything(&test).await, before, "message {at}");
        }
        let there = "select to_regclass('organizations_legacy') is null as untouched";
        assert_eq!(test.rows(there).await, ["true"], "message {at}");
    }
    assert_eq!(everything(&test).await, before);

    // The last message that matters is the commit.
    let commit = *messages.last().expect("a commit");
    let (done, ..) = import(&test, &report, Some((commit, Cut::AnswerLost))).await;
    assert!(matches!(done, Err(StoreError::Unavailable(_))), "{done:?}");
    test.periodd(&["rollover"]).exits(0);
    test.periodd(&["db", "verify"]).exits(0);
    test.periodd(&["db", "import"]).exits(0);
}
