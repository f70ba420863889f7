//! Disk images: dissect, verity, sign, build, mount.
//!
//! The road of an image that comes in is [`dissect`] (hostile headers in, extents and blobs out), [`verify`] (signature over the root
//! hash, root hash over the data), [`mount`] (only what is [`verify::Verified`]), [`tree`] (what lies inside). The road out is
//! [`recipe`], then [`sign`], and [`statement`] beside it. [`worker`] runs the first road in processes that can do nothing else.

pub mod assemble;
pub mod build;
pub mod choose;
pub mod crew;
pub mod discoverable;
pub mod disk;
pub mod dissect;
pub mod elf;
pub mod erofs;
pub mod extension;
pub mod generate;
pub mod gpt;
pub mod guid;
mod hex;
pub mod inspect;
pub mod keygen;
pub mod luks;
pub mod manifest;
pub mod mbr;
pub mod mount;
pub mod os_release;
pub mod packages;
pub mod parcel;
pub mod probe;
pub mod program;
pub mod recipe;
pub mod sign;
pub mod signature;
pub mod source;
pub mod squashfs;
pub mod statement;
pub mod travel;
pub mod tree;
pub mod unpack;
pub mod verify;
pub mod verity;
pub mod worker;
