//! `db verify`: each rule has a fault that it finds.

use std::sync::atomic::{AtomicU64, Ordering};

use periodd::billing::Instant;
use periodd::jobs::doctor::verify::{self, Question, Verified};
use periodd::jobs::stop::{Stop, Why};
use periodd::store::audit::verify::verified_at;

use crate::adoption::adopted;
use crate::support::TestDatabase;

#[tokio::test]
async fn each_fault_is_found() {
    for (fault, rule) in [
        (
            "update organizations set current_period_end = current_period_start - interval '1 day'
             where name = 'Drifted'",
            "periods end after they start",
        ),
        (
            "update organizations set current_period_end = current_period_end - interval '1 ms'
             where name = 'Drifted'",
            "period ends are exclusive",
        ),
        (
            "insert into usage_counters (org_id, feature, period_start, period_end, used)
             select id, 'minutes_transcribed', current_period_start + interval '1 hour',
                    current_period_end, 1 from organizations where name = 'Drifted'",
            "counters of a feature do not overlap",
        ),
        (
            "insert into feature_usage (organization_id, user_id, feature, period_start,
                                        period_end, usage_count)
             select organization_id, id, 'scrapes', now() + v.a, now() + v.b, 1
             from users, (values (interval '1 h', interval '3 h'), ('2 h', '4 h')) as v (a, b)
             where email = 'user@example.com'",
            "counters of a user and feature do not overlap",
        ),
        (
            "update organizations set time_zone = 'CET' where name = 'Drifted'",
            "every org has a time zone that exists",
        ),
        (
            "insert into billing_periods (org_id, period_start, period_end)
             select id, current_period_start - interval '40 days',
                    current_period_start - interval '1 day' from organizations
             where name = 'Drifted'",
            "closed periods touch",
        ),
        ("update usage_counters set used = used + 1", "counters are their metrics"),
        ("update overage_packs set remaining = remaining - 1", "packs are conserved"),
        (
            "insert into periodd_outbox (org_id, feature, period_start, period_end, threshold,
                                         recipient, state, settled_at, lease, leased_until)
             select id, 'scrapes', current_period_start, current_period_end, 80,
                    'ann@example.com', 'sent', now(), gen_random_uuid(), now()
             from organizations where name = 'Drifted'",
            "settled messages have no lease",
        ),
        (
            "select grant_overage_pack(id, 'scrapes', 5, 'unused', null,
                                       current_period_start - interval '40 days')
             from organizations where name = 'Drifted';
             update overage_entries set recorded_at = now() - interval '2 hours';
             insert into billing_periods (org_id, period_start, period_end, features, used_each,
                                          included_each, drawn_each, uncovered_each)
             select id, current_period_start - interval '30 days', current_period_start,
                    '{scrapes}', '{3}', '{0}', '{0}', '{3}'
             from organizations where name = 'Drifted'",
            "nothing is uncovered while a pack holds something",
        ),
    ] {
        let test = adopted(include_str!("002.sql")).await;
        test.periodd(&["db", "verify"]).exits(0);
        test.sql(fault).await;
        let answer = test.periodd(&["--format", "json", "db", "verify"]).exits(3).json();
        let rules = answer["rules"].as_array().expect("rules");
        let broken = rules.iter().filter(|rule| rule["broken_by"] != 0);
        let broken: Vec<&str> = broken.map(|rule| rule["rule"].as_str().unwrap()).collect();
        assert!(broken.contains(&rule), "{fault}: {broken:?}");
    }
}

/// The sums are taken row by row from the replaced tables, and not by the query that moved them.
#[tokio::test]
async fn sums_are_of_what_the_old_tables_held() {
    let test = adopted(include_str!("000.sql")).await;
    let differing = "select count(*) from (
            select org_id, sum(sms) as sms from (
                select org_id, sms_sent as sms from usage_counters_legacy
                union all select org_id, sms_count from sms_usage_legacy) l group by 1) l
        full join (select org_id, sum(amount) as amount from periodd_import_sums
                   where feature = 'sms_sent' and not is_period group by 1) s using (org_id)
        where l.sms is distinct from s.amount";
    assert_eq!(test.rows(differing).await, ["0"]);
    // What is gone is told by its period and by its month.
    test.sql(
        "delete from usage_metrics where id = (
             select id from usage_metrics where metric_type = 'sms_sent' limit 1)",
    )
    .await;
    let answer = test.periodd(&["--format", "json", "db", "verify"]).exits(3).json();
    assert_eq!(answer["differences"].as_array().expect("differences").len(), 2, "{answer}");
}

