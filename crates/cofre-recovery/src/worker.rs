//! Workers: they run the jobs that wait, and look after what is due.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use cofre_arm::{ApiError, Problem, Result};
use cofre_notify::Channel;
use cofre_repo::{Cancel, progress::Silent};
use cofre_store::{Change, ErrorKind};
use jiff::SignedDuration;

use crate::{
    documents::unavailable,
    job::{BackupRequest, Job, Trigger},
    schedule::Due,
    service::Recovery,
};

/// How often a worker looks for jobs that other processes asked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often a worker looks for messages that are to be sent.
const DELIVER_EVERY: Duration = Duration::from_secs(5);

/// How a worker works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerOptions {
    /// Its name, for the records of its jobs.
    pub name: String,
    /// Jobs that it runs at the same time.
    pub slots: usize,
}

/// Is told what a worker does. Called from several threads.
pub trait WorkerObserver: Sync {
    /// A job is run from now on.
    fn began(&self, job: &Job) {
        let _ = job;
    }

    /// A job is over, or was given back.
    fn ended(&self, job: &Job) {
        let _ = job;
    }

    /// Something could not be done, and is tried again later.
    fn failed(&self, what: &str, error: &ApiError) {
        let _ = (what, error);
    }
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl WorkerObserver for Unobserved {}

/// A worker. Any number of them, in any number of processes and on any number of hosts, share one database: each job is
/// run by one.
pub struct Worker {
    recovery: Arc<Recovery>,
    options: WorkerOptions,
    notifier: Option<Notifier>,
}

/// Whom a worker tells, and of what.
struct Notifier {
    channels: Vec<Box<dyn Channel>>,
    missed_after: SignedDuration,
}

impl Worker {
    /// A worker.
    #[must_use]
    pub fn new(recovery: Arc<Recovery>, options: WorkerOptions) -> Self {
        Self { recovery, options, notifier: None }
    }

    /// Tells these receivers when backups fail, need attention, or are not begun so long after their time.
    #[must_use]
    pub fn with_notifications(
        mut self,
        channels: Vec<Box<dyn Channel>>,
        missed_after: SignedDuration,
    ) -> Self {
        self.notifier = (!channels.is_empty()).then_some(Notifier { channels, missed_after });
        self
    }

    /// Works until `cancel` is set. Jobs that run then are given back, and wait for another worker.
    pub fn run(&self, observer: &dyn WorkerObserver, cancel: &Cancel) {
        thread::scope(|scope| {
            for _ in 0..self.options.slots.max(1) {
                scope.spawn(|| self.work(observer, cancel));
            }
            scope.spawn(|| self.clean_up_often(observer, cancel));
            // receivers may be slow: nothing else waits for them
            scope.spawn(|| self.deliver_often(observer, cancel));
            self.look_after(observer, cancel);
        });
    }

    /// Runs one job that waits. Returns it as it is then; none when none can be had.
    ///
    /// # Errors
    /// `StateUnavailable`.
    pub fn run_one(&self, observer: &dyn WorkerObserver, cancel: &Cancel) -> Result<Option<Job>> {
        let Some(run) = self.recovery.claim(&self.options.name, cancel)? else { return Ok(None) };
        observer.began(&run.job());
        let job = self.recovery.conduct(run, &Silent);
        observer.ended(&job);
        Ok(Some(job))
    }

    fn work(&self, observer: &dyn WorkerObserver, cancel: &Cancel) {
        while !cancel.is_cancelled() {
            let heard = self.recovery.bell().count();
            // a defect in one job must not end the others: its lease ends, and it is taken over or given up
            let done = catch_unwind(AssertUnwindSafe(|| self.run_one(observer, cancel)));
            let defect = || ApiError::new(Problem::InternalError, "a job met a defect of this program");
            match done.unwrap_or_else(|_| Err(defect())) {
                Ok(Some(_)) => {}
                Ok(None) => self.recovery.bell().wait(heard, LOOK_EVERY),
                Err(e) => {
                    observer.failed("looking for jobs", &e);
                    self.recovery.bell().wait(heard, LOOK_EVERY * 5);
                }
            }
        }
    }

    fn look_after(&self, observer: &dyn WorkerObserver, cancel: &Cancel) {
        let every = Duration::from_secs(self.recovery.settings().jobs.tick_seconds.max(1));
        repeat(every, cancel, || self.tick(observer));
        // whoever waits for jobs has to see that it is over
        self.recovery.bell().ring();
    }

