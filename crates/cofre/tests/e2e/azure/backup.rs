//! `az backup`: an encrypted machine from its first protection to the disks that are had back.

use std::{fs, thread, time::Duration};

use base64ct::{Base64, Base64UrlUnpadded, Encoding as _};
use cofre_fde::{Limits, luks};
use serde_json::{Value, json};

use super::{Az, Service};
use crate::control::encrypted_image;

pub(super) const DISK_KEY: &str = "a-disk-key-that-nobody-may-ever-see-in-plain";
pub(super) const MACHINES: &str = "--backup-management-type AzureIaasVM --workload-type VM";
pub(super) const WEB: &str = "-c web -i web --backup-management-type AzureIaasVM --workload-type VM";

/// What is done in the vault `bv`.
pub(super) struct Vault<'a> {
    pub(super) az: Az<'a>,
}

impl Vault<'_> {
    pub(super) fn line(line: &str) -> String {
        format!("backup {line} -g default -v bv")
    }

    #[track_caller]
    pub(super) fn json(&self, line: &str) -> Value {
        self.az.json(&Self::line(line))
    }

    #[track_caller]
    pub(super) fn refused(&self, line: &str, parts: &[&str]) {
        self.az.refused(&Self::line(line), 1, parts);
    }

    /// Waits for the end of a job that a command printed, and returns it as it is then.
    #[track_caller]
    pub(super) fn ended(&self, job: &Value) -> Value {
        let name = job["name"].as_str().unwrap();
        for _ in 0..600 {
            let job = self.json(&format!("job show -n {name}"));
            let status = job["properties"]["status"].as_str().unwrap();
            if !matches!(status, "InProgress" | "Cancelling") {
                // The client's own waiting looks every half minute; of a job that is over it returns at once.
                self.json(&format!("job wait -n {name} --timeout 60"));
                return job["properties"].clone();
            }
            thread::sleep(Duration::from_millis(300));
        }
        panic!("the job {name} does not end");
    }

    #[track_caller]
    pub(super) fn back_up(&self) -> Value {
        let job = self.json("protection backup-now -c web -i web --backup-management-type AzureIaasVM --retain-until 31-12-2099");
        let job = self.ended(&job);
        assert_eq!((&job["operation"], &job["status"]), (&json!("Backup"), &json!("Completed")), "{job:#}");
        job
    }

    #[track_caller]
    pub(super) fn points(&self) -> Vec<Value> {
        self.json(&format!("recoverypoint list {WEB}")).as_array().unwrap().clone()
    }

    #[track_caller]
    pub(super) fn item(&self) -> Value {
        self.json(&format!("item show -c web -n web {MACHINES}"))["properties"].clone()
    }
}

/// A key vault that the operator may use, a key, and the disk key wrapped by it; returns the URLs of secret and key.
pub(super) fn keys(service: &Service, az: &Az<'_>) -> (Value, Value) {
    let location = service.fact("location");
    az.done(&format!(
        "keyvault create -g default -n kv1 -l {location} --enable-rbac-authorization false --enabled-for-disk-encryption true"
    ));
    let key =
        az.json("keyvault key create --vault-name kv1 -n kek --kty RSA --size 2048")["key"]["kid"].clone();
    let plain = Base64::encode_string(DISK_KEY.as_bytes());
    let wrapped = az.json(&format!(
        "keyvault key encrypt --vault-name kv1 -n kek -a RSA-OAEP --data-type base64 --value {plain} --query result"
    ));
    let wrapped = Base64::decode_vec(wrapped.as_str().unwrap()).unwrap();
    let secret = az.json(&format!(
        "keyvault secret set --vault-name kv1 -n bek --content-type 'Wrapped BEK' --value={} \
         --tags DiskEncryptionKeyEncryptionAlgorithm=RSA-OAEP DiskEncryptionKeyEncryptionKeyURL={} \
         DiskEncryptionKeyFileName=LinuxPassPhraseFileName --query id",
        Base64UrlUnpadded::encode_string(&wrapped),
        key.as_str().unwrap(),
    ));
    (secret, key)
}

