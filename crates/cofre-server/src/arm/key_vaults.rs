//! Key vaults as resources: made, shown, changed, deleted, recovered, purged.

use cofre_arm::{ApiError, Problem, ResourceId, names::KEY_VAULT};
use cofre_keyvault::{Page, PageRequest, Vault, VaultSpec, VaultUpdate};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    key_vault_wire::{PoliciesBody, VaultBody, deleted_vault_json, vault_json},
    only, paging,
};
use crate::{
    app::{App, Session},
    directory::Group,
    http::{Answer, Call, Method, Refusal},
    keyvault::{caller, management_error},
};

const READ: &str = "Microsoft.KeyVault/vaults/read";
const WRITE: &str = "Microsoft.KeyVault/vaults/write";
const DELETE: &str = "Microsoft.KeyVault/vaults/delete";
const WRITE_POLICIES: &str = "Microsoft.KeyVault/vaults/accessPolicies/write";
const ASSIGN_ROLES: &str = "Microsoft.Authorization/roleAssignments/write";
const READ_DELETED: &str = "Microsoft.KeyVault/deletedVaults/read";
const PURGE: &str = "Microsoft.KeyVault/locations/deletedVaults/purge/action";

/// The location of everything here, if that is the one that was named; spaces and case do not count.
pub(super) fn location(app: &App, named: &str) -> Result<String, ApiError> {
    let plain = |text: &str| text.replace(' ', "").to_lowercase();
    if plain(named) == plain(&app.parts.location) {
        return Ok(app.parts.location.clone());
    }
    Err(ApiError::invalid(format!(
        "the location {named:?} is not there: this service has {} alone",
        app.parts.location
    )))
}

/// `…/resourceGroups/G/providers/Microsoft.KeyVault/…`. Rights come first: whoever has none is not told what there is.
pub(super) fn in_group(
    app: &App,
    call: &Call,
    session: &Session,
    group: &str,
    rest: &[&str],
) -> Result<Answer, Refusal> {
    let action = match (call.method, rest) {
        (Method::Get, ["vaults", _]) => Some(READ),
        (Method::Put | Method::Patch, ["vaults", _]) => Some(WRITE),
        (Method::Delete, ["vaults", _]) => Some(DELETE),
        (Method::Put, ["vaults", _, "accesspolicies", _]) => Some(WRITE_POLICIES),
        _ => None,
    };
    let (directory, name) = (&app.parts.directory, call.target.segments.get(7));
    if let (Some(action), Some(name)) = (action, name) {
        let id = ResourceId::resource(directory.subscription(), group, KEY_VAULT, name)?;
        session.authorize(action, id.as_str())?;
    }
    let found = directory.group(group);
    match (rest, name) {
        (["vaults"], _) => {
            only(call, Method::Get, "GET")?;
            let scope = ResourceId::group(directory.subscription(), group)?;
            if found.is_err() && !session.may(READ, scope.as_str()) {
                return Ok(paging::page(call, Vec::new(), None));
            }
            list(app, call, session, Some(&found?))
        }
        (["vaults", _], Some(name)) if action.is_some() => one(app, call, session, &found?, name),
        (["vaults", _], _) => Err(Refusal::method("GET, PUT, PATCH, DELETE")),
        (["vaults", _, "accesspolicies", kind], Some(name)) => {
            only(call, Method::Put, "PUT")?;
            policies(app, call, session, &found?, name, kind)
        }
        _ => Err(Refusal::no_such_path(&format!("/{}", call.target.segments.join("/")))),
    }
}

/// `…/subscriptions/S/providers/Microsoft.KeyVault/…`
pub(super) fn in_subscription(
    app: &App,
    call: &Call,
    session: &Session,
    rest: &[&str],
) -> Result<Answer, Refusal> {
    match rest {
        ["vaults"] => {
            only(call, Method::Get, "GET")?;
            list(app, call, session, None)
        }
        ["deletedvaults"] => {
            only(call, Method::Get, "GET")?;
            list_deleted(app, call, session)
        }
        ["checknameavailability"] => {
            only(call, Method::Post, "POST")?;
            check_name(app, call, session)
        }
        ["locations", named, "deletedvaults", _] => {
            only(call, Method::Get, "GET")?;
            location(app, named)?;
            show_deleted(app, session, &call.target.segments[7])
        }
        ["locations", named, "deletedvaults", _, "purge"] => {
            only(call, Method::Post, "POST")?;
            location(app, named)?;
            purge(app, call, session, &call.target.segments[7])
        }
        _ => Err(Refusal::no_such_path(&format!("/{}", call.target.segments.join("/")))),
    }
}

