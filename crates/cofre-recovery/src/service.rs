//! The service: what all of its operations share.

use std::{
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
};

use cofre_arm::{ApiError, Problem, Result};
use cofre_compute::Driver;
use cofre_repo::clock::Clock;
use cofre_store::{Batch, Event, Store};
use jiff::Timestamp;
use serde::Serialize;

use crate::{
    documents,
    key_source::KeySource,
    settings::Settings,
    storage_account::StorageAccounts,
    trust::{RecoveryPublicKey, ServiceKey, kit::Place},
};

/// The writer of the service's own audit chain.
pub const AUDIT_WRITER: &str = "recovery";

/// What a service is made of.
pub struct Parts {
    /// Where it is.
    pub place: Place,
    /// Settings.
    pub settings: Settings,
    /// The database.
    pub store: Arc<Store>,
    /// Opens repositories.
    pub service_key: ServiceKey,
    /// Seals envelopes.
    pub recovery_key: RecoveryPublicKey,
    /// The folder that holds a folder for each repository.
    pub repositories: PathBuf,
    /// Reaches the disks of machines.
    pub driver: Arc<dyn Driver>,
    /// Reaches key vaults, as the backup service's principal.
    pub keys: Arc<dyn KeySource>,
    /// Finds storage accounts by name.
    pub accounts: Arc<dyn StorageAccounts>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Name and version of the program, for recovery points.
    pub software: String,
}

/// Whom a change is made for, as the audit names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Caller {
    /// Object id of the principal.
    pub object_id: String,
    /// The request that asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// The recovery service.
#[derive(Clone)]
pub struct Recovery {
    parts: Arc<Parts>,
    bell: Arc<Bell>,
    caller: Option<Caller>,
}

/// Wakes the workers of this process when there is something to do.
#[derive(Default)]
pub(crate) struct Bell {
    rung: Mutex<u64>,
    wake: Condvar,
}

impl Bell {
    pub(crate) fn ring(&self) {
        let mut rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        *rung = rung.wrapping_add(1);
        self.wake.notify_all();
    }

    /// How often it was rung.
    pub(crate) fn count(&self) -> u64 {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it was rung since the count `heard`, or for so long.
    pub(crate) fn wait(&self, heard: u64, most: Duration) {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.wake.wait_timeout_while(rung, most, |rung| *rung == heard));
    }
}

impl Recovery {
    /// A service of these parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self { parts: Arc::new(parts), bell: Arc::default(), caller: None }
    }

    /// The same service, whose audit records name a caller.
    #[must_use]
    pub fn on_behalf_of(&self, caller: Caller) -> Self {
        Self { caller: Some(caller), ..self.clone() }
    }

    /// Where it is.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.parts.place
    }

    /// Its settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.parts.settings
    }

    /// Where disks can be restored to.
    #[must_use]
    pub fn storage_accounts(&self) -> &dyn StorageAccounts {
        &*self.parts.accounts
    }

    pub(crate) fn parts(&self) -> &Parts {
        &self.parts
    }

    pub(crate) fn bell(&self) -> &Bell {
        &self.bell
    }

    pub(crate) fn store(&self) -> &Store {
        &self.parts.store
    }

    pub(crate) fn keys(&self) -> &dyn KeySource {
        &*self.parts.keys
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }

    pub(crate) fn batch(&self) -> Batch {
        Batch::new(self.now())
    }

    pub(crate) fn commit(&self, batch: &Batch) -> Result<()> {
        documents::commit(self.store(), batch)
    }

    /// An audit record of a change of state.
    pub(crate) fn event(
        &self,
        operation: &str,
        object: impl std::fmt::Display,
        detail: Option<serde_json::Value>,
    ) -> Result<Event> {
        #[derive(Serialize)]
        struct Record<'a> {
            operation: &'a str,
            object: String,
            #[serde(skip_serializing_if = "Option::is_none")]
            caller: Option<&'a Caller>,
            #[serde(skip_serializing_if = "Option::is_none")]
            detail: Option<serde_json::Value>,
        }
        let record = Record { operation, object: object.to_string(), caller: self.caller.as_ref(), detail };
        let body = serde_json::to_vec(&record).map_err(|e| {
            ApiError::new(Problem::StateUnavailable, "an audit record cannot be written").because(e)
        })?;
        Ok(Event { writer: AUDIT_WRITER.to_owned(), time: self.now(), body })
    }
}

/// A random GUID (version 4).
///
/// # Errors
/// When the system gives no random bytes.
pub fn new_guid() -> Result<String> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| ApiError::new(Problem::StateUnavailable, "the system gives no random bytes"))?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    Ok(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guids_have_their_version() {
        let (a, b) = (new_guid().unwrap(), new_guid().unwrap());
        assert_ne!(a, b);
        assert_eq!((a.len(), a.as_bytes()[14]), (36, b'4'));
        assert!(matches!(a.as_bytes()[19], b'8' | b'9' | b'a' | b'b'), "{a}");
    }
}
