//! Events: the audit log, append-only, a hash chain for each writer.

use jiff::Timestamp;
use sqlx::{SqliteConnection, sqlite::SqliteRow};

use crate::{
    chain::{self, ChainHead, Digest},
    column,
    error::{ErrorKind, Result, StoreError},
    sqlite,
};

/// An event to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whose chain it continues. Any number of processes may write one chain at once.
    pub writer: String,
    /// When it happened.
    pub time: Timestamp,
    /// What happened, usually JSON.
    pub body: Vec<u8>,
}

impl Event {
    pub(crate) fn check(&self) -> Result<()> {
        column::check_key("event's writer", &self.writer)?;
        column::check_body(&format!("an event of {}", self.writer), &self.body)
    }
}

/// An event of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRow {
    /// Whose chain it is part of.
    pub writer: String,
    /// Its number in the chain, from 1.
    pub sequence: u64,
    /// When it happened, to the microsecond.
    pub time: Timestamp,
    /// What happened.
    pub body: Vec<u8>,
    /// The hash of the event before it; zeros for the first.
    pub previous: Digest,
    /// Its own hash.
    pub hash: Digest,
}

/// How many events are read at once to verify them.
const PAGE: usize = 256;

fn decode(row: &SqliteRow) -> Result<EventRow> {
    let digest = |column: &'static str| -> Result<Digest> {
        let bytes: &[u8] = column::get(row, column)?;
        bytes.try_into().map_err(|_| StoreError::corrupt(format!("an event's {column} has not 32 bytes")))
    };
    Ok(EventRow {
        writer: column::get(row, "writer")?,
        sequence: column::number(row, "sequence")?,
        time: column::time(row, "time")?,
        body: column::get(row, "body")?,
        previous: digest("previous")?,
        hash: digest("hash")?,
    })
}

pub(crate) async fn head(connection: &mut SqliteConnection, writer: &str) -> Result<ChainHead> {
    let row = sqlx::query(
        "SELECT writer, sequence, time, previous, hash, body FROM event WHERE writer = $1 \
         ORDER BY sequence DESC LIMIT 1",
    )
    .bind(writer)
    .fetch_optional(connection)
    .await
    .map_err(|error| unread(writer, error))?;
    let Some(row) = row else { return Ok(ChainHead::EMPTY) };
    let last = decode(&row)?;
    Ok(ChainHead { length: last.sequence, hash: last.hash })
}

/// Appends one event within a transaction that no other writer is in at the same time.
pub(crate) async fn append(connection: &mut SqliteConnection, event: &Event) -> Result<()> {
    let last = head(connection, &event.writer).await?;
    let sequence = column::from_number(last.length, "chain")?.saturating_add(1);
    let time = event.time.as_microsecond();
    let hash = chain::hash(&event.writer, sequence, &last.hash, time, &event.body);
    sqlx::query(
        "INSERT INTO event (writer, sequence, time, previous, hash, body) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(&event.writer)
    .bind(sequence)
    .bind(time)
    .bind(last.hash.as_slice())
    .bind(hash.as_slice())
    .bind(&event.body)
    .execute(connection)
    .await
    .map_err(|error| {
        sqlite::error(format!("event {}#{sequence} could not be written", event.writer), error)
    })?;
    Ok(())
}

fn unread(writer: &str, error: sqlx::Error) -> StoreError {
    sqlite::error(format!("the events of {writer} could not be read"), error)
}

async fn rows(
    connection: &mut SqliteConnection,
    writer: &str,
    from: u64,
    limit: usize,
) -> Result<Vec<SqliteRow>> {
    sqlx::query(
        "SELECT writer, sequence, time, previous, hash, body FROM event WHERE writer = $1 AND sequence >= $2 \
         ORDER BY sequence LIMIT $3",
    )
    .bind(writer)
    .bind(column::bound(from))
    .bind(column::limit(limit))
    .fetch_all(connection)
    .await
    .map_err(|error| unread(writer, error))
}

pub(crate) async fn list(
    connection: &mut SqliteConnection,
    writer: &str,
    from: u64,
    limit: usize,
) -> Result<Vec<EventRow>> {
    rows(connection, writer, from, limit).await?.iter().map(decode).collect()
}

pub(crate) async fn writers(connection: &mut SqliteConnection) -> Result<Vec<String>> {
    let rows = sqlx::query("SELECT DISTINCT writer FROM event ORDER BY writer").fetch_all(connection).await;
    rows.map_err(|error| sqlite::error("the writers of events could not be read", error))?
        .iter()
        .map(|row| column::get(row, "writer"))
        .collect()
}

/// Verifies a page of events that follow `head`, and moves it. False when there are none.
pub(crate) async fn verify_page(
    connection: &mut SqliteConnection,
    writer: &str,
    head: &mut ChainHead,
) -> Result<bool> {
    // From the start, so that a row with a sequence below 1 is found.
    let from = if head.length == 0 { 0 } else { head.length + 1 };
    let rows = rows(connection, writer, from, PAGE).await?;
    for row in &rows {
        let expected = head.length + 1;
        let broken = |what: String| {
            let subject = format!("{writer}#{expected}");
            StoreError::new(ErrorKind::ChainBroken, format!("event {subject} {what}")).about(subject)
        };
        let event = decode(row).map_err(|error| broken("cannot be read".to_owned()).with_source(error))?;
        if event.sequence != expected {
            return Err(broken(format!("is missing; the next one is {}", event.sequence)));
        }
        if event.previous != head.hash {
            return Err(broken("does not continue the one before it".to_owned()));
        }
        let sequence = column::from_number(event.sequence, "sequence")?;
        let hash = chain::hash(writer, sequence, &event.previous, event.time.as_microsecond(), &event.body);
        if event.hash != hash {
            return Err(broken("was changed after it was written".to_owned()));
        }
        *head = ChainHead { length: event.sequence, hash };
    }
    Ok(!rows.is_empty())
}
