//! The decision: rules found by resource, then all that are about who asks and what for. One denial is stronger than any
//! number of permissions.

use std::collections::HashMap;

use super::{Acl, Operation, PatternType, Permission, ResourceType, WILDCARD, WILDCARD_PRINCIPAL};

/// What the rules say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Somebody said yes, and nobody no.
    Allowed,
    /// Somebody said no, or rules there are say nothing of this.
    Denied,
    /// There is no rule about the resource at all.
    NoRule,
}

/// Rules in the order in which they are looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Authorizer {
    rules: HashMap<ResourceType, Rules>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Rules {
    literal: HashMap<String, Vec<Acl>>,
    prefixed: HashMap<String, Vec<Acl>>,
}

impl Authorizer {
    /// The authorizer of these rules.
    pub fn new<'a>(acls: impl IntoIterator<Item = &'a Acl>) -> Self {
        let mut authorizer = Self::default();
        for acl in acls {
            let rules = authorizer.rules.entry(acl.resource_type).or_default();
            let by_name = match acl.pattern_type {
                PatternType::Literal => &mut rules.literal,
                PatternType::Prefixed => &mut rules.prefixed,
            };
            by_name.entry(acl.name.clone()).or_default().push(acl.clone());
        }
        authorizer
    }

    /// Whether `principal` from `host` may do this.
    pub fn decide(
        &self,
        principal: &str,
        host: &str,
        operation: Operation,
        resource_type: ResourceType,
        name: &str,
    ) -> Decision {
        let Some(rules) = self.rules.get(&resource_type) else {
            return Decision::NoRule;
        };
        let mut decision = Decision::NoRule;
        for acl in rules.about(name) {
            let said = acl.says_of(operation).filter(|_| acl.is_about(principal, host));
            match (said, decision) {
                (Some(Permission::Deny), _) => return Decision::Denied,
                (Some(Permission::Allow), _) => decision = Decision::Allowed,
                (None, Decision::NoRule) => decision = Decision::Denied,
                (None, _) => {}
            }
        }
        decision
    }

    /// Whether `principal` from `host` may do this on any resource of the type at all.
    pub fn decide_any(
        &self,
        principal: &str,
        host: &str,
        operation: Operation,
        resource_type: ResourceType,
    ) -> Decision {
        let Some(rules) = self.rules.get(&resource_type) else {
            return Decision::NoRule;
        };
        let mine: Vec<&Acl> = rules
            .literal
            .values()
            .chain(rules.prefixed.values())
            .flatten()
            .filter(|acl| acl.is_about(principal, host))
            .collect();
        let denials: Vec<&Acl> = mine
            .iter()
            .copied()
            .filter(|acl| acl.says_of(operation) == Some(Permission::Deny))
            .collect();
        let is_allowed = |acl: &&Acl| {
            acl.says_of(operation) == Some(Permission::Allow)
                && !denials.iter().any(|denial| denial.covers(acl))
        };
        if mine.iter().copied().any(|acl| is_allowed(&acl)) {
            Decision::Allowed
        } else {
            Decision::Denied
        }
    }
}

impl Rules {
    /// The rules about a name: under the name itself, under `*`, and under everything it begins with.
    fn about<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Acl> {
        let literal = [Some(name), (name != WILDCARD).then_some(WILDCARD)];
        let literal = literal
            .into_iter()
            .flatten()
            .filter_map(|name| self.literal.get(name));
        let beginnings = name
            .char_indices()
            .map(|(start, character)| &name[..start + character.len_utf8()]);
        let prefixed = beginnings
            .filter(|_| !self.prefixed.is_empty())
            .filter_map(|beginning| self.prefixed.get(beginning));
        literal.chain(prefixed).flatten()
    }
}

impl Acl {
    fn is_about(&self, principal: &str, host: &str) -> bool {
        (self.principal == principal || self.principal == WILDCARD_PRINCIPAL)
            && (self.host == host || self.host == WILDCARD)
    }

    /// What this rule says of an operation, if anything. Who may do something may also see it; who may not, may still.
    fn says_of(&self, operation: Operation) -> Option<Permission> {
        use Operation::*;
        let is_implied = match operation {
            Describe => matches!(self.operation, Read | Write | Delete | Alter),
            DescribeConfigs => self.operation == AlterConfigs,
            _ => false,
        };
        let is_said = self.operation == operation || self.operation == All;
        (is_said || is_implied && self.permission == Permission::Allow).then_some(self.permission)
    }

    /// Whether all names that `other` is about are names that this rule is about.
    fn covers(&self, other: &Self) -> bool {
        match (self.pattern_type, other.pattern_type) {
            (PatternType::Literal, _) if self.name == WILDCARD => true,
            (PatternType::Literal, PatternType::Literal) => self.name == other.name,
            (PatternType::Literal, PatternType::Prefixed) => false,
            (PatternType::Prefixed, _) => other.name.starts_with(&self.name),
        }
    }
}
