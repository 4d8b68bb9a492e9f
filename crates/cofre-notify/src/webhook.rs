//! Messages by HTTP: a POST with JSON.

use std::{fmt, sync::Arc, time::Duration};

use cofre_arm::{ApiError, Problem, Result};
use ureq::{
    Agent,
    http::{
        Uri,
        header::{HeaderName, HeaderValue},
    },
    tls::{Certificate, RootCerts, TlsConfig},
};

use crate::{Channel, Notification, WebhookSettings, secret, settings::is_loopback};

/// How long the other side may take, all in all.
const PATIENCE: Duration = Duration::from_secs(20);

/// A program that takes messages by HTTP.
pub struct Webhook {
    settings: WebhookSettings,
    header: Option<HeaderName>,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // a URL may hold a secret itself
        f.debug_struct("Webhook").field("name", &self.settings.name).finish_non_exhaustive()
    }
}

impl Webhook {
    /// A webhook; nothing is sent yet.
    ///
    /// # Errors
    /// `InvalidParameter` for an address other than HTTPS, or HTTP to this host; for a secret without a header or a
    /// header without a secret.
    pub fn new(settings: WebhookSettings) -> Result<Self> {
        let name = &settings.name;
        let uri: Uri = settings
            .url
            .parse()
            .map_err(|_| ApiError::invalid(format!("the address of the webhook {name} is no URL")))?;
        let host = uri.host().unwrap_or_default();
        let allowed = match uri.scheme_str() {
            Some("https") => !host.is_empty(),
            Some("http") => is_loopback(host),
            _ => false,
        };
        if !allowed {
            let message = format!("the webhook {name} is neither at an https address nor on this host");
            return Err(ApiError::invalid(message).recommend("Give a URL that begins with https://."));
        }
        let header =
            match (&settings.header, &settings.secret_file) {
                (Some(header), Some(_)) => Some(header.parse().map_err(|_| {
                    ApiError::invalid(format!("{header:?} is no header, in the webhook {name}"))
                })?),
                (None, None) => None,
                _ => {
                    let message = format!("the webhook {name} has a header or a secret file, not both");
                    return Err(
                        ApiError::invalid(message).recommend("Set `header` and `secretFile`, or neither.")
                    );
                }
            };
        Ok(Self { settings, header })
    }

    fn agent() -> Agent {
        let found = rustls_native_certs::load_native_certs();
        let certificates: Vec<_> =
            found.certs.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&certificates))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .build();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .tls_config(tls)
            .timeout_global(Some(PATIENCE))
            .user_agent(concat!("cofre/", env!("CARGO_PKG_VERSION")))
            .build();
        Agent::new_with_config(config)
    }
}

impl Channel for Webhook {
    fn name(&self) -> &str {
        &self.settings.name
    }

    fn send(&self, notification: &Notification) -> Result<()> {
        let name = &self.settings.name;
        let failed = |what: String| {
            ApiError::new(Problem::StateUnavailable, format!("the webhook {name} {what}"))
                .recommend("Look at its address, and try it with `cofre notifications test`.")
        };
        let body = serde_json::to_vec(notification)
            .map_err(|e| failed("cannot be given the message".to_owned()).because(e))?;
        let mut request = Self::agent().post(&self.settings.url).header("content-type", "application/json");
        if let (Some(header), Some(file)) = (&self.header, &self.settings.secret_file) {
            let secret = secret::read(file)?;
            let mut value = HeaderValue::from_str(&secret)
                .map_err(|_| failed("has a secret that no header can carry".to_owned()))?;
            value.set_sensitive(true);
            request = request.header(header, value);
        }
        let answer = request.send(&body[..]).map_err(|e| failed(format!("cannot be reached: {e}")))?;
        let status = answer.status();
        if status.is_success() { Ok(()) } else { Err(failed(format!("answered {}", status.as_u16()))) }
    }
}
