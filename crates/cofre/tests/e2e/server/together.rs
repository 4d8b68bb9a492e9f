//! The service and commands on the same home.

use super::*;

#[test]
fn what_a_command_changes_counts_for_the_service_at_once() {
    let mut service = Service::new();
    service.start(None);
    let made = service.cofre("principal create --name guest");
    let text = |name: &str| made[name].as_str().unwrap();
    let audience = format!("https://vault.localhost:{}", service.port);
    let token = service.token_of(text("applicationId"), text("clientSecret"), &audience).unwrap();
    let (guest, operator) = (service.client(&token), service.client(&service.token()));
    assert_eq!(operator.set("s", "one").unwrap().status, 200);

    let refused = guest.get("s", "");
    assert_eq!(refused.status, 403, "{refused:?}");
    assert!(refused.body["error"]["message"].as_str().unwrap().contains("secrets/get"), "{refused:?}");
    let policy = format!("keyvault set-policy --name kv1 --object-id {}", text("objectId"));
    service.cofre(&format!("{policy} --secret-permissions get"));
    assert_eq!(guest.get("s", "").body["value"], "one", "granted by a command");
    service.cofre(&format!("keyvault delete-policy --name kv1 --object-id {}", text("objectId")));
    assert_eq!(guest.get("s", "").status, 403, "and taken away");

    let secret = service.cofre("keyvault secret show --vault-name kv1 --name s");
    let id = operator.get("s", "").body["id"].as_str().unwrap().to_owned();
    assert!(id.ends_with(secret["version"].as_str().unwrap()), "{secret}");
    let name = made["name"].as_str().unwrap();
    service.cofre(&format!("principal delete --name {name}"));
    let gone = service.token_of(text("applicationId"), text("clientSecret"), &audience).unwrap_err();
    assert_eq!(gone["error"], "invalid_client");
    assert!(!gone.to_string().contains(text("clientSecret")));

    assert_eq!(service.stop(), Some(0), "{}", service.log());
    let log = service.log();
    for secret in
        [text("clientSecret"), service.facts["clientSecret"].as_str().unwrap(), token.as_str(), "\"one\""]
    {
        assert!(!log.contains(secret), "the log holds a secret: {log}");
    }
    service.cofre("audit verify");
}

#[test]
fn a_port_that_is_taken_is_told() {
    let mut service = Service::new();
    service.start(None);
    let second = service.world.cofre(&["serve", "--home", "home", "--json"]);
    let error = second.refused(1, "StateUnavailable");
    assert!(error["message"].as_str().unwrap().contains("listen on 127.0.0.1:"), "{error}");
    assert_eq!(service.stop(), Some(0));
}
