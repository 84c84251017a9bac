//! What a browser gets instead of a page.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header};
use serde::Serialize;

use super::frame::{Frame, html};
use super::origin::SITE;
use crate::http::answer::Answer;
use crate::http::problem::Problem;
use crate::text::url_part;

#[derive(Serialize)]
struct Refused<'a> {
    title: &'static str,
    detail: &'a str,
    code: &'static str,
    request_id: &'a str,
}

#[derive(Serialize)]
struct Again<'a> {
    target: &'a str,
}

/// A problem as a page.
pub(in crate::http) fn page(problem: &Problem, request_id: &str) -> Answer {
    let (title, code) = (problem.code.title(), problem.code.name());
    let frame = Frame::plain(title.to_owned());
    let refused = Refused { title, detail: &problem.detail, code, request_id };
    let Ok(mut answer) = html("refused.html", &frame, &refused) else {
        return problem.response(request_id);
    };
    *answer.status_mut() = problem.code.status();
    if let Some(wait) = problem.retry_after {
        let seconds = HeaderValue::from(wait.as_secs().max(1));
        answer.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    answer
}

/// Leads to the login page, and from there back to the page that was asked for.
///
/// Browsers show our cookie to requests of our own pages alone. So one that follows a link from
/// elsewhere is led to the same page once more, by a page of ours.
pub(in crate::http) fn log_in(method: &Method, asked: &Uri, headers: &HeaderMap) -> Answer {
    let target = asked.path_and_query().map_or("/", |target| target.as_str());
    let is_from_elsewhere = headers.get(SITE).is_some_and(|site| site == "cross-site");
    if method == Method::GET && is_from_elsewhere {
        let frame = Frame::plain("periodd".to_owned());
        if let Ok(answer) = html("again.html", &frame, &Again { target }) {
            return answer;
        }
    }
    match (method, target) {
        (&Method::GET, target) if target != "/" => {
            lead_to(&format!("/login?next={}", url_part(target)))
        }
        _ => lead_to("/login"),
    }
}

/// Leads the browser to another page.
pub(super) fn lead_to(path: &str) -> Answer {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::SEE_OTHER;
    let path = HeaderValue::from_str(path).unwrap_or(HeaderValue::from_static("/"));
    answer.headers_mut().insert(header::LOCATION, path);
    let not_kept = HeaderValue::from_static("no-store");
    answer.headers_mut().insert(header::CACHE_CONTROL, not_kept);
    answer
}
