//! `org.varlink.service`, which every varlink server answers: who it is, and what its interfaces are.

use crate::failure::{self, Failure};
use crate::messages::{self as m};
use crate::methods::{Call, INTERFACE, signatures};
use crate::request;
use crate::shape::{Record, print_fields, records};
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
    text.push_str(&format!(
        "method GetInfo() -> {}\n\n",
        print_fields(&Info::fields())
    ));
    text.push_str(&format!(
        "method GetInterfaceDescription{} -> {}\n\n",
        print_fields(&Interface::fields()),
        print_fields(&Description::fields())
    ));
    text.push_str(&failure::describe(SERVICE));
    text
}

fn manager_description() -> String {
    let mut text = format!("# The service manager of Coracle\ninterface {INTERFACE}\n\n");
    text.push_str(&types());
    for method in signatures() {
        text.push_str(&comment(method.doc));
        let input: Vec<_> = method
            .input
            .into_iter()
            .map(|(name, kind)| (name, nullable(&kind)))
            .collect();
        text.push_str(&format!(
            "method {}{} -> {}\n\n",
            method.name,
            print_fields(&input),
            print_fields(&method.reply)
        ));
    }
    text.push_str(&failure::describe(INTERFACE));
    text
}

/// Any parameter may be left out.
fn nullable(kind: &str) -> String {
    if kind.starts_with('?') {
        kind.into()
    } else {
        format!("?{kind}")
    }
}

fn types() -> String {
    fn line<T: Record>() -> String {
        format!("type {} {}\n\n", T::NAME, print_fields(&T::fields()))
    }
    [
        line::<m::JobOutcome>(),
        line::<m::ExitStatus>(),
        line::<m::Reduction>(),
        line::<m::UnitStatus>(),
        line::<m::Diagnostic>(),
        line::<m::JobSummary>(),
        line::<m::ServiceStatus>(),
        line::<m::CommandStatus>(),
        line::<m::SocketStatus>(),
        line::<m::Listening>(),
        line::<m::SandboxStatus>(),
        line::<m::Setting>(),
        line::<m::ImageStatus>(),
        line::<m::Process>(),
        line::<m::UnitProperties>(),
        line::<m::UnitSummary>(),
        line::<m::UnitFile>(),
        line::<m::PlanStep>(),
    ]
    .concat()
}

/// A comment of the interface language.
pub(crate) fn comment(doc: &str) -> String {
    doc.lines().map(|line| format!("#{line}\n")).collect()
}
