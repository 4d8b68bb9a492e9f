//! Counts and states in the text format that Prometheus reads (version 0.0.4).

use std::fmt::{Display, Write as _};

use cofre_arm::Result;

use super::{
    standing::Standing,
    totals::{BOUNDS, JobTotals},
};
use crate::service::Recovery;

/// Text that grows by one family of metrics after the other.
#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String does not fail.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (index, (label, value)) in labels.iter().enumerate() {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let open = if index == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{open}{label}=\"{value}\"");
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{close} {value}");
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }
}

/// Seconds with their thousandths.
fn seconds(milliseconds: u64) -> String {
    format!("{}.{:03}", milliseconds / 1000, milliseconds % 1000)
}

fn totals(text: &mut Text, totals: &JobTotals) {
    text.family("cofre_jobs_ended_total", "counter", "Jobs that ended, by operation and status.");
    for (operation, of) in &totals.operations {
        for (status, count) in &of.by_status {
            let labels = [("operation", operation.as_str()), ("status", status)];
            text.sample("cofre_jobs_ended_total", &labels, count);
        }
    }
    let name = "cofre_job_duration_seconds";
    text.family(name, "histogram", "Time from when a job was asked for to its end.");
    for (operation, of) in &totals.operations {
        let mut below = 0;
        for (bound, count) in BOUNDS.iter().zip(of.classes) {
            below += count;
            let labels = [("operation", operation.as_str()), ("le", &bound.to_string())];
            text.sample(&format!("{name}_bucket"), &labels, below);
        }
        text.sample(&format!("{name}_bucket"), &[("operation", operation), ("le", "+Inf")], of.count());
        text.sample(&format!("{name}_sum"), &[("operation", operation)], seconds(of.milliseconds));
        text.sample(&format!("{name}_count"), &[("operation", operation)], of.count());
    }
    let kind = "counter";
    let (disk, read) = ("cofre_backup_disk_bytes_total", "cofre_backup_read_bytes_total");
    text.single(disk, kind, "Bytes of the disks that were backed up, holes included.", totals.disk_bytes);
    text.single(read, kind, "Bytes that backups read from disks.", totals.read_bytes);
    let stored = "cofre_backup_stored_bytes_total";
    text.single(stored, kind, "Bytes that backups added to repositories.", totals.stored_bytes);
    if totals.stored_bytes > 0 {
        #[expect(clippy::cast_precision_loss, reason = "a ratio for people to look at")]
        let ratio = totals.disk_bytes as f64 / totals.stored_bytes as f64;
        let help = "Bytes of backed up disks for each byte added to repositories, over all backups.";
        text.single("cofre_backup_dedup_ratio", "gauge", help, format_args!("{ratio:.3}"));
    }
}

fn standing(text: &mut Text, now: &Standing) {
    for (name, help, jobs) in [
        ("cofre_jobs_running", "Jobs that run now, by operation.", &now.running),
        ("cofre_jobs_waiting", "Jobs that wait for a worker, by operation.", &now.waiting),
    ] {
        text.family(name, "gauge", help);
        for (operation, count) in jobs {
            text.sample(name, &[("operation", operation)], count);
        }
    }
    let queue: u64 = now.waiting.values().sum();
    text.single("cofre_queue_length", "gauge", "Jobs that wait for a worker.", queue);
    text.family("cofre_items", "gauge", "Protected items, by health.");
    for (health, count) in &now.items {
        text.sample("cofre_items", &[("health", health)], count);
    }
    let help = "Items whose backup data wait to be deleted for good.";
    text.single("cofre_items_deleted", "gauge", help, now.items_deleted);
    text.single("cofre_points", "gauge", "Recovery points.", now.points);
    let help =
        "How long ago the oldest scheduled backup was due that nobody has begun; 0 where there is none.";
    text.single("cofre_schedule_lag_seconds", "gauge", help, now.schedule_lag.as_secs());
    let help =
        "Age of the newest recovery point of the item for which that is most; of its protection without one.";
    text.single("cofre_oldest_protection_seconds", "gauge", help, now.oldest_protection.as_secs());
    let help = "Free bytes of the file system that repositories lie on.";
    text.single("cofre_storage_free_bytes", "gauge", help, now.space.free);
    let help = "Bytes of the file system that repositories lie on.";
    text.single("cofre_storage_size_bytes", "gauge", help, now.space.total);
}

/// Bytes of memory that this process holds, as Linux says.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

impl Recovery {
    /// What was done and how things stand, in the text format that Prometheus reads.
    ///
    /// # Errors
    /// `StateUnavailable`.
    pub fn metrics(&self) -> Result<String> {
        let mut text = Text::default();
        text.family("cofre_build_info", "gauge", "The program that answers.");
        text.sample("cofre_build_info", &[("software", &self.parts().software)], 1);
        totals(&mut text, &self.job_totals()?);
        let now = self.standing()?;
        standing(&mut text, &now);
        let reserve = self.settings().storage.reserve(now.space.total);
        let help = "Bytes that must be free for a backup to begin.";
        text.single("cofre_storage_reserve_bytes", "gauge", help, reserve);
        let help = "1 where there is less room than the setting for an alarm says.";
        text.single("cofre_storage_alarm", "gauge", help, u8::from(self.is_room_low(now.space)));
        if let Some(bytes) = resident_bytes() {
            text.single("process_resident_memory_bytes", "gauge", "Memory that the process holds.", bytes);
        }
        Ok(text.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let mut text = Text::default();
        text.sample("a", &[("b", "x\"y\\z\nw"), ("c", "d")], 1);
        assert_eq!(text.0, "a{b=\"x\\\"y\\\\z\\nw\",c=\"d\"} 1\n");
        assert_eq!(seconds(61_005), "61.005");
    }
}
