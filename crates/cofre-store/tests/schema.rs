//! The schema and its versions, and files that are none of ours.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use cofre_store::{Batch, Change, ErrorKind, Event, Store};
use jiff::Timestamp;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row, SqliteConnection, sqlite::SqliteConnectOptions};

/// Runs statements on a database from outside, and returns the first column of the rows as text.
fn sql(path: &Path, statements: &str) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
        let mut connection: SqliteConnection = options.connect().await.unwrap();
        let rows = sqlx::raw_sql(AssertSqlSafe(statements)).fetch_all(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        rows.iter().map(|row| row.try_get_unchecked::<String, _>(0).unwrap()).collect()
    })
}

#[track_caller]
fn refused(path: &Path, kind: ErrorKind) {
    let before = fs::read(path).unwrap();
    let error = Store::open(path).unwrap_err();
    assert_eq!(
        error.kind(),
        kind,
        "{error}: {:?}",
        std::error::Error::source(&error).map(ToString::to_string)
    );
    assert!(error.to_string().contains(path.file_name().unwrap().to_str().unwrap()));
    assert_eq!(fs::read(path).unwrap(), before, "it is left as it is");
}

fn populate(store: &Store) {
    let mut batch = Batch::new(Timestamp::UNIX_EPOCH);
    batch.changes.push(Change::Put { path: "/a".to_owned(), kind: "x".to_owned(), body: b"1".to_vec() });
    batch.events.push(Event { writer: "w".to_owned(), time: Timestamp::UNIX_EPOCH, body: b"1".to_vec() });
    store.commit(&batch).unwrap();
}

#[test]
fn the_schema_is_the_one_checked_in() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("new.db");
    drop(Store::open(&path).unwrap());
    let mut schema =
        sql(&path, "SELECT sql || ';' FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid").join("\n\n");
    schema.push('\n');
    let version = sql(&path, "SELECT CAST(user_version AS TEXT) FROM pragma_user_version").remove(0);
    let checked_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schema.sql");
    let expected = fs::read_to_string(&checked_in).unwrap_or_default();
    let actual = format!(
        "-- Version {version}, as the migrations leave it. COFRE_BLESS=1 writes it anew.\n\n{schema}"
    );
    if std::env::var_os("COFRE_BLESS").is_some() {
        fs::write(&checked_in, &actual).unwrap();
    } else {
        assert_eq!(actual, expected);
    }
}

#[test]
fn a_database_is_found_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cofre.db");
    populate(&Store::open(&path).unwrap());
    let store = Store::open(&path).unwrap();
    assert_eq!(store.read("/a").unwrap().unwrap().body, b"1");
    assert_eq!(store.verify_chain("w").unwrap().length, 1);
    for name in ["cofre.db", "cofre.db-wal", "cofre.db-shm"] {
        let mode = fs::metadata(directory.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    drop(store);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "closing leaves one file");
}

#[test]
fn what_a_crash_before_the_first_byte_leaves_is_a_new_database() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cofre.db");
    fs::write(&path, b"").unwrap();
    populate(&Store::open(&path).unwrap());
}

#[test]
fn a_path_is_only_a_path() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["file:x?mode=memory", ":memory:", "a%20b.db", "ü;.db"] {
        let path = directory.path().join(name);
        populate(&Store::open(&path).unwrap());
        assert!(fs::metadata(&path).unwrap().len() > 0, "{name}");
    }
}

#[test]
fn files_of_others_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("garbage");
    fs::write(&path, b"This is a letter, not a database. ".repeat(1000)).unwrap();
    refused(&path, ErrorKind::NotADatabase);

    let path = directory.path().join("foreign");
    sql(&path, "CREATE TABLE bookmarks (url TEXT)");
    refused(&path, ErrorKind::NotADatabase);

    let path = directory.path().join("other");
    sql(&path, "PRAGMA application_id = 7");
    refused(&path, ErrorKind::NotADatabase);

    let error = Store::open(directory.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotADatabase);
    let error = Store::open(&directory.path().join("none/cofre.db")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[test]
fn a_newer_schema_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cofre.db");
    populate(&Store::open(&path).unwrap());
    sql(&path, "PRAGMA user_version = 4711");
    refused(&path, ErrorKind::NewerSchema);
}

/// What the first version wrote is read on, and continued.
#[test]
fn an_older_schema_is_brought_up_to_date() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cofre.db");
    let step = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/sqlite/0001_initial.sql");
    sql(&path, &fs::read_to_string(step).unwrap());
    let hash = "7c02536f73378ad0a153fba2748e5441839157588faadaeea0d02ffadaa22723";
    sql(
        &path,
        &format!(
            "INSERT INTO event VALUES ('w', 1, 1000000, zeroblob(32), x'{hash}', x'7b7d'); \
             UPDATE batch SET number = 1; PRAGMA user_version = 1; PRAGMA application_id = {}",
            0x636f_6672
        ),
    );
    let store = Store::open(&path).unwrap();
    assert_eq!(store.verify_chain("w").unwrap().length, 1);
    let event = Event { writer: "w".into(), time: Timestamp::UNIX_EPOCH, body: b"2".to_vec() };
    store.append(&[event.clone(), event], None).unwrap();
    assert_eq!(store.verify_chain("w").unwrap().length, 3);
    let bodies: Vec<_> = store.events("w", 1, 9).unwrap().into_iter().map(|event| event.body).collect();
    assert_eq!(bodies, [&b"{}"[..], b"2", b"2"]);
}

