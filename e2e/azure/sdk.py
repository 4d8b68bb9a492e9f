"""The Azure SDKs for Python against a service, unmodified and with their defaults: pollers poll, and that a challenge
fits the vault is verified.

`sdk.py ARM SUBSCRIPTION TENANT LOCATION CLIENT SECRET OBJECT OTHER-CLIENT OTHER-SECRET OTHER-OBJECT`: two principals,
of which the first may do everything with resources and the second nothing yet.
"""

import hashlib
import sys

from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.identity import ClientSecretCredential
from azure.keyvault.keys import KeyClient
from azure.keyvault.keys.crypto import CryptographyClient, EncryptionAlgorithm, KeyWrapAlgorithm, SignatureAlgorithm
from azure.keyvault.secrets import SecretClient
from azure.mgmt.keyvault import KeyVaultManagementClient
from azure.mgmt.resource.resources import ResourceManagementClient
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils

ARM, SUBSCRIPTION, TENANT, LOCATION, CLIENT, SECRET, OBJECT, OTHER_CLIENT, OTHER_SECRET, OTHER_OBJECT = sys.argv[1:]
AUDIENCE = "https://management.cofre.local/.default"
GROUP = "sdk"

# With the tenant `adfs` nothing else is to be said; with the real one, that no other directory is to be asked.
owner = ClientSecretCredential("adfs", CLIENT, SECRET, authority=ARM)
other = ClientSecretCredential(TENANT, OTHER_CLIENT, OTHER_SECRET, authority=ARM, disable_instance_discovery=True)


def vault_url(name):
    return f"https://{name}.vault.localhost:{ARM.rsplit(':', 1)[1]}"


def raises(error, call, *says, status=None):
    """The error of a call, which must say these things."""
    try:
        call()
    except error as caught:
        assert status is None or caught.status_code == status, (caught.status_code, status)
        for text in says:
            assert text in str(caught), (text, str(caught))
        return caught
    raise AssertionError(f"nothing was raised, instead of {error.__name__}")


def policy(object_id, keys, secrets):
    return {"tenantId": TENANT, "objectId": object_id, "permissions": {"keys": keys, "secrets": secrets}}


def make_vaults(management):
    groups = ResourceManagementClient(owner, SUBSCRIPTION, base_url=ARM, credential_scopes=[AUDIENCE]).resource_groups
    assert groups.create_or_update(GROUP, {"location": LOCATION}).name == GROUP
    assert [group.name for group in groups.list()] == ["default", GROUP]
    free = management.vaults.check_name_availability({"name": "kv1"})
    assert free.name_available, free
    for name in ("kv1", "kv2"):
        properties = {
            "tenantId": TENANT,
            "sku": {"family": "A", "name": "standard"},
            "accessPolicies": [
                policy(OBJECT, ["all"], ["all"]),
                # May use keys, and may not look at them: then the client cannot compute by itself.
                policy(OTHER_OBJECT, ["encrypt", "wrapKey", "verify", "unwrapKey"], []),
            ],
            "enableRbacAuthorization": False,
        }
        body = {"location": LOCATION, "properties": properties}
        vault = management.vaults.begin_create_or_update(GROUP, name, body).result()
        assert vault.properties.vault_uri == vault_url(name) + "/", vault.properties.vault_uri
    taken = management.vaults.check_name_availability({"name": "kv1"})
    assert not taken.name_available and taken.reason == "AlreadyExists", taken
    assert [vault.name for vault in management.vaults.list_by_resource_group(GROUP)] == ["kv1", "kv2"]
    raises(ResourceNotFoundError, lambda: management.vaults.get(GROUP, "kv3"))
    denied = KeyVaultManagementClient(other, SUBSCRIPTION, base_url=ARM, credential_scopes=[AUDIENCE])
    error = raises(HttpResponseError, lambda: denied.vaults.get(GROUP, "kv1"), "vaults/read", status=403)
    assert error.error.code == "AuthorizationFailed", error.error


