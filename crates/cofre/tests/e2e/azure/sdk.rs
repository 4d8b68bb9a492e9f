//! The Python SDKs: what they are asked, and what it must give, stands in `e2e/azure/sdk.py` and `backup_sdk.py`.

use super::Service;

#[test]
fn sdk() {
    let service = Service::start();
    let other = service.principal("night-shift");
    let fact = |name: &str| service.fact(name).to_owned();
    let operator = service.operator();
    let args = [
        fact("armEndpoint"),
        fact("subscriptionId"),
        fact("tenantId"),
        fact("location"),
        operator.client,
        operator.secret,
        operator.object,
        other.client,
        other.secret,
        other.object,
    ];
    let run = service.python("sdk.py", &args);
    assert_eq!(run.code, Some(0), "{}\n{}", run.stdout, run.stderr);
    assert!(run.stdout.trim_end().ends_with("all is as it must be"), "{}", run.stdout);
}

#[test]
fn backup_sdk() {
    let service = Service::start();
    std::fs::write(service.path("vm/sdk.raw"), [7; 1 << 20]).unwrap();
    let fact = |name: &str| service.fact(name).to_owned();
    let operator = service.operator();
    let args = [
        fact("armEndpoint"),
        fact("subscriptionId"),
        fact("location"),
        operator.client,
        operator.secret,
        service.image_uri("sdk.raw"),
    ];
    let run = service.python("backup_sdk.py", &args);
    assert_eq!(run.code, Some(0), "{}\n{}", run.stdout, run.stderr);
    assert!(run.stdout.trim_end().ends_with("all is as it must be"), "{}", run.stdout);
}
