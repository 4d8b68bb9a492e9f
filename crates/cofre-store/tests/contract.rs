//! What every database behind the store's face has to do. One more body takes the same exam by one more test here.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bodies;

use bodies::Body;
use cofre_store::{
    Batch, Change, Digest, ErrorKind, Event, JobChange, JobFilter, JobRow, PointChange, PointFilter,
    PointRow, Store,
};
use jiff::{SignedDuration, Timestamp};

#[test]
fn in_memory() {
    contract(&|| Store::in_memory().unwrap());
}

#[test]
fn in_a_file() {
    let bodies = std::cell::RefCell::new(Vec::new());
    contract(&|| {
        let body = Body::file();
        let store = body.open();
        bodies.borrow_mut().push(body);
        store
    });
}

#[test]
fn on_a_server() {
    contract(&|| Body::server().open());
}

/// The exam: each part gets an empty store.
fn contract(new: &dyn Fn() -> Store) {
    let parts: &[fn(&Store)] = &[
        documents_are_created_read_replaced_and_deleted,
        expectations_that_fail_change_nothing,
        revisions_never_come_back,
        a_subtree_is_listed_exactly,
        odd_characters_are_only_characters,
        lists_are_paged,
        kinds_are_listed_and_counted,
        documents_without_a_mark_are_listed,
        what_cannot_be_stored_is_refused,
        jobs_live_and_end,
        jobs_are_fenced_by_their_epoch,
        one_job_runs_on_an_item,
        jobs_wait_and_are_taken_by_one,
        a_body_that_was_read_is_expected,
        jobs_are_filtered_and_paged,
        points_are_written_listed_and_rebuilt,
        the_newest_points_of_many_items,
        events_are_chained,
        a_batch_is_one,
        events_are_appended_alone,
        a_decision_is_recorded_as_of_its_version,
        events_are_appended_for_callers_that_do_not_wait,
        many_events_at_once,
    ];
    for part in parts {
        part(&new());
    }
}

fn at(seconds: i64) -> Timestamp {
    // Microseconds, which is what is kept.
    Timestamp::new(1_700_000_000 + seconds, 123_456_000).unwrap()
}

fn batch() -> Batch {
    Batch::new(at(0))
}

fn change(store: &Store, change: Change) -> cofre_store::Result<u64> {
    store.commit(&Batch { changes: vec![change], ..batch() }).map(|committed| committed.revision)
}

fn put(path: &str, kind: &str) -> Change {
    Change::Put { path: path.to_owned(), kind: kind.to_owned(), body: path.as_bytes().to_vec() }
}

fn create(path: &str) -> Change {
    Change::Create { path: path.to_owned(), kind: "thing".to_owned(), body: b"{}".to_vec() }
}

fn replace(path: &str, revision: u64) -> Change {
    Change::Replace { path: path.to_owned(), revision, body: b"new".to_vec() }
}

fn delete(path: &str, revision: Option<u64>) -> Change {
    Change::Delete { path: path.to_owned(), revision }
}

fn expect(path: &str, revision: Option<u64>) -> Change {
    Change::Expect { path: path.to_owned(), revision }
}

fn paths(store: &Store, prefix: &str) -> Vec<String> {
    store.list(prefix, None, 1000).unwrap().into_iter().map(|document| document.path).collect()
}

/// Demands that a batch is a conflict about `subject`.
#[track_caller]
fn conflict<T: std::fmt::Debug>(result: cofre_store::Result<T>, subject: &str) {
    let error = result.unwrap_err();
    assert_eq!((error.kind(), error.subject()), (ErrorKind::Conflict, Some(subject)), "{error}");
    assert!(!error.recommendation().is_empty());
}

fn documents_are_created_read_replaced_and_deleted(store: &Store) {
    assert_eq!(store.read("/a").unwrap(), None);
    let first = store.commit(&Batch { at: at(5), changes: vec![create("/a")], ..batch() }).unwrap().revision;
    let document = store.read("/a").unwrap().unwrap();
    assert_eq!(
        (document.path.as_str(), document.kind.as_str(), document.body.as_slice()),
        ("/a", "thing", &b"{}"[..])
    );
    assert_eq!((document.revision, document.updated), (first, at(5)));

    let second =
        store.commit(&Batch { at: at(6), changes: vec![replace("/a", first)], ..batch() }).unwrap().revision;
    let document = store.read("/a").unwrap().unwrap();
    assert_eq!((document.kind.as_str(), document.body.as_slice()), ("thing", &b"new"[..]));
    assert_eq!((document.revision, document.updated), (second, at(6)));
    assert!(second > first);

    change(store, put("/a", "other")).unwrap();
    assert_eq!(store.read("/a").unwrap().unwrap().kind, "other");
    change(store, delete("/a", None)).unwrap();
    change(store, delete("/a", None)).unwrap();
    assert_eq!(store.read("/a").unwrap(), None);
    let third = change(store, put("/a", "x")).unwrap();
    change(store, delete("/a", Some(third))).unwrap();
    assert_eq!(store.read("/a").unwrap(), None);
}

