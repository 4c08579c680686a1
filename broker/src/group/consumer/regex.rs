//! Subscriptions by regular expression: checked when they arrive, resolved whenever topics changed.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::ResponseError;
use regex::{Regex, RegexBuilder};

use super::member::ConsumerMember;
use super::record::ConsumerRecord;
use super::state::ConsumerGroup;
use crate::group::topics::TopicImage;
use crate::group::{Refusal, refuse};

/// Most memory that a compiled expression may take, in bytes.
const MAX_COMPILED_BYTES: usize = 1024 * 1024;

/// What a regular expression was found to match.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResolvedRegex {
    /// Names of the topics.
    pub topics: BTreeSet<String>,
    /// Version of the topics that were looked at.
    pub version: i64,
    /// When they were, in milliseconds since the epoch.
    pub resolved_ms: i64,
}

/// Compiles an expression so that it must match a whole name.
pub(super) fn compile(regex: &str) -> Result<Regex, Refusal> {
    let build = |pattern: &str| RegexBuilder::new(pattern).size_limit(MAX_COMPILED_BYTES).build();
    // Once by itself: a stray parenthesis must not close the one around it.
    build(regex)
        .and_then(|_| build(&format!(r"\A(?:{regex})\z")))
        .map_err(|error| {
            // The crate draws a picture of the place first; an answer has one line.
            let error = error.to_string();
            let reason = error
                .lines()
                .last()
                .unwrap_or_default()
                .trim_start_matches("error: ");
            let message =
                format!("SubscribedTopicRegex `{regex}` is not a valid regular expression: {reason}.");
            refuse(ResponseError::InvalidRegularExpression, message)
        })
}

impl ConsumerGroup {
    /// The expressions of these members as they are now: those known and still wanted, and those that are new or whose topics
    /// changed, with the records that say so.
    pub(super) fn resolve_regexes<'a>(
        &self,
        members: impl Iterator<Item = &'a ConsumerMember>,
        topics: &TopicImage,
        now_ms: i64,
    ) -> (BTreeMap<String, ResolvedRegex>, Vec<ConsumerRecord>) {
        let wanted: BTreeSet<&str> = members.filter_map(|member| member.metadata.regex()).collect();
        let mut resolved = BTreeMap::new();
        let mut records = Vec::new();
        for regex in &wanted {
            let known = self.regexes.get(*regex);
            if let Some(known) = known
                && self.seen_topics == topics.version()
            {
                resolved.insert((*regex).to_owned(), known.clone());
                continue;
            }
            let fresh = resolve(regex, topics, now_ms);
            match known.filter(|known| known.topics == fresh.topics) {
                Some(known) => resolved.insert((*regex).to_owned(), known.clone()),
                None => {
                    records.push(ConsumerRecord::Regex((*regex).to_owned(), Some(fresh.clone())));
                    resolved.insert((*regex).to_owned(), fresh)
                }
            };
        }
        let unwanted = self
            .regexes
            .keys()
            .filter(|regex| !wanted.contains(regex.as_str()));
        records.extend(unwanted.map(|regex| ConsumerRecord::Regex(regex.clone(), None)));
        (resolved, records)
    }
}

fn resolve(regex: &str, topics: &TopicImage, now_ms: i64) -> ResolvedRegex {
    // It was compiled when it came; one that an older version accepted and this one does not matches nothing.
    let matched = match compile(regex) {
        Ok(compiled) => topics
            .names()
            .filter(|name| compiled.is_match(name))
            .map(str::to_owned)
            .collect(),
        Err(refusal) => {
            tracing::warn!(regex, error = refusal.message, "a subscription matches nothing");
            BTreeSet::new()
        }
    };
    ResolvedRegex {
        topics: matched,
        version: i64::try_from(topics.version()).unwrap_or(i64::MAX),
        resolved_ms: now_ms,
    }
}
