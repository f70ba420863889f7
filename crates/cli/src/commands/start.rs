//! `start`: units, or a portable from an address, a file, a directory or the store.

use anyhow::Result;
use clap::Args;
use delivery::digest::Digest;
use delivery::portables::{Held, Portable, Signer, mark_until_reboot};
use delivery::store::{Staging, Store};
use load::portable::{PortableName, Review};

use super::jobs::{self, JobOptions};
use crate::context::Context;
use crate::failure::{WithHint, hint};
use crate::moving::former::{Finder, recover_unless_busy};
use crate::portable::admit::{self, Acceptance, Admitted, Root};
use crate::portable::consent::{self, GrantOptions};
use crate::portable::extensions::Layer;
use crate::portable::fetch::FetchOptions;
use crate::portable::record::{self, Choices, is_current, own_directories, same_maker, signer};
use crate::portable::source::{self, Source};
use crate::portable::{Dynamic, Taken, attach, channel, extensions, first, offered, records};
use crate::terminal::{Paint, complain, one_line};
use crate::verbs::Run;

mod history;
mod imported;
mod up;
mod words;

use up::{Ahead, Ready};
use words::introduce;

/// Options about what comes in, and with which grants.
#[derive(Args, Debug, Clone, Default)]
pub(crate) struct InstallOptions {
    #[command(flatten)]
    grants: GrantOptions,
    #[command(flatten)]
    fetch: FetchOptions,
    /// Allow this very image, signed or not
    #[arg(long, value_name = "sha256:…")]
    trust_digest: Option<Digest>,
    /// Allow an image that nobody vouches for; recorded and shown
    #[arg(long, conflicts_with = "trust_digest")]
    insecure: bool,
    /// Allow a version below the highest one that was ever installed
    #[arg(long)]
    allow_downgrade: bool,
    /// Accept that a portable has another signer from now on: the one with this fingerprint
    #[arg(long, value_name = "sha256:…")]
    accept_signer: Option<Digest>,
    /// Its sandbox: default, classic, nonetwork, strict or trusted; kept over versions
    #[arg(long, value_name = "PROFILE")]
    profile: Option<String>,
    /// Lay this image or directory over its root (a system or configuration extension); may be given again, the lowest first
    #[arg(long, value_name = "IMAGE")]
    extension: Vec<String>,
    /// What else the verb says of it.
    #[arg(skip)]
    pub(crate) choices: Choices,
}

impl InstallOptions {
    /// What is said about the network.
    pub(crate) fn fetch(&self) -> &FetchOptions {
        &self.fetch
    }

    /// The same with what was kept of how the portable came.
    pub(crate) fn of_kept(&self, portable: &Portable) -> InstallOptions {
        let mut install = self.clone();
        install.fetch.kept_roots.clone_from(&portable.roots);
        install
    }

    /// The signer that is accepted from now on.
    pub(crate) fn accept_signer(&self) -> Option<Digest> {
        self.accept_signer
    }

    fn choices(&self) -> Choices {
        Choices {
            profile: self.profile.clone(),
            extensions: match self.extension.as_slice() {
                [] => self.choices.extensions.clone(),
                given => Some(given.to_vec()),
            },
            ..self.choices.clone()
        }
    }
}

/// Options of `start`.
#[derive(Args, Debug, Default)]
pub(crate) struct Start {
    /// Units, or portables: an http or https address, an image, a directory, or the name of one that is here
    #[arg(value_name = "WHAT", required_unless_present = "enabled")]
    what: Vec<String>,
    /// Start all portables that are to start at boot
    #[arg(long, conflicts_with = "what")]
    enabled: bool,
    #[command(flatten)]
    jobs: JobOptions,
    #[command(flatten)]
    install: InstallOptions,
    /// Install it without starting it
    #[arg(long)]
    attach_only: bool,
    /// How it is attached, where that is what was asked for.
    #[arg(skip)]
    attaching: Attaching,
}

/// What `attach` and `reattach` say beside what `start` says, too.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Attaching {
    /// Start it, too.
    pub(crate) now: bool,
    /// Start it at every boot.
    pub(crate) enable: bool,
}

