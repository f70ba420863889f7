//! Disk images: dissect, verity, sign, build, mount.
