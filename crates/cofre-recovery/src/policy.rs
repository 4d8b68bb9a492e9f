//! Backup policies, in the published shape.

use cofre_arm::{ResourceId, Result};
use serde::{Deserialize, Serialize};

use crate::{
    documents::{self, Resource},
    service::Recovery,
};

/// Name of the policy that every vault has.
pub const DEFAULT_POLICY: &str = "DefaultPolicy";

/// A policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Its resource id.
    pub id: ResourceId,
    /// What it says.
    pub properties: PolicyProperties,
}

/// What a policy says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyProperties {
    /// `AzureIaasVM`.
    pub backup_management_type: String,
    /// Name of a time zone.
    pub time_zone: String,
    /// When backups run.
    pub schedule_policy: SchedulePolicy,
    /// How long points are kept.
    pub retention_policy: RetentionPolicy,
    /// Days that snapshots are kept beside the vault.
    pub instant_rp_retention_range_in_days: u32,
}

/// When backups run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SchedulePolicy {
    /// `SimpleSchedulePolicy`.
    pub schedule_policy_type: String,
    /// `Daily` or `Weekly`.
    pub schedule_run_frequency: String,
    /// One instant; its time of day counts.
    pub schedule_run_times: Vec<jiff::Timestamp>,
}

/// How long points are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetentionPolicy {
    /// `LongTermRetentionPolicy`.
    pub retention_policy_type: String,
    /// Of daily points.
    pub daily_schedule: DailySchedule,
}

/// How long daily points are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DailySchedule {
    /// The schedule's run time.
    pub retention_times: Vec<jiff::Timestamp>,
    /// How long.
    pub retention_duration: RetentionDuration,
}

/// A number of days.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetentionDuration {
    /// How many.
    pub count: u32,
    /// `Days`.
    pub duration_type: String,
}

impl Resource for Policy {
    const KIND: &'static str = "policy";
    const NOUN: &'static str = "policy";

    fn id(&self) -> &ResourceId {
        &self.id
    }
}

impl Policy {
    /// The policy every vault begins with: once a day at 17:00 UTC, points kept 30 days.
    ///
    /// # Errors
    /// Never for a vault's id.
    pub(crate) fn default_of(vault: &ResourceId) -> Result<Self> {
        let at_five_pm = jiff::Timestamp::from_second(17 * 3600).unwrap_or_default();
        Ok(Self {
            id: vault.child("backupPolicies", DEFAULT_POLICY)?,
            properties: PolicyProperties {
                backup_management_type: "AzureIaasVM".to_owned(),
                time_zone: "UTC".to_owned(),
                schedule_policy: SchedulePolicy {
                    schedule_policy_type: "SimpleSchedulePolicy".to_owned(),
                    schedule_run_frequency: "Daily".to_owned(),
                    schedule_run_times: vec![at_five_pm],
                },
                retention_policy: RetentionPolicy {
                    retention_policy_type: "LongTermRetentionPolicy".to_owned(),
                    daily_schedule: DailySchedule {
                        retention_times: vec![at_five_pm],
                        retention_duration: RetentionDuration { count: 30, duration_type: "Days".to_owned() },
                    },
                },
                instant_rp_retention_range_in_days: 2,
            },
        })
    }
}

impl Recovery {
    /// A policy of a vault.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn policy(&self, vault: &ResourceId, name: &str) -> Result<Policy> {
        documents::load(self.store(), &vault.child("backupPolicies", name)?).map(|p| p.value)
    }

    /// The policies of a vault.
    ///
    /// # Errors
    /// `StateUnavailable`.
    pub fn policies(&self, vault: &ResourceId) -> Result<Vec<Policy>> {
        documents::list(self.store(), &vault.key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_policy_has_the_published_values() {
        let vault = ResourceId::resource("s", "g", "Microsoft.RecoveryServices/vaults", "v").unwrap();
        let policy = serde_json::to_value(Policy::default_of(&vault).unwrap()).unwrap();
        assert!(policy["id"].as_str().unwrap().ends_with("/vaults/v/backupPolicies/DefaultPolicy"));
        let properties = &policy["properties"];
        assert_eq!(properties["timeZone"], "UTC");
        assert_eq!(properties["schedulePolicy"]["scheduleRunFrequency"], "Daily");
        assert_eq!(
            properties["schedulePolicy"]["scheduleRunTimes"],
            serde_json::json!(["1970-01-01T17:00:00Z"])
        );
        let daily = &properties["retentionPolicy"]["dailySchedule"];
        assert_eq!(daily["retentionTimes"], properties["schedulePolicy"]["scheduleRunTimes"]);
        assert_eq!(daily["retentionDuration"], serde_json::json!({"count": 30, "durationType": "Days"}));
        assert_eq!(properties["instantRpRetentionRangeInDays"], 2);
    }
}
