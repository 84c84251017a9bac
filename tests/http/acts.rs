//! What the dashboard does: who may do it, that it is what the page said, and that it is done once.

use serde_json::json;

use crate::client::Response;
use crate::pages::{Browser, PUBLIC, pages};
use crate::served::{Served, token};

/// A server whose dashboard may act.
async fn acting() -> Served {
    let mail = std::env::temp_dir().join(format!("periodd-acts-{}", uuid::Uuid::new_v4()));
    let mail = format!("[mail]\ntransport = \"directory\"\ndirectory = \"{}\"", mail.display());
    let served = Served::with(&format!("actions = true\n{PUBLIC}\n{mail}")).await;
    served.test.sql("insert into tier_limits values ('pro', 'scrapes', 2)").await;
    served
}

/// An org whose periods have ended long ago.
fn overdue(served: &Served, slug: &str) {
    let add = ["--at", "2026-01-10T12:00:00Z", "orgs", "add", slug, "--name", slug];
    served.test.periodd(&[&add[..], &["--zone", "UTC", "--tier", "pro"]].concat()).exits(0);
}

/// What the page of an action would send: its hidden fields.
fn form(page: &str) -> String {
    let fields = page.split("<input type=\"hidden\" name=\"").skip(1).map(|rest| {
        let (name, rest) = rest.split_once("\" value=\"").expect("a value");
        let value = rest.split('"').next().unwrap_or_default();
        format!("{name}={}", value.replace("&amp;", "&"))
    });
    fields.collect::<Vec<_>>().join("&")
}

/// Shows the plan at a path, and sends its form with what is typed.
async fn does(browser: &mut Browser<'_>, path: &str, typed: &str) -> Response {
    let page = browser.page(path).await;
    let target = path.split('?').next().unwrap_or_default();
    browser.post(target, &format!("{}{typed}", form(&page))).await
}

/// The page of the run that an action led to.
async fn done(browser: &mut Browser<'_>, path: &str, typed: &str) -> String {
    let answer = does(browser, path, typed).await.is(303);
    let place = answer.header("location").expect("a place").to_owned();
    assert!(place.starts_with("/runs/"), "{place}");
    browser.page(&place).await
}

/// What is sent to each action: one without its line here fails.
fn asked(path: &str) -> &'static str {
    match path {
        "/act/rollover" => "org=late",
        "/act/sync" => "org=acme",
        "/act/check" => "",
        "/act/unpark" => "org=parked",
        "/act/resend" => "email=6f0c3a52-4d0e-4a71-9d2b-0f3b7a1c2d3e",
        "/act/pause" => "job=retention",
        "/act/resume" => "job=audit",
        "/act/revoke" => "token=reads",
        other => panic!("{other}: say what it is asked"),
    }
}

/// What actions could have changed.
async fn world(served: &Served) -> Vec<String> {
    let mut world = Vec::new();
    for query in [
        "select slug || current_period_end || coalesce(parked_at::text, '') from organizations
         order by 1",
        "select job || trigger || coalesce(paused_at::text, '') || coalesce(pause_reason, '')
         from periodd_schedules order by 1",
        "select name || coalesce(revoked_at::text, '') from periodd_tokens order by 1",
        "select id || state || coalesce(settled_at::text, '') from periodd_outbox order by 1",
        "select id || job || outcome from periodd_runs order by 1",
        "select org_id || feature || used from usage_counters order by 1",
    ] {
        world.extend(served.test.rows(query).await);
    }
    world
}

/// An email that was sent to acme.
async fn emailed(served: &Served) -> String {
    for _ in 0..2 {
        let use_one = json!({ "feature": "scrapes" });
        served.post("/api/v1/usage/acme/increment", use_one).await.is(200);
    }
    served.test.periodd(&["alerts", "run", "--full"]).exits(0);
    let sent = served.test.rows("select id::text from periodd_outbox where state = 'sent'").await;
    sent[0].clone()
}

/// The table of routes, and a world in which each action has something to do.
async fn everything(served: &Served) -> String {
    served.customer("acme").await;
    overdue(served, "late");
    served.customer("parked").await;
    served.test.periodd(&["orgs", "park", "parked", "--reason", "under audit"]).exits(0);
    served.test.periodd(&["schedule", "pause", "audit", "--reason", "moving"]).exits(0);
    token(&served.test, "reads", &["read"], &[]);
    let email = emailed(served).await;
    served.test.sql("update usage_counters set used = used + 1 where feature = 'scrapes'").await;
    email
}