fn expectations_that_fail_change_nothing(store: &Store) {
    let revision = change(store, create("/a")).unwrap();
    conflict(change(store, create("/a")), "/a");
    conflict(change(store, replace("/a", revision + 1)), "/a");
    conflict(change(store, replace("/a", u64::MAX)), "/a");
    conflict(change(store, replace("/b", revision)), "/b");
    conflict(change(store, delete("/a", Some(revision + 1))), "/a");
    conflict(change(store, delete("/b", Some(1))), "/b");
    conflict(change(store, expect("/a", None)), "/a");
    conflict(change(store, expect("/a", Some(revision + 1))), "/a");
    conflict(change(store, expect("/b", Some(revision))), "/b");
    change(store, expect("/a", Some(revision))).unwrap();
    change(store, expect("/b", None)).unwrap();
    let document = store.read("/a").unwrap().unwrap();
    assert_eq!((document.revision, document.body.as_slice()), (revision, &b"{}"[..]));
    assert_eq!(paths(store, ""), ["/a"]);
}

fn revisions_never_come_back(store: &Store) {
    let first = change(store, create("/a")).unwrap();
    change(store, delete("/a", Some(first))).unwrap();
    let second = change(store, create("/a")).unwrap();
    assert!(second > first);
    conflict(change(store, replace("/a", first)), "/a");
    // Within a batch, changes happen in their order and share the revision.
    let changes = vec![delete("/a", Some(second)), create("/a"), create("/b")];
    let third = store.commit(&Batch { changes, ..batch() }).unwrap().revision;
    assert_eq!(store.read("/a").unwrap().unwrap().revision, third);
    assert_eq!(store.read("/b").unwrap().unwrap().revision, third);
    // One that fails leaves no gap that could be taken for another's revision.
    conflict(change(store, create("/a")), "/a");
    assert!(change(store, create("/c")).unwrap() > third);
}

fn a_subtree_is_listed_exactly(store: &Store) {
    for path in
        ["/a", "/a/b", "/a/b/", "/a/b/c", "/a/b/c/d", "/a/bc", "/a/b.c", "/a/b0", "/a/b-", "/a/c", "/b"]
    {
        change(store, put(path, "x")).unwrap();
    }
    assert_eq!(paths(store, "/a/b"), ["/a/b", "/a/b/", "/a/b/c", "/a/b/c/d"]);
    assert_eq!(paths(store, "/a/b/"), ["/a/b/", "/a/b/c", "/a/b/c/d"]);
    assert_eq!(paths(store, "/a/b/c"), ["/a/b/c", "/a/b/c/d"]);
    assert_eq!(paths(store, "/A"), [""; 0], "paths are compared by their bytes");
    assert_eq!(paths(store, "/a/"), paths(store, "/a")[1..]);
    assert_eq!(paths(store, "").len(), 11);
    assert!(paths(store, "").is_sorted());
    assert_eq!(paths(store, "/none"), [""; 0]);
}

fn odd_characters_are_only_characters(store: &Store) {
    let odd = [
        "/%",
        "/_",
        "/a;DROP TABLE document",
        "/'\"",
        "/\\",
        "/ü",
        "/日本",
        "/\u{10ffff}",
        "/*?[a]",
        "/\n",
        " ",
    ];
    for path in odd {
        change(store, create(path)).unwrap();
        change(store, create(&format!("{path}/below"))).unwrap();
        change(store, create(&format!("{path}x"))).unwrap();
    }
    for path in odd {
        assert_eq!(paths(store, path), [path.to_owned(), format!("{path}/below")]);
        assert_eq!(store.count_kind("thing", path).unwrap(), 2);
        assert_eq!(store.read(path).unwrap().unwrap().path, path);
    }
    assert_eq!(store.count_kind("thing", "").unwrap(), 3 * odd.len() as u64);
}

