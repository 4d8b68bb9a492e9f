//! Figures of a run.

use std::{collections::BTreeMap, fmt};

/// How often what happened.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(super) rounds: u64,
    pub(super) aimed: u64,
    pub(super) hit: BTreeMap<&'static str, u64>,
    pub(super) made: u64,
    pub(super) made_by_killed: u64,
    pub(super) compared: u64,
    pub(super) checks: u64,
    pub(super) restic_checks: u64,
    pub(super) locked: u64,
    pub(super) warnings: usize,
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let t = self;
        write!(f, "rounds: {}\nkills aimed: {}, hit: {}", t.rounds, t.aimed, t.hit.values().sum::<u64>())?;
        for (verb, hit) in &t.hit {
            write!(f, ", {verb} {hit}")?;
        }
        write!(f, "\npoints made: {}, by a killed ingest: {}", t.made, t.made_by_killed)?;
        write!(f, "\ndisks restored and compared: {}", t.compared)?;
        write!(f, "\nchecks: {}, by restic: {}", t.checks, t.restic_checks)?;
        write!(f, "\nexcluded by a lock: {}\nwarnings: {}", t.locked, t.warnings)
    }
}
