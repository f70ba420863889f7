//! Where this kernel keeps what programs of the security module look at, from its own description of its types (`/sys/kernel/btf/vmlinux`;
//! Linux, Documentation/bpf/btf.rst).

/// Places in structures of the kernel, in bytes, and the number of the function that a program stands before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// The type of `bpf_lsm_file_open`.
    pub function: u32,
    pub(super) file_inode: i16,
    pub(super) file_flags: i16,
    pub(super) inode_super: i16,
    pub(super) inode_number: i16,
    pub(super) inode_generation: i16,
    pub(super) super_magic: i16,
    pub(super) super_device: i16,
    pub(super) task_memory: i16,
    pub(super) memory_file: i16,
}

/// The description can't be read, or has not got what is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the kernel's description of its types has no {0}")]
pub struct Missing(pub &'static str);

const MAGIC: u16 = 0xeb9f;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const FUNCTION: u32 = 12;
/// How deep structures without a name may be in each other.
const DEPTH_MAX: u32 = 8;

/// Reads what [`Layout`] has.
///
/// # Errors
/// What is missing.
pub fn layout(bytes: &[u8]) -> Result<Layout, Missing> {
    let types = Types::read(bytes).ok_or(Missing("readable header"))?;
    let file = types.structure("file")?;
    let inode = types.structure("inode")?;
    let super_block = types.structure("super_block")?;
    let task = types.structure("task_struct")?;
    let memory = types.structure("mm_struct")?;
    Ok(Layout {
        function: types.function("bpf_lsm_file_open")?,
        file_inode: types.place(file, "f_inode")?,
        file_flags: types.place(file, "f_flags")?,
        inode_super: types.place(inode, "i_sb")?,
        inode_number: types.place(inode, "i_ino")?,
        inode_generation: types.place(inode, "i_generation")?,
        super_magic: types.place(super_block, "s_magic")?,
        super_device: types.place(super_block, "s_dev")?,
        task_memory: types.place(task, "mm")?,
        memory_file: types.place(memory, "exe_file")?,
    })
}

/// A type: its place in the bytes.
#[derive(Clone, Copy)]
struct Type {
    at: usize,
    info: u32,
}

impl Type {
    fn kind(self) -> u32 {
        self.info >> 24 & 0x1f
    }

    fn count(self) -> usize {
        (self.info & 0xffff) as usize
    }
}

struct Types<'a> {
    bytes: &'a [u8],
    names: &'a [u8],
    /// In the order of their numbers, the first of which is 1.
    all: Vec<Type>,
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let found = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(found.try_into().ok()?))
}

fn part(bytes: &[u8], from: u32, length: u32) -> Option<&[u8]> {
    let from = from as usize;
    bytes.get(from..from.checked_add(length as usize)?)
}

