//! `cofre disk inspect`; `disk prove` is in the module below.

mod bytes;
mod prove;

use std::path::Path;

use cofre_disk::{ErrorKind as DiskKind, ImageFormat, open_source};
use cofre_fde::{
    ErrorKind, Inspection, inspect as inspect_source,
    luks::{Kdf, Keyslot, LuksInfo, SlotState},
};
use serde::Serialize;
use serde_json::json;

use crate::{
    args::InspectArgs,
    exit::Exit,
    output::Done,
    quantity,
    report::{Report, Result},
};

pub(crate) use self::{bytes::DiskBytes, prove::prove};

#[derive(Serialize)]
struct Answer<'a> {
    path: String,
    encrypted: bool,
    #[serde(flatten)]
    inspection: &'a Inspection,
}

/// Opens the disk at `path`; `message` says what cannot be done when that fails.
fn open(path: &Path, format: Option<ImageFormat>, message: &str) -> Result<DiskBytes> {
    let format = format.unwrap_or_else(|| ImageFormat::from_suffix(path));
    open_source(path, format).map(DiskBytes).map_err(|e| {
        let missing = e.kind() == DiskKind::NotFound;
        let report = Report { message: message.to_owned(), ..Report::source(e) };
        if missing { report.recommend("Check the path.") } else { report }
    })
}

pub(crate) fn inspect(args: &InspectArgs) -> Result<Done> {
    let source = open(&args.path, args.format, "the disk cannot be inspected")?;
    let path = args.path.display().to_string();
    match inspect_source(&source) {
        Ok(inspection) => {
            let text = match &inspection {
                Inspection::Luks(luks) => describe(luks),
                other => format!("{other:?}\n"),
            };
            Done::new(&Answer { path, encrypted: true, inspection: &inspection }, text, Exit::Ok)
        }
        Err(e) if e.kind() == ErrorKind::NotEncrypted => {
            let text = format!("{path} is not encrypted, as far as its first bytes tell.\n");
            Done::new(&json!({"path": path, "encrypted": false, "reason": e.to_string()}), text, Exit::Ok)
        }
        Err(e) => Err(e.into()),
    }
}

fn describe(luks: &LuksInfo) -> String {
    let mut rows = vec![("format", format!("LUKS{}", luks.version)), ("uuid", luks.uuid.clone())];
    rows.extend(luks.label.iter().filter(|l| !l.is_empty()).map(|label| ("label", label.clone())));
    let key = luks.key_bits.map(|bits| format!(", {bits}-bit key")).unwrap_or_default();
    rows.push(("cipher", format!("{}{key}, {}-byte sectors", luks.cipher, luks.sector_size)));
    rows.push(("data", data(luks)));
    rows.push(("headerSha256", luks.header_sha256.clone()));
    let none = || "none: the header binds no key to the data".to_owned();
    rows.push(("volumeKeyDigest", luks.volume_key_digest.clone().unwrap_or_else(none)));
    rows.extend(luks.opaque.iter().map(|why| ("opaque", format!("kept as it is, byte for byte: {why}"))));
    let mut text = String::new();
    for (name, value) in rows {
        text.push_str(&format!("{name:16} {value}\n"));
    }
    if luks.keyslots.is_empty() {
        text.push_str("keyslots         none\n");
    }
    for slot in &luks.keyslots {
        text.push_str(&format!("keyslot {:<8} {}\n", slot.number, keyslot(slot)));
    }
    text
}

fn data(luks: &LuksInfo) -> String {
    match luks.data_offset {
        0 => "elsewhere: this is a detached header".to_owned(),
        offset => format!("from byte {offset} on ({})", quantity::bytes(offset)),
    }
}

fn keyslot(slot: &Keyslot) -> String {
    let kdf = match &slot.kdf {
        Some(Kdf::Pbkdf2 { hash, iterations }) => format!("pbkdf2 {hash}, {iterations} iterations"),
        Some(Kdf::Argon2i(cost)) => format!("argon2i, {} passes, {} KiB", cost.passes, cost.memory_kib),
        Some(Kdf::Argon2id(cost)) => format!("argon2id, {} passes, {} KiB", cost.passes, cost.memory_kib),
        _ => "key derivation unknown".to_owned(),
    };
    let state = match &slot.state {
        SlotState::Active => "active".to_owned(),
        SlotState::Unbound => "unbound: does not open the disk".to_owned(),
        SlotState::Unsupported(why) => format!("not supported: {why}"),
    };
    format!("{state}; {kdf}")
}
