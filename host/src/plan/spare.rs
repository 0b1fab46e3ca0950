//! Operators that only copy, left out where those beside them can do without: a Join of layers that write their parts
//! themselves, a pixel shuffle that a convolution stores ([`parts`]), a transpose of what a layer reads or writes ([`turned`]).

use super::{Gain, Placement, Saving, parts, place, place_within, strips, turned};
use crate::Result;
use crate::program::Program;

/// Work of the search for what a copy takes.
const WORK: usize = 20_000;

/// `program` in strips that are worth it and without the copies that need not be, its placement, and what each group of operators in strips
/// gives.
///
/// Copies go first, and those that strips leave in the end. Operators in strips make whole tensors, the last ones apart, not parts of
/// them: if strips make the arena a tenth smaller where the copies are still there, or only then come within the limit, they come
/// first.
///
/// # Errors
/// As [`place`].
pub fn arrange(program: Program, saving: Saving) -> Result<(Program, Placement, Vec<Gain>)> {
    let placement = place(&program)?;
    let (spared, _, _) = spare_copies(program.clone(), placement, Vec::new())?;
    let all = spared.operators.len() == program.operators.len();
    let in_strips = |program| {
        let (program, placement, gains) = strips::in_strips(program, saving)?;
        spare_copies(program, placement, gains)
    };
    let best = in_strips(spared)?;
    if all || !saving.wanted() {
        return Ok(best);
    }
    let other = in_strips(program)?;
    let [spared, copied] = [&best, &other].map(|(_, placement, _)| placement.arena());
    let kept = copied <= saving.limit && spared > saving.limit || copied * 10 < spared * 9;
    Ok(if kept { other } else { best })
}

/// `program` without the copies that need not be, where its tensors lie then, and `gains` with the operators' new
/// numbers.
///
/// The whole of a concatenation is needed from its first part on, and no such layer takes the place of its input: a
/// copy stays where the arena grows without it.
///
/// # Errors
/// As [`place`].
pub fn spare_copies(
    program: Program,
    placement: Placement,
    gains: Vec<Gain>,
) -> Result<(Program, Placement, Vec<Gain>)> {
    // If what the bound promises does not come true, only placements count.
    let strict = |now: &Placement, then: &Placement| then.arena() <= now.arena();
    for keeps in [&no_larger as &dyn Fn(&Placement, &Placement) -> bool, &strict] {
        let (best, moved) = fold(&program, &gains, keeps)?;
        if best.operators.len() == program.operators.len() {
            break;
        }
        let placed = place(&best)?;
        if placed.arena() <= placement.arena() {
            return Ok((best, placed, moved));
        }
    }
    Ok((program, placement, gains))
}

/// Whether the arena does not grow from `now` to `then`: a placement says what memory is needed, as far as the search has come; the
/// bound what could be.
pub(super) fn no_larger(now: &Placement, then: &Placement) -> bool {
    then.arena() <= now.arena() || then.lower_bound <= now.lower_bound
}

/// `program` without the copies for which `keeps` says so, from the placements with and without, and `gains` with the
/// operators' new numbers.
fn fold(
    program: &Program,
    gains: &[Gain],
    keeps: &dyn Fn(&Placement, &Placement) -> bool,
) -> Result<(Program, Vec<Gain>)> {
    let (mut best, mut moved) = (program.clone(), gains.to_vec());
    let mut now = place_within(&best, WORK)?;
    for copy in (0..program.operators.len()).rev() {
        for without in [parts::without_join, parts::without_shuffle, turned::by_maker, turned::by_reader] {
            let Some(folded) = without(&best, copy) else { continue };
            let then = place_within(&folded, WORK)?;
            if !keeps(&now, &then) {
                continue;
            }
            (best, now) = (folded, then);
            for gain in moved.iter_mut().filter(|gain| gain.operators.0 > copy) {
                gain.operators = (gain.operators.0 - 1, gain.operators.1 - 1);
            }
            break;
        }
    }
    Ok((best, moved))
}
