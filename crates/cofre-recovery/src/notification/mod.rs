//! Who is told that backups fail, deserve attention or are missed.
//!
//! What is to be told is taken from the audit chain, by a cursor that is kept with it: in one transaction the cursor moves
//! on and messages are put into the outbox, so that each job is told of once, whatever process dies. Each message waits
//! there until every receiver took it. A worker that sends one first notes when it is tried again: a message may arrive
//! twice where a worker dies between the two, and is never lost.

mod notes;
mod outbox;

pub use self::outbox::Delivery;

/// The longest that a message is kept for a receiver that does not take it, in hours.
pub const KEPT_HOURS: i64 = 7 * 24;
