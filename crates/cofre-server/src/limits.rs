//! How much of the service one caller may use.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use cofre_arm::{ApiError, Problem};

use crate::http::Refusal;

/// Most callers that are kept count of; beyond, those at rest are forgotten.
const MOST_CALLERS: usize = 10_000;
/// Failed logins in a row that one client, and one address, may have.
const FAILURES: f64 = 10.0;
/// How fast they are forgiven, a second.
const FORGIVEN: f64 = 1.0 / 6.0;

/// A bucket of requests, filled again as time goes by.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    filled: Instant,
}

impl Bucket {
    fn refilled(self, most: f64, rate: f64, now: Instant) -> Self {
        let earned = now.duration_since(self.filled).as_secs_f64() * rate;
        Self { left: (self.left + earned).min(most), filled: now }
    }
}

/// Counts requests a caller, and failed logins.
#[derive(Debug)]
pub struct Limits {
    rate: f64,
    burst: f64,
    requests: Mutex<HashMap<String, Bucket>>,
    failures: Mutex<HashMap<String, Bucket>>,
}

impl Limits {
    /// Limits of so many requests a second for each caller, and ten seconds' worth at once. 0 is no limit.
    #[must_use]
    pub fn new(requests_per_second: u32) -> Self {
        let rate = f64::from(requests_per_second);
        Self { rate, burst: rate * 10.0, requests: Mutex::default(), failures: Mutex::default() }
    }

    /// Counts a request.
    ///
    /// # Errors
    /// `TooManyRequests`.
    pub fn count(&self, caller: &str) -> Result<(), Refusal> {
        if self.rate == 0.0 {
            return Ok(());
        }
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if take(&mut requests, caller, self.burst, self.rate) { Ok(()) } else { Err(too_many(1)) }
    }

    pub(crate) fn check_failures(&self, who: &str) -> Result<(), Refusal> {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = failures.get(who).map(|bucket| bucket.refilled(FAILURES, FORGIVEN, Instant::now()));
        if bucket.is_none_or(|bucket| bucket.left >= 1.0) { Ok(()) } else { Err(too_many(6)) }
    }

    pub(crate) fn count_failure(&self, who: &str) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        take(&mut failures, who, FAILURES, FORGIVEN);
    }
}

fn too_many(seconds: u32) -> Refusal {
    Refusal::from(ApiError::new(
        Problem::TooManyRequests,
        "there were more requests than one caller may send",
    ))
    .with("retry-after", seconds.to_string())
}

/// Takes one out of a caller's bucket, if it holds one.
fn take(buckets: &mut HashMap<String, Bucket>, who: &str, most: f64, rate: f64) -> bool {
    let now = Instant::now();
    if buckets.len() >= MOST_CALLERS && !buckets.contains_key(who) {
        buckets.retain(|_, bucket| bucket.refilled(most, rate, now).left < most);
        if buckets.len() >= MOST_CALLERS {
            buckets.clear();
        }
    }
    let fresh = Bucket { left: most, filled: now };
    match buckets.get_mut(who) {
        Some(bucket) => {
            *bucket = bucket.refilled(most, rate, now);
            let allowed = bucket.left >= 1.0;
            if allowed {
                bucket.left -= 1.0;
            }
            allowed
        }
        None => {
            buckets.insert(who.to_owned(), Bucket { left: fresh.left - 1.0, ..fresh });
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_run_dry_and_fill_again() {
        let mut buckets = HashMap::new();
        let taken = (0..20).filter(|_| take(&mut buckets, "a", 10.0, 0.0)).count();
        assert_eq!(taken, 10);
        assert!(take(&mut buckets, "b", 10.0, 0.0), "others have their own");
        let bucket = buckets.get_mut("a").unwrap();
        let later = bucket.filled + std::time::Duration::from_secs(2);
        assert!((bucket.refilled(10.0, 1.0, later).left - 2.0).abs() < 0.1);
    }

    #[test]
    fn failures_close_a_login_for_a_while() {
        let limits = Limits::new(0);
        for _ in 0..10 {
            limits.check_failures("x").unwrap();
            limits.count_failure("x");
        }
        assert_eq!(limits.check_failures("x").unwrap_err().into_answer().status(), 429);
        limits.check_failures("y").unwrap();
        limits.count("anybody").unwrap();
    }

    #[test]
    fn requests() {
        let limits = Limits::new(1);
        let refused = (0..12).filter(|_| limits.count("a").is_err()).count();
        assert!((1..=2).contains(&refused), "{refused}");
    }
}
