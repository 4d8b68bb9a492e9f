//! Runs the database driver's futures for callers that block.

use std::{
    fmt,
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

use tokio::runtime::{Builder, Runtime};

use crate::error::{ErrorKind, Result, StoreError};

/// A small runtime, and the wait for a future.
///
/// The driver runs every SQLite connection on a thread of its own and wants a runtime only for its timers and for the
/// few tasks it spawns (a connection's way back to its pool); for PostgreSQL also for its sockets. So there is one worker, of the multi-threaded kind: on a
/// current-thread runtime those tasks would move only while some caller waits inside it. A call's own future is polled
/// on the caller's thread. Calls from many threads therefore run side by side, what they read is decoded on their own
/// core, futures may borrow, and nothing panics when a caller happens to be inside another runtime (as
/// `Runtime::block_on` does): such a caller blocks its thread, as it would with any file.
pub(crate) struct Executor {
    // An option, because a runtime must not be dropped, but shut down, by a thread of another runtime.
    runtime: Option<Runtime>,
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Executor")
    }
}

impl Executor {
    pub(crate) fn new() -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(1)
            .thread_name("cofre-store")
            .enable_all()
            .build()
            .map_err(|error| {
                StoreError::new(ErrorKind::Unavailable, "the database's thread could not be started")
                    .with_source(error)
            })?;
        Ok(Self { runtime: Some(runtime) })
    }

    /// Waits for `future` on this thread.
    pub(crate) fn wait<F: Future>(&self, future: F) -> F::Output {
        let _context = self.runtime.as_ref().map(Runtime::enter);
        let signal = Arc::new(Signal { thread: thread::current(), woken: AtomicBool::new(false) });
        let waker = Waker::from(Arc::clone(&signal));
        let mut future = pin!(future);
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return output;
            }
            // The flag, because the future itself may have used up the thread's one parking token.
            while !signal.woken.swap(false, Ordering::Acquire) {
                thread::park();
            }
        }
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

struct Signal {
    thread: Thread,
    woken: AtomicBool,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_future_is_woken_by_other_threads_and_by_the_timer() {
        let executor = Executor::new().unwrap();
        executor.wait(async { tokio::time::sleep(Duration::from_millis(5)).await });
        let spawned = executor.wait(async { tokio::spawn(async { 7 }).await.unwrap() });
        assert_eq!(spawned, 7);
    }

    #[test]
    fn a_wake_is_not_lost_when_the_future_itself_parks() {
        let mut polled = false;
        let future = std::future::poll_fn(|context| {
            if polled {
                return Poll::Ready(());
            }
            polled = true;
            context.waker().wake_by_ref();
            // Takes the token that the wake left.
            thread::park();
            Poll::Pending
        });
        Executor::new().unwrap().wait(future);
    }
}
