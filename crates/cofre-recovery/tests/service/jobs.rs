//! Jobs that wait, are taken over, tried again, cancelled, given back.

use std::sync::{Arc, Mutex};

use cofre_arm::{Problem, ResourceId};
use cofre_compute::{DataDisk, ProvisioningState};
use cofre_recovery::{
    Recovery,
    job::{BackupRequest, Job, JobQuery, JobStatus, Operation, RestoreRequest, TaskStatus, Trigger},
    restore::RecoveryType,
    retention::PointRetention,
    settings::{JobSettings, Settings},
    worker::{Unobserved, Worker, WorkerOptions},
};
use cofre_repo::{Cancel, progress::Progress};
use cofre_store::{Batch, Change, JobChange, PointChange};

use crate::world::{Hook, TestClock, Watched, World};

/// No signs of life but those that a job's steps give, so that a test says when a process has fallen silent.
fn silent() -> Settings {
    let jobs = JobSettings { heartbeat_seconds: 3600, retries: 2, ..JobSettings::default() };
    Settings { jobs, ..Settings::default() }
}

fn worker(recovery: &Arc<Recovery>, name: &str) -> Worker {
    Worker::new(recovery.clone(), WorkerOptions { name: name.into(), slots: 1 })
}

fn run_one(recovery: &Arc<Recovery>) -> Option<Job> {
    worker(recovery, "w").run_one(&Unobserved, &Cancel::new()).unwrap()
}

fn submit(world: &World, item: &ResourceId) -> Job {
    world.recovery.submit_backup(item, &BackupRequest::user()).unwrap()
}

fn restore(point: &str) -> RestoreRequest {
    RestoreRequest {
        point: point.into(),
        account: "default".into(),
        recovery_type: RecoveryType::RestoreDisks,
        luns: None,
        target_resource_group: None,
    }
}

/// Points that lie in the repository of an item, whatever the database says.
fn stored(world: &World, item: &ResourceId) -> usize {
    let id = world.recovery.item(item).unwrap().repository.unwrap().id;
    let folder = world.folder.path().join("repositories").join(id).join("repository/snapshots");
    std::fs::read_dir(folder).unwrap().count()
}

fn containers(world: &World) -> usize {
    std::fs::read_dir(world.folder.path().join("storage/default")).unwrap().count()
}

