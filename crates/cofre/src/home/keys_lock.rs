//! The lock on the folder of keys. Whoever has a home open shares it; whoever exchanges the root key has it alone, so
//! that nobody works on with a key that opens nothing any more, and nobody cleans up after a rotation that is under way.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use cofre_arm::{ApiError, Problem};

use crate::report::Result;

/// A lock that is held, shared or alone. The system gives it up with the process.
#[derive(Debug)]
pub(super) struct KeysLock {
    file: File,
    path: PathBuf,
}

impl KeysLock {
    /// Shares the lock; waits while somebody exchanges the root key, which takes a moment.
    pub(super) fn share(path: &Path) -> Result<Self> {
        let open = || OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path);
        let lock = open().and_then(|file| file.lock_shared().map(|()| file));
        let file = lock.map_err(|error| unusable(path, error))?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Takes the lock alone; false where others share it. Between sharing and having it alone somebody else may have had
    /// it: what was found before has to be looked at again.
    pub(super) fn take(&self) -> Result<bool> {
        match self.file.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => {
                // a lock that could not be converted may be lost
                self.share_again()?;
                Ok(false)
            }
            Err(TryLockError::Error(error)) => Err(unusable(&self.path, error)),
        }
    }

    /// Shares the lock again.
    pub(super) fn share_again(&self) -> Result<()> {
        self.file.lock_shared().map_err(|error| unusable(&self.path, error))
    }
}

fn unusable(path: &Path, error: io::Error) -> crate::report::Report {
    ApiError::new(Problem::StateUnavailable, format!("cannot lock {}", path.display())).because(error).into()
}
