//! The connection to the database.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgSslMode};

use super::error::StoreError;
use super::lease::{Lease, Shelf};
use crate::billing::Instant;

/// How long a caller waits for a connection before the database counts as unavailable.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// The parameters of a connection URL that mean something. Any other is a misspelling, and a
/// misspelt `sslmode` would silently fall back to plain text.
const URL_PARAMETERS: [&str; 14] = [
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
    "statement-cache-capacity",
];

/// What holds on every connection. A role that row-level security hides rows from is told so,
/// instead of finding nothing. And no statement is compiled: none of ours runs long enough to be
/// worth the second that it takes, but a page that must not scan a table is priced as if it did.
/// Of a pooler's connections this holds for whom it is handed on to: the same role, the same owner.
const MANNERS: &str = "set row_security = off; set jit = off";

/// A database that periodd can work with.
#[derive(Clone, Debug)]
pub struct Database {
    pool: PgPool,
    /// Of a command; a process that stays has its pool see to every connection that comes back.
    shelf: Option<Arc<Shelf>>,
}

impl Database {
    /// Connects to a PostgreSQL URL with up to `connections` connections.
    ///
    /// # Errors
    /// [`StoreError::Configuration`] for a URL that cannot be used, [`StoreError::Unavailable`]
    /// when nobody answers there.
    pub async fn connect(url: &str, connections: u32) -> Result<Self, StoreError> {
        Self::open(url, connections, false).await
    }

    /// The same for a process that stays: a connection that the server has closed meanwhile is
    /// noticed when it is taken, and replaced; and one that comes back is left by no transaction.
    ///
    /// # Errors
    /// As [`Database::connect`].
    pub async fn connect_to_stay(url: &str, connections: u32) -> Result<Self, StoreError> {
        Self::open(url, connections, true).await
    }

    async fn open(url: &str, connections: u32, stays: bool) -> Result<Self, StoreError> {
        let options = options(url)?;
        let pool = PgPoolOptions::new()
            .max_connections(connections.max(1))
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .test_before_acquire(stays)
            .after_connect(|connection, _| {
                Box::pin(async move { sqlx::raw_sql(MANNERS).execute(connection).await.map(drop) })
            });
        let pool = if stays {
            pool.after_release(|connection, _| Box::pin(leave_no_transaction(connection)))
        } else {
            pool
        };
        let pool = pool.connect_lazy_with(options.clone());
        // A pool hides "connection refused" behind its own time-out, and tries until then.
        if let Err(error) = knock(&options).await {
            return Err(unreachable(&options, &error.into()));
        }
        let shelf = (!stays).then(Arc::default);
        match Lease::take(&pool, shelf.as_ref()).await {
            Ok(lease) => drop(lease),
            Err(sqlx::Error::PoolTimedOut) => {
                let error = sqlx::ConnectOptions::connect(&options).await.err();
                return Err(unreachable(&options, &error.unwrap_or(sqlx::Error::PoolTimedOut)));
            }
            Err(error) => return Err(unreachable(&options, &error)),
        }
        Ok(Self { pool, shelf })
    }

    /// A connection of one's own.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when none can be had.
    pub async fn connection(&self) -> Result<Lease, StoreError> {
        Ok(Lease::take(&self.pool, self.shelf.as_ref()).await?)
    }

