//! `cofre serve`.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    sync::Arc,
};

use clap::{Args, ValueEnum};
use cofre_arm::ApiError;
use cofre_keyvault::{Clock as _, SystemClock};
use cofre_recovery::{
    Recovery,
    job::Job,
    worker::{Worker, WorkerObserver, WorkerOptions},
};
use cofre_repo::process::Process;
use cofre_server::{
    Answered, App, MetricsSource, Observer, Parts, Server, bind,
    identity::{TokenKey, Tokens},
    limits::Limits,
    tls::certificate_names,
};
use jiff::SignedDuration;
use serde_json::json;

use crate::{
    Context,
    exit::Exit,
    home::Home,
    output::Done,
    report::{Report, Result},
};

pub(crate) const EXAMPLES: &str = "The server runs until it gets SIGTERM or SIGINT; requests that run are let come to their end. It says `ready` on standard
output when it takes requests, and writes its log to standard error. It also runs jobs and schedules; a job that runs when
it stops is given back, and the next worker runs it.

Example:
  cofre serve --home /srv/cofre
  cofre serve --home /srv/cofre --listen 0.0.0.0:8443 --log changes
  cofre serve --home /srv/cofre --only worker --slots 4";

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Address to listen on [default: what `cofre init` was told, 127.0.0.1:8443]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Address of the proxy that finds key vaults by name; loopback alone [default: what `cofre init` was told]
    #[arg(long, value_name = "ADDRESS", conflicts_with = "no_proxy")]
    proxy_listen: Option<SocketAddr>,
    /// No proxy: the names of key vaults are known to DNS
    #[arg(long)]
    no_proxy: bool,
    /// Which requests stand in the log
    #[arg(long, value_name = "WHICH", value_enum, default_value = "changes")]
    log: Log,
    /// What to do: answer requests, run jobs and schedules, or both [default: both]
    #[arg(long, value_name = "PART", value_enum)]
    only: Option<Part>,
    /// Name of the worker, for the records of its jobs [default: the host's and the process's]
    #[arg(long, value_name = "NAME")]
    worker_name: Option<String>,
    /// Jobs that run at the same time [default: what the settings say, 2]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=256))]
    slots: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Requests; jobs wait for a worker elsewhere
    Api,
    /// Jobs and schedules
    Worker,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Log {
    /// All of them
    All,
    /// Those that change something or fail
    Changes,
    /// Those that fail through the service's own fault
    Failures,
}

/// Writes the log.
struct Lines {
    log: Log,
}

impl Observer for Lines {
    fn answered(&self, request: &Answered) {
        let changes = !matches!(request.method.as_str(), "GET" | "HEAD") || request.status >= 400;
        let wanted = match self.log {
            Log::All => true,
            Log::Changes => changes,
            Log::Failures => request.status >= 500,
        };
        if wanted {
            let Answered { id, peer, method, target, status, took } = request;
            // The path comes from outside: nothing in it may look like another line.
            let target: String =
                target.chars().take(400).map(|c| if c.is_control() { '?' } else { c }).collect();
            self.line(&format!(
                "{status} {method} {target} {} ms from {peer}, request {id}",
                took.as_millis()
            ));
        }
    }

    fn note(&self, text: &str) {
        self.line(text);
    }
}

impl Lines {
    fn line(&self, text: &str) {
        let now = super::table::instant(SystemClock.now());
        // Nobody is left to be told when standard error is gone.
        let _ = writeln!(io::stderr(), "{now} {text}");
    }
}

impl WorkerObserver for Lines {
    fn began(&self, job: &Job) {
        let Job { id, operation, entity_friendly_name: name, .. } = job;
        self.line(&format!("job {id}: {} of {name} began", operation.name()));
    }

    fn ended(&self, job: &Job) {
        let Job { id, operation, entity_friendly_name: name, .. } = job;
        let how = if job.status.is_over() { job.status.name() } else { "given back, it waits" };
        let why = job.error_details.first().filter(|_| job.status.is_over());
        let why = why.map(|detail| format!(": {}", detail.code)).unwrap_or_default();
        self.line(&format!("job {id}: {} of {name}: {how}{why}", operation.name()));
    }

    fn failed(&self, what: &str, error: &ApiError) {
        self.line(&format!("{what}: {} ({})", error.in_full(), error.code()));
    }
}

fn worker(args: &ServeArgs, home: &Home) -> Result<Worker> {
    let name = args.worker_name.clone().unwrap_or_else(|| Process::this().describe());
    let slots = args.slots.map_or(home.config.settings.jobs.slots, usize::from);
    let notifications = &home.config.notifications;
    let missed_after = SignedDuration::from_mins(notifications.missed_after_minutes.into());
    let worker = Worker::new(home.recovery.clone(), WorkerOptions { name, slots });
    Ok(worker.with_notifications(notifications.channels()?, missed_after))
}

