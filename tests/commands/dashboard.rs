//! `periodd dashboard` without a daemon: served and as files, read-only.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::client::{Request, Response, ask};
use crate::schema_files;
use crate::support::TestDatabase;

const NOW: &str = "2026-04-30T12:00:00Z";
/// Pages with nothing in their path.
const PAGES: [&str; 9] = [
    "/",
    "/orgs",
    "/orgs?q=a",
    "/runs",
    "/runs?span=week",
    "/usage",
    "/drift",
    "/emails",
    "/system",
];

/// Two orgs of which one is parked, and a run in the ledger.
async fn company() -> TestDatabase {
    let test = TestDatabase::new().await;
    test.sql("insert into tier_limits values ('pro', 'sms_sent', 5)").await;
    for line in [
        "orgs add acme --name Acme --zone Europe/Berlin --tier pro --period-start 2026-03-01",
        "orgs add bolt --name <b>Bolt</b> --zone Asia/Tokyo --period-start 2026-03-01",
        "packs grant --org acme --feature sms_sent --quantity 100 --reference r-1",
        "usage record --org acme --feature sms_sent --quantity 12",
        "rollover",
        "orgs park bolt --reason <i>odd</i>",
    ] {
        let words: Vec<&str> = line.split(' ').chain(["--at", NOW]).collect();
        test.periodd(&words).exits(0);
    }
    test
}

/// The command at work.
struct Serving {
    child: Child,
    stderr: BufReader<ChildStderr>,
    address: SocketAddr,
    link: String,
    cookie: Option<String>,
}

impl Serving {
    fn start(mut command: Command) -> Self {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        stdout.read_line(&mut line).expect("a line");
        let (address, link) =
            line.trim().split_once("/login?link=").unwrap_or_else(|| panic!("no link: {line}"));
        let address = address.strip_prefix("http://").and_then(|text| text.parse().ok());
        let (address, link) = (address.expect("an address"), link.to_owned());
        Self { child, stderr, address, link, cookie: None }
    }

    fn request(&self, request: Request) -> Request {
        let request = request.with("host", &self.address.to_string());
        match &self.cookie {
            Some(cookie) => request.with("cookie", cookie),
            None => request,
        }
    }

    async fn get(&self, path: &str) -> Response {
        ask(self.address, &self.request(Request::get(path))).await
    }

    async fn post(&self, path: &str, form: &str) -> Response {
        let request = Request { method: "POST", body: Some(form.to_owned()), ..Request::get(path) };
        let request = request.with("content-type", "application/x-www-form-urlencoded");
        ask(self.address, &self.request(request).with("sec-fetch-site", "same-origin")).await
    }

    /// Logs in, as a browser does.
    async fn log_in(&mut self) {
        let page = self.get(&format!("/login?link={}", self.link)).await.is(200).body;
        assert!(page.contains(&self.link), "a button, and nothing is used up: {page}");
        let answer = self.post("/login", &format!("link={}&next=/", self.link)).await.is(303);
        let cookie = answer.header("set-cookie").expect("a cookie");
        let name = format!("periodd-{}=", self.address.port());
        assert!(cookie.starts_with(&name), "of this port alone: {cookie}");
        self.cookie = cookie.split(';').next().map(str::to_owned);
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process"), signal).expect("it is there");
    }

    /// Ends it by a signal; what it said, and its exit code.
    fn end(mut self, signal: Signal) -> (String, Option<i32>) {
        self.signal(signal);
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).expect("text");
        (said, self.child.wait().expect("it ends").code())
    }
}

