//! Grouped appends: callers that append events at the same time share a transaction, and with it the wait for the disk.
//!
//! Whoever finds nobody at work leads: it takes what has gathered, its own first, writes it in one transaction, tells
//! everyone the outcome and passes the lead to the first of those who came in the meantime. The others sleep. A caller
//! alone does not wait for company: it is a group of one. While many come, groups begin at most every two milliseconds,
//! for a transaction costs many times what an event does.
//!
//! A caller that does not wait leaves a function to be told by. It cannot lead: a thread that is kept for it does.

use std::{
    collections::VecDeque,
    fmt,
    panic::{RefUnwindSafe, UnwindSafe},
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
    thread,
    time::{Duration, Instant},
};

use crate::{
    batch,
    connection::Connection,
    error::{ErrorKind, Result, StoreError},
    events::{self, Event},
};

/// How many events a group has, unless a single caller brings more.
const EVENTS: usize = 256;
/// How many bytes of bodies a group has, unless a single caller brings more.
const BYTES: usize = 16 << 20;
/// How many requests a group had after which the next one waits for company.
const CROWD: usize = 4;
/// How long after such a group was begun.
const PACE: Duration = Duration::from_millis(2);

/// What is told to a caller that does not wait.
pub(crate) type Then = Box<dyn FnOnce(Result<()>) + Send>;
/// Sets the thread to work that leads for callers who do not wait.
pub(crate) type Summon = Box<dyn Fn() + Send + Sync + UnwindSafe + RefUnwindSafe>;

/// What one caller wants to append.
#[derive(Debug)]
pub(crate) struct Request {
    events: Vec<Event>,
    bytes: usize,
    as_of: Option<u64>,
    progress: Mutex<Progress>,
    changed: Condvar,
}

enum Progress {
    /// The caller sleeps.
    Waiting,
    /// The caller went on, and left this to be told by.
    Away(Then),
    Leads,
    Done(Result<()>),
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Waiting => "Waiting",
            Self::Away(_) => "Away",
            Self::Leads => "Leads",
            Self::Done(_) => "Done",
        })
    }
}

impl Request {
    fn new(events: Vec<Event>, as_of: Option<u64>, progress: Progress) -> Self {
        Self {
            bytes: events.iter().map(|event| event.body.len()).sum(),
            events,
            as_of,
            progress: Mutex::new(progress),
            changed: Condvar::new(),
        }
    }

    /// Makes the caller the leader, if it is there.
    fn lead(&self) -> bool {
        let mut progress = lock(&self.progress);
        if matches!(*progress, Progress::Away(_)) {
            return false;
        }
        *progress = Progress::Leads;
        self.changed.notify_one();
        true
    }

    /// Tells the caller the outcome.
    fn finish(&self, result: Result<()>) {
        let before = std::mem::replace(&mut *lock(&self.progress), Progress::Done(result.clone()));
        match before {
            Progress::Away(then) => then(result),
            _ => self.changed.notify_one(),
        }
    }

    /// Sleeps until it is done, or `None`: until this caller leads.
    fn wait(&self) -> Option<Result<()>> {
        let mut progress = lock(&self.progress);
        loop {
            match &*progress {
                Progress::Waiting | Progress::Away(_) => {
                    progress = self.changed.wait(progress).unwrap_or_else(PoisonError::into_inner);
                }
                Progress::Leads => return None,
                Progress::Done(result) => return Some(result.clone()),
            }
        }
    }
}

/// Those who wait, and whether one of them is at work.
#[derive(Default)]
pub(crate) struct Groups {
    state: Mutex<State>,
    summon: OnceLock<Summon>,
}

impl fmt::Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Groups").field("state", &self.state).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Arc<Request>>,
    led: bool,
    /// Until when the next group waits for company.
    gathers: Option<Instant>,
}

impl State {
    /// Takes the first of those who wait, and those after it as long as the group does not grow too large.
    fn take(&mut self) -> Vec<Arc<Request>> {
        let (mut events, mut bytes) = (0, 0);
        let mut group = Vec::new();
        while let Some(next) = self.waiting.front() {
            events += next.events.len();
            bytes += next.bytes;
            if !group.is_empty() && (events > EVENTS || bytes > BYTES) {
                break;
            }
            group.extend(self.waiting.pop_front());
        }
        self.gathers = (group.len() > CROWD).then(|| Instant::now() + PACE);
        group
    }
}

