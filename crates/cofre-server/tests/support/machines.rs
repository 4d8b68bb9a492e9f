//! The recovery service of the tests: real repositories and images below a folder of the test's own.

use std::{fs, path::Path, sync::Arc};

use cofre_arm::{ApiError, Problem};
use cofre_compute::ImageDriver;
use cofre_keyvault::{Caller, KeyVaults};
use cofre_recovery::{
    LocalKeyVaults, Parts, Recovery,
    settings::Settings,
    storage_account::{StorageAccount, StorageAccounts},
    trust::{RecoveryPublicKey, ServiceKey, kit},
};
use cofre_repo::{Cancel, progress::Silent};
use cofre_server::directory::DEFAULT_GROUP;
use cofre_store::Store;
use serde_json::{Value, json};

use super::{NoProver, SUBSCRIPTION, TENANT, TestClock, World, group_id, policy, vault_id};

/// The object id of the backup service.
pub(crate) const BACKUP_SERVICE: &str = "55555555-5555-4555-8555-555555555555";

/// A public key whose other half nobody has: making one takes longer than most tests.
const RECOVERY_KEY: &str = include_str!("recovery.pub.pem");

/// The account `default` and no other.
struct OneAccount(StorageAccount);

impl StorageAccounts for OneAccount {
    fn account(&self, name: &str) -> cofre_arm::Result<StorageAccount> {
        if name == self.0.name {
            return Ok(self.0.clone());
        }
        Err(ApiError::new(Problem::NotFound, format!("there is no storage account {name}")))
    }

    fn names(&self) -> cofre_arm::Result<Vec<String>> {
        Ok(vec![self.0.name.clone()])
    }
}

/// The service, with images below `vm` and repositories below `repositories` of a folder.
pub(crate) fn recovery(
    folder: &Path,
    store: &Arc<Store>,
    key_vaults: &Arc<KeyVaults>,
    prover: &Arc<NoProver>,
    clock: &Arc<TestClock>,
) -> Recovery {
    let images = folder.join("vm");
    fs::create_dir(&images).unwrap();
    let account = folder.join("storage");
    fs::create_dir(&account).unwrap();
    let backup = Caller {
        object_id: BACKUP_SERVICE.into(),
        tenant: TENANT.into(),
        name: "Backup Management Service".into(),
        ..Caller::default()
    };
    Recovery::new(Parts {
        place: kit::Place {
            tenant_id: TENANT.into(),
            subscription_id: SUBSCRIPTION.into(),
            location: "local".into(),
            geography: "eu".into(),
        },
        settings: Settings::default(),
        store: store.clone(),
        service_key: ServiceKey::create_file(&folder.join("service.key")).unwrap(),
        recovery_key: RecoveryPublicKey::from_pem(RECOVERY_KEY).unwrap(),
        repositories: folder.join("repositories"),
        driver: Arc::new(ImageDriver::new(vec![images.canonicalize().unwrap()])),
        keys: Arc::new(LocalKeyVaults::new(key_vaults.clone(), backup, prover.clone())),
        accounts: Arc::new(OneAccount(StorageAccount { name: "default".into(), folder: account })),
        clock: clock.clone(),
        software: "test".into(),
    })
}

/// The id of a machine in the group `default`.
pub(crate) fn machine_id(name: &str) -> String {
    format!("{}/providers/Microsoft.Compute/virtualMachines/{name}", group_id(DEFAULT_GROUP))
}

impl World {
    /// Makes an image of 64 KiB and returns its address.
    pub(crate) fn image(&self, name: &str) -> String {
        let path = self.folder().join("vm").canonicalize().unwrap().join(name);
        fs::write(&path, [7; 64 << 10]).unwrap();
        format!("file://{}", path.display())
    }

    /// The body of a machine with one image.
    pub(crate) fn machine_body(&self, name: &str) -> Value {
        json!({
            "location": "local",
            "properties": {
                "hardwareProfile": {"vmSize": "Standard_B1s"},
                "storageProfile": {
                    "osDisk": {"osType": "Linux", "name": "os", "createOption": "Attach",
                               "vhd": {"uri": self.image(&format!("{name}.raw"))}},
                },
            },
        })
    }

    /// Makes a machine as the operator.
    pub(crate) fn make_machine(&self, name: &str) -> Value {
        let token = self.arm_token(&self.operator);
        self.arm("PUT", &machine_id(name)).token(&token).json(&self.machine_body(name)).send().expect(201)
    }
}