fn lists_are_paged(store: &Store) {
    let all: Vec<String> = (0..25).map(|n| format!("/p/{n:02}")).collect();
    let changes = std::iter::once(create("/p")).chain(all.iter().map(|path| create(path))).collect();
    store.commit(&Batch { changes, ..batch() }).unwrap();
    let (mut seen, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = store.list("/p", after.as_deref(), 10).unwrap();
        assert!(page.len() <= 10);
        let Some(last) = page.last() else { break };
        after = Some(last.path.clone());
        seen.extend(page.into_iter().map(|document| document.path));
    }
    assert_eq!(seen[0], "/p");
    assert_eq!(seen[1..], all);
    assert_eq!(store.list("/p", Some("/p/05x"), 1).unwrap()[0].path, "/p/06", "after need not be there");
    assert_eq!(store.list("/p", None, 0).unwrap(), []);
    assert_eq!(store.list("/p", None, usize::MAX).unwrap().len(), 26);
}

fn kinds_are_listed_and_counted(store: &Store) {
    for (path, kind) in
        [("/v/1", "vault"), ("/v/1/i", "item"), ("/v/1/j", "item"), ("/v/10", "vault"), ("/v/2/i", "item")]
    {
        change(store, put(path, kind)).unwrap();
    }
    let list = |kind, prefix, after| -> Vec<String> {
        store.list_kind(kind, prefix, after, 10).unwrap().into_iter().map(|document| document.path).collect()
    };
    assert_eq!(list("item", "/v/1", None), ["/v/1/i", "/v/1/j"]);
    assert_eq!(list("item", "", Some("/v/1/i")), ["/v/1/j", "/v/2/i"]);
    assert_eq!(list("vault", "/v/1", None), ["/v/1"]);
    assert_eq!(store.count_kind("item", "").unwrap(), 3);
    assert_eq!(store.count_kind("item", "/v/1").unwrap(), 2);
    assert_eq!(store.count_kind("vault", "/v").unwrap(), 2);
    assert_eq!(store.count_kind("vault", "/v/3").unwrap(), 0);
}

fn documents_without_a_mark_are_listed(store: &Store) {
    let all = ["/x/a", "/x/b", "/x/c", "/x/d", "/mark/x/b", "/mark/x/cc", "/other/x/c"];
    for path in all {
        change(store, put(path, if path.starts_with("/x/") { "thing" } else { "mark" })).unwrap();
    }
    let unmarked = |after: Option<&str>, limit: usize| -> Vec<String> {
        let found = store.list_unmarked("thing", "/mark", after, limit).unwrap();
        found.into_iter().map(|document| document.path).collect()
    };
    assert_eq!(unmarked(None, 9), ["/x/a", "/x/c", "/x/d"]);
    assert_eq!(unmarked(None, 2), ["/x/a", "/x/c"]);
    assert_eq!(unmarked(Some("/x/a"), 9), ["/x/c", "/x/d"]);
    assert_eq!(unmarked(Some("/x/d"), 9), [""; 0]);
    change(store, delete("/mark/x/b", None)).unwrap();
    assert_eq!(unmarked(Some("/x/a"), 1), ["/x/b"]);
    assert_eq!(store.list_unmarked("nothing", "/mark", None, 9).unwrap(), []);
}

fn what_cannot_be_stored_is_refused(store: &Store) {
    let long = "x".repeat(cofre_store::MAX_KEY + 1);
    for path in ["", "/a\0b", &long] {
        assert_eq!(change(store, put(path, "x")).unwrap_err().kind(), ErrorKind::Invalid);
    }
    let body = vec![0; cofre_store::MAX_BODY + 1];
    let large = Change::Put { path: "/large".to_owned(), kind: "x".to_owned(), body };
    assert_eq!(change(store, large).unwrap_err().kind(), ErrorKind::Invalid);
    let word = "x".repeat(cofre_store::MAX_WORD + 1);
    assert_eq!(change(store, put("/a", &word)).unwrap_err().kind(), ErrorKind::Invalid);
    change(store, put(&long[1..], &word[1..])).unwrap();
    assert_eq!(paths(store, ""), [&long[1..]]);
    // The longest ones, such that nothing can be made shorter by compressing it, fit into every index.
    let mut state = 1_u64;
    let mut noise = |length: usize| -> String {
        let next = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b'!' + u8::try_from((state >> 33) % 94).unwrap())
        };
        (0..length).map(next).collect()
    };
    let (key, word) = (noise(cofre_store::MAX_KEY), noise(cofre_store::MAX_WORD));
    let row = JobRow { id: word.clone(), vault: key.clone(), ..job("", &key, 0) };
    store
        .commit(&Batch {
            changes: vec![put(&key, &word)],
            jobs: vec![JobChange::Insert(row.clone())],
            points: vec![PointChange::Insert(PointRow {
                id: word.clone(),
                point: word.clone(),
                ..point(&key, 0, 0)
            })],
            events: vec![event(&key, "")],
            ..batch()
        })
        .unwrap();
    assert_eq!(store.job(&word).unwrap(), Some(row));
    assert_eq!((store.count_kind(&word, "").unwrap(), store.count_points(&key).unwrap()), (1, 1));
    assert_eq!(store.chain_head(&key).unwrap().length, 1);
}

