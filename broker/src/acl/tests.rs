//! The rules of section "Authorization" of Kafka's documentation, as tables.

use super::Operation::*;
use super::*;
use crate::acl::filter::FilterParts;

/// `allow User:a read topic literal t`
fn acl(rule: &str) -> Acl {
    let words: Vec<&str> = rule.split(' ').collect();
    let (principal, host) = words[1].split_once('@').unwrap_or((words[1], WILDCARD));
    let json = |word: &str| format!("\"{}\"", word.to_ascii_uppercase());
    Acl {
        permission: serde_json::from_str(&json(words[0])).unwrap(),
        principal: principal.to_owned(),
        host: host.to_owned(),
        operation: serde_json::from_str(&json(words[2])).unwrap(),
        resource_type: serde_json::from_str(&json(words[3])).unwrap(),
        pattern_type: serde_json::from_str(&json(words[4])).unwrap(),
        name: words[5].to_owned(),
    }
}

#[track_caller]
fn check(rules: &[&str], asked: (&str, Operation, ResourceType, &str), expected: Decision) {
    let acls: Vec<Acl> = rules.iter().map(|rule| acl(rule)).collect();
    let (principal, operation, resource_type, name) = asked;
    let decided = Authorizer::new(&acls).decide(principal, "10.0.0.1", operation, resource_type, name);
    assert_eq!(decided, expected, "{rules:?} {asked:?}");
}

#[test]
fn decisions_are_those_of_the_standard_authorizer() {
    use Decision::*;
    use ResourceType::*;
    let read_t = ("User:a", Read, Topic, "t");
    check(&[], read_t, NoRule);
    check(&["allow User:a read topic literal t"], read_t, Allowed);
    check(&["allow User:b read topic literal t"], read_t, Denied);
    check(&["allow User:a write topic literal t"], read_t, Denied);
    check(&["allow User:a read topic literal u"], read_t, NoRule);
    check(&["allow User:a read group literal t"], read_t, NoRule);
    check(&["allow User:* all topic literal *"], read_t, Allowed);
    check(&["allow User:a@10.0.0.1 read topic literal t"], read_t, Allowed);
    check(&["allow User:a@10.0.0.2 read topic literal t"], read_t, Denied);
    // A denial is stronger, wherever it stands.
    let allow_all = "allow User:* all topic literal *";
    check(&[allow_all, "deny User:a read topic literal t"], read_t, Denied);
    check(&["deny User:a read topic prefixed t", allow_all], read_t, Denied);
    check(
        &[
            "deny User:* all topic literal *",
            "allow User:a read topic literal t",
        ],
        read_t,
        Denied,
    );
    // Prefixes.
    check(
        &["allow User:a read topic prefixed or"],
        ("User:a", Read, Topic, "orders"),
        Allowed,
    );
    check(
        &["allow User:a read topic prefixed or"],
        ("User:a", Read, Topic, "or"),
        Allowed,
    );
    check(
        &["allow User:a read topic prefixed orders"],
        ("User:a", Read, Topic, "or"),
        NoRule,
    );
    check(
        &["allow User:a read topic literal or"],
        ("User:a", Read, Topic, "orders"),
        NoRule,
    );
}

#[test]
fn what_may_be_done_may_be_seen_but_what_may_not_be_done_may_be_seen_too() {
    use Decision::*;
    for operation in ["read", "write", "delete", "alter"] {
        let allow = format!("allow User:a {operation} topic literal t");
        check(&[&allow], ("User:a", Describe, ResourceType::Topic, "t"), Allowed);
        let deny = format!("deny User:a {operation} topic literal t");
        check(
            &[&deny, "allow User:a describe topic literal t"],
            ("User:a", Describe, ResourceType::Topic, "t"),
            Allowed,
        );
    }
    let configs = ("User:a", DescribeConfigs, ResourceType::Topic, "t");
    check(&["allow User:a alter_configs topic literal t"], configs, Allowed);
    check(
        &["allow User:a create topic literal t"],
        ("User:a", Describe, ResourceType::Topic, "t"),
        Denied,
    );
}

#[test]
fn any_resource_will_do_unless_it_is_denied_altogether() {
    let decide = |rules: &[&str]| {
        let acls: Vec<Acl> = rules.iter().map(|rule| acl(rule)).collect();
        Authorizer::new(&acls).decide_any("User:a", "h", Write, ResourceType::Topic)
    };
    let allow = "allow User:a write topic literal orders";
    assert_eq!(decide(&[]), Decision::NoRule);
    assert_eq!(decide(&[allow]), Decision::Allowed);
    assert_eq!(
        decide(&[allow, "deny User:a write topic literal other"]),
        Decision::Allowed
    );
    for deny in ["literal orders", "prefixed ord", "literal *"] {
        assert_eq!(
            decide(&[allow, &format!("deny User:a write topic {deny}")]),
            Decision::Denied,
            "{deny}"
        );
    }
    assert_eq!(
        decide(&["allow User:b write topic literal orders"]),
        Decision::Denied
    );
}

#[test]
fn filters_ask_for_a_name_or_for_the_rules_about_it() {
    let rules = [
        "allow User:a read topic literal orders",
        "allow User:a read topic prefixed ord",
        "allow User:a read topic literal *",
        "deny User:b write group literal orders",
    ];
    let acls: Vec<Acl> = rules.iter().map(|rule| acl(rule)).collect();
    let found = |resource_type: i8, name: Option<&str>, pattern_type: i8, principal: Option<&str>| {
        let filter = AclFilter::new(FilterParts {
            resource_type,
            name,
            pattern_type,
            principal,
            host: None,
            operation: 1,
            permission: 1,
        })
        .unwrap();
        let found = acls.iter().enumerate().filter(|(_, acl)| filter.matches(acl));
        found.map(|(index, _)| index).collect::<Vec<_>>()
    };
    assert_eq!(found(1, None, 1, None), [0, 1, 2, 3]);
    assert_eq!(found(2, Some("orders"), 3, None), [0]);
    assert_eq!(found(2, Some("orders"), 2, None), [0, 1, 2]);
    assert_eq!(found(1, Some("orders"), 1, None), [0, 3]);
    assert_eq!(found(1, None, 4, None), [1]);
    assert_eq!(found(1, None, 1, Some("User:b")), [3]);
    let unknown = FilterParts {
        resource_type: 99,
        name: None,
        pattern_type: 1,
        principal: None,
        host: None,
        operation: 1,
        permission: 1,
    };
    assert_eq!(
        AclFilter::new(unknown).unwrap_err(),
        "there is no resource type 99"
    );
}
