//! Everything that is refused is refused with its code, and changes nothing.

use super::*;

#[test]
fn machines_that_cannot_be_protected() {
    let home = Home::new();
    let (secret, key) = home.make_keys("kv1");
    home.encrypted_image("web.raw", DISK_KEY, 1);
    home.ok("vault create --name bv");
    home.ok("vault create --name far --location elsewhere");
    let make = |name: &str, more: &str| {
        home.ok(format!("vm create --name {name} --os-disk vm/web.raw {more}").trim_end())
    };
    let enable =
        |vault: &str, name: &str| home.run(&format!("protection enable --vault-name {vault} --vm {name}"));
    let keys = format!("--secret-url {secret} --key-url {key}");
    make("web", &keys);
    make("bek-only", &format!("--secret-url {secret}"));
    let unversioned = secret.rsplit_once('/').unwrap().0;
    make("unversioned", &format!("--secret-url {unversioned} --key-url {key}"));
    make("swapped", &format!("--secret-url {key} --key-url {secret}"));
    make("no-vault", &keys.replace("//kv1.", "//nowhere."));
    make("running", &format!("{keys} --power-state running"));

    enable("bv", "nobody").refused(1, "BCMV2VMNotFound");
    enable("nowhere", "web").refused(1, "ResourceNotFound");
    enable("far", "web").refused(21, "UserErrorRegionMismatch");
    enable("bv", "bek-only").refused(21, "UserErrorEncryptedVmBekOnly");
    enable("bv", "unversioned").refused(21, "UserErrorKeyUrlNotVersioned");
    enable("bv", "swapped").refused(21, "UserErrorKeyUrlNotVersioned");
    enable("bv", "no-vault").refused(21, "UserErrorKeyVaultUnreachable");
    let error = enable("bv", "web").refused(21, "UserErrorKeyVaultPermissionsNotConfigured");
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("kv1: keys/get, keys/list, keys/backup, secrets/get, secrets/list")
    );
    home.ok("keyvault set-policy --name kv1 --spn 262044b1-e2ce-469f-a196-69ab7ada62d3 --key-permissions get list --secret-permissions get list");
    let error = enable("bv", "web").refused(21, "UserErrorKeyVaultPermissionsNotConfigured");
    assert!(error["message"].as_str().unwrap().contains("kv1: keys/backup ("), "{error}");
    home.ok("keyvault access-policy from-template --name kv1");
    home.ok("keyvault secret set-attributes --vault-name kv1 --name bek --enabled false");
    enable("bv", "web").refused(21, "UserErrorKeyVersionNotFound");
    home.ok("keyvault secret set-attributes --vault-name kv1 --name bek --enabled true");

    assert_eq!(home.ok("job list")["jobs"], serde_json::json!([]), "a refusal leaves no job");
    assert_eq!(home.ok("protection list")["items"], serde_json::json!([]));
    home.ok("protection enable --vault-name bv --vm web");
    home.ok("vault create --name second");
    enable("second", "web").refused(21, "UserErrorAlreadyProtected");
    home.run("vault delete --name bv --yes").refused(21, "Conflict");
    home.ok("vault delete --name second --yes");
    // a running machine can be protected, and not be read by its images
    home.ok("protection enable --vault-name bv --vm running");
    home.run("backup now --vault-name bv --item-name running").refused(21, "UserErrorVmNotInDesirableState");
}

