//! `…/providers/Microsoft.Authorization/…`: the roles there are, and who has them where.

use cofre_arm::{ApiError, Problem, ResourceId, RoleDefinition, roles};
use serde::Deserialize;
use serde_json::{Value, json};

use super::filter::Filter;
use crate::{
    app::{App, Session},
    directory::{Assignment, NewAssignment, guid},
    http::{Answer, Call, Method, Refusal},
};

const READ_ASSIGNMENTS: &str = "Microsoft.Authorization/roleAssignments/read";

#[derive(Deserialize)]
struct Body {
    properties: Properties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    role_definition_id: String,
    principal_id: String,
    #[serde(default)]
    condition: Option<String>,
}

/// Answers below a scope.
pub(super) fn answer(
    app: &App,
    call: &Call,
    session: &Session,
    scope: &str,
    rest: &[&str],
) -> Result<Answer, Refusal> {
    let subscription = app.parts.directory.subscription_scope();
    // Role definitions are also asked for without a scope.
    let scope = if scope == "/" { subscription.clone() } else { scope.parse::<ResourceId>()?.to_string() };
    if !roles::scope_contains(&subscription, &scope) {
        return Err(ApiError::new(
            Problem::NotFound,
            format!("the scope {scope} is in no subscription of this service"),
        )
        .into());
    }
    match (call.method, rest) {
        (Method::Get, ["roledefinitions"]) => {
            session.authorize("Microsoft.Authorization/roleDefinitions/read", &scope)?;
            let filter = Filter::parse(call.target.query.get("$filter"))?.only(&["roleName", "type"])?;
            let wanted = filter.get("roleName");
            let found = roles::BUILT_IN
                .iter()
                .filter(|role| wanted.is_none_or(|name| role.name.eq_ignore_ascii_case(name)));
            let custom = filter.get("type").is_some_and(|kind| kind.eq_ignore_ascii_case("CustomRole"));
            let found: Vec<_> =
                found.filter(|_| !custom).map(|role| definition(role, &subscription)).collect();
            Ok(Answer::ok(&json!({"value": found})))
        }
        (Method::Get, ["roledefinitions", id]) => {
            session.authorize("Microsoft.Authorization/roleDefinitions/read", &scope)?;
            let role = RoleDefinition::find(id).filter(|role| role.id.eq_ignore_ascii_case(id));
            let role = role.ok_or_else(|| {
                ApiError::new(Problem::NotFound, format!("The role definition '{id}' does not exist."))
            })?;
            Ok(Answer::ok(&definition(role, &subscription)))
        }
        (_, ["roledefinitions", ..]) => Err(ApiError::invalid(
            "role definitions cannot be made or changed: the built-in ones are all there are",
        )
        .into()),
        (Method::Get, ["roleassignments"]) => list(call, session, &scope, &subscription),
        (Method::Get, ["roleassignments", id]) => {
            session.authorize(READ_ASSIGNMENTS, &scope)?;
            let found = session.directory.assignments().find(|a| a.id.eq_ignore_ascii_case(id));
            // Who may look here sees what a list here has: not what counts elsewhere alone.
            let here = found.filter(|found| {
                roles::scope_contains(&found.scope, &scope) || roles::scope_contains(&scope, &found.scope)
            });
            Ok(Answer::ok(&assignment(here.ok_or_else(|| missing(id))?, &subscription)))
        }
        (Method::Put, ["roleassignments", id]) => {
            session.authorize("Microsoft.Authorization/roleAssignments/write", &scope)?;
            put(app, call, session, &scope, id)
        }
        (Method::Delete, ["roleassignments", id]) => {
            let there = session.directory.assignments().find(|a| a.id.eq_ignore_ascii_case(id));
            let at = there.map_or(scope.as_str(), |assignment| assignment.scope.as_str());
            session.authorize("Microsoft.Authorization/roleAssignments/delete", at)?;
            let deleted = app.parts.directory.unassign(&session.actor(), id)?;
            Ok(deleted.map_or_else(|| Answer::empty(204), |a| Answer::ok(&assignment(&a, &subscription))))
        }
        (_, ["roleassignments"]) => Err(Refusal::method("GET")),
        (_, ["roleassignments", _]) => Err(Refusal::method("GET, PUT, DELETE")),
        _ => Err(Refusal::no_such_path(&format!("/{}", call.target.segments.join("/")))),
    }
}

fn missing(id: &str) -> ApiError {
    ApiError::new(Problem::NotFound, format!("The role assignment '{id}' is not found."))
}