pub(super) fn machine(service: &Service, secret: &Value, key: &Value) -> Value {
    let key_vault = json!({
        "id": format!("{}/resourceGroups/default/providers/Microsoft.KeyVault/vaults/kv1", service.subscription()),
    });
    json!({
        "location": service.fact("location"),
        "properties": {
            "hardwareProfile": {"vmSize": "Standard_B2s"},
            "storageProfile": {"osDisk": {
                "osType": "Linux",
                "name": "os",
                "createOption": "Attach",
                "vhd": {"uri": service.image_uri("web.raw")},
                "encryptionSettings": {
                    "enabled": true,
                    "diskEncryptionKey": {"secretUrl": secret, "sourceVault": key_vault},
                    "keyEncryptionKey": {"keyUrl": key, "sourceVault": key_vault},
                },
            }},
        },
    })
}

/// The folder that a job of restoring says the disks are in, below the account `default`.
fn container(service: &Service, job: &Value) -> std::path::PathBuf {
    let bag = &job["extendedInfo"]["propertyBag"];
    assert_eq!(bag["Target Storage Account Name"], "default", "{bag:#}");
    service.path("home/storage/default").join(bag["Config Blob Container Name"].as_str().unwrap())
}

#[test]
fn a2_a3_a4_a5_a9_a18_a20_the_whole_story() {
    let service = Service::start();
    let az = service.operator_az();
    let location = service.fact("location").to_owned();
    encrypted_image(&service.path("vm/web.raw"), DISK_KEY, 1);

    // A vault and a policy.
    let made = az.json(&format!("backup vault create -g default -n bv -l {location}"));
    assert_eq!(
        (&made["name"], &made["properties"]["provisioningState"]),
        (&json!("bv"), &json!("Succeeded"))
    );
    assert_eq!(az.json("backup vault list --query [].name"), json!(["bv"]));
    assert_eq!(az.json("backup vault show -g default -n bv --query id"), made["id"]);
    let (secret, key) = keys(&service, &az);
    az.put(&service.machine_id("web"), &machine(&service, &secret, &key));
    let vault = Vault { az };
    policies(&service, &vault);

    // Refused until the backup service may read the key vault, and it is said what it needs.
    assert_eq!(vault.az.json("backup protection check-vm -g default --vm web"), "");
    let enable = "protection enable-for-vm --vm web -p nightly";
    vault.refused(enable, &["UserErrorKeyVaultPermissionsNotConfigured", "kv1", "keys/backup"]);
    assert_eq!(vault.json("item list"), json!([]));
    assert_eq!(vault.json("job list"), json!([]));
    vault.az.done(&format!(
        "keyvault set-policy -n kv1 --object-id {} --key-permissions get list backup --secret-permissions get list backup",
        service.fact("backupServiceObjectId")
    ));
    let job = vault.json(enable);
    assert_eq!(job["properties"]["operation"], "ConfigureBackup", "{job:#}");
    assert_eq!(vault.ended(&job)["status"], "Completed");
    let item = vault.item();
    assert_eq!((&item["protectionState"], &item["policyName"]), (&json!("IRPending"), &json!("nightly")));
    assert!(vault.points().is_empty(), "enabling makes no recovery point");
    let protecting = vault.az.json("backup protection check-vm -g default --vm web");
    assert_eq!(protecting, made["id"]);
    assert_eq!(
        vault.json("container list --backup-management-type AzureIaasVM --query [].properties.friendlyName"),
        json!(["web"])
    );
    assert_eq!(
        vault.json("policy list-associated-items -n nightly --backup-management-type AzureIaasVM --query [].properties.friendlyName"),
        json!(["web"])
    );

    // Two backups, the second of what changed.
    vault.back_up();
    let first = vault.points()[0]["name"].as_str().unwrap().to_owned();
    let image = fs::read(service.path("vm/web.raw")).unwrap();
    let mut changed = image.clone();
    changed[20 << 20..][..65_536].fill(0x5a);
    fs::write(service.path("vm/web.raw"), &changed).unwrap();
    let job = vault.back_up();
    let size: u64 = job["extendedInfo"]["propertyBag"]["Backup Size"].as_str().unwrap().parse().unwrap();
    assert!(size < 256 << 10, "only what changed is stored: {size} bytes");
    let points = vault.points();
    assert_eq!(points.len(), 2);
    assert_eq!(points[1]["name"], json!(first), "the newest first");
    let point = points[0]["name"].as_str().unwrap();
    let shown = vault.json(&format!("recoverypoint show -n {point} {WEB}"));
    let properties = &shown["properties"];
    assert_eq!(properties["isSourceVMEncrypted"], true);
    // Addresses are kept without the port, which may be another one day.
    let port = format!(":{}", service.fact("armEndpoint").rsplit(':').next().unwrap());
    let plain = |url: &Value| json!(url.as_str().unwrap().replace(&port, ""));
    assert_eq!(properties["keyAndSecret"]["bekDetails"]["secretUrl"], plain(&secret));
    assert_eq!(properties["keyAndSecret"]["kekDetails"]["keyUrl"], plain(&key));
    assert!(properties["keyAndSecret"]["kekDetails"]["keyBackupData"].as_str().unwrap().len() > 500);
    let listed = vault.json("job list --operation Backup --status Completed --query [].properties.status");
    assert_eq!(listed, json!(["Completed", "Completed"]));
    assert_eq!(vault.json("job list --start-date 01-01-2001 --end-date 02-01-2001"), json!([]));
    assert_eq!(vault.item()["protectionState"], "Protected");
    vault.az.done(&Vault::line("item list -o table"));
    vault.az.done(&Vault::line("job list -o table"));
    vault.az.done(&Vault::line(&format!("recoverypoint list {WEB} -o table")));

    restores(&service, &vault, &first, &image);
    restored(&service, &vault, point, &changed);
    let over = vault.json("job list --query [0].name");
    vault.refused(&format!("job stop -n {}", over.as_str().unwrap()), &["UserErrorJobNotRunning"]);
    endings(&service, &vault);
    audit(&service);
}

