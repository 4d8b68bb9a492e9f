//! The sockets: TLS connections with requests on them, and the proxy for names that no DNS knows.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Extension, Router,
    body::Body,
    extract::State,
    http::{HeaderName, HeaderValue, Request, Response},
};
use cofre_arm::{ApiError, Problem};
use cofre_keyvault::Recorded;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    App,
    http::{self, Answer},
    metrics, tunnel,
};

/// Connections that are open at the same time.
const CONNECTIONS: usize = 1024;
/// How long a handshake or the head of a request may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long requests that run may go on after a shutdown was asked for.
const GRACE: Duration = Duration::from_secs(30);
/// How often it is looked whether a shutdown was asked for.
const LOOK: Duration = Duration::from_millis(100);
/// How often deleted things are looked for whose time has come.
const HOUSEKEEPING: Duration = Duration::from_secs(300);

/// What is told of a request that was answered.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The id of the request.
    pub id: String,
    /// The other end.
    pub peer: IpAddr,
    /// The method.
    pub method: String,
    /// Host and path, without the query.
    pub target: String,
    /// The status of the answer.
    pub status: u16,
    /// How long it took.
    pub took: Duration,
}

/// Whom the server tells what happens.
pub trait Observer: Send + Sync {
    /// A request was answered.
    fn answered(&self, request: &Answered);
    /// Something else that an operator wants to know.
    fn note(&self, text: &str);
}

/// A server whose sockets are open.
pub struct Server {
    app: Arc<App>,
    tls: Arc<ServerConfig>,
    listener: std::net::TcpListener,
    proxy: Option<std::net::TcpListener>,
    metrics: Option<std::net::TcpListener>,
    observer: Arc<dyn Observer>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("listener", &self.listener)
            .field("proxy", &self.proxy)
            .finish_non_exhaustive()
    }
}

/// Opens a socket.
///
/// # Errors
/// `StateUnavailable`, with the address.
pub fn bind(address: SocketAddr) -> cofre_arm::Result<std::net::TcpListener> {
    let open = || -> io::Result<_> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    open().map_err(|error| {
        ApiError::new(Problem::StateUnavailable, format!("cannot listen on {address}"))
            .recommend(
                "Another program has it, or it is no address of this host: choose another with `--listen`.",
            )
            .because(error)
    })
}

/// What every request is given.
#[derive(Clone)]
struct Shared {
    app: Arc<App>,
    observer: Arc<dyn Observer>,
    ids: Arc<Ids>,
}

/// Ids of requests: random where the process began, then counted.
struct Ids {
    start: u64,
    count: AtomicU64,
}

impl Ids {
    fn new() -> cofre_arm::Result<Self> {
        let mut bytes = [0; 8];
        aws_lc_rs::rand::fill(&mut bytes)
            .map_err(|_| ApiError::new(Problem::StateUnavailable, "the system has no random bytes"))?;
        Ok(Self { start: u64::from_be_bytes(bytes), count: AtomicU64::new(0) })
    }

    fn next(&self) -> String {
        let (start, count) = (self.start, self.count.fetch_add(1, Ordering::Relaxed));
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            start >> 32,
            start >> 16 & 0xffff,
            start >> 4 & 0xfff,
            0x8000 | start << 8 & 0xf00 | count >> 48 & 0xff,
            count & 0xffff_ffff_ffff
        )
    }
}

/// The address of the other end.
#[derive(Clone, Copy)]
struct Peer(IpAddr);

impl Server {
    /// A server on open sockets. The proxy is for this host alone and pipes to the server's own port.
    #[must_use]
    pub fn new(
        app: App,
        tls: Arc<ServerConfig>,
        listener: std::net::TcpListener,
        proxy: Option<std::net::TcpListener>,
        observer: Arc<dyn Observer>,
    ) -> Self {
        Self { app: Arc::new(app), tls, listener, proxy, metrics: None, observer }
    }

    /// Answers `GET /metrics` on a socket of its own too, without TLS and without a token: for a socket that this host
    /// alone reaches.
    #[must_use]
    pub fn with_metrics_on(mut self, listener: std::net::TcpListener) -> Self {
        self.metrics = Some(listener);
        self
    }

    /// Serves until `stop` says so, then lets the requests that run come to their end.
    ///
    /// # Errors
    /// `StateUnavailable` when the threads cannot be started.
    pub fn run(self, stop: impl Fn() -> bool + Send + Sync + 'static) -> cofre_arm::Result<()> {
        let failed = |error: io::Error| {
            ApiError::new(Problem::StateUnavailable, "the server's threads cannot be started").because(error)
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .thread_name("cofre-server")
            .max_blocking_threads(128)
            .enable_all()
            .build()
            .map_err(failed)?;
        let done = runtime.block_on(self.serve(stop));
        runtime.shutdown_timeout(Duration::from_secs(5));
        done
    }

    async fn serve(self, stop: impl Fn() -> bool + Send + Sync + 'static) -> cofre_arm::Result<()> {
        let failed = |error: io::Error| {
            ApiError::new(Problem::StateUnavailable, "the server's sockets cannot be used").because(error)
        };
        let port = self.listener.local_addr().map_err(failed)?;
        let listener = TcpListener::from_std(self.listener).map_err(failed)?;
        let shared =
            Shared { app: self.app.clone(), observer: self.observer.clone(), ids: Arc::new(Ids::new()?) };
        if let Some(proxy) = self.proxy {
            let proxy = TcpListener::from_std(proxy).map_err(failed)?;
            let addresses = self.app.parts.addresses.clone();
            tokio::spawn(tunnel::serve(proxy, port, addresses, Arc::new(Semaphore::new(CONNECTIONS))));
        }
        if let (Some(listener), Some(metrics)) = (self.metrics, &self.app.metrics) {
            let listener = TcpListener::from_std(listener).map_err(failed)?;
            tokio::spawn(metrics::serve(listener, metrics.clone()));
        }
        tokio::spawn(housekeeping(shared.clone()));
        let router = Router::new().fallback(handle).with_state(shared.clone());
        let acceptor = TlsAcceptor::from(self.tls);
        let (graceful, places) = (GracefulShutdown::new(), Arc::new(Semaphore::new(CONNECTIONS)));
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = asked(&stop) => break,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // No file descriptors left, or a connection that was gone already.
                    self.observer.note(&format!("a connection could not be taken: {error}"));
                    tokio::time::sleep(LOOK).await;
                    continue;
                }
            };
            let Ok(place) = places.clone().try_acquire_owned() else { continue };
            let (acceptor, router, watcher) = (acceptor.clone(), router.clone(), graceful.watcher());
            tokio::spawn(async move {
                connection(acceptor, router, stream, peer, watcher).await;
                drop(place);
            });
        }
        drop(listener);
        tokio::select! {
            () = graceful.shutdown() => {}
            () = tokio::time::sleep(GRACE) => self.observer.note("requests that still ran were cut off"),
        }
        Ok(())
    }
}