fn id_of(app: &App, group: &Group, name: &str) -> Result<ResourceId, ApiError> {
    ResourceId::resource(app.parts.directory.subscription(), &group.name, KEY_VAULT, name)
}

/// The vault of a name, if it is in the group.
fn find(app: &App, group: &Group, name: &str) -> Result<Vault, Refusal> {
    let missing = || {
        let message = format!(
            "The Resource 'Microsoft.KeyVault/vaults/{name}' under resource group '{}' was not found.",
            group.name
        );
        Refusal::from(ApiError::new(Problem::NotFound, message))
    };
    match app.parts.key_vaults.vault(name) {
        Ok(vault) if vault.id.parse::<ResourceId>()? == id_of(app, group, name)? => Ok(vault),
        Ok(_) => Err(missing()),
        Err(error) if error.kind() == cofre_keyvault::ErrorKind::VaultNotFound => Err(missing()),
        Err(error) => Err(management_error(error)),
    }
}

/// One vault, for a caller who may do what is asked.
fn one(app: &App, call: &Call, session: &Session, group: &Group, name: &str) -> Result<Answer, Refusal> {
    let shown = |vault: &Vault| Answer::ok(&vault_json(vault, &app.parts.addresses));
    let who = caller(app, &session.identity, &call.id);
    match call.method {
        Method::Get => Ok(shown(&find(app, group, name)?)),
        Method::Put => put(app, call, session, group, name),
        Method::Patch => {
            let there = find(app, group, name)?;
            let body: VaultBody = call.json_or_empty()?;
            let update = update(app, session, &there, &body)?;
            let vault = app.parts.key_vaults.update_vault(&who, name, &update).map_err(management_error)?;
            Ok(shown(&vault))
        }
        Method::Delete => match app.parts.key_vaults.vault(name) {
            Err(error) if error.kind() == cofre_keyvault::ErrorKind::VaultNotFound => Ok(Answer::empty(204)),
            _ => {
                find(app, group, name)?;
                app.parts.key_vaults.delete_vault(&who, name).map_err(management_error)?;
                Ok(Answer::empty(200))
            }
        },
        Method::Head | Method::Post => Err(Refusal::method("GET, PUT, PATCH, DELETE")),
    }
}