impl Start {
    /// Installs one portable, and starts it only where that is said.
    ///
    /// # Errors
    /// When it is refused.
    pub(crate) fn attach(
        context: &Context,
        source: Source,
        install: InstallOptions,
        attaching: Attaching,
    ) -> Result<u8> {
        let start = Start {
            install,
            attach_only: true,
            attaching,
            jobs: JobOptions {
                job_mode: "replace".to_owned(),
                ..JobOptions::default()
            },
            ..Start::default()
        };
        start.start_portable(context, source)
    }
}

impl Run for Start {
    fn run(self, context: &Context) -> Result<u8> {
        if self.enabled {
            return self.start_enabled(context);
        }
        let mut units = Vec::new();
        let mut status = 0;
        for word in &self.what {
            match source::of(context, word)? {
                Source::Unit(word) => units.push(crate::portable::unit_named(context, &word)),
                portable => status = status.max(self.start_portable(context, portable)?),
            }
        }
        if units.is_empty() {
            return Ok(status);
        }
        Ok(status.max(jobs::start(context, &units, &self.jobs)?))
    }
}

impl Start {
    /// One that can't start does not keep the others from it.
    fn start_enabled(&self, context: &Context) -> Result<u8> {
        // The instance runs even where nothing is enabled: that is what the host's init asked for.
        let client = context.connect_for_boot()?;
        if crate::portable::detach_after_reboot(&context.directories)? {
            crate::portable::purge::reload(context)?;
        }
        // What is wrong with the policy keeps nothing from starting.
        if let Err(error) = crate::portable::schedule::take_over(context, false) {
            crate::failure::tell(&error.context("the schedule of upgrades stays as it was"));
        }
        let (mut status, mut ready) = (0, Vec::new());
        for portable in records(context).list()? {
            recover_unless_busy(context, &portable.name, Finder::Boot);
        }
        // What came back has another record now.
        let all = records(context).list()?;
        let mut ahead = Ahead::of_many(client, &all);
        for portable in all.iter().cloned() {
            // What was detached is to stay so.
            if !portable.enabled || !crate::portable::is_attached(context, &portable)? {
                continue;
            }
            let name = portable.name.clone();
            match super::upgrade::end_trial_at_boot(context, &name) {
                Ok(true) => {}
                Ok(false) => {
                    status = 1;
                    continue;
                }
                Err(error) => {
                    crate::failure::tell(
                        &error.context(format!("{name} has a version that is not proven")),
                    );
                    status = 1;
                }
            }
            let source = Source::Stored(portable.name);
            match self.prepare(context, source, &mut ahead) {
                Ok(attached) => ready.push(attached),
                Err(error) => {
                    crate::failure::tell(&error.context(format!("{name} does not start")));
                    status = 1;
                }
            }
        }
        if !ready.is_empty() {
            status = status.max(self.start_all(context, ahead, &ready)?);
        }
        // What commands have left that the power ended.
        Store::open(&context.directories.state)?
            .collect(|| crate::portable::referenced(context))?;
        Ok(status)
    }

    fn start_portable(&self, context: &Context, source: Source) -> Result<u8> {
        if let Source::Stored(name) = &source {
            recover_unless_busy(context, name, Finder::Command);
        }
        let mut ahead = Ahead::default();
        let ready = self.prepare(context, source, &mut ahead)?;
        if !self.starts() {
            return Ok(0);
        }
        if !ready.portable.enabled && !self.attach_only {
            context.narrate(&format!(
                "it will not start at boot; `coracle configure {} --at-boot yes` changes that",
                ready.portable.name
            ));
        }
        self.start_all(context, ahead, &[ready])
    }

    /// Whether a start follows an installation.
    fn starts(&self) -> bool {
        !self.attach_only || self.attaching.now
    }

