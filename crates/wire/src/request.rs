//! The envelopes around messages: a call and an answer.

use crate::failure::Failure;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A call as it comes in; its parameters are read once the method is known.
#[derive(Debug, Deserialize)]
pub struct Request<'a> {
    /// The full name of the method.
    #[serde(borrow)]
    pub method: std::borrow::Cow<'a, str>,
    /// Its parameters.
    #[serde(borrow, default)]
    pub parameters: Option<&'a RawValue>,
    /// May the answer come in several messages?
    #[serde(default)]
    pub more: bool,
    /// Does the caller want no answer?
    #[serde(default)]
    pub oneway: bool,
}

impl<'a> Request<'a> {
    /// Reads a call from a frame, without its final NUL.
    pub fn read(frame: &'a [u8]) -> Result<Self, Failure> {
        serde_json::from_slice(frame).map_err(wrong)
    }
}

/// An answer as it goes out.
#[derive(Serialize)]
struct Answer<'a, T> {
    parameters: &'a T,
    #[serde(skip_serializing_if = "is_false")]
    continues: bool,
}

fn is_false(value: &bool) -> bool {
    !*value
}

/// A call as it goes out.
#[derive(Serialize)]
struct Outgoing<'a, T> {
    method: &'a str,
    parameters: &'a T,
    #[serde(skip_serializing_if = "is_false")]
    more: bool,
    #[serde(skip_serializing_if = "is_false")]
    oneway: bool,
}

/// How a call is to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    /// Once.
    Once,
    /// In several messages.
    More,
    /// Not at all.
    Never,
}

/// An answer as it comes in.
#[derive(Debug, Deserialize)]
pub struct Response<'a> {
    /// The error's full name, if it is one.
    #[serde(borrow, default)]
    pub error: Option<std::borrow::Cow<'a, str>>,
    /// The parameters of reply or error.
    #[serde(borrow, default)]
    pub parameters: Option<&'a RawValue>,
    /// Do more answers follow?
    #[serde(default)]
    pub continues: bool,
}

/// Reads a record; none at all is an empty one.
pub(crate) fn read<T: DeserializeOwned>(parameters: Option<&RawValue>) -> Result<T, Failure> {
    serde_json::from_str(parameters.map_or("{}", RawValue::get)).map_err(wrong)
}

fn wrong(error: serde_json::Error) -> Failure {
    Failure::InvalidParameter {
        parameter: error.to_string(),
    }
}

/// Appends a call and its NUL.
pub fn write_call<T: Serialize>(
    to: &mut Vec<u8>,
    method: &str,
    parameters: &T,
    answered: Answered,
) -> Result<(), serde_json::Error> {
    write(
        to,
        &Outgoing {
            method,
            parameters,
            more: answered == Answered::More,
            oneway: answered == Answered::Never,
        },
    )
}

/// Appends a reply and its NUL.
pub fn write_reply<T: Serialize>(
    to: &mut Vec<u8>,
    parameters: &T,
    continues: bool,
) -> Result<(), serde_json::Error> {
    write(
        to,
        &Answer {
            parameters,
            continues,
        },
    )
}

/// Appends an error and its NUL.
pub fn write_failure(to: &mut Vec<u8>, failure: &Failure) -> Result<(), serde_json::Error> {
    write(to, failure)
}

fn write<T: Serialize>(to: &mut Vec<u8>, whole: &T) -> Result<(), serde_json::Error> {
    serde_json::to_writer(&mut *to, whole)?;
    to.push(0);
    Ok(())
}
