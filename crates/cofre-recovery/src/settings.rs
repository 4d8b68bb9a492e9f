//! What an operator may set: limits, cut-off instants, names.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Settings of the service, with defaults for everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Settings {
    /// Limits.
    pub limits: Limits,
    /// How jobs are run.
    pub jobs: JobSettings,
    /// Encrypted recovery points of this instant or later have a deployment template.
    pub encrypted_template_since: Timestamp,
    /// Unencrypted recovery points of this instant or later have one.
    pub plain_template_since: Timestamp,
    /// The suffix of key vault host names.
    pub key_vault_suffix: String,
    /// When scheduled backups begin.
    pub schedule: ScheduleSettings,
    /// Room that is kept free.
    pub storage: StorageSettings,
    /// Hours that data wait after no point needs them any more, before they are deleted.
    pub prune_grace_hours: u32,
}

/// Room that is kept free on the file system of repositories.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct StorageSettings {
    /// Bytes that must be free for a backup to begin; the smaller of 1 GiB and a hundredth of all where none is set. So
    /// there is room for clean-up, which writes before it deletes, and for the database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserve_bytes: Option<u64>,
    /// Bytes below which the operator is warned; four times the reserve where none is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alarm_bytes: Option<u64>,
}

impl StorageSettings {
    /// Bytes that must be free, of so many in all.
    #[must_use]
    pub fn reserve(&self, total: u64) -> u64 {
        self.reserve_bytes.unwrap_or((1 << 30).min(total / 100))
    }

    /// Bytes below which the operator is warned, of so many in all.
    #[must_use]
    pub fn alarm(&self, total: u64) -> u64 {
        self.alarm_bytes.unwrap_or(self.reserve(total).saturating_mul(4))
    }
}

/// When scheduled backups begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ScheduleSettings {
    /// A scheduled backup begins up to so many minutes after its time, so that not all begin at once.
    pub jitter_minutes: u32,
    /// Whether times of policies move with the clocks of their zone.
    pub daylight_saving: DaylightSaving,
}

/// Whether times of policies move with the clocks of their zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DaylightSaving {
    /// Times are in the zone's standard time all year. The published contract knows no other way.
    #[default]
    Ignored,
    /// Times are those of the clocks in the zone.
    Followed,
}

impl Default for ScheduleSettings {
    fn default() -> Self {
        // the contract has scheduled backups begin within two hours: the rest is for those that wait in the queue
        Self { jitter_minutes: 30, daylight_saving: DaylightSaving::Ignored }
    }
}

/// How much of what is accepted. Today's published limits, where they are published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Limits {
    /// Recovery Services vaults in a subscription.
    pub vaults: u64,
    /// Machines in a vault.
    pub machines_per_vault: u64,
    /// Machines with one policy.
    pub machines_per_policy: u64,
    /// Policies in a vault.
    pub policies_per_vault: u64,
    /// The fewest days that daily points may be kept.
    pub daily_retention_days: u32,
    /// The most days, weeks, months or years that a range of retention may have.
    pub retention_count: u32,
    /// Data disks of a machine.
    pub data_disks: usize,
    /// Bytes of a disk.
    pub disk_bytes: u64,
    /// Days that a point of an on-demand backup is kept when nothing else was asked for.
    pub on_demand_days: u32,
}

/// How jobs are run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct JobSettings {
    /// Jobs that one process runs at the same time.
    pub slots: usize,
    /// Seconds between two signs of life of whoever runs a job.
    pub heartbeat_seconds: u64,
    /// Seconds without one after which a job is given to another worker: many times the above, and more than the clocks
    /// of hosts may differ.
    pub stale_seconds: u64,
    /// How often a job is taken over from a process that died or fell silent, before it fails.
    pub take_overs: u32,
    /// How often a worker tries a job again that failed for a reason that may pass.
    pub retries: u32,
    /// Seconds before the first of these; each later one waits twice as long.
    pub retry_seconds: u64,
    /// Seconds between two looks of a worker at what is due: schedules, and deletions.
    pub tick_seconds: u64,
    /// Seconds between two rounds, of all workers together, in which points whose date has passed are deleted.
    pub clean_up_seconds: u64,
}

impl Default for JobSettings {
    fn default() -> Self {
        Self {
            slots: 2,
            heartbeat_seconds: 5,
            stale_seconds: 60,
            take_overs: 3,
            retries: 2,
            retry_seconds: 30,
            tick_seconds: 30,
            clean_up_seconds: 3600,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            vaults: 500,
            machines_per_vault: 1000,
            machines_per_policy: 100,
            policies_per_vault: 200,
            daily_retention_days: 7,
            retention_count: 9999,
            data_disks: 32,
            disk_bytes: 32 << 40,
            on_demand_days: 30,
        }
    }
}

/// 27 April 2017, 00:00 UTC.
const ENCRYPTED_TEMPLATE_SINCE: i64 = 1_493_251_200;
/// 2 March 2017, 00:00 UTC.
const PLAIN_TEMPLATE_SINCE: i64 = 1_488_412_800;

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            jobs: JobSettings::default(),
            encrypted_template_since: Timestamp::from_second(ENCRYPTED_TEMPLATE_SINCE).unwrap_or_default(),
            plain_template_since: Timestamp::from_second(PLAIN_TEMPLATE_SINCE).unwrap_or_default(),
            key_vault_suffix: "vault.localhost".to_owned(),
            schedule: ScheduleSettings::default(),
            storage: StorageSettings::default(),
            prune_grace_hours: 24,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_offs_are_the_published_days() {
        let settings = Settings::default();
        assert_eq!(settings.encrypted_template_since.to_string(), "2017-04-27T00:00:00Z");
        assert_eq!(settings.plain_template_since.to_string(), "2017-03-02T00:00:00Z");
        let json = serde_json::to_string(&settings).unwrap();
        assert_eq!(serde_json::from_str::<Settings>(&json).unwrap(), settings);
        assert!(serde_json::from_str::<Settings>(r#"{"limit": 1}"#).is_err(), "a misspelt name is noticed");
        assert_eq!(serde_json::from_str::<Settings>("{}").unwrap(), settings);
    }
}