#[test]
fn vaults_and_their_settings() {
    let service = Service::start();
    let vault = Vault { az: service.operator_az() };
    let az = &vault.az;
    az.done("group create -n other -l local");
    // The client asks for soft delete that cannot be switched off.
    az.done("backup vault create -g default -n bv -l local");
    let properties = "backup vault backup-properties";
    let shown = || az.json(&format!("{properties} show -g default -n bv --query [].properties"));
    let [storage, security] = [&shown()[0], &shown()[1]];
    assert_eq!(
        (&storage["storageModelType"], &storage["storageTypeState"]),
        (&json!("GeoRedundant"), &json!("Unlocked"))
    );
    assert_eq!(
        (&security["softDeleteFeatureState"], &security["softDeleteRetentionPeriodInDays"]),
        (&json!("AlwaysOn"), &json!(14))
    );
    az.done(&format!("{properties} set -g default -n bv --backup-storage-redundancy LocallyRedundant"));
    assert_eq!(shown()[0]["storageModelType"], "LocallyRedundant");
    // Made by another client, it can be.
    let other = format!(
        "{}/resourceGroups/other/providers/Microsoft.RecoveryServices/vaults/bv3",
        service.subscription()
    );
    az.put(&other, &json!({"location": "local", "properties": {}}));
    az.done(&format!("{properties} set -g other -n bv3 --soft-delete-feature-state Disable"));
    let state = format!("{properties} show -g other -n bv3 --query [1].properties.softDeleteFeatureState");
    assert_eq!(az.json(&state), "Disabled");
    az.done("backup vault delete -g other -n bv3 --yes");
    assert_eq!(az.json("backup vault update -g default -n bv --tags a=b --query tags"), json!({"a": "b"}));
    assert_eq!(az.json("backup vault list -g other"), json!([]));
    az.refused("backup vault create -g other -n bv -l local", 1, &["Conflict", "bv"]);
    az.refused("backup vault create -g other -n bv2 -l mars", 1, &["InvalidParameter", "mars"]);
    az.refused("backup vault show -g default -n none", 3, &["ResourceNotFound"]);

    fs::write(service.path("policy.json"), vault.json("policy get-default-for-vm").to_string()).unwrap();
    vault.json(&format!("policy create -n weekly --policy @policy.json {MACHINES}"));
    vault.az.done(&Vault::line("policy delete -n weekly"));
    assert_eq!(vault.json("policy list --query [].name"), json!(["DefaultPolicy"]));
    vault.refused("policy delete -n DefaultPolicy", &["DefaultPolicy"]);

    // Whoever may only look is told what he lacks.
    let watcher = service.principal("watcher");
    service.cofre(&format!("role assignment create --assignee {} --role 'Backup Reader'", watcher.object));
    let looks = service.az("watcher");
    looks.login(&watcher);
    assert_eq!(looks.json("backup vault list --query [].name"), json!(["bv"]));
    looks.refused(
        "backup vault delete -g default -n bv --yes",
        1,
        &["AuthorizationFailed", "Microsoft.RecoveryServices/vaults/delete"],
    );
    az.done("backup vault delete -g default -n bv --yes");
    assert_eq!(az.json("backup vault list"), json!([]));
}

