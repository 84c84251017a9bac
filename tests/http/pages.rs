//! The dashboard: who may see it, what it shows, and what it shows where it cannot know.

mod org;
mod questions;

use serde_json::json;
use sqlx::Connection;

use crate::client::{Request, Response};
use crate::served::{Served, token};

/// The public name of these servers: browsers keep `__Host-` cookies for it.
pub(crate) const HOST: &str = "billing.example.com";
pub(crate) const PUBLIC: &str = "public_url = \"https://billing.example.com\"";
const COOKIE: &str = "__Host-periodd";
/// The pages of all orgs.
const OF_ALL: [&str; 9] = [
    "/",
    "/orgs",
    "/orgs?q=a",
    "/runs",
    "/runs?span=week",
    "/emails",
    "/drift",
    "/usage",
    "/system",
];

/// A browser: it has a cookie, and says where its requests come from.
pub(crate) struct Browser<'a> {
    served: &'a Served,
    pub(crate) cookie: Option<String>,
}

impl<'a> Browser<'a> {
    pub(crate) fn new(served: &'a Served) -> Self {
        Self { served, cookie: None }
    }

    /// One that is logged in with a token.
    pub(crate) async fn with(served: &'a Served, token: &str) -> Self {
        let mut browser = Self::new(served);
        let answer = browser.post("/login", &format!("token={token}&next=/runs")).await.is(303);
        assert_eq!(answer.header("location"), Some("/login?begun=true&next=%2Fruns"));
        browser
    }

