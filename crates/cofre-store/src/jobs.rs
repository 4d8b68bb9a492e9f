//! Jobs: rows with the columns that lists filter on.

use jiff::Timestamp;

use crate::{
    column,
    connection::{self, Connection, Row},
    error::{Result, StoreError},
    statement::Statement,
    store::Position,
};

/// A job. It runs until it has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRow {
    /// Its id, a GUID.
    pub id: String,
    /// The vault it belongs to.
    pub vault: String,
    /// The item it works on: no two running jobs have the same. Empty if it works on none.
    pub item: String,
    /// What it does.
    pub operation: String,
    /// How it stands.
    pub status: String,
    /// When it began. Times are kept to the microsecond.
    pub started: Timestamp,
    /// When it ended; `None` while it runs.
    pub ended: Option<Timestamp>,
    /// The process that runs it, as JSON; `None` while it waits for one that does.
    pub owner: Option<String>,
    /// Who may change it: grows when another process takes it over.
    pub epoch: u64,
    /// When its process was last heard of; of a job that waits, the instant before which nobody is to take it.
    pub heartbeat: Timestamp,
    /// All else, usually JSON.
    pub body: Vec<u8>,
}

impl JobRow {
    /// Where it stands in a list.
    #[must_use]
    pub fn position(&self) -> Position {
        Position { time: self.started, id: self.id.clone() }
    }
}

/// A change to one job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobChange {
    /// A new one; a conflict if there is one of this id, or if it runs and another one runs on its item.
    Insert(JobRow),
    /// Writes all columns; a conflict unless the job is there with this epoch.
    Update {
        /// The epoch that was read; the row's own may be a later one, which takes the job over.
        epoch: u64,
        /// The new row.
        job: JobRow,
    },
    /// Writes all columns; a conflict unless the job is there, has not ended, and has this epoch and this body. So
    /// whoever runs a job and whoever wants something of it do not undo what the other wrote.
    Replace {
        /// The epoch that was read.
        epoch: u64,
        /// The body that was read.
        body: Vec<u8>,
        /// The new row.
        job: JobRow,
    },
    /// A sign of life; a conflict unless the job runs and has this epoch.
    Heartbeat {
        /// Its id.
        id: String,
        /// The epoch of the process that runs it.
        epoch: u64,
        /// Now.
        at: Timestamp,
    },
    /// Deletes it, if it is there.
    Delete {
        /// Its id.
        id: String,
    },
}

impl JobChange {
    pub(crate) fn check(&self) -> Result<()> {
        match self {
            Self::Insert(job) | Self::Update { job, .. } | Self::Replace { job, .. } => {
                column::check_word("job's id", &job.id)?;
                column::check_text("job's vault", &job.vault)?;
                column::check_text("job's item", &job.item)?;
                column::check_text("job's operation", &job.operation)?;
                column::check_text("job's status", &job.status)?;
                column::check_text("job's owner", job.owner.as_deref().unwrap_or_default())?;
                column::from_number(job.epoch, "job's epoch")?;
                column::check_body(&job.id, &job.body)
            }
            Self::Heartbeat { id, .. } | Self::Delete { id } => column::check_word("job's id", id),
        }
    }
}

/// Which jobs to list: those that meet all that is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// Of this vault.
    pub vault: Option<String>,
    /// On this item.
    pub item: Option<String>,
    /// That do this.
    pub operation: Option<String>,
    /// That stand so.
    pub status: Option<String>,
    /// Begun then or later.
    pub from: Option<Timestamp>,
    /// Begun before then.
    pub to: Option<Timestamp>,
}

const SELECT: &str =
    "SELECT id, vault, item, operation, status, started, ended, owner, epoch, heartbeat, body FROM job";

fn decode(row: &Row) -> Result<JobRow> {
    Ok(JobRow {
        id: column::get(row, "id")?,
        vault: column::get(row, "vault")?,
        item: column::get(row, "item")?,
        operation: column::get(row, "operation")?,
        status: column::get(row, "status")?,
        started: column::time(row, "started")?,
        ended: column::optional_time(row, "ended")?,
        owner: column::get(row, "owner")?,
        epoch: column::number(row, "epoch")?,
        heartbeat: column::time(row, "heartbeat")?,
        body: column::get(row, "body")?,
    })
}

async fn fetch(connection: &mut Connection, query: Statement<'_>) -> Result<Vec<JobRow>> {
    let rows = connection.fetch_all(query).await;
    rows.map_err(|error| connection::error("the jobs could not be read", error))?.iter().map(decode).collect()
}

pub(crate) async fn get(connection: &mut Connection, id: &str) -> Result<Option<JobRow>> {
    let mut query = Statement::new(SELECT);
    query.push(" WHERE id = ").push_bind(id);
    Ok(fetch(connection, query).await?.pop())
}

pub(crate) async fn list(
    connection: &mut Connection,
    filter: &JobFilter,
    after: Option<&Position>,
    limit: usize,
) -> Result<Vec<JobRow>> {
    let mut query = Statement::new(SELECT);
    query.push(" WHERE 1 = 1");
    let columns = [
        ("vault", &filter.vault),
        ("item", &filter.item),
        ("operation", &filter.operation),
        ("status", &filter.status),
    ];
    for (column, value) in columns {
        if let Some(value) = value {
            query.push(format_args!(" AND {column} = ")).push_bind(value);
        }
    }
    Position::push_range(&mut query, "started", filter.from, filter.to, after);
    query.push(" ORDER BY started DESC, id DESC LIMIT ").push_bind(column::limit(limit));
    fetch(connection, query).await
}

