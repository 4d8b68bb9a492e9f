//! Requests to the service, behind TLS and HTTP: method, path, query, headers and body as the enemy likes, from a caller
//! who may do everything, and logins from one who may do nothing. Whatever comes is answered with JSON or nothing, and
//! never with a failure of the service's own.
#![no_main]

use std::{
    cell::RefCell,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderName, HeaderValue},
};
use cofre_arm::{ApiError, Problem};
use cofre_compute::{
    DeploymentModel, Disk, Image, ImageDriver, OsType, PowerState, ProvisioningState, VirtualMachine,
};
use cofre_disk::ImageFormat;
use cofre_keyvault::{
    AccessPolicy, AuditEvent, Caller, KeyPermission, KeySpec, KeyVaults, Permissions, Place, Principal,
    RootKey, SecretPermission, SecretSpec, SecretValue, SystemClock, VaultSpec,
    proof::{HeaderProver, ProverAnswer},
    state::{Change, MemoryState, Record, State, StateError},
};
use cofre_recovery::{
    LocalKeyVaults, Recovery,
    settings::Settings,
    storage_account::{StorageAccount, StorageAccounts},
    trust::{RecoveryPublicKey, ServiceKey, kit},
    vault::Redundancy,
};
use cofre_server::{
    App, Parts,
    addresses::{Addresses, MANAGEMENT_AUDIENCE},
    directory::{Actor, Credential, Directory, NewAssignment},
    http::{Call, Method, Refusal, Target},
    identity::{Identity, TokenKey, Tokens},
    limits::Limits,
};
use cofre_store::Store;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const TENANT: &str = "11111111-1111-4111-8111-111111111111";
const SUBSCRIPTION: &str = "22222222-2222-4222-8222-222222222222";
const OWNER: &str = "44444444-4444-4444-8444-444444444444";
/// A public key whose other half nobody has.
const RECOVERY_KEY: &str = include_str!("../../crates/cofre-server/tests/support/recovery.pub.pem");
/// How many inputs meet the same directory, which remembers what they did.
const ROUNDS: u32 = 20_000;

/// A storage that stays as it is once frozen, so that no input changes what the next one meets.
#[derive(Default)]
struct Frozen {
    state: MemoryState,
    frozen: AtomicBool,
}

impl State for Frozen {
    fn read(&self, path: &str) -> Result<Option<Record>, StateError> {
        self.state.read(path)
    }

    fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Record>, StateError> {
        self.state.list(prefix, after, limit)
    }

    fn commit(&self, changes: &[Change], events: &[AuditEvent]) -> Result<(), StateError> {
        if self.frozen.load(Ordering::Relaxed) { Ok(()) } else { self.state.commit(changes, events) }
    }

    fn version(&self) -> Result<u64, StateError> {
        self.state.version()
    }

    fn append(&self, events: &[AuditEvent], as_of: Option<u64>) -> Result<(), StateError> {
        if self.frozen.load(Ordering::Relaxed) { Ok(()) } else { self.state.append(events, as_of) }
    }
}

/// The service, and tokens of its owner for each audience.
struct World {
    app: App,
    tokens: [String; 3],
    rounds: u32,
}

