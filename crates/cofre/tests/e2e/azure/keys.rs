//! `az keyvault key`.

use std::fs;

use serde_json::json;

use super::{Az, Service, texts};

/// SHA-256 of `x`, and base64 of `hello`.
const DIGEST: &str = "LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE=";
const HELLO: &str = "aGVsbG8=";

#[test]
fn keys() {
    let service = Service::start();
    let az = service.operator_az();
    let location = service.fact("location");
    for (name, more) in [("kv1", "--retention-days 7"), ("kv2", "--enable-purge-protection true")] {
        let line = format!(
            "keyvault create -g default -n {name} -l {location} --enable-rbac-authorization false {more}"
        );
        az.done(&line);
    }
    let base = format!("{}/keys", service.vault_url("kv1"));

    // Made, twice: the second is a new version.
    let operations = "encrypt decrypt wrapKey unwrapKey sign verify";
    let line = format!(
        "keyvault key create --vault-name kv1 -n kek --kty RSA --size 3072 --ops {operations} --tags v=1"
    );
    let first = az.json(&line);
    let key = &first["key"];
    assert_eq!((&key["kty"], &first["tags"]), (&json!("RSA"), &json!({"v": "1"})));
    assert_eq!(texts(&key["keyOps"]), operations.split(' ').collect::<Vec<_>>());
    assert_eq!(first["attributes"]["recoveryLevel"], "CustomizedRecoverable+Purgeable");
    let old = key["kid"].as_str().unwrap().strip_prefix(&format!("{base}/kek/")).unwrap();
    assert!(old.len() == 32 && old.bytes().all(|b| b.is_ascii_hexdigit()), "{old}");
    let second = az.json("keyvault key create --vault-name kv1 -n kek");
    let new = second["key"]["kid"].clone();
    az.refused(
        "keyvault key create --vault-name kv1 -n weak --size 1024",
        1,
        &["BadParameter", "2048, 3072 or 4096 bits"],
    );
    az.refused("keyvault key create --vault-name kv1 -n ec --kty EC", 1, &["BadParameter", "use RSA"]);
    az.refused("keyvault key rotate --vault-name kv1 -n kek", 1, &["not rotated here", "new version"]);

    // Looked at, by name, by version, by id.
    assert_eq!(az.json("keyvault key show --vault-name kv1 -n kek --query key.kid"), new);
    assert_eq!(
        az.json(&format!("keyvault key show --vault-name kv1 -n kek -v {old} --query key.kid")),
        key["kid"]
    );
    assert_eq!(az.json(&format!("keyvault key show --id {base}/kek --query key.kid")), new);
    let versions = az.json("keyvault key list-versions --vault-name kv1 -n kek --query [].kid");
    let mut versions = texts(&versions);
    versions.sort_unstable();
    let mut wanted = [key["kid"].as_str().unwrap(), new.as_str().unwrap()];
    wanted.sort_unstable();
    assert_eq!(versions, wanted);
    az.refused(
        "keyvault key show --vault-name kv1 -n none",
        3,
        &["there is no key none in the key vault kv1"],
    );

    // Another's key.
    service.python("credentials.py", &[".", "issuer", "subject", "audience"]).expect(0);
    let line =
        "keyvault key import --vault-name kv1 -n imported --pem-file import.pem --ops encrypt decrypt verify";
    assert_eq!(az.json(line)["key"]["keyOps"], json!(["encrypt", "decrypt", "verify"]));
    assert_eq!(az.json("keyvault key list --vault-name kv1 --query [].name"), json!(["imported", "kek"]));
    az.done("keyvault key download --vault-name kv1 -n imported -f public.pem");
    let line = "keyvault key encrypt --vault-name kv1 -n imported --algorithm RSA-OAEP-256 --data-type base64 --value";
    let sealed = az.json(&format!("{line} {HELLO}"));
    let line = "keyvault key decrypt --vault-name kv1 -n imported --algorithm RSA-OAEP-256 --data-type base64 --value";
    assert_eq!(az.json(&format!("{line} {}", sealed["result"].as_str().unwrap()))["result"], HELLO);
    az.refused(&format!("{line} {HELLO}"), 1, &["BadParameter"]);
    let line = format!("keyvault key sign --vault-name kv1 -n imported --algorithm RS256 --digest {DIGEST}");
    az.refused(&line, 1, &["Forbidden", "sign"]);

    signatures(&az);
    attributes(&az);
    backups(&service, &az);
    deletion(&az);
}

