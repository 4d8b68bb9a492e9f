//! Disk images as block devices: where bytes come from and where they go.
//!
//! A [`BlockSource`] is a disk of fixed size that can be read at any offset from several threads and
//! can say which parts of it are holes. A [`BlockSink`] takes the bytes of a restored disk in any
//! order. Bodies: raw files ([`raw`]), qcow2 images ([`qcow2`]) and fixed VHD files ([`vhd`]).
//! [`dirty`] holds the list of ranges that changed since an earlier point.
//!
//! This crate knows nothing of repositories, virtual machines or encryption.

pub mod block;
pub mod error;

pub use block::{BlockSink, BlockSource, Extent, ExtentKind};
pub use error::{DiskError, ErrorKind};
