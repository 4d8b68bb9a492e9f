use proptest::prelude::*;
use serde_json::json;

use super::*;

fn sent() -> Value {
    // as the published client sends back what it printed
    json!({"eTag": null, "location": null, "resourceGroup": "rg1", "tags": null, "properties": {
        "backupManagementType": "AzureIaasVM",
        "instantRpDetails": {"azureBackupRgNamePrefix": null, "azureBackupRgNameSuffix": null},
        "instantRpRetentionRangeInDays": 2, "policyType": "V1", "protectedItemsCount": 0,
        "resourceGuardOperationRequests": null,
        "retentionPolicy": {"dailySchedule": {"retentionDuration": {"count": 30, "durationType": "Days"},
                "retentionTimes": ["2026-01-01T02:00:00+00:00"]},
            "monthlySchedule": null, "retentionPolicyType": "LongTermRetentionPolicy",
            "weeklySchedule": null, "yearlySchedule": null},
        "schedulePolicy": {"hourlySchedule": null, "schedulePolicyType": "SimpleSchedulePolicy",
            "scheduleRunDays": null, "scheduleRunFrequency": "daily",
            "scheduleRunTimes": ["2026-01-01T02:00:00+00:00"], "scheduleWeeklyFrequency": 0},
        "snapshotConsistencyType": null,
        "tieringPolicy": {"ArchivedRP": {"duration": 0, "durationType": "Invalid", "tieringMode": "DoNotTier"}},
        "timeZone": "UTC"}})
}

#[test]
fn what_the_client_sends_back_is_read() {
    let policy = read(&sent()).unwrap();
    assert_eq!(policy.schedule_policy.time_of_day(), civil::time(2, 0, 0, 0));
    assert_eq!(policy.schedule_policy.schedule_run_frequency, Frequency::Daily);
    assert_eq!(policy.retention_policy.daily_schedule.as_ref().unwrap().retention_duration.count, 30);
    assert!(policy.retention_policy.yearly_schedule.is_none());
    assert_eq!(read(&sent()["properties"]).unwrap(), policy, "the properties alone are as good");
    let vault = cofre_arm::ResourceId::resource("s", "g", "Microsoft.RecoveryServices/vaults", "v").unwrap();
    let stored = super::super::Policy {
        id: vault.child("backupPolicies", "p").unwrap(),
        properties: policy.clone(),
        scheduled_since: None,
    };
    assert_eq!(read(&stored.wire(7)).unwrap(), policy, "and so is what we show");
    assert_eq!(stored.wire(7)["protectedItemsCount"], 7);
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    let cases = [
        ("/properties/backupManagementType", json!("AzureWorkload"), "backupManagementType"),
        ("/properties/backupManagementType", json!(null), "backupManagementType"),
        ("/properties/policyType", json!("V2"), "policyType"),
        ("/properties/snapshotConsistencyType", json!("OnlyCrashConsistent"), "snapshotConsistencyType"),
        ("/properties/tieringPolicy/ArchivedRP/tieringMode", json!("TierAfter"), "tieringMode"),
        (
            "/properties/schedulePolicy/schedulePolicyType",
            json!("SimpleSchedulePolicyV2"),
            "schedulePolicyType",
        ),
        ("/properties/schedulePolicy/hourlySchedule", json!({"interval": 4}), "hourlySchedule"),
        ("/properties/schedulePolicy/scheduleRunFrequency", json!("Hourly"), "scheduleRunFrequency"),
        ("/properties/schedulePolicy/scheduleWeeklyFrequency", json!(2), "scheduleWeeklyFrequency"),
        ("/properties/schedulePolicy/scheduleRunTimes", json!(["02:00"]), "scheduleRunTimes[0]"),
        ("/properties/schedulePolicy/scheduleRunTimes", json!(["2026-01-01"]), "scheduleRunTimes[0]"),
        ("/properties/schedulePolicy/scheduleRunTimes", json!("2026-01-01T02:00:00Z"), "scheduleRunTimes"),
        ("/properties/retentionPolicy", json!("long"), "retentionPolicy"),
        ("/properties/retentionPolicy/dailySchedule/retentionDuration/count", json!(-1), "count"),
        ("/properties/retentionPolicy/dailySchedule/retentionDuration", json!(null), "retentionDuration"),
        ("/properties/timeZone", json!(["UTC"]), "timeZone"),
    ];
    for (pointer, value, field) in cases {
        let mut policy = sent();
        *policy.pointer_mut(pointer).unwrap() = value.clone();
        let error = read(&policy).unwrap_err();
        assert_eq!(error.problem(), cofre_arm::Problem::InvalidParameter, "{pointer}");
        assert!(error.to_string().contains(field), "{pointer} = {value}: {error}");
        assert!(!error.recommendation().is_empty(), "{pointer}");
    }
    for nonsense in [json!(null), json!([]), json!(3), json!({})] {
        assert!(read(&nonsense).is_err(), "{nonsense}");
    }
}

