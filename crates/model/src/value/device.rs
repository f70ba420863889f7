//! Devices: who may use them and how much.

use super::{
    TimeSpan, normalize_path,
    number::{parse_size, parse_unsigned},
    words::{Item, list},
};
use crate::text::{Expand, Form, ParseError, TextForm, split_words};

/// Which access to a device is allowed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DeviceRule {
    /// A path below `/dev`, or `char-NAME`, `block-NAME` with wildcards.
    pub device: String,
    /// Reading.
    pub read: bool,
    /// Writing.
    pub write: bool,
    /// Making the node.
    pub make: bool,
}

impl Item for DeviceRule {
    fn parse_item(text: &str, expand: &dyn Expand) -> Result<DeviceRule, ParseError> {
        let mut words = split_words(text)?.into_iter();
        let device = expand.expand(&words.next().unwrap_or_default())?;
        let device = if device.starts_with("char-") || device.starts_with("block-") {
            device
        } else {
            normalize_path(&device)?
        };
        let access = words.next().unwrap_or_else(|| "rwm".to_owned());
        if words.next().is_some()
            || access.is_empty()
            || !access.bytes().all(|b| b"rwm".contains(&b))
        {
            return Err(ParseError::not_a(text, "a device with r, w, m"));
        }
        Ok(DeviceRule {
            device,
            read: access.contains('r'),
            write: access.contains('w'),
            make: access.contains('m'),
        })
    }

    fn print_item(&self, form: Form) -> String {
        let flags = [(self.read, 'r'), (self.write, 'w'), (self.make, 'm')];
        let access: String = flags
            .iter()
            .filter_map(|(set, c)| set.then_some(*c))
            .collect();
        format!("{} {access}", form.word(&self.device))
    }
}

list! {
    /// Devices that may be used, one per line.
    DeviceRules of DeviceRule, lines
}

/// A number for a block device: a bandwidth, a rate, a weight or a latency in microseconds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DeviceAmount {
    /// The device, or a file on it.
    pub device: String,
    /// The number; its unit is the directive's.
    pub amount: u64,
}

/// Numbers for block devices.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct DeviceAmounts(pub Vec<DeviceAmount>);

impl DeviceAmounts {
    /// Reads pairs with any reader of numbers.
    pub fn parse_as(
        text: &str,
        expand: &dyn Expand,
        number: fn(&str) -> Option<u64>,
    ) -> Result<DeviceAmounts, ParseError> {
        let words = split_words(text)?;
        let mut amounts = Vec::new();
        for pair in words.chunks(2) {
            let [device, amount] = pair else {
                return Err(ParseError::not_a(text, "pairs of a device and a number"));
            };
            let amount =
                number(amount).ok_or_else(|| ParseError::not_a(amount, "a number for a device"))?;
            amounts.push(DeviceAmount {
                device: normalize_path(&expand.expand(device)?)?,
                amount,
            });
        }
        Ok(DeviceAmounts(amounts))
    }

    /// Reads bandwidths, whose suffixes are powers of 1000.
    pub fn parse_limits(text: &str, expand: &dyn Expand) -> Result<DeviceAmounts, ParseError> {
        DeviceAmounts::parse_as(text, expand, |text| {
            parse_size(text, 1000).filter(|amount| *amount > 0)
        })
    }

    /// Reads weights.
    pub fn parse_weights(text: &str, expand: &dyn Expand) -> Result<DeviceAmounts, ParseError> {
        DeviceAmounts::parse_as(text, expand, |text| {
            parse_unsigned(text).filter(|weight| (1..=10_000).contains(weight))
        })
    }

    /// Reads latencies.
    pub fn parse_latencies(text: &str, expand: &dyn Expand) -> Result<DeviceAmounts, ParseError> {
        DeviceAmounts::parse_as(text, expand, |text| {
            TimeSpan::parse(text).ok().map(TimeSpan::micros)
        })
    }

    /// Prints latencies.
    pub fn print_latencies(&self, form: Form) -> Vec<String> {
        let latency = |amount: u64| {
            if amount == u64::MAX {
                "infinity".to_owned()
            } else {
                format!("{amount}us")
            }
        };
        self.0
            .iter()
            .map(|one| format!("{} {}", form.word(&one.device), latency(one.amount)))
            .collect()
    }
}

/// The form of bandwidths.
impl TextForm for DeviceAmounts {
    const LIST: bool = true;

    fn parse_with(text: &str, expand: &dyn Expand) -> Result<DeviceAmounts, ParseError> {
        DeviceAmounts::parse_limits(text, expand)
    }

    fn print_lines(&self, form: Form) -> Vec<String> {
        let amount = |one: &DeviceAmount| {
            if one.amount == u64::MAX {
                "infinity".to_owned()
            } else {
                one.amount.to_string()
            }
        };
        self.0
            .iter()
            .map(|one| format!("{} {}", form.word(&one.device), amount(one)))
            .collect()
    }

    fn is_unset(&self) -> bool {
        self.0.is_empty()
    }

    fn append(&mut self, later: DeviceAmounts) {
        self.0
            .retain(|known| !later.0.iter().any(|one| one.device == known.device));
        self.0.extend(later.0);
    }
}
