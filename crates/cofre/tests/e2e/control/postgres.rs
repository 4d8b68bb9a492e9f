//! A home whose database is on a PostgreSQL server, and several workers that share it.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::*;

#[path = "../../../../cofre-store/tests/bodies/cluster.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod cluster;

use self::cluster::Cluster;

/// A process of the service, killed with the test.
struct Part {
    process: Option<Child>,
}

impl Part {
    /// Starts `cofre serve` with these words and waits until it is ready.
    #[track_caller]
    fn start(home: &Home, words: &str, log: &str) -> Self {
        let mut command = home.command(&format!("serve {words}"));
        let log = home.world.path(log);
        let mut process = command.stderr(Stdio::from(File::create(&log).unwrap())).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.contains("ready"), "{words}: {line}{}", fs::read_to_string(log).unwrap());
        Self { process: Some(process) }
    }

    fn worker(home: &Home, name: &str) -> Self {
        Self::start(home, &format!("--only worker --worker-name {name}"), &format!("{name}.log"))
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(self.process.as_ref().unwrap()), signal).unwrap();
    }

    /// SIGSTOP, as soon as it has locked the only repository.
    #[track_caller]
    fn stop_in_the_midst(&self, home: &Home) {
        let locked = || {
            let folder = fs::read_dir(home.world.path("home/repositories")).ok()?.next()?.ok()?.path();
            fs::read_dir(folder.join("repository/locks")).ok()?.next()
        };
        let end = Instant::now() + Duration::from_secs(60);
        while locked().is_none() {
            assert!(Instant::now() < end, "it never held a lock");
            thread::sleep(Duration::from_micros(200));
        }
        self.signal(Signal::STOP);
    }

    #[track_caller]
    fn stop(mut self) {
        self.signal(Signal::TERM);
        finish(self.process.take().unwrap()).expect(0);
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// A home in a database of its own, and that one's URL.
fn on_a_server(name: &str) -> (Home, String) {
    let url = Cluster::shared().make_database(name);
    (Home::with(&format!(" --database {url}")), url)
}

/// The audit's events with this name: the job each is of, and its detail.
fn events(home: &Home, name: &str) -> Vec<(String, Value)> {
    let run = home.run("audit export --writer recovery").expect(0);
    let lines = run.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["event"].take());
    let named = lines.filter(|event| event["operation"] == name);
    named.map(|event| (event["object"].as_str().unwrap().to_owned(), event["detail"].clone())).collect()
}

fn points_of(home: &Home, item: &str) -> Vec<Value> {
    let list = home.ok(&format!("recoverypoint list --vault-name bv --item-name {item}"));
    list["recoveryPoints"].as_array().unwrap().clone()
}

#[track_caller]
fn assert_reconciled(home: &Home) {
    for item in home.ok("vault reconcile --name bv")["items"].as_array().unwrap() {
        for list in ["adopted", "lost", "found", "unanchored"] {
            assert_eq!(item[list], json!([]), "{list}: {item}");
        }
    }
}

fn submit(home: &Home, item: &str) -> String {
    let job = home.ok(&format!("backup now --vault-name bv --item-name {item} --no-wait"));
    job["job"].as_str().unwrap().to_owned()
}

