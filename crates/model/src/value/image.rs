//! Disk images that a unit names, with the options and policies for them.

use super::{
    normalize_path,
    words::{Item, colon_fields, escape_colons, list},
};
use crate::text::{Expand, Form, ParseError};

/// Mount options for one partition of an image.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PartitionOptions {
    /// The partition's purpose, `root` when it was not said.
    pub partition: String,
    /// Options, separated by commas.
    pub options: String,
}

const PARTITIONS: [&str; 10] = [
    "root",
    "usr",
    "home",
    "srv",
    "esp",
    "xbootldr",
    "swap",
    "root-verity",
    "tmp",
    "var",
];

impl Item for PartitionOptions {
    fn parse_item(text: &str, expand: &dyn Expand) -> Result<PartitionOptions, ParseError> {
        let (partition, options) = match text.split_once(':') {
            Some((partition, options)) => (expand.expand(partition)?, options),
            None => ("root".to_owned(), text),
        };
        if !PARTITIONS.contains(&partition.as_str()) {
            return Err(ParseError::not_a(
                &partition,
                "a partition's purpose such as root or usr",
            ));
        }
        Ok(PartitionOptions {
            partition,
            options: expand.expand(options)?,
        })
    }

    fn print_item(&self, form: Form) -> String {
        format!("{}:{}", self.partition, form.part(&self.options))
    }
}

list! {
    /// Mount options by partition.
    MountOptions of PartitionOptions, words
}

/// An image mounted into the unit's tree.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MountImage {
    /// The image.
    pub source: String,
    /// Where its root goes; empty for an extension image.
    pub destination: String,
    /// `-`: it may be missing.
    pub optional: bool,
    /// Mount options: `partition:options` fields as written.
    pub options: Vec<String>,
}

impl MountImage {
    fn read(
        text: &str,
        expand: &dyn Expand,
        has_destination: bool,
    ) -> Result<MountImage, ParseError> {
        let (optional, rest) = text
            .strip_prefix('-')
            .map_or((false, text), |rest| (true, rest));
        let mut fields = colon_fields(rest, usize::MAX).into_iter();
        let source = normalize_path(&expand.expand(&fields.next().unwrap_or_default())?)?;
        let destination = match has_destination {
            true => normalize_path(&expand.expand(&fields.next().unwrap_or_default())?)?,
            false => String::new(),
        };
        let options: Result<Vec<String>, ParseError> =
            fields.map(|option| expand.expand(&option)).collect();
        Ok(MountImage {
            source,
            destination,
            optional,
            options: options?,
        })
    }

    fn text(&self, form: Form) -> String {
        let mut text = format!(
            "{}{}",
            if self.optional { "-" } else { "" },
            escape_colons(&form.part(&self.source))
        );
        let destination = Some(&self.destination).filter(|destination| !destination.is_empty());
        for field in destination.into_iter().chain(&self.options) {
            text.push(':');
            text.push_str(&escape_colons(&form.part(field)));
        }
        text
    }
}

impl Item for MountImage {
    fn parse_item(text: &str, expand: &dyn Expand) -> Result<MountImage, ParseError> {
        MountImage::read(text, expand, true)
    }

    fn print_item(&self, form: Form) -> String {
        self.text(form)
    }
}

list! {
    /// Images mounted at places of their own.
    MountImages of MountImage, words
}

/// An image laid over the unit's `/usr`, `/opt` or `/etc`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ExtensionImage(pub MountImage);

impl Item for ExtensionImage {
    fn parse_item(text: &str, expand: &dyn Expand) -> Result<ExtensionImage, ParseError> {
        MountImage::read(text, expand, false).map(ExtensionImage)
    }

    fn print_item(&self, form: Form) -> String {
        self.0.text(form)
    }
}

list! {
    /// Extension images, lowest first.
    ExtensionImages of ExtensionImage, words
}
