//! Logins: with secrets, with certificates, with tokens of another issuer.

use std::collections::HashSet;

use cofre_keyvault::Clock as _;
use cofre_server::directory::Credential;
use serde_json::{Value, json};

use crate::support::{
    Client, Reply, TOKEN_PATH, World, actor,
    assertions::{Certificate, Issuer},
};

const SCOPE: &str = "https://management.cofre.local//.default";
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const ENDPOINT: &str = "https://localhost:8443/adfs/oauth2/token";

fn with_secret(world: &World, client: &str, secret: &str) -> Reply {
    world.login(&[
        ("grant_type", "client_credentials"),
        ("client_id", client),
        ("client_secret", secret),
        ("scope", SCOPE),
    ])
}

fn with_assertion<'a>(world: &'a World, client: &Client, assertion: &str) -> crate::support::Request<'a> {
    world.arm("POST", TOKEN_PATH).form(&[
        ("grant_type", "client_credentials"),
        ("client_id", &client.application_id),
        ("client_assertion_type", ASSERTION),
        ("client_assertion", assertion),
        ("scope", SCOPE),
    ])
}

#[test]
fn nobody_learns_which_clients_there_are() {
    let world = World::new();
    let other = world.client("other");
    let unknown = "66666666-6666-4666-8666-666666666666";
    let operator = &world.operator;
    let answers = [
        with_secret(&world, unknown, &operator.secret),
        with_secret(&world, &operator.application_id, "wrong"),
        with_secret(&world, &operator.application_id, ""),
        with_secret(&world, &operator.application_id, &other.secret),
        with_secret(&world, &operator.object_id, &operator.secret),
        with_assertion(&world, operator, "x.y.z").send(),
        with_assertion(&world, &Client { application_id: unknown.into(), ..other.clone() }, "x.y.z").send(),
        world.login(&[("grant_type", "client_credentials"), ("client_id", unknown), ("scope", SCOPE)]),
        world.login(&[("grant_type", "client_credentials"), ("client_id", "’\"\0{}"), ("scope", SCOPE)]),
    ];
    for answer in &answers {
        assert_eq!((answer.status, &answer.json), (401, &answers[0].json));
        assert_eq!(answer.challenge, answers[0].challenge);
        assert_eq!(answer.json["error_codes"], json!([7_000_215]));
    }
    with_secret(&world, &operator.application_id.to_uppercase(), &operator.secret).expect(200);
}

#[test]
fn forms_that_are_no_login() {
    let world = World::new();
    let Client { application_id, secret, .. } = &world.operator;
    let good: [(&str, &str); 4] = [
        ("grant_type", "client_credentials"),
        ("client_id", application_id),
        ("client_secret", secret),
        ("scope", SCOPE),
    ];
    world.login(&good).expect(200);
    let without = |field: &str| -> Vec<(&str, &str)> {
        good.iter().copied().filter(|(name, _)| *name != field).collect()
    };
    let with = |field: &'static str, value: &'static str| -> Vec<(&str, &str)> {
        [&[(field, value)], without(field).as_slice()].concat()
    };
    for (form, status, error) in [
        (without("grant_type"), 400, "unsupported_grant_type"),
        (without("client_id"), 400, "invalid_request"),
        (without("client_secret"), 401, "invalid_client"),
        (without("scope"), 400, "invalid_request"),
        (with("grant_type", "password"), 400, "unsupported_grant_type"),
        (with("grant_type", "refresh_token"), 400, "unsupported_grant_type"),
        (with("grant_type", "authorization_code"), 400, "unsupported_grant_type"),
        (with("scope", ""), 400, "invalid_scope"),
        (with("scope", "openid"), 400, "invalid_scope"),
        (with("scope", "https://vault.azure.net/.default"), 400, "invalid_scope"),
        (with("scope", "https://vault.localhost:8443.evil/.default"), 400, "invalid_scope"),
        (
            with("scope", "https://vault.localhost:8443/.default https://management.cofre.local//.default"),
            400,
            "invalid_scope",
        ),
        (with("client_assertion", "x"), 400, "invalid_request"),
    ] {
        let reply = world.login(&form).refused(status, error);
        assert!(!reply.json.to_string().contains(secret.as_str()), "{reply:?}");
    }
    let raw = |body: &[u8]| world.arm("POST", TOKEN_PATH).body(body).send();
    for body in [
        &b""[..],
        b"\xff\xfe",
        b"grant_type=%ff",
        b"grant_type=%",
        b"{\"grant_type\": \"client_credentials\"}",
        b"&&&&",
        b"=",
    ] {
        assert_eq!(raw(body).status, 400, "{body:?}");
    }
    raw("a=b&".repeat(1000).as_bytes()).refused(400, "invalid_request");
    raw(&vec![b'a'; 4 << 20]).refused(400, "invalid_request");
    for method in ["GET", "PUT", "DELETE", "PATCH", "HEAD"] {
        assert!(matches!(world.arm(method, TOKEN_PATH).send().status, 404 | 405), "{method}");
    }
    // The way of RFC 6749, 2.3.1.
    let basic: fn(&[u8]) -> String = |bytes| <base64ct::Base64 as base64ct::Encoding>::encode_string(bytes);
    let header = format!("Basic {}", basic(format!("{application_id}:{secret}").as_bytes()));
    let form = [("grant_type", "client_credentials"), ("scope", SCOPE)];
    world.arm("POST", TOKEN_PATH).header("authorization", &header).form(&form).send().expect(200);
    for bad in
        ["Basic", "Basic ===", &format!("Basic {}", basic(b"\xff\xff")), &format!("Basic {}", basic(b"x"))]
    {
        let reply = world.arm("POST", TOKEN_PATH).header("authorization", bad).form(&form).send();
        reply.refused(400, "invalid_request");
    }
}