fn policies(service: &Service, vault: &Vault<'_>) {
    let default = vault.json("policy get-default-for-vm");
    assert_eq!(default["name"], "DefaultPolicy");
    let mut nightly = default.clone();
    nightly["properties"]["retentionPolicy"]["dailySchedule"]["retentionDuration"]["count"] = json!(45);
    fs::write(service.path("policy.json"), nightly.to_string()).unwrap();
    let made = vault.json(&format!("policy create -n nightly --policy @policy.json {MACHINES}"));
    assert_eq!(made["name"], "nightly", "{made:#}");
    let count = "properties.retentionPolicy.dailySchedule.retentionDuration.count";
    assert_eq!(vault.json(&format!("policy show -n nightly --query {count}")), 45);
    nightly["name"] = json!("nightly");
    nightly["properties"]["retentionPolicy"]["dailySchedule"]["retentionDuration"]["count"] = json!(60);
    fs::write(service.path("policy.json"), nightly.to_string()).unwrap();
    vault.json("policy set -n nightly --policy @policy.json");
    assert_eq!(vault.json(&format!("policy show -n nightly --query {count}")), 60);
    assert_eq!(
        vault.json(&format!("policy list {MACHINES} --query [].name")),
        json!(["DefaultPolicy", "nightly"])
    );
    nightly["properties"]["retentionPolicy"]["dailySchedule"]["retentionDuration"]["count"] = json!(0);
    fs::write(service.path("policy.json"), nightly.to_string()).unwrap();
    vault.refused("policy set -n nightly --policy @policy.json", &["count"]);
}

/// Disks of a point come back as they were; what cannot be made of an encrypted one is refused.
fn restores(service: &Service, vault: &Vault<'_>, point: &str, image: &[u8]) {
    let restore = format!("restore restore-disks -c web -i web -r {point} --storage-account default");
    vault.refused(&format!("{restore} --restore-mode OriginalLocation"), &["UserErrorReplaceDiskEncrypted"]);
    vault.refused(
        &format!("restore files mount-rp -c web -i web -r {point}"),
        &["UserErrorFileRecoveryEncrypted"],
    );
    vault
        .refused("restore restore-disks -c web -i web -r 1 --storage-account default", &["ResourceNotFound"]);
    restored(service, vault, point, image);
}

/// The disk of a point comes back as it was, with all that belongs to it.
fn restored(service: &Service, vault: &Vault<'_>, point: &str, image: &[u8]) {
    let restore = format!("restore restore-disks -c web -i web -r {point} --storage-account default");
    let job = vault.ended(&vault.json(&format!("{restore} --target-resource-group default")));
    assert_eq!((&job["operation"], &job["status"]), (&json!("Restore"), &json!("Completed")), "{job:#}");
    let folder = container(service, &job);
    let vhd = fs::read(folder.join("os.vhd")).unwrap();
    let disk = &vhd[..vhd.len() - 512];
    assert!(disk == image, "the disk is not what was backed up");
    luks::unlock(&disk, DISK_KEY.as_bytes(), &Limits::default()).unwrap();
    for file in ["config.json", "encryption.json", "azuredeploy.json"] {
        assert!(folder.join(file).exists(), "{file}");
    }
}

