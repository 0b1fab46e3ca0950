//! Products of two activations in the Arm DSP layout: the second operand is brought into the order of weights first, once for all
//! rows of the first one. Without its zero point a value takes 9 bits, so they become halves, which need no widening later.
#![allow(unsafe_code)]

use super::dsp::{self, lanes};
use super::matrix::{Rounding, Staging};
use super::product::Matrices;
use super::view::{Out, span};
use crate::kernels::requant::Channels;
use crate::pack::Layout;

/// Columns of `depth` values that are packed at a time: as many as take a kilobyte and a half, but 12 to 32. Rows are staged anew for each
/// such panel, which is little beside its products, and the scratch memory does not grow with the columns.
const fn panel_columns(depth: usize) -> usize {
    // Four at a time are packed in the shortest way.
    match depth.div_ceil(4) {
        0..=6 => 32,
        groups @ 7..=12 => 192 / groups / 4 * 4,
        _ => 12,
    }
}

/// Bytes of scratch memory for a second operand of `depth` rows and `columns` columns: biases, multipliers, packed columns, the tile,
/// shifts.
pub fn bytes(depth: usize, columns: usize) -> usize {
    let columns = columns.min(panel_columns(depth));
    columns * 9 + packed_bytes(depth, columns) + dsp::tile_bytes(depth, depth)
}

fn packed_bytes(depth: usize, columns: usize) -> usize {
    columns.next_multiple_of(2) * depth.next_multiple_of(4) * 2
}

/// Where value `at` of a packed column lies.
#[inline(always)]
fn place(depth: usize, column: usize, at: usize) -> usize {
    let block = depth.next_multiple_of(4) * 2;
    column / 2 * block + at / 4 * 8 + at % 2 * 4 + column % 2 * 2 + at % 4 / 2
}