fn job(id: &str, item: &str, started: i64) -> JobRow {
    JobRow {
        id: id.to_owned(),
        vault: "/vault".to_owned(),
        item: item.to_owned(),
        operation: "Backup".to_owned(),
        status: "InProgress".to_owned(),
        started: at(started),
        ended: None,
        owner: Some(r#"{"pid":1}"#.to_owned()),
        epoch: 1,
        heartbeat: at(started),
        body: b"{}".to_vec(),
    }
}

fn ended(job: &JobRow) -> JobRow {
    JobRow { status: "Completed".to_owned(), ended: Some(at(99)), owner: None, ..job.clone() }
}

fn jobs(store: &Store, jobs: Vec<JobChange>) -> cofre_store::Result<()> {
    store.commit(&Batch { jobs, ..batch() }).map(drop)
}

fn jobs_live_and_end(store: &Store) {
    let row = job("1", "/i", 0);
    assert_eq!(store.job("1").unwrap(), None);
    jobs(store, vec![JobChange::Insert(row.clone())]).unwrap();
    assert_eq!(store.job("1").unwrap(), Some(row.clone()));
    assert_eq!(store.running().unwrap(), std::slice::from_ref(&row));
    jobs(store, vec![JobChange::Heartbeat { id: "1".to_owned(), epoch: 1, at: at(7) }]).unwrap();
    assert_eq!(store.job("1").unwrap().unwrap().heartbeat, at(7));
    jobs(store, vec![JobChange::Update { epoch: 1, job: ended(&row) }]).unwrap();
    assert_eq!(store.job("1").unwrap(), Some(ended(&row)));
    assert_eq!(store.running().unwrap(), []);
    conflict(jobs(store, vec![JobChange::Heartbeat { id: "1".to_owned(), epoch: 1, at: at(8) }]), "1");
    conflict(jobs(store, vec![JobChange::Insert(row)]), "1");
    jobs(store, vec![JobChange::Delete { id: "1".to_owned() }]).unwrap();
    jobs(store, vec![JobChange::Delete { id: "1".to_owned() }]).unwrap();
    assert_eq!(store.job("1").unwrap(), None);
}

fn jobs_are_fenced_by_their_epoch(store: &Store) {
    let row = job("1", "/i", 0);
    jobs(store, vec![JobChange::Insert(row.clone())]).unwrap();
    let taken = JobRow { epoch: 2, owner: Some("{}".to_owned()), ..row.clone() };
    jobs(store, vec![JobChange::Update { epoch: 1, job: taken.clone() }]).unwrap();
    // The one it was taken from comes back.
    conflict(jobs(store, vec![JobChange::Update { epoch: 1, job: ended(&row) }]), "1");
    conflict(jobs(store, vec![JobChange::Heartbeat { id: "1".to_owned(), epoch: 1, at: at(9) }]), "1");
    conflict(jobs(store, vec![JobChange::Update { epoch: 1, job: job("2", "/i", 0) }]), "2");
    assert_eq!(store.job("1").unwrap(), Some(taken));
}

fn one_job_runs_on_an_item(store: &Store) {
    let first = job("1", "/i", 0);
    jobs(store, vec![JobChange::Insert(first.clone())]).unwrap();
    conflict(jobs(store, vec![JobChange::Insert(job("2", "/i", 1))]), "/i");
    jobs(store, vec![JobChange::Insert(job("2", "/j", 1))]).unwrap();
    jobs(store, vec![JobChange::Insert(ended(&job("3", "/i", 1)))]).unwrap();
    conflict(jobs(store, vec![JobChange::Update { epoch: 1, job: job("3", "/i", 1) }]), "/i");
    // Jobs on no item do not exclude each other.
    jobs(store, vec![JobChange::Insert(job("4", "", 1)), JobChange::Insert(job("5", "", 1))]).unwrap();
    jobs(
        store,
        vec![JobChange::Update { epoch: 1, job: ended(&first) }, JobChange::Insert(job("6", "/i", 2))],
    )
    .unwrap();
    let running: Vec<_> = store.running().unwrap().into_iter().map(|job| job.id).collect();
    assert_eq!(running, ["2", "4", "5", "6"]);
}

fn jobs_wait_and_are_taken_by_one(store: &Store) {
    let waiting = |id: &str, begin: i64, from: i64| JobRow {
        owner: None,
        epoch: 0,
        heartbeat: at(from),
        ..job(id, &format!("/{id}"), begin)
    };
    let alive = |id: &str, heard: i64| JobRow { heartbeat: at(heard), ..job(id, &format!("/{id}"), 0) };
    let rows =
        [waiting("1", 5, 0), waiting("2", 4, 50), alive("3", 10), alive("4", 30), ended(&alive("5", 0))];
    jobs(store, rows.into_iter().map(JobChange::Insert).collect()).unwrap();
    let claimable = |now: i64, stale: i64| {
        let rows = store.claimable(at(now), at(stale), 10).unwrap();
        rows.into_iter().map(|row| row.id).collect::<Vec<_>>()
    };
    assert_eq!(claimable(40, 10), ["1"], "its time has come, nobody is silent");
    assert_eq!(claimable(50, 20), ["3", "2", "1"], "the oldest first");
    assert_eq!(claimable(50, 31), ["3", "4", "2", "1"]);
    assert_eq!(store.claimable(at(50), at(31), 2).unwrap().len(), 2);

    let version = store.version().unwrap();
    let row = store.job("1").unwrap().unwrap();
    let take = || JobChange::Replace {
        epoch: 0,
        body: row.body.clone(),
        job: JobRow { owner: Some("me".to_owned()), epoch: 1, heartbeat: at(40), ..row.clone() },
    };
    store.change_job(&take()).unwrap();
    conflict(store.change_job(&take()), "1");
    assert_eq!(claimable(50, 20), ["3", "2"]);
    assert_eq!(store.heartbeat("1", 1, at(45)).unwrap().heartbeat, at(45));
    conflict(store.heartbeat("1", 0, at(46)), "1");
    conflict(store.heartbeat("5", 1, at(46)), "5");
    conflict(store.heartbeat("none", 1, at(46)), "none");
    assert_eq!(store.version().unwrap(), version, "signs of life are no batches");
}

fn a_body_that_was_read_is_expected(store: &Store) {
    let first = job("1", "/i", 0);
    jobs(store, vec![JobChange::Insert(first.clone())]).unwrap();
    let with = |body: &[u8]| JobRow { body: body.to_vec(), ..first.clone() };
    let replace = |was: &[u8], job: JobRow| JobChange::Replace { epoch: 1, body: was.to_vec(), job };
    jobs(store, vec![replace(&first.body, with(b"cancel"))]).unwrap();
    conflict(jobs(store, vec![replace(&first.body, with(b"progress"))]), "1");
    assert_eq!(store.job("1").unwrap().unwrap().body, b"cancel");
    jobs(store, vec![replace(b"cancel", ended(&with(b"cancel")))]).unwrap();
    conflict(jobs(store, vec![replace(b"cancel", with(b"cancel"))]), "1");
}

fn jobs_are_filtered_and_paged(store: &Store) {
    let mut rows = Vec::new();
    for n in 0..12 {
        let mut row = ended(&job(&format!("{n:02}"), if n % 2 == 0 { "/even" } else { "/odd" }, n / 3));
        row.operation = if n % 3 == 0 { "Restore" } else { "Backup" }.to_owned();
        row.status = if n == 7 { "Failed" } else { "Completed" }.to_owned();
        row.vault = if n < 6 { "/v1" } else { "/v2" }.to_owned();
        rows.push(row);
    }
    jobs(store, rows.iter().cloned().map(JobChange::Insert).collect()).unwrap();
    let ids = |filter: &JobFilter| -> Vec<String> {
        store.jobs(filter, None, 100).unwrap().into_iter().map(|job| job.id).collect()
    };
    let some = |text: &str| Some(text.to_owned());
    let none = JobFilter::default();
    assert_eq!(ids(&none), ["11", "10", "09", "08", "07", "06", "05", "04", "03", "02", "01", "00"]);
    assert_eq!(ids(&JobFilter { vault: some("/v1"), ..none.clone() }), ["05", "04", "03", "02", "01", "00"]);
    assert_eq!(
        ids(&JobFilter { item: some("/odd"), operation: some("Restore"), ..none.clone() }),
        ["09", "03"]
    );
    assert_eq!(ids(&JobFilter { status: some("Failed"), ..none.clone() }), ["07"]);
    assert_eq!(ids(&JobFilter { status: some("failed"), ..none.clone() }), [""; 0]);
    let range = JobFilter { from: Some(at(1)), to: Some(at(2)), ..none.clone() };
    assert_eq!(ids(&range), ["05", "04", "03"], "from that time on, before the other");

    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = store.jobs(&none, after.as_ref(), 5).unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.position());
        // Jobs that go in between do not shift the pages.
        jobs(store, vec![JobChange::Delete { id: last.id.clone() }]).unwrap();
        jobs(store, vec![JobChange::Insert(ended(&job(&format!("new{}", seen.len()), "/i", 50)))]).unwrap();
        seen.extend(page);
    }
    rows.reverse();
    assert_eq!(seen, rows);
}

