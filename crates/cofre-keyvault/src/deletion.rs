//! What deletion is: reversible for a number of days, then final.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    bundle::{ItemProperties, KeyBundle},
    vault::Vault,
};

/// Days that something deleted can be recovered, if a vault says nothing else; also the most there are.
pub(crate) const DEFAULT_RETENTION_DAYS: u8 = 90;
/// The fewest days that something deleted can be recovered.
pub(crate) const LEAST_RETENTION_DAYS: u8 = 7;

/// When something was deleted, and when it goes for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deletion {
    /// When it was deleted.
    pub deleted: Timestamp,
    /// From when on it is as good as purged.
    pub scheduled_purge: Timestamp,
}

/// A vault that was deleted and can be recovered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedVault {
    /// The vault as it was.
    pub vault: Vault,
    /// Since when, and until when.
    pub deletion: Deletion,
}

/// A key that was deleted and can be recovered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedKey {
    /// Its current version.
    pub key: KeyBundle,
    /// Since when, and until when.
    pub deletion: Deletion,
}

/// A key or secret that was deleted and can be recovered, without material.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedItem {
    /// Of its current version.
    pub properties: ItemProperties,
    /// Since when, and until when.
    pub deletion: Deletion,
}

/// What becomes of a key or secret when it is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// Days that it can be recovered.
    pub days: u8,
    /// Whether it may be purged before they are over.
    pub purgeable: bool,
}

impl Recovery {
    /// The published name of the recovery level.
    #[must_use]
    pub fn level(self) -> &'static str {
        match (self.days < DEFAULT_RETENTION_DAYS, self.purgeable) {
            (false, true) => "Recoverable+Purgeable",
            (false, false) => "Recoverable",
            (true, true) => "CustomizedRecoverable+Purgeable",
            (true, false) => "CustomizedRecoverable",
        }
    }
}

/// What is stored with something deleted.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeletionMark {
    #[serde(flatten)]
    pub(crate) deletion: Deletion,
    /// Its purge has begun and takes more than one batch: there is no way back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) purging: bool,
}

impl DeletionMark {
    pub(crate) fn new(now: Timestamp, days: u8) -> Self {
        let days = SignedDuration::from_hours(24 * i64::from(days));
        let scheduled_purge = now.checked_add(days).unwrap_or(Timestamp::MAX);
        Self { deletion: Deletion { deleted: now, scheduled_purge }, purging: false }
    }

    /// Whether it is as good as purged.
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        self.purging || now >= self.deletion.scheduled_purge
    }

    /// The deletion, while there is a way back.
    pub(crate) fn recoverable(self, now: Timestamp) -> Option<Deletion> {
        (!self.is_over(now)).then_some(self.deletion)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_have_their_published_names() {
        let level = |days, purgeable| Recovery { days, purgeable }.level();
        assert_eq!(level(90, true), "Recoverable+Purgeable");
        assert_eq!(level(90, false), "Recoverable");
        assert_eq!(level(89, true), "CustomizedRecoverable+Purgeable");
        assert_eq!(level(7, false), "CustomizedRecoverable");
    }

    #[test]
    fn the_scheduled_date_is_the_first_instant_that_is_too_late() {
        let mark = DeletionMark::new(Timestamp::UNIX_EPOCH, 7);
        let last = Timestamp::from_second(7 * 86_400 - 1).unwrap();
        let date = Timestamp::from_second(7 * 86_400).unwrap();
        assert_eq!(mark.deletion.scheduled_purge, date);
        assert_eq!(mark.recoverable(last), Some(mark.deletion));
        assert!(mark.is_over(date) && mark.recoverable(date).is_none());
        assert!(DeletionMark { purging: true, ..mark }.is_over(Timestamp::UNIX_EPOCH));
        assert_eq!(DeletionMark::new(Timestamp::MAX, 90).deletion.scheduled_purge, Timestamp::MAX);
    }
}
