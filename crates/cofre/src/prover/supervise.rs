//! Asks a child, waits for its answer, and makes sure that it is gone afterwards.

use std::{
    io::{self, Read as _, Write as _},
    os::unix::process::ExitStatusExt as _,
    process::{Child, ChildStdin, ChildStdout, ExitStatus},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use cofre_repo::Cancel;

use super::{ProverAnswer, wire::MAX_ANSWER};

/// How often it is looked whether somebody wants to stop.
const LOOK: Duration = Duration::from_millis(50);
/// How long a child may take to end once it has answered.
const LAST: Duration = Duration::from_secs(2);

/// Sends the question (`parts`, one after another) to `child` and waits for its answer until
/// `patience` is over or `stop` is set. The child is dead and reaped when this returns.
pub(super) fn run(mut child: Child, parts: &[&[u8]], patience: Duration, stop: &Cancel) -> ProverAnswer {
    let deadline = Instant::now() + patience;
    let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return end(&mut child, ProverAnswer::Failed("the proving process has no pipes".to_owned()));
    };
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        // Two threads: a child that does not read, or does not stop writing, must not hold us up.
        let threads = [
            thread::Builder::new().spawn_scoped(scope, move || ask(stdin, parts)),
            thread::Builder::new().spawn_scoped(scope, move || {
                // Nobody waits for it any more when this fails.
                let _ = sender.send(hear(stdout));
            }),
        ];
        let answer = match threads.into_iter().collect::<io::Result<Vec<_>>>() {
            Ok(_) => wait(&mut child, &receiver, deadline, patience, stop),
            Err(e) => {
                ProverAnswer::Failed(format!("a thread for the proving process cannot be started: {e}"))
            }
        };
        // Ends what the threads wait for.
        end(&mut child, answer)
    })
}

fn end(child: &mut Child, answer: ProverAnswer) -> ProverAnswer {
    // Both fail only where the child is gone and reaped.
    let _ = child.kill();
    let _ = child.wait();
    answer
}

/// A child that ended before it read everything has said why, or its end does.
fn ask(mut pipe: ChildStdin, parts: &[&[u8]]) {
    for part in parts {
        if pipe.write_all(part).is_err() {
            return;
        }
    }
}

fn hear(pipe: ChildStdout) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    pipe.take(MAX_ANSWER as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn wait(
    child: &mut Child,
    receiver: &Receiver<io::Result<Vec<u8>>>,
    deadline: Instant,
    patience: Duration,
    stop: &Cancel,
) -> ProverAnswer {
    let bytes = loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match receiver.recv_timeout(left.min(LOOK)) {
            Ok(Ok(bytes)) => break bytes,
            Ok(Err(e)) => return ProverAnswer::Failed(format!("the proving process cannot be heard: {e}")),
            Err(RecvTimeoutError::Disconnected) => {
                return ProverAnswer::Failed("the proving process cannot be heard".to_owned());
            }
            Err(RecvTimeoutError::Timeout) if stop.is_cancelled() => {
                return ProverAnswer::Failed("interrupted before the end".to_owned());
            }
            Err(RecvTimeoutError::Timeout) if left.is_zero() => {
                let seconds = patience.as_secs_f32();
                return ProverAnswer::TooCostly(format!("there was no answer within {seconds} seconds"));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    };
    if bytes.len() > MAX_ANSWER {
        return ProverAnswer::Failed("the proving process says more than an answer".to_owned());
    }
    let until = Instant::now() + LAST;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return judge(status, &bytes),
            Ok(None) if Instant::now() < until => {
                thread::sleep(Duration::from_millis(1));
            }
            Ok(None) => return ProverAnswer::Failed("the proving process does not end".to_owned()),
            Err(e) => return ProverAnswer::Failed(format!("the proving process cannot be waited for: {e}")),
        }
    }
}

/// What to make of a child that ended.
fn judge(status: ExitStatus, bytes: &[u8]) -> ProverAnswer {
    match status.signal() {
        None if status.success() => ProverAnswer::from_bytes(bytes)
            .unwrap_or_else(|| ProverAnswer::Failed("the proving process gave no valid answer".to_owned())),
        None => ProverAnswer::Failed(format!("the proving process failed ({status})")),
        Some(libc::SIGXCPU) => ProverAnswer::TooCostly("the processor time allowed was used up".to_owned()),
        Some(libc::SIGSYS) => ProverAnswer::Failed(
            "the proving process was stopped at a system call that it has no business with".to_owned(),
        ),
        Some(libc::SIGKILL) => ProverAnswer::Failed(
            "the proving process was killed (signal 9): by somebody, or because the machine ran out of memory"
                .to_owned(),
        ),
        Some(signal) => ProverAnswer::Failed(format!("the proving process was ended by signal {signal}")),
    }
}
