//! The cookie of a session.
//!
//! Browsers keep `__Host-` cookies for https alone, and some of them not even for this machine. So
//! where the host that was asked is this machine, the cookie has a plain name. A browser shows it
//! to every port of a host, and several dashboards may be open there: so the name has the port.

use std::borrow::Cow;
use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderValue, header};

use crate::config::http::host_of;
use crate::store::tokens::secret::Secret;
use crate::store::tokens::sessions::LASTS;

const NAME: &str = "__Host-periodd";
/// Its name on this machine begins so.
const LOCAL_NAME: &str = "periodd";

/// The secret of the session that a browser shows.
pub(in crate::http) fn session(headers: &HeaderMap) -> Option<Secret> {
    Secret::read(value(headers, &name(headers))?)
}

/// What a browser keeps under that name.
pub(super) fn value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|text| text.split(';')).filter_map(|one| one.split_once('='));
    pairs.find(|(known, _)| known.trim() == name).map(|(_, value)| value.trim())
}

/// What a browser of this machine shows for a session, where a host has no port.
pub(in crate::http) fn shown(secret: &Secret) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("{LOCAL_NAME}={}", secret.reveal())).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Has the browser keep a session, for the host that it asked.
pub(super) fn keep(headers: &HeaderMap, secret: &Secret) -> Option<HeaderValue> {
    set(headers, secret.reveal(), LASTS.as_secs())
}

/// Has the browser forget its session.
pub(super) fn forget(headers: &HeaderMap) -> Option<HeaderValue> {
    set(headers, "", 0)
}

fn set(headers: &HeaderMap, value: &str, seconds: i64) -> Option<HeaderValue> {
    let name = name(headers);
    let secure = if name == NAME { "; Secure" } else { "" };
    let text =
        format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn name(headers: &HeaderMap) -> Cow<'static, str> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if !is_this_machine(host) {
        return NAME.into();
    }
    match host[host_of(host).len()..].strip_prefix(':') {
        Some(port) => format!("{LOCAL_NAME}-{port}").into(),
        None => LOCAL_NAME.into(),
    }
}

/// Is the host that was asked this machine? (A proxy passes on the name that it is called by.)
fn is_this_machine(host: &str) -> bool {
    let host = host_of(host);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(host: &'static str, cookie: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static(host));
        headers.insert(header::COOKIE, HeaderValue::from_str(cookie).expect("a cookie"));
        headers
    }

    #[test]
    fn a_session_is_kept_for_https_and_on_this_machine() {
        let secret = Secret::random().expect("randomness");
        let text = secret.reveal();
        for (host, name) in [
            ("localhost", LOCAL_NAME),
            ("localhost:7788", "periodd-7788"),
            ("127.0.0.1:7788", "periodd-7788"),
            ("[::1]:80", "periodd-80"),
            ("billing.example.com", NAME),
            ("10.0.0.1:7788", NAME),
        ] {
            let headers = asked(host, &format!("other=1; {name}={text}"));
            let found = session(&headers).map(|found| found.digest());
            assert_eq!(found, Some(secret.digest()), "{host}");
            let other = if name == NAME { LOCAL_NAME } else { NAME };
            assert!(session(&asked(host, &format!("{other}={text}"))).is_none(), "{host}");
            let kept = keep(&headers, &secret).expect("a header");
            let kept = kept.to_str().expect("text");
            assert!(kept.starts_with(&format!("{name}={text}; Path=/;")), "{kept}");
            assert!(kept.contains("HttpOnly; SameSite=Strict"), "{kept}");
            assert_eq!(kept.contains("Secure"), name == NAME, "{kept}");
        }
    }
}
