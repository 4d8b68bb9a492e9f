//! Virtual machines as the backup sees them: the model ([`machine`]), how their disks are encrypted
//! ([`encryption`]), and drivers that hand out the disks' bytes ([`driver`], [`image`]).

pub mod driver;
pub mod encryption;
pub mod image;
pub mod machine;

pub use driver::{Consistency, Driver, Snapshot, SnapshotDisk};
pub use encryption::{EncryptionClass, EncryptionMechanism, EncryptionSettings, KeySet};
pub use image::ImageDriver;
pub use machine::{
    DataDisk, DeploymentModel, Disk, Image, OsType, PowerState, ProvisioningState, VirtualMachine,
};