    /// What leads to a start: the portable is admitted and attached.
    fn prepare(&self, context: &Context, source: Source, ahead: &mut Ahead<'_>) -> Result<Ready> {
        let store = Store::open(&context.directories.state)?;
        // A start of what is here brings nothing, and takes no image its last user.
        let changes_nothing =
            matches!(source, Source::Stored(_)) && self.install.choices().extensions.is_none();
        let coming = self.admit(context, &store, source)?;
        let outcome = self.install(context, &store, coming, ahead, |_, _| Ok(()));
        if !changes_nothing {
            store.collect(|| crate::portable::referenced(context))?;
        }
        let (portable, root) = outcome?;
        Ok(Ready { portable, root })
    }

    fn acceptance(&self, context: &Context) -> Result<Acceptance> {
        let known = match &self.install.choices.must_be {
            Some(name) => records(context).get(name)?,
            None => None,
        };
        Ok(Acceptance {
            digest: self.install.trust_digest,
            insecure: self.install.insecure,
            heirs: known.map_or(Ok(Vec::new()), |known| channel::heirs(&known))?,
        })
    }

    fn admit(&self, context: &Context, store: &Store, source: Source) -> Result<Coming> {
        let image = |came, origin: &str| self.admit_image(context, store, came, origin);
        let (admitted, origin) = match source {
            Source::Url(url) => {
                let came = first::bring(context, store, &url, &self.install.fetch)?;
                (image(came, &url)?, url)
            }
            Source::File(path) => {
                let limit_bytes = self.install.fetch.size_max_bytes()?;
                let origin = path.display().to_string();
                let came = admit::copy_in(store, &path, limit_bytes)?;
                (image(came, &origin)?, origin)
            }
            Source::Release(release) => {
                let came = offered::bring(context, store, &release, &self.install.fetch)?;
                let admitted = image(came, &release.origin)?;
                let admitted = offered::named(store, admitted, &release)?;
                (admitted, release.origin)
            }
            Source::Version(name, version) => {
                let mut portable = crate::portable::existing(context, &name)?;
                portable.current = version;
                let admitted = crate::portable::admit_again(store, &portable)?;
                (admitted, portable.origin)
            }
            Source::Directory(path) => (admit::directory(&path)?, path.display().to_string()),
            Source::Stored(name) | Source::Unit(name) => {
                let portable = crate::portable::existing(context, &name)?;
                let admitted = crate::portable::admit_again(store, &portable)?;
                (admitted, portable.origin)
            }
        };
        Ok(Coming::new(admitted, origin))
    }

    fn admit_image(
        &self,
        context: &Context,
        store: &Store,
        came: (Staging, Digest, u64),
        origin: &str,
    ) -> Result<Admitted> {
        let limit_bytes = self.install.fetch.size_max_bytes()?;
        let (staging, digest, length) = admit::decompress(store, came, origin, limit_bytes)?;
        let (accepted, file) = (self.acceptance(context)?, (digest, length));
        admit::image(context, store, staging, file, &accepted, origin)
    }

    /// From an admitted portable to attached units, and where their root is. Until the last question is answered nothing is written; `note` is
    /// called then, before anything is, with what is known of it, held.
    fn install(
        &self,
        context: &Context,
        store: &Store,
        mut coming: Coming,
        ahead: &mut Ahead<'_>,
        note: impl FnOnce(&Held, Option<&Portable>) -> Result<()>,
    ) -> Result<(Portable, String)> {
        let decided = self.decide(context, store, &mut coming, ahead);
        let held = decided.and_then(|decision| {
            let (decision, held) = hold(context, decision, self.install.choices.is_attached)?;
            note(&held, decision.known.as_ref())?;
            Ok((decision, held))
        });
        let (decision, held) = match held {
            Ok(decided) => decided,
            Err(error) => {
                coming.discard(store)?;
                return Err(error);
            }
        };
        let Decision {
            name,
            review,
            portable,
            known,
        } = decision;
        let Coming {
            mut admitted,
            mut layers,
            ..
        } = coming;
        let _until_recorded = admitted.keep(store)?;
        let _layers_until_recorded =
            extensions::keep(layers.as_deref_mut().unwrap_or_default(), store)?;
        let root = admitted.path(store);
        if matches!(admitted.root, Root::Image { .. }) && self.starts() {
            ahead.mount(context, &portable, &root);
        }
        held.link_extensions(&portable.extensions, |digest| store.path(digest))?;
        let runtime = &context.directories.runtime;
        mark_until_reboot(runtime, name.as_str(), portable.runtime)?;
        attach::attach(context, &name, &admitted, &review, &portable, &root)?;
        held.put(&portable)?;
        held.drop_other_links(&portable.extensions)?;
        channel::tell_lost(context, known.as_ref(), &portable);
        if self.attach_only {
            // Whoever starts one of its units by name starts what was attached now. A start of the portable reads it anyway.
            crate::portable::purge::reload(context)?;
        }
        Ok((portable, root))
    }