/// Violations, of all rules together.
fn broken(verified: &Verified) -> usize {
    verified.rules.iter().map(|rule| rule.broken_by).sum()
}

async fn asked(test: &TestDatabase, question: Question) -> Verified {
    verify::run(&test.database, question, &Stop::default(), &|_| ()).await.expect("an answer")
}

async fn clean_since(test: &TestDatabase) -> Option<Instant> {
    verified_at(&mut test.connect().await).await.expect("an answer")
}

/// 2,500 orgs, with three closed periods each: the last of them was closed just now.
async fn with_history() -> TestDatabase {
    let test = TestDatabase::new().await;
    test.sql(
        "insert into organizations
             (slug, name, time_zone, current_period_start, current_period_end, next_period_ends)
         select 'org-' || i, 'Org', 'UTC', '2026-04-01Z', '2026-05-01Z',
                array['2026-06-01Z', '2026-07-01Z', '2026-08-01Z']::timestamptz[]
         from generate_series(1, 2500) i;
         insert into billing_periods (org_id, period_start, period_end, follows, recorded_at)
         select o.id, make_timestamptz(2026, m, 1, 0, 0, 0, 'UTC'),
                make_timestamptz(2026, m + 1, 1, 0, 0, 0, 'UTC'),
                case when m > 1 then make_timestamptz(2026, m, 1, 0, 0, 0, 'UTC') end,
                case when m < 3 then '2026-03-01Z' else now() end
         from organizations o, generate_series(1, 3) m order by 1, 2",
    )
    .await;
    test
}

#[tokio::test]
async fn a_verification_that_is_interrupted_goes_on_where_it_was() {
    let test = with_history().await;
    let first = "(select id from organizations order by id limit 1)";
    test.sql(&format!("update organizations set next_period_ends = '{{}}' where id = {first}"))
        .await;
    let (stop, asked_about) = (Stop::default(), AtomicU64::new(0));
    let observer = |orgs: u64| {
        asked_about.store(orgs, Ordering::Relaxed);
        stop.ask(Why::Draining);
    };
    let everything = Question::Everything { resumes: false };
    let verified = verify::run(&test.database, everything, &stop, &observer).await.expect("asked");
    assert!(!verified.is_through);
    assert_eq!((verified.orgs, asked_about.into_inner(), broken(&verified)), (1000, 1000, 1));
    // What was found before the interruption counts, and is not asked again.
    let repair = "update organizations set next_period_ends =
                      array['2026-06-01Z', '2026-07-01Z', '2026-08-01Z']::timestamptz[]";
    test.sql(repair).await;
    let resumed = asked(&test, Question::Everything { resumes: true }).await;
    assert_eq!((resumed.orgs, resumed.is_through, broken(&resumed)), (2500, true, 1));
    assert_eq!(clean_since(&test).await, None);
    // There is nothing to resume any more, and it begins at the beginning.
    let again = asked(&test, Question::Everything { resumes: true }).await;
    assert_eq!((again.orgs, again.is_through, broken(&again)), (2500, true, 0));
    assert!(clean_since(&test).await.is_some());
}

#[tokio::test]
async fn what_was_closed_before_is_asked_by_a_verification_of_everything_alone() {
    let test = with_history().await;
    let since = "2026-04-15T00:00:00Z".parse().expect("an instant");
    for (month, found) in [(2, 0), (3, 1)] {
        test.sql(&format!(
            "update billing_periods b
             set features = '{{scrapes}}', used_each = '{{5}}', included_each = '{{9}}',
                 drawn_each = '{{0}}', uncovered_each = '{{0}}'
             from organizations o
             where o.id = b.org_id and o.slug = 'org-7'
               and b.period_start = make_timestamptz(2026, {month}, 1, 0, 0, 0, 'UTC')"
        ))
        .await;
        let recent = asked(&test, Question::ClosedAfter(since)).await;
        assert_eq!((recent.orgs, broken(&recent)), (2500, found), "{recent:?}");
    }
    let all = asked(&test, Question::Everything { resumes: false }).await;
    assert_eq!(broken(&all), 2, "{all:?}");
    assert_eq!(clean_since(&test).await, None);
}
