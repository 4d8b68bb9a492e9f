//! Backup, loss of the keys, restore, keys back.

use std::{fs, os::unix::fs::PermissionsExt as _};

use super::*;

#[test]
fn keys_that_were_lost_come_back_from_a_recovery_point() {
    let (home, secret, key) = Home::protected();
    let item = home.ok("protection list")["items"][0].clone();
    assert_eq!((&item["protectionState"], &item["healthStatus"]), (&"IRPending".into(), &"Passed".into()));
    assert!(home.points().is_empty(), "enabling makes no recovery point");

    let first = home.ok("backup now --vault-name bv --item-name web");
    assert_eq!(first["status"], "Completed");
    assert_eq!(first["disks"][0]["keys"]["state"], "proven");
    let image = fs::read(home.world.path("vm/web.raw")).unwrap();
    let mut changed = image.clone();
    changed[20 << 20..][..65_536].fill(0x5a);
    fs::write(home.world.path("vm/web.raw"), &changed).unwrap();
    let second = home.ok("backup now --vault-name bv --item-name web --retain-until 2099-01-31");
    assert_eq!(second["disks"][0]["chunksNew"], 1, "only what changed is stored");
    let added = second["repositoryBytesAdded"].as_u64().unwrap();
    assert!(added < 256 << 10, "{added} bytes");
    let points = home.points();
    assert_eq!(points.len(), 2);
    assert_eq!(points[0]["name"], second["recoveryPoint"]["name"], "the newest first");
    assert_eq!(points[0]["expiry"], "2099-02-01T00:00:00Z");
    assert_eq!(points[0]["disks"][0]["keys"]["state"], "proven");
    assert_eq!(home.ok("protection list")["items"][0]["protectionState"], "Protected");

    // without --yes nothing is purged, and it is said what the points hold
    let deleted = home.ok("keyvault key delete --vault-name kv1 --name kek");
    assert_eq!(deleted["recoveryPointsWithCopies"], 2);
    let error = home.run("keyvault key purge --vault-name kv1 --name kek").refused(21, "Conflict");
    assert!(error["message"].as_str().unwrap().contains("2 recovery points"), "{error}");
    home.ok("keyvault key recover --vault-name kv1 --name kek");
    home.ok("keyvault key delete --vault-name kv1 --name kek");
    home.ok("keyvault key purge --vault-name kv1 --name kek --yes");
    home.ok("keyvault secret delete --vault-name kv1 --name bek");
    home.ok("keyvault secret purge --vault-name kv1 --name bek --yes");
    let run = home.run("restore disks --vault-name bv --item-name web").expect(3).json();
    assert_eq!(codes(&run["warnings"]), ["UserErrorKeyOrSecretNotFound"; 2]);
    let container = run["container"].as_str().unwrap();
    assert_eq!(run["files"], serde_json::json!(["config.json", "encryption.json", "azuredeploy.json"]));
    home.assert_restored(container, "web.raw", Some(DISK_KEY.as_bytes()));
    let mode = fs::metadata(format!("{container}/encryption.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    if let Some(mut qemu) = crate::world::tool("qemu-img") {
        let vhd = format!("{container}/os.vhd");
        let status =
            qemu.args(["compare", "-f", "vpc", "-F", "raw", &vhd]).arg(home.world.path("vm/web.raw"));
        assert!(status.stdout(std::process::Stdio::null()).status().unwrap().success());
    }
    let job = run["job"].as_str().unwrap();
    let shown = home.ok(&format!("job show {job}"));
    assert_eq!(shown["status"], "CompletedWithWarnings");
    assert_eq!(shown["propertyBag"]["Encryption Info Blob Name"], "encryption.json");

    // the key vault is gone as well: keys back into it are refused, and go into another one
    home.ok("keyvault delete --name kv1");
    home.ok("keyvault purge --name kv1 --yes");
    home.run(&format!("restore keys {job}")).refused(21, "UserErrorKeyVaultNotFound");
    let run = home.run("restore disks --vault-name bv --item-name web --rp-name latest").expect(3).json();
    assert_eq!(codes(&run["warnings"]), ["UserErrorKeyVaultNotFound"]);
    home.ok("keyvault create --name kv-new --enabled-for-disk-encryption true");
    let back = home.ok(&format!("restore keys {job} --vault kv-new --update-machine"));
    let (new_secret, new_key) = (&back["keys"][0]["secretUrl"], &back["keys"][0]["keyUrl"]);
    assert_eq!(back["keys"][0]["oldSecretUrl"], secret.as_str());
    assert_eq!(new_key, &key.replace("//kv1.", "//kv-new."), "name and version survive");
    assert!(new_secret.as_str().unwrap().starts_with("https://kv-new.vault.localhost/secrets/bek/"));
    home.ok("keyvault secret download --vault-name kv-new --name bek --file wrapped");
    home.ok("keyvault key unwrap --vault-name kv-new --name kek --file wrapped --to unwrapped");
    assert_eq!(fs::read(home.world.path("unwrapped")).unwrap(), DISK_KEY.as_bytes());
    let tags = home.ok("keyvault secret show --vault-name kv-new --name bek")["tags"].clone();
    assert_eq!(&tags["DiskEncryptionKeyEncryptionKeyURL"], new_key);
    assert_eq!(tags["DiskEncryptionKeyEncryptionAlgorithm"], "RSA-OAEP");

    // backups go on once access is given there
    let error = home.run("backup now --vault-name bv --item-name web");
    error.refused(21, "UserErrorKeyVaultPermissionsNotConfigured");
    let item = home.ok("protection list")["items"][0].clone();
    assert_eq!(item["healthStatus"], "ActionRequired");
    home.ok("keyvault access-policy from-template --name kv-new");
    home.ok("backup now --vault-name bv --item-name web");
    assert_eq!(home.ok("protection list")["items"][0]["healthStatus"], "Passed");

    // and the kit opens it all
    assert_eq!(home.ok("kit check --kit kit.json")["ok"], true);
    assert_eq!(home.ok("audit verify")["chains"].as_array().unwrap().len(), 3);
    assert_eq!(home.ok("vault reconcile --name bv")["items"][0]["adopted"], serde_json::json!([]));
}

#[test]
fn no_stored_byte_holds_the_disk_key() {
    let (home, ..) = Home::protected();
    home.ok("backup now --vault-name bv --item-name web");
    home.ok("restore disks --vault-name bv --item-name web");
    let mut folders = vec![home.world.path("home")];
    let mut searched = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = fs::read(&path).unwrap();
            searched += bytes.len();
            assert!(!bytes.windows(DISK_KEY.len()).any(|w| w == DISK_KEY.as_bytes()), "{}", path.display());
        }
    }
    assert!(searched > 1 << 20);
    // what the backup service did, by the audit
    let events = home.ok("audit list --writer keyvault --limit 500")["events"].clone();
    let mut did: Vec<_> = events
        .as_array()
        .unwrap()
        .iter()
        .filter(|e| e["event"]["callerName"] == "Backup Management Service")
        .map(|e| e["event"]["operation"].as_str().unwrap())
        .collect();
    did.sort_unstable();
    did.dedup();
    assert_eq!(did, ["backup", "get", "list", "prove"]);
}

