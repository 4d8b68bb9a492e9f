//! The data plane of key vaults: `https://VAULT.SUFFIX/keys/…` and `/secrets/…`, and of our own `/cofre/prove`.

mod errors;
mod keys;
mod prove;
mod secrets;
mod wire;

use cofre_arm::ApiError;
use cofre_keyvault::{Caller, Page, PageRequest, Recorded};
use serde_json::Value;

pub(crate) use self::errors::management_error;
use crate::{
    app::App,
    arm::paging,
    http::{Answer, Call, Method, Refusal},
    identity::Identity,
};

/// Items of a page when nothing is said, and the most that can be asked for, as published.
const PAGE: usize = 25;

/// A caller, as key vaults know one.
pub(crate) fn caller(app: &App, identity: &Identity, request: &str) -> Caller {
    Caller {
        object_id: identity.object_id.clone(),
        tenant: app.parts.directory.tenant().to_owned(),
        name: identity.name.clone(),
        request_id: Some(request.to_owned()),
    }
}

/// A call to a vault, of which the caller is known.
struct Visit<'a> {
    app: &'a App,
    call: &'a Call,
    vault: &'a str,
    caller: Caller,
}

impl Visit<'_> {
    /// The address that ids begin with: the one the caller used, so that they fit what it knows.
    fn base(&self) -> String {
        self.call.origin()
    }

    fn segment(&self, at: usize) -> &str {
        self.call.target.segments.get(at).map_or("", String::as_str)
    }

    /// A page of a list, as the query asks for it.
    fn page<T>(
        &self,
        list: impl FnOnce(PageRequest<'_>) -> cofre_keyvault::Result<Page<T>>,
        item: impl Fn(T) -> Value,
    ) -> Result<Answer, Refusal> {
        let after = paging::position(self.call).map_err(errors::bad_parameter)?;
        let limit = self.call.target.query.number("maxresults", 1, PAGE).map_err(errors::bad_parameter)?;
        let request = PageRequest { after: after.as_deref(), limit: limit.unwrap_or(PAGE) };
        let Page { items, next } = list(request).map_err(errors::data_plane)?;
        Ok(paging::page(self.call, items.into_iter().map(item).collect(), next.as_deref()))
    }

    fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, Refusal> {
        self.call.json().map_err(errors::bad_parameter)
    }

    fn json_or_empty<T: serde::de::DeserializeOwned + Default>(&self) -> Result<T, Refusal> {
        self.call.json_or_empty().map_err(errors::bad_parameter)
    }
}

/// Answers a call to a vault without waiting, where that can be done: getting a secret that was looked at before.
pub(crate) fn answer_at_once(
    app: &App,
    call: &Call,
    vault: &str,
    then: impl FnOnce(Recorded) + Send + 'static,
) -> Option<Answer> {
    let segments = &call.target.lower;
    let is_secret = call.method == Method::Get
        && matches!(segments.as_slice(), [kind, _] | [kind, _, _] if kind == "secrets");
    if !is_secret {
        return None;
    }
    let identity = app.identify_at_once(call, &app.parts.addresses.key_vault_audience())?;
    app.parts.limits.count(&identity.object_id).ok()?;
    let visit = Visit { app, call, vault, caller: caller(app, &identity, &call.id) };
    secrets::get_at_once(&visit, then)
}

/// Answers a call to a vault. Who asks is found out before anything else is looked at: clients send their first request
/// without token and body, to be told where to get a token.
pub(crate) fn answer(app: &App, call: &Call, vault: &str) -> Result<Answer, Refusal> {
    let addresses = &app.parts.addresses;
    let identity = app.identify(call, &addresses.key_vault_audience()).map_err(|refusal| {
        // The tenant by its id: SDKs whose credential names it refuse `adfs` for another; those that were told `adfs`
        // stay with that.
        let authority = format!("{}/{}", addresses.base(), app.parts.directory.tenant());
        errors::challenge(refusal, &authority, &addresses.key_vault_audience())
    })?;
    app.parts.limits.count(&identity.object_id)?;
    let visit = Visit { app, call, vault, caller: caller(app, &identity, &call.id) };
    let parts = call.target.parts();
    match parts.as_slice() {
        ["keys" | "deletedkeys", ..] => keys::answer(&visit, &parts),
        ["secrets" | "deletedsecrets", ..] => secrets::answer(&visit, &parts),
        ["cofre", "prove"] => prove::answer(&visit),
        ["certificates" | "deletedcertificates" | "storage" | "deletedstorage", ..] => {
            Err(errors::bad_parameter(ApiError::invalid(
                "key vaults of this service hold keys and secrets, no certificates and no storage accounts",
            )))
        }
        _ => Err(Refusal::no_such_path(&format!("/{}", call.target.segments.join("/")))),
    }
}
