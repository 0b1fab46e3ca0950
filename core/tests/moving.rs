//! Operators that move, pick, combine or resample elements.

mod support;

use mixel_core::kernels::OpKind;
use mixel_core::kernels::gather::{self, GatherParams};
use mixel_core::kernels::movement::{self, Loop, MoveParams};
use mixel_core::kernels::reduce::{self, Combine, ReduceParams};
use mixel_core::kernels::resize::ResizeParams;
use mixel_core::plan::DType::{self, I8, I16, I32, U16};
use mixel_core::plan::{Fault, Rows, Tensor};
use support::{Case, Data, Random, UNTOUCHED, real, scale, tensor, worst};

fn one(count: u32, from_step: i32, to_step: i32) -> Loop {
    Loop { count, from_step, to_step }
}

fn moves(from: u32, to: u32, fill: Option<i32>, loops: &[Loop]) -> MoveParams {
    MoveParams { from, to, fill, dynamic: 0, loops: heapless::Vec::from_slice(loops).unwrap() }
}

fn untouched(dtype: DType) -> i32 {
    i32::from_le_bytes([UNTOUCHED; 4]) >> (32 - 8 * dtype.size())
}

/// Runs a move and its specification on every type.
fn check_move(from: [u32; 4], to: [u32; 4], params: &MoveParams) -> Vec<i32> {
    let mut random = Random::new(1);
    let mut result = Vec::new();
    for dtype in [I16, U16, I32, I8] {
        let (x, y) = (tensor(dtype, from, 0), tensor(dtype, to, 0));
        let values = match dtype {
            I32 => (0..x.elements()).map(|_| random.next() as i32).collect(),
            _ => random.fill(&x),
        };
        let mut expected = vec![untouched(dtype); y.elements()];
        movement::reference(&values, params, params.fill, &mut expected);
        result = Case::new(OpKind::Move, &[x], y, params.encode()).run(&[values]);
        assert_eq!(result, expected, "{dtype:?} {params:?}");
    }
    result
}

#[test]
fn transposes_slices_pads_and_shuffles() {
    // [2, 3, 4] to [4, 2, 3], written in order.
    check_move([1, 2, 3, 4], [1, 4, 2, 3], &moves(0, 0, None, &[one(4, 1, 6), one(2, 12, 3), one(3, 4, 1)]));
    // Backwards along the second axis, every other column.
    check_move([1, 2, 3, 4], [1, 2, 3, 2], &moves(8, 0, None, &[one(2, 12, 6), one(3, -4, 2), one(2, 2, 1)]));
    // All backwards in one loop.
    check_move([1, 1, 1, 9], [1, 1, 1, 9], &moves(8, 0, None, &[one(9, -1, 1)]));
    // Padding of one on each side.
    let padded = check_move(
        [1, 2, 3, 4],
        [1, 4, 5, 4],
        &moves(0, 24, Some(7), &[one(2, 12, 20), one(3, 4, 4), one(4, 1, 1)]),
    );
    assert_eq!(padded[..24], [7; 24]);
    // The second of two inputs of a concatenation on the last axis leaves the first one's part alone.
    let part = check_move([1, 1, 3, 4], [1, 1, 3, 10], &moves(0, 6, None, &[one(3, 4, 10), one(4, 1, 1)]));
    assert_eq!(part[..6], [UNTOUCHED as i32; 6]);
    // Repetition of one row, and of single elements (nearest resize by two).
    check_move([1, 1, 1, 5], [1, 1, 4, 5], &moves(0, 0, None, &[one(4, 0, 5), one(5, 1, 1)]));
    check_move(
        [1, 2, 2, 3],
        [1, 4, 4, 3],
        &moves(0, 0, None, &[one(2, 6, 24), one(2, 0, 12), one(2, 3, 6), one(2, 0, 3), one(3, 1, 1)]),
    );
    // Depth to space by two: [2, 2, 8] to [4, 4, 2].
    check_move(
        [1, 2, 2, 8],
        [1, 4, 4, 2],
        &moves(0, 0, None, &[one(2, 16, 16), one(2, 4, 8), one(2, 8, 4), one(2, 2, 2), one(2, 1, 1)]),
    );
    // A single element.
    check_move([1, 1, 1, 3], [1, 1, 1, 2], &moves(2, 1, None, &[one(1, 0, 0)]));
}

