//! Key vaults: keys, secrets, policies, copies.

use std::{fs, os::unix::fs::PermissionsExt as _};

use super::*;

#[test]
fn keys_and_secrets_have_versions_and_rules() {
    let home = Home::new();
    home.make_keys("kv1");
    home.ok("keyvault key create --vault-name kv1 --name kek --size 3072");
    let versions = home.ok("keyvault key list-versions --vault-name kv1 --name kek");
    assert_eq!(versions["value"].as_array().unwrap().len(), 2);
    home.run("keyvault key create --vault-name kv1 --name kek --size 1024").refused(21, "InvalidParameter");
    home.run("keyvault key create --vault-name kv1 --name k_k").refused(21, "InvalidParameter");
    let wrap = |algorithm: &str| {
        home.run(&format!(
            "keyvault key wrap --vault-name kv1 --name kek --file disk.key --algorithm {algorithm}"
        ))
    };
    wrap("RSA1_5").refused(21, "InvalidParameter");
    for algorithm in ["RSA-OAEP", "RSA-OAEP-256"] {
        let wrapped = wrap(algorithm).expect(0).json()["result"].as_str().unwrap().to_owned();
        fs::write(home.world.path("wrapped"), wrapped + "\n").unwrap();
        let to = format!("plain-{algorithm}");
        home.ok(&format!(
            "keyvault key unwrap --vault-name kv1 --name kek --file wrapped --algorithm {algorithm} --to {to}"
        ));
        assert_eq!(fs::read(home.world.path(&to)).unwrap(), DISK_KEY.as_bytes());
        assert_eq!(fs::metadata(home.world.path(&to)).unwrap().permissions().mode() & 0o777, 0o600);
        home.run(&format!(
            "keyvault key unwrap --vault-name kv1 --name kek --file wrapped --algorithm {algorithm} --to {to}"
        ))
        .refused(21, "Conflict");
    }
    fs::write(home.world.path("garbage"), "!!!").unwrap();
    home.run("keyvault key unwrap --vault-name kv1 --name kek --file garbage --to x")
        .refused(21, "InvalidParameter");

    home.ok(
        "keyvault secret set --vault-name kv1 --name note --file disk.key --content-type text --tags a=b c=d",
    );
    let shown = home.ok("keyvault secret show --vault-name kv1 --name note");
    assert_eq!((&shown["contentType"], &shown["tags"]["c"]), (&"text".into(), &"d".into()));
    home.ok("keyvault secret download --vault-name kv1 --name note --file value");
    assert_eq!(fs::read(home.world.path("value")).unwrap(), DISK_KEY.as_bytes());
    home.run("keyvault secret show --vault-name kv1 --name nothing").refused(1, "ResourceNotFound");

    // the policy counts at once
    let operator =
        home.ok("keyvault show --name kv1")["accessPolicies"][0]["objectId"].as_str().unwrap().to_owned();
    home.ok(&format!("keyvault set-policy --name kv1 --object-id {operator} --secret-permissions list"));
    let error = home.run("keyvault secret show --vault-name kv1 --name note").refused(21, "Forbidden");
    assert!(error["message"].as_str().unwrap().contains("get"), "the missing permission is named: {error}");
    home.ok("keyvault secret list --vault-name kv1");
    home.ok(&format!("keyvault delete-policy --name kv1 --object-id {operator}"));
    home.run("keyvault secret list --vault-name kv1").refused(21, "Forbidden");
    // refusals are in the audit as well
    let events = home.ok("audit list --writer keyvault --limit 3")["events"].clone();
    assert!(events.as_array().unwrap().iter().any(|e| e["event"]["outcome"] == "refused"), "{events}");
}

#[test]
fn copies_open_in_the_same_subscription_alone() {
    let home = Home::new();
    let (_, key) = home.make_keys("kv1");
    home.ok("keyvault key backup --vault-name kv1 --name kek --file kek.blob");
    home.ok("keyvault secret backup --vault-name kv1 --name bek --file bek.blob");
    home.run("keyvault key restore --vault-name kv1 --file kek.blob").refused(21, "KeyVaultNameConflict");
    home.ok("keyvault create --name kv-other");
    let restored = home.ok("keyvault key restore --vault-name kv-other --file kek.blob");
    assert_eq!(restored["key"]["kid"], key.replace("//kv1.", "//kv-other."));
    home.ok("keyvault secret restore --vault-name kv-other --file bek.blob");
    home.run("keyvault secret restore --vault-name kv-other --file kek.blob")
        .refused(21, "KeyVaultBlobNotUsable");

    let stranger = Home::new();
    stranger.ok("keyvault create --name kv1");
    fs::copy(home.world.path("kek.blob"), stranger.world.path("kek.blob")).unwrap();
    stranger
        .run("keyvault key restore --vault-name kv1 --file kek.blob")
        .refused(21, "KeyVaultBlobNotUsable");
    let mut blob = fs::read(home.world.path("kek.blob")).unwrap();
    let middle = blob.len() / 2;
    blob[middle] ^= 1;
    fs::write(home.world.path("bent.blob"), blob).unwrap();
    home.ok("keyvault create --name kv-third");
    home.run("keyvault key restore --vault-name kv-third --file bent.blob")
        .refused(21, "KeyVaultBlobNotUsable");
    home.run("keyvault key restore --vault-name kv-third --file disk.key")
        .refused(21, "KeyVaultBlobNotUsable");
}

#[test]
fn a_home_whose_keys_are_exposed_or_gone_says_so() {
    let home = Home::new();
    for key in ["keyvault-root.key", "service.key"] {
        let path = home.world.path("home/keys").join(key);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        home.run("vault list").refused(1, "StateUnavailable");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let kept = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        home.run("vault list").refused(1, "StateUnavailable");
        fs::write(&path, "0".repeat(63)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        home.run("vault list").refused(1, "StateUnavailable");
        fs::write(&path, kept).unwrap();
    }
    home.ok("vault list");
    let other = fs::read(home.world.path("home/keys/service.key")).unwrap();
    fs::write(home.world.path("home/keys/keyvault-root.key"), other).unwrap();
    home.run("vault list").refused(1, "StateUnavailable");
    fs::write(home.world.path("home/config.json"), "{").unwrap();
    home.run("vault list").refused(1, "StateUnavailable");
}