impl Groups {
    /// Has the events written, by this thread or another one, and returns when they are. `commit` writes a group in one
    /// transaction; its result has one for each request.
    pub(crate) fn append(
        &self,
        events: &[Event],
        as_of: Option<u64>,
        commit: impl FnOnce(&[Arc<Request>]) -> Result<Vec<Result<()>>>,
    ) -> Result<()> {
        let own = Arc::new(Request::new(events.to_vec(), as_of, Progress::Waiting));
        if self.enqueue(own.clone())
            && let Some(result) = own.wait()
        {
            return result;
        }
        self.lead(commit);
        own.wait().unwrap_or_else(|| Err(abandoned()))
    }

    /// Has the events written by another thread, and `then` told when they are. `summon` is asked for the function that
    /// sets the thread to work, at the first time; each time it is called, the thread calls [`lead`](Self::lead) once.
    pub(crate) fn append_then(
        &self,
        events: Vec<Event>,
        as_of: Option<u64>,
        then: Then,
        summon: impl FnOnce() -> Summon,
    ) {
        let summon = self.summon.get_or_init(summon);
        if !self.enqueue(Arc::new(Request::new(events, as_of, Progress::Away(then)))) {
            summon();
        }
    }

    /// Adds to those who wait; whether somebody leads. If nobody does, the caller has to see to it.
    fn enqueue(&self, request: Arc<Request>) -> bool {
        let mut state = lock(&self.state);
        state.waiting.push_back(request);
        std::mem::replace(&mut state.led, true)
    }

    /// Whether nobody waits.
    pub(crate) fn is_idle(&self) -> bool {
        lock(&self.state).waiting.is_empty()
    }

    /// Writes one group, tells those in it, and passes the lead on.
    pub(crate) fn lead(&self, commit: impl FnOnce(&[Arc<Request>]) -> Result<Vec<Result<()>>>) {
        let gathers = lock(&self.state).gathers;
        if let Some(until) = gathers {
            thread::sleep(until.saturating_duration_since(Instant::now()));
        }
        let mut lead = Lead { groups: self, group: lock(&self.state).take(), results: Vec::new() };
        if lead.group.is_empty() {
            return;
        }
        lead.results = match commit(&lead.group) {
            Ok(results) => results,
            Err(error) => vec![Err(error); lead.group.len()],
        };
    }
}

/// A group at work. When this ends, in whatever way, the next one is led and nobody of this one sleeps on.
struct Lead<'g> {
    groups: &'g Groups,
    group: Vec<Arc<Request>>,
    results: Vec<Result<()>>,
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        let next = {
            let mut state = lock(&self.groups.state);
            state.led = !state.waiting.is_empty();
            state.waiting.front().cloned()
        };
        // First, for its way to the disk is the longest.
        if let Some(next) = next
            && !next.lead()
            && let Some(summon) = self.groups.summon.get()
        {
            summon();
        }
        let mut results = self.results.drain(..);
        for request in &self.group {
            request.finish(results.next().unwrap_or_else(|| Err(abandoned())));
        }
    }
}

