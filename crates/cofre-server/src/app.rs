//! The service behind the sockets: takes a request, finds out who asks and what for, and answers.

use std::{fmt, sync::Arc};

use cofre_arm::{ApiError, Problem};
use cofre_keyvault::{Clock, KeyVaults, Recorded, proof::HeaderProver};
use cofre_recovery::Recovery;
use cofre_store::Store;
use serde_json::json;

use crate::{
    addresses::{Addresses, MANAGEMENT_AUDIENCE},
    arm,
    directory::{Actor, Directory, Snapshot},
    http::{Answer, Call, Method, Refusal},
    identity::{self, Identity, Tokens},
    keyvault,
    limits::Limits,
    metrics::{self, Metrics, MetricsSource},
};

/// What a service is made of.
pub struct Parts {
    /// Under which names it is reached.
    pub addresses: Addresses,
    /// The region that everything is in.
    pub location: String,
    /// The database.
    pub store: Arc<Store>,
    /// The key vaults.
    pub key_vaults: Arc<KeyVaults>,
    /// Vaults, machines and their backups.
    pub recovery: Arc<Recovery>,
    /// Tries secrets on headers, for proofs.
    pub prover: Arc<dyn HeaderProver>,
    /// Principals, roles and groups.
    pub directory: Arc<Directory>,
    /// Tokens.
    pub tokens: Tokens,
    /// How much one caller may use.
    pub limits: Limits,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// The service.
pub struct App {
    pub(crate) parts: Parts,
    pub(crate) metrics: Option<Arc<Metrics>>,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("addresses", &self.parts.addresses).finish_non_exhaustive()
    }
}

/// Who asks, and what the directory says of everybody.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) identity: Arc<Identity>,
    pub(crate) directory: Arc<Snapshot>,
    pub(crate) request: String,
}

impl Session {
    /// For the audit of the directory.
    pub(crate) fn actor(&self) -> Actor {
        Actor { object_id: self.identity.object_id.clone(), request_id: Some(self.request.clone()) }
    }

    /// The recovery service, whose audit names this session's caller.
    pub(crate) fn recovery(&self, app: &App) -> Recovery {
        app.parts.recovery.on_behalf_of(cofre_recovery::Caller {
            object_id: self.identity.object_id.clone(),
            request_id: Some(self.request.clone()),
        })
    }

    /// Refuses what no role of the caller holds.
    pub(crate) fn authorize(&self, action: &str, scope: &str) -> Result<(), Refusal> {
        if self.directory.allows(&self.identity.object_id, action, scope) {
            return Ok(());
        }
        let (client, object) = (&self.identity.application_id, &self.identity.object_id);
        Err(ApiError::new(
            Problem::AuthorizationFailed,
            format!(
                "The client '{client}' with object id '{object}' does not have authorization to perform action \
                 '{action}' over scope '{scope}'."
            ),
        )
        .missing(scope, vec![action.to_owned()])
        .into())
    }

    /// Whether a role of the caller holds an action.
    pub(crate) fn may(&self, action: &str, scope: &str) -> bool {
        self.directory.allows(&self.identity.object_id, action, scope)
    }
}