#[test]
fn both_formats_of_days_are_read() {
    let mut policy = sent();
    let times = json!(["2026-01-01T02:00:00"]);
    policy["properties"]["retentionPolicy"]["monthlySchedule"] = json!({
        "retentionScheduleFormatType": "Daily",
        "retentionScheduleDaily": {"daysOfTheMonth": [{"date": 1, "isLast": false}, {"date": 0, "isLast": true}]},
        "retentionScheduleWeekly": {"daysOfTheWeek": ["Sunday"], "weeksOfTheMonth": ["First"]},
        "retentionTimes": times, "retentionDuration": {"count": 60, "durationType": "Months"}});
    policy["properties"]["retentionPolicy"]["yearlySchedule"] = json!({
        "retentionScheduleFormatType": "Weekly", "monthsOfYear": ["January"], "retentionScheduleDaily": null,
        "retentionScheduleWeekly": {"daysOfTheWeek": ["sunday"], "weeksOfTheMonth": ["Last"]},
        "retentionTimes": times, "retentionDuration": {"count": 10, "durationType": "Years"}});
    let read = read(&policy).unwrap();
    let monthly = read.retention_policy.monthly_schedule.as_ref().unwrap();
    assert!(monthly.days.hold(civil::date(2026, 6, 30)) && !monthly.days.hold(civil::date(2026, 6, 7)));
    let yearly = read.retention_policy.yearly_schedule.as_ref().unwrap();
    assert!(yearly.days.hold(civil::date(2026, 1, 25)));
    let record = serde_json::to_value(&read).unwrap();
    assert_eq!(record["retentionPolicy"]["yearlySchedule"]["retentionScheduleFormatType"], "Weekly");
    assert_eq!(serde_json::from_value::<PolicyProperties>(record).unwrap(), read);
}

#[test]
fn the_example_in_the_guide_is_a_policy() {
    let guide = include_str!("../../../../../docs/policies.md");
    let (_, rest) = guide.split_once("```json\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let policy = read(&serde_json::from_str(example).unwrap()).unwrap();
    super::super::validation::check(&policy, &crate::settings::Limits::default()).unwrap();
    assert!(
        policy.retention_policy.monthly_schedule.is_some()
            && policy.retention_policy.weekly_schedule.is_some()
    );
    assert_eq!(policy.instant_rp_retention_range_in_days, 2, "the default");
}

/// Every place in a JSON value.
fn places(value: &Value, at: &str, all: &mut Vec<String>) {
    all.push(at.to_owned());
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, v)| places(v, &format!("{at}/{name}"), all)),
        Value::Array(list) => list.iter().enumerate().for_each(|(n, v)| places(v, &format!("{at}/{n}"), all)),
        _ => {}
    }
}

/// What a hostile or careless client may put in any place.
fn replacement() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0_u32..40).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
        prop::sample::select(vec![
            "Daily",
            "Weekly",
            "Sunday",
            "monday",
            "First",
            "Last",
            "January",
            "Days",
            "Years",
            "UTC",
            "Asia/Tehran",
            "2026-01-01T02:00:00Z",
            "-009999-01-02T00:00:00Z",
            "9999-12-30T22:00:00Z",
            "2026-01-01T02:30:00+05:45",
        ])
        .prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
        Just(json!(["Sunday"])),
        Just(json!([{"date": 1, "isLast": true}])),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever is sent: it is refused by name, or it is a policy that can be stored, shown, sent back and run by.
    #[test]
    fn what_is_accepted_can_be_used(changes in prop::collection::vec((any::<prop::sample::Index>(), replacement()), 0..4)) {
        let mut policy = sent();
        let times = json!(["2026-01-01T02:00:00Z"]);
        policy["properties"]["retentionPolicy"]["yearlySchedule"] = json!({
            "retentionScheduleFormatType": "Weekly", "monthsOfYear": ["January"],
            "retentionScheduleDaily": {"daysOfTheMonth": [{"date": 1, "isLast": false}]},
            "retentionScheduleWeekly": {"daysOfTheWeek": ["Sunday"], "weeksOfTheMonth": ["Last"]},
            "retentionTimes": times, "retentionDuration": {"count": 9999, "durationType": "Years"}});
        for (place, value) in changes {
            let mut all = Vec::new();
            places(&policy, "", &mut all);
            let place: &String = place.get(&all);
            *policy.pointer_mut(place).unwrap() = value;
        }
        let accepted = read(&policy).and_then(|p| {
            super::super::validation::check(&p, &crate::settings::Limits::default()).map(|()| p)
        });
        match accepted {
            Err(error) => {
                prop_assert_eq!(error.problem(), cofre_arm::Problem::InvalidParameter);
                prop_assert!(error.to_string().starts_with("properties"), "{}", error);
            }
            Ok(accepted) => {
                let record = serde_json::to_vec(&accepted).unwrap();
                prop_assert_eq!(&serde_json::from_slice::<PolicyProperties>(&record).unwrap(), &accepted);
                let vault = cofre_arm::ResourceId::resource("s", "g", "Microsoft.RecoveryServices/vaults", "v").unwrap();
                let id = vault.child("backupPolicies", "p").unwrap();
                let stored = super::super::Policy { id, properties: accepted.clone(), scheduled_since: None };
                prop_assert_eq!(&read(&stored.wire(0)).unwrap(), &accepted);
                let saving = crate::settings::DaylightSaving::Followed;
                let slots = crate::schedule::Slots::of(&accepted, saving).unwrap();
                let slot = slots.next("2026-11-25T18:00:00Z".parse().unwrap()).unwrap();
                let tags = crate::retention::tags(&accepted, saving, slot).unwrap();
                prop_assert!(crate::retention::expiry(&accepted, saving, slot, &tags).unwrap() > Some(slot));
            }
        }
    }
}
