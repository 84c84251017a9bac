//! Where the servers of a database are: the hosts of its URL.
//!
//! A URL may name several, as PostgreSQL's own programs take them: the one that takes writes is
//! looked for in their order, and the one that was found last is asked first.

use std::str::FromStr;

use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::error::StoreError;

/// The parameters of a connection URL that mean something. Any other is a misspelling, and a
/// misspelt `sslmode` would silently fall back to plain text.
const URL_PARAMETERS: [&str; 15] = [
    "host",
    "hostaddr",
    "port",
    "user",
    "password",
    "dbname",
    "sslmode",
    "sslrootcert",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "application_name",
    "target_session_attrs",
    "statement-cache-capacity",
];

/// The values of `target_session_attrs` that mean what periodd looks for anyway.
const WRITABLE: [&str; 2] = ["read-write", "primary"];
/// The most hosts of a URL: each may be waited for.
const MOST_HOSTS: usize = 16;

/// How to connect to each server of a database, with the one to ask first in front. (No `Debug`:
/// the options' own prints the password.)
#[derive(Clone)]
pub(in crate::store) struct Hosts {
    first: PgConnectOptions,
    others: Vec<PgConnectOptions>,
}

impl Hosts {
    /// The hosts of a URL.
    ///
    /// # Errors
    /// [`StoreError::Configuration`] for a URL that cannot be used.
    pub(in crate::store) fn of_url(url: &str) -> Result<Self, StoreError> {
        let urls = split(url).map_err(StoreError::Configuration)?;
        let mut hosts = urls.iter().map(|url| options(url)).collect::<Result<Vec<_>, _>>()?;
        if hosts.is_empty() {
            return Ok(Self { first: options(url)?, others: Vec::new() });
        }
        let first = hosts.remove(0);
        Ok(Self { first, others: hosts })
    }

    /// All of them, in the order in which they are asked.
    pub(in crate::store) fn all(&self) -> impl Iterator<Item = &PgConnectOptions> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// The only one, where there are no others.
    pub(in crate::store) fn only(&self) -> Option<&PgConnectOptions> {
        self.others.is_empty().then_some(&self.first)
    }

    /// Asks this one first from now on.
    pub(in crate::store) fn prefer(&mut self, found: &PgConnectOptions) {
        let is_found = |other: &&mut PgConnectOptions| place(other) == place(found);
        if let Some(other) = self.others.iter_mut().find(is_found) {
            std::mem::swap(&mut self.first, other);
        }
    }

    /// Who connects.
    pub(in crate::store) fn user(&self) -> &str {
        self.first.get_username()
    }

    /// The database's name.
    pub(in crate::store) fn database(&self) -> &str {
        self.first.get_database().unwrap_or_default()
    }

    /// Do both name the same servers, database and user? In whatever order.
    pub(in crate::store) fn is_same_place(&self, other: &Self) -> bool {
        let named = |hosts: &Self| {
            let mut places: Vec<String> = hosts.all().map(place).collect();
            places.sort();
            let database = hosts.first.get_database().map(str::to_owned);
            (places, database, hosts.user().to_owned())
        };
        named(self) == named(other)
    }

    /// No server that takes writes was found.
    pub(in crate::store) fn read_only(&self) -> String {
        if !self.others.is_empty() {
            return format!(
                "none of {} takes writes: they are standbys, unreachable or failing over",
                self.places()
            );
        }
        format!("{} is read-only: it is a standby or failing over", self.places())
    }

    /// None can be reached; never with the password.
    pub(in crate::store) fn unreachable(&self, error: &sqlx::Error) -> StoreError {
        StoreError::Unavailable(format!(
            "{} (database {}): {error}; check [database] url and that the server runs",
            self.places(),
            self.first.get_database().unwrap_or_else(|| self.first.get_username())
        ))
    }

    fn places(&self) -> String {
        self.all().map(place).collect::<Vec<_>>().join(", ")
    }
}

fn place(options: &PgConnectOptions) -> String {
    let host = options.get_host();
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let port = options.get_port();
    options.get_socket().map_or_else(
        || format!("{host}:{port}"),
        // Several servers may share a directory.
        |socket| socket.join(format!(".s.PGSQL.{port}")).display().to_string(),
    )
}

