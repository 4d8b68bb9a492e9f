//! The test of this package is all there is of it: `tests/reads.rs`.
