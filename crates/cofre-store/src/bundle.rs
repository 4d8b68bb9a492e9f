//! Events of one writer that share a row (docs/database.md, "Events"): a row costs more than an event.
//!
//! The row is numbered as the last of its events and has that one's time and hash; `previous` is that of the first. A
//! row of one event has its body as it is. In a row of several, each has its time (8 bytes, big-endian), its hash (32),
//! the length of its body (4, big-endian) and its body.

use std::borrow::Cow;

use crate::{
    chain::{self, ChainHead, Digest},
    column,
    error::{ErrorKind, Result, StoreError},
    events::{Event, EventRow},
};

/// How many events a row has at most.
const EVENTS: usize = 256;
/// How many bytes of bodies a row has, unless it has a single event.
const BYTES: usize = 1 << 20;

/// A row.
pub(crate) struct Packed<'e> {
    pub(crate) writer: &'e str,
    pub(crate) sequence: i64,
    pub(crate) time: i64,
    pub(crate) previous: Digest,
    pub(crate) hash: Digest,
    pub(crate) body: Cow<'e, [u8]>,
    pub(crate) events: i64,
}

/// Divides events, in their order, into those of a row each.
pub(crate) fn split<'a, 'e>(events: &'a [&'e Event]) -> impl Iterator<Item = &'a [&'e Event]> {
    let mut rest = events;
    std::iter::from_fn(move || {
        let first = rest.first()?;
        let mut bytes = 0;
        let together = rest.iter().take(EVENTS).take_while(|event| {
            bytes += event.body.len();
            event.writer == first.writer && bytes <= BYTES
        });
        let (row, after) = rest.split_at(together.count().max(1));
        rest = after;
        Some(row)
    })
}

/// The row of some events, at least one and all of one writer, that follow `head`; which is moved.
pub(crate) fn pack<'e>(events: &[&'e Event], head: &mut ChainHead) -> Result<Packed<'e>> {
    let (writer, previous) = (events[0].writer.as_str(), head.hash);
    let mut row = Packed {
        writer,
        sequence: 0,
        time: 0,
        previous,
        hash: previous,
        body: Cow::Borrowed(&events[0].body),
        events: column::from_number(events.len() as u64, "number of events")?,
    };
    let mut packed = Vec::new();
    for event in events {
        let length = head.length.saturating_add(1);
        row.sequence = column::from_number(length, "chain")?;
        row.time = event.time.as_microsecond();
        row.hash = chain::hash(writer, row.sequence, &head.hash, row.time, &event.body);
        *head = ChainHead { length, hash: row.hash };
        if events.len() > 1 {
            let length = u32::try_from(event.body.len())
                .map_err(|_| StoreError::new(ErrorKind::Invalid, "an event's body is longer than 4 GiB"))?;
            packed.extend_from_slice(&row.time.to_be_bytes());
            packed.extend_from_slice(&row.hash);
            packed.extend_from_slice(&length.to_be_bytes());
            packed.extend_from_slice(&event.body);
        }
    }
    if events.len() > 1 {
        row.body = Cow::Owned(packed);
    }
    Ok(row)
}

/// The events of a row that has several.
pub(crate) fn unpack(
    writer: &str,
    last: u64,
    events: u64,
    mut previous: Digest,
    mut rest: &[u8],
) -> Result<Vec<EventRow>> {
    let damaged = || StoreError::corrupt(format!("the row of event {writer}#{last} cannot be read"));
    let first = last.checked_sub(events).ok_or_else(damaged)? + 1;
    let mut all = Vec::new();
    for sequence in first..=last {
        let (time, after) = rest.split_first_chunk::<8>().ok_or_else(damaged)?;
        let (hash, after) = after.split_first_chunk::<32>().ok_or_else(damaged)?;
        let (length, after) = after.split_first_chunk::<4>().ok_or_else(damaged)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| damaged())?;
        let (body, after) = after.split_at_checked(length).ok_or_else(damaged)?;
        all.push(EventRow {
            writer: writer.to_owned(),
            sequence,
            time: column::to_time(i64::from_be_bytes(*time), "time")?,
            body: body.to_vec(),
            previous,
            hash: *hash,
        });
        (previous, rest) = (*hash, after);
    }
    if rest.is_empty() && !all.is_empty() { Ok(all) } else { Err(damaged()) }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;

    fn event(writer: &str, body: Vec<u8>) -> Event {
        Event { writer: writer.to_owned(), time: Timestamp::UNIX_EPOCH, body }
    }

    #[test]
    fn rows_are_of_one_writer_and_bounded() {
        let sizes = |events: &[Event]| {
            let events: Vec<_> = events.iter().collect();
            split(&events).map(<[_]>::len).collect::<Vec<_>>()
        };
        let of = |writer: &str, bytes: usize, count: usize| vec![event(writer, vec![0; bytes]); count];
        assert_eq!(sizes(&[]), [0; 0]);
        assert_eq!(sizes(&of("a", 1, 600)), [256, 256, 88]);
        assert_eq!(sizes(&[of("a", 1, 2), of("b", 1, 1), of("a", 1, 3)].concat()), [2, 1, 3]);
        assert_eq!(sizes(&[of("a", 400 << 10, 3), of("a", 2 << 20, 2)].concat()), [2, 1, 1, 1]);
    }

    #[test]
    fn a_row_that_was_cut_or_grew_is_refused() {
        let events = [event("w", b"one".to_vec()), event("w", Vec::new())];
        let mut head = ChainHead::EMPTY;
        let row = pack(&events.iter().collect::<Vec<_>>(), &mut head).unwrap();
        let unpack = |last, events, body: &[u8]| unpack("w", last, events, row.previous, body);
        assert_eq!(unpack(2, 2, &row.body).unwrap().len(), 2);
        for cut in 0..row.body.len() {
            assert!(unpack(2, 2, &row.body[..cut]).is_err(), "{cut}");
        }
        let longer = [&row.body[..], b"x"].concat();
        for (last, events, body) in
            [(2, 2, &longer[..]), (2, 1, &row.body), (2, 3, &row.body), (2, 0, b""), (1, 2, &row.body)]
        {
            assert!(unpack(last, events, body).is_err(), "{last} {events}");
        }
        assert!(unpack(u64::MAX, u64::MAX, &row.body).is_err());
    }

    proptest! {
        #[test]
        fn what_is_packed_is_found_again(
            bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 2..20),
            before in 0_u64..1000,
        ) {
            let events: Vec<_> = bodies.into_iter().map(|body| event("w", body)).collect();
            let mut head = ChainHead { length: before, hash: [7; 32] };
            let row = pack(&events.iter().collect::<Vec<_>>(), &mut head).unwrap();
            let found = unpack("w", head.length, events.len() as u64, row.previous, &row.body).unwrap();
            prop_assert_eq!(found.len(), events.len());
            prop_assert_eq!(found.last().unwrap().hash, row.hash);
            prop_assert_eq!(head.hash, row.hash);
            for (found, event) in found.iter().zip(&events) {
                prop_assert_eq!(&found.body, &event.body);
            }
        }
    }
}