/// The group and the vault `kv1` with the key `k`, the secret `s`, and one of each that is deleted.
fn world() -> World {
    let clock = Arc::new(SystemClock);
    let store = Arc::new(Store::in_memory().expect("a store"));
    let directory = Arc::new(Directory::new(store.clone(), clock.clone(), TENANT, SUBSCRIPTION));
    let addresses =
        Addresses { host: "localhost".into(), port: 8443, key_vault_suffix: "vault.localhost".into() };
    let actor = Actor::default();
    directory.put_group(&actor, "g", "local", Default::default()).expect("a group");
    let owner = directory.create_principal(&actor, "owner", Some(OWNER), None).expect("a principal");
    let (credential, _) = Credential::secret(cofre_keyvault::Clock::now(&*clock), None).expect("a secret");
    let credential_id = credential.id.clone();
    directory.add_credential(&actor, &owner.object_id, credential).expect("a credential");
    let scope = directory.subscription_scope();
    let role = NewAssignment { id: None, scope: &scope, role: "Owner", principal: &owner.object_id };
    directory.assign(&actor, role).expect("a role");

    let state = Arc::new(Frozen::default());
    let place = Place { tenant: TENANT.into(), subscription: SUBSCRIPTION.into(), geography: "g".into() };
    let root = RootKey::from_bytes(&[7; 32].into());
    let vaults = KeyVaults::open(state.clone(), &root, clock.clone(), &place).expect("opens");
    let key_vaults = Arc::new(vaults.with_roles(directory.clone()));
    let caller = Caller { object_id: owner.object_id.clone(), tenant: TENANT.into(), ..Caller::default() };
    // Everything but making keys, which takes longer than all the rest.
    let keys = KeyPermission::ALL.iter().copied().filter(|permission| *permission != KeyPermission::Create);
    let everything = Permissions {
        keys: keys.collect(),
        secrets: SecretPermission::ALL.iter().copied().collect(),
        ..Permissions::default()
    };
    let mut making = everything.clone();
    making.keys.insert(KeyPermission::Create);
    let policy = |permissions| AccessPolicy { principal: Principal::from(&caller), permissions };
    let spec = VaultSpec {
        id: format!("{scope}/resourceGroups/g/providers/Microsoft.KeyVault/vaults/kv1"),
        name: "kv1".into(),
        location: "local".into(),
        tenant: TENANT.into(),
        access_policies: vec![policy(making)],
        ..VaultSpec::default()
    };
    key_vaults.create_vault(&caller, &spec).expect("a vault");
    let secret = |text: &str| SecretSpec {
        value: SecretValue::new(text.to_owned().into()).expect("short"),
        content_type: None,
        attributes: Default::default(),
        tags: Default::default(),
    };
    for name in ["k", "gone"] {
        key_vaults.create_key(&caller, "kv1", name, &KeySpec::default()).expect("a key");
        key_vaults
            .set_secret(&caller, "kv1", if name == "k" { "s" } else { name }, &secret("x"))
            .expect("a secret");
    }
    key_vaults.delete_key(&caller, "kv1", "gone").expect("deleted");
    key_vaults.delete_secret(&caller, "kv1", "gone").expect("deleted");
    key_vaults.set_access_policy(&caller, "kv1", &policy(everything)).expect("a policy");
    state.frozen.store(true, Ordering::Relaxed);

    let folder = std::env::temp_dir().join(format!("cofre-fuzz-{}", std::process::id()));
    let images = folder.join("vm");
    std::fs::create_dir_all(&images).expect("a folder");
    std::fs::write(images.join("web.raw"), [7; 4096]).expect("an image");
    let path = folder.join("token.key");
    if !path.exists() {
        TokenKey::create_file(&path).expect("a key");
    }
    let tokens = Tokens::new(TokenKey::from_file(&path).expect("a key"), clock.clone());
    let service_key = folder.join("service.key");
    if !service_key.exists() {
        ServiceKey::create_file(&service_key).expect("a key");
    }
    let prover = Arc::new(NoProver);
    let backup = Caller { object_id: "backup".into(), tenant: TENANT.into(), ..Caller::default() };
    let recovery = Recovery::new(cofre_recovery::Parts {
        place: kit::Place {
            tenant_id: TENANT.into(),
            subscription_id: SUBSCRIPTION.into(),
            location: "local".into(),
            geography: "g".into(),
        },
        settings: Settings::default(),
        store: store.clone(),
        service_key: ServiceKey::from_file(&service_key).expect("a key"),
        recovery_key: RecoveryPublicKey::from_pem(RECOVERY_KEY).expect("a key"),
        // There is no worker: what is queued stays so, and nothing is ever written there.
        repositories: folder.join("repositories"),
        driver: Arc::new(ImageDriver::new(vec![images.clone()])),
        keys: Arc::new(LocalKeyVaults::new(key_vaults.clone(), backup, prover.clone())),
        accounts: Arc::new(NoAccounts),
        clock: Arc::new(cofre_repo::clock::SystemClock),
        software: "fuzz".into(),
    });
    protect(&recovery, &images.join("web.raw"));
    let audiences =
        [MANAGEMENT_AUDIENCE.to_owned(), addresses.key_vault_audience(), addresses.graph_audience()];
    let bearer = audiences.map(|audience| {
        let identity = Identity {
            object_id: owner.object_id.clone(),
            application_id: owner.application_id.clone(),
            name: "owner".into(),
            credential: credential_id.clone(),
            audience,
            expires: 0,
        };
        let token = tokens.issue("fuzz", TENANT, &identity).expect("a token");
        format!("Bearer {token}")
    });
    let parts = Parts {
        addresses,
        location: "local".into(),
        store,
        key_vaults,
        directory,
        tokens,
        limits: Limits::new(0),
        recovery: Arc::new(recovery),
        prover,
        clock,
    };
    World { app: App::new(parts), tokens: bearer, rounds: 0 }
}

/// Tries nothing: headers have a target of their own.
struct NoProver;

impl HeaderProver for NoProver {
    fn try_open(&self, _header: &[u8], _data_size: u64, _secret: &[u8]) -> ProverAnswer {
        ProverAnswer::Unsupported("not here".to_owned())
    }
}