impl<'a> Types<'a> {
    fn read(bytes: &'a [u8]) -> Option<Types<'a>> {
        let magic = u16::from_le_bytes(bytes.get(..2)?.try_into().ok()?);
        let rest = bytes.get(word(bytes, 4)? as usize..)?;
        let types = part(rest, word(bytes, 8)?, word(bytes, 12)?)?;
        let names = part(rest, word(bytes, 16)?, word(bytes, 20)?)?;
        let mut all = Vec::new();
        let mut at = 0;
        while at < types.len() {
            let one = Type {
                at,
                info: word(types, at + 4)?,
            };
            at += 12 + following(one)?;
            all.push(one);
        }
        (magic == MAGIC && at == types.len()).then_some(Types {
            bytes: types,
            names,
            all,
        })
    }

    fn is_named(&self, at: usize, name: &str) -> bool {
        let place = word(self.bytes, at).map(|place| place as usize);
        let rest = place.and_then(|place| self.names.get(place..));
        let rest = rest.and_then(|rest| rest.strip_prefix(name.as_bytes()));
        rest.is_some_and(|rest| rest.first() == Some(&0))
    }

    fn structure(&self, name: &'static str) -> Result<Type, Missing> {
        let is_it = |one: &&Type| one.kind() == STRUCT && self.is_named(one.at, name);
        self.all.iter().find(is_it).copied().ok_or(Missing(name))
    }

    fn function(&self, name: &'static str) -> Result<u32, Missing> {
        let is_it = |one: &Type| one.kind() == FUNCTION && self.is_named(one.at, name);
        let found = self.all.iter().position(is_it);
        let number = found.and_then(|at| u32::try_from(at + 1).ok());
        number.ok_or(Missing(name))
    }

    fn place(&self, of: Type, name: &'static str) -> Result<i16, Missing> {
        let bits = self.member(of, name, DEPTH_MAX).ok_or(Missing(name))?;
        let bytes = (bits % 8 == 0).then_some(bits / 8);
        bytes
            .and_then(|bytes| i16::try_from(bytes).ok())
            .ok_or(Missing(name))
    }

    /// How many bits a member is from the beginning, also in a structure without a name.
    fn member(&self, of: Type, name: &str, depth: u32) -> Option<u32> {
        let depth = depth.checked_sub(1)?;
        (0..of.count()).find_map(|member| {
            let at = of.at + 12 + 12 * member;
            let offset = word(self.bytes, at + 8)?;
            // With the flag, the upper bits are a bit field's width.
            let offset = if of.info >> 31 == 1 {
                offset & 0x00ff_ffff
            } else {
                offset
            };
            if self.is_named(at, name) {
                return Some(offset);
            }
            if !self.is_named(at, "") {
                return None;
            }
            let number = word(self.bytes, at + 4)? as usize;
            let inner = *self.all.get(number.checked_sub(1)?)?;
            if !matches!(inner.kind(), STRUCT | UNION) {
                return None;
            }
            self.member(inner, name, depth)?.checked_add(offset)
        })
    }
}

/// Bytes that follow a type's first three words.
fn following(one: Type) -> Option<usize> {
    Some(match one.kind() {
        1 | 14 | 17 => 4,
        3 => 12,
        STRUCT | UNION | 15 | 19 => 12 * one.count(),
        6 | 13 => 8 * one.count(),
        2 | 7..=12 | 16 | 18 => 0,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A description with these types, each the words after its name, and these names.
    fn described(types: &[(&str, &[u32])]) -> Vec<u8> {
        let mut names = vec![0];
        let mut words = Vec::new();
        for (name, rest) in types {
            let place = if name.is_empty() { 0 } else { names.len() };
            words.push(u32::try_from(place).expect("small"));
            words.extend_from_slice(rest);
            if place > 0 {
                names.extend(name.bytes());
                names.push(0);
            }
        }
        let length = |bytes: usize| u32::try_from(bytes).expect("small");
        let header = [
            24,
            0,
            length(4 * words.len()),
            length(4 * words.len()),
            length(names.len()),
        ];
        let mut bytes = vec![0x9f, 0xeb, 1, 0];
        for word in header.iter().chain(&words) {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(names);
        bytes
    }

    /// A structure without members of its own in front of members, each a name with its type and place in bits.
    const fn structure(count: u32) -> [u32; 2] {
        [STRUCT << 24 | count, 0]
    }

    #[test]
    fn members_are_found_also_in_structures_without_a_name() {
        let bytes = described(&[
            ("outer", &structure(2)),
            ("first", &[3, 0]),
            ("", &[2, 64]),
            ("", &[1 << 31 | STRUCT << 24 | 1, 0]),
            ("inner", &[3, 5 << 24 | 32]),
            ("long", &[1 << 24, 8, 64]),
            ("act", &[FUNCTION << 24, 0]),
        ]);
        let types = Types::read(&bytes).expect("types");
        let outer = types.structure("outer").expect("it is there");
        assert_eq!(types.place(outer, "first"), Ok(0));
        assert_eq!(types.place(outer, "inner"), Ok(12));
        assert_eq!(types.place(outer, "inn"), Err(Missing("inn")));
        assert_eq!(types.function("act"), Ok(4));
        assert!(types.structure("act").is_err());
    }

    #[test]
    fn all_of_a_layout_is_read_from_a_small_description() {
        let bytes = include_bytes!("../../../../fuzz/corpus/btf/small");
        let found = layout(bytes).expect("a layout");
        assert_eq!(
            (found.function, found.file_inode, found.memory_file),
            (7, 8, 8)
        );
        for end in 0..bytes.len() {
            assert!(layout(&bytes[..end]).is_err(), "the first {end} bytes");
        }
    }

    #[test]
    fn a_structure_in_itself_and_places_beyond_the_end_are_no_member() {
        let bytes = described(&[("loop", &structure(1)), ("", &[1, 0])]);
        let types = Types::read(&bytes).expect("types");
        let looped = types.structure("loop").expect("it is there");
        assert_eq!(types.place(looped, "x"), Err(Missing("x")));
        for end in 0..bytes.len() {
            assert!(layout(&bytes[..end]).is_err(), "the first {end} bytes");
        }
    }
}