#[test]
fn moves_of_rows_present() {
    let mut x = tensor(I8, [1, 1, 6, 4], 0);
    x.dynamic = 0b0100;
    let mut y = tensor(I8, [1, 4, 1, 6], 0);
    y.dynamic = 0b1000;
    let mut params = moves(0, 0, None, &[one(6, 4, 1), one(4, 1, 6)]);
    params.dynamic = 0b01;
    let values: Vec<i32> = (0..24).collect();
    for rows in [0, 2, 6] {
        let case = Case::new(OpKind::Move, &[x], y, params.encode()).with_rows(6, rows);
        let out = case.run_over(core::slice::from_ref(&values), None).unwrap();
        for (index, out) in out.iter().enumerate() {
            let (column, row) = (index / 6, index % 6);
            let expected = if row < rows { row * 4 + column } else { UNTOUCHED as usize };
            assert_eq!(*out, expected as i32);
        }
    }
}

#[test]
fn moves_out_of_bounds_are_refused() {
    let (x, y) = (tensor(I8, [1, 1, 3, 4], 0), tensor(I8, [1, 1, 4, 4], 0));
    let fault = |params: MoveParams| Case::new(OpKind::Move, &[x], y, params.encode()).fault();
    assert_eq!(fault(moves(0, 0, None, &[one(12, 1, 1)])), None);
    assert_eq!(fault(moves(0, 4, None, &[one(12, 1, 1)])), None);
    assert_eq!(fault(moves(1, 0, None, &[one(12, 1, 1)])), Some(Fault::Shapes));
    assert_eq!(fault(moves(0, 5, None, &[one(12, 1, 1)])), Some(Fault::Shapes));
    assert_eq!(fault(moves(1, 0, None, &[one(3, -1, 1)])), Some(Fault::Shapes));
    assert_eq!(fault(moves(0, 0, None, &[one(3, 1, -1)])), Some(Fault::Shapes));
    assert_eq!(fault(moves(0, 0, None, &[one(1 << 28, i32::MAX, 0); 6])), Some(Fault::Shapes));
    assert_eq!(fault(moves(0, 0, None, &[one(0, 1, 1)])), Some(Fault::Params));
    assert_eq!(fault(moves(0, 0, None, &[])), Some(Fault::Params));
    let mut dynamic = moves(0, 0, None, &[one(2, 1, 1)]);
    dynamic.dynamic = 1;
    assert_eq!(fault(dynamic.clone()), Some(Fault::Dynamic));
    dynamic.dynamic = 2;
    assert_eq!(fault(dynamic), Some(Fault::Params));
}

#[test]
fn gathers_along_every_axis() {
    let mut random = Random::new(2);
    for (axis, dtype) in (0..4).flat_map(|axis| [I8, I16, I32].map(|dtype| (axis, dtype))) {
        let dims = [2, 3, 4, 5];
        let x = tensor(dtype, dims, 0);
        let indices: Vec<u16> = (0..7).map(|_| random.range(0, dims[axis] as i32 - 1) as u16).collect();
        let mut out_dims = dims;
        out_dims[axis] = 7;
        let y = tensor(dtype, out_dims, 0);
        let mut data = Data::default();
        let params = GatherParams { axis: axis as u8, indices: data.u16(&indices) };
        let case = Case::new(OpKind::Gather, &[x], y, params.encode()).with_data(data);
        let values: Vec<i32> = (0..x.elements() as i32).map(|value| value - 50).collect();
        let mut expected = vec![0; y.elements()];
        let inner: usize = dims[axis + 1..].iter().product::<u32>() as usize;
        gather::reference(&values, dims[axis] as usize, inner, &indices, &mut expected);
        assert_eq!(case.run(&[values]), expected);
        let mut data = Data::default();
        let outside = GatherParams { axis: axis as u8, indices: data.u16(&[dims[axis] as u16; 7]) };
        let case = Case::new(OpKind::Gather, &[x], y, outside.encode()).with_data(data);
        assert_eq!(case.fault(), Some(Fault::Constants));
    }
}

