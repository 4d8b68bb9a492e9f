"""The Azure management SDKs for Python against a service, unmodified and with their own pollers: a machine that is
protected, backed up and restored.

`backup_sdk.py ARM SUBSCRIPTION LOCATION CLIENT SECRET IMAGE`: a principal that may do everything, and the address of an
image that machines may use.
"""

import sys
import time

from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.identity import ClientSecretCredential
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.recoveryservices import RecoveryServicesClient
from azure.mgmt.recoveryservicesbackup import RecoveryServicesBackupClient

ARM, SUBSCRIPTION, LOCATION, CLIENT, SECRET, IMAGE = sys.argv[1:]
GROUP, VAULT = "default", "sdk-vault"
CONTAINER = "IaasVMContainer;iaasvmcontainerv2;default;sdk"
ITEM = "VM;iaasvmcontainerv2;default;sdk"
FABRIC = "Azure"
OF_MACHINES = "backupManagementType eq 'AzureIaasVM'"

credential = ClientSecretCredential("adfs", CLIENT, SECRET, authority=ARM)
settings = {"base_url": ARM, "credential_scopes": ["https://management.cofre.local/.default"]}
vaults = RecoveryServicesClient(credential, SUBSCRIPTION, **settings).vaults
backup = RecoveryServicesBackupClient(credential, SUBSCRIPTION, **settings)
machines = ComputeManagementClient(credential, SUBSCRIPTION, **settings).virtual_machines
VAULT_ID = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.RecoveryServices/vaults/{VAULT}"


def refused(code, call):
    try:
        call()
    except HttpResponseError as error:
        assert error.error.code == code, error
        return
    raise AssertionError(f"nothing was raised, instead of {code}")


def jobs(operation):
    return list(backup.backup_jobs.list(VAULT, GROUP, filter=f"operation eq '{operation}'"))


def ended(operation):
    """The newest job that does this, when it is over."""
    for _ in range(600):
        name = jobs(operation)[0].name
        job = backup.job_details.get(VAULT, GROUP, name).properties
        if job.status not in ("InProgress", "Cancelling"):
            return job
        time.sleep(0.2)
    raise AssertionError(f"{operation} does not end")


def set_up():
    properties = {"publicNetworkAccess": "Enabled"}
    body = {"location": LOCATION, "sku": {"name": "Standard"}, "properties": properties}
    vault = vaults.begin_create_or_update(GROUP, VAULT, body).result()
    assert vault.properties.provisioning_state == "Succeeded", vault
    assert [found.name for found in vaults.list_by_resource_group(GROUP)] == [VAULT]
    os_disk = {"osType": "Linux", "name": "os", "createOption": "Attach", "vhd": {"uri": IMAGE}}
    body = {
        "location": LOCATION,
        "properties": {
            "hardwareProfile": {"vmSize": "Standard_B1s"},
            "storageProfile": {"osDisk": os_disk},
        },
    }
    machine = machines.begin_create_or_update(GROUP, "sdk", body).result()
    assert [found.id for found in machines.list(GROUP)] == [machine.id]
    return machine.id


def protect(machine):
    found = list(backup.backup_protectable_items.list(VAULT, GROUP, filter=OF_MACHINES))
    assert len(found) == 1, found
    policy = backup.protection_policies.get(VAULT, GROUP, "DefaultPolicy")
    body = {
        "properties": {
            "protectedItemType": "Microsoft.Compute/virtualMachines",
            "policyId": policy.id,
            "sourceResourceId": machine,
        }
    }
    poller = backup.protected_items.begin_create_or_update(VAULT, GROUP, FABRIC, CONTAINER, ITEM, body)
    item = poller.result()
    assert item.name.lower() == ITEM.lower(), item
    assert ended("ConfigureBackup").status == "Completed"
    items = list(backup.backup_protected_items.list(VAULT, GROUP, filter=f"{OF_MACHINES} and itemType eq 'VM'"))
    assert [found.id for found in items] == [item.id], items
    policies = [policy.name for policy in backup.backup_policies.list(VAULT, GROUP, filter=OF_MACHINES)]
    assert policies == ["DefaultPolicy"], policies


def back_up():
    body = {"properties": {"objectType": "IaasVMBackupRequest"}}
    backup.backups.trigger(VAULT, GROUP, FABRIC, CONTAINER, ITEM, body)
    job = ended("Backup")
    assert job.status == "Completed", job
    points = list(backup.recovery_points.list(VAULT, GROUP, FABRIC, CONTAINER, ITEM))
    assert len(points) == 1 and points[0].properties.recovery_point_type == "CrashConsistent", points
    point = backup.recovery_points.get(VAULT, GROUP, FABRIC, CONTAINER, ITEM, points[0].name)
    assert not point.properties.is_source_vm_encrypted and point.properties.os_type == "Linux", point
    refused("UserErrorJobNotRunning", lambda: backup.job_cancellations.trigger(VAULT, GROUP, jobs("Backup")[0].name))
    return point.name


def restore(machine, point):
    account = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.Storage/storageAccounts/default"
    body = {
        "properties": {
            "objectType": "IaasVMRestoreRequest",
            "recoveryPointId": point,
            "recoveryType": "RestoreDisks",
            "region": LOCATION,
            "sourceResourceId": machine,
            "storageAccountId": account,
            "createNewCloudService": False,
            "originalStorageAccountOption": False,
        }
    }
    backup.restores.begin_trigger(VAULT, GROUP, FABRIC, CONTAINER, ITEM, point, body).result()
    job = ended("Restore")
    assert job.status == "Completed", job
    assert job.extended_info.property_bag["Target Storage Account Name"] == "default", job


def take_down(machine):
    refused("Conflict", lambda: vaults.begin_delete(GROUP, VAULT).result())
    config = {"properties": {"softDeleteFeatureState": "Disabled", "enhancedSecurityState": "Enabled"}}
    backup.backup_resource_vault_configs.update(VAULT, GROUP, config)
    backup.protected_items.delete(VAULT, GROUP, FABRIC, CONTAINER, ITEM)
    assert ended("DeleteBackupData").status == "Completed"
    try:
        backup.protected_items.get(VAULT, GROUP, FABRIC, CONTAINER, ITEM)
        raise AssertionError("the item is there")
    except ResourceNotFoundError:
        pass
    vaults.begin_delete(GROUP, VAULT).result()
    machines.begin_delete(GROUP, "sdk").result()
    assert list(machines.list_all()) == [], machine


protected = set_up()
protect(protected)
restore(protected, back_up())
take_down(protected)
print("all is as it must be")
