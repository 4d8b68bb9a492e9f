//! The JSON form of dirty ranges, read without building a document: a list of millions of ranges costs
//! what its ranges cost.

use std::{
    cell::RefCell,
    fmt,
    fs::File,
    io::{BufReader, Read},
    path::Path,
};

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::{
    dirty::DirtyRange,
    error::{DiskError, ErrorKind},
};

/// The longest text that is read. The bitmap of a disk of 16 TiB with every other 64 KiB dirty is
/// smaller than that, and the ranges of such a text fit into memory.
const MAX_BYTES: u64 = 256 << 20;

pub(super) fn slice(json: &[u8], disk_size: u64) -> Result<Vec<DirtyRange>, DiskError> {
    check_length(json.len() as u64, "dirty ranges")?;
    ranges(serde_json::Deserializer::from_slice(json), disk_size, "dirty ranges")
}

pub(super) fn file(path: &Path, disk_size: u64) -> Result<Vec<DirtyRange>, DiskError> {
    let unreadable = |e| DiskError::io(ErrorKind::Unreadable, "read", path, e);
    let label = path.display().to_string();
    let file = File::open(path).map_err(unreadable)?;
    check_length(file.metadata().map_err(unreadable)?.len(), &label)?;
    // Even a file that grows, or one that has no length, ends there.
    let reader = BufReader::with_capacity(1 << 16, file.take(MAX_BYTES));
    ranges(serde_json::Deserializer::from_reader(reader), disk_size, &label)
}

fn check_length(length: u64, label: &str) -> Result<(), DiskError> {
    if length <= MAX_BYTES {
        return Ok(());
    }
    let message = format!(
        "{label}: {length} bytes are more than the {MAX_BYTES} a list of dirty ranges may have; make it \
         with a coarser granularity"
    );
    Err(DiskError::new(ErrorKind::Unsupported, message))
}

/// Adds a range, merged with the last one where it continues it, so that a sorted list never holds
/// more than it has to.
pub(super) fn push(
    ranges: &mut Vec<DirtyRange>,
    start: u64,
    length: u64,
    disk_size: u64,
) -> Result<(), String> {
    let end = start.checked_add(length).filter(|end| *end <= disk_size).ok_or_else(|| {
        format!(
            "{length} bytes at {start} are not inside the disk of {disk_size} bytes; is it the list of \
             another disk?"
        )
    })?;
    match ranges.last_mut() {
        _ if length == 0 => {}
        Some(last) if last.start <= start && start <= last.end => last.end = last.end.max(end),
        _ => ranges.push(DirtyRange { start, end }),
    }
    Ok(())
}

fn ranges<'de, R: serde_json::de::Read<'de>>(
    mut json: serde_json::Deserializer<R>,
    disk_size: u64,
    label: &str,
) -> Result<Vec<DirtyRange>, DiskError> {
    // A range outside the disk is another kind of error than a text that is no list; the JSON reader
    // only carries messages.
    let outside = RefCell::new(None);
    let list = List { disk_size, outside: &outside };
    let parsed = list.deserialize(&mut json).and_then(|ranges| json.end().map(|()| ranges));
    parsed.map_err(|error| {
        if let Some(message) = outside.take() {
            return DiskError::new(ErrorKind::Invalid, format!("{label}: {message}"));
        }
        if error.is_io() {
            return DiskError::new(ErrorKind::Unreadable, format!("cannot read {label}: {error}"));
        }
        DiskError::new(ErrorKind::Malformed, format!("{label} is no list of dirty ranges: {error}"))
    })
}

struct List<'a> {
    disk_size: u64,
    outside: &'a RefCell<Option<String>>,
}

impl<'de> DeserializeSeed<'de> for List<'_> {
    type Value = Vec<DirtyRange>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for List<'_> {
    type Value = Vec<DirtyRange>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects with the members `start` and `length`")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut ranges = Vec::new();
        while let Some(Entry { start, length }) = list.next_element()? {
            push(&mut ranges, start, length, self.disk_size).map_err(|message| {
                let error = A::Error::custom(&message);
                self.outside.replace(Some(message));
                error
            })?;
        }
        Ok(ranges)
    }
}

/// One object of the list. Not derived: a derived reader would take a list of two numbers as well.
struct Entry {
    start: u64,
    length: u64,
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Entry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with the members `start` and `length`")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entry, A::Error> {
                let (mut start, mut length) = (None, None);
                while let Some(Name(name)) = map.next_key()? {
                    let member = if name == "start" { &mut start } else { &mut length };
                    if member.replace(map.next_value()?).is_some() {
                        return Err(A::Error::duplicate_field(name));
                    }
                }
                Ok(Entry {
                    start: start.ok_or_else(|| A::Error::missing_field("start"))?,
                    length: length.ok_or_else(|| A::Error::missing_field("length"))?,
                })
            }
        }

        deserializer.deserialize_map(Members)
    }
}

/// A member's name, compared in place: names of foreign texts are never kept.
struct Name(&'static str);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Known;

        impl Visitor<'_> for Known {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`start` or `length`")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Name, E> {
                const NAMES: &[&str] = &["start", "length"];
                let known = NAMES.iter().find(|known| **known == name);
                known.map(|known| Name(known)).ok_or_else(|| {
                    let shown: String = name.chars().take(40).collect();
                    E::unknown_field(&shown, NAMES)
                })
            }
        }

        deserializer.deserialize_identifier(Known)
    }
}
