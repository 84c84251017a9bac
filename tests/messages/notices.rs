//! Notices: what is told beside thresholds, when, and to whom. Each test tells the story of one
//! org, on a database of its own.
#![allow(clippy::unwrap_used, reason = "helpers of tests, outside the functions clippy excuses")]

use periodd::config::Config;
use periodd::jobs::alerts::Request;
use periodd::jobs::alerts::notices::{self, Look, NoticeReport};
use periodd::jobs::deliver::{self, DeliveryReport, Mailer};
use periodd::store::StoreError;
use periodd::tz::TzData;
use sqlx::Connection as _;

use crate::support::{TestDatabase, at, lacking};

const ORG: &str = "00000000-0000-0000-0000-00000000000a";

/// An org in May 2026 with 600 minutes included, whose billing and technical contacts are known.
struct Story(TestDatabase);

impl Story {
    async fn new() -> Self {
        let test = TestDatabase::new().await;
        test.sql(&format!(
            "insert into tier_limits (tier, feature, included)
                 values ('pro', 'minutes_transcribed', 600), ('starter', 'minutes_transcribed', 60);
             insert into organizations
                 (id, slug, name, time_zone, subscription_tier, current_period_start,
                  current_period_end, next_period_ends)
             values ('{ORG}', 'acme', 'Acme', 'UTC', 'pro', '2026-05-01Z', '2026-06-01Z',
                     '{{2026-07-01Z, 2026-08-01Z, 2026-09-01Z}}');
             insert into org_contacts (org_id, email, role)
             values ('{ORG}', 'pay@acme.example', 'billing'),
                    ('{ORG}', 'ops@acme.example', 'technical');"
        ))
        .await;
        Self(test)
    }

    async fn sql(&self, statements: &str) {
        self.0.sql(statements).await;
    }

    fn config(&self) -> Config {
        Config::load(Some(&self.0.config()), std::iter::empty()).unwrap()
    }

    async fn look(&self, now: &str) -> NoticeReport {
        self.look_as(now, Look::Now).await
    }

    async fn look_as(&self, now: &str, look: Look) -> NoticeReport {
        let request = Request { at: Some(at(now)), ..Request::of(&self.config()) };
        notices::run(&self.0.database, &TzData::newest(), &request, look).await.unwrap()
    }

    async fn deliver(&self, now: &str) -> DeliveryReport {
        let config = self.config();
        let mailer = Mailer::of(&config).unwrap();
        let request = deliver::Request { at: Some(at(now)), ..deliver::Request::of(&config) };
        deliver::run(&self.0.database, &TzData::newest(), &mailer, &request).await.unwrap()
    }

    /// Kind, recipient and state of all emails.
    async fn emails(&self) -> Vec<String> {
        let query = "select kind, recipient, state from periodd_outbox
                     order by recorded_at, kind, recipient";
        self.0.rows(query).await
    }

    async fn notices(&self) -> Vec<String> {
        let query = "select kind, state from periodd_notices order by decided_at, kind, key";
        self.0.rows(query).await
    }

    async fn grants(&self, reference: &str, quantity: i64, expires: &str) {
        self.sql(&format!(
            "select grant_overage_pack('{ORG}', 'minutes_transcribed', {quantity}, '{reference}',
                                       '{expires}', '2026-05-01T00:00:00Z')"
        ))
        .await;
    }

    /// Uses this much on each of the days up to and with one.
    async fn uses_daily(&self, quantity: i64, from: &str, upto: &str) {
        self.sql(&format!(
            "select record_usage('{ORG}', 'minutes_transcribed', {quantity}, null, d)
             from generate_series('{from}T09:00:00Z'::timestamptz, '{upto}T09:00:00Z', '1 day') d"
        ))
        .await;
    }
}

