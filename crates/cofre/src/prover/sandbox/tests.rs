//! Every test starts this test program again: a process that confines itself is of no more use.

use std::{
    env,
    fs::File,
    hint::black_box,
    io::{Read as _, Write as _},
    net::{TcpStream, UdpSocket},
    os::{
        fd::{AsFd as _, AsRawFd as _},
        unix::process::ExitStatusExt as _,
    },
    process::{Command, Output, Stdio},
    thread,
};

use super::*;

const PROBE: &str = "COFRE_TEST_PROBE";

/// What a confined process tries. Not run by itself: `probe` starts it in a process of its own.
#[test]
fn confined() {
    let Ok(what) = env::var(PROBE) else { return };
    let file = File::open("/proc/self/status").unwrap();
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).unwrap();
    let memory = if what == "memory" { 256 << 20 } else { 2 << 30 };
    if what == "first step" {
        close().unwrap();
        let error = File::open("/etc/hostname").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{error}");
        println!("survived");
        std::process::exit(0);
    }
    close().unwrap();
    confine(memory, if what == "time" { 1 } else { 60 }).unwrap();
    // libtest has other threads and a harness: the process ends here, whatever happens.
    match what.as_str() {
        "nothing" => {
            let mut bytes = Vec::new();
            std::io::stdin().read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes, b"question");
            let large = vec![1_u8; 64 << 20];
            println!("survived {}", black_box(large).len());
        }
        "memory" => {
            let refused = Vec::<u8>::new().try_reserve_exact(300 << 20).is_err();
            println!("survived {refused}");
        }
        "time" => loop {
            black_box(0);
        },
        "open" => drop(File::open("/etc/hostname")),
        "inherited" => drop((&file).read(&mut [0; 10])),
        "tcp" => drop(TcpStream::connect("127.0.0.1:9")),
        "udp" => drop(UdpSocket::bind("127.0.0.1:0")),
        "execute" => drop(Command::new("/bin/true").status()),
        "thread" => drop(thread::spawn(|| ()).join()),
        "kill" => drop(rustix::process::kill_process(
            rustix::process::getppid().unwrap(),
            rustix::process::Signal::USR1,
        )),
        "raise the limit" => drop(setrlimit(Resource::Nofile, Rlimit { current: Some(9), maximum: Some(9) })),
        "duplicate" => drop(file.as_fd().try_clone_to_owned()),
        other => panic!("unknown probe {other} with {}", file.as_raw_fd()),
    }
    println!("survived");
    let _ = std::io::stdout().flush();
    std::process::exit(0);
}

fn probe(what: &str) -> Output {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["prover::sandbox::tests::confined", "--exact", "--nocapture", "--test-threads=1"]);
    command.env(PROBE, what).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Most are dead before they read it.
    let _ = child.stdin.take().unwrap().write_all(b"question");
    child.wait_with_output().unwrap()
}

#[test]
fn what_a_computation_needs_is_allowed() {
    for what in ["nothing", "first step"] {
        let output = probe(what);
        let shown = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && shown.contains("survived"), "{what}: {output:?}");
    }
}

#[test]
fn everything_else_ends_the_process() {
    for what in
        ["open", "inherited", "duplicate", "tcp", "udp", "execute", "thread", "kill", "raise the limit"]
    {
        let output = probe(what);
        assert_eq!(output.status.signal(), Some(libc::SIGSYS), "{what}: {output:?}");
        assert!(!String::from_utf8_lossy(&output.stdout).contains("survived"), "{what}");
    }
}

#[test]
fn memory_and_processor_time_are_limited() {
    let output = probe("memory");
    assert!(String::from_utf8_lossy(&output.stdout).contains("survived true"), "{output:?}");
    assert_eq!(probe("time").status.signal(), Some(libc::SIGXCPU));
}
