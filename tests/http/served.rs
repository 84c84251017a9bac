//! A server on a test's database.

use std::net::SocketAddr;
use std::sync::Arc;

use periodd::config::Config;
use periodd::http::{Running, Server, Surroundings};
use periodd::store::Database;
use periodd::tz::TzData;
use serde_json::Value;
use uuid::Uuid;

use crate::client::{Request, Response, ask};
use crate::support::{TestDatabase, url_of};

/// A server, its database, and a token that permits everything.
pub(crate) struct Served {
    pub(crate) test: TestDatabase,
    pub(crate) address: SocketAddr,
    pub(crate) token: String,
    running: Option<Running>,
}

impl Served {
    /// With the settings as shipped.
    pub(crate) async fn new() -> Self {
        Self::with("").await
    }

    /// With settings of `[http]`.
    pub(crate) async fn with(settings: &str) -> Self {
        Self::on(TestDatabase::new().await, settings).await
    }

    /// Gives every org 4,000 features: standings of more than the kernel keeps for a client.
    pub(crate) async fn many_features(&self) {
        self.test
            .sql(
                "insert into features (feature)
                     select 'feature_' || i from generate_series(1, 4000) i;
                 insert into limit_overrides
                     select o.id, f.feature, 1 from organizations o, features f",
            )
            .await;
    }

    pub(crate) async fn on(test: TestDatabase, settings: &str) -> Self {
        Self::listening(test, "127.0.0.1:0", settings).await
    }

    pub(crate) async fn listening(test: TestDatabase, listen: &str, settings: &str) -> Self {
        let url = url_of(&test.name);
        Self::by(test, &url, listen, settings).await
    }

    /// The same with a URL that leads to the test's database.
    pub(crate) async fn by(test: TestDatabase, url: &str, listen: &str, settings: &str) -> Self {
        test.configure(&format!(
            "[http]
enabled = true
listen = \"{listen}\"
{settings}
"
        ));
        let config = Config::load(Some(&test.config()), std::iter::empty());
        let config = Arc::new(config.unwrap_or_else(|error| panic!("{error}")));
        let most = config.http.connections + 3;
        let database = Database::connect_to_stay_within(url, most, Server::bounds()).await;
        let around = Surroundings {
            database: database.expect("a pool"),
            config: {
                let config = Arc::clone(&config);
                Box::new(move || Arc::clone(&config))
            },
            tz: Box::new(TzData::newest),
            is_alive: Box::new(|| true),
            not_ready: Box::new(Vec::new),
            replica: "test:1".to_owned(),
            at: None,
        };
        let server = Server::bind(&config.http, around).await.expect("a port");
        let running = server.start();
        let address = running.address().expect("an address");
        let all = ["read", "record", "sync", "admin", "metrics"];
        let token = token(&test, "all", &all, &[]);
        Self { test, address, token, running: Some(running) }
    }

    /// Asks without a token.
    pub(crate) async fn bare(&self, request: Request) -> Response {
        ask(self.address, &request).await
    }

    /// Asks with a token.
    pub(crate) async fn with_token(&self, token: &str, request: Request) -> Response {
        self.bare(request.with("authorization", &format!("Bearer {token}"))).await
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.with_token(&self.token, Request::get(path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Response {
        self.with_token(&self.token, Request::post(path, &body)).await
    }

    /// Ends the server, when everything is answered.
    pub(crate) async fn drain(mut self) -> TestDatabase {
        self.running.take().expect("it runs").drain().await;
        self.test
    }

    /// An org on tier pro in its open period, with one user.
    pub(crate) async fn customer(&self, slug: &str) -> (Uuid, Uuid) {
        let add = ["orgs", "add", slug, "--name", slug, "--zone", "UTC", "--tier", "pro"];
        self.test.periodd(&add).exits(0);
        let user = Uuid::new_v4();
        self.test
            .sql(&format!(
                "insert into users (id, organization_id, email)
                 select '{user}', id, '{slug}@example.com' from organizations
                 where slug = '{slug}'"
            ))
            .await;
        let org =
            self.test.rows(&format!("select id from organizations where slug = '{slug}'")).await;
        (org[0].parse().expect("an id"), user)
    }

    /// How much of a feature an org has used, by its counters.
    pub(crate) async fn counted(&self, feature: &str) -> Vec<String> {
        let query = format!(
            "select o.slug, c.used from usage_counters c join organizations o on o.id = c.org_id
             where c.feature = '{feature}' order by 1"
        );
        self.test.rows(&query).await
    }
}

/// Makes a token by the command.
pub(crate) fn token(test: &TestDatabase, name: &str, scopes: &[&str], flags: &[&str]) -> String {
    let scopes = scopes.iter().flat_map(|scope| ["--scope", scope]);
    let words: Vec<&str> =
        ["tokens", "add", name].into_iter().chain(scopes).chain(flags.iter().copied()).collect();
    test.periodd(&words).exits(0).stdout.trim().to_owned()
}
