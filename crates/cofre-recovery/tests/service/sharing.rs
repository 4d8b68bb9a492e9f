//! Several workers on one database.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    thread,
};

use cofre_recovery::{
    job::{BackupRequest, Job, JobStatus},
    settings::{Limits, Settings},
    vault::Redundancy,
    worker::{Worker, WorkerObserver, WorkerOptions},
};
use cofre_repo::Cancel;
use cofre_store::Store;

use crate::{bodies::Body, world::World};

/// Counts how often each job was begun, and stops everybody when so many are over.
struct Count {
    began: Mutex<HashMap<String, u32>>,
    ended: Mutex<Vec<Job>>,
    enough: usize,
    stop: Cancel,
}

impl WorkerObserver for Count {
    fn began(&self, job: &Job) {
        *self.began.lock().unwrap().entry(job.id.clone()).or_default() += 1;
    }

    fn ended(&self, job: &Job) {
        let mut ended = self.ended.lock().unwrap();
        ended.push(job.clone());
        if ended.len() == self.enough {
            self.stop.cancel();
        }
    }

    fn failed(&self, what: &str, error: &cofre_arm::ApiError) {
        panic!("{what}: {error:?}");
    }
}

fn no_job_runs_twice(open: impl Fn() -> Store) {
    const MACHINES: usize = 12;
    let settings = Settings { limits: Limits::default(), ..Settings::default() };
    let world = World::on(settings, tempfile::tempdir().unwrap(), open());
    let vault = world.recovery.create_vault("g", "v1", "local", Redundancy::default()).unwrap().id;
    let items: Vec<_> = (0..MACHINES).map(|n| world.plain(&vault, &format!("vm{n}"))).collect();
    let second = world.another(open());
    let count =
        Count { began: Mutex::default(), ended: Mutex::default(), enough: 2 * MACHINES, stop: Cancel::new() };
    thread::scope(|scope| {
        for (name, recovery) in [("one", &world.recovery), ("two", &second)] {
            let worker = Worker::new(Arc::clone(recovery), WorkerOptions { name: name.into(), slots: 2 });
            let count = &count;
            scope.spawn(move || worker.run(count, &count.stop));
        }
        for _ in 0..2 {
            for item in &items {
                // until the one before is over
                while world.recovery.submit_backup(item, &BackupRequest::user()).is_err() {
                    thread::yield_now();
                }
            }
        }
    });
    let began = count.began.into_inner().unwrap();
    assert_eq!(began.len(), 2 * MACHINES);
    assert!(began.values().all(|times| *times == 1), "{began:?}");
    assert!(count.ended.into_inner().unwrap().iter().all(|job| job.status == JobStatus::Completed));
    for item in &items {
        assert_eq!(world.recovery.recovery_points(item).unwrap().len(), 2);
    }
}

#[test]
fn no_job_runs_twice_on_a_file() {
    let body = Body::file();
    no_job_runs_twice(|| body.open());
}

#[test]
fn no_job_runs_twice_on_a_server() {
    let body = Body::server();
    no_job_runs_twice(|| body.open());
}