fn point(item: &str, id: u32, time: i64) -> PointRow {
    PointRow {
        item: item.to_owned(),
        id: id.to_string(),
        point: format!("{id:032x}"),
        time: at(time),
        state: "visible".to_owned(),
        body: b"{}".to_vec(),
    }
}

fn points(store: &Store, points: Vec<PointChange>) -> cofre_store::Result<()> {
    store.commit(&Batch { points, ..batch() }).map(drop)
}

fn points_are_written_listed_and_rebuilt(store: &Store) {
    let all: Vec<_> = (1..=9).map(|n| point("/i", n, i64::from(n))).collect();
    points(store, all.iter().cloned().map(PointChange::Insert).collect()).unwrap();
    points(store, vec![PointChange::Insert(point("/j", 1, 1))]).unwrap();
    assert_eq!(store.point("/i", "3").unwrap().unwrap(), all[2]);
    assert_eq!(store.point("/i", "33").unwrap(), None);
    assert_eq!((store.count_points("/i").unwrap(), store.count_points("/none").unwrap()), (9, 0));
    conflict(points(store, vec![PointChange::Insert(point("/i", 3, 77))]), "/i#3");
    let same_name = PointRow { point: all[0].point.clone(), ..point("/i", 10, 10) };
    conflict(points(store, vec![PointChange::Insert(same_name)]), "/i#10");
    let same_name = PointRow { point: all[0].point.clone(), ..all[1].clone() };
    conflict(points(store, vec![PointChange::Replace(same_name)]), "/i#2");
    conflict(points(store, vec![PointChange::Replace(point("/i", 10, 10))]), "/i#10");

    let deleting = PointRow { state: "deleting".to_owned(), ..all[4].clone() };
    points(store, vec![PointChange::Replace(deleting.clone())]).unwrap();
    let ids = |filter: &PointFilter| -> Vec<String> {
        store.points("/i", filter, None, 100).unwrap().into_iter().map(|point| point.id).collect()
    };
    let none = PointFilter::default();
    assert_eq!(ids(&none), ["9", "8", "7", "6", "5", "4", "3", "2", "1"]);
    assert_eq!(ids(&PointFilter { state: Some("deleting".to_owned()), ..none.clone() }), ["5"]);
    assert_eq!(ids(&PointFilter { from: Some(at(3)), to: Some(at(5)), ..none.clone() }), ["4", "3"]);
    let page = store.points("/i", &none, Some(&deleting.position()), 2).unwrap();
    assert_eq!(page, [all[3].clone(), all[2].clone()]);

    let delete = PointChange::Delete { item: "/i".to_owned(), id: "9".to_owned() };
    points(store, vec![delete.clone(), delete]).unwrap();
    assert_eq!(store.count_points("/i").unwrap(), 8);
    let rebuilt = [PointChange::Clear { item: "/i".to_owned() }, PointChange::Insert(all[6].clone())];
    points(store, rebuilt.to_vec()).unwrap();
    assert_eq!(store.points("/i", &none, None, 10).unwrap(), [all[6].clone()]);
    assert_eq!(store.count_points("/j").unwrap(), 1);
}

