//! What is changed together.

use jiff::Timestamp;

use crate::{
    column,
    connection::{self, Connection},
    documents::{self, Change},
    error::Result,
    events::{self, Event},
    jobs::{self, JobChange},
    points::{self, PointChange},
    statement::Statement,
};

/// Changes that happen together or not at all.
///
/// They are applied in the order of the fields, and within a field in the order given: a document can be deleted and
/// created in one batch.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Now: becomes [`Document::updated`](crate::Document::updated) of what is written.
    pub at: Timestamp,
    /// To documents.
    pub changes: Vec<Change>,
    /// To jobs.
    pub jobs: Vec<JobChange>,
    /// To recovery points.
    pub points: Vec<PointChange>,
    /// To be appended to the audit log.
    pub events: Vec<Event>,
}

impl Batch {
    /// A batch that changes nothing yet.
    #[must_use]
    pub fn new(at: Timestamp) -> Self {
        Self { at, changes: Vec::new(), jobs: Vec::new(), points: Vec::new(), events: Vec::new() }
    }

    /// Whether it asks for nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.jobs.is_empty() && self.points.is_empty() && self.events.is_empty()
    }

    /// Refuses what cannot be stored, before the database is locked.
    pub(crate) fn check(&self) -> Result<()> {
        self.changes.iter().try_for_each(Change::check)?;
        self.jobs.iter().try_for_each(JobChange::check)?;
        self.points.iter().try_for_each(PointChange::check)?;
        self.events.iter().try_for_each(Event::check)
    }

    /// Applies it within the transaction that `connection` is in.
    pub(crate) async fn apply(&self, connection: &mut Connection) -> Result<Committed> {
        let number = Statement::new("UPDATE batch SET number = number + 1 RETURNING number");
        let row = connection
            .fetch_one(number)
            .await
            .map_err(|error| connection::error("the batch could not be numbered", error))?;
        let revision = column::number(&row, "number")?;
        for change in &self.changes {
            documents::apply(connection, change, revision, self.at).await?;
        }
        for change in &self.jobs {
            jobs::apply(connection, change).await?;
        }
        for change in &self.points {
            points::apply(connection, change).await?;
        }
        events::append(connection, &self.events.iter().collect::<Vec<_>>()).await?;
        Ok(Committed { revision })
    }
}

/// The number of the last batch, read within the transaction that `connection` is in.
pub(crate) async fn last(connection: &mut Connection) -> Result<u64> {
    let row = connection.fetch_one(Statement::new("SELECT number FROM batch")).await;
    let row =
        row.map_err(|error| connection::error("the number of the last batch could not be read", error))?;
    column::number(&row, "number")
}

/// What a committed batch became.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The revision of every document the batch wrote. Higher than all before it in this database, so a revision never
    /// comes back, not even for a path that was deleted and created anew. An empty batch is not committed: 0.
    pub revision: u64,
}
