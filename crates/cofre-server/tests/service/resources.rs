//! Who may do what with resources: every role, at every scope.

use cofre_server::directory::DEFAULT_GROUP;
use serde_json::{Value, json};

use crate::support::{Client, SUBSCRIPTION, TENANT, World, actor, group_id, policy, vault_id};

const OWNER: &str = "Owner";
const CONTRIBUTOR: &str = "Contributor";
const READER: &str = "Reader";
const ACCESS: &str = "User Access Administrator";
const VAULTS: &str = "Key Vault Contributor";
const OFFICER: &str = "Key Vault Secrets Officer";
const USER: &str = "Key Vault Secrets User";
const ALL: &[&str] = &[OWNER, CONTRIBUTOR, READER, ACCESS, VAULTS, OFFICER, USER];
const READERS: &[&str] = &[OWNER, CONTRIBUTOR, READER, ACCESS, VAULTS, OFFICER];
const VAULT_WRITERS: &[&str] = &[OWNER, CONTRIBUTOR, VAULTS];
const GRANTERS: &[&str] = &[OWNER, ACCESS];

/// A request, the action it needs, and the roles that have it.
struct Case {
    method: &'static str,
    target: String,
    body: Value,
    action: &'static str,
    roles: &'static [&'static str],
    /// What the operator does before, so that it can succeed.
    before: Vec<(&'static str, String, Value)>,
}

fn subscription(rest: &str) -> String {
    format!("/subscriptions/{SUBSCRIPTION}{rest}")
}

fn vault_body() -> Value {
    json!({"location": "local", "properties": {"tenantId": TENANT, "sku": {"name": "standard"}, "accessPolicies": []}})
}

fn cases(tester: &Client) -> Vec<Case> {
    const ASSIGNMENT: &str = "44444444-4444-4444-8444-444444444444";
    let case = |method, target: String, body: Value, action, roles| Case {
        method,
        target,
        body,
        action,
        roles,
        before: Vec::new(),
    };
    let none = Value::Null;
    let kv1 = vault_id("kv1");
    let purge = "/providers/Microsoft.KeyVault/locations/local/deletedVaults/doomed";
    let assignment =
        format!("{}/providers/Microsoft.Authorization/roleAssignments/{ASSIGNMENT}", vault_id("kv2"));
    let reader = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
    let assign = json!({"properties": {"roleDefinitionId": reader, "principalId": tester.object_id}});
    let doomed =
        || vec![("PUT", vault_id("doomed"), vault_body()), ("DELETE", vault_id("doomed"), Value::Null)];
    let mut cases = vec![
        case("GET", subscription(""), none.clone(), "Microsoft.Resources/subscriptions/read", READERS),
        case(
            "GET",
            subscription("/locations"),
            none.clone(),
            "Microsoft.Resources/subscriptions/read",
            READERS,
        ),
        case(
            "GET",
            group_id(DEFAULT_GROUP),
            none.clone(),
            "Microsoft.Resources/subscriptions/resourceGroups/read",
            READERS,
        ),
        case(
            "PUT",
            group_id("other"),
            json!({"location": "local"}),
            "Microsoft.Resources/subscriptions/resourceGroups/write",
            &[OWNER, CONTRIBUTOR],
        ),
        case("GET", kv1.clone(), none.clone(), "Microsoft.KeyVault/vaults/read", READERS),
        case("PUT", vault_id("kv3"), vault_body(), "Microsoft.KeyVault/vaults/write", VAULT_WRITERS),
        case(
            "PATCH",
            kv1.clone(),
            json!({"tags": {"a": "b"}}),
            "Microsoft.KeyVault/vaults/write",
            VAULT_WRITERS,
        ),
        case(
            "PUT",
            format!("{kv1}/accessPolicies/add"),
            json!({"properties": {"accessPolicies": [policy(tester, &["get"], &[])]}}),
            "Microsoft.KeyVault/vaults/accessPolicies/write",
            VAULT_WRITERS,
        ),
        case(
            "GET",
            subscription("/providers/Microsoft.KeyVault/deletedVaults"),
            none.clone(),
            "Microsoft.KeyVault/deletedVaults/read",
            READERS,
        ),
        case(
            "GET",
            subscription(purge),
            none.clone(),
            "Microsoft.KeyVault/locations/deletedVaults/read",
            READERS,
        ),
        case(
            "POST",
            subscription(&format!("{purge}/purge")),
            none.clone(),
            "Microsoft.KeyVault/locations/deletedVaults/purge/action",
            &[OWNER, CONTRIBUTOR],
        ),
        case(
            "POST",
            subscription("/providers/Microsoft.KeyVault/checkNameAvailability"),
            json!({"name": "kv9", "type": "Microsoft.KeyVault/vaults"}),
            "Microsoft.KeyVault/checkNameAvailability/read",
            READERS,
        ),
        case(
            "GET",
            subscription("/providers/Microsoft.Authorization/roleDefinitions"),
            none.clone(),
            "Microsoft.Authorization/roleDefinitions/read",
            READERS,
        ),
        case(
            "GET",
            subscription("/providers/Microsoft.Authorization/roleAssignments"),
            none.clone(),
            "Microsoft.Authorization/roleAssignments/read",
            READERS,
        ),
        case(
            "PUT",
            assignment.clone(),
            assign.clone(),
            "Microsoft.Authorization/roleAssignments/write",
            GRANTERS,
        ),
        case(
            "DELETE",
            assignment.clone(),
            none.clone(),
            "Microsoft.Authorization/roleAssignments/delete",
            GRANTERS,
        ),
        case("DELETE", vault_id("doomed"), none.clone(), "Microsoft.KeyVault/vaults/delete", VAULT_WRITERS),
        case(
            "DELETE",
            group_id("other"),
            none,
            "Microsoft.Resources/subscriptions/resourceGroups/delete",
            &[OWNER, CONTRIBUTOR],
        ),
    ];
    for case in &mut cases {
        case.before = match case.method {
            _ if case.target.contains("deletedVaults/doomed") => doomed(),
            "DELETE" if case.target == vault_id("doomed") => vec![("PUT", vault_id("doomed"), vault_body())],
            "DELETE" if case.target == assignment => vec![("PUT", assignment.clone(), assign.clone())],
            "PUT" if case.target == assignment => vec![("DELETE", assignment.clone(), Value::Null)],
            "DELETE" => vec![("PUT", group_id("other"), json!({"location": "local"}))],
            _ => Vec::new(),
        };
    }
    cases
}