fn the_newest_points_of_many_items(store: &Store) {
    let items: Vec<String> = (0..250).map(|number| format!("/newest/{number}")).collect();
    let mut rows = Vec::new();
    for (number, item) in (0..).zip(&items) {
        if number % 3 > 0 {
            rows.push(PointChange::Insert(point(item, 1, 5 + number)));
            rows.push(PointChange::Insert(point(item, 2, 3)));
            let lost = PointRow { state: "lost".to_owned(), ..point(item, 3, 9000) };
            rows.push(PointChange::Insert(lost));
        }
    }
    points(store, rows).unwrap();
    let state = point("/i", 1, 1).state;
    let mut found = store.latest_points(&items, &state).unwrap();
    found.sort();
    let numbers = (0..250).filter(|number| number % 3 > 0);
    let mut expected: Vec<_> = numbers.map(|number| (format!("/newest/{number}"), at(5 + number))).collect();
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!(store.latest_points(&[], &state).unwrap(), []);
}

fn event(writer: &str, body: &str) -> Event {
    Event { writer: writer.to_owned(), time: at(0), body: body.as_bytes().to_vec() }
}

fn events_are_chained(store: &Store) {
    let empty = store.chain_head("w").unwrap();
    assert_eq!((empty.length, empty.hash), (0, Digest::default()));
    assert_eq!(store.verify_chain("w").unwrap(), empty);
    for n in 0..300 {
        // Some alone, some together, and another writer's in between.
        let events =
            (0..=n % 3).map(|m| event("w", &format!("{n} {m}"))).chain([event("other", "")]).collect();
        store.commit(&Batch { events, ..batch() }).unwrap();
    }
    let all = store.events("w", 0, usize::MAX).unwrap();
    assert_eq!(all.len(), 600);
    let mut previous = Digest::default();
    for (index, event) in all.iter().enumerate() {
        assert_eq!((event.sequence, event.previous, event.time), (index as u64 + 1, previous, at(0)));
        previous = event.hash;
    }
    let head = store.chain_head("w").unwrap();
    assert_eq!((head.length, head.hash), (600, previous));
    assert_eq!(store.verify_chain("w").unwrap(), head);
    assert_eq!(store.events("w", 599, 10).unwrap(), all[598..]);
    assert_eq!(store.events("w", 601, 10).unwrap(), []);
    assert_eq!(store.events("w", u64::MAX, 10).unwrap(), []);
    assert_eq!(store.verify_chain("other").unwrap().length, 300);
    assert_eq!(store.writers().unwrap(), ["other", "w"]);
}

