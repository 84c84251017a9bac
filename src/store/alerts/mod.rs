//! Alerts: which counters may have crossed something, what was judged before, and recording what
//! has been decided.
//!
//! The tables of orgs have no triggers, and counters no index on when they moved: it would cost
//! every increment its place on the page. What moved is found without either. A counter that moves
//! becomes `pending` and stands in a small index until it is synced, and from then on in the index
//! of when it was. Limits stand beside what alerts judged by last, and partial indexes hold the
//! rows in which the two differ. Once a day everything is looked at.
//!
//! Never: an index on when a counter moved; an email without its alert.

pub mod late_emails;

mod candidates;
mod judged;
mod record;

pub use candidates::{Candidate, Then, Watch, begin_reading, changed, each, of_orgs};
pub use judged::{
    MovedLimits, Since, expire_waiting, moved_limits, remember, remember_limits,
    remember_tier_limits, since, waiting_in_vain,
};
pub use record::{AlertRow, AlertState, Facts, Judgement, NewEmail, people, record};