fn signatures(az: &Az<'_>) {
    let line = format!("keyvault key sign --vault-name kv1 -n kek --algorithm RS256 --digest {DIGEST}");
    let signed = az.json(&line);
    let signature = signed["signature"].as_str().unwrap();
    let verify = |key: &str| {
        let line =
            format!("keyvault key verify --vault-name kv1 -n {key} --algorithm RS256 --digest {DIGEST}");
        az.json(&format!("{line} --signature {signature}"))["isValid"].clone()
    };
    assert_eq!((verify("kek"), verify("imported")), (json!(true), json!(false)));
    let line = format!("keyvault key sign --vault-name kv1 -n kek --algorithm RS512 --digest {DIGEST}");
    az.refused(&line, 1, &["BadParameter"]);
}

fn attributes(az: &Az<'_>) {
    let set = |what: &str| az.json(&format!("keyvault key set-attributes --vault-name kv1 -n kek {what}"));
    assert_eq!(set("--enabled false")["attributes"]["enabled"], false);
    let sign = format!("keyvault key sign --vault-name kv1 -n kek --algorithm RS256 --digest {DIGEST}");
    az.refused(&sign, 1, &["Forbidden", "is disabled"]);
    assert_eq!(
        set("--enabled true --expires 2020-01-01T00:00:00Z")["attributes"]["expires"],
        "2020-01-01T00:00:00+00:00"
    );
    let changed = set("--expires 2099-01-01T00:00:00Z --ops sign decrypt --tags a=b");
    assert_eq!(
        (&changed["key"]["keyOps"], &changed["tags"]),
        (&json!(["decrypt", "sign"]), &json!({"a": "b"}))
    );
    az.done(&sign);
}

fn backups(service: &Service, az: &Az<'_>) {
    let kid = az.json("keyvault key show --vault-name kv1 -n kek --query key.kid");
    az.done("keyvault key backup --vault-name kv1 -n kek -f kek.backup");
    let restored = az.json("keyvault key restore --vault-name kv2 -f kek.backup");
    let there = kid.as_str().unwrap().replace(&service.vault_url("kv1"), &service.vault_url("kv2"));
    assert_eq!((&restored["key"]["kid"], &restored["tags"]), (&json!(there), &json!({"a": "b"})));
    let versions = az.json("keyvault key list-versions --vault-name kv2 -n kek");
    assert_eq!(versions.as_array().unwrap().len(), 2);
    az.refused(
        "keyvault key restore --vault-name kv2 -f kek.backup",
        1,
        &["Conflict", "has a key kek already"],
    );

    // One bit is enough.
    let mut blob = fs::read(service.path("kek.backup")).unwrap();
    let middle = blob.len() / 2;
    blob[middle] ^= 1;
    fs::write(service.path("bad.backup"), blob).unwrap();
    az.refused(
        "keyvault key restore --vault-name kv2 -f bad.backup",
        1,
        &["BadParameter", "cannot be opened"],
    );
}

fn deletion(az: &Az<'_>) {
    let key = |verb: &str, vault: &str| format!("keyvault key {verb} --vault-name {vault} -n kek");
    let kid = az.json(&key("show", "kv1"))["key"]["kid"].clone();
    let gone = az.json(&key("delete", "kv1"));
    let recovery = gone["recoveryId"].as_str().unwrap();
    assert!(recovery.ends_with("/deletedkeys/kek"), "{recovery}");
    assert!(gone["scheduledPurgeDate"].as_str() > gone["deletedDate"].as_str(), "{gone:#}");
    az.refused(&key("show", "kv1"), 3, &["ObjectNotFound"]);
    az.refused(&key("create", "kv1"), 1, &["Conflict", "held by a deleted key", "recover it, or purge it"]);
    az.refused("keyvault key restore --vault-name kv1 -f kek.backup", 1, &["Conflict", "deleted"]);
    assert_eq!(
        az.json("keyvault key list-deleted --vault-name kv1 --query [].recoveryId"),
        json!([recovery])
    );
    assert_eq!(az.json(&key("show-deleted", "kv1"))["key"]["kid"], kid);
    assert_eq!(az.json(&key("recover", "kv1"))["key"]["kid"], kid);
    az.done(&format!("{} --query key.kid", key("show", "kv1")));

    // Purged and restored from its backup.
    az.done(&key("delete", "kv1"));
    az.done(&key("purge", "kv1"));
    az.refused(&key("show-deleted", "kv1"), 1, &["ObjectNotFound"]);
    assert_eq!(az.json("keyvault key restore --vault-name kv1 -f kek.backup")["key"]["kid"], kid);

    // The other vault protects what is deleted.
    az.done(&key("delete", "kv2"));
    az.refused(&key("purge", "kv2"), 1, &["Forbidden", "protects the key kek against purging"]);
}
