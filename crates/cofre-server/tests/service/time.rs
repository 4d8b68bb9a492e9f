//! What time does: deletion that becomes final, periods of keys and secrets, credentials and tokens that end.

use cofre_keyvault::{Caller, Clock as _};
use cofre_server::directory::Credential;
use serde_json::{Value, json};

use crate::support::{HOST, SUBSCRIPTION, World, actor, assertions::base64url, vault_id};

const DAY: i64 = 86_400;

fn deleted_vault(name: &str) -> String {
    format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.KeyVault/locations/local/deletedVaults/{name}")
}

fn purge_due(world: &World) -> usize {
    world.key_vaults.purge_due(&Caller { name: "cofre".into(), ..Caller::default() }).unwrap()
}

#[test]
fn what_is_deleted_can_be_recovered_for_as_long_as_the_vault_says() {
    for days in [7, 90] {
        let world = World::new();
        let retention = json!({"softDeleteRetentionInDays": days});
        // Tokens live an hour: a new one each time.
        world.open_vault(&retention);
        let send = |method: &str, target: &str, body: &Value| {
            let token = world.vault_token(&world.operator);
            world.vault(method, target).token(&token).json(body).send()
        };
        let now = world.clock.now().as_second();
        for name in ["early", "late"] {
            send("PUT", &format!("/secrets/{name}"), &json!({"value": name})).expect(200);
            let gone = send("DELETE", &format!("/secrets/{name}"), &Value::Null).expect(200);
            assert_eq!(gone["deletedDate"], json!(now));
            assert_eq!(gone["scheduledPurgeDate"], json!(now + days * DAY));
            assert_eq!(gone["attributes"]["recoverableDays"], json!(days));
        }
        send("GET", "/secrets/late", &Value::Null).refused(404, "ObjectNotFound");
        send("PUT", "/secrets/late", &json!({"value": "x"})).refused(409, "Conflict");

        world.clock.advance(days * DAY - 1);
        assert_eq!(purge_due(&world), 0);
        send("POST", "/deletedsecrets/early/recover", &Value::Null).expect(200);
        assert_eq!(send("GET", "/secrets/early", &Value::Null).expect(200)["value"], json!("early"));
        send("GET", "/deletedsecrets/late", &Value::Null).expect(200);

        world.clock.advance(1);
        for (method, target) in [
            ("GET", "/deletedsecrets/late"),
            ("POST", "/deletedsecrets/late/recover"),
            ("DELETE", "/deletedsecrets/late"),
        ] {
            send(method, target, &Value::Null).refused(404, "ObjectNotFound");
        }
        assert_eq!(send("GET", "/deletedsecrets", &Value::Null).expect(200)["value"], json!([]));
        assert_eq!((purge_due(&world), purge_due(&world)), (1, 0));
        send("PUT", "/secrets/late", &json!({"value": "new"})).expect(200);
        let versions = send("GET", "/secrets/late/versions", &Value::Null).expect(200);
        assert_eq!(versions["value"].as_array().unwrap().len(), 1, "nothing of the old one is left");
    }
}

#[test]
fn deleted_vaults_come_back_or_go_in_time() {
    for (days, protected) in [(7, false), (90, true)] {
        let world = World::new();
        world.open_vault(&json!({"softDeleteRetentionInDays": days, "enablePurgeProtection": protected}));
        let arm = |method: &str, target: &str, body: &Value| {
            let token = world.arm_token(&world.operator);
            let request = world.arm(method, target).token(&token);
            if body.is_null() { request.send() } else { request.json(body).send() }
        };
        let look = || {
            let token = world.vault_token(&world.operator);
            world.vault("GET", "/secrets/s").token(&token).send()
        };
        let token = world.vault_token(&world.operator);
        world.vault("PUT", "/secrets/s").token(&token).json(&json!({"value": "x"})).send().expect(200);
        arm("DELETE", &vault_id("kv1"), &Value::Null).expect(200);
        look().refused(404, "VaultNotFound");
        arm("GET", &vault_id("kv1"), &Value::Null).refused(404, "ResourceNotFound");
        let recover = json!({"location": "local", "properties": {"createMode": "recover"}});
        let again = json!({"location": "local", "properties": {"tenantId": crate::support::TENANT}});
        arm("PUT", &vault_id("kv1"), &again).refused(409, "Conflict");

        world.clock.advance(days * DAY - 1);
        let shown = arm("GET", &deleted_vault("kv1"), &Value::Null).expect(200);
        assert_eq!(shown["properties"]["vaultId"], json!(vault_id("kv1")));
        arm("PUT", &vault_id("kv1"), &recover).expect(200);
        assert_eq!(look().expect(200)["value"], json!("x"));

        arm("DELETE", &vault_id("kv1"), &Value::Null).expect(200);
        if protected {
            arm("POST", &format!("{}/purge", deleted_vault("kv1")), &Value::Null).refused(403, "Forbidden");
        }
        world.clock.advance_days(days);
        arm("PUT", &vault_id("kv1"), &recover).refused(404, "ResourceNotFound");
        arm("GET", &deleted_vault("kv1"), &Value::Null).refused(404, "ResourceNotFound");
        assert_eq!((purge_due(&world), purge_due(&world)), (1, 0));
        arm("PUT", &vault_id("kv1"), &again).expect(200);
        look().refused(403, "Forbidden");
    }
}

