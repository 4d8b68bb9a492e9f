//! Where every blob is: index files in the repository, and the table made of them in memory.

pub mod file;
pub mod table;

pub use table::{Index, Location, PackState};