impl App {
    /// A service of these parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self { parts, metrics: None }
    }

    /// Answers `/metrics` too.
    #[must_use]
    pub fn with_metrics(mut self, source: Arc<dyn MetricsSource>) -> Self {
        self.metrics = Some(Arc::new(Metrics::new(source)));
        self
    }

    /// Answers a request; blocks while the database or a key is at work.
    pub fn answer(&self, call: &Call) -> Answer {
        self.route(call).unwrap_or_else(Refusal::into_answer)
    }

    /// Answers without waiting, where that can be done: what is in memory, of which only the audit is to be written. The
    /// answer may be given when `then` is told so.
    pub(crate) fn answer_at_once(
        &self,
        call: &Call,
        then: impl FnOnce(Recorded) + Send + 'static,
    ) -> Option<Answer> {
        let vault = self.parts.addresses.key_vault_of(&call.host)?;
        keyvault::answer_at_once(self, call, vault, then)
    }

    /// The identity in the token of a call, if it is in memory and nothing speaks against it.
    pub(crate) fn identify_at_once(&self, call: &Call, audience: &str) -> Option<Arc<Identity>> {
        let token = bearer(call.header("authorization").ok()??)?;
        let identity = self.parts.tokens.known(token, audience)?;
        let directory = self.parts.directory.known()?;
        identity::is_current(&directory, &identity, self.parts.tokens.now()).then_some(identity)
    }

    fn route(&self, call: &Call) -> Result<Answer, Refusal> {
        if let Some(vault) = self.parts.addresses.key_vault_of(&call.host) {
            return keyvault::answer(self, call, vault);
        }
        let addresses = &self.parts.addresses;
        match (call.method, call.target.parts().as_slice()) {
            (Method::Get | Method::Head, ["healthz"]) => Ok(Answer::ok(&json!({"status": "ok"}))),
            (Method::Get | Method::Head, ["readyz"]) => {
                self.parts.store.version().map_err(crate::directory::unavailable)?;
                Ok(Answer::ok(&json!({"status": "ok"})))
            }
            (Method::Get | Method::Head, ["metrics"]) => {
                let session = self.session(call, MANAGEMENT_AUDIENCE)?;
                session.authorize(metrics::ACTION, &self.parts.directory.subscription_scope())?;
                let metrics = self.metrics.as_ref().ok_or_else(|| Refusal::no_such_path("/metrics"))?;
                metrics.answer()
            }
            (Method::Get, ["metadata", "endpoints"]) => Ok(Answer::ok(&identity::endpoints(call, addresses))),
            (Method::Get, ["adfs", ".well-known", "openid-configuration"])
            | (Method::Get, [_, "v2.0", ".well-known", "openid-configuration"]) => {
                Ok(Answer::ok(&identity::openid_configuration(call, addresses)))
            }
            (Method::Get, ["adfs", "discovery", "keys"]) => {
                Ok(Answer::ok(&identity::key_set(&self.parts.tokens)))
            }
            (Method::Post, [_, "oauth2", "token"] | [_, "oauth2", "v2.0", "token"]) => {
                self.parts.limits.count(&call.peer)?;
                identity::token(
                    call,
                    addresses,
                    &self.parts.directory,
                    &self.parts.tokens,
                    &self.parts.limits,
                )
            }
            (_, ["msgraph", "v1.0", rest @ ..]) => {
                let session = self.session(call, &addresses.graph_audience())?;
                arm::graph::answer(self, call, &session, rest)
            }
            (_, ["subscriptions" | "tenants" | "providers", ..]) => {
                let session = self.session(call, MANAGEMENT_AUDIENCE)?;
                arm::answer(self, call, &session)
            }
            _ => Err(Refusal::no_such_path(&format!("/{}", call.target.segments.join("/")))),
        }
    }

    /// Who asks, by a bearer token for an audience.
    pub(crate) fn session(&self, call: &Call, audience: &str) -> Result<Session, Refusal> {
        let identity = self.identify(call, audience)?;
        self.parts.limits.count(&identity.object_id)?;
        let directory = self.parts.directory.fresh()?;
        Ok(Session { identity, directory, request: call.id.clone() })
    }

    /// The identity in the token of a call.
    pub(crate) fn identify(&self, call: &Call, audience: &str) -> Result<Arc<Identity>, Refusal> {
        let challenge = || format!("Bearer authorization_uri=\"{}/adfs\"", self.parts.addresses.base());
        let identify = || -> Result<Arc<Identity>, ApiError> {
            let header = call.header("authorization")?;
            let token = header.and_then(bearer).ok_or_else(|| {
                ApiError::new(Problem::Unauthenticated, "the request carries no bearer token")
            })?;
            let identity = self.parts.tokens.verify(token, self.parts.directory.tenant(), audience)?;
            identity::check_current(&self.parts.directory, &identity, self.parts.tokens.now())?;
            Ok(identity)
        };
        identify().map_err(|error| {
            // Those who bring no token share what their address may use.
            if let Err(too_many) = self.parts.limits.count(&call.peer) {
                return too_many;
            }
            let unauthenticated = error.problem() == Problem::Unauthenticated;
            let refusal = Refusal::from(error);
            if unauthenticated { refusal.with("www-authenticate", challenge()) } else { refusal }
        })
    }
}

/// The token of a header `Authorization`.
fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then_some(token.trim())
}
