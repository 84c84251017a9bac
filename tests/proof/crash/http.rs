//! The flow that is no command: a batch of events is posted to the HTTP server.

use std::sync::{Arc, OnceLock};

use periodd::config::Config;
use periodd::http::{Server, Surroundings};
use periodd::store::Database;
use periodd::tz::TzData;
use serde_json::json;

use crate::client::{Request, ask};
use crate::support::{Answer, TestDatabase};

/// The token of the prepared database and of all its copies.
static TOKEN: OnceLock<String> = OnceLock::new();

pub(super) fn prepare(test: &TestDatabase) {
    let add = ["tokens", "add", "app", "--scope", "record"];
    let token = test.periodd(&add).exits(0).stdout.trim().to_owned();
    TOKEN.set(token).expect("prepared once");
}

/// Starts a server on a database by its URL, posts the batch, and ends the server. What is answered
/// becomes what a command would have said.
pub(super) async fn post(test: &TestDatabase, url: &str) -> Answer {
    match posted(test, url).await {
        Ok(body) => Answer { code: 0, stdout: body, stderr: String::new() },
        Err(error) => {
            let stderr = format!("periodd: {}\n", error.replace('\n', " "));
            Answer { code: 69, stdout: String::new(), stderr }
        }
    }
}

async fn posted(test: &TestDatabase, url: &str) -> Result<String, String> {
    let file = test.config().with_file_name("http.toml");
    let lines = format!(
        "[database]\nurl = \"{}\"\nsandbox = true\n[http]\nenabled = true\n\
         listen = \"127.0.0.1:0\"\n",
        test.url()
    );
    std::fs::write(&file, lines).expect("the configuration is written");
    let config = Arc::new(Config::load(Some(&file), std::iter::empty()).expect("a configuration"));
    let most = config.http.connections + 3;
    let database = Database::connect_to_stay_within(url, most, Server::bounds()).await;
    let around = Surroundings {
        database: database.map_err(|error| error.to_string())?,
        config: {
            let config = Arc::clone(&config);
            Box::new(move || Arc::clone(&config))
        },
        tz: Box::new(TzData::newest),
        is_alive: Box::new(|| true),
        not_ready: Box::new(Vec::new),
        replica: "proof:1".to_owned(),
        at: None,
    };
    let server = Server::bind(&config.http, around).await.map_err(|error| error.to_string())?;
    let running = server.start();
    let address = running.address().expect("an address");
    let event = |number: u32, feature: &str| {
        let (at, key) = ("2026-07-01T20:00:00Z", format!("event-{number}"));
        json!({ "org": "acme", "feature": feature, "quantity": number, "used_at": at, "key": key })
    };
    let batch = json!([event(1, "scrapes"), event(2, "minutes_transcribed"), event(3, "scrapes")]);
    let token = TOKEN.get().expect("prepared");
    let request = Request::post("/api/v1/usage/events", &batch)
        .with("authorization", &format!("Bearer {token}"));
    let response = ask(address, &request).await;
    running.drain().await;
    match response.status {
        200 => Ok(response.body),
        500..=599 => Err(format!("{}: {}", response.status, response.body)),
        other => panic!("the batch is answered with {other}: {}", response.body),
    }
}
