//! The resource contract: `/subscriptions/…`. Any api-version is taken, paths are compared without regard to case, and
//! ids in answers have the exact casing that clients look for.

mod filter;
pub(crate) mod graph;
mod groups;
mod key_vault_wire;
mod key_vaults;
pub(crate) mod paging;
mod role_assignments;
mod subscriptions;

use cofre_arm::{ApiError, Problem};

use crate::{
    app::{App, Session},
    http::{Answer, Call, Method, Refusal},
};

pub(crate) use self::key_vault_wire::vault_json;

/// Answers what is below `/subscriptions` and its like.
pub(crate) fn answer(app: &App, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let parts = call.target.parts();
    // Roles can be looked at and assigned below every scope.
    if let Some(at) = parts.windows(2).rposition(|pair| pair == ["providers", "microsoft.authorization"]) {
        let scope = format!("/{}", call.target.segments[..at].join("/"));
        return role_assignments::answer(app, call, session, &scope, &parts[at + 2..]);
    }
    let ours = app.parts.directory.subscription();
    match parts.as_slice() {
        ["tenants"] => subscriptions::tenants(app, call),
        ["subscriptions"] => subscriptions::list(app, call, session),
        ["subscriptions", subscription, ..] if !subscription.eq_ignore_ascii_case(ours) => {
            Err(ApiError::new(
                Problem::NotFound,
                format!("The subscription '{subscription}' could not be found."),
            )
            .recommend("`az account list` shows the subscription there is.")
            .into())
        }
        ["subscriptions", _] => subscriptions::show(app, call, session),
        ["subscriptions", _, "locations"] => subscriptions::locations(app, call, session),
        ["subscriptions", _, "providers"] => subscriptions::providers(app, call, session, None),
        ["subscriptions", _, "providers", namespace] => {
            subscriptions::providers(app, call, session, Some(namespace))
        }
        ["subscriptions", _, "resources"] => subscriptions::resources(app, call, session),
        ["subscriptions", _, "resourcegroups"] => groups::list(app, call, session),
        ["subscriptions", _, "resourcegroups", _] => groups::one(app, call, session),
        ["subscriptions", _, "operationresults", operation] => groups::deletion(call, operation),
        ["subscriptions", _, "resourcegroups", _, "providers", "microsoft.keyvault", rest @ ..] => {
            key_vaults::in_group(app, call, session, &call.target.segments[3], rest)
        }
        ["subscriptions", _, "providers", "microsoft.keyvault", rest @ ..] => {
            key_vaults::in_subscription(app, call, session, rest)
        }
        _ => Err(Refusal::no_such_path(&format!("/{}", call.target.segments.join("/")))),
    }
}

/// Refuses all methods but one, for lists and the like.
fn only(call: &Call, method: Method, name: &str) -> Result<(), Refusal> {
    if call.method == method { Ok(()) } else { Err(Refusal::method(name)) }
}
