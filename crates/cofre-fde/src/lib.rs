//! Disk encryption formats.
