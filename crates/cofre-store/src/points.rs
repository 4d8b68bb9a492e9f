//! Recovery points: a view of the repositories, for lists. They can be cleared and written anew from there.

use jiff::Timestamp;

use crate::{
    column,
    connection::{self, Connection, Row},
    error::{Result, StoreError},
    statement::Statement,
    store::Position,
};

/// A recovery point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PointRow {
    /// The item it is of.
    pub item: String,
    /// Its id, unique in the item; a number as text.
    pub id: String,
    /// Its name in the repository, unique in the item: 32 hexadecimal digits.
    pub point: String,
    /// The time it shows, to the microsecond.
    pub time: Timestamp,
    /// How it stands: `visible`, `deleting` or `lost`.
    pub state: String,
    /// All else, usually JSON.
    pub body: Vec<u8>,
}

impl PointRow {
    /// Where it stands in a list.
    #[must_use]
    pub fn position(&self) -> Position {
        Position { time: self.time, id: self.id.clone() }
    }
}

/// A change to recovery points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PointChange {
    /// A new one; a conflict if the item has one of this id or name.
    Insert(PointRow),
    /// Writes all columns; a conflict unless the item has a point of this id, or if another one has its name.
    Replace(PointRow),
    /// Deletes one, if it is there.
    Delete {
        /// The item it is of.
        item: String,
        /// Its id.
        id: String,
    },
    /// Deletes all of an item, to be written anew.
    Clear {
        /// The item.
        item: String,
    },
}

impl PointChange {
    pub(crate) fn check(&self) -> Result<()> {
        match self {
            Self::Insert(row) | Self::Replace(row) => {
                column::check_key("point's item", &row.item)?;
                column::check_word("point's id", &row.id)?;
                column::check_word("point's name", &row.point)?;
                column::check_text("point's state", &row.state)?;
                column::check_body(&subject(&row.item, &row.id), &row.body)
            }
            Self::Delete { item, id } => {
                column::check_key("point's item", item)?;
                column::check_word("point's id", id)
            }
            Self::Clear { item } => column::check_key("point's item", item),
        }
    }
}

/// Which points of an item to list: those that meet all that is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PointFilter {
    /// That stand so.
    pub state: Option<String>,
    /// Of this time or later.
    pub from: Option<Timestamp>,
    /// Of a time before this.
    pub to: Option<Timestamp>,
}

fn subject(item: &str, id: &str) -> String {
    format!("{item}#{id}")
}

const SELECT: &str = "SELECT item, id, point, time, state, body FROM point WHERE item = ";

fn decode(row: &Row) -> Result<PointRow> {
    Ok(PointRow {
        item: column::get(row, "item")?,
        id: column::get(row, "id")?,
        point: column::get(row, "point")?,
        time: column::time(row, "time")?,
        state: column::get(row, "state")?,
        body: column::get(row, "body")?,
    })
}

async fn fetch(connection: &mut Connection, item: &str, query: Statement<'_>) -> Result<Vec<PointRow>> {
    let rows = connection.fetch_all(query).await;
    rows.map_err(|error| connection::error(format!("the points of {item} could not be read"), error))?
        .iter()
        .map(decode)
        .collect()
}

pub(crate) async fn get(connection: &mut Connection, item: &str, id: &str) -> Result<Option<PointRow>> {
    let mut query = Statement::new(SELECT);
    query.push_bind(item).push(" AND id = ").push_bind(id);
    Ok(fetch(connection, item, query).await?.pop())
}

pub(crate) async fn list(
    connection: &mut Connection,
    item: &str,
    filter: &PointFilter,
    after: Option<&Position>,
    limit: usize,
) -> Result<Vec<PointRow>> {
    let mut query = Statement::new(SELECT);
    query.push_bind(item);
    if let Some(state) = &filter.state {
        query.push(" AND state = ").push_bind(state);
    }
    Position::push_range(&mut query, "time", filter.from, filter.to, after);
    query.push(" ORDER BY time DESC, id DESC LIMIT ").push_bind(column::limit(limit));
    fetch(connection, item, query).await
}

