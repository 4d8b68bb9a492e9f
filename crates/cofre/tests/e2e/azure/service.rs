//! A home, `cofre serve` over it, and the clients that talk to it. Nothing outside the world's directory is read or
//! written by the clients, and the service's own proxy is all the network they have.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::assert_says;
use crate::world::{Run, World, finish};

/// Why there is nothing to run, and what to do.
const NO_CLIENTS: &str = "is not set. These tests run the Azure CLI and SDKs; make the Python environment with them \
    and name it:\n  venv=$(scripts/azure-venv.sh) && export COFRE_AZ=$venv/bin/az COFRE_AZURE_PYTHON=$venv/bin/python3";

/// A service that is ready.
pub(crate) struct Service {
    world: World,
    /// What `cofre init` said.
    facts: Value,
    process: Option<Child>,
}

/// A folder of settings of the Azure CLI: who is logged in there stays so.
pub(crate) struct Az<'a> {
    service: &'a Service,
    folder: PathBuf,
}

/// A principal made for a test.
pub(crate) struct Login {
    pub(crate) client: String,
    pub(crate) secret: String,
    pub(crate) object: String,
}

/// Ports below those that the kernel hands out, where no passing connection sits on one. Each test is a process, and
/// begins to look elsewhere.
fn free_ports() -> [u16; 2] {
    let start = std::process::id() % 10_000 * 2;
    let mut found = (0..20_000).filter_map(|step| {
        let port = u16::try_from(10_000 + (start + step) % 20_000).unwrap();
        TcpListener::bind(("127.0.0.1", port)).is_ok().then_some(port)
    });
    [found.next().unwrap(), found.next().unwrap()]
}

fn program(variable: &str) -> PathBuf {
    std::env::var_os(variable).map(PathBuf::from).unwrap_or_else(|| panic!("{variable} {NO_CLIENTS}"))
}

impl Service {
    pub(crate) fn start() -> Self {
        program("COFRE_AZ");
        let world = World::empty();
        let [port, proxy] = free_ports().map(|port| format!("127.0.0.1:{port}"));
        let init = [
            "init",
            "--home",
            "home",
            "--kit",
            "kit.json",
            "--listen",
            &port,
            "--proxy-listen",
            &proxy,
            "--image-folder",
            "vm",
            "--json",
        ];
        fs::create_dir(world.path("vm")).unwrap();
        let facts = finish(world.command(&init).spawn().unwrap()).expect(0).json();
        let mut command = world.command(&["serve", "--home", "home", "--json"]);
        command.stderr(Stdio::from(File::create(world.path("serve.log")).unwrap()));
        let mut process = command.spawn().unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        // It says no more, but must not find its output closed.
        thread::spawn(move || output.read_line(&mut String::new()));
        let service = Self { world, facts, process: Some(process) };
        let ready: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"));
        assert_eq!(ready["ready"], true, "{ready:#}");
        service
    }

    /// What `cofre init` said under a name.
    #[track_caller]
    pub(crate) fn fact(&self, name: &str) -> &str {
        self.facts[name].as_str().unwrap_or_else(|| panic!("{name} in {:#}", self.facts))
    }

    pub(crate) fn subscription(&self) -> String {
        format!("/subscriptions/{}", self.fact("subscriptionId"))
    }

    /// The address of a key vault.
    pub(crate) fn vault_url(&self, vault: &str) -> String {
        let port = self.fact("armEndpoint").rsplit(':').next().unwrap();
        format!("https://{vault}.vault.localhost:{port}")
    }

    /// The id of a machine in the group `default`.
    pub(crate) fn machine_id(&self, name: &str) -> String {
        format!(
            "{}/resourceGroups/default/providers/Microsoft.Compute/virtualMachines/{name}",
            self.subscription()
        )
    }

    /// The address of an image in the folder `vm`, which machines may use.
    pub(crate) fn image_uri(&self, name: &str) -> String {
        format!("file://{}", self.world.path("vm").join(name).display())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.world.path(name)
    }

    /// `cofre LINE` in the home, with what it prints as JSON.
    #[track_caller]
    pub(crate) fn cofre(&self, line: &str) -> Value {
        let words = words(line);
        let mut command = self.world.command(&words.iter().map(String::as_str).collect::<Vec<_>>());
        command.args(["--home", "home", "--json"]);
        finish(command.spawn().unwrap()).expect(0).json()
    }

    /// A principal that may do nothing yet.
    #[track_caller]
    pub(crate) fn principal(&self, name: &str) -> Login {
        let made = self.cofre(&format!("principal create --name {name}"));
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        Login { client: text("applicationId"), secret: text("clientSecret"), object: text("objectId") }
    }

