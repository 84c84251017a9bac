//! Both are at work at once: one waits for the other's row, and learns what became of it.

use periodd::billing::parking::ParkedCode;
use periodd::store::rollover::{apply, claim};
use periodd::store::{LockTimeout, StoreError, begin_within, usage};
use sqlx::PgConnection;
use tokio::task::JoinHandle;

use crate::isolation::page::{self, closed, due_org, execute, now, plan, roll_over};
use crate::support::TestDatabase;

/// Runs statements in a task of their own.
fn start(mut connection: PgConnection, statements: &'static str) -> JoinHandle<()> {
    tokio::spawn(async move { execute(&mut connection, statements).await })
}

/// Plans, and applies while somebody else holds what `statements` changed; then they end with
/// `end`. Returns whether the org moved; a conflict is an error.
async fn apply_during(
    test: &TestDatabase,
    statements: &str,
    end: &str,
) -> Result<bool, StoreError> {
    let (mut ours, mut theirs) = (test.connect().await, test.connect().await);
    let mut transaction = begin_within(&mut ours, LockTimeout::Long).await.expect("a transaction");
    let planned = plan(&mut transaction).await;
    execute(&mut theirs, &format!("begin; {statements}")).await;
    let applied = {
        let applying = page::apply(&mut transaction, &planned);
        let ending = async {
            test.until_somebody_waits().await;
            execute(&mut theirs, end).await;
        };
        tokio::join!(applying, ending).0
    };
    match applied {
        Ok(moved) => {
            transaction.commit().await.expect("committed");
            Ok(!moved.is_empty())
        }
        Err(error) => {
            transaction.rollback().await.expect("rolled back");
            Err(error)
        }
    }
}

const GRANT: &str = "select grant_overage_pack(id, 'minutes_transcribed', 30, 'soon', '2026-06-30',
                                               '2026-05-20') from organizations";

