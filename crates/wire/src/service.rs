//! `org.varlink.service`, which every varlink server answers: who it is, and what its interfaces are.

use crate::failure::{FAILURES, Failure};
use crate::messages::{self as m};
use crate::methods::{Call, INTERFACE, SIGNATURES};
use crate::request;
use crate::shape::{Field, Record, print_fields, records};
use serde_json::value::RawValue;

/// The interface's own name.
pub const SERVICE: &str = "org.varlink.service";

records! {
    /// What `GetInfo` gives.
    struct Info {
        /// The vendor.
        vendor: String,
        /// The product.
        product: String,
        /// Its version.
        version: String,
        /// Where it is described.
        url: String,
        /// The interfaces it serves.
        interfaces: Vec<String>,
    }

    /// What `GetInterfaceDescription` gives.
    struct Description {
        /// In varlink's interface language.
        description: String,
    }

    /// What `GetInterfaceDescription` takes.
    struct Interface {
        /// Its name.
        interface: String,
    }
}

/// Reads a call of this interface, or says what is not there.
pub(crate) fn read(method: &str, parameters: Option<&RawValue>) -> Result<Call, Failure> {
    match method {
        "org.varlink.service.GetInfo" => Ok(Call::GetInfo),
        "org.varlink.service.GetInterfaceDescription" => request::read::<Interface>(parameters)
            .map(|input| Call::GetInterfaceDescription(input.interface)),
        _ => Err(match method.rsplit_once('.') {
            Some((interface, _)) if interface != INTERFACE && interface != SERVICE => {
                Failure::InterfaceNotFound {
                    interface: interface.into(),
                }
            }
            _ => Failure::MethodNotFound {
                method: method.into(),
            },
        }),
    }
}

/// Who this server is.
pub fn info() -> Info {
    Info {
        vendor: "Coracle".into(),
        product: "coracled".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        url: "https://coracle.io".into(),
        interfaces: vec![SERVICE.into(), INTERFACE.into()],
    }
}

/// Prints the description of an interface.
pub fn describe(interface: &str) -> Result<Description, Failure> {
    let description = match interface {
        INTERFACE => manager_description(),
        SERVICE => service_description(),
        _ => {
            return Err(Failure::InterfaceNotFound {
                interface: interface.into(),
            });
        }
    };
    Ok(Description { description })
}

fn service_description() -> String {
    let mut text =
        String::from("# What every varlink server answers\ninterface org.varlink.service\n\n");
    method(&mut text, "GetInfo", &[], Info::FIELDS);
    method(
        &mut text,
        "GetInterfaceDescription",
        Interface::FIELDS,
        Description::FIELDS,
    );
    failures(&mut text, SERVICE);
    text
}

fn manager_description() -> String {
    let mut text = format!("# The service manager of Coracle\ninterface {INTERFACE}\n\n");
    for (name, fields) in TYPES {
        text.push_str(&format!("type {name} "));
        print_fields(&mut text, fields, false);
        text.push_str("\n\n");
    }
    for signature in SIGNATURES {
        text.push_str(&comment(signature.doc));
        method(&mut text, signature.name, signature.input, signature.reply);
    }
    failures(&mut text, INTERFACE);
    text
}

fn method(text: &mut String, name: &str, input: &[Field], reply: &[Field]) {
    text.push_str(&format!("method {name}"));
    // Any parameter may be left out.
    print_fields(text, input, true);
    text.push_str(" -> ");
    print_fields(text, reply, false);
    text.push_str("\n\n");
}

fn failures(text: &mut String, interface: &str) {
    for (_, name, doc, fields) in FAILURES.iter().filter(|(of, ..)| *of == interface) {
        text.push_str(&format!("{}error {name} ", comment(doc)));
        print_fields(text, fields, false);
        text.push_str("\n\n");
    }
}

macro_rules! types {
    ($($name:ident)*) => {
        /// The records inside others.
        const TYPES: &[(&str, &[Field])] = &[$((stringify!($name), m::$name::FIELDS)),*];
    };
}

types! {
    JobOutcome ExitStatus Reduction UnitStatus Diagnostic GeneratorFailure JobSummary ServiceStatus HealthStatus BesideStatus CommandStatus SocketStatus TimerStatus PathStatus WatchedPath AutomountStatus Listening UnitRelations Related CauseLink BlockIo
    SandboxStatus Setting ImageStatus Process Traffic Storage UnitProperties UnitSummary UnitFile PlanStep
}

/// A comment of the interface language.
fn comment(doc: &str) -> String {
    doc.lines().map(|line| format!("#{line}\n")).collect()
}
