//! What moves beside a pass, and what a late rollover has not settled yet.

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::alerts::story::{FEATURE, ORG, Story};

async fn execute(connection: &mut PgConnection, statements: &str) {
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(connection).await.expect("no fault");
}

#[tokio::test]
async fn a_limit_that_falls_beside_two_passes_is_told() {
    let story = Story::with_limit("1200").await;
    story.uses_and_passes("970").await;
    assert_eq!(story.told().await, ["80"]);
    // Another pass is just judging the counter, by the limit that was.
    let mut other = PgConnection::connect(&story.test.url()).await.unwrap();
    execute(&mut other, "begin; update periodd_alert_limits set seq = seq + 1").await;
    story.limit("1000").await;
    let (report, ()) = tokio::join!(story.pass(), async {
        story.test.until_somebody_waits().await;
        execute(&mut other, "commit").await;
    });
    assert_eq!((report.missed, report.left), (0, 0), "{report:?}");
    assert_eq!(story.told().await, ["80", "90!"]);
}

#[tokio::test]
async fn what_an_expired_pack_is_going_to_pay_is_part_of_the_limit() {
    let mut story = Story::with_limit("100").await;
    story
        .test
        .sql(&format!(
            "select grant_overage_pack('{ORG}', '{FEATURE}', 100, 'a', '2026-05-10', '2026-05-01');
             select grant_overage_pack('{ORG}', '{FEATURE}', 100, 'b', null, '2026-05-01')"
        ))
        .await;
    story.at("2026-05-09T00:00:00Z");
    story.uses_and_passes("170").await;
    assert!(story.told().await.is_empty(), "170 of 300");
    story.at("2026-05-12T12:00:00Z");
    story.pass().await;
    assert!(story.told().await.is_empty(), "170 of 270: the pack pays 70 of what it held");
    // Until somebody settles it, and after: the same.
    story.test.periodd(&["--at", "2026-05-12T12:00:00Z", "rollover"]).exits(0);
    story.pass().await;
    assert!(story.told().await.is_empty());
    story.uses_and_passes("50").await;
    assert_eq!(story.told().await, ["80"], "220 of 270");
}

#[tokio::test]
async fn a_quantity_that_cannot_be_counted_with_keeps_nobody_else_from_being_warned() {
    let story = Story::new().await;
    // Sums of rows that are each within the range, and rows from before there was one.
    story
        .test
        .sql(&format!(
            "do $$ declare c record; begin
                 for c in select conrelid::regclass as t, conname from pg_constraint
                          where contype = 'c' and conrelid in ('limit_overrides'::regclass,
                                                               'tier_limits'::regclass) loop
                     execute format('alter table %s drop constraint %I', c.t, c.conname);
                 end loop;
             end $$;
             insert into subscription_tiers (code) values ('nobodys')
                 on conflict (code) do nothing;
             insert into tier_limits (tier, feature, included)
                 values ('nobodys', '{FEATURE}', 1e30);
             insert into organizations (slug, name, time_zone, subscription_tier,
                                        current_period_start, current_period_end)
                 select slug, slug, 'UTC', 'pro', '2026-05-01Z', '2026-06-01Z'
                 from unnest(array['packs', 'override']) as slug;
             select record_usage(id, '{FEATURE}', 590, null, '2026-05-12T11:00:00Z')
                 from organizations;
             insert into overage_packs (org_id, feature, quantity, remaining, purchased_at, entries)
                 select id, '{FEATURE}', 9e21, 9e21, '2026-05-01', 1
                 from organizations, generate_series(1, 2) n where slug = 'packs';
             insert into periodd_alert_limits (org_id, feature, period_start, period_end,
                                               generation, quantity, used, seq, judged_at)
                 select id, '{FEATURE}', '2026-05-01Z', '2026-06-01Z', 1, 600, 500, 1, now()
                 from organizations where slug = 'packs';
             insert into limit_overrides (org_id, feature, included)
                 select id, '{FEATURE}', 1e50 from organizations where slug = 'override';
             insert into periodd_alert_limits (org_id, feature, period_start, period_end,
                                               generation, quantity, used, seq, judged_at)
                 select id, '{FEATURE}', '2026-05-01Z', '2026-06-01Z', 1, 600, 500, 1, now()
                 from organizations where slug = 'override'"
        ))
        .await;
    for _ in 0..2 {
        let report = story.pass().await;
        assert_eq!(story.told().await, ["90"]);
        let mut left: Vec<(&str, &str)> = report
            .left_orgs
            .iter()
            .map(|left| (left.slug.as_str(), left.reason.split(' ').next().unwrap_or_default()))
            .collect();
        left.sort_unstable();
        assert_eq!(
            left,
            [("override", "limit_overrides.included"), ("packs", "overage_packs.remaining")]
        );
    }
    // Corrected, it is looked at again, whether or not anything else moves.
    story.test.sql("update overage_packs set remaining = 0").await;
    let report = story.pass().await;
    assert_eq!(report.left, 1, "{report:?}");
    assert_eq!(story.told().await, ["90"], "nobody to tell there, but judged");
    let judged = "select count(*) from periodd_alerts a join organizations o on o.id = a.org_id
                  where o.slug = 'packs'";
    assert_ne!(story.test.rows(judged).await, ["0"]);
}
