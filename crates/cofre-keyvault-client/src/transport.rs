//! Requests over TLS: bounded in time and size, and made again where the server says that it had too much to do.

use std::{fs, io::Read as _, path::Path, sync::Arc, time::Duration};

use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use ureq::{
    Agent, Proxy,
    http::{HeaderMap, Request, header},
    tls::{Certificate, RootCerts, TlsConfig},
};
use zeroize::Zeroizing;

use crate::{
    error::{ClientError, ErrorKind, Result},
    settings::Settings,
};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(15);
/// How long a connection is kept that nobody uses: shorter than servers keep it.
const IDLE: Duration = Duration::from_secs(5);
/// Times that a request is made, all in all.
const ATTEMPTS: u32 = 5;
/// The longest that is waited before a request is made again.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Largest file of certificates, in bytes.
const LARGEST_CA_FILE: u64 = 4 << 20;
/// Room for an answer whose length is not known, in bytes.
const ROOM: usize = 64 << 10;

/// When a request may be made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// Whenever it failed for load: doing it twice is as good as once.
    Always,
    /// Only when the server says that it did nothing.
    IfRefused,
}

/// A request.
#[derive(Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub(crate) method: &'static str,
    pub(crate) url: &'a str,
    pub(crate) content_type: &'static str,
    pub(crate) body: &'a [u8],
    /// Most bytes of the answer.
    pub(crate) limit: u64,
    pub(crate) patience: Duration,
    pub(crate) again: Again,
}

impl<'a> Ask<'a> {
    pub(crate) fn get(url: &'a str) -> Self {
        Self {
            method: "GET",
            url,
            content_type: "application/json",
            body: &[],
            limit: 1 << 20,
            patience: Duration::from_secs(60),
            again: Again::Always,
        }
    }
}

/// An answer.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Zeroizing<Vec<u8>>,
}

impl Reply {
    /// How long the server wants to be left alone.
    fn retry_after(&self) -> Option<Duration> {
        let value = self.headers.get(header::RETRY_AFTER)?.to_str().ok()?;
        value.trim().parse().ok().map(Duration::from_secs)
    }
}

pub(crate) struct Transport {
    agent: Agent,
    pause: Arc<dyn Fn(Duration) -> bool + Send + Sync>,
}

