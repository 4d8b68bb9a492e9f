//! How many threads work at once.

/// Each worker holds up to 3 MiB of buffers (with chunks of 4 MiB, 12): more of them would break the
/// promise of 128 MiB for any operation, and storage is saturated long before.
const MOST: usize = 16;

/// As many as there are processors, within bounds.
pub(crate) fn count() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(MOST)
}
