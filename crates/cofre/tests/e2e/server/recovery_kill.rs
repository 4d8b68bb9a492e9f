//! Killed while it backs up, restores and changes what is protected: no point is lost, nothing is half there, no job runs
//! for ever, and the next backup is made.
//!
//! `COFRE_KILLS` and `COFRE_SEED` make it longer and different; `cargo xtask soak --recovery` does.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use super::*;
use crate::control::set_jobs;

/// Bytes of the image.
const SIZE: usize = 8 << 20;

fn image(seed: u64) -> Vec<u8> {
    let mut random = super::kill::splitmix(seed);
    let mut image = vec![0; SIZE];
    for word in image[1 << 20..5 << 20].chunks_exact_mut(8) {
        word.copy_from_slice(&random().to_le_bytes());
    }
    image
}

/// A service that protects the machine `web`, and what is known of its points.
struct Protected {
    service: Service,
    item: String,
    vault: String,
    /// The seed of the image that each point holds, by the point's name.
    points: BTreeMap<String, u64>,
    /// The seed of the image that is there.
    seed: u64,
}

fn list<'a>(answer: &'a Value, name: &str) -> &'a Vec<Value> {
    answer[name].as_array().unwrap()
}

impl Protected {
    fn new(seed: u64) -> Self {
        let service = Service::new();
        set_jobs(
            &service.world,
            json!({"heartbeatSeconds": 1, "staleSeconds": 4, "retrySeconds": 1, "tickSeconds": 1}),
        );
        fs::write(service.world.path("vm/web.raw"), image(seed)).unwrap();
        service.cofre("vm create --name web --os-disk vm/web.raw");
        service.cofre("vault create --name bv");
        service.cofre("protection enable --vault-name bv --vm web");
        let item = service.cofre("protection list")["items"][0].clone();
        let text = |name: &str| item[name].as_str().unwrap().to_owned();
        let (item, vault) = (text("id"), text("vaultId"));
        let mut protected = Self { service, item, vault, points: BTreeMap::new(), seed };
        protected.service.cofre("backup now --vault-name bv --item-name web");
        protected.settle("at first");
        protected
    }

    fn change_image(&mut self, seed: u64) {
        self.seed = seed;
        fs::write(self.service.world.path("vm/web.raw"), image(seed)).unwrap();
    }

    /// Waits until no job runs, then looks at everything.
    #[track_caller]
    fn settle(&mut self, when: &str) {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let running = self.service.cofre("job list --status InProgress");
            if list(&running, "jobs").is_empty() {
                break;
            }
            assert!(Instant::now() < end, "{when}: {running:#}\n{}", self.service.log());
            thread::sleep(Duration::from_millis(100));
        }
        let reconciled = self.service.cofre("vault reconcile --name bv");
        for name in ["adopted", "lost", "found", "unanchored"] {
            assert_eq!(list(&reconciled["items"][0], name).len(), 0, "{when}: {reconciled:#}");
        }
        let shown = self.service.cofre("recoverypoint list --vault-name bv --item-name web");
        let mut names: Vec<String> = Vec::new();
        for point in list(&shown, "recoveryPoints") {
            assert_eq!(point["state"], "visible", "{when}: {point:#}");
            names.push(point["name"].as_str().unwrap().to_owned());
        }
        for name in self.points.keys() {
            assert!(names.contains(name), "{when}: point {name} is lost: {names:?}");
        }
        for name in names {
            self.points.entry(name).or_insert(self.seed);
        }
        let jobs = self.service.cofre("job list --limit 1000");
        let mut restores = 0;
        let mut backups = 0;
        for job in list(&jobs, "jobs") {
            let done = job["status"] == "Completed" || job["status"] == "CompletedWithWarnings";
            let worked = job["operation"] == "Backup" || job["operation"] == "Restore";
            assert!(done || !worked, "{when}: {job:#}");
            backups += usize::from(done && job["operation"] == "Backup");
            restores += usize::from(done && job["operation"] == "Restore");
        }
        assert_eq!(self.points.len(), backups, "{when}: each backup made one point");
        let containers = fs::read_dir(self.service.world.path("home/storage/default")).unwrap().count();
        assert_eq!(containers, restores, "{when}: each restore left one container");
    }

    /// Backs up, and nobody holds a repository afterwards: of leases there is none but the released one of the last run.
    #[track_caller]
    fn next_run_succeeds(&mut self, when: &str) {
        self.service.cofre("backup now --vault-name bv --item-name web");
        self.settle(when);
        for folder in fs::read_dir(self.service.world.path("home/repositories")).unwrap() {
            let leases = folder.unwrap().path().join("repository/cofre/leases");
            let held = fs::read_dir(&leases).map(Iterator::count).unwrap_or_default();
            assert!(held <= 1, "{when}: {held} leases are left in {}", leases.display());
        }
    }

    /// Every `step`-th point is what the image was.
    #[track_caller]
    fn compare(&self, step: usize) {
        for (name, seed) in self.points.iter().step_by(step) {
            fs::create_dir(self.service.world.path(&format!("out-{name}"))).unwrap();
            let line =
                format!("restore disks --vault-name bv --item-name web --rp-name {name} --to out-{name}");
            let run = self.service.cofre(&line);
            let folder = std::path::PathBuf::from(run["container"].as_str().unwrap());
            let vhd = fs::read(folder.join("os.vhd")).unwrap();
            assert!(vhd[..SIZE] == image(*seed), "point {name} is not what was backed up");
            fs::remove_dir_all(folder).unwrap();
        }
        assert_eq!(self.service.cofre("audit verify")["ok"], true);
        assert!(!self.service.log().contains("panicked"), "{}", self.service.log());
    }

    fn backup(&self, client: &Client) -> Result<Reply, ureq::Error> {
        let body = json!({"properties": {"objectType": "IaasVMBackupRequest"}});
        client.manage("POST", &format!("{}/backup", self.item), &body)
    }

    fn restore(&self, client: &Client) -> Result<Reply, ureq::Error> {
        let subscription = self.vault.split("/resourceGroups/").next().unwrap();
        let group = format!("{subscription}/resourceGroups/default/providers");
        let point = self.points.keys().last().unwrap();
        let body = json!({"properties": {
            "objectType": "IaasVMRestoreRequest",
            "recoveryPointId": point,
            "recoveryType": "RestoreDisks",
            "region": "local",
            "createNewCloudService": false,
            "originalStorageAccountOption": false,
            "sourceResourceId": format!("{group}/Microsoft.Compute/virtualMachines/web"),
            "storageAccountId": format!("{group}/Microsoft.Storage/storageAccounts/default"),
        }});
        client.manage("POST", &format!("{}/recoveryPoints/{point}/restore", self.item), &body)
    }

    fn change_policy(&self, client: &Client, zone: &str) -> Result<Reply, ureq::Error> {
        let id = format!("{}/backupPolicies/DefaultPolicy", self.vault);
        let mut policy = client.manage("GET", &id, &Value::Null)?.body;
        policy["properties"]["timeZone"] = zone.into();
        client.manage("PUT", &id, &policy)
    }

    fn protect(&self, client: &Client) -> Result<Reply, ureq::Error> {
        let subscription = self.vault.split("/resourceGroups/").next().unwrap();
        let machine =
            format!("{subscription}/resourceGroups/default/providers/Microsoft.Compute/virtualMachines/web");
        let body = json!({"properties": {
            "protectedItemType": "Microsoft.Compute/virtualMachines",
            "policyId": format!("{}/backupPolicies/DefaultPolicy", self.vault),
            "sourceResourceId": machine,
        }});
        client.manage("PUT", &self.item, &body)
    }
}