/// Makes a vault, or replaces what there is to replace of one; with `createMode` recover it brings back a deleted one.
fn put(app: &App, call: &Call, session: &Session, group: &Group, name: &str) -> Result<Answer, Refusal> {
    let body: VaultBody = call.json()?;
    let id = id_of(app, group, name)?;
    let who = caller(app, &session.identity, &call.id);
    let tenant = app.parts.directory.tenant();
    let shown = |vault: &Vault| Answer::ok(&vault_json(vault, &app.parts.addresses));
    let named = body.location.as_deref().ok_or_else(|| ApiError::invalid("a key vault needs a location"))?;
    let location = location(app, named)?;
    body.properties.check_supported(tenant)?;
    match body.properties.create_mode.as_deref() {
        Some(mode) if mode.eq_ignore_ascii_case("recover") => {
            let deleted = app.parts.key_vaults.deleted_vault(name).map_err(management_error)?;
            if deleted.vault.id.parse::<ResourceId>()? != id {
                let message = format!(
                    "the deleted key vault {name} was in another resource group: recover it as {}",
                    deleted.vault.id
                );
                return Err(ApiError::new(Problem::Conflict, message).into());
            }
            let vault = app.parts.key_vaults.recover_vault(&who, name).map_err(management_error)?;
            return Ok(shown(&vault));
        }
        Some(mode) if !mode.eq_ignore_ascii_case("default") => {
            return Err(ApiError::invalid("createMode is default or recover").into());
        }
        _ => {}
    }
    if let Ok(there) = app.parts.key_vaults.vault(name) {
        if there.id.parse::<ResourceId>()? != id {
            let message = format!("The vault name '{name}' is already in use.");
            return Err(ApiError::new(Problem::Conflict, message)
                .recommend("Names of key vaults are unique; choose another.")
                .into());
        }
        let update = update(app, session, &there, &body)?;
        let vault = app.parts.key_vaults.update_vault(&who, name, &update).map_err(management_error)?;
        return Ok(shown(&vault));
    }
    let properties = &body.properties;
    let policies = properties.policies(tenant)?.unwrap_or_default();
    if !policies.is_empty() {
        session.authorize(WRITE_POLICIES, id.as_str())?;
    }
    let spec = VaultSpec {
        id: id.to_string(),
        name: name.to_owned(),
        location,
        tenant: tenant.to_owned(),
        enabled_for_disk_encryption: properties.enabled_for_disk_encryption.unwrap_or(false),
        enabled_for_deployment: properties.enabled_for_deployment.unwrap_or(false),
        enabled_for_template_deployment: properties.enabled_for_template_deployment.unwrap_or(false),
        access_policies: policies,
        tags: body.tags.clone().unwrap_or_default(),
        premium: properties.premium()?.unwrap_or(false),
        soft_delete_retention_days: properties.retention()?,
        purge_protection: properties.enable_purge_protection.unwrap_or(false),
        role_based: properties.enable_rbac_authorization.unwrap_or(false),
    };
    let vault = app.parts.key_vaults.create_vault(&who, &spec).map_err(management_error)?;
    Ok(shown(&vault))
}

/// What a body changes. Who sets policies, or says whether policies or roles decide, gives access to others: for the
/// latter it takes the right to assign roles, or a contributor could give himself what the roles withhold.
fn update(app: &App, session: &Session, there: &Vault, body: &VaultBody) -> Result<VaultUpdate, Refusal> {
    let properties = &body.properties;
    let tenant = app.parts.directory.tenant();
    properties.check_supported(tenant)?;
    if let Some(named) = &body.location {
        location(app, named)?;
    }
    let policies = properties.policies(tenant)?;
    if policies.is_some() {
        session.authorize(WRITE_POLICIES, &there.id)?;
    }
    let role_based = properties.enable_rbac_authorization.filter(|wished| *wished != there.role_based);
    if role_based.is_some() {
        session.authorize(ASSIGN_ROLES, &there.id)?;
    }
    Ok(VaultUpdate {
        enabled_for_disk_encryption: properties.enabled_for_disk_encryption,
        enabled_for_deployment: properties.enabled_for_deployment,
        enabled_for_template_deployment: properties.enabled_for_template_deployment,
        access_policies: policies,
        tags: body.tags.clone(),
        premium: properties.premium()?,
        soft_delete_retention_days: properties.retention()?,
        purge_protection: properties.enable_purge_protection,
        role_based,
    })
}

/// `PUT …/accessPolicies/add|replace|remove`.
fn policies(
    app: &App,
    call: &Call,
    session: &Session,
    group: &Group,
    name: &str,
    kind: &str,
) -> Result<Answer, Refusal> {
    let id = id_of(app, group, name)?;
    let mut vault = find(app, group, name)?;
    if !matches!(kind, "add" | "replace" | "remove") {
        return Err(ApiError::invalid("access policies are added, replaced or removed").into());
    }
    let body: PoliciesBody = call.json()?;
    let tenant = app.parts.directory.tenant();
    // All are read before any is set.
    let wished = body.properties.access_policies.iter().map(|policy| policy.policy(tenant));
    let wished: Vec<_> = wished.collect::<Result<_, _>>()?;
    let who = caller(app, &session.identity, &call.id);
    let vaults = &app.parts.key_vaults;
    for mut policy in wished {
        let changed = match kind {
            "remove" => vaults.remove_access_policy(&who, name, &policy.principal),
            "add" => {
                let had = vault.permissions_of(&policy.principal);
                policy.permissions.keys.extend(had.keys);
                policy.permissions.secrets.extend(had.secrets);
                policy.permissions.certificates.extend(had.certificates);
                vaults.set_access_policy(&who, name, &policy)
            }
            _ => vaults.set_access_policy(&who, name, &policy),
        };
        vault = changed.map_err(management_error)?;
    }
    let resource = vault_json(&vault, &app.parts.addresses);
    Ok(Answer::ok(&json!({
        "id": format!("{id}/accessPolicies/"),
        "type": "Microsoft.KeyVault/vaults/accessPolicies",
        "location": vault.location,
        "properties": {"accessPolicies": resource["properties"]["accessPolicies"]},
    })))
}

