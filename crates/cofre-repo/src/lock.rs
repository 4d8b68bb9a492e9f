//! restic's locks: what keeps a prune and everybody else apart, across programs.
//!
//! A lock is a file that says who, when and whether exclusively. It counts for 30 minutes and is
//! renewed by writing a new one and deleting the old. Ours carry one field more, [`Process`], so that
//! the next command removes them when their process is dead; and a host name of their own, because
//! restic on the same host would otherwise look up the process id itself and, in another container,
//! find nobody.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    crypto::{random, sha256},
    error::{ErrorKind, RepoError, Result},
    id::LockId,
    process::Process,
    repository::Repository,
    storage::{Kind, Object},
    unpacked,
};

/// A lock or lease that was not renewed for so long is nobody's.
pub const STALE_AFTER: SignedDuration = SignedDuration::from_mins(30);

/// Whether others may work at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Others may, unless they need it for themselves.
    Shared,
    /// Nobody may.
    Exclusive,
}

/// A lock file.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct LockFile {
    time: Timestamp,
    exclusive: bool,
    #[serde(default)]
    hostname: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    pid: u32,
    /// Ours alone; restic ignores it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cofre: Option<Process>,
}

impl LockFile {
    fn is_stale(&self, now: Timestamp, me: &Process) -> bool {
        if now.duration_since(self.time) > STALE_AFTER {
            return true;
        }
        match &self.cofre {
            Some(process) => process.is_dead(me),
            // restic's own rule for a lock of this host
            None => {
                self.hostname == me.host && !std::path::Path::new(&format!("/proc/{}", self.pid)).exists()
            }
        }
    }

    fn describe(&self) -> String {
        let who = match &self.cofre {
            Some(process) => process.describe(),
            None => format!("process {} on {}", self.pid, self.hostname),
        };
        format!("{} by {who} since {}", if self.exclusive { "exclusively" } else { "in part" }, self.time)
    }
}

/// A lock that is held. Renewed and released by its session.
#[derive(Debug)]
pub(crate) struct Lock {
    id: LockId,
    file: LockFile,
}

impl Lock {
    /// Takes a lock, after removing those of the dead.
    pub(crate) fn acquire(repository: &Repository, access: Access) -> Result<Self> {
        let process = repository.process().clone();
        let mut nonce = [0; 4];
        random(&mut nonce)?;
        let file = LockFile {
            time: repository.now(),
            exclusive: access == Access::Exclusive,
            hostname: format!("{}-cofre-{:08x}", process.host, u32::from_le_bytes(nonce)),
            username: "cofre".to_owned(),
            pid: process.pid,
            cofre: Some(process),
        };
        refuse_conflicts(repository, access, None)?;
        let id = create(repository, &file)?;
        // Whoever came between the look and the creation is seen now, and sees this lock too.
        if let Err(conflict) = refuse_conflicts(repository, access, Some(id)) {
            let _ = repository.storage().delete(&[id.into()]);
            return Err(conflict);
        }
        Ok(Self { id, file })
    }

    /// Writes a lock with the present time and deletes the old one.
    pub(crate) fn renew(&mut self, repository: &Repository) -> Result<()> {
        self.verify(repository)?;
        self.file.time = repository.now();
        let id = create(repository, &self.file)?;
        let old = std::mem::replace(&mut self.id, id);
        if old == id { Ok(()) } else { repository.storage().delete(&[old.into()]) }
    }

    /// Whether the lock is still there.
    pub(crate) fn verify(&self, repository: &Repository) -> Result<()> {
        match repository.storage().length(&self.id.into())? {
            Some(_) => Ok(()),
            None => Err(RepoError::new(ErrorKind::LeaseLost, "the lock on the repository was removed")),
        }
    }

    pub(crate) fn release(&self, repository: &Repository) -> Result<()> {
        repository.storage().delete(&[self.id.into()])
    }
}

fn create(repository: &Repository, file: &LockFile) -> Result<LockId> {
    let bytes = unpacked::seal(repository.key(), file, true)?;
    let id = LockId(sha256(&bytes));
    repository.storage().create(&id.into(), &bytes)?;
    Ok(id)
}

/// Looks at all locks but `mine`: removes stale ones, and refuses when one excludes `access`.
fn refuse_conflicts(repository: &Repository, access: Access, mine: Option<LockId>) -> Result<()> {
    let storage = repository.storage();
    let now = repository.now();
    for (object, _) in storage.list(Kind::Lock)? {
        let Ok(id) = object.name().parse::<LockId>() else { continue };
        if Some(id) == mine {
            continue;
        }
        let Some(file) = load(repository, &object, id)? else { continue };
        if file.is_stale(now, repository.process()) {
            storage.delete(&[object])?;
        } else if file.exclusive || access == Access::Exclusive {
            return Err(RepoError::new(
                ErrorKind::Locked,
                format!("the repository is locked {}", file.describe()),
            ));
        }
    }
    Ok(())
}

fn load(repository: &Repository, object: &Object, id: LockId) -> Result<Option<LockFile>> {
    unpacked::load(repository.storage(), repository.key(), object, id.0).map_err(|e| match e.kind() {
        ErrorKind::Damaged => RepoError::new(ErrorKind::Locked, format!("{object} cannot be read"))
            .with_source(e)
            .recommend("Make sure that no other program uses the repository, then delete this file."),
        _ => e,
    })
}
