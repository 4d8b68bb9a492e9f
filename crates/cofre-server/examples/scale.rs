//! What lists and looks cost in a large vault, beside a tenth of it: 1000 machines with 365 points each, 20 000 jobs.
//!
//!     cargo build --release -p cofre && cargo run --release -p cofre-server --example scale
//!
//! For each size a home is made, and in it by commands one machine, its item, point and job. Their rows are written again
//! and again under other names and times, through the database's own batches. Then the real `cofre serve` answers one
//! connection over TLS, request after request; what workers do is called in this process, on the same database.
//! `--database URL` takes a PostgreSQL database, whose schema `cofre` is dropped by you between two runs; `--share N`
//! measures one size alone, an N-th of the full one.

#![allow(clippy::unwrap_used, reason = "a developer's measurement: whatever goes wrong ends it")]
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "figures for people")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use cofre_arm::ResourceId;
use cofre_recovery::worker::{Unobserved, Worker, WorkerOptions};
use cofre_repo::Cancel;
use cofre_store::{Batch, Change, JobChange, JobFilter, JobRow, PointChange, PointFilter, PointRow, Store};
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, body::Bytes, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use serde_json::{Value, json};

const MACHINES: usize = 1000;
const POINTS: usize = 365;
const JOBS: usize = 20_000;
/// Machines that nothing protects.
const UNPROTECTED: usize = 100;
/// Requests of each kind that are measured, and before them some that are not.
const ROUNDS: usize = 200;
const WARM: usize = 10;
/// The name whose rows are the pattern.
const PATTERN: &str = "pattern0000";

fn text(document: &[u8]) -> String {
    String::from_utf8(document.to_vec()).unwrap()
}

/// A home that commands are given.
struct Home {
    folder: tempfile::TempDir,
    program: PathBuf,
    facts: Value,
    database: Option<String>,
}

impl Home {
    fn new(program: &Path, database: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = database.map(str::to_owned);
        let mut home = Self { folder, program: program.to_owned(), facts: Value::Null, database };
        let images = home.folder.path().join("images");
        fs::create_dir(&images).unwrap();
        fs::write(images.join("disk.raw"), [7; 64 << 10]).unwrap();
        let mut arguments =
            vec!["init".to_owned(), "--image-folder".to_owned(), images.display().to_string()];
        if let Some(url) = &home.database {
            arguments.extend(["--database".to_owned(), url.clone()]);
        }
        home.facts = home.run(&arguments);
        let config = home.root().join("config.json");
        let mut settings: Value = serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
        settings["server"]["requestsPerSecond"] = json!(0);
        fs::write(&config, settings.to_string()).unwrap();
        home
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    fn run(&self, arguments: &[String]) -> Value {
        let mut command = Command::new(&self.program);
        let out = command.args(arguments).arg("--json").arg("--home").arg(self.root()).output().unwrap();
        assert!(out.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&out.stdout));
        serde_json::from_slice(&out.stdout).unwrap()
    }

    fn cofre(&self, line: &str) -> Value {
        self.run(&line.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    fn store(&self) -> Store {
        match &self.database {
            Some(url) => Store::connect(url).unwrap(),
            None => Store::open(&self.root().join("cofre.db")).unwrap(),
        }
    }

    /// One machine and all that belongs to it.
    fn make_pattern(&self) {
        self.cofre("vault create --name bv");
        let disk = self.folder.path().join("images/disk.raw");
        self.cofre(&format!("vm create --name {PATTERN} --os-disk {}", disk.display()));
        self.cofre(&format!("protection enable --vault-name bv --vm {PATTERN}"));
        self.cofre(&format!("backup now --vault-name bv --item-name {PATTERN}"));
        self.cofre("vault clean-up --name bv");
    }
}

/// A GUID that no two numbers share.
fn guid(kind: u32, number: usize) -> String {
    format!("{kind:08x}-0000-4000-8000-{number:012x}")
}

struct Filler<'a> {
    store: &'a Store,
    now: Timestamp,
    machines: usize,
    points: usize,
    jobs: usize,
}

impl Filler<'_> {
    fn name(number: usize) -> String {
        format!("machine{number:04}")
    }

    /// So many minutes ago, for each of `number`.
    fn ago(&self, number: usize, minutes: usize) -> Timestamp {
        self.now - SignedDuration::from_mins((number * minutes) as i64)
    }