async fn asked(stop: &(impl Fn() -> bool + Send + Sync)) {
    while !stop() {
        tokio::time::sleep(LOOK).await;
    }
}

async fn connection(
    acceptor: TlsAcceptor,
    router: Router,
    stream: TcpStream,
    peer: SocketAddr,
    watcher: hyper_util::server::graceful::Watcher,
) {
    // Answers are small and wanted at once.
    let _ = stream.set_nodelay(true);
    let Ok(Ok(stream)) = tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await else { return };
    let service = TowerToHyperService::new(router.layer(Extension(Peer(peer.ip()))));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_headers(64)
        .serve_connection(TokioIo::new(stream), service);
    // How a connection ends is its other end's business.
    let _ = watcher.watch(connection).await;
}

/// Purges what was deleted long enough ago.
async fn housekeeping(shared: Shared) {
    loop {
        let (app, observer) = (shared.app.clone(), shared.observer.clone());
        let _ = tokio::task::spawn_blocking(move || {
            let service =
                cofre_keyvault::Caller { name: "cofre".to_owned(), ..cofre_keyvault::Caller::default() };
            match app.parts.key_vaults.purge_due(&service) {
                Ok(0) => {}
                Ok(purged) => observer.note(&format!(
                    "{purged} deleted keys, secrets or vaults were purged: their time had come"
                )),
                Err(error) => observer.note(&format!("what was deleted could not be purged: {error}")),
            }
        })
        .await;
        tokio::time::sleep(HOUSEKEEPING).await;
    }
}

async fn handle(
    State(shared): State<Shared>,
    Extension(Peer(peer)): Extension<Peer>,
    request: Request<Body>,
) -> Response<Body> {
    let begun = Instant::now();
    let id = shared.ids.next();
    let method = request.method().to_string();
    let host = request.headers().get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
    let target = format!("{host}{}", request.uri().path());
    let client_id = request.headers().get("x-ms-client-request-id").cloned();
    let is_head = request.method() == axum::http::Method::HEAD;
    let answer = match http::read(id.clone(), peer, request).await {
        Ok(call) if is_instant(&shared.app, &call) => shared.app.answer(&call),
        Ok(call) => match at_once(&shared.app, &call).await {
            Some(answer) => answer,
            None => on_a_thread(&shared, call).await,
        },
        Err(refusal) => refusal.into_answer(),
    };
    let status = answer.status();
    let mut response = answer.into_response();
    if is_head {
        *response.body_mut() = Body::empty();
    }
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(HeaderName::from_static("x-ms-request-id"), value);
    }
    if let Some(client_id) = client_id {
        headers.insert(HeaderName::from_static("x-ms-client-request-id"), client_id);
    }
    shared.observer.answered(&Answered { id, peer, method, target, status, took: begun.elapsed() });
    response
}

/// Answers a call without a thread for it, where no more is waited for than the audit.
async fn at_once(app: &App, call: &http::Call) -> Option<Answer> {
    let (told, outcome) = tokio::sync::oneshot::channel();
    let answer = app.answer_at_once(call, move |recorded| {
        // Nobody listens any more when the caller has gone.
        let _ = told.send(recorded);
    })?;
    match outcome.await.ok()? {
        Recorded::Yes => Some(answer),
        // Done anew, and where the storage fails it says so in the usual way.
        Recorded::Anew | Recorded::No(_) => None,
    }
}

/// Answers a call on a thread that may block.
async fn on_a_thread(shared: &Shared, call: http::Call) -> Answer {
    let (app, id) = (shared.app.clone(), call.id.clone());
    let work = tokio::task::spawn_blocking(move || {
        std::panic::catch_unwind(AssertUnwindSafe(|| app.answer(&call))).ok()
    });
    work.await.ok().flatten().unwrap_or_else(|| {
        shared.observer.note(&format!("request {id} met a defect"));
        http::Refusal::from(ApiError::new(
            Problem::InternalError,
            format!("request {id} met a defect of this service"),
        ))
        .into_answer()
    })
}

/// Whether a call is answered without the database and without keys.
fn is_instant(app: &App, call: &http::Call) -> bool {
    call.target.lower == ["healthz"] && app.parts.addresses.key_vault_of(&call.host).is_none()
}