#[test]
fn a_fixed_row_follows_those_that_vary() {
    // Two blocks of at most 6 rows of 4 elements and one row that is always there, behind them.
    let mut x = tensor(I8, [1, 2, 6, 4], 0);
    let mut y = tensor(I8, [1, 2, 7, 4], 0);
    let fixed = tensor(I8, [1, 2, 1, 4], 0);
    (x.dynamic, y.dynamic) = (0b0100, 0b0100);
    let one = |count, from_step, to_step| Loop { count, from_step, to_step };
    let rows = MoveParams {
        from: 0,
        to: 0,
        fill: None,
        dynamic: 0b010,
        loops: [one(2, 24, 28), one(6, 4, 4), one(4, 1, 1)].into_iter().collect(),
    };
    let behind = MoveParams {
        from: 0,
        to: 24,
        fill: None,
        dynamic: movement::BEHIND,
        loops: [one(1, 4, 4), one(2, 4, 28), one(4, 1, 1)].into_iter().collect(),
    };
    let (values, last): (Vec<i32>, Vec<i32>) = ((0..48).collect(), (100..108).collect());
    for present in [0, 1, 5, 6] {
        let run = |x: Tensor, params: &MoveParams, values: &Vec<i32>| {
            let case = Case::new(OpKind::Move, &[x], y, params.encode()).with_rows(6, present);
            case.run_over(core::slice::from_ref(values), None).unwrap()
        };
        let (out, end) = (run(x, &rows, &values), run(fixed, &behind, &last));
        for (at, (out, end)) in out.into_iter().zip(end).enumerate() {
            let (block, row, column) = (at / 28, at / 4 % 7, at % 4);
            let untouched = UNTOUCHED as i32;
            let copied = if row < present { (block * 24 + row * 4 + column) as i32 } else { untouched };
            let fixed = if row == present { (100 + block * 4 + column) as i32 } else { untouched };
            assert_eq!((out, end), (copied, fixed), "{present} rows, element {at}");
        }
    }
    // With no row the place would lie in front of the output.
    let outside = MoveParams { to: 20, ..behind };
    let case = Case::new(OpKind::Move, &[fixed], y, outside.encode()).with_rows(6, 6);
    assert_eq!(case.fault(), Some(Fault::Shapes));
}

/// The elements that are combined into each output, for all `rows` present.
fn reduced(x: &Tensor, axes: u8, rows: Rows) -> Vec<Option<Vec<usize>>> {
    let (dims, present) = (x.dims.map(|dim| dim as usize), x.dims_with(rows));
    let kept = |axis: usize| axes >> axis & 1 == 0;
    let outputs: usize = (0..4).filter(|&axis| kept(axis)).map(|axis| dims[axis]).product();
    let mut members = vec![None; outputs];
    let coordinates = |index: usize| {
        let mut rest = index;
        let mut at = [0; 4];
        for axis in (0..4).rev() {
            at[axis] = rest % dims[axis];
            rest /= dims[axis];
        }
        at
    };
    for index in 0..x.elements() {
        let at = coordinates(index);
        let output = (0..4).filter(|&axis| kept(axis)).fold(0, |output, axis| output * dims[axis] + at[axis]);
        if (0..4).filter(|&axis| kept(axis)).all(|axis| at[axis] < present[axis]) {
            let members: &mut Vec<usize> = members[output].get_or_insert_default();
            if (0..4).all(|axis| at[axis] < present[axis]) {
                members.push(index);
            }
        }
    }
    members
}

