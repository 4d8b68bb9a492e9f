use cofre_arm::Problem;
use cofre_compute::{EncryptionSettings, OsType};
use cofre_recovery::outputs::{Configuration, ConfiguredDisk, configuration};
use proptest::{collection::btree_map, option, prelude::*};

use crate::models::{double_pass, machine, restored, settings, single_pass};

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[test]
fn it_is_utf16_little_endian_without_a_mark_and_read_with_one_and_with_nuls() {
    let machine = double_pass();
    let bytes = configuration::encode(&machine, &restored(&machine)).unwrap();
    assert_eq!(bytes[..4], [b'{', 0, b'\n', 0]);
    let wanted = Configuration::new(&machine, &restored(&machine));
    assert_eq!(configuration::parse(&bytes).unwrap(), wanted);
    let marked = [b"\xff\xfe", bytes.as_slice(), &[0; 6]].concat();
    assert_eq!(configuration::parse(&marked).unwrap(), wanted);
    let text =
        String::from_utf16(&bytes.as_chunks().0.iter().map(|u| u16::from_le_bytes(*u)).collect::<Vec<_>>());
    assert_eq!(configuration::parse(text.unwrap().as_bytes()).unwrap(), wanted, "UTF-8, after an editor");
}

#[test]
fn settings_stand_where_the_machine_has_them_and_without_ports() {
    let mut vm = double_pass();
    let secret = &mut vm.encryption_settings.as_mut().unwrap().disk_encryption_key.secret_url;
    *secret = secret.replace("localhost/", "localhost:8443/");
    let read = configuration::parse(&configuration::encode(&vm, &restored(&vm)).unwrap()).unwrap();
    assert_eq!(read.encryption_settings, Some(settings("bek")));
    assert_eq!(read.os_disk.encryption_settings, None);

    let vm = single_pass();
    let read = configuration::parse(&configuration::encode(&vm, &restored(&vm)).unwrap()).unwrap();
    assert_eq!(read.encryption_settings, None);
    assert_eq!(read.os_disk.encryption_settings, Some(settings("bek")));
    assert_eq!(read.data_disks[&3].encryption_settings, Some(settings("bek-logs")));
    assert_eq!(read.data_disks[&3].size, Some((1 << 30) + 1536), "the real size");
}

#[test]
fn disks_that_were_not_restored_have_no_place() {
    let vm = machine(OsType::Linux);
    let only_logs: Vec<_> = restored(&vm).into_iter().filter(|d| d.lun == Some(3)).collect();
    let read = configuration::parse(&configuration::encode(&vm, &only_logs).unwrap()).unwrap();
    assert_eq!(read.os_disk, ConfiguredDisk { name: Some("os".into()), ..Default::default() });
    assert_eq!(read.data_disks.keys().collect::<Vec<_>>(), [&3]);
}

#[test]
fn files_of_others_in_any_letter_case() {
    let text = r#"{"Properties.HardwareProfile": {"VMSIZE": "S1"}, "extra": [1, {}],
        "properties.StorageProfile": {"OsDisk": {"OSTYPE": "linux", "diskSizeGB": 30,
            "virtualharddisk": {"uri": "https://x/os.vhd"}, "EncryptionSettings": {"enabled": false}},
          "DataDisks": [{"Lun": 2, "name": null, "Vhd": {"URI": "https://x/d.vhd"}}]}}"#;
    let read = configuration::parse(&utf16(text)).unwrap();
    assert_eq!(
        (read.vm_size.as_str(), read.os_type, &read.encryption_settings),
        ("S1", OsType::Linux, &None)
    );
    assert_eq!((read.os_disk.uri.as_deref(), read.os_disk.size), (Some("https://x/os.vhd"), Some(30 << 30)));
    assert_eq!(read.data_disks[&2].uri.as_deref(), Some("https://x/d.vhd"));
}