fn world() -> (World, Client) {
    let world = World::new();
    for name in ["kv1", "kv2", "kv4"] {
        world.make_vault(name, &json!({}));
    }
    let tester = world.client("tester");
    (world, tester)
}

/// Makes every request as `who`, who has the role `role` in the subscription.
fn check(world: &World, who: &Client, role: Option<&str>, cases: &[Case]) {
    let (operator, token) = (world.arm_token(&world.operator), world.arm_token(who));
    let send = |method: &str, target: &str, body: &Value, token: &str| {
        let request = world.arm(method, target).token(token);
        if body.is_null() { request.send() } else { request.json(body).send() }
    };
    for case in cases {
        for (method, target, body) in &case.before {
            // What is there already, or gone already, is as it should be.
            let reply = send(method, target, body, &operator);
            assert!(reply.status < 300 || reply.status == 409, "{method} {target}: {reply:?}");
        }
        let reply = send(case.method, &case.target, &case.body, &token);
        let what = format!("{role:?}: {} {}: {reply:?}", case.method, case.target);
        if role.is_some_and(|role| case.roles.contains(&role)) {
            assert!(reply.status < 300, "{what}");
        } else {
            assert_eq!((reply.status, reply.code()), (403, "AuthorizationFailed"), "{what}");
            assert!(reply.message().contains(&format!("'{}'", case.action)), "{what}");
            let missing = &reply.json["error"]["details"][0]["missingPermissions"];
            assert_eq!(*missing, json!([case.action]), "{what}");
        }
    }
}

#[test]
fn a_role_in_the_subscription_allows_its_actions_and_no_others() {
    let (world, tester) = world();
    let cases = cases(&tester);
    check(&world, &tester, None, &cases);
    for role in ALL {
        let assignment = world.assign(&tester, role, &subscription(""));
        check(&world, &tester, Some(role), &cases);
        world.directory.unassign(&actor(), &assignment).unwrap().unwrap();
    }
    check(&world, &tester, None, &cases);
}

