//! Who reads metrics, and how often they are asked for.

use std::{
    io::{Read as _, Write as _},
    sync::Arc,
};

use crate::support::{
    SUBSCRIPTION, World,
    sockets::{Counted, Served, connect},
};

#[test]
fn metrics_are_for_those_who_may_read_vaults() {
    let mut world = World::new();
    let reader = world.client("reader");
    let nobody = world.client("nobody");
    world.assign(&reader, "Reader", &format!("/subscriptions/{SUBSCRIPTION}"));
    let in_a_group = world.client("grouped");
    world.assign(&in_a_group, "Reader", &format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/default"));
    let operator = world.arm_token(&world.operator);
    world.arm("GET", "/metrics").token(&operator).send().refused(404, "ResourceNotFound");

    let source = Arc::new(Counted::default());
    world.app = world.app.with_metrics(source.clone());
    world.arm("GET", "/metrics").send().refused(401, "AuthenticationFailed");
    for client in [&nobody, &in_a_group] {
        let token = world.arm_token(client);
        world.arm("GET", "/metrics").token(&token).send().refused(403, "AuthorizationFailed");
    }
    assert_eq!(source.asked(), 0, "whoever may not read makes no work");
    for client in [&reader, &world.operator] {
        let token = world.arm_token(client);
        let (kind, text) = world.arm("GET", "/metrics").token(&token).text();
        assert_eq!(kind.as_deref(), Some("text/plain; version=0.0.4; charset=utf-8"));
        assert_eq!(text, "# TYPE asked counter\nasked 1\n", "an answer is kept for a while");
    }
}

#[test]
fn the_own_socket_has_metrics_and_nothing_else() {
    let served = Served::new();
    let ask = |request: &str| {
        let mut stream = connect(served.metrics);
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let answer = ask("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n")
            && answer.ends_with("\r\n\r\n# TYPE asked counter\nasked 1\n"),
        "{answer}"
    );
    assert!(
        ask("POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").starts_with("HTTP/1.1 405 ")
    );
    for path in ["/", "/subscriptions", "/healthz", "/metadata/endpoints"] {
        let answer = ask(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert!(answer.starts_with("HTTP/1.1 404 "), "{path}: {answer}");
    }
}
