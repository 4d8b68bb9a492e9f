//! Load on a real `cofre serve`: what a request costs the server, beside what it costs to do nothing and beside the
//! bare operation.
//!
//!     cargo build --release -p cofre && cargo run --release -p cofre-server --example load
//!
//! A home is made, the server started, and 64 connections send one request after the other: `/healthz`, reading a
//! secret, unwrapping with an RSA-2048 key. Between them the same RSA operation runs in a plain loop on all cores, in
//! this process. The server's CPU time comes from /proc. Rounds alternate; the medians are printed.

#![allow(clippy::unwrap_used, reason = "a developer's measurement: whatever goes wrong ends it")]
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "figures for people")]

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use base64ct::{Base64UrlUnpadded, Encoding as _};
use cofre_keyvault::{PrivateKey, SecretBytes, WrapAlgorithm};
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, body::Bytes, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use serde_json::{Value, json};
use zeroize::Zeroizing;

const CLIENTS: usize = 64;
const WARM: Duration = Duration::from_secs(2);

struct Server {
    process: Child,
    port: u16,
    folder: tempfile::TempDir,
    program: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    fn start(program: &Path) -> (Self, Value) {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        let out = Command::new(program).args(["init", "--json", "--home"]).arg(&home).output().unwrap();
        let facts: Value = serde_json::from_slice(&out.stdout).unwrap();
        let config = home.join("config.json");
        let mut settings: Value = serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
        settings["server"]["requestsPerSecond"] = json!(0);
        fs::write(&config, settings.to_string()).unwrap();
        let mut process = Command::new(program)
            .args(["serve", "--json", "--no-proxy", "--log", "failures", "--listen", "127.0.0.1:0", "--home"])
            .arg(&home)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        let port = ready["listen"].as_str().unwrap().rsplit(':').next().unwrap().parse().unwrap();
        (Self { process, port, folder, program: program.to_owned() }, facts)
    }

    fn cofre(&self, line: &str) -> Value {
        let home = self.folder.path().join("home");
        let mut command = Command::new(&self.program);
        let out = command.args(line.split(' ')).arg("--json").arg("--home").arg(home).output().unwrap();
        assert!(out.status.success(), "{line}: {}", String::from_utf8_lossy(&out.stdout));
        serde_json::from_slice(&out.stdout).unwrap()
    }

    /// CPU time of the process so far.
    fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 10)
    }
}

#[derive(Clone)]
struct Ask {
    name: &'static str,
    method: &'static str,
    host: String,
    path: String,
    token: String,
    body: String,
}

impl Ask {
    fn request(&self) -> Request<Full<Bytes>> {
        Request::builder()
            .method(self.method)
            .uri(&self.path)
            .header("host", &self.host)
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(self.body.clone())))
            .unwrap()
    }
}

type Connection = SendRequest<Full<Bytes>>;

async fn connect(port: u16, host: &str, tls: &Arc<rustls::ClientConfig>) -> Connection {
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let name = ServerName::try_from(host.split(':').next().unwrap().to_owned()).unwrap();
    let stream = tokio_rustls::TlsConnector::from(tls.clone()).connect(name, stream).await.unwrap();
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn send(connection: &mut Connection, ask: &Ask) -> (u16, Bytes) {
    connection.ready().await.unwrap();
    let response = connection.send_request(ask.request()).await.unwrap();
    let status = response.status().as_u16();
    (status, response.into_body().collect().await.unwrap().to_bytes())
}

#[derive(Clone, Copy, Debug, Default)]
struct Figure {
    per_second: f64,
    median: f64,
    p99: f64,
    cpu: f64,
}

/// Requests of all clients for a while: rate, latencies in milliseconds, the server's CPU microseconds a request.
async fn measure(server: &Server, tls: &Arc<rustls::ClientConfig>, ask: &Ask, time: Duration) -> Figure {
    let (stop, counts) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let latencies = Arc::new(Mutex::new(Vec::new()));
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut connection = connect(server.port, &ask.host, tls).await;
        let (ask, stop, counts, latencies) = (ask.clone(), stop.clone(), counts.clone(), latencies.clone());
        clients.push(tokio::spawn(async move {
            let mut own = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let begun = Instant::now();
                let (status, body) = send(&mut connection, &ask).await;
                assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
                if counts.load(Ordering::Relaxed) {
                    own.push(begun.elapsed());
                }
            }
            latencies.lock().unwrap().extend(own);
        }));
    }
    tokio::time::sleep(WARM).await;
    let (cpu, begun) = (server.cpu(), Instant::now());
    counts.store(true, Ordering::Relaxed);
    tokio::time::sleep(time).await;
    counts.store(false, Ordering::Relaxed);
    let (cpu, took) = (server.cpu() - cpu, begun.elapsed());
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    let mut latencies = std::mem::take(&mut *latencies.lock().unwrap());
    latencies.sort_unstable();
    let at = |share: f64| latencies[(latencies.len() as f64 * share) as usize].as_secs_f64() * 1e3;
    let count = latencies.len() as f64;
    Figure {
        per_second: count / took.as_secs_f64(),
        median: at(0.5),
        p99: at(0.99),
        cpu: cpu.as_secs_f64() * 1e6 / count,
    }
}