#[tokio::test]
async fn the_pages_are_served_without_a_daemon_and_nothing_is_written() {
    let test = company().await;
    let all = "select 'sessions' as what, count(*) from periodd_sessions
               union all select 'tokens', count(*) from periodd_tokens
               union all select 'runs', count(*) from periodd_runs
               union all select 'facts', count(*) from periodd_facts";
    let before = (test.contents().await, test.rows(all).await);
    // Whatever writes fails.
    let read_only = format!("alter database {} set default_transaction_read_only = on", test.name);
    test.sql(&read_only).await;
    let mut serving = Serving::start(test.command(&["dashboard", "--at", NOW]));
    for path in PAGES {
        serving.get(path).await.is(303);
    }
    // Nobody logs in by a token: its use would be noted.
    let refused = serving.post("/login", "token=pd_0123&next=/").await.is(401).body;
    assert!(refused.contains("Start the command again"), "{refused}");
    serving.log_in().await;
    let again = serving.post("/login", &format!("link={}&next=/", serving.link)).await.is(401);
    assert!(again.body.contains("The link was used"), "{}", again.body);

    let run = test.rows("select id from periodd_runs limit 1").await.concat();
    let (runs, orgs) = (format!("/runs/{run}"), ["/orgs/acme", "/orgs/bolt"]);
    for path in PAGES.into_iter().chain(orgs).chain([runs.as_str()]) {
        let page = serving.get(path).await.is(200).body;
        assert!(!page.contains("Not known."), "{path}: {page}");
        assert!(page.contains("2026-04-30 "), "as of that day: {path}: {page}");
        assert!(!page.contains("<b>Bolt") && !page.contains("<i>odd"), "{path}: {page}");
    }
    let page = serving.get("/orgs/acme").await.body;
    assert!(page.contains("Usage resets in 10 h"), "{page}");
    assert!(page.contains("One more: allowed"), "{page}");
    // Nothing else is here, and nobody else's name for it.
    for path in ["/api", "/api/v1/usage/acme/limits", "/metrics", "/healthz", "/readyz"] {
        serving.get(path).await.is(404);
    }
    let other = Request::get("/").with("host", "dashboard.example.com");
    ask(serving.address, &other).await.is(421);
    serving.post("/logout", "").await.is(303);
    serving.get("/").await.is(303);
    let (said, code) = serving.end(Signal::TERM);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!((test.contents().await, test.rows(all).await), before);
}

#[tokio::test]
async fn it_ends_well_by_ctrl_c_and_a_port_that_is_taken_is_named() {
    let test = company().await;
    let serving = Serving::start(test.command(&["dashboard", "--listen", "127.0.0.1:0"]));
    let taken = serving.address.to_string();
    let refused = test.periodd(&["dashboard", "--listen", &taken]).exits(1);
    assert!(refused.stderr.contains(&format!("--listen {taken}")), "{refused:?}");
    assert!(refused.stderr.contains("choose another port"), "{refused:?}");
    let (said, code) = serving.end(Signal::INT);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("this link logs in once; Ctrl-C stops"), "{said}");
    // And so it is after a request that is never whole.
    let serving = Serving::start(test.command(&["dashboard"]));
    let mut open = std::net::TcpStream::connect(serving.address).expect("it listens");
    std::io::Write::write_all(&mut open, b"GET / HTTP/1.1\r\nhost: l").expect("sent");
    let (said, code) = serving.end(Signal::INT);
    assert_eq!(code, Some(0), "{said}");
}

#[tokio::test]
async fn a_database_that_goes_away_is_said_on_the_page() {
    let test = company().await;
    let mut serving = Serving::start(test.command(&["dashboard", "--at", NOW]));
    serving.log_in().await;
    serving.get("/orgs").await.is(200);
    let url = test.url();
    let name = url.split(['/', '?']).find(|part| part.starts_with("test_")).expect("a name");
    let mut server = support_server(&test).await;
    for statement in [
        format!("alter database {name} allow_connections false"),
        format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"),
    ] {
        let statement = sqlx::AssertSqlSafe(statement);
        sqlx::raw_sql(statement).execute(&mut server).await.expect("done");
    }
    let page = serving.get("/orgs").await.body;
    assert!(page.contains("Not known.") || page.contains("unavailable"), "{page}");
    let allow = format!("alter database {name} allow_connections true");
    sqlx::raw_sql(sqlx::AssertSqlSafe(allow)).execute(&mut server).await.expect("done");
    assert!(serving.get("/orgs").await.is(200).body.contains("Acme"));
    assert_eq!(serving.end(Signal::TERM).1, Some(0));
}

/// A connection to the server, beside the database.
async fn support_server(test: &TestDatabase) -> sqlx::PgConnection {
    let url = test.url().replace(&test.name, "postgres");
    <sqlx::PgConnection as sqlx::Connection>::connect(&url).await.expect("the server answers")
}

