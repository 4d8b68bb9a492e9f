//! What the tests share: the service over a database in memory, principals, a clock to be moved, and calls without
//! sockets.
#![allow(dead_code, reason = "every test file uses a part of it")]

pub(crate) mod assertions;
pub(crate) mod machines;
pub(crate) mod request;
pub(crate) mod sockets;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use cofre_keyvault::{
    Clock, KeyVaults, Place, RootKey,
    proof::{HeaderProver, ProverAnswer},
    state::MemoryState,
};
use cofre_recovery::Recovery;
use cofre_server::{
    App, Parts,
    addresses::{Addresses, MANAGEMENT_AUDIENCE},
    directory::{Actor, Credential, DEFAULT_GROUP, Directory, NewAssignment},
    identity::{TokenKey, Tokens},
    limits::Limits,
};
use cofre_store::Store;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) use self::request::{Reply, Request};

pub(crate) const START: &str = "2026-03-01T12:00:00Z";
pub(crate) const TENANT: &str = "11111111-1111-4111-8111-111111111111";
pub(crate) const SUBSCRIPTION: &str = "22222222-2222-4222-8222-222222222222";
pub(crate) const HOST: &str = "localhost:8443";
pub(crate) const VAULT_HOST: &str = "kv1.vault.localhost:8443";
pub(crate) const VAULT_AUDIENCE: &str = "https://vault.localhost:8443";
pub(crate) const TOKEN_PATH: &str = "/adfs/oauth2/token";

/// A clock that a test moves.
pub(crate) struct TestClock(Mutex<Timestamp>);

impl TestClock {
    pub(crate) fn advance(&self, seconds: i64) {
        *self.0.lock().unwrap() += SignedDuration::from_secs(seconds);
    }

    pub(crate) fn advance_days(&self, days: i64) {
        self.advance(days * 86_400);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

impl cofre_repo::clock::Clock for TestClock {
    fn now(&self) -> Timestamp {
        Clock::now(self)
    }
}

/// A principal that logs in with a secret.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) object_id: String,
    pub(crate) application_id: String,
    pub(crate) credential: String,
    pub(crate) secret: String,
}

/// Nobody is asked for proofs here.
pub(crate) struct NoProver;

impl HeaderProver for NoProver {
    fn try_open(&self, _: &[u8], _: u64, _: &[u8]) -> ProverAnswer {
        ProverAnswer::Unsupported("there is no prover".into())
    }
}

/// The service, and the parts that tests look at or change behind its back.
pub(crate) struct World {
    pub(crate) app: App,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) key_vaults: Arc<KeyVaults>,
    pub(crate) recovery: Arc<Recovery>,
    pub(crate) state: Arc<MemoryState>,
    pub(crate) token_key: PathBuf,
    /// Who owns the subscription.
    pub(crate) operator: Client,
    folder: TempDir,
}

pub(crate) fn actor() -> Actor {
    Actor { object_id: "33333333-3333-4333-8333-333333333333".into(), request_id: None }
}

pub(crate) fn addresses(port: u16) -> Addresses {
    Addresses { host: "localhost".into(), port, key_vault_suffix: "vault.localhost".into() }
}

impl World {
    /// A service with an operator, the group `default`, and no vaults.
    pub(crate) fn new() -> Self {
        Self::reached_at(8443, 0)
    }

    /// A service on a port, with so many requests a second for each caller.
    pub(crate) fn reached_at(port: u16, requests_per_second: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(TestClock(Mutex::new(START.parse().unwrap())));
        let store = Arc::new(Store::in_memory().unwrap());
        let directory = Arc::new(Directory::new(store.clone(), clock.clone(), TENANT, SUBSCRIPTION));
        let state = Arc::new(MemoryState::new());
        let place =
            Place { tenant: TENANT.into(), subscription: SUBSCRIPTION.into(), geography: "eu".into() };
        let root = RootKey::from_bytes(&[7; 32].into());
        let vaults = KeyVaults::open(state.clone(), &root, clock.clone(), &place).unwrap();
        let key_vaults = Arc::new(vaults.with_roles(directory.clone()));
        let prover = Arc::new(NoProver);
        let recovery = machines::recovery(folder.path(), &store, &key_vaults, &prover, &clock);
        let recovery = Arc::new(recovery);
        let token_key = folder.path().join("token.key");
        TokenKey::create_file(&token_key).unwrap();
        let app = App::new(Parts {
            addresses: addresses(port),
            location: "local".into(),
            store,
            key_vaults: key_vaults.clone(),
            recovery: recovery.clone(),
            prover,
            directory: directory.clone(),
            tokens: Tokens::new(TokenKey::from_file(&token_key).unwrap(), clock.clone()),
            limits: Limits::new(requests_per_second),
            clock: clock.clone(),
        });
        directory.put_group(&actor(), DEFAULT_GROUP, "local", BTreeMap::new()).unwrap();
        let operator = client_in(&directory, &clock, "operator");
        assign(&directory, &operator, "Owner", &format!("/subscriptions/{SUBSCRIPTION}"));
        Self { app, clock, directory, key_vaults, recovery, state, token_key, operator, folder }
    }

