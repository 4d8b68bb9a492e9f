//! The right to run a job: an epoch in its row, kept by signs of life. Whoever lost it writes nothing more.

use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use cofre_arm::{ApiError, Problem, Result};
use cofre_repo::{Cancel, RepoError, clock::Clock, failpoint, ingest::PublishGuard, progress::Progress};
use cofre_store::{Batch, Change, ErrorKind, JobChange, JobRow, Store, StoreError};

use super::{Job, JobProgress, JobStatus, record};
use crate::documents::unavailable;

/// How often the row is looked at, and progress written.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often a change is tried again that others changed things under.
const TRIES: usize = 8;

/// The job as this process knows it, and its body as it is stored.
struct Held {
    job: Job,
    body: Vec<u8>,
}

/// The right to run a job.
pub(crate) struct Lease {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    id: String,
    epoch: u64,
    owner: String,
    held: Mutex<Held>,
    lost: AtomicBool,
    /// Stops the work: because the process stops, the job is cancelled, or the lease is lost.
    cancel: Cancel,
    meter: Meter,
    over: Mutex<bool>,
    wake: Condvar,
}

/// Counts what a transfer reports.
#[derive(Default)]
struct Meter {
    done: AtomicU64,
    new: AtomicU64,
    begun: AtomicU64,
    expected: AtomicU64,
    since: Mutex<Option<Instant>>,
}

impl Meter {
    fn read(&self) -> Option<JobProgress> {
        let since = (*self.since.lock().unwrap_or_else(PoisonError::into_inner))?;
        let (done, begun) = (self.done.load(Ordering::Relaxed), self.begun.load(Ordering::Relaxed));
        let elapsed = since.elapsed().as_millis().max(1);
        Some(JobProgress {
            bytes_done: done,
            bytes_total: self.expected.load(Ordering::Relaxed).max(begun).max(done),
            bytes_new: self.new.load(Ordering::Relaxed),
            bytes_per_second: u64::try_from(u128::from(done) * 1000 / elapsed).unwrap_or(u64::MAX),
        })
    }
}

/// Where the withdrawal of a point is decided: whoever makes this document first has the say.
pub(crate) fn withdrawn_path(job: &str) -> String {
    format!("/withdrawn/{job}")
}

/// What happens to a lease's own row is not an error of the one who asked for something else.
fn is_about(error: &StoreError, id: &str) -> bool {
    error.kind() == ErrorKind::Conflict && error.subject() == Some(id)
}

