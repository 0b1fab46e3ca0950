//! Damaged plans: refused, or run without a panic and without touching memory outside the arena.

mod support;

use mixel_core::kernels::OpKind;
use mixel_core::kernels::add::AddParams;
use mixel_core::kernels::gather::GatherParams;
use mixel_core::kernels::l2_norm::L2NormParams;
use mixel_core::kernels::layer_norm::NormParams;
use mixel_core::kernels::lut::Lut16Params;
use mixel_core::kernels::movement::{Loop, MoveParams};
use mixel_core::kernels::reduce::{Combine, ReduceParams};
use mixel_core::kernels::requant::Scale;
use mixel_core::kernels::requantize::RescaleParams;
use mixel_core::kernels::resize::ResizeParams;
use mixel_core::kernels::softmax::SoftmaxParams;
use mixel_core::plan::DType::{I8, I16};
use mixel_core::plan::format::{Section, header};
use mixel_core::plan::write::seal;
use mixel_core::{Plan, Session};
use support::{Aligned, Case, Data, Random, tensor};

fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    let scale = Scale { multiplier: 1 << 29, shift: 30 };
    for (wide, dtype) in [(false, I8), (true, I16)] {
        let mut x = tensor(dtype, [1, 2, 6, 8], 3);
        x.dynamic = 0b0100;
        let fixed = tensor(dtype, [1, 2, 6, 8], 3);
        let pick = |narrow, other| if wide { other } else { narrow };
        let (min, max) = dtype.range();
        let add = AddParams { a: 1 << 20, b: -(1 << 19), shift: 20, min, max };
        all.push(Case::new(pick(OpKind::Add, OpKind::Add16), &[x, x], x, add.encode()));
        let rescale = RescaleParams { scale, min, max };
        for kind in [pick(OpKind::Mul, OpKind::Mul16), pick(OpKind::Div, OpKind::Div16)] {
            all.push(Case::new(kind, &[x, x], x, rescale.encode()));
        }
        all.push(Case::new(OpKind::Requantize, &[x], x, rescale.encode()));
        let mut data = Data::default();
        let entries = if wide { 256 } else { 16 };
        let weights: Vec<u32> = (0..entries).map(|d| (1 << 31) / (d + 1)).collect();
        let params = SoftmaxParams {
            axis: 2,
            low: data.u32(&weights),
            high: data.u32(&weights),
            scale: Scale { multiplier: 1 << 30, shift: 22 },
        };
        let softmax = pick(OpKind::Softmax, OpKind::Softmax16);
        all.push(Case::new(softmax, &[x], x, params.encode()).with_data(data));
        for (kind, groups) in [
            (pick(OpKind::LayerNorm, OpKind::LayerNorm16), 1),
            (pick(OpKind::GroupNorm, OpKind::GroupNorm16), 4),
        ] {
            let mut data = Data::default();
            let params = NormParams {
                groups,
                epsilon: scale,
                fraction: 8,
                gamma: data.i32(&[1 << 28; 8]),
                beta: data.i32(&[1 << 10; 8]),
                shift: 16,
                min,
                max,
            };
            all.push(Case::new(kind, &[fixed], fixed, params.encode()).with_data(data));
        }
        let params = L2NormParams {
            axes: 0b0110,
            epsilon: scale,
            scale: Scale { multiplier: 1 << 30, shift: 23 },
            min,
            max,
        };
        all.push(Case::new(pick(OpKind::L2Norm, OpKind::L2Norm16), &[fixed], fixed, params.encode()));
        let y = tensor(dtype, [1, 2, 1, 8], 0);
        let params = ReduceParams { combine: Combine::Mean, axes: 0b0100, scale, min, max };
        all.push(Case::new(pick(OpKind::Reduce, OpKind::Reduce16), &[x], y, params.encode()));
        let loops = [
            Loop { count: 2, from_step: 48, to_step: 48 },
            Loop { count: 6, from_step: 8, to_step: 1 },
            Loop { count: 8, from_step: 1, to_step: 6 },
        ];
        let loops = heapless::Vec::from_slice(&loops).unwrap();
        let params = MoveParams { from: 0, to: 0, fill: Some(3), dynamic: 0b010, loops };
        all.push(Case::new(OpKind::Move, &[x], x, params.encode()));
        let mut data = Data::default();
        let params = GatherParams { axis: 1, indices: data.u16(&[1, 0]) };
        all.push(Case::new(OpKind::Gather, &[x], x, params.encode()).with_data(data));
        let mut data = Data::default();
        let rows = data.u16(&[0, 1, 5, 1, 1, 0]);
        let columns = data.u16(&[0, 1, 5, 1, 2, 9, 5, 5, 0]);
        let params = ResizeParams { bits: 4, rows, columns };
        let y = tensor(dtype, [1, 2, 3, 8], 3);
        let resize = pick(OpKind::Resize, OpKind::Resize16);
        all.push(Case::new(resize, &[fixed], y, params.encode()).with_data(data));
    }
    let mut data = Data::default();
    let x = tensor(I16, [1, 2, 6, 8], 3);
    let params = Lut16Params { table: data.i16(&[-7; 513]), shift: 1 };
    all.push(Case::new(OpKind::Lut16, &[x], tensor(I8, x.dims, 0), params.encode()).with_data(data));
    all.into_iter().map(|case| case.with_rows(6, 4)).collect()
}

