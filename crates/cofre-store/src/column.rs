//! Rust's types and the database's: whole numbers of 64 bits with a sign, text, bytes.

use jiff::Timestamp;
use sqlx::{Decode, Postgres, Sqlite, Type};

use crate::{
    MAX_BODY, MAX_KEY, MAX_WORD,
    connection::Row,
    error::{ErrorKind, Result, StoreError},
};

/// One column of a row.
pub(crate) fn get<'r, T>(row: &'r Row, column: &str) -> Result<T>
where
    T: Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, Postgres> + Type<Postgres>,
{
    row.get(column)
        .map_err(|error| StoreError::corrupt("the database holds a value of a wrong type").with_source(error))
}

/// A number that is never negative.
pub(crate) fn number(row: &Row, column: &'static str) -> Result<u64> {
    u64::try_from(get::<i64>(row, column)?)
        .map_err(|_| StoreError::corrupt(format!("the database holds a negative {column}")))
}

/// A time.
pub(crate) fn time(row: &Row, column: &'static str) -> Result<Timestamp> {
    to_time(get(row, column)?, column)
}

/// A time that may be missing.
pub(crate) fn optional_time(row: &Row, column: &'static str) -> Result<Option<Timestamp>> {
    get::<Option<i64>>(row, column)?.map(|micros| to_time(micros, column)).transpose()
}

pub(crate) fn to_time(micros: i64, column: &str) -> Result<Timestamp> {
    Timestamp::from_microsecond(micros).map_err(|error| {
        StoreError::corrupt(format!("the database holds an impossible {column}")).with_source(error)
    })
}

/// A number for the database.
pub(crate) fn from_number(number: u64, what: &str) -> Result<i64> {
    i64::try_from(number).map_err(|_| StoreError::new(ErrorKind::Invalid, format!("the {what} is too large")))
}

/// A number to compare with: what is too large for the database is larger than all in it.
pub(crate) fn bound(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The largest number of rows to read.
pub(crate) fn limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// Refuses what a database of ours does not take: an empty key where one is needed, one with NUL, which PostgreSQL does
/// not store, and one too long to be indexed.
pub(crate) fn check_key(what: &str, key: &str) -> Result<()> {
    check_length(what, key, MAX_KEY)
}

/// Like [`check_key`], for the short ones, which an index has beside a key.
pub(crate) fn check_word(what: &str, word: &str) -> Result<()> {
    check_length(what, word, MAX_WORD)
}

fn check_length(what: &str, key: &str, longest: usize) -> Result<()> {
    let wrong = match key {
        "" => "is empty",
        _ if key.len() > longest => "is too long",
        _ if key.contains('\0') => "contains the character NUL",
        _ => return Ok(()),
    };
    Err(StoreError::new(ErrorKind::Invalid, format!("the {what} {wrong}")))
}

/// Like [`check_key`], for what may be empty.
pub(crate) fn check_text(what: &str, text: &str) -> Result<()> {
    if text.is_empty() { Ok(()) } else { check_key(what, text) }
}

/// Refuses a body that is too large.
pub(crate) fn check_body(of: &str, body: &[u8]) -> Result<()> {
    if body.len() <= MAX_BODY {
        return Ok(());
    }
    Err(StoreError::new(
        ErrorKind::Invalid,
        format!("the body of {of} has {} bytes; {MAX_BODY} are allowed", body.len()),
    ))
}
