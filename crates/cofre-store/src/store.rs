//! The store: its calls, each of which blocks until it is done.

use std::{path::Path, sync::Arc};

use jiff::Timestamp;

use crate::{
    backend::Backend,
    batch::{self, Batch, Committed},
    chain::ChainHead,
    column,
    connection::Connection,
    documents::{self, Document},
    error::Result,
    events::{self, Event, EventRow},
    executor::Executor,
    group,
    jobs::{self, JobChange, JobFilter, JobRow},
    points::{self, PointFilter, PointRow},
    postgres,
    resident::{Resident, Shared},
    sqlite,
    statement::Statement,
};

/// A place in a list of jobs or points, which go from the newest to the oldest: after the one of this time and id. It
/// stays right when that one is deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The time the list is sorted by.
    pub time: Timestamp,
    /// The id, for those of the same time.
    pub id: String,
}

impl Position {
    pub(crate) fn push_range<'q>(
        query: &mut Statement<'q>,
        column: &str,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
        after: Option<&'q Self>,
    ) {
        if let Some(from) = from {
            query.push(format_args!(" AND {column} >= ")).push_bind(from.as_microsecond());
        }
        if let Some(to) = to {
            query.push(format_args!(" AND {column} < ")).push_bind(to.as_microsecond());
        }
        if let Some(after) = after {
            query.push(format_args!(" AND ({column}, id) < (")).push_bind(after.time.as_microsecond());
            query.push(", ").push_bind(&after.id).push(")");
        }
    }
}

/// The database of the control plane.
///
/// Share one among threads: readers run beside each other and beside the one writer, and batches wait in a queue. Several
/// processes may open one file, on a local file system, or one database on a server, from anywhere. A call on a thread of an asynchronous runtime blocks that
/// thread; it does not panic.
#[derive(Debug)]
pub struct Store {
    shared: Arc<Shared>,
    /// Leads for callers that do not wait; none where the system gave no thread.
    resident: Option<Resident>,
}

impl Store {
    fn of(backend: Backend, executor: Executor) -> Self {
        let shared = Arc::new(Shared::new(backend, executor));
        Self { resident: Resident::begin(shared.clone()).ok(), shared }
    }

    /// Opens the database in the file `path`. Where there is no file, one is made that its owner alone may read. An older
    /// schema is brought up to date.
    ///
    /// # Errors
    /// [`ErrorKind::NotADatabase`](crate::ErrorKind::NotADatabase) for a file that is none of ours, which is left as it
    /// is; `NewerSchema`; `ReadOnly`; `Busy`; `Full`; `Corrupt`; `Unavailable`.
    pub fn open(path: &Path) -> Result<Self> {
        let executor = Executor::new()?;
        let backend = Backend::Sqlite(executor.wait(sqlite::open(path))?);
        Ok(Self::of(backend, executor))
    }

    /// Connects to the PostgreSQL database of `url` (`postgres://USER@HOST/DATABASE`), and makes its schema, named `cofre`,
    /// or brings it up to date. What the URL leaves out comes from the environment as with other clients (`PGHOST`,
    /// `PGPASSFILE`…); docs/database.md has the parameters. A connection that is lost is made anew by the next call.
    ///
    /// # Errors
    /// `Invalid` for a URL that cannot be understood; `NotADatabase` where the server is too old, the encoding is not
    /// UTF8 or the schema is another program's; `NewerSchema`; `ReadOnly`; `Busy`; `Full`; `Corrupt`; `Unavailable`. No
    /// message has the password.
    pub fn connect(url: &str) -> Result<Self> {
        let executor = Executor::new()?;
        let backend = Backend::Postgres(Box::new(executor.wait(postgres::connect(url))?));
        Ok(Self::of(backend, executor))
    }

    /// A database in memory, which ends with the store: for tests and trials. Its calls run one after the other.
    ///
    /// # Errors
    /// `Unavailable`.
    pub fn in_memory() -> Result<Self> {
        let executor = Executor::new()?;
        let backend = Backend::Sqlite(executor.wait(sqlite::in_memory())?);
        Ok(Self::of(backend, executor))
    }

    /// Applies a batch: all of it or nothing. When this returns `Ok`, it is on the disk and every later call sees it.
    ///
    /// # Errors
    /// `Conflict`, with the first thing that is not as expected as its subject; `Invalid`; `Busy`; `Full`; and those of
    /// damage. After any error nothing of the batch is there, and the store can be used on; but a server that goes away
    /// while it commits, and stays away, leaves it open (`Unavailable`, and the message says so).
    pub fn commit(&self, batch: &Batch) -> Result<Committed> {
        batch.check()?;
        if batch.is_empty() {
            return Ok(Committed { revision: 0 });
        }
        self.shared
            .executor
            .wait(self.shared.backend.transaction(async |connection| batch.apply(connection).await))
    }

