//! What all jobs did together since the home was made.

use std::collections::BTreeMap;

use cofre_arm::{ApiError, Problem, Result};
use cofre_store::{Change, ErrorKind};
use serde::{Deserialize, Serialize};

use crate::{documents::unavailable, job::Job, service::Recovery};

/// Where they are kept.
const PATH: &str = "/observation/jobs";

/// Upper bounds of the classes that durations of jobs are counted in, in seconds.
pub(super) const BOUNDS: [u64; 10] = [1, 10, 60, 300, 900, 1800, 3600, 7200, 14_400, 43_200];

/// What all jobs did together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobTotals {
    /// The first event of the audit chain that is not counted.
    next: u64,
    /// The jobs that ended, by what they did.
    pub operations: BTreeMap<String, OperationTotals>,
    /// Bytes of the disks that were backed up, holes included.
    pub disk_bytes: u64,
    /// Bytes of them that were read.
    pub read_bytes: u64,
    /// Bytes that were added to repositories.
    pub stored_bytes: u64,
}

/// What the jobs of one operation did together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OperationTotals {
    /// How many ended so.
    pub by_status: BTreeMap<String, u64>,
    /// Milliseconds from when they were asked for to their end, added up.
    pub milliseconds: u64,
    /// How many took no longer than each bound, and longer than the one before.
    pub(super) classes: [u64; BOUNDS.len()],
}

impl OperationTotals {
    /// How many ended.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.by_status.values().sum()
    }

    fn count_job(&mut self, job: &Job) {
        *self.by_status.entry(job.status.name().to_owned()).or_default() += 1;
        let took = job.end_time.map(|end| end.duration_since(job.start_time).as_millis());
        let took = took.and_then(|took| u64::try_from(took).ok()).unwrap_or_default();
        self.milliseconds = self.milliseconds.saturating_add(took);
        if let Some(at) = BOUNDS.iter().position(|bound| took <= bound * 1000) {
            self.classes[at] += 1;
        }
    }
}

impl Default for JobTotals {
    fn default() -> Self {
        Self { next: 1, operations: BTreeMap::new(), disk_bytes: 0, read_bytes: 0, stored_bytes: 0 }
    }
}

impl JobTotals {
    fn count_job(&mut self, job: &Job) {
        self.operations.entry(job.operation.name().to_owned()).or_default().count_job(job);
        let moved = job.transferred.unwrap_or_default();
        self.disk_bytes = self.disk_bytes.saturating_add(moved.disks);
        self.read_bytes = self.read_bytes.saturating_add(moved.read);
        self.stored_bytes = self.stored_bytes.saturating_add(moved.stored);
    }
}

impl Recovery {
    /// What all jobs did together. Counts those that ended since the last call, of whatever process, first.
    ///
    /// # Errors
    /// `StateUnavailable`.
    pub fn job_totals(&self) -> Result<JobTotals> {
        loop {
            let stored = self.store().read(PATH).map_err(unavailable)?;
            let mut totals: JobTotals = match &stored {
                Some(document) => serde_json::from_slice(&document.body).map_err(|e| {
                    ApiError::new(Problem::StateUnavailable, format!("{PATH} cannot be read")).because(e)
                })?,
                None => JobTotals::default(),
            };
            let ended = self.ended_jobs(totals.next)?;
            // other events are passed over when there are many
            if ended.jobs.is_empty() && !ended.more {
                return Ok(totals);
            }
            ended.jobs.iter().for_each(|job| totals.count_job(job));
            totals.next = ended.next;
            let body = serde_json::to_vec(&totals).map_err(|e| {
                ApiError::new(Problem::StateUnavailable, format!("{PATH} cannot be written")).because(e)
            })?;
            let path = PATH.to_owned();
            let mut batch = self.batch();
            batch.changes.push(match stored {
                Some(document) => Change::Replace { path, revision: document.revision, body },
                None => Change::Create { path, kind: "observation".to_owned(), body },
            });
            match self.store().commit(&batch) {
                Ok(_) if !ended.more => return Ok(totals),
                Ok(_) => {}
                // somebody else has counted them
                Err(e) if e.kind() == ErrorKind::Conflict => {}
                Err(e) => return Err(unavailable(e)),
            }
        }
    }
}
