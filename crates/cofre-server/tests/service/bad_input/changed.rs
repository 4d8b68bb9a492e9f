//! Requests of the Azure CLI that went wrong on the way: fields, paths, filters and methods changed at random, the same
//! ones every time.

use serde_json::{Map, Value, json};

use crate::support::{
    HOST, SUBSCRIPTION, TENANT, World,
    request::escaped,
    sockets::{Response, Served},
};

/// What the client asked; `tests/fixtures/requests_of_az.py` makes it.
const REQUESTS: &str = include_str!("../../fixtures/requests_of_az.jsonl");
const CHANGED: usize = 20_000;
const CHANGED_OVER_SOCKETS: usize = 300;
/// Requests that meet the same service, which is what the ones before made of it.
const TOGETHER: usize = 4000;

/// Numbers that look random.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap()
    }

    fn of<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len())]
    }
}

#[derive(Clone, Debug)]
struct Asked {
    method: String,
    path: String,
    query: String,
    body: String,
}

/// The requests, with the ids of a service in place of their placeholders.
fn requests(job: &str, point: &str) -> Vec<Asked> {
    let filled = REQUESTS
        .replace("{subscription}", SUBSCRIPTION)
        .replace("{tenant}", TENANT)
        .replace("{job}", job)
        .replace("{point}", point)
        .replace("{guid}", "99999999-9999-4999-8999-999999999999");
    assert!(!filled.contains("{s") && !filled.contains("{g"), "a placeholder was left");
    let text = |request: &Value, name: &str| request[name].as_str().unwrap().to_owned();
    let asked = |line: &str| {
        let request: Value = serde_json::from_str(line).unwrap();
        let body = if request["body"].is_null() { String::new() } else { request["body"].to_string() };
        Asked {
            method: text(&request, "method"),
            path: text(&request, "path"),
            query: text(&request, "query"),
            body,
        }
    };
    filled.lines().map(asked).collect()
}

const METHODS: &[&str] = &["GET", "PUT", "POST", "PATCH", "DELETE", "HEAD"];
const SEGMENTS: &[&str] = &[
    "",
    ".",
    "..",
    "%2e%2e",
    "%2F",
    "%00",
    "%ff",
    "%C3%28",
    "%F0%9F%92%BE",
    "%E2%80%AE",
    "a%20b",
    "'",
    "\"",
    ";;;",
    "vm;iaasvmcontainerv2;default",
    "latest",
    "-1",
    "0",
    "99999999999999999999",
    "providers",
    "subscriptions",
    "backupJobs",
    "recoveryPoints",
    "{}",
    "*",
    "?",
    "#",
    "%25252e",
    "null",
    "CON",
    "bv",
    "web",
];
const VALUES: &[&str] = &[
    "",
    "null",
    "'",
    "''",
    "eq",
    "%27",
    "2026-13-45 25:61:61 AM",
    "0000-00-00T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "-9999-01-01T00:00:00Z",
    "2026-02-30 12:00:00 AM",
    "99999999999999999999999999",
    "-1",
    "1e400",
    "NaN",
    "AzureIaasVM",
    "\u{0}",
    "\u{202e}txt",
    "\u{1f4be}",
    "e\u{301}\u{301}",
    "\u{feff}",
    "../../etc/passwd",
    "%s%n",
    "/subscriptions",
    "/subscriptions/x/resourceGroups",
    "https://kv1.vault.localhost",
    "file:///etc/passwd",
    "[]",
];

fn odd_text(chance: &mut Chance) -> String {
    match chance.below(8) {
        0 => "x".repeat(1 << chance.below(15)),
        1 => "ß/".repeat(1 << chance.below(10)),
        2 => format!("{}{}", chance.of(VALUES), chance.of(VALUES)),
        _ => chance.of(VALUES).to_owned(),
    }
}

fn odd_value(chance: &mut Chance) -> Value {
    match chance.below(12) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(u64::MAX),
        3 => json!(i64::MIN),
        4 => json!(1e308),
        5 => json!(-0.5),
        6 => json!([]),
        7 => json!({}),
        8 => json!([[[null]], {"a": [1]}]),
        9 => (0..100).fold(json!(1), |inner, _| json!({"properties": [inner]})),
        _ => json!(odd_text(chance)),
    }
}

