//! Events: the audit log, append-only, a hash chain for each writer.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::{
    bundle::{self, Packed},
    chain::{self, ChainHead, Digest},
    column,
    connection::{self, Connection, Row},
    error::{ErrorKind, Result, StoreError},
    statement::Statement,
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

/// How many rows are read at once.
const PAGE: usize = 64;
/// How many rows one statement writes at most: a database takes a limited number of parameters.
const ROWS: usize = 64;
/// How many bytes of bodies one statement takes, unless it writes a single row.
const STATEMENT_BYTES: usize = 4 << 20;

fn digest(row: &Row, column: &'static str) -> Result<Digest> {
    let bytes: &[u8] = column::get(row, column)?;
    bytes.try_into().map_err(|_| StoreError::corrupt(format!("an event's {column} has not 32 bytes")))
}

/// The events of a row, which is numbered as the last of them.
fn decode(row: &Row) -> Result<Vec<EventRow>> {
    let last = column::number(row, "sequence")?;
    let events = column::number(row, "events")?;
    let (writer, time) = (column::get::<String>(row, "writer")?, column::time(row, "time")?);
    let (previous, hash) = (digest(row, "previous")?, digest(row, "hash")?);
    let body: &[u8] = column::get(row, "body")?;
    if events == 1 {
        return Ok(vec![EventRow { writer, sequence: last, time, body: body.to_vec(), previous, hash }]);
    }
    bundle::unpack(&writer, last, events, previous, body)
}

pub(crate) async fn head(connection: &mut Connection, writer: &str) -> Result<ChainHead> {
    let last =
        Statement::new("SELECT sequence, hash FROM event WHERE writer = $1 ORDER BY sequence DESC LIMIT 1")
            .bind(writer);
    let row = connection.fetch_optional(last).await.map_err(|error| unread(writer, error))?;
    let Some(row) = row else { return Ok(ChainHead::EMPTY) };
    Ok(ChainHead { length: column::number(&row, "sequence")?, hash: digest(&row, "hash")? })
}

/// Where the chains of these events' writers end.
async fn heads<'e>(
    connection: &mut Connection,
    events: &[&'e Event],
) -> Result<BTreeMap<&'e str, ChainHead>> {
    let mut heads: BTreeMap<_, _> =
        events.iter().map(|event| (event.writer.as_str(), ChainHead::EMPTY)).collect();
    let writers: Vec<_> = heads.keys().copied().collect();
    for writers in writers.chunks(ROWS) {
        let mut query = Statement::new("");
        for (index, writer) in writers.iter().enumerate() {
            let union = if index == 0 { "" } else { " UNION ALL " };
            query
                .push(format_args!(
                    "{union}SELECT * FROM (SELECT writer, sequence, hash FROM event WHERE writer = "
                ))
                .push_bind(*writer)
                .push(" ORDER BY sequence DESC LIMIT 1) AS last");
        }
        let rows = connection.fetch_all(query).await;
        for row in
            rows.map_err(|error| connection::error("the ends of the audit chains could not be read", error))?
        {
            let head = ChainHead { length: column::number(&row, "sequence")?, hash: digest(&row, "hash")? };
            if let Some(found) = heads.get_mut(column::get::<&str>(&row, "writer")?) {
                *found = head;
            }
        }
    }
    Ok(heads)
}

/// Appends events in their order, within a transaction that no other writer is in at the same time. The ends of the
/// chains are read once; events of one writer that stand together share a row, and rows a statement.
pub(crate) async fn append(connection: &mut Connection, events: &[&Event]) -> Result<()> {
    let mut heads = heads(connection, events).await?;
    let mut rows = Vec::new();
    for together in bundle::split(events) {
        let head = heads.entry(&together[0].writer).or_insert(ChainHead::EMPTY);
        rows.push(bundle::pack(together, head)?);
    }
    let mut rest = &rows[..];
    while !rest.is_empty() {
        let (rows, after) = rest.split_at(statement(rest));
        insert(connection, rows).await?;
        rest = after;
    }
    Ok(())
}

