//! On whose clock pages show times: one switch for tables, charts and axes, and its times are those
//! of `periodd periods`.

use serde_json::Value;

use crate::client::Request;
use crate::pages::{Browser, PUBLIC};
use crate::served::Served;

/// Zones, and a day shortly before their clocks are moved: by an hour, by half of one, at
/// midnight, which is then missing.
const CHANGES: [(&str, &str); 8] = [
    ("Europe/Berlin", "2026-10-23"),
    ("America/New_York", "2026-10-30"),
    ("Australia/Lord_Howe", "2026-10-02"),
    ("Pacific/Chatham", "2026-09-25"),
    ("Africa/Cairo", "2026-04-22"),
    ("America/Santiago", "2026-09-04"),
    ("Asia/Beirut", "2026-03-27"),
    ("Europe/Dublin", "2026-03-27"),
];

/// A browser that has chosen a clock.
async fn on<'a>(served: &'a Served, times: &str) -> Browser<'a> {
    let mut browser = Browser::with(served, &served.token).await;
    browser.cookie = browser.cookie.map(|secret| format!("{secret}; times={times}"));
    browser
}

/// Every instant of a page, with its text.
fn times(page: &str) -> Vec<(String, String)> {
    let times = page.split("<time datetime=\"").skip(1).map(|rest| {
        let (at, rest) = rest.split_once('"').expect("an instant");
        let (_, rest) = rest.split_once('>').expect("a text");
        (at.to_owned(), rest.split('<').next().unwrap_or_default().to_owned())
    });
    times.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn around_clock_changes_pages_say_what_periods_says() {
    let served = Served::with(PUBLIC).await;
    let utc = on(&served, "utc").await;
    let mut instants = 0;
    for (zone, from) in CHANGES {
        let words = ["--at", from, "periods", "--zone", zone, "--cycle", "daily", "--count", "6"];
        let periods = served.test.periodd(&[&words[..], &["--format", "json"]].concat());
        let periods: Value = serde_json::from_str(&periods.exits(0).stdout).expect("JSON");
        let local = on(&served, zone).await;
        for period in periods.as_array().expect("a list") {
            let text = |key: &str| period[key].as_str().expect("a text").to_owned();
            let (start, start_local) = (text("start"), text("start_local"));
            let insert = format!(
                "insert into periodd_runs (job, trigger, occurrence, outcome, replica, started_at,
                                           finished_at)
                 values ('sync', 'schedule', '{start}', 'done', 'a:1', now(), now())
                 on conflict do nothing"
            );
            served.test.sql(&insert).await;
            let id = format!("select id::text from periodd_runs where occurrence = '{start}'");
            let id = served.test.rows(&id).await;
            for (browser, said) in [(&local, start_local), (&utc, start.clone())] {
                let page = browser.page(&format!("/runs/{}", id[0])).await;
                let shown = times(&page).into_iter().find(|(at, _)| *at == start);
                let (_, shown) = shown.unwrap_or_else(|| panic!("{start}: {page}"));
                // To the second where it is not a full minute.
                let minute = said[..16].replace('T', " ");
                assert!(shown.starts_with(&minute), "{zone} {start}: {shown}, not {said}");
            }
            instants += 1;
        }
    }
    assert_eq!(instants, 48);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_switch_is_obeyed_by_every_page() {
    let served = Served::with(PUBLIC).await;
    let add = ["orgs", "add", "acme", "--name", "Acme", "--zone", "Asia/Tokyo", "--tier", "pro"];
    served.test.periodd(&add).exits(0);
    served.test.periodd(&["sync"]).exits(0);
    let browser = Browser::with(&served, &served.token).await;
    let choose = async |form: &str| {
        let form = browser.form("/times", form).with("sec-fetch-site", "same-origin");
        served.bare(form).await
    };
    let chosen = choose("times=Asia%2FKolkata&next=%2Fruns%3Fspan%3Dweek").await.is(303);
    assert_eq!(chosen.header("location"), Some("/runs?span=week"));
    let kept = chosen.header("set-cookie").expect("a cookie");
    assert!(kept.starts_with("times=Asia/Kolkata; Path=/; "), "{kept}");
    let away = choose("times=utc&next=https%3A%2F%2Fevil.example").await.is(303);
    assert_eq!(away.header("location"), Some("/"));
    for wrong in ["times=Mars%2FBase&next=%2F", "times=&next=%2F", "times=a%0D%0Ab&next=%2F"] {
        choose(wrong).await.is(422);
    }
    let stranger = Browser::new(&served).form("/times", "times=utc&next=%2F");
    served.bare(stranger.with("sec-fetch-site", "same-origin")).await.is(303);
    for (chosen, of_all, of_org) in
        [("utc", "UTC", "UTC"), ("Asia/Kolkata", "IST", "IST"), ("org", "UTC", "JST")]
    {
        let reader = on(&served, chosen).await;
        for (path, zone) in [
            ("/", of_all),
            ("/orgs", ""),
            ("/runs", ""),
            ("/runs?span=week", ""),
            ("/orgs/acme", of_org),
        ] {
            let page = reader.page(path).await;
            let option = format!("<option value=\"{chosen}\" selected>");
            assert!(page.contains(&option), "{path} {chosen}: {page}");
            let shown = times(&page);
            assert!(!shown.is_empty(), "{path}");
            for (at, text) in shown {
                // Schedules and lists of orgs have zones of their own.
                let is_so = if zone.is_empty() && chosen == "org" {
                    true
                } else {
                    text.ends_with(if zone.is_empty() { of_all } else { zone })
                };
                assert!(is_so, "{path} in {chosen}: {at} is {text}");
            }
        }
        let axis = reader.page("/runs").await;
        let named = if chosen == "Asia/Kolkata" { chosen } else { "UTC" };
        assert!(axis.contains(&format!("times in {named}")), "{chosen}: {axis}");
    }
    // What is no choice is none.
    let odd = on(&served, "Mars/Base").await.page("/orgs/acme").await;
    assert!(times(&odd).iter().any(|(_, text)| text.ends_with("JST")), "{odd}");
    let without = served.bare(Request::get("/runs").with("host", "localhost")).await;
    without.is(303);
}