/// Does something once, when the first disk begins.
struct AtTransfer(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl AtTransfer {
    fn new(what: impl FnOnce() + Send + 'static) -> Self {
        Self(Mutex::new(Some(Box::new(what))))
    }
}

impl Progress for AtTransfer {
    fn advance(&self, _: u64, _: u64) {
        let what = self.0.lock().unwrap().take();
        if let Some(what) = what {
            what();
        }
    }
}

#[test]
fn what_is_asked_for_waits_until_a_worker_does_it() {
    let (world, vault) = World::ready();
    let item = world.plain(&vault, "web");
    let recovery = &world.recovery;
    assert!(run_one(recovery).is_none(), "nothing waits");
    let job = submit(&world, &item);
    assert_eq!(
        (job.status, job.operation, job.user_triggered),
        (JobStatus::InProgress, Operation::Backup, true)
    );
    assert!(job.is_cancellable() && job.progress.is_none());
    let again = recovery.submit_backup(&item, &BackupRequest::user()).unwrap_err();
    assert_eq!(again.problem(), Problem::OperationInProgress);

    let done = run_one(recovery).unwrap();
    assert_eq!((done.id.as_str(), done.status), (job.id.as_str(), JobStatus::Completed), "{done:?}");
    assert_eq!(recovery.job(&job.id).unwrap(), done, "the row says the same");
    let progress = done.progress.unwrap();
    assert_eq!((progress.bytes_done, progress.bytes_total, progress.percent()), (1 << 20, 1 << 20, 100));
    assert!(done.tasks.iter().all(|t| t.status == TaskStatus::Completed) && done.end_time.is_some());
    let names: Vec<_> = done.property_bag.keys().map(String::as_str).collect();
    assert_eq!(names, ["Backup Size", "Recovery Point", "VM Name"]);
    assert!(run_one(recovery).is_none());

    let request = BackupRequest { retain_until: None, trigger: Trigger::Schedule { slot: job.start_time } };
    recovery.submit_backup(&item, &request).unwrap();
    assert!(!run_one(recovery).unwrap().user_triggered);
    assert_eq!(recovery.recovery_points(&item).unwrap().len(), 2);
}

#[test]
fn jobs_and_points_are_paged_and_filtered() {
    let (world, vault) = World::ready();
    let item = world.plain(&vault, "web");
    let recovery = &world.recovery;
    for _ in 0..5 {
        world.backup(&item).result.unwrap();
        world.clock.forward(60);
    }
    let all = recovery.jobs(None, 100).unwrap();
    assert_eq!(all.len(), 6, "and the configuration");
    let query =
        JobQuery { operation: Some(Operation::Backup), item: Some(item.clone()), ..JobQuery::default() };
    let (mut seen, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = recovery.jobs_page(&query, after.as_deref(), 2).unwrap();
        assert!(page.jobs.len() <= 2);
        seen.extend(page.jobs.into_iter().map(|j| j.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, all[..5].iter().map(|j| j.id.clone()).collect::<Vec<_>>());
    let failed = JobQuery { status: Some(JobStatus::Failed), ..JobQuery::default() };
    assert!(recovery.jobs_page(&failed, None, 10).unwrap().jobs.is_empty());
    assert_eq!(recovery.jobs_page(&query, Some("x"), 1).unwrap_err().problem(), Problem::InvalidParameter);

    let points = |from, to, kind, after: Option<&str>| {
        let page = recovery.points_page(&item, from, to, kind, after, 2).unwrap();
        (page.points.into_iter().map(|p| p.name).collect::<Vec<_>>(), page.next)
    };
    let names: Vec<_> = recovery.recovery_points(&item).unwrap().into_iter().map(|p| p.name).collect();
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let (page, next) = points(None, None, Some("CrashConsistent"), after.as_deref());
        seen.extend(page);
        after = next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, names);
    assert_eq!(points(None, None, Some("AppConsistent"), None), (Vec::new(), None));
    let middle = all[2].start_time;
    assert_eq!(points(Some(middle), None, None, None).0, names[..2], "those from then on, and that one");
}

#[test]
fn a_backup_is_cancelled_in_its_snapshot_and_not_in_its_transfer() {
    let (world, vault) = World::ready();
    let item = world.plain(&vault, "web");
    let recovery = world.recovery.clone();
    // one that waits
    let waiting = submit(&world, &item);
    let cancelled = recovery.cancel_job(&waiting.id).unwrap();
    assert_eq!(cancelled.status, JobStatus::Cancelled);
    assert_eq!(recovery.cancel_job(&waiting.id).unwrap_err().problem(), Problem::JobNotRunning);
    assert!(run_one(&recovery).is_none());
    assert_eq!(recovery.cancel_job("nothing").unwrap_err().problem(), Problem::NotFound);

    // A6, in the snapshot
    let job = submit(&world, &item);
    let (canceller, id) = (recovery.clone(), job.id.clone());
    *world.driver.during.lock().unwrap() = Some(Box::new(move || {
        assert_eq!(canceller.cancel_job(&id).unwrap().status, JobStatus::Cancelling);
        assert_eq!(
            canceller.cancel_job(&id).unwrap().status,
            JobStatus::Cancelling,
            "asking twice is asking"
        );
    }));
    let done = run_one(&recovery).unwrap();
    assert_eq!(done.status, JobStatus::Cancelled, "{done:?}");
    assert_eq!((done.tasks[1].status, done.tasks[1].start_time), (TaskStatus::NotStarted, None));
    assert!(recovery.recovery_points(&item).unwrap().is_empty());
    assert_eq!(recovery.item(&item).unwrap().last_backup_status, None, "nothing failed");

    // and in the transfer
    let canceller = recovery.clone();
    let progress = AtTransfer::new(move || {
        let running = canceller.jobs(None, 1).unwrap().remove(0);
        assert!(!running.is_cancellable());
        assert_eq!(canceller.cancel_job(&running.id).unwrap_err().problem(), Problem::JobNotCancellable);
    });
    let done = recovery.backup(&item, None, &progress, &Cancel::new()).unwrap();
    assert!(progress.0.lock().unwrap().is_none(), "it was asked in between");
    assert_eq!(done.job.status, JobStatus::Completed);
}

#[test]
fn a_restore_is_cancelled_until_it_is_done() {
    let (world, vault) = World::ready();
    let item = world.plain(&vault, "web");
    world.backup(&item).result.unwrap();
    let recovery = world.recovery.clone();
    let canceller = recovery.clone();
    let progress = AtTransfer::new(move || {
        let running = canceller.jobs(None, 1).unwrap().remove(0);
        assert!(running.is_cancellable());
        canceller.cancel_job(&running.id).unwrap();
    });
    let job = recovery.submit_restore(&item, &restore("latest")).unwrap();
    let done = recovery.run_queued(&job.id, &progress, &Cancel::new()).unwrap();
    assert_eq!(done.status, JobStatus::Cancelled, "{done:?}");
    assert_eq!(containers(&world), 0, "nothing of it is left");
    assert_eq!(recovery.cancel_job(&job.id).unwrap_err().problem(), Problem::JobNotRunning);
}

#[test]
fn a_worker_that_fell_silent_publishes_nothing() {
    let (world, vault) = World::ready_with(silent());
    let item = world.plain(&vault, "web");
    // it falls silent while it moves data; another one does the job meanwhile
    let (recovery, clock) = (world.recovery.clone(), world.clock.clone());
    let taken = Arc::new(Mutex::new(None));
    let by_other = taken.clone();
    let progress = AtTransfer::new(move || {
        assert!(run_one(&recovery).is_none(), "it gave a sign of life");
        clock.forward(61);
        *by_other.lock().unwrap() = run_one(&recovery);
    });
    let first = world.recovery.backup(&item, None, &progress, &Cancel::new()).unwrap();
    // the other one finds the repository in use, and waits: that the first is not dead can be seen
    let other = taken.lock().unwrap().take().unwrap();
    assert_eq!((other.status, other.take_overs), (JobStatus::InProgress, 1), "{other:?}");
    assert_eq!(other.attempts[0].error.code, Problem::OperationInProgress.row().code);
    // it is stopped by whichever comes first: its own look at the row, or the question before the point is published
    let stopped = first.result.unwrap_err().problem();
    assert!(matches!(stopped, Problem::TransferFailed | Problem::JobInterrupted), "{stopped:?}");
    assert_eq!(first.job, other, "it shows what became of the job");
    assert_eq!((stored(&world, &item), world.recovery.recovery_points(&item).unwrap().len()), (0, 0));
    world.clock.forward(31);
    assert_eq!(run_one(&world.recovery).unwrap().status, JobStatus::Completed);
    assert_eq!((stored(&world, &item), world.recovery.recovery_points(&item).unwrap().len()), (1, 1));
    assert_eq!(world.recovery.item(&item).unwrap().last_backup_status.as_deref(), Some("Completed"));

    // in its snapshot, too
    let (recovery, clock) = (world.recovery.clone(), world.clock.clone());
    *world.driver.during.lock().unwrap() = Some(Box::new(move || {
        clock.forward(61);
        assert_eq!(run_one(&recovery).unwrap().status, JobStatus::Completed);
    }));
    let job = submit(&world, &item);
    let first = run_one(&world.recovery).unwrap();
    assert_eq!((first.id, first.status, first.take_overs), (job.id, JobStatus::Completed, 1));
    assert_eq!((stored(&world, &item), world.recovery.recovery_points(&item).unwrap().len()), (2, 2));
}

/// Makes a job that is done look as if its worker had died right after the point became visible.
fn die_after_publishing(world: &World, item: &ResourceId, id: &str) {
    let row = world.store.job(id).unwrap().unwrap();
    let mut job: serde_json::Value = serde_json::from_slice(&row.body).unwrap();
    job["status"] = "InProgress".into();
    job["endTime"] = serde_json::Value::Null;
    let epoch = row.epoch;
    let body = serde_json::to_vec(&job).unwrap();
    let row = cofre_store::JobRow { status: "InProgress".into(), ended: None, body, ..row };
    let mut batch = Batch::new(row.started);
    batch.jobs.push(JobChange::Update { epoch, job: row });
    batch.points.push(PointChange::Clear { item: item.key() });
    world.store.commit(&batch).unwrap();
}

#[test]
fn what_a_dead_worker_published_counts() {
    let (world, vault) = World::ready_with(silent());
    let item = world.plain(&vault, "web");
    let job = submit(&world, &item);
    let done = run_one(&world.recovery).unwrap();
    die_after_publishing(&world, &item, &job.id);
    assert!(run_one(&world.recovery).is_none());
    world.clock.forward(61);
    let adopted = run_one(&world.recovery).unwrap();
    assert_eq!((adopted.status, adopted.adopted, adopted.take_overs), (JobStatus::Completed, true, 1));
    assert_eq!(adopted.property_bag["Recovery Point"], done.property_bag["Recovery Point"]);
    assert_eq!((stored(&world, &item), world.recovery.recovery_points(&item).unwrap().len()), (1, 1));

    // unless it had decided to withdraw it, and died before the deed
    let job = submit(&world, &item);
    run_one(&world.recovery).unwrap();
    let first = world.recovery.recovery_points(&item).unwrap().remove(1);
    die_after_publishing(&world, &item, &job.id);
    let mut batch = Batch::new(job.start_time);
    let path = format!("/withdrawn/{}", job.id);
    batch.changes.push(Change::Create { path, kind: "withdrawn".into(), body: Vec::new() });
    world.store.commit(&batch).unwrap();
    world.clock.forward(61);
    let again = run_one(&world.recovery).unwrap();
    assert_eq!((again.status, again.adopted), (JobStatus::Completed, false), "{again:?}");
    assert_eq!(stored(&world, &item), 2, "the withdrawn one is gone, another one made");
    let names = world.recovery.reconcile(&item).unwrap().adopted;
    assert_eq!(names, [first.name], "the row that this test removed");
}

/// Falls silent, and has the next worker take over, which does the same so many times.
fn dies(deaths: u32, recovery: Arc<Recovery>, clock: Arc<TestClock>, driver: Arc<Watched>) -> Hook {
    Box::new(move || {
        if deaths > 1 {
            let next = dies(deaths - 1, recovery.clone(), clock.clone(), driver.clone());
            *driver.during.lock().unwrap() = Some(next);
        }
        clock.forward(61);
        run_one(&recovery).unwrap();
    })
}

#[test]
fn a_job_whose_workers_die_again_and_again_fails() {
    let (world, vault) = World::ready_with(silent());
    let item = world.plain(&vault, "web");
    let job = submit(&world, &item);
    let hook = dies(4, world.recovery.clone(), world.clock.clone(), world.driver.clone());
    *world.driver.during.lock().unwrap() = Some(hook);
    let done = run_one(&world.recovery).unwrap();
    assert_eq!((done.id.as_str(), done.status, done.take_overs), (job.id.as_str(), JobStatus::Failed, 4));
    assert_eq!(done.error_details[0].code, Problem::JobInterrupted.row().code);
    assert!(world.recovery.recovery_points(&item).unwrap().is_empty());
    world.backup(&item).result.unwrap();
}

#[test]
fn what_may_pass_is_tried_again_and_what_will_not_is_not() {
    let (world, vault) = World::ready();
    let item = world.plain(&vault, "web");
    let recovery = &world.recovery;
    let machine = recovery.item(&item).unwrap().source_resource_id;
    let provisioning = |state| {
        recovery
            .update_machine(&machine, |m| {
                m.provisioning_state = state;
                Ok(())
            })
            .unwrap();
    };
    provisioning(ProvisioningState::Updating);
    submit(&world, &item);
    let first = run_one(recovery).unwrap();
    assert_eq!((first.status, first.attempts.len()), (JobStatus::InProgress, 1));
    assert_eq!(first.attempts[0].error.code, Problem::VmState.row().code);
    assert!(run_one(recovery).is_none(), "not before its time");
    world.clock.forward(31);
    let second = run_one(recovery).unwrap();
    assert_eq!((second.status, second.attempts.len()), (JobStatus::InProgress, 2));
    world.clock.forward(31);
    assert!(run_one(recovery).is_none(), "each time later");
    provisioning(ProvisioningState::Succeeded);
    world.clock.forward(31);
    let third = run_one(recovery).unwrap();
    assert_eq!((third.status, third.attempts.len()), (JobStatus::Completed, 2), "{third:?}");

    provisioning(ProvisioningState::Updating);
    submit(&world, &item);
    for _ in 0..2 {
        assert_eq!(run_one(recovery).unwrap().status, JobStatus::InProgress);
        world.clock.forward(100);
    }
    let last = run_one(recovery).unwrap();
    assert_eq!((last.status, last.attempts.len()), (JobStatus::Failed, 2));
    // one that waits for its next attempt is taken at once when it is cancelled
    let job = submit(&world, &item);
    assert_eq!(run_one(recovery).unwrap().attempts.len(), 1);
    assert_eq!(recovery.cancel_job(&job.id).unwrap().status, JobStatus::Cancelling);
    assert_eq!(run_one(recovery).unwrap().status, JobStatus::Cancelled);
    provisioning(ProvisioningState::Failed);
    submit(&world, &item);
    assert_eq!(run_one(recovery).unwrap().status, JobStatus::Failed, "that does not pass");
}

#[test]
fn a_worker_that_stops_gives_its_job_back() {
    let (world, vault) = World::ready();
    let item = world.plain(&vault, "web");
    let job = submit(&world, &item);
    let stop = Cancel::new();
    let stopping = stop.clone();
    *world.driver.during.lock().unwrap() = Some(Box::new(move || stopping.cancel()));
    let back = worker(&world.recovery, "w").run_one(&Unobserved, &stop).unwrap().unwrap();
    assert_eq!((back.status, back.attempts.len(), back.take_overs), (JobStatus::InProgress, 0, 0));
    assert!(world.store.job(&job.id).unwrap().unwrap().owner.is_none());
    assert_eq!(run_one(&world.recovery).unwrap().status, JobStatus::Completed);
    assert_eq!(world.recovery.recovery_points(&item).unwrap().len(), 1);
}

#[test]
fn a_restore_that_is_taken_over_starts_over_elsewhere() {
    let (world, vault) = World::ready_with(silent());
    let path = |name: &str| world.folder.path().join("vm").canonicalize().unwrap().join(name);
    for name in ["os", "d0", "d4"] {
        std::fs::write(path(name), name.repeat(1 << 18)).unwrap();
    }
    let disk = |name: &str| World::disk(name, &path(name), None);
    let disks = [0, 4].map(|lun| DataDisk { lun, disk: disk(&format!("d{lun}")) });
    let item = world.protect(&vault, &world.machine("web", disk("os"), disks.into()));
    world.backup(&item).result.unwrap();
    let recovery = world.recovery.clone();

    let with = |luns: &[u32]| RestoreRequest {
        luns: Some(luns.into()),
        target_resource_group: Some("rg".into()),
        ..restore("latest")
    };
    assert_eq!(
        recovery.submit_restore(&item, &with(&[4, 5])).unwrap_err().problem(),
        Problem::InvalidParameter
    );
    let elsewhere = RestoreRequest { account: "none".into(), ..restore("latest") };
    assert_eq!(recovery.submit_restore(&item, &elsewhere).unwrap_err().problem(), Problem::NotFound);
    assert_eq!(recovery.submit_restore(&item, &restore("1")).unwrap_err().problem(), Problem::NotFound);

    let job = recovery.submit_restore(&item, &with(&[4])).unwrap();
    let (other, clock) = (recovery.clone(), world.clock.clone());
    let taken = Arc::new(Mutex::new(None));
    let by_other = taken.clone();
    let progress = AtTransfer::new(move || {
        clock.forward(61);
        *by_other.lock().unwrap() = run_one(&other);
    });
    let first = recovery.run_queued(&job.id, &progress, &Cancel::new()).unwrap();
    let other = taken.lock().unwrap().take().unwrap();
    assert_eq!((other.status, &first), (JobStatus::Completed, &other));
    assert_eq!(other.property_bag["Target resource group"], "rg");
    let container = &other.property_bag["Config Blob Container Name"];
    assert!(container.ends_with("-2"), "{container}");
    assert_eq!(containers(&world), 1, "that of the first is gone");
    let folder = world.folder.path().join("storage/default").join(container);
    let blobs: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(
        blobs.contains(&"d4.vhd".into())
            && blobs.contains(&"os.vhd".into())
            && !blobs.contains(&"d0.vhd".into())
    );
}

#[test]
fn workers_do_what_schedules_ask_for_and_clean_up_in_turns() {
    let (world, vault) = World::ready();
    let item = world.plain(&vault, "web");
    let (one, two) = (worker(&world.recovery, "one"), worker(&world.recovery, "two"));
    one.tick(&Unobserved);
    assert!(run_one(&world.recovery).is_none(), "nothing is due yet");
    world.clock.forward(2 * 86_400);
    one.tick(&Unobserved);
    two.tick(&Unobserved);
    let done = run_one(&world.recovery).unwrap();
    assert_eq!((done.status, done.user_triggered), (JobStatus::Completed, false));
    one.tick(&Unobserved);
    assert!(run_one(&world.recovery).is_none(), "each time once");
    let point = world.recovery.recovery_points(&item).unwrap().remove(0);
    assert!(matches!(point.retention, PointRetention::Scheduled { .. }), "{point:?}");

    // the next one is there when the first has passed its date
    world.clock.forward(40 * 86_400);
    two.tick(&Unobserved);
    assert_eq!(run_one(&world.recovery).unwrap().status, JobStatus::Completed);
    let cancel = Cancel::new();
    assert!(one.clean_up(&Unobserved, &cancel).unwrap());
    assert!(!two.clean_up(&Unobserved, &cancel).unwrap(), "it was done just now");
    let left = world.recovery.recovery_points(&item).unwrap();
    assert_eq!((left.len(), stored(&world, &item)), (1, 1));
    assert_ne!(left[0].name, point.name);
    world.clock.forward(3600);
    assert!(two.clean_up(&Unobserved, &cancel).unwrap());
}
