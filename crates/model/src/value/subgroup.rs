//! The name of a control group below a unit's.

use crate::text::{Expand, Form, ParseError, TextForm};

/// NAME_MAX of the kernel.
const BYTES_MAX: usize = 255;
/// How files of the kernel's own begin there (cgroups(7)).
const FILES: &[&str] = &[
    "cgroup.", "cpu.", "cpuset.", "dmem.", "hugetlb.", "io.", "irq.", "memory.", "misc.", "pids.",
    "rdma.",
];

/// One part of a path, which is no file of the kernel's and nothing that this manager makes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct SubgroupName(pub String);

impl SubgroupName {
    fn is_name(text: &str) -> bool {
        let is_plain = |c: char| c.is_ascii_graphic() && c != '/';
        (1..=BYTES_MAX).contains(&text.len())
            && text.chars().all(is_plain)
            && !text.starts_with(['.', '_'])
            && !FILES.iter().any(|file| text.starts_with(file))
    }
}

impl TextForm for SubgroupName {
    fn parse_with(text: &str, expand: &dyn Expand) -> Result<SubgroupName, ParseError> {
        let name = expand.expand(text)?;
        if SubgroupName::is_name(&name) {
            Ok(SubgroupName(name))
        } else {
            Err(ParseError::not_a(&name, "the name of one control group"))
        }
    }

    fn print_lines(&self, form: Form) -> Vec<String> {
        vec![form.part(&self.0).into_owned()]
    }
}

#[cfg(test)]
mod tests {
    use super::SubgroupName;

    #[test]
    fn it_is_one_part_and_no_file_of_the_kernels() {
        for name in ["inner", "a.b", "supervisor"] {
            assert!(SubgroupName::is_name(name), "{name}");
        }
        for name in [
            "",
            ".",
            "..",
            "../up",
            "/etc",
            "a/b",
            ".control",
            "cgroup.procs",
            "memory.max",
            "a b",
            "a\n",
        ] {
            assert!(!SubgroupName::is_name(name), "{name:?}");
        }
    }
}