    /// What is to be done with an admitted portable, once everything is granted.
    fn decide(
        &self,
        context: &Context,
        store: &Store,
        coming: &mut Coming,
        ahead: &Ahead<'_>,
    ) -> Result<Decision> {
        coming.layers = self.layers(context, store)?;
        let (admitted, layers) = (&mut coming.admitted, coming.layers.as_deref());
        let name = consent::name_of(admitted)?;
        admit::check_revoked(context, admitted)?;
        introduce(context, admitted, name.as_str());
        let known = records(context).get(name.as_str())?;
        let choices = self.install.choices();
        record::check_name(name.as_str(), choices.must_be.as_deref())?;
        lay_over(store, admitted, layers, known.as_ref())?;
        record::select(admitted, choices.prefixes(known.as_ref()))?;
        let admitted = &*admitted;
        let review = consent::judge(admitted, &name)?;
        consent::tell_findings(context, &review);
        let units = admitted
            .contents
            .units
            .iter()
            .map(|unit| unit.name.as_str());
        let dynamic = Dynamic::of(units, review.grants().into_iter());
        let taken = Taken::of(context, name.as_str(), known.as_ref(), ahead.all(), dynamic)?;
        let claimed = signer(admitted.claimed.as_ref())?;
        let signer = signer(admitted.signer.as_ref())?;
        let of_old = (known.as_ref(), signer.as_ref());
        let (review, grants) =
            self.consented(context, admitted, (&name, review), of_old, &taken)?;
        let own = own_directories(&review, &taken);
        let (given, origin) = ((grants, own), coming.origin.clone());
        let mut portable = record::record(admitted, &name, known.clone(), given, origin);
        let same_origin = known
            .as_ref()
            .is_some_and(|known| known.origin == portable.origin);
        match self.install.fetch.own_roots()? {
            None if same_origin => {}
            roots => portable.roots = roots,
        }
        let of_other = |known: &Portable| !same_maker(known, admitted, signer.as_ref());
        if known.as_ref().is_some_and(of_other)
            && let Some(gone) = record::forget_choices(&mut portable)
        {
            complain(&format!(
                "{} {}",
                Paint::Yellow.on("warning:"),
                one_line(&gone)
            ));
        }
        if known.is_none() {
            portable.channel = records(context).remembered_channel(name.as_str())?;
            portable.channel = record::of_signer(portable.channel, signer.as_ref());
        }
        choices.remember(&mut portable, signer.as_ref());
        let is_new = known
            .as_ref()
            .is_none_or(|known| known.current != portable.current);
        if is_new {
            portable.trial.clone_from(&choices.trial);
        }
        (portable.signer, portable.claimed) = (signer, claimed);
        choices.apply(&mut portable);
        portable.directories.retain(|own| !taken.is_foreign(own));
        self.choose_boot(&mut portable, known.is_some());
        if let Some(layers) = layers {
            portable.extensions = layers.iter().map(|layer| layer.recorded.clone()).collect();
        }
        Ok(Decision {
            name,
            review,
            known,
            portable,
        })
    }

    /// To be there after a reboot is what starting it says, and installing it does not.
    fn choose_boot(&self, portable: &mut Portable, is_known: bool) {
        if !is_known {
            portable.enabled = !self.attach_only;
        } else if !self.attach_only && !portable.boot_is_chosen {
            portable.enabled = true;
        }
        if self.attaching.enable {
            (portable.enabled, portable.boot_is_chosen) = (true, true);
        }
    }

