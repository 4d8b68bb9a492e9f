//! What is written down about every operation, allowed or refused. No event holds a secret.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{caller::Caller, error::KeyVaultError, names};

/// What was asked for. The names are those of the permissions as published, and our own for what
/// has no permission there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names are the documentation")]
pub enum Operation {
    Get,
    List,
    Create,
    Import,
    Set,
    Update,
    Delete,
    Encrypt,
    Decrypt,
    WrapKey,
    UnwrapKey,
    Sign,
    Verify,
    Backup,
    Restore,
    Prove,
    CreateVault,
    UpdateVault,
    DeleteVault,
    SetAccessPolicy,
    RemoveAccessPolicy,
    RotateRootKey,
    RotateBlobKey,
    ExportBlobKeys,
    ImportBlobKeys,
    Recover,
    Purge,
    RecoverVault,
    PurgeVault,
}

/// What the operation was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Scope {
    /// Keys of a vault.
    Keys,
    /// Secrets of a vault.
    Secrets,
    /// A vault itself.
    Vault,
    /// The service: its root key and its ring.
    Service,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// Done.
    Allowed,
    /// Not done; [`AuditEvent::reason`] says why.
    Refused,
}

/// One line of the audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEvent {
    /// When the operation ended.
    pub time: Timestamp,
    /// Directory of the caller.
    pub tenant: String,
    /// Object id of the caller.
    pub caller: String,
    /// Display name of the caller.
    pub caller_name: String,
    /// What was asked for.
    pub operation: Operation,
    /// Of what.
    pub scope: Scope,
    /// The vault; absent where the text given is no possible name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub vault: Option<String>,
    /// The key or secret; absent where there is none, or where the text given is no possible name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub object: Option<String>,
    /// The version, where one was named, used or made.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// The code of the error, when refused.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// What the caller's request is called elsewhere.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub request_id: Option<String>,
    /// What else was involved: of a proof the recovery point, disk and result, of a change of
    /// policy the principal.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub context: Option<String>,
}

/// Context of a purge whose scheduled date had come.
pub(crate) const DUE: &str = "the scheduled date has come";
/// Context of looking at what is deleted.
pub(crate) const DELETED: &str = "deleted";
/// Longest text of a caller or a context in an event, in characters.
const LONGEST_TEXT: usize = 400;

impl AuditEvent {
    /// An event of which the end is not known yet. Texts that break the rules for names stay out: they
    /// may be anything, also a secret pasted into the wrong field.
    pub(crate) fn begin(
        caller: &Caller,
        operation: Operation,
        scope: Scope,
        vault: &str,
        object: &str,
        version: Option<&str>,
    ) -> Self {
        Self {
            time: Timestamp::UNIX_EPOCH,
            tenant: tidy(&caller.tenant),
            caller: tidy(&caller.object_id),
            caller_name: tidy(&caller.name),
            operation,
            scope,
            vault: names::is_vault_name(vault).then(|| vault.to_owned()),
            object: names::is_object_name(object).then(|| object.to_owned()),
            version: version.filter(|version| names::is_version(version)).map(str::to_ascii_lowercase),
            outcome: Outcome::Refused,
            reason: None,
            request_id: caller.request_id.as_deref().map(tidy),
            context: None,
        }
    }

    pub(crate) fn set_context(&mut self, context: &str) {
        self.context = Some(tidy(context));
    }

    /// The event of a purge that was due when this operation met what is left of an object or vault.
    pub(crate) fn due(&self, operation: Operation, object: Option<&str>) -> Self {
        let mut event = Self { operation, object: object.map(str::to_owned), version: None, ..self.clone() };
        event.set_context(DUE);
        event
    }

    pub(crate) fn allowed(&mut self, time: Timestamp) {
        self.time = time;
        self.outcome = Outcome::Allowed;
        self.reason = None;
    }

    pub(crate) fn refused(&mut self, time: Timestamp, error: &KeyVaultError) {
        self.time = time;
        self.outcome = Outcome::Refused;
        self.reason = Some(error.kind().code().to_owned());
    }
}

/// One line of bounded length.
pub(crate) fn tidy(text: &str) -> String {
    text.chars().take(LONGEST_TEXT).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
