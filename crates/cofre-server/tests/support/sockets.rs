//! A real server on a free port, and connections to it.

use std::{
    io::Write as _,
    net::{SocketAddr, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use cofre_keyvault::Clock as _;
use cofre_server::{
    Answered, MetricsSource, Observer, Server, bind,
    tls::{TlsFiles, certificate_names},
};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use serde_json::Value;

use super::{Client, World, addresses};

/// How long a connection waits for bytes before the test has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the server told its observer.
#[derive(Default)]
pub(crate) struct Log(Mutex<Vec<String>>);

impl Observer for Log {
    fn answered(&self, request: &Answered) {
        self.0.lock().unwrap().push(format!("{request:?}"));
    }

    fn note(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

/// Metrics that count how often they are asked for.
#[derive(Default)]
pub(crate) struct Counted(AtomicU32);

impl Counted {
    pub(crate) fn asked(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }
}

impl MetricsSource for Counted {
    fn metrics(&self) -> cofre_arm::Result<String> {
        let asked = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        Ok(format!("# TYPE asked counter\nasked {asked}\n"))
    }
}

/// A server that runs until it is dropped.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) proxy: SocketAddr,
    pub(crate) metrics: SocketAddr,
    pub(crate) operator: Client,
    log: Arc<Log>,
    tls: Arc<ClientConfig>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    _folder: tempfile::TempDir,
}

/// A connection with TLS.
pub(crate) type Connection = StreamOwned<ClientConnection, TcpStream>;

/// What came back over a connection.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// The head, in lower case.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Served {
    pub(crate) fn new() -> Self {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let proxy = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let metrics = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let metrics_address = metrics.local_addr().unwrap();
        let (address, proxy_address) = (listener.local_addr().unwrap(), proxy.local_addr().unwrap());
        let world = World::reached_at(address.port(), 0);
        let files = TlsFiles::new(world.folder());
        files.ensure_authority(world.clock.now(), super::TENANT).unwrap();
        let own = addresses(address.port());
        let names = certificate_names(&own.host, &own.key_vault_suffix, address.ip());
        let config = files.server_config(world.clock.now(), &names).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(files.authority()).unwrap()).unwrap();
        // The certificate is of the time of these tests, which is not that of the wall clock.
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_details(provider, Arc::new(Now(world.clock.now())))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let (log, stop) = (Arc::new(Log::default()), Arc::new(AtomicBool::new(false)));
        let World { app, operator, folder, .. } = world;
        let app = app.with_metrics(Arc::new(Counted::default()));
        let server = Server::new(app, config, listener, Some(proxy), log.clone()).with_metrics_on(metrics);
        let asked = stop.clone();
        let thread = std::thread::spawn(move || server.run(move || asked.load(Ordering::Relaxed)).unwrap());
        Self {
            address,
            proxy: proxy_address,
            metrics: metrics_address,
            operator,
            log,
            tls: Arc::new(tls),
            stop,
            thread: Some(thread),
            _folder: folder,
        }
    }

    /// What was told so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.0.lock().unwrap().clone()
    }

    /// A connection without TLS.
    pub(crate) fn plain(&self) -> TcpStream {
        connect(self.address)
    }

    pub(crate) fn connect(&self) -> Connection {
        self.over(self.plain(), "localhost")
    }

    /// TLS over a connection there is, in a name.
    pub(crate) fn over(&self, stream: TcpStream, name: &str) -> Connection {
        let name = name.to_owned().try_into().unwrap();
        StreamOwned::new(ClientConnection::new(self.tls.clone(), name).unwrap(), stream)
    }

    /// The resource endpoint, as `Host` names it.
    pub(crate) fn host(&self) -> String {
        format!("localhost:{}", self.address.port())
    }

    /// Sends bytes over a fresh connection, and reads one answer.
    pub(crate) fn send(&self, request: &[u8]) -> Response {
        let mut connection = self.connect();
        connection.write_all(request).unwrap();
        read(&mut connection, false).unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || ended.is_none_or(|ended| ended.is_ok()));
    }
}

/// A clock for TLS that stands still.
#[derive(Debug)]
struct Now(jiff::Timestamp);

impl rustls::time_provider::TimeProvider for Now {
    fn current_time(&self) -> Option<rustls::pki_types::UnixTime> {
        let seconds = u64::try_from(self.0.as_second()).ok()?;
        Some(rustls::pki_types::UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Reads one answer; `None` when the connection ends before there is one. An answer to HEAD has no body.
pub(crate) fn read(stream: &mut impl std::io::Read, is_head: bool) -> Option<Response> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        bytes.push(byte[0]);
    }
    let head = String::from_utf8(bytes).unwrap().to_lowercase();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; if is_head { 0 } else { length.unwrap_or(0) }];
    stream.read_exact(&mut body).ok()?;
    Some(Response { status, head, body })
}

/// Whether the other end has ended the connection, which is waited for.
pub(crate) fn has_ended(stream: &mut impl std::io::Read) -> bool {
    let mut rest = Vec::new();
    // An end without a farewell is one too; a timeout is none.
    match stream.read_to_end(&mut rest) {
        Ok(_) => true,
        Err(error) => !matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut),
    }
}
