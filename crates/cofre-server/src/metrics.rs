//! Metrics for programs that watch the service: at `/metrics` for those whose roles let them read vaults, and where the
//! operator wants it on a socket of this host alone, without a token.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    http::{Request, Response},
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore};

use crate::http::{Answer, Refusal};

/// What a caller's roles have to hold, at the subscription.
pub(crate) const ACTION: &str = "Microsoft.RecoveryServices/vaults/read";
/// How old an answer may be: however many ask, the database is asked no more often.
const KEPT: Duration = Duration::from_secs(5);
/// Connections to the own socket at the same time.
const CONNECTIONS: usize = 16;
/// How long the head of a request may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// The text format of Prometheus.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Whoever knows the metrics.
pub trait MetricsSource: Send + Sync {
    /// All of them, in the text format of Prometheus.
    ///
    /// # Errors
    /// Those of the database.
    fn metrics(&self) -> cofre_arm::Result<String>;
}

/// Metrics, asked for now and then.
pub(crate) struct Metrics {
    source: Arc<dyn MetricsSource>,
    last: Mutex<Option<(Instant, String)>>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    pub(crate) fn new(source: Arc<dyn MetricsSource>) -> Self {
        Self { source, last: Mutex::default() }
    }

    /// The metrics; blocks while the database is asked, one caller at a time.
    pub(crate) fn answer(&self) -> Result<Answer, Refusal> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let text = match &*last {
            Some((asked, text)) if asked.elapsed() < KEPT => text.clone(),
            _ => {
                let text = self.source.metrics()?;
                *last = Some((Instant::now(), text.clone()));
                text
            }
        };
        Ok(Answer::text(200, CONTENT_TYPE, text))
    }
}

/// Answers on the socket for metrics, and nothing else than `GET /metrics`.
pub(crate) async fn serve(listener: TcpListener, metrics: Arc<Metrics>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        let metrics = metrics.clone();
        tokio::spawn(async move {
            let service = hyper::service::service_fn(|request| answer(metrics.clone(), request));
            // How a connection ends is its other end's business.
            let _ = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .max_headers(64)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            drop(place);
        });
    }
}

async fn answer(
    metrics: Arc<Metrics>,
    request: Request<hyper::body::Incoming>,
) -> Result<Response<Body>, std::convert::Infallible> {
    let answer = match (request.method().as_str(), request.uri().path()) {
        ("GET", "/metrics") => tokio::task::spawn_blocking(move || metrics.answer())
            .await
            .unwrap_or_else(|_| Ok(Answer::empty(500)))
            .unwrap_or_else(Refusal::into_answer),
        (_, "/metrics") => Refusal::method("GET").into_answer(),
        (_, path) => Refusal::no_such_path(path).into_answer(),
    };
    Ok(answer.into_response())
}
