//! Backup policies, in the published shape: when backups run, and how long their points are kept.
//!
//! `reading` takes what clients send, `validation` has the published rules, `wire` is what clients see.

mod changes;
mod names;
mod reading;
mod shape;
mod validation;
mod wire;

use cofre_arm::{ResourceId, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub(crate) use self::shape::time_of_day;
pub use self::{
    names::{DayFormat, DayOfWeek, DurationUnit, Frequency, Month, WeekOfMonth},
    shape::{
        DailySchedule, DatesOfMonth, DayOfMonth, DaysOfMonth, MonthlySchedule, PolicyProperties,
        RetentionDuration, RetentionPolicy, SchedulePolicy, WeekdaysOfMonth, WeeklySchedule, YearlySchedule,
    },
};
use crate::documents::Resource;

/// Name of the policy that every vault has.
pub const DEFAULT_POLICY: &str = "DefaultPolicy";

/// A policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// Its resource id.
    pub id: ResourceId,
    /// What it says.
    pub properties: PolicyProperties,
    /// Since when backups run at its times: an earlier time that a change brought is nothing that was missed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_since: Option<Timestamp>,
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
        let at_five_pm = Timestamp::from_second(17 * 3600).unwrap_or_default();
        Ok(Self {
            id: vault.child("backupPolicies", DEFAULT_POLICY)?,
            scheduled_since: None,
            properties: PolicyProperties {
                backup_management_type: "AzureIaasVM".to_owned(),
                time_zone: "UTC".to_owned(),
                schedule_policy: SchedulePolicy {
                    schedule_policy_type: "SimpleSchedulePolicy".to_owned(),
                    schedule_run_frequency: Frequency::Daily,
                    schedule_run_days: Vec::new(),
                    schedule_run_times: vec![at_five_pm],
                },
                retention_policy: RetentionPolicy {
                    retention_policy_type: "LongTermRetentionPolicy".to_owned(),
                    daily_schedule: Some(DailySchedule {
                        retention_times: vec![at_five_pm],
                        retention_duration: RetentionDuration {
                            count: 30,
                            duration_type: DurationUnit::Days,
                        },
                    }),
                    weekly_schedule: None,
                    monthly_schedule: None,
                    yearly_schedule: None,
                },
                instant_rp_retention_range_in_days: 2,
            },
        })
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
        let retention = &properties["retentionPolicy"];
        let daily = &retention["dailySchedule"];
        assert_eq!(daily["retentionTimes"], properties["schedulePolicy"]["scheduleRunTimes"]);
        assert_eq!(daily["retentionDuration"], serde_json::json!({"count": 30, "durationType": "Days"}));
        for off in ["weeklySchedule", "monthlySchedule", "yearlySchedule"] {
            assert!(retention.get(off).is_none(), "{off}");
        }
        assert_eq!(properties["instantRpRetentionRangeInDays"], 2);
    }

    /// What version 0.1 of the program stored before policies could be changed.
    #[test]
    fn records_of_the_first_shape_are_still_read() {
        let record = r#"{"id":"/subscriptions/s/resourceGroups/g/providers/Microsoft.RecoveryServices/vaults/v/backupPolicies/DefaultPolicy",
            "properties":{"backupManagementType":"AzureIaasVM","timeZone":"UTC",
            "schedulePolicy":{"schedulePolicyType":"SimpleSchedulePolicy","scheduleRunFrequency":"Daily",
                "scheduleRunTimes":["1970-01-01T17:00:00Z"]},
            "retentionPolicy":{"retentionPolicyType":"LongTermRetentionPolicy","dailySchedule":{
                "retentionTimes":["1970-01-01T17:00:00Z"],"retentionDuration":{"count":30,"durationType":"Days"}}},
            "instantRpRetentionRangeInDays":2}}"#;
        let policy: Policy = serde_json::from_str(record).unwrap();
        let vault = ResourceId::resource("s", "g", "Microsoft.RecoveryServices/vaults", "v").unwrap();
        assert_eq!(policy, Policy::default_of(&vault).unwrap());
    }
}

/// Policies for the tests of this crate.
#[cfg(test)]
pub(crate) mod samples {
    use super::*;

    /// A policy that runs at a time of day, on these days or on every day, and keeps points 30 days or 4 weeks.
    pub(crate) fn policy(zone: &str, time: &str, days: &[DayOfWeek]) -> PolicyProperties {
        let vault = ResourceId::resource("s", "g", "Microsoft.RecoveryServices/vaults", "v").unwrap();
        let mut policy = Policy::default_of(&vault).unwrap().properties;
        let times = vec![format!("2026-01-01T{time}:00Z").parse().unwrap()];
        zone.clone_into(&mut policy.time_zone);
        policy.schedule_policy.schedule_run_times.clone_from(&times);
        if days.is_empty() {
            policy.retention_policy.daily_schedule.as_mut().unwrap().retention_times = times;
            return policy;
        }
        policy.schedule_policy.schedule_run_frequency = Frequency::Weekly;
        policy.schedule_policy.schedule_run_days = days.to_vec();
        policy.retention_policy.daily_schedule = None;
        policy.retention_policy.weekly_schedule = Some(WeeklySchedule {
            days_of_the_week: days.to_vec(),
            retention_times: times,
            retention_duration: RetentionDuration { count: 4, duration_type: DurationUnit::Weeks },
        });
        policy.instant_rp_retention_range_in_days = 5;
        policy
    }
}
