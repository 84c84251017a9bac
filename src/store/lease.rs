//! Connections on loan. A pool tests a connection that comes back, in a task of its own, and opens
//! another one for whoever asks meanwhile. A command asks again at once, all the time: what it
//! gives back lies ready on a shelf, so that it works over one connection unless it needs several.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPool, Postgres};

/// A connection of one's own, until it is dropped.
pub struct Lease {
    /// There until the drop.
    connection: Option<PoolConnection<Postgres>>,
    shelf: Option<Arc<Shelf>>,
}

/// Where a connection lies between two uses.
#[derive(Debug, Default)]
pub(super) struct Shelf(Mutex<Lying>);

#[derive(Debug, Default)]
struct Lying {
    connection: Option<PoolConnection<Postgres>>,
    /// How many wait for a connection of the pool: nothing is kept from them.
    waiting: usize,
    /// Nothing is put here any more.
    is_closed: bool,
}

impl Shelf {
    fn lying(&self) -> MutexGuard<'_, Lying> {
        // Nothing is left half-done under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What lies here, or else a place among those who wait.
    fn take(&self) -> Result<PoolConnection<Postgres>, Waiting<'_>> {
        let mut lying = self.lying();
        lying.connection.take().ok_or_else(|| {
            lying.waiting += 1;
            Waiting(self)
        })
    }

    /// Takes a connection that is given back, unless somebody waits for it at the pool, or it has
    /// something to say yet: a rollback that is due is not put off.
    fn put(&self, connection: PoolConnection<Postgres>) {
        let mut lying = self.lying();
        let has_room = lying.waiting == 0 && lying.connection.is_none() && !lying.is_closed;
        if has_room && !sqlx::Connection::should_flush(&*connection) {
            lying.connection = Some(connection);
        }
    }

    /// Has what lies here closed by and by, for whoever was broken off may have left it in the
    /// middle of something.
    pub(super) fn discard(&self) {
        let connection = self.lying().connection.take();
        if let Some(mut connection) = connection {
            connection.close_on_drop();
        }
    }

    /// Closes what lies here, for good.
    pub(super) async fn close(&self) {
        let connection = {
            let mut lying = self.lying();
            lying.is_closed = true;
            lying.connection.take()
        };
        if let Some(connection) = connection {
            // It is about to be gone, whether or not the server hears the farewell.
            let _ = connection.close().await;
        }
    }
}

/// Somebody who waits for a connection of the pool.
struct Waiting<'a>(&'a Shelf);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.lying().waiting -= 1;
    }
}

impl Lease {
    /// Lends a connection: from the shelf where there is one, while the server still answers on it.
    ///
    /// # Errors
    /// [`sqlx::Error`] when none can be had.
    pub(super) async fn take(
        pool: &PgPool,
        shelf: Option<&Arc<Shelf>>,
    ) -> Result<Self, sqlx::Error> {
        let Some(shelf) = shelf else {
            return Ok(Self { connection: Some(pool.acquire().await?), shelf: None });
        };
        let connection = loop {
            match shelf.take() {
                Err(_waiting) => break pool.acquire().await?,
                Ok(mut connection) => {
                    // One that has ended is the pool's to bury.
                    if sqlx::Connection::ping(&mut *connection).await.is_ok() {
                        break connection;
                    }
                }
            }
        };
        Ok(Self { connection: Some(connection), shelf: Some(Arc::clone(shelf)) })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let (Some(connection), Some(shelf)) = (self.connection.take(), &self.shelf) {
            shelf.put(connection);
        }
    }
}

impl Deref for Lease {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.connection.as_ref().expect("a lease has its connection until it is dropped")
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.connection.as_mut().expect("a lease has its connection until it is dropped")
    }
}
