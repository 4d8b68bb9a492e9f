//! Everything a repository stores, as if its key were known to the enemy: packs' headers, trees,
//! documents, index files, and the sealed files around them. Key files are the only part that is
//! parsed before anything is authenticated.
#![no_main]

use std::sync::LazyLock;

use cofre_repo::{
    BlobId,
    crypto::{RawKey, SealingKey},
    index::file::IndexFile,
    keyfile, pack,
    point::{DiskDocument, PointDocument},
    snapshot::Snapshot,
    tree::Tree,
    unpacked,
};
use libfuzzer_sys::fuzz_target;

static KEY: LazyLock<SealingKey> =
    LazyLock::new(|| SealingKey::new(&RawKey::from_bytes(&[7; 64])).expect("a key"));

fuzz_target!(|data: &[u8]| {
    let Some((&which, bytes)) = data.split_first() else { return };
    match which % 8 {
        0 => drop(Tree::parse(BlobId([0; 32]), bytes)),
        1 => drop(PointDocument::parse(bytes)),
        2 => drop(DiskDocument::parse(bytes)),
        3 => drop(pack::parse_header(bytes, "pack")),
        4 => drop(keyfile::parse(bytes)),
        5 => drop(unpacked::open::<IndexFile>(&KEY, "index", KEY.seal(bytes).expect("sealed"))),
        6 => drop(unpacked::open::<Snapshot>(&KEY, "snapshot", bytes.to_vec())),
        _ => {
            // behind the byte that says so, anything may be zstd
            let mut packed = vec![2];
            packed.extend_from_slice(bytes);
            drop(unpacked::open::<IndexFile>(&KEY, "index", KEY.seal(&packed).expect("sealed")));
        }
    }
});
