//! Architectures of system calls, by the names that unit files use.

/// The names; `native` is the machine's own.
pub static ARCHITECTURES: &[&str] = &[
    "native",
    "x86",
    "x86-64",
    "x32",
    "arc-be",
    "arm",
    "arm64",
    "loongarch64",
    "m68k",
    "mips",
    "mips64",
    "mips64-n32",
    "mips-le",
    "mips64-le",
    "mips64-le-n32",
    "parisc",
    "parisc64",
    "ppc",
    "ppc64",
    "ppc64-le",
    "riscv32",
    "riscv64",
    "s390",
    "s390x",
];
