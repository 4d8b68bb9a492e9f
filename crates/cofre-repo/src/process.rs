//! Which process this is, and whether another one that left a lock or lease is dead.
//!
//! A process id alone means nothing on another machine, in another container or after a reboot. So a
//! process is known by machine, boot, process-id namespace, id and start time, and is only called
//! dead when this one could have seen it alive (docs/format.md, "Locks and leases").

use std::{fs, path::Path};

use serde::{Deserialize, Serialize};

/// A process, as written into locks and leases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// Host name, for people.
    pub host: String,
    /// `/etc/machine-id`, or empty where there is none.
    pub machine: String,
    /// `boot_id` of the kernel, or empty where there is none.
    pub boot: String,
    /// The process-id namespace, as the kernel names it.
    pub namespace: String,
    /// Process id.
    pub pid: u32,
    /// Start time in clock ticks since boot, so that a reused id is not taken for the old process.
    pub started: u64,
}

fn first_line(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).ok().and_then(|t| t.lines().next().map(str::to_owned)).unwrap_or_default()
}

/// Field 22 of `/proc/PID/stat`, counted behind the command name, which may hold anything.
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<_> = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace().collect();
    // One that has ended stays in the table until its parent has asked how; it may be a parent that never does.
    // Its first thread may have ended before others that still write.
    if matches!(*fields.first()?, "Z" | "X") && fields.get(17)?.parse().is_ok_and(|threads: u32| threads <= 1)
    {
        return None;
    }
    fields.get(19)?.parse().ok()
}

impl Process {
    /// This process.
    #[must_use]
    pub fn this() -> Self {
        let pid = std::process::id();
        Self {
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            machine: first_line("/etc/machine-id"),
            boot: first_line("/proc/sys/kernel/random/boot_id"),
            namespace: fs::read_link("/proc/self/ns/pid")
                .map(|p| p.to_string_lossy().into_owned())
                .unwrap_or_default(),
            pid,
            started: start_time(pid).unwrap_or_default(),
        }
    }

    /// Whether this process is certainly no more, as seen from `observer`, which is the caller.
    /// `false` means *alive or unknown*.
    #[must_use]
    pub fn is_dead(&self, observer: &Self) -> bool {
        if observer.boot.is_empty() || self.boot.is_empty() {
            return false;
        }
        if self.boot == observer.boot {
            // the same boot and namespace: the process table tells
            return self.namespace == observer.namespace
                && !self.namespace.is_empty()
                && start_time(self.pid) != Some(self.started);
        }
        // the same machine has booted since
        !self.machine.is_empty() && self.machine == observer.machine && self.host == observer.host
    }

    /// `host, process 123`.
    #[must_use]
    pub fn describe(&self) -> String {
        format!("process {} on {}", self.pid, self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_ended_is_dead_though_nobody_asked_how() {
        let me = Process::this();
        let mut child =
            std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let started = start_time(child.id()).unwrap();
        let other = Process { pid: child.id(), started, ..me.clone() };
        assert!(!other.is_dead(&me));
        drop(child.stdin.take());
        let ended = || fs::read_to_string(format!("/proc/{}/stat", other.pid)).unwrap().contains(") Z ");
        while !ended() {
            std::thread::yield_now();
        }
        assert!(other.is_dead(&me));
        child.wait().unwrap();
    }

    #[test]
    fn only_a_process_that_could_be_seen_is_called_dead() {
        let me = Process::this();
        assert!(!me.is_dead(&me));
        assert!(Process { started: me.started + 1, ..me.clone() }.is_dead(&me), "a reused process id");
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        assert!(Process { pid, ..me.clone() }.is_dead(&me));
        assert!(!Process { pid, namespace: "pid:[1]".into(), ..me.clone() }.is_dead(&me), "other container");
        assert!(
            !Process { boot: "x".into(), machine: "y".into(), ..me.clone() }.is_dead(&me),
            "other machine"
        );
        if !me.machine.is_empty() {
            assert!(
                Process { boot: "x".into(), ..me.clone() }.is_dead(&me),
                "this machine, before its last boot"
            );
        }
    }
}
