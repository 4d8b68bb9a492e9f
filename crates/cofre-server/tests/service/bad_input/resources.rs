//! Vaults, groups and role assignments that cannot be.

use serde_json::{Value, json};

use super::Open;
use crate::support::{SUBSCRIPTION, TENANT, group_id, policy, request::escaped, vault_id};

#[test]
fn vaults_that_cannot_be_made() {
    let open = Open::new();
    let properties = |properties: Value| json!({"location": "local", "properties": properties});
    let with_policy = |policy: Value| properties(json!({"accessPolicies": [policy]}));
    let own = policy(&open.world.operator, &["get"], &[]);
    let with = |field: &str, value: Value| {
        let mut changed = own.clone();
        changed[field] = value;
        with_policy(changed)
    };
    let twice = properties(json!({"accessPolicies": [own, own]}));
    for (what, body) in [
        ("no location", json!({"properties": {}})),
        ("another location", json!({"location": "westeurope", "properties": {}})),
        ("a location that is none", json!({"location": 5, "properties": {}})),
        ("null", json!({"location": "local", "properties": null})),
        ("another tenant", properties(json!({"tenantId": SUBSCRIPTION}))),
        ("no soft delete", properties(json!({"enableSoftDelete": false}))),
        ("6 days", properties(json!({"softDeleteRetentionInDays": 6}))),
        ("91 days", properties(json!({"softDeleteRetentionInDays": 91}))),
        ("0 days", properties(json!({"softDeleteRetentionInDays": 0}))),
        ("-1 days", properties(json!({"softDeleteRetentionInDays": -1}))),
        ("263 days", properties(json!({"softDeleteRetentionInDays": 263}))),
        ("1e99 days", properties(json!({"softDeleteRetentionInDays": 1e99}))),
        ("another sku", properties(json!({"sku": {"name": "free"}}))),
        ("a sku without a name", properties(json!({"sku": {}}))),
        ("network rules", properties(json!({"networkAcls": {"defaultAction": "Deny"}}))),
        (
            "addresses",
            properties(json!({"networkAcls": {"defaultAction": "Allow", "ipRules": [{"value": "1.2.3.4"}]}})),
        ),
        ("private", properties(json!({"publicNetworkAccess": "disabled"}))),
        ("a mode", properties(json!({"createMode": "purge"}))),
        ("a policy of another tenant", with("tenantId", json!(SUBSCRIPTION))),
        ("a policy for nobody", with("objectId", json!(""))),
        ("a policy with a control character", with("objectId", json!("a\u{7}"))),
        ("a policy for an application", with("applicationId", json!(TENANT))),
        ("a permission", with("permissions", json!({"keys": ["fly"]}))),
        ("permissions that are no list", with("permissions", json!({"keys": "all"}))),
        ("two policies for one", twice),
        (
            "51 tags",
            json!({"location": "local", "tags": (0..51).map(|n| (n.to_string(), json!("x"))).collect::<Value>()}),
        ),
        ("a tag that is none", json!({"location": "local", "tags": {"a": {}}})),
    ] {
        let reply = open.arm("PUT", &vault_id("kv2"), body.to_string());
        assert_eq!((reply.status, reply.code()), (400, "InvalidParameter"), "{what}: {reply:?}");
    }
    for name in ["ab", "1abc", "abc-", "a--c", "a_c", "ä-b", &"a".repeat(25), "a.b", "%3Cx%3E"] {
        let body = properties(json!({})).to_string();
        open.arm("PUT", &vault_id(name), body).refused(400, "InvalidParameter");
        assert!(matches!(open.arm("GET", &vault_id(name), "").status, 400 | 404), "{name}");
    }
    open.arm("GET", &vault_id("kv2"), "").refused(404, "ResourceNotFound");
    let (policies, none) =
        (format!("{}/accessPolicies", vault_id("kv1")), json!({"properties": {"accessPolicies": []}}));
    for kind in ["set", "addd", "add%20"] {
        open.arm("PUT", &format!("{policies}/{kind}"), none.to_string()).refused(400, "InvalidParameter");
    }
    // All or nothing: the second policy is bad, and the first one is not set.
    let stranger = open.world.client("stranger");
    let half = json!({"properties": {"accessPolicies": [
        policy(&stranger, &["get"], &[]), policy(&stranger, &["fly"], &[]),
    ]}});
    open.arm("PUT", &format!("{policies}/add"), half.to_string()).refused(400, "InvalidParameter");
    assert!(!open.arm("GET", &vault_id("kv1"), "").expect(200).to_string().contains(&stranger.object_id));
}

