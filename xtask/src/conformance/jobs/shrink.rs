//! A case that differs is made small: whatever can go goes.

use anyhow::Result;

use super::case::{Case, Deed, is_name};

/// The smallest case found that still `differs`, with at most so many attempts.
pub(super) fn shrink(
    case: &Case,
    mut attempts: usize,
    mut differs: impl FnMut(&Case) -> Result<bool>,
) -> Result<Case> {
    let mut smallest = case.clone();
    loop {
        let before = size(&smallest);
        for part in [Part::Deed, Part::Unit, Part::Line] {
            let mut at = part.count(&smallest);
            while at > 0 {
                at = (at - 1).min(part.count(&smallest));
                if attempts == 0 {
                    return Ok(smallest);
                }
                let Some(lesser) = part.without(&smallest, at) else {
                    continue;
                };
                attempts -= 1;
                if differs(&lesser)? {
                    smallest = lesser;
                }
            }
        }
        if size(&smallest) == before {
            return Ok(smallest);
        }
    }
}

fn size(case: &Case) -> usize {
    [Part::Deed, Part::Unit, Part::Line]
        .iter()
        .map(|part| part.count(case))
        .sum()
}

#[derive(Clone, Copy)]
enum Part {
    Deed,
    Unit,
    Line,
}

impl Part {
    fn count(self, case: &Case) -> usize {
        match self {
            Part::Deed => case.deeds.len(),
            Part::Unit => case.units.len(),
            Part::Line => case.units.iter().map(|unit| unit.lines.len()).sum(),
        }
    }

    /// The case without one of these.
    fn without(self, case: &Case, at: usize) -> Option<Case> {
        let mut case = case.clone();
        match self {
            Part::Deed => {
                case.deeds.remove(at);
            }
            Part::Unit => {
                let name = case.units.remove(at).name;
                for unit in &mut case.units {
                    unit.lines.retain(|(_, line)| {
                        line.split_once('=').is_none_or(|(_, value)| value != name)
                    });
                }
                case.deeds
                    .retain(|deed| !matches!(deed, Deed::Command(words) if words.contains(&name)));
            }
            Part::Line => {
                let mut at = at;
                for unit in &mut case.units {
                    if at < unit.lines.len() {
                        let (_, line) = unit.lines.get(at)?;
                        // Without these nothing is bounded, or there is no service.
                        let stays = ["ExecStart=", "StartLimit", "Timeout", "Restart="];
                        if stays.iter().any(|start| line.starts_with(start))
                            && !line.split('=').any(is_name)
                        {
                            return None;
                        }
                        unit.lines.remove(at);
                        return Some(case);
                    }
                    at -= unit.lines.len();
                }
                return None;
            }
        }
        (!case.units.is_empty() && !case.deeds.is_empty()).then_some(case)
    }
}