/// Who decides how access is decided gives access: it takes the right to assign roles.
#[test]
fn contributors_cannot_change_the_permission_model() {
    let (world, tester) = world();
    let token = world.arm_token(&tester);
    let operator = world.arm_token(&world.operator);
    let body = |on: bool| json!({"location": "local", "properties": {"enableRbacAuthorization": on}});
    let send = |method: &str, on: bool, token: &str| {
        world.arm(method, &vault_id("kv4")).token(token).json(&body(on)).send()
    };
    for role in [CONTRIBUTOR, VAULTS] {
        let assignment = world.assign(&tester, role, &subscription(""));
        for is_on in [false, true] {
            send("PATCH", is_on, &operator).expect(200);
            for method in ["PATCH", "PUT"] {
                let refused = send(method, !is_on, &token).refused(403, "AuthorizationFailed");
                assert!(
                    refused.message().contains("'Microsoft.Authorization/roleAssignments/write'"),
                    "{refused:?}"
                );
                let kept = send(method, is_on, &token).expect(200);
                assert_eq!(
                    kept["properties"]["enableRbacAuthorization"],
                    json!(is_on),
                    "as it was is no change"
                );
            }
        }
        let access = world.assign(&tester, ACCESS, &vault_id("kv4"));
        send("PATCH", false, &token).expect(200);
        for id in [assignment, access] {
            world.directory.unassign(&actor(), &id).unwrap().unwrap();
        }
    }
}

#[test]
fn a_role_counts_at_its_scope_and_below() {
    let (world, tester) = world();
    world.directory.put_group(&actor(), "other", "local", Default::default()).unwrap();
    let token = world.arm_token(&tester);
    let status = |target: &str| world.arm("GET", target).token(&token).send().status;
    let assignment = world.assign(&tester, READER, &vault_id("kv1"));
    assert_eq!(
        (status(&vault_id("kv1")), status(&vault_id("kv2")), status(&group_id("default"))),
        (200, 403, 403)
    );
    let listed = |token: &str| -> Vec<String> {
        let list = world
            .arm("GET", &subscription("/providers/Microsoft.KeyVault/vaults"))
            .token(token)
            .send()
            .expect(200);
        list["value"]
            .as_array()
            .unwrap()
            .iter()
            .map(|vault| vault["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(listed(&token), ["kv1"], "a list has what may be read");
    world.directory.unassign(&actor(), &assignment).unwrap().unwrap();
    world.assign(&tester, READER, &group_id("DEFAULT"));
    assert_eq!(
        (status(&vault_id("kv2")), status(&group_id("default")), status(&group_id("other"))),
        (200, 200, 403)
    );
    assert_eq!(listed(&token), ["kv1", "kv2", "kv4"]);
}

#[test]
fn whoever_has_no_role_learns_nothing_of_what_there_is() {
    let (world, tester) = world();
    let token = world.arm_token(&tester);
    for (there, not_there) in [
        (vault_id("kv1"), vault_id("kv8")),
        (group_id("default"), group_id("elsewhere")),
        (vault_id("kv1"), vault_id("kv1").replace("/default/", "/elsewhere/")),
    ] {
        let ask = |target: &str| world.arm("GET", target).token(&token).send();
        let (there, not_there) = (ask(&there), ask(&not_there));
        assert_eq!((there.status, there.code()), (403, "AuthorizationFailed"));
        assert_eq!((not_there.status, not_there.code()), (403, "AuthorizationFailed"), "{not_there:?}");
    }
    let list = world.arm("GET", "/subscriptions").token(&token).send().expect(200);
    assert_eq!(list["value"], json!([]));
    for list in ["/resourcegroups", "/resources", "/providers/Microsoft.KeyVault/vaults"] {
        assert_eq!(
            world.arm("GET", &subscription(list)).token(&token).send().expect(200)["value"],
            json!([]),
            "{list}"
        );
    }
    let graph = "https://localhost:8443/msgraph";
    let graph_token = world.token_for(&tester, graph);
    let seen = world.arm("GET", "/msgraph/v1.0/servicePrincipals").token(&graph_token).send().expect(200);
    assert_eq!(seen["value"].as_array().unwrap().len(), 1, "himself");
    let other = format!("/msgraph/v1.0/servicePrincipals/{}", world.operator.object_id);
    world.arm("GET", &other).token(&graph_token).send().refused(404, "Request_ResourceNotFound");
}

#[test]
fn a_reader_of_one_group_does_not_see_the_assignments_of_another() {
    let (world, tester) = world();
    world.directory.put_group(&actor(), "other", "local", Default::default()).unwrap();
    world.assign(&tester, READER, &group_id("other"));
    let hidden = world.assign(&world.operator, READER, &vault_id("kv1"));
    let token = world.arm_token(&tester);
    let below =
        |scope: &str, id: &str| format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{id}");
    world
        .arm("GET", &below(&group_id("other"), &hidden))
        .token(&token)
        .send()
        .refused(404, "ResourceNotFound");
    // Nor can one who may remove assignments in one group remove those of another by its address.
    world.assign(&tester, ACCESS, &group_id("other"));
    let reply = world.arm("DELETE", &below(&group_id("other"), &hidden)).token(&token).send();
    reply.refused(403, "AuthorizationFailed");
}
