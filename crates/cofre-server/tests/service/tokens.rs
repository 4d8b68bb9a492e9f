//! Tokens that this service did not issue, or not for this.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use cofre_server::{
    addresses::MANAGEMENT_AUDIENCE,
    identity::{Identity, TokenKey, Tokens},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::support::{
    Client, SUBSCRIPTION, TENANT, VAULT_AUDIENCE, World,
    assertions::{Certificate, Issuer, base64url},
};

const GRAPH_AUDIENCE: &str = "https://localhost:8443/msgraph";

fn identity(client: &Client, audience: &str) -> Identity {
    Identity {
        object_id: client.object_id.clone(),
        application_id: client.application_id.clone(),
        name: "operator".into(),
        credential: client.credential.clone(),
        audience: audience.into(),
        expires: 0,
    }
}

/// Every place that wants a token, with the audience it wants: the status it answers one with.
fn statuses(world: &World, token: &str) -> [u16; 3] {
    let subscription = format!("/subscriptions/{SUBSCRIPTION}");
    [
        world.arm("GET", &subscription).token(token).send().status,
        world.vault("GET", "/secrets").token(token).send().status,
        world.arm("GET", "/msgraph/v1.0/servicePrincipals").token(token).send().status,
    ]
}

#[test]
fn a_token_is_for_one_service() {
    let world = World::new();
    world.open_vault(&json!({}));
    for (audience, expected) in [
        (MANAGEMENT_AUDIENCE.trim_end_matches('/'), [200, 401, 401]),
        (VAULT_AUDIENCE, [401, 200, 401]),
        (GRAPH_AUDIENCE, [401, 401, 200]),
    ] {
        let token = world.token_for(&world.operator, audience);
        // Twice: what is remembered as verified is judged anew.
        for _ in 0..2 {
            assert_eq!(statuses(&world, &token), expected, "{audience}");
        }
    }
    let vault = world.vault("GET", "/secrets").send().refused(401, "Unauthorized");
    let challenge = format!(
        "Bearer authorization=\"https://localhost:8443/{TENANT}\", resource=\"https://vault.localhost:8443\""
    );
    assert_eq!(vault.challenge, Some(challenge));
}

