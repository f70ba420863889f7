//! dm-verity's on-disk format: superblock, hash tree, root hash.
use serde::{Deserialize, Serialize};

/// The SHA-256 at the top of a hash tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RootHash(pub [u8; 32]);