/// The bare operation on all cores: operations a second, and microseconds of one core for each.
fn bare(key: &PrivateKey, wrapped: &[u8], time: Duration) -> Figure {
    let cores = std::thread::available_parallelism().unwrap().get();
    let own = || -> Duration {
        let stat = fs::read_to_string("/proc/self/stat").unwrap();
        let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 10)
    };
    let (cpu, begun) = (own(), Instant::now());
    let count: usize = std::thread::scope(|scope| {
        let loops: Vec<_> = (0..cores)
            .map(|_| {
                scope.spawn(|| {
                    let mut count = 0;
                    while begun.elapsed() < time {
                        key.unwrap(WrapAlgorithm::RsaOaep256, wrapped).unwrap();
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        loops.into_iter().map(|one| one.join().unwrap()).sum()
    });
    let (cpu, took) = (own() - cpu, begun.elapsed());
    let per_second = count as f64 / took.as_secs_f64();
    Figure { per_second, cpu: cpu.as_secs_f64() * 1e6 / count as f64, ..Figure::default() }
}

fn median(figures: &[Figure]) -> Figure {
    let of = |part: fn(&Figure) -> f64| {
        let mut all: Vec<f64> = figures.iter().map(part).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    Figure {
        per_second: of(|f| f.per_second),
        median: of(|f| f.median),
        p99: of(|f| f.p99),
        cpu: of(|f| f.cpu),
    }
}

fn main() {
    let argument = |name: &str, default: &str| {
        let mut all = env::args().skip_while(|argument| argument != name);
        all.nth(1).unwrap_or_else(|| default.to_owned())
    };
    let program = PathBuf::from(argument("--program", "target/release/cofre")).canonicalize().unwrap();
    let time = Duration::from_secs(argument("--seconds", "8").parse().unwrap());
    let rounds: usize = argument("--rounds", "3").parse().unwrap();
    let (server, facts) = Server::start(&program);
    let principal = server.cofre("principal create --name load");
    server.cofre("keyvault create --name kv1 --enabled-for-disk-encryption");
    let object = principal["objectId"].as_str().unwrap();
    server.cofre(&format!(
        "keyvault set-policy --name kv1 --object-id {object} --key-permissions get wrapKey unwrapKey import --secret-permissions get set"
    ));
    let authority = fs::read(facts["caFile"].as_str().unwrap()).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&authority).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = Arc::new(
        rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth(),
    );

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let vault = format!("kv1.vault.localhost:{}", server.port);
        let main = format!("localhost:{}", server.port);
        let mut connection = connect(server.port, &main, &tls).await;
        let form = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}&scope=https://vault.localhost:{}/.default",
            principal["applicationId"].as_str().unwrap(),
            principal["clientSecret"].as_str().unwrap(),
            server.port
        );
        let mut ask = Ask {
            name: "login",
            method: "POST",
            host: main.clone(),
            path: "/adfs/oauth2/token".to_owned(),
            token: String::new(),
            body: form,
        };
        let (_, body) = send(&mut connection, &ask).await;
        let answer: Value = serde_json::from_slice(&body).unwrap();
        ask.token = answer["access_token"].as_str().unwrap().to_owned();

        // A key that both sides have, so that the same operation is measured.
        let pkcs8 = aws_lc_rs::rsa::PrivateDecryptingKey::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
        let pkcs8 = aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pkcs8).unwrap();
        let private = PrivateKey::from_pkcs8(&SecretBytes::new(Zeroizing::new(pkcs8.as_ref().to_vec()))).unwrap();
        let pem = server.folder.path().join("key.pem");
        let text = base64ct::Base64::encode_string(pkcs8.as_ref());
        fs::write(&pem, format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")).unwrap();
        let parts = Command::new("openssl").args(["rsa", "-noout", "-text", "-in"]).arg(&pem).output().unwrap();
        let key = json!({"key": jwk(&String::from_utf8(parts.stdout).unwrap())});
        let mut connection = connect(server.port, &vault, &tls).await;
        let at_vault = |name, method, path: &str, body: Value| Ask {
            name,
            method,
            host: vault.clone(),
            path: format!("{path}?api-version=7.4"),
            token: ask.token.clone(),
            body: if body.is_null() { String::new() } else { body.to_string() },
        };
        let (status, body) = send(&mut connection, &at_vault("import", "PUT", "/keys/kek", key)).await;
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
        let secret = json!({"value": "0123456789abcdef".repeat(16), "contentType": "Wrapped BEK"});
        let (status, _) = send(&mut connection, &at_vault("set", "PUT", "/secrets/bek", secret)).await;
        assert_eq!(status, 200);
        let wrapped = private.wrap(WrapAlgorithm::RsaOaep256, &[7; 32]).unwrap();
        let value = json!({"alg": "RSA-OAEP-256", "value": Base64UrlUnpadded::encode_string(&wrapped)});

        let asks = [
            Ask { name: "GET /healthz", method: "GET", host: main, path: "/healthz".to_owned(), body: String::new(), ..ask.clone() },
            at_vault("get secret", "GET", "/secrets/bek", Value::Null),
            at_vault("unwrapKey RSA-2048", "POST", "/keys/kek/unwrapkey", value),
        ];
        let mut figures = vec![Vec::new(); asks.len() + 1];
        for round in 0..rounds {
            for (ask, figures) in asks.iter().zip(&mut figures) {
                figures.push(measure(&server, &tls, ask, time).await);
            }
            figures[asks.len()].push(bare(&private, &wrapped, time));
            eprintln!("round {} of {rounds}", round + 1);
        }
        let figures: Vec<Figure> = figures.iter().map(|figures| median(figures)).collect();
        println!("{:20} {:>10} {:>9} {:>9} {:>16}", "", "per second", "p50 ms", "p99 ms", "server CPU us");
        for (ask, f) in asks.iter().zip(&figures) {
            println!("{:20} {:>10.0} {:>9.2} {:>9.2} {:>16.1}", ask.name, f.per_second, f.median, f.p99, f.cpu);
        }
        let bare = figures[asks.len()];
        println!("{:20} {:>10.0} {:>9} {:>9} {:>16.1}", "the bare operation", bare.per_second, "", "", bare.cpu);
        println!();
        println!("get secret : healthz        {:.2}", figures[1].cpu / figures[0].cpu);
        println!("unwrapKey : bare operation  {:.2}", figures[2].cpu / bare.cpu);
    });
}

/// The parts of a key from what `openssl rsa -text` prints.
fn jwk(text: &str) -> Value {
    let names = [
        ("modulus:", "n"),
        ("privateExponent:", "d"),
        ("prime1:", "p"),
        ("prime2:", "q"),
        ("exponent1:", "dp"),
        ("exponent2:", "dq"),
        ("coefficient:", "qi"),
    ];
    let mut key = json!({"kty": "RSA", "e": "AQAB"});
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let Some((_, name)) = names.iter().find(|(label, _)| line.trim() == *label) else { continue };
        let mut hex = String::new();
        while let Some(more) = lines.next_if(|line| line.starts_with(' ')) {
            hex.push_str(&more.trim().replace(':', ""));
        }
        let bytes: Vec<u8> =
            (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect();
        let start = bytes.iter().position(|byte| *byte != 0).unwrap_or_default();
        key[*name] = json!(Base64UrlUnpadded::encode_string(&bytes[start..]));
    }
    key
}
