//! Which scheduled backups are due.

use cofre_arm::ResourceId;
use cofre_recovery::{
    settings::{ScheduleSettings, Settings},
    vault::Redundancy,
};
use jiff::{SignedDuration, Timestamp};

use crate::{
    policies::{daily, machine},
    world::World,
};

fn world(jitter_minutes: u32) -> (World, ResourceId) {
    let schedule = ScheduleSettings { jitter_minutes, ..ScheduleSettings::default() };
    let world = World::new(Settings { schedule, ..Settings::default() });
    world.at("2027-01-01T12:00:00Z");
    let vault = world.recovery.create_vault("g", "v1", "local", Redundancy::GeoRedundant).unwrap().id;
    world.recovery.put_policy(&vault, "nightly", &daily(7)).unwrap();
    (world, vault)
}

/// The slots that are due at a time.
fn due(world: &World, time: &str) -> Vec<(ResourceId, String)> {
    let now = world.at(time);
    let due = world.recovery.due(now).unwrap();
    due.into_iter().map(|d| (d.item, d.slot.to_string())).collect()
}

#[test]
fn a_slot_is_due_once_and_missed_ones_are_made_up_for_by_the_newest() {
    let (world, vault) = world(0);
    let item = world.protect_with(&vault, &machine(&world, "web"), "nightly");
    assert_eq!(due(&world, "2027-01-01T13:00:00Z"), [], "02:00 of that day was before it was protected");
    assert_eq!(due(&world, "2027-01-02T01:59:59Z"), []);
    let first = "2027-01-02T02:00:00Z";
    assert_eq!(due(&world, first), [(item.clone(), first.to_owned())]);
    assert_eq!(world.recovery.next_run(&item).unwrap().unwrap().to_string(), first, "now");
    world.backup_scheduled(&item, first);
    assert_eq!(due(&world, "2027-01-02T23:00:00Z"), [], "it was handled");
    assert_eq!(world.recovery.next_run(&item).unwrap().unwrap().to_string(), "2027-01-03T02:00:00Z");

    // a week without anybody who looks
    let newest = "2027-01-10T02:00:00Z";
    assert_eq!(due(&world, "2027-01-10T09:00:00Z"), [(item.clone(), newest.to_owned())]);
    world.backup_scheduled(&item, newest);
    assert_eq!(due(&world, "2027-01-10T23:59:59Z"), []);

    // a schedule that is moved to an hour that is over has missed nothing
    let mut earlier = daily(7);
    for pointer in ["/schedulePolicy/scheduleRunTimes/0", "/retentionPolicy/dailySchedule/retentionTimes/0"] {
        *earlier.pointer_mut(pointer).unwrap() = "2026-01-01T20:30:00Z".into();
    }
    world.recovery.put_policy(&vault, "nightly", &earlier).unwrap();
    assert_eq!(due(&world, "2027-01-10T23:59:59Z"), []);
    assert_eq!(due(&world, "2027-01-11T20:30:00Z").len(), 1);
    // nor does it lose what is due when something else of the policy changes
    *earlier.pointer_mut("/retentionPolicy/dailySchedule/retentionDuration/count").unwrap() = 9.into();
    world.recovery.put_policy(&vault, "nightly", &earlier).unwrap();
    assert_eq!(due(&world, "2027-01-11T20:31:00Z").len(), 1);
}

#[test]
fn a_failed_backup_of_a_slot_has_handled_it() {
    let (world, vault) = world(0);
    let web = machine(&world, "web");
    let item = world.protect_with(&vault, &web, "nightly");
    std::fs::remove_file(&web.os_disk.image.path).unwrap();
    let slot = world.at("2027-01-02T02:00:00Z");
    let cancel = cofre_repo::Cancel::new();
    let done = world.recovery.backup_scheduled(&item, slot, &cofre_repo::progress::Silent, &cancel).unwrap();
    assert!(done.result.is_err());
    assert_eq!(world.recovery.item(&item).unwrap().last_slot, Some(slot));
    assert_eq!(due(&world, "2027-01-02T12:00:00Z"), []);
}

#[test]
fn items_begin_one_after_the_other_within_the_jitter() {
    let (world, vault) = world(30);
    let items: Vec<_> =
        (0..8).map(|n| world.protect_with(&vault, &machine(&world, &format!("vm{n}")), "nightly")).collect();
    let slot: Timestamp = "2027-01-02T02:00:00Z".parse().unwrap();
    let mut begins = Vec::new();
    for item in &items {
        let begin = world.recovery.next_run(item).unwrap().unwrap();
        assert!(begin >= slot && begin < slot + SignedDuration::from_mins(30), "{begin}");
        begins.push(begin);
    }
    begins.sort();
    begins.dedup();
    assert!(begins.len() > 4, "they are spread: {begins:?}");
    let before = begins[0] - SignedDuration::from_secs(1);
    assert_eq!(due(&world, &before.to_string()), []);
    let first = due(&world, &begins[0].to_string());
    assert!(!first.is_empty() && first.len() < items.len());
    let all = due(&world, "2027-01-02T02:30:00Z");
    assert_eq!(all.len(), items.len());
    assert!(all.iter().all(|(_, s)| *s == slot.to_string()));
}