#[tokio::test]
async fn a_grant_that_commits_while_the_rollover_waits_for_it() {
    let test = due_org().await;
    assert!(matches!(apply_during(&test, GRANT, "commit").await, Ok(false)));
    roll_over(&mut test.connect().await).await;
    assert_eq!(closed(&test).await, ["540 40 0", "pack 90", "soon 0"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn a_grant_that_is_taken_back_while_the_rollover_waits_for_it() {
    let test = due_org().await;
    assert!(matches!(apply_during(&test, GRANT, "rollback").await, Ok(true)));
    assert_eq!(closed(&test).await, ["540 40 0", "pack 60"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn metrics_that_somebody_counts_while_the_rollover_waits_for_them() {
    let count = "update usage_metrics set counted_at = now() where counted_at is null;
                 update usage_counters set used = used + 60";
    let test = due_org().await;
    let applied = apply_during(&test, count, "commit").await;
    assert!(matches!(applied, Err(StoreError::Conflict(_))), "{applied:?}");
    assert!(test.rows("select from billing_periods").await.is_empty());
    roll_over(&mut test.connect().await).await;
    assert_eq!(closed(&test).await, ["540 40 0", "pack 60"]);
    test.check_invariants().await;
}

/// Applies without committing, has somebody else start, waits until they wait for us, and ends.
async fn while_applied(test: &TestDatabase, statements: &'static str, commits: bool) {
    let (mut ours, theirs) = (test.connect().await, test.connect().await);
    let mut transaction = begin_within(&mut ours, LockTimeout::Long).await.expect("a transaction");
    let planned = plan(&mut transaction).await;
    page::apply(&mut transaction, &planned).await.expect("applied");
    let other = start(theirs, statements);
    test.until_somebody_waits().await;
    if commits {
        transaction.commit().await.expect("committed");
    } else {
        transaction.rollback().await.expect("rolled back");
    }
    other.await.expect("the other is done");
}

#[tokio::test]
async fn a_grant_that_waits_for_a_rollover_is_whole_afterwards() {
    let test = due_org().await;
    while_applied(&test, GRANT, true).await;
    assert_eq!(closed(&test).await, ["540 40 0", "pack 60", "soon 30"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn usage_that_waits_for_a_rollover_is_not_lost() {
    const RECORD: &str = "select record_usage(id, 'minutes_transcribed', 3, null, '2026-05-31')
                          from organizations";
    let test = due_org().await;
    while_applied(&test, RECORD, true).await;
    // It found May open and counts there: late usage.
    assert_eq!(closed(&test).await, ["540 40 0", "pack 60"]);
    assert_eq!(test.rows("select used from usage_counters").await, ["543"]);

    let test = due_org().await;
    while_applied(&test, RECORD, false).await;
    assert_eq!(test.rows("select used from usage_counters").await, ["483"]);
    roll_over(&mut test.connect().await).await;
    assert_eq!(closed(&test).await, ["543 43 0", "pack 57"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn two_rollovers_of_one_org_at_once() {
    for first_commits in [true, false] {
        let test = due_org().await;
        let (mut ours, mut theirs) = (test.connect().await, test.connect().await);
        let mut transaction =
            begin_within(&mut ours, LockTimeout::Long).await.expect("a transaction");
        let planned = plan(&mut transaction).await;
        page::apply(&mut transaction, &planned).await.expect("applied");
        let mut second = begin_within(&mut theirs, LockTimeout::Long).await.expect("a transaction");
        let same = plan(&mut second).await;
        let ending = async {
            test.until_somebody_waits().await;
            if first_commits {
                transaction.commit().await.expect("committed");
            } else {
                transaction.rollback().await.expect("rolled back");
            }
        };
        let (moved, ()) = tokio::join!(page::apply(&mut second, &same), ending);
        assert_eq!(moved.expect("no conflict").is_empty(), first_commits);
        second.commit().await.expect("committed");
        assert_eq!(closed(&test).await, ["540 40 0", "pack 60"]);
        test.check_invariants().await;
    }
}

#[tokio::test]
async fn somebody_who_counts_waits_for_a_rollover_and_finds_nothing_left() {
    let test = due_org().await;
    let (mut ours, mut theirs) = (test.connect().await, test.connect().await);
    let mut transaction = begin_within(&mut ours, LockTimeout::Long).await.expect("a transaction");
    let planned = plan(&mut transaction).await;
    page::apply(&mut transaction, &planned).await.expect("applied");
    let ending = async {
        test.until_somebody_waits().await;
        transaction.commit().await.expect("committed");
    };
    let (counted, ()) = tokio::join!(usage::count(&mut theirs, &planned.counting, now()), ending);
    assert_eq!(counted.expect("counted").usage, []);
    assert_eq!(closed(&test).await, ["540 40 0", "pack 60"]);
    test.check_invariants().await;
}

/// Three orgs with ids in the order of their names.
async fn three_orgs(test: &TestDatabase) -> Vec<uuid::Uuid> {
    test.sql(
        "insert into organizations (id, slug, name, time_zone)
         select ('00000000-0000-0000-0000-00000000000' || i)::uuid, 'org-' || i, 'Org', 'UTC'
         from generate_series(1, 3) i",
    )
    .await;
    (1..=3).map(uuid::Uuid::from_u128).collect()
}

/// Which orgs are free while a write waits for the second.
async fn free_while_it_waits(test: &TestDatabase) -> Vec<String> {
    test.until_somebody_waits().await;
    test.rows("select slug from organizations order by id for update skip locked").await
}

#[tokio::test]
async fn the_rows_of_several_orgs_are_locked_in_the_order_of_their_ids() {
    let test = TestDatabase::new().await;
    let ids = three_orgs(&test).await;
    let backwards: Vec<_> = ids.iter().rev().copied().collect();
    let parkings: Vec<apply::Parking> = backwards
        .iter()
        .map(|org| apply::Parking {
            org: *org,
            revision: None,
            code: ParkedCode::ByHand,
            reason: "moving".to_owned(),
        })
        .collect();
    let mut theirs = test.connect().await;
    for writes_parking in [true, false] {
        execute(&mut theirs, "begin; select from organizations where slug = 'org-2' for update")
            .await;
        let mut ours = test.connect().await;
        let mut transaction =
            begin_within(&mut ours, LockTimeout::Long).await.expect("a transaction");
        let writing = async {
            if writes_parking {
                apply::park(&mut transaction, &parkings, now()).await.map(|parked| parked.len())
            } else {
                claim::lock_all(&mut transaction, &backwards).await.map(|()| 3)
            }
        };
        let looking = async {
            let free = free_while_it_waits(&test).await;
            execute(&mut theirs, "rollback").await;
            free
        };
        let (written, free) = tokio::join!(writing, looking);
        assert_eq!(written.expect("written"), 3);
        assert_eq!(free, ["org-3"], "the first is locked, the third is not yet");
        transaction.rollback().await.expect("rolled back");
    }
}

#[tokio::test]
async fn a_users_own_usage_that_commits_while_the_rollover_waits_for_it_is_shown() {
    let test = due_org().await;
    test.sql(
        "insert into users (organization_id, id, email, usage_this_month)
         select id, md5('ann')::uuid, 'ann@acme.example', 5 from organizations",
    )
    .await;
    // Used in the period that opens, with its copy.
    let used = "insert into feature_usage
                    (organization_id, user_id, feature, period_start, period_end, usage_count)
                select id, md5('ann')::uuid, 'scrapes', current_period_end,
                       current_period_end + interval '1 month', 7 from organizations;
                update users set usage_this_month = 7 where id = md5('ann')::uuid";
    assert!(matches!(apply_during(&test, used, "commit").await, Ok(true)));
    let shown = "select usage_this_month from users where id = md5('ann')::uuid";
    assert_eq!(test.rows(shown).await, ["7"]);
}