#[test]
fn damage_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cofre.db");
    populate(&Store::open(&path).unwrap());
    let mut bytes = fs::read(&path).unwrap();
    for byte in &mut bytes[4096..] {
        *byte = 0xa5;
    }
    fs::write(&path, bytes).unwrap();
    let store = Store::open(&path).unwrap();
    assert_eq!(store.read("/a").unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn tampering_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cofre.db");
    let store = Store::open(&path).unwrap();
    (0..600).for_each(|_| populate(&store));
    let head = store.verify_chain("w").unwrap();
    assert_eq!(head.length, 600);
    drop(store);
    for (statement, first) in [
        ("UPDATE event SET body = x'32' WHERE sequence = 300", 300),
        ("UPDATE event SET time = 1 WHERE sequence = 1", 1),
        ("UPDATE event SET hash = x'00' WHERE sequence = 257", 257),
        ("UPDATE event SET hash = zeroblob(32) WHERE sequence = 600", 600),
        ("UPDATE event SET previous = zeroblob(32) WHERE sequence = 2", 2),
        ("DELETE FROM event WHERE sequence = 256", 256),
        ("DELETE FROM event WHERE sequence = 1", 1),
        ("UPDATE event SET sequence = 0 WHERE sequence = 1", 1),
        ("UPDATE event SET sequence = -1 WHERE sequence = 1", 1),
        ("UPDATE event SET sequence = 601 WHERE sequence = 9", 9),
        (
            "INSERT INTO event SELECT writer, 601, time, previous, hash, body, 1 FROM event WHERE sequence = 600",
            601,
        ),
        ("UPDATE event SET time = 9223372036854775807 WHERE sequence = 4", 4),
    ] {
        let copy = directory.path().join("copy.db");
        fs::copy(&path, &copy).unwrap();
        sql(&copy, statement);
        let error = Store::open(&copy).unwrap().verify_chain("w").unwrap_err();
        let subject = format!("w#{first}");
        assert_eq!((error.kind(), error.subject()), (ErrorKind::ChainBroken, Some(&*subject)), "{statement}");
    }
    // Events that share a row: three of them end at 603.
    let three = |bodies: [&str; 3]| {
        bodies.map(|body| Event { writer: "w".into(), time: Timestamp::UNIX_EPOCH, body: body.into() })
    };
    Store::open(&path).unwrap().append(&three(["a", "b", "c"]), None).unwrap();
    assert_eq!(sql(&path, "SELECT CAST(events AS TEXT) FROM event WHERE sequence = 603"), ["3"]);
    for (statement, first) in [
        // The body of the second: 44 bytes of time, hash and length stand before each.
        ("body = CAST(substr(body, 1, 89) || x'78' || substr(body, 91) AS BLOB)", 602),
        ("body = substr(body, 1, 134)", 601),
        ("body = CAST(body || x'00' AS BLOB)", 601),
        ("body = CAST(x'01' || substr(body, 2) AS BLOB)", 601),
        ("events = 2", 601),
        ("events = 604", 601),
        ("events = -1", 601),
        ("hash = zeroblob(32)", 603),
        ("time = 1", 603),
        ("sequence = 604", 601),
    ] {
        let copy = directory.path().join("copy.db");
        fs::copy(&path, &copy).unwrap();
        sql(&copy, &format!("UPDATE event SET {statement} WHERE sequence = 603"));
        let error = Store::open(&copy).unwrap().verify_chain("w").unwrap_err();
        let subject = format!("w#{first}");
        assert_eq!((error.kind(), error.subject()), (ErrorKind::ChainBroken, Some(&*subject)), "{statement}");
    }
    sql(&path, "DELETE FROM event WHERE sequence > 600");
    // What the chain alone cannot show, its head does.
    let copy = directory.path().join("copy.db");
    fs::copy(&path, &copy).unwrap();
    sql(&copy, "DELETE FROM event WHERE sequence > 598");
    let cut = Store::open(&copy).unwrap().verify_chain("w").unwrap();
    assert_eq!(cut.length, 598);
    assert_ne!(cut, head);
}

/// Not as root, who may write everything: the test runs itself again as nobody.
#[test]
fn what_may_not_be_written_is_read_only() {
    if let Some(path) = std::env::var_os("COFRE_READ_ONLY") {
        let path = Path::new(&path);
        let error = Store::open(path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ReadOnly, "{error}");
        let error = Store::open(&path.with_file_name("new.db")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ReadOnly, "{error}");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cofre.db");
    populate(&Store::open(&path).unwrap());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let binary = std::env::current_exe().unwrap();
    let mut command = Command::new(binary);
    command.args(["--exact", "what_may_not_be_written_is_read_only"]).env("COFRE_READ_ONLY", &path);
    if rustix::process::geteuid().is_root() {
        std::os::unix::process::CommandExt::uid(&mut command, 65534);
        std::os::unix::process::CommandExt::gid(&mut command, 65534);
    }
    match command.status() {
        Ok(status) => assert!(status.success()),
        Err(error) => eprintln!("passed over: nobody may not run this test: {error}"),
    }
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
}
