//! Every call of the data plane: what it needs, and a vault in which it can succeed again and again.

use aws_lc_rs::rsa::KeySize;
use serde_json::{Value, json};

use crate::support::{Reply, Request, World, assertions::base64url};

/// A call, and the permission it needs, such as `keys/get`.
pub(crate) struct DataCall {
    pub(crate) method: &'static str,
    pub(crate) target: String,
    pub(crate) body: Value,
    pub(crate) needs: &'static str,
    /// What the operator does after it succeeded, so that it can succeed again: method, path, body.
    repair: Vec<(&'static str, &'static str, Value)>,
}

/// A vault with something for every call.
pub(crate) struct Stocked {
    pub(crate) world: World,
    pub(crate) calls: Vec<DataCall>,
    operator: String,
}

impl Stocked {
    /// The vault `kv1` in a fresh world.
    pub(crate) fn new() -> Self {
        let world = World::new();
        let operator = world.open_vault(&json!({}));
        let call = |method: &str, target: &str, body: &Value| -> Value {
            world.vault(method, target).token(&operator).json(body).send().expect(200)
        };
        let rsa = json!({"kty": "RSA", "key_size": 2048});
        let key = call("POST", "/keys/k/create", &rsa);
        let key_path = format!("/keys/k/{}", key["key"]["kid"].as_str().unwrap().rsplit('/').next().unwrap());
        for name in ["victim", "gone", "doomed", "elsewhere"] {
            call("POST", &format!("/keys/{name}/create"), &rsa);
            call("PUT", &format!("/secrets/{name}"), &json!({"value": name}));
        }
        let secret = call("PUT", "/secrets/s", &json!({"value": "hush"}));
        let secret_path =
            format!("/secrets/s/{}", secret["id"].as_str().unwrap().rsplit('/').next().unwrap());
        let backup = |path: &str| call("POST", &format!("{path}/backup"), &Value::Null);
        let (key_blob, doomed_key) = (backup("/keys/elsewhere"), backup("/keys/doomed"));
        let (secret_blob, doomed_secret) = (backup("/secrets/elsewhere"), backup("/secrets/doomed"));
        for name in ["gone", "doomed", "elsewhere"] {
            call("DELETE", &format!("/keys/{name}"), &Value::Null);
            call("DELETE", &format!("/secrets/{name}"), &Value::Null);
        }
        for path in ["/deletedkeys/elsewhere", "/deletedsecrets/elsewhere"] {
            world.vault("DELETE", path).token(&operator).send().expect(204);
        }
        let value = |bytes: &[u8]| json!({"alg": "RSA-OAEP-256", "value": base64url(bytes)});
        let sealed = call("POST", &format!("{key_path}/wrapkey"), &value(b"disk key"))["value"].clone();
        let sealed = json!({"alg": "RSA-OAEP-256", "value": sealed});
        let digest = json!({"alg": "PS256", "value": base64url(&[3; 32])});
        let signature = call("POST", &format!("{key_path}/sign"), &digest)["value"].clone();
        let verify = json!({"alg": "PS256", "digest": base64url(&[3; 32]), "value": signature});
        let import = json!({"key": crate::support::assertions::json_web_key(KeySize::Rsa2048)});

        let mut calls = Vec::new();
        let mut add =
            |method, target: &str, body: Value, needs, repair: &[(&'static str, &'static str, &Value)]| {
                let repair =
                    repair.iter().map(|(method, path, body)| (*method, *path, (*body).clone())).collect();
                calls.push(DataCall { method, target: target.to_owned(), body, needs, repair });
            };
        let none = Value::Null;
        add("GET", "/keys", none.clone(), "keys/list", &[]);
        add("GET", "/keys/k", none.clone(), "keys/get", &[]);
        add("GET", &key_path, none.clone(), "keys/get", &[]);
        add("GET", "/keys/k/versions", none.clone(), "keys/list", &[]);
        add("POST", "/keys/made/create", rsa, "keys/create", &[]);
        add("PUT", "/keys/imported", import, "keys/import", &[]);
        add("PATCH", "/keys/k", json!({"tags": {"a": "b"}}), "keys/update", &[]);
        add("PATCH", &key_path, json!({"attributes": {"enabled": true}}), "keys/update", &[]);
        add(
            "DELETE",
            "/keys/victim",
            none.clone(),
            "keys/delete",
            &[("POST", "/deletedkeys/victim/recover", &none)],
        );
        add("POST", "/keys/k/backup", none.clone(), "keys/backup", &[]);
        let remove = [("DELETE", "/keys/elsewhere", &none), ("DELETE", "/deletedkeys/elsewhere", &none)];
        add("POST", "/keys/restore", key_blob, "keys/restore", &remove);
        for (operation, body, needs) in [
            ("wrapkey", value(b"disk key"), "keys/wrapKey"),
            ("unwrapkey", sealed.clone(), "keys/unwrapKey"),
            ("encrypt", value(b"text"), "keys/encrypt"),
            ("decrypt", sealed, "keys/decrypt"),
            ("sign", digest, "keys/sign"),
            ("verify", verify, "keys/verify"),
        ] {
            add("POST", &format!("{key_path}/{operation}"), body.clone(), needs, &[]);
            add("POST", &format!("/keys/k/{operation}"), body, needs, &[]);
        }
        add("GET", "/deletedkeys", none.clone(), "keys/list", &[]);
        add("GET", "/deletedkeys/gone", none.clone(), "keys/get", &[]);
        let recovered = [("DELETE", "/keys/gone", &none)];
        add("POST", "/deletedkeys/gone/recover", none.clone(), "keys/recover", &recovered);
        let purged = [("POST", "/keys/restore", &doomed_key), ("DELETE", "/keys/doomed", &none)];
        add("DELETE", "/deletedkeys/doomed", none.clone(), "keys/purge", &purged);

        add("GET", "/secrets", none.clone(), "secrets/list", &[]);
        add("GET", "/secrets/s", none.clone(), "secrets/get", &[]);
        add("GET", &secret_path, none.clone(), "secrets/get", &[]);
        add("GET", "/secrets/s/versions", none.clone(), "secrets/list", &[]);
        add("PUT", "/secrets/made", json!({"value": "x"}), "secrets/set", &[]);
        add("PATCH", "/secrets/s", json!({"tags": {"a": "b"}}), "secrets/set", &[]);
        add("PATCH", &secret_path, json!({"contentType": "text"}), "secrets/set", &[]);
        let undo = [("POST", "/deletedsecrets/victim/recover", &none)];
        add("DELETE", "/secrets/victim", none.clone(), "secrets/delete", &undo);
        add("POST", "/secrets/s/backup", none.clone(), "secrets/backup", &[]);
        let remove =
            [("DELETE", "/secrets/elsewhere", &none), ("DELETE", "/deletedsecrets/elsewhere", &none)];
        add("POST", "/secrets/restore", secret_blob, "secrets/restore", &remove);
        add("GET", "/deletedsecrets", none.clone(), "secrets/list", &[]);
        add("GET", "/deletedsecrets/gone", none.clone(), "secrets/get", &[]);
        let recovered = [("DELETE", "/secrets/gone", &none)];
        add("POST", "/deletedsecrets/gone/recover", none.clone(), "secrets/recover", &recovered);
        let purged = [("POST", "/secrets/restore", &doomed_secret), ("DELETE", "/secrets/doomed", &none)];
        add("DELETE", "/deletedsecrets/doomed", none.clone(), "secrets/purge", &purged);
        Self { world, calls, operator }
    }