    /// A principal with a secret that does not end.
    pub(crate) fn client(&self, name: &str) -> Client {
        client_in(&self.directory, &self.clock, name)
    }

    /// Assigns a role; returns the id of the assignment.
    pub(crate) fn assign(&self, client: &Client, role: &str, scope: &str) -> String {
        assign(&self.directory, client, role, scope)
    }

    /// A key for signing tokens as the service does: the service's own, read again.
    pub(crate) fn forger(&self) -> Tokens {
        Tokens::new(TokenKey::from_file(&self.token_key).unwrap(), self.clock.clone())
    }

    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// A request to the resource endpoint.
    pub(crate) fn arm(&self, method: &str, target: &str) -> Request<'_> {
        Request::new(&self.app, method, HOST, target)
    }

    /// A request to the vault `kv1`.
    pub(crate) fn vault(&self, method: &str, target: &str) -> Request<'_> {
        Request::new(&self.app, method, VAULT_HOST, target)
    }

    /// A login with a form of these fields.
    pub(crate) fn login(&self, fields: &[(&str, &str)]) -> Reply {
        self.arm("POST", TOKEN_PATH).form(fields).send()
    }

    /// A token of a client for an audience, fetched as clients do.
    pub(crate) fn token_for(&self, client: &Client, audience: &str) -> String {
        let reply = self.login(&[
            ("grant_type", "client_credentials"),
            ("client_id", &client.application_id),
            ("client_secret", &client.secret),
            ("scope", &format!("{audience}/.default")),
        ]);
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json["access_token"].as_str().unwrap().to_owned()
    }

    pub(crate) fn arm_token(&self, client: &Client) -> String {
        self.token_for(client, MANAGEMENT_AUDIENCE)
    }

    pub(crate) fn vault_token(&self, client: &Client) -> String {
        self.token_for(client, VAULT_AUDIENCE)
    }

    /// Makes a vault in the group `default` as the operator; returns the resource.
    pub(crate) fn make_vault(&self, name: &str, properties: &Value) -> Value {
        let mut all = json!({
            "tenantId": TENANT,
            "sku": {"name": "standard", "family": "A"},
            "accessPolicies": [],
            "enableRbacAuthorization": false,
        });
        for (field, value) in properties.as_object().into_iter().flatten() {
            all[field] = value.clone();
        }
        let token = self.arm_token(&self.operator);
        let body = json!({"location": "local", "properties": all});
        self.arm("PUT", &vault_id(name)).token(&token).json(&body).send().expect(200)
    }

    /// The vault `kv1`, in which the operator may do everything; returns his token.
    pub(crate) fn open_vault(&self, properties: &Value) -> String {
        let mut properties = properties.clone();
        properties["accessPolicies"] = json!([policy(&self.operator, &["all"], &["all"])]);
        self.make_vault("kv1", &properties);
        self.vault_token(&self.operator)
    }
}

/// An access policy for a client.
pub(crate) fn policy(client: &Client, keys: &[&str], secrets: &[&str]) -> Value {
    json!({
        "tenantId": TENANT,
        "objectId": client.object_id,
        "permissions": {"keys": keys, "secrets": secrets, "certificates": []},
    })
}

pub(crate) fn group_id(group: &str) -> String {
    format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}")
}

pub(crate) fn vault_id(name: &str) -> String {
    format!("{}/providers/Microsoft.KeyVault/vaults/{name}", group_id(DEFAULT_GROUP))
}

fn client_in(directory: &Directory, clock: &TestClock, name: &str) -> Client {
    let principal = directory.create_principal(&actor(), name, None, None).unwrap();
    let (credential, secret) = Credential::secret(clock.now(), None).unwrap();
    directory.add_credential(&actor(), &principal.object_id, credential).unwrap();
    Client {
        object_id: principal.object_id,
        application_id: principal.application_id,
        credential: secret.id,
        secret: secret.secret.to_string(),
    }
}

fn assign(directory: &Directory, client: &Client, role: &str, scope: &str) -> String {
    let new = NewAssignment { id: None, scope, role, principal: &client.object_id };
    directory.assign(&actor(), new).unwrap().id
}
