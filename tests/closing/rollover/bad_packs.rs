//! Packs that applications inserted plainly and that cannot be entered in the ledger: their org is
//! stopped, and nobody else.

use crate::story::rollover;
use crate::support::TestDatabase;

const AT: &str = "2026-06-02T12:00:00Z";

/// Six orgs whose May is over, and two that are in the middle of theirs.
async fn eight_orgs() -> TestDatabase {
    let test = TestDatabase::new().await;
    test.sql(
        "insert into organizations
             (slug, name, time_zone, current_period_start, current_period_end)
         select 'due-' || i, 'Org', 'UTC', timestamptz '2026-05-01Z', timestamptz '2026-06-01Z'
         from generate_series(1, 6) i
         union all
         select 'open-' || i, 'Org', 'UTC', '2026-05-15Z', '2026-06-15Z'
         from generate_series(1, 2) i",
    )
    .await;
    test
}

/// Inserts packs plainly, as an application does.
async fn bought(test: &TestDatabase, slug: &str, packs: u32, minutes: &str) {
    test.sql(&format!(
        "insert into overage_packs (org_id, feature, quantity, purchased_at)
         select id, 'minutes_transcribed', {minutes}, '2026-05-02Z'
         from organizations, generate_series(1, {packs}) where slug = '{slug}'"
    ))
    .await;
}

const CLOSED: &str = "select count(*) from billing_periods";
const PARKED: &str = "select slug, parked_code from organizations where parked_at is not null";
const NOT_ENTERED: &str = "select distinct o.slug from overage_packs p
                           join organizations o on o.id = p.org_id where p.entries = 0 order by 1";

#[tokio::test]
async fn packs_whose_sum_is_no_quantity_stop_their_org_and_no_other() {
    for (bad, closed) in [("due-3", "5"), ("open-1", "6")] {
        let test = eight_orgs().await;
        bought(&test, bad, 2, "9e21").await;
        bought(&test, "due-2", 1, "10").await;
        let report = rollover(&test, AT, &[]).exits(4).json();
        assert_eq!(test.rows(CLOSED).await, [closed], "{bad}: {report}");
        assert_eq!(test.rows(PARKED).await, [format!("{bad} refused_by_database")]);
        assert_eq!(test.rows(NOT_ENTERED).await, [bad]);
        let why = report["parked"][0]["reason"].as_str().expect("a reason");
        assert!(why.contains("overage_minutes_granted"), "{why}");
        test.check_invariants().await;
        // What was parked keeps nobody from anything the next time either.
        rollover(&test, AT, &[]).exits(0);
    }
}

/// Has a trigger refuse to enter the packs of these orgs.
async fn refuse(test: &TestDatabase, slugs: &str) {
    test.sql(&format!(
        "create function refuse() returns trigger language plpgsql as $$
         begin
             if exists (select from organizations
                        where id = new.org_id and slug = any('{{{slugs}}}')) then
                 raise exception 'the shop says no';
             end if;
             return new;
         end $$;
         create trigger refuse before update on overage_packs for each row
         execute function refuse()"
    ))
    .await;
}

#[tokio::test]
async fn a_trigger_on_packs_stops_one_org_and_no_other() {
    let test = eight_orgs().await;
    refuse(&test, "due-3").await;
    for slug in ["due-2", "due-3", "open-1"] {
        bought(&test, slug, 1, "10").await;
    }
    test.periodd(&["--at", "2026-05-20T00:00:00Z", "sync"]).exits(4);
    assert_eq!(test.rows(PARKED).await, ["due-3 refused_by_database"]);
    assert_eq!(test.rows(NOT_ENTERED).await, ["due-3"]);
    test.sql(
        "alter table overage_packs disable trigger refuse;
         update organizations set parked_at = null; update overage_packs set entries = 0;
         delete from overage_entries; alter table overage_packs enable trigger refuse",
    )
    .await;
    rollover(&test, AT, &[]).exits(4);
    assert_eq!(test.rows(CLOSED).await, ["5"]);
    assert_eq!(test.rows(PARKED).await, ["due-3 refused_by_database"]);
}

#[tokio::test]
async fn packs_that_are_refused_to_all_alike_park_nobody_and_are_said() {
    let test = eight_orgs().await;
    // Nothing else is due for them.
    rollover(&test, "2026-05-20T00:00:00Z", &[]).exits(0);
    refuse(&test, "open-1,open-2").await;
    bought(&test, "open-1", 1, "10").await;
    bought(&test, "open-2", 1, "10").await;
    let report = rollover(&test, AT, &[]).exits(4).json();
    assert_eq!(test.rows(CLOSED).await, ["6"], "{report}");
    assert!(test.rows(PARKED).await.is_empty());
    let skipped = report["skipped"].as_array().expect("orgs");
    assert_eq!(skipped.len(), 2, "{report}");
    let why = skipped[0]["reason"].as_str().expect("a reason");
    assert!(why.contains("the shop says no"), "{why}");
    let sync = test.periodd(&["--at", AT, "--format", "json", "sync"]).exits(4).json();
    assert_eq!(sync["skipped"].as_array().map(Vec::len), Some(2), "{sync}");
}
