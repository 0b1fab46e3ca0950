//! Offsets for blocks of memory: first fit in some orders, then the best order changed step by step; then blocks that overlap and had
//! better not are moved apart where there is room.

use fastrand::Rng;
use mixel_core::plan::format::ALIGN;

/// Any number does; a fixed one makes compiles reproducible.
const SEED: u64 = 0x6d69_7865_6c00;

/// A block to place.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    /// Size.
    pub bytes: usize,
    /// Alignment that its elements need.
    pub element: usize,
    /// Lowest offset.
    pub floor: usize,
    /// First step in which it is needed.
    pub first: usize,
    /// Last step in which it is needed.
    pub last: usize,
}

/// Two blocks that are needed at the same time.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    /// The one that is needed earlier.
    pub before: usize,
    /// The other.
    pub after: usize,
    /// If they may overlap: `after` then begins at most so many bytes behind the start of `before`.
    pub reach: Option<isize>,
    /// Whether overlapping costs time, so that they should not where that takes no more memory.
    pub dear: bool,
}

/// What to place.
#[derive(Clone, Debug, Default)]
pub struct Problem {
    /// The blocks.
    pub blocks: Vec<Block>,
    /// All pairs that are not free to lie anywhere.
    pub pairs: Vec<Pair>,
}

/// A placement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Solution {
    /// Offset of every block.
    pub offsets: Vec<usize>,
    /// End of the last block.
    pub bytes: usize,
}

/// A range of distances `offset(this) - offset(other)`, ends excluded, that is not allowed.
#[derive(Clone, Copy)]
struct Forbidden {
    other: usize,
    from: isize,
    to: isize,
}

/// Finds a small placement within `work` blocks placed; stops early at `lower_bound`, below which there is none.
///
/// Blocks lie at multiples of 16, which block copies and wide loads like, unless closer packing makes the whole smaller.
pub fn solve(problem: &Problem, lower_bound: usize, work: usize) -> Solution {
    let enough = lower_bound.next_multiple_of(ALIGN);
    let mut search = Search::new(problem, |_| ALIGN);
    let mut best = search.run(enough, work);
    if best.bytes > enough {
        let close = Search::new(problem, |block| block.element).run(enough, work);
        if close.bytes.next_multiple_of(ALIGN) < best.bytes.next_multiple_of(ALIGN) {
            best = close;
        }
    }
    search.move_apart(&problem.pairs, &mut best);
    best
}

struct Search<'p> {
    blocks: &'p [Block],
    align: Vec<usize>,
    forbidden: Vec<Vec<Forbidden>>,
}

impl<'p> Search<'p> {
    fn new(problem: &'p Problem, align: impl Fn(&Block) -> usize) -> Self {
        let blocks = &problem.blocks;
        let align = blocks.iter().map(align).collect();
        let mut search = Self { blocks, align, forbidden: vec![Vec::new(); blocks.len()] };
        for &pair in &problem.pairs {
            search.forbid(pair);
        }
        search
    }

    /// Forbids the distances of a pair.
    fn forbid(&mut self, Pair { before, after, reach, .. }: Pair) {
        // In terms of offset(after) - offset(before): overlapping and, where that is allowed, too far behind.
        let apart = -(self.blocks[after].bytes as isize);
        let from = reach.map_or(apart, |reach| reach.max(apart));
        let to = self.blocks[before].bytes as isize;
        if from + 1 < to {
            self.forbidden[after].push(Forbidden { other: before, from, to });
            self.forbidden[before].push(Forbidden { other: after, from: -to, to: -from });
        }
    }

    /// Each block in turn at the lowest offset that goes with those before it.
    fn first_fit(&self, order: &[usize]) -> Solution {
        let mut offsets = vec![usize::MAX; self.blocks.len()];
        let (mut ranges, mut bytes) = (Vec::new(), 0);
        for &block in order {
            offsets[block] = self.lowest(block, &offsets, &mut ranges);
            bytes = bytes.max(offsets[block] + self.blocks[block].bytes);
        }
        Solution { offsets, bytes }
    }