fn put(app: &App, call: &Call, session: &Session, scope: &str, id: &str) -> Result<Answer, Refusal> {
    let body: Body = call.json()?;
    if body.properties.condition.is_some_and(|condition| !condition.is_empty()) {
        return Err(ApiError::invalid("role assignments with a condition are not supported").into());
    }
    let role = body.properties.role_definition_id.rsplit('/').next().unwrap_or_default().to_owned();
    let role = RoleDefinition::find(&guid("id of the role definition", &role)?)
        .ok_or_else(|| ApiError::invalid(format!("there is no role definition {role}")))?;
    let principal = guid("id of the principal", &body.properties.principal_id)?;
    if session.directory.principal(&principal).is_none() {
        return Err(ApiError::invalid(format!("Principal {principal} does not exist in the directory."))
            .recommend("`cofre principal list` shows the object ids.")
            .into());
    }
    // The code by which clients know that what they wish is there already, under an id of its own.
    let there = session.directory.assignments().find(|there| {
        there.role == role.id && there.principal == principal && there.scope.eq_ignore_ascii_case(scope)
    });
    if let Some(there) = there.filter(|there| !there.id.eq_ignore_ascii_case(id)) {
        let message = format!(
            "The role assignment already exists. The ID of the existing role assignment is {}.",
            there.id
        );
        return Err(Refusal::new(
            409,
            json!({"error": {"code": "RoleAssignmentExists", "message": message}}),
        ));
    }
    let new = NewAssignment { id: Some(id), scope, role: role.id, principal: &principal };
    let made = app.parts.directory.assign(&session.actor(), new)?;
    Ok(Answer::json(201, &assignment(&made, &app.parts.directory.subscription_scope())))
}

/// Assignments at a scope, below and above it; with `atScope()` not below.
fn list(call: &Call, session: &Session, scope: &str, subscription: &str) -> Result<Answer, Refusal> {
    session.authorize(READ_ASSIGNMENTS, scope)?;
    let text = call.target.query.get("$filter").unwrap_or_default();
    // Two of the comparisons have the form of functions.
    let mut at_scope = false;
    let mut principal = None;
    let mut plain = Vec::new();
    for part in text.split(" and ").map(str::trim).filter(|part| !part.is_empty()) {
        let lower = part.to_ascii_lowercase();
        if lower == "atscope()" {
            at_scope = true;
        } else if let Some(id) = lower.strip_prefix("assignedto('").and_then(|id| id.strip_suffix("')")) {
            principal = Some(id.to_owned());
        } else {
            plain.push(part);
        }
    }
    let filter = Filter::parse(Some(&plain.join(" and ")))?.only(&["principalId", "roleDefinitionId"])?;
    let principal = filter.get("principalId").map(str::to_owned).or(principal);
    let role = filter.get("roleDefinitionId").map(|id| id.rsplit('/').next().unwrap_or_default().to_owned());
    let mut found: Vec<_> = session
        .directory
        .assignments()
        .filter(|a| {
            roles::scope_contains(&a.scope, scope) || !at_scope && roles::scope_contains(scope, &a.scope)
        })
        .filter(|a| principal.as_ref().is_none_or(|id| a.principal.eq_ignore_ascii_case(id)))
        .filter(|a| role.as_ref().is_none_or(|id| a.role.eq_ignore_ascii_case(id)))
        .collect();
    found.sort_by_key(|a| (a.created, a.id.clone()));
    let found: Vec<_> = found.into_iter().map(|a| assignment(a, subscription)).collect();
    Ok(Answer::ok(&json!({"value": found})))
}

fn definition_id(role: &str, subscription: &str) -> String {
    format!("{subscription}/providers/Microsoft.Authorization/roleDefinitions/{role}")
}

fn definition(role: &RoleDefinition, subscription: &str) -> Value {
    json!({
        "id": definition_id(role.id, subscription),
        "name": role.id,
        "type": "Microsoft.Authorization/roleDefinitions",
        "properties": {
            "roleName": role.name,
            "type": "BuiltInRole",
            "description": role.description,
            "assignableScopes": ["/"],
            "permissions": [{
                "actions": role.actions,
                "notActions": role.not_actions,
                "dataActions": role.data_actions,
                "notDataActions": [],
            }],
        },
    })
}

fn assignment(assignment: &Assignment, subscription: &str) -> Value {
    let Assignment { id, scope, role, principal, created } = assignment;
    json!({
        "id": format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{id}"),
        "name": id,
        "type": "Microsoft.Authorization/roleAssignments",
        "properties": {
            "roleDefinitionId": definition_id(role, subscription),
            "principalId": principal,
            "principalType": "ServicePrincipal",
            "scope": scope,
            "createdOn": created.to_string(),
            "updatedOn": created.to_string(),
        },
    })
}
