use std::collections::BTreeSet;

use cofre_arm::Problem;
use cofre_compute::{OsType, VirtualMachine};
use cofre_recovery::outputs::{
    TemplateCutoffs,
    template::{has_template, template},
};
use jiff::Timestamp;
use serde_json::Value;

use crate::models::{captured, double_pass, key_url, machine, restored, secret_url, single_pass};

const COMMON: [&str; 7] = [
    "VirtualMachineName",
    "VirtualNetwork",
    "VirtualNetworkResourceGroup",
    "networkInterfacePrefixName",
    "osDiskName",
    "publicIpAddressName",
    "subnet",
];
const DATA_DISKS: [&str; 2] = ["dataDisk0Name", "dataDisk3Name"];
const KEYS: [&str; 4] = ["secretUrl", "secretVaultId", "keyUrl", "keyVaultId"];

fn made(machine: &VirtualMachine, with_keys: bool) -> Value {
    let keys = with_keys.then(|| captured(machine).0);
    let made = template(machine, &restored(machine), keys.as_ref()).unwrap();
    serde_json::from_slice(&made).unwrap()
}

fn parameters(template: &Value) -> BTreeSet<&str> {
    template["parameters"].as_object().unwrap().keys().map(String::as_str).collect()
}

fn of_kind<'a>(template: &'a Value, kind: &str) -> Vec<&'a Value> {
    template["resources"].as_array().unwrap().iter().filter(|r| r["type"] == kind).collect()
}

/// Every expression in a value.
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) if text.starts_with('[') && text.ends_with(']') && !text.starts_with("[[") => {
            found.push(text.clone());
        }
        Value::Array(list) => list.iter().for_each(|v| expressions(v, found)),
        Value::Object(members) => members.values().for_each(|v| expressions(v, found)),
        _ => {}
    }
}

/// Parameters used are those declared; what a resource depends on is made, and what it names by id and
/// is made here, it depends on.
fn is_coherent(template: &Value) {
    let mut used = BTreeSet::new();
    let mut all = Vec::new();
    expressions(&template["resources"], &mut all);
    for expression in &all {
        assert_eq!(expression.matches('(').count(), expression.matches(')').count(), "{expression}");
        for part in expression.split("parameters('").skip(1) {
            used.insert(part.split('\'').next().unwrap());
        }
    }
    assert_eq!(used, parameters(template));
    let resources = template["resources"].as_array().unwrap();
    let id = |r: &Value| {
        let name = r["name"].as_str().unwrap();
        let inside = &name[1..name.len() - 1];
        format!("[resourceId('{}', {inside})]", r["type"].as_str().unwrap())
    };
    let ids: BTreeSet<_> = resources.iter().map(id).collect();
    assert_eq!(ids.len(), resources.len());
    for resource in resources {
        let mut named = Vec::new();
        expressions(&resource["properties"], &mut named);
        let named: BTreeSet<_> = named.into_iter().filter(|e| ids.contains(e)).collect();
        let depends = resource.get("dependsOn").and_then(Value::as_array).cloned().unwrap_or_default();
        let depends: BTreeSet<_> = depends.iter().map(|v| v.as_str().unwrap().to_owned()).collect();
        assert_eq!(named, depends, "{resource}");
    }
}

#[test]
fn an_unencrypted_machine() {
    let template = made(&machine(OsType::Linux), false);
    is_coherent(&template);
    assert_eq!(parameters(&template), COMMON.into_iter().chain(DATA_DISKS).collect());
    assert!(!template.to_string().contains("ncryption"));
}

#[test]
fn settings_of_the_machine_come_from_parameters() {
    for with_keys in [true, false] {
        let template = made(&double_pass(), with_keys);
        is_coherent(&template);
        assert_eq!(parameters(&template), COMMON.into_iter().chain(DATA_DISKS).chain(KEYS).collect());
        let default = |name: &str| template["parameters"][name]["defaultValue"].as_str().unwrap().to_owned();
        assert_eq!(default("secretUrl"), secret_url("bek"));
        assert_eq!(default("keyUrl"), key_url(crate::models::KEY_VERSION));
        assert!(
            default("secretVaultId").ends_with("/vaults/kv1")
                && default("keyVaultId").ends_with("/vaults/kv2")
        );
        let vm = of_kind(&template, "Microsoft.Compute/virtualMachines")[0];
        let os_disk = &vm["properties"]["storageProfile"]["osDisk"];
        assert_eq!(os_disk["createOption"], "Attach");
        let settings = &os_disk["encryptionSettings"];
        assert_eq!(settings["enabled"], true);
        assert_eq!(settings["diskEncryptionKey"]["secretUrl"], "[parameters('secretUrl')]");
        assert_eq!(settings["keyEncryptionKey"]["sourceVault"]["id"], "[parameters('keyVaultId')]");
        assert!(!template.to_string().contains("encryptionSettingsCollection"));
    }
}

