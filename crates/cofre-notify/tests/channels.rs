//! Messages over real sockets: what the other side gets, and what is said when it does not take it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    thread::{self, JoinHandle},
};

use cofre_notify::{
    Channel as _, Kind, Mail, MailSettings, MailTls, Notification, NotificationSettings, Webhook,
    WebhookSettings,
};

fn notification() -> Notification {
    Notification {
        id: "id-1".into(),
        kind: Kind::BackupFailed,
        time: "2026-03-01T00:00:00Z".parse().unwrap(),
        summary: "The backup of web failed\r\nBcc: everybody@example.org".into(),
        text: "The image is gone.".into(),
        resource_id: Some("/subscriptions/s/items/web".into()),
        job_id: Some("job-1".into()),
        code: Some("ImageUnavailable".into()),
    }
}

/// Serves one connection.
fn serve<T: Send + 'static>(
    talk: impl FnOnce(BufReader<TcpStream>) -> T + Send + 'static,
) -> (u16, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (port, thread::spawn(move || talk(BufReader::new(listener.accept().unwrap().0))))
}

fn secret(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

/// An HTTP server that answers one request with a status: the head in lower case, and the body.
fn http(status: u16) -> (u16, JoinHandle<(String, Vec<u8>)>) {
    serve(move |mut stream| {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(stream.read_line(&mut head).unwrap() > 0);
        }
        let head_lower = head.to_lowercase();
        let length = head_lower.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.unwrap().parse().unwrap()];
        stream.read_exact(&mut body).unwrap();
        let answer =
            format!("HTTP/1.1 {status} X\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n");
        stream.get_mut().write_all(answer.as_bytes()).unwrap();
        (head_lower, body)
    })
}

fn webhook(port: u16, secret_file: Option<PathBuf>) -> Webhook {
    let header = secret_file.is_some().then(|| "X-Token".to_owned());
    let url = format!("http://127.0.0.1:{port}/hook");
    Webhook::new(WebhookSettings { name: "ops".into(), url, header, secret_file }).unwrap()
}

#[test]
fn a_webhook_gets_json_and_its_secret() {
    let (_folder, file) = secret("hunter2\n");
    let (port, served) = http(204);
    webhook(port, Some(file)).send(&notification()).unwrap();
    let (head, body) = served.join().unwrap();
    assert!(head.starts_with("post /hook http/1.1\r\n"), "{head}");
    assert!(
        head.contains("\r\nx-token: hunter2\r\n") && head.contains("content-type: application/json"),
        "{head}"
    );
    let got: Notification = serde_json::from_slice(&body).unwrap();
    assert_eq!(got, notification());
    let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&json["kind"], &json["jobId"]), (&"BackupFailed".into(), &"job-1".into()));
}

#[test]
fn whatever_is_no_success_is_an_error_without_the_secret() {
    let (_folder, file) = secret("hunter2");
    for status in [302, 401, 500] {
        let (port, served) = http(status);
        let hook = webhook(port, Some(file.clone()));
        let error = hook.send(&notification()).unwrap_err().in_full();
        assert!(error.contains(&status.to_string()) && !error.contains("hunter2"), "{error}");
        assert!(!format!("{hook:?}").contains("hunter2"));
        served.join().unwrap();
    }
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    webhook(gone, None).send(&notification()).unwrap_err();
    let missing = webhook(gone, Some("/nowhere/secret".into())).send(&notification()).unwrap_err();
    assert!(missing.in_full().contains("/nowhere/secret"));
}

#[test]
fn settings_that_would_show_secrets_are_refused() {
    let hook =
        |url: &str| WebhookSettings { name: "n".into(), url: url.into(), header: None, secret_file: None };
    for bad in ["http://example.org/", "http://10.0.0.1/", "ftp://localhost/", "localhost", "https://", ""] {
        Webhook::new(hook(bad)).unwrap_err();
    }
    for good in ["https://example.org/x", "http://localhost:1/", "http://127.0.0.2/", "http://[::1]:1/"] {
        Webhook::new(hook(good)).unwrap();
    }
    Webhook::new(WebhookSettings { header: Some("X-A".into()), ..hook("https://a/") }).unwrap_err();
    let mail = mail(25, None);
    Mail::new(MailSettings { host: "mail.example.org".into(), ..mail.clone() }).unwrap_err();
    Mail::new(MailSettings { to: Vec::new(), ..mail.clone() }).unwrap_err();
    Mail::new(MailSettings { from: "nobody".into(), ..mail.clone() }).unwrap_err();
    Mail::new(MailSettings { user: Some("u".into()), ..mail.clone() }).unwrap_err();
    let twice = NotificationSettings {
        webhooks: vec![hook("https://a/"), hook("https://b/")],
        ..NotificationSettings::default()
    };
    assert!(twice.channels().is_err(), "two of one name");
}