#[tokio::test]
async fn packs_that_expire_are_told_once_to_whoever_pays() {
    let story = Story::new().await;
    story.grants("one", 30, "2026-05-20T08:00:00Z").await;
    story.grants("two", 50, "2026-05-20T10:00:00Z").await;
    story.look("2026-05-12T23:59:59Z").await;
    assert!(story.emails().await.is_empty());
    let report = story.look("2026-05-13T00:00:00Z").await;
    assert_eq!(report.emails, 1);
    assert_eq!(story.look("2026-05-13T01:00:00Z").await.emails, 0);
    assert_eq!(story.emails().await, ["pack_expires pay@acme.example due"]);
    assert_eq!(story.deliver("2026-05-13T02:00:00Z").await.sent, 1);
    let letter = story.0.rows("select letter from periodd_outbox").await.concat();
    assert!(letter.contains(r#""kind":"pack_expires""#), "{letter}");
    // The last call, and nothing once they have expired.
    assert_eq!(story.look("2026-05-19T06:00:00Z").await.emails, 1);
    assert_eq!(story.look("2026-05-20T10:00:00Z").await.emails, 0);
}

#[tokio::test]
async fn what_is_parked_or_paused_is_told_nothing() {
    let story = Story::new().await;
    story.grants("one", 30, "2026-05-20T08:00:00Z").await;
    story.sql("update organizations set paused_from = '2026-05-02Z'").await;
    assert_eq!(story.look("2026-05-13T06:00:00Z").await.emails, 0);
    story
        .sql(
            "update organizations
             set paused_from = null, parked_at = '2020-01-01Z', parked_reason = 'odd'",
        )
        .await;
    assert_eq!(story.look("2026-05-13T06:00:00Z").await.emails, 0);
    story.sql("update organizations set parked_at = null, parked_reason = null").await;
    assert_eq!(story.look("2026-05-13T06:00:00Z").await.emails, 1);
}

#[tokio::test]
async fn a_subscription_that_ends_is_told_before_its_boundary() {
    let story = Story::new().await;
    story
        .sql(
            "update organizations
             set subscription_ends_at = '2026-05-20T12:00Z',
                 period_day_ends = '{2026-06-02Z, 2026-07-02Z, 2026-08-02Z, 2026-09-02Z}'",
        )
        .await;
    assert_eq!(story.look("2026-05-24T23:59:59Z").await.emails, 0);
    assert_eq!(story.look("2026-05-25T00:00:00Z").await.emails, 1);
    assert_eq!(story.look("2026-05-31T00:00:00Z").await.emails, 1);
    assert_eq!(story.look("2026-06-01T00:00:00Z").await.emails, 0);
    let sent = ["subscription_ends pay@acme.example due"; 2];
    assert_eq!(story.emails().await, sent);
}

#[tokio::test]
async fn what_runs_out_is_told_and_withdrawn_when_a_purchase_covers_it() {
    let story = Story::new().await;
    // Thirty a day since April 20: 930 in May.
    story.sql("update organizations set current_period_start = '2026-05-01Z'").await;
    story.uses_daily(30, "2026-04-24", "2026-05-11").await;
    story
        .sql(
            "update usage_counters set used = 330
             where feature = 'minutes_transcribed' and period_start = '2026-05-01Z'",
        )
        .await;
    let now = "2026-05-12T00:00:00Z";
    let would = story.look_as(now, Look::Dry).await.would;
    assert_eq!(would.len(), 1, "{would:?}");
    assert!(story.notices().await.is_empty(), "a dry run records nothing");
    assert_eq!(story.look(now).await.emails, 2);
    assert_eq!(story.look("2026-05-13T00:00:00Z").await.emails, 0);
    story.grants("more", 600, "2027-05-20T08:00:00Z").await;
    let report = story.look("2026-05-13T01:00:00Z").await;
    assert_eq!((report.emails, report.withdrawn), (0, 1));
    assert_eq!(story.notices().await, ["runs_out withdrawn"]);
    let emails = story.emails().await;
    assert!(emails.iter().all(|email| email.ends_with("suppressed")), "{emails:?}");
    assert_eq!(story.deliver("2026-05-13T02:00:00Z").await.sent, 0);
}

#[tokio::test]
async fn a_notice_waits_for_somebody_to_tell() {
    let story = Story::new().await;
    story.sql("delete from org_contacts").await;
    story.grants("one", 30, "2026-05-20T08:00:00Z").await;
    story.sql("insert into periodd_listeners (channel, name) values ('table', 'events')").await;
    assert_eq!(story.look("2026-05-13T06:00:00Z").await.waiting, 1);
    assert_eq!(story.look("2026-05-13T07:00:00Z").await.waiting, 0, "it waits already");
    let status = story.0.periodd(&["status", "--format", "json"]).json();
    assert_eq!(status["queues"]["waiting"]["length"], 1);
    let unheard = "without a recipient: no contact and no user of acme";
    assert!(status["findings"].to_string().contains(unheard), "{status}");
    // Programs hear of it now, and not once more, however long ago that was.
    let events = "select kind from periodd_events";
    assert_eq!(story.0.rows(events).await, ["pack.expires"]);
    story.sql("delete from periodd_events").await;
    story
        .sql(&format!("insert into users (organization_id, email) values ('{ORG}', 'u@x.example')"))
        .await;
    assert_eq!(story.look("2026-05-13T08:00:00Z").await.emails, 1);
    assert_eq!(story.emails().await, ["pack_expires u@x.example due"]);
    assert_eq!(story.0.rows(events).await, [""; 0]);
    story.look("2026-05-21T08:00:00Z").await;
}

#[tokio::test]
async fn operators_hear_of_parked_orgs() {
    let story = Story::new().await;
    story.0.configure("[mail]\noperators = [\"ops@periodd.example\"]\n");
    story
        .sql(
            "update organizations
             set parked_at = '2026-05-12T06:00Z', parked_code = 'unknown_zone',
                 parked_reason = 'unknown time zone'",
        )
        .await;
    assert_eq!(story.look("2026-05-12T07:00:00Z").await.emails, 1);
    assert_eq!(story.look("2026-05-12T08:00:00Z").await.emails, 0);
    assert_eq!(story.deliver("2026-05-12T09:00:00Z").await.sent, 1);
    assert_eq!(story.emails().await, ["org_parked ops@periodd.example sent"]);
}

#[tokio::test]
async fn looks_at_once_say_everything_once() {
    let story = Story::new().await;
    story.grants("one", 30, "2026-05-20T08:00:00Z").await;
    let now = "2026-05-13T06:00:00Z";
    let looks = (0..4).map(|_| story.look(now));
    let emails: usize =
        futures_util::future::join_all(looks).await.iter().map(|report| report.emails).sum();
    assert_eq!(emails, 1);
    assert_eq!(story.emails().await.len(), 1);
}

#[tokio::test]
async fn one_click_ends_one_kind_and_no_other() {
    let story = Story::new().await;
    story.grants("one", 30, "2026-05-20T08:00:00Z").await;
    story.look("2026-05-13T06:00:00Z").await;
    story.deliver("2026-05-13T07:00:00Z").await;
    let done = "select periodd_unsubscribe(
                    replace(org_id::text, '-', '') || replace(token::text, '-', '')
                    || '.pack_expires') as done
                from periodd_unsubscribe_tokens";
    assert_eq!(story.0.rows(done).await, ["true"]);
    assert_eq!(story.0.rows(done).await, ["true"], "a second time changes nothing");
    let contacts = "select opted_out_of, opted_out_at from org_contacts where role = 'billing'";
    assert_eq!(story.0.rows(contacts).await, [r#"["pack_expires"] -"#]);
    // Nobody else pays: it waits, and the other kinds go on.
    assert_eq!(story.look("2026-05-19T06:00:00Z").await.emails, 0);
}

#[tokio::test]
async fn the_daemon_looks_once_an_hour() {
    let story = Story::new().await;
    story.look("2026-05-13T05:30:00Z").await;
    story.grants("one", 30, "2026-05-20T08:00:00Z").await;
    assert_eq!(story.look_as("2026-05-13T06:29:59Z", Look::Hourly).await.emails, 0);
    assert_eq!(story.look_as("2026-05-13T06:30:00Z", Look::Hourly).await.emails, 1);
}

#[tokio::test]
async fn a_limit_that_stays_exceeded_is_told_again_where_it_is_wanted() {
    let story = Story::new().await;
    story.0.configure("[notices.limit_reached_again]\nenabled = true\n");
    story
        .sql(&format!(
            "select record_usage('{ORG}', 'minutes_transcribed', 730, null, '2026-05-10T09:00:00Z')"
        ))
        .await;
    let request = Request { at: Some(at("2026-05-10T10:00:00Z")), ..Request::of(&story.config()) };
    periodd::jobs::alerts::run(&story.0.database, &request).await.unwrap();
    let alerts = "select threshold, state from periodd_alerts order by threshold";
    let covered = ["80 covered", "90 covered", "100 covered", "120 notified"];
    assert_eq!(story.0.rows(alerts).await, covered);
    assert_eq!(story.look("2026-05-17T09:59:59Z").await.emails, 0);
    assert_eq!(story.look("2026-05-17T10:00:00Z").await.emails, 2);
    assert_eq!(story.look("2026-05-18T10:00:00Z").await.emails, 0);
}

#[tokio::test]
async fn a_pack_that_is_given_another_end_is_told_of_anew() {
    let story = Story::new().await;
    story.grants("one", 30, "2026-05-20T08:00:00Z").await;
    story.grants("two", 50, "2026-06-20T10:00:00Z").await;
    assert_eq!(story.look("2026-05-19T06:00:00Z").await.emails, 1);
    let moved = "update overage_packs set expires_at = '2026-06-20T08:00Z' where reference = 'one'";
    story.sql(moved).await;
    assert_eq!(story.look("2026-06-13T06:00:00Z").await.emails, 1);
    assert_eq!(story.look("2026-06-13T07:00:00Z").await.emails, 0);
    let facts = "select facts from periodd_notices where facts is not null order by decided_at";
    let told = story.0.rows(facts).await;
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[1].matches("2026-06-20T").count(), 2, "{told:?}");
}

#[tokio::test]
async fn what_goes_with_a_notice_that_is_not_recorded_is_told_later() {
    let story = Story::new().await;
    story.grants("one", 30, "2026-05-20T08:00:00Z").await;
    story.grants("two", 50, "2026-05-20T10:00:00Z").await;
    story.look("2026-05-13T06:00:00Z").await;
    // Of these two only the first is known, and no look sees it.
    story
        .sql(
            "delete from periodd_outbox;
             delete from periodd_notices where facts is null;
             update periodd_notices set state = 'expired', until = '2026-05-13T06:30Z'",
        )
        .await;
    assert_eq!(story.look("2026-05-13T07:00:00Z").await.emails, 0);
    assert_eq!(story.notices().await, ["pack_expires expired"]);
    story.sql("delete from periodd_notices").await;
    assert_eq!(story.look("2026-05-13T08:00:00Z").await.emails, 1);
    assert_eq!(story.notices().await, ["pack_expires notified"; 2]);
}

#[tokio::test]
async fn an_org_that_somebody_holds_keeps_no_other_from_the_end_of_its_wait() {
    let story = Story::new().await;
    let other = ORG.replace("00a", "00b");
    story
        .sql(&format!(
            "delete from org_contacts;
             insert into organizations
                 (id, slug, name, time_zone, subscription_tier, current_period_start,
                  current_period_end)
             values ('{other}', 'bolt', 'Bolt', 'UTC', 'pro', '2026-05-01Z', '2026-06-01Z')"
        ))
        .await;
    story.grants("one", 30, "2026-05-20T08:00:00Z").await;
    story
        .sql(&format!(
            "select grant_overage_pack('{other}', 'minutes_transcribed', 5, 'b',
                                       '2026-05-20T08:00:00Z', '2026-05-01T00:00:00Z')"
        ))
        .await;
    assert_eq!(story.look("2026-05-13T06:00:00Z").await.waiting, 2);
    let mut connection = story.0.connect().await;
    let mut theirs = connection.begin().await.unwrap();
    let held = "select from periodd_notices where org_id = $1::uuid for update";
    sqlx::query(held).bind(ORG).execute(&mut *theirs).await.unwrap();
    let late = "2026-05-21T08:00:00Z";
    assert_eq!(story.look(late).await.left, 1);
    let mut states = story.notices().await;
    states.sort();
    assert_eq!(states, ["pack_expires expired", "pack_expires waiting"]);
    assert_eq!(story.look_as("2026-05-21T08:01:00Z", Look::Hourly).await.left, 0, "it was made");
    theirs.rollback().await.unwrap();
}

#[tokio::test]
async fn what_is_called_off_before_it_is_sent_is_not_sent() {
    let story = Story::new().await;
    let ends = "update organizations
                set subscription_ends_at = '2026-05-20T12:00Z',
                    period_day_ends = '{2026-06-02Z, 2026-07-02Z, 2026-08-02Z, 2026-09-02Z}'";
    story.sql(ends).await;
    assert_eq!(story.look("2026-05-25T00:00:00Z").await.emails, 1);
    story.sql("update organizations set subscription_ends_at = null").await;
    assert_eq!(story.deliver("2026-05-25T01:00:00Z").await.sent, 0);
    assert_eq!(story.emails().await, ["subscription_ends pay@acme.example given_up"]);
    story.sql(ends).await;
    assert_eq!(story.look("2026-05-31T00:00:00Z").await.emails, 1);
    // Another tier until then leaves it as it is; another one after it does not.
    story.sql("update organizations set subscription_tier = 'starter'").await;
    assert_eq!(story.deliver("2026-05-31T01:00:00Z").await.sent, 1);
    story
        .sql(
            "update organizations
             set subscription_ends_at = null, next_subscription_tier = 'pro',
                 current_period_end = '2026-06-02Z'",
        )
        .await;
    assert_eq!(story.look("2026-05-31T02:00:00Z").await.emails, 1);
    story.sql("update organizations set next_subscription_tier = 'free'").await;
    assert_eq!(story.deliver("2026-05-31T03:00:00Z").await.sent, 0);
}

#[tokio::test]
async fn what_is_said_of_a_period_that_a_restart_has_ended_is_not_sent() {
    let story = Story::new().await;
    story.0.configure("[notices.limit_reached_again]\nenabled = true\n");
    story
        .sql(&format!(
            "select record_usage('{ORG}', 'minutes_transcribed', 730, null, '2026-05-10T09:00:00Z')"
        ))
        .await;
    let request = Request { at: Some(at("2026-05-10T10:00:00Z")), ..Request::of(&story.config()) };
    periodd::jobs::alerts::run(&story.0.database, &request).await.unwrap();
    story.sql("delete from periodd_outbox").await;
    assert_eq!(story.look("2026-05-17T10:00:00Z").await.emails, 2);
    let restart = format!("select restart_billing_cycle('{ORG}', null, null, '2026-05-17T11:00Z')");
    story.sql(&restart).await;
    assert_eq!(story.deliver("2026-05-17T12:00:00Z").await.sent, 0);
    let emails = story.emails().await;
    assert!(emails.iter().all(|email| email.ends_with("given_up")), "{emails:?}");
    // Once a rollover has closed it, as well.
    story.sql("update periodd_outbox set state = 'due', settled_at = null, answer = null").await;
    story.0.periodd(&["--at", "2026-05-17T12:30:00Z", "rollover"]).exits(0);
    assert_eq!(story.deliver("2026-05-17T13:00:00Z").await.sent, 0);
}

#[tokio::test]
async fn packs_that_have_expired_by_then_are_not_told_of() {
    let story = Story::new().await;
    story.grants("one", 30, "2026-05-20T08:00:00Z").await;
    story.grants("two", 50, "2026-05-20T10:00:00Z").await;
    assert_eq!(story.look("2026-05-19T06:00:00Z").await.emails, 1);
    assert_eq!(story.deliver("2026-05-20T08:00:00Z").await.sent, 1);
    let letter = story.0.rows("select letter from periodd_outbox").await.concat();
    assert_eq!(letter.matches(r#""left":"#).count(), 1, "{letter}");
}

#[tokio::test]
async fn what_is_queued_of_a_kind_that_is_switched_off_goes_to_whoever_wants_it() {
    let story = Story::new().await;
    story.grants("one", 30, "2026-05-20T08:00:00Z").await;
    assert_eq!(story.look("2026-05-13T06:00:00Z").await.emails, 1);
    let out = "update org_contacts set opted_out_of = '{pack_expires}' where role = 'billing'";
    story.sql(out).await;
    story.0.configure("[notices.pack_expires]\nenabled = false\n");
    assert_eq!(story.look("2026-05-19T06:00:00Z").await.emails, 0);
    assert_eq!(story.deliver("2026-05-19T07:00:00Z").await.sent, 0);
    assert_eq!(story.emails().await, ["pack_expires pay@acme.example suppressed"]);
}

#[tokio::test]
async fn a_threshold_above_the_limit_goes_to_whoever_is_reminded() {
    let story = Story::new().await;
    story
        .0
        .configure("[notices.limit_reached_again]\nenabled = true\nrecipients = [\"technical\"]\n");
    for (quantity, at_time) in [(600, "2026-05-10T09:00:00Z"), (130, "2026-05-11T09:00:00Z")] {
        story
            .sql(&format!(
                "select record_usage('{ORG}', 'minutes_transcribed', {quantity}, null, '{at_time}')"
            ))
            .await;
        let request = Request { at: Some(at(at_time)), ..Request::of(&story.config()) };
        periodd::jobs::alerts::run(&story.0.database, &request).await.unwrap();
    }
    let emails = "select threshold, recipient from periodd_outbox order by threshold, recipient";
    let both = ["100 ops@acme.example", "100 pay@acme.example", "120 ops@acme.example"];
    assert_eq!(story.0.rows(emails).await, both);
}

#[tokio::test]
async fn alerts_that_cannot_be_recorded_keep_nobody_from_hearing_notices() {
    let story = Story::new().await;
    story.grants("one", 30, "2026-05-20T08:00:00Z").await;
    story.uses_daily(590, "2026-05-10", "2026-05-10").await;
    story.sql(&lacking("periodd_alert_limits", "true")).await;
    let request = Request { at: Some(at("2026-05-13T06:00:00Z")), ..Request::of(&story.config()) };
    let (database, tz) = (&story.0.database, TzData::newest());
    let failed =
        periodd::jobs::alerts::run_with_notices(database, &tz, &request, Look::Hourly).await;
    assert!(matches!(failed, Err(StoreError::Unavailable(_))), "{failed:?}");
    let emails = story.emails().await;
    assert!(emails.contains(&"pack_expires pay@acme.example due".to_owned()), "{emails:?}");
}

#[tokio::test]
async fn a_closed_period_is_summed_up_once_for_whoever_pays() {
    let story = Story::new().await;
    story.0.configure("[notices.summary]\nenabled = true\n");
    story.grants("one", 300, "2027-05-20T08:00:00Z").await;
    story.uses_daily(50, "2026-05-02", "2026-05-20").await;
    story.0.periodd(&["--at", "2026-06-01T00:00:05Z", "rollover"]).exits(0);
    let would = story.look_as("2026-06-01T00:30:00Z", Look::Dry).await.would;
    assert_eq!(would.len(), 1, "{would:?}");
    assert_eq!(story.look("2026-06-01T00:30:00Z").await.emails, 1);
    assert_eq!(story.look("2026-06-01T01:30:00Z").await.emails, 0);
    assert_eq!(story.emails().await, ["summary pay@acme.example due"]);
    assert_eq!(story.deliver("2026-06-01T02:00:00Z").await.sent, 1);
    let letter = story.0.rows("select letter from periodd_outbox").await.concat();
    for fact in [
        r#""used":950"#,
        r#""included":600"#,
        r#""drawn":300"#,
        r#""uncovered":50"#,
        r#""from":"2026-05-01""#,
        r#""upto":"2026-05-31""#,
    ] {
        assert!(letter.contains(fact), "{fact}: {letter}");
    }
    // A close is an event of its own, and needs no second one.
    assert_eq!(story.notices().await, ["summary notified"]);
}

#[tokio::test]
async fn a_period_in_which_everything_was_counted_late_is_summed_up_too() {
    let story = Story::new().await;
    story.0.configure("[notices.summary]\nenabled = true\n");
    story.0.periodd(&["--at", "2026-06-01T00:00:05Z", "rollover"]).exits(0);
    assert_eq!(story.look("2026-06-01T00:30:00Z").await.emails, 0, "nothing was used");
    story
        .sql(&format!(
            "insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
             values ('{ORG}', 'minutes_transcribed', 40, '2026-05-20T09:00:00Z')"
        ))
        .await;
    story.0.periodd(&["--at", "2026-06-01T01:00:00Z", "sync"]).exits(0);
    assert_eq!(story.look("2026-06-01T01:30:00Z").await.emails, 1);
}

#[tokio::test]
async fn after_missed_periods_one_summary_is_sent() {
    let story = Story::new().await;
    story.0.configure("[notices.summary]\nenabled = true\n");
    story.uses_daily(10, "2026-05-02", "2026-08-20").await;
    // A look between two passes of a catch-up says nothing of a period that is not the last one.
    let may = ["--at", "2026-06-01T00:00:05Z", "rollover"];
    story.0.periodd(&may).exits(0);
    assert_eq!(story.look("2026-09-01T00:20:00Z").await.emails, 0);
    story.0.periodd(&["--at", "2026-09-01T00:30:00Z", "rollover"]).exits(0);
    assert_eq!(story.look("2026-09-01T00:40:00Z").await.emails, 1);
    assert_eq!(story.look("2026-09-01T01:40:00Z").await.emails, 0);
    let facts = story.0.rows("select facts from periodd_notices").await.concat();
    assert!(facts.contains("2026-08-01T00:00:00Z"), "{facts}");
    // Once September is closed, August is not sent any more.
    story.0.periodd(&["--at", "2026-10-01T00:00:05Z", "rollover"]).exits(0);
    assert_eq!(story.deliver("2026-09-07T23:00:00Z").await.sent, 0);
}

#[tokio::test]
async fn a_summary_is_off_unless_it_is_wanted() {
    let story = Story::new().await;
    story.uses_daily(50, "2026-05-02", "2026-05-20").await;
    story.0.periodd(&["--at", "2026-06-01T00:00:05Z", "rollover"]).exits(0);
    assert_eq!(story.look("2026-06-01T00:30:00Z").await.emails, 0);
}

#[tokio::test]
async fn a_user_is_warned_of_a_limit_of_their_own_and_nobody_else_is() {
    let story = Story::new().await;
    story
        .sql(&format!(
            "insert into users (organization_id, email)
             values ('{ORG}', 'u@acme.example'), ('{ORG}', 'v@acme.example');
             insert into tier_limits values ('pro', 'scrapes', 1000)"
        ))
        .await;
    let set = ["users", "limits", "u@acme.example", "--set", "scrapes=10"];
    let limits = story.0.periodd(&set).exits(0);
    assert!(limits.stdout.contains("u@acme.example"), "{}", limits.stdout);
    let uses = |count: u32| {
        format!(
            "select record_usage('{ORG}', 'scrapes', {count}, u.id, '2026-05-10T09:00:00Z')
             from users u"
        )
    };
    story.sql(&uses(7)).await;
    assert_eq!(story.look("2026-05-10T10:00:00Z").await.emails, 0);
    story.sql(&uses(2)).await;
    assert_eq!(story.look("2026-05-10T11:00:00Z").await.emails, 1);
    assert_eq!(story.look("2026-05-10T12:00:00Z").await.emails, 0);
    assert_eq!(story.emails().await, ["user_limit u@acme.example due"]);
    assert_eq!(story.deliver("2026-05-10T13:00:00Z").await.sent, 1);
    let explain = ["explain", "acme", "--at", "2026-05-10T12:00:00Z", "--format", "json"];
    let explained = story.0.periodd(&explain).json();
    assert_eq!(explained["user_limits"][0]["included"], 10, "{explained}");
    // Whoever opts out hears nothing of it, and so does nobody else.
    story
        .sql(&format!(
            "insert into org_contacts (org_id, email, opted_out_of)
             values ('{ORG}', 'u@acme.example', '{{user_limit}}')"
        ))
        .await;
    story.sql(&uses(20)).await;
    assert_eq!(story.look("2026-05-10T14:00:00Z").await.emails, 0);
    let remove = ["users", "limits", "u@acme.example", "--remove", "scrapes"];
    let removed = story.0.periodd(&remove).exits(0);
    assert!(removed.stdout.contains("no limits of users"), "{}", removed.stdout);
    story.0.periodd(&remove).exits(2);
    // What is the org's as a whole is nobody's own, and nobody could be warned of it.
    let seats = "insert into features (feature, unit, kind) values ('seats', 'seats', 'level')";
    story.sql(seats).await;
    let set = ["users", "limits", "u@acme.example", "--set", "seats=5"];
    let refused = story.0.periodd(&set).exits(2);
    assert!(refused.stderr.contains("seats is a level"), "{}", refused.stderr);
}

#[tokio::test]
async fn operators_hear_of_a_purchase_without_a_pack_once() {
    let story = Story::new().await;
    story.0.configure("[mail]\noperators = [\"ops@periodd.example\"]\n");
    story.sql("insert into periodd_listeners (channel, name) values ('table', 'events')").await;
    let sync = |at: &'static str| {
        story.0.periodd(&["--at", at, "sync", "--full"]).exits(0);
    };
    sync("2026-05-10T09:00:00Z");
    assert!(story.notices().await.is_empty());
    story.sql("update organizations set overage_minutes = overage_minutes + 300").await;
    story.0.periodd(&["--at", "2026-05-10T09:30:00Z", "sync", "--full", "--check"]);
    assert!(story.notices().await.is_empty(), "a check records nothing");
    sync("2026-05-10T10:00:00Z");
    sync("2026-05-10T11:00:00Z");
    assert_eq!(story.notices().await, ["purchase_without_pack notified"]);
    assert_eq!(story.emails().await, ["purchase_without_pack ops@periodd.example due"]);
    assert_eq!(story.deliver("2026-05-10T12:00:00Z").await.sent, 1);
    let letter = story.0.rows("select letter from periodd_outbox").await.concat();
    let grant = "packs grant --org acme --feature minutes_transcribed --quantity 300";
    let check = ["--at", "2026-05-10T12:00:00Z", "sync", "--full", "--check", "--format", "json"];
    let checked = story.0.periodd(&check).json();
    let mended_by = checked["purchases_without_pack"][0]["mended_by"].as_str().unwrap();
    let (_, reference) = mended_by.rsplit_once(" --reference ").unwrap();
    let command = format!("{grant} --reference {reference}");
    assert!(letter.contains(&command), "the same as of sync, {reference}: {letter}");
    let kinds = story.0.rows("select kind from periodd_events order by position").await;
    assert_eq!(kinds, ["drift.purchase_without_pack"]);
    // More of it is another finding; one that a pack stands for is none.
    story.sql("update organizations set overage_minutes = overage_minutes + 50").await;
    sync("2026-05-10T13:00:00Z");
    assert_eq!(story.notices().await.len(), 2);
    story.grants("paid", 350, "2027-05-20T08:00:00Z").await;
    sync("2026-05-10T14:00:00Z");
    assert_eq!(story.notices().await.len(), 2);
    // As much again, once it was granted, is another sale.
    story.sql("update organizations set overage_minutes = overage_minutes + 350").await;
    sync("2026-05-10T15:00:00Z");
    assert_eq!(story.notices().await.len(), 3);
}

#[tokio::test]
async fn a_purchase_whose_notice_is_refused_is_reported_and_parks_nobody() {
    let story = Story::new().await;
    story.0.periodd(&["--at", "2026-05-10T09:00:00Z", "sync", "--full"]).exits(0);
    story
        .sql(
            "create function refuse() returns trigger language plpgsql as $$
             begin
                 raise exception 'no notices today';
             end $$;
             create trigger refuse before insert on periodd_notices for each row
             execute function refuse();
             update organizations set overage_minutes = overage_minutes + 300",
        )
        .await;
    let sync = ["--at", "2026-05-10T10:00:00Z", "sync", "--full", "--format", "json"];
    let report = story.0.periodd(&sync).json();
    let why = report["purchases_without_pack"][0]["unrecorded"].as_str().unwrap_or_default();
    assert!(why.contains("no notices today"), "{report}");
    assert_eq!(report["parked"].as_array().map(Vec::len), Some(0), "{report}");
}

#[tokio::test]
async fn between_daily_looks_only_what_moved_is_asked_about() {
    let story = Story::new().await;
    assert_eq!(story.look_as("2026-05-11T22:00:00Z", Look::Hourly).await.emails, 0);
    story.uses_daily(30, "2026-04-24", "2026-05-11").await;
    let moved = |synced: &str| {
        format!(
            "update usage_counters
             set used = 330, sync_status = 'synced', last_synced_at = '{synced}'
             where feature = 'minutes_transcribed' and period_start = '2026-05-01Z'"
        )
    };
    story.sql(&moved("2026-05-11T20:00Z")).await;
    assert_eq!(story.look_as("2026-05-12T00:00:00Z", Look::Hourly).await.emails, 0);
    story.sql(&moved("2026-05-12T00:30Z")).await;
    assert_eq!(story.look_as("2026-05-12T01:00:00Z", Look::Hourly).await.emails, 2);
    // Whoever was told is looked at without having moved: a purchase may cover it.
    story.grants("more", 600, "2027-05-20T08:00:00Z").await;
    story.sql(&moved("2026-05-11T20:00Z")).await;
    assert_eq!(story.look_as("2026-05-12T02:00:00Z", Look::Hourly).await.withdrawn, 1);
}

#[tokio::test]
async fn once_a_day_everything_is_asked_about() {
    let story = Story::new().await;
    assert_eq!(story.look_as("2026-05-11T00:00:00Z", Look::Hourly).await.emails, 0);
    story.uses_daily(30, "2026-04-24", "2026-05-11").await;
    story
        .sql(
            "update usage_counters
             set used = 330, sync_status = 'synced', last_synced_at = '2026-05-01Z'
             where feature = 'minutes_transcribed' and period_start = '2026-05-01Z'",
        )
        .await;
    assert_eq!(story.look_as("2026-05-11T23:59:59Z", Look::Hourly).await.emails, 0);
    assert_eq!(story.look_as("2026-05-12T01:00:00Z", Look::Hourly).await.emails, 2);
}
