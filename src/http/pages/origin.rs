//! Whose page sends a form: only our own may.

use axum::http::{HeaderMap, HeaderValue, header};

use crate::http::problem::{Code, Problem};

/// What browsers say of where a request comes from.
pub(super) const SITE: &str = "sec-fetch-site";

/// Refuses a request that a page of another origin sends, or that does not say where it is from.
///
/// # Errors
/// [`Code::Forbidden`].
pub(in crate::http) fn check(headers: &HeaderMap) -> Result<(), Problem> {
    let is_ours = match headers.get(SITE) {
        Some(site) => site == "same-origin",
        // A browser that does not say so names the page's origin.
        None => is_own(headers.get(header::ORIGIN), headers.get(header::HOST)),
    };
    if is_ours {
        return Ok(());
    }
    Err(Problem::new(Code::Forbidden, "this form was not sent from a page of this dashboard"))
}

/// Is it the origin of the host that was asked?
fn is_own(origin: Option<&HeaderValue>, host: Option<&HeaderValue>) -> bool {
    let text = |value: Option<&HeaderValue>| value?.to_str().ok().map(str::to_ascii_lowercase);
    let (Some(origin), Some(host)) = (text(origin), text(host)) else { return false };
    let named = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    named == Some(host.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_pages_may_send_a_form() {
        for (site, origin, is_ours) in [
            (Some("same-origin"), None, true),
            (Some("same-origin"), Some("null"), true),
            (Some("same-site"), Some("https://a.example"), false),
            (Some("cross-site"), Some("https://a.example"), false),
            (Some("none"), None, false),
            (None, Some("https://a.example"), true),
            (None, Some("http://a.example:80"), false),
            (None, Some("https://b.example"), false),
            (None, Some("null"), false),
            (None, None, false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("a.example"));
            let mut add = |name: &'static str, value: Option<&'static str>| {
                drop(value.map(|value| headers.insert(name, HeaderValue::from_static(value))));
            };
            add(SITE, site);
            add("origin", origin);
            assert_eq!(check(&headers).is_ok(), is_ours, "{site:?} {origin:?}");
        }
    }
}