/// Where sections lie in the plan: (start, length).
fn sections(plan: &[u8]) -> Vec<(usize, usize)> {
    let word = |at: usize| u32::from_le_bytes(plan[at..at + 4].try_into().unwrap()) as usize;
    let mut bounds: Vec<usize> = (0..Section::COUNT).map(|i| word(header::SECTIONS + 4 * i)).collect();
    bounds.push(plan.len());
    bounds.windows(2).map(|ends| (ends[0], ends[1] - ends[0])).collect()
}

#[test]
fn damaged_operators_are_refused_or_run() {
    let mut random = Random::new(11);
    let (mut refused, mut ran) = (0, 0);
    let rounds = if cfg!(miri) { 3 } else { 3000 };
    for case in cases() {
        let mut whole = case.plan();
        assert!(Plan::new_checked(whole.bytes()).is_ok(), "{:?}: {:?}", case.kind, case.fault());
        let parts: Vec<_> = sections(whole.bytes()).into_iter().filter(|(_, len)| *len > 0).collect();
        for _ in 0..rounds {
            let mut damaged = Aligned::new(whole.bytes().len());
            damaged.bytes().copy_from_slice(whole.bytes());
            for _ in 0..random.range(1, 3) {
                let (start, len) = parts[random.range(0, parts.len() as i32 - 1) as usize];
                let at = start + random.range(0, len as i32 - 1) as usize;
                damaged.bytes()[at] = match random.range(0, 3) {
                    0 => damaged.bytes()[at] ^ 1 << random.range(0, 7),
                    1 => 0xFF,
                    2 => 0x7F,
                    _ => random.next() as u8,
                };
            }
            seal(damaged.bytes());
            let Ok(plan) = Plan::new_checked(damaged.bytes()) else {
                refused += 1;
                continue;
            };
            let mut memory = Aligned::new(plan.arena_bytes() + 64);
            let arena = plan.arena_bytes();
            memory.bytes().iter_mut().for_each(|byte| *byte = random.next() as u8);
            let behind = memory.bytes()[arena..].to_vec();
            let mut session = Session::new(plan, &mut memory.bytes()[..arena]).unwrap();
            for rows in [0, 1, plan.max_rows()] {
                let _ = session.set_rows(rows);
                session.run();
            }
            assert_eq!(memory.bytes()[arena..], behind);
            ran += 1;
        }
    }
    println!("{refused} refused, {ran} ran");
    assert!(refused > ran / 4 && ran > 0);
}