/// The vault `bv`, and the machine `web`, which it protects.
fn protect(recovery: &Recovery, image: &std::path::Path) {
    let vault = recovery.create_vault("g", "bv", "local", Redundancy::GeoRedundant).expect("a vault");
    let machine = VirtualMachine {
        id: recovery.machine_id("g", "web").expect("an id"),
        vm_id: OWNER.to_owned(),
        location: "local".to_owned(),
        model: DeploymentModel::ResourceManager,
        vm_size: "Standard_B1s".to_owned(),
        os_type: OsType::Linux,
        provisioning_state: ProvisioningState::Succeeded,
        power_state: PowerState::Deallocated,
        os_disk: Disk {
            name: "os".to_owned(),
            image: Image { path: image.to_owned(), format: ImageFormat::Raw },
            encryption_settings: None,
        },
        data_disks: Vec::new(),
        encryption_settings: None,
        tags: Default::default(),
    };
    recovery.register_machine(&machine).expect("a machine");
    let done = recovery.enable_protection(&vault.id, &machine.id, "DefaultPolicy").expect("a job");
    done.result.expect("an item");
}

/// There is nowhere to restore to.
struct NoAccounts;

impl StorageAccounts for NoAccounts {
    fn account(&self, name: &str) -> cofre_arm::Result<StorageAccount> {
        Err(ApiError::new(Problem::NotFound, format!("there is no storage account {name}")))
    }

    fn names(&self) -> cofre_arm::Result<Vec<String>> {
        Ok(Vec::new())
    }
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::new(world());
}

/// The input as lines: method and target as in HTTP/1.1, headers, an empty line, the body. In the target `S` stands for
/// the subscription; whoever names no host asks the one of the first byte.
fn call(which: u8, input: &[u8], tokens: &[String; 3]) -> Option<Result<Call, Refusal>> {
    let end = input.windows(2).position(|two| two == b"\n\n");
    let (head, body) = end.map_or((input, &[][..]), |at| (&input[..at], &input[at + 2..]));
    let mut lines = std::str::from_utf8(head).ok()?.split('\n');
    let (method, target) = lines.next()?.split_once(' ')?;
    let method = Method::of(&method.parse().ok()?)?;
    let target = target.replace("/subscriptions/S", &format!("/subscriptions/{SUBSCRIPTION}"));
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let target = match Target::parse(path, query) {
        Ok(target) => target,
        Err(error) => return Some(Err(error.into())),
    };
    let mut host = if which % 4 == 1 { "kv1.vault.localhost:8443" } else { "localhost:8443" };
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':')?;
        if name.eq_ignore_ascii_case("host") {
            host = value.trim();
        } else {
            headers.append(name.parse::<HeaderName>().ok()?, HeaderValue::from_str(value.trim()).ok()?);
        }
    }
    // Hosts that the server would not have let through.
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-.:_[]".contains(&b);
    if host.is_empty() || host.len() > 300 || !host.bytes().all(allowed) {
        return None;
    }
    // The fourth mode brings no token: logins and what is open to everybody.
    if let Some(token) = tokens.get(usize::from(which % 4)) {
        headers.append("authorization", HeaderValue::from_str(token).expect("plain"));
    }
    Some(Ok(Call {
        id: String::new(),
        method,
        target,
        host: host.to_ascii_lowercase(),
        headers,
        body: Bytes::copy_from_slice(body),
        peer: "fuzz".into(),
    }))
}

fuzz_target!(|data: &[u8]| {
    let Some((&which, input)) = data.split_first() else { return };
    WORLD.with_borrow_mut(|world| {
        world.rounds += 1;
        // Groups and assignments stay; and whoever takes away its own role ends the run of all that follow.
        let is_fresh = world.rounds.is_multiple_of(ROUNDS)
            || matches!(world.app.answer(&probe(&world.tokens)).status(), 401 | 403 | 404);
        if is_fresh {
            *world = self::world();
        }
        let Some(call) = call(which, input, &world.tokens) else { return };
        let answer = match call {
            Ok(call) => world.app.answer(&call),
            Err(refusal) => refusal.into_answer(),
        };
        let (status, body) = (answer.status(), answer.body());
        assert!(status < 500, "{status}: {}", String::from_utf8_lossy(body));
        assert!(body.is_empty() || serde_json::from_slice::<Value>(body).is_ok());
        assert!(status < 400 || !body.is_empty(), "{status} without a reason");
    });
});

/// Whether the owner still owns everything.
fn probe(tokens: &[String; 3]) -> Call {
    let mut headers = HeaderMap::new();
    headers.append("authorization", HeaderValue::from_str(&tokens[0]).expect("plain"));
    Call {
        id: String::new(),
        method: Method::Get,
        target: Target::parse(&format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/g"), "")
            .expect("a path"),
        host: "localhost:8443".into(),
        headers,
        body: Bytes::new(),
        peer: "fuzz".into(),
    }
}
