//! The type of a service, also of one that does not say it.

use crate::value::ServiceType;
use crate::{Directive, Unit, key};

const CREDENTIALS: [Directive; 5] = [
    key::IMPORT_CREDENTIAL.directive(),
    key::LOAD_CREDENTIAL.directive(),
    key::LOAD_CREDENTIAL_ENCRYPTED.directive(),
    key::SET_CREDENTIAL.directive(),
    key::SET_CREDENTIAL_ENCRYPTED.directive(),
];

impl ServiceType {
    /// What the unit says, else what follows from the rest of it (systemd.service(5)).
    #[must_use]
    pub fn of(unit: &Unit) -> ServiceType {
        let is_given = |directive: &Directive| unit.is_set(*directive);
        match unit.get(&key::SERVICE_TYPE) {
            Some(said) => *said,
            None if is_given(&key::BUS_NAME.directive()) => ServiceType::Dbus,
            None if !is_given(&key::EXEC_START.directive()) => ServiceType::Oneshot,
            None if CREDENTIALS.iter().any(is_given) => ServiceType::Exec,
            None => ServiceType::Simple,
        }
    }
}