/// A URL for each host of a URL: `postgresql://u@a:1,b:2/d` is two, and so is
/// `postgresql:///d?host=/run/a,/run/b`.
fn split(url: &str) -> Result<Vec<String>, String> {
    let Some((scheme, rest)) = url.split_once("://") else { return Ok(vec![url.to_owned()]) };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (user, hosts) = match authority.rsplit_once('@') {
        Some((user, hosts)) => (format!("{user}@"), hosts),
        None => (String::new(), authority),
    };
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let pairs: Vec<(&str, &str)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .collect();
    let attributes = pairs.iter().find(|(name, _)| *name == "target_session_attrs");
    if let Some((_, value)) = attributes.filter(|(_, value)| !WRITABLE.contains(value)) {
        return Err(format!(
            "[database] url: target_session_attrs is `{value}`, but periodd writes; use \
             read-write or leave it out"
        ));
    }
    let list = |name: &str| -> Vec<&str> {
        let found = pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        found.map(|value| value.split(',').collect()).unwrap_or_default()
    };
    let (named, ports) = (list("host"), list("port"));
    let in_authority: Vec<&str> =
        if hosts.contains(',') { hosts.split(',').collect() } else { Vec::new() };
    let several = in_authority.len().max(named.len()).max(ports.len()).max(1);
    if several > MOST_HOSTS {
        return Err(format!("[database] url names {several} hosts; {MOST_HOSTS} are possible"));
    }
    let addresses = list("hostaddr").len();
    if addresses > 1 || (several > 1 && addresses > 0) {
        return Err("[database] url: hostaddr goes with one host only; leave it out and name the \
                    hosts"
            .to_owned());
    }
    if several == 1 && attributes.is_none() {
        return Ok(vec![url.to_owned()]);
    }
    let fits = |length: usize| length <= 1 || length == several;
    if ![in_authority.len(), named.len(), ports.len()].into_iter().all(fits) {
        return Err("[database] url: as many ports are needed as there are hosts, or one for all"
            .to_owned());
    }
    let at = |list: &[&str], place: usize| -> Option<String> {
        list.get(place).or_else(|| list.first()).map(|value| (*value).to_owned())
    };
    let one = |place: usize| {
        let host = at(&in_authority, place).unwrap_or_else(|| hosts.to_owned());
        let rest = pairs.iter().filter(|(name, _)| *name != "target_session_attrs");
        let query: Vec<String> = rest
            .map(|(name, value)| {
                let own = match *name {
                    "host" => at(&named, place),
                    "port" => at(&ports, place),
                    _ => None,
                };
                format!("{name}={}", own.as_deref().unwrap_or(value))
            })
            .collect();
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{scheme}://{user}{host}{path}{mark}{}", query.join("&"))
    };
    Ok((0..several).map(one).collect())
}

/// The options of a URL: known parameters only, and TLS verified in full unless the server is
/// reached over a socket or the loopback interface.
fn options(url: &str) -> Result<PgConnectOptions, StoreError> {
    let unknown = parameters(url).find(|name| !URL_PARAMETERS.contains(&name.as_str()));
    if unknown.as_deref() == Some("options") {
        return Err(StoreError::Configuration(
            "[database] url: `options` is not used; name the schema in [database] schema"
                .to_owned(),
        ));
    }
    if let Some(name) = unknown {
        return Err(StoreError::Configuration(format!(
            "[database] url: unknown parameter `{name}`; known parameters: {}",
            URL_PARAMETERS.join(", ")
        )));
    }
    let options = PgConnectOptions::from_str(url).map_err(|error| {
        StoreError::Configuration(format!(
            "[database] url is not a PostgreSQL URL ({error}); write \
             postgresql://user@host/database"
        ))
    })?;
    // In a URL an IPv6 address stands in brackets, which are no part of it: neither the system's
    // resolver nor a certificate knows them.
    let host = options.get_host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let options = options.host(&host);
    let local = host.starts_with('/') || options.get_socket().is_some() || is_loopback(&host);
    let chosen = parameters(url).any(|name| name == "sslmode" || name == "ssl-mode");
    let verified = matches!(options.get_ssl_mode(), PgSslMode::VerifyFull);
    if !local && chosen && !verified {
        return Err(StoreError::Configuration(
            "[database] url: over a network sslmode must be verify-full (the default), because \
             weaker modes do not authenticate the server; set the certificate authority with \
             sslrootcert"
                .to_owned(),
        ));
    }
    let mode = if local && !chosen { PgSslMode::Disable } else { options.get_ssl_mode() };
    let mode = if local { mode } else { PgSslMode::VerifyFull };
    let options = options.ssl_mode(mode).application_name("periodd");
    // Statements are no events of ours, and their values may be anything.
    Ok(sqlx::ConnectOptions::disable_statement_logging(options))
}

