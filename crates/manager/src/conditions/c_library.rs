//! The version of the host's GNU C Library. This program is linked with none of the host's, so the library's own files are asked.

use std::path::{Path, PathBuf};

/// Where programs for this architecture look for the library's loader.
#[cfg(target_arch = "x86_64")]
const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";
/// Where programs for this architecture look for the library's loader.
#[cfg(target_arch = "aarch64")]
const LOADER: &str = "/lib/ld-linux-aarch64.so.1";

/// Both files have fewer.
const BYTES_MAX: u64 = 8 << 20;

/// The version, such as `2.41`; none where the host has another C library, or none at all.
pub(super) fn version() -> Option<String> {
    // Before 2.35 the loader did not say it.
    [Some(LOADER.into()), library(LOADER.as_ref())]
        .into_iter()
        .flatten()
        .find_map(|file: PathBuf| said(&crate::beginning::read(file, BYTES_MAX).ok()?))
}

/// The library itself is where the loader is, once links are followed.
fn library(loader: &Path) -> Option<PathBuf> {
    Some(loader.canonicalize().ok()?.with_file_name("libc.so.6"))
}

/// What the banner in one of the files says.
fn said(bytes: &[u8]) -> Option<String> {
    const MARK: &[u8] = b" release version ";
    let start = bytes.windows(MARK.len()).position(|part| part == MARK)?;
    let rest = bytes.get(start + MARK.len()..)?;
    let end = rest
        .iter()
        .position(|byte| !byte.is_ascii_digit() && *byte != b'.')?;
    let version = std::str::from_utf8(rest.get(..end)?).ok()?;
    let version = version.trim_end_matches('.');
    (!version.is_empty()).then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::said;

    #[test]
    fn the_version_is_what_the_banner_says() {
        for (bytes, expected) in [
            (
                &b"\0ld.so (Debian GLIBC 2.41-12) stable release version 2.41.\nCopyright"[..],
                Some("2.41"),
            ),
            (
                b"development release version 2.41.9000.\n",
                Some("2.41.9000"),
            ),
            (b" release version 2.41.", None),
            (b" release version next\n", None),
            (b"musl libc", None),
        ] {
            assert_eq!(said(bytes).as_deref(), expected);
        }
    }
}
