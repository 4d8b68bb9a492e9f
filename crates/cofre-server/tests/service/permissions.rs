//! Who may do what with keys and secrets: one permission at a time, one role at a time.

use cofre_keyvault::{KeyPermission, SecretPermission};
use serde_json::json;

use crate::{
    data_plane::Stocked,
    support::{Client, World, actor, group_id, policy, vault_id},
};

/// Gives a client a policy in `kv1`, over the API.
fn allow(world: &World, client: &Client, keys: &[&str], secrets: &[&str]) {
    let body = json!({"properties": {"accessPolicies": [policy(client, keys, secrets)]}});
    let token = world.arm_token(&world.operator);
    world
        .arm("PUT", &format!("{}/accessPolicies/replace", vault_id("kv1")))
        .token(&token)
        .json(&body)
        .send()
        .expect(200);
}

#[test]
fn one_permission_allows_its_own_calls_and_no_others() {
    let stocked = Stocked::new();
    let world = &stocked.world;
    let tester = world.client("tester");
    let token = world.vault_token(&tester);
    stocked.check("nobody", &token, |_| false);
    for permission in KeyPermission::ALL {
        allow(world, &tester, &[permission.as_str()], &[]);
        let own = format!("keys/{permission}");
        stocked.check(&own, &token, |needs| needs == own);
    }
    for permission in SecretPermission::ALL {
        allow(world, &tester, &[], &[permission.as_str()]);
        let own = format!("secrets/{permission}");
        stocked.check(&own, &token, |needs| needs == own);
    }
    allow(world, &tester, &["all"], &["all"]);
    stocked.check("all", &token, |_| true);
}

#[test]
fn one_role_allows_what_it_is_published_to_allow() {
    const KEYS: &[&str] = &["keys/"];
    const SECRETS: &[&str] = &["secrets/"];
    const CRYPTO_USER: &[&str] = &[
        "keys/get",
        "keys/list",
        "keys/update",
        "keys/backup",
        "keys/encrypt",
        "keys/decrypt",
        "keys/wrapKey",
        "keys/unwrapKey",
        "keys/sign",
        "keys/verify",
    ];
    // What begins with one of these is allowed.
    let table: &[(&str, &[&str])] = &[
        ("Key Vault Administrator", &["keys/", "secrets/"]),
        ("Key Vault Crypto Officer", KEYS),
        ("Key Vault Crypto User", CRYPTO_USER),
        (
            "Key Vault Crypto Service Encryption User",
            &["keys/get", "keys/list", "keys/wrapKey", "keys/unwrapKey"],
        ),
        ("Key Vault Secrets Officer", SECRETS),
        ("Key Vault Secrets User", &["secrets/get", "secrets/list"]),
        ("Key Vault Reader", &["keys/get", "keys/list", "secrets/list"]),
        (
            "Key Vault Backup Reader",
            &["keys/get", "keys/list", "keys/backup", "secrets/get", "secrets/list", "secrets/backup"],
        ),
        ("Key Vault Contributor", &[]),
        ("Owner", &[]),
        ("Contributor", &[]),
        ("Reader", &[]),
        ("User Access Administrator", &[]),
        ("Backup Contributor", &[]),
        ("Backup Operator", &[]),
        ("Backup Reader", &[]),
        ("Virtual Machine Contributor", &[]),
    ];
    for role in cofre_arm::roles::BUILT_IN {
        assert!(table.iter().any(|(name, _)| *name == role.name), "{} is not in the table", role.name);
    }
    let stocked = Stocked::new();
    let world = &stocked.world;
    let tester = world.client("tester");
    let token = world.vault_token(&tester);
    // Policies that allow everything, which the role-based model does not look at.
    allow(world, &tester, &["all"], &["all"]);
    let arm = world.arm_token(&world.operator);
    let body = json!({"properties": {"enableRbacAuthorization": true}});
    world.arm("PATCH", &vault_id("kv1")).token(&arm).json(&body).send().expect(200);
    world.assign(&world.operator, "Key Vault Administrator", &vault_id("kv1"));
    stocked.check("no role", &token, |_| false);
    let scopes = [vault_id("kv1"), group_id("DEFAULT"), group_id("")];
    for (index, (role, allowed)) in table.iter().enumerate() {
        // The scopes take turns: vault, group, subscription.
        let scope = scopes[index % scopes.len()].trim_end_matches("/resourceGroups/");
        let assignment = world.assign(&tester, role, scope);
        stocked.check(role, &token, |needs| allowed.iter().any(|start| needs.starts_with(start)));
        world.directory.unassign(&actor(), &assignment).unwrap().unwrap();
    }
    world.assign(&tester, "Key Vault Administrator", &vault_id("kv2"));
    world.assign(&tester, "Key Vault Administrator", &group_id("other"));
    stocked.check("a role elsewhere", &token, |_| false);
}