def keys():
    client = KeyClient(vault_url("kv1"), owner)
    key = client.create_rsa_key("kek", size=2048, tags={"a": "b"})
    assert key.properties.tags == {"a": "b"} and key.properties.enabled, key.properties
    assert client.get_key("kek").id == key.id
    updated = client.update_key_properties("kek", key_operations=["wrapKey", "unwrapKey", "encrypt", "decrypt", "sign", "verify"])
    assert updated.properties.tags == {"a": "b"}, updated.properties
    raises(ResourceNotFoundError, lambda: client.get_key("none"), "there is no key none")
    raises(HttpResponseError, lambda: client.create_ec_key("ec"), "use RSA", status=400)
    raises(HttpResponseError, lambda: client.create_rsa_key("weak", size=1024), "2048", status=400)

    data = b"the key of a disk"
    crypto = CryptographyClient(key, owner)
    # The service alone: this principal may not read the key's public half.
    remote = CryptographyClient(key.id, other)
    for algorithm in (EncryptionAlgorithm.rsa_oaep, EncryptionAlgorithm.rsa_oaep_256):
        for client_of in (crypto, remote):
            sealed = client_of.encrypt(algorithm, data)
            assert crypto.decrypt(algorithm, sealed.ciphertext).plaintext == data, algorithm
        for client_of in (crypto, remote):
            wrapped = client_of.wrap_key(KeyWrapAlgorithm(algorithm.value), data)
            for unwrapping in (crypto, remote):
                assert unwrapping.unwrap_key(wrapped.algorithm, wrapped.encrypted_key).key == data, algorithm
    # The client's own half of the computation knows no better; the service does not open what it made.
    sealed = crypto.encrypt(EncryptionAlgorithm.rsa1_5, data).ciphertext
    raises(HttpResponseError, lambda: crypto.decrypt(EncryptionAlgorithm.rsa1_5, sealed), "RSA1_5 is refused", status=400)
    raises(HttpResponseError, lambda: remote.decrypt(EncryptionAlgorithm.rsa_oaep, b"x" * 256), "lacks keys/decrypt", status=403)
    raises(HttpResponseError, lambda: crypto.decrypt(EncryptionAlgorithm.rsa_oaep, b"x" * 256), status=400)
    signatures(key, crypto, remote)
    return key


def signatures(key, crypto, remote):
    public = rsa.RSAPublicNumbers(int.from_bytes(key.key.e, "big"), int.from_bytes(key.key.n, "big")).public_key()
    for name, algorithm in (("sha256", hashes.SHA256()), ("sha384", hashes.SHA384()), ("sha512", hashes.SHA512())):
        digest = hashlib.new(name, b"signed").digest()
        bits = name[3:]
        for kind, scheme in (
            ("RS", padding.PKCS1v15()),
            ("PS", padding.PSS(padding.MGF1(algorithm), algorithm.digest_size)),
        ):
            signing = SignatureAlgorithm(kind + bits)
            signature = crypto.sign(signing, digest).signature
            # A second opinion, of a library that has nothing to do with the service.
            public.verify(signature, digest, scheme, utils.Prehashed(algorithm))
            wrong = bytes([signature[0] ^ 1]) + signature[1:]
            for verifier in (crypto, remote):
                assert verifier.verify(signing, digest, signature).is_valid, signing
                assert not verifier.verify(signing, digest, wrong).is_valid, signing


def paging():
    """Pages have 25 items: lists of more are asked for in several."""
    client = SecretClient(vault_url("kv1"), owner)
    names = [f"s{number:02}" for number in range(30)]
    for name in names:
        client.set_secret(name, f"value of {name}")
    assert [item.name for item in client.list_properties_of_secrets()] == names
    pages = [len(list(page)) for page in client.list_properties_of_secrets().by_page()]
    assert pages == [25, 5], pages
    small = [len(list(page)) for page in client.list_properties_of_secrets(max_page_size=10).by_page()]
    assert max(small) == 10 and sum(small) == 30, small
    versions = {client.set_secret("s00", f"version {number}").properties.version for number in range(30)}
    listed = {item.version for item in client.list_properties_of_secret_versions("s00")}
    assert len(versions) == 30 and versions < listed and len(listed) == 31, len(listed)
    assert all(client.get_secret("s00", version).value.startswith("version ") for version in versions)
    for number in range(27):
        client.begin_delete_secret(f"s{number:02}")
    deleted = [item.name for item in client.list_deleted_secrets()]
    assert deleted == names[:27], deleted


