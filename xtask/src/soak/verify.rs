//! What is compared after every round.

use std::{error::Error, fs, process::Command};

use super::{
    engine::Ended,
    model::Point,
    rounds::{Soak, words},
};
use crate::bench::measure;

impl Soak {
    /// Compares the points with the model, and the disks of the new ones and of one other with their images.
    pub(super) fn verify(
        &mut self,
        made: &[(Point, Ended)],
        forgotten: Option<(&[String], &Ended)>,
    ) -> Result<(), Box<dyn Error>> {
        let listing = self.run("points", &self.repository.clone(), &[], None)?;
        let fresh = self.model.compare(&listing, made, forgotten)?;
        self.totals.made += fresh.len() as u64;
        let killed = made.iter().filter(|(p, ended)| ended.was_killed && fresh.contains(&p.tag));
        self.totals.made_by_killed += killed.count() as u64;
        let mut chosen: Vec<Point> =
            self.model.points.iter().filter(|p| fresh.contains(&p.tag)).cloned().collect();
        chosen.extend(self.random.pick(&self.model.points).cloned());
        for point in chosen {
            self.compare_disk(&point)?;
        }
        self.remove_old_images()
    }

    /// Restores a point's disk and compares it with its image.
    pub(super) fn compare_disk(&mut self, point: &Point) -> Result<(), Box<dyn Error>> {
        let to = self.directory.join("restored.raw");
        let id = point.id.as_deref().unwrap_or(&point.tag);
        let rest = words(&[id, "--disk", "os", "--force", "--to", &to.display().to_string()]);
        let ended = self.run("restore", &self.repository.clone(), &rest, None)?;
        if ended.code != 0 {
            return Err(format!("restore of {point:?}: {}", ended.describe()).into());
        }
        if !measure::same(&to, &point.image)? {
            return Err(format!("{point:?} differs from its image; restored: {}", to.display()).into());
        }
        self.totals.compared += 1;
        Ok(())
    }

    /// Everything is read and checked, by cofre and by restic.
    pub(super) fn check(&mut self) -> Result<(), Box<dyn Error>> {
        let ended = self.run("check", &self.repository.clone(), &words(&["--read-data"]), None)?;
        if ended.code != 0 || ended.answer["ok"] != true {
            return Err(format!("check: {}", ended.describe()).into());
        }
        self.totals.checks += 1;
        let Some(restic) = &self.restic else { return Ok(()) };
        let output = Command::new(restic)
            .args(["check", "--no-lock", "--no-cache"])
            .env("RESTIC_REPOSITORY", &self.repository)
            .env("RESTIC_PASSWORD_FILE", &self.engine.secret)
            .output()?;
        if !output.status.success() {
            let said = [output.stdout, output.stderr].concat();
            return Err(format!("restic check: {}\n{}", output.status, String::from_utf8_lossy(&said)).into());
        }
        self.totals.restic_checks += 1;
        Ok(())
    }

    fn remove_old_images(&self) -> Result<(), Box<dyn Error>> {
        for entry in fs::read_dir(&self.directory)? {
            let path = entry?.path();
            let is_image = path.extension().is_some_and(|e| e == "raw");
            let is_needed =
                self.images.values().any(|p| *p == path) || self.model.points.iter().any(|p| p.image == path);
            if is_image && !is_needed {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}