/// Asks for one thing after the other until the connection breaks.
fn ask(protected: &Protected, client: &Client) {
    for round in 0.. {
        let zone = ["UTC", "Europe/Berlin"][round % 2];
        let asked = [
            protected.backup(client),
            protected.change_policy(client, zone),
            protected.restore(client),
            protected.protect(client),
        ];
        for answer in asked {
            let Ok(reply) = answer else { return };
            // what is busy is refused, and nothing is a defect
            assert!(reply.status < 400 || reply.status == 409, "{reply:?}");
        }
    }
}

#[test]
fn killed_at_any_instant_no_point_is_lost() {
    let (kills, seed) = (super::kill::setting("COFRE_KILLS", 20), super::kill::setting("COFRE_SEED", 2026));
    eprintln!("{kills} kills, seed {seed}");
    let mut next = super::kill::splitmix(seed);
    let mut protected = Protected::new(next());
    for round in 0..kills {
        protected.change_image(next());
        protected.service.start(None);
        let client = protected.service.manager();
        let pause = Duration::from_micros(next() % 700_000);
        let pid = protected.service.pid();
        thread::scope(|scope| {
            let shared = &protected;
            scope.spawn(move || ask(shared, &client));
            thread::sleep(pause);
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        });
        protected.service.kill();
        protected.service.start(None);
        protected.settle(&format!("kill {round}"));
        protected.service.kill();
        if round % 10 == 9 {
            protected.next_run_succeeds(&format!("after kill {round}"));
            eprintln!("{} kills, {} points", round + 1, protected.points.len());
        }
    }
    protected.next_run_succeeds("at last");
    protected.compare((protected.points.len() / 8).max(1));
}

#[cfg(feature = "failpoints")]
#[test]
fn killed_at_every_named_instant_no_point_is_lost() {
    let mut protected = Protected::new(1);
    let names = cofre_repo::failpoint::JOB_NAMES.iter().filter(|name| !name.starts_with("removal."));
    let names = names.chain(&["policy.stored", "ingest.pack-committed", "ingest.after-snapshot"]);
    for (seed, name) in (2..).zip(names) {
        protected.change_image(seed);
        protected.service.start(Some(&format!("{name}:1")));
        let client = protected.service.manager();
        // the connection may break before the answer
        let _ = match name.split('.').next().unwrap() {
            "restore" => protected.restore(&client),
            "policy" => protected.change_policy(&client, "Europe/Berlin"),
            "protection" => protected.protect(&client),
            _ => protected.backup(&client),
        };
        protected.service.died(name);
        protected.service.start(None);
        protected.settle(name);
        protected.service.kill();
        protected.next_run_succeeds(name);
    }
    protected.compare(1);

    // a removal: all of it goes
    protected.service.cofre("vault backup-properties set --name bv --soft-delete-feature-state Disable");
    protected.service.start(Some("removal.begun:1"));
    let client = protected.service.manager();
    // the worker may die before the answer
    let deleted = client.manage("DELETE", &protected.item, &Value::Null);
    assert!(deleted.as_ref().map_or(true, |reply| reply.status < 300), "{deleted:?}");
    protected.service.died("removal.begun");
    protected.service.start(Some("removal.repository-removed:1"));
    protected.service.died("removal.repository-removed");
    protected.service.start(None);
    for _ in 0..600 {
        if list(&protected.service.cofre("protection list"), "items").is_empty() {
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
    let running = protected.service.cofre("job list --status InProgress");
    assert!(list(&running, "jobs").is_empty(), "{running:#}");
    assert_eq!(fs::read_dir(protected.service.world.path("home/repositories")).unwrap().count(), 0);
    protected.service.cofre("vault delete --name bv --yes");
}
