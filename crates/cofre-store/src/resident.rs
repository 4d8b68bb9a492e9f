//! The thread that writes events for callers that do not wait.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
};

use crate::{
    backend::Backend,
    connection::Connection,
    error::Result,
    executor::Executor,
    group::{self, Groups, Request, Summon},
};

/// What the threads of a store share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) backend: Backend,
    pub(crate) groups: Groups,
    pub(crate) executor: Executor,
}

impl Shared {
    pub(crate) fn new(backend: Backend, executor: Executor) -> Self {
        Self { backend, groups: Groups::default(), executor }
    }

    /// Writes a group of events in one transaction.
    pub(crate) fn write(&self, group: &[Arc<Request>]) -> Result<Vec<Result<()>>> {
        let work = async |connection: &mut Connection| group::apply(connection, group).await;
        self.executor.wait(self.backend.transaction(work))
    }

    /// Leads one group. Those in it are told even if this panics, and the next group is no worse for it.
    fn lead(&self) {
        let _ = catch_unwind(AssertUnwindSafe(|| self.groups.lead(|group| self.write(group))));
    }
}

enum Order {
    /// Write a group.
    Lead,
    /// Write what still waits, and end.
    End,
}

/// The thread. Dropping it ends the thread, after all that waits was written.
#[derive(Debug)]
pub(crate) struct Resident {
    orders: mpsc::Sender<Order>,
    thread: Option<JoinHandle<()>>,
}

impl Resident {
    pub(crate) fn begin(shared: Arc<Shared>) -> io::Result<Self> {
        let (orders, taken) = mpsc::channel();
        let work = move || {
            while let Ok(Order::Lead) = taken.recv() {
                shared.lead();
            }
            while !shared.groups.is_idle() {
                shared.lead();
            }
        };
        let thread = thread::Builder::new().name("cofre-events".to_owned()).spawn(work)?;
        Ok(Self { orders, thread: Some(thread) })
    }

    /// What sets the thread to work.
    pub(crate) fn summon(&self) -> Summon {
        let orders = self.orders.clone();
        Box::new(move || {
            // Fails only after the thread was told to end, and then it writes everything anyway.
            let _ = orders.send(Order::Lead);
        })
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        let _ = self.orders.send(Order::End);
        if let Some(thread) = self.thread.take()
            // What it told somebody may have been the end of the store.
            && thread.thread().id() != thread::current().id()
        {
            let _ = thread.join();
        }
    }
}
