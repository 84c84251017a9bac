//! Orgs whose alerts have queued an email each.

use periodd::config::Config;
use periodd::jobs::alerts;
use periodd::jobs::deliver::{self, DeliveryReport, Mailer, Request};
use periodd::tz::TzData;

use crate::support::{TestDatabase, at};

pub(crate) const NOON: &str = "2026-05-12T12:00:00Z";

/// Orgs at 570 of 600, each with a contact of its own; and how their emails travel.
pub(crate) struct Outbox {
    pub(crate) test: TestDatabase,
    now: String,
}

impl Outbox {
    pub(crate) async fn new(orgs: usize, smtp: &str) -> Self {
        let test = TestDatabase::new().await;
        test.configure(&format!(
            "[mail]\ntransport = \"smtp\"\nfrom = \"periodd <alerts@periodd.example>\"\n\
             max_attempts = 4\n\
             [mail.smtp]\nhost = \"127.0.0.1\"\ntls = \"none\"\ntimeout = \"1s\"\n\
             rate_per_second = 10000\n{smtp}\n"
        ));
        test.sql(&format!(
            "insert into tier_limits (tier, feature, included)
                 values ('pro', 'minutes_transcribed', 600);
             insert into organizations
                 (id, slug, name, time_zone, subscription_tier, current_period_start,
                  current_period_end)
             select md5('org ' || i)::uuid, 'org-' || i, 'Org ' || i, 'Europe/Berlin', 'pro',
                    '2026-04-30T22:00Z', '2026-05-31T22:00Z' from generate_series(1, {orgs}) i;
             insert into org_contacts (org_id, email)
                 select id, slug || '@example.org' from organizations;
             insert into usage_counters (org_id, feature, period_start, period_end, used)
                 select id, 'minutes_transcribed', current_period_start, current_period_end, 570
                 from organizations;"
        ))
        .await;
        Self { test, now: NOON.to_owned() }
    }

    /// The same, with the alerts looked for.
    pub(crate) async fn queued(orgs: usize, smtp: &str) -> Self {
        let outbox = Self::new(orgs, smtp).await;
        let config = outbox.config();
        let request = alerts::Request { at: Some(at(&outbox.now)), ..alerts::Request::of(&config) };
        let report = alerts::run(&outbox.test.database, &request).await.expect("a pass");
        assert_eq!(report.emails, orgs);
        outbox
    }

    fn config(&self) -> Config {
        Config::load(Some(&self.test.config()), std::iter::empty()).expect("a configuration")
    }

    pub(crate) fn at(&mut self, now: &str) {
        now.clone_into(&mut self.now);
    }

    /// Sends what is due.
    pub(crate) async fn deliver(&self) -> DeliveryReport {
        self.deliver_as(&self.config()).await
    }

    pub(crate) async fn deliver_as(&self, config: &Config) -> DeliveryReport {
        let post = Mailer::of(config).expect("a post");
        let request = Request { at: Some(at(&self.now)), ..Request::of(config) };
        deliver::run(&self.test.database, &TzData::newest(), &post, &request)
            .await
            .expect("a delivery")
    }

    /// Has the configuration say something else than it did.
    pub(crate) fn configured(&self, was: &str, is: &str) {
        let config = std::fs::read_to_string(self.test.config()).expect("a configuration");
        assert!(config.contains(was), "{config}");
        std::fs::write(self.test.config(), config.replace(was, is)).expect("written");
    }

    /// Lets real time pass, as seen from the outbox.
    pub(crate) async fn passes(&self, time: &str) {
        self.test
            .sql(&format!(
                "update periodd_outbox
                 set next_attempt_at = next_attempt_at - interval '{time}',
                     leased_until = leased_until - interval '{time}'
                 where state = 'due'"
            ))
            .await;
    }

    /// Lets the time pass until everything that is to be tried again may be, and nobody's lease
    /// holds any more.
    pub(crate) async fn wait(&self) {
        let waited = "update periodd_outbox
                      set next_attempt_at = least(next_attempt_at, now()), leased_until = null
                      where state = 'due'";
        let mut connection = self.test.connect().await;
        // The server may still be at the last statement of a process that was killed: the two can
        // get into each other's way.
        while let Err(error) = sqlx::raw_sql(waited).execute(&mut connection).await {
            let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
            assert_eq!(code.as_deref(), Some("40P01"), "{error}");
        }
    }

    /// State and attempts of all emails, by recipient.
    pub(crate) async fn states(&self) -> Vec<String> {
        self.test.rows("select state, attempts from periodd_outbox order by recipient").await
    }
}
