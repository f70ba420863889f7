//! How the kernel treats the pages of the service.

use kernel::Result;
use plan::step::HugePages;

/// Equal pages become one, or not.
pub(super) fn merge(merge: bool) -> Result<()> {
    kernel::process::set_memory_merge(merge)
}

/// Which huge pages there are.
pub(super) fn huge_pages(pages: HugePages) -> Result<()> {
    let (disable, except_advised) = match pages {
        HugePages::Never => (true, false),
        HugePages::Advised => (true, true),
        HugePages::Any => (false, false),
    };
    kernel::process::disable_huge_pages(disable, except_advised)
}

/// On which nodes they are placed.
pub(super) fn policy(mode: u32, nodes: &[u8]) -> Result<()> {
    kernel::scheduling::set_memory_policy(mode, nodes)
}