fn is_loopback(host: &str) -> bool {
    let address = host.parse::<std::net::IpAddr>();
    address.map_or(host == "localhost", |address| address.to_canonical().is_loopback())
}

/// The names of a URL's query parameters.
fn parameters(url: &str) -> impl Iterator<Item = String> + '_ {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let query = query.split('#').next().unwrap_or_default();
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split('=').next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Hosts, place, split};

    fn places(url: &str) -> Vec<String> {
        let hosts = Hosts::of_url(url).unwrap_or_else(|error| panic!("{url}: {error}"));
        hosts.all().map(place).collect()
    }

    #[test]
    fn a_url_may_name_several_hosts() {
        assert_eq!(places("postgresql://u@a:1,b:2/d"), ["a:1", "b:2"]);
        assert_eq!(places("postgresql://u:p,w@a,b,[::1]:7/d"), ["a:5432", "b:5432", "[::1]:7"]);
        assert_eq!(
            places("postgresql:///d?host=/run/a,/run/b&user=u"),
            ["/run/a/.s.PGSQL.5432", "/run/b/.s.PGSQL.5432"]
        );
        assert_eq!(places("postgresql://h/d?port=1,2"), ["h:1", "h:2"]);
        assert_eq!(places("postgresql://h:9/d?target_session_attrs=read-write"), ["h:9"]);
        let several = split("postgresql:///d?host=/a,/b&port=5,6&user=u").expect("two");
        assert_eq!(several[1], "postgresql:///d?host=/b&port=6&user=u");
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (url, why) in [
            ("postgresql:///d?host=/a,/b,/c&port=5,6", "as many ports"),
            ("postgresql://a,b/d?target_session_attrs=standby", "periodd writes"),
            ("postgresql://a,b/d?sslmode=prefer", "verify-full"),
            ("postgresql://a,b/d?hosts=x", "unknown parameter"),
            ("postgresql://a,b/d?hostaddr=10.0.0.1", "hostaddr goes with one host"),
            ("postgresql://a,b/d?hostaddr=10.0.0.1,10.0.0.2", "hostaddr goes with one host"),
            ("postgresql://a/d?hostaddr=10.0.0.1,10.0.0.2", "hostaddr goes with one host"),
        ] {
            let Err(error) = Hosts::of_url(url) else { panic!("{url} is taken") };
            assert!(error.to_string().contains(why), "{url}: {error}");
        }
        let many = format!("postgresql://{}/d", vec!["h"; 17].join(","));
        assert!(Hosts::of_url(&many).is_err());
    }

    #[test]
    fn the_one_that_takes_writes_is_asked_first() {
        let url = "postgresql://u@a,b,c/d";
        let mut hosts = Hosts::of_url(url).expect("hosts");
        let last = hosts.all().last().expect("three").clone();
        hosts.prefer(&last);
        hosts.prefer(&last);
        assert_eq!(hosts.all().map(place).collect::<Vec<_>>(), ["c:5432", "b:5432", "a:5432"]);
        assert!(hosts.is_same_place(&Hosts::of_url(url).expect("hosts")));
        assert!(!hosts.is_same_place(&Hosts::of_url("postgresql://u@a,b/d").expect("hosts")));
        assert!(hosts.read_only().starts_with("none of c:5432, b:5432, a:5432 takes writes"));
        // Two servers in one directory are two.
        let mut hosts = Hosts::of_url("postgresql:///d?host=/run&port=1,2&user=u").expect("hosts");
        let last = hosts.all().last().expect("two").clone();
        hosts.prefer(&last);
        assert_eq!(
            hosts.all().map(place).collect::<Vec<_>>(),
            ["/run/.s.PGSQL.2", "/run/.s.PGSQL.1"]
        );
    }
}