    /// The lowest offset of `block` that goes with those of others, `usize::MAX` for none yet. `ranges` are memory to work in.
    fn lowest(&self, block: usize, offsets: &[usize], ranges: &mut Vec<(isize, isize)>) -> usize {
        ranges.clear();
        for forbidden in &self.forbidden[block] {
            let other = offsets[forbidden.other];
            if other != usize::MAX {
                ranges.push((other as isize + forbidden.from, other as isize + forbidden.to));
            }
        }
        ranges.sort_unstable();
        let mut offset = self.blocks[block].floor.next_multiple_of(self.align[block]) as isize;
        for &(from, to) in ranges.iter() {
            if offset <= from {
                break;
            }
            if offset < to {
                offset = (to as usize).next_multiple_of(self.align[block]) as isize;
            }
        }
        offset as usize
    }

    /// Moves one block of each dear pair that overlaps to where it does not, if that takes no more memory.
    fn move_apart(&mut self, pairs: &[Pair], solution: &mut Solution) {
        let apart = |pair: &Pair, offsets: &[usize]| {
            let end = |block: usize| offsets[block] + self.blocks[block].bytes;
            end(pair.before) <= offsets[pair.after] || end(pair.after) <= offsets[pair.before]
        };
        let dear = pairs.iter().filter(|pair| pair.dear && pair.reach.is_some());
        let (kept, overlapping): (Vec<Pair>, Vec<Pair>) =
            dear.partition(|pair| apart(pair, &solution.offsets));
        for pair in kept {
            self.forbid(Pair { reach: None, ..pair });
        }
        let mut ranges = Vec::new();
        for pair in overlapping {
            let before = [pair.before, pair.after].map(|block| self.forbidden[block].len());
            self.forbid(Pair { reach: None, ..pair });
            let fits = [pair.after, pair.before].into_iter().find_map(|block| {
                let offset = self.lowest(block, &solution.offsets, &mut ranges);
                (offset + self.blocks[block].bytes <= solution.bytes).then_some((block, offset))
            });
            match fits {
                Some((block, offset)) => solution.offsets[block] = offset,
                None => {
                    self.forbidden[pair.before].truncate(before[0]);
                    self.forbidden[pair.after].truncate(before[1]);
                }
            }
        }
    }

    fn run(&self, enough: usize, work: usize) -> Solution {
        let blocks = self.blocks;
        let mut orders: Vec<Vec<usize>> = vec![(0..blocks.len()).collect(); 5];
        orders[0].sort_by_key(|&i| std::cmp::Reverse(blocks[i].bytes));
        orders[1].sort_by_key(|&i| blocks[i].first);
        orders[2].sort_by_key(|&i| std::cmp::Reverse(blocks[i].last));
        orders[3]
            .sort_by_key(|&i| std::cmp::Reverse(blocks[i].bytes * (blocks[i].last - blocks[i].first + 1)));
        orders[4].sort_by_key(|&i| (std::cmp::Reverse(blocks[i].last - blocks[i].first), blocks[i].first));
        let fitted = orders.into_iter().map(|order| (self.first_fit(&order), order));
        match fitted.min_by_key(|(solution, _)| solution.bytes) {
            Some((best, order)) if best.bytes > enough => self.improve(best, order, enough, work),
            Some((best, _)) => best,
            None => Solution { offsets: Vec::new(), bytes: 0 },
        }
    }