#[test]
fn az_words_are_understood() {
    let home = Home::new();
    home.plain_image("web.raw", 7);
    home.ok("vm import --name web --os-disk vm/web.raw");
    home.ok("backup vault create --name bv --resource-group default");
    home.ok(
        "backup protection enable-for-vm --vault-name bv --vm web --policy-name DefaultPolicy -g default",
    );
    let now =
        home.ok("backup protection backup-now -v bv -c web -i web -g default --retain-until 31-01-2099");
    assert_eq!(now["disks"][0]["keys"]["state"], "notEncrypted");
    let policy = home.ok("backup policy show -v bv -n DefaultPolicy");
    assert_eq!(policy["properties"]["retentionPolicy"]["dailySchedule"]["retentionDuration"]["count"], 30);
    let run = home.ok("backup restore restore-disks -v bv -c web -i web -r latest");
    assert_eq!(run["files"], serde_json::json!(["config.json", "azuredeploy.json"]));
    home.assert_restored(run["container"].as_str().unwrap(), "web.raw", None);
    assert_eq!(home.ok("backup recoverypoint list -v bv -i web")["recoveryPoints"][0]["encrypted"], false);
}

#[test]
fn the_demonstration_ends_well_and_leaves_nothing() {
    if crate::world::tool("mkfs.ext4").is_none() && !std::path::Path::new("/usr/sbin/mkfs.ext4").exists() {
        return;
    }
    let world = World::empty();
    fs::create_dir(world.path("tmp")).unwrap();
    let mut command = world.command(&["demo", "--json", "--quiet"]);
    command.env("TMPDIR", world.path("tmp"));
    let run = world.run(command).expect(0).json();
    assert_eq!(run["ok"], true);
    assert_eq!(run["steps"].as_array().unwrap().len(), 13);
    assert_eq!(fs::read_dir(world.path("tmp")).unwrap().count(), 0);
}

#[cfg(feature = "failpoints")]
#[test]
fn the_demonstration_notices_a_wrong_disk() {
    if crate::world::tool("mkfs.ext4").is_none() && !std::path::Path::new("/usr/sbin/mkfs.ext4").exists() {
        return;
    }
    let world = World::empty();
    fs::create_dir(world.path("tmp")).unwrap();
    let mut command = world.command(&["demo", "--json", "--quiet"]);
    command.env("TMPDIR", world.path("tmp")).env("COFRE_DEMO_SABOTAGE", "1");
    world.run(command).refused(1, "DemoFailed");
    assert_eq!(fs::read_dir(world.path("tmp")).unwrap().count(), 0);
}
