//! Policies of a vault, and what a change does to points that are there.

use cofre_arm::{Problem, ResourceId};
use cofre_recovery::{
    policy::DEFAULT_POLICY,
    retention::PointRetention,
    settings::{Limits, Settings},
    vault::Redundancy,
};
use serde_json::{Value, json};

use crate::world::World;

/// Every day at 02:00 UTC, kept some days.
pub(crate) fn daily(days: u32) -> Value {
    let times = json!(["2026-01-01T02:00:00Z"]);
    json!({
        "backupManagementType": "AzureIaasVM",
        "timeZone": "UTC",
        "schedulePolicy": {
            "schedulePolicyType": "SimpleSchedulePolicy",
            "scheduleRunFrequency": "Daily",
            "scheduleRunTimes": times,
        },
        "retentionPolicy": {
            "retentionPolicyType": "LongTermRetentionPolicy",
            "dailySchedule": {"retentionTimes": times, "retentionDuration": {"count": days, "durationType": "Days"}},
        },
    })
}

/// The same, and Sundays some weeks.
pub(crate) fn daily_and_sundays(days: u32, weeks: u32) -> Value {
    let mut policy = daily(days);
    policy["retentionPolicy"]["weeklySchedule"] = json!({
        "daysOfTheWeek": ["Sunday"],
        "retentionTimes": ["2026-01-01T02:00:00Z"],
        "retentionDuration": {"count": weeks, "durationType": "Weeks"},
    });
    policy
}

/// A machine in the world, not encrypted.
pub(crate) fn machine(world: &World, name: &str) -> cofre_compute::VirtualMachine {
    let image = world.image(&format!("{name}.raw"), "one");
    world.machine(name, World::disk("os", &image, None), Vec::new())
}

fn expiry(world: &World, item: &ResourceId, point: &str) -> String {
    world.recovery.recovery_point(item, point).unwrap().expiry.to_string()
}

#[test]
fn a_policy_is_made_changed_and_deleted() {
    let limits = Limits { policies_per_vault: 2, ..Limits::default() };
    let world = World::new(Settings { limits, ..Settings::default() });
    let recovery = &world.recovery;
    let vault = recovery.create_vault("g", "v1", "local", Redundancy::GeoRedundant).unwrap().id;
    let elsewhere = recovery.vault_id("g", "v2").unwrap();
    assert_eq!(recovery.put_policy(&elsewhere, "p", &daily(7)).unwrap_err().problem(), Problem::NotFound);
    let (made, new) = recovery.put_policy(&vault, "nightly", &daily(7)).unwrap();
    assert!(new);
    let (changed, new) = recovery.put_policy(&vault, "Nightly", &json!({"properties": daily(8)})).unwrap();
    assert!(!new, "names are compared without case");
    assert_eq!(changed.id, made.id);
    assert_eq!(recovery.policies(&vault).unwrap().len(), 2);
    let full = recovery.put_policy(&vault, "third", &daily(7)).unwrap_err();
    assert_eq!(full.problem(), Problem::VaultLimit);
    for (name, properties) in [("nightly", daily(6)), ("night/ly", daily(7)), ("nightly", json!(null))] {
        let refused = recovery.put_policy(&vault, name, &properties).unwrap_err();
        assert_eq!(refused.problem(), Problem::InvalidParameter, "{name} {properties}");
    }
    assert_eq!(recovery.policy(&vault, "nightly").unwrap(), changed, "what was refused changed nothing");

    let item = world.protect_with(&vault, &machine(&world, "web"), "nightly");
    let users = recovery.policy_items(&changed.id).unwrap();
    assert_eq!(users.iter().map(|i| &i.id).collect::<Vec<_>>(), [&item]);
    let counts = recovery.policy_item_counts(&vault).unwrap();
    assert_eq!(counts.into_iter().collect::<Vec<_>>(), [(made.id.clone(), 1)], "DefaultPolicy has none");
    let refused = recovery.delete_policy(&vault, "nightly").unwrap_err();
    assert_eq!(refused.problem(), Problem::Conflict);
    assert!(refused.to_string().contains("web"), "{refused}");
    assert_eq!(recovery.delete_policy(&vault, DEFAULT_POLICY).unwrap_err().problem(), Problem::Conflict);
    recovery.put_policy(&vault, DEFAULT_POLICY, &daily(90)).unwrap();
}

#[test]
fn a_policy_that_nobody_uses_can_be_deleted() {
    let (world, vault) = World::ready();
    world.recovery.put_policy(&vault, "nightly", &daily(7)).unwrap();
    world.recovery.delete_policy(&vault, "nightly").unwrap();
    assert_eq!(world.recovery.policy(&vault, "nightly").unwrap_err().problem(), Problem::NotFound);
    assert_eq!(world.recovery.delete_policy(&vault, "nightly").unwrap_err().problem(), Problem::NotFound);
}

#[test]
fn a_changed_policy_moves_the_dates_of_its_points_and_of_no_others() {
    let (world, vault) = World::ready();
    let recovery = &world.recovery;
    world.at("2027-01-01T00:00:00Z");
    recovery.put_policy(&vault, "nightly", &daily(30)).unwrap();
    let item = world.protect_with(&vault, &machine(&world, "web"), "nightly");
    let other = world.protect(&vault, &machine(&world, "other"));
    let sunday = world.backup_scheduled(&item, "2027-01-03T02:00:00Z");
    assert_eq!(expiry(&world, &item, &sunday), "2027-02-02T02:00:00Z");
    let apart = world.backup_scheduled(&other, "2027-01-03T17:00:00Z");
    let asked = world.backup(&item).result.unwrap().point;
    assert_eq!(asked.retention, PointRetention::OnDemand);

    // longer applies to what is there; a new range does not
    recovery.put_policy(&vault, "nightly", &daily_and_sundays(60, 52)).unwrap();
    assert_eq!(expiry(&world, &item, &sunday), "2027-03-04T02:00:00Z");
    let tagged = world.backup_scheduled(&item, "2027-01-10T02:00:00Z");
    assert_eq!(expiry(&world, &item, &tagged), "2028-01-09T02:00:00Z", "a Sunday that was made under it");

    // shorter does, too; and a range that goes leaves the others of its points
    recovery.put_policy(&vault, "nightly", &daily(7)).unwrap();
    assert_eq!(expiry(&world, &item, &sunday), "2027-01-10T02:00:00Z");
    assert_eq!(expiry(&world, &item, &tagged), "2027-01-17T02:00:00Z");
    assert_eq!(expiry(&world, &item, &asked.name), asked.expiry.to_string(), "it was asked for");
    assert_eq!(expiry(&world, &other, &apart), "2027-02-02T17:00:00Z", "another policy");

    // rows that are made anew from the repository have the dates of today's policy
    let store = cofre_store::Store::open(&world.folder.path().join("cofre.db")).unwrap();
    let mut batch = cofre_store::Batch::new(world.at("2027-01-11T00:00:00Z"));
    batch.points.push(cofre_store::PointChange::Clear { item: item.key() });
    store.commit(&batch).unwrap();
    assert_eq!(recovery.reconcile(&item).unwrap().adopted.len(), 3);
    assert_eq!(expiry(&world, &item, &tagged), "2027-01-17T02:00:00Z");
    assert_eq!(expiry(&world, &item, &asked.name), asked.expiry.to_string());
}