    /// Writes the rows of all machines; returns the id of the first item.
    fn fill(&self) -> ResourceId {
        let documents = self.store.list("", None, 10_000).unwrap();
        let of = |kind: &str| documents.iter().find(|d| d.kind == kind && d.path.contains(PATTERN)).unwrap();
        let (machine, protection, item, quiet) = (of("machine"), of("protection"), of("item"), of("quiet"));
        let again = |document: &cofre_store::Document, name: &str| Change::Put {
            path: document.path.replace(PATTERN, name),
            kind: document.kind.clone(),
            body: text(&document.body).replace(PATTERN, name).into_bytes(),
        };
        let mut batch = Batch::new(self.now);
        // Nothing is due while it is measured.
        let mut scheduled = item.clone();
        let mut body: Value = serde_json::from_slice(&item.body).unwrap();
        body["lastSlot"] = json!(self.now + SignedDuration::from_hours(24));
        scheduled.body = body.to_string().into_bytes();
        for number in 0..self.machines {
            let name = Self::name(number);
            batch.changes.extend([again(machine, &name), again(protection, &name), again(&scheduled, &name)]);
        }
        for number in 0..UNPROTECTED {
            batch.changes.push(again(machine, &format!("unprotected{number:04}")));
        }
        let revision = self.store.commit(&batch).unwrap().revision;
        let mut note: Value = serde_json::from_slice(&quiet.body).unwrap();
        note["item"] = json!(revision);
        let mut note_of_all = quiet.clone();
        note_of_all.body = note.to_string().into_bytes();
        let mut batch = Batch::new(self.now);
        batch.changes.extend((0..self.machines).map(|number| again(&note_of_all, &Self::name(number))));
        self.store.commit(&batch).unwrap();
        let key = &item.path;
        let point = self.store.points(key, &PointFilter::default(), None, 1).unwrap().remove(0);
        let job = self.store.jobs(&JobFilter::default(), None, 100).unwrap();
        let job = job.into_iter().find(|job| job.operation == "Backup").unwrap();
        self.fill_points(&point);
        self.fill_jobs(&job);
        key.replace(PATTERN, &Self::name(0)).parse().unwrap()
    }

    fn fill_points(&self, pattern: &PointRow) {
        let body: Value = serde_json::from_slice(&pattern.body).unwrap();
        for machine in 0..self.machines {
            let mut batch = Batch::new(self.now);
            for number in 0..self.points {
                let mut body = body.clone();
                let (time, id) = (self.ago(number, 24 * 60), format!("{}", 1_000_000 - number));
                let point = guid(1, machine * self.points + number).replace('-', "");
                body["time"] = json!(time);
                body["name"] = json!(id);
                body["point"] = json!(point);
                let body = body.to_string().replace(PATTERN, &Self::name(machine)).into_bytes();
                let item = pattern.item.replace(PATTERN, &Self::name(machine));
                batch.points.push(PointChange::Insert(PointRow {
                    item,
                    id,
                    point,
                    time,
                    body,
                    ..pattern.clone()
                }));
            }
            self.store.commit(&batch).unwrap();
        }
    }

    /// Jobs of a year, all over: one of a hundred failed, and a restore, too.
    fn fill_jobs(&self, pattern: &JobRow) {
        let body: Value = serde_json::from_slice(&pattern.body).unwrap();
        for first in (0..self.jobs).step_by(1000) {
            let mut batch = Batch::new(self.now);
            for number in first..(first + 1000).min(self.jobs) {
                let name = Self::name(number % self.machines);
                let (id, started) = (guid(2, number), self.ago(number, 26));
                let ended = started + SignedDuration::from_secs(90);
                let is_rare = number % 100 == 99;
                let (operation, status) =
                    if is_rare { ("Restore", "Failed") } else { ("Backup", "Completed") };
                let mut body = body.clone();
                for (field, value) in [
                    ("id", json!(id)),
                    ("startTime", json!(started)),
                    ("endTime", json!(ended)),
                    ("operation", json!(operation)),
                    ("status", json!(status)),
                ] {
                    body[field] = value;
                }
                batch.jobs.push(JobChange::Insert(JobRow {
                    id,
                    item: pattern.item.replace(PATTERN, &name),
                    operation: operation.into(),
                    status: status.into(),
                    started,
                    ended: Some(ended),
                    body: body.to_string().replace(PATTERN, &name).into_bytes(),
                    ..pattern.clone()
                }));
            }
            self.store.commit(&batch).unwrap();
        }
    }
}

