//! Who asks.

use serde::{Deserialize, Serialize};

/// The application id of the *Backup Management Service* in the public cloud: the usual principal of
/// the *Azure Backup* template. A default for a setting, nothing here depends on it.
pub const BACKUP_MANAGEMENT_SERVICE_APPLICATION_ID: &str = "262044b1-e2ce-469f-a196-69ab7ada62d3";

/// An authenticated principal. Who it is was established by the layer above.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Caller {
    /// Its object id in the directory; access policies name it.
    pub object_id: String,
    /// Its directory.
    pub tenant: String,
    /// Its display name, for the audit alone.
    pub name: String,
    /// What its request is called elsewhere, for the audit alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}
