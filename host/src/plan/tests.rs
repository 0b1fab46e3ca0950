use fastrand::Rng;
use mixel_core::kernels::OpKind;
use mixel_core::kernels::part::Part;
use mixel_core::pack::Layout;
use mixel_core::plan::write::Params;
use mixel_core::plan::{DType, Direction, Fault, Interface, Plan, PlanError, Tensor};
use mixel_core::{All, Session};

use super::*;
use crate::aligned::Aligned;
use crate::emit::emit;
use crate::program::{ProgramOperator, ProgramPort, ProgramTensor, Strips};

fn tensor(elements: usize) -> ProgramTensor {
    matrix(1, elements)
}

/// Several rows, which linear layers stage in scratch memory.
fn matrix(rows: usize, inner: usize) -> ProgramTensor {
    let tensor = Tensor {
        dtype: DType::I8,
        place: Place::Arena,
        dynamic: 0,
        rank: 2,
        dims: [1, 1, rows as u32, inner as u32],
        offset: 0,
        scale: 1.0,
        zero_point: 0,
    };
    ProgramTensor { tensor, name: String::new(), value: None, alias_of: None }
}

fn empty() -> Program {
    Program {
        layout: Layout::Generic,
        tensors: Vec::new(),
        operators: Vec::new(),
        data: Vec::new(),
        strips: Vec::new(),
        ports: Vec::new(),
        states: Vec::new(),
        late: 0,
        count_table: None,
        front_end: Default::default(),
        max_rows: 0,
    }
}

fn add(program: &mut Program, tensor: ProgramTensor) -> u16 {
    program.tensors.push(tensor);
    program.tensors.len() as u16 - 1
}

fn port(program: &mut Program, tensor: u16, direction: Direction) {
    let name = format!("{direction:?}{tensor}");
    program.ports.push(ProgramPort {
        tensor,
        direction,
        interface: Interface::Integers,
        channels_first: false,
        name,
    });
}

fn constant(program: &mut Program, bytes: &[u8]) -> u32 {
    program.data.resize(program.data.len().next_multiple_of(16), 0);
    program.data.extend(bytes);
    (program.data.len() - bytes.len()) as u32
}

/// `output = table[input]`, which may run in place.
fn lut(program: &mut Program, input: u16, rng: &mut Rng) -> u16 {
    let table: Vec<u8> = (0..256).map(|_| rng.u8(..)).collect();
    let at = constant(program, &table);
    let [.., rows, inner] = program.tensors[input as usize].tensor.dims;
    let output = add(program, matrix(rows as usize, inner as usize));
    operator(program, OpKind::Lut, input, output, Params::new().constant(at, 256));
    output
}

/// A fully connected layer, which may not run in place.
fn linear(program: &mut Program, input: u16, outputs: usize, rng: &mut Rng) -> u16 {
    let [.., rows, _] = program.tensors[input as usize].tensor.dims;
    let output = add(program, matrix(rows as usize, outputs));
    layer(program, input, (outputs, output), None, rng);
    output
}

/// A fully connected layer; of some channels of `output` only where it is a part.
fn layer(
    program: &mut Program,
    input: u16,
    (outputs, output): (usize, u16),
    first: Option<u16>,
    rng: &mut Rng,
) {
    let depth = program.tensors[input as usize].tensor.inner();
    let weights: Vec<u8> = (0..depth * outputs).map(|_| rng.u8(..)).collect();
    let weights = constant(program, &weights);
    let mut channels = Vec::new();
    for field in [0i32, 1 << 20] {
        (0..outputs).for_each(|_| channels.extend(field.to_le_bytes()));
    }
    channels.resize(9 * outputs, 28);
    let at = constant(program, &channels);
    let (part, kind) = match first {
        Some(first) => (Part::channels(first, outputs as u16).encode(), OpKind::LinearPart),
        None => (Params::new(), OpKind::Linear),
    };
    let params = part.constant(weights, depth * outputs).constant(at, 9 * outputs).range(-128, 127);
    operator(program, kind, input, output, params);
}

fn operator(program: &mut Program, kind: OpKind, input: u16, output: u16, params: Params) {
    let name = format!("operator {}", program.operators.len());
    let (inputs, outputs, params) = (vec![input], vec![output], params.bytes().to_vec());
    program.operators.push(ProgramOperator { kind, inputs, outputs, params, name });
}

fn view(program: &mut Program, of: u16) -> u16 {
    let view = ProgramTensor { alias_of: Some(of), ..program.tensors[of as usize].clone() };
    add(program, view)
}

