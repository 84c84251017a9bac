//! What clients ask.

use crate::usage::batches::BATCH;

/// Method, path and body of the request with a number, where there are so many orgs.
pub(crate) type Ask = fn(u64, u64) -> (&'static str, String, String);

pub(crate) fn check(number: u64, orgs: u64) -> (&'static str, String, String) {
    let org = number % orgs + 1;
    ("GET", format!("/api/v1/usage/org-{org}/check/scrapes"), String::new())
}

pub(crate) fn limits(number: u64, orgs: u64) -> (&'static str, String, String) {
    let org = number % orgs + 1;
    ("GET", format!("/api/v1/usage/org-{org}/limits?feature=scrapes"), String::new())
}

pub(crate) fn increment(number: u64, orgs: u64) -> (&'static str, String, String) {
    let org = number % orgs + 1;
    ("POST", format!("/api/v1/usage/org-{org}/increment"), "{\"feature\":\"scrapes\"}".to_owned())
}

pub(crate) fn events(number: u64, orgs: u64) -> (&'static str, String, String) {
    let events: Vec<String> = (0..BATCH)
        .map(|event| {
            let org = number.wrapping_add(event * 7919) % orgs + 1;
            format!(
                "{{\"org\":\"org-{org}\",\"feature\":\"scrapes\",\"quantity\":1,\
                 \"key\":\"{number}-{event}\"}}"
            )
        })
        .collect();
    ("POST", "/api/v1/usage/events".to_owned(), format!("[{}]", events.join(",")))
}