pub(crate) async fn running(connection: &mut Connection) -> Result<Vec<JobRow>> {
    let mut query = Statement::new(SELECT);
    query.push(" WHERE ended IS NULL ORDER BY started, id");
    fetch(connection, query).await
}

/// Jobs that somebody may take: those that wait, and those whose process was last heard of before `stale`.
pub(crate) async fn claimable(
    connection: &mut Connection,
    now: Timestamp,
    stale: Timestamp,
    limit: usize,
) -> Result<Vec<JobRow>> {
    let mut query = Statement::new(SELECT);
    query.push(" WHERE ended IS NULL AND ((owner IS NULL AND heartbeat <= ");
    query.push_bind(now.as_microsecond()).push(") OR (owner IS NOT NULL AND heartbeat < ");
    query.push_bind(stale.as_microsecond()).push(")) ORDER BY started, id LIMIT ");
    query.push_bind(column::limit(limit));
    fetch(connection, query).await
}

/// A sign of life; returns the job as it is.
pub(crate) async fn heartbeat(
    connection: &mut Connection,
    id: &str,
    epoch: u64,
    at: Timestamp,
) -> Result<JobRow> {
    apply(connection, &JobChange::Heartbeat { id: id.to_owned(), epoch, at }).await?;
    get(connection, id).await?.ok_or_else(|| StoreError::conflict(id, format!("job {id} does not exist")))
}

/// Applies one change within a transaction.
pub(crate) async fn apply(connection: &mut Connection, change: &JobChange) -> Result<()> {
    match change {
        JobChange::Insert(job) => insert(connection, job).await,
        JobChange::Update { epoch, job } => update(connection, *epoch, None, job).await,
        JobChange::Replace { epoch, body, job } => update(connection, *epoch, Some(body), job).await,
        JobChange::Heartbeat { id, epoch, at } => {
            let query = Statement::new(
                "UPDATE job SET heartbeat = $3 WHERE id = $1 AND epoch = $2 AND ended IS NULL",
            )
            .bind(id)
            .bind(column::bound(*epoch))
            .bind(at.as_microsecond());
            match connection.execute(query).await.map_err(|error| unwritten(id, error))? {
                0 => Err(lost(connection, id, *epoch).await?),
                _ => Ok(()),
            }
        }
        JobChange::Delete { id } => {
            let query = Statement::new("DELETE FROM job WHERE id = $1").bind(id);
            connection.execute(query).await.map_err(|error| unwritten(id, error))?;
            Ok(())
        }
    }
}

async fn insert(connection: &mut Connection, job: &JobRow) -> Result<()> {
    let query = Statement::new(
        "INSERT INTO job (id, vault, item, operation, status, started, ended, owner, epoch, heartbeat, body) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING",
    )
    .bind(&job.id)
    .bind(&job.vault)
    .bind(&job.item)
    .bind(&job.operation)
    .bind(&job.status)
    .bind(job.started.as_microsecond())
    .bind(job.ended.map(Timestamp::as_microsecond))
    .bind(job.owner.as_deref())
    .bind(column::from_number(job.epoch, "job's epoch")?)
    .bind(job.heartbeat.as_microsecond())
    .bind(&job.body);
    let inserted = connection.execute(query).await.map_err(|error| unwritten(&job.id, error))?;
    if inserted > 0 {
        return Ok(());
    }
    Err(match get(connection, &job.id).await? {
        Some(_) => StoreError::conflict(&job.id, format!("job {} exists already", job.id)),
        None => occupied(&job.item),
    })
}

async fn update(connection: &mut Connection, epoch: u64, body: Option<&Vec<u8>>, job: &JobRow) -> Result<()> {
    let mut query = Statement::new(
        "UPDATE job SET vault = $2, item = $3, operation = $4, status = $5, started = $6, ended = $7, owner = $8, \
         epoch = $9, heartbeat = $10, body = $11 WHERE id = $1 AND epoch = $12",
    )
    .bind(&job.id)
    .bind(&job.vault)
    .bind(&job.item)
    .bind(&job.operation)
    .bind(&job.status)
    .bind(job.started.as_microsecond())
    .bind(job.ended.map(Timestamp::as_microsecond))
    .bind(job.owner.as_deref())
    .bind(column::from_number(job.epoch, "job's epoch")?)
    .bind(job.heartbeat.as_microsecond())
    .bind(&job.body)
    .bind(column::bound(epoch));
    if let Some(body) = body {
        query.push(" AND ended IS NULL AND body = ").push_bind(body);
    }
    match connection.execute(query).await {
        Ok(done) if done > 0 => Ok(()),
        Ok(_) => Err(lost(connection, &job.id, epoch).await?),
        Err(error) if connection::is_duplicate(&error) => Err(occupied(&job.item).with_source(error)),
        Err(error) => Err(unwritten(&job.id, error)),
    }
}

fn unwritten(id: &str, error: sqlx::Error) -> StoreError {
    connection::error(format!("job {id} could not be written"), error)
}

fn occupied(item: &str) -> StoreError {
    StoreError::conflict(item, format!("another job runs on {item}"))
}

/// Why a job with this epoch was not found.
async fn lost(connection: &mut Connection, id: &str, epoch: u64) -> Result<StoreError> {
    let what = match get(connection, id).await? {
        None => format!("job {id} does not exist"),
        Some(job) if job.epoch != epoch => format!("job {id} has epoch {}; {epoch} was expected", job.epoch),
        Some(job) if job.ended.is_some() => format!("job {id} has ended"),
        Some(_) => format!("job {id} was changed at the same time"),
    };
    Ok(StoreError::conflict(id, what))
}