    /// The principal that `cofre init` made.
    pub(crate) fn operator(&self) -> Login {
        let text = |name: &str| self.fact(name).to_owned();
        Login { client: text("clientId"), secret: text("clientSecret"), object: text("operatorObjectId") }
    }

    /// The environment of a client: none but what it needs.
    fn prepare(&self, command: &mut Command) {
        command.env_clear().current_dir(self.world.path(""));
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", self.world.path(""));
        command.envs([("LANG", "C.UTF-8"), ("PYTHONDONTWRITEBYTECODE", "1"), ("NO_PROXY", "")]);
        command.env("REQUESTS_CA_BUNDLE", self.fact("caFile")).env("HTTPS_PROXY", self.fact("connectProxy"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    }

    /// Runs a script of `e2e/azure`.
    #[track_caller]
    pub(crate) fn python<A: AsRef<OsStr>>(&self, script: &str, args: &[A]) -> Run {
        let scripts = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../e2e/azure");
        let mut command = Command::new(program("COFRE_AZURE_PYTHON"));
        self.prepare(&mut command);
        command.arg(scripts.join(script)).args(args);
        finish(command.spawn().unwrap())
    }

    /// New settings of the Azure CLI, which know this service and nobody who is logged in.
    #[track_caller]
    pub(crate) fn az(&self, name: &str) -> Az<'_> {
        let folder = self.world.path(&format!("azure-{name}"));
        fs::create_dir(&folder).unwrap();
        let az = Az { service: self, folder };
        az.done(&format!("cloud register -n Cofre --endpoint-resource-manager {}", self.fact("armEndpoint")));
        az.done("cloud set -n Cofre");
        az
    }

    /// Settings in which the operator is logged in.
    #[track_caller]
    pub(crate) fn operator_az(&self) -> Az<'_> {
        let az = self.az("operator");
        az.login(&self.operator());
        az
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        // It is told to end, and does: nothing is killed that could not end in order.
        let told = kill_process(Pid::from_child(&process), Signal::TERM);
        let ended = if told.is_ok() { process.wait().ok() } else { None };
        if thread::panicking() {
            eprintln!("{}", fs::read_to_string(self.world.path("serve.log")).unwrap_or_default());
        } else {
            assert!(ended.is_some_and(|status| status.success()), "{ended:?}");
        }
    }
}

/// The words of a line, divided by spaces; single quotes hold a word together.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (at, part) in line.split('\'').enumerate() {
        if at % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

impl Az<'_> {
    /// Runs `az LINE`.
    #[track_caller]
    pub(crate) fn run(&self, line: &str) -> Run {
        let mut command = Command::new(program("COFRE_AZ"));
        self.service.prepare(&mut command);
        command.env("AZURE_CONFIG_DIR", &self.folder);
        command.envs([("AZURE_CORE_COLLECT_TELEMETRY", "false"), ("AZURE_CORE_NO_COLOR", "true")]);
        finish(command.args(words(line)).spawn().unwrap())
    }

    /// A command that succeeds, with the JSON it prints.
    #[track_caller]
    pub(crate) fn json(&self, line: &str) -> Value {
        let run = self.run(line);
        assert_eq!(run.code, Some(0), "az {line}: {run:#?}");
        run.json()
    }

    /// A command that succeeds, whatever it prints.
    #[track_caller]
    pub(crate) fn done(&self, line: &str) {
        let run = self.run(line);
        assert_eq!(run.code, Some(0), "az {line}: {run:#?}");
    }

    /// A command that fails with an exit code, and says these things.
    #[track_caller]
    pub(crate) fn refused(&self, line: &str, code: i32, parts: &[&str]) {
        let run = self.run(line);
        assert_eq!(run.code, Some(code), "az {line}: {run:#?}");
        assert_says(&run.stderr, parts);
        assert_eq!(run.stdout, "", "az {line}");
    }

    /// `az rest --method put` of a resource, with what is answered.
    #[track_caller]
    pub(crate) fn put(&self, id: &str, body: &Value) -> Value {
        let file = self.folder.join("body.json");
        fs::write(&file, body.to_string()).unwrap();
        let url = format!("{}{id}?api-version=2024-11-01", self.service.fact("armEndpoint"));
        let resource = "https://management.cofre.local/";
        self.json(&format!("rest --method put --url {url} --resource {resource} --body @{}", file.display()))
    }

    /// Logs in with a secret.
    #[track_caller]
    pub(crate) fn login(&self, login: &Login) -> Value {
        let tenant = self.service.fact("tenantId");
        self.json(&format!(
            "login --service-principal -u {} --password={} --tenant {tenant}",
            login.client, login.secret
        ))
    }
}
