//! Disk images as block devices: where bytes come from and where they go.
//!
//! A [`BlockSource`] is a disk of fixed size that can be read at any offset from several threads and
//! can say which parts of it are holes. A [`BlockSink`] takes the bytes of a restored disk in any
//! order. Bodies: raw files ([`raw`]), qcow2 images ([`qcow2`]), fixed VHD files ([`vhd`]) and memory
//! ([`memory`]). [`dirty`] holds the list of ranges that changed since an earlier point, [`open`]
//! chooses a body by the format the caller names.
//!
//! Copying the parts of a disk that are there:
//!
//! ```
//! use cofre_disk::{BlockSink, BlockSource, DiskError, ExtentKind, ImageFormat, RawSink, open_source};
//!
//! fn copy(from: &str, to: &str) -> Result<(), DiskError> {
//!     let source = open_source(from, ImageFormat::from_suffix(from))?;
//!     let sink = RawSink::create(to, source.size())?;
//!     let mut buffer = vec![0; 1 << 20];
//!     let mut at = 0;
//!     while at < source.size() {
//!         let extent = source.extent_at(at)?;
//!         let length = extent.length.min(1 << 20);
//!         if extent.kind == ExtentKind::Hole {
//!             at = extent.end();
//!             continue;
//!         }
//!         let part = &mut buffer[..usize::try_from(length).unwrap_or(1 << 20)];
//!         source.read_exact_at(part, at)?;
//!         sink.write_all_at(part, at)?;
//!         at += length;
//!     }
//!     source.verify_unchanged()?;
//!     sink.finish()
//! }
//! ```
//!
//! This crate knows nothing of repositories, virtual machines or encryption.

mod beneath;
mod big_endian;
pub mod block;
pub mod dirty;
pub mod error;
mod host;
mod locks;
pub mod memory;
pub mod open;
pub mod qcow2;
pub mod raw;
pub mod vhd;

pub use block::{BlockSink, BlockSource, Extent, ExtentKind};
pub use dirty::{DirtyRange, DirtyRanges};
pub use error::{DiskError, ErrorKind};
pub use memory::{MemorySink, MemorySource};
pub use open::{ImageFormat, open_source, open_source_beneath};
pub use qcow2::Qcow2Source;
pub use raw::{RawSink, RawSource};
pub use vhd::{VhdIdentity, VhdSink, VhdSource};
