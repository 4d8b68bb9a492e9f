//! The files that a restore of disks writes beside the disks.