impl Transport {
    pub(crate) fn new(settings: &Settings) -> Result<Self> {
        let certificates = match &settings.ca_file {
            Some(path) => certificates_of(path)?,
            None => system_certificates()?,
        };
        let proxy = match &settings.proxy {
            Some(url) => Some(proxy_at(url)?),
            None => Proxy::try_from_env(),
        };
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&certificates))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .build();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .https_only(true)
            .max_redirects(0)
            .proxy(proxy)
            .tls_config(tls)
            .timeout_connect(Some(CONNECT))
            .max_idle_age(IDLE)
            .user_agent(concat!("cofre/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self { agent: Agent::new_with_config(config), pause: settings.pause.clone() })
    }

    /// Makes a request, again where that may help.
    pub(crate) fn ask(&self, ask: Ask<'_>, token: Option<&str>) -> Result<Reply> {
        let mut attempt = 1;
        loop {
            let outcome = self.once(ask, token);
            let wait = match &outcome {
                Ok(reply) if reply.status == 429 || (reply.status == 503 && ask.again == Again::Always) => {
                    reply.retry_after()
                }
                // A connection that was kept may have been closed meanwhile.
                Err(error)
                    if error.kind() == ErrorKind::Unreachable && ask.method == "GET" && attempt == 1 =>
                {
                    Some(Duration::ZERO)
                }
                _ => return outcome,
            };
            let wait = wait.unwrap_or(Duration::from_millis(500 << attempt)).min(LONGEST_PAUSE);
            if attempt == ATTEMPTS || !(self.pause)(wait) {
                return outcome;
            }
            attempt += 1;
        }
    }

    fn once(&self, ask: Ask<'_>, token: Option<&str>) -> Result<Reply> {
        let host = host_of(ask.url);
        let mut request =
            Request::builder().method(ask.method).uri(ask.url).header(header::ACCEPT, "application/json");
        if let Some(token) = token {
            let value = Zeroizing::new(format!("Bearer {token}"));
            let mut value = header::HeaderValue::from_str(&value)
                .map_err(|_| ClientError::answer(host, "its token is no text"))?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        let bad = |error: ureq::http::Error| {
            ClientError::new(ErrorKind::Setting, format!("{:?} is no address", ask.url)).with_source(error)
        };
        let answer = if ask.method == "GET" {
            let request = request.body(()).map_err(bad)?;
            let request = self.agent.configure_request(request).timeout_global(Some(ask.patience)).build();
            self.agent.run(request)
        } else {
            let request =
                request.header(header::CONTENT_TYPE, ask.content_type).body(ask.body).map_err(bad)?;
            let request = self.agent.configure_request(request).timeout_global(Some(ask.patience)).build();
            self.agent.run(request)
        };
        let (head, body) = answer.map_err(|error| unreachable(host, error))?.into_parts();
        let known = body.content_length().and_then(|length| usize::try_from(length).ok());
        let limit = usize::try_from(ask.limit).unwrap_or(usize::MAX);
        let mut bytes = Zeroizing::new(Vec::with_capacity(known.unwrap_or(ROOM).min(limit) + 1));
        let mut reader = body.into_with_config().limit(u64::MAX).reader().take(ask.limit + 1);
        reader.read_to_end(&mut bytes).map_err(|error| {
            ClientError::new(ErrorKind::Unreachable, format!("the answer of {host} was cut off"))
                .with_source(error)
        })?;
        if bytes.len() > limit {
            return Err(ClientError::answer(host, "it is too long"));
        }
        Ok(Reply { status: head.status.as_u16(), headers: head.headers, body: bytes })
    }
}

/// The host of a URL, with its port.
pub(crate) fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or(rest)
}

fn unreachable(host: &str, error: ureq::Error) -> ClientError {
    let what = match &error {
        ureq::Error::HostNotFound => "its name is not known",
        ureq::Error::Timeout(_) => "it took too long",
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) => {
            "no trusted connection: check the CA file and the clock"
        }
        ureq::Error::ConnectProxyFailed(_) | ureq::Error::InvalidProxyUrl => "the proxy does not let through",
        _ => "check network, proxy and CA file",
    };
    ClientError::new(ErrorKind::Unreachable, format!("{host} cannot be reached: {what}")).with_source(error)
}

fn proxy_at(url: &str) -> Result<Proxy> {
    // The URL may hold a password: it is not repeated.
    Proxy::new(url)
        .map_err(|_| ClientError::new(ErrorKind::Setting, "the proxy is no URL of the form http://HOST:PORT"))
}

fn certificates_of(path: &Path) -> Result<Vec<Certificate<'static>>> {
    let bad =
        |what: &str| ClientError::new(ErrorKind::Setting, format!("the CA file {} {what}", path.display()));
    let unreadable = |error: std::io::Error| bad("cannot be read").with_source(error);
    if fs::metadata(path).map_err(unreadable)?.len() > LARGEST_CA_FILE {
        return Err(bad("is too long"));
    }
    let pem = fs::read(path).map_err(unreadable)?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .map(|der| der.map(|der| Certificate::from_der(&der).to_owned()))
        .collect::<std::result::Result<_, _>>()
        .map_err(|error| bad("is no PEM file of certificates").with_source(error.to_string()))?;
    if certificates.is_empty() { Err(bad("holds no certificate")) } else { Ok(certificates) }
}

fn system_certificates() -> Result<Vec<Certificate<'static>>> {
    let found = rustls_native_certs::load_native_certs();
    let certificates: Vec<_> = found.certs.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
    if certificates.is_empty() {
        return Err(ClientError::new(
            ErrorKind::Setting,
            "the system has no trusted certificates: install ca-certificates, or set a CA file",
        ));
    }
    Ok(certificates)
}
