//! A YAML file as a tree in which every value knows where it stands. The only file that names the
//! YAML library.
//!
//! A tree, and not the configuration's own types, because a typed reader stops at the first wrong
//! type: from the tree all faults are found in one pass.
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Error, Spanned, alias_limits, budget, options};

use super::fault::{Fault, Position};

/// How many values may come from references (`*name`) to other places of the file.
const REFERENCED_MAX: usize = 250_000;

/// A value and where it stands.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) position: Position,
    /// Place of the first byte and length in the text; only meaningful for scalars.
    span: (u32, u32),
    pub(super) value: Value,
}

/// The value of a node.
#[derive(Debug)]
pub(super) enum Value {
    /// Nothing, or `null` or `~`.
    Null,
    Bool(bool),
    Whole(i64),
    /// A number with a fraction, or a whole one that 63 bits do not hold.
    OtherNumber,
    Text(Box<str>),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One key of a map with its value.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: Box<str>,
    pub(super) position: Position,
    pub(super) node: Node,
}

impl Node {
    /// Reads a whole file.
    pub(super) fn parse(source: &str) -> Result<Self, Fault> {
        // The file is the operator's own, and a catalogue may have millions of items, so its size
        // has no limit; what references multiply has one.
        let limits = budget! {
            max_recorded_anchor_events: REFERENCED_MAX,
            max_events: usize::MAX,
            max_nodes: usize::MAX,
            max_total_scalar_bytes: usize::MAX,
        };
        let options = options! {
            budget: limits,
            alias_limits: alias_limits! { max_total_replayed_events: REFERENCED_MAX },
            emit_comments: false,
            strict_booleans: true,
            with_snippet: false,
        };
        serde_saphyr::from_str_with_options(source, options).map_err(|error| syntax_fault(&error))
    }

    /// The value as it stands in the text.
    pub(super) fn written<'a>(&self, source: &'a str) -> Option<&'a str> {
        let start = usize::try_from(self.span.0).ok()?;
        let length = usize::try_from(self.span.1).ok()?;
        source.get(start..start.checked_add(length)?).map(str::trim)
    }
}

fn syntax_fault(error: &Error) -> Fault {
    let position = error.location().map_or(Position::START, |location| position(&location));
    #[expect(clippy::wildcard_enum_match_arm, reason = "the library's own text suits the rest")]
    let message = match original(error) {
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            format!("`{key}` stands twice in this section")
        }
        Error::MultipleDocuments { .. } => {
            "a second document begins here: a configuration is one document".to_owned()
        }
        Error::Budget { .. } | Error::AliasReplayLimitExceeded { .. } => {
            format!("more than {REFERENCED_MAX} values come from references")
        }
        other => {
            let text = other.to_string();
            // The position stands before the message, once is enough.
            let text = text.split(" at line ").next().unwrap_or(&text);
            format!("this is not valid YAML: {text}")
        }
    };
    Fault { position, message }
}

fn original(mut error: &Error) -> &Error {
    while let Error::AliasError { error: inner, .. } | Error::WithSnippet { error: inner, .. } =
        error
    {
        error = inner;
    }
    error
}

fn position(location: &serde_saphyr::Location) -> Position {
    Position { line: location.line(), column: location.column() }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        let span = spanned.defined.span();
        let byte = |number: Option<u64>| number.and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
        Ok(Self {
            position: position(&spanned.referenced),
            span: (byte(span.byte_offset()), byte(span.byte_len())),
            value: spanned.value,
        })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Whole(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or(Value::OtherNumber, Value::Whole))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::OtherNumber)
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = list.next_element()? {
            nodes.push(node);
        }
        Ok(Value::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<Box<str>>>()? {
            let position = position(&key.referenced);
            entries.push(Entry { key: key.value, position, node: map.next_value()? });
        }
        entries.shrink_to_fit();
        Ok(Value::Map(entries))
    }
}