#[test]
fn failures_close_the_login_for_that_client_and_address_alone() {
    let world = World::new();
    let tester = world.client("tester");
    let login = |client: &Client, secret: &str, peer: &str| {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", client.application_id.as_str()),
            ("client_secret", secret),
            ("scope", SCOPE),
        ];
        world.arm("POST", TOKEN_PATH).peer(peer).form(&form).send()
    };
    let tried = (0..30).find(|_| login(&tester, "wrong", "10.0.0.1").status == 429);
    assert!((10..=12).contains(&tried.unwrap()), "{tried:?}");
    let refused = login(&tester, &tester.secret, "10.0.0.1").refused(429, "TooManyRequests");
    assert_eq!(refused.retry_after.as_deref(), Some("6"));
    login(&tester, &tester.secret, "10.0.0.2").expect(200);
    login(&world.operator, &world.operator.secret, "10.0.0.1").expect(200);
}

#[test]
fn requests_are_limited_by_caller() {
    let world = World::reached_at(8443, 5);
    let tester = world.client("tester");
    let (token, other) = (world.arm_token(&world.operator), world.arm_token(&tester));
    let ask = |token: &str| world.arm("GET", "/subscriptions").token(token).send();
    let refused = (0..80).map(|_| ask(&token)).find(|reply| reply.status != 200).unwrap();
    assert_eq!(refused.refused(429, "TooManyRequests").retry_after.as_deref(), Some("1"));
    ask(&other).expect(200);
    // Whoever brings no token shares what its address may use.
    let anonymous = |peer: &str| world.arm("GET", "/subscriptions").peer(peer).send().status;
    let statuses: HashSet<_> = (0..80).map(|_| anonymous("10.0.0.9")).collect();
    assert_eq!(statuses, HashSet::from([401, 429]));
    assert_eq!(anonymous("10.0.0.10"), 401);
}

#[test]
fn certificates() {
    let world = World::new();
    let tester = world.client("tester");
    let (certificate, stranger) = (Certificate::new(), Certificate::new());
    let credential = Credential::certificate(certificate.pem.as_bytes(), world.clock.now(), None).unwrap();
    world.directory.add_credential(&actor(), &tester.object_id, credential).unwrap();
    let now = world.clock.now().as_second();
    let id = &tester.application_id;
    let claims =
        json!({"iss": id, "sub": id, "aud": ENDPOINT, "jti": "1", "nbf": now, "iat": now, "exp": now + 600});
    let with = |field: &str, value: Value| {
        let mut changed = claims.clone();
        changed[field] = value;
        changed
    };
    let without = |field: &str| {
        let mut changed = claims.clone();
        changed.as_object_mut().unwrap().remove(field);
        changed
    };
    let day = 24 * 3600;
    for (what, good) in [
        ("as clients do", claims.clone()),
        ("no times but the end", {
            let mut plain = without("nbf");
            plain.as_object_mut().unwrap().remove("iat");
            plain
        }),
        ("several audiences", with("aud", json!(["https://elsewhere", ENDPOINT]))),
        ("a minute early", with("nbf", json!(now + 60))),
        ("a minute late", with("exp", json!(now - 59))),
        ("a day", with("exp", json!(now + day))),
        ("in capitals", with("iss", json!(id.to_uppercase()))),
    ] {
        let reply = with_assertion(&world, &tester, &certificate.sign(&good)).send();
        assert_eq!(reply.status, 200, "{what}: {reply:?}");
    }
    let bad = [
        ("another certificate", stranger.sign(&claims)),
        ("another certificate in its name", stranger.sign_as(&certificate.thumbprint, &claims)),
        ("its key in another's name", certificate.sign_as(&stranger.thumbprint, &claims)),
        ("no thumbprint", certificate.sign_as("", &claims)),
        (
            "another audience",
            certificate.sign(&with("aud", json!("https://login.example/adfs/oauth2/token"))),
        ),
        ("another path", certificate.sign(&with("aud", json!("https://localhost:8443/other/oauth2/token")))),
        ("the service alone", certificate.sign(&with("aud", json!("https://localhost:8443")))),
        ("no audience", certificate.sign(&without("aud"))),
        ("an empty list of audiences", certificate.sign(&with("aud", json!([])))),
        ("another issuer", certificate.sign(&with("iss", json!(world.operator.application_id)))),
        ("another subject", certificate.sign(&with("sub", json!(world.operator.application_id)))),
        ("no issuer", certificate.sign(&without("iss"))),
        ("too long a life", certificate.sign(&with("exp", json!(now + day + 61)))),
        ("for ever", certificate.sign(&with("exp", json!(i64::MAX)))),
        ("before time", certificate.sign(&with("exp", json!(i64::MIN)))),
        ("no end", certificate.sign(&without("exp"))),
        ("over", certificate.sign(&with("exp", json!(now - 60)))),
        ("not yet", certificate.sign(&with("nbf", json!(now + 61)))),
        ("issued later", certificate.sign(&with("iat", json!(now + 61)))),
        ("from the far future", certificate.sign(&with("nbf", json!(i64::MAX)))),
    ];
    for (what, assertion) in &bad {
        // Each from an address of its own: failures close a login.
        let reply = with_assertion(&world, &tester, assertion).peer(what).send();
        assert_eq!((reply.status, reply.code()), (401, "invalid_client"), "{what}: {reply:?}");
    }
    let good = certificate.sign(&claims);
    with_assertion(&world, &world.operator, &good).peer("x").send().refused(401, "invalid_client");
    world.arm("GET", "/subscriptions").token(&good).send().refused(401, "AuthenticationFailed");
}

