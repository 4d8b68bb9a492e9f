//! A cache of bounded size for pieces of images.

use std::{
    collections::HashMap,
    hash::Hash,
    mem,
    sync::{Arc, Mutex, PoisonError},
};

/// What an entry costs besides its content.
const OVERHEAD: usize = 96;

/// Keeps what was used lately, in two generations: what is used moves into the young one; when that is
/// full it becomes the old one, and what was still in the old one is forgotten. That is nearly as good as
/// forgetting the least recently used entry, and needs no list.
#[derive(Debug)]
pub(super) struct Cache<K, T> {
    generations: Mutex<Generations<K, T>>,
    /// Bytes of one generation.
    limit: usize,
}

#[derive(Debug)]
struct Generations<K, T> {
    young: HashMap<K, Arc<[T]>>,
    old: HashMap<K, Arc<[T]>>,
    young_bytes: usize,
}

impl<K: Eq + Hash, T> Cache<K, T> {
    /// A cache that holds at most `bytes`.
    pub(super) fn new(bytes: usize) -> Self {
        let generations = Generations { young: HashMap::new(), old: HashMap::new(), young_bytes: 0 };
        Self { generations: Mutex::new(generations), limit: bytes / 2 }
    }

    /// The entry of that name, or what `make` makes of it. Two threads may make the same entry at once;
    /// making is never done under the lock.
    pub(super) fn get_or<E>(
        &self,
        key: K,
        make: impl FnOnce() -> Result<Arc<[T]>, E>,
    ) -> Result<Arc<[T]>, E> {
        if let Some(found) = self.get(&key) {
            return Ok(found);
        }
        let made = make()?;
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        generations.insert(key, Arc::clone(&made), self.limit);
        Ok(made)
    }

    fn get(&self, key: &K) -> Option<Arc<[T]>> {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = generations.young.get(key) {
            return Some(Arc::clone(found));
        }
        let (key, found) = generations.old.remove_entry(key)?;
        generations.insert(key, Arc::clone(&found), self.limit);
        Some(found)
    }
}

impl<K: Eq + Hash, T> Generations<K, T> {
    fn insert(&mut self, key: K, value: Arc<[T]>, limit: usize) {
        let cost = mem::size_of_val(&*value) + OVERHEAD;
        if cost > limit {
            return;
        }
        if self.young_bytes + cost > limit {
            self.old = mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        if self.young.insert(key, value).is_none() {
            self.young_bytes += cost;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(cache: &Cache<u64, u8>, key: u64, length: usize) -> bool {
        let mut made = false;
        let make = || {
            made = true;
            Ok::<_, ()>(vec![0; length].into())
        };
        cache.get_or(key, make).unwrap();
        made
    }

    #[test]
    fn what_is_used_stays() {
        let cache = Cache::new(20_000);
        for round in 0..100 {
            assert_eq!(made(&cache, 0, 1000), round == 0);
            assert!(made(&cache, 1 + round, 1000));
        }
        assert!(made(&cache, 1, 1000));
        let generations = cache.generations.lock().unwrap();
        let held: usize = generations.young.values().chain(generations.old.values()).map(|v| v.len()).sum();
        assert!(held <= 20_000, "{held}");
    }

    #[test]
    fn what_is_larger_than_the_cache_is_not_kept() {
        let cache = Cache::new(1000);
        assert!(made(&cache, 0, 1000));
        assert!(made(&cache, 0, 1000));
    }
}
