//! Which rules a DescribeAcls or DeleteAcls is about.

use super::{Acl, Operation, PatternType, Permission, ResourceType, WILDCARD};

/// The number that means "any" of everything that has numbers.
const ANY: i8 = 1;
/// The pattern type of a filter that asks which rules are about a name.
const MATCH: i8 = 2;

/// Rules of which each part is as asked; None asks for any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AclFilter {
    resource_type: Option<ResourceType>,
    name: Option<String>,
    pattern: Pattern,
    principal: Option<String>,
    host: Option<String>,
    operation: Option<Operation>,
    permission: Option<Permission>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pattern {
    Any,
    /// Rules that are about the name, however they say it.
    Match,
    Is(PatternType),
}

/// The parts of a filter as requests have them.
#[derive(Debug, Clone, Copy)]
pub struct FilterParts<'a> {
    /// Number of the resource type.
    pub resource_type: i8,
    /// Name of the resource.
    pub name: Option<&'a str>,
    /// Number of the pattern type.
    pub pattern_type: i8,
    /// The principal.
    pub principal: Option<&'a str>,
    /// The host.
    pub host: Option<&'a str>,
    /// Number of the operation.
    pub operation: i8,
    /// Number of the permission.
    pub permission: i8,
}

impl AclFilter {
    /// The filter of a request.
    ///
    /// # Errors
    /// A number means nothing.
    pub fn new(parts: FilterParts<'_>) -> Result<Self, String> {
        fn number<T>(what: &str, code: i8, found: Option<T>) -> Result<Option<T>, String> {
            match found {
                _ if code == ANY => Ok(None),
                None => Err(format!("there is no {what} {code}")),
                found => Ok(found),
            }
        }
        let pattern = match parts.pattern_type {
            MATCH => Pattern::Match,
            code => {
                number("pattern type", code, PatternType::from_code(code))?.map_or(Pattern::Any, Pattern::Is)
            }
        };
        Ok(Self {
            resource_type: number(
                "resource type",
                parts.resource_type,
                ResourceType::from_code(parts.resource_type),
            )?,
            name: parts.name.map(str::to_owned),
            pattern,
            principal: parts.principal.map(str::to_owned),
            host: parts.host.map(str::to_owned),
            operation: number(
                "operation",
                parts.operation,
                Operation::from_code(parts.operation),
            )?,
            permission: number(
                "permission",
                parts.permission,
                Permission::from_code(parts.permission),
            )?,
        })
    }

    /// Whether a rule is one of those asked for.
    pub fn matches(&self, acl: &Acl) -> bool {
        fn is<T: PartialEq>(wanted: Option<&T>, found: &T) -> bool {
            wanted.is_none_or(|wanted| wanted == found)
        }
        is(self.resource_type.as_ref(), &acl.resource_type)
            && self.matches_name(acl)
            && is(self.principal.as_ref(), &acl.principal)
            && is(self.host.as_ref(), &acl.host)
            && is(self.operation.as_ref(), &acl.operation)
            && is(self.permission.as_ref(), &acl.permission)
    }

    fn matches_name(&self, acl: &Acl) -> bool {
        if matches!(self.pattern, Pattern::Is(pattern_type) if pattern_type != acl.pattern_type) {
            return false;
        }
        let Some(name) = &self.name else {
            return true;
        };
        match (self.pattern, acl.pattern_type) {
            (Pattern::Match, PatternType::Literal) => acl.name == *name || acl.name == WILDCARD,
            (Pattern::Match, PatternType::Prefixed) => name.starts_with(&acl.name),
            (Pattern::Any | Pattern::Is(_), _) => acl.name == *name,
        }
    }
}