fn random_program(rng: &mut Rng) -> Program {
    let mut program = empty();
    let mut made = Vec::new();
    for _ in 0..rng.usize(1..3) {
        let input = add(&mut program, matrix(rng.usize(1..5), rng.usize(1..60)));
        port(&mut program, input, Direction::Input);
        made.push(input);
    }
    for _ in 0..rng.usize(1..16) {
        // Mostly the newest tensor: chains with some branches.
        let from = made.len().saturating_sub(if rng.u8(..4) == 0 { 6 } else { 1 });
        let input = made[rng.usize(from..made.len())];
        let next = match rng.u8(..5) {
            0 => view(&mut program, input),
            1 | 2 => linear(&mut program, input, rng.usize(1..60), rng),
            _ => lut(&mut program, input, rng),
        };
        made.push(next);
    }
    for _ in 0..rng.usize(1..3) {
        let output = made[rng.usize(made.len() / 2..made.len())];
        port(&mut program, output, Direction::Output);
    }
    program
}

fn outputs(program: &Program, placement: &Placement, seed: u64) -> Vec<Vec<u8>> {
    let bytes = emit(program, placement, false).unwrap();
    let plan = Plan::new_checked(&bytes).unwrap();
    let mut arena = Aligned::zeroed(plan.arena_bytes());
    arena.fill(0xa5);
    let mut session = Session::<All>::new(plan, &mut arena).unwrap();
    let mut rng = Rng::with_seed(seed);
    for input in 0..plan.inputs().count() {
        session.input(input).fill_with(|| rng.u8(..));
    }
    session.run();
    (0..plan.outputs().count()).map(|output| session.output(output).to_vec()).collect()
}

#[test]
fn sharing_memory_does_not_change_a_byte() {
    let mut rng = Rng::with_seed(1);
    let (mut saved, mut scratch) = (0, 0);
    for case in 0..60 {
        let program = random_program(&mut rng);
        let (close, apart) = (place(&program).unwrap(), place_apart(&program).unwrap());
        assert_eq!(outputs(&program, &close, case), outputs(&program, &apart, case), "case {case}");
        assert!(close.lower_bound <= close.arena(), "case {case}");
        saved += apart.arena() - close.arena();
        scratch += usize::from(apart.memory.scratch > 0);
    }
    assert!(saved > 500 && scratch > 20, "the cases exercise sharing");
}

#[test]
fn a_chain_of_tables_runs_in_one_buffer() {
    let (mut program, mut rng) = (empty(), Rng::with_seed(2));
    let input = add(&mut program, tensor(100));
    port(&mut program, input, Direction::Input);
    let mut last = input;
    for _ in 0..4 {
        last = lut(&mut program, last, &mut rng);
        last = view(&mut program, last);
    }
    port(&mut program, last, Direction::Output);
    let placement = place(&program).unwrap();
    assert_eq!((placement.arena(), placement.lower_bound), (112, 100));
}

#[test]
fn an_input_that_is_used_again_is_not_overwritten() {
    let (mut program, mut rng) = (empty(), Rng::with_seed(3));
    let input = add(&mut program, tensor(64));
    port(&mut program, input, Direction::Input);
    let first = lut(&mut program, input, &mut rng);
    let second = linear(&mut program, input, 8, &mut rng);
    port(&mut program, first, Direction::Output);
    port(&mut program, second, Direction::Output);
    let placement = place(&program).unwrap();
    assert_eq!(placement.arena(), 64 + 64 + 16);
    assert_eq!(placement.lower_bound, 64 + 64 + 8);
}

#[test]
fn scratch_memory_and_tensors_of_other_steps_share_memory() {
    let (mut program, mut rng) = (empty(), Rng::with_seed(5));
    let input = add(&mut program, matrix(4, 100));
    port(&mut program, input, Direction::Input);
    let narrow = linear(&mut program, input, 50, &mut rng);
    let wide = linear(&mut program, narrow, 120, &mut rng);
    port(&mut program, wide, Direction::Output);
    let placement = place(&program).unwrap();
    // Two rows are staged: 200 bytes while 400 + 200 are there, then 104 while 200 + 480 are.
    assert!(placement.arena() <= 800, "{placement:?}");
    assert_eq!(outputs(&program, &placement, 5), outputs(&program, &place_apart(&program).unwrap(), 5));
    let plan = |memory| encode(&program, &placement.offsets, memory, true).unwrap();
    assert!(Plan::new_checked(&plan(placement.memory)).is_ok());
    let lower = MemorySizes { tensors: 16, ..placement.memory };
    let error = Plan::new_checked(&plan(lower)).err();
    assert!(
        matches!(error, Some(PlanError::Operator(_, _, Fault::Scratch))),
        "tensors reach into it: {error:?}"
    );
}

