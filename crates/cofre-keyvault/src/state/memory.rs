//! Records in memory.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{Change, Record, State, StateError};
use crate::audit::AuditEvent;

#[derive(Debug, Default)]
struct Content {
    records: BTreeMap<String, (u64, Vec<u8>)>,
    events: Vec<AuditEvent>,
    revision: u64,
    version: u64,
}

/// Records and events that last as long as the process: for tests and for trying things out.
#[derive(Debug, Default)]
pub struct MemoryState(Mutex<Content>);

impl MemoryState {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// All events so far.
    #[must_use]
    pub fn events(&self) -> Vec<AuditEvent> {
        self.content().events.clone()
    }

    /// A batch either happens as a whole or not at all, also when a thread panics.
    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State for MemoryState {
    fn read(&self, path: &str) -> Result<Option<Record>, StateError> {
        let content = self.content();
        let found = content.records.get(path);
        Ok(found.map(|(revision, body)| Record {
            path: path.to_owned(),
            revision: *revision,
            body: body.clone(),
        }))
    }

    fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Record>, StateError> {
        let content = self.content();
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let found = content.records.range::<str, _>((start, Bound::Unbounded));
        let found = found.take_while(|(path, _)| path.starts_with(prefix)).take(limit);
        let record = |(path, (revision, body)): (&String, &(u64, Vec<u8>))| Record {
            path: path.clone(),
            revision: *revision,
            body: body.clone(),
        };
        Ok(found.map(record).collect())
    }

    fn commit(&self, changes: &[Change], events: &[AuditEvent]) -> Result<(), StateError> {
        let mut content = self.content();
        for change in changes {
            let found = content.records.get(change.path()).map(|(revision, _)| *revision);
            let expected = match change {
                Change::Create { .. } => None,
                Change::Replace { revision, .. } | Change::Delete { revision, .. } => Some(*revision),
            };
            if found != expected {
                return Err(StateError::Conflict { path: change.path().to_owned() });
            }
        }
        for change in changes {
            content.revision += 1;
            let revision = content.revision;
            match change {
                Change::Create { path, body } | Change::Replace { path, body, .. } => {
                    content.records.insert(path.clone(), (revision, body.clone()));
                }
                Change::Delete { path, .. } => {
                    content.records.remove(path);
                }
            }
        }
        content.version += u64::from(!changes.is_empty());
        content.events.extend_from_slice(events);
        Ok(())
    }

    fn version(&self) -> Result<u64, StateError> {
        Ok(self.content().version)
    }

    fn append(&self, events: &[AuditEvent], as_of: Option<u64>) -> Result<(), StateError> {
        let mut content = self.content();
        if as_of.is_some_and(|as_of| as_of != content.version) {
            return Err(StateError::Stale);
        }
        content.events.extend_from_slice(events);
        Ok(())
    }
}
