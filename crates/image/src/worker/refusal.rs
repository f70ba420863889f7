//! What a worker refuses, in its own words.

use std::error::Error;

use serde::{Deserialize, Serialize};

use crate::signature::SignatureError;
use crate::statement::StatementError;
use crate::verify::VerifyError;

/// What kind of refusal it is: the next step depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Nobody vouches for the image.
    NotSigned,
    /// Somebody does who is not trusted here.
    NotTrusted,
    /// Whoever does has a certificate that can't: it has expired, or is for something else.
    Unfit,
    /// It is no image, not the one it says it is, or was damaged.
    Damaged,
}

impl Fault {
    pub(super) fn of(error: &(dyn Error + 'static)) -> Fault {
        if let Some(StatementError::NotTrusted(_)) = error.downcast_ref() {
            return Fault::NotTrusted;
        }
        if let Some(StatementError::Signature(cause)) = error.downcast_ref() {
            return match cause {
                SignatureError::UnknownSigner => Fault::NotTrusted,
                SignatureError::Certificate { .. } => Fault::Unfit,
                _ => Fault::Damaged,
            };
        }
        match error.downcast_ref::<VerifyError>() {
            Some(VerifyError::Signature(SignatureError::Missing)) => Fault::NotSigned,
            Some(VerifyError::Signature(
                SignatureError::NotTrusted(_) | SignatureError::UnknownSigner,
            )) => Fault::NotTrusted,
            Some(VerifyError::Signature(SignatureError::Certificate { .. })) => Fault::Unfit,
            _ => Fault::Damaged,
        }
    }
}

/// A worker's refusal, cause by cause.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Refusal {
    what: String,
    /// What kind of refusal it is.
    pub fault: Fault,
    #[source]
    because: Option<Box<Refusal>>,
}

impl Refusal {
    pub(super) fn chain(causes: Vec<String>, fault: Fault) -> Option<Box<Self>> {
        causes.into_iter().rev().fold(None, |because, what| {
            Some(Box::new(Self {
                what,
                fault,
                because,
            }))
        })
    }
}
