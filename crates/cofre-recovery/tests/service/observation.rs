//! What an operator sees from outside.

use std::collections::HashMap;

use cofre_recovery::{
    Recovery,
    job::BackupRequest,
    settings::{JobSettings, Limits, ScheduleSettings, Settings},
    worker::{Unobserved, Worker, WorkerOptions},
};
use cofre_repo::Cancel;
use cofre_store::Store;

use crate::world::World;

/// The samples, after a look at the text as a scraper reads it: each has a family that was announced before.
pub(crate) fn samples(recovery: &Recovery) -> HashMap<String, f64> {
    let text = recovery.metrics().unwrap();
    let (mut family, mut samples) = (String::new(), HashMap::new());
    for line in text.lines() {
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            family = kind.split(' ').next().unwrap().to_owned();
        } else if !line.starts_with('#') {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(name.starts_with(&family), "{line} is in the family {family}");
            let before = samples.insert(name.to_owned(), value.parse().unwrap());
            assert_eq!(before, None, "{line} is there twice");
        }
    }
    samples
}

#[test]
fn counters_count_every_job_once_whoever_asks() {
    let (world, vault) = World::ready();
    let (good, bad) = (world.plain(&vault, "good"), world.plain(&vault, "bad"));
    world.backup(&good).result.unwrap();
    std::fs::remove_file(world.folder.path().join("vm/bad.raw")).unwrap();
    world.backup(&bad).result.unwrap_err();
    let other = world.another(Store::open(&world.folder.path().join("cofre.db")).unwrap());
    for recovery in [&world.recovery, &other, &world.recovery] {
        let samples = samples(recovery);
        let ended = |status: &str| {
            samples[&format!("cofre_jobs_ended_total{{operation=\"Backup\",status=\"{status}\"}}")]
        };
        assert_eq!((ended("Completed"), ended("Failed")), (1.0, 1.0));
        assert_eq!(samples["cofre_job_duration_seconds_count{operation=\"Backup\"}"], 2.0);
        assert_eq!(samples["cofre_job_duration_seconds_bucket{operation=\"Backup\",le=\"+Inf\"}"], 2.0);
        assert_eq!(samples["cofre_backup_disk_bytes_total"], f64::from(1 << 20));
        assert!(samples["cofre_backup_read_bytes_total"] > 0.0, "the disk has no holes");
        let stored = samples["cofre_backup_stored_bytes_total"];
        assert!(stored > 0.0 && stored < f64::from(1 << 20), "{stored} bytes of a disk that repeats itself");
        assert!(samples["cofre_backup_dedup_ratio"] > 1.0);
        assert_eq!((samples["cofre_points"], samples["cofre_queue_length"]), (1.0, 0.0));
        assert_eq!(samples["cofre_items{health=\"ActionRequired\"}"], 1.0);
        assert_eq!(samples["cofre_items{health=\"Passed\"}"], 1.0);
        assert!(samples["cofre_storage_free_bytes"] <= samples["cofre_storage_size_bytes"]);
        assert!(samples["process_resident_memory_bytes"] > 1e6);
    }
}

#[test]
fn more_events_than_a_page_are_counted() {
    let limits = Limits { machines_per_policy: 1000, ..Limits::default() };
    let (world, vault) = World::ready_with(Settings { limits, ..Settings::default() });
    // each leaves two events at least
    for number in 0..300 {
        world.plain(&vault, &format!("m{number}"));
    }
    let samples = samples(&world.recovery);
    let ended = "cofre_jobs_ended_total{operation=\"ConfigureBackup\",status=\"Completed\"}";
    assert_eq!(samples[ended], 300.0);
    assert_eq!(samples["cofre_items{health=\"Passed\"}"], 300.0);
}

#[test]
fn lag_and_age_grow_until_the_backup_is_made() {
    let schedule = ScheduleSettings { jitter_minutes: 0, ..ScheduleSettings::default() };
    let jobs = JobSettings { slots: 1, ..JobSettings::default() };
    let (world, vault) = World::ready_with(Settings { schedule, jobs, ..Settings::default() });
    world.at("2026-03-01T00:00:00Z");
    let item = world.plain(&vault, "m");
    let lag = || samples(&world.recovery)["cofre_schedule_lag_seconds"];
    let age = || samples(&world.recovery)["cofre_oldest_protection_seconds"];
    assert_eq!((lag(), age()), (0.0, 0.0));
    let slot = world.recovery.next_run(&item).unwrap().unwrap();
    let later = slot + jiff::SignedDuration::from_hours(50);
    world.at(&later.to_string());
    // the oldest counts, though one backup will make up for all
    assert_eq!(lag(), 50.0 * 3600.0);
    assert!(age() >= 50.0 * 3600.0);
    let worker = Worker::new(world.recovery.clone(), WorkerOptions { name: "w".into(), slots: 1 });
    worker.tick(&Unobserved);
    let waiting = samples(&world.recovery);
    assert_eq!(waiting["cofre_jobs_waiting{operation=\"Backup\"}"], 1.0);
    assert_eq!(waiting["cofre_schedule_lag_seconds"], 2.0 * 3600.0, "submitted is not begun");
    worker.run_one(&Unobserved, &Cancel::new()).unwrap().unwrap();
    assert_eq!((lag(), age()), (0.0, 0.0));

    // an on-demand backup that waits is in the queue and late for no schedule
    world.recovery.submit_backup(&item, &BackupRequest::user()).unwrap();
    let waiting = samples(&world.recovery);
    assert_eq!((waiting["cofre_queue_length"], waiting["cofre_schedule_lag_seconds"]), (1.0, 0.0));
}