/// What a client signed for somebody else does not count here, whatever host the request claims to be for.
#[test]
fn an_assertion_for_another_service_is_not_taken_in_its_name() {
    let world = World::new();
    let tester = world.client("tester");
    let certificate = Certificate::new();
    let credential = Credential::certificate(certificate.pem.as_bytes(), world.clock.now(), None).unwrap();
    world.directory.add_credential(&actor(), &tester.object_id, credential).unwrap();
    let (id, now) = (&tester.application_id, world.clock.now().as_second());
    let login = |host: &str| {
        let aud = format!("https://{host}{TOKEN_PATH}");
        let assertion = certificate.sign(&json!({"iss": id, "sub": id, "aud": aud, "exp": now + 600}));
        with_assertion(&world, &tester, &assertion).host(host).send()
    };
    for ours in ["localhost:8443", "127.0.0.1:8443", "[::1]:8443"] {
        login(ours).expect(200);
    }
    for other in ["login.example", "login.example:8443", "localhost.example:8443"] {
        login(other).refused(401, "invalid_client");
    }
}

#[test]
fn tokens_of_another_issuer() {
    let world = World::new();
    let tester = world.client("tester");
    let (issuer, stranger) = (Issuer::new(), Issuer::new());
    let (name, subject, audience) = ("https://issuer.example/", "repo:a/b:ref:main", "api://cofre");
    let keys = issuer.keys.to_string();
    let now = world.clock.now();
    let credential = Credential::federated(name, subject, audience, keys.as_bytes(), now).unwrap();
    world.directory.add_credential(&actor(), &tester.object_id, credential).unwrap();
    let now = now.as_second();
    let claims = json!({"iss": name, "sub": subject, "aud": audience, "exp": now + 600, "iat": now});
    let with = |field: &str, value: Value| {
        let mut changed = claims.clone();
        changed[field] = value;
        changed
    };
    with_assertion(&world, &tester, &issuer.sign(&claims)).send().expect(200);
    for (what, assertion) in [
        ("another key", stranger.sign(&claims)),
        ("another issuer", issuer.sign(&with("iss", json!("https://issuer.example")))),
        ("another subject", issuer.sign(&with("sub", json!("repo:a/b:ref:other")))),
        ("a subject in capitals", issuer.sign(&with("sub", json!(subject.to_uppercase())))),
        ("another audience", issuer.sign(&with("aud", json!("api://other")))),
        ("over", issuer.sign(&with("exp", json!(now - 60)))),
        ("not yet", issuer.sign(&with("nbf", json!(now + 61)))),
        ("long", format!("{}{}", issuer.sign(&claims), "A".repeat(20 << 10))),
    ] {
        let reply = with_assertion(&world, &tester, &assertion).peer(what).send();
        assert!(matches!(reply.status, 400 | 401), "{what}: {reply:?}");
    }
    // Tokens of issuers with many groups in them are long; they are taken up to 16 KiB.
    let long = issuer.sign(&with("groups", json!("g".repeat(10 << 10))));
    assert!((12 << 10..16 << 10).contains(&long.len()));
    with_assertion(&world, &tester, &long).send().expect(200);
    world
        .arm("GET", "/subscriptions")
        .token(&issuer.sign(&claims))
        .send()
        .refused(401, "AuthenticationFailed");
}
