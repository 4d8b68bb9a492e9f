//! Workers: they run the jobs that wait, and look after what is due.

use std::{sync::Arc, thread, time::Duration};

use cofre_arm::{ApiError, Result};
use cofre_repo::{Cancel, progress::Silent};

use crate::{job::Job, service::Recovery};

/// How often a worker looks for jobs that other processes asked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

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
}

impl Worker {
    /// A worker.
    #[must_use]
    pub fn new(recovery: Arc<Recovery>, options: WorkerOptions) -> Self {
        Self { recovery, options }
    }

    /// Works until `cancel` is set. Jobs that run then are given back, and wait for another worker.
    pub fn run(&self, observer: &dyn WorkerObserver, cancel: &Cancel) {
        thread::scope(|scope| {
            for _ in 0..self.options.slots.max(1) {
                scope.spawn(|| self.work(observer, cancel));
            }
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
            match self.run_one(observer, cancel) {
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
        while !cancel.is_cancelled() {
            if let Err(e) = self.tick() {
                observer.failed("looking after what is due", &e);
            }
            let next = std::time::Instant::now() + every;
            while !cancel.is_cancelled() && std::time::Instant::now() < next {
                thread::sleep(Duration::from_millis(200));
            }
        }
        // whoever waits for jobs has to see that it is over
        self.recovery.bell().ring();
    }

    /// One look at what is due: jobs of processes that died, and data whose deletion is due.
    ///
    /// # Errors
    /// `StateUnavailable`.
    pub fn tick(&self) -> Result<()> {
        self.recovery.close_orphaned_jobs()?;
        self.recovery.submit_removals()?;
        Ok(())
    }
}
