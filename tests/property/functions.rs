//! The functions that topologies use: of keys, of values, and predicates. The model calls the same ones: they are the user's,
//! and not what is tested. A null is `None`. Texts stay short, however often they are put together.

/// A key: text, or null.
pub(crate) type Key = Option<String>;
/// A value: text, or null.
pub(crate) type Text = Option<String>;

/// A longer text is cut, and ends with a digest of what it was.
const LENGTH_MAX: usize = 60;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Predicate {
    HasA,
    IsLong,
    KeyIsK1,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValueFn {
    Exclaim,
    Reverse,
    NullIfA,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyFn {
    Value,
    FirstChar,
    Prefix,
    Constant,
    NullIfB,
}

/// How records are aggregated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Count,
    Reduce,
    Aggregate,
    /// As `Aggregate`, but a value with a `c` makes the result null: the row is deleted.
    Delete,
}

impl Predicate {
    pub(crate) fn holds(self, key: &Key, value: &Text) -> bool {
        match self {
            Self::HasA => value.as_ref().is_some_and(|value| value.contains('a')),
            Self::IsLong => value.as_ref().is_some_and(|value| value.len() > 2),
            Self::KeyIsK1 => key.as_deref() == Some("k1"),
        }
    }
}

impl ValueFn {
    /// Of what is not null.
    pub(crate) fn of(self, value: String) -> Text {
        match self {
            Self::Exclaim => Some(value + "!"),
            Self::Reverse => Some(value.chars().rev().collect()),
            Self::NullIfA => (!value.starts_with('a')).then_some(value),
        }
    }
}

impl KeyFn {
    pub(crate) fn of(self, key: &Key, value: &Text) -> Key {
        match self {
            Self::Value => value.clone(),
            Self::FirstChar => value.as_ref()?.chars().next().map(String::from),
            Self::Prefix => key.as_ref().map(|key| format!("p-{key}")),
            Self::Constant => Some("all".to_owned()),
            Self::NullIfB if value.as_ref().is_some_and(|value| value.starts_with('b')) => None,
            Self::NullIfB => key.clone(),
        }
    }
}

impl How {
    /// An aggregate with one more value, of a stream.
    pub(crate) fn add(self, aggregate: Text, value: Text) -> Text {
        self.put(aggregate, ",", value)
    }

    /// The aggregate of two sessions that come together.
    pub(crate) fn merge(self, one: Text, other: Text) -> Text {
        concatenate(one.as_deref(), "&", other.as_deref())
    }

    /// An aggregate with one more row, of a table.
    pub(crate) fn enter(self, aggregate: Text, value: Text) -> Text {
        self.put(aggregate, "|", value)
    }

    /// An aggregate without a row, of a table.
    pub(crate) fn leave(self, aggregate: Text, value: Text) -> Text {
        concatenate(aggregate.as_deref(), "-", value.as_deref())
    }

    fn put(self, aggregate: Text, between: &str, value: Text) -> Text {
        if self == Self::Delete && value.as_ref().is_some_and(|value| value.contains('c')) {
            return None;
        }
        concatenate(aggregate.as_deref(), between, value.as_deref())
    }
}

/// The words of a value.
pub(crate) fn words(value: Text) -> Vec<String> {
    let value = value.unwrap_or_default();
    value.split_whitespace().map(str::to_owned).collect()
}

/// The result of a join; a missing side is null.
pub(crate) fn join(left: Option<&str>, right: Option<&str>) -> Text {
    concatenate(left, "+", right)
}

fn concatenate(a: Option<&str>, between: &str, b: Option<&str>) -> Text {
    let text = format!("{}{between}{}", a.unwrap_or("null"), b.unwrap_or("null"));
    if text.len() <= LENGTH_MAX {
        return Some(text);
    }
    let digest = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |digest, byte| {
        (digest ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    let start: String = text.chars().take(LENGTH_MAX / 2).collect();
    Some(format!("{start}~{digest:016x}"))
}

/// A windowed key as text.
pub(crate) fn windowed_text(key: &Key, start_ms: i64, end_ms: i64) -> Key {
    Some(format!(
        "{}@{start_ms}/{end_ms}",
        key.as_deref().unwrap_or("null")
    ))
}
