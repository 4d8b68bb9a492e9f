//! What is told.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What happened, as far as it matters for who is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A backup failed.
    BackupFailed,
    /// A backup was made, and something deserves attention.
    BackupWarned,
    /// A scheduled backup was not begun in time.
    BackupMissed,
    /// There is little room left for backups.
    StorageLow,
    /// Nothing: somebody tries whether messages arrive.
    Test,
}

impl Kind {
    /// Its name, as messages have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::BackupFailed => "BackupFailed",
            Self::BackupWarned => "BackupWarned",
            Self::BackupMissed => "BackupMissed",
            Self::StorageLow => "StorageLow",
            Self::Test => "Test",
        }
    }
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notification {
    /// Its id: one that arrives twice has the same.
    pub id: String,
    /// What happened.
    pub kind: Kind,
    /// When it happened.
    pub time: Timestamp,
    /// One line.
    pub summary: String,
    /// What to know and to do, lines of text; may be empty.
    pub text: String,
    /// Resource id of what it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_id: Option<String>,
    /// Id of the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    /// Code of the error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

impl Notification {
    /// A message that says nothing.
    #[must_use]
    pub fn test(id: String, time: Timestamp) -> Self {
        Self {
            id,
            kind: Kind::Test,
            time,
            summary: "Messages of cofre arrive here.".to_owned(),
            text: "Nothing happened: somebody ran `cofre notifications test`.".to_owned(),
            resource_id: None,
            job_id: None,
            code: None,
        }
    }
}
