//! Documents: every resource is one.

use std::ops::Bound;

use jiff::Timestamp;

use crate::{
    column,
    connection::{self, Connection, Row},
    error::{Result, StoreError},
    statement::Statement,
    subtree,
};

/// A document as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its key: a lower-cased resource id, or another path. Compared by its bytes.
    pub path: String,
    /// What it is.
    pub kind: String,
    /// The number of the batch that wrote it last ([`Committed::revision`](crate::Committed::revision)).
    pub revision: u64,
    /// Its content, usually JSON.
    pub body: Vec<u8>,
    /// When it was written last, to the microsecond: [`Batch::at`](crate::Batch::at).
    pub updated: Timestamp,
}

/// A change to one document, or a demand on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Writes a new document; a conflict if there is one.
    Create {
        /// Its key.
        path: String,
        /// What it is.
        kind: String,
        /// Its content.
        body: Vec<u8>,
    },
    /// Gives a document a new body; a conflict unless it is there with this revision.
    Replace {
        /// Its key.
        path: String,
        /// The revision that was read.
        revision: u64,
        /// The new content.
        body: Vec<u8>,
    },
    /// Writes a document, whatever is there.
    Put {
        /// Its key.
        path: String,
        /// What it is.
        kind: String,
        /// Its content.
        body: Vec<u8>,
    },
    /// Deletes a document. With a revision, a conflict unless it is there with that one; without, nothing happens if
    /// there is none.
    Delete {
        /// Its key.
        path: String,
        /// The revision that was read, if that matters.
        revision: Option<u64>,
    },
    /// Changes nothing: a conflict unless the document is there with this revision, or, without one, is not there.
    Expect {
        /// Its key.
        path: String,
        /// The revision that was read; `None` if there was no document.
        revision: Option<u64>,
    },
}

impl Change {
    pub(crate) fn check(&self) -> Result<()> {
        match self {
            Self::Create { path, kind, body } | Self::Put { path, kind, body } => {
                column::check_key("path", path)?;
                column::check_word("kind", kind)?;
                column::check_body(path, body)
            }
            Self::Replace { path, body, .. } => {
                column::check_key("path", path)?;
                column::check_body(path, body)
            }
            Self::Delete { path, .. } | Self::Expect { path, .. } => column::check_key("path", path),
        }
    }
}

const COLUMNS: &str = "path, kind, revision, updated, body";

fn decode(row: &Row) -> Result<Document> {
    Ok(Document {
        path: column::get(row, "path")?,
        kind: column::get(row, "kind")?,
        revision: column::number(row, "revision")?,
        body: column::get(row, "body")?,
        updated: column::time(row, "updated")?,
    })
}

pub(crate) async fn read(connection: &mut Connection, path: &str) -> Result<Option<Document>> {
    let document =
        Statement::new("SELECT path, kind, revision, updated, body FROM document WHERE path = $1").bind(path);
    connection
        .fetch_optional(document)
        .await
        .map_err(|error| connection::error(format!("{path} could not be read"), error))?
        .as_ref()
        .map(decode)
        .transpose()
}

fn push_range<'q>(query: &mut Statement<'q>, (from, to): &'q (Bound<String>, Bound<String>)) {
    match from {
        Bound::Included(from) => query.push(" AND path >= ").push_bind(from),
        Bound::Excluded(from) => query.push(" AND path > ").push_bind(from),
        Bound::Unbounded => query,
    };
    match to {
        Bound::Included(to) => query.push(" AND path <= ").push_bind(to),
        Bound::Excluded(to) => query.push(" AND path < ").push_bind(to),
        Bound::Unbounded => query,
    };
}

