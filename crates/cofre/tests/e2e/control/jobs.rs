//! Jobs that a worker runs, in a process of its own.

use std::process::Child;

use rustix::process::{Pid, Signal, kill_process};

use super::*;

const BACKUP: &str = "backup now --vault-name bv --item-name web";

impl Home {
    /// Has a worker do it; returns the job's id.
    #[track_caller]
    fn submit(&self, line: &str) -> String {
        let job = self.ok(&format!("{line} --no-wait"));
        assert_eq!(job["status"], "InProgress");
        job["job"].as_str().unwrap().to_owned()
    }

    fn worker(&self) -> Child {
        self.command("serve --only worker").spawn().unwrap()
    }

    #[track_caller]
    fn wait(&self, job: &str, code: i32) -> Value {
        self.run(&format!("job wait {job} --timeout 120")).expect(code).json()
    }
}

fn stop(worker: Child) {
    kill_process(Pid::from_child(&worker), Signal::TERM).unwrap();
    finish(worker).expect(0);
}

#[test]
fn what_waits_is_shown_cancelled_and_done() {
    let (home, ..) = Home::protected();
    let job = home.submit(BACKUP);
    home.run(BACKUP).refused(11, "UserErrorBackupOperationInProgress");
    home.run(&format!("job wait {job} --timeout 0")).refused(1, "Timeout");
    assert_eq!(home.ok(&format!("job stop {job}"))["status"], "Cancelled");
    home.run(&format!("job stop {job}")).refused(21, "UserErrorJobNotRunning");
    home.wait(&job, 130);
    let cancelled = home.ok("job list --operation backup --status cancelled");
    assert_eq!(cancelled["jobs"][0]["id"], job.as_str());

    let job = home.submit(BACKUP);
    let worker = home.worker();
    let done = home.wait(&job, 0);
    assert_eq!((&done["status"], &done["progress"]["bytesDone"]), (&"Completed".into(), &SIZE.into()));
    let watched = home.run(&format!("job watch {job}")).expect(0);
    assert_eq!(watched.json(), done);
    let job = home.submit("restore disks --vault-name bv --item-name web -t rg");
    let done = home.wait(&job, 0);
    let bag = &done["propertyBag"];
    assert_eq!(bag["Target resource group"], "rg");
    let container = bag["Config Blob Container Name"].as_str().unwrap();
    let folder = home.world.path("home/storage/default").join(container);
    home.assert_restored(folder.to_str().unwrap(), "web.raw", Some(DISK_KEY.as_bytes()));
    stop(worker);
}

#[test]
fn protection_is_stopped_deleted_and_taken_back() {
    let (home, ..) = Home::protected();
    home.ok(BACKUP);
    let of = |command: &str| format!("protection {command} --vault-name bv --item-name web");
    let state = |answer: &Value| answer["item"]["protectionState"].as_str().unwrap().to_owned();
    assert_eq!(state(&home.ok(&of("disable"))), "ProtectionStopped");
    home.run(BACKUP).refused(21, "Conflict");
    home.ok("restore disks --vault-name bv --item-name web");
    assert_eq!(state(&home.ok(&of("resume"))), "Protected");
    home.ok(&of("set-policy"));
    home.run(&of("disable --delete-backup-data")).refused(2, "UsageError");
    let deleted = home.ok(&of("disable --delete-backup-data --yes"));
    assert!(deleted["item"]["deletion"]["purgeDue"].is_string(), "{deleted}");
    home.run("restore disks --vault-name bv --item-name web").refused(21, "Conflict");
    assert_eq!(state(&home.ok(&of("undelete"))), "ProtectionStopped");
    home.ok("restore disks --vault-name bv --item-name web");

    // a vault that keeps nothing
    home.ok("vault backup-properties set --name bv --soft-delete-feature-state Disable");
    let repository = home.repository();
    let gone = home.ok(&of("disable --delete-backup-data --yes"));
    assert_eq!((&gone["status"], &gone["item"]), (&"Completed".into(), &Value::Null));
    assert!(!repository.exists());
    home.ok("vault delete --name bv --yes");
}

#[cfg(feature = "failpoints")]
#[test]
fn the_job_of_a_worker_that_was_killed_is_done_by_the_next() {
    let (home, ..) = Home::protected();
    for (seed, name) in (40..).zip(["ingest.after-lease", "ingest.pack-committed", "ingest.after-snapshot"]) {
        home.encrypted_image("web.raw", DISK_KEY, seed);
        let before = home.points().len();
        let job = home.submit(BACKUP);
        let mut command = home.command("serve --only worker");
        command.env("COFRE_FAILPOINT", format!("{name}:1"));
        let run = finish(command.spawn().unwrap());
        assert_eq!(run.code, None, "{name}: it was killed: {run:#?}");
        let worker = home.worker();
        let done = home.wait(&job, 0);
        assert_eq!((&done["status"], &done["takeOvers"]), (&"Completed".into(), &1.into()), "{name}: {done}");
        assert_eq!(done["adopted"] == true, name == "ingest.after-snapshot", "{name}: {done}");
        assert_eq!(home.points().len(), before + 1, "{name}");
        stop(worker);
    }
    let list = home.ok("vault reconcile --name bv")["items"][0].clone();
    assert_eq!((&list["adopted"], &list["lost"]), (&serde_json::json!([]), &serde_json::json!([])));
}