/// All places in a value, as pointers.
fn places(value: &Value, here: &str, found: &mut Vec<String>) {
    let mut inside = |name: &str, inner: &Value| {
        let place = format!("{here}/{}", name.replace('~', "~0").replace('/', "~1"));
        found.push(place.clone());
        places(inner, &place, found);
    };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, inner)| inside(name, inner)),
        Value::Array(all) => all.iter().enumerate().for_each(|(at, inner)| inside(&at.to_string(), inner)),
        _ => {}
    }
}

fn change_field(body: &mut Value, chance: &mut Chance) {
    let mut all = Vec::new();
    places(body, "", &mut all);
    let Some(place) = all.get(chance.below(all.len())).cloned() else {
        *body = odd_value(chance);
        return;
    };
    let (outside, name) = place.rsplit_once('/').unwrap();
    let kind = chance.below(5);
    if let (0 | 1, Some(Value::Object(fields))) = (kind, body.pointer_mut(outside)) {
        let value = fields.remove(name);
        if kind == 1 {
            // under a name that is nearly the same
            fields.insert(name.to_uppercase(), value.unwrap_or_default());
        }
    } else if let (2, Some(Value::Array(all))) = (kind, body.pointer_mut(&place)) {
        let first = all.first().cloned().unwrap_or_default();
        all.extend(std::iter::repeat_n(first, 1 << chance.below(9)));
    } else if let Some(there) = body.pointer_mut(&place) {
        *there = odd_value(chance);
    }
}

fn change_body(text: &str, chance: &mut Chance) -> String {
    let mut body: Value = serde_json::from_str(text).unwrap_or_else(|_| Value::Object(Map::new()));
    match chance.below(12) {
        0 => text[..text.floor_char_boundary(chance.below(text.len()))].to_owned(),
        1 => "[".repeat(1 << chance.below(16)),
        2 => text.replace(':', ": 1e999, \"twice\":"),
        // each field twice
        3 => text.replacen('{', "{\"properties\": {}, \"properties\": 1, \"location\": [], ", 1),
        4 => odd_text(chance),
        _ => {
            for _ in 0..=chance.below(3) {
                change_field(&mut body, chance);
            }
            body.to_string()
        }
    }
}

fn change_path(path: &str, chance: &mut Chance) -> String {
    let mut segments: Vec<&str> = path.split('/').skip(1).collect();
    let at = chance.below(segments.len());
    match chance.below(6) {
        0 => drop(segments.remove(at)),
        1 => segments.insert(at, segments[at]),
        2 => segments.truncate(at + 1),
        3 => segments.insert(at, chance.of(SEGMENTS)),
        _ => segments[at] = chance.of(SEGMENTS),
    }
    format!("/{}", segments.join("/"))
}

fn change_query(query: &str, chance: &mut Chance) -> String {
    let mut pairs: Vec<String> = query.split('&').map(str::to_owned).collect();
    let at = chance.below(pairs.len());
    let text = odd_text(chance);
    let odd = if chance.below(2) == 0 { escaped(&text) } else { text };
    let name =
        chance.of(&["$filter", "$top", "$skiptoken", "$expand", "api-version", "maxresults", "$orderby"]);
    match chance.below(7) {
        0 => drop(pairs.remove(at)),
        1 => pairs.push(pairs[at].clone()),
        2 => pairs.push(format!("{name}={odd}")),
        3 => {
            let field = chance.of(&[
                "startTime",
                "endTime",
                "status",
                "operation",
                "jobId",
                "startDate",
                "friendlyName",
            ]);
            pairs.push(format!("$filter={}", escaped(&format!("{field} eq '{odd}'"))));
        }
        4 => pairs[at] = pairs[at].replace("eq", chance.of(&["ne", "", "eq eq", "and"])),
        5 => {
            let end = pairs[at].floor_char_boundary(chance.below(pairs[at].len()));
            pairs[at].truncate(end);
        }
        _ => pairs.push(format!(
            "$skiptoken={}",
            chance.of(&["", "AAAA", "MV8", "XzE", "LTFfLTE", "_", "%00", "=="])
        )),
    }
    pairs.join("&")
}