struct Server {
    process: Child,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    fn start(home: &Home) -> Self {
        let mut process = Command::new(&home.program)
            .args(["serve", "--json", "--no-proxy", "--log", "failures", "--listen", "127.0.0.1:0", "--home"])
            .arg(home.root())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        let port = ready["listen"].as_str().unwrap().rsplit(':').next().unwrap().parse().unwrap();
        Self { process, port }
    }

    /// A figure of the process's memory, in MiB: `VmRSS` or `VmHWM`.
    fn memory(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    }
}

type Connection = SendRequest<Full<Bytes>>;

struct Client {
    connection: Connection,
    host: String,
    token: String,
}

impl Client {
    async fn connect(server: &Server, facts: &Value) -> Self {
        let authority = fs::read(facts["caFile"].as_str().unwrap()).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&authority).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", server.port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = tokio_rustls::TlsConnector::from(Arc::new(tls)).connect(name, stream).await.unwrap();
        let (connection, driver) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(driver);
        Self { connection, host: format!("localhost:{}", server.port), token: String::new() }
    }

    async fn ask(&mut self, method: &str, path: &str, body: String) -> Value {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.host)
            .header("authorization", format!("Bearer {}", self.token))
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        self.connection.ready().await.unwrap();
        let response = self.connection.send_request(request).await.unwrap();
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&bytes));
        serde_json::from_slice(&bytes).unwrap()
    }

    async fn log_in(&mut self, principal: &Value) {
        let form = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}&scope=https://management.cofre.local//.default",
            principal["applicationId"].as_str().unwrap(),
            principal["clientSecret"].as_str().unwrap(),
        );
        let answer = self.ask("POST", "/adfs/oauth2/token", form).await;
        self.token = answer["access_token"].as_str().unwrap().to_owned();
    }
}

/// What was measured: a name, entries of one answer, times in milliseconds.
struct Figure {
    name: &'static str,
    entries: usize,
    median: f64,
    p99: f64,
}

fn figure(name: &'static str, entries: usize, mut times: Vec<Duration>) -> Figure {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)].as_secs_f64() * 1e3;
    Figure { name, entries, median: at(50), p99: at(99) }
}

fn measured(name: &'static str, mut work: impl FnMut() -> usize) -> Figure {
    let mut entries = 0;
    let mut times = Vec::new();
    for round in 0..WARM + ROUNDS / 4 {
        let begun = Instant::now();
        entries = work();
        if round >= WARM {
            times.push(begun.elapsed());
        }
    }
    figure(name, entries, times)
}

/// What clients ask for, below the vault's id.
fn questions(item: &ResourceId, now: Timestamp) -> Vec<(&'static str, String)> {
    let (item, vault) = (item.as_str(), item.as_str().split("/backupfabrics/").next().unwrap().to_owned());
    let group = vault.split("/providers/").next().unwrap();
    let day =
        |days: i64| (now - SignedDuration::from_hours(24 * days)).strftime("%Y-%m-%d%%20%I:%M:%S%%20%p");
    let is_vm = "backupManagementType%20eq%20%27AzureIaasVM%27";
    let between =
        |from: &str, to: &str| format!("{from}%20eq%20%27{}%27%20and%20{to}%20eq%20%27{}%27", day(8), day(1));
    let list =
        |path: &str, filter: &str| format!("{vault}/{path}?api-version=2025-02-01&$filter={is_vm}{filter}");
    let and = "%20and%20";
    vec![
        ("points of an item, all", format!("{item}/recoveryPoints?api-version=2025-02-01")),
        (
            "points of an item, a week",
            format!(
                "{item}/recoveryPoints?api-version=2025-02-01&$filter={}",
                between("startDate", "endDate")
            ),
        ),
        ("items, a page", list("backupProtectedItems", "")),
        (
            "items, by the machine's name",
            list("backupProtectedItems", &format!("{and}friendlyName%20eq%20%27machine0007%27")),
        ),
        ("item", format!("{item}?api-version=2025-02-01")),
        (
            "containers, a page",
            list("backupProtectionContainers", &format!("{and}status%20eq%20%27Registered%27")),
        ),
        ("protectable items", list("backupProtectableItems", "")),
        (
            "machines, a page",
            format!("{group}/providers/Microsoft.Compute/virtualMachines?api-version=2024-07-01"),
        ),
        ("policies", list("backupPolicies", "")),
        ("jobs, a page", list("backupJobs", "")),
        ("jobs, a week", list("backupJobs", &format!("{and}{}", between("startTime", "endTime")))),
        ("jobs in progress", list("backupJobs", &format!("{and}status%20eq%20%27InProgress%27"))),
        ("restores", list("backupJobs", &format!("{and}operation%20eq%20%27Restore%27"))),
        (
            "storage settings",
            format!("{vault}/backupstorageconfig/vaultstorageconfig?api-version=2025-02-01"),
        ),
    ]
}