/// The id of a Recovery Services vault in the group `default`.
pub(crate) fn recovery_vault_id(name: &str) -> String {
    format!("{}/providers/Microsoft.RecoveryServices/vaults/{name}", group_id(DEFAULT_GROUP))
}

/// The id of the item of a machine of the group `default`, in the vault `bv`.
pub(crate) fn item_id(machine: &str) -> String {
    let names = format!("iaasvmcontainerv2;{DEFAULT_GROUP};{machine}");
    format!(
        "{}/backupFabrics/Azure/protectionContainers/iaasvmcontainer;{names}/protectedItems/vm;{names}",
        recovery_vault_id("bv")
    )
}

/// What a client sends to have a machine protected, or its policy changed.
pub(crate) fn protection_body(machine: &str, policy: &str) -> Value {
    json!({"properties": {
        "protectedItemType": "Microsoft.Compute/virtualMachines",
        "policyId": format!("{}/backupPolicies/{policy}", recovery_vault_id("bv")),
        "sourceResourceId": machine_id(machine),
    }})
}

impl World {
    /// Makes the vault `bv` as the operator; returns his token.
    pub(crate) fn backup_vault(&self) -> String {
        let token = self.arm_token(&self.operator);
        let body = json!({"location": "local", "sku": {"name": "Standard"}, "properties": {}});
        self.arm("PUT", &recovery_vault_id("bv")).token(&token).json(&body).send().expect(201);
        token
    }

    /// Has a machine made and protected by the vault `bv`; returns the item's id.
    pub(crate) fn protect(&self, token: &str, machine: &str) -> String {
        self.make_machine(machine);
        let item = item_id(machine);
        let body = protection_body(machine, "DefaultPolicy");
        self.arm("PUT", &item).token(token).json(&body).send().expect(202);
        item
    }

    /// Backs an item up, here and now; returns the number of the recovery point.
    pub(crate) fn back_up(&self, item: &str) -> String {
        let item = item.parse().unwrap();
        let finished = self.recovery.backup(&item, None, &Silent, &Cancel::new()).unwrap();
        finished.result.unwrap().point.name
    }

    /// A machine `name` that names a secret and a key of the vault `kv1`, which is made and, where `is_granted`, read by
    /// the backup service.
    pub(crate) fn encrypted_machine(&self, name: &str, is_granted: bool) {
        self.make_machine(name);
        self.encrypt_machine(name, is_granted);
    }

    /// Has a machine name keys of the vault `kv1`, which is made.
    pub(crate) fn encrypt_machine(&self, name: &str, is_granted: bool) {
        let everything = policy(&self.operator, &["all"], &["all"]);
        let properties = json!({"accessPolicies": [everything], "enabledForDiskEncryption": true});
        self.make_vault("kv1", &properties);
        if is_granted {
            self.grant_backup_service();
        }
        let token = self.vault_token(&self.operator);
        let key = json!({"kty": "RSA", "key_size": 2048});
        let key = self.vault("POST", "/keys/kek/create").token(&token).json(&key).send().expect(200);
        let secret = json!({"value": "d3JhcHBlZA"});
        let secret = self.vault("PUT", "/secrets/bek").token(&token).json(&secret).send().expect(200);
        let mut body = self.machine_body(name);
        body["properties"]["storageProfile"]["osDisk"]["encryptionSettings"] = json!({
            "enabled": true,
            "diskEncryptionKey": {"secretUrl": secret["id"], "sourceVault": {"id": vault_id("kv1")}},
            "keyEncryptionKey": {"keyUrl": key["key"]["kid"], "sourceVault": {"id": vault_id("kv1")}},
        });
        let token = self.arm_token(&self.operator);
        self.arm("PUT", &machine_id(name)).token(&token).json(&body).send().expect(200);
    }

    /// Lets the backup service read the vault `kv1`.
    pub(crate) fn grant_backup_service(&self) {
        let mut backup = policy(&self.operator, &["get", "list", "backup"], &["get", "list", "backup"]);
        backup["objectId"] = json!(BACKUP_SERVICE);
        let token = self.arm_token(&self.operator);
        let target = format!("{}/accessPolicies/add", vault_id("kv1"));
        let body = json!({"properties": {"accessPolicies": [backup]}});
        self.arm("PUT", &target).token(&token).json(&body).send().expect(200);
    }
}
