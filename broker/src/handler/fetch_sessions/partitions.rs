//! The partitions of one fetch session: how they are fetched, what the client knows of them, and in which order they are looked
//! at. A partition whose records were sent goes to the end, so that one that is always full leaves bytes to the others.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::{FetchRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::NameOf;
use crate::handler::fetch_answer::{FetchAnswer, PartitionAnswer, TopicAnswer};
use crate::topic::MAX_TOPIC_NAME_BYTES;

/// See the top of this file.
#[derive(Debug, Default)]
pub(crate) struct Partitions {
    topics: HashMap<TopicKey, CachedTopic>,
    /// By place; the first is looked at first.
    order: BTreeMap<u64, CachedPartition>,
    next_place: u64,
}

/// The bytes of a topic's id, or of its name: all topics of a session are named the one way or the other.
type TopicKey = Arc<[u8]>;

#[derive(Debug)]
struct CachedTopic {
    /// Empty as long as only the id is known.
    name: TopicName,
    id: Uuid,
    /// Where its partitions are in the order.
    places: HashMap<i32, u64>,
}

#[derive(Debug)]
struct CachedPartition {
    topic: TopicKey,
    request: FetchPartition,
    /// As the client was last told; -1 after an error.
    high_watermark: i64,
    log_start_offset: i64,
}

/// What a topic is known by in a session.
fn key<'a>(name: &'a TopicName, id: &'a Uuid) -> &'a [u8] {
    if id.is_nil() {
        name.as_bytes()
    } else {
        id.as_bytes()
    }
}

impl Partitions {
    /// Whether what is asked could exist: names are kept, and only those have a limit.
    pub(super) fn are_cacheable(request: &FetchRequest) -> bool {
        let mut names = request.topics.iter().map(|topic| topic.topic.len());
        names.all(|bytes| bytes <= MAX_TOPIC_NAME_BYTES)
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// Adds and changes what is asked, and forgets what is to be forgotten.
    pub(super) fn update(&mut self, request: &FetchRequest, name_of: NameOf<'_>) {
        for topic in &request.topics {
            if !topic.partitions.is_empty() {
                self.update_topic(topic, name_of);
            }
        }
        for topic in &request.forgotten_topics_data {
            self.forget(key(&topic.topic, &topic.topic_id), &topic.partitions);
        }
    }

    fn update_topic(&mut self, topic: &FetchTopic, name_of: NameOf<'_>) {
        let key = key(&topic.topic, &topic.topic_id);
        let kept_key = match self.topics.get_key_value(key) {
            Some((kept_key, _)) => kept_key.clone(),
            None => TopicKey::from(key),
        };
        let cached = self
            .topics
            .entry(kept_key.clone())
            .or_insert_with(|| CachedTopic::new(topic, name_of));
        for partition in &topic.partitions {
            let request = partition.clone().with_unknown_tagged_fields(BTreeMap::new());
            let place = *cached
                .places
                .entry(partition.partition)
                .or_insert(self.next_place);
            if let Some(known) = self.order.get_mut(&place) {
                known.request = request;
                continue;
            }
            let new = CachedPartition {
                topic: kept_key.clone(),
                request,
                high_watermark: -1,
                log_start_offset: -1,
            };
            self.order.insert(place, new);
            self.next_place += 1;
        }
    }

    fn forget(&mut self, key: &[u8], partitions: &[i32]) {
        let Some(cached) = self.topics.get_mut(key) else {
            return;
        };
        for partition in partitions {
            if let Some(place) = cached.places.remove(partition) {
                self.order.remove(&place);
            }
        }
        if cached.places.is_empty() {
            self.topics.remove(key);
        }
    }

    /// The full request. Topics that were not known by name are looked for again.
    pub(super) fn in_order(&mut self, name_of: NameOf<'_>) -> Vec<FetchTopic> {
        let mut topics: Vec<FetchTopic> = Vec::new();
        let mut last_key: Option<&TopicKey> = None;
        for partition in self.order.values() {
            match topics.last_mut() {
                Some(last) if last_key.is_some_and(|last_key| Arc::ptr_eq(last_key, &partition.topic)) => {
                    last.partitions.push(partition.request.clone());
                }
                _ => {
                    let mut topic = FetchTopic::default().with_partitions(vec![partition.request.clone()]);
                    if let Some(cached) = self.topics.get_mut(&partition.topic) {
                        cached.resolve(name_of);
                        topic.topic = cached.name.clone();
                        topic.topic_id = cached.id;
                    }
                    last_key = Some(&partition.topic);
                    topics.push(topic);
                }
            }
        }
        topics
    }

    /// Keeps what a full answer tells.
    pub(super) fn remember(&mut self, answer: &FetchAnswer) {
        for topic in &answer.topics {
            let Some(cached) = self.topics.get(key(&topic.name, &topic.id)) else {
                continue;
            };
            for partition in &topic.partitions {
                let place = cached.places.get(&partition.index());
                if let Some(known) = place.and_then(|place| self.order.get_mut(place)) {
                    known.learn(partition);
                }
            }
        }
    }

    /// Takes out of an answer what is known, and keeps what is told.
    pub(super) fn keep_news(&mut self, answer: &mut FetchAnswer) {
        answer.topics.retain_mut(|topic| {
            self.keep_news_of(topic);
            !topic.partitions.is_empty()
        });
    }

    fn keep_news_of(&mut self, topic: &mut TopicAnswer) {
        let Some(cached) = self.topics.get_mut(key(&topic.name, &topic.id)) else {
            return;
        };
        topic.partitions.retain(|partition| {
            let Some(place) = cached.places.get_mut(&partition.index()) else {
                return true;
            };
            let Some(known) = self.order.get_mut(place) else {
                return true;
            };
            let is_news = known.learn(partition);
            let is_last = *place + 1 == self.next_place;
            if partition.bytes() > 0
                && !is_last
                && let Some(moved) = self.order.remove(place)
            {
                *place = self.next_place;
                self.order.insert(self.next_place, moved);
                self.next_place += 1;
            }
            is_news
        });
    }
}

impl CachedTopic {
    fn new(topic: &FetchTopic, name_of: NameOf<'_>) -> Self {
        // A copy: the name is a part of the request, which would be kept with it.
        let mut cached = Self {
            name: TopicName(StrBytes::from_string(topic.topic.to_string())),
            id: topic.topic_id,
            places: HashMap::new(),
        };
        cached.resolve(name_of);
        cached
    }

    fn resolve(&mut self, name_of: NameOf<'_>) {
        if self.name.is_empty()
            && let Some(name) = name_of(self.id)
        {
            self.name = name;
        }
    }
}

impl CachedPartition {
    /// Whether an answer says anything that the client was not told before; it is told now.
    fn learn(&mut self, answer: &PartitionAnswer) -> bool {
        let (high_watermark, log_start_offset) = answer.watermarks();
        let is_news = answer.bytes() > 0
            || answer.is_error()
            || self.high_watermark != high_watermark
            || self.log_start_offset != log_start_offset;
        self.high_watermark = high_watermark;
        self.log_start_offset = log_start_offset;
        is_news
    }
}