fn abandoned() -> StoreError {
    StoreError::new(
        ErrorKind::Unavailable,
        "the thread that wrote the events for several callers has panicked",
    )
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes a group within the transaction that `connection` is in, all but those whose version has passed.
pub(crate) async fn apply(connection: &mut Connection, group: &[Arc<Request>]) -> Result<Vec<Result<()>>> {
    let version = batch::last(connection).await?;
    let results: Vec<_> = group
        .iter()
        .map(|request| request.as_of.map_or(Ok(()), |as_of| check_version(version, as_of)))
        .collect();
    let fresh = group.iter().zip(&results).filter(|(_, result)| result.is_ok());
    let events: Vec<_> = fresh.flat_map(|(request, _)| &request.events).collect();
    events::append(connection, &events).await?;
    Ok(results)
}

/// Refuses what was decided as of another version than the present one.
pub(crate) fn check_version(present: u64, as_of: u64) -> Result<()> {
    if present == as_of {
        return Ok(());
    }
    let what = format!("the database has version {present}; version {as_of} was decided on");
    Err(StoreError::new(ErrorKind::Stale, what))
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use jiff::Timestamp;

    use super::*;

    fn event(bytes: usize) -> Event {
        Event { writer: "w".to_owned(), time: Timestamp::UNIX_EPOCH, body: vec![0; bytes] }
    }

    fn done(group: &[Arc<Request>]) -> Vec<Result<()>> {
        vec![Ok(()); group.len()]
    }

    fn sizes(requests: &[(usize, usize)]) -> Vec<usize> {
        let waiting = requests
            .iter()
            .map(|(events, bytes)| {
                Arc::new(Request::new(vec![event(*bytes); *events], None, Progress::Waiting))
            })
            .collect();
        let mut state = State { waiting, led: true, gathers: None };
        std::iter::from_fn(|| Some(state.take().len()).filter(|taken| *taken > 0)).collect()
    }

    #[test]
    fn groups_are_bounded_and_callers_are_not_split() {
        assert_eq!(sizes(&[]), [0; 0]);
        assert_eq!(sizes(&[(1, 10); 300]), [256, 44]);
        assert_eq!(sizes(&[(200, 1), (57, 1), (199, 1)]), [1, 2]);
        assert_eq!(sizes(&[(1000, 1), (1, 1)]), [1, 1], "who alone brings more goes alone");
        assert_eq!(sizes(&[(1, 7 << 20), (1, 7 << 20), (1, 7 << 20)]), [2, 1]);
    }

    /// Starts `count` followers while a leader is at work, which then does `then`.
    fn behind_a_leader<T: Send>(
        groups: &Groups,
        count: usize,
        then: impl FnOnce() + Send,
        follower: impl Fn(usize) -> T + Sync,
    ) -> Vec<T> {
        let leads = Barrier::new(2);
        thread::scope(|scope| {
            let leader = scope.spawn(|| {
                groups.append(&[event(1)], None, |group| {
                    leads.wait();
                    while lock(&groups.state).waiting.len() < count {
                        thread::sleep(Duration::from_millis(1));
                    }
                    then();
                    Ok(done(group))
                })
            });
            leads.wait();
            let followers: Vec<_> = (0..count)
                .map(|number| {
                    scope.spawn({
                        let follower = &follower;
                        move || follower(number)
                    })
                })
                .collect();
            let results = followers.into_iter().map(|follower| follower.join().unwrap()).collect();
            drop(leader.join());
            results
        })
    }

    #[test]
    fn those_who_come_meanwhile_are_one_group() {
        let groups = Groups::default();
        let committed = Mutex::new(Vec::new());
        let results = behind_a_leader(
            &groups,
            20,
            || {},
            |_| {
                groups.append(&[event(1)], None, |group| {
                    lock(&committed).push(group.len());
                    Ok(done(group))
                })
            },
        );
        assert!(results.iter().all(Result::is_ok));
        assert_eq!(*lock(&committed), [20]);
        assert!(!lock(&groups.state).led);
    }

    #[test]
    fn a_failure_is_everyones_and_a_refusal_its_own() {
        let groups = Groups::default();
        let results = behind_a_leader(
            &groups,
            5,
            || {},
            |_| groups.append(&[event(1)], None, |_| Err(StoreError::new(ErrorKind::Full, "full"))),
        );
        assert!(results.iter().all(|result| result.as_ref().unwrap_err().kind() == ErrorKind::Full));
        let results = behind_a_leader(
            &groups,
            5,
            || {},
            |number| {
                groups.append(&[event(1)], Some(number as u64), |group| {
                    Ok(group.iter().map(|request| check_version(3, request.as_of.unwrap())).collect())
                })
            },
        );
        for (number, result) in results.into_iter().enumerate() {
            assert_eq!(result.err().map(|error| error.kind()), (number != 3).then_some(ErrorKind::Stale));
        }
    }

    #[test]
    fn a_leader_that_panics_leaves_nobody_asleep() {
        let groups = Groups::default();
        let results = behind_a_leader(
            &groups,
            3,
            || panic!("on purpose"),
            |_| groups.append(&[event(1)], None, |group| Ok(done(group))),
        );
        assert!(results.iter().all(Result::is_ok), "those not in its group go on");
        let caught = std::panic::catch_unwind(|| groups.append(&[event(1)], None, |_| panic!("on purpose")));
        assert!(caught.is_err());
        let orphan = Arc::new(Request::new(vec![event(1)], None, Progress::Waiting));
        drop(Lead { groups: &groups, group: vec![Arc::clone(&orphan)], results: Vec::new() });
        assert_eq!(orphan.wait().unwrap().unwrap_err().kind(), ErrorKind::Unavailable);
        groups.append(&[event(1)], None, |group| Ok(done(group))).unwrap();
    }
}
