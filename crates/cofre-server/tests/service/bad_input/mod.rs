//! What nobody should send: each is refused in the shape of its plane, and nothing is done. That no answer is of the
//! service's own fault is looked at with every request of these tests.

mod backups;
mod bodies;
mod changed;
mod keys;
mod objects;
mod paths;
mod resources;

use serde_json::json;

use crate::support::{Reply, World};

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
