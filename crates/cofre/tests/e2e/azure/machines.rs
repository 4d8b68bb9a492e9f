//! `az vm`: machines as resources.

use std::fs;

use serde_json::json;

use super::Service;

#[test]
fn machines() {
    let service = Service::start();
    let az = service.operator_az();
    fs::write(service.path("vm/web.qcow2-not"), [7; 1 << 20]).unwrap();
    fs::write(service.path("vm/data.raw"), [8; 1 << 20]).unwrap();
    az.refused("vm show -g default -n web", 3, &["ResourceNotFound"]);
    assert_eq!(az.json("vm list"), json!([]));

    let disk = |name: &str| json!({"name": name, "vhd": {"uri": service.image_uri(name)}});
    let mut os_disk = disk("web.qcow2-not");
    os_disk["osType"] = json!("Linux");
    let mut data_disk = disk("data.raw");
    data_disk["lun"] = json!(1);
    let body = json!({
        "location": service.fact("location"),
        "tags": {"owner": "night-shift"},
        "properties": {
            "hardwareProfile": {"vmSize": "Standard_B2s"},
            "storageProfile": {"osDisk": os_disk, "dataDisks": [data_disk]},
            "instanceView": {"statuses": [{"code": "PowerState/stopped"}]},
        },
    });
    let made = az.put(&service.machine_id("web"), &body);
    assert_eq!(
        (&made["name"], &made["properties"]["provisioningState"]),
        (&json!("web"), &json!("Succeeded"))
    );

    let shown = az.json("vm show -g default -n web");
    assert_eq!(shown["id"], json!(service.machine_id("web")));
    assert_eq!(shown["hardwareProfile"]["vmSize"], "Standard_B2s");
    assert_eq!(shown["storageProfile"]["osDisk"]["osType"], "Linux");
    assert_eq!(shown["storageProfile"]["osDisk"]["vhd"]["uri"], json!(service.image_uri("web.qcow2-not")));
    assert_eq!(shown["storageProfile"]["dataDisks"][0]["lun"], 1);
    assert_eq!(az.json("vm show -d -g default -n web --query powerState"), "VM stopped");
    assert_eq!(az.json("vm list --query [].name"), json!(["web"]));
    assert_eq!(az.json("vm list -d -g default --query [].powerState"), json!(["VM stopped"]));
    assert_eq!(
        az.json("resource list --resource-type Microsoft.Compute/virtualMachines --query [].name"),
        json!(["web"])
    );
    assert_eq!(
        az.json("vm get-instance-view -g default -n web --query instanceView.statuses[1].code"),
        "PowerState/stopped"
    );
    az.refused("vm start -g default -n web", 3, &["ResourceNotFound", "machines run elsewhere"]);
    az.refused("group delete -n default --yes", 1, &["Conflict", "virtualmachines/web"]);
    az.done("vm delete -g default -n web --yes");
    assert_eq!(az.json("vm list"), json!([]));
    assert!(service.path("vm/data.raw").exists(), "images stay");
}