#[test]
fn tokens_that_were_not_issued_here_are_refused() {
    let world = World::new();
    world.open_vault(&json!({}));
    let good = world.vault_token(&world.operator);
    let parts: Vec<_> = good.split('.').collect();
    let claims: Value = serde_json::from_slice(&Base64UrlUnpadded::decode_vec(parts[1]).unwrap()).unwrap();
    let text = |value: &Value| base64url(value.to_string().as_bytes());
    let public = serde_json::to_vec(&TokenKey::from_file(&world.token_key).unwrap().key_set()).unwrap();
    let hmac = |key: &[u8]| {
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(key)).unwrap()
    };
    let with = |field: &str, value: Value| {
        let mut changed = claims.clone();
        changed[field] = value;
        changed
    };
    let other_key = world.folder().join("other.key");
    TokenKey::create_file(&other_key).unwrap();
    let other = Tokens::new(TokenKey::from_file(&other_key).unwrap(), world.clock.clone());
    let issue = |tokens: &Tokens, tenant: &str, identity: &Identity| {
        tokens.issue("https://localhost:8443/adfs", tenant, identity).unwrap()
    };
    let own = identity(&world.operator, VAULT_AUDIENCE);
    let key_set: Value = serde_json::from_slice(&public).unwrap();
    let point = [key_set["keys"][0]["x"].as_str().unwrap(), key_set["keys"][0]["y"].as_str().unwrap()]
        .map(|part| Base64UrlUnpadded::decode_vec(part).unwrap())
        .concat();
    let mut flipped = Base64UrlUnpadded::decode_vec(parts[2]).unwrap();
    flipped[10] ^= 1;
    let none = |alg: &str| format!("{}.{}.", text(&json!({"alg": alg, "typ": "JWT"})), parts[1]);
    let escalated = text(&with("oid", json!("99999999-9999-4999-8999-999999999999")));
    let gone = Identity { credential: "88888888-8888-4888-8888-888888888888".into(), ..own.clone() };
    let nobody = Identity { object_id: "77777777-7777-4777-8777-777777777777".into(), ..own.clone() };
    let bad = [
        ("a signature with a flipped bit", format!("{}.{}.{}", parts[0], parts[1], base64url(&flipped))),
        ("no signature", format!("{}.{}.", parts[0], parts[1])),
        ("two parts", format!("{}.{}", parts[0], parts[1])),
        ("other claims under a signature", format!("{}.{escalated}.{}", parts[0], parts[2])),
        (
            "a longer life under a signature",
            format!("{}.{}.{}", parts[0], text(&with("exp", json!(1_000_000_000_000_000_i64))), parts[2]),
        ),
        ("alg none", none("none")),
        ("alg None", none("None")),
        ("alg none with the signature", format!("{}{}", none("none"), parts[2])),
        ("HS256 with the public key as its JSON", hmac(&public)),
        ("HS256 with the public point", hmac(&point)),
        ("HS256 with the uncompressed point", hmac(&[&[4], point.as_slice()].concat())),
        ("HS256 with an empty secret", hmac(b"")),
        ("another key", issue(&other, TENANT, &own)),
        ("another tenant", issue(&world.forger(), "99999999-9999-4999-8999-999999999999", &own)),
        ("another issuer's token", Issuer::new().sign(&claims)),
        ("a client assertion", Certificate::new().sign(&claims)),
        ("a credential that is not there", issue(&world.forger(), TENANT, &gone)),
        ("a principal that is not there", issue(&world.forger(), TENANT, &nobody)),
        ("cut in the middle", good[..good.len() / 2].to_owned()),
        ("cut at the end", good[..good.len() - 4].to_owned()),
        ("something behind", format!("{good}AAAA")),
        ("a fourth part", format!("{good}.AAAA")),
        ("9 KiB", format!("{good}{}", "A".repeat(9 << 10))),
        ("9 KiB of nothing", "A".repeat(9 << 10)),
        ("garbage", "x.y.z".to_owned()),
        ("dots", "..".to_owned()),
        ("nothing", String::new()),
        ("the secret itself", world.operator.secret.clone()),
    ];
    for (what, token) in &bad {
        for reply in [
            world.vault("GET", "/secrets").token(token).send(),
            world.vault("PUT", "/secrets/x").token(token).json(&json!({"value": "x"})).send(),
        ] {
            let reply = reply.refused(401, "Unauthorized");
            assert!(reply.challenge.is_some(), "{what}");
            assert!(token.len() < 8 || !reply.json.to_string().contains(token), "{what} is in {reply:?}");
        }
    }
    assert_eq!(issue(&world.forger(), TENANT, &own).split('.').count(), 3);
    world.vault("GET", "/secrets").token(&issue(&world.forger(), TENANT, &own)).send().expect(200);
    world.vault("GET", "/secrets").token(&good).send().expect(200);
}

#[test]
fn other_ways_to_bring_a_token_are_none() {
    let world = World::new();
    world.open_vault(&json!({}));
    let good = world.vault_token(&world.operator);
    for header in
        [format!("Basic {good}"), format!("bearer{good}"), good.clone(), "Bearer".into(), "Bearer ".into()]
    {
        world.vault("GET", "/secrets").header("authorization", &header).send().refused(401, "Unauthorized");
    }
    let query = format!("/secrets?access_token={good}");
    world.vault("GET", &query).send().refused(401, "Unauthorized");
    let two = world.vault("GET", "/secrets").token(&good).token(&good).send();
    assert_eq!(two.status, 400, "{two:?}");
    world.vault("GET", "/secrets").header("authorization", &format!("bearer {good}")).send().expect(200);
}

#[test]
fn a_token_is_not_used_before_its_time() {
    let world = World::new();
    let issue = |ahead: i64| {
        world.clock.advance(ahead);
        let token = world.arm_token(&world.operator);
        world.clock.advance(-ahead);
        token
    };
    let status = |token: &str| world.arm("GET", "/subscriptions").token(token).send().status;
    assert_eq!(status(&issue(60)), 200, "clocks may be a minute apart");
    assert_eq!(status(&issue(61)), 401);
}
