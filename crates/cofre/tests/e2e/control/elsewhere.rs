//! Key vaults of another home: `cofre serve` there, backup and restore here, over TLS.

use std::{
    os::unix::fs::PermissionsExt as _,
    sync::{Arc, Mutex},
    time::Duration,
};

use cofre_arm::{ObjectUrl, ResourceId};
use cofre_keyvault_client::{
    Client, ClientSecret, ErrorKind, ObjectName, ProofQuestion, Settings, VaultAddress,
};
use cofre_recovery::{
    RemoteKeyVaults, Service as Place,
    key_source::{
        KeySource, KeyTarget,
        contract::{Examined, key_vaults_contract},
    },
};
use zeroize::Zeroizing;

use super::*;
use crate::server::Service;

/// The suffix of the other home's key vaults.
const OTHER: &str = "vault.other";

/// Another home that serves key vaults, with a principal that backs up and one that may do everything.
struct Other {
    service: Service,
    backup: (String, String),
    operator: (String, String),
    object_id: String,
}

impl Other {
    fn new() -> Self {
        Self::with_rate(2000)
    }

    /// With so many requests a second for each caller.
    fn with_rate(requests: u32) -> Self {
        let mut service = Service::new();
        let path = service.world.path("home/config.json");
        let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        config["settings"]["keyVaultSuffix"] = OTHER.into();
        config["server"]["requestsPerSecond"] = requests.into();
        fs::write(&path, config.to_string()).unwrap();
        let made = service.cofre("principal create --name backups-elsewhere");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let backup = (text(&made["applicationId"]), text(&made["clientSecret"]));
        let object_id = text(&made["objectId"]);
        let facts = service.facts();
        let operator = (text(&facts["clientId"]), text(&facts["clientSecret"]));
        service.start(None);
        Self { service, backup, operator, object_id }
    }

    fn suffix(&self) -> String {
        format!("{OTHER}:{}", self.service.port())
    }

    fn endpoint(&self) -> String {
        format!("https://localhost:{}", self.service.port())
    }

    fn proxy(&self) -> String {
        self.service.facts()["connectProxy"].as_str().unwrap().to_owned()
    }

    fn ca_file(&self) -> String {
        self.service.facts()["caFile"].as_str().unwrap().to_owned()
    }

    fn settings(&self, principal: &(String, String)) -> Settings {
        Settings {
            client_id: principal.0.clone(),
            secret: ClientSecret::new(Zeroizing::new(principal.1.clone())),
            authorities: vec![self.endpoint()],
            ca_file: Some(self.ca_file().into()),
            proxy: Some(self.proxy()),
            pause: Arc::new(|wait| {
                std::thread::sleep(wait);
                true
            }),
        }
    }

    fn seen_by(&self, principal: &(String, String)) -> RemoteKeyVaults {
        let settings = self.settings(principal);
        let place = Place { suffix: self.suffix(), arm_endpoint: Some(self.endpoint()) };
        RemoteKeyVaults::new(place, move || Client::new(settings.clone()))
    }
}

struct Remote {
    other: Other,
    source: RemoteKeyVaults,
    target: RemoteKeyVaults,
}

impl Examined for Remote {
    fn source(&self) -> &dyn KeySource {
        &self.source
    }

    fn target(&self) -> &dyn KeyTarget {
        &self.target
    }

    fn suffix(&self) -> String {
        OTHER.to_owned()
    }

    fn create_vault(&self, vault: &str) -> ResourceId {
        let line = format!("keyvault create --name {vault} --enabled-for-disk-encryption true");
        self.other.service.cofre(&line)["id"].as_str().unwrap().parse().unwrap()
    }

    fn delete_vault(&self, vault: &str) {
        self.other.service.cofre(&format!("keyvault delete --name {vault}"));
    }

    fn grant(&self, vault: &str) {
        let object = &self.other.object_id;
        let line = format!("keyvault access-policy from-template --name {vault} --object-id {object}");
        self.other.service.cofre(&line);
    }

    fn create_key(&self, vault: &str, key: &str) -> String {
        let key = self.other.service.cofre(&format!("keyvault key create --vault-name {vault} --name {key}"));
        version(&key["key"]["kid"])
    }

    fn disable_key(&self, vault: &str, key: &str, version: &str) {
        self.other.service.cofre(&format!(
            "keyvault key set-attributes --vault-name {vault} --name {key} --version {version} --enabled false"
        ));
    }

    fn disable_secret(&self, vault: &str, secret: &str, version: &str) {
        self.other.service.cofre(&format!(
            "keyvault secret set-attributes --vault-name {vault} --name {secret} --version {version} --enabled false"
        ));
    }

