//! A CONNECT proxy (RFC 9110, 9.3.6) to this server alone: key vaults have names such as `kv1.vault.localhost`, which a
//! plain Debian does not resolve. Clients that are told of the proxy find them without DNS and without root.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

use crate::addresses::Addresses;

/// Longest head of a request, in bytes.
const LONGEST_HEAD: usize = 8 << 10;
/// How long a head may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// Takes connections from this host until the process ends.
pub(crate) async fn serve(
    listener: TcpListener,
    server: SocketAddr,
    addresses: Addresses,
    places: Arc<Semaphore>,
) {
    let addresses = Arc::new(addresses);
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        if !peer.ip().is_loopback() {
            continue;
        }
        let addresses = addresses.clone();
        tokio::spawn(async move {
            // How a tunnel ends is the business of its ends.
            let _ = tunnel(stream, server, &addresses).await;
            drop(place);
        });
    }
}

async fn tunnel(mut client: TcpStream, server: SocketAddr, addresses: &Addresses) -> io::Result<()> {
    let head = tokio::time::timeout(PATIENCE, head(&mut client)).await;
    let status = match &head {
        Ok(Ok((head, _))) => judge(head, addresses),
        _ => Err("400 Bad Request"),
    };
    if let Err(status) = status {
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        return client.write_all(answer.as_bytes()).await;
    }
    let early = head.ok().and_then(Result::ok).map(|(_, early)| early).unwrap_or_default();
    let mut to = server;
    if to.ip().is_unspecified() {
        to.set_ip(if to.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
    }
    let mut upstream = TcpStream::connect(to).await?;
    // Clients send head and body of a request apart. Held back until the head is acknowledged, a body comes 40 ms late.
    client.set_nodelay(true)?;
    upstream.set_nodelay(true)?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    upstream.write_all(&early).await?;
    copy_bidirectional(&mut client, &mut upstream).await?;
    Ok(())
}

/// The head of the request, and what came behind it already.
async fn head(client: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::with_capacity(1024);
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let early = bytes.split_off(end + 4);
            let head = String::from_utf8(bytes).map_err(|_| io::ErrorKind::InvalidData)?;
            return Ok((head, early));
        }
        if bytes.len() >= LONGEST_HEAD || client.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
}

/// Whether the request is one for this server.
fn judge(head: &str, addresses: &Addresses) -> Result<(), &'static str> {
    let mut words = head.lines().next().unwrap_or_default().split(' ');
    let (method, target, version) = (words.next(), words.next(), words.next());
    if version.is_none_or(|version| !version.starts_with("HTTP/1.")) || words.next().is_some() {
        return Err("400 Bad Request");
    }
    if method != Some("CONNECT") {
        return Err("405 Method Not Allowed");
    }
    let (host, port) = target.and_then(|target| target.rsplit_once(':')).ok_or("400 Bad Request")?;
    let host = host.to_ascii_lowercase();
    let ours = host == addresses.host
        || matches!(host.as_str(), "localhost" | "127.0.0.1" | "[::1]")
        || addresses.key_vault_of(&host).is_some();
    let to_server = port.parse() == Ok(addresses.port);
    if ours && to_server { Ok(()) } else { Err("403 Forbidden") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_server_is_reached() {
        let addresses =
            Addresses { host: "localhost".into(), port: 8443, key_vault_suffix: "vault.localhost".into() };
        let judge = |line: &str| judge(&format!("{line}\r\nHost: x\r\n\r\n"), &addresses);
        for good in
            ["kv1.vault.localhost:8443", "KV1.Vault.Localhost:8443", "localhost:8443", "127.0.0.1:8443"]
        {
            assert_eq!(judge(&format!("CONNECT {good} HTTP/1.1")), Ok(()), "{good}");
        }
        for bad in
            ["localhost:22", "example.com:8443", "kv1.vault.localhost:443", "vault.localhost.evil:8443"]
        {
            assert_eq!(judge(&format!("CONNECT {bad} HTTP/1.1")), Err("403 Forbidden"), "{bad}");
        }
        assert_eq!(judge("GET http://localhost:8443/ HTTP/1.1"), Err("405 Method Not Allowed"));
        for bad in
            ["", "CONNECT", "CONNECT localhost:8443", "CONNECT localhost HTTP/1.1", "CONNECT a:1 HTTP/1.1 x"]
        {
            assert_eq!(judge(bad), Err("400 Bad Request"), "{bad}");
        }
    }
}
