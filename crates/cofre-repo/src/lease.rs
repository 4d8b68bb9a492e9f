//! Leases: who writes what, in which order they began, and whether they still may.
//!
//! A lease is the object `cofre/leases/EPOCH`. Creating it is atomic, so every epoch is given out
//! once and later leases have higher epochs; the highest one is kept after its release, so that no
//! epoch ever comes back. A lease counts while it exists, names its holder, and was renewed less
//! than 30 minutes ago. Three things rest on it (docs/format.md, "Locks and leases"):
//!
//! * one ingest a virtual machine at a time;
//! * fencing: a point is published only by a holder, before and after the fact;
//! * prune deletes nothing while a lease older than its mark lives.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    crypto::random,
    error::{ErrorKind, RepoError, Result},
    lock::STALE_AFTER,
    process::Process,
    repository::Repository,
    storage::{Kind, Object},
    unpacked,
};

/// What a lease is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// Making a recovery point.
    Ingest,
    /// Reading one.
    Restore,
    /// Reading everything.
    Check,
    /// Deleting points.
    Forget,
    /// Deleting what no point needs.
    Prune,
}

impl Purpose {
    fn describe(self) -> &'static str {
        match self {
            Self::Ingest => "a backup",
            Self::Restore => "a restore",
            Self::Check => "a check",
            Self::Forget => "a deletion of points",
            Self::Prune => "a prune",
        }
    }

    fn writes(self) -> bool {
        matches!(self, Self::Ingest | Self::Prune)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LeaseFile {
    version: u32,
    epoch: u64,
    purpose: Purpose,
    /// The virtual machine a backup is of; empty otherwise.
    subject: String,
    /// Random: tells a holder from one who took the same epoch's object over.
    holder: String,
    process: Process,
    acquired: Timestamp,
    renewed: Timestamp,
    released: bool,
}

impl LeaseFile {
    fn is_live(&self, now: Timestamp, me: &Process) -> bool {
        !self.released && now.duration_since(self.renewed) <= STALE_AFTER && !self.process.is_dead(me)
    }

    /// Whether two leases may not live together.
    fn excludes(&self, other: &Self) -> bool {
        self.purpose == other.purpose && self.purpose.writes() && self.subject == other.subject
    }

    fn describe(&self) -> String {
        let of = if self.subject.is_empty() { String::new() } else { format!(" of {}", self.subject) };
        format!("{}{of} ({}, since {})", self.purpose.describe(), self.process.describe(), self.acquired)
    }
}

/// A live lease of somebody, for messages and decisions.
#[derive(Clone, Debug)]
pub struct LiveLease {
    /// Its epoch.
    pub epoch: u64,
    /// What it is for.
    pub purpose: Purpose,
    /// Who and what, for people.
    pub description: String,
}

/// A lease that is held. Renewed and released by its session.
#[derive(Debug)]
pub(crate) struct Lease {
    file: LeaseFile,
}

fn object(file: &LeaseFile) -> Object {
    Object::lease(file.epoch)
}

/// Reads all leases, and the highest epoch there is. The epoch of a lease that cannot be read counts; it
/// excludes nobody, because nobody can tell whom.
fn read_all(repository: &Repository) -> Result<(u64, Vec<LeaseFile>)> {
    let mut highest = 0;
    let mut files = Vec::new();
    for (object, _) in repository.storage().list(Kind::Lease)? {
        let Ok(epoch) = u64::from_str_radix(object.name(), 16) else { continue };
        highest = highest.max(epoch);
        if let Some(bytes) = repository.storage().read(&object, 64 * 1024)?
            && let Ok(file) = unpacked::open::<LeaseFile>(repository.key(), &object.to_string(), bytes)
            && file.epoch == epoch
        {
            files.push(file);
        }
    }
    Ok((highest, files))
}

/// All leases that live, those of this process included.
///
/// # Errors
/// [`ErrorKind::Storage`].
pub fn live(repository: &Repository) -> Result<Vec<LiveLease>> {
    let (_, files) = read_all(repository)?;
    let now = repository.now();
    let live = files.into_iter().filter(|f| f.is_live(now, repository.process()));
    Ok(live.map(|f| LiveLease { epoch: f.epoch, purpose: f.purpose, description: f.describe() }).collect())
}

impl Lease {
    pub(crate) fn acquire(repository: &Repository, purpose: Purpose, subject: &str) -> Result<Self> {
        let mut holder = [0; 16];
        random(&mut holder)?;
        let now = repository.now();
        let mut file = LeaseFile {
            version: 1,
            epoch: 0,
            purpose,
            subject: subject.to_owned(),
            holder: crate::id::PointId(holder).to_hex(),
            process: repository.process().clone(),
            acquired: now,
            renewed: now,
            released: false,
        };
        loop {
            let (highest, others) = read_all(repository)?;
            refuse_conflicts(repository, &file, &others)?;
            file.epoch = highest + 1;
            let bytes = unpacked::seal(repository.key(), &file, false)?;
            if repository.storage().create(&object(&file), &bytes)? {
                break;
            }
        }
        let lease = Self { file };
        // Somebody may have created a lower epoch between the look and the creation: the lower wins.
        let (_, mut others) = read_all(repository)?;
        others.retain(|o| o.epoch < lease.file.epoch);
        if let Err(conflict) = refuse_conflicts(repository, &lease.file, &others) {
            let _ = lease.release(repository);
            return Err(conflict);
        }
        // What is over, and not needed to remember the highest epoch, goes.
        let over = others.iter().filter(|o| !o.is_live(now, repository.process())).map(object);
        repository.storage().delete(&over.collect::<Vec<_>>())?;
        Ok(lease)
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.file.epoch
    }

    /// Whether this lease still counts.
    pub(crate) fn verify(&self, repository: &Repository) -> Result<()> {
        let lost = |what: &str| Err(RepoError::new(ErrorKind::LeaseLost, what));
        let object = object(&self.file);
        let Some(bytes) = repository.storage().read(&object, 64 * 1024)? else {
            return lost("the lease was taken away: it had not been renewed in time");
        };
        let stored: LeaseFile = unpacked::open(repository.key(), &object.to_string(), bytes)?;
        if stored.holder != self.file.holder || stored.released {
            return lost("the lease is held by somebody else");
        }
        if repository.now().duration_since(stored.renewed) > STALE_AFTER {
            return lost("the lease was not renewed in time");
        }
        Ok(())
    }

    pub(crate) fn renew(&mut self, repository: &Repository) -> Result<()> {
        self.verify(repository)?;
        self.file.renewed = repository.now();
        self.store(repository)
    }

    fn store(&self, repository: &Repository) -> Result<()> {
        let bytes = unpacked::seal(repository.key(), &self.file, false)?;
        repository.storage().replace(&object(&self.file), &bytes)
    }

    /// Marks the lease as released; it goes when a later one is taken.
    pub(crate) fn release(&self, repository: &Repository) -> Result<()> {
        if self.verify(repository).is_err() {
            return Ok(()); // no longer ours to touch
        }
        Self { file: LeaseFile { released: true, ..self.file.clone() } }.store(repository)
    }
}

fn refuse_conflicts(repository: &Repository, mine: &LeaseFile, others: &[LeaseFile]) -> Result<()> {
    let now = repository.now();
    let me = repository.process();
    match others.iter().find(|o| mine.excludes(o) && o.is_live(now, me)) {
        None => Ok(()),
        Some(other) => {
            Err(RepoError::new(ErrorKind::Locked, format!("{} is running already", other.describe())))
        }
    }
}
