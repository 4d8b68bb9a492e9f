//! Bodies that are no object, and what is said of them.

use serde_json::json;

use super::Open;
use crate::support::{SUBSCRIPTION, TENANT, group_id, vault_id};

/// Bodies that are of no use where an object is wanted.
pub(super) fn no_objects() -> Vec<(&'static str, Vec<u8>)> {
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