def backups():
    """All versions arrive in another vault, and open what was sealed in the first."""
    first, second = (KeyClient(vault_url(name), owner) for name in ("kv1", "kv2"))
    old = first.get_key("kek")
    sealed = CryptographyClient(old, owner).wrap_key(KeyWrapAlgorithm.rsa_oaep_256, b"secret").encrypted_key
    first.create_rsa_key("kek")
    backup = first.backup_key("kek")
    restored = second.restore_key_backup(backup)
    assert restored.id == first.get_key("kek").id.replace("kv1", "kv2", 1), restored.id
    there = CryptographyClient(old.id.replace("kv1", "kv2", 1), owner)
    assert there.unwrap_key(KeyWrapAlgorithm.rsa_oaep_256, sealed).key == b"secret"
    raises(ResourceExistsError, lambda: second.restore_key_backup(backup), "has a key kek already")
    broken = backup[:99] + bytes([backup[99] ^ 1]) + backup[100:]
    raises(HttpResponseError, lambda: second.restore_key_backup(broken), "cannot be opened", status=400)

    first, second = (SecretClient(vault_url(name), owner) for name in ("kv1", "kv2"))
    first.set_secret("bek", "one")
    latest = first.set_secret("bek", "two", content_type="text/plain", tags={"c": "d"})
    backup = first.backup_secret("bek")
    properties = second.restore_secret_backup(backup)
    assert (properties.version, properties.content_type) == (latest.properties.version, "text/plain"), properties
    assert second.get_secret("bek").value == "two"
    assert {item.version for item in second.list_properties_of_secret_versions("bek")} == {
        item.version for item in first.list_properties_of_secret_versions("bek")
    }
    raises(ResourceExistsError, lambda: second.restore_secret_backup(backup))


def deletion():
    keys = KeyClient(vault_url("kv1"), owner)
    gone = keys.begin_delete_key("kek").result()
    assert gone.recovery_id == f"{vault_url('kv1')}/deletedkeys/kek" and gone.scheduled_purge_date > gone.deleted_date
    raises(ResourceNotFoundError, lambda: keys.get_key("kek"))
    raises(ResourceExistsError, lambda: keys.create_rsa_key("kek"), "held by a deleted key")
    assert keys.get_deleted_key("kek").id == gone.id
    assert [key.name for key in keys.list_deleted_keys()] == ["kek"]
    assert keys.begin_recover_deleted_key("kek").result().id == gone.id
    assert keys.get_key("kek").id == gone.id
    keys.begin_delete_key("kek").wait()
    keys.purge_deleted_key("kek")
    raises(ResourceNotFoundError, lambda: keys.get_deleted_key("kek"))

    secrets = SecretClient(vault_url("kv1"), owner)
    gone = secrets.begin_delete_secret("bek").result()
    assert gone.scheduled_purge_date > gone.deleted_date
    raises(ResourceExistsError, lambda: secrets.set_secret("bek", "x"), "held by a deleted secret")
    assert secrets.get_deleted_secret("bek").id == gone.id
    secrets.begin_recover_deleted_secret("bek").wait()
    assert secrets.get_secret("bek").value == "two"
    secrets.begin_delete_secret("bek").wait()
    secrets.purge_deleted_secret("bek")
    raises(ResourceNotFoundError, lambda: secrets.get_deleted_secret("bek"))
    disabled = secrets.update_secret_properties("s29", enabled=False)
    assert not disabled.enabled
    raises(HttpResponseError, lambda: secrets.get_secret("s29"), "is disabled", status=403)


def refusals():
    raises(
        HttpResponseError,
        lambda: SecretClient(vault_url("kv1"), other).get_secret("s28"),
        "lacks secrets/get on the key vault kv1",
        status=403,
    )
    wrong = ClientSecretCredential("adfs", CLIENT, "wrong", authority=ARM)
    raises(Exception, lambda: SecretClient(vault_url("kv1"), wrong).get_secret("s28"), "The client is not known")
    raises(ResourceNotFoundError, lambda: SecretClient(vault_url("kv9"), owner).get_secret("s"), "no key vault kv9")


def vault_deletion(management):
    management.vaults.delete(GROUP, "kv2")
    assert [vault.name for vault in management.vaults.list_deleted()] == ["kv2"]
    assert management.vaults.get_deleted("kv2", LOCATION).properties.vault_id.endswith("/vaults/kv2")
    raises(ResourceNotFoundError, lambda: SecretClient(vault_url("kv2"), owner).get_secret("bek"))
    management.vaults.begin_purge_deleted("kv2", LOCATION).result()
    assert list(management.vaults.list_deleted()) == []


def main():
    management = KeyVaultManagementClient(owner, SUBSCRIPTION, base_url=ARM, credential_scopes=[AUDIENCE])
    make_vaults(management)
    for step in (keys, paging, backups, deletion, refusals):
        print(step.__name__, flush=True)
        step()
    vault_deletion(management)
    print("all is as it must be")


main()
