//! The compact code of a plan: little-endian numbers, NUL-terminated texts, decoded in place without allocating.

use core::ffi::CStr;

/// A text as the kernel takes it: bytes without NUL, terminated by one.
pub type Text<'a> = &'a CStr;

/// The bytes are not a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeError;

/// Reads values from the front of a slice.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Takes `count` bytes.
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (head, tail) = self.rest.split_at_checked(count).ok_or(DecodeError)?;
        self.rest = tail;
        Ok(head)
    }

    /// Takes an array.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        self.bytes(N)?.try_into().map_err(|_| DecodeError)
    }

    /// Takes one value.
    pub fn take<T: Field<'a>>(&mut self) -> Result<T, DecodeError> {
        T::take(self)
    }

    /// Whether every byte was taken.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}

/// Collects values; the planner's side.
#[cfg(feature = "encode")]
#[derive(Debug, Default)]
pub struct Writer {
    /// What was written so far.
    pub bytes: Vec<u8>,
}

#[cfg(feature = "encode")]
impl Writer {
    /// Appends one value.
    pub fn put<'a, T: Field<'a>>(&mut self, value: &T) {
        value.put(self);
    }
}

/// A value with a place in a plan.
pub trait Field<'a>: Sized {
    /// Decodes from the front of `reader`.
    fn take(reader: &mut Reader<'a>) -> Result<Self, DecodeError>;

    /// Encodes at the end of `writer`.
    #[cfg(feature = "encode")]
    fn put(&self, writer: &mut Writer);
}

macro_rules! numbers {
    ($($number:ty)*) => {$(
        impl<'a> Field<'a> for $number {
            fn take(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
                Ok(Self::from_le_bytes(reader.array()?))
            }

            #[cfg(feature = "encode")]
            fn put(&self, writer: &mut Writer) {
                writer.bytes.extend_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}

numbers!(u8 u16 u32 u64 i32 i64);

impl<'a> Field<'a> for bool {
    fn take(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        match u8::take(reader)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError),
        }
    }

    #[cfg(feature = "encode")]
    fn put(&self, writer: &mut Writer) {
        writer.put(&u8::from(*self));
    }
}

impl<'a, T: Field<'a>> Field<'a> for Option<T> {
    fn take(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        if reader.take::<bool>()? {
            reader.take().map(Some)
        } else {
            Ok(None)
        }
    }

    #[cfg(feature = "encode")]
    fn put(&self, writer: &mut Writer) {
        writer.put(&self.is_some());
        if let Some(value) = self {
            writer.put(value);
        }
    }
}

impl<'a> Field<'a> for &'a [u8] {
    fn take(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let length: u32 = reader.take()?;
        reader.bytes(length as usize)
    }

    #[cfg(feature = "encode")]
    fn put(&self, writer: &mut Writer) {
        writer.put(&u32::try_from(self.len()).unwrap_or(u32::MAX));
        writer.bytes.extend_from_slice(self);
    }
}

impl<'a> Field<'a> for &'a CStr {
    fn take(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        CStr::from_bytes_with_nul(reader.take()?).map_err(|_| DecodeError)
    }

    #[cfg(feature = "encode")]
    fn put(&self, writer: &mut Writer) {
        writer.put(&self.to_bytes_with_nul());
    }
}

/// Texts one after another.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct List<'a> {
    bytes: &'a [u8],
}

impl<'a> List<'a> {
    /// No texts.
    pub const EMPTY: Self = Self { bytes: &[] };

    /// The texts in order.
    pub fn iter(&self) -> impl Iterator<Item = Text<'a>> + Clone + use<'a> {
        let mut rest = self.bytes;
        core::iter::from_fn(move || {
            let text = CStr::from_bytes_until_nul(rest).ok()?;
            rest = rest.get(text.to_bytes_with_nul().len()..)?;
            Some(text)
        })
    }

    /// Whether there is no text.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// Texts that a program has fixed: bytes of which the last is a NUL.
#[derive(Debug, Clone, Copy)]
pub struct ListBytes(pub &'static [u8]);

impl ListBytes {
    /// The texts.
    pub const fn list(self) -> List<'static> {
        List { bytes: self.0 }
    }

    /// The same for a planner.
    #[cfg(feature = "encode")]
    pub fn texts(self) -> Vec<String> {
        let texts = self.list();
        let texts = texts.iter().map(|text| text.to_string_lossy().into_owned());
        texts.collect()
    }
}

impl core::fmt::Debug for List<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> Field<'a> for List<'a> {
    fn take(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let bytes: &[u8] = reader.take()?;
        if bytes.last().is_none_or(|&last| last == 0) {
            Ok(Self { bytes })
        } else {
            Err(DecodeError)
        }
    }

    #[cfg(feature = "encode")]
    fn put(&self, writer: &mut Writer) {
        writer.put(&self.bytes);
    }
}

/// Owns the bytes of a [`List`]; the planner's side. Bytes after a NUL inside a text are dropped.
#[cfg(feature = "encode")]
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct ListBuf {
    bytes: Vec<u8>,
}

#[cfg(feature = "encode")]
impl ListBuf {
    /// Appends a text.
    pub fn push(&mut self, text: impl AsRef<[u8]>) {
        self.bytes
            .extend(text.as_ref().iter().copied().take_while(|&byte| byte != 0));
        self.bytes.push(0);
    }

    /// The texts as a plan's value.
    pub fn list(&self) -> List<'_> {
        List { bytes: &self.bytes }
    }
}

#[cfg(feature = "encode")]
impl<T: AsRef<[u8]>> FromIterator<T> for ListBuf {
    fn from_iter<I: IntoIterator<Item = T>>(texts: I) -> Self {
        let mut list = Self::default();
        texts.into_iter().for_each(|text| list.push(text));
        list
    }
}

/// Declares closed enums and records with their code: a tag byte, then the fields in order.
macro_rules! coded {
    ($($(#[$meta:meta])* enum $name:ident$(<$life:lifetime>)? { $($(#[$vmeta:meta])* $variant:ident = $tag:literal $({ $($(#[$fmeta:meta])* $field:ident: $type:ty),* $(,)? })?),* $(,)? })*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name$(<$life>)? { $($(#[$vmeta])* $variant $({ $($(#[$fmeta])* $field: $type),* })?),* }

        impl$(<$life>)? $name$(<$life>)? {
            /// The number of the variant.
            pub const fn tag(&self) -> u8 {
                match self {
                    $(Self::$variant $({ $($field: _),* })? => $tag,)*
                }
            }

            /// The name of the variant with a number.
            pub const fn name_of(tag: u8) -> Option<&'static str> {
                match tag {
                    $($tag => Some(stringify!($variant)),)*
                    _ => None,
                }
            }
        }

        impl<'a> $crate::code::Field<'a> for coded!(@ $name $($life)?) {
            fn take(reader: &mut $crate::code::Reader<'a>) -> Result<Self, $crate::code::DecodeError> {
                match reader.take::<u8>()? {
                    $($tag => Ok(Self::$variant $({ $($field: reader.take()?),* })?),)*
                    _ => Err($crate::code::DecodeError),
                }
            }

            #[cfg(feature = "encode")]
            fn put(&self, writer: &mut $crate::code::Writer) {
                match self {
                    $(Self::$variant $({ $($field),* })? => { writer.put::<u8>(&$tag); $($(writer.put($field);)*)? })*
                }
            }
        }
    )*};
    (@ $name:ident $life:lifetime) => { $name<'a> };
    (@ $name:ident) => { $name };
}

pub(crate) use coded;
