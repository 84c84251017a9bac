//! `db verify`: each rule has a fault that it finds.

use crate::adoption::adopted;

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
                    current_period_end, 0 from organizations where name = 'Drifted'",
            "counters of a feature do not overlap",
        ),
        (
            "insert into feature_usage (organization_id, user_id, feature, period_start,
                                        period_end, usage_count)
             select organization_id, id, 'scrapes', now() + v.a, now() + v.b, 0
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