#[test]
fn what_is_wrong_is_refused() {
    let minimal = r#"{"properties.hardwareProfile": {"vmSize": "S1"},
        "properties.storageProfile": {"osDisk": {"osType": "Linux"}, "dataDisks": [{"lun": 0}]}}"#;
    configuration::parse(minimal.as_bytes()).unwrap();
    let many = (0..65).map(|lun| format!("{{\"lun\": {lun}}}")).collect::<Vec<_>>().join(",");
    for (from, to) in [
        ("vmSize", "size"),
        ("osDisk", "disk"),
        ("Linux", "Plan 9"),
        ("{\"lun\": 0}", "{}"),
        ("{\"lun\": 0}", "{\"lun\": -1}"),
        ("{\"lun\": 0}", "{\"lun\": 0}, {\"lun\": 0}"),
        ("{\"lun\": 0}", &many),
        ("\"Linux\"", "\"Linux\", \"diskSizeGB\": 18446744073709551615"),
        ("\"Linux\"", "\"Linux\", \"encryptionSettings\": {\"enabled\": true}"),
        ("\"Linux\"", "\"Linux\", \"OSTYPE\": \"Windows\""),
        ("}}", "}"),
    ] {
        let text = minimal.replace(from, to);
        assert_ne!(text, minimal);
        let error = configuration::parse(text.as_bytes()).unwrap_err();
        assert_eq!(error.problem(), Problem::InvalidParameter, "{text}");
    }
    let deep = "[".repeat(1 << 20);
    for text in [deep.clone(), format!("{{\"unknown\": {deep}"), format!("{{\"tags\": {deep}")] {
        assert!(configuration::parse(text.as_bytes()).is_err());
    }
    let long = [minimal.as_bytes(), &vec![0; configuration::MAX_BYTES]].concat();
    assert!(configuration::parse(&long).unwrap_err().to_string().contains("more than"));
}

fn any_settings() -> impl Strategy<Value = EncryptionSettings> {
    ("[a-z0-9-]{1,20}", any::<bool>(), any::<bool>()).prop_map(|(name, enabled, key)| {
        let settings = settings(&name);
        EncryptionSettings {
            enabled,
            key_encryption_key: settings.key_encryption_key.clone().filter(|_| key),
            ..settings
        }
    })
}

fn any_disk() -> impl Strategy<Value = ConfiguredDisk> {
    let text = || option::of(".{0,20}");
    (text(), text(), text(), option::of(any::<u64>()), option::of(any_settings())).prop_map(
        |(name, uri, blob, size, encryption_settings)| ConfiguredDisk {
            name,
            uri,
            blob,
            size,
            encryption_settings,
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        os_disk in any_disk(),
        data_disks in btree_map(0_u32..64, any_disk(), 0..6),
        encryption_settings in option::of(any_settings()),
        tags in btree_map(".{0,10}", ".{0,10}", 0..5),
        (vm_size, location) in (".{1,20}", option::of(".{0,10}")),
        windows: bool,
    ) {
        let os_type = if windows { OsType::Windows } else { OsType::Linux };
        let id = Some(machine(os_type).id);
        let wanted = Configuration {
            id, vm_id: None, location, tags, vm_size, os_type, os_disk, data_disks, encryption_settings,
        };
        prop_assert_eq!(configuration::parse(&wanted.encode().unwrap()).unwrap(), wanted);
    }

    #[test]
    fn damaged_files_are_read_or_refused(at in 0_usize..2000, byte: u8, cut in 0_usize..6000) {
        let vm = single_pass();
        let mut bytes = configuration::encode(&vm, &restored(&vm)).unwrap();
        let at = 2 * at % bytes.len();
        bytes[at] = byte;
        let _ = configuration::parse(&bytes);
        bytes.truncate(cut);
        let _ = configuration::parse(&bytes);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>, text in "[{}\\[\\]\":,a-z0-9 ]{0,60}") {
        let _ = configuration::parse(&bytes);
        let _ = configuration::parse(&utf16(&text));
    }
}
