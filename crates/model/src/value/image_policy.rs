//! The language of systemd.image-policy(7): which partitions of an image are used, and how they must be protected.

use crate::text::{Expand, Form, ParseError, TextForm};

/// What a partition of an image is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Designator {
    /// The root file system.
    Root,
    /// `/usr`.
    Usr,
    /// `/home`.
    Home,
    /// `/srv`.
    Srv,
    /// The EFI system partition.
    Esp,
    /// The extended boot loader partition.
    Xbootldr,
    /// Swap.
    Swap,
    /// The root file system's integrity data.
    RootVerity,
    /// The signature over them.
    RootVeritySig,
    /// The integrity data of `/usr`.
    UsrVerity,
    /// The signature over them.
    UsrVeritySig,
    /// `/var/tmp`.
    Tmp,
    /// `/var`.
    Var,
}

impl Designator {
    /// All of them.
    pub const ALL: [Designator; 13] = [
        Designator::Root,
        Designator::Usr,
        Designator::Home,
        Designator::Srv,
        Designator::Esp,
        Designator::Xbootldr,
        Designator::Swap,
        Designator::RootVerity,
        Designator::RootVeritySig,
        Designator::UsrVerity,
        Designator::UsrVeritySig,
        Designator::Tmp,
        Designator::Var,
    ];

    /// As policies and mount options spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Designator::Root => "root",
            Designator::Usr => "usr",
            Designator::Home => "home",
            Designator::Srv => "srv",
            Designator::Esp => "esp",
            Designator::Xbootldr => "xbootldr",
            Designator::Swap => "swap",
            Designator::RootVerity => "root-verity",
            Designator::RootVeritySig => "root-verity-sig",
            Designator::UsrVerity => "usr-verity",
            Designator::UsrVeritySig => "usr-verity-sig",
            Designator::Tmp => "tmp",
            Designator::Var => "var",
        }
    }

    /// The one of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Designator> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }

    /// Whose integrity data or signature it is.
    const fn protects(self) -> Option<Designator> {
        match self {
            Designator::RootVerity | Designator::RootVeritySig => Some(Designator::Root),
            Designator::UsrVerity | Designator::UsrVeritySig => Some(Designator::Usr),
            _ => None,
        }
    }
}

/// What a policy lets a partition be: a set of words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Allowed(u32);

impl Allowed {
    /// There, used, and protected by nothing.
    pub const UNPROTECTED: Allowed = Allowed(1);
    /// There, used, with integrity data.
    pub const VERITY: Allowed = Allowed(1 << 1);
    /// There, used, with integrity data that somebody signed.
    pub const SIGNED: Allowed = Allowed(1 << 2);
    /// There, used, encrypted.
    pub const ENCRYPTED: Allowed = Allowed(1 << 3);
    /// There, used, encrypted so that changes are found, too.
    pub const ENCRYPTED_WITH_INTEGRITY: Allowed = Allowed(1 << 17);
    /// There, but not used.
    pub const UNUSED: Allowed = Allowed(1 << 4);
    /// Not there.
    pub const ABSENT: Allowed = Allowed(1 << 5);
    /// With the partition's flag "read-only".
    pub const READ_ONLY: Allowed = Allowed(1 << 6);
    /// Without it.
    pub const WRITABLE: Allowed = Allowed(1 << 7);
    /// With the partition's flag "grow the file system".
    pub const GROWS: Allowed = Allowed(1 << 8);
    /// Without it.
    pub const STAYS: Allowed = Allowed(1 << 9);

