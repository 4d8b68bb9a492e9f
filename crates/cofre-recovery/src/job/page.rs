//! Jobs, as lists show them.

use cofre_arm::{ApiError, Problem, ResourceId, Result};
use cofre_store::{JobFilter, Position};
use jiff::Timestamp;

use super::{Job, JobStatus, Operation, record};
use crate::{documents::unavailable, service::Recovery};

/// Which jobs to list: those that meet all that is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobQuery {
    /// Of this vault.
    pub vault: Option<ResourceId>,
    /// On this item.
    pub item: Option<ResourceId>,
    /// That do this.
    pub operation: Option<Operation>,
    /// That stand so.
    pub status: Option<JobStatus>,
    /// Begun then or later.
    pub from: Option<Timestamp>,
    /// Begun before then.
    pub to: Option<Timestamp>,
}

/// A page of jobs, the newest first.
#[derive(Clone, Debug)]
pub struct JobPage {
    /// The jobs.
    pub jobs: Vec<Job>,
    /// What the next page is asked for with; none at the end.
    pub next: Option<String>,
}

/// A place in a list as a client keeps it: microseconds and an id.
pub(crate) fn mark(position: &Position) -> String {
    format!("{}_{}", position.time.as_microsecond(), position.id)
}

/// The place that a client gives back.
pub(crate) fn place(mark: &str) -> Result<Position> {
    let read = || {
        let (time, id) = mark.split_once('_')?;
        let time = Timestamp::from_microsecond(time.parse().ok()?).ok()?;
        let is_id =
            !id.is_empty() && id.len() <= 64 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        is_id.then(|| Position { time, id: id.to_owned() })
    };
    read().ok_or_else(|| {
        ApiError::invalid("the mark of the next page is none that this service gave")
            .recommend("List from the beginning.")
    })
}

impl Recovery {
    /// A job.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn job(&self, id: &str) -> Result<Job> {
        let row = self.store().job(&id.to_lowercase()).map_err(unavailable)?;
        let row = row.ok_or_else(|| ApiError::new(Problem::NotFound, format!("there is no job {id}")))?;
        record::decode(&row)
    }

    /// Jobs, the newest first, at most `limit`.
    ///
    /// # Errors
    /// `StateUnavailable`.
    pub fn jobs(&self, vault: Option<&ResourceId>, limit: usize) -> Result<Vec<Job>> {
        let query = JobQuery { vault: vault.cloned(), ..JobQuery::default() };
        self.jobs_page(&query, None, limit).map(|page| page.jobs)
    }

    /// A page of jobs, the newest first, at most `limit`, after the mark of the page before.
    ///
    /// # Errors
    /// `InvalidParameter` for a mark that is none, `StateUnavailable`.
    pub fn jobs_page(&self, query: &JobQuery, after: Option<&str>, limit: usize) -> Result<JobPage> {
        let filter = JobFilter {
            vault: query.vault.as_ref().map(ResourceId::key),
            item: query.item.as_ref().map(ResourceId::key),
            operation: query.operation.map(|o| o.name().to_owned()),
            status: query.status.map(|s| s.name().to_owned()),
            from: query.from,
            to: query.to,
        };
        let after = after.map(place).transpose()?;
        let mut rows =
            self.store().jobs(&filter, after.as_ref(), limit.saturating_add(1)).map_err(unavailable)?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(|row| mark(&row.position()));
        let jobs = rows.iter().map(record::decode).collect::<Result<_>>()?;
        Ok(JobPage { jobs, next })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_come_back_and_others_are_refused() {
        let position = Position { time: Timestamp::from_microsecond(-5).unwrap(), id: "0b1c-2".into() };
        assert_eq!(place(&mark(&position)).unwrap(), position);
        for bad in ["", "_", "1_", "x_1", "1", "1_a b", "99999999999999999999_a", "1_ä"] {
            assert_eq!(place(bad).unwrap_err().problem(), Problem::InvalidParameter, "{bad}");
        }
    }
}