fn a_batch_is_one(store: &Store) {
    store
        .commit(&Batch {
            changes: vec![create("/a")],
            jobs: vec![JobChange::Insert(job("1", "/i", 0))],
            ..batch()
        })
        .unwrap();
    let parts = || Batch {
        at: at(0) + SignedDuration::from_secs(1),
        changes: vec![create("/b"), delete("/a", None)],
        jobs: vec![JobChange::Insert(job("2", "/j", 0))],
        points: vec![PointChange::Insert(point("/i", 1, 1))],
        events: vec![event("w", "b")],
    };
    let mut failing = parts();
    failing.changes.push(create("/b"));
    conflict(store.commit(&failing), "/b");
    let mut failing = parts();
    failing.jobs.push(JobChange::Insert(job("3", "/i", 0)));
    conflict(store.commit(&failing), "/i");
    let mut failing = parts();
    failing.points.push(PointChange::Insert(point("/i", 1, 1)));
    conflict(store.commit(&failing), "/i#1");
    let mut failing = parts();
    failing.events.push(event("", "b"));
    assert_eq!(store.commit(&failing).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(paths(store, ""), ["/a"]);
    assert_eq!((store.job("2").unwrap(), store.count_points("/i").unwrap()), (None, 0));
    assert_eq!(store.chain_head("w").unwrap().length, 0);

    store.commit(&parts()).unwrap();
    assert_eq!(paths(store, ""), ["/b"]);
    assert_eq!(store.running().unwrap().len(), 2);
    assert_eq!((store.count_points("/i").unwrap(), store.verify_chain("w").unwrap().length), (1, 1));
    assert_eq!(store.commit(&batch()).unwrap().revision, 0);
}

fn events_are_appended_alone(store: &Store) {
    assert_eq!(store.version().unwrap(), 0);
    let revision = change(store, create("/a")).unwrap();
    assert_eq!(store.version().unwrap(), revision);
    store.append(&[], None).unwrap();
    store.append(&[event("w", "1"), event("other", "1"), event("w", "2")], None).unwrap();
    store.commit(&Batch { events: vec![event("w", "3"), event("w", "4")], ..batch() }).unwrap();
    store.append(&[event("w", "5")], None).unwrap();
    let bodies: Vec<_> = store.events("w", 1, 10).unwrap().into_iter().map(|event| event.body).collect();
    assert_eq!(bodies, [b"1", b"2", b"3", b"4", b"5"]);
    assert_eq!(store.verify_chain("w").unwrap().length, 5);
    assert_eq!(store.verify_chain("other").unwrap().length, 1);
    assert_eq!(store.version().unwrap(), revision + 1, "an append is no batch");

    let refused = store.append(&[event("w", "6"), event("", "7")], None).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    let large = Event { body: vec![0; cofre_store::MAX_BODY + 1], ..event("w", "") };
    assert_eq!(store.append(&[event("w", "6"), large], None).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(store.chain_head("w").unwrap().length, 5);
}

fn a_decision_is_recorded_as_of_its_version(store: &Store) {
    let stale = |result: cofre_store::Result<()>| {
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.subject()), (ErrorKind::Stale, None), "{error}");
    };
    store.append(&[event("w", "1")], Some(0)).unwrap();
    stale(store.append(&[event("w", "no")], Some(1)));
    let first = change(store, create("/a")).unwrap();
    stale(store.append(&[event("w", "no")], Some(0)));
    store.append(&[event("w", "2")], Some(first)).unwrap();
    conflict(change(store, create("/a")), "/a");
    store.append(&[event("w", "3")], Some(first)).unwrap();
    store.append(&[event("w", "4")], None).unwrap();
    store.commit(&Batch { events: vec![event("w", "5")], ..batch() }).unwrap();
    stale(store.append(&[event("w", "no")], Some(first)));
    stale(store.append(&[event("w", "no")], Some(u64::MAX)));
    stale(store.append(&[], Some(first)));
    store.append(&[], Some(store.version().unwrap())).unwrap();
    assert_eq!(store.verify_chain("w").unwrap().length, 5);
}