    /// The database's clock: the only clock that business time is read from.
    ///
    /// # Errors
    /// As every read.
    pub async fn now(&self) -> Result<Instant, StoreError> {
        let mut connection = self.connection().await?;
        Ok(sqlx::query_scalar!(r#"select now() as "now!""#).fetch_one(&mut *connection).await?)
    }

    /// Does anybody listen there? A pool hides that behind its own time-out.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], with the reason.
    pub async fn reachable(&self) -> Result<(), StoreError> {
        let options = self.pool.connect_options();
        knock(&options).await.map_err(|error| unreachable(&options, &error.into()))
    }

    /// Gives up the connection that was given back last, when what used it was broken off: nobody
    /// knows what it is in the middle of.
    pub fn set_aside(&self) {
        if let Some(shelf) = &self.shelf {
            shelf.discard();
        }
    }

    /// Closes every connection, waiting for those that are in use.
    pub async fn close(&self) {
        if let Some(shelf) = &self.shelf {
            shelf.close().await;
        }
        self.pool.close().await;
    }
}

/// Ends whatever transaction a connection comes back with. `begin()` that is dropped on its way
/// (by a time-out, `select!` or an abort) leaves one open that the driver knows nothing of, and the
/// next borrower would work inside of it. We drop none; this is the second lock on that door.
async fn leave_no_transaction(connection: &mut sqlx::PgConnection) -> Result<bool, sqlx::Error> {
    // A bare rollback would warn whenever there is nothing to roll back.
    sqlx::raw_sql("begin; rollback").execute(connection).await?;
    Ok(true)
}

/// Does anybody listen there?
async fn knock(options: &PgConnectOptions) -> std::io::Result<()> {
    let (host, port) = (options.get_host(), options.get_port());
    let directory = options.get_socket().cloned();
    let directory = directory.or_else(|| host.starts_with('/').then(|| host.into()));
    let attempt = async {
        match directory {
            Some(directory) => {
                let socket = directory.join(format!(".s.PGSQL.{port}"));
                tokio::net::UnixStream::connect(socket).await.map(drop)
            }
            None => tokio::net::TcpStream::connect((host, port)).await.map(drop),
        }
    };
    let bounded = tokio::time::timeout(ACQUIRE_TIMEOUT, attempt).await;
    bounded.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
}

fn unreachable(options: &PgConnectOptions, error: &sqlx::Error) -> StoreError {
    // Never the options' Debug: it prints the password.
    let place = options.get_socket().map_or_else(
        || format!("{}:{}", options.get_host(), options.get_port()),
        |socket| socket.display().to_string(),
    );
    StoreError::Unavailable(format!(
        "{place} (database {}): {error}; check [database] url and that the server runs",
        options.get_database().unwrap_or_else(|| options.get_username())
    ))
}

/// The options of a URL: known parameters only, and TLS verified in full unless the server is
/// reached over a socket or the loopback interface.
fn options(url: &str) -> Result<PgConnectOptions, StoreError> {
    let unknown = parameters(url).find(|name| !URL_PARAMETERS.contains(&name.as_str()));
    if let Some(name) = unknown {
        return Err(StoreError::Configuration(format!(
            "[database] url: the parameter `{name}` is unknown; known are {}",
            URL_PARAMETERS.join(", ")
        )));
    }
    let options = PgConnectOptions::from_str(url).map_err(|error| {
        StoreError::Configuration(format!(
            "[database] url is no PostgreSQL URL ({error}); write postgresql://user@host/database"
        ))
    })?;
    let host = options.get_host();
    let local = host.starts_with('/')
        || options.get_socket().is_some()
        || ["localhost", "127.0.0.1", "::1", "[::1]"].contains(&host);
    let chosen = parameters(url).any(|name| name == "sslmode" || name == "ssl-mode");
    let verified = matches!(options.get_ssl_mode(), PgSslMode::VerifyFull);
    if !local && chosen && !verified {
        return Err(StoreError::Configuration(
            "[database] url: over a network sslmode must be verify-full (the default), for \
             anything less shows the data to whoever answers; name the authority with sslrootcert"
                .to_owned(),
        ));
    }
    let mode = if local && !chosen { PgSslMode::Disable } else { options.get_ssl_mode() };
    let mode = if local { mode } else { PgSslMode::VerifyFull };
    let options = options.ssl_mode(mode).application_name("periodd");
    // Statements are no events of ours, and their values may be anything.
    Ok(sqlx::ConnectOptions::disable_statement_logging(options))
}

/// The names of a URL's query parameters.
fn parameters(url: &str) -> impl Iterator<Item = String> + '_ {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let query = query.split('#').next().unwrap_or_default();
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split('=').next().unwrap_or_default().to_owned())
}