    fn wrap(&self, vault: &str, key: &str, secret: &str, disk_key: &[u8]) -> String {
        fs::write(self.other.service.world.path("disk.key"), disk_key).unwrap();
        let line = format!(
            "keyvault wrap-disk-key --vault-name {vault} --key {key} --secret {secret} --key-file disk.key"
        );
        version(&self.other.service.cofre(&line)["secretUrl"])
    }
}

/// The version at the end of a URL.
fn version(url: &Value) -> String {
    url.as_str().unwrap().rsplit('/').next().unwrap().to_owned()
}

#[test]
fn key_vaults_of_another_home_pass() {
    let other = Other::new();
    let (source, target) = (other.seen_by(&other.backup), other.seen_by(&other.operator));
    key_vaults_contract(&Remote { other, source, target });
}

#[test]
fn what_the_client_does_not_follow() {
    let other = Other::new();
    let address = |suffix: &str| VaultAddress::new("kv1", suffix).unwrap();
    let ask = |settings: Settings| {
        let client = Client::new(settings).unwrap();
        let vault = client.vault(address(&other.suffix()));
        vault.key("kek", None).unwrap_err()
    };
    let good = || other.settings(&other.backup);
    assert_eq!(ask(good()).kind(), ErrorKind::Forbidden, "known, and without a permission");
    let elsewhere = Settings { authorities: vec!["https://login.example".into()], ..good() };
    assert_eq!(ask(elsewhere).kind(), ErrorKind::Challenge, "the secret goes to named places alone");
    let wrong = ClientSecret::new(Zeroizing::new("hunter2-hunter2".into()));
    let error = ask(Settings { secret: wrong, ..good() });
    assert_eq!(error.kind(), ErrorKind::Login);
    assert!(!format!("{error} {error:?}").contains("hunter2"));
    let error = ask(Settings { ca_file: None, ..good() });
    assert_eq!(error.kind(), ErrorKind::Unreachable, "a certificate of nobody's: {error:?}");
    let proxy = Settings { proxy: Some("http://127.0.0.1:1".into()), ..good() };
    assert_eq!(ask(proxy).kind(), ErrorKind::Unreachable);
    // a client of two services: what one gave is not taken to the other
    let client = Client::new(good()).unwrap();
    assert_eq!(
        client.vault(address("vault.localhost:1")).key("kek", None).unwrap_err().kind(),
        ErrorKind::Unreachable
    );
}

#[test]
fn a_busy_service_is_asked_again_a_few_times_and_when_it_says() {
    let other = Other::with_rate(1);
    let waits = Arc::new(Mutex::new(Vec::new()));
    let noted = waits.clone();
    // Nothing is waited for: the service stays busy.
    let pause = Arc::new(move |wait: Duration| {
        noted.lock().unwrap().push(wait);
        true
    });
    let client = Client::new(Settings { pause, ..other.settings(&other.operator) }).unwrap();
    let vault = client.vault(VaultAddress::new("kv1", &other.suffix()).unwrap());
    let refused = (0..500).find_map(|_| match vault.key("kek", None).unwrap_err() {
        error if error.kind() == ErrorKind::NotFound => None,
        error => Some(error),
    });
    assert_eq!(refused.map(|error| error.kind()), Some(ErrorKind::Busy));
    let waits = waits.lock().unwrap().clone();
    assert!(waits.len() >= 4 && waits.iter().all(|wait| *wait == Duration::from_secs(1)), "{waits:?}");
}

#[test]
fn proofs_need_rights_and_have_a_limit_of_their_own() {
    let other = Other::new();
    let ask = |principal: &(String, String)| {
        let settings = Settings { pause: Arc::new(|_| false), ..other.settings(principal) };
        let client = Client::new(settings).unwrap();
        let vault = client.vault(VaultAddress::new("kv1", &other.suffix()).unwrap());
        let version = "0123456789abcdef0123456789abcdef";
        let object = |name| ObjectName { vault: "kv1", name, version };
        let question = ProofQuestion {
            point: "point",
            disk: "os",
            header: b"a header",
            data_size: 1 << 20,
            algorithm: "RSA-OAEP",
            secret: object("bek"),
            secret_value: "hunter2",
            key: object("kek"),
            key_backup: b"no blob",
        };
        let errors: Vec<_> = (0..40).map(|_| vault.prove(&question).unwrap_err()).collect();
        assert!(errors.iter().all(|error| !format!("{error} {error:?}").contains("hunter2")));
        errors.iter().map(cofre_keyvault_client::ClientError::kind).collect::<Vec<_>>()
    };
    let stranger = ask(&other.backup);
    assert!(stranger[..30].iter().all(|kind| *kind == ErrorKind::Forbidden), "{stranger:?}");
    assert!(stranger[30..].contains(&ErrorKind::Busy), "{stranger:?}");
    let operator = ask(&other.operator);
    assert!(operator[..30].iter().all(|kind| *kind == ErrorKind::BadRequest), "{operator:?}");
}