    /// One look at what is due: jobs of processes that died, backups of schedules, data whose deletion is due.
    pub fn tick(&self, observer: &dyn WorkerObserver) {
        let recovery = &self.recovery;
        let failed = |what, result: Result<()>| {
            if let Err(e) = result {
                observer.failed(what, &e);
            }
        };
        // before a backup that is late is submitted and looks as if it had not been
        failed("noting what is to be told", self.note_notifications());
        failed("ending jobs of processes that died", recovery.close_orphaned_jobs().map(|_| ()));
        failed("submitting scheduled backups", recovery.submit_due(observer));
        failed("submitting removals", recovery.submit_removals().map(|_| ()));
    }

    fn note_notifications(&self) -> Result<()> {
        let Some(notifier) = &self.notifier else { return Ok(()) };
        let names: Vec<_> = notifier.channels.iter().map(|channel| channel.name()).collect();
        self.recovery.note_notifications(&names, notifier.missed_after).map(|_| ())
    }

    /// Sends the messages whose time has come.
    pub fn deliver(&self, observer: &dyn WorkerObserver) {
        let Some(notifier) = &self.notifier else { return };
        let done = self.recovery.deliver_notifications(&notifier.channels);
        match done {
            Ok(delivery) => {
                delivery.failures.iter().for_each(|e| observer.failed("sending a notification", e));
            }
            Err(e) => observer.failed("sending notifications", &e),
        }
    }

    fn deliver_often(&self, observer: &dyn WorkerObserver, cancel: &Cancel) {
        if self.notifier.is_some() {
            repeat(DELIVER_EVERY, cancel, || self.deliver(observer));
        }
    }

    /// Deletes the points of all items whose date has passed, unless a worker did so within the period that the
    /// settings say. Returns whether it was this one's turn.
    ///
    /// # Errors
    /// `StateUnavailable`.
    pub fn clean_up(&self, observer: &dyn WorkerObserver, cancel: &Cancel) -> Result<bool> {
        if !self.recovery.take_turn("clean-up", self.recovery.settings().jobs.clean_up_seconds)? {
            return Ok(false);
        }
        for item in self.recovery.items_to_clean_up()? {
            if cancel.is_cancelled() {
                break;
            }
            match self.recovery.clean_up(&item.id, &Silent, cancel) {
                Ok(_) => {}
                // it is worked on, or went meanwhile: the next round comes to it
                Err(e) if matches!(e.problem(), Problem::OperationInProgress | Problem::NotFound) => {}
                Err(e) => observer.failed(&format!("cleaning up {}", item.friendly_name), &e),
            }
        }
        Ok(true)
    }

    fn clean_up_often(&self, observer: &dyn WorkerObserver, cancel: &Cancel) {
        let every = Duration::from_secs(self.recovery.settings().jobs.clean_up_seconds.clamp(1, 60));
        repeat(every, cancel, || {
            if let Err(e) = self.clean_up(observer, cancel) {
                observer.failed("cleaning up", &e);
            }
        });
    }
}

/// Does something again and again until it is over.
fn repeat(every: Duration, cancel: &Cancel, work: impl Fn()) {
    while !cancel.is_cancelled() {
        work();
        let next = Instant::now() + every;
        while !cancel.is_cancelled() && Instant::now() < next {
            thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Recovery {
    /// Has the scheduled backups done whose time has come.
    fn submit_due(&self, observer: &dyn WorkerObserver) -> Result<()> {
        for Due { item, slot } in self.due(self.now())? {
            let request = BackupRequest { retain_until: None, trigger: Trigger::Schedule { slot } };
            match self.submit_backup(&item, &request) {
                Ok(_) => {}
                // another job runs on it, or another worker was faster: the next look finds it, if it is due still
                Err(e) if matches!(e.problem(), Problem::OperationInProgress | Problem::Conflict) => {}
                // one item must not hold up the others
                Err(e) => observer.failed(&format!("submitting the scheduled backup of {}", item.name()), &e),
            }
        }
        Ok(())
    }

    /// Whether it is the caller's turn at something that all workers do together once in so many seconds.
    fn take_turn(&self, what: &str, seconds: u64) -> Result<bool> {
        let path = format!("/turn/{what}");
        let last = self.store().read(&path).map_err(unavailable)?;
        let now = self.now();
        let period = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX >> 32));
        let change = match last {
            Some(last) if last.updated + period > now => return Ok(false),
            Some(last) => Change::Replace { path, revision: last.revision, body: Vec::new() },
            None => Change::Create { path, kind: "turn".to_owned(), body: Vec::new() },
        };
        let mut batch = self.batch();
        batch.changes.push(change);
        match self.store().commit(&batch) {
            Ok(_) => Ok(true),
            Err(e) if e.kind() == ErrorKind::Conflict => Ok(false),
            Err(e) => Err(unavailable(e)),
        }
    }
}
