//! The floor under the other rooms of the store: the pool and its connections, errors, how values
//! are read and written, the server's clock, migrations, roles and the catalogue.
//!
//! Every connection is handed out with the same session settings and ends what its borrower left
//! open. Nothing here knows an org, a period or a pack.
//!
//! Never: an org, a period, a pack; session state that outlives a transaction.

mod api;
pub mod clock;
pub mod database;
mod earlier;
pub mod error;
pub(in crate::store) mod facts;
mod history;
mod hosts;
pub mod ids;
pub(in crate::store) mod lease;
mod lock_holders;
pub mod lock_wait;
pub mod migrate;
pub(crate) mod migrations;
pub(in crate::store) mod numbers;
pub(crate) mod ours;
pub mod private_rights;
pub mod role_names;
pub mod roles;
pub mod tables;
pub(in crate::store) mod transaction;
pub(in crate::store) mod types;
pub(in crate::store) mod wire;
