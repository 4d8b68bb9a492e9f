//! Proofs of several recovery points: a set that did not change is tried once.

use super::*;

/// What the audit says of the newest proof.
fn newest_proof(home: &Home) -> String {
    let events = home.ok("audit list --writer keyvault --limit 30")["events"].clone();
    let proofs =
        events.as_array().unwrap().iter().filter(|e| e.to_string().contains(r#""operation":"prove""#));
    let newest = proofs.max_by_key(|e| e["sequence"].as_u64().unwrap()).unwrap().to_string();
    assert!(newest.contains("proven: point"), "{newest}");
    newest
}

#[test]
fn an_unchanged_set_is_tried_once_and_another_header_again() {
    let (home, ..) = Home::protected();
    let backup = || {
        let run = home.ok("backup now --vault-name bv --item-name web");
        assert_eq!(run["disks"][0]["keys"]["state"], "proven");
        newest_proof(&home)
    };
    assert!(!backup().contains(", tried "));
    let second = backup();
    assert!(second.contains(", tried "), "the second point rests on the trial of the first: {second}");
    home.encrypted_image("web.raw", DISK_KEY, 7);
    assert!(!backup().contains(", tried "), "another header");
    assert!(backup().contains(", tried "));
    home.ok("audit verify");
}