/// The time of the newest point of each of `items` that stands so; none for an item without one.
pub(crate) async fn latest(
    connection: &mut Connection,
    items: &[String],
    state: &str,
) -> Result<Vec<(String, Timestamp)>> {
    // Few lengths, so that few statements are prepared.
    const TOGETHER: usize = 100;
    let mut found = Vec::new();
    for items in items.chunks(TOGETHER) {
        let mut query = Statement::new("WITH wanted (item) AS (VALUES ");
        for (index, item) in items.iter().enumerate() {
            query.push(if index == 0 { "(" } else { ", (" }).push_bind(item).push(")");
        }
        query.push(") SELECT wanted.item AS item, (SELECT time FROM point WHERE point.item = wanted.item AND state = ");
        query.push_bind(state);
        query.push(" ORDER BY time DESC, id DESC LIMIT 1) AS time FROM wanted");
        let rows = connection.fetch_all(query).await;
        let rows = rows.map_err(|error| connection::error("the newest points could not be read", error))?;
        for row in &rows {
            if let Some(time) = column::optional_time(row, "time")? {
                found.push((column::get(row, "item")?, time));
            }
        }
    }
    Ok(found)
}

pub(crate) async fn count(connection: &mut Connection, item: &str) -> Result<u64> {
    let count = Statement::new("SELECT count(*) AS total FROM point WHERE item = $1").bind(item);
    let row = connection
        .fetch_one(count)
        .await
        .map_err(|error| connection::error(format!("the points of {item} could not be counted"), error))?;
    column::number(&row, "total")
}

/// How many points there are of all items; an index answers it, no row is read.
pub(crate) async fn count_all(connection: &mut Connection) -> Result<u64> {
    let row = connection
        .fetch_one(Statement::new("SELECT count(*) AS total FROM point"))
        .await
        .map_err(|error| connection::error("the recovery points could not be counted", error))?;
    column::number(&row, "total")
}

/// Applies one change within a transaction.
pub(crate) async fn apply(connection: &mut Connection, change: &PointChange) -> Result<()> {
    let (row, sql, otherwise) = match change {
        PointChange::Insert(row) => (
            row,
            "INSERT INTO point (item, id, point, time, state, body) VALUES ($1, $2, $3, $4, $5, $6) \
             ON CONFLICT DO NOTHING",
            "exists already",
        ),
        PointChange::Replace(row) => (
            row,
            "UPDATE point SET point = $3, time = $4, state = $5, body = $6 WHERE item = $1 AND id = $2",
            "does not exist",
        ),
        PointChange::Delete { item, id } => {
            let query = Statement::new("DELETE FROM point WHERE item = $1 AND id = $2").bind(item).bind(id);
            connection.execute(query).await.map_err(|error| unwritten(&subject(item, id), error))?;
            return Ok(());
        }
        PointChange::Clear { item } => {
            let query = Statement::new("DELETE FROM point WHERE item = $1").bind(item);
            connection.execute(query).await.map_err(|error| unwritten(item, error))?;
            return Ok(());
        }
    };
    let subject = subject(&row.item, &row.id);
    let query = Statement::new(sql)
        .bind(&row.item)
        .bind(&row.id)
        .bind(&row.point)
        .bind(row.time.as_microsecond())
        .bind(&row.state)
        .bind(&row.body);
    match connection.execute(query).await {
        Ok(done) if done > 0 => Ok(()),
        Ok(_) => Err(StoreError::conflict(&subject, format!("recovery point {subject} {otherwise}"))),
        Err(error) if connection::is_duplicate(&error) => {
            let what = format!("another recovery point than {subject} has the name {}", row.point);
            Err(StoreError::conflict(&subject, what).with_source(error))
        }
        Err(error) => Err(unwritten(&subject, error)),
    }
}

fn unwritten(subject: &str, error: sqlx::Error) -> StoreError {
    connection::error(format!("recovery point {subject} could not be written"), error)
}