#[test]
fn groups_roles_and_filters_that_cannot_be() {
    let open = Open::new();
    for name in ["a.", "a%20b", "a%25", "a%23b", "%F0%9F%98%80", &"a".repeat(91), "%3C%3E", "a%26b", "a'b"] {
        let reply = open.arm("PUT", &group_id(name), r#"{"location": "local"}"#);
        assert_eq!((reply.status, reply.code()), (400, "InvalidParameter"), "{name}: {reply:?}");
    }
    for body in [
        r"{}",
        r#"{"location": ""}"#,
        r#"{"location": "mars"}"#,
        r#"{"location": "local", "tags": {"a": null}}"#,
    ] {
        open.arm("PUT", &group_id("new"), body).refused(400, "InvalidParameter");
    }
    let tags: Value = (0..51).map(|n| (n.to_string(), json!("x"))).collect();
    open.arm("PUT", &group_id("new"), json!({"location": "local", "tags": tags}).to_string())
        .refused(400, "InvalidParameter");
    for wrong in ["", "\"0\"", "x", "\"999999999999999999999\""] {
        let request =
            open.world.arm("PUT", &group_id("default")).token(&open.arm_token).header("if-match", wrong);
        let reply = request.body(r#"{"location": "local"}"#).send();
        assert_eq!(reply.status, 412, "{wrong}: {reply:?}");
    }
    let assignments = |scope: &str| format!("{scope}/providers/Microsoft.Authorization/roleAssignments");
    let reader = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
    let who = &open.world.operator.object_id;
    let body = |role: &str, who: &str| {
        json!({"properties": {"roleDefinitionId": role, "principalId": who}}).to_string()
    };
    let at = |id: &str| format!("{}/{id}", assignments(&group_id("default")));
    for (target, body, status) in [
        (at("x"), body(reader, who), 400),
        (at("%00"), body(reader, who), 400),
        (at(TENANT), body("x", who), 400),
        (at(TENANT), body(TENANT, who), 400),
        (at(TENANT), body("", who), 400),
        (at(TENANT), body(reader, "x"), 400),
        (at(TENANT), body(reader, SUBSCRIPTION), 400),
        (
            at(TENANT),
            json!({"properties": {"roleDefinitionId": reader, "principalId": who, "condition": "x"}})
                .to_string(),
            400,
        ),
        (assignments(&format!("/subscriptions/{TENANT}")) + "/" + TENANT, body(reader, who), 404),
        (assignments("/subscriptions") + "/" + TENANT, body(reader, who), 400),
        (assignments("/tenants") + "/" + TENANT, body(reader, who), 400),
        (assignments(&format!("/subscriptions/{SUBSCRIPTION}/x")) + "/" + TENANT, body(reader, who), 400),
    ] {
        let reply = open.arm("PUT", &target, body);
        assert_eq!(reply.status, status, "{target}: {reply:?}");
    }
    let subscription = format!("/subscriptions/{SUBSCRIPTION}");
    for filter in [
        "x",
        "name eq",
        "name eq x",
        "name eq 'x",
        "name ne 'x'",
        "name eq 'x' or name eq 'y'",
        "eq eq eq",
        "'x' eq name",
        "startswith(name,'x')",
        "name eq 'x' and",
        "secret eq 'x'",
        "name\0eq 'x'",
        "((((",
        "é eq 'é",
    ] {
        let target = format!("{subscription}/resources?$filter={}", escaped(filter));
        let reply = open.arm("GET", &target, "");
        assert_eq!((reply.status, reply.code()), (400, "InvalidParameter"), "{filter}: {reply:?}");
    }
    for top in ["0", "-1", "1001", "x"] {
        let target = format!("{subscription}/providers/Microsoft.KeyVault/vaults?$top={top}");
        open.arm("GET", &target, "").refused(400, "InvalidParameter");
    }
    for (method, target, status) in [
        ("GET", format!("/subscriptions/{TENANT}"), 404),
        ("GET", "/subscriptions/%27".to_owned(), 404),
        ("GET", format!("{subscription}/resourceGroups/none"), 404),
        ("GET", format!("{subscription}/nothing"), 404),
        ("GET", format!("{subscription}/operationresults/x"), 400),
        ("GET", "/nothing".to_owned(), 404),
        ("DELETE", subscription.clone(), 405),
        ("HEAD", subscription.clone(), 405),
        ("POST", vault_id("kv1"), 405),
        ("POST", group_id("default"), 405),
        ("PUT", format!("{subscription}/resources"), 405),
    ] {
        let reply = open.arm(method, &target, "");
        assert_eq!(reply.status, status, "{method} {target}: {reply:?}");
    }
}
