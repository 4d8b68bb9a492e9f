//! What an operator watches: counts of what was done, and how things stand now.
//!
//! `Recovery::metrics` writes both as Prometheus reads them. What was done is counted once, from the audit chain, by
//! whoever asks first, and kept in the database: all processes of a home answer with the same counters, and these do not
//! begin anew with a process.

mod exposition;
mod journal;
mod standing;
mod totals;

pub use self::{
    standing::{Space, Standing},
    totals::{JobTotals, OperationTotals},
};