    const OPEN: u32 = 0x3f | Self::ENCRYPTED_WITH_INTEGRITY.0;
    const READ_ONLY_MASK: u32 = 3 << 6;
    const GROWS_MASK: u32 = 3 << 8;
    const KINDS: [(&'static str, u32); 7] = [
        ("btrfs", 1 << 10),
        ("erofs", 1 << 11),
        ("ext4", 1 << 12),
        ("f2fs", 1 << 13),
        ("squashfs", 1 << 14),
        ("vfat", 1 << 15),
        ("xfs", 1 << 16),
    ];
    const KINDS_MASK: u32 = 0x7f << 10;

    /// Whether all of `other` is in it.
    #[must_use]
    pub const fn has(self, other: Allowed) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether a file system of this kind (the kernel's name) may be there.
    #[must_use]
    pub fn has_kind(self, name: &str) -> bool {
        let bit = Self::KINDS.iter().find(|(known, _)| *known == name);
        bit.is_some_and(|(_, bit)| self.0 & bit != 0)
    }

    /// Both.
    #[must_use]
    pub const fn and(self, other: Allowed) -> Allowed {
        Allowed(self.0 | other.0)
    }

    /// What was not said at all is all allowed, family by family.
    const fn completed(self) -> Allowed {
        let mut bits = self.0;
        if bits & Self::OPEN == 0 {
            bits |= Self::OPEN;
        }
        if bits & Self::READ_ONLY_MASK == 0 {
            bits |= Self::READ_ONLY_MASK;
        }
        if bits & Self::GROWS_MASK == 0 {
            bits |= Self::GROWS_MASK;
        }
        if bits & Self::KINDS_MASK == 0 {
            bits |= Self::KINDS_MASK;
        }
        Allowed(bits)
    }

    fn word(text: &str) -> Option<u32> {
        let word = match text {
            "unprotected" => Self::UNPROTECTED,
            "verity" => Self::VERITY,
            "signed" => Self::SIGNED,
            "encrypted" => Self::ENCRYPTED,
            "encryptedwithintegrity" => Self::ENCRYPTED_WITH_INTEGRITY,
            "unused" => Self::UNUSED,
            "absent" => Self::ABSENT,
            "open" => Allowed(Self::OPEN),
            "read-only-on" => Self::READ_ONLY,
            "read-only-off" => Self::WRITABLE,
            "growfs-on" => Self::GROWS,
            "growfs-off" => Self::STAYS,
            kind => {
                let known = Self::KINDS.iter().find(|(known, _)| *known == kind);
                return known.map(|(_, bit)| *bit);
            }
        };
        Some(word.0)
    }

    fn parse(text: &str) -> Option<Allowed> {
        let words = text.split('+').map(str::trim);
        let mut bits = 0;
        for word in words.filter(|word| !word.is_empty()) {
            bits |= Self::word(word)?;
        }
        Some(Allowed(bits))
    }
}

/// Which partitions of an image are used, and how they must be protected: `partition=flags` joined by `:`, kept as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ImagePolicy(pub String);

impl ImagePolicy {
    /// For RootImage= and MountImages= where the unit says nothing.
    pub const OF_ROOTS: &'static str = "root=verity+signed+encrypted+unprotected+absent:usr=verity+signed+encrypted+unprotected+absent:\
        home=encrypted+unprotected+absent:srv=encrypted+unprotected+absent:tmp=encrypted+unprotected+absent:var=encrypted+unprotected+absent";
    /// For ExtensionImages= where the unit says nothing.
    pub const OF_EXTENSIONS: &'static str = "root=verity+signed+encrypted+unprotected+absent:usr=verity+signed+encrypted+unprotected+absent";

    /// What it lets a partition be.
    #[must_use]
    pub fn allows(&self, designator: Designator) -> Allowed {
        self.said(designator)
            .unwrap_or_else(|| self.derived(designator))
            .completed()
    }

    fn rules(&self) -> impl Iterator<Item = (&str, Allowed)> {
        let text = match self.0.trim() {
            "*" => "=open",
            "-" | "" => "=unused+absent",
            "~" => "=absent",
            text => text,
        };
        text.split(':').filter_map(|rule| {
            let (name, flags) = rule.split_once('=')?;
            Some((name.trim(), Allowed::parse(flags)?))
        })
    }

    fn said(&self, designator: Designator) -> Option<Allowed> {
        let mut rules = self.rules();
        rules
            .find(|(name, _)| *name == designator.name())
            .map(|(_, allowed)| allowed)
    }

    /// The default of the policy; integrity data and signatures may be there as far as what they protect may be protected by them.
    fn derived(&self, designator: Designator) -> Allowed {
        let Some(data) = designator.protects() else {
            let default = self.rules().find(|(name, _)| name.is_empty());
            let nothing = Allowed::UNUSED.and(Allowed::ABSENT);
            return default.map_or(nothing, |(_, allowed)| allowed);
        };
        let data = self.allows(data);
        let signature = matches!(
            designator,
            Designator::RootVeritySig | Designator::UsrVeritySig
        );
        let weakest = data.0 & Self::USED;
        let needs = if signature {
            weakest == Allowed::SIGNED.0
        } else {
            weakest != 0 && weakest & !(Allowed::SIGNED.0 | Allowed::VERITY.0) == 0
        };
        match (needs, data.0 & (Allowed::SIGNED.0 | Allowed::VERITY.0) != 0) {
            (true, _) if data.has(Allowed::ABSENT) => Allowed::UNPROTECTED.and(Allowed::ABSENT),
            (true, _) => Allowed::UNPROTECTED,
            (false, true) => Allowed::UNPROTECTED
                .and(Allowed::UNUSED)
                .and(Allowed::ABSENT),
            (false, false) => Allowed::UNUSED.and(Allowed::ABSENT),
        }
    }

    /// The ways in which a partition is used.
    const USED: u32 = 0xf | Allowed::ENCRYPTED_WITH_INTEGRITY.0;
}

impl TextForm for ImagePolicy {
    fn parse_with(text: &str, _: &dyn Expand) -> Result<ImagePolicy, ParseError> {
        let wrong = || ParseError::not_a(text, "an image policy");
        if matches!(text, "*" | "-" | "~") {
            return Ok(ImagePolicy(text.to_owned()));
        }
        let mut names: Vec<&str> = Vec::new();
        for rule in text.split(':') {
            let (name, flags) = rule.split_once('=').ok_or_else(wrong)?;
            let name = name.trim();
            if !name.is_empty() && Designator::from_name(name).is_none() {
                return Err(ParseError::not_a(
                    name,
                    "a partition's purpose such as root or usr",
                ));
            }
            if names.contains(&name) {
                return Err(wrong());
            }
            names.push(name);
            Allowed::parse(flags).ok_or_else(|| {
                ParseError::not_a(flags, "protections such as verity+signed joined by `+`")
            })?;
        }
        Ok(ImagePolicy(text.to_owned()))
    }

    fn print_lines(&self, _: Form) -> Vec<String> {
        vec![self.0.clone()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(text: &str) -> ImagePolicy {
        ImagePolicy::parse_with(text, &crate::text::Verbatim).expect("a policy")
    }

    fn check(text: &str, designator: Designator, expected: &str) {
        let allowed = policy(text).allows(designator);
        let words = [
            "unprotected",
            "verity",
            "signed",
            "encrypted",
            "encryptedwithintegrity",
            "unused",
            "absent",
        ];
        let words = words.map(|word| Allowed::parse(word).map(|one| (word, one)));
        let said: Vec<&str> = words
            .into_iter()
            .flatten()
            .filter(|(_, one)| allowed.has(*one))
            .map(|(word, _)| word)
            .collect();
        assert_eq!(said.join("+"), expected, "{text} {designator:?}");
    }

    #[test]
    fn each_partition_is_what_its_rule_or_the_default_says() {
        use Designator::{Home, Root, RootVerity, RootVeritySig, Swap, Usr, UsrVerity};
        let all = "unprotected+verity+signed+encrypted+encryptedwithintegrity+unused+absent";
        check("*", Root, all);
        check("-", Root, "unused+absent");
        check("~", Home, "absent");
        check("root=verity", Root, "verity");
        check("root=verity", Usr, "unused+absent");
        check("root=", Root, all);
        check("root=open", Root, all);
        check("root=read-only-on", Root, all);
        check(
            " root = encryptedwithintegrity ",
            Root,
            "encryptedwithintegrity",
        );
        check("root=encryptedwithintegrity", RootVerity, "unused+absent");
        check("root=verity:=encrypted+absent", Swap, "encrypted+absent");
        check("root=signed", RootVeritySig, "unprotected");
        check("root=verity+signed", RootVerity, "unprotected");
        check(
            "root=verity+signed",
            RootVeritySig,
            "unprotected+unused+absent",
        );
        check("root=unprotected", RootVerity, "unused+absent");
        check("root=signed+absent", RootVerity, "unprotected+absent");
        check(
            ImagePolicy::OF_ROOTS,
            UsrVerity,
            "unprotected+unused+absent",
        );
        check(ImagePolicy::OF_EXTENSIONS, Home, "unused+absent");
    }

    #[test]
    fn flags_and_kinds_that_nobody_speaks_of_are_all_allowed() {
        let open = policy("root=verity").allows(Designator::Root);
        assert!(open.has(Allowed::READ_ONLY.and(Allowed::WRITABLE)));
        assert!(open.has(Allowed::GROWS.and(Allowed::STAYS)) && open.has_kind("squashfs"));
        let closed = policy("root=read-only-on+growfs-off+erofs").allows(Designator::Root);
        assert!(!closed.has(Allowed::WRITABLE) && !closed.has(Allowed::GROWS));
        assert!(closed.has_kind("erofs") && !closed.has_kind("ext4") && !closed.has_kind("ntfs"));
    }

    #[test]
    fn what_is_no_policy_is_told() {
        for text in [
            "",
            "root",
            "rot=verity",
            "root=verify",
            "root=verity:root=signed",
            "^",
            ":",
            "root:signed",
            "*:root=open",
        ] {
            assert!(
                ImagePolicy::parse_with(text, &crate::text::Verbatim).is_err(),
                "{text}"
            );
        }
    }
}
