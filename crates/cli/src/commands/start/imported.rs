//! A start's road for an image that came in an archive: admitted and asked about as any other.

use std::io::Read;

use anyhow::Result;
use delivery::grants::Grants;
use delivery::portables::{Held, Portable};
use delivery::store::Store;

use super::up::Ahead;
use super::{Coming, InstallOptions, Start};
use crate::commands::jobs::JobOptions;
use crate::context::Context;
use crate::portable::admit::Admitted;

impl InstallOptions {
    /// Grants what somebody who may has granted elsewhere.
    pub(crate) fn give(&mut self, grants: &Grants) {
        self.grants.given_elsewhere.extend(grants);
    }

    /// The sandbox, where the command line names none.
    pub(crate) fn choose_profile(&mut self, name: &str) {
        self.profile.get_or_insert_with(|| name.to_owned());
    }

    /// What is laid over its root.
    pub(crate) fn lay_over(&mut self, words: &[String]) {
        self.extension.extend_from_slice(words);
    }
}

impl Start {
    /// One that installs and starts nothing.
    pub(crate) fn importing(install: InstallOptions) -> Start {
        Start {
            install,
            attach_only: true,
            jobs: JobOptions::replacing(),
            ..Start::default()
        }
    }

    /// Installs an image. `prepare` sees it when it is trusted, and `note` what was prepared when all is granted: both before anything is changed.
    ///
    /// # Errors
    /// When it is refused, or one of the two fails.
    pub(crate) fn import<T>(
        &self,
        context: &Context,
        image: &mut dyn Read,
        origin: String,
        prepare: impl FnOnce(&Admitted) -> Result<T>,
        note: impl FnOnce(&mut T, &Held, Option<&Portable>) -> Result<()>,
    ) -> Result<(Portable, T)> {
        let store = Store::open(&context.directories.state)?;
        let limit_bytes = self.install.fetch().size_max_bytes()?;
        let copied = store.copy_in(image, limit_bytes)?;
        let admitted = self.admit_image(context, &store, copied, &origin)?;
        let mut prepared = match prepare(&admitted) {
            Ok(prepared) => prepared,
            Err(error) => {
                admitted.discard(&store)?;
                return Err(error);
            }
        };
        let coming = Coming::new(admitted, origin);
        let note = |held: &Held, known: Option<&Portable>| note(&mut prepared, held, known);
        let outcome = self.install(context, &store, coming, &mut Ahead::default(), note);
        store.collect(|| crate::portable::referenced(context))?;
        Ok((outcome?.0, prepared))
    }
}