/// Callers that do not wait are told each their own outcome, and share the order with those that wait.
fn events_are_appended_for_callers_that_do_not_wait(store: &Store) {
    let revision = change(store, create("/a")).unwrap();
    let (told, outcomes) = std::sync::mpsc::channel();
    let append = |number: usize, as_of| {
        let told = told.clone();
        store.append_then(vec![event("w", &number.to_string())], as_of, move |result| {
            told.send((number, result.map_err(|error| error.kind()))).unwrap();
        });
    };
    for number in 0..300 {
        append(number, Some(if number % 3 == 0 { revision + 1 } else { revision }));
        if number % 50 == 0 {
            store.append(&[event("waits", "x")], None).unwrap();
        }
    }
    store.append_then(vec![event("", "no writer")], None, {
        let told = told.clone();
        move |result| told.send((300, result.map_err(|error| error.kind()))).unwrap()
    });
    let mut all: Vec<_> = outcomes.iter().take(301).collect();
    all.sort_by_key(|(number, _)| *number);
    for (number, outcome) in all {
        let expected = match number {
            300 => Err(ErrorKind::Invalid),
            _ if number % 3 == 0 => Err(ErrorKind::Stale),
            _ => Ok(()),
        };
        assert_eq!(outcome, expected, "{number}");
    }
    let written: Vec<_> = store.events("w", 1, 400).unwrap().into_iter().map(|event| event.body).collect();
    let expected: Vec<_> = (0..300).filter(|n| n % 3 != 0).map(|n| n.to_string().into_bytes()).collect();
    assert_eq!(written, expected, "in the order of the calls");
    assert_eq!(store.verify_chain("waits").unwrap().length, 6);
    store.append_then(Vec::new(), Some(revision), move |result| {
        told.send((301, result.map_err(|e| e.kind()))).unwrap()
    });
    assert_eq!(outcomes.recv().unwrap(), (301, Ok(())));
}

/// More than one statement takes: by their number, by their bytes, by their writers.
fn many_events_at_once(store: &Store) {
    let many: Vec<_> = (0..1000).map(|n| event(&format!("w{}", n % 150), &n.to_string())).collect();
    store.append(&many, None).unwrap();
    store.commit(&Batch { events: many, ..batch() }).unwrap();
    for writer in 0..150 {
        let bodies: Vec<usize> = store
            .events(&format!("w{writer}"), 1, 100)
            .unwrap()
            .into_iter()
            .map(|event| str::from_utf8(&event.body).unwrap().parse().unwrap())
            .collect();
        let once = || (0..1000).filter(|n| n % 150 == writer);
        assert_eq!(bodies, once().chain(once()).collect::<Vec<_>>());
        assert_eq!(store.verify_chain(&format!("w{writer}")).unwrap().length, bodies.len() as u64);
    }
    let large: Vec<_> = (0..5)
        .map(|n| Event { body: vec![n; 3 << 20], ..event("large", "") })
        .chain([event("large", "")])
        .collect();
    store.append(&large, None).unwrap();
    assert_eq!(store.verify_chain("large").unwrap().length, 6);
    assert_eq!(store.events("large", 4, 1).unwrap()[0].body, large[3].body);
}