#[tokio::test]
async fn a_browser_is_opened_where_there_is_one() {
    let test = company().await;
    let bin = tempfile::tempdir().expect("a directory");
    let asked = bin.path().join("asked");
    for name in ["xdg-open", "open"] {
        let opener = bin.path().join(name);
        let script = format!("#!/bin/sh\nprintf %s \"$1\" > {}\n", asked.display());
        fs::write(&opener, script).expect("written");
        fs::set_permissions(&opener, fs::Permissions::from_mode(0o755)).expect("a mode");
    }
    let mut command = test.command(&["dashboard", "--open"]);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{}:{path}", bin.path().display()));
    let serving = Serving::start(command);
    for _ in 0..600 {
        if fs::read_to_string(&asked).is_ok_and(|text| text.ends_with(&serving.link)) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let opened = fs::read_to_string(&asked).expect("it was opened");
    assert_eq!(opened, format!("http://{}/login?link={}", serving.address, serving.link));
    assert_eq!(serving.end(Signal::TERM).1, Some(0));

    // Without one it says so, and serves.
    let mut command = test.command(&["dashboard", "--open"]);
    command.env("PATH", "/nowhere");
    let serving = Serving::start(command);
    serving.get("/login").await.is(200);
    let (said, code) = serving.end(Signal::TERM);
    assert!(said.contains("cannot open a browser") && said.contains("open the page"), "{said}");
    assert_eq!(code, Some(0));
}

/// Where the tags of a page lead.
fn targets(page: &str) -> Vec<String> {
    let mut targets = Vec::new();
    for attribute in [" href=\"", " src=\"", " action=\"", " srcset=\""] {
        let found = page.split(attribute).skip(1);
        targets.extend(found.filter_map(|rest| rest.split('"').next()).map(str::to_owned));
    }
    targets
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

#[tokio::test]
async fn the_pages_are_files_that_lead_to_each_other() {
    let test = company().await;
    let place = tempfile::tempdir().expect("a directory");
    let directory = place.path().join("report");
    let html = ["dashboard", "--at", NOW, "--html", directory.to_str().expect("UTF-8")];
    let answer = test.periodd(&[&html[..], &["--format", "json"]].concat()).exits(0).json();
    schema_files::hold("dashboard", &answer);
    assert_eq!(answer["orgs"], 2);
    assert_eq!(answer["more_orgs"], false);
    assert_eq!(mode(&directory), 0o700);
    let files: BTreeSet<String> = fs::read_dir(&directory)
        .expect("a directory")
        .map(|file| file.expect("a file").file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(answer["files"], files.len());
    let run = test.rows("select id from periodd_runs limit 1").await.concat();
    let run = format!("runs-{run}.html");
    let expected = ["index.html", "orgs.html", "orgs-acme.html", "orgs-bolt.html", "runs.html"];
    for name in expected.into_iter().chain([run.as_str()]) {
        assert!(files.contains(name), "{name}: {files:?}");
    }
    let mut followed = BTreeSet::new();
    for name in &files {
        assert_eq!(mode(&directory.join(name)), 0o600, "{name}");
        let page = fs::read_to_string(directory.join(name)).expect("text");
        // Names a language, and is asked of nobody.
        let page = page.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
        if Path::new(name).extension().is_none_or(|ending| ending != "html") {
            continue;
        }
        for gone in ["<script", "<form", "http://", "https://", "Not known."] {
            assert!(!page.contains(gone), "{name}: {gone}");
        }
        for target in targets(&page) {
            let file = target.split('#').next().unwrap_or_default();
            assert!(file.is_empty() || files.contains(file), "{name} leads to {target}");
            followed.insert(file.to_owned());
        }
    }
    let unreached: Vec<&String> = files.iter().filter(|name| !followed.contains(*name)).collect();
    assert!(unreached.is_empty(), "nothing leads to {unreached:?}");
    let org = fs::read_to_string(directory.join("orgs-bolt.html")).expect("text");
    assert!(org.contains("This org is parked") && !org.contains("<i>odd"), "{org}");

    // A second time it would mix two states.
    let refused = test.periodd(&html).exits(2).stderr;
    assert!(refused.contains("the directory is not empty"), "{refused}");
    // One org alone, by its id; and none that nobody knows.
    let id = test.rows("select id from organizations where slug = 'acme'").await.concat();
    let one = place.path().join("one");
    let words = ["dashboard", "--html", one.to_str().expect("UTF-8"), "--org"];
    let said = test.periodd(&[&words[..], &[&id, "--at", NOW]].concat()).exits(0).stdout;
    assert!(said.contains("with pages of 1 org: open "), "{said}");
    assert!(one.join("orgs-acme.html").exists() && !one.join("orgs-bolt.html").exists());
    let other = place.path().join("other");
    let words = ["dashboard", "--html", other.to_str().expect("UTF-8"), "--org", "acmee"];
    let refused = test.periodd(&words).exits(2).stderr;
    assert!(refused.contains("did you mean `acme`?"), "{refused}");
    assert!(!other.exists(), "nothing is left of it");
}
