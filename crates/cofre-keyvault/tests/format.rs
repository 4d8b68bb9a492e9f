//! Reads what the service wrote as docs/keyvault-format.md says, with none of its code: envelopes, ring,
//! records, a backup blob and a proof record.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey},
    hkdf, hmac,
};
use base64ct::{Base64UrlUnpadded, Encoding as _};
use cofre_keyvault::{
    KeySpec, KeyVaults, RootKey, WrapAlgorithm,
    proof::{ObjectReference, ProofMaterial, ProofRequest, ProofState},
    state::State as _,
};
use serde_json::Value;
use support::{Home, LuksProver, header};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn field(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

fn fields(all: &[&[u8]]) -> Vec<u8> {
    all.iter().flat_map(|bytes| field(bytes)).collect()
}

fn derive(key: &[u8], purpose: &str) -> [u8; 32] {
    let mut derived = [0; 32];
    let prk = hkdf::Salt::none(hkdf::HKDF_SHA256).extract(key);
    prk.expand(&[purpose.as_bytes()], hkdf::HKDF_SHA256).unwrap().fill(&mut derived).unwrap();
    derived
}

fn mac(key: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref().to_vec()
}

/// Opens an envelope; returns the key id of its header and the JSON in it.
fn open(magic: &[u8], kind: u8, key: &[u8], context: &[u8], sealed: &[u8]) -> (String, Value) {
    let (header, content) = sealed.split_at(34);
    assert_eq!((&header[..4], header[4], header[5]), (magic, 1, kind));
    let associated = fields(&[b"cofre-keyvault envelope", header, context]);
    let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, key).unwrap());
    let nonce = Nonce::try_assume_unique_for_key(&header[22..]).unwrap();
    let mut content = content.to_vec();
    let json = cipher.open_in_place(nonce, Aad::from(associated), &mut content).expect("it opens");
    (hex(&header[6..22]), serde_json::from_slice(json).unwrap())
}

fn bytes(value: &Value) -> Vec<u8> {
    Base64UrlUnpadded::decode_vec(value.as_str().unwrap()).unwrap()
}

/// The bytes of the ring's key with an id.
fn ring_key(ring: &Value, id: &str) -> Vec<u8> {
    let keys = ring["keys"].as_array().unwrap();
    bytes(&keys.iter().find(|key| key["id"] == id).unwrap()["key"])
}

