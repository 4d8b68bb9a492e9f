//! Stopping, going on, deleting, taking that back.

use cofre_arm::{Problem, ResourceId};
use cofre_recovery::{
    item::ProtectionState,
    job::{BackupRequest, Finished, JobStatus, Operation, RestoreRequest},
    restore::RecoveryType,
    worker::{Unobserved, Worker, WorkerOptions},
};
use cofre_repo::{Cancel, progress::Silent};

use crate::world::World;

const DAY: i64 = 86_400;

fn worker(world: &World) -> Worker {
    Worker::new(world.recovery.clone(), WorkerOptions { name: "w".into(), slots: 1 })
}

fn restore(world: &World, item: &ResourceId) -> Result<(), Problem> {
    let request = RestoreRequest {
        point: "latest".into(),
        account: "default".into(),
        recovery_type: RecoveryType::RestoreDisks,
        luns: None,
        target_resource_group: None,
    };
    let job = world.recovery.submit_restore(item, &request).map_err(|e| e.problem())?;
    let job = world.recovery.run_queued(&job.id, &Silent, &Cancel::new()).unwrap();
    assert_eq!(job.status, JobStatus::Completed);
    Ok(())
}

fn backup(world: &World, item: &ResourceId) -> Result<(), Problem> {
    let finished = world.recovery.backup(item, None, &Silent, &Cancel::new()).map_err(|e| e.problem())?;
    finished.result.unwrap();
    Ok(())
}

fn done<T>(finished: cofre_arm::Result<Finished<T>>, operation: Operation) -> T {
    let finished = finished.unwrap();
    assert_eq!((finished.job.operation, finished.job.status), (operation, JobStatus::Completed));
    finished.result.unwrap()
}

#[test]
fn stopped_protection_keeps_its_points_and_goes_on() {
    let (world, vault) = World::ready();
    let item = world.plain(&vault, "web");
    let recovery = &world.recovery;
    assert_eq!(recovery.resume_protection(&item, "DefaultPolicy").unwrap_err().problem(), Problem::Conflict);
    backup(&world, &item).unwrap();

    let stopped = done(recovery.stop_protection(&item), Operation::DisableBackup);
    assert_eq!(
        (stopped.protection_state, stopped.active_policy()),
        (ProtectionState::ProtectionStopped, None)
    );
    let jobs = recovery.jobs(None, 100).unwrap().len();
    for refused in [
        recovery.stop_protection(&item).unwrap_err(),
        recovery.change_policy(&item, "DefaultPolicy").unwrap_err(),
        recovery.undelete(&item).unwrap_err(),
        recovery.submit_backup(&item, &BackupRequest::user()).unwrap_err(),
    ] {
        assert_eq!(refused.problem(), Problem::Conflict, "{refused:?}");
    }
    assert_eq!(recovery.resume_protection(&item, "none").unwrap_err().problem(), Problem::NotFound);
    assert_eq!(recovery.jobs(None, 100).unwrap().len(), jobs, "a refusal leaves no job");
    restore(&world, &item).unwrap();

    let resumed = done(recovery.resume_protection(&item, "DefaultPolicy"), Operation::ConfigureBackup);
    assert_eq!(resumed.protection_state, ProtectionState::Protected);
    backup(&world, &item).unwrap();
    done(recovery.change_policy(&item, "DefaultPolicy"), Operation::ConfigureBackup);

    // enabling what is there is either of the two
    let machine = resumed.source_resource_id.clone();
    done(recovery.enable_protection(&vault, &machine, "DefaultPolicy"), Operation::ConfigureBackup);
    done(recovery.stop_protection(&item), Operation::DisableBackup);
    let again =
        done(recovery.enable_protection(&vault, &machine, "DefaultPolicy"), Operation::ConfigureBackup);
    assert_eq!(again.protection_state, ProtectionState::Protected);
    // one vault at a time
    let other = recovery.create_vault("g", "v2", "local", Default::default()).unwrap().id;
    let refused = recovery.enable_protection(&other, &machine, "DefaultPolicy").unwrap_err();
    assert_eq!(refused.problem(), Problem::AlreadyProtected);
}