fn changed(asked: &Asked, chance: &mut Chance) -> Asked {
    let mut asked = asked.clone();
    for _ in 0..=chance.below(2) {
        match chance.below(8) {
            0 => chance.of(METHODS).clone_into(&mut asked.method),
            1 | 2 => asked.path = change_path(&asked.path, chance),
            3 => asked.query = change_query(&asked.query, chance),
            _ if asked.body.is_empty() => asked.query = change_query(&asked.query, chance),
            _ => asked.body = change_body(&asked.body, chance),
        }
    }
    asked
}

/// A service with a vault, an item, a point, jobs and a key vault; and what to ask of it.
fn rich() -> (World, String, Vec<Asked>) {
    let world = World::new();
    world.open_vault(&json!({}));
    let token = world.backup_vault();
    let item = world.protect(&token, "web");
    let point = world.back_up(&item);
    let jobs = world.recovery.jobs(None, 10).unwrap();
    (world, token, requests(&jobs[0].id, &point))
}

#[test]
fn changed_requests_of_a_client_are_refused_or_done() {
    let mut chance = Chance(17);
    let mut outcomes = std::collections::BTreeMap::<u16, usize>::new();
    for _ in 0..CHANGED / TOGETHER {
        let (world, token, requests) = rich();
        for _ in 0..TOGETHER {
            let asked = changed(&requests[chance.below(requests.len())], &mut chance);
            let target = format!("{}?{}", asked.path, asked.query);
            // What the answer must be, whatever was asked, is checked as it is read.
            let reply = world.arm(&asked.method, &target).token(&token).host(HOST).body(asked.body).send();
            *outcomes.entry(reply.status).or_default() += 1;
        }
    }
    // That they got somewhere: something was done, refused, and not found.
    for status in [200, 202, 400, 404, 405, 409] {
        assert!(outcomes.get(&status).is_some_and(|count| *count >= 20), "{status} in {outcomes:?}");
    }
}

/// A path as HTTP takes it.
fn on_the_wire(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b if b.is_ascii_graphic() && !b"\"<>\\^`{|}#".contains(&b) => char::from(b).to_string(),
        b => format!("%{b:02X}"),
    };
    text.bytes().map(byte).collect()
}

#[test]
fn changed_requests_over_sockets() {
    let served = Served::new();
    let form = format!(
        "grant_type=client_credentials&client_id={}&client_secret={}&scope=https://management.cofre.local//.default",
        served.operator.application_id, served.operator.secret
    );
    let ask = |token: &str, asked: &Asked| -> Response {
        let target = on_the_wire(&format!("{}?{}", asked.path, asked.query));
        let request = format!(
            "{} {target} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}",
            asked.method,
            served.host(),
            asked.body.len(),
            asked.body
        );
        served.send(request.as_bytes())
    };
    let login = Asked {
        method: "POST".into(),
        path: crate::support::TOKEN_PATH.into(),
        query: String::new(),
        body: form,
    };
    let token = ask("", &login).json()["access_token"].as_str().unwrap().to_owned();
    let requests = requests("99999999-9999-4999-8999-999999999999", "1");
    for asked in requests.iter().filter(|asked| asked.method == "PUT") {
        let status = ask(&token, asked).status;
        assert!(status < 500, "{status}: {asked:?}");
    }
    let mut chance = Chance(23);
    for _ in 0..CHANGED_OVER_SOCKETS {
        let asked = changed(&requests[chance.below(requests.len())], &mut chance);
        // An answer to HEAD has no body, and its length is that of the one to GET.
        if asked.method == "HEAD" {
            continue;
        }
        let response = ask(&token, &asked);
        assert!(response.status < 500, "{asked:?}: {response:?}");
        if response.status >= 400 && !response.body.is_empty() {
            let error = &response.json()["error"];
            assert!(error["code"].is_string() || error.is_string(), "{asked:?}: {response:?}");
        }
    }
}
