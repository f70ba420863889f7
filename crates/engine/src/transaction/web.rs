//! Who pulled whom in, both ways, for a transaction that is being thinned out: made once, and looked at only where something is dropped.

use super::Transaction;

/// The links of a transaction by wish.
#[derive(Debug, Default)]
pub(crate) struct Web {
    nodes: Vec<Node>,
    round: u32,
}

#[derive(Debug, Clone, Default)]
struct Node {
    /// The wish that this one was merged into.
    merged: Option<usize>,
    /// Those that it pulled in.
    next: Vec<usize>,
    /// Those that pulled it in.
    before: Vec<usize>,
    /// Those of them that cannot be without it.
    users: Vec<usize>,
    /// In which round it was in question, and in which it was found to be wanted.
    questioned: u32,
    wanted: u32,
}

impl Web {
    pub(super) fn of(plan: &Transaction) -> Web {
        let mut nodes = vec![Node::default(); plan.wishes.len()];
        for link in &plan.links {
            if let Some(from) = nodes.get_mut(link.from) {
                from.next.push(link.to);
            }
            if let Some(to) = nodes.get_mut(link.to) {
                to.before.push(link.from);
                if link.matters {
                    to.users.push(link.from);
                }
            }
        }
        Web { nodes, round: 0 }
    }

    /// What has become of a wish. A unit has a handful of kinds of jobs, so the way is short.
    pub(super) fn place(&self, at: usize) -> usize {
        let merged = |at: &usize| self.nodes.get(*at)?.merged;
        std::iter::successors(Some(at), merged).last().unwrap_or(at)
    }

    /// The second wish's links become the first one's.
    pub(super) fn merge(&mut self, first: usize, second: usize) {
        let Some(node) = self.nodes.get_mut(second) else {
            return;
        };
        node.merged = Some(first);
        let lists = [&mut node.next, &mut node.before, &mut node.users].map(std::mem::take);
        let [next, before, users] = lists;
        if let Some(node) = self.nodes.get_mut(first) {
            node.next.extend(next);
            node.before.extend(before);
            node.users.extend(users);
        }
    }

    fn linked<'a>(
        &'a self,
        at: usize,
        list: impl Fn(&'a Node) -> &'a Vec<usize>,
    ) -> impl Iterator<Item = usize> + 'a {
        let found = self.nodes.get(at).map(list);
        found.into_iter().flatten().map(|at| self.place(*at))
    }

    fn is_questioned(&self, at: usize) -> bool {
        self.nodes
            .get(at)
            .is_some_and(|node| node.questioned == self.round)
    }

    /// Puts a wish in question; false: it was before.
    fn question(&mut self, at: usize) -> bool {
        let round = self.round;
        self.nodes
            .get_mut(at)
            .is_some_and(|node| std::mem::replace(&mut node.questioned, round) != round)
    }

    /// Takes it out of question again; false: it was not in question, or is known to be wanted.
    fn want(&mut self, at: usize) -> bool {
        let round = self.round;
        self.nodes
            .get_mut(at)
            .filter(|node| node.questioned == round)
            .is_some_and(|node| std::mem::replace(&mut node.wanted, round) != round)
    }
}

impl Transaction {
    /// Drops a wish, those that cannot be without it, and what nothing wants any more then. False: the first would be among them.
    /// Everything that is left was wanted before.
    pub(super) fn drop_from(&mut self, web: &mut Web, at: usize) -> bool {
        let (mut doomed, mut dropped) = (vec![at], Vec::new());
        let mut is_whole = true;
        while let Some(at) = doomed.pop() {
            if at == 0 {
                is_whole = false;
                break;
            }
            let Some(wish) = self.wishes.get_mut(at).filter(|wish| !wish.gone) else {
                continue;
            };
            wish.gone = true;
            dropped.push(at);
            doomed.extend(web.linked(at, |node| &node.users));
        }
        self.sweep(web, dropped);
        is_whole
    }

