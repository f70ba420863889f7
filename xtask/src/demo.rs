//! The main job from beginning to end (being written).
use std::path::{Path, PathBuf};

use anyhow::Result;

pub(crate) fn run() -> Result<()> { Ok(()) }
pub(crate) fn hello_image(_folder: &Path) -> Result<PathBuf> { Ok(PathBuf::new()) }
