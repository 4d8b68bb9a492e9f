//! What one attempt to unlock may cost.
//!
//! The cost of a keyslot is written in the header, and the header comes from a disk that may be
//! hostile. Every bound here is checked before the work is done; a keyslot beyond it is left out
//! and, if no other opens, reported as [`ErrorKind::TooCostly`] with the name of the bound.

use crate::error::{ErrorKind, FdeError};

/// Bounds on the work and memory of one call of [`luks::unlock`](crate::luks::unlock).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Memory of one Argon2 derivation, in KiB. Derivations of one process run one after another,
    /// so this is also the bound of the process. cryptsetup writes up to 1 GiB by default.
    pub argon2_memory_kib: u32,
    /// Argon2 work of the whole call: the sum of memory (KiB) × passes over all keyslots tried.
    /// About one second per GiB on one core of 2020.
    pub argon2_work_kib: u64,
    /// Lanes ("cpus" in the header) of one Argon2 derivation. They are computed one after another;
    /// cryptsetup writes at most 4.
    pub argon2_lanes: u32,
    /// PBKDF2 iterations of the whole call, over all keyslots and digests; an output of several
    /// hash lengths counts its iterations once per hash length, as they are computed.
    pub pbkdf2_iterations: u64,
}

impl Default for Limits {
    /// What every header made with default settings stays below, with room: 1 GiB of memory,
    /// 64 GiB of Argon2 work, 16 lanes, 100 million PBKDF2 iterations.
    fn default() -> Self {
        Self {
            argon2_memory_kib: 1 << 20,
            argon2_work_kib: 64 << 20,
            argon2_lanes: 16,
            pbkdf2_iterations: 100_000_000,
        }
    }
}

/// What is left of the limits during one call.
pub(crate) struct Budget {
    left: Limits,
}

impl Budget {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { left: *limits }
    }

    /// Pays for `blocks` output blocks of `iterations` each, or pays nothing and says which limit
    /// is in the way.
    pub(crate) fn spend_pbkdf2(&mut self, iterations: u32, blocks: u64) -> Result<(), FdeError> {
        let cost = u64::from(iterations).saturating_mul(blocks);
        take(&mut self.left.pbkdf2_iterations, cost, "pbkdf2_iterations", "PBKDF2 iterations")
    }

    /// Pays for one Argon2 derivation.
    pub(crate) fn spend_argon2(&mut self, memory_kib: u32, passes: u32, lanes: u32) -> Result<(), FdeError> {
        within(memory_kib, self.left.argon2_memory_kib, "argon2_memory_kib", "KiB of memory for Argon2")?;
        within(lanes, self.left.argon2_lanes, "argon2_lanes", "Argon2 lanes")?;
        let cost = u64::from(memory_kib).saturating_mul(u64::from(passes));
        take(&mut self.left.argon2_work_kib, cost, "argon2_work_kib", "KiB of Argon2 work")
    }
}

fn take(left: &mut u64, cost: u64, name: &str, unit: &str) -> Result<(), FdeError> {
    match left.checked_sub(cost) {
        Some(rest) => {
            *left = rest;
            Ok(())
        }
        None => Err(too_costly(cost, *left, name, unit)),
    }
}

fn within(wanted: u32, limit: u32, name: &str, unit: &str) -> Result<(), FdeError> {
    if wanted > limit {
        return Err(too_costly(u64::from(wanted), u64::from(limit), name, unit));
    }
    Ok(())
}

fn too_costly(wanted: u64, left: u64, name: &str, unit: &str) -> FdeError {
    FdeError::new(
        ErrorKind::TooCostly,
        format!("{wanted} {unit} needed, {left} left of the limit `{name}`: raise it if the disk is trusted"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Budget {
        Budget::new(&Limits {
            argon2_memory_kib: 100,
            argon2_work_kib: 250,
            argon2_lanes: 2,
            pbkdf2_iterations: 10,
        })
    }

    #[test]
    fn work_is_counted_over_the_whole_call() {
        let mut budget = small();
        budget.spend_pbkdf2(3, 2).unwrap();
        let error = budget.spend_pbkdf2(5, 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooCostly);
        assert!(error.to_string().contains("`pbkdf2_iterations`"), "{error}");
        budget.spend_pbkdf2(4, 1).unwrap();

        budget.spend_argon2(100, 2, 2).unwrap();
        let error = budget.spend_argon2(100, 1, 1).unwrap_err();
        assert!(error.to_string().contains("`argon2_work_kib`"), "{error}");
    }

    #[test]
    fn absurd_values_do_not_overflow() {
        let mut budget = small();
        assert!(budget.spend_pbkdf2(u32::MAX, u64::MAX).is_err());
        let error = budget.spend_argon2(u32::MAX, u32::MAX, 1).unwrap_err();
        assert!(error.to_string().contains("`argon2_memory_kib`"), "{error}");
        let error = budget.spend_argon2(1, 1, u32::MAX).unwrap_err();
        assert!(error.to_string().contains("`argon2_lanes`"), "{error}");
        assert!(budget.spend_argon2(100, u32::MAX, 1).is_err());
    }
}
