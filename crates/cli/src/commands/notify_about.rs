//! `notify-about`: tells by mail or webhook of a unit, as `notify.conf` says. `coracle-notify@.service` runs it.

mod facts;
mod mail;

use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use delivery::fetch::{Roots, post};
use load::notify::{FILE, Notify, is_teller};
use model::UnitName;

use crate::context::Context;
use crate::failure::{WithHint, hint, tell};
use crate::terminal::complain;
use crate::verbs::Run;
use facts::Facts;

/// How long a webhook's server may take.
const WEBHOOK_PATIENCE: Duration = Duration::from_secs(30);

/// What is in the manual page beside the options.
pub(crate) const ABOUT_FILE: &str = "\
Units are told of by OnFailure=coracle-notify@%n.service, which runs this verb. Who is told is in /etc/coracle/notify.conf, of which one \
line is enough; whoever may not know the address of a webhook may not read the file (chmod 600):

  Mail=ADDRESS…              whom mails go to, by the host's sendmail
  MailFrom=ADDRESS           whom they come from
  Sendmail=PATH              the program that takes them [default: /usr/sbin/sendmail]
  Webhook=URL                what is sent JSON by an HTTP POST; redirects are not followed
  WebhookCertificates=PATH   the only certificates to trust its server by
  Lines=NUMBER               how many of the last log lines go along [default: 20; at most 200]
  EveryService=yes           services without an OnFailure= of their own are told of, too

Run by hand it tells of the unit as it is now: that is the way to try the file.";

/// Options of `notify-about`.
#[derive(Args, Debug)]
#[command(after_long_help = ABOUT_FILE)]
pub(crate) struct NotifyAbout {
    /// The unit
    #[arg(value_name = "UNIT")]
    unit: String,
}

impl Run for NotifyAbout {
    fn run(self, context: &Context) -> Result<u8> {
        let unit = UnitName::new(&crate::context::full_unit_name(self.unit))?;
        if is_teller(&unit) {
            context.narrate(&format!("{unit} tells of others, and nothing tells of it"));
            return Ok(0);
        }
        let file = context.directories.config.join(FILE);
        let notify = Notify::read(&context.directories.config)
            .with_context(|| format!("cannot read {}", file.display()))?;
        for complaint in &notify.complaints {
            complain(&format!("{}: {complaint}", file.display()));
        }
        if !notify.tells() {
            return Err(hint(
                format!("nobody is told of {unit}: {} names nobody", file.display()),
                "a line Mail=ADDRESS or Webhook=URL there says who is",
            ));
        }
        let facts = Facts::of(context, &unit, notify.lines);
        Ok(u8::from(!told(context, &notify, &facts)))
    }
}

/// Tells everybody; one who can't be told keeps nobody else from it.
fn told(context: &Context, notify: &Notify, facts: &Facts) -> bool {
    let mail = (!notify.mail.is_empty()).then(|| {
        mail::send(notify, facts).or_hint(
            || format!("no mail tells of {}", facts.unit),
            "Sendmail= in notify.conf names the program that takes mails; its own words are in the log",
        )
    });
    let webhook = notify.webhook.as_deref().map(|url| {
        webhook(url, notify, facts).or_hint(
            || format!("no webhook was told of {}", facts.unit),
            "`coracle notify-about UNIT` tries it again",
        )
    });
    let mut all = true;
    for (what, outcome) in [("mail", mail), ("webhook", webhook)] {
        match outcome {
            None => {}
            Some(Ok(())) => context.narrate(&format!("told of {} by {what}", facts.unit)),
            Some(Err(error)) => {
                tell(&error);
                all = false;
            }
        }
    }
    all
}

fn webhook(url: &str, notify: &Notify, facts: &Facts) -> Result<()> {
    let roots = match &notify.certificates {
        None => Roots::System,
        Some(path) => Roots::Only(
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?,
        ),
    };
    let json = serde_json::to_vec(facts)?;
    Ok(post(url, &json, &roots, WEBHOOK_PATIENCE)?)
}
