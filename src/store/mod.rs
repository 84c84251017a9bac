//! The only room with SQL, and the one that knows where PostgreSQL is.

pub mod cluster;
