//! How a Rust type reads in varlink's interface language, and the macro that defines a record once for both.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// A type of the interface language. Data, not code: the description is read rarely and must not make the program large.
#[derive(Clone, Copy, Debug)]
pub enum Type {
    /// A plain type or a record.
    Name(&'static str),
    /// Several.
    List(&'static Type),
    /// By name.
    Map(&'static Type),
    /// One, or nothing.
    Nullable(&'static Type),
}

impl std::fmt::Display for Type {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::List(inner) => write!(f, "[]{inner}"),
            Self::Map(inner) => write!(f, "[string]{inner}"),
            Self::Nullable(inner) => write!(f, "?{inner}"),
        }
    }
}

/// A field's name and type.
pub type Field = (&'static str, Type);

/// A type that a varlink interface description can name.
pub trait Shape {
    /// It, in the interface language.
    const TYPE: Type;

    /// Is this value left out of a message? Only nulls are.
    fn is_absent(&self) -> bool {
        false
    }
}

macro_rules! plain {
    ($name:literal: $($type:ty),*) => {$(
        impl Shape for $type {
            const TYPE: Type = Type::Name($name);
        }
    )*};
}

plain!("int": i32, i64, u32, u64, usize);
plain!("bool": bool);
plain!("string": String);
plain!("object": serde_json::Value, Box<RawValue>, crate::Failure);

impl<T: Shape> Shape for Vec<T> {
    const TYPE: Type = Type::List(&T::TYPE);
}

impl<T: Shape> Shape for BTreeMap<String, T> {
    const TYPE: Type = Type::Map(&T::TYPE);
}

impl<T: Shape> Shape for Option<T> {
    const TYPE: Type = Type::Nullable(&T::TYPE);

    fn is_absent(&self) -> bool {
        self.is_none()
    }
}

/// Reads a null as the type's default: a caller may leave any parameter out, or say that it has none.
pub(crate) fn null_is_default<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// A record of the interface: its fields, in order, as the interface language has them.
pub trait Record {
    /// The record's name in the interface.
    const NAME: &'static str;

    /// The fields, in order.
    const FIELDS: &'static [Field];
}

/// Defines records: the Rust structs, their JSON, and their lines in the interface description.
macro_rules! records {
    ($($(#[$doc:meta])* struct $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
        #[serde(default)]
        pub struct $name {
            $(
                $(#[$field_doc])*
                #[serde(
                    skip_serializing_if = "crate::shape::Shape::is_absent",
                    deserialize_with = "crate::shape::null_is_default"
                )]
                pub $field: $type,
            )*
        }

        impl crate::shape::Record for $name {
            const NAME: &'static str = stringify!($name);

            const FIELDS: &'static [crate::shape::Field] =
                &[$((stringify!($field), <$type as crate::shape::Shape>::TYPE)),*];
        }

        impl crate::shape::Shape for $name {
            const TYPE: crate::shape::Type = crate::shape::Type::Name(stringify!($name));
        }
    )*};
}

pub(crate) use records;

/// Appends `(name: type, …)`, one field per line where there are several; with `optional` each may be left out.
pub(crate) fn print_fields(to: &mut String, fields: &[Field], optional: bool) {
    let (open, comma, close) = if fields.len() > 1 {
        ("(\n  ", ",\n  ", "\n)")
    } else {
        ("(", "", ")")
    };
    to.push_str(open);
    for (place, (name, kind)) in fields.iter().enumerate() {
        let mark = if optional && !matches!(kind, Type::Nullable(_)) {
            "?"
        } else {
            ""
        };
        let before = if place > 0 { comma } else { "" };
        to.push_str(&format!("{before}{name}: {mark}{kind}"));
    }
    to.push_str(close);
}
