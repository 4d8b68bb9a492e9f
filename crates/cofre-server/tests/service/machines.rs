//! Machines as resources.

use serde_json::{Value, json};

use crate::support::{SUBSCRIPTION, World, group_id, machines::machine_id, vault_id};

const VERSION: &str = "0123456789abcdef0123456789abcdef";

fn settings(secret: &str) -> Value {
    json!({
        "enabled": true,
        "diskEncryptionKey": {
            "secretUrl": format!("https://kv1.vault.localhost/secrets/{secret}/{VERSION}"),
            "sourceVault": {"id": vault_id("kv1")},
        },
        "keyEncryptionKey": {
            "keyUrl": format!("https://kv1.vault.localhost/keys/kek/{VERSION}"),
            "sourceVault": {"id": vault_id("kv1")},
        },
    })
}

#[test]
fn a_machine_comes_and_goes() {
    let world = World::new();
    let token = world.arm_token(&world.operator);
    let get = |target: &str| world.arm("GET", target).token(&token).send();
    get(&machine_id("web")).refused(404, "ResourceNotFound");
    let made = world.make_machine("web");
    assert_eq!((&made["id"], &made["name"]), (&json!(machine_id("web")), &json!("web")));
    assert_eq!(made["type"], "Microsoft.Compute/virtualMachines");
    let properties = &made["properties"];
    assert_eq!(properties["provisioningState"], "Succeeded");
    assert_eq!(properties["hardwareProfile"]["vmSize"], "Standard_B1s");
    let os_disk = &properties["storageProfile"]["osDisk"];
    assert_eq!((&os_disk["osType"], &os_disk["vhd"]["format"]), (&json!("Linux"), &json!("raw")));
    assert!(properties.get("instanceView").is_none());

    // Whoever asks for it is told how the machine stands.
    let shown = get(&format!("{}?$expand=instanceView", machine_id("WEB"))).expect(200);
    let view = &shown["properties"]["instanceView"];
    assert_eq!(view["statuses"][1]["code"], "PowerState/deallocated");
    assert_eq!(view["disks"][0]["statuses"][0]["code"], "EncryptionState/notEncrypted");
    assert_eq!(get(&format!("{}/instanceView", machine_id("web"))).expect(200), *view);

    // Lists, of the group, the subscription, and of all resources.
    let compute = "/providers/Microsoft.Compute/virtualMachines";
    for list in [
        format!("{}{compute}", group_id("default")),
        format!("/subscriptions/{SUBSCRIPTION}{compute}"),
        format!(
            "/subscriptions/{SUBSCRIPTION}/resources?$filter=resourceType%20eq%20'Microsoft.Compute/virtualMachines'"
        ),
    ] {
        let found = get(&list).expect(200);
        assert_eq!(found["value"].as_array().unwrap().len(), 1, "{list}");
        assert_eq!(found["value"][0]["id"], made["id"], "{list}");
    }
    assert_eq!(get(&format!("{}{compute}", group_id("other"))).expect(200)["value"], json!([]));

    // A group that holds a machine stays.
    let refusal = world.arm("DELETE", &group_id("default")).token(&token).send().refused(409, "Conflict");
    assert!(refusal.message().contains("virtualmachines/web"), "{refusal:?}");
    for _ in 0..2 {
        world.arm("DELETE", &machine_id("web")).token(&token).send().expect(204);
    }
    get(&machine_id("web")).refused(404, "ResourceNotFound");
}