    /// Makes every call with a token, and checks that exactly those succeed whose permission `holds`.
    #[track_caller]
    pub(crate) fn check(&self, who: &str, token: &str, holds: impl Fn(&str) -> bool) {
        let mut wrong = Vec::new();
        for call in &self.calls {
            let reply = self.request(call.method, &call.target, &call.body).token(token).send();
            let fits = if holds(call.needs) {
                if reply.status < 300 {
                    self.repair(call);
                }
                reply.status < 300
            } else {
                is_refused_for(&reply, call.needs)
            };
            if !fits {
                wrong.push(format!("{} {} needs {}: {reply:?}", call.method, call.target, call.needs));
            }
        }
        assert!(wrong.is_empty(), "{who}:\n{}", wrong.join("\n"));
    }

    fn request(&self, method: &str, target: &str, body: &Value) -> Request<'_> {
        let request = self.world.vault(method, target);
        if body.is_null() { request } else { request.json(body) }
    }

    fn repair(&self, call: &DataCall) {
        for (method, target, body) in &call.repair {
            let reply = self.request(method, target, body).token(&self.operator).send();
            assert!(reply.status < 300, "{method} {target}: {reply:?}");
        }
    }
}

/// Whether it was refused for want of a permission, which the message names.
fn is_refused_for(reply: &Reply, needs: &str) -> bool {
    (reply.status, reply.code(), reply.inner()) == (403, "Forbidden", "KeyVaultForbidden")
        && reply.message().contains(&format!(" lacks {needs} on "))
}
