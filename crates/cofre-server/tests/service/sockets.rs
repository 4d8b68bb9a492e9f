//! The real server: what comes over its sockets that is no request, or too much of one.

use std::io::Write as _;

use serde_json::Value;

use crate::support::{
    request::escaped,
    sockets::{Response, Served, connect, has_ended, read},
};

fn get(served: &Served, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", served.host())
}

#[track_caller]
fn assert_serves(served: &Served) {
    let answer = served.send(get(served, "/healthz").as_bytes());
    assert_eq!((answer.status, answer.json()["status"].as_str()), (200, Some("ok")));
}

/// A token, fetched over the wire.
fn token(served: &Served) -> String {
    let form = format!(
        "grant_type=client_credentials&client_id={}&client_secret={}&scope={}",
        served.operator.application_id,
        escaped(&served.operator.secret),
        escaped("https://management.cofre.local//.default")
    );
    let head = format!(
        "POST /adfs/oauth2/token HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n",
        served.host(),
        form.len()
    );
    let answer = served.send(format!("{head}\r\n{form}").as_bytes());
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

#[test]
fn answers_are_never_kept_and_name_their_request() {
    let served = Served::new();
    let head = format!("Host: {}\r\nx-ms-client-request-id: mine\r\n\r\n", served.host());
    for path in ["/healthz", "/subscriptions", "/nothing", "/a/../b"] {
        let answer = served.send(format!("GET {path} HTTP/1.1\r\n{head}").as_bytes());
        for header in [
            "cache-control: no-store",
            "x-content-type-options: nosniff",
            "x-ms-client-request-id: mine",
            "content-type: application/json; charset=utf-8",
            "x-ms-request-id: ",
        ] {
            assert!(answer.head.contains(header), "{path} lacks {header}: {answer:?}");
        }
    }
    let answer = served.send(get(&served, "/subscriptions").as_bytes());
    assert_eq!(answer.status, 401);
    assert!(answer.head.contains("www-authenticate: bearer authorization_uri="), "{answer:?}");
}

#[test]
fn requests_that_are_none() {
    let served = Served::new();
    let host = served.host();
    let many: String = (0..100).map(|n| format!("x-{n}: y\r\n")).collect();
    let long = format!("x-long: {}\r\n", "a".repeat(1 << 20));
    let mut wrong = Vec::new();
    // What each is answered with: the protocol's own refusals have no body. 0 is an end without an answer that arrives:
    // there was more to be read than the server looks at.
    for (what, request, statuses) in [
        ("no host", "GET /healthz HTTP/1.1\r\n\r\n".to_owned(), [400].as_slice()),
        ("HTTP/1.0 without host", "GET /healthz HTTP/1.0\r\n\r\n".to_owned(), &[400]),
        ("an empty host", "GET /healthz HTTP/1.1\r\nHost:\r\n\r\n".to_owned(), &[400]),
        ("two hosts", format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\nHost: {host}\r\n\r\n"), &[400]),
        ("a host with a path", "GET /healthz HTTP/1.1\r\nHost: a/b\r\n\r\n".to_owned(), &[400]),
        ("a host with a user", "GET /healthz HTTP/1.1\r\nHost: a@localhost\r\n\r\n".to_owned(), &[400]),
        ("a host with a blank", "GET /healthz HTTP/1.1\r\nHost: a b\r\n\r\n".to_owned(), &[400]),
        ("a host that is no text", "GET /healthz HTTP/1.1\r\nHost: \u{e9}\r\n\r\n".to_owned(), &[400]),
        ("a long host", format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", "a".repeat(301)), &[400]),
        (
            "two tokens",
            format!(
                "GET /subscriptions HTTP/1.1\r\nHost: {host}\r\nAuthorization: a\r\nAuthorization: b\r\n\r\n"
            ),
            &[400],
        ),
        (
            "two types",
            format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\nContent-Type: a\r\nContent-Type: b\r\n\r\n"),
            &[400],
        ),
        (
            "two lengths",
            format!("POST /x HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
            &[400],
        ),
        (
            "a negative length",
            format!("POST /x HTTP/1.1\r\nHost: {host}\r\nContent-Length: -1\r\n\r\n"),
            &[400],
        ),
        (
            "a chunk without a size",
            format!("POST /x HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
            &[400],
        ),
        ("many headers", format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\n{many}\r\n"), &[431]),
        ("a long header", format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\n{long}\r\n"), &[0, 431]),
        ("a long path", format!("GET /{} HTTP/1.1\r\nHost: {host}\r\n\r\n", "a".repeat(9000)), &[400]),
        (
            "an endless path",
            format!("GET /{} HTTP/1.1\r\nHost: {host}\r\n\r\n", "a".repeat(70_000)),
            &[414, 431],
        ),
        ("a folded header", format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\nx: a\r\n b\r\n\r\n"), &[400]),
        ("another version", format!("GET /healthz HTTP/9.9\r\nHost: {host}\r\n\r\n"), &[400]),
        ("no version", "GET /healthz\r\n\r\n".to_owned(), &[400]),
        ("garbage", "\u{1}\u{2}\u{3}\r\n\r\n".to_owned(), &[400]),
        ("TRACE", format!("TRACE /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n"), &[405]),
        ("OPTIONS", format!("OPTIONS * HTTP/1.1\r\nHost: {host}\r\n\r\n"), &[405]),
        ("CONNECT", format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n"), &[405]),
        ("a method of its own", format!("FLY /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n"), &[405]),
        ("a method in small letters", format!("get /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n"), &[405]),
        (
            "an upgrade",
            format!("GET /nothing HTTP/1.1\r\nHost: {host}\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"),
            &[404],
        ),
        ("a star", format!("GET * HTTP/1.1\r\nHost: {host}\r\n\r\n"), &[400, 404]),
    ] {
        let mut connection = served.connect();
        // The server may have answered before all of it is sent.
        let _ = connection.write_all(request.as_bytes());
        let answer = read(&mut connection, false);
        let is_typed =
            answer.as_ref().is_none_or(|a| a.body.is_empty() || a.json()["error"]["code"].is_string());
        if !statuses.contains(&answer.as_ref().map_or(0, |answer| answer.status)) || !is_typed {
            wrong.push(format!("{what}: {answer:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_serves(&served);
}

#[test]
fn bodies_that_are_too_large() {
    let served = Served::new();
    let host = served.host();
    let body = vec![b'a'; (4 << 20) + 1];
    let measured =
        format!("POST /adfs/oauth2/token HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\n\r\n", body.len());
    let chunked =
        format!("POST /adfs/oauth2/token HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n");
    let chunks: Vec<u8> = body
        .chunks(1 << 16)
        .flat_map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat())
        .collect();
    for (what, head, rest) in [("measured", &measured, &body), ("chunked", &chunked, &chunks)] {
        let mut connection = served.connect();
        connection.write_all(head.as_bytes()).unwrap();
        let _ = connection.write_all(rest);
        let answer = read(&mut connection, false).unwrap_or_else(|| panic!("{what}: no answer"));
        assert_eq!(
            (answer.status, answer.json()["error"]["code"].as_str()),
            (413, Some("RequestTooLarge")),
            "{what}"
        );
        assert!(answer.head.contains("connection: close"), "{what}: {answer:?}");
    }
    // As large as may be.
    let exact =
        format!("POST /adfs/oauth2/token HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\n\r\n", 4 << 20);
    let answer = served.send(&[exact.as_bytes(), &body[..4 << 20]].concat());
    assert_eq!(answer.status, 400);
    let mut connection = served.connect();
    let huge = format!("POST /x HTTP/1.1\r\nHost: {host}\r\nContent-Length: 18446744073709551615\r\n\r\n");
    connection.write_all(huge.as_bytes()).unwrap();
    assert!(read(&mut connection, false).is_none_or(|answer| answer.status < 500));
    assert_serves(&served);
}

#[test]
fn those_who_say_nothing_keep_nobody_waiting() {
    let served = Served::new();
    let mut silent: Vec<_> = (0..20).map(|_| served.plain()).collect();
    let mut half = Vec::new();
    for (at, stream) in silent.iter_mut().enumerate().take(10) {
        // The beginning of a handshake.
        stream.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00][..at % 5 + 1]).unwrap();
    }
    for request in
        ["G", "GET / HTTP/1.1\r\nHost:", "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc"]
    {
        for _ in 0..10 {
            let mut connection = served.connect();
            connection.write_all(request.as_bytes()).unwrap();
            half.push(connection);
        }
    }
    assert_serves(&served);
    drop((silent, half));
    assert_serves(&served);
}

#[test]
fn what_is_no_tls() {
    let served = Served::new();
    for bytes in [
        get(&served, "/healthz").into_bytes(),
        b"\0\0\0\0\0\0\0\0".to_vec(),
        vec![0xff; 100_000],
        b"SSH-2.0-x\r\n".to_vec(),
        [0x16, 0x03, 0x01, 0xff, 0xff].repeat(100),
    ] {
        let mut stream = served.plain();
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        assert!(has_ended(&mut stream));
    }
    assert_serves(&served);
}

#[test]
fn requests_in_a_row_are_answered_in_their_order() {
    let served = Served::new();
    let mut connection = served.connect();
    let paths = ["/healthz", "/nothing", "/subscriptions", "/readyz", "/healthz"];
    let all: String = paths.iter().map(|path| get(&served, path)).collect();
    connection.write_all(all.as_bytes()).unwrap();
    let statuses: Vec<_> = paths.iter().map(|_| read(&mut connection, false).unwrap().status).collect();
    assert_eq!(statuses, [200, 404, 401, 200, 200]);
    // HEAD has the head of GET and no body; what comes next is the next answer.
    let host = served.host();
    let heads = format!(
        "HEAD /healthz HTTP/1.1\r\nHost: {host}\r\n\r\nHEAD /subscriptions HTTP/1.1\r\nHost: {host}\r\n\r\n"
    );
    connection.write_all((heads + &get(&served, "/nothing")).as_bytes()).unwrap();
    let statuses = [true, true, false].map(|is_head| read(&mut connection, is_head).unwrap().status);
    assert_eq!(statuses, [200, 401, 404]);
}

#[test]
fn what_is_said_to_the_observer_holds_no_secrets() {
    let served = Served::new();
    let token = token(&served);
    let host = served.host();
    let secret = &served.operator.secret;
    let request = format!(
        "GET /subscriptions?access_token={token} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    let answer = served.send(request.as_bytes());
    assert_eq!((answer.status, answer.json()["value"].as_array().map(Vec::len)), (200, Some(1)));
    let vault_host = format!("kv1.vault.localhost:{}", served.address.port());
    let body = r#"{"value": "hunter2"}"#;
    let request = format!(
        "PUT /secrets/x HTTP/1.1\r\nHost: {vault_host}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(served.send(request.as_bytes()).status, 401);
    let log = served.log().join("\n");
    assert!(log.contains("/adfs/oauth2/token") && log.contains("/secrets/x"), "{log}");
    for hidden in [token.as_str(), secret, "hunter2", "access_token"] {
        assert!(!log.contains(hidden), "{log}");
    }
}

fn proxy(served: &Served, request: &str) -> (std::net::TcpStream, Option<Response>) {
    let mut stream = connect(served.proxy);
    stream.write_all(request.as_bytes()).unwrap();
    let answer = read(&mut stream, false);
    (stream, answer)
}

#[test]
fn the_proxy_leads_to_this_server_alone() {
    let served = Served::new();
    let port = served.address.port();
    for name in ["localhost", "kv1.vault.localhost", "127.0.0.1"] {
        let line = format!("CONNECT {name}:{port} HTTP/1.1\r\nHost: {name}:{port}\r\n\r\n");
        let (stream, answer) = proxy(&served, &line);
        assert_eq!(answer.unwrap().status, 200, "{name}");
        let mut connection = served.over(stream, name);
        connection
            .write_all(format!("GET /healthz HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n").as_bytes())
            .unwrap();
        assert_eq!(read(&mut connection, false).unwrap().json()["status"], Value::from("ok"), "{name}");
    }
    let elsewhere = served.proxy.port();
    for (line, status) in [
        (format!("CONNECT localhost:{elsewhere} HTTP/1.1"), 403),
        ("CONNECT localhost:22 HTTP/1.1".to_owned(), 403),
        (format!("CONNECT example.com:{port} HTTP/1.1"), 403),
        (format!("CONNECT 127.0.0.2:{port} HTTP/1.1"), 403),
        (format!("CONNECT 169.254.169.254:{port} HTTP/1.1"), 403),
        (format!("CONNECT [::ffff:127.0.0.1]:{port} HTTP/1.1"), 403),
        (format!("CONNECT localhost.example.com:{port} HTTP/1.1"), 403),
        (format!("CONNECT vault.localhost.example.com:{port} HTTP/1.1"), 403),
        (format!("CONNECT localhost:0{port}0 HTTP/1.1"), 403),
        ("CONNECT localhost HTTP/1.1".to_owned(), 400),
        ("CONNECT".to_owned(), 400),
        ("\u{1}\u{2}".to_owned(), 400),
        (format!("CONNECT localhost:{port} HTTP/2"), 400),
        (format!("GET http://localhost:{port}/ HTTP/1.1"), 405),
        (format!("GET https://localhost:{port}/ HTTP/1.1"), 405),
    ] {
        let (mut stream, answer) = proxy(&served, &format!("{line}\r\n\r\n"));
        assert_eq!(answer.map(|answer| answer.status), Some(status), "{line}");
        assert!(has_ended(&mut stream), "{line}");
    }
    let mut stream = connect(served.proxy);
    let _ = stream.write_all(&[b'a'; 100_000]);
    // An end with or without an answer: there is more to be read than the proxy looks at.
    assert!(read(&mut stream, false).is_none_or(|answer| answer.status == 400));
    assert_serves(&served);
}
