//! What is special about a database on a server: its schema, rights, errors, passwords and TLS.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bodies;

use std::{env, fs, net::TcpListener, path::Path, process::Command, thread};

use bodies::{Body, cluster::Cluster, name, new_database};
use cofre_store::{Batch, Change, ErrorKind, Event, Store};
use jiff::Timestamp;

fn event(body: &str) -> Event {
    Event { writer: "w".to_owned(), time: Timestamp::UNIX_EPOCH, body: body.as_bytes().to_vec() }
}

fn populated(body: &str) -> Batch {
    let mut batch = Batch::new(Timestamp::UNIX_EPOCH);
    batch.changes.push(Change::Put { path: "/a".to_owned(), kind: "x".to_owned(), body: body.into() });
    batch.events.push(event(body));
    batch
}

/// The URL of a new database; its name.
fn database() -> (String, String) {
    let url = new_database(Cluster::shared());
    let name = name(&url).to_owned();
    (url, name)
}

#[track_caller]
fn refused(url: &str, kind: ErrorKind) -> String {
    let error = Store::connect(url).unwrap_err();
    let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    assert_eq!(error.kind(), kind, "{error}: {source}");
    format!("{error}: {source}")
}

#[test]
fn the_schema_is_the_one_checked_in() {
    let body = Body::server();
    drop(body.open());
    let mut schema = body.outsider().run(
        "SELECT format('%s.%s %s%s%s', table_name, column_name, data_type, ' collate ' || collation_name, \
             CASE is_nullable WHEN 'NO' THEN ' not null' END) \
         FROM information_schema.columns WHERE table_schema = 'cofre' ORDER BY table_name, ordinal_position",
    );
    schema.extend(body.outsider().run(
        "SELECT format('%s: %s', conrelid::regclass, pg_get_constraintdef(oid)) FROM pg_constraint \
         WHERE connamespace = 'cofre'::regnamespace AND contype <> 'n' ORDER BY conname",
    ));
    schema.extend(
        body.outsider().run("SELECT indexdef FROM pg_indexes WHERE schemaname = 'cofre' ORDER BY indexname"),
    );
    let version = body.outsider().run("SELECT number::text FROM cofre.schema_version").remove(0);
    let actual = format!(
        "Version {version} on a server, as the migrations leave it. COFRE_BLESS=1 writes it anew.\n\n{}\n",
        schema.join("\n")
    );
    let checked_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schema-postgres.txt");
    if env::var_os("COFRE_BLESS").is_some() {
        fs::write(&checked_in, &actual).unwrap();
    } else {
        assert_eq!(actual, fs::read_to_string(&checked_in).unwrap());
    }
}

#[test]
fn a_database_is_found_again() {
    let body = Body::server();
    body.open().commit(&populated("1")).unwrap();
    body.settle();
    let store = body.open();
    assert_eq!(store.read("/a").unwrap().unwrap().body, b"1");
    assert_eq!((store.verify_chain("w").unwrap().length, store.version().unwrap()), (1, 1));
}

#[test]
fn what_is_not_ours_is_refused() {
    let (url, _) = database();
    let mut outsider = Body::Server(url.clone()).outsider();
    outsider.run("CREATE SCHEMA cofre; CREATE TABLE cofre.bookmarks (url TEXT)");
    refused(&url, ErrorKind::NotADatabase);
    outsider.run("DROP SCHEMA cofre CASCADE; CREATE TABLE bookmarks (url TEXT)");
    Store::connect(&url).unwrap().commit(&populated("1")).unwrap();
    outsider.run("UPDATE cofre.schema_version SET number = 4711");
    refused(&url, ErrorKind::NewerSchema);

    let (url, name) = database();
    let mut outsider = Body::Server(Cluster::shared().url("postgres")).outsider();
    outsider.run(&format!(
        "CREATE DATABASE {name}_l ENCODING 'LATIN1' TEMPLATE template0 LOCALE_PROVIDER libc LOCALE 'C'"
    ));
    let message = refused(&url.replace(&name, &format!("{name}_l")), ErrorKind::NotADatabase);
    assert!(message.contains("LATIN1"), "{message}");
}

#[test]
fn what_is_not_there_is_unavailable() {
    let (url, name) = database();
    let message = refused(&url.replace(&name, "none"), ErrorKind::Unavailable);
    assert!(message.contains("none"), "{message}");
    refused("postgres://u:secret@localhost/db?host=/nowhere", ErrorKind::Unavailable);
    // A port nobody listens on.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let message = refused(&format!("postgres://u:secret@127.0.0.1:{port}/db"), ErrorKind::Unavailable);
    assert!(!message.contains("secret"), "{message}");
}

