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
    /// All of them, in the order in which policies are told.
    pub const ALL: [Designator; 13] = [
        Designator::Root,
        Designator::Usr,
        Designator::Home,
        Designator::Srv,
        Designator::Esp,
        Designator::Xbootldr,
        Designator::Swap,
        Designator::RootVerity,
        Designator::UsrVerity,
        Designator::RootVeritySig,
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

    /// The ways in which a partition is used.
    const USED: Allowed = Allowed(0xf | Self::ENCRYPTED_WITH_INTEGRITY.0);
    const IGNORE: Allowed = Self::UNUSED.and(Self::ABSENT);
    const OPEN: Allowed = Self::USED.and(Self::IGNORE);
    const READ_ONLY_MASK: Allowed = Self::READ_ONLY.and(Self::WRITABLE);
    const GROWS_MASK: Allowed = Self::GROWS.and(Self::STAYS);
    const KINDS: [(&'static str, Allowed); 7] = [
        ("btrfs", Allowed(1 << 10)),
        ("erofs", Allowed(1 << 11)),
        ("ext4", Allowed(1 << 12)),
        ("f2fs", Allowed(1 << 13)),
        ("squashfs", Allowed(1 << 14)),
        ("vfat", Allowed(1 << 15)),
        ("xfs", Allowed(1 << 16)),
    ];
    const KINDS_MASK: Allowed = Allowed(0x7f << 10);

    /// What policies call the ways in which a partition may be there, in the order in which they are told.
    const MODES: [(&'static str, Allowed); 7] = [
        ("verity", Self::VERITY),
        ("signed", Self::SIGNED),
        ("encrypted", Self::ENCRYPTED),
        ("encryptedwithintegrity", Self::ENCRYPTED_WITH_INTEGRITY),
        ("unprotected", Self::UNPROTECTED),
        ("unused", Self::UNUSED),
        ("absent", Self::ABSENT),
    ];
    const READ_ONLY_WORDS: [(&'static str, Allowed); 2] = [
        ("read-only-on", Self::READ_ONLY),
        ("read-only-off", Self::WRITABLE),
    ];
    const GROWS_WORDS: [(&'static str, Allowed); 2] =
        [("growfs-off", Self::STAYS), ("growfs-on", Self::GROWS)];

    /// Whether all of `other` is in it.
    #[must_use]
    pub const fn has(self, other: Allowed) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any of `other` is in it.
    #[must_use]
    pub const fn has_any(self, other: Allowed) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether a partition that is there is used.
    #[must_use]
    pub const fn may_use(self) -> bool {
        self.has_any(Self::USED)
    }

    /// Whether a file system of this kind (the kernel's name) may be there: any, where none is named.
    #[must_use]
    pub fn has_kind(self, name: &str) -> bool {
        let mut kinds = Self::KINDS.iter();
        !self.has_any(Self::KINDS_MASK)
            || kinds.any(|(known, kind)| *known == name && self.has(*kind))
    }

    /// Both.
    #[must_use]
    pub const fn and(self, other: Allowed) -> Allowed {
        Allowed(self.0 | other.0)
    }

    const fn only(self, other: Allowed) -> Allowed {
        Allowed(self.0 & other.0)
    }

    const fn without(self, other: Allowed) -> Allowed {
        Allowed(self.0 & !other.0)
    }

    /// What was not said at all is all allowed, family by family.
    const fn completed(self) -> Allowed {
        let mut all = self;
        if !all.has_any(Self::OPEN) {
            all = all.and(Self::OPEN);
        }
        if !all.has_any(Self::READ_ONLY_MASK) {
            all = all.and(Self::READ_ONLY_MASK);
        }
        if !all.has_any(Self::GROWS_MASK) {
            all = all.and(Self::GROWS_MASK);
        }
        all
    }

    /// What it comes to for a partition: what protects is protected by nothing, what has no integrity data needs no word on them, and
    /// what is not there has no flags.
    fn of(self, designator: Designator) -> Allowed {
        let mut allowed = self.completed();
        let hashes = Self::VERITY.and(Self::SIGNED);
        if !matches!(designator, Designator::Root | Designator::Usr) {
            allowed = allowed.without(hashes);
        }
        if designator.protects().is_some() {
            allowed = allowed.without(Self::ENCRYPTED.and(Self::ENCRYPTED_WITH_INTEGRITY));
        }
        if allowed.only(Self::OPEN) == Self::ABSENT {
            allowed = allowed.without(Self::READ_ONLY_MASK.and(Self::GROWS_MASK));
        }
        allowed
    }

    fn word(text: &str) -> Option<Allowed> {
        match text {
            "open" => return Some(Self::OPEN),
            "ignore" => return Some(Self::IGNORE),
            _ => {}
        }
        let words = Self::MODES
            .iter()
            .chain(&Self::READ_ONLY_WORDS)
            .chain(&Self::GROWS_WORDS);
        let mut words = words.chain(&Self::KINDS);
        let known = words.find(|(known, _)| *known == text);
        known.map(|(_, allowed)| *allowed)
    }

    fn parse(text: &str) -> Result<Allowed, &str> {
        let text = text.trim();
        if matches!(text, "" | "-") {
            return Ok(Allowed::default());
        }
        text.split('+')
            .map(str::trim)
            .try_fold(Allowed::default(), |all, word| match Self::word(word) {
                Some(one) => Ok(all.and(one)),
                None => Err(word),
            })
    }

    fn words(
        self,
        table: &'static [(&'static str, Allowed)],
    ) -> impl Iterator<Item = &'static str> {
        let said = table.iter().filter(move |(_, one)| self.has(*one));
        said.map(|(word, _)| *word)
    }

    /// The ways in which a partition may be there, in words joined by `+`.
    #[must_use]
    pub fn modes(self) -> String {
        joined(&self.mode_words(true))
    }

    /// The kinds of file systems that were named, joined by `+`.
    #[must_use]
    pub fn kinds(self) -> String {
        joined(&self.words(&Self::KINDS).collect::<Vec<_>>())
    }

    /// Whether the flag "read-only" must be there or missing, where that is said.
    #[must_use]
    pub fn read_only(self) -> Option<bool> {
        self.must(Self::READ_ONLY, Self::WRITABLE)
    }

    /// Whether the flag "grow the file system" must be there or missing, where that is said.
    #[must_use]
    pub fn grows(self) -> Option<bool> {
        self.must(Self::GROWS, Self::STAYS)
    }

    fn must(self, on: Allowed, off: Allowed) -> Option<bool> {
        (self.has(on) != self.has(off)).then(|| self.has(on))
    }

    fn mode_words(self, is_short: bool) -> Vec<&'static str> {
        match self.only(Self::OPEN) {
            Self::OPEN if is_short => vec!["open"],
            Self::IGNORE if is_short => vec!["ignore"],
            _ => self.words(&Self::MODES).collect(),
        }
    }

    fn print(self, is_short: bool) -> String {
        let mut told = self;
        for mask in [Self::READ_ONLY_MASK, Self::GROWS_MASK] {
            if is_short && told.has(mask) {
                told = told.without(mask);
            }
        }
        let mut words = self.mode_words(is_short);
        words.extend(told.words(&Self::READ_ONLY_WORDS));
        words.extend(told.words(&Self::GROWS_WORDS));
        words.extend(told.words(&Self::KINDS));
        joined(&words)
    }
}

fn joined(words: &[&str]) -> String {
    match words {
        [] => "-".to_owned(),
        words => words.join("+"),
    }
}

/// Which partitions of an image are used, and how they must be protected: `partition=flags` joined by `:`, kept as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ImagePolicy(pub String);

impl ImagePolicy {
    /// For RootImage= and MountImages= where the unit says nothing.
    pub const OF_ROOTS: &'static str = "root=verity+signed+encrypted+encryptedwithintegrity+unprotected+absent:\
        usr=verity+signed+encrypted+encryptedwithintegrity+unprotected+absent:\
        home=encrypted+encryptedwithintegrity+unprotected+absent:srv=encrypted+encryptedwithintegrity+unprotected+absent:\
        tmp=encrypted+encryptedwithintegrity+unprotected+absent:var=encrypted+encryptedwithintegrity+unprotected+absent";
    /// For ExtensionImages= where the unit says nothing.
    pub const OF_EXTENSIONS: &'static str = "root=verity+signed+encrypted+encryptedwithintegrity+unprotected+absent:\
        usr=verity+signed+encrypted+encryptedwithintegrity+unprotected+absent";

    /// What it lets a partition be.
    #[must_use]
    pub fn allows(&self, designator: Designator) -> Allowed {
        let said = self.said(designator);
        let said = said.or_else(|| self.derived(designator));
        said.unwrap_or_else(|| self.default_flags()).of(designator)
    }

    /// What it lets those be of which it does not speak, as it was said.
    #[must_use]
    pub fn default_flags(&self) -> Allowed {
        let default = self.rules().find(|(name, _)| name.is_empty());
        default.map_or(Allowed::IGNORE, |(_, allowed)| allowed)
    }

    fn rules(&self) -> impl Iterator<Item = (&str, Allowed)> {
        let text = match self.0.as_str() {
            "*" => "=open",
            "-" | "" => "=ignore",
            "~" => "=absent",
            text => text,
        };
        text.split(':').filter_map(|rule| {
            let (name, flags) = rule.split_once('=')?;
            Some((name.trim(), Allowed::parse(flags).ok()?))
        })
    }

    fn said(&self, designator: Designator) -> Option<Allowed> {
        let mut rules = self.rules();
        rules
            .find(|(name, _)| *name == designator.name())
            .map(|(_, allowed)| allowed)
    }

    /// Integrity data and signatures must be there where what they protect, of which something is said, may be protected by them; they
    /// may be missing or unused where it may.
    fn derived(&self, designator: Designator) -> Option<Allowed> {
        let protected = designator.protects()?;
        let data = self.said(protected)?.of(protected);
        let by = match designator {
            Designator::RootVeritySig | Designator::UsrVeritySig => Allowed::SIGNED,
            _ => Allowed::SIGNED.and(Allowed::VERITY),
        };
        let inherited = Allowed::IGNORE
            .and(Allowed::READ_ONLY_MASK)
            .and(Allowed::GROWS_MASK);
        data.has_any(by)
            .then(|| Allowed::UNPROTECTED.and(data.only(inherited)))
    }

    /// The shortest text that comes to the same, as far as the order of partitions and words and what the default says already go.
    #[must_use]
    pub fn normalized(&self) -> String {
        let symbols = [
            ("*", Allowed::OPEN),
            ("-", Allowed::IGNORE),
            ("~", Allowed::ABSENT),
        ];
        let comes_to = |expected: &Allowed| {
            self.default_flags().completed() == expected.completed()
                && Designator::ALL
                    .iter()
                    .all(|one| self.allows(*one) == expected.of(*one))
        };
        let symbol = symbols.iter().find(|(_, expected)| comes_to(expected));
        match symbol {
            Some((symbol, _)) => (*symbol).to_owned(),
            None => self.printed(true),
        }
    }

    /// Every rule and the default with all their words.
    #[must_use]
    pub fn spelled_out(&self) -> String {
        self.printed(false)
    }

    fn printed(&self, is_short: bool) -> String {
        let default = self.default_flags();
        let mut rules = Vec::new();
        for designator in Designator::ALL {
            match self.said(designator) {
                Some(flags) if !is_short || flags != default.of(designator) => {
                    rules.push(format!("{}={}", designator.name(), flags.print(is_short)));
                }
                _ => {}
            }
        }
        if !is_short || default.completed() != Allowed::IGNORE.completed() {
            rules.push(format!("={}", default.print(is_short)));
        }
        match rules.is_empty() {
            true => "-".to_owned(),
            false => rules.join(":"),
        }
    }
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
                return Err(ParseError::not_a(
                    text,
                    "an image policy: one rule for each partition, and one default",
                ));
            }
            names.push(name);
            Allowed::parse(flags).map_err(|word| {
                ParseError::not_a(
                    word,
                    "a word of image policies such as verity, signed or absent",
                )
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
        let modes = policy(text).allows(designator).modes();
        assert_eq!(modes, expected, "{text} {designator:?}");
    }

    #[test]
    fn each_partition_is_what_its_rule_or_the_default_says() {
        use Designator::{Home, Root, RootVerity, RootVeritySig, Swap, Usr, UsrVerity};
        check("*", Root, "open");
        check(
            "*",
            Home,
            "encrypted+encryptedwithintegrity+unprotected+unused+absent",
        );
        check("*", RootVerity, "unprotected+unused+absent");
        check("-", Root, "ignore");
        check("~", Home, "absent");
        check("root=verity", Root, "verity");
        check("root=verity", Usr, "ignore");
        check("root=", Root, "open");
        check("root=-", Root, "open");
        check("root=ignore", Root, "ignore");
        check("root=open", Root, "open");
        check("root=read-only-on", Root, "open");
        check("home=signed", Home, "-");
        check(
            " root = encryptedwithintegrity ",
            Root,
            "encryptedwithintegrity",
        );
        check("root=encryptedwithintegrity", RootVerity, "ignore");
        check("root=verity:=encrypted+absent", Swap, "encrypted+absent");
        check("root=signed", RootVeritySig, "unprotected");
        check("root=verity", RootVeritySig, "ignore");
        check("root=verity+signed", RootVerity, "unprotected");
        check("root=verity+signed", RootVeritySig, "unprotected");
        check("root=unprotected", RootVerity, "ignore");
        check("root=signed+absent", RootVerity, "unprotected+absent");
        check(
            "root=signed+absent:=open",
            UsrVerity,
            "unprotected+unused+absent",
        );
        check(ImagePolicy::OF_ROOTS, UsrVerity, "unprotected+absent");
        check(ImagePolicy::OF_EXTENSIONS, Home, "ignore");
    }

    fn check_texts(text: &str, normalized: &str, spelled_out: &str) {
        let policy = policy(text);
        assert_eq!(policy.normalized(), normalized, "{text}");
        assert_eq!(policy.spelled_out(), spelled_out, "{text}");
    }

    #[test]
    fn a_policy_has_a_short_text_and_a_whole_one() {
        let open = "verity+signed+encrypted+encryptedwithintegrity+unprotected+unused+absent";
        check_texts("*", "*", &format!("={open}"));
        check_texts("-", "-", "=unused+absent");
        check_texts("root=", "root=-", "root=-:=unused+absent");
        check_texts("root=ignore", "-", "root=unused+absent:=unused+absent");
        check_texts("home=absent:=absent", "~", "home=absent:=absent");
        check_texts(
            "usr=growfs-on+xfs+read-only-off+read-only-on : root = signed+verity : = absent",
            "root=verity+signed:usr=growfs-on+xfs:=absent",
            "root=verity+signed:usr=read-only-on+read-only-off+growfs-on+xfs:=absent",
        );
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
            "* ",
            "root=verity++signed",
            "root=verity+",
            "root=+",
            "root=verity:",
            "=:=",
            "root=verity=x",
            "ROOT=verity",
        ] {
            assert!(
                ImagePolicy::parse_with(text, &crate::text::Verbatim).is_err(),
                "{text}"
            );
        }
    }
}
