//! What is answered: JSON, and who may keep it.

use axum::body::Body;
use axum::http::{HeaderValue, Response, header};
use serde::Serialize;

/// An answer.
pub(super) type Answer = Response<Body>;

/// A JSON document. Nobody on the way keeps it: it is true for a moment.
pub(super) fn json(value: &impl Serialize) -> Answer {
    let text = serde_json::to_vec(value).unwrap_or_default();
    of("application/json", text)
}

/// A body of that media type.
pub(super) fn of(media_type: &'static str, body: impl Into<Body>) -> Answer {
    let mut response = Response::new(body.into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
