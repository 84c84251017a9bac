//! Notices: what there may be to say beside thresholds, what has been said, and recording what has
//! been decided.
//!
//! Orgs that a kind may concern are found by indexes, and then read by their ids, page by page.
//! [`record`] is the one place where a notice comes to be: rows, emails, and whatever else is to
//! hear of it in the same transaction.
//!
//! Never: an email without its notice; a notice that is recorded twice.

mod closed;
mod find;
mod record;
mod user_limits;

pub use closed::{Closed, closed_of, orgs_closed};
pub use find::{
    Changing, CounterAhead, PackOf, Parked, Reached, ahead_of, changing_of, heading_out_among,
    orgs_changing, orgs_heading_out, orgs_moved, orgs_reached, orgs_with_packs, packs_of, parked,
    reached_of, tier_name,
};
pub use record::{
    LastLook, NewNotice, NoticeState, SeenRow, expire_waiting, last_look, record, remember_look,
    seen, waiting_in_vain, withdraw,
};
pub use user_limits::{UserLimit, orgs_with_user_limits, user_limits_of};
