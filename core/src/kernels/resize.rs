//! Resampling of images, bilinear or nearest, by tables that the host makes: input `[n, h, w, c]`, output
//! `[n, oh, ow, c]`, with the same quantization.
//!
//! Each output row has two input rows and the weight of the second, and so has each output column. With `u` and `v` the
//! weights of the second row and column and `one = 2^bits`,
//! `y = round(((one-u) * ((one-v) * x00 + v * x01) + u * ((one-v) * x10 + v * x11)) / 2^(2 * bits))`, rounded once.
//! Weights of zero everywhere make it a nearest-neighbour resize.

use core::marker::PhantomData;

use super::nest::blocks;
use super::requant::{Quantized, round_shift, round_shift32};
use super::{Kernel, OpKind, Run};
use crate::arch::view::{In, Out};
use crate::plan::cursor::Cursor;
use crate::plan::write::{self, Constant};
use crate::plan::{Fault, Operator};

/// The operator on elements of type `T`.
pub struct ResizeOf<T>(PhantomData<T>);
/// The operator on int8.
pub type Resize = ResizeOf<i8>;
/// The operator on int16.
pub type Resize16 = ResizeOf<i16>;

/// The parameters of [`super::OpKind::Resize`] (int8) and [`super::OpKind::Resize16`] (int16) as the plan stores them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResizeParams {
    /// Bits of the weights: at most 11 for int8, 15 for int16.
    pub bits: u8,
    /// u16 triples, one an output row: first input row, second input row, weight of the second (0 to `2^bits`).
    pub rows: Constant,
    /// The same for output columns.
    pub columns: Constant,
}

impl ResizeParams {
    /// The bytes that the operator reads.
    pub fn encode(&self) -> write::Params {
        write::Params::new()
            .u8(self.bits)
            .constant(self.rows.offset, self.rows.count)
            .constant(self.columns.offset, self.columns.count)
    }

    fn read(mut cursor: Cursor<'_>) -> Option<Self> {
        let params = Self {
            bits: cursor.u8(),
            rows: Constant::read(&mut cursor),
            columns: Constant::read(&mut cursor),
        };
        cursor.finished().then_some(params)
    }
}

/// Two inputs and the weight of the second, for every place along one axis.
#[derive(Clone, Copy)]
struct Taps<'p>(In<'p, u16>);

impl Taps<'_> {
    fn get(&self, place: usize) -> (usize, usize, i32) {
        let at = |field| self.0.get(3 * place + field);
        (at(0) as usize, at(1) as usize, at(2) as i32)
    }

    fn check(&self, inputs: u32, outputs: u32, bits: u8) -> bool {
        let outputs = outputs as usize;
        let fits = |place| {
            let (first, second, weight) = self.get(place);
            first < inputs as usize && second < inputs as usize && weight <= 1 << bits
        };
        self.0.len() == 3 * outputs && (0..outputs).all(fits)
    }
}

impl<T: Quantized> Kernel for ResizeOf<T> {
    const KIND: OpKind = if T::MAX > 127 { OpKind::Resize16 } else { OpKind::Resize };

    fn check(operator: &Operator<'_>) -> Result<(), Fault> {
        let (x, y) = operator.unary()?;
        if (x.dtype.range(), y.dtype.range()) != ((T::MIN, T::MAX), (T::MIN, T::MAX)) {
            return Err(Fault::Types);
        }
        if (x.dims[0], x.dims[3]) != (y.dims[0], y.dims[3]) || x.zero_point != y.zero_point {
            return Err(Fault::Shapes);
        }
        if x.dynamic != 0 || y.dynamic != 0 {
            return Err(Fault::Dynamic);
        }
        let params = ResizeParams::read(operator.params()).ok_or(Fault::Params)?;
        if !(1..=if T::MAX > 127 { 15 } else { 11 }).contains(&params.bits) {
            return Err(Fault::Params);
        }
        let rows = Taps(operator.slice(params.rows)).check(x.dims[1], y.dims[1], params.bits);
        let columns = Taps(operator.slice(params.columns)).check(x.dims[2], y.dims[2], params.bits);
        if rows && columns { Ok(()) } else { Err(Fault::Constants) }
    }

    fn run(run: &Run<'_>) {
        let Ok((input, output)) = run.operator().unary() else { return };
        let Some(params) = ResizeParams::read(run.operator().params()) else { return };
        let (rows, columns) =
            (Taps(run.operator().slice(params.rows)), Taps(run.operator().slice(params.columns)));
        let (x, y) = (run.read::<T>(&input), run.write::<T>(&output));
        let [_, height, width, channels] = input.dims.map(|dim| dim as usize);
        let [_, to_height, to_width, _] = output.dims.map(|dim| dim as usize);
        for image in blocks(&input, 1, run.rows()) {
            for row in 0..to_height {
                let (top, bottom, down) = rows.get(row);
                for column in 0..to_width {
                    let (left, right, across) = columns.get(column);
                    let at = |row, column| {
                        x.window(((image * height + row) * width + column) * channels, channels)
                    };
                    let y = y.window(((image * to_height + row) * to_width + column) * channels, channels);
                    if (down, across) == (0, 0) {
                        y.copy_from(&at(top, left));
                        continue;
                    }
                    let corners = [at(top, left), at(top, right), at(bottom, left), at(bottom, right)];
                    blend(corners, down, across, params.bits, y);
                }
            }
        }
    }
}

/// All channels of one output from its four inputs.
fn blend<T: Quantized>(corners: [In<'_, T>; 4], down: i32, across: i32, bits: u8, y: Out<'_, T>) {
    let (up, back) = ((1 << bits) - down, (1 << bits) - across);
    for channel in 0..y.len() {
        let [a, b, c, d] = corners.map(|corner| corner.get(channel).wide());
        // At most 2^15 * 2^15 in size each.
        let (top, bottom) = (a * back + b * across, c * back + d * across);
        let value = if T::MAX > 127 {
            round_shift(top as i64 * up as i64 + bottom as i64 * down as i64, 2 * bits) as i32
        } else {
            round_shift32(top * up + bottom * down, 2 * bits)
        };
        y.set(channel, T::narrow(value));
    }
}

/// The specification, for one image; `rows` and `columns` as the plan has them.
pub fn reference(
    x: &[i32],
    [height, width, channels]: [usize; 3],
    (rows, columns): (&[u16], &[u16]),
    bits: u8,
    y: &mut [i32],
) {
    assert_eq!(x.len(), height * width * channels);
    let outputs =
        rows.chunks_exact(3).flat_map(|row| columns.chunks_exact(3).map(move |column| (row, column)));
    for ((row, column), y) in outputs.zip(y.chunks_exact_mut(channels)) {
        let (down, across) = (row[2] as i64, column[2] as i64);
        let (up, back) = ((1 << bits) - down, (1 << bits) - across);
        for (channel, y) in y.iter_mut().enumerate() {
            let at = |row: u16, column: u16| {
                x[(row as usize * width + column as usize) * channels + channel] as i64
            };
            let line = |row| at(row, column[0]) * back + at(row, column[1]) * across;
            *y = round_shift(line(row[0]) * up + line(row[1]) * down, 2 * bits) as i32;
        }
    }
}
