//! `cofre serve`, from outside.

mod full;
mod kill;
mod recovery_kill;
mod together;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    process::Child,
    sync::Arc,
    time::Duration,
};

use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::{Value, json};
use ureq::{
    Agent, Proxy,
    http::Request,
    tls::{Certificate, RootCerts, TlsConfig},
};

use crate::world::{World, finish};

/// A home whose service can be started, killed and asked.
pub(crate) struct Service {
    pub(crate) world: World,
    facts: Value,
    port: u16,
    process: Option<Child>,
    agent: Agent,
}

/// What a request was answered with.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Service {
    /// A home with a key vault `kv1` that the operator may do everything in; the service is not started.
    #[track_caller]
    pub(crate) fn new() -> Self {
        Self::in_world(World::empty())
    }

    /// [`new`](Self::new), in a world whose folder `home` may be there, empty.
    #[track_caller]
    pub(crate) fn in_world(world: World) -> Self {
        fs::create_dir(world.path("vm")).unwrap();
        let (port, proxy) = (free_port(), free_port());
        let line = format!(
            "init --listen 127.0.0.1:{port} --proxy-listen 127.0.0.1:{proxy} --image-folder vm --home home --json"
        );
        let args: Vec<_> = line.split(' ').collect();
        let facts = world.cofre(&args).expect(0).json();
        let authority = fs::read(facts["caFile"].as_str().unwrap()).unwrap();
        let authority =
            Certificate::from_der(&CertificateDer::from_pem_slice(&authority).unwrap()).to_owned();
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&[authority]))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .build();
        let agent = Agent::new_with_config(
            Agent::config_builder()
                .tls_config(tls)
                .proxy(Some(Proxy::new(&format!("http://127.0.0.1:{proxy}")).unwrap()))
                .http_status_as_error(false)
                .timeout_global(Some(Duration::from_secs(60)))
                .build(),
        );
        let service = Self { world, facts, port, process: None, agent };
        service.cofre("keyvault create --name kv1 --enabled-for-disk-encryption true");
        service
    }

    /// Runs a command on the home.
    #[track_caller]
    pub(crate) fn cofre(&self, line: &str) -> Value {
        let mut args: Vec<_> = line.split(' ').collect();
        args.extend(["--home", "home", "--json"]);
        self.world.cofre(&args).expect(0).json()
    }

    /// What `cofre init` told.
    pub(crate) fn facts(&self) -> &Value {
        &self.facts
    }

    /// The port of the service.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Starts the service and waits until it is ready.
    #[track_caller]
    pub(crate) fn start(&mut self, failpoint: Option<&str>) {
        let mut command = self.world.command(&["serve", "--home", "home", "--json"]);
        if let Some(failpoint) = failpoint {
            command.env("COFRE_FAILPOINT", failpoint);
        }
        let log = fs::OpenOptions::new().create(true).append(true).open(self.world.path("log")).unwrap();
        let mut process = command.stderr(log).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        self.process = Some(process);
        let ready: Value =
            serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}{}", self.log()));
        assert_eq!(ready["ready"], true);
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.world.path("log")).unwrap_or_default()
    }

    /// The process that runs.
    pub(crate) fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(self.process.as_ref().unwrap())
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            process.wait().unwrap();
        }
    }

    /// Waits until the service was killed by its failpoint.
    #[cfg(feature = "failpoints")]
    #[track_caller]
    pub(crate) fn died(&mut self, failpoint: &str) {
        let mut process = self.process.take().unwrap();
        for _ in 0..6000 {
            if let Some(status) = process.try_wait().unwrap() {
                assert_eq!(status.code(), None, "{failpoint}: {}", self.log());
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = process.kill();
        let _ = process.wait();
        panic!("{failpoint} was not reached: {}", self.log());
    }

    /// A client that manages resources.
    #[track_caller]
    pub(crate) fn manager(&self) -> Client {
        let id = self.facts["clientId"].as_str().unwrap();
        let secret = self.facts["clientSecret"].as_str().unwrap();
        self.client(&self.token_of(id, secret, "https://management.cofre.local").unwrap())
    }

    /// SIGTERM, and how it ended.
    #[track_caller]
    pub(crate) fn stop(&mut self) -> Option<i32> {
        let process = self.process.take().unwrap();
        let pid = rustix::process::Pid::from_child(&process);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        finish(process).code
    }

    /// A client of its own, for a thread.
    pub(crate) fn client(&self, token: &str) -> Client {
        Client { agent: self.agent.clone(), port: self.port, token: token.to_owned() }
    }

    /// A token of the operator for key vaults.
    #[track_caller]
    pub(crate) fn token(&self) -> String {
        let id = self.facts["clientId"].as_str().unwrap();
        let secret = self.facts["clientSecret"].as_str().unwrap();
        self.token_of(id, secret, &format!("https://vault.localhost:{}", self.port)).unwrap()
    }

    /// A token, or what the refusal says.
    pub(crate) fn token_of(&self, client: &str, secret: &str, audience: &str) -> Result<String, Value> {
        let form = format!(
            "grant_type=client_credentials&client_id={client}&client_secret={secret}&scope={audience}/.default"
        );
        let url = format!("https://localhost:{}/adfs/oauth2/token", self.port);
        let mut response = self.agent.post(url).send(form).unwrap();
        let body: Value = serde_json::from_str(&response.body_mut().read_to_string().unwrap()).unwrap();
        body["access_token"].as_str().map(str::to_owned).ok_or(body)
    }
}

/// Asks a service, with one token.
#[derive(Clone)]
pub(crate) struct Client {
    agent: Agent,
    port: u16,
    token: String,
}

impl Client {
    /// Asks the key vault `kv1`; an error is a connection that broke.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Reply, ureq::Error> {
        self.ask_at(&format!("https://kv1.vault.localhost:{}{path}", self.port), method, body)
    }

    /// Asks about a resource; an error is a connection that broke.
    pub(crate) fn manage(&self, method: &str, id: &str, body: &Value) -> Result<Reply, ureq::Error> {
        let url = format!("https://localhost:{}{id}?api-version=2024-04-01", self.port);
        self.ask_at(&url, method, body)
    }

    fn ask_at(&self, url: &str, method: &str, body: &Value) -> Result<Reply, ureq::Error> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = Request::builder()
            .method(method)
            .uri(url)
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json")
            .body(body)
            .unwrap();
        let mut response = self.agent.run(request)?;
        let status = response.status().as_u16();
        let text = response.body_mut().read_to_string()?;
        Ok(Reply { status, body: serde_json::from_str(&text).unwrap_or(Value::Null) })
    }

    /// Sets a secret.
    pub(crate) fn set(&self, name: &str, value: &str) -> Result<Reply, ureq::Error> {
        self.ask("PUT", &format!("/secrets/{name}"), &json!({"value": value}))
    }

    /// The value of a secret, in a version or the current one.
    #[track_caller]
    pub(crate) fn get(&self, name: &str, version: &str) -> Reply {
        self.ask("GET", &format!("/secrets/{name}/{version}"), &Value::Null).unwrap()
    }
}