impl Lease {
    /// The lease that a row gives, which this process has just written.
    pub(super) fn new(
        store: Arc<Store>,
        clock: Arc<dyn Clock>,
        row: JobRow,
        job: Job,
        cancel: Cancel,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            clock,
            id: row.id,
            epoch: row.epoch,
            owner: row.owner.unwrap_or_default(),
            held: Mutex::new(Held { job, body: row.body }),
            lost: AtomicBool::new(false),
            cancel,
            meter: Meter::default(),
            over: Mutex::new(false),
            wake: Condvar::new(),
        })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The job's id.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The job as it is now.
    pub(crate) fn job(&self) -> Job {
        self.held().job.clone()
    }

    /// How often somebody was given the job, this time included.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// What stops the work.
    pub(crate) fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// Whether somebody else runs the job now.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::SeqCst)
    }

    /// Whether somebody asked the job to stop.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.held().job.status == JobStatus::Cancelling
    }

    fn lose(&self) {
        self.lost.store(true, Ordering::SeqCst);
        self.cancel.cancel();
    }

    fn lost_error(&self) -> ApiError {
        ApiError::new(Problem::JobInterrupted, format!("job {} was given to another worker", self.id))
            .recommend("Nothing: the other worker goes on with it.")
    }

    /// Takes over what others wrote into the row: that the job is to stop.
    fn merge(&self, held: &mut Held, row: JobRow) -> Result<()> {
        if row.epoch != self.epoch || row.ended.is_some() {
            self.lose();
            return Err(self.lost_error());
        }
        let stored = record::decode(&row)?;
        if stored.status == JobStatus::Cancelling {
            held.job.status = JobStatus::Cancelling;
            self.cancel.cancel();
        }
        held.body = row.body;
        Ok(())
    }

    fn read_again(&self, held: &mut Held) -> Result<()> {
        match self.store.job(&self.id).map_err(unavailable)? {
            Some(row) => self.merge(held, row),
            None => {
                self.lose();
                Err(self.lost_error())
            }
        }
    }

    /// Changes the job, in the row too. `change` is done again where somebody else changed the row first; it fails
    /// where it must not be done on what is there then.
    pub(crate) fn change(&self, change: impl Fn(&mut Job) -> Result<()>) -> Result<()> {
        self.change_with(None, change, || Ok(Batch::new(self.clock.now()))).map(|_| ())
    }

    /// [`change`](Self::change), together with what `others` makes: made anew where that conflicts. The owner can be
    /// given up, the row then waits until `again`. Neither closure may ask the lease for the job.
    pub(super) fn change_with(
        &self,
        again: Option<jiff::Timestamp>,
        change: impl Fn(&mut Job) -> Result<()>,
        others: impl Fn() -> Result<Batch>,
    ) -> Result<Job> {
        let mut held = self.held();
        let mut last = None;
        for _ in 0..TRIES {
            let mut job = held.job.clone();
            change(&mut job)?;
            let owner = again.is_none().then(|| self.owner.clone());
            let at = again.unwrap_or_else(|| self.clock.now());
            let row = record::row(&job, owner, self.epoch, at)?;
            let body = row.body.clone();
            let replace = JobChange::Replace { epoch: self.epoch, body: held.body.clone(), job: row };
            let mut batch = others()?;
            let outcome = if batch.is_empty() {
                self.store.change_job(&replace)
            } else {
                batch.jobs.push(replace);
                self.store.commit(&batch).map(|_| ())
            };
            match outcome {
                Ok(()) => {
                    *held = Held { job, body };
                    return Ok(held.job.clone());
                }
                Err(e) if is_about(&e, &self.id) => self.read_again(&mut held)?,
                // a document that `others` makes anew
                Err(e) if e.kind() == ErrorKind::Conflict => last = Some(e),
                Err(e) => return Err(unavailable(e)),
            }
        }
        Err(last.map_or_else(
            || ApiError::new(Problem::Conflict, format!("job {} changes all the time", self.id)),
            unavailable,
        ))
    }

    /// Asks the database whether the lease still holds, and tells it that this process lives.
    pub(crate) fn beat(&self) -> Result<()> {
        match self.store.heartbeat(&self.id, self.epoch, self.clock.now()) {
            Ok(row) => {
                failpoint::reached("job.beaten");
                self.merge(&mut self.held(), row)
            }
            Err(e) if is_about(&e, &self.id) => {
                self.lose();
                Err(self.lost_error())
            }
            Err(e) => Err(unavailable(e)),
        }
    }

    /// Starts a thread that gives signs of life `every` so often, writes progress and notices when the job is to stop.
    pub(super) fn keep(self: &Arc<Self>, every: Duration) -> Option<JoinHandle<()>> {
        let lease = self.clone();
        thread::Builder::new().name("cofre-lease".to_owned()).spawn(move || lease.watch(every)).ok()
    }

    fn watch(&self, every: Duration) {
        let mut beaten = Instant::now();
        let mut written = None;
        let mut over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        while !*over {
            over =
                self.wake.wait_timeout(over, LOOK_EVERY.min(every)).unwrap_or_else(PoisonError::into_inner).0;
            if *over || self.is_lost() {
                return;
            }
            let progress = self.meter.read();
            // What cannot be done now is tried again: the row says when it was too long.
            if progress.is_some() && progress.map(|p| p.bytes_done) != written {
                let write = |job: &mut Job| {
                    job.progress = progress;
                    Ok(())
                };
                if self.change(write).is_ok() {
                    written = progress.map(|p| p.bytes_done);
                    beaten = Instant::now();
                }
            } else if beaten.elapsed() >= every {
                if self.beat().is_ok() {
                    beaten = Instant::now();
                }
            } else {
                let _ = self.read_again(&mut self.held());
            }
        }
    }

    /// Ends the thread.
    pub(super) fn stop(&self) {
        *self.over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.wake.notify_all();
    }

    /// The transfer begins, of so many bytes.
    pub(crate) fn expect(&self, bytes: u64) {
        self.meter.expected.store(bytes, Ordering::Relaxed);
        *self.meter.since.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// How far the transfer got.
    pub(super) fn progress(&self) -> Option<JobProgress> {
        self.meter.read()
    }

    /// Decides that a point whose lease is lost is withdrawn, unless whoever has the lease counts it as made.
    fn withdraw(&self) -> Result<()> {
        let mut batch = Batch::new(self.clock.now());
        let path = withdrawn_path(&self.id);
        batch.changes.push(Change::Create { path, kind: "withdrawn".to_owned(), body: Vec::new() });
        match self.store.commit(&batch) {
            Err(e) if e.kind() != ErrorKind::Conflict => return Err(unavailable(e)),
            _ => {}
        }
        // Decided: from now on nobody counts it as made. Did somebody before?
        let row = self.store.job(&self.id).map_err(unavailable)?;
        let made = row.as_ref().map(record::decode).transpose()?.is_some_and(|job| job.adopted);
        if made { Ok(()) } else { Err(self.lost_error()) }
    }
}

fn lease_lost(error: ApiError) -> RepoError {
    RepoError::new(cofre_repo::ErrorKind::LeaseLost, "the job may not publish its point").with_source(error)
}

impl PublishGuard for Lease {
    fn before(&self) -> cofre_repo::Result<()> {
        self.beat().map_err(lease_lost)
    }

    fn after(&self) -> cofre_repo::Result<()> {
        match self.beat() {
            Ok(()) => Ok(()),
            Err(_) if self.is_lost() => self.withdraw().map_err(lease_lost),
            // the database is away: whoever comes next finds the point by the job's id
            Err(_) => Ok(()),
        }
    }
}

/// Progress of a job: counted for its row, and passed on.
pub(crate) struct Metered<'a> {
    pub(crate) lease: &'a Lease,
    pub(crate) inner: &'a dyn Progress,
}

impl Progress for Metered<'_> {
    fn begin(&self, what: &str, bytes: u64) {
        self.lease.meter.begun.fetch_add(bytes, Ordering::Relaxed);
        self.inner.begin(what, bytes);
    }

    fn advance(&self, bytes: u64, new: u64) {
        self.lease.meter.done.fetch_add(bytes, Ordering::Relaxed);
        self.lease.meter.new.fetch_add(new, Ordering::Relaxed);
        self.inner.advance(bytes, new);
    }

    fn end(&self) {
        self.inner.end();
    }

    fn warn(&self, message: &str) {
        self.inner.warn(message);
    }
}

#[cfg(test)]
#[path = "lease_tests.rs"]
mod tests;
