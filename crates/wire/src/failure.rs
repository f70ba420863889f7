//! The errors of the interface, typed on both ends.

use crate::shape::{Field, Shape};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

macro_rules! failures {
    ($($(#[doc = $doc:literal])* $interface:literal $name:ident { $($field:ident: $type:ty),* } => $message:literal $(($($argument:tt)*))?;)*) => {
        /// Why a call, or one of its jobs, did not work.
        #[derive(Clone, Debug, PartialEq, thiserror::Error)]
        pub enum Failure {
            $(
                $(#[doc = $doc])*
                #[error($message $(, $($argument)*)?)]
                $name {
                    $(
                        #[doc = concat!("The ", stringify!($field), ".")]
                        $field: $type
                    ),*
                },
            )*
            /// An error that this version does not know.
            #[error("{error}: {parameters}")]
            Unknown {
                /// Its full name.
                error: String,
                /// Its parameters as JSON.
                parameters: String,
            },
        }

        impl Failure {
            /// The full name of the error, with its interface.
            pub fn id(&self) -> &str {
                match self {
                    $(Self::$name { .. } => concat!($interface, ".", stringify!($name)),)*
                    Self::Unknown { error, .. } => error,
                }
            }

            /// Reads an error back.
            pub fn read(error: &str, parameters: Option<&RawValue>) -> Self {
                let text = parameters.map_or("{}", RawValue::get);
                let known = match error {
                    $(concat!($interface, ".", stringify!($name)) => {
                        #[derive(Deserialize, Default)]
                        #[serde(default)]
                        struct Fields { $($field: $type),* }
                        serde_json::from_str::<Fields>(text).ok().map(|_fields| Self::$name { $($field: _fields.$field),* })
                    })*
                    _ => None,
                };
                known.unwrap_or_else(|| Self::Unknown { error: error.into(), parameters: text.into() })
            }

            fn write_parameters<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
                match self {
                    $(Self::$name { $($field),* } => {
                        #[derive(Serialize)]
                        struct Fields<'a> { #[serde(skip)] _mark: std::marker::PhantomData<&'a ()>, $($field: &'a $type),* }
                        map.serialize_entry("parameters", &Fields { _mark: std::marker::PhantomData, $($field),* })
                    })*
                    Self::Unknown { parameters, .. } => {
                        let raw = RawValue::from_string(parameters.clone()).map_err(serde::ser::Error::custom)?;
                        map.serialize_entry("parameters", &raw)
                    }
                }
            }
        }

        /// Interface, name, description and fields of every error.
        pub(crate) const FAILURES: &[(&str, &str, &str, &[Field])] = &[$((
            $interface,
            stringify!($name),
            concat!($($doc, "\n"),*),
            &[$((stringify!($field), <$type as Shape>::TYPE)),*],
        )),*];
    };
}

failures! {
    /// No unit of this name is loaded or found.
    "io.coracle.Manager" NoSuchUnit { unit: String } => "there is no unit {unit}";
    /// The unit is masked.
    "io.coracle.Manager" Masked { unit: String } => "{unit} is masked";
    /// The unit's files have an error.
    "io.coracle.Manager" BadUnit { unit: String, message: String } => "{unit} can't be loaded: {message}";
    /// The name is not a unit's.
    "io.coracle.Manager" BadName { name: String, message: String } => "{name:?} is not the name of a unit: {message}";
    /// The unit, or this host, does not allow the start.
    "io.coracle.Manager" Refused { unit: String, directive: String, message: String } => "{unit} is refused: {directive}= {message}";
    /// Sandboxing directives of the unit are not enforced by this version.
    "io.coracle.Manager" Unenforced { unit: String, directives: Vec<String> } => "{unit} is refused: this version does not enforce {}=" (.directives.join("=, "));
    /// The job ended in another way than `done`.
    "io.coracle.Manager" JobFailed { unit: String, result: String, message: String } => "the job for {unit} ended as {result}: {message}";
    /// The transaction contradicts itself.
    "io.coracle.Manager" TransactionRefused { unit: String, message: String } => "the jobs for {unit} can't be queued: {message}";
    /// The unit's files forbid somebody to ask for that, or a queued job may not be replaced.
    "io.coracle.Manager" NotPermitted { unit: String, message: String } => "the jobs for {unit} can't be queued: {message}";
    /// The kind of unit can't do that.
    "io.coracle.Manager" NotSupported { unit: String, message: String } => "{message}";
    /// No such job mode.
    "io.coracle.Manager" BadMode { mode: String } => "there is no job mode {mode:?}";
    /// A property of a transient unit is wrong.
    "io.coracle.Manager" BadProperty { property: String, message: String } => "{property}: {message}";
    /// A transient unit of this name exists.
    "io.coracle.Manager" UnitExists { unit: String } => "{unit} exists already";
    /// The unit has no process that could get this.
    "io.coracle.Manager" NoProcess { unit: String } => "{unit} has no such process";
    /// What the unit left is there still, all or some of it.
    "io.coracle.Manager" NotCleaned { unit: String, message: String } => "{unit} is not cleaned: {message}";
    /// No such signal.
    "io.coracle.Manager" BadSignal { signal: String } => "there is no signal {signal:?}";
    /// The caller may not do this.
    "io.coracle.Manager" AccessDenied { method: String } => "{method} is for root only";
    /// The manager is stopping, or it only keeps what runs (adopt-only).
    "io.coracle.Manager" NotNow { state: String } => "the manager is in state {state} and starts nothing";
    /// What becomes of the machine is not this instance's to say, or was said already.
    "io.coracle.Manager" NotSwitched { action: String, message: String } => "{action} is not done: {message}";
    /// Something that should not happen did.
    "io.coracle.Manager" Internal { message: String } => "{message}";
    /// The interface is not served here.
    "org.varlink.service" InterfaceNotFound { interface: String } => "there is no interface {interface}";
    /// The method does not exist.
    "org.varlink.service" MethodNotFound { method: String } => "there is no method {method}";
    /// A parameter is wrong.
    "org.varlink.service" InvalidParameter { parameter: String } => "wrong parameter: {parameter}";
    /// The method answers more than once, so it must be called with `more`.
    "org.varlink.service" ExpectedMore { } => "the method has to be called with `more`";
}

impl Serialize for Failure {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(2))?;
        map.serialize_entry("error", self.id())?;
        self.write_parameters(&mut map)?;
        map.end()
    }
}

impl Failure {
    /// Its full name, and its parameters as JSON.
    #[must_use]
    pub fn parts(&self) -> (&str, String) {
        let whole = serde_json::to_string(self).unwrap_or_default();
        let parameters = whole.split_once(",\"parameters\":").map(|(_, rest)| rest);
        let parameters = parameters.and_then(|rest| rest.strip_suffix('}'));
        (self.id(), parameters.unwrap_or("{}").to_owned())
    }

    /// The error of such parts, without a look at what it is: enough to pass it on.
    #[must_use]
    pub fn of_parts(error: &str, parameters: &str) -> Self {
        Self::Unknown {
            error: error.to_owned(),
            parameters: parameters.to_owned(),
        }
    }
}

impl<'de> Deserialize<'de> for Failure {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Whole {
            error: String,
            #[serde(default)]
            parameters: Option<Box<RawValue>>,
        }
        let whole = Whole::deserialize(from)?;
        Ok(Self::read(&whole.error, whole.parameters.as_deref()))
    }
}