/// Runs jobs and nothing else.
fn run_worker(args: &ServeArgs, home: &Home, context: &Context) -> Result<Done> {
    let worker = worker(args, home)?;
    let lines = Lines { log: args.log };
    let line = if context.json { json!({"ready": true}).to_string() } else { "ready: runs jobs".to_owned() };
    // Whoever started the worker may have stopped reading; it works nevertheless.
    let _ = writeln!(io::stdout(), "{line}").and_then(|()| io::stdout().flush());
    worker.run(&lines, &context.cancel);
    lines.line("stopped");
    Done::nothing(Exit::Ok)
}

/// Refuses an address that other hosts reach.
fn local_only(what: &str, address: SocketAddr, advice: &str) -> Result<()> {
    if address.ip().is_loopback() {
        return Ok(());
    }
    let message = format!("{what} would listen on {address}, where other hosts reach it");
    Err(ApiError::invalid(message).recommend(advice).into())
}

/// What the service knows of itself.
struct Watched(Arc<Recovery>);

impl MetricsSource for Watched {
    fn metrics(&self) -> cofre_arm::Result<String> {
        self.0.metrics()
    }
}

pub(crate) fn run(args: &ServeArgs, context: &Context) -> Result<Done> {
    let home = context.open_home()?;
    context.progress.stop();
    if args.only == Some(Part::Worker) {
        return run_worker(args, &home, context);
    }
    let settings = &home.config.server;
    let listener = bind(args.listen.unwrap_or(settings.listen))?;
    let address = listener.local_addr().unwrap_or(settings.listen);
    let proxy_address = args.proxy_listen.or(settings.proxy_listen).filter(|_| !args.no_proxy);
    if let Some(address) = proxy_address {
        local_only(
            "the proxy",
            address,
            "Choose an address of 127.0.0.0/8 with `--proxy-listen`, or `--no-proxy` and names in DNS.",
        )?;
    }
    let metrics = settings.metrics_listen.map(|address| {
        let advice = "Choose an address of 127.0.0.0/8 as `server.metricsListen`. Others read `/metrics` with a token.";
        local_only("the socket for metrics", address, advice)?;
        Ok::<_, Report>(bind(address)?)
    });
    let metrics = metrics.transpose()?;
    let metrics_address = metrics.as_ref().and_then(|metrics| metrics.local_addr().ok());
    let proxy = proxy_address.map(bind).transpose()?;
    let proxy_address = proxy.as_ref().and_then(|proxy| proxy.local_addr().ok());

    let addresses = settings.addresses(address.port(), &home.config.settings.key_vault_suffix);
    let names = certificate_names(&addresses.host, &addresses.key_vault_suffix, address.ip());
    let tls = home.layout.tls();
    tls.ensure_authority(SystemClock.now(), &home.config.place.tenant_id)?;
    let tls_config = tls.server_config(SystemClock.now(), &names)?;
    let token_key = home.layout.token_key();
    if !token_key.exists() {
        TokenKey::create_file(&token_key)?;
    }
    let clock = Arc::new(SystemClock);
    let app = App::new(Parts {
        addresses: addresses.clone(),
        location: home.config.place.location.clone(),
        store: home.store.clone(),
        key_vaults: home.key_vaults.clone(),
        recovery: home.recovery.clone(),
        prover: home.prover(),
        directory: home.directory.clone(),
        tokens: Tokens::new(TokenKey::from_file(&token_key)?, clock.clone()),
        limits: Limits::new(settings.requests_per_second),
        clock,
    });
    let app = app.with_metrics(Arc::new(Watched(home.recovery.clone())));
    let lines = Arc::new(Lines { log: args.log });
    let server = Server::new(app, tls_config, listener, proxy, lines.clone());
    let server = match metrics {
        Some(metrics) => server.with_metrics_on(metrics),
        None => server,
    };

    let ready = json!({
        "ready": true,
        "armEndpoint": addresses.base(),
        "listen": address.to_string(),
        "connectProxy": proxy_address.map(|proxy| format!("http://{proxy}")),
        "metrics": metrics_address.map(|metrics| format!("http://{metrics}/metrics")),
        "caFile": tls.authority().display().to_string(),
    });
    let line = if context.json {
        ready.to_string()
    } else {
        let proxy =
            proxy_address.map(|proxy| format!(", proxy for key vaults on {proxy}")).unwrap_or_default();
        format!("ready: {} on {address}{proxy}", addresses.base())
    };
    // Whoever started the server may have stopped reading; it serves nevertheless.
    let _ = writeln!(io::stdout(), "{line}").and_then(|()| io::stdout().flush());
    let cancel = context.cancel.clone();
    let works = (args.only != Some(Part::Api)).then(|| worker(args, &home)).transpose()?;
    // The worker stops with the server, whatever ends it.
    let stop = context.cancel.child();
    std::thread::scope(|scope| {
        if let Some(worker) = &works {
            let (lines, stop) = (lines.clone(), stop.clone());
            scope.spawn(move || worker.run(&*lines, &stop));
        }
        let served = server.run(move || cancel.is_cancelled());
        stop.cancel();
        served
    })?;
    lines.note("stopped");
    Done::nothing(Exit::Ok)
}
