//! Images built from directories: reproducible, complete, refused for a reason, verified and signed.