    /// Appends events to their writers' chains, in their order and with no other caller's between them. When this returns
    /// `Ok`, they are on the disk. They are no batch: [`Self::version`] stays as it is.
    ///
    /// With `as_of`, nothing is written unless the store still has this version in the transaction that writes. So who
    /// decided on documents read earlier learns that they may have changed before the decision is on record.
    ///
    /// Calls made at the same time share a transaction and its way to the disk; that is what makes this faster than
    /// [`Self::commit`].
    ///
    /// # Errors
    /// [`ErrorKind::Stale`](crate::ErrorKind::Stale); `Invalid`; `Busy`; `Full`; and those of damage. After any error
    /// none of these events is there, as of [`Self::commit`]. A failure of the shared transaction is everyone's.
    pub fn append(&self, events: &[Event], as_of: Option<u64>) -> Result<()> {
        events.iter().try_for_each(Event::check)?;
        if events.is_empty() {
            return as_of.map_or(Ok(()), |as_of| group::check_version(self.version()?, as_of));
        }
        self.shared.groups.append(events, as_of, |group| self.shared.write(group))
    }

    /// As [`Self::append`], but returns at once: `then` is told when the events are on the disk, or why they are not. It
    /// is called once, by a thread of the store or by this one, and must not take long: others wait to be told.
    pub fn append_then(
        &self,
        events: Vec<Event>,
        as_of: Option<u64>,
        then: impl FnOnce(Result<()>) + Send + 'static,
    ) {
        if events.is_empty() {
            return then(self.append(&[], as_of));
        }
        if let Err(error) = events.iter().try_for_each(Event::check) {
            return then(Err(error));
        }
        match &self.resident {
            Some(resident) => {
                self.shared.groups.append_then(events, as_of, Box::new(then), || resident.summon());
            }
            None => then(self.append(&events, as_of)),
        }
    }

    /// The number of the last batch, 0 if there was none: whatever process commits one, it changes, and never comes back.
    ///
    /// # Errors
    /// As of [`Self::read`].
    pub fn version(&self) -> Result<u64> {
        self.shared.executor.wait(async { batch::last(&mut self.shared.backend.reader().await?).await })
    }

    /// The document at `path`.
    ///
    /// # Errors
    /// `Busy`, `Corrupt`, `Unavailable`, as of every call that reads.
    pub fn read(&self, path: &str) -> Result<Option<Document>> {
        self.shared
            .executor
            .wait(async { documents::read(&mut self.shared.backend.reader().await?, path).await })
    }

    /// Documents in the order of their paths' bytes: the one at `prefix` and those below it, after the path `after`, at
    /// most `limit`. `/a/b` means `/a/b` and `/a/b/c`, not `/a/bc`; `/a/b/` what begins with it; the empty prefix
    /// everything.
    ///
    /// # Errors
    /// As of [`Self::read`].
    pub fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Document>> {
        self.shared.executor.wait(async {
            documents::list(&mut self.shared.backend.reader().await?, None, prefix, after, limit).await
        })
    }