    /// What is laid over it, where that is named now.
    fn layers(&self, context: &Context, store: &Store) -> Result<Option<Vec<Layer>>> {
        let Some(words) = &self.install.choices().extensions else {
            return Ok(None);
        };
        let limit_bytes = self.install.fetch.size_max_bytes()?;
        let insecure = self.install.insecure;
        extensions::admit(context, store, words, insecure, limit_bytes).map(Some)
    }

    fn consented(
        &self,
        context: &Context,
        admitted: &Admitted,
        (name, mut review): (&PortableName, Review),
        (known, signer): (Option<&Portable>, Option<&Signer>),
        taken: &Taken<'_>,
    ) -> Result<(Review, delivery::grants::Grants)> {
        review.ask_for_taken(|directory| taken.has(directory));
        crate::portable::check_names(context, &review, name, known)?;
        let installed = known.is_some_and(|known| is_current(known, admitted));
        self.check_history(
            context,
            (name.as_str(), admitted.version()),
            signer,
            installed,
        )?;
        // What was consented to and chosen for another counts no longer.
        let of_same = known.filter(|known| same_maker(known, admitted, signer));
        let choices = self.install.choices();
        let recorded = known
            .map(|known| choices.recorded(known, admitted.version(), of_same.is_some()))
            .unwrap_or_default();
        let chosen = choices.profile.as_deref();
        let chosen = chosen.or(of_same.map(|known| known.profile.as_str()));
        let implied = record::profile(chosen.unwrap_or_default())?.implied();
        let options = &self.install.grants;
        let grants = consent::settle(
            context,
            name.as_str(),
            &review,
            (&recorded, implied),
            options,
        )?;
        Ok((review, grants))
    }
}

/// Adds the units of what is laid over it: what is named now, else what was laid over it before, where it is of the same maker.
fn lay_over(
    store: &Store,
    admitted: &mut Admitted,
    layers: Option<&[Layer]>,
    known: Option<&Portable>,
) -> Result<()> {
    if let Some(layers) = layers {
        return extensions::extend(store, admitted, layers);
    }
    let maker = signer(admitted.signer.as_ref())?;
    let known = known.filter(|known| same_maker(known, admitted, maker.as_ref()));
    let recorded = known.map_or(&[][..], |known| &known.extensions);
    let layers = extensions::recorded(store, recorded)?;
    extensions::extend(store, admitted, &layers)
}

/// What is installed where nothing speaks against it.
struct Coming {
    /// The image or the directory.
    admitted: Admitted,
    /// What is laid over it, where that is named now.
    layers: Option<Vec<Layer>>,
    /// Where it is recorded to come from.
    origin: String,
}

impl Coming {
    fn new(admitted: Admitted, origin: String) -> Coming {
        Coming {
            admitted,
            layers: None,
            origin,
        }
    }

    fn discard(self, store: &Store) -> Result<()> {
        self.admitted.discard(store)?;
        extensions::discard(self.layers.unwrap_or_default(), store)
    }
}

/// What an admitted portable is called, what its units are, what was known of it, and what is to be recorded.
struct Decision {
    name: PortableName,
    review: Review,
    known: Option<Portable>,
    portable: Portable,
}

/// Holds the portable and its directories for what was decided, unless another command changed it or took one of them while the
/// administrator was asked: that was about what is no longer so.
fn hold(context: &Context, decision: Decision, must_be_attached: bool) -> Result<(Decision, Held)> {
    let mut held = records(context).hold(decision.name.as_str())?;
    let unchanged = held.check_unchanged(decision.known.as_ref());
    let claimed = unchanged.and_then(|()| held.claim(&decision.portable));
    claimed.or_hint(
        || format!("{} is not started", decision.name),
        "nothing was changed by this command; say it again to decide on what is there now",
    )?;
    // A start of what is there changes nothing of it.
    if decision.known.as_ref() != Some(&decision.portable) {
        crate::portable::check_settled(context, decision.name.as_str())?;
    }
    if must_be_attached && !crate::portable::is_attached(context, &decision.portable)? {
        return Err(hint(
            format!("another command has detached {} meanwhile", decision.name),
            format!("`coracle attach {}` attaches it", decision.name),
        ));
    }
    Ok((decision, held))
}
