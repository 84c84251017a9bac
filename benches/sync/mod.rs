//! What keeps the books: counting, audits, retention.

pub(crate) mod audit;
pub(crate) mod counting;
pub(crate) mod retention;

/// What an application does beside them.
const USE: &str = "select record_usage($1, 'sms_sent', 1, null, '2026-05-20T12:00:00Z')";