/// Results `[rows][columns]`, rows `stride` apart. Nothing that counts happens, and false comes back, when there are too few rows
/// for a tile, the scale is an unusual one, or something is too short.
pub fn multiply(matrices: &Matrices<'_>, scratch: Out<'_, u8>, (y, stride): (Out<'_, i8>, usize)) -> bool {
    let (mut panel, [_, depth, columns]) = (*matrices, matrices.sizes);
    let (Matrices { b: (b, [_, across]), .. }, mut first) = (*matrices, 0);
    let mut most = panel_columns(depth).min(columns);
    // There is room for what takes most at the bound, where the depth may be another one.
    while most > 0 && bytes(depth, most) > scratch.len() {
        most = (most - 1) / 4 * 4;
    }
    if most == 0 {
        return false;
    }
    while first < columns {
        panel.b.0 = b.window(first * across, b.len());
        panel.sizes[2] = most.min(columns - first);
        if !multiply_panel(&panel, scratch, (y.window(first, y.len()), stride)) {
            return false;
        }
        first += most;
    }
    columns > 0
}

/// Brings the values of all columns, `down` apart in a column and `across` from column to column, less `zero`, into the order of
/// weights, four at a time where they lie together, and gives the sum of each column.
///
/// # Safety
/// All values can be read, and [`packed_bytes`] written, which begin at a whole word; there are as many sums.
unsafe fn pack(
    b: *const i8,
    [down, across]: [usize; 2],
    [depth, columns]: [usize; 2],
    zero: i32,
    packed: *mut u32,
    sums: Out<'_, i32>,
) {
    const ONES: u32 = 0x0001_0001;
    let half = 0i32.wrapping_sub(zero) as u32 & 0xFFFF;
    let (off, fours) = (half | half << 16, depth / 4);
    let block = depth.next_multiple_of(4);
    let load = |at: usize| {
        // SAFETY: as of this function; these processors have words at any address.
        unsafe { b.add(at).cast::<u32>().read_unaligned() }
    };
    let store = |column: usize, group: usize, [even, odd]: [u32; 2]| {
        // SAFETY: as of this function: a group of four values is two words, each with one of the other column behind it.
        unsafe {
            let to = packed.add(column / 2 * block + group * 4 + column % 2);
            to.write(even);
            to.add(2).write(odd);
        }
    };
    let mut done = 0;
    if down == 1 {
        for column in 0..columns {
            let mut sum = 0;
            for group in 0..fours {
                let (even, odd) = lanes::moved(off, load(column * across + 4 * group));
                sum = lanes::dot(even, ONES, lanes::dot(odd, ONES, sum));
                store(column, group, [even, odd]);
            }
            sums.set(column, sum);
        }
        done = columns;
    } else if across == 1 {
        for first in (0..columns / 4 * 4).step_by(4) {
            let mut four = [0i32; 4];
            for group in 0..fours {
                let rows: [(u32, u32); 4] =
                    core::array::from_fn(|row| lanes::moved(off, load((4 * group + row) * down + first)));
                let [low, high] =
                    [|a: u32, b: u32| a & 0xFFFF | b << 16, |a: u32, b: u32| a >> 16 | b & 0xFFFF_0000];
                let [a, b, c, d] = rows;
                let columns = [
                    [low(a.0, c.0), low(b.0, d.0)],
                    [low(a.1, c.1), low(b.1, d.1)],
                    [high(a.0, c.0), high(b.0, d.0)],
                    [high(a.1, c.1), high(b.1, d.1)],
                ];
                for (lane, (sum, halves)) in four.iter_mut().zip(columns).enumerate() {
                    *sum = lanes::dot(halves[0], ONES, lanes::dot(halves[1], ONES, *sum));
                    store(first + lane, group, halves);
                }
            }
            four.into_iter().enumerate().for_each(|(lane, sum)| sums.set(first + lane, sum));
        }
        done = columns / 4 * 4;
    }
    let halves = packed.cast::<i16>();
    for column in 0..columns {
        let (from, mut sum) = if column < done { (4 * fours, sums.get(column)) } else { (0, 0) };
        for at in from..block {
            // SAFETY: as of this function.
            unsafe {
                let value = if at < depth { *b.add(at * down + column * across) as i32 - zero } else { 0 };
                halves.add(place(depth, column, at)).write(value as i16);
                sum = sum.wrapping_add(value);
            }
        }
        sums.set(column, sum);
    }
}

fn multiply_panel(matrices: &Matrices<'_>, scratch: Out<'_, u8>, y: (Out<'_, i8>, usize)) -> bool {
    let Matrices { a: (a, a_row), zero_a, b: (b, [down, across]), zero_b, sizes, scale, clamp } = *matrices;
    let [rows, depth, columns] = sizes;
    let reach = span(depth, down, span(columns, across, 1));
    let whole = rows >= dsp::ROWS && depth >= 4 && columns > 0;
    if !whole || b.len() < reach || scratch.len() < bytes(depth, columns) {
        return false;
    }
    let (packed, tile) = (packed_bytes(depth, columns), dsp::tile_bytes(depth, depth));
    let biases = scratch.window(0, columns * 4).cast::<i32>();
    let multipliers = scratch.window(columns * 4, columns * 4).cast::<i32>();
    let halves = scratch.window(columns * 8, packed).cast::<i16>();
    let tile = scratch.window(columns * 8 + packed, tile);
    let shifts = scratch.window(columns * 8 + packed + tile.len(), columns);
    if biases.len() < columns || multipliers.len() < columns || halves.len() * 2 < packed {
        return false;
    }
    // SAFETY: the reach of the last value of the last column lies in `b`; `halves` are as many as its order takes, behind whole words of
    // scratch memory, which begins at one.
    unsafe { pack(b.as_ptr(), [down, across], [depth, columns], zero_b, halves.as_mut_ptr().cast(), biases) };
    for column in 0..columns {
        biases.set(column, biases.get(column).wrapping_mul(zero_a).wrapping_neg());
    }
    multipliers.fill(scale.multiplier);
    super::fill(shifts, scale.shift);
    let channels =
        Channels { bias: biases.reader(), multiplier: multipliers.reader(), shift: shifts.reader() };
    let staging = Staging { layout: Layout::ArmDsp, bytes: tile, depth, run: depth };
    let a = a.window(0, span(rows, a_row, depth));
    let halves = halves.reader();
    #[cfg(mixel_dsp)]
    {
        use super::matrix::Windows;
        let rounding = Rounding::new(&channels, clamp);
        let windows =
            Windows { rows: &[a], from: 0, step: a_row, len: depth, count: rows, outside: 0, last: true };
        let factors = dsp::Factors::halves(halves.cast());
        dsp::windows(windows, (&staging, 0), factors, &channels, rounding, y).is_some()
    }
    #[cfg(not(mixel_dsp))]
    {
        let _ = (staging.bytes, Rounding::new);
        for (row, column) in (0..rows * columns).map(|index| (index / columns, index % columns)) {
            let sum = (0..depth).fold(0i32, |sum, at| {
                let half = halves.get(place(depth, column, at)) as i32;
                sum.wrapping_add((a.get(row * a_row + at) as i32).wrapping_mul(half))
            });
            y.0.set(row * y.1 + column, channels.finish(column, sum, clamp));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec;

    use super::*;
    use crate::arch::view::In;
    use crate::kernels::requant::{Clamp, Scale};

    /// Of a depth that varies any has its panels in the scratch memory for the bound.
    #[test]
    fn all_depths_up_to_the_bound_are_multiplied() {
        let (a, b) = ([3i8; 3 * 130], vec![5i8; 130 * 40]);
        // An interpreter takes minutes for all of them.
        for bound in if cfg!(miri) { 20..=20 } else { 4..=130 } {
            for (depth, columns) in (4..=bound).flat_map(|depth| [8, 17, 40].map(|columns| (depth, columns)))
            {
                let room = bytes(bound, columns);
                let (mut scratch, mut y) = (vec![0u32; room.div_ceil(4)], [0i8; 120]);
                let scratch = Out::new(&mut scratch).cast::<u8>().window(0, room);
                let matrices = Matrices {
                    a: (In::new(&a), bound),
                    zero_a: 0,
                    b: (In::new(&b), [columns, 1]),
                    zero_b: 0,
                    sizes: [3, depth, columns],
                    scale: Scale { multiplier: 1 << 30, shift: 34 },
                    clamp: Clamp { zero_point: 0, min: -128, max: 127 },
                };
                assert!(
                    multiply(&matrices, scratch, (Out::new(&mut y), columns)),
                    "{depth} of {bound}, {columns}"
                );
            }
        }
    }
}
