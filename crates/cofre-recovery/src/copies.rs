//! How many recovery points hold a copy of a key or secret.

use cofre_arm::{ObjectUrl, Result};

use crate::{points::VISIBLE, service::Recovery};

impl Recovery {
    /// Recovery points that are there and hold copies of a key or secret that `is_meant`.
    ///
    /// # Errors
    /// `StateUnavailable`.
    pub fn copies(&self, is_meant: impl Fn(&ObjectUrl) -> bool) -> Result<usize> {
        let mut count = 0;
        for item in self.items(None)? {
            let points = self.recovery_points(&item.id)?;
            let holds = |urls: &[String]| urls.iter().filter_map(|u| u.parse().ok()).any(|u| is_meant(&u));
            count += points.iter().filter(|p| p.state == VISIBLE && holds(&p.keys)).count();
        }
        Ok(count)
    }
}
