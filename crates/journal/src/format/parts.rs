//! The smallest parts of a payload: little-endian numbers, bytes with a length, fields.

use super::Fields;

/// Writes parts into a payload.
#[derive(Debug, Default)]
pub(crate) struct PartWriter {
    pub(crate) bytes: Vec<u8>,
}

impl PartWriter {
    pub(crate) fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// A count; more than fits is cut with the list, which is why the list goes through here.
    pub(crate) fn list<T>(&mut self, items: &[T], mut write: impl FnMut(&mut PartWriter, &T)) {
        let count = u32::try_from(items.len()).unwrap_or(u32::MAX);
        self.u32(count);
        for item in items.iter().take(count as usize) {
            write(self, item);
        }
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) {
        let count = u32::try_from(value.len()).unwrap_or(u32::MAX);
        self.u32(count);
        self.bytes
            .extend_from_slice(value.get(..count as usize).unwrap_or(value));
    }

    pub(crate) fn fields(&mut self, fields: &Fields) {
        self.list(fields, |writer, (name, value)| {
            writer.bytes(name.as_bytes());
            writer.bytes(value);
        });
    }
}

/// Reads parts back; `None` where the payload ends early.
#[derive(Debug)]
pub(crate) struct PartReader<'a> {
    rest: &'a [u8],
}

impl<'a> PartReader<'a> {
    pub(crate) fn new(payload: &'a [u8]) -> PartReader<'a> {
        PartReader { rest: payload }
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*head)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// Every item is at least one byte, so a count beyond the rest is refused before anything is allocated.
    pub(crate) fn list<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        let count = self.u32()? as usize;
        if count > self.rest.len() {
            return None;
        }
        (0..count).map(|_| read(self)).collect()
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let count = self.u32()? as usize;
        let (value, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(value)
    }

    pub(crate) fn fields(&mut self) -> Option<Fields> {
        self.list(|reader| {
            let name = String::from_utf8(reader.bytes()?.to_vec()).ok()?;
            Some((name, reader.bytes()?.to_vec()))
        })
    }

    pub(crate) fn end<T>(self, value: T) -> Option<T> {
        self.rest.is_empty().then_some(value)
    }
}
