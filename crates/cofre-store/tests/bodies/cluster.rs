//! A PostgreSQL server for tests: a cluster of its own in a temporary directory, reached by a socket in there.
//!
//! Making a cluster takes seconds, so all tests of a run share one. The run is cargo-nextest's, which starts a process
//! for each test, or else this process. The first test that asks makes the cluster; a guard, a shell that nobody's kill
//! reaches, ends it when the run is no more, however that came about.

use std::{
    env, fs,
    fs::{DirBuilder, File},
    net::TcpListener,
    os::unix::{
        fs::{DirBuilderExt, MetadataExt},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
    sync::OnceLock,
    thread,
    time::Duration,
};

use rustix::fs::{FlockOperation, flock};

/// A cluster whose server runs.
pub(crate) struct Cluster {
    directory: PathBuf,
    port: u16,
}

/// Starts the server, and ends it and removes the cluster when the process of number $1 is no more. Further words are
/// the server's. What it starts goes on by itself when this returns.
const GUARD: &str = r#"
    owner=$1 directory=$2
    shift 2
    {
        "$@" > "$directory/log" 2>&1 &
        while kill -0 "$owner" && kill -0 "$!"; do sleep 0.2; done
        kill -QUIT "$!"
        wait "$!"
        rm -rf "$directory" "$directory.lock"
    } &
"#;

/// The port that the socket's name has where there is no other.
const PORT: u16 = 5432;

const MISSING: &str = "PostgreSQL's server is not installed. These tests need it: install the package postgresql \
                       (Debian; its programs are looked for in /usr/lib/postgresql/*/bin, then in PATH).";

impl Cluster {
    /// The one that all tests of this run share.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| {
            let is_nextest = env::var_os("NEXTEST").is_some_and(|value| value == "1");
            let owner = if is_nextest { std::os::unix::process::parent_id() } else { process::id() };
            // Its start as well, for numbers of processes come back.
            let status = fs::read_to_string(format!("/proc/{owner}/stat")).unwrap();
            let started = status.rsplit(')').next().unwrap().split_whitespace().nth(19).unwrap();
            Self::at(&env::temp_dir().join(format!("cofre-postgres-{owner}-{started}")), owner, PORT, &[])
        })
    }

    /// One that no other test sees.
    pub(crate) fn own() -> Self {
        let owner = process::id();
        Self::at(&env::temp_dir().join(format!("cofre-postgres-{owner}-own")), owner, PORT, &[])
    }

    /// One that no other test sees, and that also listens on a port of 127.0.0.1.
    pub(crate) fn on_a_port() -> Self {
        let owner = process::id();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let directory = env::temp_dir().join(format!("cofre-postgres-{owner}-port"));
        Self::at(&directory, owner, port, &["listen_addresses=127.0.0.1"])
    }

    fn at(directory: &Path, owner: u32, port: u16, settings: &[&str]) -> Self {
        let lock = File::create(directory.with_extension("lock")).unwrap();
        flock(&lock, FlockOperation::LockExclusive).unwrap();
        if !directory.join("ready").exists() {
            start(directory, owner, port, settings);
            fs::write(directory.join("ready"), "").unwrap();
        }
        Self { directory: directory.to_owned(), port }
    }

    /// The URL of a database, as the superuser, who needs no password.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://postgres@localhost:{}/{database}?host={}", self.port, self.directory.display())
    }

    /// Makes an empty database, and returns its URL.
    pub(crate) fn make_database(&self, name: &str) -> String {
        let mut create = program("createdb");
        create.args(["--no-password", "-U", "postgres", "-p", &self.port.to_string(), "-h"]);
        let made = create.arg(&self.directory).arg(name).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        self.url(name)
    }

    /// Where the server's files are; its user may read what is in here.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The server's socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.join(format!(".s.PGSQL.{}", self.port))
    }

    /// The port, of the socket too.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

/// The directory of the newest server's programs; the empty one for those in PATH.
fn programs() -> PathBuf {
    let number = |path: &Path| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let versions =
        fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path());
    let newest = versions.filter(|path| path.join("bin/initdb").exists()).max_by_key(|path| number(path));
    newest.map(|path| path.join("bin")).unwrap_or_default()
}

/// A program of the server's. It refuses root, who runs it as the user of Debian's package.
fn program(name: &str) -> Command {
    let path = programs().join(name);
    if !rustix::process::geteuid().is_root() {
        return Command::new(path);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--pdeathsig=QUIT"]).arg(path);
    command
}

fn start(directory: &Path, owner: u32, port: u16, settings: &[&str]) {
    let version = program("initdb").arg("--version").output().expect(MISSING);
    assert!(version.status.success(), "{MISSING}");
    if directory.exists() {
        // Half of one, of a test that was killed meanwhile.
        fs::remove_dir_all(directory).unwrap();
    }
    // Whoever may use the socket may do anything.
    DirBuilder::new().mode(0o700).create(directory).unwrap();
    if rustix::process::geteuid().is_root() {
        let user = fs::metadata("/var/lib/postgresql").expect(MISSING);
        std::os::unix::fs::chown(directory, Some(user.uid()), Some(user.gid())).unwrap();
    }
    let data = directory.join("data");
    let mut initdb = program("initdb");
    initdb.arg("--pgdata").arg(&data).args(["--username=postgres", "--auth=trust", "--no-sync"]);
    // Not the order of bytes: a column that is not told to have it would be found.
    initdb.args(["--encoding=UTF8", "--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US"]);
    let made = initdb.output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));

    let mut server = program("postgres");
    server.arg("-D").arg(&data).arg("-k").arg(directory).args([
        "-p",
        &port.to_string(),
        "-c",
        "listen_addresses=",
        "-c",
        "fsync=on",
    ]);
    server.args(["-c", "max_connections=200"]);
    server.args(settings.iter().flat_map(|setting| ["-c", setting]));
    let mut guard = Command::new("sh");
    guard.args(["-c", GUARD, "sh", &owner.to_string()]).arg(directory);
    guard.arg(server.get_program()).args(server.get_args());
    // Of a group of its own, which a test's end does not reach; and holding nothing of the test's open.
    guard.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(guard.current_dir("/").status().unwrap().success());
    for _ in 0..600 {
        let ready = program("pg_isready")
            .args(["-q", "-p", &port.to_string(), "-h"])
            .arg(directory)
            .status()
            .unwrap();
        if ready.success() {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("the server did not start: {}", fs::read_to_string(directory.join("log")).unwrap_or_default());
}
