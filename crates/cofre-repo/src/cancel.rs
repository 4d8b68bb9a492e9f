//! Cancellation: a flag that long work looks at often.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::error::{ErrorKind, RepoError, Result};

/// A shared flag. Clones are the same flag.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// A flag that is not set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Uses a flag that somebody else sets, a signal handler for instance.
    #[must_use]
    pub fn from_flag(flag: Arc<AtomicBool>) -> Self {
        Self(flag)
    }

    /// Asks the work to stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody asked.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// [`ErrorKind::Interrupted`] when somebody asked.
    ///
    /// # Errors
    /// Only that one.
    pub fn check(&self) -> Result<()> {
        if self.is_cancelled() {
            return Err(RepoError::new(ErrorKind::Interrupted, "interrupted before the end"));
        }
        Ok(())
    }
}
