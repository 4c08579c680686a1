//! The functions that vectors name: of keys, of values, and predicates. A null is `None`.

/// A key: text, or null.
pub(crate) type Key = Option<String>;
/// A value: text, or null.
pub(crate) type Text = Option<String>;

pub(crate) fn value_function(name: &str) -> Option<fn(String) -> Text> {
    Some(match name {
        "upper" => |value| Some(value.to_uppercase()),
        "exclaim" => |value| Some(value + "!"),
        "reverse" => |value| Some(value.chars().rev().collect()),
        "null_if_a" => |value| (!value.starts_with('a')).then_some(value),
        "identity" => Some,
        _ => return None,
    })
}

pub(crate) fn key_function(name: &str) -> Option<fn(&Key, &Text) -> Key> {
    Some(match name {
        "value" => |_, value| value.clone(),
        "first_char" => |_, value| {
            let first = value.as_ref()?.chars().next()?;
            Some(first.to_string())
        },
        "prefix" => |key, _| key.as_ref().map(|key| format!("p-{key}")),
        "constant" => |_, _| Some("all".to_owned()),
        "null_if_b" => |key, value| match value {
            Some(value) if value.starts_with('b') => None,
            _ => key.clone(),
        },
        _ => return None,
    })
}

pub(crate) fn predicate(name: &str) -> Option<fn(&Key, &Text) -> bool> {
    Some(match name {
        "has_a" => |_, value| value.as_ref().is_some_and(|value| value.contains('a')),
        "longer_than_2" => |_, value| value.as_ref().is_some_and(|value| value.chars().count() > 2),
        "key_is_k1" => |key, _| key.as_deref() == Some("k1"),
        _ => return None,
    })
}

/// The words of a value.
pub(crate) fn words(value: Text) -> Vec<String> {
    let value = value.unwrap_or_default();
    value
        .split(' ')
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// `a` and `b` with `between` in the middle; a null reads as `null`.
pub(crate) fn concatenate(a: Option<&str>, between: &str, b: Option<&str>) -> Text {
    Some(format!("{}{between}{}", a.unwrap_or("null"), b.unwrap_or("null")))
}