#[test]
fn reductions_over_every_set_of_axes() {
    let mut random = Random::new(3);
    for (from, to) in [(I8, I8), (I16, I16), (I8, I16), (I16, I8)] {
        for (axes, dynamic, rows) in
            (1..16u8).flat_map(|axes| [(axes, 0, 0), (axes, 0b0100, 0), (axes, 0b0100, 3), (axes, 0b0110, 4)])
        {
            let dims = if dynamic == 0b0110 { [2, 4, 4, 5] } else { [2, 3, 4, 5] };
            let mut x = tensor(from, dims, -9);
            x.dynamic = dynamic;
            let mut out_dims = dims;
            (0..4).filter(|axis| axes >> axis & 1 == 1).for_each(|axis| out_dims[axis] = 1);
            let mut y = tensor(to, out_dims, 4);
            y.dynamic = dynamic & !axes;
            let bound = if dynamic == 0 { 0 } else { 4 };
            let members = reduced(&x, axes, Rows::new(rows, bound));
            let values = random.fill(&x);
            for combine in [Combine::Mean, Combine::Sum, Combine::Max] {
                let (min, max) = y.dtype.range();
                let factor = if to == I8 && from == I16 { 0.004 } else { 1.3 };
                let mut params = ReduceParams { combine, axes, scale: scale(factor), min, max };
                if combine == Combine::Mean && params.scale.shift > 38 {
                    params.scale.multiplier >>= params.scale.shift - 38;
                    params.scale.shift = 38;
                }
                let kind = if (from, to) == (I8, I8) { OpKind::Reduce } else { OpKind::Reduce16 };
                let case = Case::new(kind, &[x], y, params.encode()).with_rows(bound, rows);
                let out = case.run_over(core::slice::from_ref(&values), None).unwrap();
                for (out, members) in out.iter().zip(&members) {
                    let Some(members) = members else {
                        assert_eq!(*out, untouched(to));
                        continue;
                    };
                    let members: Vec<i32> = members.iter().map(|&index| values[index]).collect();
                    assert_eq!(*out, reduce::reference(&members, &params, [-9, 4]));
                    let centred = || members.iter().map(|x| *x as f64 + 9.0);
                    let exact = match (combine, members.len()) {
                        (_, 0) => 0.0,
                        (Combine::Mean, n) => centred().sum::<f64>() / n as f64,
                        (Combine::Sum, _) => centred().sum(),
                        (Combine::Max, _) => centred().fold(f64::MIN, f64::max),
                    };
                    let exact = exact * real(params.scale) + 4.0;
                    assert!(worst(&[*out], &[exact], to) <= 0.5 + 1e-9, "{combine:?} {axes:#b}");
                }
            }
        }
    }
}

/// Taps of a bilinear resize with half-pixel centres, as ONNX defines them.
fn taps(inputs: usize, outputs: usize, bits: u8) -> (Vec<u16>, Vec<(usize, usize, f64)>) {
    let (mut table, mut exact) = (Vec::new(), Vec::new());
    for place in 0..outputs {
        let at =
            ((place as f64 + 0.5) * inputs as f64 / outputs as f64 - 0.5).clamp(0.0, inputs as f64 - 1.0);
        let first = at.floor() as usize;
        let second = (first + 1).min(inputs - 1);
        let weight = at - first as f64;
        table.extend([first as u16, second as u16, (weight * (1 << bits) as f64).round() as u16]);
        exact.push((first, second, weight));
    }
    (table, exact)
}

#[test]
fn bilinear_resizes_keep_their_bound() {
    let mut random = Random::new(4);
    for (dtype, bits) in [(I8, 11), (I16, 15)] {
        for (from, to) in [([5, 7], [10, 14]), ([5, 7], [3, 20]), ([1, 4], [4, 1]), ([6, 6], [6, 6])] {
            let x = tensor(dtype, [2, from[0] as u32, from[1] as u32, 3], 0);
            let y = tensor(dtype, [2, to[0] as u32, to[1] as u32, 3], 0);
            let mut data = Data::default();
            let (rows, columns) = (taps(from[0], to[0], bits), taps(from[1], to[1], bits));
            let params = ResizeParams { bits, rows: data.u16(&rows.0), columns: data.u16(&columns.0) };
            let kind = if dtype == I8 { OpKind::Resize } else { OpKind::Resize16 };
            let values = random.fill(&x);
            let out =
                Case::new(kind, &[x], y, params.encode()).with_data(data).run(core::slice::from_ref(&values));
            let mut exact = Vec::new();
            for index in 0..y.elements() {
                let (channel, column) = (index % 3, index / 3 % to[1]);
                let (row, image) = (index / 3 / to[1] % to[0], index / 3 / to[1] / to[0]);
                let at = |row: usize, column: usize| {
                    values[((image * from[0] + row) * from[1] + column) * 3 + channel] as f64
                };
                let ((top, bottom, down), (left, right, across)) = (rows.1[row], columns.1[column]);
                let line = |row| at(row, left) * (1.0 - across) + at(row, right) * across;
                exact.push(line(top) * (1.0 - down) + line(bottom) * down);
            }
            // Each weight is off by half a unit, on differences of up to the whole range.
            let (low, high) = dtype.range();
            let bound = 0.5 + (high - low) as f64 * 2.0 / 2f64.powi(bits as i32 + 1);
            let most = worst(&out, &exact, dtype);
            println!("resize {dtype:?} {from:?} to {to:?}: {most}");
            assert!(most <= bound, "{most}");
            if from == to {
                assert_eq!(out, values);
            }
        }
    }
}