fn list(app: &App, call: &Call, session: &Session, group: Option<&Group>) -> Result<Answer, Refusal> {
    let (after, limit) = (paging::position(call)?, call.target.query.number("$top", 1, 1000)?.unwrap_or(250));
    let request = PageRequest { after: after.as_deref(), limit };
    let Page { items, next } = app.parts.key_vaults.list_vaults(request).map_err(management_error)?;
    let of_group = |vault: &&Vault| {
        let id = vault.id.parse::<ResourceId>().ok();
        let found = id.as_ref().and_then(ResourceId::resource_group).unwrap_or_default();
        group.is_none_or(|group| group.name.eq_ignore_ascii_case(found))
    };
    let vaults = items.iter().filter(of_group).filter(|vault| session.may(READ, &vault.id));
    let vaults = vaults.map(|vault| vault_json(vault, &app.parts.addresses)).collect();
    Ok(paging::page(call, vaults, next.as_deref()))
}

fn list_deleted(app: &App, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    session.authorize(READ_DELETED, &app.parts.directory.subscription_scope())?;
    let (after, limit) = (paging::position(call)?, call.target.query.number("$top", 1, 1000)?.unwrap_or(250));
    let request = PageRequest { after: after.as_deref(), limit };
    let page = app.parts.key_vaults.list_deleted_vaults(request).map_err(management_error)?;
    let subscription = app.parts.directory.subscription();
    let vaults: Vec<Value> = page
        .items
        .iter()
        .map(|found| deleted_vault_json(&found.vault, &found.deletion, subscription))
        .collect();
    Ok(paging::page(call, vaults, page.next.as_deref()))
}

fn show_deleted(app: &App, session: &Session, name: &str) -> Result<Answer, Refusal> {
    session.authorize(
        "Microsoft.KeyVault/locations/deletedVaults/read",
        &app.parts.directory.subscription_scope(),
    )?;
    let found = app.parts.key_vaults.deleted_vault(name).map_err(management_error)?;
    Ok(Answer::ok(&deleted_vault_json(&found.vault, &found.deletion, app.parts.directory.subscription())))
}

fn purge(app: &App, call: &Call, session: &Session, name: &str) -> Result<Answer, Refusal> {
    session.authorize(PURGE, &app.parts.directory.subscription_scope())?;
    let who = caller(app, &session.identity, &call.id);
    app.parts.key_vaults.purge_vault(&who, name).map_err(management_error)?;
    Ok(Answer::empty(200))
}

#[derive(Deserialize)]
struct NameBody {
    name: String,
}

fn check_name(app: &App, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    session.authorize(
        "Microsoft.KeyVault/checkNameAvailability/read",
        &app.parts.directory.subscription_scope(),
    )?;
    let NameBody { name } = call.json()?;
    use cofre_keyvault::ErrorKind as Kind;
    let answer = |available: bool, reason: Option<&str>, message: String| {
        Answer::ok(&json!({"nameAvailable": available, "reason": reason, "message": message}))
    };
    match (app.parts.key_vaults.vault(&name), app.parts.key_vaults.deleted_vault(&name)) {
        (Ok(_), _) => {
            Ok(answer(false, Some("AlreadyExists"), format!("The vault name '{name}' is already in use.")))
        }
        (_, Ok(_)) => Ok(answer(
            false,
            Some("AlreadyExists"),
            format!("The name '{name}' is held by a deleted vault: recover or purge it."),
        )),
        (Err(error), _) if error.kind() == Kind::VaultNotFound => Ok(answer(true, None, String::new())),
        (Err(error), _) if error.kind() == Kind::Invalid => {
            Ok(answer(false, Some("AccountNameInvalid"), error.to_string()))
        }
        (Err(error), _) => Err(management_error(error)),
    }
}
