//! One run of one program: wall time, processor time, memory, space.

use std::{
    error::Error,
    fs::{self, File},
    io::Read,
    os::unix::fs::MetadataExt,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

const TIME: &str = "/usr/bin/time";

/// What a run took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// Seconds from its start until what it wrote is on the disk.
    pub(crate) wall: f64,
    /// Seconds of these in the flush.
    pub(crate) flush: f64,
    /// Seconds of processor time, of the user and the system.
    pub(crate) cpu: f64,
    /// The most memory it had at once, in KiB.
    pub(crate) peak_kib: u64,
}

/// Fails if GNU time is not there.
pub(crate) fn check_tools() -> Result<(), Box<dyn Error>> {
    let output = Command::new(TIME).arg("--version").output();
    let is_gnu = output.is_ok_and(|o| {
        let text = [o.stdout, o.stderr].concat();
        String::from_utf8_lossy(&text).contains("GNU")
    });
    if is_gnu {
        Ok(())
    } else {
        Err(format!("{TIME} is missing or not GNU time: install the package `time`").into())
    }
}

/// Runs a command and waits until the file system of `directory` has written everything.
pub(crate) fn run(command: &Command, directory: &Path) -> Result<Cost, Box<dyn Error>> {
    let (report, log) = (directory.join("time.txt"), directory.join("log.txt"));
    let mut timed = Command::new(TIME);
    timed.args(["-f", "%e %U %S %M", "-o"]).arg(&report).arg("--");
    timed.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
    timed.stdout(Stdio::null()).stderr(File::create(&log)?);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => timed.env(name, value),
            None => timed.env_remove(name),
        };
    }
    if let Some(place) = command.get_current_dir() {
        timed.current_dir(place);
    }
    let start = Instant::now();
    let status = timed.status()?;
    let ended = start.elapsed().as_secs_f64();
    flush(directory)?;
    let wall = start.elapsed().as_secs_f64();
    if !status.success() {
        let said = fs::read_to_string(&log)?;
        return Err(format!("{command:?}: {status}\n{}", said.trim()).into());
    }
    let text = fs::read_to_string(&report)?;
    let (cpu, peak_kib) = parse(&text).ok_or_else(|| format!("GNU time says {text:?}"))?;
    Ok(Cost { wall, flush: wall - ended, cpu, peak_kib })
}

/// Waits until a directory's file system has written everything.
pub(crate) fn flush(directory: &Path) -> Result<(), Box<dyn Error>> {
    let status = Command::new("sync").arg("-f").arg(directory).status()?;
    if status.success() { Ok(()) } else { Err("`sync -f` failed".into()) }
}

/// Processor seconds and peak KiB from the last line of GNU time's report.
fn parse(text: &str) -> Option<(f64, u64)> {
    let mut words = text.lines().last()?.split_whitespace().skip(1);
    let user: f64 = words.next()?.parse().ok()?;
    let system: f64 = words.next()?.parse().ok()?;
    Some((user + system, words.next()?.parse().ok()?))
}

/// Bytes that the files below a directory take on the disk.
pub(crate) fn stored(directory: &Path) -> Result<u64, Box<dyn Error>> {
    sum(directory, &|metadata| metadata.blocks() * 512)
}

/// Bytes that the files below a directory are long.
pub(crate) fn length(directory: &Path) -> Result<u64, Box<dyn Error>> {
    sum(directory, &fs::Metadata::len)
}

fn sum(directory: &Path, of: &dyn Fn(&fs::Metadata) -> u64) -> Result<u64, Box<dyn Error>> {
    let mut total = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        total += if metadata.is_dir() { sum(&entry.path(), of)? } else { of(&metadata) };
    }
    Ok(total)
}

/// Whether two files hold the same bytes.
pub(crate) fn same(a: &Path, b: &Path) -> Result<bool, Box<dyn Error>> {
    let open = |path: &Path| File::open(path).map_err(|e| format!("{}: {e}", path.display()));
    let (mut a, mut b) = (open(a)?, open(b)?);
    let length = a.metadata()?.len();
    if length != b.metadata()?.len() {
        return Ok(false);
    }
    let (mut x, mut y) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    let mut left = length;
    while left > 0 {
        let part = usize::try_from(left).unwrap_or(usize::MAX).min(x.len());
        a.read_exact(&mut x[..part])?;
        b.read_exact(&mut y[..part])?;
        if x[..part] != y[..part] {
            return Ok(false);
        }
        left -= part as u64;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_of_gnu_time_is_read() {
        assert_eq!(parse("1.25 2.50 0.25 1024\n"), Some((2.75, 1024)));
        assert_eq!(parse("Command exited with non-zero status 3\n0.00 0.00 0.00 9\n"), Some((0.0, 9)));
        assert_eq!(parse(""), None);
    }

    #[test]
    fn files_are_compared_byte_for_byte() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("a"), vec![7; 3 << 20]).unwrap();
        let mut bytes = vec![7; 3 << 20];
        fs::write(path("b"), &bytes).unwrap();
        assert!(same(&path("a"), &path("b")).unwrap());
        bytes[2_500_000] = 8;
        fs::write(path("b"), &bytes).unwrap();
        assert!(!same(&path("a"), &path("b")).unwrap());
        fs::write(path("b"), &bytes[1..]).unwrap();
        assert!(!same(&path("a"), &path("b")).unwrap());
        assert_eq!(length(directory.path()).unwrap(), (6 << 20) - 1);
    }
}