#[test]
fn disks_are_imported_in_their_sizes_and_attached_where_they_were() {
    let template = made(&double_pass(), true);
    let disks = of_kind(&template, "Microsoft.Compute/disks");
    let said: Vec<_> = disks
        .iter()
        .map(|d| {
            let p = &d["properties"];
            assert_eq!(p["creationData"]["createOption"], "Import");
            let uri = p["creationData"]["sourceUri"].as_str().unwrap().rsplit('/').next().unwrap();
            (uri, p["diskSizeGB"].as_u64().unwrap(), p["osType"].as_str())
        })
        .collect();
    assert_eq!(said, [("os.vhd", 2, Some("Linux")), ("data.vhd", 1, None), ("logs.vhd", 2, None)]);
    let vm = of_kind(&template, "Microsoft.Compute/virtualMachines")[0];
    let attached = vm["properties"]["storageProfile"]["dataDisks"].as_array().unwrap();
    assert_eq!(attached.iter().map(|d| d["lun"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 3]);
    assert_eq!(attached[1]["name"], "[parameters('dataDisk3Name')]");
    assert_eq!(vm["tags"]["note"], "[[resourceGroup().id]", "a tag is no expression");
}

#[test]
fn settings_of_disks_travel_with_the_disks() {
    let template = made(&single_pass(), true);
    is_coherent(&template);
    let own = ["dataDisk3SecretUrl", "dataDisk3SecretVaultId", "dataDisk3KeyUrl", "dataDisk3KeyVaultId"];
    let wanted: BTreeSet<_> = COMMON.into_iter().chain(DATA_DISKS).chain(KEYS).chain(own).collect();
    assert_eq!(parameters(&template), wanted);
    let secrets: Vec<_> = of_kind(&template, "Microsoft.Compute/disks")
        .iter()
        .map(|d| {
            let collection = &d["properties"]["encryptionSettingsCollection"];
            assert_eq!(collection["encryptionSettingsVersion"], "1.1");
            collection["encryptionSettings"][0]["diskEncryptionKey"]["secretUrl"].as_str().unwrap()
        })
        .collect();
    let os = "[parameters('secretUrl')]";
    assert_eq!(secrets, [os, os, "[parameters('dataDisk3SecretUrl')]"]);
    let vm = of_kind(&template, "Microsoft.Compute/virtualMachines")[0];
    assert_eq!(vm["properties"]["storageProfile"]["osDisk"].get("encryptionSettings"), None);
}

#[test]
fn a_secret_that_no_key_wraps() {
    let mut machine = double_pass();
    machine.encryption_settings.as_mut().unwrap().key_encryption_key = None;
    let template = made(&machine, false);
    is_coherent(&template);
    assert!(!parameters(&template).contains("keyUrl"));
}

#[test]
fn without_the_disk_to_boot_from_there_is_none() {
    let machine = machine(OsType::Linux);
    let error = template(&machine, &restored(&machine)[1..], None).unwrap_err();
    assert_eq!(error.problem(), Problem::TemplateNotAvailable);
}

#[test]
fn points_from_the_cutoff_on_have_one() {
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let cutoffs = TemplateCutoffs::default();
    assert!(!has_template(at("2017-04-26T23:59:59.999999999Z"), cutoffs.of(true)));
    assert!(has_template(at("2017-04-27T00:00:00Z"), cutoffs.of(true)));
    assert!(!has_template(at("2017-03-01T23:59:59Z"), cutoffs.of(false)));
    assert!(has_template(at("2017-03-02T00:00:00Z"), cutoffs.of(false)));
    let set: TemplateCutoffs = serde_json::from_str(r#"{"encrypted": "2018-01-01T00:00:00Z"}"#).unwrap();
    assert_eq!(set, TemplateCutoffs { encrypted: at("2018-01-01T00:00:00Z"), ..cutoffs });
}
