//! Secrets, names and lists that cannot be.

use serde_json::{Value, json};

use super::Open;
use crate::support::{SUBSCRIPTION, assertions::base64url, request::escaped};

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
