//! No space left where database and repository are.

use std::{io::Write as _, process::Command};

use super::*;
use crate::{control::set_jobs, images, limits::Small};

#[test]
fn a_full_disk_fails_the_job_and_the_service_goes_on() {
    let world = World::empty();
    let Some(small) = Small::mount(world.path("home"), "40m") else { return };
    let mut service = Service::in_world(world);
    set_jobs(&service.world, json!({"retries": 0, "tickSeconds": 1}));
    images::full(&service.world.path("vm/web.raw"), 4 << 20, 1);
    service.cofre("vm create --name web --os-disk vm/web.raw");
    service.cofre("vault create --name bv");
    service.cofre("protection enable --vault-name bv --vm web");
    service.cofre("backup now --vault-name bv --item-name web");
    let item = service.cofre("protection list")["items"][0]["id"].as_str().unwrap().to_owned();
    service.start(None);
    let client = service.manager();
    let back_up = || {
        let body = json!({"properties": {"objectType": "IaasVMBackupRequest"}});
        client.manage("POST", &format!("{item}/backup"), &body).unwrap().status
    };
    let points = |service: &Service| {
        let shown = service.cofre("recoverypoint list --vault-name bv --item-name web");
        shown["recoveryPoints"].as_array().unwrap().len()
    };
    let ended = |service: &Service| loop {
        let job = service.cofre("job list --operation Backup --limit 1")["jobs"][0].clone();
        if job["status"] != "InProgress" {
            break job;
        }
        std::thread::sleep(Duration::from_millis(100));
    };

    // the repository does not fit: the job says why
    images::full(&service.world.path("vm/web.raw"), 80 << 20, 2);
    assert_eq!(back_up(), 202);
    let job = ended(&service);
    assert_eq!(job["status"], "Failed", "{job:#}");
    assert!(job["errorDetails"].to_string().contains("space"), "{job:#}");
    assert_eq!(points(&service), 1);

    // not a byte left, for the database neither: it is refused, and what is there can be read
    let filler = fs::File::create(small.0.join("filler")).unwrap();
    while (&filler).write_all(&[1; 4096]).is_ok() {}
    assert_eq!(client.manage("GET", &item, &Value::Null).unwrap().status, 200);
    assert_eq!(back_up(), 503);
    assert_eq!(client.manage("GET", &item, &Value::Null).unwrap().status, 200);
    drop(filler);
    fs::remove_file(small.0.join("filler")).unwrap();

    // with a little room there is a clean-up, with more of it there are backups; it is the same process all the time
    service.cofre("vault clean-up --name bv");
    let more = Command::new("mount").args(["-o", "remount,size=200m"]).arg(&small.0).status().unwrap();
    assert!(more.success());
    assert_eq!(back_up(), 202);
    let job = ended(&service);
    assert_eq!(job["status"], "Completed", "{job:#}");
    assert_eq!(points(&service), 2);
    let reconciled = service.cofre("vault reconcile --name bv")["items"][0].clone();
    assert_eq!((&reconciled["adopted"], &reconciled["lost"]), (&json!([]), &json!([])));
    assert_eq!(service.stop(), Some(0), "{}", service.log());
    assert!(!service.log().contains("panicked"), "{}", service.log());
    drop(small);
}
