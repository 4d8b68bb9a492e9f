//! `cofre disk prove`.

use std::{fs::File, io::Read as _, path::Path};

use cofre_disk::ImageFormat;
use cofre_fde::ReadAt;
use serde_json::json;
use zeroize::Zeroizing;

use super::open;
use crate::{
    Context,
    args::ProveArgs,
    exit::Exit,
    output::Done,
    prover::{ChildProver, MAX_HEADER, MAX_SECRET, ProverAnswer},
    report::{Report, Result},
};

const CANNOT: &str = "the key cannot be tried";

pub(crate) fn prove(args: &ProveArgs, context: &Context) -> Result<Done> {
    let secret = key(&args.key_file)?;
    let disk = open(&args.path, args.format, CANNOT)?;
    let header = match &args.header {
        Some(path) => start(&open(path, Some(ImageFormat::Raw), CANNOT)?, path)?,
        None => start(&disk, &args.path)?,
    };
    let answer = ChildProver::new(context.cancel.clone()).try_open(&header, disk.size(), &secret);
    let path = args.path.display();
    match answer {
        ProverAnswer::Opens { keyslot, volume_key_sha256 } => {
            let json = json!({
                "path": path.to_string(),
                "opens": true,
                "keyslot": keyslot,
                "volumeKeySha256": hex(&volume_key_sha256),
            });
            Done::new(&json, format!("The key opens {path} (keyslot {keyslot}).\n"), Exit::Ok)
        }
        ProverAnswer::DoesNotOpen => {
            let text = format!(
                "The key does not open {path}. A key file counts byte for byte, with a newline at its end.\n"
            );
            Done::new(&json!({"path": path.to_string(), "opens": false}), text, Exit::WrongSecret)
        }
        ProverAnswer::TooCostly(why) => Err(refused("KeyTooCostly", Exit::Refused, why).recommend(
            "Have the disk's owner give it a keyslot with a lower cost (`cryptsetup luksConvertKey --pbkdf-memory`).",
        )),
        ProverAnswer::Unsupported(why) => Err(refused("EncryptionUnsupported", Exit::Refused, why)
            .recommend("See what the disk is with `cofre disk inspect`; give a detached header with `--header`.")),
        ProverAnswer::Damaged(why) => Err(refused("EncryptionHeaderDamaged", Exit::Damage, why)
            .recommend("Check the path; try an earlier copy of the header with `--header`.")),
        ProverAnswer::Failed(why) => {
            context.cancel.check()?;
            Err(refused("ProofFailed", Exit::Failed, why)
                .recommend("Nothing is known of the key: remove the cause and run the command again."))
        }
    }
}

fn refused(code: &'static str, exit: Exit, why: String) -> Report {
    Report { code, exit, message: CANNOT.to_owned(), causes: vec![why], recommendations: Vec::new() }
}

/// The content of a key file, nothing cut off.
fn key(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    let unusable = |message: String, causes| Report {
        code: "SecretFileUnusable",
        exit: Exit::Usage,
        message,
        causes,
        recommendations: vec!["Give the file that holds the disk's key and nothing else.".to_owned()],
    };
    let unreadable = |e: std::io::Error| {
        unusable(format!("cannot read the key file {}", path.display()), vec![e.to_string()])
    };
    let file = File::open(path).map_err(unreadable)?;
    // One allocation of the final size: a growing buffer would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_SECRET + 1));
    file.take(MAX_SECRET as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    match bytes.len() {
        0 => Err(unusable(format!("the key file {} is empty", path.display()), Vec::new())),
        1..=MAX_SECRET => Ok(bytes),
        _ => Err(unusable(format!("the key file {} is longer than 64 KiB", path.display()), Vec::new())),
    }
}

/// As much of the start of a source as is looked at.
fn start(source: &dyn ReadAt, path: &Path) -> Result<Vec<u8>> {
    let length = usize::try_from(source.size()).map_or(MAX_HEADER, |size| size.min(MAX_HEADER));
    let mut bytes = vec![0; length];
    source.read_exact_at(&mut bytes, 0).map_err(|e| {
        let message = format!("the start of {} cannot be read", path.display());
        Report {
            message,
            causes: vec![e.to_string()],
            ..refused("SourceUnreadable", Exit::Failed, String::new())
        }
        .recommend("Check the image and its permissions.")
    })?;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
