//! What a request for a WebSocket says, before it is one.
//!
//! Browsers open a WebSocket for any page, and send no header with it that the page chose. So the
//! page's origin is checked here, and the token may be one of the subprotocols.

use axum::http::{HeaderMap, header};

use crate::config::http::Http;

/// The subprotocol that is spoken.
pub(super) const PROTOCOL: &str = "periodd.v1";
/// The beginning of the one that is a token.
const TOKEN: &str = "bearer.";

/// Does the client ask for a WebSocket?
pub(super) fn is_asked(headers: &HeaderMap) -> bool {
    let upgrade = headers.get(header::UPGRADE).and_then(|value| value.to_str().ok());
    upgrade.is_some_and(|protocol| protocol.eq_ignore_ascii_case("websocket"))
}

/// The tokens among the subprotocols.
pub(super) fn tokens(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lists = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    let protocols = lists.filter_map(|list| list.to_str().ok()).flat_map(|list| list.split(','));
    protocols.filter_map(|protocol| protocol.trim().strip_prefix(TOKEN))
}

/// May a page open a WebSocket here? What is not a browser names no page.
pub(super) fn is_permitted(settings: &Http, headers: &HeaderMap) -> bool {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let Some(origin) = origins.next() else { return true };
    let (Ok(origin), None) = (origin.to_str(), origins.next()) else { return false };
    let own = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    // The scheme is the proxy's.
    let host = origin.split_once("://").map(|(_, host)| host);
    let is_own = own.zip(host).is_some_and(|(own, host)| own.eq_ignore_ascii_case(host));
    is_own || settings.allows_origin(origin)
}
