//! What nobody should send: each is refused in the shape of its plane, and nothing is done. That no answer is of the
//! service's own fault is looked at with every request of these tests.

use serde_json::{Value, json};

use crate::support::{
    Reply, SUBSCRIPTION, TENANT, World,
    assertions::{base64url, json_web_key},
    group_id, policy,
    request::escaped,
    vault_id,
};

/// A vault with the key `k` and the secret `s`, and tokens of the operator.
struct Open {
    world: World,
    vault_token: String,
    arm_token: String,
}

impl Open {
    fn new() -> Self {
        let world = World::new();
        let vault_token = world.open_vault(&json!({}));
        let arm_token = world.arm_token(&world.operator);
        let open = Self { world, vault_token, arm_token };
        open.vault("POST", "/keys/k/create", r#"{"kty": "RSA"}"#).expect(200);
        open.vault("PUT", "/secrets/s", r#"{"value": "x"}"#).expect(200);
        open
    }

    fn vault(&self, method: &str, target: &str, body: impl Into<Vec<u8>>) -> Reply {
        self.world.vault(method, target).token(&self.vault_token).body(body).send()
    }

    fn arm(&self, method: &str, target: &str, body: impl Into<Vec<u8>>) -> Reply {
        self.world.arm(method, target).token(&self.arm_token).body(body).send()
    }
}

/// Bodies that are of no use where an object is wanted.
fn no_objects() -> Vec<(&'static str, Vec<u8>)> {
    let deep = |open: &str, close: &str, inner: &str| {
        format!("{{\"value\":{}{inner}{}}}", open.repeat(5000), close.repeat(5000)).into_bytes()
    };
    vec![
        ("empty", Vec::new()),
        ("blank", b"  \n".to_vec()),
        ("cut", b"{\"value\": \"x".to_vec()),
        ("something behind", b"{} x".to_vec()),
        ("null", b"null".to_vec()),
        ("a list", b"[[[]]]".to_vec()),
        ("a number", b"1".to_vec()),
        ("a text", b"\"x\"".to_vec()),
        ("NUL", b"\0".to_vec()),
        ("no UTF-8", b"{\"value\": \"\xff\xfe\"}".to_vec()),
        ("half a surrogate", br#"{"value": "\ud800"}"#.to_vec()),
        ("UTF-16", b"\xff\xfe{\0}\0".to_vec()),
        ("single quotes", b"{'value': 'x'}".to_vec()),
        ("a form", b"value=x".to_vec()),
        ("deep lists", deep("[", "]", "1")),
        ("deep objects", deep("{\"a\":", "}", "1")),
        ("a bottomless list", b"[".repeat(100_000)),
        ("a huge number", b"{\"value\": 1e999999}".to_vec()),
    ]
}

#[test]
fn bodies_that_are_no_object() {
    let open = Open::new();
    for (what, body) in no_objects() {
        for (method, target) in [
            ("PUT", "/secrets/x"),
            ("POST", "/secrets/restore"),
            ("POST", "/keys/x/create"),
            ("PUT", "/keys/x"),
            ("POST", "/keys/restore"),
            ("POST", "/keys/k/wrapkey"),
            ("POST", "/keys/k/verify"),
        ] {
            let reply = open.vault(method, target, body.clone());
            assert_eq!(
                (reply.status, reply.code()),
                (400, "BadParameter"),
                "{what}: {method} {target}: {reply:?}"
            );
        }
        let vault = vault_id("kv1");
        for (method, target) in [
            ("PUT", vault.clone()),
            ("PUT", format!("{vault}/accessPolicies/add")),
            ("PUT", group_id("new")),
            ("PUT", format!("{vault}/providers/Microsoft.Authorization/roleAssignments/{TENANT}")),
            (
                "POST",
                format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.KeyVault/checkNameAvailability"),
            ),
        ] {
            let reply = open.arm(method, &target, body.clone());
            assert_eq!(
                (reply.status, reply.code()),
                (400, "InvalidParameter"),
                "{what}: {method} {target}: {reply:?}"
            );
        }
    }
    assert_eq!(open.vault("GET", "/secrets", "").expect(200)["value"].as_array().unwrap().len(), 1);
    assert_eq!(open.vault("GET", "/keys", "").expect(200)["value"].as_array().unwrap().len(), 1);
}

#[test]
fn a_secret_that_cannot_be_read_is_not_in_the_answer() {
    let open = Open::new();
    for body in [
        r#"{"value": {"hunter2": "hunter2"}}"#,
        r#"{"value": "hunter2", "attributes": "hunter2"}"#,
        r#"{"value": "hunter2", "tags": {"hunter2": 1}}"#,
        r#"{"value": "hunter2", "attributes": {"enabled": "hunter2"}}"#,
        r#"{"value": "hunter2" hunter2}"#,
        r#"{"hunter2": "hunter2"}"#,
    ] {
        let reply = open.vault("PUT", "/secrets/x", body).refused(400, "BadParameter");
        assert!(!reply.json.to_string().contains("hunter2"), "{reply:?}");
    }
    let wrong = json!({"alg": "RSA-OAEP", "value": "hunter2 hunter2"}).to_string();
    let reply = open.vault("POST", "/keys/k/wrapkey", wrong).refused(400, "BadParameter");
    assert!(!reply.json.to_string().contains("hunter2"), "{reply:?}");
}

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
    for operation in ["fly", "wrapkey2", "release", "rotate"] {
        open.vault("POST", &format!("/keys/k/{operation}"), "{}").refused(404, "ResourceNotFound");
    }
}

#[test]
fn secrets_that_cannot_be_kept() {
    let open = Open::new();
    let tags = |count: usize| -> Value { (0..count).map(|n| (format!("t{n}"), json!("x"))).collect() };
    for (what, body) in [
        ("no value", json!({"contentType": "x"})),
        ("null", json!({"value": null})),
        ("a number", json!({"value": 1})),
        ("25 KiB and a byte", json!({"value": "x".repeat(25 * 1024 + 1)})),
        ("26 KiB", json!({"value": "x".repeat(26 << 10)})),
        ("3 MiB", json!({"value": "x".repeat(3 << 20)})),
        ("26 KiB in two bytes each", json!({"value": "é".repeat(13 << 10)})),
        ("16 tags", json!({"value": "x", "tags": tags(16)})),
        ("1000 tags", json!({"value": "x", "tags": tags(1000)})),
        ("a long tag", json!({"value": "x", "tags": {"a": "x".repeat(257)}})),
        ("a long name of a tag", json!({"value": "x", "tags": {"a".repeat(257): "x"}})),
        ("a long type", json!({"value": "x", "contentType": "x".repeat(256)})),
        ("a type with a line", json!({"value": "x", "contentType": "a\r\nb"})),
        ("a type that is none", json!({"value": "x", "contentType": 1})),
        ("a negative time", json!({"value": "x", "attributes": {"exp": -5}})),
    ] {
        let reply = open.vault("PUT", "/secrets/new", body.to_string());
        assert_eq!((reply.status, reply.code()), (400, "BadParameter"), "{what}: {reply:?}");
    }
    for value in ["x".repeat(25 * 1024), "a\0b\u{feff}\u{202e}\r\n".to_owned(), String::new()] {
        open.vault("PUT", "/secrets/new", json!({"value": value, "tags": tags(15)}).to_string()).expect(200);
        assert_eq!(open.vault("GET", "/secrets/new", "").expect(200)["value"], json!(value));
    }
    for blob in ["", "AQAB", "AQ=", "A", "!", &base64url(&[0; 100]), &base64url(&vec![1; 2 << 20])] {
        for kind in ["keys", "secrets"] {
            let reply = open.vault("POST", &format!("/{kind}/restore"), json!({"value": blob}).to_string());
            reply.refused(400, "BadParameter");
        }
    }
}

#[test]
fn names_and_versions_that_nothing_has() {
    let open = Open::new();
    let names = [
        "a.b",
        "a_b",
        "a b",
        "ä",
        "😀",
        "a%2520",
        "a:b",
        "a;b",
        "a'b",
        "a\"b",
        "<b>",
        "{x}",
        "$s",
        "a*",
        "%25",
        "a,b",
        "~",
        "a|b",
        "ﬁ",
        "\u{212a}",
        &"a".repeat(128),
        &"ä".repeat(200),
    ];
    for name in names {
        let name = escaped(name);
        for (method, target, body) in [
            ("GET", format!("/secrets/{name}"), ""),
            ("PUT", format!("/secrets/{name}"), r#"{"value": "x"}"#),
            ("DELETE", format!("/secrets/{name}"), ""),
            ("PATCH", format!("/secrets/{name}"), "{}"),
            ("POST", format!("/secrets/{name}/backup"), ""),
            ("GET", format!("/secrets/{name}/versions"), ""),
            ("GET", format!("/deletedsecrets/{name}"), ""),
            ("DELETE", format!("/deletedsecrets/{name}"), ""),
            ("POST", format!("/deletedsecrets/{name}/recover"), ""),
            ("GET", format!("/keys/{name}"), ""),
            ("POST", format!("/keys/{name}/create"), r#"{"kty": "RSA"}"#),
            ("GET", format!("/secrets/s/{name}"), ""),
            ("PATCH", format!("/secrets/s/{name}"), "{}"),
            ("POST", format!("/keys/k/{name}/wrapkey"), r#"{"alg": "RSA-OAEP", "value": ""}"#),
        ] {
            let reply = open.vault(method, &target, body);
            assert_eq!((reply.status, reply.code()), (400, "BadParameter"), "{method} {target}: {reply:?}");
        }
    }
    open.vault("GET", &format!("/secrets/s/{}", "0".repeat(32)), "").refused(404, "ObjectNotFound");
    open.vault("PUT", &format!("/secrets/{}", "a".repeat(127)), r#"{"value": "x"}"#).expect(200);
    for host in [
        "kv2.vault.localhost:8443",
        "a.b.vault.localhost:8443",
        "-.vault.localhost",
        "..vault.localhost",
        "x_y.vault.localhost",
        "a.vault.localhost",
        &format!("{}.vault.localhost", "a".repeat(200)),
    ] {
        let reply = open.world.vault("GET", "/secrets").host(host).token(&open.vault_token).send();
        let codes = [(404, "VaultNotFound"), (400, "BadParameter")];
        assert!(codes.contains(&(reply.status, reply.code())), "{host}: {reply:?}");
    }
}

#[test]
fn paths_that_lead_elsewhere() {
    let open = Open::new();
    for path in [
        "/secrets/..",
        "/secrets/../keys",
        "/./secrets",
        "/secrets/%2e%2e/keys",
        "/secrets/%2E%2e",
        "/secrets/a%2fb",
        "/secrets/a%2Fb",
        "/secrets/a%5cb",
        "/secrets/a\\b",
        "/secrets/%00",
        "/secrets/s%00",
        "/secrets/%0d%0a",
        "/secrets/%7f",
        "/secrets/%c2%80",
        "/secrets/%ff",
        "/secrets/%",
        "/secrets/%4",
        "/secrets/%zz",
        "/secrets/%c0%ae",
        "/secrets?x=%ff",
        "/secrets?%=1",
    ] {
        for reply in [open.vault("GET", path, ""), open.arm("GET", path, "")] {
            assert_eq!((reply.status, reply.code()), (400, "InvalidParameter"), "{path}: {reply:?}");
        }
    }
    let long = format!("/secrets/{}", "a".repeat(9000));
    open.vault("GET", &long, "").refused(400, "InvalidParameter");
    let many = format!("/secrets?{}", "a=1&".repeat(65));
    open.vault("GET", &many, "").refused(400, "InvalidParameter");
    // Another spelling of what is there.
    for path in [
        "//secrets//s//",
        "/SECRETS/S",
        "/secrets/%73",
        "/%73ecrets/s?api-version",
        "/secrets/s/?&&=&api-version=%F0%9F%98%80",
    ] {
        assert_eq!(open.vault("GET", path, "").expect(200)["value"], json!("x"), "{path}");
    }
    for path in [
        "/",
        "",
        "/x",
        "/%E2%84%AAeys",
        "/secrets/s/v/w/x",
        "/keys/k/v/wrapkey/x",
        "/certificates",
        "/storage/x",
        "/subscriptions",
    ] {
        let reply = open.vault("GET", path, "");
        assert!(matches!(reply.status, 400 | 404 | 405), "{path}: {reply:?}");
    }
    for method in ["HEAD", "PUT", "POST", "PATCH", "DELETE"] {
        for path in ["/keys", "/secrets", "/deletedkeys", "/deletedsecrets"] {
            let reply = open.vault(method, path, "{}");
            assert_eq!((reply.status, reply.code()), (405, "MethodNotAllowed"), "{method} {path}: {reply:?}");
        }
    }
}

#[test]
fn pages_that_no_list_has() {
    let open = Open::new();
    for value in ["0", "26", "-1", "x", "1.5", "1e1", "+1", "%201", "18446744073709551617", "1%00", "٣"] {
        for list in ["/keys", "/secrets", "/keys/k/versions", "/deletedsecrets"] {
            let reply = open.vault("GET", &format!("{list}?maxresults={value}"), "");
            assert_eq!((reply.status, reply.code()), (400, "BadParameter"), "{list} {value}: {reply:?}");
        }
    }
    let tokens = ["!", "A", "AQ==", "_w", &base64url(b"a\0b"), &base64url(&[b'a'; 1025]), "%ff%fe"];
    for token in tokens {
        let reply = open.vault("GET", &format!("/secrets?$skiptoken={}", escaped(token)), "");
        assert_eq!((reply.status, reply.code()), (400, "BadParameter"), "{token}: {reply:?}");
        let vaults = format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.KeyVault/vaults");
        open.arm("GET", &format!("{vaults}?$skiptoken={}", escaped(token)), "")
            .refused(400, "InvalidParameter");
    }
    // A token that was made up leads to some place in this list, and to no other.
    for position in ["", "a", "s", "zzz", "../keys/k", "s/../../x", "😀", "\u{10ffff}", "vaults/kv1", "/"] {
        let token = escaped(&base64url(position.as_bytes()));
        let list = open.vault("GET", &format!("/secrets?$skiptoken={token}"), "").expect(200);
        let ids: Vec<_> =
            list["value"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect();
        assert!(ids.iter().all(|id| id.ends_with("/secrets/s")), "{position}: {ids:?}");
    }
    for api in
        ["", "?api-version=", "?api-version=1999-13-99", "?api-version=’", "?API-VERSION=7.4&api-version=0"]
    {
        open.vault("GET", &format!("/secrets{api}"), "").expect(200);
        open.arm("GET", &format!("/subscriptions{api}"), "").expect(200);
    }
}

#[test]
fn a_list_is_walked_to_its_end() {
    let open = Open::new();
    for n in 0..60 {
        open.vault("PUT", &format!("/secrets/n{n:02}"), r#"{"value": "x"}"#).expect(200);
    }
    for (first, pages) in
        [("/secrets?maxresults=25&api-version=7.4", 3), ("/secrets?maxresults=7", 9), ("/secrets", 3)]
    {
        let (mut target, mut names, mut count) = (first.to_owned(), Vec::new(), 0);
        loop {
            let page = open.vault("GET", &target, "").expect(200);
            names.extend(
                page["value"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()),
            );
            count += 1;
            let Some(next) = page["nextLink"].as_str() else { break };
            target = next.strip_prefix("https://kv1.vault.localhost:8443").unwrap().to_owned();
        }
        assert_eq!((names.len(), count), (61, pages), "{first}");
        assert!(names.is_sorted() && names.windows(2).all(|pair| pair[0] != pair[1]));
    }
}

#[test]
fn vaults_that_cannot_be_made() {
    let open = Open::new();
    let properties = |properties: Value| json!({"location": "local", "properties": properties});
    let with_policy = |policy: Value| properties(json!({"accessPolicies": [policy]}));
    let own = policy(&open.world.operator, &["get"], &[]);
    let with = |field: &str, value: Value| {
        let mut changed = own.clone();
        changed[field] = value;
        with_policy(changed)
    };
    let twice = properties(json!({"accessPolicies": [own, own]}));
    for (what, body) in [
        ("no location", json!({"properties": {}})),
        ("another location", json!({"location": "westeurope", "properties": {}})),
        ("a location that is none", json!({"location": 5, "properties": {}})),
        ("null", json!({"location": "local", "properties": null})),
        ("another tenant", properties(json!({"tenantId": SUBSCRIPTION}))),
        ("no soft delete", properties(json!({"enableSoftDelete": false}))),
        ("6 days", properties(json!({"softDeleteRetentionInDays": 6}))),
        ("91 days", properties(json!({"softDeleteRetentionInDays": 91}))),
        ("0 days", properties(json!({"softDeleteRetentionInDays": 0}))),
        ("-1 days", properties(json!({"softDeleteRetentionInDays": -1}))),
        ("263 days", properties(json!({"softDeleteRetentionInDays": 263}))),
        ("1e99 days", properties(json!({"softDeleteRetentionInDays": 1e99}))),
        ("another sku", properties(json!({"sku": {"name": "free"}}))),
        ("a sku without a name", properties(json!({"sku": {}}))),
        ("network rules", properties(json!({"networkAcls": {"defaultAction": "Deny"}}))),
        (
            "addresses",
            properties(json!({"networkAcls": {"defaultAction": "Allow", "ipRules": [{"value": "1.2.3.4"}]}})),
        ),
        ("private", properties(json!({"publicNetworkAccess": "disabled"}))),
        ("a mode", properties(json!({"createMode": "purge"}))),
        ("a policy of another tenant", with("tenantId", json!(SUBSCRIPTION))),
        ("a policy for nobody", with("objectId", json!(""))),
        ("a policy with a control character", with("objectId", json!("a\u{7}"))),
        ("a policy for an application", with("applicationId", json!(TENANT))),
        ("a permission", with("permissions", json!({"keys": ["fly"]}))),
        ("permissions that are no list", with("permissions", json!({"keys": "all"}))),
        ("two policies for one", twice),
        (
            "51 tags",
            json!({"location": "local", "tags": (0..51).map(|n| (n.to_string(), json!("x"))).collect::<Value>()}),
        ),
        ("a tag that is none", json!({"location": "local", "tags": {"a": {}}})),
    ] {
        let reply = open.arm("PUT", &vault_id("kv2"), body.to_string());
        assert_eq!((reply.status, reply.code()), (400, "InvalidParameter"), "{what}: {reply:?}");
    }
    for name in ["ab", "1abc", "abc-", "a--c", "a_c", "ä-b", &"a".repeat(25), "a.b", "%3Cx%3E"] {
        let body = properties(json!({})).to_string();
        open.arm("PUT", &vault_id(name), body).refused(400, "InvalidParameter");
        assert!(matches!(open.arm("GET", &vault_id(name), "").status, 400 | 404), "{name}");
    }
    open.arm("GET", &vault_id("kv2"), "").refused(404, "ResourceNotFound");
    let (policies, none) =
        (format!("{}/accessPolicies", vault_id("kv1")), json!({"properties": {"accessPolicies": []}}));
    for kind in ["set", "addd", "add%20"] {
        open.arm("PUT", &format!("{policies}/{kind}"), none.to_string()).refused(400, "InvalidParameter");
    }
    // All or nothing: the second policy is bad, and the first one is not set.
    let stranger = open.world.client("stranger");
    let half = json!({"properties": {"accessPolicies": [
        policy(&stranger, &["get"], &[]), policy(&stranger, &["fly"], &[]),
    ]}});
    open.arm("PUT", &format!("{policies}/add"), half.to_string()).refused(400, "InvalidParameter");
    assert!(!open.arm("GET", &vault_id("kv1"), "").expect(200).to_string().contains(&stranger.object_id));
}

#[test]
fn groups_roles_and_filters_that_cannot_be() {
    let open = Open::new();
    for name in ["a.", "a%20b", "a%25", "a%23b", "%F0%9F%98%80", &"a".repeat(91), "%3C%3E", "a%26b", "a'b"] {
        let reply = open.arm("PUT", &group_id(name), r#"{"location": "local"}"#);
        assert_eq!((reply.status, reply.code()), (400, "InvalidParameter"), "{name}: {reply:?}");
    }
    for body in [
        r"{}",
        r#"{"location": ""}"#,
        r#"{"location": "mars"}"#,
        r#"{"location": "local", "tags": {"a": null}}"#,
    ] {
        open.arm("PUT", &group_id("new"), body).refused(400, "InvalidParameter");
    }
    let tags: Value = (0..51).map(|n| (n.to_string(), json!("x"))).collect();
    open.arm("PUT", &group_id("new"), json!({"location": "local", "tags": tags}).to_string())
        .refused(400, "InvalidParameter");
    for wrong in ["", "\"0\"", "x", "\"999999999999999999999\""] {
        let request =
            open.world.arm("PUT", &group_id("default")).token(&open.arm_token).header("if-match", wrong);
        let reply = request.body(r#"{"location": "local"}"#).send();
        assert_eq!(reply.status, 412, "{wrong}: {reply:?}");
    }
    let assignments = |scope: &str| format!("{scope}/providers/Microsoft.Authorization/roleAssignments");
    let reader = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
    let who = &open.world.operator.object_id;
    let body = |role: &str, who: &str| {
        json!({"properties": {"roleDefinitionId": role, "principalId": who}}).to_string()
    };
    let at = |id: &str| format!("{}/{id}", assignments(&group_id("default")));
    for (target, body, status) in [
        (at("x"), body(reader, who), 400),
        (at("%00"), body(reader, who), 400),
        (at(TENANT), body("x", who), 400),
        (at(TENANT), body(TENANT, who), 400),
        (at(TENANT), body("", who), 400),
        (at(TENANT), body(reader, "x"), 400),
        (at(TENANT), body(reader, SUBSCRIPTION), 400),
        (
            at(TENANT),
            json!({"properties": {"roleDefinitionId": reader, "principalId": who, "condition": "x"}})
                .to_string(),
            400,
        ),
        (assignments(&format!("/subscriptions/{TENANT}")) + "/" + TENANT, body(reader, who), 404),
        (assignments("/subscriptions") + "/" + TENANT, body(reader, who), 400),
        (assignments("/tenants") + "/" + TENANT, body(reader, who), 400),
        (assignments(&format!("/subscriptions/{SUBSCRIPTION}/x")) + "/" + TENANT, body(reader, who), 400),
    ] {
        let reply = open.arm("PUT", &target, body);
        assert_eq!(reply.status, status, "{target}: {reply:?}");
    }
    let subscription = format!("/subscriptions/{SUBSCRIPTION}");
    for filter in [
        "x",
        "name eq",
        "name eq x",
        "name eq 'x",
        "name ne 'x'",
        "name eq 'x' or name eq 'y'",
        "eq eq eq",
        "'x' eq name",
        "startswith(name,'x')",
        "name eq 'x' and",
        "secret eq 'x'",
        "name\0eq 'x'",
        "((((",
        "é eq 'é",
    ] {
        let target = format!("{subscription}/resources?$filter={}", escaped(filter));
        let reply = open.arm("GET", &target, "");
        assert_eq!((reply.status, reply.code()), (400, "InvalidParameter"), "{filter}: {reply:?}");
    }
    for top in ["0", "-1", "1001", "x"] {
        let target = format!("{subscription}/providers/Microsoft.KeyVault/vaults?$top={top}");
        open.arm("GET", &target, "").refused(400, "InvalidParameter");
    }
    for (method, target, status) in [
        ("GET", format!("/subscriptions/{TENANT}"), 404),
        ("GET", "/subscriptions/%27".to_owned(), 404),
        ("GET", format!("{subscription}/resourceGroups/none"), 404),
        ("GET", format!("{subscription}/nothing"), 404),
        ("GET", format!("{subscription}/operationresults/x"), 400),
        ("GET", "/nothing".to_owned(), 404),
        ("DELETE", subscription.clone(), 405),
        ("HEAD", subscription.clone(), 405),
        ("POST", vault_id("kv1"), 405),
        ("POST", group_id("default"), 405),
        ("PUT", format!("{subscription}/resources"), 405),
    ] {
        let reply = open.arm(method, &target, "");
        assert_eq!(reply.status, status, "{method} {target}: {reply:?}");
    }
}

#[test]
fn headers_that_stand_twice_or_are_no_text() {
    let open = Open::new();
    let ask = || open.world.arm("GET", "/subscriptions");
    let twice = ask().token(&open.arm_token).token("x").send();
    assert_eq!((twice.status, twice.code()), (400, "InvalidParameter"));
    let latin = ask().header("authorization", "Bearer é").send();
    assert_eq!((latin.status, latin.code()), (400, "InvalidParameter"));
    let delete = open.world.arm("DELETE", &group_id("default")).token(&open.arm_token);
    delete.header("if-match", "*").header("if-match", "*").send().refused(400, "InvalidParameter");
    for host in [
        "",
        "localhost",
        "example.com",
        "localhost:99999999",
        ":::::",
        "[::1]:x",
        "vault.localhost",
        "a".repeat(250).as_str(),
    ] {
        assert_eq!(ask().host(host).token(&open.arm_token).send().status, 200, "{host}");
        assert_eq!(ask().host(host).send().status, 401, "{host}");
    }
}
