//! The list of units as it goes over the wire, without a copy of each text: [`ListUnitsReply`](crate::ListUnitsReply), borrowed.
//!
//! A host may have ten thousand units, and then most of the time of `list-units` would be spent on fifty thousand small strings, on each
//! of the two sides.

use crate::messages::JobSummary;
use serde::{Deserialize, Serialize, Serializer};
use std::borrow::Cow;

/// [`ListUnitsReply`](crate::ListUnitsReply) as it is written.
#[derive(Serialize)]
pub struct Listed<T> {
    /// A list of [`UnitLine`].
    pub units: T,
}

/// What the iterators that a function makes yield, as a list.
pub struct Each<F>(pub F);

impl<I, F> Serialize for Each<F>
where
    I: Iterator<Item: Serialize>,
    F: Fn() -> I,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((self.0)())
    }
}

/// [`ListUnitsReply`](crate::ListUnitsReply) as it is read from the text of an answer.
#[derive(Debug, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct UnitLines<'a> {
    /// Sorted by name.
    pub units: Vec<UnitLine<'a>>,
}

/// [`UnitSummary`](crate::UnitSummary), its texts borrowed where they can be.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct UnitLine<'a> {
    /// With its suffix.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// Description=, or the name.
    #[serde(borrow)]
    pub description: Cow<'a, str>,
    /// As in the status.
    #[serde(borrow)]
    pub load: Cow<'a, str>,
    /// As in the status.
    #[serde(borrow)]
    pub active: Cow<'a, str>,
    /// As in the status.
    #[serde(borrow)]
    pub sub: Cow<'a, str>,
    /// The job that is queued or runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<JobSummary>,
    /// The main process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub main_pid: Option<u32>,
    /// Listening addresses, for sockets.
    pub listen: Vec<String>,
    /// What it starts.
    pub triggers: Vec<String>,
}
