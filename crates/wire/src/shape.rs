//! How a Rust type reads in varlink's interface language, and the macro that defines a record once for both.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// A type that a varlink interface description can name.
pub trait Shape {
    /// Prints the type as the interface language has it, such as `?[]string`.
    fn varlink() -> String;

    /// Is this value left out of a message? Only nulls are.
    fn is_absent(&self) -> bool {
        false
    }
}

macro_rules! plain {
    ($name:literal: $($type:ty),*) => {$(
        impl Shape for $type {
            fn varlink() -> String {
                $name.into()
            }
        }
    )*};
}

plain!("int": i32, i64, u32, u64, usize);
plain!("bool": bool);
plain!("string": String);
plain!("object": serde_json::Value, Box<RawValue>, crate::Failure);

impl<T: Shape> Shape for Vec<T> {
    fn varlink() -> String {
        format!("[]{}", T::varlink())
    }
}

impl<T: Shape> Shape for BTreeMap<String, T> {
    fn varlink() -> String {
        format!("[string]{}", T::varlink())
    }
}

impl<T: Shape> Shape for Option<T> {
    fn varlink() -> String {
        format!("?{}", T::varlink())
    }

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

    /// The names and types of the fields.
    fn fields() -> Vec<(&'static str, String)>;
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

            fn fields() -> Vec<(&'static str, String)> {
                vec![$((stringify!($field), <$type as crate::shape::Shape>::varlink())),*]
            }
        }

        impl crate::shape::Shape for $name {
            fn varlink() -> String {
                stringify!($name).into()
            }
        }
    )*};
}

pub(crate) use records;

/// Prints `(name: type, …)`, one field per line where there are several.
pub(crate) fn print_fields(fields: &[(&'static str, String)]) -> String {
    let lines: Vec<String> = fields
        .iter()
        .map(|(name, kind)| format!("{name}: {kind}"))
        .collect();
    match lines.len() {
        0 | 1 => format!("({})", lines.concat()),
        _ => format!("(\n  {}\n)", lines.join(",\n  ")),
    }
}
