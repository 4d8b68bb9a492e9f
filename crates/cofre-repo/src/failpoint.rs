//! Named instants at which a test can stop the process, as a power cut would.
//!
//! Without the feature `failpoints` a call costs nothing and the names are not in the binary. With
//! it, the environment variable `COFRE_FAILPOINT=NAME[:COUNT]` makes the process kill itself with
//! SIGKILL when it reaches the instant for the COUNT-th time (default 1).

/// Every name there is, so that a test can visit them all.
pub const NAMES: &[&str] = &[
    "init.after-key",
    "init.after-config",
    "ingest.after-lease",
    "ingest.pack-staged",
    "ingest.pack-committed",
    "ingest.index-written",
    "ingest.before-snapshot",
    "ingest.after-snapshot",
    "prune.before-mark",
    "prune.after-mark",
    "prune.before-index",
    "prune.index-written",
    "prune.old-index-deleted",
    "prune.pack-deleted",
    "prune.before-unmark",
    "storage.object-staged",
];

/// Names of instants in the program around this crate, which work on no repository.
pub const HOME_NAMES: &[&str] =
    &["root-key.pending-written", "root-key.ring-sealed", "root-key.renamed", "root-key.old-removed"];

/// Names of instants at which key vaults write.
pub const KEY_VAULT_NAMES: &[&str] =
    &["keyvault.before-commit", "keyvault.after-commit", "keyvault.before-append", "keyvault.after-append"];

/// Names of instants at which the recovery service changes what is kept.
pub const RECOVERY_NAMES: &[&str] =
    &["policy.stored", "clean-up.rows-expired", "clean-up.snapshots-deleted", "clean-up.rows-deleted"];

/// Names of instants in the life of a job, and of what jobs do outside a repository.
pub const JOB_NAMES: &[&str] = &[
    "job.submitted",
    "job.claimed",
    "job.beaten",
    "job.before-end",
    "job.ended",
    "backup.snapshot-taken",
    "backup.published",
    "restore.container-made",
    "restore.disks-written",
    "protection.begun",
    "removal.begun",
    "removal.repository-removed",
];

/// The process is at the instant `name`, one of [`NAMES`], [`HOME_NAMES`], [`KEY_VAULT_NAMES`],
/// [`RECOVERY_NAMES`] or [`JOB_NAMES`].
#[inline]
pub fn reached(name: &'static str) {
    #[cfg(feature = "failpoints")]
    armed::reached(name);
    #[cfg(not(feature = "failpoints"))]
    let _ = name;
}

#[cfg(feature = "failpoints")]
mod armed {
    use std::sync::atomic::{AtomicU32, Ordering};

    static VISITS: AtomicU32 = AtomicU32::new(0);

    pub(super) fn reached(name: &'static str) {
        use super::{HOME_NAMES, JOB_NAMES, KEY_VAULT_NAMES, NAMES, RECOVERY_NAMES};
        let all = [NAMES, HOME_NAMES, KEY_VAULT_NAMES, RECOVERY_NAMES, JOB_NAMES];
        let mut names = all.into_iter().flatten();
        debug_assert!(names.any(|listed| *listed == name), "{name} is not listed");
        let Ok(wanted) = std::env::var("COFRE_FAILPOINT") else { return };
        let (wanted, count) = wanted.split_once(':').unwrap_or((&wanted, "1"));
        if wanted != name {
            return;
        }
        let visits = VISITS.fetch_add(1, Ordering::SeqCst) + 1;
        if visits == count.parse().unwrap_or(1) {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            loop {
                std::thread::park();
            }
        }
    }
}
