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
fn what_is_deleted_comes_back_or_goes_for_good() {
    let home = Home::new();
    let (secret, key) = home.make_keys("kv1");
    home.ok("keyvault secret backup --vault-name kv1 --name bek --file bek.blob");
    for (kind, name, url) in [("key", "kek", &key), ("secret", "bek", &secret)] {
        let run = |what: &str| home.run(&format!("keyvault {kind} {what} --vault-name kv1 --name {name}"));
        let listed = || home.ok(&format!("keyvault {kind} list-deleted --vault-name kv1"))["value"].clone();
        run("purge --yes").refused(1, "ResourceNotFound");
        run("recover").refused(1, "ResourceNotFound");
        let deleted = run("delete").expect(0).json();
        assert_eq!((&deleted["deleted"], &deleted["recoveryPointsWithCopies"]), (&name.into(), &0.into()));
        run("show").refused(1, "ResourceNotFound");
        run("delete").refused(1, "ResourceNotFound");
        let shown = run("show-deleted").expect(0).json();
        assert_eq!(shown["recoveryId"], format!("https://kv1.vault.localhost/deleted{kind}s/{name}"));
        assert_eq!(
            (&shown["id"], &shown["scheduledPurgeDate"]),
            (&url.as_str().into(), &deleted["scheduledPurgeDate"])
        );
        assert_eq!(shown["attributes"]["recoveryLevel"], "Recoverable+Purgeable");
        assert_eq!((listed().as_array().unwrap().len(), &listed()[0]), (1, &shown));
        run("recover").expect(0);
        assert_eq!(listed(), serde_json::json!([]));
        run("show").expect(0);
        run("delete --yes").expect(0);
    }
    home.run("keyvault key create --vault-name kv1 --name kek").refused(21, "KeyVaultNameConflict");
    home.run("keyvault secret set --vault-name kv1 --name bek --file disk.key")
        .refused(21, "KeyVaultNameConflict");
    home.run("keyvault secret restore --vault-name kv1 --file bek.blob").refused(21, "KeyVaultNameConflict");
    home.run("keyvault secret purge --vault-name kv1 --name bek").refused(21, "Conflict");
    home.ok("keyvault secret purge --vault-name kv1 --name bek --yes");
    home.ok("keyvault secret restore --vault-name kv1 --file bek.blob");
    assert_eq!(home.ok("keyvault purge-due")["purged"], 0);

    home.ok("keyvault delete --name kv1");
    home.run("keyvault show --name kv1").refused(1, "ResourceNotFound");
    home.run("keyvault secret show --vault-name kv1 --name bek").refused(1, "ResourceNotFound");
    home.run("keyvault create --name kv1").refused(21, "KeyVaultNameConflict");
    assert_eq!(home.ok("keyvault list")["keyVaults"], serde_json::json!([]));
    let shown = home.ok("keyvault show-deleted --name kv1");
    assert_eq!(home.ok("keyvault list-deleted")["deletedKeyVaults"], serde_json::json!([shown]));
    home.ok("keyvault recover --name kv1");
    home.ok("keyvault secret show --vault-name kv1 --name bek");
    home.ok("keyvault key show-deleted --vault-name kv1 --name kek");
    home.ok("keyvault delete --name kv1");
    home.run("keyvault purge --name kv1").refused(21, "Conflict");
    home.ok("keyvault purge --name kv1 --yes");
    home.run("keyvault recover --name kv1").refused(1, "ResourceNotFound");
    home.ok("keyvault create --name kv1");
    assert_eq!(home.ok("keyvault key list-deleted --vault-name kv1")["value"], serde_json::json!([]));
    home.ok("audit verify");
}

#[test]
fn protection_and_roles_are_chosen_with_the_key_vault() {
    let home = Home::new();
    home.run("keyvault create --name kv1 --retention-days 6").refused(21, "InvalidParameter");
    home.ok("keyvault create --name kv1 --retention-days 7 --enable-purge-protection true");
    home.ok("keyvault key create --vault-name kv1 --name kek");
    home.ok("keyvault key delete --vault-name kv1 --name kek");
    let shown = home.ok("keyvault key show-deleted --vault-name kv1 --name kek");
    assert_eq!(shown["attributes"]["recoveryLevel"], "CustomizedRecoverable");
    assert_eq!(shown["attributes"]["recoverableDays"], 7);
    home.run("keyvault key purge --vault-name kv1 --name kek --yes").refused(21, "Forbidden");
    home.run("keyvault update --name kv1 --enable-purge-protection false").refused(21, "InvalidParameter");
    home.run("keyvault update --name kv1 --retention-days 8").refused(21, "InvalidParameter");
    home.ok("keyvault update --name kv1 --retention-days 7");
    home.ok("keyvault delete --name kv1");
    home.run("keyvault purge --name kv1 --yes").refused(21, "Forbidden");

    let made = home.ok("keyvault create --name kv-roles --enable-rbac-authorization");
    assert_eq!(
        (&made["enableRbacAuthorization"], &made["accessPolicies"]),
        (&true.into(), &serde_json::json!([]))
    );
    let error = home.run("keyvault key list --vault-name kv-roles").refused(21, "Forbidden");
    assert!(error["message"].as_str().unwrap().contains("assign a role"), "{error}");
    home.run("keyvault access-policy from-template --name kv-roles").refused(21, "Conflict");
    home.ok("keyvault update --name kv-roles --enable-rbac-authorization false");
    home.ok("keyvault access-policy from-template --name kv-roles");
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