/// Outside its period a key makes nothing new, and opens what it once sealed; the period of a secret is for its readers
/// to look at.
#[test]
fn periods_of_keys_and_secrets() {
    let world = World::new();
    world.open_vault(&json!({}));
    let send = |method: &str, target: &str, body: &Value| {
        let token = world.vault_token(&world.operator);
        world.vault(method, target).token(&token).json(body).send()
    };
    let now = world.clock.now().as_second();
    let period = json!({"nbf": now + 100, "exp": now + 200});
    let made =
        send("POST", "/keys/k/create", &json!({"kty": "RSA", "attributes": period.clone()})).expect(200);
    assert_eq!((&made["attributes"]["nbf"], &made["attributes"]["exp"]), (&period["nbf"], &period["exp"]));
    send("PUT", "/secrets/s", &json!({"value": "x", "attributes": period})).expect(200);
    let value = json!({"alg": "RSA-OAEP", "value": base64url(b"disk key")});
    let digest = json!({"alg": "RS256", "value": base64url(&[1; 32])});
    let makes = |inner: &str| {
        for (operation, body) in [("wrapkey", &value), ("encrypt", &value), ("sign", &digest)] {
            let reply = send("POST", &format!("/keys/k/{operation}"), body);
            if inner.is_empty() {
                reply.expect(200);
            } else {
                assert_eq!(reply.refused(403, "Forbidden").inner(), inner, "{operation}");
            }
        }
    };
    let secret_is_read =
        || assert_eq!(send("GET", "/secrets/s", &Value::Null).expect(200)["value"], json!("x"));
    makes("KeyNotYetValid");
    secret_is_read();
    world.clock.advance(99);
    makes("KeyNotYetValid");
    world.clock.advance(1);
    makes("");
    let sealed = send("POST", "/keys/k/wrapkey", &value).expect(200)["value"].clone();
    let signature = send("POST", "/keys/k/sign", &digest).expect(200)["value"].clone();
    world.clock.advance(99);
    makes("");
    world.clock.advance(1);
    makes("KeyExpired");
    secret_is_read();
    let sealed = json!({"alg": "RSA-OAEP", "value": sealed});
    for operation in ["unwrapkey", "decrypt"] {
        let opened = send("POST", &format!("/keys/k/{operation}"), &sealed).expect(200);
        assert_eq!(opened["value"], json!(base64url(b"disk key")), "{operation}");
    }
    let verify = json!({"alg": "RS256", "digest": base64url(&[1; 32]), "value": signature});
    assert_eq!(send("POST", "/keys/k/verify", &verify).expect(200)["value"], json!(true));
    // A disabled one does nothing at all, nor does a secret.
    let off = json!({"attributes": {"enabled": false, "exp": now + 10 * DAY}});
    send("PATCH", "/keys/k", &off).expect(200);
    send("PATCH", "/secrets/s", &json!({"attributes": {"enabled": false}})).expect(200);
    makes("KeyOrSecretDisabled");
    assert_eq!(
        send("POST", "/keys/k/unwrapkey", &sealed).refused(403, "Forbidden").inner(),
        "KeyOrSecretDisabled"
    );
    send("GET", "/secrets/s", &Value::Null).refused(403, "Forbidden");
    send("PATCH", "/keys/k", &json!({"attributes": {"enabled": true}})).expect(200);
    makes("");
}

#[test]
fn tokens_and_credentials_end() {
    let world = World::new();
    let token = world.arm_token(&world.operator);
    let look = || world.arm("GET", "/subscriptions").token(&token).send();
    look().expect(200);
    world.clock.advance(3599);
    look().expect(200);
    world.clock.advance(1);
    let refused = look().refused(401, "AuthenticationFailed");
    assert!(refused.message().contains("expired") && refused.challenge.is_some(), "{refused:?}");

    let tester = world.client("tester");
    let ends = world.clock.now() + jiff::SignedDuration::from_secs(600);
    let (credential, secret) = Credential::secret(world.clock.now(), Some(ends)).unwrap();
    world.directory.add_credential(&actor(), &tester.object_id, credential).unwrap();
    let login = || {
        world.arm("POST", crate::support::TOKEN_PATH).host(HOST).form(&[
            ("grant_type", "client_credentials"),
            ("client_id", &tester.application_id),
            ("client_secret", &secret.secret),
            ("scope", "https://management.cofre.local//.default"),
        ])
    };
    world.clock.advance(599);
    let body = login().send().expect(200);
    let token = body["access_token"].as_str().unwrap().to_owned();
    let look = || world.arm("GET", "/subscriptions").token(&token).send();
    look().expect(200);
    world.clock.advance(1);
    login().send().refused(401, "invalid_client");
    look().refused(401, "AuthenticationFailed");
    world.arm_token(&tester);
}
