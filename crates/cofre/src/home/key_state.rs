//! Key vaults' records in the home's database.

use std::sync::Arc;

use cofre_keyvault::{
    AuditEvent,
    state::{Change, Record, State, StateError},
};
use cofre_repo::{
    clock::{Clock, SystemClock},
    failpoint,
};
use cofre_store::{Batch, Change as StoreChange, Document, ErrorKind, Event, Store, StoreError};

/// Kind of the documents, and the first part of their paths.
const KIND: &str = "keyvault";
/// The writer of the key vaults' audit chain.
pub(crate) const AUDIT_WRITER: &str = "keyvault";

/// The database, as key vaults see it.
pub(crate) struct KeyState {
    store: Arc<Store>,
}

impl KeyState {
    pub(crate) fn new(store: Arc<Store>) -> Self {
        Self { store }
    }
}

fn path(path: &str) -> String {
    format!("/{KIND}/{path}")
}

fn failed(error: StoreError) -> StateError {
    StateError::Failed(Box::new(error))
}

fn record(document: Document) -> Record {
    let path = document.path.strip_prefix(&path("")).unwrap_or(&document.path).to_owned();
    Record { path, revision: document.revision, body: document.body }
}

impl State for KeyState {
    fn read(&self, at: &str) -> Result<Option<Record>, StateError> {
        Ok(self.store.read(&path(at)).map_err(failed)?.map(record))
    }

    /// The database lists what is below a path; a prefix may end within a name. So what is below the
    /// last slash is listed, and what does not begin with the prefix is left out.
    fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Record>, StateError> {
        const PAGE: usize = 256;
        let folder = path(&prefix[..prefix.rfind('/').map_or(0, |slash| slash + 1)]);
        let wanted = path(prefix);
        let mut found = Vec::new();
        let mut after = after.map(path);
        // paths that begin with the prefix stand together: begin where they may begin
        if after.as_deref().is_none_or(|a| a < wanted.as_str()) && wanted.len() > folder.len() {
            match self.store.read(&wanted).map_err(failed)? {
                Some(document) if limit > 0 => found.push(record(document)),
                _ => {}
            }
            after = Some(wanted.clone());
        }
        while found.len() < limit {
            let page = self.store.list(&folder, after.as_deref(), PAGE).map_err(failed)?;
            let full = page.len() == PAGE;
            after = page.last().map(|d| d.path.clone());
            let past = page.last().is_some_and(|d| d.path > wanted && !d.path.starts_with(&wanted));
            found.extend(page.into_iter().filter(|d| d.path.starts_with(&wanted)).map(record));
            if !full || past {
                break;
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    fn commit(&self, changes: &[Change], events: &[AuditEvent]) -> Result<(), StateError> {
        let mut batch = Batch::new(SystemClock.now());
        for change in changes {
            batch.changes.push(match change {
                Change::Create { path: at, body } => {
                    StoreChange::Create { path: path(at), kind: KIND.to_owned(), body: body.clone() }
                }
                Change::Replace { path: at, revision, body } => {
                    StoreChange::Replace { path: path(at), revision: *revision, body: body.clone() }
                }
                Change::Delete { path: at, revision } => {
                    StoreChange::Delete { path: path(at), revision: Some(*revision) }
                }
            });
        }
        batch.events = encode(events)?;
        failpoint::reached("keyvault.before-commit");
        let committed = self.store.commit(&batch);
        failpoint::reached("keyvault.after-commit");
        committed.map(|_| ()).map_err(|e| match (e.kind(), e.subject()) {
            (ErrorKind::Conflict, Some(subject)) => {
                let path = subject.strip_prefix(&path("")).unwrap_or(subject).to_owned();
                StateError::Conflict { path }
            }
            _ => failed(e),
        })
    }

    fn version(&self) -> Result<u64, StateError> {
        self.store.version().map_err(failed)
    }

    fn append(&self, events: &[AuditEvent], as_of: Option<u64>) -> Result<(), StateError> {
        failpoint::reached("keyvault.before-append");
        let appended = self.store.append(&encode(events)?, as_of);
        failpoint::reached("keyvault.after-append");
        appended.map_err(not_appended)
    }

    fn append_then(
        &self,
        event: AuditEvent,
        as_of: u64,
        then: Box<dyn FnOnce(Result<(), StateError>) + Send>,
    ) {
        failpoint::reached("keyvault.before-append");
        let events = match encode(std::slice::from_ref(&event)) {
            Ok(events) => events,
            Err(error) => return then(Err(error)),
        };
        self.store.append_then(events, Some(as_of), move |appended| {
            failpoint::reached("keyvault.after-append");
            then(appended.map_err(not_appended));
        });
    }
}

fn not_appended(error: StoreError) -> StateError {
    match error.kind() {
        ErrorKind::Stale => StateError::Stale,
        _ => failed(error),
    }
}

fn encode(events: &[AuditEvent]) -> Result<Vec<Event>, StateError> {
    let encode = |event: &AuditEvent| {
        let body = serde_json::to_vec(event).map_err(|e| StateError::Failed(Box::new(e)))?;
        Ok(Event { writer: AUDIT_WRITER.to_owned(), time: event.time, body })
    };
    events.iter().map(encode).collect()
}

#[cfg(test)]
#[path = "../../../cofre-store/tests/bodies/cluster.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod cluster;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_keeps_what_key_vaults_expect() {
        let url = cluster::Cluster::own().url("postgres");
        let state = KeyState::new(Arc::new(Store::connect(&url).unwrap()));
        cofre_keyvault::state::contract::state_contract(&state);
    }

    #[test]
    fn the_database_keeps_what_key_vaults_expect() {
        let state = KeyState::new(Arc::new(Store::in_memory().unwrap()));
        cofre_keyvault::state::contract::state_contract(&state);
    }
}
