//! Events: the audit log, append-only, a hash chain for each writer.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::{
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

/// How many events are read at once to verify them.
const PAGE: usize = 256;
/// How many rows one statement writes at most: a database takes a limited number of parameters.
const ROWS: usize = 64;
/// How many bytes of bodies one statement takes, unless it writes a single row.
const STATEMENT_BYTES: usize = 4 << 20;

fn digest(row: &Row, column: &'static str) -> Result<Digest> {
    let bytes: &[u8] = column::get(row, column)?;
    bytes.try_into().map_err(|_| StoreError::corrupt(format!("an event's {column} has not 32 bytes")))
}

fn decode(row: &Row) -> Result<EventRow> {
    Ok(EventRow {
        writer: column::get(row, "writer")?,
        sequence: column::number(row, "sequence")?,
        time: column::time(row, "time")?,
        body: column::get(row, "body")?,
        previous: digest(row, "previous")?,
        hash: digest(row, "hash")?,
    })
}

pub(crate) async fn head(connection: &mut Connection, writer: &str) -> Result<ChainHead> {
    let last = Statement::new(
        "SELECT writer, sequence, time, previous, hash, body FROM event WHERE writer = $1 \
         ORDER BY sequence DESC LIMIT 1",
    )
    .bind(writer);
    let row = connection.fetch_optional(last).await.map_err(|error| unread(writer, error))?;
    let Some(row) = row else { return Ok(ChainHead::EMPTY) };
    let last = decode(&row)?;
    Ok(ChainHead { length: last.sequence, hash: last.hash })
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
/// chains are read once; then each statement takes many events.
pub(crate) async fn append(connection: &mut Connection, events: &[&Event]) -> Result<()> {
    let mut heads = heads(connection, events).await?;
    let mut rest = events;
    while !rest.is_empty() {
        let (rows, after) = rest.split_at(statement(rest));
        insert(connection, rows, &mut heads).await?;
        rest = after;
    }
    Ok(())
}

/// How many of the events, one at least, go into one statement.
fn statement(events: &[&Event]) -> usize {
    let mut bytes = 0;
    let fits = events.iter().take(ROWS).take_while(|event| {
        bytes += event.body.len();
        bytes <= STATEMENT_BYTES
    });
    fits.count().max(1)
}

async fn insert<'e>(
    connection: &mut Connection,
    events: &[&'e Event],
    heads: &mut BTreeMap<&'e str, ChainHead>,
) -> Result<()> {
    let mut links = Vec::with_capacity(events.len());
    for event in events {
        let head = heads.entry(&event.writer).or_insert(ChainHead::EMPTY);
        let length = head.length.saturating_add(1);
        let sequence = column::from_number(length, "chain")?;
        let time = event.time.as_microsecond();
        let hash = chain::hash(&event.writer, sequence, &head.hash, time, &event.body);
        links.push((sequence, time, head.hash, hash));
        *head = ChainHead { length, hash };
    }
    let mut query =
        Statement::new("INSERT INTO event (writer, sequence, time, previous, hash, body) VALUES ");
    for (event, (sequence, time, previous, hash)) in events.iter().zip(&links) {
        query.push(if query.values.is_empty() { "(" } else { ", (" }).push_bind(&event.writer);
        query.push(", ").push_bind(*sequence).push(", ").push_bind(*time);
        query.push(", ").push_bind(previous).push(", ").push_bind(hash);
        query.push(", ").push_bind(&event.body).push(")");
    }
    let done = connection.execute(query).await;
    done.map_err(|error| connection::error("the events could not be written", error)).map(drop)
}

fn unread(writer: &str, error: sqlx::Error) -> StoreError {
    connection::error(format!("the events of {writer} could not be read"), error)
}

async fn rows(connection: &mut Connection, writer: &str, from: u64, limit: usize) -> Result<Vec<Row>> {
    let rows = Statement::new(
        "SELECT writer, sequence, time, previous, hash, body FROM event WHERE writer = $1 AND sequence >= $2 \
         ORDER BY sequence LIMIT $3",
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
    rows(connection, writer, from, limit).await?.iter().map(decode).collect()
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
