//! Images built from programs.
