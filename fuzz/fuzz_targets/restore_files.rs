//! What a restore of keys reads: configuration and encryption files that anybody may have edited, the record
//! of captured keys in a point, ids and URLs. The first byte chooses the reader.
#![no_main]

use cofre_arm::{ObjectUrl, ResourceId};
use cofre_recovery::{
    captured::CapturedKeys,
    outputs::{configuration, encryption},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&which, bytes)) = input.split_first() else { return };
    match which % 4 {
        0 => {
            if let Ok(read) = configuration::parse(bytes) {
                // what was understood is written, and understood again
                let again = configuration::parse(&read.encode().unwrap()).unwrap();
                assert_eq!(again, read);
            }
        }
        1 => {
            if let Ok(read) = encryption::parse(bytes) {
                let _ = (read.of_disk(None).is_some(), read.keys().len(), read.secrets().len());
            }
        }
        2 => {
            let _ = CapturedKeys::parse(bytes);
        }
        _ => {
            let Ok(text) = std::str::from_utf8(bytes) else { return };
            if let Ok(id) = text.parse::<ResourceId>() {
                assert_eq!(id.to_string().parse::<ResourceId>().unwrap(), id);
                let _ = (id.kind(), id.name(), id.subscription(), id.resource_group());
            }
            if let Ok(url) = text.parse::<ObjectUrl>() {
                assert_eq!(url.to_string().parse::<ObjectUrl>().unwrap(), url);
            }
        }
    }
});