#[test]
fn everything_is_as_documented() {
    let home = Home::at("Sub-1", "Europe").with_vault("Kv-1");
    let (vaults, admin) = (&home.vaults, &home.admin);
    let key = vaults.create_key(admin, "kv-1", "Kek", &KeySpec::default()).unwrap();
    let wrapped = vaults.wrap_key(admin, "kv-1", "kek", None, "RSA-OAEP", b"first passphrase").unwrap();
    let text = Base64UrlUnpadded::encode_string(wrapped.value.expose());
    let version = home.set("kv-1", "Bek", &text);
    let read = |path: &str| home.state.read(path).unwrap().unwrap().body;
    let record = |key: &[u8], path: &str| {
        let context = fields(&[b"record", path.as_bytes()]);
        open(b"CKVR", 0, &derive(key, "cofre-keyvault record"), &context, &read(path))
    };

    let root = derive(&[1; 32], "cofre-keyvault ring");
    let (root_id, ring) = open(b"CKVG", 0, &root, &fields(&[b"ring"]), &read("ring"));
    assert_eq!(root_id, hex(&mac(&root, &fields(&[b"cofre-keyvault ring key id"]))[..16]));
    assert_eq!(KeyVaults::root_key_id(&*home.state).unwrap(), Some(root_id));
    let of_use =
        |wanted: &str| ring["keys"].as_array().unwrap().iter().find(|key| key["use"] == wanted).unwrap();
    let (vault_key, blob_key) = (bytes(&of_use("vault")["key"]), bytes(&of_use("blob")["key"]));
    assert_eq!(
        (&of_use("vault")["vault"], &of_use("blob")["place"]["subscription"]),
        (&"kv-1".into(), &"sub-1".into())
    );

    let (id, vault) = record(&vault_key, "vaults/kv-1");
    assert_eq!(ring_key(&ring, &id), vault_key);
    assert_eq!((&vault["vault"]["name"], &vault["place"]["geography"]), (&"Kv-1".into(), &"europe".into()));
    let (_, head) = record(&vault_key, &format!("secrets/{id}/bek"));
    assert_eq!(
        (&head["name"], &head["current"], &head["next"]),
        (&"Bek".into(), &version.as_str().into(), &1.into())
    );
    let (_, secret) = record(&vault_key, &format!("secret-versions/{id}/bek/{version}"));
    assert_eq!((bytes(&secret["value"]), &secret["contentType"]), (text.as_bytes().to_vec(), &Value::Null));
    assert_eq!(
        (&secret["about"]["version"], &secret["about"]["sequence"]),
        (&version.as_str().into(), &0.into())
    );
    let (_, stored) = record(&vault_key, &format!("key-versions/{id}/kek/{}", key.version));
    assert_eq!((bytes(&stored["n"]), bytes(&stored["e"])), (key.n, key.e));
    assert_eq!((&head["deletion"], &vault["deletion"]), (&Value::Null, &Value::Null));
    let dates = serde_json::json!({"deleted": support::START, "scheduledPurge": "2026-05-30T12:00:00Z"});
    vaults.delete_secret(admin, "kv-1", "bek").unwrap();
    assert_eq!(record(&vault_key, &format!("secrets/{id}/bek")).1["deletion"], dates);
    vaults.recover_secret(admin, "kv-1", "bek").unwrap();
    vaults.delete_vault(admin, "kv-1").unwrap();
    assert_eq!(record(&vault_key, "vaults/kv-1").1["deletion"], dates);
    vaults.recover_vault(admin, "kv-1").unwrap();
    assert_eq!(
        stored["operations"],
        serde_json::json!(["encrypt", "decrypt", "wrapKey", "unwrapKey", "sign", "verify"])
    );

    let blob = vaults.backup_key(admin, "kv-1", "kek").unwrap();
    let context = fields(&[b"blob", b"sub-1", b"europe"]);
    let (blob_id, content) = open(b"CKVB", 1, &derive(&blob_key, "cofre-keyvault blob"), &context, &blob);
    assert_eq!((ring_key(&ring, &blob_id), &content["version"]), (blob_key.clone(), &1.into()));
    assert_eq!((&content["vault"], &content["name"]), (&"Kv-1".into(), &"Kek".into()));
    assert_eq!(content["versions"], serde_json::json!([stored]));

    let kit: Value = serde_json::from_slice(&vaults.export_ring_for_kit(admin).unwrap()).unwrap();
    assert_eq!((&kit["format"], &kit["version"]), (&"cofre-keyvault-blob-keys".into(), &1.into()));
    assert_eq!(kit["keys"], serde_json::json!([of_use("blob")]));

    let reference = |name: &str, version: &str| ObjectReference {
        vault: "kv-1".into(),
        name: name.into(),
        version: version.into(),
    };
    let header = header("luks2-two-slots.hdr");
    let (secret, key) = (reference("bek", &version), reference("kek", &key.version));
    let request = ProofRequest {
        point: "p",
        disk: "os",
        header: &header,
        data_size: 0,
        algorithm: WrapAlgorithm::RsaOaep,
        material: ProofMaterial::Stored { secret: &secret, key: Some(&key) },
    };
    let proof = vaults.prove(admin, &request, &LuksProver::default()).unwrap();
    assert_eq!((&proof.state, &proof.mac_key_id), (&ProofState::Proven, &blob_id));
    let present = |content: Vec<u8>| [vec![1], field(&content)].concat();
    let message = |record_version: u32, tried: &[&[u8]]| {
        let version_bytes = record_version.to_be_bytes();
        [
            fields(&[
                b"cofre-keyvault proof",
                b"sub-1",
                b"europe",
                &version_bytes,
                b"proven",
                b"",
                b"stored",
            ]),
            fields(&[b"p", b"os", proof.header_sha256.as_bytes(), b"Kv-1", b"Bek", version.as_bytes()]),
            present(fields(&[b"Kv-1", b"Kek", key.version.as_bytes()])),
            present(b"RSA-OAEP".to_vec()),
            vec![0],
            present(0_u32.to_be_bytes().to_vec()),
            present(proof.fingerprint.clone().unwrap().into_bytes()),
            fields(&[&proof.time.as_nanosecond().to_be_bytes()]),
            fields(tried),
            fields(&[blob_id.as_bytes()]),
        ]
        .concat()
    };
    let proof_key = derive(&blob_key, "cofre-keyvault proof");
    let tried = proof.tried.unwrap();
    assert_eq!((proof.version, tried), (2, proof.time));
    assert_eq!(proof.mac, hex(&mac(&proof_key, &message(2, &[&tried.as_nanosecond().to_be_bytes()]))));
    // A record of version 1, as earlier points hold it.
    let mut old = serde_json::to_value(&proof).unwrap();
    old.as_object_mut().unwrap().remove("tried");
    old["version"] = 1.into();
    old["mac"] = hex(&mac(&proof_key, &message(1, &[]))).into();
    let verify = |json: &Value| vaults.verify_proof(&serde_json::from_value(json.clone()).unwrap());
    verify(&old).unwrap();
    let mut dated = old.clone();
    dated["tried"] = serde_json::to_value(tried).unwrap();
    assert!(verify(&dated).is_err(), "what is not under the MAC must not be there");
    old["version"] = 2.into();
    assert!(verify(&old).is_err());

    let entry = home.state.list("proofs/", None, 2).unwrap().remove(0);
    let path_key = derive(&blob_key, "cofre-keyvault proof cache path");
    let header_sha256 = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &header);
    let question = [
        fields(&[
            b"cofre-keyvault proof cache path",
            header_sha256.as_ref(),
            &0_u64.to_be_bytes(),
            b"stored",
        ]),
        present(b"RSA-OAEP".to_vec()),
        fields(&[&fields(&[b"Kv-1", b"Bek", version.as_bytes()]), &mac(&path_key, text.as_bytes())]),
        present(fields(&[b"Kv-1", b"Kek", key.version.as_bytes()])),
        present(mac(&path_key, &bytes(&stored["pkcs8"]))),
        vec![0],
    ]
    .concat();
    assert_eq!(entry.path, format!("proofs/{}", hex(&mac(&path_key, &question))));
    let context = fields(&[b"proof", entry.path.as_bytes()]);
    let cache_key = derive(&blob_key, "cofre-keyvault proof cache");
    let (entry_key, trial) = open(b"CKVP", 0, &cache_key, &context, &entry.body);
    assert_eq!((entry_key, &trial["version"], &trial["keyslot"]), (blob_id.clone(), &1.into(), &0.into()));
    assert_eq!(trial["tried"], serde_json::to_value(tried).unwrap());
    assert_eq!(trial["fingerprint"].as_str(), proof.fingerprint.as_deref());

    let json = serde_json::to_value(&proof).unwrap();
    assert_eq!((&json["state"], &json["keyBlobSha256"]), (&"proven".into(), &Value::Null));
    let volume_key: Vec<u8> = (0..16).collect();
    let fingerprint_key = derive(&blob_key, "cofre-keyvault fingerprint");
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &volume_key);
    assert_eq!(proof.fingerprint.unwrap(), hex(&mac(&fingerprint_key, hash.as_ref())));
}

#[test]
fn a_key_from_a_passphrase_is_as_documented() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("root.json");
    let key = RootKey::create_passphrase_file(&path, b"correct horse battery").unwrap();
    let file: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!((&file["format"], &file["version"]), (&"cofre-keyvault-root-key".into(), &1.into()));
    let number = |name: &str| u32::try_from(file[name].as_u64().unwrap()).unwrap();
    let params =
        argon2::Params::new(number("memoryKib"), number("passes"), number("lanes"), Some(32)).unwrap();
    let mut memory = vec![argon2::Block::new(); params.block_count()];
    let mut derived = [0; 32];
    argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params)
        .hash_password_into_with_memory(
            b"correct horse battery",
            &bytes(&file["salt"]),
            &mut derived,
            &mut memory,
        )
        .unwrap();
    let root = derive(&derived, "cofre-keyvault ring");
    let id = hex(&mac(&root, &fields(&[b"cofre-keyvault ring key id"]))[..16]);
    assert_eq!((file["keyId"].as_str(), key.id().unwrap()), (Some(id.as_str()), id.clone()));
}
