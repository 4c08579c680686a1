//! A record as processors see it: typed key and value, event time and headers.
//!
//! Apart from the log's untyped records ([`crate::log`]) because between source and sink there are no bytes: what flows
//! is `Record<K, V>`, moved by value from one processor to the next. Cloning happens only where a stream is used twice.

use std::sync::Arc;

use bytes::Bytes;

/// One record: a key, a value, its event time and its headers.
///
/// `timestamp_ms` is event time in milliseconds since the Unix epoch, as extracted at the source; operators that combine
/// records say in their documentation which timestamp their result carries. Null keys and values are `Option` in `K` and
/// `V`, never a hidden state.
///
/// ```
/// use streams_core::Record;
///
/// let record = Record::new("page-1".to_string(), 42_i64, 1_000);
/// let doubled = record.map_value(|value| value * 2);
/// assert_eq!((doubled.value, doubled.timestamp_ms), (84, 1_000));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<K, V> {
    /// The key: decides the partition, and the row in a store.
    pub key: K,
    /// The value.
    pub value: V,
    /// Event time, milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// Headers, carried along unchanged by every operator.
    pub headers: Headers,
}

impl<K, V> Record<K, V> {
    /// A record without headers.
    pub fn new(key: K, value: V, timestamp_ms: i64) -> Self {
        Self {
            key,
            value,
            timestamp_ms,
            headers: Headers::default(),
        }
    }

    /// The same record with another value.
    #[inline]
    pub fn with_value<W>(self, value: W) -> Record<K, W> {
        Record {
            key: self.key,
            value,
            timestamp_ms: self.timestamp_ms,
            headers: self.headers,
        }
    }

    /// The same record with another key.
    #[inline]
    pub fn with_key<L>(self, key: L) -> Record<L, V> {
        Record {
            key,
            value: self.value,
            timestamp_ms: self.timestamp_ms,
            headers: self.headers,
        }
    }

    /// The same record with its value mapped by `f`.
    #[inline]
    pub fn map_value<W>(self, f: impl FnOnce(V) -> W) -> Record<K, W> {
        Record {
            key: self.key,
            value: f(self.value),
            timestamp_ms: self.timestamp_ms,
            headers: self.headers,
        }
    }
}

/// One header of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Name; need not be unique within a record.
    pub key: Arc<str>,
    /// Value; `None` is a null value.
    pub value: Option<Bytes>,
}

/// The headers of a record, in order. One word when empty, and cheap to clone when not.
///
/// ```
/// use streams_core::Headers;
///
/// let headers = Headers::default().with("trace-id", Some(b"7".as_slice()));
/// assert_eq!(headers.iter().next().unwrap().key.as_ref(), "trace-id");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Option<Arc<Vec<Header>>>);

impl Headers {
    /// Headers in the given order.
    #[must_use]
    pub fn new(headers: Vec<Header>) -> Self {
        if headers.is_empty() {
            Self(None)
        } else {
            Self(Some(Arc::new(headers)))
        }
    }

    /// These headers and one more at the end.
    #[must_use]
    pub fn with(mut self, key: &str, value: Option<&[u8]>) -> Self {
        self.add(key, value);
        self
    }

    /// Adds one more at the end, also if there is one of this name.
    ///
    /// ```
    /// use streams_core::Headers;
    ///
    /// let mut headers = Headers::default().with("seen-by", Some(b"a"));
    /// let before = headers.clone();
    /// headers.add("seen-by", Some(b"b"));
    /// assert_eq!(headers.last("seen-by").unwrap().value.as_deref(), Some(&b"b"[..]));
    /// assert_eq!((headers.len(), before.len()), (2, 1));
    /// ```
    pub fn add(&mut self, key: &str, value: Option<&[u8]>) {
        let headers = self.0.get_or_insert_default();
        Arc::make_mut(headers).push(Header {
            key: Arc::from(key),
            value: value.map(Bytes::copy_from_slice),
        });
    }

    /// Takes away all of this name. True if there was one.
    ///
    /// ```
    /// use streams_core::Headers;
    ///
    /// let mut headers = Headers::default().with("a", None).with("b", None).with("a", Some(b"1"));
    /// assert!(headers.remove("a") && !headers.remove("a"));
    /// assert_eq!(headers, Headers::default().with("b", None));
    /// ```
    pub fn remove(&mut self, key: &str) -> bool {
        if self.last(key).is_none() {
            return false;
        }
        let others = self.iter().filter(|header| *header.key != *key);
        *self = Self::new(others.cloned().collect());
        true
    }

    /// The last of this name (Kafka's `lastHeader`), if there is one.
    ///
    /// ```
    /// use streams_core::Headers;
    ///
    /// let headers = Headers::default().with("a", Some(b"1")).with("a", None);
    /// assert!(headers.last("a").unwrap().value.is_none() && headers.last("b").is_none());
    /// ```
    #[must_use]
    pub fn last(&self, key: &str) -> Option<&Header> {
        self.iter().rfind(|header| *header.key == *key)
    }

    /// The headers in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Header> {
        self.as_slice().iter()
    }

    /// The headers in order.
    #[must_use]
    pub fn as_slice(&self) -> &[Header] {
        self.0.as_ref().map_or(&[], |headers| headers.as_slice())
    }

    /// How many headers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// True if there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl<'a> IntoIterator for &'a Headers {
    type Item = &'a Header;
    type IntoIter = std::slice::Iter<'a, Header>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Where the record being processed came from (Kafka's `RecordMetadata`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordMetadata {
    /// Topic the record was read from.
    pub topic: Arc<str>,
    /// Partition of that topic.
    pub partition: i32,
    /// Offset in that partition.
    pub offset: i64,
}