#[test]
fn an_operator_that_the_core_refuses_is_named() {
    let (mut program, mut rng) = (empty(), Rng::with_seed(4));
    let input = add(&mut program, tensor(64));
    port(&mut program, input, Direction::Input);
    let output = lut(&mut program, input, &mut rng);
    port(&mut program, output, Direction::Output);
    program.operators[0].params.clear();
    let error = place(&program).unwrap_err();
    assert_eq!((error.kind, error.path.as_str()), (ErrorKind::Plan, "operator 0"));
}

/// `parts` joined along the channels.
fn join(program: &mut Program, parts: &[u16]) -> u16 {
    let shapes: Vec<[u32; 4]> =
        parts.iter().map(|&part| program.tensors[part as usize].tensor.dims).collect();
    let inner = shapes.iter().map(|dims| dims[3] as usize).sum();
    let whole = add(program, matrix(shapes[0][2] as usize, inner));
    let (name, inputs) = (format!("operator {}", program.operators.len()), parts.to_vec());
    let (kind, outputs, params) = (OpKind::Join, vec![whole], Vec::new());
    program.operators.push(ProgramOperator { kind, inputs, outputs, params, name });
    whole
}

/// Joins of layers that other operators stand between, some of whose parts are needed otherwise.
#[test]
fn parts_in_their_places_are_the_same_bytes() {
    let mut rng = Rng::with_seed(6);
    let (mut folded, mut kept) = (0, 0);
    for case in 0..60 {
        let mut program = empty();
        let mut last = add(&mut program, matrix(rng.usize(1..6), rng.usize(1..40)));
        port(&mut program, last, Direction::Input);
        for _ in 0..rng.usize(1..4) {
            let mut parts = Vec::new();
            for _ in 0..rng.usize(1..5) {
                let input = if rng.bool() { last } else { lut(&mut program, last, &mut rng) };
                let made = linear(&mut program, input, rng.usize(1..20), &mut rng);
                parts.push(if rng.u8(..8) == 0 { lut(&mut program, made, &mut rng) } else { made });
                if rng.u8(..8) == 0 {
                    port(&mut program, made, Direction::Output);
                }
            }
            last = join(&mut program, &parts);
            last = if rng.bool() { view(&mut program, last) } else { lut(&mut program, last, &mut rng) };
        }
        port(&mut program, last, Direction::Output);
        let before = place(&program).unwrap();
        let (joins, expected) = (program.operators.len(), outputs(&program, &before, case));
        let (parts, placement, _) = spare_copies(program.clone(), before, Vec::new()).unwrap();
        assert_eq!(outputs(&parts, &placement, case), expected, "case {case}");
        assert_eq!(outputs(&parts, &place_apart(&parts).unwrap(), case), expected, "case {case}");
        folded += joins - parts.operators.len();
        kept += parts.operators.iter().filter(|operator| operator.kind == OpKind::Join).count();
    }
    assert!(folded > 20 && kept > 20, "{folded} went, {kept} stayed");
}

fn image(program: &mut Program, rows: u32, channels: u32) -> u16 {
    let mut image = matrix(1, 1);
    (image.tensor.dims, image.tensor.rank) = ([1, rows, 3, channels], 4);
    add(program, image)
}

/// What makes another part of a tensor is done before the strips that make the last one, whose input is still needed then.
#[test]
fn strips_that_make_a_part_leave_those_that_are_there() {
    let (mut program, mut rng) = (empty(), Rng::with_seed(7));
    let input = image(&mut program, 12, 2);
    port(&mut program, input, Direction::Input);
    let [wide, other, whole] = [16, 4, 8].map(|channels| image(&mut program, 12, channels));
    let between = image(&mut program, 1, 40);
    layer(&mut program, input, (16, wide), None, &mut rng);
    layer(&mut program, input, (4, other), None, &mut rng);
    layer(&mut program, other, (4, whole), Some(0), &mut rng);
    layer(&mut program, wide, (40, between), None, &mut rng);
    layer(&mut program, between, (4, whole), Some(4), &mut rng);
    port(&mut program, whole, Direction::Output);
    program.strips.push(Strips {
        first: 3,
        rows: 1,
        streams: false,
        heights: vec![12, 12],
        passing: vec![true, false],
    });
    let (close, apart) = (place(&program).unwrap(), place_apart(&program).unwrap());
    assert_eq!(outputs(&program, &close, 1), outputs(&program, &apart, 1), "{:?}", close.offsets);
}
