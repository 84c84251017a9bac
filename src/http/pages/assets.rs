//! Style sheet, script and icon.

use axum::http::{HeaderValue, Method, header};

use super::embedded::{ICON, SCRIPT, STYLE};
use crate::http::answer::{Answer, of};
use crate::http::call::{Access, Call, Route};
use crate::http::problem::{Code, Problem};

/// The routes of this file.
pub(super) const ROUTES: [Route; 1] = [Route {
    method: Method::GET,
    path: "/assets/{name}",
    access: Access::Browser,
    summary: "Style sheet, script and icon of the dashboard.",
    parameters: &[],
    bodies: &[],
    answer: None,
    media_types: &["text/css"],
    problems: &[Code::NotFound],
    handler: |call| Box::pin(async move { file(&call) }),
}];

fn file(call: &Call) -> Result<Answer, Problem> {
    let files = [&STYLE, &SCRIPT, &ICON];
    let found = files.into_iter().find(|file| file.name == call.part("name"));
    let found = found.ok_or_else(|| Problem::new(Code::NotFound, "no file has that name"))?;
    let mut answer = of(found.media_type, found.text.as_str());
    let for_ever = HeaderValue::from_static("public, max-age=31536000, immutable");
    answer.headers_mut().insert(header::CACHE_CONTROL, for_ever);
    Ok(answer)
}
