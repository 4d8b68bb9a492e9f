//! The jobs that ended, in the order in which they did, from the audit chain.

use cofre_arm::{Problem, Result};
use serde::Deserialize;

use crate::{
    documents::unavailable,
    job::Job,
    service::{AUDIT_WRITER, Recovery},
};

/// Events that are read at once.
const PAGE: usize = 500;

/// Jobs that ended, and where to read on.
pub(crate) struct Ended {
    pub(crate) jobs: Vec<Job>,
    /// The sequence of the first event that was not read.
    pub(crate) next: u64,
    /// Whether there may be more.
    pub(crate) more: bool,
}

/// Of an event, what is asked here.
#[derive(Deserialize)]
struct Record {
    operation: String,
    object: String,
}

impl Recovery {
    /// The jobs that ended at the event `from` or later, one page of events. Those whose record is gone are left out.
    pub(crate) fn ended_jobs(&self, from: u64) -> Result<Ended> {
        let events = self.store().events(AUDIT_WRITER, from, PAGE).map_err(unavailable)?;
        let mut jobs = Vec::new();
        for event in &events {
            // events of another form are somebody else's
            let Ok(record) = serde_json::from_slice::<Record>(&event.body) else { continue };
            if record.operation != "job.end" {
                continue;
            }
            match self.job(&record.object) {
                Ok(job) => jobs.push(job),
                Err(e) if e.problem() == Problem::NotFound => {}
                Err(e) => return Err(e),
            }
        }
        let next = events.last().map_or(from, |last| last.sequence + 1);
        Ok(Ended { jobs, next, more: events.len() == PAGE })
    }
}