    /// Moves one block of the order or swaps two, keeps what is not worse and, less and less often, what is.
    fn improve(&self, best: Solution, mut order: Vec<usize>, enough: usize, work: usize) -> Solution {
        let mut rng = Rng::with_seed(SEED);
        let (mut best, mut current) = (best.clone(), best);
        let count = order.len();
        let steps = work / count;
        for step in 0..steps {
            let mut next = order.clone();
            let (a, b) = (rng.usize(..count), rng.usize(..count));
            if rng.bool() {
                next.swap(a, b);
            } else {
                let block = next.remove(a);
                next.insert(b, block);
            }
            let solution = self.first_fit(&next);
            let heat = 0.05 * current.bytes as f64 * (1.0 - step as f64 / steps as f64);
            let loss = solution.bytes as f64 - current.bytes as f64;
            if loss <= 0.0 || rng.f64() < (-loss / heat.max(1.0)).exp() {
                (current, order) = (solution, next);
            }
            if current.bytes < best.bytes {
                best = current.clone();
                if best.bytes <= enough {
                    break;
                }
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random_problem(rng: &mut Rng) -> Problem {
        let blocks: Vec<Block> = (0..rng.usize(1..14))
            .map(|_| {
                let first = rng.usize(..12);
                let element = [1, 2, 4][rng.usize(..3)];
                let (bytes, last) = (element * rng.usize(1..90), first + rng.usize(..4));
                Block { bytes, element, floor: rng.usize(..4) * 20, first, last }
            })
            .collect();
        let mut pairs = Vec::new();
        for (i, a) in blocks.iter().enumerate() {
            for (j, b) in blocks.iter().enumerate() {
                if (a.first, i) < (b.first, j) && b.first <= a.last {
                    let reach = (a.last == b.first && rng.bool()).then(|| rng.isize(-120..40));
                    pairs.push(Pair { before: i, after: j, reach, dear: rng.bool() });
                }
            }
        }
        Problem { blocks, pairs }
    }

    #[test]
    fn blocks_overlap_only_within_reach() {
        let mut rng = Rng::with_seed(7);
        let mut overlapping = 0;
        for case in 0..300 {
            let problem = random_problem(&mut rng);
            let solution = solve(&problem, 0, 10_000);
            for (block, &offset) in problem.blocks.iter().zip(&solution.offsets) {
                assert_eq!(offset % block.element, 0, "case {case}");
                assert!(offset >= block.floor, "case {case}");
                assert!(offset + block.bytes <= solution.bytes, "case {case}");
            }
            for pair in &problem.pairs {
                let (a, b) = (solution.offsets[pair.before], solution.offsets[pair.after]);
                let apart =
                    a + problem.blocks[pair.before].bytes <= b || b + problem.blocks[pair.after].bytes <= a;
                overlapping += usize::from(!apart);
                let distance = b as isize - a as isize;
                assert!(apart || pair.reach.is_some_and(|reach| distance <= reach), "case {case}: {pair:?}");
            }
        }
        assert!(overlapping > 100, "the cases exercise sharing");
    }

    /// Three blocks in a row, the first two the largest: the third fits beside the second, and had better.
    #[test]
    fn dear_pairs_overlap_only_where_memory_asks_for_it() {
        let blocks = [(0, 1), (1, 2), (2, 3)].map(|(first, last)| {
            let bytes = [160, 160, 32][first];
            Block { bytes, element: 1, floor: 0, first, last }
        });
        let solved = |reach: [Option<isize>; 2], dear| {
            let pairs = [0, 1].map(|i| Pair { before: i, after: i + 1, reach: reach[i], dear }).to_vec();
            solve(&Problem { blocks: blocks.to_vec(), pairs }, 0, 1000)
        };
        let tight = solved([Some(0), Some(0)], true);
        assert_eq!((tight.bytes, tight.offsets), (160, vec![0, 0, 0]), "no room to be apart");
        let roomy = solved([None, Some(0)], true);
        assert!(roomy.bytes == 320 && roomy.offsets[2].abs_diff(roomy.offsets[1]) >= 160, "{roomy:?}");
        let cheap = solved([None, Some(0)], false);
        assert_eq!((cheap.bytes, cheap.offsets[2]), (320, 0));
    }

    #[test]
    fn the_same_problem_gives_the_same_placement() {
        let problem = random_problem(&mut Rng::with_seed(3));
        assert_eq!(solve(&problem, 0, 10_000), solve(&problem, 0, 10_000));
    }

    #[test]
    fn a_chain_in_place_needs_one_block_and_its_gaps() {
        let step = |index: usize| Block { bytes: 1000, element: 1, floor: 0, first: index, last: index + 1 };
        let blocks: Vec<Block> = (0..6).map(step).collect();
        let pairs = (0..5).map(|i| Pair { before: i, after: i + 1, reach: Some(-32), dear: true }).collect();
        assert_eq!(solve(&Problem { blocks, pairs }, 0, 10_000).bytes, 1000 + 5 * 32);
    }
}