fn mail(port: u16, password_file: Option<PathBuf>) -> MailSettings {
    MailSettings {
        name: "ops".into(),
        host: "127.0.0.1".into(),
        port,
        tls: MailTls::None,
        from: "cofre <cofre@example.org>".into(),
        to: vec!["ops@example.org".into(), "boss@example.org".into()],
        user: password_file.is_some().then(|| "cofre".to_owned()),
        password_file,
    }
}

/// A mail server for one conversation: what the client said, line by line. `refuse` is answered with 550.
fn smtp(refuse: &'static str) -> (u16, JoinHandle<Vec<String>>) {
    serve(move |mut stream| {
        let mut said = Vec::new();
        let (mut line, mut in_data) = (String::new(), false);
        stream.get_mut().write_all(b"220 test ESMTP\r\n").unwrap();
        loop {
            line.clear();
            if stream.read_line(&mut line).unwrap_or(0) == 0 {
                return said;
            }
            let text = line.trim_end_matches("\r\n").to_owned();
            said.push(text.clone());
            let word = text.split([' ', ':']).next().unwrap().to_uppercase();
            let answer = match word.as_str() {
                _ if in_data && text != "." => continue,
                _ if in_data => {
                    in_data = false;
                    "250 taken"
                }
                word if word == refuse => "550 no",
                "EHLO" => "250-test\r\n250 AUTH PLAIN",
                "AUTH" => "235 welcome",
                "DATA" => {
                    in_data = true;
                    "354 go on"
                }
                "QUIT" => "221 bye",
                _ => "250 ok",
            };
            stream.get_mut().write_all(format!("{answer}\r\n").as_bytes()).unwrap();
        }
    })
}

#[test]
fn mail_is_a_conversation_with_a_server() {
    let (_folder, file) = secret("hunter2\n");
    let (port, served) = smtp("");
    Mail::new(mail(port, Some(file))).unwrap().send(&notification()).unwrap();
    let said = served.join().unwrap();
    // \0cofre\0hunter2
    assert!(said.contains(&"AUTH PLAIN AGNvZnJlAGh1bnRlcjI=".to_owned()), "{said:?}");
    for to in ["RCPT TO:<ops@example.org>", "RCPT TO:<boss@example.org>"] {
        assert!(said.iter().any(|line| line == to), "{said:?}");
    }
    let data = said.iter().skip_while(|line| *line != "DATA").cloned().collect::<Vec<_>>();
    let end = data.iter().position(String::is_empty).unwrap();
    assert!(
        !data[..end].iter().any(|line| line.starts_with("Bcc")),
        "a line break makes no header: {data:?}"
    );
    assert!(
        data[..end].iter().any(|line| line.starts_with("Subject: cofre: The backup of web failed")),
        "{data:?}"
    );
    assert!(data[end..].iter().any(|line| line.contains("The image is gone.")), "{data:?}");
    assert!(data[end..].iter().any(|line| line == "job: job-1"), "{data:?}");
}

#[test]
fn a_server_that_refuses_is_an_error_without_the_password() {
    let (_folder, file) = secret("hunter2");
    for word in ["AUTH", "MAIL", "RCPT", "DATA"] {
        let (port, served) = smtp(word);
        let error = Mail::new(mail(port, Some(file.clone()))).unwrap().send(&notification()).unwrap_err();
        assert!(!format!("{error:?} {}", error.in_full()).contains("hunter2"), "{error:?}");
        served.join().unwrap();
    }
    // a server that has no STARTTLS gets neither password nor mail
    let (port, served) = smtp("");
    let settings = MailSettings { tls: MailTls::StartTls, ..mail(port, Some(file)) };
    Mail::new(settings).unwrap().send(&notification()).unwrap_err();
    let said = served.join().unwrap();
    assert!(!said.iter().any(|line| line.starts_with("AUTH") || line.starts_with("MAIL")), "{said:?}");
}