#[test]
fn deleted_data_can_be_taken_back_until_their_day() {
    let (world, vault) = World::ready();
    let item = world.plain(&vault, "web");
    let recovery = &world.recovery;
    backup(&world, &item).unwrap();
    let before = recovery.item(&item).unwrap();
    let folder = world.folder.path().join("repositories").join(before.repository.unwrap().id);

    let job = recovery.delete_backup_data(&item).unwrap();
    assert_eq!((job.operation, job.status), (Operation::DeleteBackupData, JobStatus::Completed));
    let deleted = recovery.item(&item).unwrap();
    assert_eq!(deleted.protection_state, ProtectionState::ProtectionStopped);
    assert_eq!(restore(&world, &item), Err(Problem::Conflict), "undelete first");
    assert_eq!(backup(&world, &item), Err(Problem::Conflict));
    for refused in [
        recovery.resume_protection(&item, "DefaultPolicy").unwrap_err(),
        recovery.stop_protection(&item).unwrap_err(),
        recovery.delete_backup_data(&item).unwrap_err(),
        recovery.enable_protection(&vault, &deleted.source_resource_id, "DefaultPolicy").unwrap_err(),
        recovery.delete_vault(&vault).unwrap_err(),
    ] {
        assert_eq!(refused.problem(), Problem::Conflict, "{refused:?}");
    }
    world.clock.forward(13 * DAY);
    worker(&world).tick(&Unobserved);
    assert!(worker(&world).run_one(&Unobserved, &Cancel::new()).unwrap().is_none(), "not yet");

    let back = done(recovery.undelete(&item), Operation::Undelete);
    assert_eq!((back.protection_state, back.deletion), (ProtectionState::ProtectionStopped, None));
    restore(&world, &item).unwrap();
    done(recovery.resume_protection(&item, "DefaultPolicy"), Operation::ConfigureBackup);
    backup(&world, &item).unwrap();

    recovery.delete_backup_data(&item).unwrap();
    world.clock.forward(14 * DAY + 1);
    worker(&world).tick(&Unobserved);
    worker(&world).tick(&Unobserved);
    let removal = worker(&world).run_one(&Unobserved, &Cancel::new()).unwrap().unwrap();
    assert_eq!((removal.status, removal.user_triggered), (JobStatus::Completed, false), "{removal:?}");
    assert!(worker(&world).run_one(&Unobserved, &Cancel::new()).unwrap().is_none(), "one removal");
    assert!(!folder.exists(), "with its envelope");
    assert_eq!(recovery.item(&item).unwrap_err().problem(), Problem::NotFound);
    assert!(recovery.recovery_points(&item).unwrap().is_empty());
    // the machine is free again, and nothing of the past comes back
    let machine = recovery.machine(&deleted.source_resource_id).unwrap();
    let anew =
        done(recovery.enable_protection(&vault, &machine.id, "DefaultPolicy"), Operation::ConfigureBackup);
    assert_eq!((anew.protection_state, anew.repository), (ProtectionState::IRPending, None));
    recovery.delete_backup_data(&item).unwrap();
}

#[test]
fn a_removal_that_died_half_way_is_done_again_and_not_taken_back() {
    let (world, vault) = World::ready();
    let item = world.plain(&vault, "web");
    let recovery = &world.recovery;
    backup(&world, &item).unwrap();
    recovery.delete_backup_data(&item).unwrap();
    world.clock.forward(14 * DAY + 1);
    worker(&world).tick(&Unobserved);
    // the folder cannot go: something in it is not ours to delete
    let id = recovery.item(&item).unwrap().repository.unwrap().id;
    let folder = world.folder.path().join("repositories").join(&id);
    std::fs::rename(folder.join("repository"), folder.join("aside")).unwrap();
    std::fs::write(folder.join("repository"), "a file where a folder should be").unwrap();
    let tried = worker(&world).run_one(&Unobserved, &Cancel::new()).unwrap().unwrap();
    assert_eq!((tried.status, tried.attempts.len()), (JobStatus::InProgress, 1), "{tried:?}");
    assert!(recovery.item(&item).unwrap().deletion.unwrap().removing);
    let refused = recovery.undelete(&item).unwrap_err();
    assert_eq!(refused.problem(), Problem::Conflict);
    assert_eq!(recovery.cancel_job(&tried.id).unwrap_err().problem(), Problem::JobKindNotCancellable);

    std::fs::remove_file(folder.join("repository")).unwrap();
    world.clock.forward(60);
    let done = worker(&world).run_one(&Unobserved, &Cancel::new()).unwrap().unwrap();
    assert_eq!(done.status, JobStatus::Completed, "{done:?}");
    assert!(!folder.exists() && recovery.item(&item).is_err());
    assert!(recovery.protecting(&recovery.machine_id("g", "web").unwrap()).unwrap().is_none());
}
