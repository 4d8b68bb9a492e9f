use std::collections::BTreeMap;

use cofre_repo::{clock::SystemClock, ingest::PublishGuard as _};
use cofre_store::ErrorKind;

use super::*;
use crate::job::{BackupRequest, JobRequest, Operation};

fn job() -> Job {
    Job {
        id: "0b1c2d3e-0000-4000-8000-000000000000".into(),
        vault_id: "/subscriptions/s/resourceGroups/g/providers/Microsoft.RecoveryServices/vaults/v"
            .parse()
            .unwrap(),
        item_id: None,
        operation: Operation::Backup,
        status: JobStatus::InProgress,
        entity_friendly_name: "web".into(),
        start_time: SystemClock.now(),
        end_time: None,
        tasks: Vec::new(),
        property_bag: BTreeMap::new(),
        error_details: Vec::new(),
        request: Some(JobRequest::Backup(BackupRequest::user())),
        user_triggered: true,
        progress: None,
        transferred: None,
        adopted: false,
        attempts: Vec::new(),
        take_overs: 0,
    }
}

/// A job that runs, and two leases of which the second took it from the first.
fn taken_over() -> (Arc<Store>, Arc<Lease>, Arc<Lease>) {
    let store = Arc::new(Store::in_memory().unwrap());
    let job = job();
    let row = |epoch| record::row(&job, Some("{}".into()), epoch, job.start_time).unwrap();
    store.change_job(&JobChange::Insert(row(1))).unwrap();
    let lease =
        |epoch| Lease::new(store.clone(), Arc::new(SystemClock), row(epoch), job.clone(), Cancel::new());
    let first = lease(1);
    store.change_job(&JobChange::Update { epoch: 1, job: row(2) }).unwrap();
    (store.clone(), first, lease(2))
}

#[test]
fn who_lost_the_job_neither_publishes_nor_writes() {
    let (store, first, _) = taken_over();
    assert_eq!(first.before().unwrap_err().kind(), cofre_repo::ErrorKind::LeaseLost);
    assert!(first.is_lost() && first.cancel().is_cancelled());
    drop(store);
    let (_store, first, second) = taken_over();
    assert_eq!(first.change(|_| Ok(())).unwrap_err().problem(), Problem::JobInterrupted);
    assert!(first.is_lost());
    second.before().unwrap();
    second.after().unwrap();
    assert!(!second.is_lost());
}

#[test]
fn a_point_is_withdrawn_unless_the_new_owner_counted_it_first() {
    // withdrawn first: the other one's batch expects that it is not
    let (store, first, second) = taken_over();
    assert_eq!(first.after().unwrap_err().kind(), cofre_repo::ErrorKind::LeaseLost);
    let expecting = || {
        let mut batch = Batch::new(SystemClock.now());
        batch.changes.push(Change::Expect { path: withdrawn_path(second.id()), revision: None });
        Ok(batch)
    };
    let adopt = |job: &mut Job| {
        job.adopted = true;
        Ok(())
    };
    assert_eq!(second.change_with(None, adopt, expecting).unwrap_err().problem(), Problem::Conflict);
    assert_eq!(
        first.after().unwrap_err().kind(),
        cofre_repo::ErrorKind::LeaseLost,
        "asking again changes nothing"
    );
    assert!(store.read(&withdrawn_path(second.id())).unwrap().is_some());

    // counted first: it stays
    let (_, first, second) = taken_over();
    let expecting = || {
        let mut batch = Batch::new(SystemClock.now());
        batch.changes.push(Change::Expect { path: withdrawn_path(second.id()), revision: None });
        Ok(batch)
    };
    second.change_with(None, adopt, expecting).unwrap();
    first.after().unwrap();
}

#[test]
fn what_others_write_is_not_undone() {
    let (store, _, lease) = taken_over();
    let row = store.job(lease.id()).unwrap().unwrap();
    let mut cancelling = record::decode(&row).unwrap();
    cancelling.status = JobStatus::Cancelling;
    let changed = record::row(&cancelling, row.owner.clone(), row.epoch, row.heartbeat).unwrap();
    store.change_job(&JobChange::Replace { epoch: 2, body: row.body.clone(), job: changed }).unwrap();
    // the lease does not know it yet, and writes
    let noted = |job: &mut Job| {
        job.property_bag.insert("a".into(), "b".into());
        Ok(())
    };
    lease.change(noted).unwrap();
    assert!(lease.is_cancelled() && lease.cancel().is_cancelled());
    let stored = record::decode(&store.job(lease.id()).unwrap().unwrap()).unwrap();
    assert_eq!((stored.status, stored.property_bag["a"].as_str()), (JobStatus::Cancelling, "b"));
    assert_eq!(store.heartbeat(lease.id(), 1, SystemClock.now()).unwrap_err().kind(), ErrorKind::Conflict);
}
