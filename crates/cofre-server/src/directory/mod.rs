//! Who there is, and who may do what: principals with their credentials, role assignments, resource groups.
//!
//! All of it lies in the database. A snapshot of principals and assignments is kept in memory and read anew when the
//! database says that something changed.

mod assignments;
mod credentials;
mod data_roles;
mod groups;
mod principals;
mod snapshot;

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use cofre_arm::{ApiError, Problem, Result};
use cofre_keyvault::Clock;
use cofre_store::{Batch, Change, Event, Store, StoreError};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

pub(crate) use self::groups::check_tags;
use self::snapshot::Cached;
pub use self::{
    assignments::{Assignment, NewAssignment},
    credentials::{Credential, CredentialKind, NewSecret},
    groups::{DEFAULT_GROUP, Group},
    principals::Principal,
    snapshot::Snapshot,
};

/// The writer of the directory's audit chain.
pub const AUDIT_WRITER: &str = "directory";

/// Who asks for a change, for the audit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actor {
    /// Object id.
    pub object_id: String,
    /// The request, if there was one.
    pub request_id: Option<String>,
}

/// Principals, role assignments and resource groups of one subscription.
pub struct Directory {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    tenant: String,
    subscription: String,
    cached: Mutex<Option<Cached>>,
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory").field("subscription", &self.subscription).finish_non_exhaustive()
    }
}

impl Directory {
    /// The directory of a tenant and subscription in a database.
    #[must_use]
    pub fn new(store: Arc<Store>, clock: Arc<dyn Clock>, tenant: &str, subscription: &str) -> Self {
        Self {
            store,
            clock,
            tenant: tenant.to_owned(),
            subscription: subscription.to_owned(),
            cached: Mutex::new(None),
        }
    }

    /// The tenant.
    #[must_use]
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// The subscription.
    #[must_use]
    pub fn subscription(&self) -> &str {
        &self.subscription
    }

    /// The id of the subscription as a scope.
    #[must_use]
    pub fn subscription_scope(&self) -> String {
        format!("/subscriptions/{}", self.subscription)
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Commits changes together with their line of the audit.
    fn commit(&self, actor: &Actor, operation: &str, subject: &str, changes: Vec<Change>) -> Result<()> {
        let now = self.now();
        let mut batch = Batch::new(now);
        batch.changes = changes;
        batch.events.push(Event {
            writer: AUDIT_WRITER.to_owned(),
            time: now,
            body: json!({
                "caller": actor.object_id,
                "tenant": self.tenant,
                "operation": operation,
                "subject": subject,
                "requestId": actor.request_id,
            })
            .to_string()
            .into_bytes(),
        });
        let committed = self.store.commit(&batch);
        self.forget();
        committed.map(|_| ()).map_err(unavailable)
    }
}

/// An error of the database, as the contract reports it.
pub(crate) fn unavailable(error: StoreError) -> ApiError {
    let (problem, message) = match error.kind() {
        cofre_store::ErrorKind::Conflict => (Problem::Conflict, "it was changed at the same time"),
        _ => (Problem::StateUnavailable, "the database could not be used"),
    };
    let advice = error.recommendation().to_owned();
    ApiError::new(problem, message).recommend(advice).because(error)
}

fn encode<T: Serialize>(what: &str, value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| {
        ApiError::new(Problem::StateUnavailable, format!("the record of {what} cannot be written"))
            .because(error)
    })
}

fn decode<T: serde::de::DeserializeOwned>(path: &str, body: &[u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(|error| {
        ApiError::new(Problem::StateUnavailable, format!("the record {path} cannot be read")).because(error)
    })
}

/// Checks that a text is a GUID, and gives it in lower case.
///
/// # Errors
/// `InvalidParameter`.
pub fn guid(what: &str, text: &str) -> Result<String> {
    let lengths = text.split('-').map(str::len);
    let hex = text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    if hex && lengths.eq([8, 4, 4, 4, 12]) {
        return Ok(text.to_ascii_lowercase());
    }
    Err(ApiError::invalid(format!("the {what} is a GUID such as 00000000-0000-4000-8000-000000000000")))
}

/// A random GUID (version 4).
///
/// # Errors
/// `StateUnavailable` when the system has no random bytes.
pub fn new_guid() -> Result<String> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| ApiError::new(Problem::StateUnavailable, "the system has no random bytes"))?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guids() {
        let fresh = new_guid().unwrap();
        assert_eq!(guid("id", &fresh.to_uppercase()).unwrap(), fresh);
        for bad in ["", "x", "00000000-0000-4000-8000-00000000000g", "000000000000-4000-8000-0000-00000000"] {
            assert!(guid("id", bad).is_err(), "{bad}");
        }
    }
}