    pub(crate) fn request(&self, request: Request) -> Request {
        let request = request.with("host", HOST);
        match &self.cookie {
            Some(cookie) => request.with("cookie", &format!("{COOKIE}={cookie}")),
            None => request,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.served.bare(self.request(Request::get(path))).await
    }

    /// The page, which must be one.
    pub(crate) async fn page(&self, path: &str) -> String {
        let answer = self.get(path).await.is(200);
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"), "{path}");
        answer.body.replace("&#x2f;", "/")
    }

    /// Sends a form of our own, and keeps the cookie.
    pub(crate) async fn post(&mut self, path: &str, form: &str) -> Response {
        let request = self.form(path, form).with("sec-fetch-site", "same-origin");
        let answer = self.served.bare(request).await;
        if let Some(set) = answer.header("set-cookie") {
            let value = set.strip_prefix(&format!("{COOKIE}=")).expect("our cookie");
            assert!(value.contains("; Path=/; "), "{set}");
            assert!(value.contains("; HttpOnly; SameSite=Strict; Secure"), "{set}");
            let value = value.split(';').next().unwrap_or_default();
            self.cookie = Some(value.to_owned()).filter(|value| !value.is_empty());
        }
        answer
    }

    /// Waits until the session is refused: what is known of one is believed for a few seconds.
    pub(crate) async fn is_let_go(&self) {
        for _ in 0..200 {
            if self.get("/runs").await.status == 303 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("the session goes on");
    }

    pub(crate) fn form(&self, path: &str, form: &str) -> Request {
        let request = Request { method: "POST", body: Some(form.to_owned()), ..Request::get(path) };
        self.request(request).with("content-type", "application/x-www-form-urlencoded")
    }
}

/// What the command prints after `link=`.
fn link(served: &Served, flags: &[&str]) -> String {
    let printed = served.test.periodd(&[&["dashboard", "login"], flags].concat()).exits(0).stdout;
    let (address, link) = printed.trim().split_once("/login?link=").expect("a link");
    assert_eq!(address, "https://billing.example.com");
    link.to_owned()
}

/// The rows of the table of routes that are pages: method, path, who may see it.
pub(crate) async fn pages(served: &Served) -> Vec<(String, String, String)> {
    let overview = served.bare(Request::get("/api")).await.is(200).body;
    let rows = overview.split("<tr><td>").skip(1).map(|row| {
        let cells: Vec<&str> = row.split("</td><td>").collect();
        let (method, path) = cells[0].split_once(' ').expect("a method and a path");
        let path = path.trim_start_matches("<code>").trim_end_matches("</code>");
        (method.to_owned(), path.to_owned(), cells[1].to_owned())
    });
    let rows: Vec<_> = rows.filter(|(.., who)| who.starts_with("a browser")).collect();
    assert!(rows.len() > 6, "{rows:?}");
    rows
}

/// A path with something in its places.
fn filled(path: &str) -> String {
    path.replace("{org}", "acme")
        .replace("{start}", "2026-01-01T00:00:00Z")
        .replace("{run}", "1")
        .replace("{name}", "app.css")
        .replace("{email}", "1")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_logs_in_once_and_logging_out_ends_the_session() {
    let served = Served::with(PUBLIC).await;
    served.customer("acme").await;
    let link = link(&served, &[]);
    let mut browser = Browser::new(&served);
    // Following the link uses nothing up.
    for _ in 0..2 {
        let page = browser.page(&format!("/login?link={link}&next=/orgs")).await;
        assert!(page.contains(&format!("name=\"link\" value=\"{link}\"")), "{page}");
    }
    // Strangers learn neither the version nor where anything is.
    let page = browser.page("/login").await;
    for told in [env!("CARGO_PKG_VERSION"), "--config", "/tmp"] {
        assert!(!page.contains(told), "{told}: {page}");
    }
    browser.get("/").await.is(303);
    browser.post("/login", &format!("link={link}&next=/orgs")).await.is(303);
    let stolen = browser.cookie.clone();
    let begun = browser.get("/login?begun=true&next=%2Forgs").await.is(303);
    assert_eq!(begun.header("location"), Some("/orgs"));
    for path in OF_ALL {
        browser.page(path).await;
    }
    let again = Browser::new(&served).post("/login", &format!("link={link}")).await.is(401);
    assert!(again.body.contains("The link was used or has expired"), "{}", again.body);
    assert!(again.header("set-cookie").is_none());
    browser.post("/logout", "").await.is(303);
    assert_eq!(browser.cookie, None);
    // What was known of the session a moment ago is not believed any more.
    let thief = Browser { served: &served, cookie: stolen };
    let asked = thief.get("/orgs?q=a%20b").await.is(303);
    assert_eq!(asked.header("location"), Some("/login?next=%2Forgs%3Fq%3Da%2520b"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_with_its_time_and_with_its_token() {
    let served = Served::with(PUBLIC).await;
    let reads = token(&served.test, "reads", &["read"], &[]);
    let browser = Browser::with(&served, &reads).await;
    browser.page("/runs").await;
    served.test.sql("update periodd_sessions set expires_at = now() where not is_link").await;
    browser.is_let_go().await;
    let late = link(&served, &[]);
    served.test.sql("update periodd_sessions set expires_at = now() where is_link").await;
    Browser::new(&served).post("/login", &format!("link={late}")).await.is(401);
    let browser = Browser::with(&served, &reads).await;
    browser.page("/runs").await;
    served.test.periodd(&["tokens", "revoke", "reads"]).exits(0);
    // A token of the same name is another one.
    token(&served.test, "reads", &["read"], &[]);
    browser.is_let_go().await;
    let kept = served.test.rows("select encode(digest, 'hex') from periodd_sessions").await;
    assert!(!kept.concat().contains(&reads[3..40]), "{kept:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_no_token_and_a_token_is_no_session() {
    let served = Served::with(PUBLIC).await;
    served.customer("acme").await;
    let browser = Browser::with(&served, &served.token).await;
    browser.page("/runs").await;
    let secret = browser.cookie.clone().expect("a session");
    let limits = "/api/v1/usage/acme/limits";
    served.with_token(&secret, Request::get(limits)).await.is(401);
    served.get(limits).await.is(200);
    let forged = Browser { served: &served, cookie: Some(served.token.clone()) };
    forged.get("/runs").await.is(303);
    // Nor does a cookie open the API.
    browser.get(limits).await.is(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_is_for_strangers_and_no_form_is_sent_from_elsewhere() {
    let served = Served::with(PUBLIC).await;
    served.customer("acme").await;
    served.customer("bolt").await;
    let document = served.bare(Request::get("/api/openapi.json")).await.is(200).json();
    let reads = Browser::with(&served, &token(&served.test, "reads", &["read"], &[])).await;
    let own = token(&served.test, "own", &["read"], &["--org", "acme"]);
    let own = Browser::with(&served, &own).await;
    for (method, path, who) in pages(&served).await {
        assert!(document["paths"].get(&path).is_none(), "{path} is for people");
        let path = filled(&path);
        if method == "POST" {
            for site in [None, Some("cross-site"), Some("same-site"), Some("none")] {
                let form = reads.form(&path, "token=a");
                let form = form.with("origin", "https://evil.example.com");
                let form = site.into_iter().fold(form, |f, site| f.with("sec-fetch-site", site));
                let answer = served.bare(form).await;
                assert_eq!(answer.status, 403, "{path} from {site:?}: {answer:?}");
                assert!(answer.header("set-cookie").is_none(), "{path}");
            }
        }
        if who == "a browser" {
            continue;
        }
        let mut stranger = Browser::new(&served);
        let answer = match method.as_str() {
            "GET" => stranger.get(&path).await,
            _ => stranger.post(&path, "").await,
        };
        let answer = answer.is(303);
        assert!(answer.header("location").is_some_and(|at| at.starts_with("/login")), "{path}");
        if who == "a browser, logged in" {
            own.get(&path).await.is(403);
        }
    }
    // The page of its org alone; the first page leads there.
    let first = own.get("/").await.is(303);
    let place = first.header("location").expect("a place").to_owned();
    assert!(own.page(&place).await.contains("acme"));
    own.page("/orgs/acme").await;
    own.get("/orgs/bolt").await.is(404);
    let metrics = token(&served.test, "prometheus", &["metrics"], &[]);
    let refused = Browser::new(&served).post("/login", &format!("token={metrics}")).await.is(403);
    assert!(refused.body.contains("The token prometheus lacks the scope read."));
    for wrong in ["pd_wrong", "", &own.cookie.clone().expect("a session")] {
        Browser::new(&served).post("/login", &format!("token={wrong}")).await.is(401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_guesses_links_is_stopped() {
    let served = Served::with(PUBLIC).await;
    let wrong = token(&served.test, "wrong", &["read"], &[]);
    let mut browser = Browser::new(&served);
    for _ in 0..20 {
        browser.post("/login", &format!("link={wrong}")).await.is(401);
    }
    let refused = browser.post("/login", &format!("link={wrong}")).await.is(429);
    assert!(refused.header("retry-after").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_from_elsewhere_leads_to_the_page() {
    let served = Served::with(PUBLIC).await;
    let browser = Browser::with(&served, &served.token).await;
    // A browser shows no cookie of ours to what another page leads to.
    let from_elsewhere = Request::get("/runs?span=week").with("host", HOST);
    let from_elsewhere = from_elsewhere.with("sec-fetch-site", "cross-site");
    let answer = served.bare(from_elsewhere).await.is(200);
    let body = answer.body.replace("&#x2f;", "/");
    assert!(body.contains("content=\"0; url=/runs?span=week\""), "{body}");
    let ours = browser.request(Request::get("/runs?span=week"));
    served.bare(ours.with("sec-fetch-site", "same-origin")).await.is(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_may_load_nothing_and_files_are_kept_for_ever() {
    let served = Served::with(PUBLIC).await;
    served.customer("acme").await;
    let browser = Browser::with(&served, &served.token).await;
    let mut weight = 0;
    for path in OF_ALL.into_iter().chain(["/orgs/acme", "/login", "/runs/999", "/orgs/nobody"]) {
        let answer = browser.get(path).await;
        let policy = answer.header("content-security-policy").expect("a policy");
        assert_eq!(
            policy,
            "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
             img-src 'self'; form-action 'self'; frame-src 'self'; base-uri 'none'; \
             frame-ancestors 'none'"
        );
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{path}: {name}");
        }
        // The name of a namespace loads nothing.
        let body = answer.body.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
        for banned in [" style=", "javascript:", "onclick", "http://", "<style"] {
            assert!(!body.contains(banned), "{path}: {banned}");
        }
        assert!(answer.body.len() < 60_000, "{path}: {} bytes", answer.body.len());
        weight = weight.max(answer.body.len());
    }
    let page = browser.page("/").await;
    let files = page.split(['"']).filter(|text| text.starts_with("/assets/"));
    let files: std::collections::BTreeSet<&str> = files.collect();
    assert_eq!(files.len(), 3, "{files:?}");
    for file in files {
        let answer = Browser::new(&served).get(file).await.is(200);
        let kept = answer.header("cache-control");
        assert_eq!(kept, Some("public, max-age=31536000, immutable"), "{file}");
        weight += answer.body.len();
    }
    assert!(weight < 100_000, "{weight} bytes");
    Browser::new(&served).get("/assets/app.css").await.is(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_dashboard_there_is_none() {
    let served = Served::with("dashboard = false").await;
    for path in ["/", "/login", "/orgs", "/runs"] {
        served.bare(Request::get(path)).await.is(404).is_problem("not_found");
    }
    assert!(!served.bare(Request::get("/api")).await.is(200).body.contains("/login"));
    let refused = served.test.periodd(&["dashboard", "login"]).exits(1);
    assert!(refused.stderr.contains("[http] dashboard = true"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_database_says_how_to_begin() {
    let served = Served::with(PUBLIC).await;
    let browser = Browser::with(&served, &served.token).await;
    let page = browser.page("/").await;
    for text in ["No org yet.", "orgs add acme --name Acme", "db import", "no daemon has ever run"]
    {
        assert!(page.contains(text), "{text}: {page}");
    }
    assert!(browser.page("/orgs").await.contains("No org is like that."));
    assert!(browser.page("/runs").await.contains("did not run"));
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_of_others_are_text_everywhere() {
    let served = Served::with(PUBLIC).await;
    let (id, _) = served.customer("acme").await;
    let hostile = "<script>alert(1)</script>\"'&{{ 7*7 }}{% raw %}\u{202e}\u{7}";
    let quoted = format!("E'{}'", hostile.replace('\'', "\\'").replace('\u{7}', "\\x07"));
    let long = "x".repeat(10_000);
    served
        .test
        .sql(&format!(
            "insert into features (feature, unit) values (lower({quoted}), {quoted})
                on conflict do nothing;
             insert into tier_limits (tier, feature, included)
                values ('pro', lower({quoted}), 10) on conflict do nothing;
             update organizations set name = {quoted} || '{long}', subscription_status = {quoted},
                    parked_at = now(), parked_reason = {quoted}, parked_code = 'by_hand';
             insert into organizations (slug, name, time_zone) values ({quoted}, '=cmd', {quoted});
             insert into users (organization_id, email)
                values ('{id}', {quoted} || '@a.example');
             insert into overage_packs (org_id, feature, quantity, reference)
                values ('{id}', lower({quoted}), 5, {quoted});
             insert into periodd_runs (job, trigger, outcome, replica, started_at, finished_at,
                                       error)
                values ('sync', 'command', 'failed', {quoted}, now(), now(), {quoted});
             insert into periodd_daemons (replica, version, started_at, seen_at)
                values ({quoted}, {quoted}, now(), now())"
        ))
        .await;
    served.test.periodd(&["rollover"]);
    let browser = Browser::with(&served, &served.token).await;
    let run = served.test.rows("select max(id)::text from periodd_runs where job = 'sync'").await;
    let pages = [
        "/".to_owned(),
        "/orgs".to_owned(),
        "/orgs?q=script".to_owned(),
        "/orgs?q=%3Cscript%3E&tier=%22%3E%3Cscript%3E".to_owned(),
        "/orgs/acme".to_owned(),
        "/runs".to_owned(),
        format!("/runs/{}", run[0]),
    ];
    for path in pages {
        let page = browser.page(&path).await;
        assert!(page.contains("&lt;script&gt;"), "{path}: {page}");
        for markup in ["<script>", "{{", "\u{202e}", "\u{7}", ">49<"] {
            let rest = page.replace("<script src=", "");
            // As a text the braces are what they are.
            let is_template = markup == "{{" && page.contains("{{ 7*7 }}");
            assert!(is_template || !rest.contains(markup), "{path}: {markup:?}: {page}");
        }
        assert!(!page.contains(&"x".repeat(1_000)), "{path}: what is too long is cut");
    }
    let csv = browser.get("/orgs?format=csv").await.is(200);
    assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8"));
    assert!(csv.body.contains(",'=cmd,") && !csv.body.contains('\u{202e}'), "{}", csv.body);
    assert_eq!(csv.body.lines().count(), 3, "{}", csv.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_cannot_be_read_says_so_and_the_page_stands() {
    let served = Served::with(PUBLIC).await;
    served.customer("acme").await;
    let browser = Browser::with(&served, &served.token).await;
    let unread = "did not answer within 2 s";
    let mut holder = served.test.connect().await;
    for (table, path, blocks, stands) in [
        ("periodd_drift", "/", 6, "1 org in 1 zone."),
        ("periodd_outbox", "/", 5, "1 org in 1 zone."),
        ("organizations", "/", 7, "How many orgs there are is not known."),
        ("periodd_runs", "/runs", 2, "Every minute."),
        ("periodd_schedules", "/runs", 2, "did not run"),
        ("organizations", "/orgs", 1, "tier"),
        ("subscription_tiers", "/orgs", 1, "acme"),
        ("organizations", "/orgs?q=acme", 2, "Slug, name, id"),
        ("periodd_outbox", "/orgs/acme", 2, "No period was closed yet."),
    ] {
        // What was read before is not shown instead: it is too old by then.
        let place = format!("{table} for {path}");
        let mut lock = holder.begin().await.expect("a transaction");
        let statement = sqlx::AssertSqlSafe(format!("lock table {table} in access exclusive mode"));
        sqlx::raw_sql(statement).execute(&mut *lock).await.expect("held");
        tokio::time::sleep(std::time::Duration::from_millis(3_100)).await;
        let page = browser.page(path).await;
        lock.rollback().await.expect("let go");
        assert_eq!(page.matches(unread).count(), blocks, "{place}: {page}");
        assert!(page.contains(stands), "{place}: {page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_is_found_by_whatever_is_known() {
    let served = Served::with(PUBLIC).await;
    let (id, _) = served.customer("acme").await;
    served.customer("bolt").await;
    let add = ["orgs", "add", "tokyo-1", "--name", "Nihon Radio", "--zone", "Asia/Tokyo"];
    served.test.periodd(&add).exits(0);
    let browser = Browser::with(&served, &served.token).await;
    let row = |slug: &str| format!("<a href=\"/orgs/{slug}\">{slug}</a>");
    for (query, found, not) in [
        ("q=acme", "acme", "bolt"),
        ("q=ac", "acme", "bolt"),
        (&format!("q={id}"), "acme", "bolt"),
        ("q=ACME%40example.com", "acme", "bolt"),
        ("q=radio", "tokyo-1", "acme"),
        ("zone=Asia%2FTokyo", "tokyo-1", "acme"),
        ("tier=pro", "acme", "tokyo-1"),
        ("after=acme", "bolt", "acme"),
    ] {
        let page = browser.page(&format!("/orgs?{query}")).await;
        assert!(page.contains(&row(found)), "{query}: {page}");
        assert!(!page.contains(&row(not)), "{query}: {page}");
    }
    let none = browser.page("/orgs?parked=true").await;
    assert!(none.contains("No org is like that."), "{none}");
    browser.get("/orgs?parked=perhaps").await.is(422);
    browser.get("/orgs?format=xml").await.is(422);
    browser.get("/runs?span=year").await.is(422);
    // Page by page, and each org once.
    served
        .test
        .sql(
            "insert into organizations (slug, name, time_zone)
             select 'many-' || lpad(n::text, 3, '0'), 'Many', 'UTC' from generate_series(1, 120) n",
        )
        .await;
    let (mut path, mut seen) = ("/orgs".to_owned(), 0);
    loop {
        let page = browser.page(&path).await;
        seen += page.matches("<a href=\"/orgs/").count();
        let Some((before, _)) = page.split_once("\">Next page</a>") else { break };
        let next = before.rsplit_once("href=\"").expect("a link").1;
        path = next.replace("&amp;", "&");
    }
    assert_eq!(seen, 123);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_an_org_answers_why_and_until_when() {
    let served = Served::with(PUBLIC).await;
    served.customer("acme").await;
    served.test.sql("insert into tier_limits values ('pro', 'scrapes', 2)").await;
    let increment = "/api/v1/usage/acme/increment";
    for _ in 0..2 {
        served.post(increment, json!({ "feature": "scrapes" })).await.is(200);
    }
    let browser = Browser::with(&served, &served.token).await;
    let page = browser.page("/orgs/acme").await;
    let refused = "all 2 included are used up, and no usable pack has any left: 2 used of 2";
    for text in ["One more: refused", refused, "100 %", "Usage resets in", "acme@example.com"] {
        assert!(page.contains(text), "{text}: {page}");
    }
    let grant = ["packs", "grant", "--org", "acme", "--feature", "scrapes", "--quantity", "5"];
    served.test.periodd(&[&grant[..], &["--reference", "inv-7"]].concat()).exits(0);
    served.test.periodd(&["orgs", "park", "acme", "--reason", "under audit"]).exits(0);
    let page = browser.page("/orgs/acme").await;
    let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text}: {page}"));
    assert!(at("This org is parked.") < at("under audit") && at("under audit") < at("Period"));
    for text in ["One more: allowed", "inv-7", "granted"] {
        assert!(page.contains(text), "{text}: {page}");
    }
    browser.get("/orgs/nobody").await.is(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_are_listed_by_what_became_of_them() {
    let served = Served::with(PUBLIC).await;
    served
        .test
        .sql(
            "insert into periodd_runs (job, trigger, occurrence, outcome, replica, started_at,
                                       finished_at, lateness_ms, counts, error, reason)
             values ('rollover', 'boundary', now() - interval '1 hour', 'done', 'a:1',
                     now() - interval '1 hour', now() - interval '59 minutes', 4200,
                     '{\"orgs\": 12, \"periods_closed\": 12}', null, null),
                    ('sync', 'schedule', now() - interval '2 hours', 'failed', 'a:1',
                     now() - interval '2 hours', now() - interval '2 hours', 10, null,
                     'the disk is full', null),
                    ('audit', 'schedule', now() - interval '3 hours', 'skipped', 'a:1', null,
                     now() - interval '3 hours', null, null, null, 'paused'),
                    ('deliver', 'schedule', now() - interval '3 days', 'failed', 'a:1',
                     now() - interval '3 days', now() - interval '3 days', 10, null,
                     'long ago', null)",
        )
        .await;
    served.test.periodd(&["schedule", "pause", "retention", "--reason", "moving"]).exits(0);
    let browser = Browser::with(&served, &served.token).await;
    let page = browser.page("/runs").await;
    for text in [
        "1 run, 1 late",
        "4.2 s",
        "1 run, 1 failed",
        "the disk is full",
        "1 skipped",
        "skipped: paused",
        "moving",
        "Runs of the last 24 hours",
        "No daemon has ever run on this database.",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    assert!(!page.contains("long ago"));
    assert!(browser.page("/runs?span=week").await.contains("long ago"));
    let id = served.test.rows("select id::text from periodd_runs where job = 'sync'").await;
    let page = browser.page(&format!("/runs/{}", id[0])).await;
    for text in ["its schedule", "failed", "the disk is full"] {
        assert!(page.contains(text), "{text}: {page}");
    }
    browser.get("/runs/0").await.is(404);
    browser.get("/runs/many").await.is(404);
    // What was closed stands on the first page, too.
    let first = browser.page("/").await;
    assert!(first.contains(">closed</a>") && first.contains("4.2 s"), "{first}");
}
