//! What clients ask of a directory: which object id an application has, and which names belong to object ids.
//! Everybody sees himself; others are seen by those who may read role assignments.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    app::{App, Session},
    directory::Principal,
    http::{Answer, Call, Method, Refusal},
};

/// Most ids that are asked about at once, as published.
const MOST_IDS: usize = 1000;

#[derive(Deserialize)]
struct Ids {
    ids: Vec<String>,
}

fn entry(principal: &Principal) -> Value {
    json!({
        "@odata.type": "#microsoft.graph.servicePrincipal",
        "id": principal.object_id,
        "appId": principal.application_id,
        "displayName": principal.display_name,
        "servicePrincipalNames": [principal.application_id],
        "servicePrincipalType": "Application",
    })
}

fn not_found(what: &str) -> Refusal {
    let message = format!(
        "Resource '{what}' does not exist or one of its queried reference-property objects are not present."
    );
    Refusal::new(404, json!({"error": {"code": "Request_ResourceNotFound", "message": message}}))
}

/// Answers below `/msgraph/v1.0`.
pub(crate) fn answer(app: &App, call: &Call, session: &Session, rest: &[&str]) -> Result<Answer, Refusal> {
    let scope = app.parts.directory.subscription_scope();
    let sees_all = session.may("Microsoft.Authorization/roleAssignments/read", &scope);
    let sees = |principal: &&Principal| sees_all || principal.object_id == session.identity.object_id;
    let listed = |found: Vec<Value>| Answer::ok(&json!({"value": found}));
    match (call.method, rest) {
        (Method::Get, ["me"]) => Err(Refusal::new(
            400,
            json!({"error": {"code": "BadRequest", "message": "/me request is only valid with delegated authentication flow."}}),
        )),
        (Method::Get, ["serviceprincipals"]) => {
            let wanted = search(call.target.query.get("$filter"));
            let found =
                session.directory.principals().filter(sees).filter(|principal| wanted.matches(principal));
            Ok(listed(found.map(entry).collect()))
        }
        (Method::Get, ["serviceprincipals" | "directoryobjects", id]) => {
            let found = session.directory.principal(id).filter(sees);
            found.map(|principal| Answer::ok(&entry(principal))).ok_or_else(|| not_found(id))
        }
        // There are no people, groups or registrations of applications here.
        (Method::Get, ["users" | "groups" | "applications"]) => Ok(listed(Vec::new())),
        (Method::Get, ["users" | "groups" | "applications", id, ..]) => Err(not_found(id)),
        (Method::Post, ["directoryobjects", "getbyids"]) => {
            let Ids { ids } = call.json()?;
            if ids.len() > MOST_IDS {
                return Err(cofre_arm::ApiError::invalid(format!(
                    "at most {MOST_IDS} ids are looked up at once"
                ))
                .into());
            }
            let found = ids.iter().filter_map(|id| session.directory.principal(id)).filter(sees);
            Ok(listed(found.map(entry).collect()))
        }
        _ => Err(not_found(&rest.join("/"))),
    }
}

/// The comparisons that clients send.
#[derive(Debug, PartialEq, Eq)]
enum Search {
    Everybody,
    Application(String),
    Object(String),
    Name(String),
    NameStart(String),
    Nobody,
}

impl Search {
    fn matches(&self, principal: &Principal) -> bool {
        match self {
            Self::Everybody => true,
            Self::Application(id) => principal.application_id.eq_ignore_ascii_case(id),
            Self::Object(id) => principal.object_id.eq_ignore_ascii_case(id),
            Self::Name(name) => principal.display_name.eq_ignore_ascii_case(name),
            Self::NameStart(start) => {
                principal.display_name.get(..start.len()).is_some_and(|text| text.eq_ignore_ascii_case(start))
            }
            Self::Nobody => false,
        }
    }
}

fn search(filter: Option<&str>) -> Search {
    let Some(text) = filter.map(str::trim).filter(|text| !text.is_empty()) else { return Search::Everybody };
    let value = |prefix: &str, suffix: &str| {
        let (start, inner) = text.split_at_checked(prefix.len())?;
        let inner = inner.strip_suffix(suffix).filter(|_| start.eq_ignore_ascii_case(prefix))?;
        Some(inner.replace("''", "'"))
    };
    if let Some(id) = value("servicePrincipalNames/any(c:c eq '", "')").or_else(|| value("appId eq '", "'")) {
        return Search::Application(id);
    }
    if let Some(id) = value("id eq '", "'") {
        return Search::Object(id);
    }
    if let Some(name) = value("displayName eq '", "'") {
        return Search::Name(name);
    }
    if let Some(start) =
        value("startswith(displayName,'", "')").or_else(|| value("startswith(displayName, '", "')"))
    {
        return Search::NameStart(start);
    }
    Search::Nobody
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn searches() {
        assert_eq!(search(None), Search::Everybody);
        assert_eq!(search(Some("servicePrincipalNames/any(c:c eq 'x')")), Search::Application("x".into()));
        assert_eq!(search(Some("APPID eq 'x'")), Search::Application("x".into()));
        assert_eq!(search(Some("startswith(displayName,'Back')")), Search::NameStart("Back".into()));
        assert_eq!(search(Some("displayName eq 'it''s'")), Search::Name("it's".into()));
        for other in ["é", "mail eq 'x'", "id eq 'x", "servicePrincipalNames/any(c:c eq 'x'"] {
            assert_eq!(search(Some(other)), Search::Nobody, "{other}");
        }
    }
}