#[test]
fn a_change_keeps_what_the_body_leaves_out() {
    let world = World::new();
    let token = world.arm_token(&world.operator);
    let put = |body: &Value| world.arm("PUT", &machine_id("web")).token(&token).json(body).send();
    let mut body = world.machine_body("web");
    let image = body["properties"]["storageProfile"]["osDisk"]["vhd"]["uri"].as_str().unwrap().to_owned();
    // A disk that somebody calls qcow2 is one, and stays one whatever is left out later.
    let qcow2 = world.image("disk.qcow2");
    body["properties"]["storageProfile"]["dataDisks"] =
        json!([{"lun": 3, "vhd": {"uri": qcow2, "format": "raw"}}]);
    body["properties"]["instanceView"] = json!({"statuses": [{"code": "PowerState/stopped"}]});
    let made = put(&body).expect(201);
    let id = made["properties"]["vmId"].clone();

    let mut change = world.machine_body("web");
    change["tags"] = json!({"a": "b"});
    change["properties"]["storageProfile"]["dataDisks"] = json!([{"lun": 3, "vhd": {"uri": qcow2}, "encryptionSettingsCollection": {
        "enabled": true, "encryptionSettings": [settings("data")],
    }}]);
    let changed = put(&change).expect(200);
    let data = &changed["properties"]["storageProfile"]["dataDisks"][0];
    assert_eq!((&data["vhd"]["format"], &data["name"]), (&json!("raw"), &json!("data-3")));
    assert_eq!(
        data["encryptionSettingsCollection"]["encryptionSettings"][0]["diskEncryptionKey"],
        settings("data")["diskEncryptionKey"]
    );
    assert_eq!((&changed["tags"], &changed["properties"]["vmId"]), (&json!({"a": "b"}), &id));
    let shown = world
        .arm("GET", &format!("{}?$expand=instanceView", machine_id("web")))
        .token(&token)
        .send()
        .expect(200);
    let view = &shown["properties"]["instanceView"];
    assert_eq!(view["statuses"][1]["code"], "PowerState/stopped");
    assert_eq!(view["disks"][0]["statuses"][0]["code"], "EncryptionState/notEncrypted");
    assert_eq!(view["disks"][1]["statuses"][0]["code"], "EncryptionState/encrypted");

    // What was shown can be sent back.
    assert_eq!(
        put(&shown).expect(200)["properties"]["storageProfile"],
        shown["properties"]["storageProfile"]
    );
    let other = json!({"vmId": "44444444-4444-4444-8444-444444444444"});
    let mut body = world.machine_body("web");
    body["properties"]["vmId"] = other["vmId"].clone();
    put(&body).refused(400, "InvalidParameter");

    // Settings of the whole machine stand at its first disk.
    let mut body = world.machine_body("web");
    body["properties"]["storageProfile"]["osDisk"]["encryptionSettings"] = settings("web");
    let changed = put(&body).expect(200);
    let os_disk = &changed["properties"]["storageProfile"]["osDisk"];
    assert_eq!((&os_disk["encryptionSettings"], &os_disk["vhd"]["uri"]), (&settings("web"), &json!(image)));

    // An image that is not there, or not allowed, changes nothing.
    let mut body = world.machine_body("web");
    for (uri, status, code) in [
        ("file:///etc/passwd".to_owned(), 403, "ImageOutsideRoots"),
        (format!("{image}-other"), 409, "ImageUnavailable"),
        ("https://sa.blob.example/vhds/a.vhd".to_owned(), 400, "InvalidParameter"),
    ] {
        body["properties"]["storageProfile"]["osDisk"]["vhd"]["uri"] = json!(uri);
        put(&body).refused(status, code);
    }
    let shown = world.arm("GET", &machine_id("web")).token(&token).send().expect(200);
    assert_eq!(shown["properties"]["storageProfile"]["osDisk"]["vhd"]["uri"], json!(image));
}

#[test]
fn what_is_no_machine() {
    let world = World::new();
    let token = world.arm_token(&world.operator);
    let put = |id: &str, body: &Value| world.arm("PUT", id).token(&token).json(body).send();
    let good = world.machine_body("web");
    let with = |pointer: &str, value: Value| {
        let mut body = good.clone();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        body.pointer_mut(parent).unwrap()[name] = value;
        body
    };
    let disk = "/properties/storageProfile/osDisk";
    for (pointer, value) in [
        ("/location", json!("mars")),
        ("/location", Value::Null),
        ("/tags", json!({"a": "x".repeat(257)})),
        ("/properties/vmId", json!("7")),
        ("/properties/hardwareProfile", json!({"vmSize": "a b"})),
        ("/properties/storageProfile", json!({})),
        ("/properties/storageProfile/dataDisks", json!([{"vhd": {"uri": "file:///a"}}])),
        (
            "/properties/storageProfile/dataDisks",
            json!([{"lun": 64, "vhd": good.pointer(disk).unwrap()["vhd"]}]),
        ),
        (&format!("{disk}/name"), json!("a/b")),
        (&format!("{disk}/osType"), json!("Plan9")),
        (&format!("{disk}/vhd"), Value::Null),
        (&format!("{disk}/vhd/format"), json!("vmdk")),
        (&format!("{disk}/encryptionSettings"), json!({"enabled": true})),
        (
            &format!("{disk}/encryptionSettingsCollection"),
            json!({"enabled": true, "encryptionSettings": [settings("a"), settings("b")]}),
        ),
        ("/properties/instanceView", json!({"statuses": [{"code": "PowerState/lost"}]})),
    ] {
        put(&machine_id("web"), &with(pointer, value)).refused(400, "InvalidParameter");
    }
    put(&machine_id("-web"), &good).refused(400, "InvalidParameter");
    let nowhere = machine_id("web").replace("/default/", "/nowhere/");
    put(&nowhere, &good).refused(404, "ResourceNotFound");
    for verb in ["start", "deallocate"] {
        let target = format!("{}/{verb}", machine_id("web"));
        assert!(
            world
                .arm("POST", &target)
                .token(&token)
                .send()
                .refused(404, "ResourceNotFound")
                .message()
                .contains(verb)
        );
    }
    let disks = format!("{}/providers/Microsoft.Compute/disks", group_id("default"));
    world.arm("GET", &disks).token(&token).send().refused(404, "ResourceNotFound");

    // Machines of the classic model are of their own type.
    let classic = machine_id("old").replace("Microsoft.Compute", "Microsoft.ClassicCompute");
    assert_eq!(put(&classic, &good).expect(201)["type"], "Microsoft.ClassicCompute/virtualMachines");
    world.arm("GET", &machine_id("old")).token(&token).send().refused(404, "ResourceNotFound");
    world.arm("GET", &classic).token(&token).send().expect(200);
    world.arm("DELETE", &classic).token(&token).send().expect(204);
}
