//! The driver `image`: reads the image files of machines that do not run.
//!
//! Paths come from users, so an image and its whole backing chain must lie below a folder that the
//! operator allowed; an image that a running QEMU holds is refused, since a copy torn between two
//! writes is not even crash consistent.

use std::path::{Path, PathBuf};

use cofre_arm::{ApiError, Problem, Result};
use cofre_disk::{BlockSource, DiskError, ErrorKind, open_source_beneath};

use crate::{
    driver::{Consistency, Driver, Snapshot, SnapshotDisk},
    machine::{Image, PowerState, VirtualMachine},
};

/// The driver.
#[derive(Clone, Debug)]
pub struct ImageDriver {
    folders: Vec<PathBuf>,
}

impl ImageDriver {
    /// A driver that opens images below these folders only. With none it opens nothing.
    #[must_use]
    pub fn new(folders: Vec<PathBuf>) -> Self {
        Self { folders }
    }

    /// The folder that an image's path lies in, by its name alone.
    fn folder_of(&self, path: &Path) -> Option<&PathBuf> {
        let resolved = path.canonicalize();
        self.folders.iter().find(|folder| {
            path.starts_with(folder)
                || resolved.as_ref().is_ok_and(|r| folder.canonicalize().is_ok_and(|f| r.starts_with(f)))
        })
    }

    /// Opens an image for reading.
    ///
    /// # Errors
    /// `ImageOutsideRoots`, `ImageUnavailable`, `VmState` when it is in use.
    pub fn open(&self, image: &Image) -> Result<Box<dyn BlockSource>> {
        let path = image.path.display();
        if !image.path.is_absolute() {
            return Err(ApiError::invalid(format!("the path of an image is absolute, {path} is not")));
        }
        let folder = self.folder_of(&image.path).ok_or_else(|| outside(&image.path))?;
        open_source_beneath(&image.path, folder, image.format).map_err(|e| refused(&image.path, e))
    }
}

fn outside(path: &Path) -> ApiError {
    let message = format!("{} is in none of the folders that machines may use", path.display());
    ApiError::new(Problem::ImageOutsideRoots, message)
}

fn refused(path: &Path, error: DiskError) -> ApiError {
    let path_text = path.display();
    match error.kind() {
        ErrorKind::InUse => ApiError::new(Problem::VmState, format!("the image {path_text} is in use")),
        // a backing file or a link that leads out of the folder
        ErrorKind::Invalid => outside(path),
        _ => ApiError::new(Problem::ImageUnavailable, format!("the image {path_text} cannot be opened")),
    }
    .because(error)
}

impl Driver for ImageDriver {
    fn snapshot(&self, machine: &VirtualMachine) -> Result<Snapshot> {
        if !matches!(machine.power_state, PowerState::Stopped | PowerState::Deallocated) {
            let message = format!(
                "{} is {:?}, and its images can only be read while it is off",
                machine.name(),
                machine.power_state
            );
            return Err(ApiError::new(Problem::VmState, message).about(&machine.id));
        }
        let disks = machine.disks().map(|disk| {
            Ok(SnapshotDisk {
                name: disk.name.clone(),
                format: disk.image.format.name(),
                source: self.open(&disk.image)?,
                changed: None,
            })
        });
        Ok(Snapshot { disks: disks.collect::<Result<_>>()?, consistency: Consistency::Crash })
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use cofre_disk::ImageFormat;

    use super::*;

    fn image(path: &Path) -> Image {
        Image { path: path.to_owned(), format: ImageFormat::Raw }
    }

    fn problem(driver: &ImageDriver, path: &Path) -> Problem {
        driver.open(&image(path)).err().unwrap().problem()
    }

    #[test]
    fn only_images_below_an_allowed_folder_are_opened() {
        let dir = tempfile::tempdir().unwrap();
        let (allowed, other) = (dir.path().join("vm"), dir.path().join("other"));
        fs::create_dir(&allowed).unwrap();
        fs::create_dir(&other).unwrap();
        fs::write(allowed.join("a.raw"), [1; 4096]).unwrap();
        fs::write(other.join("b.raw"), [1; 4096]).unwrap();
        symlink(other.join("b.raw"), allowed.join("link.raw")).unwrap();
        let driver = ImageDriver::new(vec![allowed.clone()]);

        assert_eq!(driver.open(&image(&allowed.join("a.raw"))).unwrap().size(), 4096);
        assert_eq!(problem(&driver, &other.join("b.raw")), Problem::ImageOutsideRoots);
        assert_eq!(problem(&driver, &allowed.join("link.raw")), Problem::ImageOutsideRoots);
        assert_eq!(problem(&driver, &allowed.join("../other/b.raw")), Problem::ImageOutsideRoots);
        assert_eq!(problem(&driver, &allowed.join("missing.raw")), Problem::ImageUnavailable);
        assert_eq!(problem(&driver, Path::new("a.raw")), Problem::InvalidParameter);
        assert_eq!(
            problem(&ImageDriver::new(Vec::new()), &allowed.join("a.raw")),
            Problem::ImageOutsideRoots
        );
    }
}
