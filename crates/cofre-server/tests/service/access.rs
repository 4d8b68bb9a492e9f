//! A change of rights counts from the next request on.

use serde_json::json;

use crate::support::{SUBSCRIPTION, World, actor, policy, vault_id};

const READER: &str = "Reader";

fn subscription(rest: &str) -> String {
    format!("/subscriptions/{SUBSCRIPTION}{rest}")
}

#[test]
fn changes_of_access_count_from_the_next_request_on() {
    let world = World::new();
    let operator = world.open_vault(&json!({}));
    world.vault("PUT", "/secrets/s").token(&operator).json(&json!({"value": "x"})).send().expect(200);
    let arm = world.arm_token(&world.operator);
    let tester = world.client("tester");
    let token = world.vault_token(&tester);
    let look = || world.vault("GET", "/secrets/s").token(&token).send().status;
    let policies = |kind: &str, secrets: &[&str]| {
        let body = json!({"properties": {"accessPolicies": [policy(&tester, &[], secrets)]}});
        let target = format!("{}/accessPolicies/{kind}", vault_id("kv1"));
        world.arm("PUT", &target).token(&arm).json(&body).send().expect(200);
    };
    assert_eq!(look(), 403);
    policies("add", &["get"]);
    assert_eq!(look(), 200);
    policies("replace", &["list"]);
    assert_eq!(look(), 403);
    policies("add", &["get"]);
    assert_eq!(look(), 200);
    policies("remove", &["get"]);
    assert_eq!(look(), 403);

    let roles = |on: bool| {
        let body = json!({"properties": {"enableRbacAuthorization": on}});
        world.arm("PATCH", &vault_id("kv1")).token(&arm).json(&body).send().expect(200);
    };
    policies("add", &["get"]);
    roles(true);
    assert_eq!(look(), 403, "policies are not looked at any more");
    let id = "55555555-5555-4555-8555-555555555555";
    let assignment = format!("{}/providers/Microsoft.Authorization/roleAssignments/{id}", vault_id("kv1"));
    let role = "/providers/Microsoft.Authorization/roleDefinitions/4633458b-17de-408a-b874-0445c86b69e6";
    let body = json!({"properties": {"roleDefinitionId": role, "principalId": tester.object_id}});
    world.arm("PUT", &assignment).token(&arm).json(&body).send().expect(201);
    assert_eq!(look(), 200);
    world.arm("DELETE", &assignment).token(&arm).send().expect(200);
    assert_eq!(look(), 403);
    roles(false);
    assert_eq!(look(), 200);
}

#[test]
fn tokens_end_with_their_credential_and_principal() {
    let world = World::new();
    let operator = world.open_vault(&json!({}));
    world.vault("PUT", "/secrets/s").token(&operator).json(&json!({"value": "x"})).send().expect(200);
    let tester = world.client("tester");
    world.assign(&tester, READER, &subscription(""));
    let (vault_token, arm_token) = (world.vault_token(&tester), world.arm_token(&tester));
    let looks = || {
        let vault = world.vault("GET", "/secrets/s").token(&vault_token).send().status;
        (vault, world.arm("GET", &subscription("")).token(&arm_token).send().status)
    };
    assert_eq!(looks(), (403, 200));
    // Another credential of the same principal does not keep the first one's tokens alive.
    let (other, _) =
        cofre_server::directory::Credential::secret(cofre_keyvault::Clock::now(&*world.clock), None).unwrap();
    world.directory.add_credential(&actor(), &tester.object_id, other).unwrap();
    world.directory.remove_credential(&actor(), &tester.object_id, &tester.credential).unwrap();
    assert_eq!(looks(), (401, 401));

    let second = world.client("second");
    world.assign(&second, READER, &subscription(""));
    let token = world.arm_token(&second);
    assert_eq!(world.arm("GET", &subscription("")).token(&token).send().status, 200);
    world.directory.delete_principal(&actor(), &second.object_id).unwrap();
    assert_eq!(world.arm("GET", &subscription("")).token(&token).send().status, 401);
    let scope = subscription("/providers/Microsoft.Authorization/roleAssignments");
    let arm = world.arm_token(&world.operator);
    let left = world.arm("GET", &scope).token(&arm).send().expect(200).to_string();
    assert!(!left.contains(&second.object_id), "its roles are gone too: {left}");
}
