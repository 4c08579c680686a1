//! Which topics members read.

use std::collections::{BTreeMap, BTreeSet};

use super::member::ConsumerMember;
use super::regex::ResolvedRegex;

/// The topics of one member, by name: those it names and those its regular expression was resolved to. They need not exist.
pub(super) fn topics_of_member<'a>(
    member: &'a ConsumerMember,
    regexes: &'a BTreeMap<String, ResolvedRegex>,
) -> impl Iterator<Item = &'a str> {
    let resolved = member.metadata.regex().and_then(|regex| regexes.get(regex));
    let matched = resolved.into_iter().flat_map(|resolved| &resolved.topics);
    member
        .metadata
        .topic_names
        .iter()
        .chain(matched)
        .map(String::as_str)
}

/// The topics of all these members.
pub(super) fn topics_of<'a>(
    members: impl IntoIterator<Item = &'a ConsumerMember>,
    regexes: &'a BTreeMap<String, ResolvedRegex>,
) -> BTreeSet<&'a str> {
    members
        .into_iter()
        .flat_map(|member| topics_of_member(member, regexes))
        .collect()
}