/// How many of the rows, one at least, go into one statement.
fn statement(rows: &[Packed<'_>]) -> usize {
    let mut bytes = 0;
    let fits = rows.iter().take(ROWS).take_while(|row| {
        bytes += row.body.len();
        bytes <= STATEMENT_BYTES
    });
    fits.count().max(1)
}

async fn insert(connection: &mut Connection, rows: &[Packed<'_>]) -> Result<()> {
    let mut query =
        Statement::new("INSERT INTO event (writer, sequence, time, previous, hash, body, events) VALUES ");
    for row in rows {
        query.push(if query.values.is_empty() { "(" } else { ", (" }).push_bind(row.writer);
        query.push(", ").push_bind(row.sequence).push(", ").push_bind(row.time);
        query.push(", ").push_bind(&row.previous).push(", ").push_bind(&row.hash);
        query.push(", ").push_bind(&*row.body).push(", ").push_bind(row.events).push(")");
    }
    let done = connection.execute(query).await;
    done.map_err(|error| connection::error("the events could not be written", error)).map(drop)
}

fn unread(writer: &str, error: sqlx::Error) -> StoreError {
    connection::error(format!("the events of {writer} could not be read"), error)
}

async fn rows(connection: &mut Connection, writer: &str, from: u64, limit: usize) -> Result<Vec<Row>> {
    let rows = Statement::new(
        "SELECT writer, sequence, time, previous, hash, body, events FROM event WHERE writer = $1 \
         AND sequence >= $2 ORDER BY sequence LIMIT $3",
    )
    .bind(writer)
    .bind(column::bound(from))
    .bind(column::limit(limit));
    connection.fetch_all(rows).await.map_err(|error| unread(writer, error))
}

pub(crate) async fn list(
    connection: &mut Connection,
    writer: &str,
    from: u64,
    limit: usize,
) -> Result<Vec<EventRow>> {
    let (mut found, mut next) = (Vec::new(), from);
    while found.len() < limit {
        let page = rows(connection, writer, next, PAGE.min(limit - found.len())).await?;
        for row in &page {
            let room = limit - found.len();
            found.extend(decode(row)?.into_iter().filter(|event| event.sequence >= from).take(room));
        }
        match found.last() {
            Some(last) if !page.is_empty() => next = last.sequence.saturating_add(1),
            _ => break,
        }
    }
    Ok(found)
}

pub(crate) async fn writers(connection: &mut Connection) -> Result<Vec<String>> {
    let rows = Statement::new("SELECT DISTINCT writer FROM event ORDER BY writer");
    let rows = connection.fetch_all(rows).await;
    rows.map_err(|error| connection::error("the writers of events could not be read", error))?
        .iter()
        .map(|row| column::get(row, "writer"))
        .collect()
}

/// Verifies a page of events that follow `head`, and moves it. False when there are none.
pub(crate) async fn verify_page(
    connection: &mut Connection,
    writer: &str,
    head: &mut ChainHead,
) -> Result<bool> {
    // From the start, so that a row with a sequence below 1 is found.
    let from = if head.length == 0 { 0 } else { head.length + 1 };
    let rows = rows(connection, writer, from, PAGE).await?;
    for row in &rows {
        let events = decode(row).map_err(|error| {
            broken(writer, head.length + 1, "cannot be read".to_owned()).with_source(error)
        })?;
        for event in &events {
            verify(writer, event, head)?;
        }
        // The ends of chains are read from the columns, so these have to be right too.
        let columns = (column::time(row, "time")?, digest(row, "hash")?);
        if events.last().is_some_and(|last| (last.time, last.hash) != columns) {
            return Err(broken(writer, head.length, "was changed after it was written".to_owned()));
        }
    }
    Ok(!rows.is_empty())
}

fn broken(writer: &str, sequence: u64, what: String) -> StoreError {
    let subject = format!("{writer}#{sequence}");
    StoreError::new(ErrorKind::ChainBroken, format!("event {subject} {what}")).about(subject)
}

fn verify(writer: &str, event: &EventRow, head: &mut ChainHead) -> Result<()> {
    let expected = head.length + 1;
    if event.sequence != expected {
        let what = format!("is missing; the next one is {}", event.sequence);
        return Err(broken(writer, expected, what));
    }
    if event.previous != head.hash {
        return Err(broken(writer, expected, "does not continue the one before it".to_owned()));
    }
    let sequence = column::from_number(event.sequence, "sequence")?;
    let hash = chain::hash(writer, sequence, &event.previous, event.time.as_microsecond(), &event.body);
    if event.hash != hash {
        return Err(broken(writer, expected, "was changed after it was written".to_owned()));
    }
    *head = ChainHead { length: event.sequence, hash };
    Ok(())
}