/// Measures one size: a `share`-th of the full one.
fn size(program: &Path, database: Option<&str>, share: usize) -> (Vec<Figure>, u64, u64) {
    let home = Home::new(program, database);
    home.make_pattern();
    let principal = home.cofre("principal create --name scale");
    let assignee = principal["objectId"].as_str().unwrap();
    home.run(&["role", "assignment", "create", "--assignee", assignee, "--role", "Owner"].map(str::to_owned));
    let now = cofre_repo::clock::Clock::now(&cofre_repo::clock::SystemClock);
    let store = Arc::new(home.store());
    let (machines, points, jobs) = (MACHINES / share, POINTS / share, JOBS / share);
    let begun = Instant::now();
    let item = Filler { store: &store, now, machines, points, jobs }.fill();
    eprintln!("1/{share}: {machines} machines, {points} points each, {jobs} jobs: {:.0?}", begun.elapsed());

    let server = Server::start(&home);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut figures = runtime.block_on(async {
        let mut client = Client::connect(&server, &home.facts).await;
        client.log_in(&principal).await;
        let mut figures = Vec::new();
        for (name, path) in questions(&item, now) {
            let mut times = Vec::new();
            let mut entries = 0;
            for round in 0..WARM + ROUNDS {
                let begun = Instant::now();
                let answer = client.ask("GET", &path, String::new()).await;
                if round >= WARM {
                    times.push(begun.elapsed());
                }
                entries = answer["value"].as_array().map_or(1, Vec::len);
            }
            figures.push(figure(name, entries, times));
        }
        figures
    });
    let memory = (server.memory("VmRSS"), server.memory("VmHWM"));
    drop(server);

    let world = support::World::new();
    world.clock.advance(now.duration_since(support::START.parse().unwrap()).as_secs());
    let folder = tempfile::tempdir().unwrap();
    let prover = Arc::new(support::NoProver);
    let recovery = Arc::new(support::machines::recovery(
        folder.path(),
        &store,
        &world.key_vaults,
        &prover,
        &world.clock,
    ));
    let options = WorkerOptions { name: "scale".into(), slots: 1 };
    let worker = Worker::new(recovery.clone(), options);
    figures.push(measured("worker: look for a job", || {
        usize::from(worker.run_one(&Unobserved, &Cancel::new()).unwrap().is_some())
    }));
    figures.push(measured("worker: what is due, nothing", || recovery.due(now).unwrap().len()));
    let later = now + SignedDuration::from_hours(24 * 3);
    figures.push(measured("worker: what is due, all", || recovery.due(later).unwrap().len()));
    figures.push(measured("worker: a tick", || {
        worker.tick(&Unobserved);
        0
    }));
    figures.push(measured("worker: what to clean up", || recovery.items_to_clean_up().unwrap().len()));
    (figures, memory.0, memory.1)
}

fn main() {
    let argument = |name: &str| env::args().skip_while(|argument| argument != name).nth(1);
    let program = argument("--program").unwrap_or_else(|| "target/release/cofre".to_owned());
    let program = PathBuf::from(program).canonicalize().unwrap();
    let database = argument("--database");
    let shares: Vec<usize> = argument("--share").map_or(vec![10, 1], |share| vec![share.parse().unwrap()]);
    let sizes: Vec<_> = shares.iter().map(|share| size(&program, database.as_deref(), *share)).collect();
    let (first, last) = (&sizes[0], &sizes[sizes.len() - 1]);
    println!("| | entries | p50 ms | p99 ms | entries | p50 ms | p99 ms | p50 full ÷ tenth |");
    println!("|---|---:|---:|---:|---:|---:|---:|---:|");
    for (small, full) in first.0.iter().zip(&last.0) {
        println!(
            "| {} | {} | {:.2} | {:.2} | {} | {:.2} | {:.2} | {:.1} |",
            small.name,
            small.entries,
            small.median,
            small.p99,
            full.entries,
            full.median,
            full.p99,
            full.median / small.median
        );
    }
    println!("memory of the server, MiB: {} (peak {}), {} (peak {})", first.1, first.2, last.1, last.2);
}
