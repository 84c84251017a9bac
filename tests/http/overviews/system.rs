//! `/system`: what periodd runs on; and no secret.

use super::{is_harmless, quoted, unread};
use crate::pages::{Browser, PUBLIC};
use crate::served::{Served, token};

#[tokio::test(flavor = "multi_thread")]
async fn the_page_names_tokens_and_settings_and_shows_no_secret() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "hunter2-hunter2").expect("written");
    let settings = format!(
        "{PUBLIC}\n[mail.smtp]\nusername = \"mailer\"\npassword_file = \"{}\"",
        file.path().display()
    );
    let served = Served::with(&settings).await;
    let reads = token(&served.test, "reads", &["read"], &[]);
    served.test.periodd(&["tokens", "revoke", "reads"]).exits(0);
    let browser = Browser::with(&served, &served.token).await;
    let page = browser.page("/system").await;
    for text in [
        "Time zone data",
        ">trusted<",
        ">reads<",
        "revoked",
        "read, record, sync, admin, metrics",
        "[rollover]",
        "batch_size = 500",
        "# default",
        "No daemon has ever run",
        "/api/openapi.json",
        "config show",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    for secret in ["hunter2", &reads, &served.token, &served.token[3..20]] {
        assert!(!page.contains(secret), "{secret}: {page}");
    }
    let own = token(&served.test, "own", &["read"], &[]);
    Browser::with(&served, &own).await.page("/system").await;
    served.customer("acme").await;
    let own = token(&served.test, "of-acme", &["read"], &["--org", "acme"]);
    Browser::with(&served, &own).await.get("/system").await.is(403);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_daemons_are_text_and_a_block_that_fails_says_so() {
    let served = Served::with(PUBLIC).await;
    let hostile = quoted();
    served
        .test
        .sql(&format!(
            "insert into periodd_daemons (replica, version, started_at, seen_at, config_file,
                    listening)
             values ({hostile}, {hostile}, now(), now(), {hostile}, array[{hostile}])"
        ))
        .await;
    let browser = Browser::with(&served, &served.token).await;
    is_harmless(&browser.page("/system").await, "/system");
    unread(&served, &browser, "/system", ("periodd_zone_months", 1, "batch_size")).await;
}
