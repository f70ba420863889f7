//! Reads what the dynamic loader would read of an ELF file: interpreter, needed libraries, search paths.