pub(crate) async fn list(
    connection: &mut Connection,
    kind: Option<&str>,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<Document>> {
    let mut query = Statement::new("");
    let ranges = subtree::ranges(prefix, after);
    for (index, range) in ranges.iter().enumerate() {
        let union = if index == 0 { "" } else { " UNION ALL " };
        query.push(format_args!("{union}SELECT {COLUMNS} FROM document WHERE 1 = 1"));
        if let Some(kind) = kind {
            query.push(" AND kind = ").push_bind(kind);
        }
        push_range(&mut query, range);
    }
    query.push(" ORDER BY path LIMIT ").push_bind(column::limit(limit));
    let rows = connection.fetch_all(query).await;
    rows.map_err(|error| connection::error(format!("what is below {prefix:?} could not be listed"), error))?
        .iter()
        .map(decode)
        .collect()
}

/// Documents of a kind whose path, after `mark`, is no document's path.
pub(crate) async fn list_unmarked(
    connection: &mut Connection,
    kind: &str,
    mark: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<Document>> {
    let mut query = Statement::new("");
    query.push(format_args!("SELECT {COLUMNS} FROM document WHERE kind = ")).push_bind(kind);
    query.push(" AND path > ").push_bind(after.unwrap_or_default());
    query.push(" AND NOT EXISTS (SELECT 1 FROM document AS mark WHERE mark.path = ").push_bind(mark);
    query.push(" || document.path) ORDER BY path LIMIT ").push_bind(column::limit(limit));
    let rows = connection.fetch_all(query).await;
    rows.map_err(|error| connection::error(format!("documents without {mark:?} could not be listed"), error))?
        .iter()
        .map(decode)
        .collect()
}

pub(crate) async fn count_kind(connection: &mut Connection, kind: &str, prefix: &str) -> Result<u64> {
    let mut total = 0;
    let mut query = Statement::new("SELECT CAST(sum(rows) AS BIGINT) AS total FROM (");
    let ranges = subtree::ranges(prefix, None);
    for (index, range) in ranges.iter().enumerate() {
        let union = if index == 0 { "" } else { " UNION ALL " };
        query
            .push(format_args!("{union}SELECT count(*) AS rows FROM document WHERE kind = "))
            .push_bind(kind);
        push_range(&mut query, range);
    }
    query.push(") AS counted");
    let row = connection.fetch_optional(query).await;
    let row = row.map_err(|error| {
        connection::error(format!("what is below {prefix:?} could not be counted"), error)
    })?;
    if let Some(row) = row {
        total = column::number(&row, "total")?;
    }
    Ok(total)
}

/// Applies one change within a transaction.
pub(crate) async fn apply(
    connection: &mut Connection,
    change: &Change,
    revision: u64,
    at: Timestamp,
) -> Result<()> {
    let new = column::from_number(revision, "revision")?;
    let updated = at.as_microsecond();
    let (path, expected, query) = match change {
        Change::Create { path, kind, body } => (
            path,
            None,
            Statement::new(
                "INSERT INTO document (path, kind, revision, updated, body) VALUES ($1, $2, $3, $4, $5) \
                 ON CONFLICT DO NOTHING",
            )
            .bind(path)
            .bind(kind)
            .bind(new)
            .bind(updated)
            .bind(body),
        ),
        Change::Replace { path, revision, body } => (
            path,
            Some(*revision),
            Statement::new(
                "UPDATE document SET revision = $3, updated = $4, body = $5 WHERE path = $1 AND revision = $2",
            )
            .bind(path)
            .bind(column::bound(*revision))
            .bind(new)
            .bind(updated)
            .bind(body),
        ),
        Change::Put { path, kind, body } => {
            let query = Statement::new(
                "INSERT INTO document (path, kind, revision, updated, body) VALUES ($1, $2, $3, $4, $5) \
                 ON CONFLICT (path) DO UPDATE SET kind = excluded.kind, revision = excluded.revision, \
                 updated = excluded.updated, body = excluded.body",
            );
            let query = query.bind(path).bind(kind).bind(new).bind(updated).bind(body);
            (path, None, query)
        }
        Change::Delete { path, revision: None } => {
            let query = Statement::new("DELETE FROM document WHERE path = $1").bind(path);
            connection.execute(query).await.map_err(|error| unwritten(path, error))?;
            return Ok(());
        }
        Change::Delete { path, revision: Some(revision) } => (
            path,
            Some(*revision),
            Statement::new("DELETE FROM document WHERE path = $1 AND revision = $2")
                .bind(path)
                .bind(column::bound(*revision)),
        ),
        Change::Expect { path, revision: expected } => return expect(connection, path, *expected).await,
    };
    let changed = connection.execute(query).await.map_err(|error| unwritten(path, error))?;
    if changed == 0 {
        expect(connection, path, expected).await?;
        return Err(StoreError::corrupt(format!("{path} could be read but not found")));
    }
    Ok(())
}

fn unwritten(path: &str, error: sqlx::Error) -> StoreError {
    connection::error(format!("{path} could not be written"), error)
}

/// A conflict unless the document at `path` has this revision.
async fn expect(connection: &mut Connection, path: &str, expected: Option<u64>) -> Result<()> {
    let row = connection
        .fetch_optional(Statement::new("SELECT revision FROM document WHERE path = $1").bind(path))
        .await
        .map_err(|error| connection::error(format!("{path} could not be read"), error))?;
    let found = row.map(|row| column::number(&row, "revision")).transpose()?;
    match (expected, found) {
        (expected, found) if expected == found => Ok(()),
        (None, _) => Err(StoreError::conflict(path, format!("{path} exists already"))),
        (Some(expected), None) => Err(StoreError::conflict(
            path,
            format!("{path} does not exist; revision {expected} was expected"),
        )),
        (Some(expected), Some(found)) => {
            let what = format!("{path} has revision {found}; {expected} was expected");
            Err(StoreError::conflict(path, what))
        }
    }
}