    /// Drops what only those wanted that were dropped. All else is reached from the first without them: what they lead to is in question,
    /// and what of that something else leads to is wanted.
    fn sweep(&mut self, web: &mut Web, dropped: Vec<usize>) {
        web.round += 1;
        let (mut open, mut questioned) = (dropped, Vec::new());
        while let Some(at) = open.pop() {
            let next: Vec<usize> = web.linked(at, |node| &node.next).collect();
            for at in next {
                if at != 0 && !self.is_gone(at) && web.question(at) {
                    questioned.push(at);
                    open.push(at);
                }
            }
        }
        let is_led_to = |at: &usize| {
            let mut before = web.linked(*at, |node| &node.before);
            before.any(|by| !self.is_gone(by) && !web.is_questioned(by))
        };
        let mut open: Vec<usize> = questioned.iter().copied().filter(is_led_to).collect();
        open.retain(|at| web.want(*at));
        while let Some(at) = open.pop() {
            let next: Vec<usize> = web.linked(at, |node| &node.next).collect();
            open.extend(next.into_iter().filter(|at| web.want(*at)));
        }
        for at in questioned {
            // False where it was wanted before.
            if web.want(at)
                && let Some(wish) = self.wishes.get_mut(at)
            {
                wish.gone = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, reason = "a test")]

    use super::*;
    use crate::cause::Chain;
    use crate::id::UnitId;
    use crate::input::JobKind;
    use crate::transaction::{Link, Wish};

    /// A fixed generator, so that a failure repeats.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, limit: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            usize::try_from(self.0 >> 33).unwrap_or(0) % limit
        }
    }

    fn plan(wishes: usize, links: &[(usize, usize, bool)]) -> Transaction {
        let wish = |unit| Wish {
            unit: UnitId(unit),
            kind: JobKind::Start,
            cause: Chain::default(),
            gone: false,
            refused: None,
            matters: false,
            conflicted: false,
        };
        let link = |&(from, to, matters): &(usize, usize, bool)| Link { from, to, matters };
        let mut plan = Transaction {
            wishes: (0..u32::try_from(wishes).unwrap_or(0)).map(wish).collect(),
            links: links.iter().map(link).collect(),
            ..Transaction::default()
        };
        plan.collect_garbage();
        plan
    }

    fn gone(plan: &Transaction) -> Vec<bool> {
        plan.wishes.iter().map(|wish| wish.gone).collect()
    }

    /// The same, from the beginning each time.
    fn drop_plainly(plan: &mut Transaction, at: usize) {
        let users = plan.users();
        plan.drop_with(&users, at);
        plan.collect_garbage();
    }

    fn merge_plainly(plan: &mut Transaction, first: usize, second: usize) {
        plan.wishes[second].gone = true;
        for link in &mut plan.links {
            for end in [&mut link.from, &mut link.to] {
                *end = if *end == second { first } else { *end };
            }
        }
    }

    #[test]
    fn what_is_dropped_and_merged_step_by_step_is_what_a_new_look_at_all_would_have_dropped() {
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
        let (mut dropped, mut kept) = (0, 0);
        for _ in 0..2_000 {
            let wishes = 2 + dice.below(24);
            let links: Vec<_> = (0..dice.below(4 * wishes))
                .map(|_| {
                    let (from, to) = (dice.below(wishes), dice.below(wishes));
                    // The first is never among those that go.
                    (from, to, from != 0 && dice.below(4) == 0)
                })
                .collect();
            let (mut one, mut other) = (plan(wishes, &links), plan(wishes, &links));
            let mut web = Web::of(&one);
            for _ in 0..wishes {
                let left: Vec<usize> = (1..wishes).filter(|at| !one.is_gone(*at)).collect();
                let [first, .., second] = left.as_slice() else {
                    break;
                };
                if dice.below(4) == 0 {
                    merge_plainly(&mut other, *first, *second);
                    one.wishes[*second].gone = true;
                    web.merge(*first, *second);
                } else {
                    let at = left[dice.below(left.len())];
                    one.drop_from(&mut web, at);
                    drop_plainly(&mut other, at);
                }
                assert_eq!(gone(&one), gone(&other), "{wishes} {links:?}");
            }
            dropped += one.wishes.iter().filter(|wish| wish.gone).count();
            kept += one.wishes.iter().filter(|wish| !wish.gone).count();
        }
        assert!(dropped > 1_000 && kept > 1_000, "{dropped} {kept}");
    }
}
