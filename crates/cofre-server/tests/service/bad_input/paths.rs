//! Paths, queries and headers.

use serde_json::json;

use super::Open;
use crate::support::group_id;

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