/// Waits until a job is what is asked for.
#[track_caller]
fn until(home: &Home, job: &str, what: impl Fn(&Value) -> bool) -> Value {
    let end = Instant::now() + Duration::from_secs(120);
    loop {
        let shown = home.ok(&format!("job show {job}"));
        if what(&shown) {
            return shown;
        }
        assert!(Instant::now() < end, "{shown:#}");
        thread::sleep(Duration::from_millis(50));
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn the_whole_story_on_a_server() {
    let (home, url) = on_a_server("story");
    let (home, ..) = home.protect();
    assert!(!home.world.path("home/cofre.db").exists());
    let first = home.ok("backup now --vault-name bv --item-name web");
    assert_eq!(first["disks"][0]["keys"]["state"], "proven");
    home.encrypted_image("web.raw", DISK_KEY, 2);
    home.ok("backup now --vault-name bv --item-name web");
    assert_eq!(home.points().len(), 2);
    let run = home.ok("restore disks --vault-name bv --item-name web");
    home.assert_restored(run["container"].as_str().unwrap(), "web.raw", Some(DISK_KEY.as_bytes()));
    home.ok("keyvault key delete --vault-name kv1 --name kek");
    home.ok("keyvault key purge --vault-name kv1 --name kek --yes");
    let run = home.run("restore disks --vault-name bv --item-name web").expect(3).json();
    assert_eq!(codes(&run["warnings"]), ["UserErrorKeyOrSecretNotFound"]);
    home.ok("keyvault create --name kv-new --enabled-for-disk-encryption true");
    let job = run["job"].as_str().unwrap();
    home.ok(&format!("restore keys {job} --vault kv-new --update-machine"));
    home.ok("keyvault access-policy from-template --name kv-new");
    home.ok("backup now --vault-name bv --item-name web");
    home.ok("vault clean-up --name bv");
    assert_reconciled(&home);
    assert_eq!(home.ok("audit verify")["ok"], true);
    assert_eq!(home.ok("kit check --kit kit.json")["ok"], true);
    // the database of one home is not taken by another
    let other = World::empty();
    let args = ["init", "--home", "home", "--json", "--database", url.as_str()];
    other.cofre(&args).refused(21, "Conflict");
}

#[test]
fn two_workers_share_the_jobs_and_none_is_run_twice() {
    let (home, _) = on_a_server("workers");
    home.ok("vault create --name bv");
    let machines: Vec<_> = (0..8).map(|number| format!("m{number}")).collect();
    for (seed, name) in (100..).zip(&machines) {
        home.plain_image(&format!("{name}.raw"), seed);
        home.ok(&format!("vm create --name {name} --os-disk vm/{name}.raw"));
        home.ok(&format!("protection enable --vault-name bv --vm {name}"));
    }
    let api = format!("--only api --no-proxy --listen 127.0.0.1:{}", free_port());
    let api = Part::start(&home, &api, "api.log");
    let jobs: Vec<_> = machines.iter().map(|name| submit(&home, name)).collect();
    // the API runs none of them
    assert_eq!(home.ok("job list --status InProgress")["jobs"].as_array().unwrap().len(), jobs.len());
    let workers = ["one", "two"].map(|name| {
        Part::start(&home, &format!("--only worker --slots 1 --worker-name {name}"), &format!("{name}.log"))
    });
    for job in &jobs {
        let done = home.run(&format!("job wait {job} --timeout 120")).expect(0).json();
        assert_eq!((&done["status"], &done["takeOvers"]), (&"Completed".into(), &Value::Null), "{done}");
    }
    let mut by: BTreeMap<String, usize> = BTreeMap::new();
    let begun = events(&home, "job.begin");
    let ended = events(&home, "job.end");
    for (job, name) in jobs.iter().zip(&machines) {
        let of: Vec<_> = begun.iter().filter(|(id, _)| id == job).collect();
        assert_eq!(of.len(), 1, "{name}: {of:?}");
        assert_eq!(of[0].1["epoch"], 1, "{name}: {of:?}");
        *by.entry(of[0].1["worker"].as_str().unwrap().to_owned()).or_default() += 1;
        assert_eq!(ended.iter().filter(|(id, _)| id == job).count(), 1, "{name}");
        assert_eq!(points_of(&home, name).len(), 1, "{name}");
    }
    assert_eq!(by.keys().collect::<Vec<_>>(), ["one", "two"], "both did some: {by:?}");
    assert_reconciled(&home);
    workers.into_iter().for_each(Part::stop);
    api.stop();
    assert_eq!(home.ok("audit verify")["ok"], true);
}

#[test]
fn a_worker_that_is_killed_or_stands_still_loses_its_job() {
    let (home, _) = on_a_server("silence");
    home.ok("vault create --name bv");
    home.set_jobs(json!({"heartbeatSeconds": 1, "staleSeconds": 4, "retrySeconds": 1, "tickSeconds": 1}));
    let large = |seed: u64| {
        let mut random = noise(seed);
        let image: Vec<u8> = (0..64 << 20).map(|_| random()).collect();
        fs::write(home.world.path("vm/big.raw"), image).unwrap();
    };
    large(3);
    home.ok("vm create --name big --os-disk vm/big.raw");
    home.ok("protection enable --vault-name bv --vm big");

    // killed: the other one does it
    let one = Part::worker(&home, "one");
    let job = submit(&home, "big");
    one.stop_in_the_midst(&home);
    assert_eq!(home.ok(&format!("job show {job}"))["status"], "InProgress", "it was too fast");
    one.signal(Signal::KILL);
    let two = Part::worker(&home, "two");
    let done = home.run(&format!("job wait {job} --timeout 120")).expect(0).json();
    assert_eq!(done["takeOvers"], 1, "{done:#}");
    assert_eq!(points_of(&home, "big").len(), 1);
    two.stop();

    // it stands still for longer than its lease: the other one does it, and it publishes nothing later
    large(4);
    let one = Part::worker(&home, "one");
    let job = submit(&home, "big");
    one.stop_in_the_midst(&home);
    let two = Part::worker(&home, "two");
    until(&home, &job, |job| job["takeOvers"] == 1);
    one.signal(Signal::CONT);
    let done = home.run(&format!("job wait {job} --timeout 120")).expect(0).json();
    assert_eq!((&done["status"], &done["takeOvers"]), (&"Completed".into(), &1.into()), "{done:#}");
    // both end in order, and whatever the first one still wanted is done by then
    one.stop();
    two.stop();
    assert_eq!(points_of(&home, "big").len(), 2);
    let ended = events(&home, "job.end").into_iter().filter(|(id, _)| *id == job).collect::<Vec<_>>();
    assert_eq!(ended.len(), 1, "{ended:?}");
    assert_eq!(home.ok(&format!("job show {job}"))["status"], "Completed");
    assert_reconciled(&home);
    let run = home.ok("restore disks --vault-name bv --item-name big");
    home.assert_restored(run["container"].as_str().unwrap(), "big.raw", None);
    home.ok("backup now --vault-name bv --item-name big");
}
