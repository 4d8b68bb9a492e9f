//! What every way of reaching a machine's disks has in common.

use cofre_arm::Result;
use cofre_disk::{BlockSource, DirtyRanges};

use crate::machine::VirtualMachine;

/// How far the data of a snapshot agree with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// As after a power cut.
    Crash,
    /// File systems were frozen.
    FileSystem,
    /// Applications took part.
    Application,
}

/// The disks of a machine at one instant. They stay as they are until this is dropped.
pub struct Snapshot {
    /// The disks, the one it boots from first.
    pub disks: Vec<SnapshotDisk>,
    /// What can be promised of them.
    pub consistency: Consistency,
}

/// A disk of a snapshot.
pub struct SnapshotDisk {
    /// Name.
    pub name: String,
    /// Format of its image, for the record.
    pub format: &'static str,
    /// Its bytes.
    pub source: Box<dyn BlockSource>,
    /// What changed since the last good backup, where the driver kept count.
    pub changed: Option<DirtyRanges>,
}

/// A way to reach the disks of machines.
pub trait Driver: Send + Sync {
    /// Takes a snapshot of all disks at one instant.
    ///
    /// # Errors
    /// `VmState` when the machine cannot be read as it is, `ImageOutsideRoots`, `ImageUnavailable`.
    fn snapshot(&self, machine: &VirtualMachine) -> Result<Snapshot>;
}