#[test]
fn machines_and_names_that_cannot_be() {
    let home = Home::new();
    home.plain_image("web.raw", 3);
    let create = |line: &str| home.run(&format!("vm create {line}"));
    create("--name a/b --os-disk vm/web.raw").refused(21, "InvalidParameter");
    create("--name web --os-disk disk.key").refused(21, "ImageOutsideRoots");
    create("--name web --os-disk vm/missing.raw").refused(1, "ImageUnavailable");
    create("--name web --os-disk vm/web.raw,format=qcow2").refused(1, "ImageUnavailable");
    create("--name web --os-disk vm/web.raw --data-disk 64=vm/web.raw").refused(21, "InvalidParameter");
    create("--name web --os-disk vm/web.raw --data-disk 1=vm/web.raw --data-disk 1=vm/web.raw,name=x")
        .refused(21, "InvalidParameter");
    std::os::unix::fs::symlink(home.world.path("disk.key"), home.world.path("vm/link.raw")).unwrap();
    create("--name web --os-disk vm/link.raw").refused(21, "ImageOutsideRoots");
    create("--name web --os-disk vm/web.raw").expect(0);
    create("--name web --os-disk vm/web.raw").refused(21, "Conflict");
    home.run("vault create --name 1").refused(21, "InvalidParameter");
    let again = home.ok("init --kit other.json");
    assert_eq!((&again["created"], &again["clientSecret"]), (&false.into(), &serde_json::Value::Null));
    assert!(!home.world.path("other.json").exists(), "a home that is there stays as it is");
    home.run("init --location elsewhere").refused(21, "Conflict");
    home.run("vm delete --name web").refused(2, "UsageError");
    home.run("restore keys --file disk.key").refused(21, "InvalidParameter");
    home.run("job show nonsense").refused(1, "ResourceNotFound");
    let mut command = home.world.command(&["vault", "list", "--home", "nowhere", "--json"]);
    finish(command.spawn().unwrap()).refused(1, "ResourceNotFound");
    command = home.world.command(&["host", "deny-folder", "vm", "--home", "home", "--json"]);
    finish(command.spawn().unwrap()).expect(0);
    home.ok("vault create --name bv");
    home.run("protection check --vault-name bv --vm web").refused(21, "ImageOutsideRoots");
}

#[test]
fn what_cannot_be_made_of_an_encrypted_point() {
    let (home, ..) = Home::protected();
    home.run("restore disks --vault-name bv --item-name web").refused(1, "ResourceNotFound");
    home.ok("backup now --vault-name bv --item-name web");
    let restore = |mode: &str| {
        home.run(&format!("restore disks --vault-name bv --item-name web --restore-mode {mode}"))
    };
    let jobs = home.ok("job list")["jobs"].as_array().unwrap().len();
    restore("AlternateLocation").refused(21, "UserErrorNotAuthorizedOnSubscription");
    restore("OriginalLocation").refused(21, "UserErrorReplaceDiskEncrypted");
    home.run("restore disks --vault-name bv --item-name web --to missing")
        .refused(1, "UserErrorStorageAccountOffline");
    assert_eq!(home.ok("job list")["jobs"].as_array().unwrap().len(), jobs + 1, "only the one that began");
}

#[test]
fn keys_that_do_not_belong_to_the_disk_are_noticed_at_once() {
    let home = Home::new();
    let (secret, key) = home.make_keys("kv1");
    home.encrypted_image("web.raw", "another key than the one in the vault", 1);
    home.encrypted_image("plain.raw", DISK_KEY, 2);
    home.ok("vault create --name bv");
    home.ok("keyvault access-policy from-template --name kv1");
    home.ok(&format!("vm create --name web --os-disk vm/web.raw --secret-url {secret} --key-url {key}"));
    home.ok("vm create --name silent --os-disk vm/plain.raw");
    home.ok("protection enable --vault-name bv --vm web");
    home.ok("protection enable --vault-name bv --vm silent");
    let run = home.run("backup now --vault-name bv --item-name web").expect(3).json();
    assert_eq!(codes(&run["warnings"]), ["KeysDoNotOpenDisk"]);
    assert_eq!(run["disks"][0]["keys"]["state"], "doesNotOpen");
    let run = home.run("backup now --vault-name bv --item-name silent").expect(3).json();
    assert_eq!(codes(&run["warnings"]), ["KeysMissing"]);
    // a vault that is not for disk encryption cannot prove: captured. That the volume key changed and
    // the secret did not is said once
    home.encrypted_image("web.raw", DISK_KEY, 5);
    home.ok("keyvault update --name kv1 --enabled-for-disk-encryption false");
    let run = home.run("backup now --vault-name bv --item-name web").expect(3).json();
    assert_eq!(codes(&run["warnings"]), ["VolumeKeyChanged"]);
    assert_eq!(run["disks"][0]["keys"]["state"], "captured");
    let run = home.ok("backup now --vault-name bv --item-name web");
    assert_eq!(run["disks"][0]["keys"]["state"], "captured");
    home.ok("keyvault update --name kv1 --enabled-for-disk-encryption true");
    let run = home.ok("backup now --vault-name bv --item-name web");
    assert_eq!(run["disks"][0]["keys"]["state"], "proven");
}