    /// Like [`Self::list`], documents of one kind alone.
    ///
    /// # Errors
    /// As of [`Self::read`].
    pub fn list_kind(
        &self,
        kind: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Document>> {
        self.shared.executor.wait(async {
            documents::list(&mut self.shared.backend.reader().await?, Some(kind), prefix, after, limit).await
        })
    }

    /// Documents of one kind, in the order of their paths' bytes, after a path, at most `limit`: those for whose path no
    /// document is there at `mark` followed by that path.
    ///
    /// # Errors
    /// As of [`Self::read`].
    pub fn list_unmarked(
        &self,
        kind: &str,
        mark: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Document>> {
        self.shared.executor.wait(async {
            documents::list_unmarked(&mut self.shared.backend.reader().await?, kind, mark, after, limit).await
        })
    }

    /// How many documents of a kind there are at `prefix` and below.
    ///
    /// # Errors
    /// As of [`Self::read`].
    pub fn count_kind(&self, kind: &str, prefix: &str) -> Result<u64> {
        self.shared.executor.wait(async {
            documents::count_kind(&mut self.shared.backend.reader().await?, kind, prefix).await
        })
    }

    /// The job of this id.
    ///
    /// # Errors
    /// As of [`Self::read`].
    pub fn job(&self, id: &str) -> Result<Option<JobRow>> {
        self.shared.executor.wait(async { jobs::get(&mut self.shared.backend.reader().await?, id).await })
    }

    /// Jobs, those that began last first, after a position, at most `limit`.
    ///
    /// # Errors
    /// As of [`Self::read`].
    pub fn jobs(&self, filter: &JobFilter, after: Option<&Position>, limit: usize) -> Result<Vec<JobRow>> {
        self.shared
            .executor
            .wait(async { jobs::list(&mut self.shared.backend.reader().await?, filter, after, limit).await })
    }

    /// All jobs that have not ended, the oldest first.
    ///
    /// # Errors
    /// As of [`Self::read`].
    pub fn running(&self) -> Result<Vec<JobRow>> {
        self.shared.executor.wait(async { jobs::running(&mut self.shared.backend.reader().await?).await })
    }

    /// Jobs that a worker may take, the oldest first, at most `limit`: those without an owner whose time has come, and
    /// those whose owner was last heard of before `stale`. Taking one is an update with a higher epoch: of several who
    /// try, one succeeds.
    ///
    /// # Errors
    /// As of [`Self::read`].
    pub fn claimable(&self, now: Timestamp, stale: Timestamp, limit: usize) -> Result<Vec<JobRow>> {
        self.shared.executor.wait(async {
            jobs::claimable(&mut self.shared.backend.reader().await?, now, stale, limit).await
        })
    }

    /// A sign of life of the process that runs a job; returns the job as it is. It is no batch: [`Self::version`] stays
    /// as it is.
    ///
    /// # Errors
    /// `Conflict` unless the job runs and has this epoch; otherwise as of [`Self::commit`].
    pub fn heartbeat(&self, id: &str, epoch: u64, at: Timestamp) -> Result<JobRow> {
        column::check_word("job's id", id)?;
        let work = async |connection: &mut Connection| jobs::heartbeat(connection, id, epoch, at).await;
        self.shared.executor.wait(self.shared.backend.transaction(work))
    }

    /// Changes one job and nothing else. It is no batch: [`Self::version`] stays as it is.
    ///
    /// # Errors
    /// As of [`Self::commit`].
    pub fn change_job(&self, change: &JobChange) -> Result<()> {
        change.check()?;
        let work = async |connection: &mut Connection| jobs::apply(connection, change).await;
        self.shared.executor.wait(self.shared.backend.transaction(work))
    }

    /// The recovery point of an item with this id.
    ///
    /// # Errors
    /// As of [`Self::read`].
    pub fn point(&self, item: &str, id: &str) -> Result<Option<PointRow>> {
        self.shared
            .executor
            .wait(async { points::get(&mut self.shared.backend.reader().await?, item, id).await })
    }

    /// Recovery points of an item, the latest first, after a position, at most `limit`.
    ///
    /// # Errors
    /// As of [`Self::read`].
    pub fn points(
        &self,
        item: &str,
        filter: &PointFilter,
        after: Option<&Position>,
        limit: usize,
    ) -> Result<Vec<PointRow>> {
        self.shared.executor.wait(async {
            points::list(&mut self.shared.backend.reader().await?, item, filter, after, limit).await
        })
    }

    /// The time of the newest recovery point of each of `items` that stands so; an item without one is not in it.
    ///
    /// # Errors
    /// As of [`Self::read`].
    pub fn latest_points(&self, items: &[String], state: &str) -> Result<Vec<(String, Timestamp)>> {
        self.shared
            .executor
            .wait(async { points::latest(&mut self.shared.backend.reader().await?, items, state).await })
    }

    /// How many recovery points an item has, in whatever state.
    ///
    /// # Errors
    /// As of [`Self::read`].
    pub fn count_points(&self, item: &str) -> Result<u64> {
        self.shared
            .executor
            .wait(async { points::count(&mut self.shared.backend.reader().await?, item).await })
    }

    /// How many recovery points all items have together, in whatever state.
    ///
    /// # Errors
    /// As of [`Self::read`].
    pub fn count_all_points(&self) -> Result<u64> {
        self.shared.executor.wait(async { points::count_all(&mut self.shared.backend.reader().await?).await })
    }

    /// Events of a writer in their order, from the sequence `from` on, at most `limit`.
    ///
    /// # Errors
    /// As of [`Self::read`].
    pub fn events(&self, writer: &str, from: u64, limit: usize) -> Result<Vec<EventRow>> {
        self.shared
            .executor
            .wait(async { events::list(&mut self.shared.backend.reader().await?, writer, from, limit).await })
    }

    /// Everyone who wrote events, in the order of their names' bytes.
    ///
    /// # Errors
    /// As of [`Self::read`].
    pub fn writers(&self) -> Result<Vec<String>> {
        self.shared.executor.wait(async { events::writers(&mut self.shared.backend.reader().await?).await })
    }

    /// Where the chain of a writer ends, by its last event; nothing is verified.
    ///
    /// # Errors
    /// As of [`Self::read`].
    pub fn chain_head(&self, writer: &str) -> Result<ChainHead> {
        self.shared
            .executor
            .wait(async { events::head(&mut self.shared.backend.reader().await?, writer).await })
    }

    /// Verifies all events of a writer and returns where its chain ends. What a chain cannot prove by itself is said at
    /// [`ChainHead`].
    ///
    /// # Errors
    /// [`ErrorKind::ChainBroken`](crate::ErrorKind::ChainBroken), with the first bad event as its subject; those of
    /// [`Self::read`].
    pub fn verify_chain(&self, writer: &str) -> Result<ChainHead> {
        let mut head = ChainHead::EMPTY;
        // A connection for each page, so that a long chain does not keep others from reading.
        while self.shared.executor.wait(async {
            events::verify_page(&mut self.shared.backend.reader().await?, writer, &mut head).await
        })? {}
        Ok(head)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        drop(self.resident.take());
        self.shared.executor.wait(self.shared.backend.close());
    }
}
