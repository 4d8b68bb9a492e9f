//! Deleting points whose date has passed.

use std::{
    fs,
    io::{Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use cofre_arm::{Problem, ResourceId};
use cofre_compute::VirtualMachine;
use cofre_recovery::{
    clean_up::CleanUp,
    points::{EXPIRED, VISIBLE},
    settings::Settings,
    vault::Redundancy,
};
use cofre_repo::{Cancel, progress::Silent};
use cofre_store::{Batch, PointChange, Store};

use crate::{
    policies::{daily, daily_and_sundays, machine},
    world::World,
};

/// A world whose prune waits for nothing, and a machine in it with a policy that keeps points 7 days.
fn world() -> (World, ResourceId, VirtualMachine, ResourceId) {
    let world = World::new(Settings { prune_grace_hours: 0, ..Settings::default() });
    world.at("2027-01-01T00:00:00Z");
    let vault = world.recovery.create_vault("g", "v1", "local", Redundancy::GeoRedundant).unwrap().id;
    world.recovery.put_policy(&vault, "nightly", &daily(7)).unwrap();
    let web = machine(&world, "web");
    let item = world.protect_with(&vault, &web, "nightly");
    (world, vault, web, item)
}

fn clean_up(world: &World, item: &ResourceId) -> cofre_arm::Result<CleanUp> {
    world.recovery.clean_up(item, &Silent, &Cancel::new())
}

/// The points of an item and how they stand, newest first.
fn points(world: &World, item: &ResourceId) -> Vec<(String, String)> {
    world.recovery.recovery_points(item).unwrap().into_iter().map(|p| (p.name, p.state)).collect()
}

/// Puts new bytes that do not compress into the machine's disk.
fn change(web: &VirtualMachine, seed: u64) {
    let mut bytes = Vec::with_capacity(6 << 20);
    let mut number = seed;
    while bytes.len() < 6 << 20 {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&(number >> 24).to_le_bytes()[..4]);
    }
    let mut disk = fs::OpenOptions::new().write(true).open(&web.os_disk.image.path).unwrap();
    disk.seek(SeekFrom::Start(8 << 20)).unwrap();
    disk.write_all(&bytes).unwrap();
}

fn repository(world: &World, item: &ResourceId) -> PathBuf {
    let id = world.recovery.item(item).unwrap().repository.unwrap().id;
    world.folder.path().join("repositories").join(id).join("repository")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    all.sort();
    all
}

/// Bytes of all packs.
fn packs(repository: &Path) -> u64 {
    let folders = files(&repository.join("data"));
    folders.iter().flat_map(|f| files(f)).map(|p| p.metadata().unwrap().len()).sum()
}

#[test]
fn what_is_over_goes_with_its_space_and_the_last_point_stays() {
    let (world, _, web, item) = world();
    assert!(clean_up(&world, &item).unwrap().prune.is_none(), "before the first backup there is nothing");
    let first = world.backup_scheduled(&item, "2027-01-02T02:00:00Z");
    change(&web, 1);
    let second = world.backup_scheduled(&item, "2027-01-03T02:00:00Z");
    change(&web, 2);
    let third = world.backup_scheduled(&item, "2027-01-04T02:00:00Z");
    let repository = repository(&world, &item);
    let full = packs(&repository);

    world.at("2027-01-09T01:59:59Z");
    let done = clean_up(&world, &item).unwrap();
    assert!(done.expired.is_empty() && done.kept.is_none() && done.prune.is_none(), "{done:?}");
    world.at("2027-01-10T02:00:00Z");
    let done = clean_up(&world, &item).unwrap();
    assert_eq!(done.expired, [second.clone(), first.clone()], "newest first");
    assert!(done.prune.unwrap().packs_deleted > 0);
    assert!(packs(&repository) < full - (5 << 20), "{} of {full}", packs(&repository));
    assert_eq!(points(&world, &item), [(third.clone(), VISIBLE.to_owned())]);
    assert_eq!(world.recovery.recovery_point(&item, &second).unwrap_err().problem(), Problem::NotFound);
    let reconciled = world.recovery.reconcile(&item).unwrap();
    assert_eq!(reconciled, Default::default(), "the list and the repository agree");

    // years later the last one is still there, until there is another
    world.at("2030-01-01T00:00:00Z");
    let done = clean_up(&world, &item).unwrap();
    assert_eq!((done.expired.len(), done.kept), (0, Some(third.clone())));
    let fourth = world.backup_scheduled(&item, "2030-01-01T02:00:00Z");
    let done = clean_up(&world, &item).unwrap();
    assert_eq!((done.expired, done.kept), (vec![third], None));
    assert_eq!(points(&world, &item), [(fourth, VISIBLE.to_owned())]);
}

#[test]
fn a_shorter_policy_marks_for_the_next_clean_up_and_a_longer_one_saves() {
    let (world, vault, _, item) = world();
    world.recovery.put_policy(&vault, "nightly", &daily_and_sundays(30, 52)).unwrap();
    let saturday = world.backup_scheduled(&item, "2027-01-02T02:00:00Z");
    let sunday = world.backup_scheduled(&item, "2027-01-03T02:00:00Z");
    let asked = world.backup(&item).result.unwrap().point.name;
    world.at("2027-01-20T00:00:00Z");
    world.recovery.put_policy(&vault, "nightly", &daily_and_sundays(7, 52)).unwrap();
    world.recovery.put_policy(&vault, "nightly", &daily_and_sundays(60, 52)).unwrap();
    assert!(clean_up(&world, &item).unwrap().expired.is_empty(), "longer again before anything was deleted");
    world.recovery.put_policy(&vault, "nightly", &daily_and_sundays(7, 52)).unwrap();
    assert_eq!(clean_up(&world, &item).unwrap().expired, [saturday]);
    let left: Vec<_> = points(&world, &item).into_iter().map(|(name, _)| name).collect();
    assert_eq!(left, [asked, sunday], "Sundays stay a year, and what was asked for its 30 days");
}

#[test]
fn the_last_point_is_one_that_is_there() {
    let (world, _, web, item) = world();
    let good = world.backup_scheduled(&item, "2027-01-02T02:00:00Z");
    let snapshots = repository(&world, &item).join("snapshots");
    let of_good = files(&snapshots);
    change(&web, 1);
    let gone = world.backup_scheduled(&item, "2027-01-03T02:00:00Z");
    let lost: Vec<_> = files(&snapshots).into_iter().filter(|f| !of_good.contains(f)).collect();
    fs::remove_file(&lost[0]).unwrap();
    world.at("2027-02-01T00:00:00Z");
    let done = clean_up(&world, &item).unwrap();
    assert_eq!((done.expired, done.kept), (vec![gone], Some(good.clone())));
    assert_eq!(points(&world, &item), [(good, VISIBLE.to_owned())]);
}

/// Where a change of a policy died before it came to the points, the clean-up goes by the policy.
#[test]
fn a_change_of_policy_that_was_cut_short_is_taken_up() {
    let (world, vault, _, item) = world();
    let first = world.backup_scheduled(&item, "2027-01-02T02:00:00Z");
    let second = world.backup_scheduled(&item, "2027-01-03T02:00:00Z");
    let store = Store::open(&world.folder.path().join("cofre.db")).unwrap();
    let short = store.point(&item.key(), &first).unwrap().unwrap();
    world.recovery.put_policy(&vault, "nightly", &daily(30)).unwrap();
    let long = store.point(&item.key(), &first).unwrap().unwrap();
    let mut batch = Batch::new(world.at("2027-01-20T00:00:00Z"));
    batch.points.push(PointChange::Replace(short));
    store.commit(&batch).unwrap();
    assert!(clean_up(&world, &item).unwrap().expired.is_empty(), "longer, though its row did not know yet");
    assert_eq!(store.point(&item.key(), &first).unwrap().unwrap(), long);

    world.recovery.put_policy(&vault, "nightly", &daily(17)).unwrap();
    batch.points = vec![PointChange::Replace(long)];
    store.commit(&batch).unwrap();
    assert_eq!(clean_up(&world, &item).unwrap().expired, [first], "shorter, though its row did not know yet");
    assert_eq!(points(&world, &item), [(second, VISIBLE.to_owned())]);
}

/// After each step at which a clean-up can die, the next one finishes it.
#[test]
fn a_clean_up_that_was_cut_short_is_taken_up() {
    let (world, _, web, item) = world();
    let first = world.backup_scheduled(&item, "2027-01-02T02:00:00Z");
    let repository = repository(&world, &item);
    let snapshots = repository.join("snapshots");
    let of_first = files(&snapshots);
    change(&web, 1);
    let second = world.backup_scheduled(&item, "2027-01-03T02:00:00Z");
    change(&web, 2);
    let third = world.backup_scheduled(&item, "2027-01-04T02:00:00Z");
    world.at("2027-01-10T12:00:00Z");

    // the rows are called expired, and then the snapshots cannot be deleted
    let (locks, aside) = (repository.join("locks"), repository.join("aside"));
    fs::rename(&locks, &aside).unwrap();
    fs::write(&locks, b"no folder").unwrap();
    clean_up(&world, &item).unwrap_err();
    fs::remove_file(&locks).unwrap();
    fs::rename(&aside, &locks).unwrap();
    let expired = |name: &str| (name.to_owned(), EXPIRED.to_owned());
    let visible = (third.clone(), VISIBLE.to_owned());
    assert_eq!(points(&world, &item), [visible.clone(), expired(&second), expired(&first)]);
    for name in [&first, &second] {
        let error = world.recovery.recovery_point(&item, name).unwrap_err();
        assert_eq!(error.problem(), Problem::NotFound, "what expired cannot be restored any more");
    }
    assert_eq!(world.recovery.recovery_point(&item, "latest").unwrap().name, third);
    assert_eq!(world.recovery.reconcile(&item).unwrap(), Default::default(), "nothing is lost, nothing new");

    // one snapshot went, its row stayed
    fs::remove_file(&of_first[0]).unwrap();
    assert_eq!(world.recovery.reconcile(&item).unwrap(), Default::default(), "it is not called lost");
    let done = clean_up(&world, &item).unwrap();
    assert_eq!(done.expired, [second, first]);
    assert_eq!(points(&world, &item), [visible]);
    assert_eq!(files(&snapshots).len(), 1);
    assert!(clean_up(&world, &item).unwrap().expired.is_empty());
}

#[test]
fn a_round_passes_over_items_of_which_nothing_can_have_expired() {
    let (world, vault, web, item) = world();
    let looked_at = || -> Vec<ResourceId> {
        world.recovery.items_to_clean_up().unwrap().into_iter().map(|item| item.id).collect()
    };
    let none: [ResourceId; 0] = [];
    assert_eq!(looked_at(), none, "before the first backup there is nothing");
    let first = world.backup_scheduled(&item, "2027-01-02T02:00:00Z");
    assert_eq!(looked_at(), std::slice::from_ref(&item), "no round came to it yet");
    clean_up(&world, &item).unwrap();
    assert_eq!(looked_at(), none);
    change(&web, 1);
    let second = world.backup_scheduled(&item, "2027-01-03T02:00:00Z");
    assert_eq!(looked_at(), std::slice::from_ref(&item), "a backup may have brought another date");
    clean_up(&world, &item).unwrap();

    // the first date, and not before
    world.at("2027-01-09T01:59:59Z");
    assert_eq!(looked_at(), none);
    world.at("2027-01-09T02:00:00Z");
    assert_eq!(looked_at(), std::slice::from_ref(&item));
    assert_eq!(clean_up(&world, &item).unwrap().expired, [first]);
    while looked_at() == std::slice::from_ref(&item) {
        assert!(clean_up(&world, &item).unwrap().prune.is_some(), "space waits to be freed");
    }

    // another policy, other dates; the last one stays, and is no reason to look
    world.recovery.put_policy(&vault, "nightly", &daily(30)).unwrap();
    assert_eq!(looked_at(), std::slice::from_ref(&item));
    clean_up(&world, &item).unwrap();
    world.at("2027-02-01T02:00:00Z");
    assert_eq!(looked_at(), none);
    world.at("2027-02-02T02:00:00Z");
    assert_eq!(looked_at(), std::slice::from_ref(&item));
    assert_eq!(clean_up(&world, &item).unwrap().kept, Some(second.clone()));
    assert_eq!(looked_at(), none);

    // what somebody else did to the list
    let mut batch = Batch::new(world.recovery.item(&item).unwrap().created);
    batch.points.push(PointChange::Delete { item: item.key(), id: second });
    world.store.commit(&batch).unwrap();
    assert_eq!(looked_at(), none);
    assert_eq!(world.recovery.reconcile(&item).unwrap().adopted.len(), 1);
    assert_eq!(looked_at(), [item]);
}
