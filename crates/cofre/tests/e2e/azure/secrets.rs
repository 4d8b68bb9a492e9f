//! `az keyvault secret`, and what access policies allow.

use std::fs;

use serde_json::json;

use super::{Az, Service};

#[test]
fn secrets() {
    let service = Service::start();
    let az = service.operator_az();
    let location = service.fact("location");
    for (name, more) in [("kv1", ""), ("kv2", "--enable-purge-protection true")] {
        let line = format!(
            "keyvault create -g default -n {name} -l {location} --enable-rbac-authorization false {more}"
        );
        az.done(&line);
    }
    let base = format!("{}/secrets", service.vault_url("kv1"));

    let line = "keyvault secret set --vault-name kv1 -n bek --value aGVsbG8= --content-type 'Wrapped BEK' --tags \
                DiskEncryptionKeyEncryptionAlgorithm=RSA-OAEP DiskEncryptionKeyFileName=LinuxPassPhraseFileName";
    let first = az.json(line);
    assert_eq!((&first["value"], &first["contentType"]), (&json!("aGVsbG8="), &json!("Wrapped BEK")));
    assert_eq!(first["tags"]["DiskEncryptionKeyFileName"], "LinuxPassPhraseFileName");
    let first_id = first["id"].as_str().unwrap();
    let old = first_id.strip_prefix(&format!("{base}/bek/")).unwrap();
    let second =
        az.json("keyvault secret set --vault-name kv1 -n bek --value two --expires 2099-01-01T00:00:00Z");
    assert_eq!(second["attributes"]["expires"], "2099-01-01T00:00:00+00:00");
    assert_eq!(az.json("keyvault secret show --vault-name kv1 -n bek"), second);
    assert_eq!(
        az.json(&format!("keyvault secret show --vault-name kv1 -n bek -v {old} --query value")),
        "aGVsbG8="
    );
    assert_eq!(az.json(&format!("keyvault secret show --id {first_id} --query value")), "aGVsbG8=");
    let versions = az.json("keyvault secret list-versions --vault-name kv1 -n bek --query [].id");
    assert_eq!(versions.as_array().unwrap().len(), 2, "{versions:#}");
    assert!(versions.as_array().unwrap().contains(&first["id"]), "{versions:#}");
    az.refused(
        "keyvault secret show --vault-name kv1 -n none",
        3,
        &["there is no secret none in the key vault kv1"],
    );
    az.refused(
        "keyvault secret show --vault-name kv9 -n bek",
        3,
        &["VaultNotFound", "there is no key vault kv9"],
    );

    // Bytes from a file and back.
    let bytes: Vec<u8> = (0..=255).collect();
    fs::write(service.path("bytes"), &bytes).unwrap();
    az.done("keyvault secret set --vault-name kv1 -n file --file bytes --encoding base64");
    az.done("keyvault secret download --vault-name kv1 -n file -f again");
    assert_eq!(fs::read(service.path("again")).unwrap(), bytes);
    let listed = az.json("keyvault secret list --vault-name kv1");
    assert_eq!(
        (&listed[0]["id"], &listed[1]["id"]),
        (&json!(format!("{base}/bek")), &json!(format!("{base}/file")))
    );
    assert_eq!(listed[0].get("value"), None, "{listed:#}");

    let set = |what: &str| az.json(&format!("keyvault secret set-attributes --vault-name kv1 -n bek {what}"));
    let changed = set("--content-type text/plain --enabled false --tags c=d");
    assert_eq!((&changed["contentType"], &changed["tags"]), (&json!("text/plain"), &json!({"c": "d"})));
    az.refused("keyvault secret show --vault-name kv1 -n bek", 1, &["Forbidden", "is disabled"]);
    assert_eq!(set("--enabled true")["attributes"]["enabled"], true);
    assert_eq!(az.json("keyvault secret show --vault-name kv1 -n bek --query value"), "two");

    backups(&az);
    deletion(&az);
    access_policies(&service, &az);
    az.refused("keyvault certificate list --vault-name kv1", 1, &["BadParameter", "no certificates"]);
}

fn backups(az: &Az<'_>) {
    az.done("keyvault secret backup --vault-name kv1 -n bek -f bek.backup");
    az.done("keyvault secret restore --vault-name kv2 -f bek.backup");
    assert_eq!(az.json("keyvault secret show --vault-name kv2 -n bek --query value"), "two");
    let versions = az.json("keyvault secret list-versions --vault-name kv2 -n bek");
    assert_eq!(versions.as_array().unwrap().len(), 2);
    az.refused(
        "keyvault secret restore --vault-name kv2 -f bek.backup",
        1,
        &["Conflict", "has a secret bek already"],
    );
    // A backup of one kind is none of the other.
    az.refused(
        "keyvault key restore --vault-name kv2 -f bek.backup",
        1,
        &["BadParameter", "cannot be opened here"],
    );
}

fn deletion(az: &Az<'_>) {
    let secret = |verb: &str, vault: &str| format!("keyvault secret {verb} --vault-name {vault} -n bek");
    let gone = az.json(&secret("delete", "kv1"));
    assert!(gone["recoveryId"].as_str().unwrap().ends_with("/deletedsecrets/bek"), "{gone:#}");
    assert_eq!(gone.get("value").unwrap_or(&json!(null)), &json!(null), "{gone:#}");
    az.refused(&format!("{} --value x", secret("set", "kv1")), 1, &["Conflict", "held by a deleted secret"]);
    assert_eq!(az.json("keyvault secret list-deleted --vault-name kv1 --query [].name"), json!(["bek"]));
    assert_eq!(az.json(&secret("show-deleted", "kv1"))["recoveryId"], gone["recoveryId"]);
    az.done(&secret("recover", "kv1"));
    assert_eq!(az.json(&secret("show", "kv1"))["value"], "two");
    az.done(&secret("delete", "kv1"));
    az.done(&secret("purge", "kv1"));
    assert_eq!(az.json("keyvault secret list-deleted --vault-name kv1"), json!([]));
    az.done("keyvault secret restore --vault-name kv1 -f bek.backup");
    az.done(&secret("delete", "kv2"));
    az.refused(&secret("purge", "kv2"), 1, &["Forbidden", "protects the secret bek against purging"]);
}

/// What a policy does not allow is refused, and the refusal names it.
fn access_policies(service: &Service, az: &Az<'_>) {
    let operator = service.operator().object;
    let allow = |what: &str| az.done(&format!("keyvault set-policy -n kv1 --object-id {operator} {what}"));
    allow("--key-permissions get list --secret-permissions list");
    for (line, permission) in [
        ("secret show --vault-name kv1 -n bek", "secrets/get"),
        ("secret set --vault-name kv1 -n bek --value x", "secrets/set"),
        ("secret backup --vault-name kv1 -n bek -f no", "secrets/backup"),
        ("key create --vault-name kv1 -n kek", "keys/create"),
        ("key restore --vault-name kv1 -f bek.backup", "keys/restore"),
    ] {
        az.refused(
            &format!("keyvault {line}"),
            1,
            &["Forbidden", &format!("lacks {permission} on the key vault kv1")],
        );
    }
    assert!(!service.path("no").exists());
    assert_eq!(az.json("keyvault secret list --vault-name kv1 --query [].name"), json!(["bek", "file"]));
    allow("--secret-permissions get");
    az.done("keyvault secret show --vault-name kv1 -n bek");
    az.refused("keyvault secret list --vault-name kv1", 1, &["lacks secrets/list"]);
}