#[test]
fn who_may_only_read_reads() {
    let (url, name) = database();
    Store::connect(&url).unwrap().commit(&populated("1")).unwrap();
    let mut outsider = Body::Server(url.clone()).outsider();
    outsider.run(&format!(
        "CREATE ROLE {name}_r LOGIN; GRANT USAGE ON SCHEMA cofre TO {name}_r; \
         GRANT SELECT ON ALL TABLES IN SCHEMA cofre TO {name}_r"
    ));
    let store = Store::connect(&url.replace("postgres@", &format!("{name}_r@"))).unwrap();
    assert!(store.read("/a").unwrap().is_some());
    assert_eq!(store.commit(&populated("2")).unwrap_err().kind(), ErrorKind::ReadOnly);
    assert_eq!(store.append(&[event("2")], None).unwrap_err().kind(), ErrorKind::ReadOnly);

    outsider.run(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on"));
    let store = Store::connect(&url).unwrap();
    assert_eq!(store.commit(&populated("2")).unwrap_err().kind(), ErrorKind::ReadOnly);
    assert_eq!(store.read("/a").unwrap().unwrap().body, b"1");
}

#[test]
fn tampering_is_found() {
    let body = Body::server();
    let store = body.open();
    (0..300).for_each(|number| store.append(&[event(&number.to_string())], None).unwrap());
    assert_eq!(store.verify_chain("w").unwrap().length, 300);
    for (statement, first) in [
        ("UPDATE event SET body = '\\x32' WHERE sequence = 299", 299),
        ("UPDATE event SET time = 1 WHERE sequence = 257", 257),
        ("UPDATE event SET hash = '\\x00' WHERE sequence = 256", 256),
        ("DELETE FROM event WHERE sequence = 77", 77),
        ("UPDATE event SET sequence = 0 WHERE sequence = 1", 1),
    ] {
        body.outsider().run(&format!("SET search_path = cofre; {statement}"));
        let error = store.verify_chain("w").unwrap_err();
        let subject = format!("w#{first}");
        assert_eq!((error.kind(), error.subject()), (ErrorKind::ChainBroken, Some(&*subject)), "{statement}");
    }
}

/// The server's own errors, raised within it, with the codes it gives them.
#[test]
fn errors_have_their_kinds_and_change_nothing() {
    let body = Body::server();
    let store = body.open();
    store.commit(&populated("1")).unwrap();
    let mut outsider = body.outsider();
    outsider.run(
        "CREATE TABLE cofre.code (code TEXT); INSERT INTO cofre.code VALUES ('00000'); \
         CREATE FUNCTION cofre.fail() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE code TEXT; BEGIN \
             SELECT c.code INTO code FROM cofre.code c; \
             IF code <> '00000' THEN RAISE EXCEPTION 'as ordered' USING ERRCODE = code; END IF; \
             RETURN NEW; END $$; \
         CREATE TRIGGER fail BEFORE INSERT ON cofre.event FOR EACH ROW EXECUTE FUNCTION cofre.fail()",
    );
    for (code, kind) in [
        ("40001", ErrorKind::Busy),
        ("40P01", ErrorKind::Busy),
        ("55P03", ErrorKind::Busy),
        ("57014", ErrorKind::Busy),
        ("53100", ErrorKind::Full),
        ("25006", ErrorKind::ReadOnly),
        ("42501", ErrorKind::ReadOnly),
        ("XX001", ErrorKind::Corrupt),
        ("54000", ErrorKind::Invalid),
        ("22021", ErrorKind::Invalid),
        ("23514", ErrorKind::Conflict),
        ("53200", ErrorKind::Unavailable),
    ] {
        outsider.run(&format!("UPDATE cofre.code SET code = '{code}'"));
        assert_eq!(store.commit(&populated("2")).unwrap_err().kind(), kind, "{code}");
        assert_eq!(store.append(&[event("2")], None).unwrap_err().kind(), kind, "{code}");
        assert_eq!(store.read("/a").unwrap().unwrap().body, b"1");
    }
    outsider.run("UPDATE cofre.code SET code = '00000'");
    assert_eq!(store.commit(&populated("2")).unwrap().revision, 2);
    store.append(&[event("3")], Some(2)).unwrap();
    assert_eq!(store.verify_chain("w").unwrap().length, 3);
}

#[test]
fn what_is_committed_is_on_the_disk_whatever_the_database_is_set_to() {
    let (url, name) = database();
    let mut outsider = Body::Server(url.clone()).outsider();
    outsider.run(&format!("ALTER DATABASE {name} SET synchronous_commit = off"));
    outsider.run(&format!("ALTER DATABASE {name} SET default_transaction_isolation = serializable"));
    let store = Store::connect(&url).unwrap();
    outsider.run(
        "CREATE TABLE cofre.seen (setting TEXT); \
         CREATE FUNCTION cofre.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             INSERT INTO cofre.seen VALUES (current_setting('synchronous_commit')), \
                                           (current_setting('transaction_isolation')); \
             RETURN NEW; END $$; \
         CREATE TRIGGER note BEFORE INSERT ON cofre.event FOR EACH ROW EXECUTE FUNCTION cofre.note()",
    );
    store.append(&[event("1")], None).unwrap();
    assert_eq!(outsider.run("SELECT setting FROM cofre.seen"), ["on", "read committed"]);
}

const URL: &str = "COFRE_STORE_URL";
const KIND: &str = "COFRE_STORE_KIND";

#[test]
#[ignore = "run by the other tests"]
fn the_process_with_another_environment() {
    let (Ok(url), Ok(kind)) = (env::var(URL), env::var(KIND)) else { return };
    let store = Store::connect(&url);
    assert_eq!(format!("{:?}", store.map(|_| ()).map_err(|error| error.kind())), kind);
}

/// Makes an authority (`NAME-ca.pem`) and a key and certificate of its for 127.0.0.1 (`NAME.key`, `NAME.pem`), for the user
/// whose directory it is.
fn certify(directory: &Path, name: &str) {
    const SCRIPT: &str = r#"
        set -e
        cd "$0"
        new="openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
        $new -x509 -subj "/CN=$1 authority" -keyout "$1-ca.key" -out "$1-ca.pem"
        $new -subj "/CN=$1" -keyout "$1.key" -out "$1.csr"
        echo "subjectAltName = IP:127.0.0.1" > "$1.ext"
        openssl x509 -req -in "$1.csr" -CA "$1-ca.pem" -CAkey "$1-ca.key" -extfile "$1.ext" -days 2 -out "$1.pem"
        chmod 600 "$1.key"
        chown --reference=. "$1.key" "$1.pem"
    "#;
    let made = Command::new("sh").args(["-c", SCRIPT]).arg(directory).arg(name).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// As a server elsewhere wants it: over TLS, with a password.
#[test]
fn certificates_and_passwords_are_checked() {
    let cluster = Cluster::on_a_port();
    let (directory, port) = (cluster.directory(), cluster.port());
    let local = new_database(&cluster);
    let name = name(&local);
    ["server", "other"].iter().for_each(|name| certify(directory, name));
    fs::write(
        directory.join("data/pg_hba.conf"),
        "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n",
    )
    .unwrap();
    let mut outsider = Body::Server(local.clone()).outsider();
    for setting in ["ssl = on".to_owned()].into_iter().chain(
        [("cert", "pem"), ("key", "key")]
            .map(|(what, ending)| format!("ssl_{what}_file = '{}/server.{ending}'", directory.display())),
    ) {
        outsider.run(&format!("ALTER SYSTEM SET {setting}"));
    }
    outsider.run(&format!(
        "CREATE ROLE backup LOGIN PASSWORD 'correct horse'; GRANT CREATE ON DATABASE {name} TO backup; \
         SELECT pg_reload_conf()::text"
    ));
    while outsider.run("SHOW ssl") != ["on"] {
        thread::yield_now();
    }

    let url = |user: &str, host: &str, parameters: &str| {
        format!("postgres://{user}@{host}:{port}/{name}?{parameters}")
    };
    let root = |name: &str| format!("sslrootcert={}/{name}-ca.pem", directory.display());
    let good = "backup:correct%20horse";
    let verified = url(good, "127.0.0.1", &format!("sslmode=verify-full&{}", root("server")));
    let store = Store::connect(&verified).unwrap();
    store.commit(&populated("1")).unwrap();
    let ciphered = "SELECT DISTINCT ssl::text FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                    WHERE usename = 'backup'";
    assert_eq!(outsider.run(ciphered), ["true"]);

    refused(
        &url(good, "127.0.0.1", &format!("sslmode=verify-full&{}", root("other"))),
        ErrorKind::Unavailable,
    );
    refused(
        &url(good, "localhost", &format!("sslmode=verify-full&{}", root("server"))),
        ErrorKind::Unavailable,
    );
    refused(&url(good, "127.0.0.1", "sslmode=verify-full"), ErrorKind::Unavailable);
    refused(&url(good, "127.0.0.1", "sslmode=disable"), ErrorKind::Unavailable);
    drop(Store::connect(&url(good, "127.0.0.1", "sslmode=require")).unwrap());
    let message = refused(&url("backup:battery", "127.0.0.1", "sslmode=require"), ErrorKind::Unavailable);
    assert!(!message.contains("battery"), "{message}");

    let passwords = tempfile::NamedTempFile::new().unwrap();
    fs::write(&passwords, format!("127.0.0.1:{port}:{name}:backup:correct horse\n")).unwrap();
    for (file, kind) in [(passwords.path(), "Ok(())"), (Path::new("/dev/null"), "Err(Unavailable)")] {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "the_process_with_another_environment", "--ignored", "--nocapture"]);
        command.env(URL, url("backup", "127.0.0.1", "sslmode=require")).env(KIND, kind);
        command.env("PGPASSFILE", file).env("HOME", directory).env_remove("PGPASSWORD");
        assert!(command.status().unwrap().success());
    }
}
