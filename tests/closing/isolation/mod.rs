//! Two at work on the same org, statement by statement: one has read and planned a rollover, and
//! somebody else changes what the plan depends on before it is applied.
//!
//! Either the org is left as it is, to be read again, or everything of the page is undone; in no
//! case is half a plan written, or anything of the other's lost.

mod meanwhile;
mod page;
mod waiting;
