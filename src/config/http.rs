//! `[http]`: where the server listens, whom it believes, and its bounds.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::Deserialize;

use super::duration::Wait;

/// The HTTP server.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Whether the daemon serves HTTP.
    pub enabled: bool,
    /// Whether the server has the dashboard.
    pub dashboard: bool,
    /// Whether the dashboard may act for tokens with the scope admin.
    pub actions: bool,
    /// Address and port, or "none". Port 0 is a free one.
    pub listen: Listen,
    /// Unix socket to listen on. Not set: none.
    #[schemars(extend("format" = "path"))]
    pub socket: Option<PathBuf>,
    /// Public https address of this server, for links in emails. Not set: no links.
    pub public_url: Option<PublicUrl>,
    /// Host names by which clients call this server, beside loopback and the listening address.
    #[serde(default)]
    pub hosts: Vec<HostName>,
    /// Addresses or networks of trusted proxies, whose `X-Forwarded-For` names the client.
    #[serde(default)]
    pub trusted_proxies: Vec<Network>,
    /// Origins whose pages may call with a customer's token (CORS).
    #[serde(default)]
    pub allowed_origins: Vec<WebOrigin>,
    /// Connections to the database, beside those of `[database]`.
    #[schemars(range(min = 1, max = 100))]
    pub connections: u32,
    /// Maximum number of connections from clients.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_clients: u32,
    /// Maximum number of requests at work at a time.
    #[schemars(range(min = 1, max = 100_000))]
    pub max_requests: u32,
    /// Maximum number of open streams.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_streams: u32,
    /// Maximum number of requests per second and token; twice as many in a burst.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub requests_per_second: u32,
    /// Maximum size of a request's line and headers, in bytes.
    #[schemars(range(min = 8192, max = 1_048_576))]
    pub header_bytes: u32,
    /// Maximum number of headers.
    #[schemars(range(min = 10, max = 1000))]
    pub headers: u32,
    /// Maximum length of path and query, in bytes.
    #[schemars(range(min = 256, max = 65_536))]
    pub target_bytes: u32,
    /// Maximum size of a body, in bytes.
    #[schemars(range(min = 1024, max = 67_108_864))]
    pub body_bytes: u32,
    /// Time for a client to send its headers.
    pub header_timeout: Wait,
    /// Time for a client to send its body.
    pub body_timeout: Wait,
    /// Time that an idle connection is kept open.
    pub keep_alive: Wait,
}

impl Http {
    /// May pages of that origin call, as browsers write it?
    pub fn allows_origin(&self, origin: &str) -> bool {
        self.allowed_origins.iter().any(|known| known.as_str() == origin)
    }
}

/// Where the server listens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Listen(pub Option<SocketAddr>);

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(None));
        }
        text.parse().map(|address| Self(Some(address))).map_err(|_| {
            format!(
                "invalid address `{text}`; write an IP address and a port, such as \
                 127.0.0.1:7788, or \"none\""
            )
        })
    }
}

/// The public address of the server: https, without a slash at its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublicUrl(String);

impl PublicUrl {
    /// As it was written, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its host name, without a port.
    pub fn host(&self) -> &str {
        let rest = self.0.trim_start_matches("https://");
        host_of(rest.split('/').next().unwrap_or_default())
    }
}

impl FromStr for PublicUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix("https://").map(|rest| rest.trim_end_matches('/'));
        let is_sound = |c: char| c.is_ascii_alphanumeric() || "-._~:/[]%".contains(c);
        match rest {
            Some(rest) if !rest.is_empty() && rest.chars().all(is_sound) => {
                Ok(Self(format!("https://{rest}")))
            }
            _ => Err(format!(
                "invalid address `{text}`; write https, host and path, such as \
                 https://billing.example.com"
            )),
        }
    }
}

/// A host name or address, without a port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostName(String);

impl HostName {
    /// In lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_sound = |c: char| c.is_ascii_alphanumeric() || "-.:[]".contains(c);
        let is_name = !text.is_empty() && text.chars().all(is_sound) && host_of(text) == text;
        if is_name {
            return Ok(Self(text.to_ascii_lowercase()));
        }
        Err(format!("invalid host `{text}`; write a name without a port, such as api.example.com"))
    }
}

/// A host without its port.
pub fn host_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        // An IPv6 address has its colons in brackets.
        Some((host, port)) if port.chars().all(|c| c.is_ascii_digit()) && is_whole(host) => host,
        _ => authority,
    }
}

fn is_whole(host: &str) -> bool {
    host.ends_with(']') || !host.contains(':')
}

/// An address or a network in CIDR notation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Is the address in it?
    pub fn contains(&self, address: IpAddr) -> bool {
        let (own, other) = (self.address.to_canonical(), address.to_canonical());
        match (own, other) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                is_shared(own.to_bits().into(), other.to_bits().into(), 32, self.bits)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                is_shared(own.to_bits(), other.to_bits(), 128, self.bits)
            }
            _ => false,
        }
    }
}

/// Do the first `bits` of two numbers of that width agree?
fn is_shared(one: u128, other: u128, width: u32, bits: u8) -> bool {
    let rest = width.saturating_sub(bits.into());
    one.checked_shr(rest).unwrap_or(0) == other.checked_shr(rest).unwrap_or(0)
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("invalid network `{text}`; write an address or CIDR, such as 10.0.0.0/8");
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        if bits > most { Err(wrong()) } else { Ok(Self { address, bits }) }
    }
}

/// The origin of a web page: scheme, host and port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WebOrigin(String);

impl WebOrigin {
    /// As browsers write it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for WebOrigin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let is_sound = |c: char| c.is_ascii_alphanumeric() || "-.:[]".contains(c);
        if rest.is_some_and(|rest| !rest.is_empty() && rest.chars().all(is_sound)) {
            return Ok(Self(text.to_ascii_lowercase()));
        }
        Err(format!(
            "invalid origin `{text}`; write scheme and host without a path, such as \
             https://app.example.com"
        ))
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_its_addresses_and_no_others() {
        let holds = |network: &str, address: &str| {
            let network: Network = network.parse().expect("a network");
            network.contains(address.parse().expect("an address"))
        };
        assert!(holds("10.0.0.0/8", "10.255.1.2"));
        assert!(!holds("10.0.0.0/8", "11.0.0.1"));
        assert!(holds("127.0.0.1", "::ffff:127.0.0.1"));
        assert!(!holds("127.0.0.1", "127.0.0.2"));
        assert!(holds("0.0.0.0/0", "8.8.8.8"));
        assert!(holds("2001:db8::/32", "2001:db8:1::1"));
        assert!(!holds("2001:db8::/32", "10.0.0.1"));
        assert!("10.0.0.0/33".parse::<Network>().is_err());
    }

    #[test]
    fn a_host_is_told_from_its_port() {
        for (authority, host) in [
            ("localhost:7788", "localhost"),
            ("localhost", "localhost"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("10.0.0.1:1", "10.0.0.1"),
        ] {
            assert_eq!(host_of(authority), host);
        }
        let url: PublicUrl = "https://billing.example.com:8443/periodd/".parse().expect("a URL");
        assert_eq!(
            (url.as_str(), url.host()),
            ("https://billing.example.com:8443/periodd", "billing.example.com")
        );
        assert!("http://billing.example.com".parse::<PublicUrl>().is_err());
    }
}
