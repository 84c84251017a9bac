//! Webhooks: every message is accepted at least once and always under one id, whatever its endpoint
//! does and whoever is killed; and a receiver that shares no code with ours verifies it.

mod faults;
mod killed;
pub(crate) mod receiver;
mod sent;

use periodd::config::Config;
use periodd::jobs::deliver::{self, DeliveryReport, Mailer, Request};
use periodd::tz::TzData;

use crate::support::TestDatabase;
use receiver::Receiver;

/// Orgs with a pack each, told to an endpoint.
pub(crate) struct Queue {
    pub(crate) test: TestDatabase,
}

impl Queue {
    /// With these endpoints, and `orgs` messages to each.
    pub(crate) async fn new(orgs: usize, endpoints: &str) -> Self {
        let test = TestDatabase::new().await;
        test.configure(endpoints);
        let queue = Self { test };
        queue.apply();
        queue
            .test
            .sql(&format!(
                "insert into organizations (id, slug, name, time_zone)
                 select md5('org ' || i)::uuid, 'org-' || i, 'Org ' || i, 'UTC'
                 from generate_series(1, {orgs}) i;
                 select grant_overage_pack(md5('org ' || i)::uuid, 'scrapes', i, 'order-' || i)
                 from generate_series(1, {orgs}) i;"
            ))
            .await;
        queue
    }

    /// With one endpoint.
    pub(crate) async fn to(receiver: &Receiver, orgs: usize) -> Self {
        Self::new(orgs, &endpoint("app", &receiver.url(), "")).await
    }

    pub(crate) fn config(&self) -> Config {
        let secrets = [("SECRET".to_owned(), receiver::SECRET.to_owned())];
        Config::load(Some(&self.test.config()), secrets.into_iter()).expect("a configuration")
    }

    pub(crate) fn apply(&self) {
        self.test.periodd(&["webhooks", "apply"]).exits(0);
    }

    pub(crate) async fn deliver(&self) -> DeliveryReport {
        self.deliver_as(&self.config()).await
    }

    pub(crate) async fn deliver_as(&self, config: &Config) -> DeliveryReport {
        let mailer = Mailer::of(config).expect("a mailer");
        let request = Request::of(config);
        deliver::run(&self.test.database, &TzData::newest(), &mailer, &request)
            .await
            .expect("a delivery")
    }

    /// Lets real time pass, as seen from the outbox and from the endpoints.
    pub(crate) async fn passes(&self, time: &str) {
        self.test
            .sql(&format!(
                "update periodd_webhook_outbox
                 set next_attempt_at = next_attempt_at - interval '{time}',
                     leased_until = leased_until - interval '{time}',
                     recorded_at = recorded_at - interval '{time}'
                 where state = 'due';
                 update periodd_listeners set rests_until = rests_until - interval '{time}'"
            ))
            .await;
    }

    /// States with their numbers.
    pub(crate) async fn states(&self) -> Vec<String> {
        let states = "select state, count(*) from periodd_webhook_outbox group by 1 order by 1";
        self.test.rows(states).await
    }
}

/// A block of the configuration.
pub(crate) fn endpoint(name: &str, url: &str, more: &str) -> String {
    format!(
        "[[webhooks]]\nname = \"{name}\"\nurl = \"{url}\"\nsecret_env = \"SECRET\"\n\
         rate_per_second = 100000\n{more}\n"
    )
}