/// Stopped, resumed, deleted, had back, and gone.
fn endings(service: &Service, vault: &Vault<'_>) {
    vault.az.refused(
        "backup vault delete -g default -n bv --yes",
        1,
        &["existing resources within the vault", "web"],
    );
    vault.json(&format!("protection disable {WEB} --yes"));
    let item = vault.item();
    assert_eq!((&item["protectionState"], &item["policyName"]), (&json!("ProtectionStopped"), &json!("")));
    let point = vault.points()[0]["name"].as_str().unwrap().to_owned();
    let restore = format!("restore restore-disks -c web -i web -r {point} --storage-account default");
    assert_eq!(vault.ended(&vault.json(&restore))["status"], "Completed", "what was backed up is kept");
    vault.json(&format!("protection resume {WEB} -p DefaultPolicy"));
    assert_eq!(vault.item()["policyName"], "DefaultPolicy");
    vault.json(&format!("item set-policy -c web -n web {MACHINES} -p nightly"));
    assert_eq!(vault.item()["policyName"], "nightly");

    let job = vault.json(&format!("protection disable {WEB} --delete-backup-data true --yes"));
    assert_eq!(vault.ended(&job)["operation"], "DeleteBackupData");
    assert_eq!(vault.item()["isScheduledForDeferredDelete"], true);
    let deleted =
        "backup vault list-soft-deleted-containers -g default -n bv --backup-management-type AzureIaasVM";
    assert_eq!(vault.az.json(&format!("{deleted} --query [].properties.friendlyName")), json!(["web"]));
    let run = vault.az.run(&Vault::line(&restore));
    assert_ne!(run.code, Some(0), "nothing is restored of what is deleted: {run:#?}");
    let run = vault.az.run(&Vault::line(&format!("protection resume {WEB} -p DefaultPolicy")));
    assert_ne!(run.code, Some(0), "nothing is resumed that is deleted: {run:#?}");
    assert_eq!(vault.item()["protectionState"], "ProtectionStopped");
    vault.json(&format!("protection undelete {WEB}"));
    let item = vault.item();
    assert_eq!(item["protectionState"], "ProtectionStopped");
    assert_ne!(item["isScheduledForDeferredDelete"], true);
    assert_eq!(vault.ended(&vault.json(&restore))["status"], "Completed");
    assert!(service.path("vm/web.raw").exists());
}

/// The audit names who asked, with his request.
fn audit(service: &Service) {
    let events = service.cofre("audit list --writer recovery --limit 500");
    let of = |operation: &str| {
        let all = events["events"].as_array().unwrap();
        let found = all.iter().find(|event| event["event"]["operation"] == operation);
        found.unwrap_or_else(|| panic!("{operation} in {events:#}"))["event"].clone()
    };
    for operation in ["vault.create", "machine.register", "protection.enable"] {
        let caller = &of(operation)["caller"];
        assert_eq!(caller["objectId"], json!(service.operator().object), "{operation}");
        assert!(caller["requestId"].as_str().is_some_and(|id| id.len() == 36), "{operation}: {caller}");
    }
    // The backup service reads what it was granted, copies it, and tries it: no more.
    let events = service.cofre("audit list --writer keyvault --limit 1000");
    let all = events["events"].as_array().unwrap().iter().map(|event| &event["event"]);
    let mut did: Vec<_> = all
        .filter(|event| event["callerName"] == "Backup Management Service")
        .map(|event| event["operation"].as_str().unwrap())
        .collect();
    did.sort_unstable();
    did.dedup();
    assert_eq!(did, ["backup", "get", "list", "prove"]);
    assert_eq!(service.cofre("audit verify")["chains"].as_array().unwrap().len(), 3);
}
