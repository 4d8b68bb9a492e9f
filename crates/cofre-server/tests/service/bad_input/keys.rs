//! Keys that cannot be, and uses that no key is for.

use serde_json::{Value, json};

use super::Open;
use crate::support::assertions::{base64url, json_web_key};

#[test]
fn keys_that_cannot_be_made() {
    let open = Open::new();
    let bodies = [
        ("kty", r#"{"kty": "EC"}"#),
        ("kty", r#"{"kty": "oct"}"#),
        ("kty", r#"{"kty": "RSA-HSM"}"#),
        ("kty", r#"{"kty": "EC-HSM"}"#),
        ("kty", r#"{"kty": "rsa"}"#),
        ("kty", r#"{"kty": ""}"#),
        ("kty", r#"{"kty": null}"#),
        ("kty", r#"{"kty": 1}"#),
        ("no kty", r"{}"),
        ("size", r#"{"kty": "RSA", "key_size": 512}"#),
        ("size", r#"{"kty": "RSA", "key_size": 1024}"#),
        ("size", r#"{"kty": "RSA", "key_size": 2047}"#),
        ("size", r#"{"kty": "RSA", "key_size": 2049}"#),
        ("size", r#"{"kty": "RSA", "key_size": 8192}"#),
        ("size", r#"{"kty": "RSA", "key_size": 4294967295}"#),
        ("size", r#"{"kty": "RSA", "key_size": 4294969344}"#),
        ("size", r#"{"kty": "RSA", "key_size": 0}"#),
        ("size", r#"{"kty": "RSA", "key_size": -1}"#),
        ("size", r#"{"kty": "RSA", "key_size": 2048.0}"#),
        ("size", r#"{"kty": "RSA", "key_size": 1e99}"#),
        ("size", r#"{"kty": "RSA", "key_size": "2048"}"#),
        ("exponent", r#"{"kty": "RSA", "public_exponent": 3}"#),
        ("exponent", r#"{"kty": "RSA", "public_exponent": 65536}"#),
        ("exponent", r#"{"kty": "RSA", "public_exponent": -1}"#),
        ("curve", r#"{"kty": "RSA", "crv": "P-256"}"#),
        ("release policy", r#"{"kty": "RSA", "release_policy": {}}"#),
        ("operations", r#"{"kty": "RSA", "key_ops": ["wrapKey", "fly"]}"#),
        ("operations", r#"{"kty": "RSA", "key_ops": "wrapKey"}"#),
        ("operations", r#"{"kty": "RSA", "key_ops": [null]}"#),
        ("exportable", r#"{"kty": "RSA", "attributes": {"exportable": true}}"#),
        ("nbf", r#"{"kty": "RSA", "attributes": {"nbf": -1}}"#),
        ("nbf", r#"{"kty": "RSA", "attributes": {"nbf": 9223372036854775807}}"#),
        ("nbf", r#"{"kty": "RSA", "attributes": {"nbf": 18446744073709551616}}"#),
        ("nbf", r#"{"kty": "RSA", "attributes": {"nbf": 1e30}}"#),
        ("nbf", r#"{"kty": "RSA", "attributes": {"nbf": "2026-01-01"}}"#),
        ("exp", r#"{"kty": "RSA", "attributes": {"exp": -9223372036854775808}}"#),
        ("exp", r#"{"kty": "RSA", "attributes": {"exp": 999999999999}}"#),
        ("period", r#"{"kty": "RSA", "attributes": {"nbf": 2000000000, "exp": 1999999999}}"#),
        ("period", r#"{"kty": "RSA", "attributes": {"nbf": 2000000000, "exp": 2000000000}}"#),
        ("tags", r#"{"kty": "RSA", "tags": {"a": 1}}"#),
        ("tags", r#"{"kty": "RSA", "tags": ["a"]}"#),
        ("tags", r#"{"kty": "RSA", "tags": {"": "x"}}"#),
        ("tags", r#"{"kty": "RSA", "tags": {"a\u0000b": "x"}}"#),
    ];
    for (what, body) in bodies {
        let reply = open.vault("POST", "/keys/new/create", body);
        assert_eq!((reply.status, reply.code()), (400, "BadParameter"), "{what}: {body}: {reply:?}");
    }
    open.vault("GET", "/keys/new", "").refused(404, "ObjectNotFound");
    // What is not known is passed over, as published clients send more than is read.
    let more = r#"{"kty": "RSA", "hsmPlatform": "2", "attributes": {"created": 1, "recoveryLevel": "x"}, "x": {"y": []}}"#;
    open.vault("POST", "/keys/new/create", more).expect(200);
}

#[test]
fn keys_that_cannot_be_imported() {
    use aws_lc_rs::rsa::KeySize;
    let open = Open::new();
    let (key, other) = (json_web_key(KeySize::Rsa2048), json_web_key(KeySize::Rsa2048));
    let with = |field: &str, value: Value| {
        let mut changed = key.clone();
        changed[field] = value;
        changed
    };
    let part = |bytes: Vec<u8>| json!(base64url(&bytes));
    let mut bad = vec![
        ("no parts", json!({"kty": "RSA"})),
        ("the public part alone", json!({"kty": "RSA", "n": key["n"], "e": key["e"]})),
        ("another type", with("kty", json!("EC"))),
        ("hardware", with("kty", json!("RSA-HSM"))),
        ("another modulus", with("n", other["n"].clone())),
        ("another exponent", with("e", json!("Aw"))),
        ("an even exponent", with("e", json!("AQAA"))),
        ("exponent one", with("e", json!("AQ"))),
        ("a huge exponent", with("e", part(vec![0xff; 256]))),
        ("another private exponent", with("d", other["d"].clone())),
        ("another prime", with("p", other["p"].clone())),
        ("a prime twice", with("q", key["p"].clone())),
        ("another coefficient", with("qi", other["qi"].clone())),
        ("zero", with("n", part(vec![0; 256]))),
        ("a small modulus", with("n", part(vec![0xff; 128]))),
        ("a modulus of 4097 bits", with("n", part([&[1], [0xff; 512].as_slice()].concat()))),
        ("a huge modulus", with("n", part(vec![0xff; 1 << 20]))),
        ("no base64url", with("d", json!("+/+/"))),
        ("odd base64url", with("d", json!("A"))),
        ("blanks", with("d", json!("AQ AB"))),
        ("a number", with("d", json!(65537))),
        ("an empty part", with("p", json!(""))),
        ("operations", with("key_ops", json!(["sign", "dance"]))),
    ];
    for field in ["n", "e", "d", "p", "q", "dp", "dq", "qi"] {
        bad.push((field, with(field, Value::Null)));
    }
    for (what, key) in bad {
        let reply = open.vault("PUT", "/keys/new", json!({"key": key}).to_string());
        assert_eq!((reply.status, reply.code()), (400, "BadParameter"), "{what}: {reply:?}");
        let private = key["d"].as_str().filter(|d| d.len() > 100);
        assert!(private.is_none_or(|d| !reply.json.to_string().contains(d)), "{what}: {reply:?}");
    }
    let hardware = json!({"key": key, "Hsm": true}).to_string();
    open.vault("PUT", "/keys/new", hardware).refused(400, "BadParameter");
    open.vault("GET", "/keys/new", "").refused(404, "ObjectNotFound");
    let good = open.vault("PUT", "/keys/new", json!({"key": key}).to_string()).expect(200);
    assert_eq!(good["key"]["n"], key["n"]);
    assert!(good["key"].get("d").is_none(), "{good}");
}

#[test]
fn algorithms_and_values_that_no_key_takes() {
    let open = Open::new();
    let use_key = |operation: &str, alg: &Value, value: &Value| {
        let body = match operation {
            "verify" => json!({"alg": alg, "digest": value, "value": value}),
            _ => json!({"alg": alg, "value": value}),
        };
        open.vault("POST", &format!("/keys/k/{operation}"), body.to_string())
    };
    let value = json!(base64url(&[1; 32]));
    let algorithms = [
        "RSA1_5",
        "A128KW",
        "A256KW",
        "A128CBC",
        "A256GCM",
        "none",
        "",
        "rsa-oaep",
        "RSA-OAEP-512",
        "ES256",
        "HS256",
        "RS1",
        "RS256 ",
        "RSA-OAEP\0",
        "’",
        "CKM_RSA_AES_KEY_WRAP",
    ];
    for operation in ["wrapkey", "unwrapkey", "encrypt", "decrypt", "sign", "verify"] {
        for alg in algorithms.map(Value::from).into_iter().chain([json!(null), json!(1), json!(["RS256"])]) {
            let reply = use_key(operation, &alg, &value);
            assert_eq!((reply.status, reply.code()), (400, "BadParameter"), "{operation} {alg}: {reply:?}");
        }
    }
    // Algorithms of the other kind of operation.
    for (operation, alg) in
        [("wrapkey", "RS256"), ("decrypt", "PS512"), ("sign", "RSA-OAEP"), ("verify", "RSA-OAEP-256")]
    {
        use_key(operation, &json!(alg), &value).refused(400, "BadParameter");
    }
    let values = [
        json!("+/+/"),
        json!("A"),
        json!("AQ AB"),
        json!("AQAB\n"),
        json!("é"),
        json!("AR"),
        json!(null),
        json!(1),
        json!([1, 2]),
        json!("=AQAB"),
    ];
    for operation in ["wrapkey", "unwrapkey", "encrypt", "decrypt", "sign", "verify"] {
        let alg = if matches!(operation, "sign" | "verify") { "RS256" } else { "RSA-OAEP" };
        for value in &values {
            let reply = use_key(operation, &json!(alg), value);
            assert_eq!((reply.status, reply.code()), (400, "BadParameter"), "{operation} {value}: {reply:?}");
        }
    }
    for (operation, alg, length) in [
        ("wrapkey", "RSA-OAEP", 215),
        ("encrypt", "RSA-OAEP-256", 191),
        ("wrapkey", "RSA-OAEP", 1 << 20),
        ("unwrapkey", "RSA-OAEP", 0),
        ("unwrapkey", "RSA-OAEP", 255),
        ("unwrapkey", "RSA-OAEP", 256),
        ("decrypt", "RSA-OAEP-256", 257),
        ("decrypt", "RSA-OAEP-256", 1 << 20),
        ("sign", "RS256", 31),
        ("sign", "RS384", 32),
        ("sign", "PS512", 0),
        ("verify", "PS256", 33),
    ] {
        let reply = use_key(operation, &json!(alg), &json!(base64url(&vec![7; length])));
        assert_eq!(
            (reply.status, reply.code()),
            (400, "BadParameter"),
            "{operation} {alg} {length}: {reply:?}"
        );
    }
    let odd = json!({"alg": "RS256", "digest": base64url(&[1; 32]), "value": ""}).to_string();
    assert_eq!(open.vault("POST", "/keys/k/verify", odd).expect(200)["value"], json!(false));
    for operation in ["fly", "wrapkey2", "release"] {
        open.vault("POST", &format!("/keys/k/{operation}"), "{}").refused(404, "ResourceNotFound");
    }
    // Clients know this one, and are told what to do instead.
    open.vault("POST", "/keys/k/rotate", "{}").refused(400, "BadParameter");
}
