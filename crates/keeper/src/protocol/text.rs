//! Numbers and short texts into and out of fixed buffers.

use super::Malformed;

/// Writes fields one behind the other. What does not fit is cut; the protocol's sizes make sure that all fits.
pub struct Writer<'a> {
    bytes: &'a mut [u8],
    used: usize,
}

impl<'a> Writer<'a> {
    /// Writes into `bytes` from its beginning.
    pub fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, used: 0 }
    }

    /// How many bytes are written.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used
    }

    /// Appends `field` as it is.
    pub fn raw(&mut self, field: &[u8]) {
        let room = self.bytes.get_mut(self.used..).unwrap_or_default();
        let count = field.len().min(room.len());
        for (to, from) in room.iter_mut().zip(field) {
            *to = *from;
        }
        self.used += count;
    }

    /// Appends a number.
    pub fn u16(&mut self, value: u16) {
        self.raw(&value.to_ne_bytes());
    }

    /// Appends a number.
    pub fn u32(&mut self, value: u32) {
        self.raw(&value.to_ne_bytes());
    }

    /// Appends a number.
    pub fn i32(&mut self, value: i32) {
        self.raw(&value.to_ne_bytes());
    }

    /// Appends a number.
    pub fn u64(&mut self, value: u64) {
        self.raw(&value.to_ne_bytes());
    }

    /// Appends a length and a text of at most `limit` bytes.
    pub fn text(&mut self, text: &[u8], limit: usize) {
        let text = text.get(..text.len().min(limit)).unwrap_or_default();
        self.u16(u16::try_from(text.len()).unwrap_or_default());
        self.raw(text);
    }
}

/// Reads fields one behind the other.
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the beginning of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (first, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(Malformed::Length)?;
        self.rest = rest;
        Ok(*first)
    }

    /// Takes a number.
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_ne_bytes)
    }

    /// Takes a number.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_ne_bytes)
    }

    /// Takes a number.
    pub fn i32(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_ne_bytes)
    }

    /// Takes a number.
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_ne_bytes)
    }

    /// Takes a text of at most `limit` bytes.
    pub fn text(&mut self, limit: usize) -> Result<&'a [u8], Malformed> {
        let length = usize::from(self.u16()?);
        if length > limit {
            return Err(Malformed::Field);
        }
        let (text, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(Malformed::Length)?;
        self.rest = rest;
        Ok(text)
    }

    /// All that is left.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Nothing may follow.
    pub fn finish(self) -> Result<(), Malformed> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Malformed::Length)
        }
    }
}