#[test]
fn a_machine_whose_keys_are_in_another_home() {
    let other = Other::new();
    let elsewhere = |line: &str| other.service.cofre(line);
    elsewhere("keyvault key create --vault-name kv1 --name kek");
    fs::write(other.service.world.path("disk.key"), DISK_KEY).unwrap();
    let urls =
        elsewhere("keyvault wrap-disk-key --vault-name kv1 --key kek --secret bek --key-file disk.key");
    let url = |name: &str| urls[name].as_str().unwrap().to_owned();
    let (secret, key) = (url("secretUrl"), url("keyUrl"));
    assert_eq!(key.parse::<ObjectUrl>().unwrap().suffix, OTHER);
    let id = elsewhere("keyvault show --name kv1")["id"].as_str().unwrap().to_owned();

    let home = Home::new();
    home.encrypted_image("web.raw", DISK_KEY, 3);
    let secret_file = |name: &str, secret: &str| {
        let path = home.world.path(name);
        fs::write(&path, format!("{secret}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    };
    secret_file("other.secret", &other.backup.1);
    secret_file("operator.secret", &other.operator.1);
    let (suffix, endpoint, proxy, ca) = (other.suffix(), other.endpoint(), other.proxy(), other.ca_file());
    let add = |suffix: &str, file: &str| {
        home.run(&format!(
            "host key-vaults add --suffix {suffix} --client-id {} --secret-file {file} --ca-file {ca} --proxy {proxy} \
             --arm-endpoint {endpoint}",
            other.backup.0
        ))
    };
    add("vault.localhost", "other.secret").refused(21, "InvalidParameter");
    add("no-domain", "other.secret").refused(21, "InvalidParameter");
    add(&suffix, "missing.secret").refused(21, "InvalidParameter");
    add(&suffix, "other.secret").expect(0);
    let list = home.ok("host key-vaults list");
    assert_eq!(list["remoteKeyVaults"][0]["suffix"], suffix.as_str());
    home.run("host key-vaults remove --suffix vault.nobody").refused(1, "ResourceNotFound");

    home.ok(&format!(
        "vm create --name web --os-disk vm/web.raw --secret-url {secret} --key-url {key} --secret-vault {id} \
         --key-vault {id}"
    ));
    home.ok("vault create --name bv");
    let protect = "protection enable --vault-name bv --vm web";
    let refused = home.run(protect).refused(21, "UserErrorKeyVaultPermissionsNotConfigured");
    assert!(refused.to_string().contains("keys/backup"), "{refused}");
    elsewhere(&format!("keyvault access-policy from-template --name kv1 --object-id {}", other.object_id));
    home.ok(protect);
    let backup = home.ok("backup now --vault-name bv --item-name web");
    assert_eq!(backup["disks"][0]["keys"]["state"], "proven", "{backup:#}");

    // the keys are lost over there; here the disks come back, and then the keys into a new key vault there
    elsewhere("keyvault delete --name kv1");
    elsewhere("keyvault create --name kv2 --enabled-for-disk-encryption true");
    let restored = home.run("restore disks --vault-name bv --item-name web").expect(3).json();
    home.assert_restored(restored["container"].as_str().unwrap(), "web.raw", Some(DISK_KEY.as_bytes()));
    let job = restored["job"].as_str().unwrap();
    let back = format!("restore keys {job} --vault kv2.{OTHER} --update-machine");
    // who backs up sees no ids of key vaults there, and may not restore keys
    home.run(&back).refused(21, "UserErrorKeyVaultUnreachable");
    let back = home.ok(&format!("{back} --client-id {} --secret-file operator.secret", other.operator.0));
    let secret = back["keys"][0]["secretUrl"].as_str().unwrap();
    assert!(secret.starts_with(&format!("https://kv2.{OTHER}/secrets/bek/")), "{secret}");
    assert_eq!(back["keys"][0]["keyVaultId"], elsewhere("keyvault show --name kv2")["id"]);
    elsewhere(&format!("keyvault access-policy from-template --name kv2 --object-id {}", other.object_id));
    let backup = home.ok("backup now --vault-name bv --item-name web");
    assert_eq!(backup["disks"][0]["keys"]["state"], "proven", "with the keys that came back");

    // a service that is down fails the job, and what needs no key vault goes on
    let Other { mut service, .. } = other;
    service.kill();
    let failed =
        home.run("backup now --vault-name bv --item-name web").refused(21, "UserErrorKeyVaultUnreachable");
    assert!(failed.to_string().contains("cannot be reached"), "{failed}");
    fs::remove_file(home.world.path("other.secret")).unwrap();
    assert_eq!(home.points().len(), 2);
    home.ok("host key-vaults remove --suffix vault.other");
    assert_eq!(home.ok("host key-vaults list")["remoteKeyVaults"].as_array().unwrap().len(), 0);
}
