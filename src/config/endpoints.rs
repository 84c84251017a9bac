//! What single keys of `[[webhooks]]` can hold: a name, an address, a kind of event.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use hyper::Uri;

use crate::billing::events::Kind;

/// A kind of event, by its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EventKind(pub Kind);

impl FromStr for EventKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|()| {
            format!("unknown kind of event `{text}`; the kinds are {}", Kind::NAMES.join(", "))
        })
    }
}

/// The name of an endpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WebhookName(String);

impl WebhookName {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WebhookName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for WebhookName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_sound = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let begins_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if begins_well && text.len() <= 63 && text.chars().all(is_sound) {
            return Ok(Self(text.to_owned()));
        }
        Err(format!(
            "invalid name `{text}`; use up to 63 letters, digits, `.`, `_` and `-`, such as app-1"
        ))
    }
}

/// Where messages go: https, or http to this machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EndpointUrl(Uri);

impl EndpointUrl {
    /// The parsed address.
    pub const fn uri(&self) -> &Uri {
        &self.0
    }

    /// The host, without the brackets that URLs write around IPv6 addresses.
    pub fn host(&self) -> &str {
        bare(&self.0)
    }

    /// Does it name this machine: `localhost` or a loopback address?
    pub fn is_loopback(&self) -> bool {
        is_loopback(self.host())
    }
}

/// Where the part of an address ends that may be shown: its path may hold a secret. `None`: it has
/// no other part.
pub(super) fn end_of_host(url: &str) -> Option<usize> {
    let host = url.find("://")? + 3;
    let path = host + url[host..].find(['/', '?'])?;
    (!matches!(&url[path..], "/" | "")).then_some(path)
}

fn bare(uri: &Uri) -> &str {
    uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

impl FromStr for EndpointUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Never quoted whole: what a path holds may be a secret.
        let wrong = |why: &str| {
            format!(
                "invalid address: {why}; write https, host and path, such as \
                 https://app.example.com/hooks/billing"
            )
        };
        let uri: Uri = text.parse().map_err(|_| wrong("it is not a URL"))?;
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        if authority.contains('@') {
            return Err(wrong("it contains a login"));
        }
        if text.contains('#') {
            return Err(wrong("it contains a fragment"));
        }
        if bare(&uri).is_empty() {
            return Err(wrong("it has no host"));
        }
        match uri.scheme_str() {
            Some("https") => Ok(Self(uri)),
            Some("http") if is_loopback(bare(&uri)) => Ok(Self(uri)),
            Some("http") => Err(wrong("http is only for this machine")),
            _ => Err(wrong("its scheme is not https")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_https_or_this_machine() {
        for good in [
            "https://app.example.com/hooks?a=b",
            "https://10.0.0.1:8443/",
            "http://127.0.0.1:9000/x",
            "http://[::1]:9000/",
            "http://localhost/",
        ] {
            assert!(good.parse::<EndpointUrl>().is_ok(), "{good}");
        }
        for bad in [
            "app.example.com",
            "ftp://app.example.com/",
            "http://app.example.com/",
            "http://localhost.example.com/",
            "https://user:pass@app.example.com/",
            "https:///x",
            "/hooks",
            "https://app.example.com/#x",
        ] {
            let error = bad.parse::<EndpointUrl>().expect_err(bad);
            assert!(!error.contains("pass@"), "{error}");
        }
    }

    #[test]
    fn an_unknown_kind_is_refused_with_those_that_there_are() {
        let error = "period.close".parse::<EventKind>().expect_err("unknown");
        assert!(error.contains("period.closed"), "{error}");
    }
}