#[tokio::test(flavor = "multi_thread")]
async fn no_form_acts_for_whoever_may_not() {
    let served = acting().await;
    let email = everything(&served).await;
    let asked = |path: &str| match path {
        "/act/resend" => format!("email={email}"),
        path => asked(path).to_owned(),
    };
    let reader = token(&served.test, "reader", &["read", "sync", "record"], &[]);
    let of_one = token(&served.test, "of-one", &["read", "admin"], &["--org", "acme"]);
    let mut admin = Browser::with(&served, &served.token).await;
    let mut reader = Browser::with(&served, &reader).await;
    let mut of_one = Browser::with(&served, &of_one).await;
    let before = world(&served).await;
    let mut acts = 0;
    for (method, path, who) in pages(&served).await {
        if method != "POST" || ["/login", "/logout", "/times"].contains(&path.as_str()) {
            continue;
        }
        acts += 1;
        assert_eq!(who, "a browser, logged in with the scope admin", "{path}");
        let at = format!("{path}?{}", asked(&path));
        let shown = form(&admin.page(at.trim_end_matches('?')).await);
        assert!(shown.contains("plan="), "{path}: {shown}");
        let stranger = Browser::new(&served).post(&path, &shown).await.is(303);
        assert_eq!(stranger.header("location"), Some("/login"), "{path}");
        let lacks = reader.post(&path, &shown).await.is(403);
        assert!(lacks.body.contains("lacks the scope admin"), "{path}: {}", lacks.body);
        reader.get(&at).await.is(403);
        of_one.post(&path, &shown).await.is(403);
        of_one.get(&at).await.is(403);
        for site in ["cross-site", "same-site", "none"] {
            let elsewhere = admin.form(&path, &shown).with("sec-fetch-site", site);
            served.bare(elsewhere).await.is(403);
        }
        let stale = shown.replace("plan=", "plan=0");
        let stale = admin.post(&path, &stale).await.is(409);
        assert!(stale.body.contains("the plan has changed"), "{path}: {}", stale.body);
        admin.post(&path, &asked(&path)).await.is(409);
        admin.post(&path, "plan=1&else=2").await.is(422);
    }
    assert!(acts >= 8, "{acts}");
    assert_eq!(world(&served).await, before);
    // Buttons are shown to those alone who may use them.
    for path in ["/", "/orgs/acme", "/runs"] {
        assert!(admin.page(path).await.contains("href=\"/act/"), "{path}");
        assert!(!reader.page(path).await.contains("/act/"), "{path}");
    }
    assert!(!of_one.page("/orgs/acme").await.contains("/act/"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_setting_there_is_no_button_and_nothing_is_done() {
    let served = Served::with(PUBLIC).await;
    served.customer("acme").await;
    overdue(&served, "late");
    let mut admin = Browser::with(&served, &served.token).await;
    let before = world(&served).await;
    for (method, path, who) in pages(&served).await {
        if who != "a browser, logged in with the scope admin" {
            continue;
        }
        let refused = match method.as_str() {
            "GET" => admin.get(&format!("{path}?{}", asked(&path))).await,
            _ => admin.post(&path, asked(&path)).await,
        };
        assert!(refused.is(403).body.contains("[http] actions = false"), "{path}");
    }
    assert_eq!(world(&served).await, before);
    for path in ["/", "/orgs/acme", "/runs", "/drift", "/system"] {
        assert!(!admin.page(path).await.contains("/act/"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_has_the_buttons_of_what_it_shows() {
    let served = acting().await;
    let email = everything(&served).await;
    let acme = served.test.rows("select id::text from organizations where slug = 'acme'").await;
    let admin = Browser::with(&served, &served.token).await;
    let reader = token(&served.test, "looks", &["read"], &[]);
    let reader = Browser::with(&served, &reader).await;
    let of_email = format!("/act/resend?email={email}");
    for (page, button) in [
        ("/", "/act/rollover"),
        ("/orgs/acme", "/act/sync?org=acme"),
        ("/orgs/parked", "/act/unpark?org=parked"),
        ("/runs", "/act/resume?job=audit"),
        ("/drift", "/act/check"),
        ("/system", "/act/revoke?token=reads"),
        (&*format!("/emails/{email}?org={}", acme[0]), &*of_email),
    ] {
        assert!(admin.page(page).await.contains(&format!("href=\"{button}\"")), "{page}: {button}");
        assert!(!reader.page(page).await.contains("/act/"), "{page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_has_ended_acts_no_more() {
    let served = acting().await;
    overdue(&served, "late");
    let chief = token(&served.test, "chief", &["read", "admin"], &[]);
    let mut admin = Browser::with(&served, &chief).await;
    let shown = form(&admin.page("/act/rollover?org=late").await);
    served.test.periodd(&["tokens", "revoke", "chief"]).exits(0);
    admin.is_let_go().await;
    let refused = admin.post("/act/rollover", &shown).await.is(303);
    assert_eq!(refused.header("location"), Some("/login"));
    let mut admin = Browser::with(&served, &served.token).await;
    let shown = form(&admin.page("/act/rollover?org=late").await);
    served.test.sql("update periodd_sessions set expires_at = now()").await;
    admin.is_let_go().await;
    admin.post("/act/rollover", &shown).await.is(303);
    assert_eq!(served.test.rows("select 1 from periodd_runs").await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_action_does_what_its_page_said() {
    let served = acting().await;
    let email = everything(&served).await;
    let mut admin = Browser::with(&served, &served.token).await;
    let admin = &mut admin;
    let is = async |query: &str| served.test.rows(query).await.concat();

    let plan = admin.page("/act/rollover?org=late").await;
    for text in ["Closes ", "of 1 org.", "2026-01-01 00:00 UTC", "no usage", "rollover --org late"]
    {
        assert!(plan.contains(text), "{text}: {plan}");
    }
    let page = done(admin, "/act/rollover?org=late", "").await;
    for text in ["rollover", "1 org, ", "periods closed", "Asked by", ">all<", "test:1"] {
        assert!(page.contains(text), "{text}: {page}");
    }
    let due = "select count(*)::text from organizations where current_period_end <= now()";
    assert_eq!(is(due).await, "0");

    let plan = admin.page("/act/sync?org=acme").await;
    assert!(plan.contains("wrong value") && plan.contains("usage_counters.used"), "{plan}");
    let page = done(admin, "/act/sync?org=acme", "").await;
    assert!(page.contains("audit") && page.contains("1 org audited"), "{page}");
    let used = "select used::text from usage_counters where feature = 'scrapes'";
    assert_eq!(is(used).await, "2");
    let run = "select (run = (select max(id) from periodd_runs))::text from periodd_drift
               limit 1";
    assert_eq!(is(run).await, "true");

    let page = done(admin, "/act/unpark?org=parked", "").await;
    assert!(page.contains("unparked parked"), "{page}");
    assert_eq!(
        is("select count(*)::text from organizations where parked_at is not null").await,
        "0"
    );

    let plan = admin.page(&format!("/act/resend?email={email}")).await;
    assert!(plan.contains("acme@example.com") && plan.contains("used 100 % of scrapes"), "{plan}");
    let settled = is("select settled_at::text from periodd_outbox").await;
    let page = done(admin, &format!("/act/resend?email={email}"), "").await;
    assert!(page.contains("1 email sent"), "{page}");
    assert_ne!(is("select settled_at::text from periodd_outbox").await, settled);

    let without = does(admin, "/act/pause?job=retention", "").await.is(422);
    assert!(without.body.contains("type a reason"), "{}", without.body);
    let page = done(admin, "/act/pause?job=retention", "&reason=a+move").await;
    assert!(page.contains("paused retention: a move"), "{page}");
    let why = "select pause_reason from periodd_schedules where job = 'retention'";
    assert_eq!(is(why).await, "a move");
    let page = admin.page("/runs").await;
    assert!(page.contains(" by all: a move") && page.contains("/act/resume?job=retention"));
    let page = done(admin, "/act/resume?job=retention", "").await;
    assert!(page.contains("resumed retention"), "{page}");
    let paused = "select count(*)::text from periodd_schedules
                  where job = 'retention' and paused_at is not null";
    assert_eq!(is(paused).await, "0");

    let page = done(admin, "/act/check", "").await;
    assert!(page.contains("no drift") && page.contains("looked at 3 orgs"), "{page}");

    let page = done(admin, "/act/revoke?token=reads", "").await;
    assert!(page.contains("revoked reads"), "{page}");
    let revoked = "select (revoked_at is not null)::text from periodd_tokens where name = 'reads'";
    assert_eq!(is(revoked).await, "true");

    // All of it is in the ledger, by the token's name.
    let jobs = "select string_agg(job, ' ' order by id) from periodd_runs where asked_by = 'all'";
    let all = "rollover audit unpark resend pause resume check revoke";
    assert_eq!(is(jobs).await, all);
    let outcomes = "select distinct outcome from periodd_runs where asked_by = 'all'";
    assert_eq!(is(outcomes).await, "done");
    let page = admin.page("/runs").await;
    for text in ["unparked parked", "paused retention: a move", "by hand"] {
        assert!(page.contains(text), "{text}: {page}");
    }

    // What is done already is not there to be done.
    for (path, nothing) in [
        ("/act/rollover?org=late", "Nothing is due."),
        ("/act/sync?org=acme", "every copy agrees"),
        ("/act/unpark?org=parked", "The org is not parked."),
        ("/act/resume?job=retention", "The job retention is not paused."),
        ("/act/revoke?token=reads", "No valid token has that name."),
    ] {
        let page = admin.page(path).await;
        assert!(page.contains(nothing) && !page.contains("name=\"plan\""), "{path}: {page}");
        let (target, asked) = path.split_once('?').expect("a query");
        let refused = admin.post(target, asked).await.is(409);
        assert!(refused.body.contains("nothing is left to do"), "{path}: {}", refused.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_orgs_and_an_early_close_are_confirmed_by_their_number() {
    let served = acting().await;
    for slug in ["one", "two", "three"] {
        overdue(&served, slug);
    }
    let mut admin = Browser::with(&served, &served.token).await;
    let page = admin.page("/act/rollover?zone=UTC").await;
    assert!(page.contains("type the number of orgs: 3"), "{page}");
    for wrong in ["", "&typed=2", "&typed=yes"] {
        let refused = does(&mut admin, "/act/rollover?zone=UTC", wrong).await.is(422);
        assert!(refused.body.contains("type the number of orgs."), "{}", refused.body);
    }
    let page = done(&mut admin, "/act/rollover?zone=UTC", "&typed=3").await;
    assert!(page.contains("3 orgs, "), "{page}");
    let page = admin.page("/act/rollover?org=one&early=true").await;
    assert!(page.contains("type the number of orgs: 1"), "{page}");
    let open = "select current_period_start from organizations where slug = 'one'";
    let before = served.test.rows(open).await;
    done(&mut admin, "/act/rollover?org=one&early=true", "&typed=1").await;
    assert_ne!(served.test.rows(open).await, before);
    let young = admin.page("/act/rollover?org=one&early=true").await;
    assert!(young.contains("began less than a minute ago"), "{young}");
    for (path, status) in [
        ("/act/rollover?org=nobody", 404),
        ("/act/rollover?zone=Mars%2FBase", 422),
        ("/act/rollover?org=one&zone=UTC", 422),
        ("/act/rollover?early=perhaps", 422),
        ("/act/pause?job=fax", 422),
        ("/act/resend?email=many", 422),
        ("/act/unpark", 422),
    ] {
        assert_eq!(admin.get(path).await.status, status, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_button_that_two_press_does_it_once() {
    let served = acting().await;
    overdue(&served, "late");
    served.customer("parked").await;
    served.test.periodd(&["orgs", "park", "parked", "--reason", "under audit"]).exits(0);
    for path in ["/act/rollover?org=late", "/act/unpark?org=parked"] {
        let mut ann = Browser::with(&served, &served.token).await;
        let mut bob = Browser::with(&served, &served.token).await;
        let shown = form(&ann.page(path).await);
        assert_eq!(shown, form(&bob.page(path).await), "{path}: the same plan");
        let target = path.split('?').next().unwrap_or_default();
        let (one, other) = tokio::join!(ann.post(target, &shown), bob.post(target, &shown));
        let (first, second) = if one.status == 303 { (one, other) } else { (other, one) };
        first.is(303);
        let second = second.is(409);
        assert!(second.body.contains("nothing is left to do"), "{path}: {}", second.body);
        // Whoever presses it again reads the same.
        ann.post(target, &shown).await.is(409);
    }
    let runs = served.test.rows("select job from periodd_runs order by id").await;
    assert_eq!(runs, ["rollover", "unpark"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_world_that_has_moved_has_a_new_plan() {
    let served = acting().await;
    overdue(&served, "late");
    let mut admin = Browser::with(&served, &served.token).await;
    let shown = form(&admin.page("/act/rollover?org=late").await);
    let moved = "insert into overage_packs (org_id, feature, quantity, purchased_at)
                 select id, 'scrapes', 5, '2026-01-11' from organizations where slug = 'late';
                 insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
                 select id, 'scrapes', 4, '2026-01-12' from organizations where slug = 'late'";
    served.test.sql(moved).await;
    served.test.periodd(&["sync"]);
    let refused = admin.post("/act/rollover", &shown).await.is(409);
    assert!(refused.body.contains("the plan has changed"), "{}", refused.body);
    // The page that refuses has the new plan, and its form acts.
    let page = refused.body.replace("&#x2f;", "/");
    assert!(page.contains(">scrapes</td>"), "{page}");
    admin.post("/act/rollover", &form(&page)).await.is(303);
    let drawn = served.test.rows("select remaining::text from overage_packs").await;
    assert_eq!(drawn, ["3"]);
}
