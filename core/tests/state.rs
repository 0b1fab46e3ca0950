//! Tensors that are kept from run to run: what they begin with, what a reset does, and which records are refused.

mod support;

use mixel_core::kernels::OpKind;
use mixel_core::kernels::add::AddParams;
use mixel_core::kernels::movement::{Loop, MoveParams};
use mixel_core::pack::Layout;
use mixel_core::plan::DType::{I8, I16};
use mixel_core::plan::format::{NO_NAME, Section, header};
use mixel_core::plan::write::{MemorySizes, Writer, seal};
use mixel_core::plan::{Direction, Place, State, Tensor};
use mixel_core::{Plan, PlanError, Session};
use support::{Aligned, tensor};

const FIRST: [i8; 4] = [10, -20, 30, 127];

fn at(place: Place, offset: u32) -> Tensor {
    Tensor { place, offset, ..tensor(I8, [1, 1, 1, 4], 5) }
}

/// `y = x + state` with zero points 5, then `state = y`. `edit` may change the tensor that the state begins with.
fn accumulator(edit: impl Fn(&mut Tensor)) -> Aligned {
    let mut memory = vec![0; 2048];
    let mut writer = Writer::new(&mut memory, [256; Section::COUNT]);
    let mut room = Aligned::new(2048);
    let mut write = || {
        let data = writer.data(&FIRST.map(|value| value as u8))?;
        let mut first = at(Place::Data, data);
        edit(&mut first);
        let (x, y) = (writer.tensor(&at(Place::Arena, 0))?, writer.tensor(&at(Place::Arena, 16))?);
        let (state, first) = (writer.tensor(&at(Place::State, 16))?, writer.tensor(&first)?);
        // Kept too, but with no first value.
        writer.tensor(&at(Place::State, 0))?;
        let add = AddParams { a: 1 << 20, b: 1 << 20, shift: 20, min: -128, max: 127 };
        writer.operator(OpKind::Add, &[x, state], &[y], add.encode().bytes())?;
        let mut all = MoveParams { from: 0, to: 0, fill: None, dynamic: 0, loops: Default::default() };
        let _ = all.loops.push(Loop { count: 4, from_step: 1, to_step: 1 });
        writer.operator(OpKind::Move, &[y], &[state], all.encode().bytes())?;
        writer.port(x, Direction::Input, NO_NAME)?;
        writer.port(y, Direction::Output, NO_NAME)?;
        writer.state(state, first)?;
        let sizes = MemorySizes { tensors: 32, scratch: 0, state: 32, max_rows: 0 };
        writer.finish(Layout::Generic, sizes, room.bytes())
    };
    let length = write().unwrap();
    let mut plan = Aligned::new(length);
    plan.bytes().copy_from_slice(&room.bytes()[..length]);
    plan
}

#[test]
fn a_state_begins_with_its_first_value_and_returns_to_it() {
    let mut bytes = accumulator(|_| {});
    let plan = Plan::new_checked(bytes.bytes()).unwrap();
    assert_eq!(plan.states().collect::<Vec<_>>(), [State { tensor: 2, initial: 3 }]);
    assert_eq!((plan.inputs().count(), plan.outputs().count()), (1, 1));
    let mut memory = Aligned::new(plan.arena_bytes());
    let mut session = Session::new(plan, memory.bytes()).unwrap();
    for _ in 0..2 {
        let mut kept = FIRST.map(i32::from);
        for _ in 0..5 {
            session.input(0).copy_from_slice(&[6, 5, 4, 250]);
            session.run();
            for (kept, x) in kept.iter_mut().zip([6, 5, 4, -6]) {
                *kept = (*kept + x - 5).clamp(-128, 127);
            }
            assert_eq!(session.output(0), kept.map(|kept| kept as u8));
        }
        session.reset();
    }
}

#[test]
fn a_first_value_of_another_kind_is_refused() {
    let refused = |edit: &dyn Fn(&mut Tensor)| Plan::new_checked(accumulator(edit).bytes()).err();
    assert_eq!(refused(&|_| {}), None);
    assert_eq!(refused(&|first| first.place = Place::Arena), Some(PlanError::State(2)));
    assert_eq!(refused(&|first| first.dims[3] = 2), Some(PlanError::State(2)));
    let wide = |first: &mut Tensor| (first.dtype, first.dims[3]) = (I16, 2);
    assert_eq!(refused(&wide), Some(PlanError::State(2)));

    let entry = header::SECTIONS + 4 * Section::Ports as usize;
    let ports = |plan: &[u8]| u32::from_le_bytes(*plan[entry..].first_chunk().unwrap()) as usize;
    // Record 2 is the state: its tensor, the field behind its code, its first value.
    for (field, value, error) in [
        (0, 0, PlanError::State(0)),
        (0, 99, PlanError::State(99)),
        (3, 1, PlanError::Section(Section::Ports)),
        (4, 99, PlanError::State(2)),
        (6, 1, PlanError::Section(Section::Ports)),
    ] {
        let mut damaged = accumulator(|_| {});
        let bytes = damaged.bytes();
        let record = ports(bytes) + 16;
        bytes[record + field] = value;
        seal(bytes);
        assert_eq!(Plan::new_checked(damaged.bytes()).err(), Some(error), "byte {field}");
    }
}
